//! A node that loses the log of a program that ended well.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::kubernetes::scripted::{Reply, cluster};

fn followed(status: u64) -> Result<u64> {
    let cluster = cluster(move |_, path, _| match path.split('?').next().unwrap() {
        "/apis/batch/v1/namespaces/n/jobs/j" => Reply::Json(200, json!({"metadata": {"name": "j"}})),
        "/api/v1/namespaces/n/pods" => Reply::Json(
            200,
            json!({"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "j-1"}, "status": {"phase": "Succeeded", "containerStatuses": [
                {"name": CONTAINER, "state": {"terminated": {"exitCode": status, "reason": "Completed"}}}]}}]}),
        ),
        _ => Reply::Json(404, json!({"reason": "NotFound", "message": "the log is gone"})),
    });
    SubmittedJob { cluster, name: "j".to_owned() }.follow(&StopFlag::default(), &mut |_| ())
}

#[test]
fn a_result_that_did_not_arrive_is_no_empty_answer() {
    let error = followed(0).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(error.chain().contains("did not arrive"), "{error:?}");
    assert_eq!(followed(2).unwrap(), 2, "an error says enough by its exit code");
}
