//! Before a cut-over is undone, or a safety copy goes back in place: what was made or changed since it goes to `since/`, under its path. The restored data would go with it else, and nobody has it
//! twice. What changed is told by the volume's own clock: the time at which an inode changed cannot be set by anybody.
//!
//! A platform may touch all files when it mounts a volume for new pods (Kubernetes gives them to a group: `fsGroup`; labels of SELinux). Where no file at all is
//! unchanged, that was it: then what was written or made since counts.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beneath::{Tree, Writer, is_vanished, meta_of, mtime_ns, stat_entry};
use plan::ports::{Context, Event, Road};
use plan::{Error, Result};
use rustix::fs::{AtFlags, FileType, RenameFlags, Stat, StatxFlags, renameat_with, statx};
use rustix::io::Errno;

use super::steps::{BEFORE, SINCE, WHOLE, not_apart, told_not_intact, told_since, told_whole};
use crate::hook::Hook;
use crate::lent::Lent;
use crate::rights::Rights;
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

/// In seconds with a fraction.
fn parsed(time: &str) -> Result<i128> {
    nanoseconds(time).ok_or_else(|| Error::needs_person(format!("the time of the cut-over is none: {time:?}")))
}

/// Tells what changed in the previous data after `time`, when it had been taken out: nobody should have. Nothing is counted at the cut-over for this, when the
/// writers wait: an inode tells when it was changed, and a folder when something went from it.
pub(super) fn tell_of_previous(run: &RunFolder, time: &str, context: &Context) -> Result<()> {
    let tree = Arc::new(run.tree(BEFORE)?);
    let lent = Lent::default();
    let changed = changed_in(&tree, parsed(time)?, context, &lent);
    lent.give_back(&tree);
    if let (count, Some(first)) = changed? {
        run.write_bytes(WHOLE, b"")?;
        let place = run.place().display().to_string();
        let text = told_not_intact(count, &first.display().to_string(), &place, run.spot.run.as_str());
        context.watch.see(Event::Warning(&text));
    }
    Ok(())
}

/// How many entries, and the first.
fn changed_in(tree: &Arc<Tree>, since_ns: i128, context: &Context, lent: &Lent) -> Result<(u64, Option<PathBuf>)> {
    let change = Change { since_ns, all_touched: all_touched(tree, since_ns, context, lent)? };
    let (mut count, mut first) = (0, None);
    for found in Walk::new(Arc::clone(tree), Hook::default()).lending(Some(lent.clone())) {
        context.stop.check()?;
        // What cannot be looked into tells nothing.
        let Ok(found) = found else { continue };
        if stat_entry(&*found.folder, &found.name).ok().flatten().is_some_and(|stat| change.is_in(&stat, &found)) {
            count += 1;
            first.get_or_insert(found.path);
        }
    }
    Ok((count, first))
}

/// Moves what changed after `time`.
pub(super) fn keep(run: &RunFolder, time: &str, context: &Context) -> Result<()> {
    let time_ns = parsed(time)?;
    let lent = Lent::default();
    let mut kept = Kept::default();
    let moved = move_newer(run, time_ns, context, &lent, &mut kept);
    lent.give_back(&run.root);
    if kept.files + kept.folders > 0 {
        let text = told_since(kept.files, kept.folders, &kept.named, &run.place().display().to_string(), run.spot.run.as_str());
        context.watch.see(Event::Warning(&text));
    }
    moved
}

fn move_newer(run: &RunFolder, time_ns: i128, context: &Context, lent: &Lent, kept: &mut Kept) -> Result<()> {
    let mut to: Option<Tree> = None;
    let stays = match run.spot.road {
        Road::SideCopy => Rights::own().all_bound(&run.root)?,
        Road::InPlace => BTreeSet::new(),
    };
    let change = Change { since_ns: time_ns, all_touched: all_touched(&run.root, time_ns, context, lent)? };
    for found in Walk::new(Arc::clone(&run.root), Hook::default()).lending(Some(lent.clone())) {
        context.stop.check()?;
        let path = found.as_ref().map_or_else(|missed| &missed.path, |found| &found.path);
        if path.iter().next().is_some_and(|name| stays.contains(name)) {
            continue;
        }
        let moved = match found {
            Ok(found) => move_one(run, &found, change, kept, &mut to),
            Err(missed) if is_vanished(&missed.error) => Ok(()),
            Err(missed) => Err(failed(&run.root.place_of(&missed.path), "look at", missed.error)),
        };
        let Err(error) = moved else { continue };
        // In place it would be lost.
        if run.spot.road == Road::InPlace {
            return Err(not_apart(&format!("something in {}", run.root.place_of(Path::new("")).display())).because(error));
        }
        // An undo does not end for it, and nothing is lost by it.
        run.write_bytes(WHOLE, b"")?;
        context.watch.see(Event::Warning(&told_whole(&error.chain(), &run.place().display().to_string(), run.spot.run.as_str())));
    }
    Ok(())
}

fn move_one(run: &RunFolder, found: &Found, change: Change, kept: &mut Kept, to: &mut Option<Tree>) -> Result<()> {
    let place = || run.root.place_of(&found.path);
    let stat = stat_entry(&*found.folder, &found.name).map_err(|error| failed(&place(), "look at", error))?;
    let Some(stat) = stat.filter(|stat| change.is_in(stat, found)) else { return Ok(()) };
    let is_folder = is_folder(&stat);
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

/// What counts as changed.
#[derive(Debug, Clone, Copy)]
struct Change {
    since_ns: i128,
    all_touched: bool,
}

impl Change {
    fn is_in(self, stat: &Stat, found: &Found) -> bool {
        let is_written = mtime_ns(stat) > self.since_ns;
        let is_touched = changed_ns(stat) > self.since_ns;
        // A folder that the undo of a later run has renamed is touched too, but nothing in it was changed.
        is_touched && (is_written || !is_folder(stat) && (!self.all_touched || self.is_new(found)))
    }

    /// Made since; no, where the file system does not tell.
    fn is_new(self, found: &Found) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let made = statx(&*found.folder, &found.name, flags, StatxFlags::BTIME).ok();
        made.filter(|stat| stat.stx_mask & StatxFlags::BTIME.bits() != 0)
            .is_some_and(|stat| i128::from(stat.stx_btime.tv_sec) * 1_000_000_000 + i128::from(stat.stx_btime.tv_nsec) > self.since_ns)
    }
}

/// Whether there are files, and none is unchanged. Ends at the first that is.
fn all_touched(tree: &Arc<Tree>, time_ns: i128, context: &Context, lent: &Lent) -> Result<bool> {
    let mut touched = false;
    for found in Walk::new(Arc::clone(tree), Hook::default()).lending(Some(lent.clone())) {
        context.stop.check()?;
        let Ok(found) = found else { continue };
        match stat_entry(&*found.folder, &found.name) {
            Ok(Some(stat)) if !is_folder(&stat) && changed_ns(&stat) <= time_ns => return Ok(false),
            Ok(Some(stat)) => touched |= !is_folder(&stat),
            _ => {}
        }
    }
    Ok(touched)
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
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
