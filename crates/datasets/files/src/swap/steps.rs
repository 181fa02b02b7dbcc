//! What a cut-over, its undo and a removal do, by how far the swap came: pure rules, for the mounted tree and for one in a pod.
//!
//! How far a swap came is told by one file, `swap.json`, written before each phase; every phase is a loop "move all that is still there", so it can be begun
//! again after a crash at any rename. What a writer makes at the root meanwhile is never overwritten: it goes to `late/`.
//!
//! ```text
//! (none) → taking-out → putting-in → swapped            cut_over
//!             ↓              ↓           ↓
//!             ↓          undo-taking-out ←              undo
//!             └→ undo-putting-back ← ↓ → undone         (as none)
//! ```

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Discard, Road, Undone};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::root::RootMeta;
use crate::run_folder::Spot;
use crate::runs::{self, Found};
use crate::stage::{STAGE, Staged, is_put_back};

/// Name of the folder of the previous data.
pub(crate) const BEFORE: &str = "before";
/// Name of the folder of what a writer made in the middle of a swap.
pub(crate) const LATE: &str = "late";
/// Name of the folder of what was made or changed after the cut-over, when that was undone.
pub(crate) const SINCE: &str = "since";
/// Name of the file that says that the restored copy stays with what was made since, because that could not be kept apart.
pub(crate) const WHOLE: &str = "since-is-in-stage";
/// Name of the file that says how many entries [`BEFORE`] has.
pub(crate) const COUNT: &str = "before-count";
/// The folders that hold what nobody can make again: they outlive an undo.
pub(crate) const KEPT: [&str; 2] = [LATE, SINCE];
/// Name of the file of the phase.
pub(crate) const SWAP: &str = "swap.json";

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
    /// What was made since goes to `since/`, all else of the root to `stage/`.
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
    /// While a finished cut-over is undone: when it was finished, by the volume's clock, in seconds with a fraction. Whatever changed later is not of the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swapped_at: Option<String>,
}

/// One act on the tree. Each may be begun again after a crash at any point in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Refuses when a mount point, or what cannot be renamed, is among the data.
    Movable,
    /// The same, but for what another user has made there: an undo leaves that where it is.
    Unfixed,
    /// Notes how far the swap came, when all that was done before is on stable storage.
    Enter(Swap),
    /// All data at the root goes into a folder of the run, until the root stays empty.
    Take(&'static str),
    /// The same, but for what this user may not move, which is told.
    TakeOwn(&'static str),
    /// Each file that is staged takes the place of the live one, which goes to [`BEFORE`].
    Exchange,
    /// What took a place goes back to [`STAGE`], or to `since/` where it is not any more what was put in; what was there goes back.
    ExchangeBack,
    /// Notes how many entries were taken out.
    Count,
    /// Refuses when not all of these are there any more.
    Counted,
    /// All that is in a folder of the run goes to the root.
    Put(&'static str),
    /// The root's own metadata.
    Root(RootMeta),
    /// These runs, which keep what they replaced, were replaced themselves.
    Replaced(Vec<String>),
    /// They are not any more.
    NotReplaced(Vec<String>),
    /// Waits until the volume's clock is past all that was done: what is made from now on is newer.
    Tick,
    /// What was changed at the root at this time or later goes to `since/`, by its path.
    Since(String),
    /// Tells what was changed in [`BEFORE`] at this time or later: the restored copy then stays, for what may be missing.
    Intact(String),
    /// Refuses when what the run left cannot all be removed.
    Removable,
    /// Removes what the run left.
    Remove(Leaves),
}

/// What a removal leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Nothing,
    /// [`KEPT`], where they hold anything; and what this user may not remove.
    Kept,
    /// What this user may not remove, of which nobody asks any more: it stands in no run's way.
    Bound,
}

/// What is known before a verb begins.
pub(crate) struct Seen {
    pub(crate) data_set: DataSetName,
    pub(crate) spot: Spot,
    /// The run's folder, for people.
    pub(crate) place: String,
    /// All runs' folders.
    pub(crate) all: Vec<Found>,
    pub(crate) staged: Option<Staged>,
    /// The root's own metadata now.
    pub(crate) root: RootMeta,
}

impl Seen {
    fn found(&self) -> Result<Option<&Found>> {
        let found = self.all.iter().find(|found| found.run == self.spot.run.as_str());
        found.map(|found| found.check_own(&self.spot, self.data_set)).transpose()?;
        Ok(found)
    }

    fn others(&self, which: impl Fn(&Found) -> bool) -> impl Iterator<Item = String> {
        self.all.iter().filter(move |found| found.run != self.spot.run.as_str() && which(found)).map(|found| found.run.clone())
    }

    /// What a cut-over does; nothing when it is done.
    pub(crate) fn cut_over(&self) -> Result<Vec<Step>> {
        let gone = || runs::gone(&self.place, &self.spot);
        if self.spot.road == Road::InPlace {
            return Ok(Vec::new());
        }
        let found = self.found()?.ok_or_else(gone)?;
        if found.are_some {
            return self.put_some(found);
        }
        let new = || Swap { phase: Phase::Undone, root_before: self.root.clone(), order: 0, swapped_at: None };
        let swap = found.swap.clone().unwrap_or_else(new);
        let mut steps = Vec::new();
        let begin = match swap.phase {
            Phase::Swapped => return Ok(steps),
            Phase::Undone => {
                self.staged.as_ref().ok_or_else(gone)?;
                runs::refuse_half(&self.all, &self.spot)?;
                Swap { phase: Phase::TakingOut, order: runs::next_order(&self.all, &self.spot), swapped_at: None, ..swap }
            }
            Phase::TakingOut | Phase::PuttingIn => swap,
            Phase::UndoTakingOut | Phase::UndoPuttingBack => {
                return Err(Error::failed("an undo of the files has begun and is not finished").hint("Run undo again."));
            }
            Phase::Discarding | Phase::DroppingStaged => return Err(gone()),
        };
        let enter = |phase| Step::Enter(Swap { phase, ..begin.clone() });
        if found.phase().is_none_or(|phase| phase == Phase::Undone) {
            steps.extend([Step::Movable, enter(Phase::TakingOut)]);
        }
        if begin.phase == Phase::TakingOut {
            steps.extend([Step::Take(BEFORE), Step::Count, enter(Phase::PuttingIn)]);
        }
        steps.push(Step::Put(STAGE));
        steps.extend(self.staged.as_ref().and_then(|staged| staged.root.clone()).map(Step::Root));
        let before: Vec<_> = self.others(|found| found.phase() == Some(Phase::Swapped) && found.replaced_by.is_none()).collect();
        steps.extend((!before.is_empty()).then_some(Step::Replaced(before)));
        steps.extend([Step::Tick, enter(Phase::Swapped)]);
        Ok(steps)
    }

    /// What an undo does, or what it found when there is nothing to swap back.
    pub(crate) fn undo(&self) -> Result<std::result::Result<Vec<Step>, Undone>> {
        if self.spot.road == Road::InPlace {
            return Err(Error::needs_person("files that were replaced in place cannot be swapped back")
                .hint("Restore the safety copy that was taken before (it is a set of its own, see list)."));
        }
        let Some(found) = self.found()? else { return Ok(Err(Undone::NothingThere)) };
        if let Some(undone) = found.undone()? {
            return Ok(Err(undone));
        }
        let Some(swap) = &found.swap else { return Ok(Err(Undone::NothingThere)) };
        let mut swap = swap.clone();
        if found.are_some {
            return self.take_some_back(swap).map(Ok);
        }
        let mut steps = Vec::new();
        match swap.phase {
            Phase::Swapped => {
                runs::check_newest(&self.all, &self.spot, swap.order)?;
                swap.swapped_at.clone_from(&found.live_at);
                steps.extend([Step::Counted, Step::Unfixed, Step::Enter(Swap { phase: Phase::UndoTakingOut, ..swap.clone() })]);
            }
            Phase::PuttingIn => steps.extend([Step::Counted, Step::Enter(Swap { phase: Phase::UndoTakingOut, ..swap.clone() })]),
            Phase::TakingOut => steps.push(Step::Enter(Swap { phase: Phase::UndoPuttingBack, ..swap.clone() })),
            Phase::UndoTakingOut | Phase::UndoPuttingBack | Phase::Undone | Phase::Discarding | Phase::DroppingStaged => {}
        }
        if matches!(swap.phase, Phase::PuttingIn | Phase::Swapped | Phase::UndoTakingOut) {
            let since = swap.swapped_at.as_ref();
            steps.extend(since.map(|time| [Step::Since(time.clone()), Step::Intact(time.clone())]).into_iter().flatten());
            steps.extend([Step::TakeOwn(STAGE), Step::Enter(Swap { phase: Phase::UndoPuttingBack, ..swap.clone() })]);
        }
        let before: Vec<_> = self.others(|found| found.replaced_by.as_deref() == Some(self.spot.run.as_str())).collect();
        steps.extend((!before.is_empty()).then_some(Step::NotReplaced(before)));
        steps.extend(put_back(&swap));
        Ok(Ok(steps))
    }

    /// What a cut-over of some files alone does.
    fn put_some(&self, found: &Found) -> Result<Vec<Step>> {
        let gone = || runs::gone(&self.place, &self.spot);
        let new = || Swap { phase: Phase::Undone, root_before: self.root.clone(), order: 0, swapped_at: None };
        let swap = found.swap.clone().unwrap_or_else(new);
        let mut steps = Vec::new();
        match swap.phase {
            Phase::Swapped => return Ok(steps),
            Phase::Undone => {
                self.staged.as_ref().filter(|staged| staged.are_some).ok_or_else(gone)?;
                runs::refuse_half(&self.all, &self.spot)?;
                let order = runs::next_order(&self.all, &self.spot);
                steps.extend([Step::Unfixed, Step::Enter(Swap { phase: Phase::PuttingIn, order, swapped_at: None, ..swap.clone() })]);
                steps.extend([Step::Exchange, Step::Tick, Step::Enter(Swap { phase: Phase::Swapped, order, swapped_at: None, ..swap })]);
            }
            Phase::PuttingIn => steps.extend([Step::Exchange, Step::Tick, Step::Enter(Swap { phase: Phase::Swapped, ..swap })]),
            Phase::UndoTakingOut | Phase::UndoPuttingBack => {
                return Err(Error::failed("an undo of the files has begun and is not finished").hint("Run undo again."));
            }
            Phase::TakingOut | Phase::Discarding | Phase::DroppingStaged => return Err(gone()),
        }
        Ok(steps)
    }

    /// What its undo does.
    fn take_some_back(&self, swap: Swap) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        if swap.phase == Phase::Swapped {
            runs::check_newest(&self.all, &self.spot, swap.order)?;
            steps.push(Step::Unfixed);
        }
        if swap.phase != Phase::UndoPuttingBack {
            steps.push(Step::Enter(Swap { phase: Phase::UndoPuttingBack, ..swap.clone() }));
        }
        steps.extend([Step::ExchangeBack, Step::Enter(Swap { phase: Phase::Undone, swapped_at: None, ..swap })]);
        Ok(steps)
    }

    /// After a cut-over that failed while it took out: puts back what was taken, so that the error means that nothing changed. `None` when it came further.
    pub(crate) fn give_up(&self) -> Option<Vec<Step>> {
        let swap = self.found().ok()??.swap.as_ref().filter(|swap| swap.phase == Phase::TakingOut)?;
        let mut steps = vec![Step::Enter(Swap { phase: Phase::UndoPuttingBack, ..swap.clone() })];
        steps.extend(put_back(swap));
        Some(steps)
    }

    /// What the removal of what the run left does. Refuses half-way, and what is not what is to go.
    pub(crate) fn discard(&self, what: Discard) -> Result<Vec<Step>> {
        let Some(found) = self.found()? else { return Ok(Vec::new()) };
        let dropped = found.dropping(what)?;
        // Before the previous data counts as dropped.
        let mut steps = Vec::new();
        steps.extend((what == Discard::Previous).then_some(Step::Removable));
        if let (Some(phase), Some(swap)) = (dropped, &found.swap) {
            steps.push(Step::Enter(Swap { phase, ..swap.clone() }));
        }
        steps.push(Step::Remove(if what == Discard::Staged { Leaves::Kept } else { Leaves::Nothing }));
        Ok(steps)
    }

    /// Before a safety copy goes back over what the run loaded in place: what was made or changed since that load came to its end is kept.
    fn keep_since(&self) -> Result<Vec<Step>> {
        let is_loaded = self.staged.as_ref().is_some_and(|staged| !staged.is_put_back);
        let found = self.found()?.filter(|_| self.spot.road == Road::InPlace && is_loaded);
        Ok(found.and_then(|found| found.live_at.clone()).map(Step::Since).into_iter().collect())
    }

    /// After a load in place. Until the previous data is back, or `settle`, the run's folder tells when its load came to its end.
    fn tidy(&self) -> Result<Vec<Step>> {
        let Some(found) = self.found()? else { return Ok(Vec::new()) };
        found.dropping(Discard::Staged)?;
        let is_back = self.staged.as_ref().is_some_and(|staged| staged.is_put_back);
        Ok(is_back.then_some(Step::Remove(Leaves::Kept)).into_iter().collect())
    }
}

fn put_back(swap: &Swap) -> [Step; 3] {
    [Step::Put(BEFORE), Step::Root(swap.root_before.clone()), Step::Enter(Swap { phase: Phase::Undone, swapped_at: None, ..swap.clone() })]
}

/// Who carries steps out.
pub(crate) trait Hands {
    /// What is there now.
    fn see(&self) -> Result<Seen>;

    /// Carries steps out in their order, and ends at the first that fails. The outer error: nobody knows whether it is at work still.
    fn act(&self, what: &str, steps: &[Step]) -> Result<Result<()>>;
}

/// Swaps the staged copy and the live data.
pub(crate) fn cut_over(hands: &dyn Hands) -> Result<()> {
    let steps = hands.see()?.cut_over()?;
    let Err(error) = hands.act("swap the files in", &steps)? else { return Ok(()) };
    let Some(steps) = hands.see().ok().and_then(|seen| seen.give_up()) else { return Err(error) };
    Err(match hands.act("put back the files in", &steps).and_then(|done| done) {
        Ok(()) => error.hint("Nothing was changed: all files are where they were."),
        Err(worse) => error.hint(format!("Putting back what was moved failed too ({}): run undo.", worse.chain())),
    })
}

/// Takes a cut-over back, as far as it came.
pub(crate) fn undo(hands: &dyn Hands) -> Result<Undone> {
    match hands.see()?.undo()? {
        Ok(steps) => hands.act("swap back the files in", &steps)?.map(|()| Undone::PreviousIsLive),
        Err(undone) => Ok(undone),
    }
}

/// What a removal would refuse.
pub(crate) fn check_discard(hands: &dyn Hands, what: Discard) -> Result<()> {
    let steps: Vec<_> = hands.see()?.discard(what)?.into_iter().filter(|step| *step == Step::Removable).collect();
    if steps.is_empty() { Ok(()) } else { hands.act("look at what this run left in", &steps)? }
}

/// Removes what the run left, when it is what is to go.
pub(crate) fn discard(hands: &dyn Hands, what: Discard) -> Result<()> {
    hands.act("remove what this run left in", &hands.see()?.discard(what)?)?
}

/// What renames cannot move may have come since the plan: seen by the proof, before the writers stop.
pub(crate) fn check_movable(hands: &dyn Hands) -> Result<()> {
    hands.act("look at the files in", &[Step::Movable])?
}

/// Keeps what was made or changed since, when a set is the safety copy of a run that has replaced the live data in place.
pub(crate) fn keep_since(hands: &dyn Hands, kept: &KeptDataSet) -> Result<()> {
    let seen = hands.see()?;
    if !is_put_back(kept, &seen.spot) {
        return Ok(());
    }
    hands.act("keep what was made since in", &seen.keep_since()?)?
}

/// Removes what only a load in place itself needed.
pub(crate) fn tidy(hands: &dyn Hands) -> Result<()> {
    let steps = hands.see()?.tidy()?;
    if steps.is_empty() { Ok(()) } else { hands.act("remove what this run left in", &steps)? }
}

/// What was taken out is not all there: it is not swapped for what is live.
pub(crate) fn not_all_there(place: &str, run: &str) -> Error {
    Error::needs_person(format!("not all of the previous data is in {place}/{BEFORE}: somebody has removed or added something"))
        .hint("The restored data stays live, and nothing was touched.")
        .hint(format!("Put back what is missing there, then `undo {run}`; or `settle {run}` drops what is left of it."))
}

/// Something was changed in what was taken out.
pub(crate) fn told_not_intact(count: u64, first: &str, place: &str, run: &str) -> String {
    format!(
        "in the previous data something was changed, made or removed since it was taken out ({count} files and folders tell of it, {first:?} and the like): it is \
         not all as it was. The restored copy stays in {place}/{STAGE} until `abandon {run} --remove --drop-previous` removes it"
    )
}

/// An undo leaves it where it is.
pub(crate) fn told_stays(name: &str) -> String {
    format!("{name} belongs to another user, and this one may not move it: it stays where it is, beside the previous data")
}

/// In place nothing goes over what may have been changed.
pub(crate) fn not_apart(what: &str) -> Error {
    Error::failed(format!("{what} was made or changed since the restore, and cannot be kept apart"))
        .hint("The safety copy would go over it, so nothing was replaced. Move it out of the folder, then undo again.")
}

/// What is told of a swap's end: once, for both ways.
pub(crate) fn told_late(name: &str, late: &str) -> String {
    format!("{name} was made in the middle of the swap; it is kept in {late} until `settle`, or after an undo `abandon`")
}

/// What is told when something was made or changed after a cut-over that is undone.
pub(crate) fn told_since(files: u64, folders: u64, named: &[String], place: &str, run: &str) -> String {
    let named = if named.is_empty() {
        String::new()
    } else {
        format!(" ({}{})", named.join(", "), if files > named.len() as u64 { ", …" } else { "" })
    };
    format!(
        "made or changed since the cut-over: {files} files{named}, and {folders} folders in which something was made, changed or removed. They are not in the data \
         that is live again; they are kept in {place}/{SINCE} until `abandon {run} --remove --drop-previous` removes them"
    )
}

/// What a refused removal means.
pub(crate) fn nothing_removed(run: &str) -> String {
    format!("nothing was removed. `abandon {run} --remove --drop-previous` removes all else")
}

/// What is told when a removal passed by what this user may not remove.
pub(crate) fn told_bound(first: &str, place: &str, run: &str) -> String {
    format!(
        "not all of {place} could be removed: {first} and what else another user owns there. Nothing waits for it; as root or as its owner `abandon {run} --remove` \
         removes the rest"
    )
}

/// What is told when something could not be kept apart.
pub(crate) fn told_whole(why: &str, place: &str, run: &str) -> String {
    format!(
        "{why}: it may have changed since the cut-over, so all of the restored copy stays in {place}/{STAGE} until `abandon {run} --remove --drop-previous` removes it"
    )
}
