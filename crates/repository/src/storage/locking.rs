//! Storages that can lock what they hold against everybody, for a time.

use jiff::Timestamp;
use rustic_core::RusticResult;

use crate::object_lock::{Mode, ObjectLock};

/// How an object is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There is no such object, or a delete marker hides it.
    Gone,
    /// Nothing locks it.
    Free,
    /// Until when, by the service's clock; that may be over.
    Locked(Mode, Timestamp),
}

/// See the module. Paths begin at the repository's root.
pub trait LocksObjects: Send + Sync {
    /// How what is written is locked.
    fn wanted(&self) -> ObjectLock;

    /// What time it is, by the service's clock: with a wrong one of this machine an object would be locked for too short, or for years.
    ///
    /// # Errors
    /// When the place cannot lock objects, does not say so, or the clocks are too far apart.
    fn now(&self) -> RusticResult<Timestamp>;

    /// How an object is locked.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn found(&self, path: &str) -> RusticResult<Found>;

    /// Locks an object, or locks it for longer. `false`: it is not there.
    ///
    /// # Errors
    /// When it cannot be locked: the credentials may not, or it would change the mode of what is locked.
    fn lock(&self, path: &str, mode: Mode, until: Timestamp) -> RusticResult<bool>;
}
