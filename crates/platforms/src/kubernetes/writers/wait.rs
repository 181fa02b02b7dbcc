//! Waiting for something in the cluster: looked at often, told about every ten seconds, bounded, and ended by the stop flag.

use std::thread;
use std::time::{Duration, Instant};

use plan::Result;
use plan::ports::{Context, Event};

/// How often the cluster is looked at, once it takes long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked at in the beginning: nobody is served while writers are waited for.
const LOOK_SOON: Duration = Duration::from_millis(300);
/// From when on it takes long.
const LONG: Duration = Duration::from_secs(20);
/// How often a person is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the stop flag is looked at.
const BREATH: Duration = Duration::from_millis(100);

/// What one look says.
pub(crate) enum Look {
    /// It is as it shall be.
    Done,
    /// Not yet, for these reasons (a line each).
    Waiting(Vec<String>),
}

/// How the wait ended.
pub(crate) enum Ended {
    /// As it shall.
    Well,
    /// Not in time: what stood in the way at last.
    Late(Vec<String>),
}

/// Looks until it is done or `max` has passed.
///
/// # Errors
/// Those of `look`, and [`plan::Class::Interrupted`].
pub(crate) fn until(context: &Context, what: &str, max: Duration, mut look: impl FnMut() -> Result<Look>) -> Result<Ended> {
    let began = Instant::now();
    let mut told = began;
    loop {
        context.stop.check()?;
        let reasons = match look()? {
            Look::Done => return Ok(Ended::Well),
            Look::Waiting(reasons) => reasons,
        };
        if began.elapsed() >= max {
            return Ok(Ended::Late(reasons));
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (seconds, first) = (began.elapsed().as_secs(), reasons.iter().take(3).cloned().collect::<Vec<_>>().join("; "));
            context.watch.see(Event::Note(&format!("{what} for {seconds} s: {first}")));
        }
        breathe(context, if began.elapsed() < LONG { LOOK_SOON } else { LOOK_EVERY })?;
    }
}

/// A pause that the stop flag ends.
///
/// # Errors
/// [`plan::Class::Interrupted`].
pub(crate) fn breathe(context: &Context, pause: Duration) -> Result<()> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        context.stop.check()?;
        thread::sleep(BREATH.min(until.saturating_duration_since(Instant::now())));
    }
    Ok(())
}
