//! Where the bytes of a repository are: a folder or an S3 service.
//!
//! The engine's own backends log errors of a listing and go on with what they have; a prune that believes such a listing deletes everything. These do
//! not: a listing is whole or an error.

mod folder;
mod gate;
mod s3;
mod segments;
mod trusted;

use std::fs::File;
use std::sync::Arc;

pub use folder::Folder;
pub use gate::Gate;
use plan::error::During as _;
use rustic_core::WriteBackend;
pub use segments::Segments;
pub use trusted::Trusted;

use crate::location::Location;

/// The strict backend of a location.
///
/// # Errors
/// When the S3 client cannot be made.
pub fn at(location: &Location) -> plan::Result<Arc<dyn WriteBackend>> {
    Ok(match location {
        Location::Folder(path) => Arc::new(Folder::new(path.clone())),
        Location::S3(s3) => Arc::new(s3::Bucket::new(s3)?),
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
