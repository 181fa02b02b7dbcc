//! Decides how classes of keys go back into live data that stays.

use std::collections::BTreeMap;

use crate::ids::{DataSetName, RunId, SetId};
use crate::planned::{Plan, PlannedDataSet, Purpose, Steps};
use crate::ports::{Merging, Road};
use crate::restore_plan::Target;
use crate::step::{Action, IdCounter};

/// Plans the merge of keys into these data sets. `ids`: counters whose ids System has; none where it cannot be asked.
#[must_use]
pub fn plan_merge(run: RunId, set: SetId, targets: BTreeMap<DataSetName, Target>, merging: &Merging, ids: &[IdCounter]) -> Plan {
    let mut steps = Steps::default();
    let (mut places, mut last) = (Vec::new(), Vec::new());
    for name in targets.keys() {
        let reserve = Action::Reserve { data_set: *name, road: Road::SideCopy };
        let place = steps.add(reserve, Vec::new(), "beside the live data: what it takes to take this back is kept there");
        places.push((*name, place));
        last.push(place);
    }
    for (name, place) in places {
        let ids = if name == DataSetName::BackendRedis { ids.to_vec() } else { Vec::new() };
        let action = Action::MergeKeys { data_set: name, reserved: place, merging: merging.clone(), ids };
        let mut needs = std::mem::take(&mut last);
        if !needs.contains(&place) {
            needs.push(place);
        }
        last = vec![steps.add(action, needs, "key by key, while the installation serves; no other key is touched")];
    }
    let data_sets = targets
        .into_iter()
        .map(|(name, target)| {
            let planned = PlannedDataSet { road: target.road, findings: target.findings, kept: Some(target.kept), problems: target.fits };
            (name, planned)
        })
        .collect();
    Plan { data_sets, steps: steps.into_vec(), ..Plan::of(Purpose::Restore, run, set) }
}
