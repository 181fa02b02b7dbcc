//! A plan: an ordered list of steps that people read before it runs, checked as a value before anything is touched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{DataSetName, RunId, SetId};
use crate::manifest::KeptDataSet;
use crate::ports::{Findings, Problem, Road, Severity};
use crate::step::{Action, Step, StepId};
use crate::{Error, InstallationId, Result, release};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Take a set.
    Backup,
    /// Put a set back.
    Restore,
    /// Stage and prove into throw-away servers.
    Rehearse,
    /// Set right where live stores disagree.
    Repair,
}

impl Purpose {
    /// Whether its runs change live data, and can be taken back.
    #[must_use]
    pub const fn changes_live(self) -> bool {
        matches!(self, Self::Restore | Self::Repair)
    }
}

/// What becomes of job queues in a restore.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queues {
    /// They are left out: a job that has been done must not be done again (facts 5: cards are charged, mails sent).
    #[default]
    Drop,
    /// Jobs go back that may be done twice, and neither bill, nor mail, nor delete.
    Safe,
    /// They go back as they were: whoever restores answers for jobs that run twice.
    Keep,
    /// Jobs of these classes go back: whoever restores answers for them.
    Only(Vec<String>),
}

/// Which Kubernetes objects a restore writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectsPolicy {
    /// Those that are not there.
    #[default]
    Missing,
    /// Those that are not there, and those that differ.
    Overwrite,
    /// Those that are not there, into a namespace without an installation: its writers wait for the data, and an undo takes all of it away again.
    IntoEmpty,
}

/// When values are loaded that are so long that a server stands still while it makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LargeValues {
    /// With all others, beside the live data.
    #[default]
    Beside,
    /// In a step of their own between the stop of the writers and the cut-over.
    DuringStop,
}

/// What the operator chose for a restore. Part of the plan, so that `resume` and `undo` obey it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policies {
    /// Job queues.
    pub queues: Queues,
    /// Kubernetes objects.
    pub objects: ObjectsPolicy,
    /// Whether objects of a bucket that the set does not have are taken away. In a folder they always are.
    #[serde(default)]
    pub remove_extra: bool,
    /// Values that are long to make.
    #[serde(default)]
    pub large_values: LargeValues,
}

/// A data set in a plan, with what was found about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDataSet {
    /// The road back; [`Road::SideCopy`] in a backup.
    pub road: Road,
    /// The store as found.
    pub findings: Findings,
    /// What goes back; absent in a backup.
    pub kept: Option<KeptDataSet>,
    /// What stands in the way.
    pub problems: Vec<Problem>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is for.
    pub purpose: Purpose,
    /// The run that will carry it out.
    pub run: RunId,
    /// The set that is taken or put back; [`crate::LIVE`] where there is none.
    pub set: SetId,
    /// Whether the writers are stopped for the whole of a backup.
    pub freeze: bool,
    /// The installation that it is for; absent where a journal of format 2 does not say it. A run is never taken up against another one.
    #[serde(default, deserialize_with = "InstallationId::of_any_format")]
    pub installation: Option<InstallationId>,
    /// The release of 3scale that the installation is, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whose set goes back, when it is another installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<InstallationId>,
    /// Backups: the data sets that the installation has and that are left out, each with the reason.
    #[serde(default)]
    pub left_out: BTreeMap<DataSetName, String>,
    /// Backups: the data sets that the installation is declared not to have.
    #[serde(default)]
    pub absent: Vec<DataSetName>,
    /// What the operator chose.
    #[serde(default)]
    pub policies: Policies,
    /// The data sets.
    pub data_sets: BTreeMap<DataSetName, PlannedDataSet>,
    /// What stands in the way of the whole.
    pub problems: Vec<Problem>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Of a run that does nothing yet.
    pub(crate) fn of(purpose: Purpose, run: RunId, set: SetId) -> Self {
        Self {
            purpose,
            run,
            set,
            freeze: false,
            installation: None,
            release: None,
            from: None,
            left_out: BTreeMap::new(),
            absent: Vec::new(),
            policies: Policies::default(),
            data_sets: BTreeMap::new(),
            problems: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The step of a number.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The newest migration of the system database as it was found.
    #[must_use]
    pub fn newest_migration(&self) -> Option<&str> {
        let found = &self.data_sets.get(&DataSetName::SystemDatabase)?.findings;
        found.facts.iter().find(|(name, _)| name == release::SCHEMA).map(|(_, version)| version.as_str())
    }

    /// The data sets that its steps need: those of the plan, and those in which something is set right beside them.
    #[must_use]
    pub fn stores(&self) -> Vec<DataSetName> {
        let mut stores: Vec<_> = self.data_sets.keys().copied().collect();
        for step in &self.steps {
            stores.extend(step.action.data_set());
            let asks_system = match &step.action {
                Action::KeepIdsAhead { pending_deletion, .. } => pending_deletion.is_some(),
                Action::MergeKeys { ids, .. } => !ids.is_empty(),
                _ => false,
            };
            stores.extend(asks_system.then_some(DataSetName::SystemDatabase));
        }
        stores.sort();
        stores.dedup();
        stores
    }

    /// Whether its run stops the writers itself.
    #[must_use]
    pub fn stops_writers(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::StopWriters { .. }))
    }

    /// All problems with the data set they are about.
    pub fn all_problems(&self) -> impl Iterator<Item = (Option<DataSetName>, &Problem)> {
        let own = self.problems.iter().map(|problem| (None, problem));
        own.chain(self.data_sets.iter().flat_map(|(name, planned)| planned.problems.iter().map(|problem| (Some(*name), problem))))
    }

    /// Refuses a plan that cannot work.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] naming every problem that blocks; [`crate::Class::Failed`] when the steps contradict each other (a bug).
    pub fn check(&self) -> Result<()> {
        let blocking: Vec<_> = self.all_problems().filter(|(_, problem)| problem.severity == Severity::Blocks).collect();
        if !blocking.is_empty() {
            let error = Error::refused("the plan is refused; nothing was touched");
            return Err(blocking.into_iter().fold(error, |error, (name, problem)| {
                let place = name.map(|name| format!("{name}: ")).unwrap_or_default();
                error.hint(format!("{place}{}", problem.sentence()))
            }));
        }
        self.check_steps()
    }

    fn check_steps(&self) -> Result<()> {
        for (index, step) in self.steps.iter().enumerate() {
            let earlier = self.steps.get(..index).unwrap_or_default();
            let knows = |id: &StepId| earlier.iter().any(|before| before.id == *id);
            if knows(&step.id) || !step.needs.iter().all(knows) {
                return Err(Error::failed(format!("step {} ({}) needs a step that does not come before it", step.id, step.action)));
            }
            if let Action::Stage { reserved, data_set }
            | Action::Prove { reserved, data_set }
            | Action::RewriteConfiguration { reserved, data_set }
            | Action::MergeKeys { reserved, data_set, .. }
            | Action::CutOver { reserved, data_set } = &step.action
            {
                let fits =
                    self.step(*reserved).is_some_and(|by| matches!(&by.action, Action::Reserve { data_set: of, .. } if of == data_set));
                if !fits || !step.needs.contains(reserved) && !self.needs_reach(step, *reserved) {
                    return Err(Error::failed(format!("step {} ({}) has no reserved place", step.id, step.action)));
                }
            }
        }
        Ok(())
    }

    fn needs_reach(&self, step: &Step, target: StepId) -> bool {
        step.needs.iter().any(|need| *need == target || self.step(*need).is_some_and(|step| self.needs_reach(step, target)))
    }
}

/// Numbers steps as they are added.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<Step>);

impl Steps {
    pub(crate) fn add(&mut self, action: Action, needs: Vec<StepId>, reason: impl Into<String>) -> StepId {
        let id = StepId(u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(1));
        self.0.push(Step { id, action, needs, reason: reason.into() });
        id
    }

    pub(crate) fn into_vec(self) -> Vec<Step> {
        self.0
    }
}
