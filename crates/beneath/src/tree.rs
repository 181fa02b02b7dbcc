//! A folder on disk and everything below it, reached without long paths: a tree may be deeper than the kernel's path limit (4096 bytes).
//! Follows no link below its root, and changes nothing by itself.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat};

use crate::resolve::{Way, open_beneath};

/// An open root folder.
#[derive(Debug)]
pub struct Tree {
    fd: OwnedFd,
    path: PathBuf,
    way: Way,
}

impl Tree {
    /// Opens a root. The root itself may be a symbolic link: operators do that with mounts.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self::of(fd, path.to_owned()))
    }

    /// A root that is open already; `path` is for messages.
    #[must_use]
    pub const fn of(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path, way: Way::Kernel }
    }

    /// Opens folders as where the kernel lacks `openat2`: name by name.
    #[must_use]
    pub fn by_steps(self) -> Self {
        Self { way: Way::Steps, ..self }
    }

    /// A folder below as a root of its own.
    ///
    /// # Errors
    /// As [`Tree::folder`].
    pub fn below(&self, relative: &Path) -> io::Result<Self> {
        Ok(Self { fd: self.folder(relative)?, path: self.place_of(relative), way: self.way })
    }

    /// Where a relative path is, for messages.
    #[must_use]
    pub fn place_of(&self, relative: &Path) -> PathBuf {
        if relative.as_os_str().is_empty() { self.path.clone() } else { self.path.join(relative) }
    }

    /// Opens a folder below the root, following no link on the way; the empty path is the root itself.
    ///
    /// # Errors
    /// The system's: `ELOOP` or `ENOTDIR` where a link is in the way.
    pub fn folder(&self, relative: &Path) -> io::Result<OwnedFd> {
        open_beneath(self.fd.as_fd(), relative, self.way)
    }

    /// Opens the folder that holds `relative`, and gives the last name.
    ///
    /// # Errors
    /// As [`Tree::folder`].
    pub fn parent<'p>(&self, relative: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
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
///
/// # Errors
/// The system's.
pub fn open_folder(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// `lstat` of a name in a folder; `None` when there is nothing.
///
/// # Errors
/// The system's.
pub fn stat_entry(at: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Device and inode.
#[must_use]
pub const fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Device and inode of something open.
///
/// # Errors
/// The system's.
pub fn identity_of(fd: impl AsFd) -> io::Result<(u64, u64)> {
    Ok(identity(&fstat(fd)?))
}

/// Device and inode never both mean two things at a time, so an error that says "it is not there any more" is told from all others here.
#[must_use]
pub fn is_vanished(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::NXIO))
}
