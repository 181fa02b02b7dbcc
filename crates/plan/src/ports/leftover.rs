//! What a run holds or leaves in a store: locks, side copies, previous data, marks.

use serde::{Deserialize, Serialize};

use crate::InstallationId;

/// A lock that is held until it is dropped.
pub trait Held: Send {
    /// Whether it is still held, as far as that can be known without waiting.
    fn is_held(&self) -> bool;
}

/// Something that a run left in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is and where, for people: `schema system_before_01jd…`.
    pub what: String,
    /// The run, or the end of its id where names are short.
    pub run: String,
    /// The installation that the mark names, when it names one.
    pub installation: Option<InstallationId>,
    /// What became of the data in it, as far as the store can tell.
    pub holds: Holds,
    /// Approximate bytes, where cheap to know.
    pub bytes: Option<u64>,
    /// For [`DataSet::remove_leftover`]; only the data set that made it reads it.
    pub handle: serde_json::Value,
}

impl Leftover {
    /// Whether it is left by this run, whose id may be cut where names are short.
    #[must_use]
    pub fn is_by(&self, run: &str) -> bool {
        !self.run.is_empty() && (run == self.run || run.ends_with(&self.run))
    }
}

/// What a [`Leftover`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// A staged copy of a set: can be made again.
    Staged,
    /// Data that was live before a cut-over: there may be no other copy of it.
    Previous,
    /// A mark, without data.
    Mark,
    /// It cannot be told.
    Unknown,
    /// No data and no mark: a helper of the run, as a pod beside the store.
    Nothing,
}
