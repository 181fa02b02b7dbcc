//! Stopping and starting: what comes back is what was, whatever happens on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plan::Class;
use plan::ids::DataSetName;
use plan::ports::{Noted, WriterGroup, Writers};
use platforms::kubernetes::writers::{KubernetesWriters, Workload, WorkloadKind, WritersOptions, restart_workload};
use serde_json::{Value, json};

use crate::installation::{Era, Installation, is_marked, ready, replicas};
use crate::{context, eventually};

const ALL: [&str; 9] = [
    "system-app",
    "system-sidekiq",
    "system-memcache",
    "backend-listener",
    "backend-worker",
    "backend-cron",
    "zync",
    "zync-que",
    "apicast-production",
];

fn writers(installation: &Installation) -> KubernetesWriters {
    KubernetesWriters::new(installation.cluster.clone(), WritersOptions::default())
}

#[test]
fn on_a_cluster_deployments_come_back_as_they_were() {
    let Some(installation) = Installation::start("deployments", Era::Deployments, &ALL, true) else { return };
    stop_and_start(&installation);
}

#[test]
fn on_a_cluster_deployment_configs_come_back_as_they_were() {
    let Some(installation) = Installation::start("configs", Era::DeploymentConfigs, &ALL, true) else { return };
    stop_and_start(&installation);
}

fn stop_and_start(installation: &Installation) {
    installation.scale("system-sidekiq", 2, "a-person");
    installation.scale("backend-cron", 0, "a-person");
    installation.ready();
    let before = installation.numbers();
    let writers = writers(installation);
    let (run, _) = context("run1");
    let noted = writers.note(&run, &DataSetName::ALL).unwrap();
    assert_eq!(installation.numbers(), before, "noting changes nothing");
    assert_eq!(writers.stopped(&run).unwrap(), Some(false));

    // The program dies when it has held the operator and scaled some.
    let dying = context("run1").0;
    let (flag, half) = (dying.stop.clone(), Arc::new(AtomicBool::new(false)));
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the first writer is at 0", || half.load(Ordering::SeqCst) || replicas(&installation.get("system-app")) == 0);
            flag.raise();
        });
        let ended = writers.stop(&dying, &noted);
        half.store(true, Ordering::SeqCst);
        assert_eq!(ended.unwrap_err().class(), Class::Interrupted);
    });
    // Who notes now must not take the zeros for the truth.
    let again = writers.note(&run, &DataSetName::ALL).unwrap();
    assert_eq!(numbers_of(&again), numbers_of(&noted));
    let other = writers.note(&context("run2").0, &DataSetName::ALL).unwrap_err();
    assert_eq!(other.class(), Class::Refused);
    assert!(other.to_string().contains("run1"), "{other:?}");

    writers.stop(&run, &noted).unwrap();
    writers.stop(&run, &noted).unwrap();
    assert_eq!(writers.stopped(&run).unwrap(), Some(true));
    assert_eq!(replicas(&installation.operator()), 0);
    assert_eq!(ready(&installation.get("apicast-production")), 1, "who does not write is not stopped");
    let sidekiq = installation.get("system-sidekiq");
    assert_eq!(sidekiq["metadata"]["annotations"]["threescale-backup/replicas"], "2");
    assert_eq!(sidekiq["metadata"]["annotations"]["threescale-backup/run"], "run1");

    for group in WriterGroup::ALL {
        writers.start(&run, &noted, group).unwrap();
        writers.start(&run, &noted, group).unwrap();
        let is_up = |name: &str| ready(&installation.get(name)) > 0;
        assert_eq!(
            (is_up("backend-listener"), is_up("system-sidekiq"), is_up("zync")),
            (true, group >= WriterGroup::System, group >= WriterGroup::Zync)
        );
    }
    writers.release(&run, &noted).unwrap();
    writers.release(&run, &noted).unwrap();
    assert_eq!(installation.numbers(), before);
    assert_eq!(ready(&installation.operator()), 1);
}

fn numbers_of(noted: &Noted) -> Vec<(Value, Value)> {
    noted.0["writers"].as_array().unwrap().iter().map(|one| (one["name"].clone(), one["replicas"].clone())).collect()
}

#[test]
fn on_a_cluster_an_operator_out_of_reach_is_held_through_the_api_manager() {
    let names = ["system-app", "system-sidekiq", "zync", "zync-que"];
    let Some(installation) = Installation::start("limited", Era::Deployments, &names, true) else { return };
    let writers = KubernetesWriters::new(installation.as_limited(&names), WritersOptions::default());
    let before = installation.numbers();
    let path = installation.cluster.path("apps.3scale.net/v1alpha1", "apimanagers", Some("apimanager-sample"));
    let spec_before = installation.cluster.get(&path).unwrap()["spec"].clone();
    let (run, told) = context("run1");
    let noted = writers.note(&run, &[DataSetName::SystemDatabase, DataSetName::ZyncDatabase]).unwrap();
    assert!(told.has("may not scale"));
    writers.stop(&run, &noted).unwrap();
    let held = installation.cluster.get(&path).unwrap();
    assert_eq!(held["spec"]["system"], json!({"appSpec": {"replicas": 0}, "sidekiqSpec": {}}), "only what it enforces is set");
    assert!(is_marked(&held));
    assert_eq!(ready(&installation.operator()), 1, "the operator goes on");
    assert_eq!(writers.stopped(&run).unwrap(), Some(true));
    assert!(writers.note(&context("run2").0, &[DataSetName::SystemDatabase]).is_err());
    for group in WriterGroup::ALL {
        writers.start(&run, &noted, group).unwrap();
    }
    writers.release(&run, &noted).unwrap();
    let after = installation.cluster.get(&path).unwrap();
    assert_eq!(after["spec"], spec_before);
    assert!(!is_marked(&after));
    assert_eq!(installation.numbers(), before);
}

#[test]
fn on_a_cluster_who_starts_the_writers_again_is_named() {
    let Some(installation) = Installation::start("fight", Era::Deployments, &["zync", "zync-que"], false) else { return };
    let writers = writers(&installation);
    let (run, _) = context("run1");
    let noted = writers.note(&run, &[DataSetName::ZyncDatabase]).unwrap();
    let is_over = AtomicBool::new(false);
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                if replicas(&installation.get("zync")) == 0 {
                    installation.scale("zync", 1, "somebody-else");
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let error = writers.stop(&run, &noted).unwrap_err();
        is_over.store(true, Ordering::SeqCst);
        error
    });
    assert!(error.to_string().contains("starts the writers again"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("zync was scaled to 1 by somebody-else")), "{error:?}");
    for group in WriterGroup::ALL {
        writers.start(&run, &noted, group).unwrap();
    }
    assert!(installation.numbers().iter().all(|(_, number, marked)| *number == 1 && !marked));
}

#[test]
fn on_a_cluster_an_autoscaler_rests_and_goes_on() {
    let Some(installation) = Installation::start("scaler", Era::Deployments, &["zync"], false) else { return };
    installation.make(&json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "by-load"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "zync"}, "minReplicas": 2, "maxReplicas": 3}}));
    eventually("it scales", || replicas(&installation.get("zync")) == 2);
    installation.ready();
    let writers = writers(&installation);
    let (run, told) = context("run1");
    let noted = writers.note(&run, &[DataSetName::ZyncDatabase]).unwrap();
    assert!(told.has("by-load"));
    writers.stop(&run, &noted).unwrap();
    // Longer than the autoscaler's own round of 15 s.
    let began = Instant::now();
    eventually("it had its chance", || began.elapsed() > Duration::from_secs(20));
    assert_eq!(replicas(&installation.get("zync")), 0);
    writers.start(&run, &noted, WriterGroup::Zync).unwrap();
    assert_eq!(ready(&installation.get("zync")), 2);
}

#[test]
fn on_a_cluster_a_pod_that_does_not_go_is_named() {
    let Some(installation) = Installation::start("stuck", Era::Deployments, &["zync"], false) else { return };
    let pod = installation.pods("zync").remove(0);
    let path = installation.cluster.path("v1", "pods", pod["metadata"]["name"].as_str());
    installation.cluster.merge_patch(&path, &json!({"metadata": {"finalizers": ["example.com/held"]}})).unwrap();
    let writers = KubernetesWriters::new(installation.cluster.clone(), WritersOptions { wait_seconds_max: 8, settle_seconds: 0 });
    let (run, _) = context("run1");
    let noted = writers.note(&run, &[DataSetName::ZyncDatabase]).unwrap();
    let error = writers.stop(&run, &noted).err();
    installation.cluster.merge_patch(&path, &json!({"metadata": {"finalizers": null}})).unwrap();
    // Kubernetes of today ends the pod's phase before it goes: then it counts as gone, as nothing runs in it.
    if let Some(error) = error {
        assert!(error.hints().iter().any(|hint| hint.contains("example.com/held")), "{error:?}");
    }
    eventually("it is gone", || installation.pods("zync").is_empty());
    writers.stop(&run, &noted).unwrap();
}

#[test]
fn on_a_cluster_a_writer_that_does_not_start_is_explained() {
    let Some(installation) = Installation::start("broken", Era::Deployments, &["zync"], false) else { return };
    let (run, _) = context("run1");
    let noted = writers(&installation).note(&run, &[DataSetName::ZyncDatabase]).unwrap();
    writers(&installation).stop(&run, &noted).unwrap();
    let mut object = installation.get("zync");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("localhost/threescale/nothing:1");
    installation.cluster.put(&installation.path("zync"), &object).unwrap();
    let hasty = KubernetesWriters::new(installation.cluster.clone(), WritersOptions { wait_seconds_max: 5, settle_seconds: 0 });
    // On a busy node it takes a while until the image is missed.
    eventually("the error says why", || {
        let words = hasty.start(&run, &noted, WriterGroup::Zync).unwrap_err().hints().join(" ");
        words.contains("ImagePull") && words.contains("last event")
    });
}

#[test]
fn on_a_cluster_a_restart_makes_all_pods_anew() {
    for (name, era, kind) in
        [("restart", Era::Deployments, WorkloadKind::Deployment), ("restart-dc", Era::DeploymentConfigs, WorkloadKind::DeploymentConfig)]
    {
        let Some(installation) = Installation::start(name, era, &["system-searchd"], false) else { return };
        let uids = || -> Vec<Value> { installation.pods("system-searchd").iter().map(|pod| pod["metadata"]["uid"].clone()).collect() };
        let before = uids();
        restart_workload(&installation.cluster, &context("run1").0, &Workload::new(kind, "system-searchd"), 240).unwrap();
        let after = uids();
        assert!(after.len() == 1 && !before.contains(&after[0]), "{before:?} {after:?}");
        assert_eq!(ready(&installation.get("system-searchd")), 1);
    }
}
