//! Which of the steps around a restore are needed: whose writers stop, what starts again in which order, what is made anew.

use crate::ids::DataSetName;
use crate::planned::Steps;
use crate::ports::{SyncTask, WriterGroup};
use crate::restore_plan::Around;
use crate::step::{Action, StepId};

/// The data sets that somebody writes to: all but the objects of Kubernetes.
pub(crate) fn written<'a>(names: impl IntoIterator<Item = &'a DataSetName>) -> Vec<DataSetName> {
    names.into_iter().copied().filter(|name| DataSetName::STORES.contains(name)).collect()
}

/// The steps after the last cut-over: writers start group by group. The configuration in Backend is made anew before those start that read it; the other copies
/// when the installation serves again.
pub(crate) fn start_again(steps: &mut Steps, noted: StepId, restored: &[DataSetName], around: &Around, after: Vec<StepId>) {
    let tasks: Vec<SyncTask> = around.offers.iter().copied().filter(|task| is_stale(*task, restored)).collect();
    if tasks.is_empty() {
        let groups = WriterGroup::ALL.to_vec();
        let started = steps.add(Action::StartWriters { noted, groups }, after, "the installation serves again");
        let released = steps.add(Action::ReleaseWriters { noted }, vec![started], "as it was before");
        restart_readers(steps, around, vec![released]);
        return;
    }
    let mut last = after;
    for group in WriterGroup::ALL {
        last = vec![steps.add(Action::StartWriters { noted, groups: vec![group] }, last, why(group))];
        if group == WriterGroup::Listener && tasks.contains(&SyncTask::BackendConfiguration) {
            let task = SyncTask::BackendConfiguration;
            last = vec![steps.add(Action::Synchronise { task }, last, because(task))];
        }
    }
    last = vec![steps.add(Action::ReleaseWriters { noted }, last, "as it was before")];
    last = restart_readers(steps, around, last);
    // These need all that serves, and nothing that serves needs them.
    for task in tasks.into_iter().filter(|task| *task != SyncTask::BackendConfiguration) {
        last = vec![steps.add(Action::Synchronise { task }, last, because(task))];
    }
}

/// Who reads objects that were overwritten, and did not stop for it.
pub(crate) fn restart_readers(steps: &mut Steps, around: &Around, after: Vec<StepId>) -> Vec<StepId> {
    if around.readers.is_empty() {
        return after;
    }
    let readers = around.readers.clone();
    vec![steps.add(Action::RestartReaders { readers }, after, "they read objects that are overwritten, when they start")]
}

/// Whether a restore of these data sets leaves the copy behind its source.
fn is_stale(task: SyncTask, restored: &[DataSetName]) -> bool {
    let any = |names: &[DataSetName]| names.iter().any(|name| restored.contains(name));
    match task {
        SyncTask::BackendConfiguration => any(&[DataSetName::SystemDatabase, DataSetName::BackendRedis]),
        SyncTask::SearchIndex => any(&[DataSetName::SystemDatabase]),
        SyncTask::ZyncDomains => any(&[DataSetName::SystemDatabase, DataSetName::ZyncDatabase]),
    }
}

const fn why(group: WriterGroup) -> &'static str {
    match group {
        WriterGroup::Listener => "the gateway's calls are answered again; the rewrite goes through it",
        WriterGroup::System => "with the configuration in Backend as it is in System",
        WriterGroup::Zync => "the installation serves again",
    }
}

const fn because(task: SyncTask) -> &'static str {
    match task {
        SyncTask::BackendConfiguration => "System is the source of truth of what Backend copies",
        SyncTask::SearchIndex => "derived from the database",
        SyncTask::ZyncDomains => "derived from the database",
    }
}
