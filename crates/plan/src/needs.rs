//! What holds a set in the repository whatever the rules of retention say: what a run may still need, and what a person protects.
//!
//! Both are records in the repository itself, so that a `forget` on any machine sees them, wherever the run's journal is. A need ends only by
//! [`no_longer_needed`]: nothing is removed because a run has been quiet for long.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{RunId, SetId};
use crate::ports::{Record, Repository};
use crate::{Error, InstallationId, Result};

/// Kind of the records of needs; their names are runs.
pub const NEED: &str = "need";
/// Kind of the records of protections; their names are sets.
pub const PROTECTION: &str = "protection";

/// What a run may still need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Whose run it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<InstallationId>,
    /// The sets: the one that is put back, safety copies, the one that a backup is about to finish.
    pub sets: Vec<SetId>,
    /// Since when.
    pub since: Timestamp,
    /// What for, in a few words: `a restore, not settled`.
    pub note: String,
}

/// What a person protects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Since when.
    pub since: Timestamp,
    /// Why; may be empty.
    #[serde(default)]
    pub note: String,
}

/// Writes down what a run may still need. Called before the first thing is done that relies on it, and again when there is more: what was written down for
/// the run before stays. Who names a set that exists looks afterwards that it is still there.
///
/// # Errors
/// When the repository cannot be read or written: then the run must not go on.
pub fn need(repository: &dyn Repository, run: &RunId, need: &Need) -> Result<()> {
    let mut all = need.clone();
    for record in repository.records(NEED)?.iter().filter(|record| record.name == run.0) {
        let before: Need = parse(record, NEED)?;
        all.since = all.since.min(before.since);
        all.sets.extend(before.sets);
    }
    all.sets.sort();
    all.sets.dedup();
    repository.put_record(NEED, run.as_str(), &bytes(&all)?)
}

/// The run is over, by whatever way: finished with nothing to settle, settled, undone, abandoned. It is no error when nothing was needed.
///
/// # Errors
/// When the repository cannot be written. The run is over all the same; its sets stay until this is called again.
pub fn no_longer_needed(repository: &dyn Repository, run: &RunId) -> Result<()> {
    repository.remove_record(NEED, run.as_str())
}

/// What runs may still need.
///
/// # Errors
/// When the list cannot be had, or a need cannot be understood.
pub fn needs(repository: &dyn Repository) -> Result<BTreeMap<RunId, Need>> {
    repository.records(NEED)?.iter().map(|record| Ok((RunId(record.name.clone()), parse(record, NEED)?))).collect()
}

/// Protects a set from every rule.
///
/// # Errors
/// When the repository cannot be written.
pub fn protect(repository: &dyn Repository, set: &SetId, protection: &Protection) -> Result<()> {
    repository.put_record(PROTECTION, set.as_str(), &bytes(protection)?)
}

/// Ends a protection. It is no error when there is none.
///
/// # Errors
/// When the repository cannot be written.
pub fn unprotect(repository: &dyn Repository, set: &SetId) -> Result<()> {
    repository.remove_record(PROTECTION, set.as_str())
}

/// The protected sets.
///
/// # Errors
/// When the list cannot be had, or a protection cannot be understood.
pub fn protections(repository: &dyn Repository) -> Result<BTreeMap<SetId, Protection>> {
    repository.records(PROTECTION)?.iter().map(|record| Ok((SetId(record.name.clone()), parse(record, PROTECTION)?))).collect()
}

/// What a record of one of these kinds says.
///
/// # Errors
/// [`crate::Class::Refused`] when a newer version wrote it in another way.
pub fn parse<T: DeserializeOwned>(record: &Record, kind: &str) -> Result<T> {
    serde_json::from_slice(&record.bytes).map_err(|error| {
        Error::refused(format!("understand the record {kind}/{}", record.name))
            .because(error)
            .hint("Use the version of threescale-backup that wrote it, or a newer one.")
    })
}

fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::failed("failed to write a record").because(error))
}
