//! What checks of the repository found, kept in the repository itself, so that everybody sees when it was last looked at, and how far.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::needs::parse;
use crate::ports::Repository;
use crate::{Error, Result};

/// Kind of the records. Their names sort by time.
pub const CHECKED: &str = "checked";

/// Checks that are remembered; of older ones only the last that read everything.
const REMEMBERED: usize = 50;

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The machine that did it.
    pub host: String,
    /// The version of the program.
    pub program_version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Packs in the repository.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs whose content was read and verified.
    pub packs_read: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Whether nothing was found.
    pub whole: bool,
}

impl Checked {
    /// Whether the content of every pack was read.
    #[must_use]
    pub const fn read_everything(&self) -> bool {
        self.packs_read == self.packs
    }
}

/// Keeps what a check found, and forgets what is older than is remembered.
///
/// # Errors
/// When the repository cannot be read or written.
pub fn keep(repository: &dyn Repository, checked: &Checked) -> Result<()> {
    let bytes = serde_json::to_vec(checked).map_err(|error| Error::failed("write what a check found").because(error))?;
    repository.put_record(CHECKED, &name_of(checked), &bytes)?;
    let all = checks(repository)?;
    let read_last = all.iter().rposition(Checked::read_everything);
    let older = all.len().saturating_sub(REMEMBERED);
    let forgotten = all.iter().take(older).enumerate().filter(|(at, _)| Some(*at) != read_last);
    forgotten.map(|(_, checked)| checked).try_for_each(|checked| repository.remove_record(CHECKED, &name_of(checked)))
}

/// The checks that are remembered, oldest first.
///
/// # Errors
/// When the list cannot be had, or a record cannot be understood.
pub fn checks(repository: &dyn Repository) -> Result<Vec<Checked>> {
    let mut checks: Vec<Checked> = repository.records(CHECKED)?.iter().map(|record| parse(record, CHECKED)).collect::<Result<_>>()?;
    checks.sort_by_key(|checked| checked.finished_at);
    Ok(checks)
}

fn name_of(checked: &Checked) -> String {
    checked.finished_at.strftime("%Y%m%dT%H%M%S.%3f").to_string()
}
