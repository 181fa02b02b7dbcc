//! A task's pod that an earlier call made and that never ran.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::TasksOptions;
use super::*;
use crate::kubernetes::scripted::{Reply, cluster};

#[test]
fn a_pod_that_never_ran_is_made_anew_from_the_workload_as_it_is_now() {
    let (asked, pod) =
        (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Some(json!({"metadata": {"uid": "old"}, "status": {"phase": "Pending"}})))));
    let (heard, there) = (Arc::clone(&asked), Arc::clone(&pod));
    let cluster = cluster(move |method, path, body| {
        let path = path.split('?').next().unwrap();
        let mut pod = there.lock().unwrap();
        match (method, path) {
            ("GET", "/apis/apps/v1/namespaces/n/deployments") => Reply::Json(
                200,
                json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "items": [{"metadata": {"name": "system-sidekiq"}, "spec": {"template": {"spec": {
                    "nodeSelector": {"mended": "yes"}, "containers": [{"name": "system-sidekiq", "image": "i"}]}}}}]}),
            ),
            ("GET", path) if path.starts_with("/api/v1/namespaces/n/pods/threescale-backup-") && !path.ends_with("/log") => {
                pod.clone().map_or_else(|| Reply::Json(404, json!({"reason": "NotFound"})), |pod| Reply::Json(200, pod))
            }
            ("DELETE", _) => {
                heard.lock().unwrap().push("deleted".to_owned());
                *pod = None;
                Reply::Json(200, json!({}))
            }
            ("POST", "/api/v1/namespaces/n/pods") => {
                let made: Value = serde_json::from_str(body).unwrap();
                heard.lock().unwrap().push(made["spec"]["nodeSelector"].to_string());
                *pod = Some(json!({"metadata": {"uid": "new"}, "status": {"phase": "Succeeded",
                    "containerStatuses": [{"name": CONTAINER, "state": {"terminated": {"exitCode": 0}}}]}}));
                Reply::Json(201, made)
            }
            _ => Reply::Json(404, json!({"reason": "NotFound"})),
        }
    });
    let tasks = KubernetesTasks::find(cluster, TasksOptions::default()).unwrap();
    tasks.run(&Context::new("run"), Rake { name: "t", task: "a:task", better: None }).unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        ["deleted", r#"{"mended":"yes"}"#, "deleted"],
        "the old one, the new one, and that when it was done"
    );
}

/// Everything that was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl plan::ports::Watch for Told {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Note(text) => self.0.lock().unwrap().push(format!("note {text}")),
            Event::Warning(text) => self.0.lock().unwrap().push(format!("warning {text}")),
            _ => {}
        }
    }
}

/// An installation whose tasks end well at once.
fn installation() -> crate::kubernetes::Cluster {
    let made = Mutex::new(None);
    cluster(move |method, path, body| match (method, path.split('?').next().unwrap()) {
        ("GET", "/apis/apps/v1/namespaces/n/deployments") => {
            let workload = |name: &str| json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": [{"name": name, "image": "i"}]}}}});
            Reply::Json(
                200,
                json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "items": [workload("system-sidekiq"), workload("zync")]}),
            )
        }
        ("GET", path) if path.starts_with("/api/v1/namespaces/n/pods/threescale-backup-") && !path.ends_with("/log") => {
            let pod: Option<Value> = made.lock().unwrap().clone();
            pod.map_or_else(|| Reply::Json(404, json!({"reason": "NotFound"})), |pod| Reply::Json(200, pod))
        }
        ("POST", "/api/v1/namespaces/n/pods") => {
            let mut pod: Value = serde_json::from_str(body).unwrap();
            pod["status"] =
                json!({"phase": "Succeeded", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": {"exitCode": 0}}}]});
            *made.lock().unwrap() = Some(pod.clone());
            Reply::Json(201, pod)
        }
        ("DELETE", _) => {
            *made.lock().unwrap() = None;
            Reply::Json(200, json!({}))
        }
        _ => Reply::Json(404, json!({"reason": "NotFound"})),
    })
}

/// What is told of zync's jobs, when so many are due look by look; the last number stays.
fn resynchronise(due: &'static [Option<u64>], seconds_max: u64) -> Vec<String> {
    use plan::ports::{SyncTask, Synchronise};
    let told = Arc::new(Told::default());
    let context = Context { watch: Arc::clone(&told) as Arc<dyn plan::ports::Watch>, ..Context::new("run") };
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let probe = move || {
        let look = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(*due.get(look).unwrap_or_else(|| due.last().unwrap()))
    };
    let options = TasksOptions { zync_seconds_max: seconds_max, ..TasksOptions::default() };
    let tasks = KubernetesTasks::find(installation(), options).unwrap().with_zync_probe(Box::new(probe));
    tasks.synchronise(&context, SyncTask::ZyncDomains).unwrap();
    let told = told.0.lock().unwrap();
    told.clone()
}

#[test]
fn zyncs_own_jobs_are_waited_for_and_those_that_are_left_are_a_warning() {
    let told = resynchronise(&[Some(3), Some(2), Some(0)], 60);
    assert!(told.iter().any(|line| line == "note zync has done its jobs"), "{told:?}");
    let told = resynchronise(&[Some(3)], 0);
    assert!(told.iter().any(|line| line.starts_with("warning zync has still 3 jobs to do")), "{told:?}");
    let told = resynchronise(&[None], 0);
    assert!(told.iter().any(|line| line.starts_with("warning how far zync is could not be seen")), "{told:?}");
}

/// The very command, by bash, in a folder as the image's: with the file of a release that has the better task, of one that has not, and without one.
#[test]
fn the_better_task_runs_where_the_release_has_it() {
    let rake = Rake { name: "r", task: "zync:resync:domains", better: Some(("lib/tasks/zync.rake", "zync:resync:full")) };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("lib/tasks")).unwrap();
    let bundle = folder.path().join("bundle");
    std::fs::write(&bundle, "#!/bin/sh\necho \"bundle $*\"\n").unwrap();
    std::fs::set_permissions(&bundle, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = || {
        let command = super::super::pod::command(rake);
        let (program, arguments) = command.split_first().unwrap();
        let output = std::process::Command::new(program).args(arguments).env("PATH", &path).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned()
    };
    assert_eq!(ran(), "bundle exec rake zync:resync:domains");
    let file = folder.path().join("lib/tasks/zync.rake");
    for (tasks, wanted) in [
        ("    task provider_domains: :environment do\n    task domains: [:provider_domains, :proxy_domains]\n", "domains"),
        ("    desc 'Full resync'\n    task full: %i[providers services proxies applications]\n", "full"),
    ] {
        std::fs::write(&file, tasks).unwrap();
        assert_eq!(ran(), format!("bundle exec rake zync:resync:{wanted}"));
    }
}
