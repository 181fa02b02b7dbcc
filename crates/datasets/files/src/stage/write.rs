//! Writes one entry: content with its holes, then metadata. Nothing is synced here; the caller syncs the volume once.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use plan::ports::{Entry, EntryKind};
use plan::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, ftruncate, futimens, mkdirat, mknodat, openat, symlinkat, unlinkat};
use rustix::io::{Errno, pwrite};

use super::{Staged, Staging};
use crate::attributes::{mtime_ns, timestamps, write_meta, write_meta_at};
use crate::dump::SMALL_BYTES;
use crate::run_folder::{RunFolder, failed};
use crate::tree::Tree;

/// A hole is made of whole blocks of this size.
const BLOCK_BYTES: usize = 4096;
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
/// Large files are copied in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Opens folders of the target; remembers the last.
pub(super) struct Folders<'a> {
    tree: &'a Tree,
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Folders<'a> {
    pub(super) const fn new(tree: &'a Tree) -> Self {
        Self { tree, last: None }
    }

    /// The folder of an entry.
    fn of<'s>(&'s mut self, path: &Path) -> io::Result<&'s OwnedFd> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let last = match self.last.take() {
            Some((at, fd)) if at == parent => (at, fd),
            _ => (parent.to_owned(), self.tree.folder(parent)?),
        };
        Ok(&self.last.insert(last).1)
    }

    /// Makes a folder, for its owner only until it is finished.
    pub(super) fn make(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let made = self.of(path).and_then(|folder| match mkdirat(folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        });
        made.map_err(|error| failed(&self.tree.place_of(path), "make the folder", error))
    }
}

/// One writer thread's state.
pub(super) struct Writer<'a> {
    staging: &'a Staging<'a>,
    folders: Folders<'a>,
    piece: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(staging: &'a Staging<'a>) -> Self {
        Self { staging, folders: Folders::new(&staging.tree), piece: Vec::new() }
    }

    /// Writes an entry that is no folder.
    pub(super) fn write(&mut self, entry: &Entry) -> Result<()> {
        let place = || self.staging.tree.place_of(&entry.path);
        let name = entry.path.file_name().unwrap_or_default();
        let folder = self.folders.of(&entry.path).map_err(|error| failed(&place(), "open the folder of", error))?;
        let unset = match &entry.kind {
            EntryKind::File => {
                let file = match kept_file(self.staging, folder, name, entry)? {
                    Some(file) => file,
                    None => write_file(self.staging, folder, name, entry, &mut self.piece)?,
                };
                write_meta(&file, &entry.meta)
            }
            EntryKind::Symlink(target) => {
                symlinkat(target, folder, name).map_err(io::Error::from).and_then(|()| write_meta_at(folder, name, &entry.meta, true))
            }
            EntryKind::Fifo => make_node(folder, name, FileType::Fifo).and_then(|()| write_meta_at(folder, name, &entry.meta, false)),
            EntryKind::Socket => make_node(folder, name, FileType::Socket).and_then(|()| write_meta_at(folder, name, &entry.meta, false)),
            EntryKind::Folder => return Ok(()),
        };
        let unset = unset.map_err(|error| failed(&place(), "write", error))?;
        self.staging.note(&entry.path, &entry.meta, &unset);
        self.staging.advance(0, 1, false);
        Ok(())
    }
}

fn make_node(folder: impl AsFd, name: &OsStr, kind: FileType) -> io::Result<()> {
    Ok(mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, 0)?)
}

/// In place: the live file, when it has this content already. Otherwise it is removed.
fn kept_file(staging: &Staging<'_>, folder: impl AsFd, name: &OsStr, entry: &Entry) -> Result<Option<OwnedFd>> {
    if !staging.in_place {
        return Ok(None);
    }
    let place = || staging.tree.place_of(&entry.path);
    let file = match openat(&folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Some(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(_) => None,
    };
    if let Some(file) = file
        && fstat(&file).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(entry.size_bytes))
        && same_content(staging, &file, entry)?
    {
        staging.advance(entry.size_bytes, 0, false);
        return Ok(Some(file));
    }
    unlinkat(&folder, name, AtFlags::empty()).map_err(|error| failed(&place(), "remove", error.into()))?;
    Ok(None)
}

fn same_content(staging: &Staging<'_>, file: &OwnedFd, entry: &Entry) -> Result<bool> {
    if entry.size_bytes == 0 {
        return Ok(true);
    }
    let mut kept = staging.snapshot.read(entry)?;
    let mut wanted = vec![0; PIECE_BYTES];
    let mut live = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < entry.size_bytes {
        staging.context.stop.check()?;
        let length = fill(&mut kept, &mut wanted).map_err(|error| unreadable(entry, error))?;
        let (Some(want), Some(have)) = (wanted.get(..length), live.get_mut(..length)) else { return Ok(false) };
        let read = rustix::io::pread(file, &mut *have, offset).unwrap_or(0);
        if length == 0 || read != length || want != have {
            return Ok(false);
        }
        offset += length as u64;
    }
    Ok(true)
}

fn write_file(staging: &Staging<'_>, folder: impl AsFd, name: &OsStr, entry: &Entry, piece: &mut Vec<u8>) -> Result<OwnedFd> {
    let place = || staging.tree.place_of(&entry.path);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| failed(&place(), "make", error.into()))?;
    let mut offset = 0;
    let mut ends_in_hole = false;
    let mut put = |bytes: &[u8]| -> Result<()> {
        ends_in_hole = write_with_holes(&file, offset, bytes).map_err(|error| failed(&place(), "write", error))?;
        offset += bytes.len() as u64;
        staging.advance(bytes.len() as u64, 0, false);
        Ok(())
    };
    if entry.size_bytes > SMALL_BYTES {
        piece.resize(PIECE_BYTES, 0);
        let mut reader = staging.snapshot.read(entry)?;
        loop {
            staging.context.stop.check()?;
            let length = fill(&mut reader, piece).map_err(|error| unreadable(entry, error))?;
            if length == 0 {
                break;
            }
            put(piece.get(..length).unwrap_or_default())?;
        }
    } else if entry.size_bytes > 0 {
        put(&staging.snapshot.read_all(entry)?)?;
    }
    if offset != entry.size_bytes {
        return Err(Error::failed(format!(
            "{} has {offset} bytes in the repository instead of {}",
            entry.path.display(),
            entry.size_bytes
        )));
    }
    if ends_in_hole {
        ftruncate(&file, offset).map_err(|error| failed(&place(), "write", error.into()))?;
    }
    Ok(file)
}

fn unreadable(entry: &Entry, error: io::Error) -> Error {
    Error::failed(format!("read {} from the repository", entry.path.display())).because(error)
}

/// Reads until the buffer is full or the end.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Writes all but whole blocks of zeros. `offset` is a multiple of the block size. Tells whether the last block was left out.
fn write_with_holes(file: impl AsFd, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let is_hole = |block: &[u8]| block.len() == BLOCK_BYTES && block == ZEROS;
    let mut blocks = bytes.chunks(BLOCK_BYTES).peekable();
    let mut at = 0;
    let mut ends_in_hole = false;
    while let Some(block) = blocks.next() {
        let start = at;
        at += block.len();
        ends_in_hole = is_hole(block);
        if ends_in_hole {
            continue;
        }
        while let Some(next) = blocks.next_if(|next| !is_hole(next)) {
            at += next.len();
        }
        write_all_at(&file, offset + start as u64, bytes.get(start..at).unwrap_or_default())?;
    }
    Ok(ends_in_hole)
}

fn write_all_at(file: impl AsFd, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwrite(&file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Finds out what the file system keeps: some (SMB, FAT) have modes of their own, some have coarse times.
pub(super) fn probe(run: &RunFolder) -> Result<Staged> {
    const NAME: &str = "probe";
    const MTIME_NS: i128 = 1_234_567_891_123_456_789;
    run.remove_file(NAME)?;
    let ask = || -> io::Result<Staged> {
        let file = openat(run, NAME, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        // Refusals show in what is read back.
        fchmod(&file, Mode::from_raw_mode(0o751)).ok();
        futimens(&file, &timestamps(MTIME_NS)).ok();
        let stat = fstat(&file)?;
        Ok(Staged { holds_modes: stat.st_mode & 0o7777 == 0o751, holds_times: mtime_ns(&stat) == MTIME_NS, ..Staged::default() })
    };
    let staged = ask().map_err(|error| failed(&run.place(), "write into", error))?;
    run.remove_file(NAME)?;
    Ok(staged)
}
