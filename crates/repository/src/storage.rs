//! Where the bytes of a repository are: a folder or an S3 service.
//!
//! The engine's own backends log errors of a listing and go on with what they have; a prune that believes such a listing deletes everything. These do
//! not: a listing is whole or an error.

mod folder;
mod gate;
mod locking;
mod paced;
mod s3;
mod segments;
mod trusted;

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
pub use folder::Folder;
pub use gate::Gate;
use jiff::Timestamp;
pub use locking::{Found, LocksObjects};
use paced::Paced;
use plan::error::During as _;
use rustic_core::{RusticResult, WriteBackend};
pub use segments::Segments;
pub use trusted::Trusted;

use crate::location::Location;
use crate::pace;

/// A file of the repository, as the storage sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where, from the repository's root: `locks/5d…`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the storage's own clock.
    pub modified: Timestamp,
}

/// What the engine's backends do not know of: locks, temporary files, and the storage's clock. Paths begin at the repository's root.
pub trait Storage: WriteBackend {
    /// Every file in a folder of the repository and below, whatever it is; `None` for the whole repository.
    ///
    /// # Errors
    /// When the list cannot be had whole.
    fn survey(&self, folder: Option<&str>) -> RusticResult<Vec<Seen>>;

    /// The content of a file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn read_at(&self, path: &str) -> RusticResult<Bytes>;

    /// Writes a file: it is there whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write_at(&self, path: &str, content: Vec<u8>) -> RusticResult<()>;

    /// Removes a file. It is no error when there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_at(&self, path: &str) -> RusticResult<()>;

    /// What locks objects here, where that is asked for.
    fn object_lock(&self) -> Option<Box<dyn LocksObjects + '_>> {
        None
    }
}

/// The strict backend of a location.
///
/// # Errors
/// When the S3 client cannot be made.
pub fn at(location: &Location) -> plan::Result<Arc<dyn Storage>> {
    let storage: Arc<dyn Storage> = match location {
        Location::Folder(path) => Arc::new(Folder::new(path.clone())),
        Location::S3(s3) => Arc::new(s3::Bucket::new(s3)?),
    };
    Ok(match pace::paces().filter(|paces| paces.upload.is_some() || paces.download.is_some()) {
        Some(paces) => Arc::new(Paced::new(storage, paces)),
        None => storage,
    })
}

/// Waits until nobody else makes a repository in this folder, and keeps others from it until the answer is dropped. A bucket has no turns.
///
/// # Errors
/// When the folder cannot be made.
pub fn turn(location: &Location) -> plan::Result<Option<File>> {
    let Location::Folder(path) = location else { return Ok(None) };
    let open = || {
        std::fs::create_dir_all(path)?;
        File::open(path)
    };
    let folder = open().during(|| format!("make the folder {}", path.display()))?;
    // A file system without locks: `config` is still made by one only.
    Ok(folder.lock().is_ok().then_some(folder))
}

/// Moves a file, by its path in the repository, to the same path below `damaged`, where no program looks for it.
///
/// # Errors
/// When it cannot be moved.
pub fn set_aside(location: &Location, path: &str) -> plan::Result<()> {
    match location {
        Location::Folder(root) => folder::set_aside(root, path).during(|| format!("set {path} aside")),
        Location::S3(s3) => s3::Bucket::new(s3)?.set_aside(path).during(|| format!("set {path} aside")),
    }
}

/// Hands every method of a backend that a wrapper does not change to the inner one.
macro_rules! read_through {
    () => {
        fn location(&self) -> String {
            self.inner.location()
        }
        fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
            self.inner.warmup_path(tpe, id)
        }
        fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
            self.inner.read_full(tpe, id)
        }
    };
}
pub(crate) use read_through;
