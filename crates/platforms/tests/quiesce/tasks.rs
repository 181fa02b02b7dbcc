//! Tasks in pods of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plan::Class;
use plan::ids::DataSetName;
use plan::ports::{SyncTask, Synchronise, Writers};
use platforms::kubernetes::sync::{KubernetesTasks, TasksOptions};
use platforms::kubernetes::writers::{KubernetesWriters, WritersOptions};

use crate::installation::{Era, Installation};
use crate::{Told, context, eventually};

const NEEDED: [&str; 4] = ["system-sidekiq", "backend-listener", "system-searchd", "zync"];
/// 3scale 2.13 and before.
const OF_OLD: [&str; 4] = ["system-sidekiq", "backend-listener", "system-sphinx", "zync"];

fn tasks(installation: &Installation) -> KubernetesTasks {
    KubernetesTasks::find(installation.cluster.clone(), TasksOptions { queue_seconds_max: 2, ..TasksOptions::default() }).unwrap()
}

/// Tells the stand-in which tasks fail.
fn fail(installation: &Installation, tasks: &str) {
    let mut object = installation.get("system-sidekiq");
    object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = tasks.into();
    installation.cluster.put(&installation.path("system-sidekiq"), &object).unwrap();
}

#[test]
fn on_a_cluster_tasks_run_and_leave_nothing_behind() {
    let Some(installation) = Installation::start("tasks", Era::Deployments, &NEEDED, false) else { return };
    assert!(run_all(&installation).has("rake searchd:optimal_index ended well"));
    fails_and_is_run_again(&installation);
    goes_on_without_us(&installation);
}

#[test]
fn on_a_cluster_tasks_run_from_deployment_configs() {
    let Some(installation) = Installation::start("tasks-dc", Era::DeploymentConfigs, &OF_OLD, false) else { return };
    let pod = installation.pods("system-sphinx")[0]["metadata"]["uid"].clone();
    let told = run_all(&installation);
    assert!(told.has("restarting system-sphinx"), "it makes its index when it starts");
    assert_ne!(installation.pods("system-sphinx")[0]["metadata"]["uid"], pod);
}

fn run_all(installation: &Installation) -> Arc<Told> {
    let (run, told) = context("01jdrun0000000000000000001");
    assert_eq!(tasks(installation).offers(), SyncTask::ALL);
    for task in SyncTask::ALL {
        tasks(installation).synchronise(&run, task).unwrap();
    }
    for words in [
        "rake backend:storage:rewrite ended well: Rewriting usage limits: 100% completed",
        "rake zync:resync:domains (zync:resync:full where the release has it) ended well",
    ] {
        assert!(told.has(words), "{words}");
    }
    let left = AtomicU64::new(2);
    let probe = move || Ok(Some(left.fetch_sub(1, Ordering::SeqCst) - 1));
    tasks(installation).with_queue_probe(Box::new(probe)).synchronise(&run, SyncTask::ZyncDomains).unwrap();
    let full = tasks(installation).with_queue_probe(Box::new(|| Ok(Some(7))));
    full.synchronise(&run, SyncTask::ZyncDomains).unwrap();
    assert!(told.has("still 7 jobs"));
    eventually("no pod is left", || installation.pods("threescale-backup-").is_empty());
    told
}

fn fails_and_is_run_again(installation: &Installation) {
    let (run, _) = context("01jdrun0000000000000000002");
    fail(installation, "backend:storage:rewrite");
    let error = tasks(installation).synchronise(&run, SyncTask::BackendConfiguration).unwrap_err();
    assert_eq!(error.class(), Class::Failed);
    assert!(error.to_string().contains("exit status 1"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("was told to fail")), "its last words: {error:?}");
    assert_eq!(installation.pods("threescale-backup-").len(), 1, "kept as evidence");
    fail(installation, "");
    tasks(installation).synchronise(&run, SyncTask::BackendConfiguration).unwrap();
    eventually("no pod is left", || installation.pods("threescale-backup-").is_empty());
}

fn goes_on_without_us(installation: &Installation) {
    let (run, told) = context("01jdrun0000000000000000003");
    let dying = context("01jdrun0000000000000000003").0;
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the pod is there", || !installation.pods("threescale-backup-").is_empty());
            dying.stop.raise();
        });
        let error = tasks(installation).synchronise(&dying, SyncTask::BackendConfiguration).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted);
    });
    let uid = installation.pods("threescale-backup-")[0]["metadata"]["uid"].clone();
    tasks(installation).synchronise(&run, SyncTask::BackendConfiguration).unwrap();
    assert!(told.has("goes on in pod") || told.has("has ended well before"));
    // A task that nobody waits for any more is a writer.
    let dying = context("01jdrun0000000000000000003").0;
    eventually("the first pod is gone", || installation.pods("threescale-backup-").iter().all(|pod| pod["metadata"]["uid"] != uid));
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the next pod is there", || !installation.pods("threescale-backup-").is_empty());
            dying.stop.raise();
        });
        tasks(installation).synchronise(&dying, SyncTask::BackendConfiguration).unwrap_err();
    });
    let writers = KubernetesWriters::new(installation.cluster.clone(), WritersOptions { settle_seconds: 0, ..WritersOptions::default() });
    let noted = writers.note(&run, &[DataSetName::ZyncDatabase]).unwrap();
    writers.stop(&run, &noted).unwrap();
    assert!(installation.pods("threescale-backup-").is_empty());
}
