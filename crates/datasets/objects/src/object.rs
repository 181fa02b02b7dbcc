//! One object as it is kept: without what belongs to the cluster or to an instant, in one canonical form.
//!
//! Never kept: uid, versions, times, managed fields, finalizers, status, and owner references (the owner's uid is of the past: the garbage collector
//! deletes an object that is put back with it). The namespace goes too: a set may be restored into another one.

use std::fmt;
use std::path::{Path, PathBuf};

use plan::{Error, Result};
use serde_json::{Map, Value};

/// Prefix of annotations of this program: they belong to a run, not to the installation.
pub(crate) const OWN_ANNOTATIONS: &str = "threescale-backup/";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const FOLDER: &str = "objects";

/// What names an object within a namespace, whatever the version of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Key {
    pub group: String,
    pub kind: String,
    pub name: String,
}

impl Key {
    pub(crate) fn new(group: &str, kind: &str, name: &str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
    }

    /// The name of the collection in the evidence: `core/Secret`.
    pub(crate) fn collection(&self) -> String {
        let group = if self.group.is_empty() { "core" } else { &self.group };
        format!("{group}/{}", self.kind)
    }

    pub(crate) fn is(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    pub(crate) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    pub(crate) fn is_apimanager(&self) -> bool {
        self.group == "apps.3scale.net" && self.kind == "APIManager"
    }

    fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(self.collection()).join(format!("{}.json", self.name))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An object, stripped. Its content may be a secret: it is not part of the `Debug` output.
#[derive(Clone, PartialEq)]
pub(crate) struct Object {
    pub key: Key,
    pub api_version: String,
    pub value: Value,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Object {
    /// From an object that says its version and kind.
    pub(crate) fn from_value(value: Value) -> Result<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind), Some(name)) = (text("apiVersion"), text("kind"), name_of(&value)) else {
            return Err(Error::failed("an object of Kubernetes lacks its version, kind or name"));
        };
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Ok(Self { key: Key::new(group, &kind, name), api_version, value })
    }

    /// The object as it is kept.
    pub(crate) fn stripped(value: &Value) -> Result<Self> {
        Self::from_value(strip(value))
    }

    /// Where it lies in a snapshot.
    pub(crate) fn path(&self) -> PathBuf {
        self.key.path()
    }

    /// From a snapshot: what the path says must be what the content says.
    pub(crate) fn from_snapshot(path: &Path, bytes: &[u8]) -> Result<Option<Self>> {
        if !path.starts_with(FOLDER) {
            return Ok(None);
        }
        // The parser's own error could repeat a piece of a Secret.
        let value = serde_json::from_slice(bytes).map_err(|_| Error::failed(format!("{} in the set is not JSON", path.display())))?;
        let object = Self::from_value(value)?;
        // The names become a path of the API: they must not lead to another object, kind or namespace.
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)) && !text.starts_with('.');
        if object.key.name.is_empty() || ![&object.key.group, &object.key.kind, &object.key.name].into_iter().all(|text| is_plain(text)) {
            return Err(Error::needs_person(format!(
                "{:?} in the set has a name that no object of Kubernetes has",
                path.display().to_string()
            )));
        }
        if object.path() != path {
            return Err(Error::failed(format!("{} in the set is another object: {}", path.display(), object.key)));
        }
        Ok(Some(object))
    }

    pub(crate) fn canonical(&self) -> Vec<u8> {
        canonical(&self.value)
    }
}

/// The name of an object.
pub(crate) fn name_of(value: &Value) -> Option<&str> {
    value.pointer("/metadata/name").and_then(Value::as_str)
}

/// A text inside an object.
pub(crate) fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Without what belongs to the cluster or to an instant.
pub(crate) fn strip(value: &Value) -> Value {
    let mut stripped = Map::new();
    for (field, content) in value.as_object().into_iter().flatten() {
        match field.as_str() {
            "status" => {}
            "metadata" => {
                stripped.insert(field.clone(), strip_metadata(content));
            }
            _ => {
                stripped.insert(field.clone(), content.clone());
            }
        }
    }
    Value::Object(stripped)
}

fn strip_metadata(metadata: &Value) -> Value {
    let mut kept = Map::new();
    if let Some(name) = metadata.get("name") {
        kept.insert("name".to_owned(), name.clone());
    }
    for field in ["labels", "annotations"] {
        let entries = metadata.get(field).and_then(Value::as_object).into_iter().flatten();
        let left: Map<_, _> = entries
            .filter(|(name, _)| *name != LAST_APPLIED && !name.starts_with(OWN_ANNOTATIONS))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !left.is_empty() {
            kept.insert(field.to_owned(), Value::Object(left));
        }
    }
    Value::Object(kept)
}

/// One form for equal values: fields sorted by name, two spaces of indentation (people read the snapshot with restic), a line feed at the end.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut bytes = format!("{:#}", sorted(value)).into_bytes();
    bytes.push(b'\n');
    bytes
}

/// The map of `serde_json` keeps the order of insertion when any crate of the program asks for that.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by(|one, other| one.0.cmp(other.0));
            Value::Object(names.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_in_the_api_is_refused() {
        let object = |version: &str, kind: &str, name: &str| {
            let value = serde_json::json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
            let path = Object::from_value(value.clone()).unwrap().path();
            Object::from_snapshot(&path, value.to_string().as_bytes())
        };
        assert_eq!(object("apps.3scale.net/v1", "APIManager", "prod-1.a").unwrap().unwrap().key.name, "prod-1.a");
        for name in ["../../namespaces/other/secrets/x", "a/b", "..", ".", "", "a?dryRun=All", "a%2fb", "a#b", "a b"] {
            assert!(object("v1", "Secret", name).is_err(), "{name:?}");
        }
        assert!(object("v1", "Secret/../x", "a").is_err());
        assert!(object("../v1/x", "Secret", "a").is_err());
    }
}
