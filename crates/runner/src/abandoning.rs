//! Ends a run without touching a store.

use plan::journal::{Record, RunState};
use plan::{Error, Purpose, Result};

use crate::act::Hands;
use crate::copies;
use crate::journal::Journal;
use crate::needs;

/// Writes that a person has ended the run, and what stays where.
///
/// # Errors
/// [`plan::Class::Refused`] when it was abandoned already; when the journal cannot be written.
pub fn abandon(journal: &Journal, hands: &Hands, stays: Vec<String>) -> Result<()> {
    let run = journal.run();
    if run.state == RunState::Abandoned {
        return Err(Error::refused(format!("run {} was abandoned already", run.plan.run)));
    }
    journal.write(Record::Abandoned { stays })?;
    copies::keep(journal, hands);
    needs::note(hands, &journal.run());
    Ok(())
}

/// Closes a backup that died: it left nothing behind but its journal, and what it stored is reused.
///
/// # Errors
/// [`plan::Class::Refused`] when it may have stopped writers, or is no backup; when the journal cannot be written.
pub fn close_dead_backup(journal: &Journal) -> Result<()> {
    let run = journal.run();
    if run.plan.purpose != Purpose::Backup || run.holds_writers() || run.state != RunState::Open {
        return Err(Error::refused(format!("run {} is {}, not a backup that died", run.plan.run, run.describe())));
    }
    journal.write(Record::UndoOpened)?;
    journal.write(Record::Undone)
}
