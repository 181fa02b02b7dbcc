//! Keys of a live store that are set right while everybody goes on, and put back.

use super::{Context, KeyChange, Problem};
use crate::Result;

/// What a key has, as the store itself writes it down.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// As `DUMP` gives it. It may hold a credential.
    pub payload: Vec<u8>,
    /// When it expires, milliseconds since the epoch.
    pub expires_ms: Option<u64>,
}

/// A key that is set right, with what it had before.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRepair {
    /// The key. It may hold a credential.
    pub key: Vec<u8>,
    /// What may be shown of whom it is about.
    pub about: String,
    /// What is done to it, in this order.
    pub changes: Vec<KeyChange>,
    /// What it had when it was looked at; `None` when there was no such key.
    pub was: Option<KeyValue>,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was changed, all or nothing.
    Done,
    /// It was so before.
    WasSo,
    /// Somebody changed it since it was looked at: it stays as it is.
    Changed,
}

/// Tells what keys have.
pub trait LooksAtKeys {
    /// What these keys have, in this order.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn values(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<KeyValue>>>;
}

/// Sets keys right, each only if it still is what was looked at. No call reads or changes another key than those that it names.
pub trait KeyRepairs: Send + Sync {
    /// What the user lacks for it. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn lacks(&self, context: &Context) -> Result<Option<Problem>>;

    /// Somebody who tells what keys of a logical database have, as often as he is asked.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn looks_at(&self, context: &Context, database: &str) -> Result<Box<dyn LooksAtKeys>>;

    /// Makes the changes, key by key, and waits until the store has written down what it did.
    ///
    /// # Errors
    /// When the store cannot be asked, or refuses. Those before are made.
    fn make(&self, context: &Context, database: &str, repairs: &[KeyRepair]) -> Result<Vec<Fate>>;

    /// Gives each key what it had, if it still is as [`Self::make`] left it.
    ///
    /// # Errors
    /// As [`Self::make`].
    fn take_back(&self, context: &Context, database: &str, repairs: &[KeyRepair]) -> Result<Vec<Fate>>;
}
