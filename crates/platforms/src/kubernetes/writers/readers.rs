//! Who reads a Secret or a ConfigMap when it starts: by variables and by volumes of its pod template. Pure, but for the listing.

use plan::Result;
use plan::ids::DataSetName;
use serde_json::Value;

use super::Cluster;
use super::look;
use super::who::Writer;
use super::workload::{list, name, text};

/// Stores: they are never restarted for it. zync's would lose its data (an emptyDir), and where data lives stays the target's.
const STORES: [&str; 4] = ["mysql", "postgresql", "redis", "database"];

/// A Secret or ConfigMap that is overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// `Secret` or `ConfigMap`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its entries that change.
    pub entries: Vec<String>,
}

impl Cluster {
    /// The workloads that read what changes and are not stopped when these data sets go back, in the order of their names. Those at 0 read it when they start.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn readers(&self, changed: &[Changed], data_sets: &[DataSetName]) -> Result<Vec<String>> {
        let seen = look::workloads(self)?;
        let is_stopped = |object: &Value| Writer::of(object).is_some_and(|writer| writer.writes_to_any(data_sets));
        let is_store = |object: &Value| STORES.contains(&text(object, "/metadata/labels/threescale_component_element"));
        let operator = seen.operator().map(name);
        let is_reader = |object: &&Value| {
            !is_stopped(object)
                && !is_store(object)
                && Some(name(object)) != operator
                && changed.iter().any(|changed| reads(object, changed))
        };
        let mut names: Vec<_> =
            seen.workloads().map(|(_, object)| object).filter(is_reader).map(|object| name(object).to_owned()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Whether the pods of a workload read a changed object.
fn reads(object: &Value, changed: &Changed) -> bool {
    let spec = object.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    let (reference, volume, by_name) = match changed.kind.as_str() {
        "Secret" => ("secret", "/secret", "/secret/secretName"),
        "ConfigMap" => ("configMap", "/configMap", "/configMap/name"),
        _ => return false,
    };
    let is_key = |variable: &Value| {
        let at = format!("/valueFrom/{reference}KeyRef");
        text(variable, &format!("{at}/name")) == changed.name
            && changed.entries.iter().any(|entry| entry == text(variable, &format!("{at}/key")))
    };
    let is_all = |from: &Value| text(from, &format!("/{reference}Ref/name")) == changed.name;
    let containers = list(spec, "/containers").iter().chain(list(spec, "/initContainers"));
    let mut by_variable = containers.flat_map(|container| {
        list(container, "/env").iter().map(is_key).chain(list(container, "/envFrom").iter().map(is_all)).collect::<Vec<_>>()
    });
    let projected = |volume: &Value| {
        list(volume, "/projected/sources").iter().any(|source| text(source, &format!("{}/name", self::volume(reference))) == changed.name)
    };
    let by_volume =
        || list(spec, "/volumes").iter().any(|one| one.pointer(volume).is_some() && text(one, by_name) == changed.name || projected(one));
    by_variable.any(|found| found) || by_volume()
}

/// Where a projected volume names its source.
fn volume(reference: &str) -> &'static str {
    if reference == "secret" { "/secret" } else { "/configMap" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(kind: &str, name: &str, entries: &[&str]) -> Changed {
        Changed { kind: kind.to_owned(), name: name.to_owned(), entries: entries.iter().map(|entry| (*entry).to_owned()).collect() }
    }

    #[test]
    fn readers_are_told_by_variables_and_volumes() {
        let pod = |spec: Value| json!({"metadata": {"name": "w"}, "spec": {"template": {"spec": spec}}});
        let variable =
            |kind: &str, key: &str| pod(json!({"containers": [{"env": [{"name": "A", "valueFrom": {kind: {"name": "o", "key": key}}}]}]}));
        let secret = changed("Secret", "o", &["TOKEN"]);
        assert!(reads(&variable("secretKeyRef", "TOKEN"), &secret));
        assert!(!reads(&variable("secretKeyRef", "OTHER"), &secret), "an entry that stays");
        assert!(!reads(&variable("configMapKeyRef", "TOKEN"), &secret));
        assert!(reads(&variable("configMapKeyRef", "TOKEN"), &changed("ConfigMap", "o", &["TOKEN"])));
        for spec in [
            json!({"containers": [{"envFrom": [{"secretRef": {"name": "o"}}]}]}),
            json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "o"}}]}]}),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "o"}}]}),
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "o"}}]}}]}),
        ] {
            assert!(reads(&pod(spec.clone()), &secret), "{spec}");
            assert!(!reads(&pod(spec), &changed("Secret", "other", &["TOKEN"])));
        }
        assert!(reads(&pod(json!({"volumes": [{"name": "v", "configMap": {"name": "o"}}]})), &changed("ConfigMap", "o", &[])));
    }
}
