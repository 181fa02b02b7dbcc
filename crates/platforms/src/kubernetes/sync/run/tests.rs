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
    tasks.run(&Context::new("run"), Rake { name: "t", task: "a:task" }).unwrap();
    assert_eq!(
        *asked.lock().unwrap(),
        ["deleted", r#"{"mended":"yes"}"#, "deleted"],
        "the old one, the new one, and that when it was done"
    );
}
