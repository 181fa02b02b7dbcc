//! The manifest of a set: written last, and the only thing that makes a set exist. Its format is documented in `docs/set-format.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::ids::{DataSetName, RunId, SetId, SnapshotId};
use crate::{Error, Result};

/// The manifest format that this program writes: `major.minor`.
pub const FORMAT: &str = "1.0";

/// One set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `major.minor`; a newer major is refused, a newer minor is read.
    pub format: String,
    /// The set.
    pub set: SetId,
    /// Version of the program that took it.
    pub program_version: String,
    /// Host that took it.
    pub host: String,
    /// When the backup began.
    pub started_at: Timestamp,
    /// When the manifest was made.
    pub finished_at: Timestamp,
    /// Whether the writers were stopped while the set was taken.
    pub frozen: bool,
    /// Set when this is a safety copy: the run that was about to replace the live data in place.
    pub safety_for: Option<RunId>,
    /// The data sets, in the order of [`DataSetName`].
    pub data_sets: BTreeMap<DataSetName, KeptDataSet>,
}

/// One data set of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDataSet {
    /// Its snapshot in the repository.
    pub snapshot: SnapshotId,
    /// Kind of store: `mysql`, `mariadb`, `postgresql`, `redis`, `files`.
    pub kind: String,
    /// Store and version as found: `MySQL 9.7.0`.
    pub store: String,
    /// When its dump began.
    pub started_at: Timestamp,
    /// The instant of the consistent view: the data is as it was then. For files, when the walk ended.
    pub consistent_at: Timestamp,
    /// When its dump ended.
    pub finished_at: Timestamp,
    /// Parts with content.
    pub parts: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Bytes new to the repository.
    pub stored_bytes: u64,
    /// What was counted while the data passed; what a proof compares with.
    pub evidence: Evidence,
}

impl Manifest {
    /// Bytes of all data sets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.data_sets.values().map(|kept| kept.bytes).sum()
    }

    /// Bytes that this set added to the repository.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.data_sets.values().map(|kept| kept.stored_bytes).sum()
    }

    /// Skew between the stores: milliseconds from the earliest to the latest consistent view.
    #[must_use]
    pub fn skew_ms(&self) -> u64 {
        let instants = || self.data_sets.values().map(|kept| kept.consistent_at.as_millisecond());
        let skew = instants().max().unwrap_or(0) - instants().min().unwrap_or(0);
        u64::try_from(skew).unwrap_or(0)
    }

    /// Refuses a manifest of a newer major format.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when the format is not one that this program reads.
    pub fn check_format(&self) -> Result<()> {
        let major = |format: &str| format.split('.').next().and_then(|text| text.parse::<u32>().ok());
        if major(&self.format).is_some_and(|found| Some(found) <= major(FORMAT)) {
            return Ok(());
        }
        Err(Error::refused(format!("set {} has manifest format {}, this program reads {FORMAT}", self.set, self.format))
            .hint("Use the version of threescale-backup that took the set, or a newer one."))
    }
}
