//! Keys of a set that go into a live key-value store which stays: no more is replaced than these keys, and nobody stops writing to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Context, Place, Problem, Snapshot};
use crate::Result;
use crate::manifest::KeptDataSet;

/// Which keys go, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merging {
    /// Classes of keys, as `inspect` calls them.
    pub classes: Vec<String>,
    /// Only keys of these services; of all where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// What becomes of counters of traffic.
    pub counts: Counts,
}

/// What a counter of traffic becomes, of what the set has and what is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// The larger one.
    #[default]
    Max,
    /// What the set has. What is counted meanwhile is added.
    Set,
    /// Both together.
    Add,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Max => "max",
            Self::Set => "set",
            Self::Add => "add",
        })
    }
}

/// What becomes, or became, of the keys of one class in one logical database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MergedClass {
    /// The class.
    pub class: String,
    /// The database's label in the set.
    pub database: String,
    /// Keys of the set that were asked for.
    pub keys: u64,
    /// Bytes of these keys and their values, as the set has them.
    pub bytes: u64,
    /// Those of which there is no live one.
    pub new: u64,
    /// Those whose live one changes.
    pub changed: u64,
    /// Those whose live one has all of it already.
    pub equal: u64,
    /// What does not go, by the reason: keys, and members or entries of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left: BTreeMap<String, u64>,
    /// The largest key, and its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<(String, u64)>,
}

/// What would become of the keys.
#[derive(Debug, Clone, Default)]
pub struct Foreseen {
    /// By database and class.
    pub classes: Vec<MergedClass>,
    /// What stands in the way.
    pub problems: Vec<Problem>,
}

/// Ids that must not be given again, and the largest that is known of each: by the key of the counter.
pub type GivenIds = BTreeMap<String, u64>;

/// A store whose keys can go back alone. Each key changes in one moment, whoever writes to it meanwhile, and what it takes to take that back is kept at a place that was
/// reserved beside the live data.
pub trait MergesKeys: Send + Sync {
    /// Counts what would become of the keys, and says what stands in the way. Changes nothing.
    ///
    /// # Errors
    /// When the set or the store cannot be read.
    fn foresee(
        &self,
        context: &Context,
        snapshot: &Arc<dyn Snapshot>,
        kept: &KeptDataSet,
        merging: &Merging,
        ids: &GivenIds,
    ) -> Result<Foreseen>;

    /// Puts the keys into the live data. Called again after a crash it goes on: nothing is added twice.
    ///
    /// # Errors
    /// When the set or the store cannot be read or written; [`crate::Class::NeedsPerson`] when the place is another's, or lost.
    fn merge(
        &self,
        context: &Context,
        place: &Place,
        snapshot: &Arc<dyn Snapshot>,
        kept: &KeptDataSet,
        merging: &Merging,
        ids: &GivenIds,
    ) -> Result<Vec<MergedClass>>;

    /// Takes out of the live data what [`MergesKeys::merge`] put in, and drops what was kept for that; what was counted or written since stays, and is told.
    ///
    /// # Errors
    /// As [`MergesKeys::merge`]. Called again it goes on.
    fn take_back(&self, context: &Context, place: &Place) -> Result<()>;
}
