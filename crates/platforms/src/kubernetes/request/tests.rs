//! Answers that a real API server cannot be made to give on demand.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plan::{Class, Error};
use serde_json::json;

use crate::kubernetes::scripted::{Reply, cluster};

#[test]
fn a_call_is_repeated_only_when_that_does_no_harm() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let cluster = cluster(move |method, _, _| match (method, count.fetch_add(1, Ordering::SeqCst)) {
        (_, 0) => Reply::Json(429, json!({"reason": "TooManyRequests"})),
        (_, 1) => Reply::Json(503, json!({"reason": "ServiceUnavailable"})),
        ("POST", _) => Reply::Json(500, json!({"reason": "InternalError"})),
        (_, 2) => Reply::Nothing,
        _ => Reply::Json(200, json!({"fine": true})),
    });
    assert_eq!(cluster.get("/api/v1/namespaces/n/configmaps/x").unwrap(), json!({"fine": true}));
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    let error = cluster.post("/api/v1/namespaces/n/configmaps", &json!({})).unwrap_err();
    assert_eq!((error.status(), asked.load(Ordering::SeqCst)), (Some(500), 5));
    assert_eq!(Error::from(error).class(), Class::Transient);
}

#[test]
fn the_scale_of_a_deployment_config_is_of_an_old_kind() {
    let scale = json!({"apiVersion": "extensions/v1beta1", "kind": "Scale", "spec": {"replicas": 0}, "status": {"replicas": 2, "selector": {"a": "b"}}});
    let answer = scale.clone();
    let cluster = cluster(move |method, path, body| {
        assert_eq!((method, path), ("PATCH", "/apis/apps.openshift.io/v1/namespaces/n/deploymentconfigs/system-app/scale"));
        assert_eq!(body, r#"{"spec":{"replicas":0}}"#);
        Reply::Json(200, answer.clone())
    });
    let path = cluster.path("apps.openshift.io/v1", "deploymentconfigs", Some("system-app/scale"));
    assert_eq!(cluster.merge_patch(&path, &json!({"spec": {"replicas": 0}})).unwrap(), scale);
}

#[test]
fn a_list_comes_page_by_page_and_begins_anew_when_it_expired() {
    let asked = Arc::new(AtomicU32::new(0));
    let page = |name: &str, next: &str| {
        Reply::Json(
            200,
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": [{"metadata": {"name": name}}]}),
        )
    };
    let cluster = cluster(move |_, path, _| {
        assert!(path.contains("labelSelector=a%3Db"), "{path}");
        match (path.contains("continue=more"), asked.fetch_add(1, Ordering::SeqCst)) {
            (true, 1) => Reply::Json(410, json!({"reason": "Expired"})),
            (true, _) => page("two", ""),
            (false, _) => page("one", "more"),
        }
    });
    let found = cluster.list("/api/v1/namespaces/n/pods", Some("a=b")).unwrap();
    let names: Vec<_> = found.iter().map(|pod| (pod["metadata"]["name"].as_str().unwrap(), pod["kind"].as_str().unwrap())).collect();
    assert_eq!(names, [("one", "Pod"), ("two", "Pod")]);
}

#[test]
fn a_refused_secret_is_never_quoted() {
    let cluster = cluster(|_, _, body| Reply::Json(422, json!({"reason": "Invalid", "message": format!("invalid: {body}")})));
    let error = cluster.put("/api/v1/namespaces/n/secrets/x", &json!({"data": "hunter2"})).unwrap_err();
    let error = Error::from(error);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(error.class(), Class::Failed);
}
