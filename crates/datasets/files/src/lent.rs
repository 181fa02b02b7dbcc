//! Folders that their owner may not list or enter, opened by his right to change that while a proof reads them, and closed at its end.
//!
//! A crash in between leaves them open: the next proof then sees another mode, and does not pass.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use beneath::{Tree, grant_owner, open_folder, set_folder_mode, stat_entry};
use rustix::io::Errno;

/// How many at most: they are remembered.
const FOLDERS_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lent(Arc<Mutex<Vec<(PathBuf, u64, u32)>>>);

impl Lent {
    /// Opens a folder that could not be opened; gives the mode that it has.
    pub(crate) fn open(&self, path: &Path, at: impl AsFd, name: &OsStr) -> io::Result<(OwnedFd, u32)> {
        let stat = stat_entry(&at, name)?.ok_or(Errno::NOENT)?;
        let mode = stat.st_mode & 0o7777;
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lent.len() >= FOLDERS_MAX {
            return Err(io::Error::other(format!("more than {FOLDERS_MAX} folders are closed to their owner")));
        }
        lent.push((path.to_owned(), stat.st_ino, mode));
        drop(lent);
        grant_owner(&at, name)?;
        Ok((open_folder(&at, name)?, mode))
    }

    /// Closes them, those deeper down first. What cannot be closed has another mode than the set says, which the next proof tells.
    pub(crate) fn give_back(&self, tree: &Tree) {
        for (path, inode, mode) in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).rev() {
            tree.parent(&path).and_then(|(folder, name)| set_folder_mode(folder, name, inode, mode)).ok();
        }
    }
}
