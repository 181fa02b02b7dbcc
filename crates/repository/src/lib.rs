//! KEEPS: sets in a repository of restic's format.
//!
//! The only crate that names the repository engine (`rustic_core`) and `object_store`. The engine drops what fails with a line in a log and says `Ok`;
//! nothing in this crate trusts that: what was given to it is counted, read back and compared before a snapshot is written, a set exists only when its
//! manifest is, and a listing is whole or an error. No file is ever written outside the repository, and no password gets into an error or a log.

mod check;
mod copy;
mod document;
mod engine;
mod fault;
mod forget;
mod index;
mod init;
mod keys;
mod location;
mod lock;
mod object_lock;
mod pace;
mod parallel;
mod passwords;
mod prune;
mod read;
mod records;
mod repair;
mod repository;
mod retention;
mod seal;
mod sets;
mod sink;
mod small;
mod snapshots;
mod storage;

pub use check::{CheckReport, ReadData, SetReport};
pub use copy::{Carried, SetCopy};
pub use forget::{ForgetOptions, ForgetReport, JudgedSet, Whose};
pub use location::{Location, S3};
pub use object_lock::{LockReport, Mode, ObjectLock};
pub use pace::{Limits, limit};
pub use passwords::KeyFile;
pub use prune::{PruneReport, Space};
pub use repair::RepairReport;
pub use repository::{BACKUP_HOURS_MAX, RusticRepository};
pub use retention::Retention;
