//! Before a cut-over is undone: what was made or changed since it goes to `since/`, under its path. The restored data would go with it else, and nobody has it
//! twice. What changed is told by the volume's own clock: the time at which an inode changed cannot be set by anybody.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use beneath::{Tree, Writer, is_vanished, meta_of, mtime_ns, stat_entry};
use plan::ports::{Context, Event};
use plan::{Error, Result};
use rustix::fs::{FileType, RenameFlags, Stat, renameat_with};
use rustix::io::Errno;

use super::steps::{SINCE, WHOLE, told_since, told_whole};
use crate::hook::Hook;
use crate::lent::Lent;
use crate::run_folder::{RunFolder, failed};
use crate::times::nanoseconds;
use crate::walk::{Found, Walk};

/// How many are named.
const NAMED: usize = 5;

#[derive(Default)]
struct Kept {
    files: u64,
    folders: u64,
    named: Vec<String>,
}

/// Moves what changed after `time` (seconds with a fraction).
pub(super) fn keep(run: &RunFolder, time: &str, context: &Context) -> Result<()> {
    let time_ns = nanoseconds(time).ok_or_else(|| Error::needs_person(format!("the time of the cut-over is none: {time:?}")))?;
    let lent = Lent::default();
    let kept = move_newer(run, time_ns, context, &lent);
    lent.give_back(&run.root);
    let kept = kept?;
    if kept.files + kept.folders > 0 {
        let text = told_since(kept.files, kept.folders, &kept.named, &run.place().display().to_string(), run.spot.run.as_str());
        context.watch.see(Event::Warning(&text));
    }
    Ok(())
}

fn move_newer(run: &RunFolder, time_ns: i128, context: &Context, lent: &Lent) -> Result<Kept> {
    let (mut kept, mut to): (Kept, Option<Tree>) = (Kept::default(), None);
    for found in Walk::new(Arc::clone(&run.root), Hook::default()).lending(Some(lent.clone())) {
        context.stop.check()?;
        let moved = match found {
            Ok(found) => move_one(run, &found, time_ns, &mut kept, &mut to),
            Err(missed) if is_vanished(&missed.error) => Ok(()),
            Err(missed) => Err(failed(&run.root.place_of(&missed.path), "look at", missed.error)),
        };
        // An undo does not end for it, and nothing is lost by it.
        if let Err(error) = moved {
            run.write_bytes(WHOLE, b"")?;
            context.watch.see(Event::Warning(&told_whole(&error.chain(), &run.place().display().to_string(), run.spot.run.as_str())));
        }
    }
    Ok(kept)
}

fn move_one(run: &RunFolder, found: &Found, time_ns: i128, kept: &mut Kept, to: &mut Option<Tree>) -> Result<()> {
    let place = || run.root.place_of(&found.path);
    let stat = stat_entry(&*found.folder, &found.name).map_err(|error| failed(&place(), "look at", error))?;
    let Some(stat) = stat.filter(|stat| changed_ns(stat) > time_ns) else { return Ok(()) };
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    // The undo of a later run has renamed it.
    if is_folder && mtime_ns(&stat) <= time_ns {
        return Ok(());
    }
    let to = match to {
        Some(to) => to,
        none => none.insert(Tree::of(run.make(SINCE)?, run.place().join(SINCE))),
    };
    let folder = if is_folder { found.path.as_path() } else { found.path.parent().unwrap_or_else(|| Path::new("")) };
    let into = make_all(&run.root, to, folder)?;
    if is_folder {
        kept.folders += 1;
    } else if move_into(&found.folder, &found.name, &into).map_err(|error| failed(&place(), "keep", error.into()))? {
        kept.files += 1;
        if kept.named.len() < NAMED {
            kept.named.push(found.path.display().to_string());
        }
    }
    Ok(())
}

fn changed_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec)
}

/// The folder of that path in `since/`, made with the owner and the mode of the live one; its owner may list and change it.
fn make_all(live: &Tree, to: &Tree, path: &Path) -> Result<OwnedFd> {
    let failed = |error| failed(&to.place_of(path), "make", error);
    match to.folder(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        done => return done.map_err(failed),
    }
    let mut ancestors: Vec<_> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    ancestors.reverse();
    for path in ancestors {
        let mut writer = Writer::new(to);
        let made = writer.make_folder(path, true);
        made.map_err(|fault| crate::stage::failed_at(&to.place_of(path), fault))?;
        let look = live.parent(path).and_then(|(folder, name)| stat_entry(folder, name));
        if let Some(stat) = look.map_err(failed)? {
            let mut meta = meta_of(&stat, false);
            meta.mode |= 0o700;
            writer.finish_folder(path, &meta).map_err(|fault| crate::stage::failed_at(&to.place_of(path), fault))?;
        }
    }
    to.folder(path).map_err(failed)
}

/// Whether there was anything to move. What an earlier try moved is not overwritten.
fn move_into(from: impl AsFd, name: &OsStr, to: impl AsFd) -> rustix::io::Result<bool> {
    match super::rename_new(&from, &to, name, name) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        // Made again under the same name since an earlier try: the newer one wins, the older is there under its own number.
        Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR) => {
            let number = stat_entry(&to, name).ok().flatten().map_or(0, |stat| stat.st_ino);
            renameat_with(&to, name, &to, format!("since-{number}"), RenameFlags::NOREPLACE)?;
            super::rename_new(&from, &to, name, name).map(|()| true)
        }
        Err(error) => Err(error),
    }
}
