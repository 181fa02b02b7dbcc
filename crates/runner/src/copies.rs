//! Copies of journals in the repository: where the next person finds them, on another machine too.
//!
//! The journal itself is asked before each step; the copy is made only when it changes who holds what: before the writers are stopped or live data is touched,
//! when a run is taken back or settled, and at its end. So it may lag behind, by steps that may be repeated: who goes on from a copy says so in the journal
//! ([`Record::TakenOver`]). That a copy cannot be made is told and stops nothing.

use plan::ids::RunId;
use plan::journal::{Record, Run};
use plan::ports::{Event, Repository};
use plan::step::{Action, Step};
use plan::{Class, Error, InstallationId, Result};

use crate::act::Hands;
use crate::journal::Journal;
use crate::state::State;

/// The kind of the records in the repository.
const KIND: &str = "journal";
/// Copies of runs that are over: enough for another machine to see that they are.
const OVER_KEPT: usize = 20;

/// Whether others must be able to find the run from here on.
pub(crate) fn is_worth_a_copy(run: &Run, step: &Step) -> bool {
    match &step.action {
        Action::StopWriters { .. }
        | Action::RepairKeys { .. }
        | Action::ChangeRows { .. }
        | Action::MergeKeys { .. }
        | Action::PutFiles { .. } => true,
        // The writers were stopped by somebody else, or run.
        Action::CutOver { .. } => !run.has_cut_over_before(step.id),
        Action::Stage { reserved, .. } => run.is_in_place(*reserved),
        Action::Dump { .. }
        | Action::WriteManifest
        | Action::Reserve { .. }
        | Action::Prove { .. }
        | Action::RewriteConfiguration { .. }
        | Action::KeepKeys { .. }
        | Action::KeepRows { .. }
        | Action::StageFiles { .. }
        | Action::LoadRest { .. }
        | Action::LookFirst { .. }
        | Action::NoteWriters { .. }
        | Action::SafetyCopy { .. }
        | Action::NoteIds { .. }
        | Action::KeepIdsAhead { .. }
        | Action::HoldClock { .. }
        | Action::StartWriters { .. }
        | Action::Synchronise { .. }
        | Action::RestartReaders { .. }
        | Action::ReleaseWriters { .. } => false,
    }
}

/// Whether others may have found the run: then they learn how it ended, too.
pub(crate) fn may_be_known(run: &Run) -> bool {
    run.plan.steps.iter().any(|step| is_worth_a_copy(run, step) && run.was_begun(step.id))
}

/// Keeps a copy, where that is wanted.
pub(crate) fn keep(journal: &Journal, hands: &Hands) {
    if !hands.copies_journal {
        return;
    }
    let run = journal.run();
    if let Err(error) = hands.repository.put_record(KIND, run.plan.run.as_str(), &journal.text()) {
        let text = format!(
            "the journal of run {} was not copied into the repository: {}. Another machine does not find it there.",
            run.plan.run,
            error.chain()
        );
        hands.context.watch.see(Event::OfRecords(&text));
    }
}

/// A copy in the repository.
pub struct JournalCopy {
    /// The run.
    pub id: RunId,
    /// Its bytes.
    pub text: Vec<u8>,
    /// What they say.
    pub run: Run,
}

/// The copies of an installation's journals, oldest first. Damaged ones say nothing.
///
/// # Errors
/// When the repository cannot be read.
pub fn copies(repository: &dyn Repository, installation: &InstallationId) -> Result<Vec<JournalCopy>> {
    let mut copies = Vec::new();
    for record in repository.records(KIND)? {
        let Ok(run) = crate::journal::lines_of(&record.bytes).and_then(|(lines, _)| crate::journal::replay(lines)) else { continue };
        if run.is_of(installation) {
            copies.push(JournalCopy { id: RunId(record.name), text: record.bytes, run });
        }
    }
    copies.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(copies)
}

/// What a copy is to the journal here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// There is no journal here.
    NotHere,
    /// The journal here says all that the copy says, and perhaps more.
    Older,
    /// Somebody went on elsewhere: the copy says all that the journal here says, and more.
    Newer,
    /// Both say what the other does not.
    Contradicts,
    /// The journal here is damaged, or cannot be read; the copy is not.
    DamagedHere,
    /// A newer version of the program wrote the journal here: what it says beyond the copy is not known to this one.
    NotForThisVersion,
}

/// Compares a copy with the journal here. One that cannot be read is as good as damaged.
#[must_use]
pub fn beside(state: &State, copy: &JournalCopy) -> Beside {
    let here = match state.bytes(&copy.id) {
        Ok(Some(here)) => here,
        Ok(None) => return Beside::NotHere,
        Err(_) => return Beside::DamagedHere,
    };
    match crate::journal::lines_of(&here).and_then(|(lines, _)| crate::journal::replay(lines)) {
        Ok(_) => {}
        Err(error) if error.class() == Class::Refused => return Beside::NotForThisVersion,
        Err(_) => return Beside::DamagedHere,
    }
    // A torn line at the end of the journal here is none.
    let end = here.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let whole = here.get(..end).unwrap_or_default();
    if whole.starts_with(&copy.text) {
        Beside::Older
    } else if copy.text.starts_with(whole) || goes_on_from_a_copy(whole, &copy.text) {
        Beside::Newer
    } else {
        Beside::Contradicts
    }
}

/// Whether where the two part, the copy says that somebody took the run over: what the journal here says beyond that was done before, and is allowed for.
fn goes_on_from_a_copy(here: &[u8], copy: &[u8]) -> bool {
    let lines = |text: &'_ [u8]| text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (here, copy) = (lines(here), lines(copy));
    let parts = here.iter().zip(&copy).take_while(|(ours, theirs)| ours == theirs).count();
    let is_taken_over = |line: &Vec<u8>| {
        serde_json::from_slice::<plan::journal::Line>(line).is_ok_and(|line| matches!(line.record, Record::TakenOver { .. }))
    };
    parts > 0 && copy.get(parts).is_some_and(is_taken_over) && !here.get(parts..).unwrap_or_default().iter().any(is_taken_over)
}

/// Brings a copy onto the shelf, and says in it that it may lag behind.
///
/// # Errors
/// When the two contradict each other ([`plan::Class::NeedsPerson`]); when it cannot be written.
pub fn take_over(state: &State, copy: &JournalCopy, host: &str) -> Result<()> {
    match beside(state, copy) {
        Beside::Older | Beside::NotForThisVersion => return Ok(()),
        Beside::Contradicts => {
            let id = &copy.id;
            return Err(Error::needs_person(format!("the journal of run {id} here and its copy in the repository contradict each other"))
                .hint("Two machines went on with it. Look at the stores; `threescale-backup doctor` names what is left in them.")
                .hint(format!("`threescale-backup abandon {id}` ends the run as it is.")));
        }
        Beside::NotHere | Beside::Newer => state.adopt(&copy.id, &copy.text)?,
        Beside::DamagedHere => {
            state.set_aside(&copy.id)?;
            state.adopt(&copy.id, &copy.text)?;
        }
    }
    if copy.run.is_over() {
        return Ok(());
    }
    state.open_journal(&copy.id)?.write(Record::TakenOver { host: host.to_owned() })
}

/// Removes the oldest copies of runs that are over.
///
/// # Errors
/// When the repository cannot be read or written.
pub fn tidy_copies(repository: &dyn Repository, installation: &InstallationId) -> Result<()> {
    let mut over: Vec<_> = copies(repository, installation)?.into_iter().filter(|copy| copy.run.is_over()).map(|copy| copy.id).collect();
    over.truncate(over.len().saturating_sub(OVER_KEPT));
    over.iter().try_for_each(|id| repository.remove_record(KIND, id.as_str()))
}
