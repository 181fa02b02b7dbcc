//! Removes a folder with all that is in it, however deep and whatever its modes. Never follows a link, never leaves the volume.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

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
}

/// Removes `relative`, whatever it is; nothing there is fine.
pub(crate) fn remove(tree: &Tree, relative: &Path, stop: &StopFlag) -> Result<()> {
    let mut at = relative.to_owned();
    let mut run = || -> io::Result<Option<plan::Error>> {
        let (parent, name) = tree.parent(relative)?;
        let Some(folder) = unlink_or_open(&parent, name)? else { return Ok(None) };
        let mut folder = folder;
        let mut frames = vec![Frame { path: relative.to_owned(), names: Names::read(&folder)? }];
        while let Some(frame) = frames.last_mut() {
            if let Err(interrupted) = stop.check() {
                return Ok(Some(interrupted));
            }
            let Some((name, kind)) = frame.names.next() else {
                at.clone_from(&frame.path);
                let (parent, name) = tree.parent(&frame.path)?;
                unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
                frames.pop();
                folder = parent;
                continue;
            };
            at = frame.path.join(&name);
            if kind != FileType::Directory && kind != FileType::Unknown {
                match unlinkat(&folder, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(inner) = unlink_or_open(&folder, &name)? {
                frames.push(Frame { path: at.clone(), names: Names::read(&inner)? });
                folder = inner;
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

/// Removes a name that is no folder; a folder is opened, with the owner's rights restored.
fn unlink_or_open(at: impl AsFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let Some(stat) = stat_entry(&at, name)? else { return Ok(None) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        unlinkat(&at, name, AtFlags::empty())?;
        return Ok(None);
    }
    if stat.st_dev != fstat(&at)?.st_dev || is_mounted(&at, name) {
        return Err(Errno::BUSY.into());
    }
    grant_owner(&at, name)?;
    open_folder(&at, name).map(Some)
}
