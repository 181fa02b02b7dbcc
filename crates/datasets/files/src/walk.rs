//! Walks a tree in the order of restic's trees: the entries of a folder sorted by the bytes of their names, a folder right before what is in it.
//! Keeps one folder open at a time and the names of the folders on the way; never looks at files.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, FileType, Stat, accessat, fstat};

use crate::hook::{Hook, Moment};
use crate::lent::Lent;
use beneath::{Names, Tree, identity, open_folder, stat_entry};

/// The program's own folder at the root of a tree: never part of the data.
pub(crate) const OWN_FOLDER: &str = ".threescale-backup";

/// Something found.
pub(crate) struct Found {
    /// Path relative to the root.
    pub(crate) path: PathBuf,
    /// The folder that it is in.
    pub(crate) folder: Arc<OwnedFd>,
    /// Its name there.
    pub(crate) name: OsString,
    /// What it was when the folder was listed.
    pub(crate) kind: FileType,
    /// For folders: the folder itself.
    pub(crate) opened: Option<OwnedFd>,
    /// The mode of a folder that was opened by its owner's right.
    pub(crate) lent_mode: Option<u32>,
}

/// What could not be looked at.
#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

struct Frame {
    path: PathBuf,
    names: Names,
    /// Dropped while the walk is deeper, and opened again by its path: a deep tree does not use up the file descriptors.
    folder: Option<Arc<OwnedFd>>,
    identity: (u64, u64),
}

/// The walk.
pub(crate) struct Walk {
    tree: Arc<Tree>,
    hook: Hook,
    lent: Option<Lent>,
    frames: Vec<Frame>,
    failed: Option<Missed>,
}

impl Walk {
    /// Begins at the root of the tree, which is not itself yielded.
    pub(crate) fn new(tree: Arc<Tree>, hook: Hook) -> Self {
        let mut walk = Self { tree, hook, lent: None, frames: Vec::new(), failed: None };
        let root = walk.tree.folder(Path::new("")).and_then(|folder| walk.enter(PathBuf::new(), folder));
        walk.failed = root.err().map(|error| Missed { path: PathBuf::new(), error });
        walk
    }

    /// Opens folders that their owner may not list, by his right to change that.
    pub(crate) fn lending(self, lent: Option<Lent>) -> Self {
        Self { lent, ..self }
    }

    fn enter(&mut self, path: PathBuf, folder: OwnedFd) -> io::Result<()> {
        let stat = fstat(&folder)?;
        let names = Names::read(&folder)?;
        self.hook.at(Moment::Listed, &path)?;
        if let Some(parent) = self.frames.last_mut() {
            parent.folder = None;
        }
        self.frames.push(Frame { path, names, folder: Some(Arc::new(folder)), identity: identity(&stat) });
        Ok(())
    }

    fn top_folder(&mut self) -> io::Result<Arc<OwnedFd>> {
        let frame = self.frames.last_mut().ok_or(io::ErrorKind::NotFound)?;
        if let Some(folder) = &frame.folder {
            return Ok(Arc::clone(folder));
        }
        let folder = self.tree.folder(&frame.path)?;
        if identity(&fstat(&folder)?) != frame.identity {
            return Err(io::Error::from(rustix::io::Errno::NOENT));
        }
        let folder = Arc::new(folder);
        frame.folder = Some(Arc::clone(&folder));
        Ok(folder)
    }

    /// A folder that can be listed but not entered counts as closed too: nothing in it can be looked at.
    fn open(&self, found: &Found) -> io::Result<(OwnedFd, Option<u32>)> {
        let opened = open_folder(&*found.folder, &found.name);
        let Some(lent) = &self.lent else { return Ok((opened?, None)) };
        match opened {
            Ok(opened) if accessat(&opened, ".", Access::EXEC_OK, AtFlags::EACCESS).is_ok() => Ok((opened, None)),
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
            _ => lent.open(&found.path, &*found.folder, &found.name).map(|(opened, mode)| (opened, Some(mode))),
        }
    }

    fn find(&mut self, path: &Path, name: OsString, kind: FileType) -> io::Result<Option<Found>> {
        let folder = self.top_folder()?;
        let kind = if kind == FileType::Unknown {
            stat_entry(&*folder, &name)?.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
        } else {
            kind
        };
        if self.frames.len() == 1 && kind == FileType::Directory && is_not_data(&name, &stat_entry(&*folder, &name)?) {
            return Ok(None);
        }
        let mut found = Found { path: path.to_owned(), folder, name, kind, opened: None, lent_mode: None };
        if kind == FileType::Directory {
            let (opened, lent_mode) = self.open(&found)?;
            found.lent_mode = lent_mode;
            found.opened = Some(opened.try_clone()?);
            self.enter(found.path.clone(), opened)?;
        }
        Ok(Some(found))
    }
}

/// Whether a folder at the root is not part of the data: the program's own, and the `lost+found` of ext file systems (root's, mode 0700), which is
/// on every freshly made volume and which an application can neither read nor write.
pub(crate) fn is_not_data(name: &OsStr, stat: &Option<Stat>) -> bool {
    name == OWN_FOLDER || (name == "lost+found" && stat.as_ref().is_some_and(|stat| stat.st_uid == 0 && stat.st_mode & 0o7777 == 0o700))
}

/// Names at the root of a tree that are data.
pub(crate) fn data_names(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for (name, kind) in Names::read(&folder)? {
        let maybe_folder = kind == FileType::Directory || kind == FileType::Unknown;
        if !(maybe_folder && is_not_data(&name, &stat_entry(&folder, &name)?)) {
            names.push(name);
        }
    }
    Ok(names)
}

impl Iterator for Walk {
    type Item = Result<Found, Missed>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(missed) = self.failed.take() {
            return Some(Err(missed));
        }
        loop {
            let frame = self.frames.last_mut()?;
            let Some((name, kind)) = frame.names.next() else {
                self.frames.pop();
                continue;
            };
            let path = frame.path.join(&name);
            match self.find(&path, name, kind) {
                Ok(Some(found)) => return Some(Ok(found)),
                Ok(None) => {}
                Err(error) => return Some(Err(Missed { path, error })),
            }
        }
    }
}
