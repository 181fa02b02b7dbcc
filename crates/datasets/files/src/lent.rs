//! Folders that their owner may not list or enter and files that he may not read, opened by his right to change that while a proof reads them, and closed
//! at its end.
//!
//! A crash in between leaves them open: the next proof then sees another mode, and does not pass.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beneath::{Tree, grant_owner, identity, open_by_owner, open_folder, set_mode, stat_entry};
use rustix::fs::Stat;
use rustix::io::Errno;

/// How many at most: they are remembered.
const LENT_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lent(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    folders: Vec<(PathBuf, u64, u32)>,
    /// Files with several names, by device and inode: readers meet them at the same time under two of those, so they stay open until all are read.
    files: BTreeMap<(u64, u64), (PathBuf, u32)>,
}

impl Lent {
    /// Opens a folder that could not be opened; gives the mode that it has.
    pub(crate) fn open(&self, path: &Path, at: impl AsFd, name: &OsStr) -> io::Result<(OwnedFd, u32)> {
        let stat = stat_entry(&at, name)?.ok_or(Errno::NOENT)?;
        let mode = stat.st_mode & 0o7777;
        let mut state = self.state();
        state.is_within_limit()?;
        state.folders.push((path.to_owned(), stat.st_ino, mode));
        drop(state);
        grant_owner(&at, name)?;
        Ok((open_folder(&at, name)?, mode))
    }

    /// Opens a file that its owner could not read.
    pub(crate) fn open_file(&self, path: &Path, at: impl AsFd, name: &OsStr) -> io::Result<File> {
        let mut state = self.state();
        let (file, stat) = open_by_owner(&at, name, |stat| stat.st_nlink == 1)?;
        if stat.st_nlink > 1 && !state.files.contains_key(&identity(&stat)) {
            state.files.insert(identity(&stat), (path.to_owned(), stat.st_mode & 0o7777));
            state.is_within_limit()?;
        }
        Ok(File::from(file))
    }

    /// The mode of a file as it is when nothing is lent.
    pub(crate) fn mode_of(&self, stat: &Stat) -> u32 {
        let own = stat.st_mode & 0o7777;
        if stat.st_nlink > 1 { self.state().files.get(&identity(stat)).map_or(own, |(_, mode)| *mode) } else { own }
    }

    /// Closes them, those deeper down first. What cannot be closed has another mode than the set says, which the next proof tells.
    pub(crate) fn give_back(&self, tree: &Tree) {
        let State { folders, files } = std::mem::take(&mut *self.state());
        let files = files.into_iter().map(|((_, inode), (path, mode))| (path, inode, mode));
        for (path, inode, mode) in files.chain(folders.into_iter().rev()) {
            tree.parent(&path).and_then(|(folder, name)| set_mode(folder, name, inode, mode)).ok();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_within_limit(&self) -> io::Result<()> {
        if self.folders.len() + self.files.len() >= LENT_MAX {
            return Err(io::Error::other(format!("more than {LENT_MAX} folders and files with several names are closed to their owner")));
        }
        Ok(())
    }
}
