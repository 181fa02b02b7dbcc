//! The cut-over and its undo: renames of the entries at the root, on one volume. No content is read or written.
//!
//! How far a swap came is told by one file, `swap.json`, written before each phase; every phase is a loop "move all that is still there", so it
//! can be begun again after a crash at any rename. What a writer makes at the root meanwhile is never overwritten: it goes to `late/`.
//!
//! ```text
//! (none) → taking-out → putting-in → swapped            cut_over
//!             ↓              ↓           ↓
//!             ↓          undo-taking-out ←              undo
//!             └→ undo-putting-back ← ↓ → undone         (as none)
//! ```

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::ports::{Context, Discard, Event, Road, Undone};
use plan::{Class, Error, Result};
use rustix::fs::{RenameFlags, fstat, fsync, renameat, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::hook::{Hook, Moment};
use crate::root::RootMeta;
use crate::run_folder::{RunFolder, Spot, failed};
use crate::runs;
use crate::stage::{STAGE, STAGED, Staged};
use crate::walk::{OWN_FOLDER, data_names};
use beneath::{Tree, stat_entry};

/// Name of the folder of the previous data.
pub(crate) const BEFORE: &str = "before";
/// Name of the folder of what a writer made in the middle of a swap.
pub(crate) const LATE: &str = "late";
/// The folders that a run may have.
pub(crate) const FOLDERS: [&str; 3] = [BEFORE, STAGE, LATE];
/// Name of the file of the phase.
pub(crate) const SWAP: &str = "swap.json";
/// How often the root is looked at again for what a writer made meanwhile.
const ROUNDS: u32 = 20;

/// How far a swap came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Live entries go to `before/`.
    TakingOut,
    /// Staged entries go to the root.
    PuttingIn,
    /// The restored data is live.
    Swapped,
    /// Entries of the root go to `stage/`.
    UndoTakingOut,
    /// Entries of `before/` go to the root.
    UndoPuttingBack,
    /// The previous data is live again.
    Undone,
    /// The previous data is being removed: there is nothing to swap any more.
    Discarding,
    /// The staged copy is being removed; the previous data is live.
    DroppingStaged,
}

impl Phase {
    /// Whether live data is neither the old nor the new.
    pub(crate) const fn is_half(self) -> bool {
        matches!(self, Self::TakingOut | Self::PuttingIn | Self::UndoTakingOut | Self::UndoPuttingBack)
    }
}

/// What is noted of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    pub(crate) phase: Phase,
    /// The root's own metadata before the cut-over.
    pub(crate) root_before: RootMeta,
    /// Counts up with each swap of this tree whose previous data is still kept.
    #[serde(default)]
    pub(crate) order: u64,
}

/// The phase of a run's swap; `None` before a cut-over.
pub(crate) fn phase(run: &RunFolder) -> Result<Option<Phase>> {
    Ok(run.read::<Swap>(SWAP)?.map(|swap| swap.phase))
}

struct Swapping<'a> {
    run: &'a RunFolder,
    context: &'a Context,
    hook: &'a Hook,
    swap: Swap,
}

/// Swaps the staged copy and the live data.
pub(crate) fn cut_over(context: &Context, data_set: DataSetName, root: &Arc<Tree>, spot: &Spot, hook: &Hook) -> Result<()> {
    if spot.road == Road::InPlace {
        return Ok(());
    }
    let gone = || runs::gone(&root.place_of(&spot.folder()).display().to_string(), spot);
    let run = RunFolder::open(root, spot)?.ok_or_else(gone)?;
    runs::read(&run)?.check_own(spot, data_set)?;
    let swap = match run.read::<Swap>(SWAP)? {
        Some(swap) => swap,
        None => {
            let root_before = RootMeta::of(root).map_err(|error| failed(&run.place(), "look above", error))?;
            Swap { phase: Phase::Undone, root_before, order: 0 }
        }
    };
    let mut swapping = Swapping { run: &run, context, hook, swap };
    match swapping.swap.phase {
        Phase::Swapped => return Ok(()),
        Phase::Undone => {
            run.read::<Staged>(STAGED)?.ok_or_else(gone)?;
            let all = runs::list(root)?;
            runs::refuse_half(&all, spot)?;
            swapping.swap.order = runs::next_order(&all, spot);
            swapping.check_mounts()?;
            swapping.context.stop.check()?;
            swapping.enter(Phase::TakingOut)?;
        }
        Phase::TakingOut | Phase::PuttingIn => {}
        Phase::UndoTakingOut | Phase::UndoPuttingBack => {
            return Err(Error::failed("an undo of the files has begun and is not finished").hint("Run undo again."));
        }
        Phase::Discarding | Phase::DroppingStaged => return Err(gone()),
    }
    if swapping.swap.phase == Phase::TakingOut {
        if let Err(error) = swapping.take_out(BEFORE) {
            return Err(swapping.give_up(error));
        }
        swapping.enter(Phase::PuttingIn)?;
    }
    swapping.put_in(STAGE)?;
    let staged = run.read::<Staged>(STAGED)?.unwrap_or_default();
    swapping.root_meta(staged.root.as_ref())?;
    swapping.enter(Phase::Swapped)
}

/// Takes a cut-over back, as far as it came.
pub(crate) fn undo(context: &Context, data_set: DataSetName, root: &Arc<Tree>, spot: &Spot, hook: &Hook) -> Result<Undone> {
    if spot.road == Road::InPlace {
        return Err(Error::needs_person("files that were replaced in place cannot be swapped back")
            .hint("Restore the safety copy that was taken before (it is a set of its own, see list)."));
    }
    let Some(run) = RunFolder::open(root, spot)? else { return Ok(Undone::NothingThere) };
    let found = runs::read(&run)?;
    found.check_own(spot, data_set)?;
    if let Some(undone) = found.undone()? {
        return Ok(undone);
    }
    let Some(swap) = run.read::<Swap>(SWAP)? else { return Ok(Undone::NothingThere) };
    let mut swapping = Swapping { run: &run, context, hook, swap };
    match swapping.swap.phase {
        Phase::Swapped => {
            runs::check_newest(&runs::list(root)?, spot, found.order)?;
            swapping.enter(Phase::UndoTakingOut)?;
        }
        Phase::PuttingIn => swapping.enter(Phase::UndoTakingOut)?,
        Phase::TakingOut => swapping.enter(Phase::UndoPuttingBack)?,
        Phase::UndoTakingOut | Phase::UndoPuttingBack | Phase::Undone | Phase::Discarding | Phase::DroppingStaged => {}
    }
    if swapping.swap.phase == Phase::UndoTakingOut {
        swapping.take_out(STAGE)?;
        swapping.enter(Phase::UndoPuttingBack)?;
    }
    swapping.put_back()?;
    Ok(Undone::PreviousIsLive)
}

/// Forbids every later swap. Refuses half-way, and what is not what is to go.
pub(crate) fn close(run: &RunFolder, data_set: DataSetName, what: Discard) -> Result<()> {
    let found = runs::read(run)?;
    found.check_own(&run.spot, data_set)?;
    let (Some(phase), Some(swap)) = (found.dropping(what)?, run.read::<Swap>(SWAP)?) else { return Ok(()) };
    run.write(SWAP, &Swap { phase, ..swap })
}

impl Swapping<'_> {
    /// Notes a phase, after all renames of the one before are on stable storage.
    fn enter(&mut self, phase: Phase) -> Result<()> {
        self.sync()?;
        self.hook.at(Moment::Moving, Path::new("swap.json")).map_err(|error| failed(&self.run.place(), "swap", error))?;
        self.swap.phase = phase;
        self.run.write(SWAP, &self.swap)
    }

    fn sync(&self) -> Result<()> {
        let folders = [BEFORE, STAGE, LATE].into_iter().map(|name| self.run.spot.inside(name));
        for folder in folders.chain([Path::new("").to_owned()]) {
            match self.run.root.folder(&folder) {
                Ok(fd) => fsync(&fd).map_err(|error| failed(&self.run.root.place_of(&folder), "sync", error.into()))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&self.run.root.place_of(&folder), "open", error)),
            }
        }
        Ok(())
    }

    /// Renames cannot move a mount point: found before anything is moved.
    fn check_mounts(&self) -> Result<()> {
        let root = &*self.run.root;
        let look = || -> io::Result<Option<OsString>> {
            let device = fstat(root)?.st_dev;
            for name in data_names(root)? {
                if stat_entry(root, &name)?.is_some_and(|stat| stat.st_dev != device) {
                    return Ok(Some(name));
                }
            }
            Ok(None)
        };
        match look().map_err(|error| failed(&root.place_of(Path::new("")), "list", error))? {
            None => Ok(()),
            Some(name) => Err(Error::refused(format!("another volume is mounted at {}", root.place_of(name.as_ref()).display()))
                .hint("Unmount it, or restore with --in-place.")),
        }
    }

    /// Root → a folder of the run, until the root stays empty.
    fn take_out(&self, to_name: &str) -> Result<()> {
        let to = self.run.make(to_name)?;
        for _ in 0..ROUNDS {
            let names = self.names(&self.run.root, Path::new(""))?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.move_entry(&name, &self.run.root, &to, &self.run.root)?;
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

    /// A folder of the run → root. An entry of that name at the root can only be a writer's: all others were taken out.
    fn put_in(&self, from_name: &str) -> Result<()> {
        let from = self.run.make(from_name)?;
        for name in self.names(&from, &self.run.spot.inside(from_name))? {
            self.move_entry(&name, &from, &self.run.root, &self.run.root)?;
        }
        Ok(())
    }

    fn put_back(&mut self) -> Result<()> {
        self.put_in(BEFORE)?;
        let before = self.swap.root_before.clone();
        self.root_meta(Some(&before))?;
        self.enter(Phase::Undone)
    }

    /// Nothing was put in yet: puts back what was taken out, so that an error means that nothing changed.
    fn give_up(&mut self, error: Error) -> Error {
        match self.enter(Phase::UndoPuttingBack).and_then(|()| self.put_back()) {
            Ok(()) => error.hint("Nothing was changed: all files are where they were."),
            Err(worse) => error.hint(format!("Putting back what was moved failed too ({}): run undo.", worse.chain())),
        }
    }

    fn names(&self, folder: impl AsFd, relative: &Path) -> Result<Vec<OsString>> {
        data_names(folder).map_err(|error| failed(&self.run.root.place_of(relative), "list", error))
    }

    /// Moves one entry; what stands in its way goes to `late/`, or the entry itself when it is the one at the root.
    fn move_entry(&self, name: &OsStr, from: impl AsFd, to: impl AsFd, root: &Tree) -> Result<()> {
        let place = || root.place_of(name.as_ref());
        self.hook.at(Moment::Moving, name.as_ref()).map_err(|error| failed(&place(), "move", error))?;
        match rename_new(&from, &to, name, name) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR) => {
                self.set_aside(name, root)?;
                match rename_new(&from, &to, name, name) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(error) => Err(failed(&place(), "move", error.into())),
                }
            }
            Err(error) => Err(failed(&place(), "move", error.into())),
        }
    }

    fn set_aside(&self, name: &OsStr, root: &Tree) -> Result<()> {
        let late = self.run.make(LATE)?;
        let place = root.place_of(name.as_ref());
        let text = format!(
            "{} was made in the middle of the swap; it is kept in {} until settle",
            place.display(),
            self.run.place().join(LATE).display()
        );
        self.context.watch.see(Event::Warning(&text));
        for number in 0..1000_u32 {
            // A name of its own, not the old one with a suffix: that may be too long already.
            let aside = if number == 0 { name.to_owned() } else { OsString::from(format!("late-{number}")) };
            match rename_new(root, &late, name, &aside) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::NOTDIR) => {}
                Err(error) => return Err(failed(&place, "move", error.into())),
            }
        }
        Err(Error::failed(format!("somebody keeps making {}", place.display())).hint("Stop the writers, then resume or undo."))
    }

    fn root_meta(&self, wanted: Option<&RootMeta>) -> Result<()> {
        let Some(wanted) = wanted else { return Ok(()) };
        let root = &self.run.root;
        let left = wanted.put_back(root).map_err(|error| failed(&root.place_of(Path::new("")), "set the metadata of", error))?;
        if let Some(text) = left {
            self.context.watch.see(Event::Warning(&text));
        }
        Ok(())
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
pub(crate) fn remove_own_folder(root: &Tree) -> Result<()> {
    match rustix::fs::unlinkat(root, OWN_FOLDER, rustix::fs::AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(error) => Err(failed(&root.place_of(OWN_FOLDER.as_ref()), "remove", error.into())),
    }
}
