//! The manifest of a set: written last, and the only thing that makes a set exist. Its format is documented in `docs/set-format.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::ids::{DataSetName, RunId, SetId, SnapshotId};
use crate::ports::{Problem, StoreKind};
use crate::{Error, InstallationId, Restorable, Result};

/// The manifest format that this program writes: `major.minor`.
pub const FORMAT: &str = "2.0";

/// By how much the clocks of two machines may differ.
const CLOCKS_DIFFER_SECONDS: i64 = 300;

/// Whether a time is further ahead than clocks may differ: then a clock was wrong, and the time says nothing.
#[must_use]
pub fn is_in_the_future(then: Timestamp, now: Timestamp) -> bool {
    then.as_second().saturating_sub(now.as_second()) > CLOCKS_DIFFER_SECONDS
}

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
    /// Whose set it is; absent in sets of format 1 (release 0.1.0), which have no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<InstallationId>,
    /// The release of 3scale that the installation was ([`crate::release`]), where it could be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The newest migration that its system database had had, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_migration: Option<String>,
    /// The data sets that the installation has and the set lacks, each with the reason.
    #[serde(default)]
    pub left_out: BTreeMap<DataSetName, String>,
    /// The data sets that the installation was declared not to have: nothing is missing without them.
    #[serde(default)]
    pub absent: Vec<DataSetName>,
    /// How far System, Backend and the files of the set agree (`docs/verify.md`); absent where it was not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// The data sets, in the order of [`DataSetName`].
    pub data_sets: BTreeMap<DataSetName, KeptDataSet>,
}

/// Differences between the stores of a set, by rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Backend lets in what System does not know.
    pub security: u64,
    /// Customers' data that one side lacks, or will.
    pub loss: u64,
    /// Configuration that differs.
    pub drift: u64,
    /// What normal life leaves behind.
    pub note: u64,
}

impl Agreement {
    /// `2 security, 1 drift`; `None` when nothing differs but what normal life leaves behind.
    #[must_use]
    pub fn differences(self) -> Option<String> {
        let ranks = [(self.security, "security"), (self.loss, "loss"), (self.drift, "drift")];
        let told: Vec<_> = ranks.into_iter().filter(|(count, _)| *count > 0).map(|(count, rank)| format!("{count} {rank}")).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }
}

/// One data set of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDataSet {
    /// Its snapshot in the repository.
    pub snapshot: SnapshotId,
    /// Kind of store.
    pub kind: StoreKind,
    /// Store and version as found: `MySQL 9.7.0`.
    pub store: String,
    /// What told the store from others ([`crate::ports::Findings::identity`]), where one could be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
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
    /// What of it will not go back, or not as it was ([`crate::ports::Verdict::problems`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
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

    /// Whether nothing of the installation is missing in it. A safety copy is of some data sets only, and is never a whole set.
    ///
    /// Sets of format 1 do not say what the installation had: those with all stores are whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let is_old = self.installation.is_none() && self.left_out.is_empty();
        let has_all = || DataSetName::STORES.iter().all(|name| self.data_sets.contains_key(name) || self.absent.contains(name));
        self.safety_for.is_none() && self.left_out.is_empty() && (!is_old || has_all())
    }

    /// How many data sets the installation had when the set was taken.
    #[must_use]
    pub fn data_sets_expected(&self) -> usize {
        if self.installation.is_none() && self.left_out.is_empty() {
            return self.data_sets.len().max(DataSetName::STORES.iter().filter(|name| !self.absent.contains(name)).count());
        }
        self.data_sets.len() + self.left_out.len()
    }

    /// The data sets that the installation had and the set lacks, each with the reason. Sets of format 1 do not say what the installation had: all stores.
    #[must_use]
    pub fn missing(&self) -> BTreeMap<DataSetName, String> {
        if self.safety_for.is_some() || self.installation.is_some() || !self.left_out.is_empty() {
            return self.left_out.clone();
        }
        let is_missing = |name: &DataSetName| !self.data_sets.contains_key(name) && !self.absent.contains(name);
        let why = || format!("release {} does not say why", self.program_version);
        DataSetName::STORES.into_iter().filter(is_missing).map(|name| (name, why())).collect()
    }

    /// How much of the installation is in it, for people: `5/5`, `4/5 without zync-database`; of a safety copy, what it is of.
    #[must_use]
    pub fn extent(&self) -> String {
        let names = |names: Vec<&DataSetName>| names.into_iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        if self.safety_for.is_some() {
            return names(self.data_sets.keys().collect());
        }
        let missing = self.missing();
        let without = if missing.is_empty() { String::new() } else { format!(" without {}", names(missing.keys().collect())) };
        format!("{}/{}{without}", self.data_sets.len(), self.data_sets_expected())
    }

    /// Whether it can go back, as the backup could tell; `None` for a set of format 1 (release 0.1.0), which does not say it.
    #[must_use]
    pub fn restorable(&self) -> Option<Restorable> {
        (self.major() != Some(1)).then(|| Restorable::of(self.problems().map(|(_, problem)| problem)))
    }

    /// What of its data sets will not go back, or not as it was.
    pub fn problems(&self) -> impl Iterator<Item = (DataSetName, &Problem)> {
        self.data_sets.iter().flat_map(|(name, kept)| kept.problems.iter().map(|problem| (*name, problem)))
    }

    /// Whether it was finished in the future, by more than clocks may differ: then a clock was wrong, and its time says nothing.
    #[must_use]
    pub fn is_ahead_of(&self, now: Timestamp) -> bool {
        is_in_the_future(self.finished_at, now)
    }

    /// Refuses a manifest of a newer major format.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when the format is not one that this program reads.
    pub fn check_format(&self) -> Result<()> {
        if self.major().is_some_and(|found| Some(found) <= major(FORMAT)) {
            return Ok(());
        }
        Err(Error::refused(format!("set {} has manifest format {}, this program reads {FORMAT}", self.set, self.format))
            .hint("Use the version of threescale-backup that took the set, or a newer one."))
    }

    fn major(&self) -> Option<u32> {
        major(&self.format)
    }
}

fn major(format: &str) -> Option<u32> {
    format.split('.').next().and_then(|text| text.parse().ok())
}
