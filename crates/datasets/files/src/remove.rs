//! Removes a folder with all that is in it, however deep and whatever its modes. Never follows a link, never leaves the volume.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use plan::Result;
use plan::ports::StopFlag;
use rustix::fs::{AtFlags, FileType, fstat, unlinkat};
use rustix::io::Errno;

use crate::mounts::is_mounted;
use crate::run_folder::failed;
use beneath::{Names, Tree, grant_owner, open_folder, stat_entry};

struct Frame {
    path: PathBuf,
    names: Names,
    /// Whether something in it was passed by.
    is_left: bool,
}

/// Threads that remove beside each other: most of the time is spent waiting for the disk, for each folder in turn.
const HELPERS: usize = 4;
/// So many folders are enough to share.
const SHARED_FOLDERS: usize = 256;
/// So deep they are looked for.
const SHARED_LEVELS: usize = 8;

/// Removes `relative`, whatever it is; nothing there is fine.
pub(crate) fn remove(tree: &Tree, relative: &Path, stop: &StopFlag) -> Result<()> {
    help(tree, relative, stop);
    removal(tree, relative, stop, &mut |_| false)
}

/// The same, but passes by what this user may not remove. Gives the first of that.
pub(crate) fn remove_all_but(tree: &Tree, relative: &Path, stop: &StopFlag) -> Result<Option<PathBuf>> {
    help(tree, relative, stop);
    let mut first = None;
    removal(tree, relative, stop, &mut |at| {
        first.get_or_insert_with(|| at.to_owned());
        true
    })?;
    Ok(first)
}

/// Removes what can be removed of the folders in a tree, several at a time. What is left, and why, is for the one who comes behind and removes in order.
fn help(tree: &Tree, relative: &Path, stop: &StopFlag) {
    let folders = to_share(tree, relative);
    if folders.is_empty() {
        return;
    }
    let folders = Mutex::new(folders.into_iter());
    let work = || {
        while !stop.is_raised() {
            let Some(folder) = folders.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
            removal(tree, &folder, stop, &mut |_| true).ok();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..HELPERS {
            // Without a thread the one who comes behind does it.
            drop(std::thread::Builder::new().name("files-remover".to_owned()).spawn_scoped(scope, work));
        }
    });
}

/// Folders in a tree, none within another: those of the first level that has enough of them, or has more than the next. Never what is mounted there, nor
/// anything in that.
fn to_share(tree: &Tree, relative: &Path) -> Vec<PathBuf> {
    let is_own = || -> io::Result<bool> {
        let (parent, name) = tree.parent(relative)?;
        is_of_volume(&parent, name)
    };
    if !is_own().unwrap_or(false) {
        return Vec::new();
    }
    let mut level = vec![relative.to_owned()];
    for _ in 0..SHARED_LEVELS {
        let below: Vec<_> = level.iter().flat_map(|path| within(tree, path).unwrap_or_default()).collect();
        if below.is_empty() || below.len() < level.len() || level.len() >= SHARED_FOLDERS {
            break;
        }
        level = below;
    }
    if level.len() > 1 { level } else { Vec::new() }
}

fn within(tree: &Tree, path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = tree.folder(path)?;
    let names = Names::read(&folder)?.filter(|(_, kind)| *kind == FileType::Directory);
    Ok(names.filter(|(name, _)| is_of_volume(&folder, name).unwrap_or(false)).map(|(name, _)| path.join(name)).collect())
}

/// Whether an entry is on the volume of the folder that it is in, and nothing is mounted there.
fn is_of_volume(folder: impl AsFd, name: &OsStr) -> io::Result<bool> {
    let stat = stat_entry(&folder, name)?.ok_or(Errno::NOENT)?;
    Ok(stat.st_dev == fstat(&folder)?.st_dev && !is_mounted(&folder, name))
}

/// `passes` hears of what may not be removed, and says whether to go on.
fn removal(tree: &Tree, relative: &Path, stop: &StopFlag, passes: &mut dyn FnMut(&Path) -> bool) -> Result<()> {
    let mut at = relative.to_owned();
    let mut run = || -> io::Result<Option<plan::Error>> {
        let (parent, name) = tree.parent(relative)?;
        let Some(mut folder) = unlink_or_open(&parent, name)? else { return Ok(None) };
        let mut frames = vec![Frame { path: relative.to_owned(), names: Names::read(&folder)?, is_left: false }];
        while let Some(frame) = frames.last_mut() {
            if let Err(interrupted) = stop.check() {
                return Ok(Some(interrupted));
            }
            let Some((name, kind)) = frame.names.next() else {
                at.clone_from(&frame.path);
                let (parent, name) = tree.parent(&frame.path)?;
                let is_left = frame.is_left || !unlinked(unlinkat(&parent, name, AtFlags::REMOVEDIR), &at, passes)?;
                frames.pop();
                if let Some(above) = frames.last_mut() {
                    above.is_left |= is_left;
                }
                folder = parent;
                continue;
            };
            at = frame.path.join(&name);
            if kind != FileType::Directory && kind != FileType::Unknown {
                frame.is_left |= !unlinked(unlinkat(&folder, &name, AtFlags::empty()), &at, passes)?;
                continue;
            }
            match unlink_or_open(&folder, &name) {
                Ok(Some(inner)) => {
                    frames.push(Frame { path: at.clone(), names: Names::read(&inner)?, is_left: false });
                    folder = inner;
                }
                Ok(None) => {}
                Err(error) => frame.is_left |= !unlinked(Err(Errno::from_io_error(&error).ok_or(error)?), &at, passes)?,
            }
        }
        Ok(None)
    };
    match run() {
        Ok(None) => Ok(()),
        Ok(Some(interrupted)) => Err(interrupted),
        Err(error) if error.kind() == io::ErrorKind::NotFound && at == relative => Ok(()),
        Err(error) => Err(failed(&tree.place_of(&at), "remove", error)),
    }
}

/// Whether it is gone; no, when it is passed by.
fn unlinked(done: rustix::io::Result<()>, at: &Path, passes: &mut dyn FnMut(&Path) -> bool) -> io::Result<bool> {
    match done {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM) if passes(at) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name that is no folder; a folder is opened, with the owner's rights restored.
fn unlink_or_open(at: impl AsFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let Some(stat) = stat_entry(&at, name)? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        unlinkat(&at, name, AtFlags::empty())?;
        return Ok(None);
    }
    if !is_of_volume(&at, name)? {
        return Err(Errno::BUSY.into());
    }
    grant_owner(&at, name)?;
    open_folder(&at, name).map(Some)
}
