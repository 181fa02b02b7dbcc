//! Jobs are done before their workers are stopped, as far as that goes in time: what a set holds of them would be done again, or not at all, when it goes back.

use std::thread;
use std::time::{Duration, Instant};

use plan::ports::{Event, KeySession, LiveKey, Noted};
use plan::step::{Drain, JobQueues};
use plan::words::counted;
use plan::{Error, Result};

use crate::act::Hands;
use crate::setting_right::each_of_set;

/// How often the queues are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a person is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Queues that are named.
const SHOWN_MAX: usize = 5;

/// Stops who makes jobs, and waits until the others have done them. That they are not done in time, or cannot be counted, is told and stops nothing.
pub(crate) fn drain(hands: &Hands, noted: &Noted, drain: &Drain) -> Result<()> {
    let watch = &hands.context.watch;
    if !hands.writers.stop_makers_of_jobs(&hands.context, noted)? {
        watch.see(Event::Note("jobs are not waited for: here all writers stop at once"));
        return Ok(());
    }
    let (began, mut told) = (Instant::now(), Instant::now());
    loop {
        hands.context.stop.check()?;
        let waiting = match waiting(hands, &drain.of) {
            Ok(waiting) => waiting,
            Err(error) => {
                hands.context.stop.check()?;
                watch.see(Event::Warning(&format!("jobs are not waited for, because they cannot be counted: {}", error.chain())));
                return Ok(());
            }
        };
        let seconds = began.elapsed().as_secs();
        if waiting.is_empty() {
            watch.see(Event::Note(&format!("all jobs are done, after {seconds} s")));
            return Ok(());
        }
        if seconds >= drain.seconds_max {
            let text = format!("after {seconds} s {} not done: {}", jobs(&waiting), listed(&waiting));
            watch.see(Event::Warning(&format!("{text}. They stay in their queues, and are in the set")));
            return Ok(());
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            watch.see(Event::Note(&format!("waiting for {seconds} s: {} not done: {}", jobs(&waiting), listed(&waiting))));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Where jobs wait, or are at work, and how many.
fn waiting(hands: &Hands, queues: &[JobQueues]) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for queue in queues {
        let store = hands.data_set(queue.data_set)?;
        let keys = store.live_keys().ok_or_else(|| Error::failed(format!("{} has no keys", queue.data_set)))?;
        let mut keys = keys.session(&hands.context);
        let key = |key: String| LiveKey { database: queue.names.database.clone(), key };
        for name in members_of_set(keys.as_mut(), &queue.names)? {
            let length = keys.length(&key(format!("{}{name}", queue.prefix)))?;
            found.extend((length > 0).then_some((name, length)));
        }
        let processes = queue.processes.as_ref().map_or(Ok(Vec::new()), |of| members_of_set(keys.as_mut(), of))?;
        for process in processes {
            let busy = keys.field(&key(process.clone()), "busy")?.and_then(|text| text.parse().ok()).unwrap_or(0);
            found.extend((busy > 0).then(|| (format!("at work in {process}"), busy)));
        }
    }
    Ok(found)
}

/// Each once, in order.
fn members_of_set(keys: &mut (dyn KeySession + '_), of: &LiveKey) -> Result<Vec<String>> {
    let mut all = Vec::new();
    each_of_set(keys, of, |_, some| {
        all.extend(some);
        Ok(())
    })?;
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn jobs(waiting: &[(String, u64)]) -> String {
    let sum: u64 = waiting.iter().map(|(_, number)| number).sum();
    let verb = if sum == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(usize::try_from(sum).unwrap_or(usize::MAX), "job", "jobs"))
}

fn listed(waiting: &[(String, u64)]) -> String {
    let mut text: Vec<String> = waiting.iter().take(SHOWN_MAX).map(|(name, number)| format!("{number} {name}")).collect();
    if waiting.len() > SHOWN_MAX {
        text.push(format!("{} more queues", waiting.len() - SHOWN_MAX));
    }
    text.join(", ")
}
