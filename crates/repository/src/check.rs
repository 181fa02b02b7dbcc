//! Checks the repository and says which sets are damaged.
//!
//! Changes nothing. Every file is named after the SHA-256 of its content, so a flipped bit anywhere is seen when the file is read: keys, snapshots and index
//! always, packs with [`ReadData`].

mod data;
mod structure;

use jiff::Timestamp;
use plan::Result;
use plan::ids::{DataSetName, SetId};
use plan::ports::{StopFlag, Watch};

use crate::engine::Open;

/// How much of the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: only the structure is checked, and that every pack is there with the right size.
    #[default]
    Nothing,
    /// About this share of it, chosen anew each time: 0 to 100.
    Percent(f64),
    /// All.
    All,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetReport {
    /// The set.
    pub set: SetId,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// What is damaged in it, by data set; `None` is the manifest itself. Empty: it is whole.
    pub problems: Vec<(Option<DataSetName>, String)>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// All sets, oldest first.
    pub sets: Vec<SetReport>,
    /// Damage of the repository, whether a set needs the place or not.
    pub problems: Vec<String>,
    /// No damage, but good to know: leftovers of interrupted backups.
    pub notes: Vec<String>,
    /// Packs in the repository.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs whose content was read and verified.
    pub packs_read: u64,
    /// Their bytes.
    pub read_bytes: u64,
}

impl CheckReport {
    /// Whether everything is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.sets.iter().all(|set| set.problems.is_empty())
    }
}

/// See [`crate::RusticRepository::check`].
///
/// # Errors
/// See there.
pub fn check(open: &Open, read_data: ReadData, stop: &StopFlag, watch: &dyn Watch) -> Result<CheckReport> {
    let open = &open.afresh()?;
    let mut report = CheckReport::default();
    let packs = structure::check_files(open, stop, &mut report)?;
    let users = structure::check_sets(open, &packs, stop, watch, &mut report)?;
    if read_data != ReadData::Nothing {
        data::check_packs(open, &packs, &users, read_data, stop, watch, &mut report)?;
    }
    Ok(report)
}
