//! The pod of a task, made from the pod template of a workload of System. Pure.
//!
//! A pod of its own, not exec: its exit status and log outlive a broken connection, it is found again by its name after a crash, and it does not share the
//! memory limit of a container that serves.

use plan::Result;
use plan::ids::RunId;
use serde_json::{Value, json};

use super::super::one_off::{self, OneOff};
use super::super::writers::pods::{OURS, TASK};
use super::super::writers::workload::{RUN as OF_RUN, list, text};

/// The container's name in a task's pod.
pub(super) const CONTAINER: &str = "task";

/// A rake task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rake {
    /// Its short name: part of the pod's name.
    pub(super) name: &'static str,
    /// As given to rake.
    pub(super) task: &'static str,
    /// A file of System's folder, and the task that it defines in later releases and that does more: it is run where it is there.
    pub(super) better: Option<(&'static str, &'static str)>,
}

impl std::fmt::Display for Rake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.better {
            None => f.write_str(self.task),
            Some((_, better)) => write!(f, "{} ({better} where the release has it)", self.task),
        }
    }
}

/// As the hooks of 3scale's own rollouts do it, in every era: bash finds Ruby by the image's BASH_ENV, where the entrypoint does not run.
const RUN: &str = "exec bundle exec rake \"$@\"";
/// `$1` is the task, `$2` the file and `$3` the better task. Rake itself is not asked: it takes as long as a start of System.
const RUN_BETTER: &str = "if grep -Eqs \"^ *task ${3##*:}:\" \"$2\"; then set -- \"$3\"; else set -- \"$1\"; fi; echo \"running $1\"; exec bundle exec rake \"$@\"";

/// What the task's container runs.
pub(super) fn command(rake: Rake) -> Vec<String> {
    let words = match rake.better {
        None => vec!["bash", "-c", RUN, "rake", rake.task],
        Some((file, task)) => vec!["bash", "-c", RUN_BETTER, "rake", rake.task, file, task],
    };
    words.into_iter().map(str::to_owned).collect()
}

/// The name of a task's pod in a run.
pub(super) fn pod_name(rake: Rake, run: &RunId) -> String {
    format!("threescale-backup-{}-{}", rake.name, run.short())
}

/// The pod that runs a task, from a workload's template.
///
/// # Errors
/// When the workload has none of System's containers.
pub(super) fn task_pod(workload: &Value, rake: Rake, run: &RunId, seconds_max: u64) -> Result<Value> {
    let wanted = OneOff {
        name: pod_name(rake, run),
        container: CONTAINER,
        command: command(rake),
        labels: json!({OURS.0: OURS.1, TASK: rake.name, OF_RUN: run.as_str()}),
        seconds_max,
    };
    one_off::pod(workload, &wanted)
        .map_err(|error| error.hint(format!("Run rake {} by hand in a container of System, then `resume`.", rake.task)))
}

/// What became of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not begun, or under way.
    GoesOn,
    /// Ended with this exit status. A sidecar of a mesh may go on beside it: only the task counts.
    Ended(u64, String),
    /// The pod ended without the task: evicted, or past its deadline.
    Lost(String),
}

/// What a pod says of its task.
pub(super) fn outcome(pod: &Value) -> Outcome {
    let status = list(pod, "/status/containerStatuses").iter().find(|status| text(status, "/name") == CONTAINER);
    if let Some(ended) = status.and_then(|status| status.pointer("/state/terminated")) {
        let exit = ended.get("exitCode").and_then(Value::as_u64).unwrap_or(1);
        return Outcome::Ended(exit, text(ended, "/reason").to_owned());
    }
    match text(pod, "/status/phase") {
        "Failed" => {
            let of_pod = [text(pod, "/status/reason").to_owned(), text(pod, "/status/message").to_owned()];
            let why: Vec<_> = of_pod.into_iter().chain(unprepared(pod)).filter(|part| !part.is_empty()).collect();
            Outcome::Lost(why.join(" "))
        }
        "Succeeded" => Outcome::Ended(0, String::new()),
        _ => Outcome::GoesOn,
    }
}

/// The init container that failed: the task has not begun.
fn unprepared(pod: &Value) -> Option<String> {
    list(pod, "/status/initContainerStatuses").iter().find_map(|status| {
        let exit = status.pointer("/state/terminated/exitCode").and_then(Value::as_u64).filter(|exit| *exit != 0)?;
        Some(format!("init container {} ended with {exit}", text(status, "/name")))
    })
}

/// Whether the task's container runs.
pub(super) fn is_running(pod: &Value) -> bool {
    list(pod, "/status/containerStatuses")
        .iter()
        .any(|status| text(status, "/name") == CONTAINER && status.pointer("/state/running").is_some())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const RAKE: Rake = Rake { name: "rewrite", task: "backend:storage:rewrite", better: None };

    fn sidekiq() -> Value {
        json!({"metadata": {"name": "system-sidekiq"}, "spec": {"template": {
        "metadata": {"labels": {"deployment": "system-sidekiq"}, "annotations": {"sidecar.istio.io/inject": "true", "prometheus.io/scrape": "true"}},
        "spec": {
            "serviceAccountName": "amp", "imagePullSecrets": [{"name": "pull"}], "volumes": [{"name": "system-storage"}],
            "securityContext": {"fsGroup": 1}, "initContainers": [{"name": "check-svc"}],
            "affinity": {"podAntiAffinity": {"a": 1}, "nodeAffinity": {"b": 2}},
            "containers": [{"name": "system-sidekiq", "image": "i", "args": ["rake", "sidekiq:worker"], "env": [{"name": "A", "value": "b"}],
                "livenessProbe": {}, "ports": [], "lifecycle": {}, "resources": {"limits": {"memory": "2Gi"}}, "volumeMounts": [{"name": "system-storage"}]}]
        }}}})
    }

    #[test]
    fn a_task_runs_as_sidekiq_does_and_is_not_taken_for_it() {
        let run = RunId("01jd0000000000000abcdefghij".into());
        let pod = task_pod(&sidekiq(), RAKE, &run, 60).unwrap();
        assert_eq!(text(&pod, "/metadata/name"), "threescale-backup-rewrite-abcdefghij");
        assert_eq!(pod.pointer("/metadata/labels/deployment"), None, "no Service and no controller selects it");
        assert_eq!(pod.pointer("/metadata/annotations"), Some(&json!({"sidecar.istio.io/inject": "true"})));
        let spec = pod.get("spec").unwrap();
        assert_eq!(spec.get("initContainers"), None);
        assert_eq!(spec.get("affinity"), Some(&json!({"nodeAffinity": {"b": 2}})));
        assert_eq!(spec.get("serviceAccountName"), Some(&json!("amp")));
        assert_eq!(spec.get("restartPolicy"), Some(&json!("Never")));
        let container = spec.pointer("/containers/0").unwrap();
        for gone in ["livenessProbe", "ports", "lifecycle", "args"] {
            assert_eq!(container.get(gone), None, "{gone}");
        }
        assert_eq!(container.get("env"), Some(&json!([{"name": "A", "value": "b"}])));
        assert_eq!(container.pointer("/command/4"), Some(&json!("backend:storage:rewrite")));
    }

    /// As the operator of 2.16 makes system-sidekiq with `systemDatabaseTLSEnabled` (`SidekiqDeployment`, `sidekiqInit`, `volumeMounts`).
    #[test]
    fn what_prepares_the_certificates_runs_first_and_what_waits_does_not() {
        let mut sidekiq = sidekiq();
        let spec = sidekiq.pointer_mut("/spec/template/spec").unwrap();
        let copies = json!({"name": "set-permissions", "image": "i", "command": ["sh", "-c", "cp /tls/* /writable-tls/ && chmod 0600 /writable-tls/*"],
            "volumeMounts": [{"name": "tls-secret", "readOnly": true, "mountPath": "/tls"}, {"name": "writable-tls", "mountPath": "/writable-tls"}]});
        let waits = json!({"name": "check-svc", "image": "i", "command": ["bash", "-c",
            "bundle exec sh -c \"until rake boot:redis && curl --output /dev/null --silent --fail --head http://system-master:3000/status; do sleep $SLEEP_SECONDS; done\""]});
        let renamed = json!({"name": "wait-for-master", "image": "i", "args": ["until curl system-master; do sleep 1; done"]});
        spec["initContainers"] = json!([copies, waits, renamed]);
        spec["volumes"] =
            json!([{"name": "tls-secret", "secret": {"secretName": "system-database"}}, {"name": "writable-tls", "emptyDir": {}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "writable-tls", "mountPath": "/tls"}]);
        let pod = task_pod(&sidekiq, RAKE, &RunId("r".into()), 60).unwrap();
        assert_eq!(pod.pointer("/spec/initContainers"), Some(&json!([copies])));
        assert_eq!(pod.pointer("/spec/volumes/1/name"), Some(&json!("writable-tls")));
        assert_eq!(pod.pointer("/spec/containers/0/volumeMounts/0/mountPath"), Some(&json!("/tls")));
    }

    #[test]
    fn without_sidekiq_a_container_of_system_app_is_taken() {
        let app = json!({"metadata": {"name": "system-app"}, "spec": {"template": {"spec": {"containers": [
            {"name": "system-master", "image": "m"}, {"name": "system-provider", "image": "p"}]}}}});
        let pod = task_pod(&app, RAKE, &RunId("r".into()), 60).unwrap();
        assert_eq!(pod.pointer("/spec/containers/0/image"), Some(&json!("p")));
        let other = json!({"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [{"name": "y"}]}}}});
        assert!(task_pod(&other, RAKE, &RunId("r".into()), 60).is_err());
    }

    #[test]
    fn only_the_tasks_own_end_counts() {
        let with = |phase: &str, state: Value| {
            json!({"status": {"phase": phase, "containerStatuses": [
            {"name": "proxy", "state": {"running": {}}}, {"name": CONTAINER, "state": state}]}})
        };
        assert_eq!(outcome(&with("Running", json!({"running": {}}))), Outcome::GoesOn);
        assert_eq!(
            outcome(&with("Running", json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))),
            Outcome::Ended(0, "Completed".into())
        );
        assert_eq!(
            outcome(&with("Failed", json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))),
            Outcome::Ended(137, "OOMKilled".into())
        );
        let late = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}});
        assert_eq!(outcome(&late), Outcome::Lost("DeadlineExceeded too long".into()));
        let unprepared = json!({"status": {"phase": "Failed",
            "initContainerStatuses": [{"name": "set-permissions", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
            "containerStatuses": [{"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}]}});
        assert_eq!(outcome(&unprepared), Outcome::Lost("init container set-permissions ended with 1".into()));
        assert_eq!(outcome(&json!({"status": {"phase": "Pending"}})), Outcome::GoesOn);
    }
}
