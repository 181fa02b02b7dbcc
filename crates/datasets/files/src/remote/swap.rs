//! The cut-over, its undo and what else changes the run's folder: steps for one script over there. The phases and the files on the volume are those
//! of the local swap (`crate::swap`), so that a run that began here can be undone with the volume mounted.

use plan::ids::DataSetName;
use plan::ports::{Context, Discard, Event, Road, Undone};
use plan::{Error, Result};

use super::place::There;
use super::runs;
use super::stream::root_meta;
use crate::root::RootMeta;
use crate::run_folder::Spot;
use crate::runs as rules;
use crate::stage::{STAGE, STAGED, Staged};
use crate::swap::{BEFORE, Phase, SWAP, Swap};

const SCRIPT: &str = include_str!("swap.sh");
const STATUS: &str = include_str!("status.sh");
/// The script's exit statuses.
const BUSY: i32 = 20;
const MOUNTED: i32 = 21;
const AT_WORK: i32 = 22;

/// How far a run came.
pub(super) struct Status {
    pub(super) user: u32,
    pub(super) present: bool,
    pub(super) swap: Option<Swap>,
    pub(super) staged: Option<Staged>,
}

impl Status {
    pub(super) fn ask(there: &There, context: &Context, spot: &Spot) -> Result<Self> {
        let what = format!("look at the run's folder in {}", there.address());
        let bytes = there.ask(context, &what, STATUS, &[&there.root, &folder(spot)])?;
        let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        let &[user, present, swap, staged, []] = fields.as_slice() else {
            return Err(Error::failed(format!("{what}: the answer is not whole")));
        };
        let damaged =
            |name: &str, error| Error::needs_person(format!("{}/{}/{name} is damaged", there.address(), folder(spot))).because(error);
        let read_swap = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error: serde_json::Error| damaged(SWAP, error));
        let read_staged = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error: serde_json::Error| damaged(STAGED, error));
        Ok(Self {
            user: std::str::from_utf8(user).ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX),
            present: present == b"present",
            swap: if swap.is_empty() { None } else { Some(read_swap(swap)?) },
            staged: if staged.is_empty() { None } else { Some(read_staged(staged)?) },
        })
    }

    pub(super) fn phase(&self) -> Option<Phase> {
        self.swap.as_ref().map(|swap| swap.phase)
    }
}

/// The run's folder, relative to the root. Its id was checked.
pub(super) fn folder(spot: &Spot) -> String {
    format!("{}/{}", crate::walk::OWN_FOLDER, spot.run.as_str())
}

/// Steps for the script, in their order.
pub(super) struct Steps<'a> {
    there: &'a There,
    spot: &'a Spot,
    words: Vec<String>,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(there: &'a There, spot: &'a Spot) -> Self {
        Self { there, spot, words: Vec::new() }
    }

    pub(super) fn then(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Writes a file of the run.
    pub(super) fn write<T: serde::Serialize>(self, name: &str, value: &T) -> Result<Self> {
        let text = serde_json::to_string(value).map_err(|error| Error::failed(format!("write down {name}")).because(error))?;
        Ok(self.then(&["write", name, &text]))
    }

    fn enter(self, phase: Phase, swap: &Swap) -> Result<Self> {
        self.write(SWAP, &Swap { phase, ..swap.clone() })
    }

    pub(super) fn root(self, wanted: Option<&RootMeta>) -> Self {
        let Some(wanted) = wanted else { return self };
        let [mode, uid, gid, time] = wanted.words();
        self.then(&["root", &mode, &uid, &gid, &time])
    }

    /// Runs them, and tells what the script reports.
    pub(super) fn run(self, context: &Context, what: &str) -> Result<()> {
        self.try_run(context, what)?
    }

    /// The same; the outer error is that of a call whose end is not known: it may be at work still.
    fn try_run(self, context: &Context, what: &str) -> Result<Result<()>> {
        let folder = folder(self.spot);
        let mut arguments = vec![self.there.root.as_str(), folder.as_str()];
        arguments.extend(self.words.iter().map(String::as_str));
        let place = self.there.address();
        let what = format!("{what} {place}");
        let (told, ended) = self.there.try_ask(context, &what, SCRIPT, &arguments)?;
        for line in told.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let text = match line.strip_prefix("late ") {
                Some(name) => format!("{name:?} was made in {place} in the middle of the swap; it is kept in {folder}/late until settle"),
                None => format!("mode and owner of {place} itself were left as they are; in the set they are others"),
            };
            context.watch.see(Event::Warning(&text));
        }
        let said: String = ended.said.trim().chars().take(600).collect();
        Ok(match ended.status {
            BUSY => Err(Error::failed(format!("somebody keeps making files in {place}: {}", said.replace('\n', ", ")))
                .hint("Stop the writers, then resume or undo.")),
            MOUNTED => Err(Error::refused(format!("another volume is mounted at {said} in {place}"))
                .hint("Unmount it: renames cannot move a mount point.")),
            AT_WORK => Err(Error::transient(format!("{what}: {said}")).hint("Wait for it, then resume or undo.")),
            _ => self.there.success(ended, &what),
        })
    }
}

/// Swaps the staged copy and the live data.
pub(super) fn cut_over(there: &There, context: &Context, data_set: DataSetName, spot: &Spot) -> Result<()> {
    if spot.road == Road::InPlace {
        return Ok(());
    }
    let gone = || rules::gone(&format!("{}/{}", there.address(), folder(spot)), spot);
    let (found, all) = runs::of(there, context, spot)?;
    found.ok_or_else(gone)?.check_own(spot, data_set)?;
    let status = Status::ask(there, context, spot)?;
    let Some(staged) = status.staged.as_ref().filter(|_| status.present) else { return Err(gone()) };
    let phase = status.phase().unwrap_or(Phase::Undone);
    let mut swap = match status.swap.clone() {
        Some(swap) => swap,
        None => Swap { phase, root_before: root_meta(there, context)?, order: 0 },
    };
    let steps = Steps::new(there, spot);
    let steps = match phase {
        Phase::Swapped => return Ok(()),
        Phase::Undone => {
            rules::refuse_half(&all, spot)?;
            swap.order = rules::next_order(&all, spot);
            context.stop.check()?;
            steps.then(&["mounts"]).enter(Phase::TakingOut, &swap)?
        }
        Phase::TakingOut | Phase::PuttingIn => steps,
        Phase::UndoTakingOut | Phase::UndoPuttingBack => {
            return Err(Error::failed("an undo of the files has begun and is not finished").hint("Run undo again."));
        }
        Phase::Discarding | Phase::DroppingStaged => return Err(gone()),
    };
    let takes_out = phase != Phase::PuttingIn;
    let steps = if takes_out { steps.then(&["take", BEFORE]).enter(Phase::PuttingIn, &swap)? } else { steps };
    let steps = steps.then(&["put", STAGE]).root(staged.root.as_ref()).enter(Phase::Swapped, &swap)?;
    match steps.try_run(context, "swap the files in")? {
        Err(error) if takes_out => Err(give_up(there, context, spot, error)),
        done => done,
    }
}

/// Nothing was put in yet: puts back what was taken out, so that an error means that nothing changed.
fn give_up(there: &There, context: &Context, spot: &Spot, error: Error) -> Error {
    let swap = match Status::ask(there, context, spot) {
        Ok(Status { swap: Some(swap), .. }) if swap.phase == Phase::TakingOut => swap,
        _ => return error,
    };
    let steps = Steps::new(there, spot).enter(Phase::UndoPuttingBack, &swap);
    match steps.and_then(|steps| put_back(steps, &swap)?.run(context, "put back the files in")) {
        Ok(()) => error.hint("Nothing was changed: all files are where they were."),
        Err(worse) => error.hint(format!("Putting back what was moved failed too ({}): run undo.", worse.chain())),
    }
}

fn put_back<'a>(steps: Steps<'a>, swap: &Swap) -> Result<Steps<'a>> {
    steps.then(&["put", BEFORE]).root(Some(&swap.root_before)).enter(Phase::Undone, swap)
}

/// Takes a cut-over back, as far as it came.
pub(super) fn undo(there: &There, context: &Context, data_set: DataSetName, spot: &Spot) -> Result<Undone> {
    if spot.road == Road::InPlace {
        return Err(Error::needs_person("files that were replaced in place cannot be swapped back")
            .hint("Restore the safety copy that was taken before (it is a set of its own, see list)."));
    }
    let (Some(found), all) = runs::of(there, context, spot)? else { return Ok(Undone::NothingThere) };
    found.check_own(spot, data_set)?;
    if let Some(undone) = found.undone()? {
        return Ok(undone);
    }
    let Some(swap) = Status::ask(there, context, spot)?.swap else { return Ok(Undone::NothingThere) };
    let (steps, phase) = (Steps::new(there, spot), swap.phase);
    let steps = match phase {
        Phase::Swapped => {
            rules::check_newest(&all, spot, swap.order)?;
            steps.enter(Phase::UndoTakingOut, &swap)?
        }
        Phase::PuttingIn => steps.enter(Phase::UndoTakingOut, &swap)?,
        Phase::TakingOut => steps.enter(Phase::UndoPuttingBack, &swap)?,
        Phase::UndoTakingOut | Phase::UndoPuttingBack | Phase::Undone | Phase::Discarding | Phase::DroppingStaged => steps,
    };
    let steps = if matches!(phase, Phase::PuttingIn | Phase::Swapped | Phase::UndoTakingOut) {
        steps.then(&["take", STAGE]).enter(Phase::UndoPuttingBack, &swap)?
    } else {
        steps
    };
    put_back(steps, &swap)?.run(context, "swap back the files in")?;
    Ok(Undone::PreviousIsLive)
}

/// Removes what the run left, when it is what is to go.
pub(super) fn discard(there: &There, context: &Context, data_set: DataSetName, spot: &Spot, what: Discard) -> Result<()> {
    let (Some(found), _) = runs::of(there, context, spot)? else { return Ok(()) };
    found.check_own(spot, data_set)?;
    let phase = found.dropping(what)?;
    let steps = Steps::new(there, spot);
    let steps = match (phase, Status::ask(there, context, spot)?.swap) {
        (Some(phase), Some(swap)) => steps.enter(phase, &swap)?,
        _ => steps,
    };
    remove(there, context, steps)
}

/// Removes the run's folder.
pub(super) fn remove(there: &There, context: &Context, steps: Steps<'_>) -> Result<()> {
    let time = root_meta(there, context)?.time_word();
    steps.then(&["remove", &time]).run(context, "remove what this run left in")
}

pub(super) fn nothing_staged(there: &There, spot: &Spot) -> Error {
    Error::failed(format!("no staged files at {}/{}", there.address(), folder(spot))).hint("Stage the set again: run restore.")
}
