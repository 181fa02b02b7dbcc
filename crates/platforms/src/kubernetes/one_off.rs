//! A pod of our own, made from the pod template of a workload of System: for tasks, and to reach a volume. Pure.
//!
//! It runs where and as the workload's pods run, and is never taken for one of them: no Service and no controller selects it.

use plan::{Error, Result};
use serde_json::{Map, Value, json};

use super::writers::workload::{list, name, text};

/// Containers of System that have all that rake needs, the best first.
const CONTAINERS: [&str; 3] = ["system-sidekiq", "system-provider", "system-master"];

/// Fields of a pod template's spec that say where and as whom it runs. Not taken: other containers, and rules about standing apart from or beside other pods.
/// Init containers are taken by [`prepares`].
pub(super) const KEPT_OF_POD: [&str; 17] = [
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "securityContext",
    "imagePullSecrets",
    "volumes",
    "nodeSelector",
    "tolerations",
    "priorityClassName",
    "dnsPolicy",
    "dnsConfig",
    "hostAliases",
    "hostNetwork",
    "runtimeClassName",
    "schedulerName",
    "enableServiceLinks",
    "shareProcessNamespace",
];

/// Fields of the template's container that are taken. Not taken: probes, ports, lifecycle, and what it runs.
const KEPT_OF_CONTAINER: [&str; 8] =
    ["image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "volumeDevices", "securityContext", "resources"];

/// Annotations of the template that say how it is connected; others are about rollouts, or about what scrapes it.
const KEPT_ANNOTATIONS: [&str; 5] =
    ["sidecar.istio.io/", "k8s.v1.cni.cncf.io/", "k8s.ovn.org/", "linkerd.io/", "openshift.io/required-scc"];

/// What is wanted of the pod.
pub(super) struct OneOff {
    /// Its name.
    pub name: String,
    /// The name of its container.
    pub container: &'static str,
    /// What it runs.
    pub command: Vec<String>,
    /// Its labels, and no others.
    pub labels: Value,
    /// After this long it ends, whoever has forgotten it.
    pub seconds_max: u64,
}

/// The pod, from a workload's template.
///
/// # Errors
/// When the workload has none of System's containers.
pub(super) fn pod(workload: &Value, wanted: &OneOff) -> Result<Value> {
    let containers = list(workload, "/spec/template/spec/containers");
    let template =
        CONTAINERS.iter().find_map(|wanted| containers.iter().find(|container| text(container, "/name") == *wanted)).ok_or_else(|| {
            Error::failed(format!("{} has no container to make pod {} from", name(workload), wanted.name))
                .hint(format!("Looked for: {}.", CONTAINERS.join(", ")))
        })?;
    let mut container = taken(template, &KEPT_OF_CONTAINER);
    container.insert("name".to_owned(), json!(wanted.container));
    container.insert("command".to_owned(), json!(wanted.command));
    if let Some(folder) = template.get("workingDir") {
        container.insert("workingDir".to_owned(), folder.clone());
    }
    let mut spec = workload.pointer("/spec/template/spec").map(|spec| taken(spec, &KEPT_OF_POD)).unwrap_or_default();
    if let Some(affinity) = workload.pointer("/spec/template/spec/affinity/nodeAffinity") {
        spec.insert("affinity".to_owned(), json!({"nodeAffinity": affinity}));
    }
    let prepare: Vec<_> = list(workload, "/spec/template/spec/initContainers").iter().filter(|container| prepares(container)).collect();
    if !prepare.is_empty() {
        spec.insert("initContainers".to_owned(), json!(prepare));
    }
    spec.insert("containers".to_owned(), json!([container]));
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    spec.insert("activeDeadlineSeconds".to_owned(), json!(wanted.seconds_max));
    spec.insert("terminationGracePeriodSeconds".to_owned(), json!(10));
    let metadata = json!({"name": wanted.name, "labels": wanted.labels, "annotations": annotations(workload)});
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// Whether an init container makes something that the others need: with TLS towards the database, `set-permissions` fills the folder of the certificates
/// (operator, `component/system.go`). Not one that waits for others, who may be stopped: `check-svc` and its like, by name or by its loop.
fn prepares(container: &Value) -> bool {
    let words = ["/command", "/args"].into_iter().flat_map(|field| list(container, field)).filter_map(Value::as_str);
    let loops = words.collect::<Vec<_>>().join(" ");
    let waits = text(container, "/name").ends_with("-svc") || loops.contains("until ") && loops.contains("sleep ");
    !waits
}

/// Those fields of an object that are there.
pub(super) fn taken(from: &Value, fields: &[&str]) -> Map<String, Value> {
    fields.iter().filter_map(|field| from.get(*field).map(|value| ((*field).to_owned(), value.clone()))).collect()
}

/// The annotations of a workload's pods that say how they are connected.
pub(super) fn annotations(workload: &Value) -> Map<String, Value> {
    let all = workload.pointer("/spec/template/metadata/annotations").and_then(Value::as_object);
    let is_kept = |key: &str| KEPT_ANNOTATIONS.iter().any(|start| key.starts_with(start));
    all.into_iter().flatten().filter(|(key, _)| is_kept(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}
