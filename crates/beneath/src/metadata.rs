//! Metadata of an entry, from [`Meta`] onto the file system: always onto what is open, never onto a name, which may mean something else by now.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use plan::ports::Meta;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fremovexattr, fsetxattr, fstat,
    futimens, openat, setxattr, utimensat,
};
use rustix::io::Errno;

use crate::attributes::{is_data, read_xattrs, timestamps};
use crate::mtime_ns;

/// Bits that give the owner's or group's rights away.
pub const SET_ID_BITS: u32 = 0o6000;

/// What of an entry's metadata could not be set.
#[derive(Debug, Default)]
pub struct Unset {
    /// Owner and set-id bits.
    pub owner: bool,
    /// The entry had set-id bits, and they are not set: without their owner they would give away somebody else's rights.
    pub set_id: bool,
    /// Extended attributes, by their place in [`Meta::xattrs`].
    pub xattrs: Vec<usize>,
    /// Whether it has extended attributes, or values of them, that are not among those, and could not be removed.
    pub has_other_xattrs: bool,
    /// The permission bits.
    pub mode: bool,
    /// The time of change: the entry belongs to another user.
    pub time: bool,
}

/// Sets the metadata of an open file or folder: owner first (it clears set-id bits), the time last.
///
/// # Errors
/// The system's; what is not permitted is told in the result.
pub fn write_meta(fd: impl AsFd, meta: &Meta) -> io::Result<Unset> {
    let fd = fd.as_fd();
    let now = fstat(fd)?;
    let mut unset = Unset::default();
    if let (Some(uid), Some(gid)) = (meta.uid, meta.gid)
        && (now.st_uid, now.st_gid) != (uid, gid)
    {
        unset.owner = allowed(fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))?;
    }
    // Those that a default ACL of the folder above put there, or an earlier content.
    let there = read_xattrs(fd)?;
    for (name, _) in there.iter().filter(|(name, _)| !meta.xattrs.iter().any(|(wanted, _)| wanted == name)) {
        unset.has_other_xattrs |= allowed(fremovexattr(fd, name.as_str()))?;
    }
    set_xattrs(meta, &there, &mut unset, |name, value| fsetxattr(fd, name, value, XattrFlags::empty()))?;
    // Set-id bits without their owner would give away somebody else's rights.
    let mode = if unset.owner { meta.mode & !SET_ID_BITS } else { meta.mode };
    if allowed(fchmod(fd, Mode::from_raw_mode(mode)))? {
        let differs = fstat(fd)?.st_mode ^ mode;
        unset.mode = differs & (0o7777 & !SET_ID_BITS) != 0;
        unset.owner |= differs & SET_ID_BITS != 0;
    }
    unset.set_id = unset.owner && meta.mode & SET_ID_BITS != 0;
    unset.time = !write_time(fd, meta)?;
    Ok(unset)
}

/// Sets the time of change of something open, where it is another. Tells whether it is as wanted: nobody sets that of another user's.
///
/// # Errors
/// The system's.
pub fn write_time(fd: impl AsFd, meta: &Meta) -> io::Result<bool> {
    let Some(wanted_ns) = meta.mtime_ns else { return Ok(true) };
    let fd = fd.as_fd();
    if mtime_ns(&fstat(fd)?) == wanted_ns {
        return Ok(true);
    }
    Ok(!allowed(futimens(fd, &timestamps(wanted_ns)))?)
}

/// Whether something open has this owner, mode and these extended attributes already, so that only the time is to be set.
///
/// # Errors
/// The system's.
pub fn is_as_wanted(fd: impl AsFd, meta: &Meta) -> io::Result<bool> {
    let fd = fd.as_fd();
    let now = fstat(fd)?;
    let same_owner = meta.uid.is_none_or(|uid| uid == now.st_uid) && meta.gid.is_none_or(|gid| gid == now.st_gid);
    if !same_owner || now.st_mode & 0o7777 != meta.mode {
        return Ok(false);
    }
    let mut wanted = meta.xattrs.clone();
    wanted.sort();
    Ok(read_xattrs(fd)? == wanted)
}

/// Sets the metadata of a link, pipe or socket that was just made.
pub(crate) fn write_meta_at(folder: impl AsFd, name: &OsStr, meta: &Meta, kind: FileType) -> io::Result<Unset> {
    let held = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let now = fstat(&held)?;
    if FileType::from_raw_mode(now.st_mode) != kind || now.st_nlink != 1 {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody put something else in its place"));
    }
    let path = path_of(&held);
    let mut unset = Unset::default();
    if let (Some(uid), Some(gid)) = (meta.uid, meta.gid)
        && (now.st_uid, now.st_gid) != (uid, gid)
    {
        unset.owner = allowed(chownat(&held, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH))?;
    }
    set_xattrs(meta, &[], &mut unset, |name, value| setxattr(&path, name, value, XattrFlags::empty()))?;
    if kind != FileType::Symlink {
        unset.set_id = unset.owner && meta.mode & SET_ID_BITS != 0;
        let mode = if unset.owner { meta.mode & !SET_ID_BITS } else { meta.mode };
        allowed(chmodat(CWD, &path, Mode::from_raw_mode(mode), AtFlags::empty()))?;
    }
    if let Some(mtime_ns) = meta.mtime_ns {
        match utimensat(&held, "", &timestamps(mtime_ns), AtFlags::EMPTY_PATH) {
            // Linux before 5.8.
            Err(Errno::INVAL | Errno::NOENT) => utimensat(CWD, &path, &timestamps(mtime_ns), AtFlags::empty())?,
            done => done?,
        }
    }
    Ok(unset)
}

/// Gives the owner of a folder the right to list and change it.
///
/// # Errors
/// The system's; also when the name is no folder.
pub fn grant_owner(at: impl AsFd, name: &OsStr) -> io::Result<()> {
    let held = openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mode = fstat(&held)?.st_mode & 0o7777;
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    // Another owner's folder: root needs no right, and others cannot give themselves one; what follows tells.
    match chmodat(CWD, path_of(&held), Mode::from_raw_mode(mode | 0o700), AtFlags::empty()) {
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a file for reading whose owner may not read it, by his right to change that. Its mode is another one for that instant, and stays so unless
/// `gives_back`. The caller lets nobody else do this to the same file meanwhile, under whichever of its names: the other would take the mode of the instant
/// for the file's. Gives what it was before, too.
///
/// # Errors
/// The system's; also when the name is no file.
pub fn open_by_owner(at: impl AsFd, name: &OsStr, gives_back: impl FnOnce(&Stat) -> bool) -> io::Result<(OwnedFd, Stat)> {
    let held = openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&held)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS.into());
    }
    let (path, mode) = (path_of(&held), stat.st_mode & 0o7777);
    // Another name of it may have been opened since the caller tried: it is not touched again.
    if mode & 0o400 == 0 {
        chmodat(CWD, &path, Mode::from_raw_mode(mode | 0o400), AtFlags::empty())?;
    }
    let opened = openat(CWD, &path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    if mode & 0o400 == 0 && (opened.is_err() || gives_back(&stat)) {
        chmodat(CWD, &path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok((opened?, stat))
}

/// Sets the mode of what has this name and this inode.
///
/// # Errors
/// The system's.
pub fn set_mode(at: impl AsFd, name: &OsStr, inode: u64, mode: u32) -> io::Result<()> {
    let held = openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if fstat(&held)?.st_ino == inode {
        chmodat(CWD, path_of(&held), Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

/// A path to something that is held but not open: it leads to that very thing, whatever its name means by now.
fn path_of(held: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(held.as_raw_fd().to_string())
}

/// Sets those that are not there already.
fn set_xattrs(
    meta: &Meta,
    there: &[(String, Vec<u8>)],
    unset: &mut Unset,
    set: impl Fn(&str, &[u8]) -> rustix::io::Result<()>,
) -> io::Result<()> {
    for (index, wanted) in meta.xattrs.iter().enumerate().filter(|(_, wanted)| !there.contains(wanted)) {
        let (name, value) = wanted;
        // No dump keeps those of the place, so they are somebody's who wants to change how the kernel sees it.
        if !is_data(name) || allowed_space(set(name, value))? {
            unset.xattrs.push(index);
            unset.has_other_xattrs |= there.iter().any(|(other, _)| other == name);
        }
    }
    Ok(())
}

fn is_not_permitted(error: Errno) -> bool {
    matches!(error, Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL | Errno::NOSYS)
}

/// Whether a change was not permitted; other errors are errors.
fn allowed(result: rustix::io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(false),
        Err(error) if is_not_permitted(error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// As [`allowed`]: a file system that has no room for this attribute (ext4: one block for all of a file) says "no space" while there is plenty.
fn allowed_space(result: rustix::io::Result<()>) -> io::Result<bool> {
    match result {
        Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => Ok(true),
        other => allowed(other),
    }
}
