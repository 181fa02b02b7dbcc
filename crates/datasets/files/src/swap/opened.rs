//! A folder that its owner may not write into is opened for the instant of its rename, which changes its `..` (rename(2): EACCES), and closed again.
//!
//! Which one it is stands in the run's folder before, so that a crash in between leaves no mode changed: `opened` holds the mode in octal, the inode, a line end, its name.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use beneath::{grant_owner, is_vanished, set_mode, stat_entry};
use plan::{Error, Result};
use rustix::fs::{FileType, Stat};

use super::steps::{BEFORE, LATE};
use crate::rights::Rights;
use crate::run_folder::{RunFolder, failed};
use crate::stage::STAGE;

const OPENED: &str = "opened";

/// Renames a folder by its owner's right.
pub(super) fn with<T>(run: &RunFolder, at: impl AsFd, name: &OsStr, rename: impl FnOnce() -> Result<T>) -> Result<T> {
    let failed = |error| failed(&run.root.place_of(name.as_ref()), "move", error);
    let stat = stat_entry(&at, name).map_err(failed)?;
    let is_own_folder = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory && Rights::own().own_it(stat);
    let Some(stat) = stat.filter(is_own_folder) else { return rename() };
    let mode = stat.st_mode & 0o7777;
    run.write_bytes(OPENED, &[format!("{mode:o} {}\n", stat.st_ino).as_bytes(), name.as_bytes()].concat())?;
    let renamed = grant_owner(&at, name).map_err(failed).and_then(|()| rename());
    put_back(run)?;
    renamed
}

/// Closes what was opened, wherever it is by now.
pub(super) fn put_back(run: &RunFolder) -> Result<()> {
    let text = run.bytes(OPENED)?;
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
    let (head, name) = text.split_at(end);
    let name = OsString::from_vec(name.get(1..).unwrap_or_default().to_vec());
    let numbers = || -> Option<(u32, u64)> {
        let (mode, inode) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        Some((u32::from_str_radix(mode, 8).ok()?, inode.parse().ok()?))
    };
    let (mode, inode) = numbers().ok_or_else(|| Error::needs_person(format!("{} is damaged", run.place().join(OPENED).display())))?;
    for folder in [Path::new("").to_owned(), run.spot.inside(BEFORE), run.spot.inside(STAGE), run.spot.inside(LATE)] {
        let Ok(at) = run.root.folder(&folder) else { continue };
        // One that could not be opened need not be closed, nor one that another user owns: nobody but he sets its mode.
        let is_others = |stat: &Stat| !Rights::own().own_it(stat) && !Rights::own().are_all(&at);
        let is_closed = |stat: &Stat| stat.st_mode & 0o7777 == mode || is_others(stat);
        if stat_entry(&at, &name).is_ok_and(|stat| stat.is_some_and(|stat| stat.st_ino == inode && is_closed(&stat))) {
            continue;
        }
        match set_mode(&at, &name, inode, mode) {
            Err(error) if !is_vanished(&error) => return Err(failed(&run.root.place_of(&folder.join(&name)), "set the mode of", error)),
            _ => {}
        }
    }
    run.remove_file(OPENED)
}
