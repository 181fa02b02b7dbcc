//! What copies into other repositories brought there, kept in the repository that they were made from, so that everybody sees how far behind a second copy is.

use jiff::Timestamp;
use plan::digest::MultisetDigest;
use plan::ids::SetId;
use plan::needs::parse;
use plan::ports::Repository;
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

/// Kind of the records: one for each other repository and each installation.
const COPIED: &str = "copied";

/// What is in another repository of an installation's sets, when the last copy into it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copied {
    /// The name of its section in the configuration; none of a folder that was named on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<String>,
    /// Where it is, without secrets.
    pub(crate) repository: String,
    /// The installation's name; empty for sets that have none.
    pub(crate) installation: String,
    /// The machine that copied.
    pub(crate) host: String,
    /// The version of the program.
    pub(crate) program_version: String,
    /// When it ended.
    pub(crate) finished_at: Timestamp,
    /// Whole sets of the installation that were there then.
    pub(crate) sets: u64,
    /// The newest of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<SetId>,
    /// When its backup began: what is younger is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest_started_at: Option<Timestamp>,
    /// Sets that were to be copied, and were not: damaged here.
    #[serde(default)]
    pub(crate) not_copied: u64,
}

impl Copied {
    /// What people call the other repository.
    pub(crate) fn called(&self) -> &str {
        self.copy.as_deref().unwrap_or(&self.repository)
    }

    /// Names of installations and places may have any characters; a record's may not.
    fn record_name(&self) -> String {
        let mut digest = MultisetDigest::default();
        digest.add(
            format!("{}\0{}", self.installation, self.copy.as_deref().map_or_else(|| format!("at {}", self.repository), str::to_owned))
                .as_bytes(),
        );
        digest.to_string()
    }
}

/// Keeps it, in place of what was said of that repository and installation before.
///
/// # Errors
/// When the repository cannot be written.
pub(crate) fn keep(repository: &dyn Repository, copied: &Copied) -> Result<()> {
    let bytes = serde_json::to_vec(copied).map_err(|error| Error::failed("failed to write what was copied").because(error))?;
    repository.put_record(COPIED, &copied.record_name(), &bytes)
}

/// What is known of an installation's sets in other repositories, the newest word last.
///
/// One that cannot be understood, of a newer version, says nothing, and hides no other.
///
/// # Errors
/// When the list cannot be had.
pub(crate) fn copies(repository: &dyn Repository, installation: &str) -> Result<Vec<Copied>> {
    let mut copies: Vec<Copied> = repository.records(COPIED)?.iter().filter_map(|record| parse(record, COPIED).ok()).collect();
    copies.retain(|copied| copied.installation == installation);
    copies.sort_by_key(|copied| copied.finished_at);
    Ok(copies)
}
