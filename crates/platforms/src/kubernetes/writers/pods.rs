//! What the JSON of pods says: which still run, why they are not gone, why they are not ready. Pure.

use plan::error::Error;
use serde_json::Value;

use super::workload::{list, name, number, selects, text};

/// Label on everything that this program makes.
pub(crate) const OURS: (&str, &str) = ("app.kubernetes.io/name", "threescale-backup");
/// Label on the pods of tasks.
pub(crate) const TASK: &str = "threescale-backup/task";

/// The Job that prepares the database before system-app's first start and at upgrades, from 2.15 on (3scale-operator, `system_reconciler.go`).
pub(crate) const HOOK: &str = "system-app-pre";

/// Whether the pod is of a Job.
pub(crate) fn is_of_job(pod: &Value, job: &str) -> bool {
    pod.pointer("/metadata/labels/job-name").and_then(Value::as_str) == Some(job)
}

/// Whether something in the pod may still run. A finished pod stays as an object for a while and writes nothing.
pub(crate) fn is_active(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Those of the pods that still run for a workload: selected by it, or the hooks of its rollout (which are pods of a deployer or a Job of their own).
pub(crate) fn running_for<'a>(pods: &'a [Value], workload: &Value) -> Vec<&'a Value> {
    pods.iter().filter(|pod| is_active(pod) && (selects(workload, pod) || is_hook_of(workload, pod))).collect()
}

/// Whether this program started the pod for a task.
pub(crate) fn is_task(pod: &Value) -> bool {
    let label = |key: &str| pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
    label(OURS.0) == Some(OURS.1) && label(TASK).is_some()
}

/// A rollout of system-app runs tasks that write to the database: `system-app-1-hook-pre` in the era of DeploymentConfigs, the Jobs `system-app-pre` and
/// `system-app-post` after it.
fn is_hook_of(workload: &Value, pod: &Value) -> bool {
    let label = |key: &str| pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let is_of_rollout = label("openshift.io/deployer-pod-for.name").is_some_and(|rollout| {
        rollout.strip_prefix(name(workload)).and_then(|rest| rest.strip_prefix('-')).is_some_and(|version| version.parse::<u64>().is_ok())
    });
    let is_of_job =
        label("job-name").is_some_and(|job| job.strip_prefix(name(workload)).is_some_and(|hook| matches!(hook, "-pre" | "-post")));
    is_of_rollout || is_of_job
}

/// Why a pod is still there, for people.
pub(crate) fn why_still_there(pod: &Value) -> String {
    let mut words = vec![state(pod)];
    let grace = number(pod, "/spec/terminationGracePeriodSeconds");
    match text(pod, "/metadata/deletionTimestamp") {
        "" => words.push("not being deleted".to_owned()),
        since => words.push(format!("being deleted, due by {since}, grace of {grace} s")),
    }
    let finalizers: Vec<_> = list(pod, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
    if !finalizers.is_empty() {
        words.push(format!("finalizers {}", finalizers.join(", ")));
    }
    let node = text(pod, "/spec/nodeName");
    if !node.is_empty() {
        words.push(format!("node {node}"));
    }
    format!("{} ({})", name(pod), words.join("; "))
}

/// Why a pod is not ready, for people; `None` when it is.
pub(crate) fn why_not_ready(pod: &Value) -> Option<String> {
    let condition = |kind: &str| list(pod, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind);
    if condition("Ready").is_some_and(|ready| text(ready, "/status") == "True") {
        return None;
    }
    let mut words = vec![state(pod)];
    for pointer in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        words.extend(list(pod, pointer).iter().filter_map(why_container));
    }
    if let Some(scheduled) = condition("PodScheduled").filter(|scheduled| text(scheduled, "/status") == "False") {
        words.push(format!("not scheduled: {}", text(scheduled, "/message")));
    }
    Some(format!("{} ({})", name(pod), words.join("; ")))
}

fn state(pod: &Value) -> String {
    let phase = text(pod, "/status/phase");
    match text(pod, "/status/reason") {
        "" => phase.to_owned(),
        reason => format!("{phase}, {reason}"),
    }
}

/// What a container waits for or died of. Messages of the kubelet name images, volumes and missing keys, never values.
fn why_container(status: &Value) -> Option<String> {
    let container = text(status, "/name");
    if let Some(waiting) = status.pointer("/state/waiting") {
        let last = match status.pointer("/lastState/terminated") {
            Some(ended) => format!(", ended before with exit status {}", number(ended, "/exitCode")),
            None => String::new(),
        };
        let message = text(waiting, "/message");
        let colon = if message.is_empty() { "" } else { ": " };
        return Some(format!("{container} waits: {}{colon}{message}{last}", text(waiting, "/reason")));
    }
    let is_ready = status.get("ready").and_then(Value::as_bool).unwrap_or(false);
    let runs = status.pointer("/state/running").is_some();
    (runs && !is_ready).then(|| format!("{container} runs and is not ready"))
}

/// A reason for which a pod will not start without somebody's help; `None` when it may still.
pub(crate) fn cannot_start(pod: &Value) -> Option<String> {
    let hopeless =
        ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
    let statuses = list(pod, "/status/containerStatuses");
    statuses.iter().find(|status| hopeless.contains(&text(status, "/state/waiting/reason"))).and_then(why_container)
}

/// Adds what stands in the way of pods to an error, a sentence for each of the first few.
pub(crate) fn told(error: Error, reasons: &[String]) -> Error {
    const SHOWN: usize = 8;
    let error = reasons.iter().take(SHOWN).fold(error, |error, reason| error.hint(format!("{reason}.")));
    if reasons.len() > SHOWN { error.hint(format!("And {} more.", reasons.len() - SHOWN)) } else { error }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, labels: Value) -> Value {
        json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}})
    }

    #[test]
    fn a_finished_pod_does_not_count_and_a_hook_does() {
        let app = json!({"metadata": {"name": "system-app"}, "spec": {"selector": {"deploymentConfig": "system-app"}}});
        let pods = [
            pod("a", "Running", json!({"deploymentConfig": "system-app"})),
            pod("b", "Failed", json!({"deploymentConfig": "system-app"})),
            pod("c", "Running", json!({"openshift.io/deployer-pod-for.name": "system-app-12"})),
            pod("d", "Running", json!({"openshift.io/deployer-pod-for.name": "system-app-other-12"})),
            pod("e", "Pending", json!({"job-name": "system-app-pre"})),
            pod("f", "Running", json!({"job-name": "system-app-cleaner"})),
            pod("g", "Unknown", json!({"deploymentConfig": "system-app"})),
        ];
        let names: Vec<_> = running_for(&pods, &app).into_iter().map(name).collect();
        assert_eq!(names, ["a", "c", "e", "g"]);
    }

    #[test]
    fn a_pod_that_does_not_go_is_described() {
        let pod = json!({
            "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:30Z", "finalizers": ["example.com/hold"]},
            "spec": {"terminationGracePeriodSeconds": 30, "nodeName": "n1"}, "status": {"phase": "Running", "reason": "NodeLost"}
        });
        let text = why_still_there(&pod);
        for part in ["Running, NodeLost", "2026-01-01T00:00:30Z", "grace of 30 s", "example.com/hold", "node n1"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_pod_that_does_not_start_is_described() {
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(why_not_ready(&ready), None);
        let waiting = json!({"metadata": {"name": "p"}, "status": {"phase": "Pending", "containerStatuses": [
            {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "lastState": {"terminated": {"exitCode": 3}}}]}});
        let text = why_not_ready(&waiting).unwrap();
        assert!(text.contains("CrashLoopBackOff: back-off 10s, ended before with exit status 3"), "{text}");
        assert_eq!(cannot_start(&waiting), None, "it is tried again");
        let hopeless = json!({"status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}]}});
        assert!(cannot_start(&hopeless).unwrap().contains("ErrImagePull"));
    }
}
