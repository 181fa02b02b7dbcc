//! Makes entries of a snapshot beneath a folder: each is new, in a folder that was reached without following a link.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use plan::ports::{Entry, EntryKind, Meta, Snapshot};
use plan::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;

use crate::folders::Folders;
use crate::metadata::{Unset, write_meta, write_meta_at};
use crate::tree::Tree;
use crate::write::{NewFile, fill};

/// Content up to this size is read whole.
pub const LARGE_BYTES: u64 = 8 << 20;
/// Larger content is copied in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Hears of bytes that were written; its error ends the work.
pub type Meter<'m> = dyn Fn(u64) -> Result<()> + 'm;

/// Why an entry could not be made.
#[derive(Debug)]
pub enum Fault {
    /// The file system: what was being done, and its error. The caller knows the place and the way out.
    There(&'static str, io::Error),
    /// The snapshot, or the meter.
    Here(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

pub(crate) fn there<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| Fault::There(doing, error.into())
}

/// See the module. One for each thread.
pub struct Writer<'a> {
    tree: &'a Tree,
    folders: Folders<'a>,
    piece: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Writes beneath a tree's root.
    #[must_use]
    pub const fn new(tree: &'a Tree) -> Self {
        Self { tree, folders: Folders::new(tree), piece: Vec::new() }
    }

    /// The open folder that an entry is in.
    ///
    /// # Errors
    /// When it cannot be reached without following a link.
    pub fn folder_of(&mut self, path: &Path) -> Result<&OwnedFd, Fault> {
        self.folders.of(path).map_err(there("open the folder of"))
    }

    /// Makes a folder, for its owner only until it is finished.
    ///
    /// # Errors
    /// When something of that name is there; where `may_be_there`, a folder may be.
    pub fn make_folder(&mut self, path: &Path, may_be_there: bool) -> Result<(), Fault> {
        let name = path.file_name().unwrap_or_default();
        match mkdirat(self.folder_of(path)?, name, Mode::RWXU) {
            Err(Errno::EXIST) if may_be_there => Ok(()),
            done => done.map_err(there("make the folder")),
        }
    }

    /// Makes an entry that is no folder, with its metadata.
    ///
    /// # Errors
    /// When something of that name is there, or the system or the snapshot fails.
    pub fn write(&mut self, snapshot: &dyn Snapshot, entry: &Entry, meter: &Meter<'_>) -> Result<Unset, Fault> {
        let name = entry.path.file_name().unwrap_or_default();
        let node = |folder: &OwnedFd, kind| mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, 0);
        let (made, kind) = match &entry.kind {
            EntryKind::File => {
                let mut file = self.create(&entry.path)?;
                self.append(&mut file, snapshot, entry, meter)?;
                return file.finish(&entry.meta);
            }
            EntryKind::Symlink(target) => (symlinkat(target, self.folder_of(&entry.path)?, name), FileType::Symlink),
            EntryKind::Fifo => (node(self.folder_of(&entry.path)?, FileType::Fifo), FileType::Fifo),
            EntryKind::Socket => (node(self.folder_of(&entry.path)?, FileType::Socket), FileType::Socket),
            EntryKind::Folder => return Err(Error::failed("a folder is not written but made").into()),
        };
        made.map_err(there("make"))?;
        write_meta_at(self.folder_of(&entry.path)?, name, &entry.meta, kind).map_err(there("set the metadata of"))
    }

    /// A new file, for its owner only.
    ///
    /// # Errors
    /// When something of that name is there.
    pub fn create(&mut self, path: &Path) -> Result<NewFile, Fault> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(self.folder_of(path)?, path.file_name().unwrap_or_default(), flags, Mode::RUSR | Mode::WUSR);
        file.map(NewFile::new).map_err(there("make"))
    }

    /// Writes the content of a file of a snapshot at the end of a new one: exactly as many bytes as it has.
    ///
    /// # Errors
    /// When the system or the snapshot fails, or the content has another length.
    pub fn append(&mut self, to: &mut NewFile, snapshot: &dyn Snapshot, entry: &Entry, meter: &Meter<'_>) -> Result<(), Fault> {
        let before = to.bytes;
        if entry.size_bytes > LARGE_BYTES {
            self.piece.resize(PIECE_BYTES, 0);
            let mut reader = snapshot.read(entry)?;
            loop {
                let length = fill(&mut reader, &mut self.piece).map_err(|error| unreadable(entry, error))?;
                if length == 0 {
                    break;
                }
                to.put(self.piece.get(..length).unwrap_or_default()).map_err(there("write"))?;
                meter(length as u64)?;
            }
        } else if entry.size_bytes > 0 {
            let bytes = snapshot.read_all(entry)?;
            to.put(&bytes).map_err(there("write"))?;
            meter(bytes.len() as u64)?;
        }
        let found = to.bytes - before;
        if found == entry.size_bytes {
            return Ok(());
        }
        let path = entry.path.display();
        Err(Error::failed(format!("{path} has {found} bytes in the repository instead of {}", entry.size_bytes)).into())
    }

    /// Makes a further name of a file that was written.
    ///
    /// # Errors
    /// The system's.
    pub fn link(&mut self, first: &Path, path: &Path) -> Result<(), Fault> {
        let doing = "make the hard link";
        let (from, from_name) = self.tree.parent(first).map_err(there(doing))?;
        let to_name = path.file_name().unwrap_or_default();
        linkat(&from, from_name, self.folder_of(path)?, to_name, AtFlags::empty()).map_err(there(doing))
    }

    /// Gives a folder its metadata, when all is in it: its mode may forbid what is to be done inside.
    ///
    /// # Errors
    /// The system's.
    pub fn finish_folder(&mut self, path: &Path, meta: &Meta) -> Result<Unset, Fault> {
        self.tree.folder(path).and_then(|folder| write_meta(&folder, meta)).map_err(there("set the metadata of"))
    }
}

fn unreadable(entry: &Entry, error: io::Error) -> Fault {
    Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error).into()
}
