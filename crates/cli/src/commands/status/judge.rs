//! What is bad about it: always, and by the limits that were given.

use jiff::{SignedDuration, Timestamp};
use plan::Restorable;
use plan::journal::{Run, RunState};

use super::seen::Seen;
use crate::args;
use crate::copied::Copied;
use crate::output::{age_at, bytes, length};

/// The reasons, each a sentence with what to do where that is a command. Empty: all is well.
pub(in crate::commands) fn reasons(seen: &Seen, limits: &args::Limits) -> Vec<String> {
    let mut reasons = newest(seen, limits.max_age);
    reasons.extend(seen.damaged.iter().map(|damage| format!("damaged: {damage}; `threescale-backup repair` says what can be mended")));
    reasons.extend(proven(seen, limits.max_unproven));
    reasons.extend(checked(seen, limits.max_unchecked));
    reasons.extend(limits.max_copy_age.into_iter().flat_map(|limit| copies(seen, limit)));
    reasons.extend(seen.runs.iter().filter_map(|run| standing(run, seen.now, limits.max_kept)));
    if let (Some(space), Some(least)) = (seen.space, limits.min_free)
        && space.free_bytes < least
    {
        reasons.push(format!("{} is free where the repository is, less than {}", bytes(space.free_bytes), bytes(least)));
    }
    reasons
}

fn newest(seen: &Seen, max_age: Option<SignedDuration>) -> Vec<String> {
    let Some(newest) = seen.newest() else {
        let why = if seen.sets.is_empty() { "there is no set" } else { "there is no whole set" };
        let way = match seen.others.join(", ") {
            _ if !seen.is_another => "; `threescale-backup backup` takes one".to_owned(),
            others if seen.sets.is_empty() && !others.is_empty() => format!("; the repository has sets of {others}"),
            _ => String::new(),
        };
        return vec![format!("{why}{way}")];
    };
    let (manifest, set) = (&newest.manifest, &newest.manifest.set);
    let mut reasons = Vec::new();
    if let Some(limit) = max_age.filter(|limit| is_over(seen.now, manifest.started_at, *limit)) {
        reasons.push(format!("the newest whole set is {} old, more than {}", age_at(manifest.started_at, seen.now), length(limit)));
    }
    if newest.damage.is_some() {
        reasons.push(format!("the newest whole set, {set}, is damaged; take a new one"));
    }
    if manifest.restorable() == Some(Restorable::No) {
        reasons.push(format!("the newest whole set cannot go back; `threescale-backup show {set}` says why"));
    }
    reasons
}

fn proven(seen: &Seen, max_unproven: Option<SignedDuration>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some((manifest, proof)) = seen.failed_proof() {
        let (word, at, set) = (proof.word(), age_at(proof.finished_at, seen.now), &manifest.set);
        reasons
            .push(format!("{word} of set {set} {at} ago, and nothing was proven since; `threescale-backup show {set}` says what failed"));
    }
    let Some(limit) = max_unproven else { return reasons };
    let of = if seen.is_another { format!(" --installation {}", seen.installation) } else { String::new() };
    match seen.proven() {
        None => reasons
            .push(format!("no whole set was ever proven by a restore or a rehearsal; `threescale-backup rehearse latest{of}` does it")),
        Some((_, proof)) if is_over(seen.now, proof.finished_at, limit) => reasons.push(format!(
            "a whole set was last proven {} ago, more than {}; `threescale-backup rehearse latest{of}` does it",
            age_at(proof.finished_at, seen.now),
            length(limit)
        )),
        Some(_) => {}
    }
    reasons
}

fn checked(seen: &Seen, max_unchecked: Option<SignedDuration>) -> Vec<String> {
    let mut reasons = Vec::new();
    let last = seen.checks.last();
    if let Some(last) = last.filter(|last| !last.whole) {
        reasons.push(format!("the check of {} ago found damage; `threescale-backup check` names it", age_at(last.finished_at, seen.now)));
    }
    let Some(limit) = max_unchecked else { return reasons };
    match last {
        None => reasons.push("the repository was never checked; `threescale-backup check --read-data=10%` does it".to_owned()),
        Some(last) if is_over(seen.now, last.finished_at, limit) => reasons.push(format!(
            "the repository was last checked {} ago, more than {}; `threescale-backup check --read-data=10%` does it",
            age_at(last.finished_at, seen.now),
            length(limit)
        )),
        Some(_) => {}
    }
    reasons
}

/// Every second repository of the configuration must have a young set; where none is configured, one that was named must.
fn copies(seen: &Seen, limit: SignedDuration) -> Vec<String> {
    let young = |copied: &Copied| copied.newest_started_at.filter(|newest| !is_over(seen.now, *newest, limit)).is_some();
    let old = |called: &str, copied: Option<&Copied>, way: &str| match copied.and_then(|copied| copied.newest_started_at) {
        None => format!("{called} has no whole set; {way}"),
        Some(newest) => format!("the newest whole set in {called} is {} old, more than {}; {way}", age_at(newest, seen.now), length(limit)),
    };
    if seen.copies_wanted.is_empty() {
        let newest = seen.copies.iter().max_by_key(|copied| copied.newest_started_at);
        return match newest {
            Some(copied) if young(copied) => Vec::new(),
            Some(copied) => {
                vec![old(copied.called(), newest, &format!("`threescale-backup copy --to {}` copies what is missing", copied.called()))]
            }
            None => vec!["there is no second copy of any set; `threescale-backup copy` makes one".to_owned()],
        };
    }
    let wanted = seen.copies_wanted.iter().map(|name| (name, seen.copied_to(name)));
    let bad = wanted.filter(|(_, copied)| !copied.is_some_and(young));
    bad.map(|(name, copied)| {
        old(&format!("the copy {name}"), copied, &format!("`threescale-backup copy --to {name}` copies what is missing"))
    })
    .collect()
}

/// What a run that is not over asks for. A backup that is under way asks for nothing, unless it holds the writers.
fn standing(run: &Run, now: Timestamp, max_kept: Option<SignedDuration>) -> Option<String> {
    let id = &run.plan.run;
    if run.keeps_previous() && run.state == RunState::Finished {
        let limit = max_kept.filter(|limit| is_over(now, run.last_at, *limit))?;
        return Some(format!(
            "run {id} has kept what it replaced for {}, more than {}; `threescale-backup settle {id}` drops it",
            age_at(run.last_at, now),
            length(limit)
        ));
    }
    Some(format!("run {id} is {}; {}", run.describe(), way(run)?))
}

/// How a run that stopped on its way, or is on it, goes on.
fn way(run: &Run) -> Option<String> {
    let id = &run.plan.run;
    match run.state {
        RunState::Open if run.can_undo() => {
            Some(format!("`threescale-backup resume {id}` goes on, `threescale-backup undo {id}` takes it back"))
        }
        RunState::Undoing => Some(format!("`threescale-backup undo {id}` goes on")),
        RunState::Settling => Some(format!("`threescale-backup settle {id}` goes on")),
        _ => None,
    }
}

/// Whether a run is on its way, or stopped there: a restore, an undo or a settle that is not finished, writers that a backup holds.
pub(super) fn is_unfinished(run: &Run) -> bool {
    way(run).is_some()
}

fn is_over(now: Timestamp, then: Timestamp, limit: SignedDuration) -> bool {
    now.duration_since(then) > limit
}
