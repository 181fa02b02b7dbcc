//! Takes a run back, and drops what it kept.

use plan::ids::DataSetName;
use plan::journal::{Record, Run, RunState};
use plan::manifest::KeptDataSet;
use plan::ports::{Event, Noted, Road, Verb, WriterGroup};
use plan::step::{Action, Output, Step, StepId};
use plan::{Error, Result};

use crate::act::{Parts, noted_of, place_of, prove, stage};
use crate::journal::Journal;

/// Takes a run back, step by step from the last: the previous data is live again, what was staged is dropped, writers that were stopped are started.
///
/// # Errors
/// [`plan::Class::Refused`] when there is nothing to take back any more; else the error of the step, journaled: `undo` may be called again.
pub fn undo(journal: &Journal, parts: &Parts) -> Result<()> {
    let run = journal.run();
    match run.state {
        RunState::Open | RunState::Finished | RunState::Undoing => journal.write(Record::UndoOpened)?,
        RunState::Undone => return Err(Error::refused(format!("run {} is undone already", run.plan.run))),
        RunState::Settling | RunState::Settled => {
            return Err(Error::refused(format!("run {} is settled: what it replaced is dropped", run.plan.run))
                .hint("Restore an earlier set instead; `threescale-backup list` shows them."));
        }
    }
    for step in run.plan.steps.iter().rev() {
        parts.context.stop.check()?;
        if !run.was_begun(step.id) || !has_way_back(&run, step) {
            continue;
        }
        journal.write(Record::UndoStarted { step: step.id })?;
        if let Err(error) = take_back(parts, &run, step) {
            let error = error.during(format!("undo of step {} failed: {}", step.id, step.action));
            journal.write(Record::UndoFailed { step: step.id, error: error.chain() })?;
            return Err(error);
        }
        journal.write(Record::UndoSucceeded { step: step.id })?;
    }
    journal.write(Record::Undone)
}

/// Drops what a finished run kept: the data that it replaced. There is no undo afterwards.
///
/// # Errors
/// [`plan::Class::Refused`] when the run is not finished; else when something cannot be dropped: `settle` may be called again.
pub fn settle(journal: &Journal, parts: &Parts) -> Result<()> {
    let run = journal.run();
    match run.state {
        RunState::Finished | RunState::Settling => journal.write(Record::SettleStarted)?,
        RunState::Settled => return Err(Error::refused(format!("run {} is settled already", run.plan.run))),
        RunState::Undone => return Err(Error::refused(format!("run {} was undone: it keeps nothing", run.plan.run))),
        RunState::Open | RunState::Undoing => {
            return Err(
                Error::refused(format!("run {} is not finished", run.plan.run)).hint("`resume` goes on with it, `undo` takes it back.")
            );
        }
    }
    for (data_set, reserved) in side_places(&run) {
        parts.data_set(data_set)?.discard(&parts.context, place_of(&run, reserved)?)?;
    }
    journal.write(Record::Settled)
}

/// The places beside the live data that a run reserved.
pub(crate) fn side_places(run: &Run) -> impl Iterator<Item = (DataSetName, StepId)> {
    run.plan.steps.iter().filter_map(|step| match step.action {
        Action::Reserve { data_set, road: Road::SideCopy } if run.output(step.id).is_some() => Some((data_set, step.id)),
        _ => None,
    })
}

fn has_way_back(run: &Run, step: &Step) -> bool {
    match &step.action {
        Action::CutOver { .. } | Action::StopWriters { .. } | Action::Stage { .. } => true,
        // Starting them is taken back before a cut-over is: by stopping them again.
        Action::StartWriters { .. } => run.has_cut_over(),
        Action::Dump { .. }
        | Action::WriteManifest
        | Action::Reserve { .. }
        | Action::Prove { .. }
        | Action::NoteWriters { .. }
        | Action::SafetyCopy { .. }
        | Action::Synchronise { .. }
        | Action::ReleaseWriters { .. } => false,
    }
}

fn take_back(parts: &Parts, run: &Run, step: &Step) -> Result<()> {
    match &step.action {
        Action::StartWriters { noted, .. } => parts.writers.stop(&parts.context, noted_of(run, *noted)?),
        Action::StopWriters { noted } => start_again(parts, run, noted_of(run, *noted)?),
        Action::CutOver { data_set, reserved } => {
            let place = place_of(run, *reserved)?;
            let store = parts.data_set(*data_set)?;
            parts.watched(*data_set, Verb::Undo, None, || store.undo(&parts.context, place))
        }
        Action::Stage { data_set, reserved } if run.is_in_place(*reserved) => {
            let kept = safety_copy_of(parts, run, *data_set)?;
            let place = place_of(run, *reserved)?;
            stage(parts, *data_set, place, &kept)?;
            prove(parts, *data_set, place, &kept).map(drop)
        }
        Action::Stage { data_set, reserved } => parts.data_set(*data_set)?.discard(&parts.context, place_of(run, *reserved)?),
        Action::Dump { .. }
        | Action::WriteManifest
        | Action::Reserve { .. }
        | Action::Prove { .. }
        | Action::NoteWriters { .. }
        | Action::SafetyCopy { .. }
        | Action::Synchronise { .. }
        | Action::ReleaseWriters { .. } => Ok(()),
    }
}

/// All is as it was: the writers start as they were noted. Copies that this run made anew from what it restored are made anew from what is back.
fn start_again(parts: &Parts, run: &Run, noted: &Noted) -> Result<()> {
    WriterGroup::ALL.into_iter().try_for_each(|group| parts.writers.start(&parts.context, noted, group))?;
    parts.writers.release(&parts.context, noted)?;
    for step in run.plan.steps.iter().filter(|step| run.was_begun(step.id)) {
        if let Action::Synchronise { task } = &step.action {
            parts.synchronise.synchronise(&parts.context, *task)?;
        }
    }
    Ok(())
}

fn safety_copy_of(parts: &Parts, run: &Run, data_set: DataSetName) -> Result<KeptDataSet> {
    let copies = run.plan.steps.iter().filter(|step| matches!(step.action, Action::SafetyCopy { .. }));
    let set = copies.into_iter().find_map(|step| match run.output(step.id) {
        Some(Output::Set { set }) => Some(set),
        _ => None,
    });
    let set = set.ok_or_else(|| Error::needs_person("the journal names no safety copy, though data was replaced in place"))?;
    let manifests = parts.repository.manifests()?;
    let manifest = manifests.iter().find(|manifest| manifest.set == *set);
    let kept = manifest.and_then(|manifest| manifest.data_sets.get(&data_set)).cloned();
    let kept = kept.ok_or_else(|| Error::needs_person(format!("the safety copy {set} of {data_set} is not in the repository")));
    parts.context.watch.see(Event::Note(&format!("{data_set} is put back from its safety copy {set}")));
    kept
}
