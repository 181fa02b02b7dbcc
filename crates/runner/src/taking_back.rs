//! Takes a run back, and drops what it kept.
//!
//! Undo needs no proof and makes nothing anew that may refuse: what is put back was kept. What one store cannot do stops nothing else; it is told at the end, and
//! the run stays open for another `undo`. Where a store knows nothing of the run, a person is asked: the others are put back, nothing is dropped, no writer starts.

use plan::ids::{DataSetName, SetId};
use plan::journal::{Record, Run, RunState};
use plan::manifest::KeptDataSet;
use plan::ports::{DataSet, Discard, Event, Noted, Place, Road, Undone, Verb};
use plan::step::{Action, IdCounter, Output, Step, StepId};
use plan::{Class, Error, Result};

use crate::act::{Hands, noted_of, place_of, prove, stage};
use crate::copies;
use crate::journal::Journal;
use crate::merging;
use crate::needs;
use crate::repairing;
use crate::rows;
use crate::setting_right;
use crate::stores::{check_stores, check_that_a_store_knows};

/// How a step is taken back.
#[derive(Clone, Copy)]
enum WayBack {
    /// Writers that were started are stopped again, before the data under them changes.
    StopWriters(StepId),
    /// Writers that were stopped are started, when all is back.
    StartWriters(StepId),
    /// The swap is reversed.
    SwapBack(DataSetName, StepId),
    /// The live data was replaced: what its store kept goes back, or else its safety copy. The place, and the step that replaced it.
    PutBack(DataSetName, StepId, StepId),
    /// What was put into the live data is taken out again.
    TakeOut(DataSetName, StepId),
    /// The staged copy is removed.
    RemoveStaged(DataSetName, StepId),
    /// What was claimed and not used is given back.
    Release(DataSetName),
    /// The ticks that the step held strike again.
    LetClockGo(StepId),
    /// The keys that the step set right have what they had.
    PutKeysBack(StepId),
    /// The rows that the step changed are what they were.
    PutRowsBack(StepId),
    /// The counters that the step raised are what they were, where nobody counted on.
    LowerIds(StepId),
}

/// `None`: there is nothing to take back.
fn way_back(run: &Run, step: &Step) -> Option<WayBack> {
    match &step.action {
        Action::StartWriters { noted, .. } => run.has_cut_over().then_some(WayBack::StopWriters(*noted)),
        Action::StopWriters { noted, .. } => Some(WayBack::StartWriters(*noted)),
        Action::CutOver { data_set, reserved } | Action::PutFiles { data_set, reserved } => Some(WayBack::SwapBack(*data_set, *reserved)),
        Action::Stage { data_set, reserved } if run.is_in_place(*reserved) => Some(WayBack::PutBack(*data_set, *reserved, step.id)),
        Action::Stage { data_set, reserved } | Action::StageFiles { data_set, reserved, .. } => {
            Some(WayBack::RemoveStaged(*data_set, *reserved))
        }
        Action::Reserve { data_set, road: Road::SideCopy } => Some(WayBack::Release(*data_set)),
        Action::MergeKeys { data_set, reserved, .. } => Some(WayBack::TakeOut(*data_set, *reserved)),
        Action::HoldClock { .. } => Some(WayBack::LetClockGo(step.id)),
        Action::KeepIdsAhead { .. } => Some(WayBack::LowerIds(step.id)),
        Action::RepairKeys { .. } => Some(WayBack::PutKeysBack(step.id)),
        Action::ChangeRows { .. } => Some(WayBack::PutRowsBack(step.id)),
        Action::NoteIds { .. }
        | Action::Dump { .. }
        | Action::WriteManifest
        | Action::Reserve { road: Road::InPlace, .. }
        | Action::Prove { .. }
        | Action::RewriteConfiguration { .. }
        | Action::KeepKeys { .. }
        | Action::KeepRows { .. }
        | Action::LoadRest { .. }
        | Action::LookFirst { .. }
        | Action::NoteWriters { .. }
        | Action::SafetyCopy { .. }
        | Action::Synchronise { .. }
        | Action::RestartReaders { .. }
        | Action::ReleaseWriters { .. } => None,
    }
}

/// Takes a run back, step by step from the last: the previous data is live again, what was staged is dropped, writers that were stopped are started.
///
/// # Errors
/// [`Class::Refused`] when there is nothing to take back any more, or the stores are not those of the run; [`Class::NeedsPerson`] when a store knows nothing of a
/// cut-over that the journal says was begun. Else what could not be taken back, when all else was: `undo` may be called again.
pub fn undo(journal: &Journal, hands: &Hands) -> Result<()> {
    let undone = take_all_back(journal, hands);
    if journal.run().state != RunState::Open {
        copies::keep(journal, hands);
        needs::note(hands, &journal.run());
    }
    undone
}

fn take_all_back(journal: &Journal, hands: &Hands) -> Result<()> {
    let run = journal.run();
    match run.state {
        RunState::Open | RunState::Finished | RunState::Undoing => {}
        RunState::Undone => return Err(Error::refused(format!("run {} is undone already", run.plan.run))),
        RunState::Settling | RunState::Settled => {
            return Err(Error::refused(format!("run {} is settled: what it replaced is dropped, wholly or in part", run.plan.run))
                .hint("Restore an earlier set instead; `threescale-backup list` shows them."));
        }
        RunState::Abandoned => return Err(Error::refused(format!("run {} was abandoned", run.plan.run))),
    }
    check_stores(hands, &run)?;
    check_that_a_store_knows(hands, &run)?;
    journal.write(Record::UndoOpened)?;
    copies::keep(journal, hands);
    let mut taking = Taking {
        hands,
        run: &run,
        failures: Vec::new(),
        data_is_back: true,
        not_back: Vec::new(),
        asks_person: false,
        is_told: false,
        reached: run.reached.clone(),
    };
    for step in run.plan.steps.iter().rev() {
        hands.context.stop.check()?;
        let Some(way) = way_back(&run, step).filter(|way| run.was_begun(step.id) && taking.may(*way)) else { continue };
        if matches!(way, WayBack::RemoveStaged(..)) && !std::mem::replace(&mut taking.is_told, true) {
            // From here a store may know nothing of the run any more: whoever goes on elsewhere must know that it was taken back.
            copies::keep(journal, hands);
        }
        journal.write(Record::UndoStarted { step: step.id })?;
        match taking.act(way) {
            Ok(reached) => {
                taking.reached.extend(reached.clone());
                journal.write(Record::UndoSucceeded { step: step.id, reached })?;
            }
            Err(error) => {
                let error = error.during(format!("undo of step {} failed: {}", step.id, step.action));
                journal.write(Record::UndoFailed { step: step.id, error: error.chain() })?;
                if error.class() == Class::Interrupted || hands.context.stop.is_raised() {
                    return Err(error);
                }
                taking.failed(way, error);
            }
        }
    }
    taking.verdict(&journal.run())?;
    restart_readers(hands, &run);
    journal.write(Record::Undone)?;
    if let Err(error) = repairing::drop_kept_keys(hands, &run) {
        let text = format!("what run {} kept is put back, and could not be removed from the repository: {}", run.plan.run, error.chain());
        hands.context.watch.see(Event::OfRecords(&text));
    }
    Ok(())
}

/// Who reads what was overwritten reads what is back. That one does not start again changes nothing of the data: it is told.
fn restart_readers(hands: &Hands, run: &Run) {
    for step in run.plan.steps.iter().filter(|step| run.was_begun(step.id)) {
        if let Action::RestartReaders { readers } = &step.action
            && let Err(error) = hands.writers.restart(&hands.context, readers)
        {
            let text = format!("{} must be restarted by hand: they read objects that were put back. {}", readers.join(", "), error.chain());
            hands.context.watch.see(Event::Warning(&text));
        }
    }
}

/// An undo under way.
struct Taking<'a> {
    hands: &'a Hands,
    run: &'a Run,
    failures: Vec<Error>,
    /// Whether everything that was replaced is live again, as far as it was come to.
    data_is_back: bool,
    /// A store knows nothing of the run: nothing is dropped anywhere before a person has looked.
    asks_person: bool,
    /// The data sets that are not wholly taken back.
    not_back: Vec<DataSetName>,
    /// Whether a copy of the journal was kept since the data is back.
    is_told: bool,
    /// How far counters of ids were counted on since they were raised.
    reached: Vec<(IdCounter, u64)>,
}

impl Taking<'_> {
    /// Nothing starts to write to data that is half new and half old, and what a store still has swapped in stays where it is.
    fn may(&self, way: WayBack) -> bool {
        match way {
            WayBack::StartWriters(_) => self.data_is_back,
            WayBack::RemoveStaged(data_set, _) => !self.asks_person && !self.not_back.contains(&data_set),
            // What is still there is in the place.
            WayBack::Release(data_set) => !self.not_back.contains(&data_set),
            WayBack::StopWriters(_)
            | WayBack::SwapBack(..)
            | WayBack::PutBack(..)
            | WayBack::TakeOut(..)
            | WayBack::LetClockGo(_)
            | WayBack::PutKeysBack(_)
            | WayBack::PutRowsBack(_)
            | WayBack::LowerIds(_) => true,
        }
    }

    /// Gives how far counters were counted on that are found so.
    fn act(&self, way: WayBack) -> Result<Vec<(IdCounter, u64)>> {
        let (hands, run) = (self.hands, self.run);
        match way {
            WayBack::LowerIds(step) => return setting_right::lower_ids(hands, run, step),
            WayBack::StopWriters(noted) => hands.writers.stop(&hands.context, noted_of(run, noted)?),
            WayBack::StartWriters(noted) => start_again(hands, run, noted_of(run, noted)?),
            WayBack::SwapBack(data_set, reserved) => swap_back(hands, run, data_set, place_of(run, reserved)?)
                .and_then(|()| setting_right::go_on_from(hands, run, data_set, &self.reached)),
            WayBack::PutBack(data_set, reserved, staged) => put_back(hands, run, data_set, place_of(run, reserved)?, staged)
                .and_then(|()| setting_right::go_on_from(hands, run, data_set, &self.reached)),
            WayBack::RemoveStaged(data_set, reserved) => {
                hands.data_set(data_set)?.discard(&hands.context, place_of(run, reserved)?, Discard::Staged)
            }
            WayBack::TakeOut(data_set, reserved) => merging::take_back(hands, data_set, place_of(run, reserved)?),
            WayBack::LetClockGo(step) => setting_right::let_clock_go(hands, run, step),
            WayBack::PutKeysBack(step) => repairing::take_back_keys(hands, run, step),
            WayBack::PutRowsBack(step) => rows::take_back_rows(hands, run, step),
            WayBack::Release(data_set) => hands.data_set(data_set)?.release(&hands.context),
        }?;
        Ok(Vec::new())
    }

    fn failed(&mut self, way: WayBack, error: Error) {
        self.data_is_back &= !matches!(
            way,
            WayBack::SwapBack(..)
                | WayBack::PutBack(..)
                | WayBack::TakeOut(..)
                | WayBack::PutKeysBack(_)
                | WayBack::PutRowsBack(_)
                | WayBack::StopWriters(_)
        );
        if let WayBack::SwapBack(data_set, _)
        | WayBack::PutBack(data_set, ..)
        | WayBack::TakeOut(data_set, _)
        | WayBack::RemoveStaged(data_set, _) = way
        {
            self.not_back.push(data_set);
        }
        self.asks_person |= error.class() == Class::NeedsPerson;
        self.hands.context.watch.see(Event::Warning(&error.chain()));
        self.failures.push(error);
    }

    fn verdict(self, now: &Run) -> Result<()> {
        // What is said of a failure goes before what holds for all.
        let ways: Vec<_> = self.failures.iter().flat_map(Error::hints).cloned().collect();
        let mut failures = self.failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        let state = match self.data_is_back {
            true => "The previous data is live again; only what the run left beside it is not all removed, or a writer not started.",
            false if self.run.changes_one_by_one() => "Not everything that the run changed is taken back; what could be is.",
            false => "Not everything that was replaced is live again; what could be put back is.",
        };
        let state = format!("{state}{}", Run::writers_sentence(now.writers()));
        let class = if self.asks_person { Class::NeedsPerson } else { first.class() };
        let id = &self.run.plan.run;
        let error = Error::new(class, format!("run {id} is not wholly taken back")).because(first);
        let error = failures.fold(error, |error, failure| error.hint(format!("Also: {}.", failure.chain())));
        let again = format!("`undo {id}` tries again what is left; `abandon {id}` ends the run as it is and says what stays.");
        let is_hopeless = self.asks_person && !ways.is_empty();
        let error = ways.into_iter().fold(error.hint(state), Error::hint);
        Err(if is_hopeless { error } else { error.hint(again) })
    }
}

/// Drops what a finished run kept: the data that it replaced. There is no undo afterwards.
///
/// # Errors
/// [`Class::Refused`] when the run is not finished, or the stores are not those of the run; when a store would refuse: then nothing was dropped, and the run can be
/// undone as before. Else when something cannot be dropped, after all else was: `settle` may be called again.
pub fn settle(journal: &Journal, hands: &Hands) -> Result<()> {
    let settled = drop_all(journal, hands);
    if matches!(journal.run().state, RunState::Settling | RunState::Settled) {
        copies::keep(journal, hands);
        needs::note(hands, &journal.run());
    }
    settled
}

fn drop_all(journal: &Journal, hands: &Hands) -> Result<()> {
    let run = journal.run();
    match run.state {
        RunState::Finished | RunState::Settling => {}
        RunState::Settled => return Err(Error::refused(format!("run {} is settled already", run.plan.run))),
        RunState::Undone => return Err(Error::refused(format!("run {} was undone: it keeps nothing", run.plan.run))),
        RunState::Abandoned => return Err(Error::refused(format!("run {} was abandoned", run.plan.run))),
        RunState::Open | RunState::Undoing => {
            return Err(
                Error::refused(format!("run {} is not finished", run.plan.run)).hint("`resume` goes on with it, `undo` takes it back.")
            );
        }
    }
    check_stores(hands, &run)?;
    let id = &run.plan.run;
    if run.state == RunState::Finished {
        let refused =
            each_place(hands, &run, "would not drop", |store, place| store.check_discard(&hands.context, place, Discard::Previous));
        refused.map_err(|error| {
            error.hint(format!("Nothing was dropped anywhere: `undo {id}` is still possible, and `settle {id}` when that is mended."))
        })?;
    }
    journal.write(Record::SettleStarted)?;
    copies::keep(journal, hands);
    let dropped = each_place(hands, &run, "failed to drop", |store, place| store.discard(&hands.context, place, Discard::Previous));
    dropped.and_then(|()| repairing::drop_kept_keys(hands, &run)).map_err(|error| error.hint(format!("`settle {id}` goes on.")))?;
    journal.write(Record::Settled)
}

/// Asks each data set that has a place, also after one that fails: `what` it then did with what the run kept.
fn each_place(hands: &Hands, run: &Run, what: &str, act: impl Fn(&dyn DataSet, &Place) -> Result<()>) -> Result<()> {
    let mut first: Option<Error> = None;
    for (data_set, reserved) in places(run) {
        hands.context.stop.check()?;
        if let Err(error) = hands.data_set(data_set).and_then(|store| act(store.as_ref(), place_of(run, reserved)?)) {
            let error = error.during(format!("{data_set} {what} what run {} kept of it", run.plan.run));
            first = Some(match first {
                None => error,
                Some(first) => first.hint(format!("Also: {}.", error.chain())),
            });
        }
    }
    first.map_or(Ok(()), Err)
}

/// The places that a run reserved: beside the live data, and the live data itself where it was replaced in place (of that only marks are removed).
pub(crate) fn places(run: &Run) -> impl Iterator<Item = (DataSetName, StepId)> {
    run.plan.steps.iter().filter_map(|step| match step.action {
        Action::Reserve { data_set, .. } if run.output(step.id).is_some() => Some((data_set, step.id)),
        _ => None,
    })
}

/// A run has done all its steps: what only it needed does not stay in a store whose data was replaced in place. A failure is told.
pub(crate) fn tidy(hands: &Hands, run: &Run) {
    for (data_set, reserved) in places(run).filter(|(_, reserved)| run.is_in_place(*reserved)) {
        if let Ok(place) = place_of(run, reserved) {
            tidy_one(hands, data_set, place);
        }
    }
}

fn tidy_one(hands: &Hands, data_set: DataSetName, place: &Place) {
    if let Err(error) = hands.data_set(data_set).and_then(|store| store.tidy(&hands.context, place)) {
        let text = format!("what this run needed in {data_set} could not be removed: {}", error.chain());
        hands.context.watch.see(Event::Warning(&text));
    }
}

/// That there is nothing of the run is no success: the store may be another one, or somebody else swapped.
fn swap_back(hands: &Hands, run: &Run, data_set: DataSetName, place: &Place) -> Result<()> {
    let store = hands.data_set(data_set)?;
    hands.watched(data_set, Verb::Undo, None, || match store.undo(&hands.context, place)? {
        Undone::PreviousIsLive => Ok(()),
        Undone::NothingThere => {
            let id = &run.plan.run;
            Err(Error::needs_person(format!(
                "the store of {data_set} knows nothing of run {id}, whose cut-over the journal says was begun"
            ))
            .hint("Neither the previous data nor the staged copy is there, so nobody can say what is live. Nothing was dropped.")
            .hint("Look whether this is the store that the run was made for, and whether somebody else took the run back or settled it.")
            .hint(format!("`abandon {id}` ends the run as it is.")))
        }
    })
}

/// All is as it was: the writers start as they were noted. Copies that this run made anew from what it restored are made anew from what is back; where that fails
/// the undo does not.
fn start_again(hands: &Hands, run: &Run, noted: &Noted) -> Result<()> {
    if !hands.writers.put_back(&hands.context, noted)? {
        return Ok(());
    }
    for step in run.plan.steps.iter().filter(|step| run.was_begun(step.id)) {
        if let Action::Synchronise { task } = &step.action
            && let Err(error) = hands.synchronise.synchronise(&hands.context, *task)
        {
            hands.context.stop.check()?;
            let text = format!("{task} was not made anew: {}. Do it by hand: {}", error.chain(), task.by_hand());
            hands.context.watch.see(Event::Warning(&text));
        }
    }
    Ok(())
}

/// What was kept in the store needs no safety copy. That the restored data cannot be removed afterwards is told, and changes nothing.
fn put_back(hands: &Hands, run: &Run, data_set: DataSetName, place: &Place, staged: StepId) -> Result<()> {
    let store = hands.data_set(data_set)?;
    if !store.keeps_previous(place) {
        return load_safety_copy(hands, run, data_set, place);
    }
    let taken = hands.watched(data_set, Verb::Undo, None, || store.undo(&hands.context, place)).and_then(|found| match found {
        Undone::PreviousIsLive => Ok(()),
        // It was put back by an earlier call that died, or nothing was replaced yet: a load writes its record first.
        Undone::NothingThere if run.output(staged).is_none() => Ok(()),
        Undone::NothingThere => Err(Error::needs_person(format!(
            "the store of {data_set} knows nothing of run {}, which the journal says replaced its data in place",
            run.plan.run
        ))
        .hint("Look whether this is the store that the run was made for, and whether somebody else took the run back or settled it.")),
    });
    taken.map_err(|error| match safety_set(run) {
        Some(set) => error.hint(format!("The safety copy that was taken before is another way back: `restore {set}`.")),
        None => error,
    })?;
    if let Err(error) = store.discard(&hands.context, place, Discard::Staged) {
        let text = format!("{data_set} is put back; what was restored could not be removed: {}", error.chain());
        hands.context.watch.see(Event::Warning(&text));
    }
    tidy_one(hands, data_set, place);
    Ok(())
}

/// The set with the safety copies of a run.
fn safety_set(run: &Run) -> Option<&SetId> {
    let copies = run.plan.steps.iter().filter(|step| matches!(step.action, Action::SafetyCopy { .. }));
    copies.into_iter().find_map(|step| match run.output(step.id) {
        Some(Output::Set { set }) => Some(set),
        _ => None,
    })
}

/// What is live after it is the safety copy, or the load has failed. A proof that differs is told and changes nothing: there is nothing better to load.
fn load_safety_copy(hands: &Hands, run: &Run, data_set: DataSetName, place: &Place) -> Result<()> {
    let kept = safety_copy_of(hands, run, data_set)?;
    stage(hands, data_set, place, &kept)?;
    if let Err(error) = prove(hands, data_set, place, &kept, true) {
        hands.context.stop.check()?;
        let text = format!("{data_set} is put back from its safety copy, and reading it back gives something else: {error:?}");
        hands.context.watch.see(Event::Warning(&text));
    }
    tidy_one(hands, data_set, place);
    Ok(())
}

fn safety_copy_of(hands: &Hands, run: &Run, data_set: DataSetName) -> Result<KeptDataSet> {
    let set = safety_set(run).ok_or_else(|| Error::needs_person("the journal names no safety copy, though data was replaced in place"))?;
    let manifests = hands.repository.manifests()?;
    let manifest = manifests.iter().find(|manifest| manifest.set == *set);
    let kept = manifest.and_then(|manifest| manifest.data_sets.get(&data_set)).cloned();
    let kept = kept.ok_or_else(|| Error::failed(format!("the safety copy {set} of {data_set} is not in the repository")));
    hands.context.watch.see(Event::Note(&format!("{data_set} is put back from its safety copy {set}")));
    kept
}
