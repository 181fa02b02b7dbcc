//! Repairs what can be repaired: the index from the packs, damaged files set aside under `damaged/`, sets marked; and says what is lost for good.
//!
//! Deletes nothing. New files are written before old ones go, so that a repair that is killed has lost nothing, and the next one goes on.

mod packs;
mod records;
mod snapshots;

use plan::Result;
use plan::ids::{DataSetName, SetId};
use plan::ports::{Silent, StopFlag};
use rustic_core::{FileType, Id};

use crate::check::structure::{check_files, check_sets};
use crate::check::{CheckReport, mark_sets};
use crate::engine::Open;
use crate::lock::Purpose;
use crate::small::path_of;
use crate::storage;

/// What a repair did (or would do).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Files that are damaged, with what is wrong with each; they are moved to the folder `damaged` of the repository.
    pub set_aside: Vec<String>,
    /// Snapshots that lay under a wrong name, and are put under their own.
    pub put_back: Vec<String>,
    /// Packs that were in no index file, and are named again.
    pub packs_named: usize,
    /// Index files that named packs which are missing or damaged, and are written anew.
    pub index_files_rewritten: usize,
    /// Chunks of damaged packs that are still good, and are stored anew.
    pub chunks_saved: usize,
    /// Sets whose manifest is stored anew, from the copy in its snapshot.
    pub manifests_renewed: Vec<SetId>,
    /// What is lost for good: the set, the data set (`None`: the whole set) and why.
    pub lost: Vec<(SetId, Option<DataSetName>, String)>,
    /// Sets that are protected, because a damaged file may have been what kept them.
    pub protected: Vec<SetId>,
    /// What a repair cannot mend: what a person has to do.
    pub left: Vec<String>,
    /// Whether it was done.
    pub is_applied: bool,
}

impl RepairReport {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set_aside.is_empty()
            && self.put_back.is_empty()
            && self.manifests_renewed.is_empty()
            && self.packs_named + self.index_files_rewritten == 0
    }
}

/// See [`crate::RusticRepository::repair`].
///
/// # Errors
/// See there.
pub fn repair(open: &Open, apply: bool, stop: &StopFlag) -> Result<RepairReport> {
    // Nobody removes what it is about to name; what it only says may change meanwhile.
    let _lock = apply.then(|| open.locks.share(Purpose::Repair, None)).transpose()?;
    let open = &open.afresh()?;
    let mut report = RepairReport { is_applied: apply, ..RepairReport::default() };
    // The index first: manifests are read with it.
    packs::repair(open, apply, stop, &mut report)?;
    stop.check()?;
    records::repair(open, apply, &mut report)?;
    snapshots::repair(open, apply, &mut report)?;
    look_again(&open.afresh()?, apply, stop, &mut report)?;
    Ok(report)
}

/// What is lost for good, now that all is mended that can be; and sets are marked.
fn look_again(open: &Open, apply: bool, stop: &StopFlag, report: &mut RepairReport) -> Result<()> {
    let index = open.index()?;
    let mut files = CheckReport::default();
    check_files(open, &index, stop, &mut files)?;
    report.left = files.problems.into_iter().filter(|problem| problem.starts_with("keys/") || problem.contains("no key")).collect();
    let mut sets = CheckReport::default();
    check_sets(open, &index, stop, &Silent, &mut sets)?;
    for set in &sets.sets {
        // Without applying it, the manifest is still as it was.
        let is_renewed = !apply && report.manifests_renewed.contains(&set.set);
        for (data_set, what) in set.problems.iter().filter(|(data_set, _)| data_set.is_some() || !is_renewed) {
            if !report.lost.iter().any(|(known, name, _)| *known == set.set && name == data_set) {
                report.lost.push((set.set.clone(), *data_set, what.clone()));
            }
        }
    }
    if apply { mark_sets(open, &sets) } else { Ok(()) }
}

/// Moves a file to the folder `damaged` of the repository.
fn set_aside(open: &Open, tpe: FileType, id: &Id, why: &str, apply: bool, report: &mut RepairReport) -> Result<()> {
    let path = path_of(tpe, id);
    report.set_aside.push(if why.contains(&path) { why.to_owned() } else { format!("{path}: {why}") });
    if apply { storage::set_aside(&open.location, &path) } else { Ok(()) }
}
