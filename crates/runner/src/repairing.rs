//! Keys of live stores that are set right, and put back. What they had is in the repository before the first is changed.

mod kept;

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::journal::{Run, RunState};
use plan::ports::{Event, Fate, KeyRepair, KeyRepairs};
use plan::step::{Action, Output, StepId, WantedRepairs};
use plan::{Error, Result};

use crate::act::Hands;
use crate::rows;
use kept::Keeping;

/// Keys that are looked at together.
const TOGETHER: usize = 50;
/// What a key had is kept up to so many bytes: a record of the repository has 64 MiB.
const KEPT_MAX_BYTES: usize = 32 << 20;
/// So many keys that stay as they are, are named.
const NAMED_MAX: usize = 20;

/// Works out which keys of live stores are to be set right, and gives each with its changes; what they have is not looked at yet.
pub type Repairer = Arc<dyn Fn(&Hands, &WantedRepairs, Give<'_>) -> Result<()> + Send + Sync>;

/// Is given a key.
pub type Give<'a> = &'a mut dyn FnMut(KeyRepair) -> Result<()>;

fn repairs_of(hands: &Hands, data_set: DataSetName) -> Result<&dyn KeyRepairs> {
    hands.data_set(data_set)?.key_repairs().ok_or_else(|| Error::failed(format!("{data_set} has no keys")))
}

/// Works out what is to be set right, and keeps what it has.
pub(crate) fn keep_keys(hands: &Hands, run: &Run, (data_set, database): (DataSetName, &str), wanted: &WantedRepairs) -> Result<Output> {
    let repairer = hands.repairer.as_ref().ok_or_else(|| Error::failed("there is nobody here to work out what is to be set right"))?;
    let store = repairs_of(hands, data_set)?;
    let mut keeping = Keeping::new(hands.repository.as_ref(), &run.plan.run);
    // One connection for all of them: there may be as many keys as there are applications.
    let mut looks = store.looks_at(&hands.context, database)?;
    let mut some = Vec::with_capacity(TOGETHER);
    let mut keep = |some: &mut Vec<KeyRepair>| -> Result<()> {
        hands.context.stop.check()?;
        let keys: Vec<&[u8]> = some.iter().map(|repair| repair.key.as_slice()).collect();
        let values = looks.values(&keys)?;
        for (mut repair, was) in some.drain(..).zip(values) {
            if was.as_ref().is_some_and(|was| was.payload.len() > KEPT_MAX_BYTES) {
                let text = format!("{}: it stays as it is, because it has more than can be kept for an undo", repair.about);
                hands.context.watch.see(Event::Warning(&text));
                continue;
            }
            repair.was = was;
            keeping.keep(&repair)?;
        }
        Ok(())
    };
    repairer(hands, wanted, &mut |repair| {
        some.push(repair);
        if some.len() < TOGETHER { Ok(()) } else { keep(&mut some) }
    })?;
    keep(&mut some)?;
    let (parts, keys) = keeping.end()?;
    Ok(Output::KeysKept { parts, keys })
}

/// Sets right what was kept.
pub(crate) fn repair_keys(hands: &Hands, run: &Run, (data_set, database): (DataSetName, &str), kept: StepId) -> Result<Output> {
    let store = repairs_of(hands, data_set)?;
    let (mut keys, mut left) = (0, Left::default());
    for part in 0..parts_of(run, kept)? {
        let repairs = kept::part(hands.repository.as_ref(), &run.plan.run, part)?;
        let fates = store.make(&hands.context, database, &repairs)?;
        keys += left.take(&repairs, &fates);
    }
    if let Some(text) = left.told("somebody changed it since it was looked at") {
        hands.context.watch.see(Event::Warning(&text));
    }
    hands.context.watch.see(Event::Note(&format!("{keys} keys of {data_set} are set right")));
    Ok(Output::Repaired { keys, left: left.count })
}

/// Puts back what was kept, where it still is as the repair left it.
pub(crate) fn take_back_keys(hands: &Hands, run: &Run, step: StepId) -> Result<()> {
    let Some(Action::RepairKeys { data_set, database, kept }) = run.plan.step(step).map(|step| &step.action) else { return Ok(()) };
    let store = repairs_of(hands, *data_set)?;
    let mut left = Left::default();
    let mut take_back = |part| -> Result<()> {
        let repairs = kept::part(hands.repository.as_ref(), &run.plan.run, part)?;
        let fates = store.take_back(&hands.context, database, &repairs)?;
        left.take(&repairs, &fates);
        Ok(())
    };
    // A part that is lost keeps no other from going back.
    let mut failure = None;
    for part in 0..parts_of(run, *kept)? {
        failure = failure.or(take_back(part).err());
    }
    if let Some(text) = left.told("it is not any more as the repair left it") {
        hands.context.watch.see(Event::Warning(&text));
    }
    failure.map_or(Ok(()), Err)
}

/// Whether the repository may still have what keys or rows had before the run changed them.
#[must_use]
pub fn keeps_keys(run: &Run) -> bool {
    let keeps = |step: &plan::step::Step| matches!(step.action, Action::KeepKeys { .. }) && run.was_begun(step.id);
    !matches!(run.state, RunState::Settled | RunState::Undone) && (run.plan.steps.iter().any(keeps) || rows::keeps(run))
}

/// Drops what a run kept of keys and rows.
///
/// # Errors
/// When the repository cannot be written.
pub fn drop_kept_keys(hands: &Hands, run: &Run) -> Result<()> {
    let keeps = run.plan.steps.iter().any(|step| matches!(step.action, Action::KeepKeys { .. }));
    if keeps {
        kept::drop_from(hands.repository.as_ref(), &run.plan.run, 0)?;
    }
    rows::drop_kept(hands, run)
}

fn parts_of(run: &Run, kept: StepId) -> Result<u32> {
    match run.output(kept) {
        Some(Output::KeysKept { parts, .. }) => Ok(*parts),
        _ => Err(Error::needs_person(format!("the journal does not say what step {kept} kept of the keys"))),
    }
}

/// Keys that stay as they are.
#[derive(Default)]
struct Left {
    count: u64,
    first: Vec<String>,
}

impl Left {
    /// Gives how many do not.
    fn take(&mut self, repairs: &[KeyRepair], fates: &[Fate]) -> u64 {
        let left: Vec<_> = repairs.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Changed).map(|(repair, _)| &repair.about).collect();
        self.count += left.len() as u64;
        let room = NAMED_MAX.saturating_sub(self.first.len());
        self.first.extend(left.iter().take(room).map(|about| (*about).clone()));
        (fates.len() - left.len()) as u64
    }

    fn told(&self, why: &str) -> Option<String> {
        let more = self.count.saturating_sub(self.first.len() as u64);
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        (self.count > 0)
            .then(|| format!("{} of the keys stay as they are, each because {why}: {}{more}", self.count, self.first.join("; ")))
    }
}
