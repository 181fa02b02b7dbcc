//! Decides how a set is taken.

use std::collections::BTreeMap;

use crate::InstallationId;
use crate::ids::{DataSetName, RunId, SetId};
use crate::planned::{Plan, PlannedDataSet, Purpose, Steps};
use crate::ports::{Findings, Problem, Road, Severity, WriterGroup};
use crate::step::{Action, Drain, StepId};
use crate::writers;

/// The order in which views are opened: the Redis servers right after the system database, so that the skew between rows and counters is small; files, which
/// take longest and have no view of one instant, last.
const ORDER: [DataSetName; 6] = [
    DataSetName::SystemDatabase,
    DataSetName::BackendRedis,
    DataSetName::SystemRedis,
    DataSetName::KubernetesObjects,
    DataSetName::ZyncDatabase,
    DataSetName::SystemStorage,
];

/// What a backup is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The run.
    pub run: RunId,
    /// The set that it will make.
    pub set: SetId,
    /// Whose set it is.
    pub installation: Option<InstallationId>,
    /// The release of 3scale that it is, where it is known.
    pub release: Option<String>,
    /// The data sets that the installation has and that are left out, each with the reason.
    pub left_out: BTreeMap<DataSetName, String>,
    /// The data sets that the installation is declared not to have.
    pub absent: Vec<DataSetName>,
    /// Whether the writers are stopped while it is taken.
    pub freeze: bool,
    /// Whether this program can stop and start them.
    pub can_stop_writers: bool,
    /// Jobs that are to be done before the writers are stopped.
    pub drain: Option<Drain>,
}

impl Wanted {
    /// A backup of everything, of an installation without a name, with the writers running.
    #[must_use]
    pub const fn new(run: RunId, set: SetId) -> Self {
        Self {
            run,
            set,
            installation: None,
            release: None,
            left_out: BTreeMap::new(),
            absent: Vec::new(),
            freeze: false,
            can_stop_writers: false,
            drain: None,
        }
    }
}

/// Plans a backup of the data sets found.
///
/// The system database's view is opened before those of the Redis servers, so that Redis is the newer one: its event and alert counters are then ahead
/// of MySQL's rows (facts 8.2). Files are walked after the database's view too. The dumps themselves run side by side.
#[must_use]
pub fn plan_backup(wanted: Wanted, found: BTreeMap<DataSetName, Findings>) -> Plan {
    let freeze = wanted.freeze;
    let mut problems = Vec::new();
    if found.is_empty() {
        problems.push(
            Problem::new(Severity::Blocks, "the installation is empty: no data set is configured")
                .way_out("Add sections such as [system-database] to the configuration."),
        );
    }
    if freeze && !wanted.can_stop_writers {
        problems.push(
            Problem::new(Severity::Blocks, "--freeze needs commands that stop and start the writers")
                .way_out("Set [writers] stop, start and stopped, or stop the writers by hand and leave --freeze out."),
        );
    }
    let mut steps = Steps::default();
    let noted = freeze.then(|| {
        let data_sets = writers::written(found.keys());
        steps.add(Action::NoteWriters { data_sets }, Vec::new(), "their numbers are on record before the first is stopped")
    });
    let stopped = noted.map(|noted| {
        steps.add(Action::StopWriters { noted, drain: wanted.drain }, vec![noted], "an exact cut: nothing writes while the set is taken")
    });
    let before: Vec<StepId> = stopped.into_iter().collect();
    let mut dumps = Vec::new();
    for data_set in ORDER.into_iter().filter(|name| found.contains_key(name)) {
        let reason = match data_set {
            DataSetName::KubernetesObjects => "the Secrets that belong to the data",
            DataSetName::SystemDatabase => "first view: the source of truth",
            DataSetName::SystemStorage => "after the database's view: a row's file is there",
            DataSetName::ZyncDatabase => "its content is derived from System",
            DataSetName::BackendRedis => "after the database's view: its counters must not be behind the rows",
            DataSetName::SystemRedis => "after the database's view: jobs refer to rows",
        };
        let first = DataSetName::SystemDatabase;
        let after_view_of = (data_set != first && found.contains_key(&first)).then_some(first);
        dumps.push(steps.add(Action::Dump { data_set, after_view_of }, before.clone(), reason));
    }
    if let Some(noted) = noted {
        let start = Action::StartWriters { noted, groups: WriterGroup::ALL.to_vec() };
        let started = steps.add(start, dumps.clone(), "all views are read");
        steps.add(Action::ReleaseWriters { noted }, vec![started], "as it was before");
    }
    steps.add(Action::WriteManifest, dumps, "written last: only now the set exists");
    let data_sets = found
        .into_iter()
        .map(|(name, findings)| {
            let problems = findings.backup_problems.clone();
            (name, PlannedDataSet { road: Road::SideCopy, findings, kept: None, problems })
        })
        .collect();
    Plan {
        freeze,
        installation: wanted.installation,
        release: wanted.release,
        left_out: wanted.left_out,
        absent: wanted.absent,
        data_sets,
        problems,
        steps: steps.into_vec(),
        ..Plan::of(Purpose::Backup, wanted.run, wanted.set)
    }
}
