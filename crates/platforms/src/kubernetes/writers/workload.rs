//! What the JSON of a Deployment or DeploymentConfig says: how many, selected by what, ready or not, written by whom. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Annotation on whatever this program scaled to 0: how many there were.
pub(crate) const REPLICAS: &str = "threescale-backup/replicas";
/// Annotation on whatever this program scaled to 0: the run that did.
pub(crate) const RUN: &str = "threescale-backup/run";

/// The kinds of workloads that 3scale is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// From 3scale 2.15 on, and the operator always.
    Deployment,
    /// OpenShift, 3scale 2.14 and before.
    DeploymentConfig,
}

impl WorkloadKind {
    /// As `kubectl` has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::DeploymentConfig => "deploymentconfig",
        }
    }

    /// The API group, and the plural as in RBAC rules.
    pub(crate) const fn group_and_plural(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("apps", "deployments"),
            Self::DeploymentConfig => ("apps.openshift.io", "deploymentconfigs"),
        }
    }

    /// The path of all of them in a namespace.
    pub(crate) fn all(self, namespace: &str) -> String {
        match self {
            Self::Deployment => format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            Self::DeploymentConfig => format!("/apis/apps.openshift.io/v1/namespaces/{namespace}/deploymentconfigs"),
        }
    }
}

/// A workload by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// A workload of the namespace.
    #[must_use]
    pub fn new(kind: WorkloadKind, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }

    /// Its path at the API server.
    pub(crate) fn path(&self, namespace: &str) -> String {
        format!("{}/{}", self.kind.all(namespace), self.name)
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name)
    }
}

/// The name of any object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The uid of any object.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// A text in an object; empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number in an object; 0 when there is none.
pub(crate) fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// The entries of a list in an object; none when there is no list.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many there shall be. The server writes its default (1) into the object; a DeploymentConfig of a test may lack it.
pub(crate) fn replicas(object: &Value) -> u64 {
    object.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

/// An annotation of any object.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(key)).and_then(Value::as_str)
}

/// Whether the controller has seen the last change and as many are ready as there shall be.
pub(crate) fn is_ready(object: &Value) -> bool {
    has_seen_change(object) && number(object, "/status/readyReplicas") >= replicas(object)
}

/// Whether the controller has seen the last change of the object. DeploymentConfigs of old have no generation.
pub(crate) fn has_seen_change(object: &Value) -> bool {
    number(object, "/status/observedGeneration") >= number(object, "/metadata/generation")
}

/// Whether all pods are of the present template, ready, and none of an older one is left (as `kubectl rollout status` sees it).
pub(crate) fn is_rolled_out(object: &Value) -> bool {
    let wanted = replicas(object);
    let status = |field: &str| number(object, &format!("/status/{field}"));
    is_ready(object) && status("updatedReplicas") >= wanted && status("replicas") == wanted && status("availableReplicas") >= wanted
}

/// Whether a workload's selector selects a pod.
pub(crate) fn selects(object: &Value, pod: &Value) -> bool {
    let empty = Map::new();
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object).unwrap_or(&empty);
    let Some(selector) = object.pointer("/spec/selector").and_then(Value::as_object) else { return false };
    let is_structured = selector.contains_key("matchLabels") || selector.contains_key("matchExpressions");
    // A DeploymentConfig's selector is the plain map of labels.
    let equal = if is_structured { selector.get("matchLabels").and_then(Value::as_object).unwrap_or(&empty) } else { selector };
    let expressions = if is_structured { list(object, "/spec/selector/matchExpressions") } else { &[] };
    (!equal.is_empty() || !expressions.is_empty())
        && equal.iter().all(|(key, value)| labels.get(key) == Some(value))
        && expressions.iter().all(|expression| fulfils(expression, labels))
}

fn fulfils(expression: &Value, labels: &Map<String, Value>) -> bool {
    let label = labels.get(text(expression, "/key"));
    let is_listed = label.is_some_and(|label| list(expression, "/values").contains(label));
    match text(expression, "/operator") {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}

/// Who last wrote a field of an object, as `managedFields` tell: the manager and, when known, the time. `field` is the path in their notation, e.g.
/// `["f:spec", "f:replicas"]`. This program itself is left out.
pub(crate) fn written_by(object: &Value, field: &[&str]) -> Option<String> {
    let owns = |entry: &&Value| {
        let mut at = entry.get("fieldsV1");
        for part in field {
            at = at.and_then(|fields| fields.get(part));
        }
        at.is_some() && text(entry, "/manager") != MANAGER
    };
    let last = list(object, "/metadata/managedFields").iter().filter(owns).max_by_key(|entry| text(entry, "/time").to_owned())?;
    let (manager, time) = (text(last, "/manager"), text(last, "/time"));
    Some(if time.is_empty() { manager.to_owned() } else { format!("{manager} at {time}") })
}

/// The name under which this program writes.
pub(crate) const MANAGER: &str = "threescale-backup";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_selects_by_labels_and_expressions() {
        let pod = json!({"metadata": {"labels": {"deployment": "zync", "tier": "a"}}});
        let selector = |selector: Value| selects(&json!({"spec": {"selector": selector}}), &pod);
        assert!(selector(json!({"matchLabels": {"deployment": "zync"}})));
        assert!(!selector(json!({"matchLabels": {"deployment": "zync-que"}})));
        assert!(selector(json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]})));
        assert!(!selector(json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]})));
        assert!(!selector(json!({"matchLabels": {}})), "an empty selector of a workload selects nothing here");
        assert!(selector(json!({"deployment": "zync"})), "a DeploymentConfig has a plain map");
        assert!(!selector(json!({"deployment": "zync", "deploymentConfig": "zync"})));
    }

    #[test]
    fn ready_means_that_the_controller_saw_the_change() {
        let object = |generation: u64, observed: u64, replicas: u64, ready: u64| json!({"metadata": {"generation": generation}, "spec": {"replicas": replicas}, "status": {"observedGeneration": observed, "readyReplicas": ready}});
        assert!(is_ready(&object(3, 3, 2, 2)));
        assert!(!is_ready(&object(3, 2, 2, 2)));
        assert!(!is_ready(&object(3, 3, 2, 1)));
    }

    #[test]
    fn a_rollout_is_over_when_no_older_pod_is_left() {
        let status = |replicas: u64, updated: u64| {
            json!({"metadata": {"generation": 1}, "spec": {"replicas": 1},
                   "status": {"observedGeneration": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": updated, "replicas": replicas}})
        };
        assert!(is_rolled_out(&status(1, 1)));
        assert!(!is_rolled_out(&status(2, 1)));
        assert!(!is_rolled_out(&status(1, 0)));
    }

    #[test]
    fn the_last_foreign_writer_of_a_field_is_named() {
        let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "time": time, "fieldsV1": fields});
        let replicas = || json!({"f:spec": {"f:replicas": {}}});
        let object = json!({"metadata": {"managedFields": [
            entry("kubectl", "2026-01-01T00:00:00Z", replicas()),
            entry("manager", "2026-01-02T00:00:00Z", replicas()),
            entry("other", "2026-01-03T00:00:00Z", json!({"f:spec": {}})),
            entry(MANAGER, "2026-01-04T00:00:00Z", replicas()),
        ]}});
        assert_eq!(written_by(&object, &["f:spec", "f:replicas"]).as_deref(), Some("manager at 2026-01-02T00:00:00Z"));
        assert_eq!(written_by(&json!({}), &["f:spec"]), None);
    }
}
