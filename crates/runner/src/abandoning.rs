//! Ends a run as it is, in whatever state: no store is touched.

use plan::journal::{Record, RunState};
use plan::{Error, Result};

use crate::act::Hands;
use crate::copies;
use crate::journal::Journal;

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
    Ok(())
}
