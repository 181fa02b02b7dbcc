//! The cut-over and its undo over a mounted tree: renames of the entries at the root, on one volume. No content is read or written. What is done when is told by
//! [`steps`].

mod exchange;
mod opened;
mod since;
pub(crate) mod steps;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, Event, Road};
use plan::{Class, Error, Result};
use rustix::fs::{AtFlags, RenameFlags, fsync, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use self::steps::{BEFORE, COUNT, Hands, KEPT, LATE, Leaves, SINCE, SWAP, Seen, Step, WHOLE};
use crate::hook::{Hook, Moment};
use crate::mounts;
use crate::remove::{remove, remove_all_but};
use crate::rights::Rights;
use crate::root::{self, RootMeta};
use crate::run_folder::{ROOM, RunFolder, Spot, failed};
use crate::runs::{self, MARK, REPLACED};
use crate::stage::{STAGE, STAGED};
use crate::walk::{OWN_FOLDER, data_names};
use beneath::{Tree, stat_entry};

/// How often the root is looked at again for what a writer made meanwhile.
const ROUNDS: u32 = 20;

/// See the module.
pub(crate) struct Swapping<'a> {
    pub(crate) context: &'a Context,
    pub(crate) data_set: DataSetName,
    pub(crate) root: &'a Arc<Tree>,
    pub(crate) spot: &'a Spot,
    pub(crate) hook: &'a Hook,
}

impl Hands for Swapping<'_> {
    fn see(&self) -> Result<Seen> {
        let run = RunFolder::open(self.root, self.spot)?;
        let place = self.root.place_of(&self.spot.folder());
        Ok(Seen {
            data_set: self.data_set,
            spot: self.spot.clone(),
            place: place.display().to_string(),
            all: runs::list(self.root)?,
            staged: run.as_ref().map(|run| run.read(STAGED)).transpose()?.flatten(),
            root: RootMeta::of(self.root).map_err(|error| failed(&place, "look above", error))?,
        })
    }

    fn act(&self, _what: &str, steps: &[Step]) -> Result<Result<()>> {
        let Some(run) = RunFolder::open(self.root, self.spot)? else {
            return Ok(root::keeping_time(self.root, || remove_own_folder(self.root)));
        };
        let acting = Acting { run, context: self.context, hook: self.hook };
        let sets_mode = steps.iter().any(|step| matches!(step, Step::Root(_))) && !root::is_mount_root(self.root).unwrap_or(true);
        Ok(root::held_open(self.root, sets_mode, || {
            opened::put_back(&acting.run)?;
            steps.iter().try_for_each(|step| acting.step(step))
        }))
    }
}

struct Acting<'a> {
    run: RunFolder,
    context: &'a Context,
    hook: &'a Hook,
}

impl Acting<'_> {
    fn step(&self, step: &Step) -> Result<()> {
        match step {
            Step::Movable => self.check_movable(),
            Step::Enter(swap) => {
                self.sync()?;
                self.hook.at(Moment::Moving, Path::new(SWAP)).map_err(|error| failed(&self.run.place(), "swap", error))?;
                self.run.write(SWAP, swap)
            }
            Step::Unfixed => self.check_unfixed(),
            Step::Take(to) => self.take_out(to, false),
            Step::TakeOwn(to) => self.take_out(to, true),
            Step::Exchange => exchange::forth(&self.run, self.context, self.hook),
            Step::ExchangeBack => exchange::back(&self.run, self.context, self.hook),
            Step::Count => self.run.write_bytes(COUNT, self.previous()?.to_string().as_bytes()),
            Step::Counted => self.counted(),
            Step::Put(from) => self.put_in(from),
            Step::Root(wanted) => self.root_meta(wanted),
            Step::Replaced(runs) => runs.iter().try_for_each(|run| self.note_replaced(run, true)),
            Step::NotReplaced(runs) => runs.iter().try_for_each(|run| self.note_replaced(run, false)),
            Step::Tick => self.run.tick(),
            Step::Since(time) => since::keep(&self.run, time, self.context),
            Step::Intact(time) => since::tell_of_previous(&self.run, time, self.context),
            Step::Removable => [BEFORE, STAGE].into_iter().chain(KEPT).try_for_each(|name| self.check_removable(name)),
            Step::Remove(leaves) => self.remove(*leaves),
        }
    }

    fn sync(&self) -> Result<()> {
        let folders = [BEFORE, STAGE, LATE, SINCE].into_iter().map(|name| self.run.spot.inside(name));
        for folder in folders.chain([Path::new("").to_owned()]) {
            match self.run.root.folder(&folder) {
                Ok(fd) => fsync(&fd).map_err(|error| failed(&self.run.root.place_of(&folder), "sync", error.into()))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&self.run.root.place_of(&folder), "open", error)),
            }
        }
        Ok(())
    }

    /// What renames cannot move is found before anything is moved.
    fn check_movable(&self) -> Result<()> {
        self.check_unfixed()?;
        let root = &*self.run.root;
        let bound = Rights::own().first_unmovable(root)?;
        bound.map_or(Ok(()), |(name, bond)| Err(bond.refuses_move(&root.place_of(&name))))
    }

    fn check_unfixed(&self) -> Result<()> {
        let root = &*self.run.root;
        mounts::check(root)?;
        let here = OsString::new();
        for name in [here].into_iter().chain(self.names(root, Path::new(""))?) {
            if mounts::is_fixed(root, &name) {
                let place = root.place_of(name.as_ref());
                return Err(Error::refused(format!("{} cannot be moved", place.display())).hint(mounts::chattr(&place)));
            }
        }
        Ok(())
    }

    /// Root → a folder of the run, until the root stays empty: but for what this user may not move, where that is to stay.
    fn take_out(&self, to_name: &str, passes_by: bool) -> Result<()> {
        let to = self.run.make(to_name)?;
        for _ in 0..ROUNDS {
            let names = self.names(&self.run.root, Path::new(""))?;
            let (bound, names): (Vec<_>, Vec<_>) =
                names.into_iter().partition(|name| passes_by && Rights::own().is_bound(&self.run.root, name));
            if names.is_empty() {
                let tell = |name: &OsString| {
                    let place = self.run.root.place_of(name.as_ref()).display().to_string();
                    self.context.watch.see(Event::Warning(&steps::told_stays(&place)));
                };
                bound.iter().for_each(tell);
                return Ok(());
            }
            for name in names {
                self.move_entry(&name, &self.run.root, &to)?;
            }
        }
        let left = self.names(&self.run.root, Path::new(""))?;
        let shown: Vec<_> = left.iter().take(5).map(|name| name.display().to_string()).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Class::Failed,
            format!("somebody keeps making files in {}: {}", self.run.root.place_of(Path::new("")).display(), shown.join(", ")),
        )
        .hint("Stop the writers, then resume or undo."))
    }

    /// One that has gone meanwhile needs no note.
    fn note_replaced(&self, other: &str, is_replaced: bool) -> Result<()> {
        let spot = Spot::new(RunId(other.to_owned()), Road::SideCopy);
        let Some(other) = RunFolder::open(&self.run.root, &spot)? else { return Ok(()) };
        if is_replaced { other.write_bytes(REPLACED, self.run.spot.run.as_str().as_bytes()) } else { other.remove_file(REPLACED) }
    }

    /// How many entries were taken out.
    fn previous(&self) -> Result<usize> {
        Ok(self.names(self.run.make(BEFORE)?, &self.run.spot.inside(BEFORE))?.len())
    }

    /// Runs of version 0.2 and before did not count.
    fn counted(&self) -> Result<()> {
        let noted = self.run.bytes(COUNT)?;
        if noted.is_empty() || noted == self.previous()?.to_string().as_bytes() {
            return Ok(());
        }
        Err(steps::not_all_there(&self.run.place().display().to_string(), self.run.spot.run.as_str()))
    }

    /// A folder of the run → root. An entry of that name at the root can only be a writer's: all others were taken out. One that another user has made there, and that
    /// cannot be set aside, holds up nothing else.
    fn put_in(&self, from_name: &str) -> Result<()> {
        let (root, from) = (&*self.run.root, self.run.make(from_name)?);
        let mut all = Ok(());
        for name in self.names(&from, &self.run.spot.inside(from_name))? {
            match self.move_entry(&name, &from, root) {
                Err(error) if Rights::own().is_bound(root, &name) => all = all.and(Err(error)),
                done => done?,
            }
        }
        all
    }

    fn names(&self, folder: impl AsFd, relative: &Path) -> Result<Vec<OsString>> {
        data_names(folder).map_err(|error| failed(&self.run.root.place_of(relative), "list", error))
    }

    /// Moves one entry; what stands in its way goes to `late/`, or the entry itself when it is the one at the root.
    fn move_entry(&self, name: &OsStr, from: impl AsFd, to: impl AsFd) -> Result<()> {
        let place = || self.run.root.place_of(name.as_ref());
        self.hook.at(Moment::Moving, name.as_ref()).map_err(|error| failed(&place(), "move", error))?;
        let moved = |done| match done {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&place(), "move", io::Error::from(error))),
        };
        match rename_new(&from, &to, name, name) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR) => {
                self.set_aside(name)?;
                moved(rename_new(&from, &to, name, name))
            }
            // A folder that is moved is changed, so its owner must be allowed to write into it.
            Err(Errno::ACCESS) => opened::with(&self.run, &from, name, || moved(rename_new(&from, &to, name, name))),
            done => moved(done),
        }
    }

    fn set_aside(&self, name: &OsStr) -> Result<()> {
        let root = &self.run.root;
        let late = self.run.make(LATE)?;
        let place = root.place_of(name.as_ref());
        let text = steps::told_late(&place.display().to_string(), &self.run.place().join(LATE).display().to_string());
        self.context.watch.see(Event::Warning(&text));
        for number in 0..1000_u32 {
            // A name of its own, not the old one with a suffix: that may be too long already.
            let aside = if number == 0 { name.to_owned() } else { OsString::from(format!("late-{number}")) };
            let rename = || match rename_new(root, &late, name, &aside) {
                Ok(()) | Err(Errno::NOENT) => Ok(true),
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR) => Ok(false),
                Err(error) => Err(error),
            };
            let done = match rename() {
                Err(Errno::ACCESS) => {
                    opened::with(&self.run, root, name, || rename().map_err(|error| failed(&place, "move", error.into())))?
                }
                done => done.map_err(|error| failed(&place, "move", error.into()))?,
            };
            if done {
                return Ok(());
            }
        }
        Err(Error::failed(format!("somebody keeps making {}", place.display())).hint("Stop the writers, then resume or undo."))
    }

    fn root_meta(&self, wanted: &RootMeta) -> Result<()> {
        let root = &self.run.root;
        let left = wanted.put_back(root).map_err(|error| failed(&root.place_of(Path::new("")), "set the metadata of", error))?;
        if let Some(text) = left {
            self.context.watch.see(Event::Warning(&text));
        }
        Ok(())
    }

    /// First the data, last what tells of it. The mark goes before the folder: without it nobody takes what is left for a half replacement.
    fn remove(&self, leaves: Leaves) -> Result<()> {
        let (root, spot, stop) = (&self.run.root, &self.run.spot, &self.context.stop);
        let keeps = leaves == Leaves::Kept;
        let stays_whole = keeps && self.run.has(WHOLE)?;
        let goes = |name: &str| name == BEFORE || !keeps || (name == STAGE && !stays_whole);
        let gone: Vec<&str> = [BEFORE, STAGE].into_iter().chain(KEPT).filter(|name| goes(name)).collect();
        let mut first_bound = None;
        if leaves != Leaves::Nothing {
            for name in gone {
                first_bound = first_bound.or(remove_all_but(root, &spot.inside(name), stop)?);
            }
        } else {
            gone.iter().try_for_each(|name| remove(root, &spot.inside(name), stop))?;
        }
        if let Some(first) = first_bound {
            let (first, place) = (root.place_of(&first).display().to_string(), self.run.place().display().to_string());
            self.context.watch.see(Event::Warning(&steps::told_bound(&first, &place, spot.run.as_str())));
            return Ok(());
        }
        if keeps && (stays_whole || self.holds_kept()?) {
            // In place it tells that the load came to its end: without it the data would look half replaced.
            let goes = [ROOM, COUNT, STAGED].into_iter().filter(|name| *name != STAGED || spot.road == Road::SideCopy);
            return goes.into_iter().try_for_each(|name| self.run.remove_file(name));
        }
        self.run.remove_file(MARK)?;
        remove(root, &spot.folder(), stop)?;
        root::keeping_time(root, || remove_own_folder(root))
    }

    /// What another user owns is found before the first file goes.
    fn check_removable(&self, name: &str) -> Result<()> {
        if !self.run.has(name)? {
            return Ok(());
        }
        let tree = Arc::new(self.run.tree(name)?);
        let bound = Rights::own().first_unremovable(&tree, &self.context.stop)?;
        let outcome = steps::nothing_removed(self.run.spot.run.as_str());
        bound.map_or(Ok(()), |(path, bond)| Err(bond.refuses_removal(&tree.place_of(&path), &outcome)))
    }

    /// Whether there is what nobody can make again. Empty folders are none.
    fn holds_kept(&self) -> Result<bool> {
        let mut holds = false;
        for name in KEPT.into_iter().map(|name| self.run.spot.inside(name)) {
            holds |= match self.run.root.folder(&name) {
                Ok(folder) => {
                    beneath::Names::read(&folder).map_err(|error| failed(&self.run.root.place_of(&name), "list", error))?.peek().is_some()
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(failed(&self.run.root.place_of(&name), "open", error)),
            };
        }
        Ok(holds)
    }
}

/// Renames, but never over something. File systems without that promise (NFS) are asked first.
fn rename_new(from: impl AsFd, to: impl AsFd, name: &OsStr, new_name: &OsStr) -> rustix::io::Result<()> {
    match renameat_with(&from, name, &to, new_name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match stat_entry(&to, new_name) {
            Ok(None) => renameat(&from, name, &to, new_name),
            Ok(Some(_)) => Err(Errno::EXIST),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        },
        other => other,
    }
}

/// Removes `.threescale-backup/` when nothing is left in it.
fn remove_own_folder(root: &Tree) -> Result<()> {
    match unlinkat(root, OWN_FOLDER, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        // A volume that can only be read says so before it looks whether there is anything.
        Err(Errno::ROFS) if matches!(statat(root, OWN_FOLDER, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT)) => Ok(()),
        Err(error) => Err(failed(&root.place_of(OWN_FOLDER.as_ref()), "remove", error.into())),
    }
}
