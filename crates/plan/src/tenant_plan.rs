//! Decides how one tenant goes back into live data that stays: what changes in its rows is kept first, then all of it is changed in one transaction; then its usage goes back, and Backend gets the
//! configuration that the rows want.

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
    /// Keys of Backend that go back.
    pub merge: Option<MergeBeside>,
    /// Backend's configuration.
    pub keys: Option<Keys>,
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
        let place = beside.merge.as_ref().map(|_| {
            let reserve = Action::Reserve { data_set: backend, road: Road::SideCopy };
            steps.add(reserve, Vec::new(), "beside the live data: what it takes to take usage back is kept there")
        });
        let keep = Action::KeepRows { data_set: rows, whose };
        let kept = steps.add(keep, place.into_iter().collect(), "what they are goes into the repository first: `undo` puts it back");
        let mut last = steps.add(Action::ChangeRows { data_set: rows, kept }, vec![kept], reason);
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
