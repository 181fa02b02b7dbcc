//! Decides how the rows of one tenant go back into a live database that stays: what changes is kept first, then all of it is changed in one transaction.

use std::collections::BTreeMap;

use crate::ids::{DataSetName, RunId, SetId};
use crate::planned::{Plan, PlannedDataSet, Purpose, Steps};
use crate::restore_plan::Target;
use crate::step::{Action, RowsOwner};

/// Plans it. `reason`: how much changes, for people; `None` where nothing does.
#[must_use]
pub fn plan_tenant(run: RunId, set: SetId, target: Target, whose: RowsOwner, reason: Option<String>) -> Plan {
    let mut steps = Steps::default();
    let data_set = DataSetName::SystemDatabase;
    if let Some(reason) = reason {
        let keep = Action::KeepRows { data_set, whose };
        let kept = steps.add(keep, Vec::new(), "what they are goes into the repository first: `undo` puts it back");
        steps.add(Action::ChangeRows { data_set, kept }, vec![kept], reason);
    }
    let planned = PlannedDataSet { road: target.road, findings: target.findings, kept: Some(target.kept), problems: target.fits };
    Plan { data_sets: BTreeMap::from([(data_set, planned)]), steps: steps.into_vec(), ..Plan::of(Purpose::Restore, run, set) }
}
