//! Decides how one tenant goes back into live data that stays: what changes in its rows is kept first, then all of it is changed in one transaction; then its usage goes back, and Backend gets the
//! configuration that the rows want. Files are staged before, and put in when their rows are there.

use std::collections::BTreeMap;

use crate::ids::{DataSetName, RunId, SetId};
use crate::planned::{Plan, PlannedDataSet, Purpose, Steps};
use crate::ports::{Merging, Road};
use crate::repair_plan::Keys;
use crate::restore_plan::Target;
use crate::step::{Action, RowsOwner};

/// What goes back beside the rows.
#[derive(Debug, Clone, Default)]
pub struct BesideRows {
    /// Files that go back.
    pub files: Option<FilesBeside>,
    /// Keys of Backend that go back.
    pub merge: Option<MergeBeside>,
    /// Backend's configuration.
    pub keys: Option<Keys>,
}

/// Files that go back.
#[derive(Debug, Clone)]
pub struct FilesBeside {
    /// System's files.
    pub target: Target,
    /// How many, for people.
    pub reason: String,
}

/// Keys of Backend that go back.
#[derive(Debug, Clone)]
pub struct MergeBeside {
    /// Backend's Redis.
    pub target: Target,
    /// Which, and how.
    pub merging: Merging,
    /// How much changes, for people.
    pub reason: String,
}

/// Plans it. `reason`: how much changes in the rows, for people; `None` where nothing changes anywhere.
///
/// Usage goes back before applications are let in again: who counts from then on counts on.
#[must_use]
pub fn plan_tenant(run: RunId, set: SetId, target: Target, whose: RowsOwner, reason: Option<String>, beside: BesideRows) -> Plan {
    let mut steps = Steps::default();
    let (rows, backend) = (DataSetName::SystemDatabase, DataSetName::BackendRedis);
    let mut data_sets = BTreeMap::from([(rows, planned(target))]);
    if let Some(reason) = reason {
        let files = DataSetName::SystemStorage;
        let staged = beside.files.map(|FilesBeside { target, reason }| {
            data_sets.insert(files, planned(target));
            let reserve = Action::Reserve { data_set: files, road: Road::SideCopy };
            let reserved = steps.add(reserve, Vec::new(), "beside the live files: what is replaced is kept there");
            let stage = Action::StageFiles { data_set: files, reserved, whose: whose.clone() };
            let staged = steps.add(stage, vec![reserved], "nothing goes in that was not read back there");
            (reserved, staged, reason)
        });
        let place = beside.merge.as_ref().map(|_| {
            let reserve = Action::Reserve { data_set: backend, road: Road::SideCopy };
            steps.add(reserve, Vec::new(), "beside the live data: what it takes to take usage back is kept there")
        });
        let keep = Action::KeepRows { data_set: rows, whose };
        let before = place.into_iter().chain(staged.iter().map(|(_, staged, _)| *staged)).collect();
        let kept = steps.add(keep, before, "what they are goes into the repository first: `undo` puts it back");
        let mut last = steps.add(Action::ChangeRows { data_set: rows, kept }, vec![kept], reason);
        if let Some((reserved, _, reason)) = staged {
            last = steps.add(Action::PutFiles { data_set: files, reserved }, vec![reserved, last], reason);
        }
        if let (Some(MergeBeside { target, merging, reason }), Some(reserved)) = (beside.merge, place) {
            let merge = Action::MergeKeys { data_set: backend, reserved, merging, ids: Vec::new() };
            last = steps.add(merge, vec![reserved, last], reason);
            data_sets.insert(backend, planned(target));
        }
        if let Some(keys) = beside.keys {
            keys.add_to(&mut steps, vec![last]);
        }
    }
    Plan { data_sets, steps: steps.into_vec(), ..Plan::of(Purpose::Restore, run, set) }
}

fn planned(target: Target) -> PlannedDataSet {
    PlannedDataSet { road: target.road, findings: target.findings, kept: Some(target.kept), problems: target.fits }
}
