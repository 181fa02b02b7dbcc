//! What the folders of runs say, and the rules of what may be done with them: for the mounted tree and for one in a pod.
//!
//! A run's folder names the run; `mark.json` in it says of which installation and data set it is and which road it takes, `swap.json` how far a swap came.
//! Version 0.1.0 wrote no mark: such a folder is known by its name. A load over the live data is half done while there is a mark of that road and no
//! `staged.json`; a swap, while its phase is one between the ends.

use std::path::Path;
use std::sync::Arc;

use beneath::{Names, Tree};
use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, Discard, Holds, Leftover, Road, Undone};
use plan::{Error, InstallationId, Result};
use rustix::fs::FileType;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::run_folder::{RunFolder, Spot, failed};
use crate::some::SOME;
use crate::stage::{STAGE, STAGED};
use crate::swap::steps::{BEFORE, LATE, Leaves, Phase, SINCE, SWAP, Step, Swap, WHOLE};
use crate::walk::OWN_FOLDER;

/// Name of the file of the mark.
pub(crate) const MARK: &str = "mark.json";
/// Name of the file that names a later run which has replaced what this one restored.
pub(crate) const REPLACED: &str = "replaced-by";

/// What a run is to the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// It stages beside the live data; after its swap (`swap.json`) the previous data is there.
    Beside,
    /// It replaces the live data.
    InPlace,
}

/// Whose a run's folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Mark {
    pub(crate) run: RunId,
    pub(crate) data_set: DataSetName,
    pub(crate) installation: InstallationId,
    pub(crate) role: Role,
}

impl Mark {
    pub(crate) fn new(context: &Context, data_set: DataSetName, spot: &Spot) -> Self {
        let role = if spot.road == Road::InPlace { Role::InPlace } else { Role::Beside };
        Self { run: spot.run.clone(), data_set, installation: context.installation.clone(), role }
    }
}

/// A run's folder as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its name: the run.
    pub(crate) run: String,
    pub(crate) mark: Option<Mark>,
    pub(crate) swap: Option<Swap>,
    /// When the run's data came live, by the volume's clock, in seconds with a fraction: `swap.json` was written, or in place `staged.json`.
    pub(crate) live_at: Option<String>,
    /// Whether there is `staged.json`.
    pub(crate) is_staged: bool,
    /// Whether there is a staged copy, previous data, or what a writer made in the middle of a swap: their folders.
    pub(crate) has_stage: bool,
    pub(crate) has_before: bool,
    pub(crate) has_late: bool,
    /// Whether there is what was made after a cut-over that was undone.
    pub(crate) has_since: bool,
    /// Whether it put in some files alone.
    pub(crate) are_some: bool,
    /// A later run that has replaced what this one restored. It stays when that run is settled, and goes when it is undone.
    pub(crate) replaced_by: Option<String>,
}

impl Found {
    /// From the texts of the files, and the names that are there.
    pub(crate) fn new(run: &str, mark: &[u8], swap: &[u8], live_at: Option<String>, there: &[&str]) -> Result<Self> {
        let damaged = |name: &str, error: serde_json::Error| {
            Error::needs_person(format!("{OWN_FOLDER}/{run}/{name} is damaged")).because(error).hint("Nothing was touched.")
        };
        let mark = if mark.is_empty() { None } else { Some(serde_json::from_slice(mark).map_err(|error| damaged(MARK, error))?) };
        let swap = if swap.is_empty() { None } else { Some(serde_json::from_slice(swap).map_err(|error| damaged(SWAP, error))?) };
        Ok(Self {
            run: run.to_owned(),
            mark,
            swap,
            live_at,
            is_staged: there.contains(&STAGED),
            has_stage: there.contains(&STAGE),
            has_before: there.contains(&BEFORE),
            has_late: there.contains(&LATE),
            has_since: there.contains(&SINCE) || there.contains(&WHOLE),
            are_some: there.contains(&SOME),
            replaced_by: None,
        })
    }

    /// With what is in the file [`REPLACED`].
    pub(crate) fn replaced_by(self, text: &[u8]) -> Self {
        Self { replaced_by: (!text.is_empty()).then(|| String::from_utf8_lossy(text).trim().to_owned()), ..self }
    }

    /// How far its swap came; `None` before a cut-over.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.swap.as_ref().map(|swap| swap.phase)
    }

    fn order(&self) -> u64 {
        self.swap.as_ref().map_or(0, |swap| swap.order)
    }

    /// Whether the live data is neither the old nor the new while this is so.
    pub(crate) fn is_half(&self) -> bool {
        let in_place = self.mark.as_ref().is_some_and(|mark| mark.role == Role::InPlace);
        self.phase().is_some_and(Phase::is_half) || (in_place && !self.is_staged)
    }

    fn holds(&self) -> Holds {
        match self.phase() {
            Some(Phase::Swapped) => Holds::Previous,
            // Dropped by somebody who wished it: what is there is no whole any more.
            Some(Phase::Discarding) => Holds::Mark,
            Some(phase) if phase.is_half() => Holds::Previous,
            _ if self.has_late || self.has_since => Holds::Previous,
            _ if self.has_stage || self.is_staged && self.mark.as_ref().is_none_or(|mark| mark.role == Role::Beside) => Holds::Staged,
            _ if self.has_before => Holds::Unknown,
            _ => Holds::Mark,
        }
    }

    /// Refuses a folder of that name that another data set has marked.
    pub(crate) fn check_own(&self, spot: &Spot, data_set: DataSetName) -> Result<()> {
        match &self.mark {
            Some(mark) if mark.run != spot.run || mark.data_set != data_set => Err(Error::needs_person(format!(
                "{OWN_FOLDER}/{} is marked as that of run {}: {} of installation {}",
                self.run, mark.run, mark.data_set, mark.installation
            ))
            .hint("Nothing was touched.")),
            _ => Ok(()),
        }
    }

    /// Refuses to stage over a swap.
    pub(crate) fn check_stage(&self) -> Result<()> {
        match self.phase() {
            None | Some(Phase::Undone) => Ok(()),
            Some(phase) => Err(Error::failed(format!("the swap of the files has begun already ({phase:?}): nothing is staged over it"))
                .hint("Run resume or undo first.")),
        }
    }

    /// Whether a proof reads the live tree, or the staged copy.
    pub(crate) fn is_proven_live(&self, road: Road) -> Result<bool> {
        match (road, self.phase()) {
            (Road::InPlace, _) | (Road::SideCopy, Some(Phase::Swapped)) => Ok(true),
            (Road::SideCopy, None | Some(Phase::Undone)) => Ok(false),
            (Road::SideCopy, Some(_)) => {
                Err(Error::failed("the swap of the files is half-way: there is nothing whole to prove").hint("Run resume or undo first."))
            }
        }
    }

    /// What an undo finds that has nothing to swap back; `None`: it has.
    pub(crate) fn undone(&self) -> Result<Option<Undone>> {
        match self.phase() {
            None if self.has_stage || self.is_staged => Ok(Some(Undone::PreviousIsLive)),
            None => Ok(Some(Undone::NothingThere)),
            Some(Phase::Undone | Phase::DroppingStaged) => Ok(Some(Undone::PreviousIsLive)),
            Some(Phase::Discarding) => {
                Err(Error::needs_person("the previous files were dropped already (settle)").hint("Restore an older set instead."))
            }
            Some(Phase::TakingOut | Phase::PuttingIn | Phase::Swapped | Phase::UndoTakingOut | Phase::UndoPuttingBack) => Ok(None),
        }
    }

    /// The phase that the removal of what the run left begins with, where there was a swap.
    pub(crate) fn dropping(&self, what: Discard) -> Result<Option<Phase>> {
        let run = &self.run;
        if self.is_half() {
            return Err(
                Error::failed(format!("the files are half replaced by run {run}: nothing is removed")).hint("Run resume or undo first.")
            );
        }
        match (self.phase(), what) {
            (Some(Phase::Swapped | Phase::Discarding), Discard::Staged) => {
                Err(Error::needs_person(format!("{OWN_FOLDER}/{run} holds the previous files of run {run}"))
                    .hint("They were swapped and not swapped back: this may be the only copy, so nothing was dropped.")
                    .hint(format!("`undo {run}` makes them live again; `settle {run}` drops them.")))
            }
            (Some(Phase::Swapped | Phase::Discarding), Discard::Previous) => Ok(Some(Phase::Discarding)),
            (Some(_), _) => Ok(Some(Phase::DroppingStaged)),
            (None, _) => Ok(None),
        }
    }
}

/// Refuses to change live data that another run has half replaced.
pub(crate) fn refuse_half(runs: &[Found], own: &Spot) -> Result<()> {
    match runs.iter().find(|run| run.is_half() && run.run != own.run.as_str()) {
        None => Ok(()),
        Some(other) => Err(Error::needs_person(format!("the files are half replaced by run {}", other.run))
            .hint("Resume or undo that run first, or end it with `abandon`; nothing was touched.")),
    }
}

/// The order of the next swap: above all whose previous data is still kept.
pub(crate) fn next_order(runs: &[Found], own: &Spot) -> u64 {
    let others = runs.iter().filter(|run| run.run != own.run.as_str() && run.phase() == Some(Phase::Swapped));
    others.map(|run| run.order() + 1).max().unwrap_or(0)
}

/// What another run has replaced since is not taken away from under it: its own undo would then put back what this one restored.
pub(crate) fn check_newest(runs: &[Found], own: &Spot, order: u64) -> Result<()> {
    refuse_half(runs, own)?;
    let found = runs.iter().find(|run| run.run == own.run.as_str());
    // Files that were put in one by one are told apart one by one.
    let are_apart = |run: &Found| run.are_some && found.is_some_and(|found| found.are_some);
    let is_later =
        |run: &&Found| run.run != own.run.as_str() && run.phase() == Some(Phase::Swapped) && run.order() > order && !are_apart(run);
    let later = runs.iter().find(is_later);
    let settled = found.and_then(|run| run.replaced_by.as_ref());
    match later {
        None => settled.map_or(Ok(()), |settled| {
            let run = &own.run;
            Err(Error::needs_person(format!("run {settled} has replaced the files since run {run} did"))
                .hint("That run keeps nothing any more (it was settled), so what is live is nowhere else. Nothing was touched.")
                .hint(format!("`settle {run}` drops what this run keeps; to go back, restore an older set.")))
        }),
        Some(later) => Err(Error::needs_person(format!("run {} has replaced the files since run {} did", later.run, own.run))
            .hint(format!("Undo that one first (`undo {0}`), then this one; or settle it. Nothing was touched.", later.run))),
    }
}

/// Neither a staged copy nor previous data of the run is there.
pub(crate) fn gone(place: &str, spot: &Spot) -> Error {
    Error::needs_person(format!("there are neither staged nor previous files of run {} at {place}", spot.run))
        .hint("Look whether this is the folder that the run was made for, and whether its volume is the same. Nothing was touched.")
}

/// The run that half replaced the live data.
pub(crate) fn half_loaded_by(runs: &[Found]) -> Option<String> {
    runs.iter().find(|run| run.is_half()).map(|run| run.run.clone())
}

/// Refuses a tree that is half replaced.
pub(crate) fn check_whole(runs: &[Found], place: &str) -> Result<()> {
    match half_loaded_by(runs) {
        None => Ok(()),
        Some(run) => Err(Error::refused(format!("the files at {place} are half replaced by run {run}"))
            .hint("They are neither the old data nor the new. Resume or undo that run, or end it with `abandon`; then back up.")),
    }
}

/// For people and for [`plan::ports::DataSet::remove_leftover`].
pub(crate) fn leftover(found: &Found, place: &str, bytes: Option<u64>) -> Leftover {
    Leftover {
        what: format!("folder {place}/{OWN_FOLDER}/{}{}", found.run, found.kept_by_nobody_else()),
        run: found.run.clone(),
        installation: found.mark.as_ref().map(|mark| mark.installation.clone()),
        holds: found.holds(),
        bytes,
        handle: serde_json::json!({"run": found.run, "is": found.state()}),
    }
}

impl Found {
    /// What is in it that was made after the set and after the data that it replaced.
    fn kept_by_nobody_else(&self) -> &'static str {
        match (self.has_since, self.has_late) {
            (true, _) => " (with what was made or changed after its cut-over, until its undo)",
            (false, true) => " (with what was made in the middle of its swap)",
            (false, false) => "",
        }
    }

    /// What must not have changed between finding and removing.
    fn state(&self) -> String {
        format!("{:?}, {:?}", self.phase(), self.mark.as_ref().map(|mark| mark.role))
    }
}

/// The folder that a leftover names, and how it goes; `None` when it is gone. Refuses one that has changed, and one whose removal would take live data along.
pub(crate) fn to_remove(leftover: &Leftover, runs: Vec<Found>) -> Result<Option<(Spot, Vec<Step>)>> {
    let text = |field: &str| leftover.handle.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
    let Some(found) = runs.into_iter().find(|found| found.run == text("run")) else { return Ok(None) };
    if found.phase().is_some_and(Phase::is_half) {
        return Err(Error::needs_person(format!("{} holds live files: its swap is half-way", leftover.what))
            .hint(format!("`undo {}` puts them back where they belong. Nothing was removed.", found.run)));
    }
    if found.state() != text("is") {
        return Err(
            Error::needs_person(format!("{} is not what it was", leftover.what)).hint("Nothing was removed. Look again at what is there.")
        );
    }
    let spot = Spot::new(RunId(found.run), Road::SideCopy);
    spot.check()?;
    // What cannot be removed is no previous data of anybody from here on.
    let dropped = found.swap.map(|swap| Step::Enter(Swap { phase: Phase::Discarding, ..swap }));
    Ok(Some((spot, dropped.into_iter().chain([Step::Remove(Leaves::Bound)]).collect())))
}

/// All folders of runs in a mounted tree.
pub(crate) fn list(root: &Arc<Tree>) -> Result<Vec<Found>> {
    let own = Path::new(OWN_FOLDER);
    let names = match root.folder(own).and_then(Names::read) {
        Ok(names) => names,
        // A file or a link of that name is the owner's: runs refuse to use it.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => return Ok(Vec::new()),
        Err(error) => return Err(failed(&root.place_of(own), "list", error)),
    };
    let mut found = Vec::new();
    for (name, kind) in names.filter(|(_, kind)| matches!(kind, FileType::Directory | FileType::Unknown)) {
        let Some(name) = name.to_str() else { continue };
        let spot = Spot::new(RunId(name.to_owned()), Road::SideCopy);
        if spot.check().is_ok()
            && let Some(run) =
                RunFolder::open(root, &spot).or_else(|error| if kind == FileType::Unknown { Ok(None) } else { Err(error) })?
        {
            found.push(read(&run)?);
        }
    }
    Ok(found)
}

/// What a run's folder says.
pub(crate) fn read(run: &RunFolder) -> Result<Found> {
    let mut there = Vec::new();
    for name in [STAGED, STAGE, BEFORE, LATE, SINCE, WHOLE, SOME] {
        if run.has(name)? {
            there.push(name);
        }
    }
    let live_at = run.changed_at(SWAP)?.map_or_else(|| run.changed_at(STAGED), |time| Ok(Some(time)))?;
    let found = Found::new(run.spot.run.as_str(), &run.bytes(MARK)?, &run.bytes(SWAP)?, live_at, &there)?;
    Ok(found.replaced_by(&run.bytes(REPLACED)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mark: &str, swap: &str, there: &[&str]) -> Found {
        Found::new("01j", mark.as_bytes(), swap.as_bytes(), None, there).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn swap(phase: &str) -> String {
        format!(r#"{{"phase":"{phase}","root_before":{{"mode":493,"uid":null,"gid":null,"mtime_ns":null,"xattrs":[]}}}}"#)
    }

    const IN_PLACE: &str = r#"{"run":"01j","data-set":"system-storage","installation":{"name":"prod"},"role":"in-place"}"#;
    const BESIDE: &str = r#"{"run":"01j","data-set":"system-storage","installation":{"name":"prod"},"role":"beside"}"#;

    #[test]
    fn half_is_what_is_neither_old_nor_new() {
        assert!(found(IN_PLACE, "", &[]).is_half() && !found(IN_PLACE, "", &[STAGED]).is_half());
        assert!(!found(BESIDE, "", &[STAGE]).is_half() && !found("", "", &[]).is_half());
        for phase in ["taking-out", "putting-in", "undo-taking-out", "undo-putting-back"] {
            assert!(found("", &swap(phase), &[]).is_half(), "{phase}");
        }
        for phase in ["swapped", "undone", "discarding", "dropping-staged"] {
            assert!(!found(BESIDE, &swap(phase), &[]).is_half(), "{phase}");
        }
    }

    #[test]
    fn what_is_held_is_told_by_phase_and_folders() {
        assert_eq!(found(BESIDE, "", &[STAGED, STAGE]).holds(), Holds::Staged);
        assert_eq!(found("", &swap("undone"), &[STAGED, STAGE, BEFORE]).holds(), Holds::Staged);
        assert_eq!(found(BESIDE, &swap("swapped"), &[STAGED, BEFORE]).holds(), Holds::Previous);
        assert_eq!(found(BESIDE, &swap("undone"), &[STAGE, LATE]).holds(), Holds::Previous);
        assert_eq!(found(IN_PLACE, "", &[STAGED]).holds(), Holds::Mark);
        assert_eq!(found("", "", &[]).holds(), Holds::Mark);
    }
}
