//! A folder on disk and everything below it, reached without long paths: a tree may be deeper than the kernel's path limit (4096 bytes).
//! Never follows a symbolic link at the end of a path, and never changes anything.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

/// Paths longer than this are opened in several steps: below `PATH_MAX` (4096 with the final NUL).
const STEP_BYTES: usize = 3000;

/// An open root folder.
#[derive(Debug)]
pub(crate) struct Tree {
    fd: OwnedFd,
    path: PathBuf,
}

impl Tree {
    /// Opens a root. The root itself may be a symbolic link: operators do that with mounts.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Where a relative path is, for messages.
    pub(crate) fn place_of(&self, relative: &Path) -> PathBuf {
        if relative.as_os_str().is_empty() { self.path.clone() } else { self.path.join(relative) }
    }

    /// Opens a folder below the root; the empty path is the root itself.
    pub(crate) fn folder(&self, relative: &Path) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        let mut step = Vec::new();
        for name in relative.iter() {
            if step.len() + name.len() > STEP_BYTES {
                let next = open_folder(at.as_ref().unwrap_or(&self.fd), OsStr::from_bytes(&step))?;
                at = Some(next);
                step.clear();
            }
            if !step.is_empty() {
                step.push(b'/');
            }
            step.extend_from_slice(name.as_bytes());
        }
        let last = if step.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(&step) };
        open_folder(at.as_ref().unwrap_or(&self.fd), last)
    }

    /// Opens the folder that holds `relative`, and gives the last name.
    pub(crate) fn parent<'p>(&self, relative: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.folder(relative.parent().unwrap_or_else(|| Path::new("")))?, name))
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a folder by its name in another; a symbolic link is not followed.
pub(crate) fn open_folder(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// `lstat` of a name in a folder; `None` when there is nothing.
pub(crate) fn stat_entry(at: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Device and inode.
pub(crate) const fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Device and inode of something open.
pub(crate) fn identity_of(fd: impl AsFd) -> io::Result<(u64, u64)> {
    Ok(identity(&fstat(fd)?))
}

/// Device and inode never both mean two things at a time, so an error that says "it is not there any more" is told from all others here.
pub(crate) fn is_vanished(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::NXIO))
}

/// The names in a folder, sorted by bytes, in one piece of memory: some 16 bytes more than the name itself for each.
#[derive(Debug, Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    spans: std::vec::IntoIter<(usize, u16, FileType)>,
}

impl Names {
    /// Reads a folder.
    pub(crate) fn read(folder: impl AsFd) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let length = u16::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            spans.push((bytes.len(), length, entry.file_type()));
            bytes.extend_from_slice(name);
        }
        let name_of = |&(start, length, _): &(usize, u16, FileType)| bytes.get(start..start + usize::from(length)).unwrap_or_default();
        spans.sort_unstable_by(|a, b| name_of(a).cmp(name_of(b)));
        Ok(Self { bytes, spans: spans.into_iter() })
    }

    /// The name that [`Iterator::next`] gives next.
    pub(crate) fn peek(&self) -> Option<&OsStr> {
        self.spans
            .as_slice()
            .first()
            .map(|&(start, length, _)| OsStr::from_bytes(self.bytes.get(start..start + usize::from(length)).unwrap_or_default()))
    }
}

impl Iterator for Names {
    type Item = (OsString, FileType);

    fn next(&mut self) -> Option<Self::Item> {
        let (start, length, kind) = self.spans.next()?;
        let name = self.bytes.get(start..start + usize::from(length)).unwrap_or_default();
        Some((OsString::from_vec(name.to_vec()), kind))
    }
}
