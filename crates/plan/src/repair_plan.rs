//! Decides how live stores that disagree are set right: what the keys have is kept first, each is changed only if it still has it.

use std::collections::BTreeMap;

use crate::ids::{DataSetName, RunId, SetId};
use crate::planned::{Plan, PlannedDataSet, Purpose, Steps};
use crate::ports::{Findings, Road};
use crate::restore_plan::IdsAhead;
use crate::step::{Action, StepId, WantedRepairs};

/// Stands where a plan has its set: a repair is of the live stores.
pub const LIVE: &str = "live";

/// What is set right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The keys; `None` where there are none.
    pub keys: Option<Keys>,
    /// Counters of ids that are behind.
    pub ids: Option<IdsAhead>,
}

/// Keys of a logical database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The data set.
    pub data_set: DataSetName,
    /// The database's label.
    pub database: String,
    /// As in [`Action::KeepKeys`].
    pub wanted: WantedRepairs,
    /// How much is set right, for people.
    pub reason: String,
}

impl Keys {
    /// The steps that set them right, after others; gives the last of them.
    pub(crate) fn add_to(self, steps: &mut Steps, after: Vec<StepId>) -> StepId {
        let Self { data_set, database, wanted, reason } = self;
        let keep = Action::KeepKeys { data_set, database: database.clone(), wanted };
        let kept = steps.add(keep, after, "what they have goes into the repository first: `undo` puts it back");
        steps.add(Action::RepairKeys { data_set, database, kept }, vec![kept], reason)
    }
}

/// Plans a repair. `found`: the stores that are compared.
#[must_use]
pub fn plan_repair(run: RunId, found: BTreeMap<DataSetName, Findings>, repair: Repair) -> Plan {
    let mut steps = Steps::default();
    let mut last = Vec::new();
    if let Some(keys) = repair.keys {
        last = vec![keys.add_to(&mut steps, Vec::new())];
    }
    if let Some(IdsAhead { data_set, counters, pending_deletion, seen }) = repair.ids {
        let noted = steps.add(Action::NoteIds { data_set, counters }, last.clone(), "what they were, for `undo`");
        last.push(noted);
        let reason = "behind System's rows, new events would be taken for old ones";
        steps.add(Action::KeepIdsAhead { data_set, noted, pending_deletion, seen }, last, reason);
    }
    let planned = |findings| PlannedDataSet { road: Road::SideCopy, findings, kept: None, problems: Vec::new() };
    Plan {
        data_sets: found.into_iter().map(|(name, findings)| (name, planned(findings))).collect(),
        steps: steps.into_vec(),
        ..Plan::of(Purpose::Repair, run, SetId(LIVE.to_owned()))
    }
}
