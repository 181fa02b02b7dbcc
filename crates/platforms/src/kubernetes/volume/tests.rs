//! The pod of our own, and when it goes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use plan::Class;

use super::*;
use crate::kubernetes::scripted::{Reply, cluster};

const STORAGE: &str = "/opt/system/public/system";

#[test]
fn a_pod_whose_wait_was_broken_off_is_removed() {
    let context = Context::new("01jdrun0000000000000000001");
    let (stop, pod) = (context.stop.clone(), Arc::new(Mutex::new(None::<Value>)));
    let there = Arc::clone(&pod);
    let cluster = cluster(move |method, path, body| {
        let mut pod = there.lock().unwrap();
        match (method, path.split('?').next().unwrap()) {
            ("GET", "/apis/apps/v1/namespaces/n/deployments") => Reply::Json(
                200,
                json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "items": [{"metadata": {"name": "system-sidekiq"}, "spec": {"template": {"spec": {
                    "containers": [{"name": "system-sidekiq", "image": "i", "volumeMounts": [{"name": "s", "mountPath": STORAGE}]}]}}}}]}),
            ),
            ("GET", path) if path.starts_with("/api/v1/namespaces/n/pods/threescale-backup-files-") => {
                pod.clone().map_or_else(|| Reply::Json(404, json!({"reason": "NotFound"})), |pod| Reply::Json(200, pod))
            }
            ("POST", "/api/v1/namespaces/n/pods") => {
                let mut made: Value = serde_json::from_str(body).unwrap();
                made["status"] = json!({"phase": "Pending"});
                *pod = Some(made.clone());
                stop.raise();
                Reply::Json(201, made)
            }
            ("DELETE", path) if path.ends_with("-files-0000000001") => {
                *pod = None;
                Reply::Json(200, json!({}))
            }
            _ => Reply::Json(404, json!({"reason": "NotFound"})),
        }
    });
    let volume = Volume::new(cluster, STORAGE);
    let error = volume.prepare(&context).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");
    assert!(pod.lock().unwrap().is_some());
    drop(volume);
    assert_eq!(*pod.lock().unwrap(), None);
}
