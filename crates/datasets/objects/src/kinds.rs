//! Which kinds of objects there are, in which order they go back, and which never do.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{ObjectKind, Objects};

use crate::object::{Key, Object};

/// The operator's own group: APIManager and what acts on it.
pub(crate) const APPS: &str = "apps.3scale.net";
/// The group of what the operator makes inside 3scale.
pub(crate) const CAPABILITIES: &str = "capabilities.3scale.net";
/// Digests of Secrets, by which the operator sees that one was changed (3scale-operator, `component/hash_secret.go`).
const HASHES_OF_THE_OPERATOR: &str = "hashed-secret-data";
const ROUTES: &str = "route.openshift.io";

pub(crate) fn secrets() -> ObjectKind {
    ObjectKind::new("v1", "Secret", "secrets")
}

pub(crate) fn config_maps() -> ObjectKind {
    ObjectKind::new("v1", "ConfigMap", "configmaps")
}

/// The order in which kinds go back: what is referred to before what refers to it. Kinds not named here come after those that are.
const ORDER: [&str; 12] = [
    "Secret",
    "ConfigMap",
    "APIManager",
    "APIcast",
    "Tenant",
    "DeveloperAccount",
    "DeveloperUser",
    "CustomPolicyDefinition",
    "Backend",
    "Product",
    "OpenAPI",
    "ActiveDoc",
];

/// Where an object stands in the order.
pub(crate) fn rank(key: &Key) -> (usize, &str, &str) {
    (ORDER.iter().position(|kind| *kind == key.kind).unwrap_or(ORDER.len()), &key.kind, &key.name)
}

/// Why objects of a kind are kept for reference only and never put back; `None` for those that are.
pub(crate) fn reference_only(key: &Key) -> Option<&'static str> {
    match (key.group.as_str(), key.kind.as_str()) {
        (ROUTES, _) => Some("zync makes the Routes from the restored data"),
        (APPS, "APIManagerBackup" | "APIManagerRestore") => Some("the operator would run it again"),
        ("", "Secret") if key.name == HASHES_OF_THE_OPERATOR => Some("the operator notes there what the Secrets of this installation were"),
        (CAPABILITIES, "ProxyConfigPromote") => Some("the operator would promote again; what was promoted is in the database"),
        _ => None,
    }
}

/// The kinds that the server has and that matter here.
#[derive(Debug, Clone)]
pub(crate) struct Kinds {
    pub all: Vec<ObjectKind>,
}

impl Kinds {
    pub(crate) fn of_server(objects: &dyn Objects) -> Result<Self> {
        let mut all = vec![secrets(), config_maps()];
        for group in [APPS, CAPABILITIES] {
            all.extend(objects.kinds(group)?);
        }
        all.extend(objects.kinds(ROUTES)?.into_iter().filter(|kind| kind.kind == "Route"));
        Ok(Self { all })
    }

    /// The kind of a kept object as it is here: in the version that this server prefers.
    pub(crate) fn of(&self, object: &Object) -> Option<ObjectKind> {
        self.all.iter().find(|kind| kind.group() == object.key.group && kind.kind == object.key.kind).cloned()
    }

    /// Whether there are custom resources of 3scale at all.
    pub(crate) fn has_operator(&self) -> bool {
        self.all.iter().any(|kind| kind.group() == APPS)
    }
}

/// The kind in the version that a kept object is written in: a version that the server no longer has is its own error, at the dry run.
pub(crate) fn as_written(kind: &ObjectKind, body: &serde_json::Value) -> ObjectKind {
    let api_version = crate::object::text_at(body, "/apiVersion").unwrap_or(&kind.api_version);
    ObjectKind { api_version: api_version.to_owned(), ..kind.clone() }
}

/// All objects of a kind. Items of a list do not say what they are: it is added here.
pub(crate) fn list(objects: &dyn Objects, kind: &ObjectKind) -> Result<Vec<serde_json::Value>> {
    let mut items = objects.list(kind)?;
    for item in &mut items {
        if let Some(fields) = item.as_object_mut() {
            fields.insert("apiVersion".to_owned(), kind.api_version.clone().into());
            fields.insert("kind".to_owned(), kind.kind.clone().into());
        }
    }
    Ok(items)
}

/// What is in the target under the names of kept objects, by kind; one list for each kind.
pub(crate) struct Live {
    found: BTreeMap<Key, serde_json::Value>,
    /// The target's APIManagers.
    pub apimanagers: Vec<String>,
}

impl Live {
    pub(crate) fn of(objects: &dyn Objects, kinds: &Kinds, kept: &[Object]) -> Result<Self> {
        let mut live = Self { found: BTreeMap::new(), apimanagers: Vec::new() };
        let mut listed = Vec::new();
        for kind in kept.iter().filter_map(|object| kinds.of(object)) {
            if listed.contains(&kind) {
                continue;
            }
            for item in list(objects, &kind)? {
                if let Some(name) = crate::object::name_of(&item) {
                    let key = Key::new(kind.group(), &kind.kind, name);
                    if key.is_apimanager() {
                        live.apimanagers.push(key.name.clone());
                    }
                    live.found.insert(key, item);
                }
            }
            listed.push(kind);
        }
        Ok(live)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&serde_json::Value> {
        self.found.get(key)
    }
}
