//! What the JSON of a Job and its pods says about the program in them. Pure.

use serde_json::Value;

use super::super::writers::pods::{cannot_start, why_not_ready};
use super::super::writers::workload::{list, name, number, text};
use super::made::CONTAINER;

/// How far a Job is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing runs yet, for this reason.
    Waits { reason: String, is_hopeless: bool },
    /// The program runs in this pod.
    Runs { pod: String },
    /// The program ended in this pod.
    Ended { pod: String, status: u64, reason: String },
    /// Nothing runs, and nothing will.
    Lost { reason: String },
}

/// How a Job ended, when it did: the condition's reason and message.
pub(super) fn has_ended(job: &Value) -> Option<String> {
    let is_true = |condition: &&Value| text(condition, "/status") == "True" && matches!(text(condition, "/type"), "Complete" | "Failed");
    let condition = list(job, "/status/conditions").iter().find(is_true)?;
    let words = [text(condition, "/type"), text(condition, "/reason"), text(condition, "/message")];
    Some(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", "))
}

/// How far a Job is, from itself and its pods. The newest pod counts: a controller replaces one that was deleted.
pub(super) fn stage(job: &Value, pods: &[Value]) -> Stage {
    let Some(pod) = pods.iter().max_by_key(|pod| (text(pod, "/metadata/creationTimestamp"), name(pod))) else {
        return match has_ended(job) {
            Some(reason) => Stage::Lost { reason },
            None => Stage::Waits { reason: "there is no pod".to_owned(), is_hopeless: false },
        };
    };
    let of_program = list(pod, "/status/containerStatuses").iter().find(|status| text(status, "/name") == CONTAINER);
    if let Some(ended) = of_program.and_then(|status| status.pointer("/state/terminated")) {
        let status = ended.get("exitCode").and_then(Value::as_u64).unwrap_or(1);
        return Stage::Ended { pod: name(pod).to_owned(), status, reason: text(ended, "/reason").to_owned() };
    }
    if of_program.is_some_and(|status| status.pointer("/state/running").is_some()) {
        return Stage::Runs { pod: name(pod).to_owned() };
    }
    if text(pod, "/status/phase") == "Failed" {
        let words = [text(pod, "/status/reason"), text(pod, "/status/message")];
        return Stage::Lost { reason: words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ") };
    }
    let is_hopeless = cannot_start(pod).is_some();
    Stage::Waits { reason: why_not_ready(pod).unwrap_or_else(|| format!("{} starts", name(pod))), is_hopeless }
}

/// How long the pod may take to stop.
pub(super) fn grace_seconds(job: &Value) -> u64 {
    match number(job, "/spec/template/spec/terminationGracePeriodSeconds") {
        0 => 30,
        seconds => seconds,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn pod(name: &str, created: &str, state: Value) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": created}, "status": {"phase": "Running", "containerStatuses": [
            {"name": "proxy", "state": {"running": {}}}, {"name": CONTAINER, "state": state}]}})
    }

    #[test]
    fn the_newest_pod_counts_and_a_sidecar_does_not() {
        let old = pod("a", "2026-01-01T00:00:00Z", json!({"terminated": {"exitCode": 130, "reason": "Error"}}));
        let new = pod("b", "2026-01-01T00:01:00Z", json!({"running": {}}));
        assert_eq!(stage(&json!({}), &[old.clone(), new]), Stage::Runs { pod: "b".into() });
        assert_eq!(stage(&json!({}), &[old]), Stage::Ended { pod: "a".into(), status: 130, reason: "Error".into() });
    }

    #[test]
    fn a_job_without_a_pod_waits_until_it_has_failed() {
        assert!(matches!(stage(&json!({}), &[]), Stage::Waits { is_hopeless: false, .. }));
        let failed =
            json!({"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]}});
        assert_eq!(stage(&failed, &[]), Stage::Lost { reason: "Failed, DeadlineExceeded, too long".into() });
    }

    #[test]
    fn an_evicted_pod_and_one_that_cannot_start_are_told() {
        let evicted =
            json!({"metadata": {"name": "a"}, "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}});
        assert_eq!(stage(&json!({}), &[evicted]), Stage::Lost { reason: "Evicted, The node was low on memory".into() });
        let no_image = pod("a", "", json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}));
        let Stage::Waits { reason, is_hopeless } = stage(&json!({}), &[no_image]) else { panic!("it waits") };
        assert!(is_hopeless && reason.contains("ErrImagePull"), "{reason}");
    }

    #[test]
    fn only_a_true_condition_is_an_end() {
        let suspended = json!({"status": {"conditions": [{"type": "Suspended", "status": "True"}, {"type": "Failed", "status": "False"}]}});
        assert_eq!(has_ended(&suspended), None);
        let complete = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
        assert_eq!(has_ended(&complete).unwrap(), "Complete");
    }
}
