//! Cuts a line on which somebody waits in vain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::Error;

use crate::state::State;
use crate::way::Limits;

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// After a signal: how long a statement may still take by itself.
const STOP_QUIET: Duration = Duration::from_secs(2);
/// After the server was told to end the work: how long it may take to say so.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// After the owner has gone: how long its last words may take.
const LINGER: Duration = Duration::from_secs(2);
/// A server that cannot be asked, and is there, is given so many times the limit.
const PATIENCE: u32 = 10;

/// What the server does about what was asked over a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It is at work on it.
    Work,
    /// It was at work, and was told to end.
    Ended,
    /// It is not, or cannot be reached.
    Nothing,
    /// It can be reached, but does not tell.
    Untold,
}

/// Asks the server over another connection.
pub trait Peer: Send + Sync {
    /// What it does about what was asked; with `end`, it is told to give that up where that harms nothing. Must return within the limit.
    fn ask(&self, end: bool, limit: Duration) -> Doing;
}

/// Watches until the line is closed.
pub(crate) fn watch(state: &Arc<State>, limits: &Limits) {
    let mut ended: Option<Instant> = None;
    while !state.is_released() {
        state.sleep(TICK);
        let is_stopping = limits.stop.is_raised();
        let limit = if is_stopping { STOP_QUIET.min(limits.quiet) } else { limits.quiet };
        let Some(quiet) = state.quiet().filter(|quiet| *quiet >= limit) else { continue };
        if ended.is_some_and(|at| at.elapsed() < STOP_GRACE) {
            continue;
        }
        let doing = match state.peer() {
            Some(peer) if ended.is_none() => peer.ask(is_stopping, limits.ask),
            _ => Doing::Nothing,
        };
        // It may have answered while the other connection was asked.
        if state.is_closed() || state.quiet().is_none_or(|quiet| quiet < limit) {
            continue;
        }
        match doing {
            Doing::Work => state.touch(),
            Doing::Ended if is_stopping => ended = Some(Instant::now()),
            Doing::Untold if !is_stopping && quiet < limits.quiet * PATIENCE => state.sleep(limit.min(Duration::from_secs(1))),
            _ if is_stopping => return state.cut(&Error::interrupted()),
            _ => return state.cut(&silent(state, quiet)),
        }
    }
    let released = Instant::now();
    while state.has_connections() && released.elapsed() < LINGER {
        state.sleep(TICK);
    }
    state.close();
}

fn silent(state: &State, quiet: Duration) -> Error {
    let seconds = quiet.as_secs().max(1);
    Error::transient(format!("nothing came from {} for {seconds} s, and it is not at work on anything of ours", state.server))
        .hint("The network between here and there, or a proxy on the way, has stopped forwarding; the same call may work later.")
        .hint("io-seconds-max in [options] says how long to wait.")
}
