//! Opens a folder by its path beneath another, following no link, whatever happens to the names meanwhile.
//!
//! The kernel does it in one call (`openat2`, Linux 5.6). Where it cannot, or a filter of system calls forbids it (containers on old hosts), each name
//! is opened in the folder before it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Paths longer than this are opened in several steps: below `PATH_MAX` (4096 with the final NUL).
const STEP_BYTES: usize = 3000;
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Whether the kernel was found not to have the call: it is not asked each time.
static IS_MISSING: AtomicBool = AtomicBool::new(false);

/// For tests of other crates: from now on this process takes the kernel for one that lacks `openat2`.
#[doc(hidden)]
pub fn forget_openat2() {
    IS_MISSING.store(true, Ordering::Relaxed);
}

/// How folders are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// By the kernel's own call, where there is one.
    #[default]
    Kernel,
    /// Name by name.
    Steps,
}

/// Opens a folder beneath `root` for reading; the empty path is the root itself.
pub(crate) fn open_beneath(root: BorrowedFd<'_>, relative: &Path, way: Way) -> io::Result<OwnedFd> {
    if relative.as_os_str().is_empty() {
        return Ok(openat(root, ".", FOLDER | OFlags::RDONLY, Mode::empty())?);
    }
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of its folder"));
    }
    if way == Way::Kernel && !IS_MISSING.load(Ordering::Relaxed) {
        match by_kernel(root, relative) {
            Err(Errno::NOSYS) => IS_MISSING.store(true, Ordering::Relaxed),
            // A filter says EPERM too; the other way tells which it is. EAGAIN: somebody renames all the time.
            Err(Errno::PERM | Errno::AGAIN) => {}
            done => return Ok(done?),
        }
    }
    by_steps(root, relative)
}

fn by_kernel(root: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd, Errno> {
    let mut at: Option<OwnedFd> = None;
    let mut step = Vec::new();
    let open = |at: &Option<OwnedFd>, path: &[u8], flags| {
        let at = at.as_ref().map_or(root, OwnedFd::as_fd);
        openat2(at, OsStr::from_bytes(path), FOLDER | flags, Mode::empty(), BENEATH)
    };
    for name in relative.iter() {
        if step.len() + name.len() > STEP_BYTES {
            at = Some(open(&at, &step, OFlags::PATH)?);
            step.clear();
        }
        if !step.is_empty() {
            step.push(b'/');
        }
        step.extend_from_slice(name.as_bytes());
    }
    open(&at, &step, OFlags::RDONLY)
}

fn by_steps(root: BorrowedFd<'_>, relative: &Path) -> io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut names = relative.iter().peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { OFlags::PATH } else { OFlags::RDONLY };
        at = Some(openat(at.as_ref().map_or(root, OwnedFd::as_fd), name, FOLDER | flags, Mode::empty())?);
    }
    at.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
