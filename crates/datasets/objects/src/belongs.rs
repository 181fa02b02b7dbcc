//! Which Secrets and ConfigMaps of a namespace belong to the installation, and which are other people's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::notes::OWN_LABEL;
use crate::object::{name_of, text_at};

/// Secrets that 3scale needs, by name (`3scale-facts.md`, 1.4).
const SECRETS: [&str; 14] = [
    "system-database",
    "backend-redis",
    "system-redis",
    "system-master-apicast",
    "system-seed",
    "system-app",
    "zync",
    "backend-internal-api",
    "system-events-hook",
    "backend-listener",
    "system-memcache",
    "system-recaptcha",
    "system-smtp",
    "threescale-registry-auth",
];

/// ConfigMaps that 3scale needs, by name (`3scale-facts.md`, 1.3).
const CONFIG_MAPS: [&str; 7] =
    ["system-environment", "system", "backend-environment", "apicast-environment", "redis-config", "mysql-main-conf", "mysql-extra-conf"];

/// Secrets that the cluster or a tool makes for itself: worthless or harmful elsewhere, even when something refers to them.
const FOREIGN_TYPES: [&str; 4] =
    ["kubernetes.io/service-account-token", "kubernetes.io/dockercfg", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];

/// What the custom resources say about the objects beside them.
#[derive(Debug, Default)]
pub(crate) struct Belongings {
    secrets: BTreeSet<String>,
    config_maps: BTreeSet<String>,
    app_labels: BTreeSet<String>,
    /// `namespace/name` of Secrets and ConfigMaps that are referred to in other namespaces: they are not in the set.
    pub elsewhere: BTreeSet<String>,
}

impl Belongings {
    /// Reads what a custom resource refers to.
    pub(crate) fn learn(&mut self, custom: &Value, namespace: &str) {
        if let Some(label) = text_at(custom, "/spec/appLabel") {
            self.app_labels.insert(label.to_owned());
        }
        if let Some(spec) = custom.get("spec") {
            self.walk(spec, Refers::Nowhere, namespace);
        }
    }

    /// Every text under a key that speaks of a Secret or a ConfigMap may be a name of one. What is not is harmless: only names of existing objects count.
    fn walk(&mut self, value: &Value, refers: Refers, namespace: &str) {
        match value {
            Value::String(name) => match refers {
                Refers::Secret => _ = self.secrets.insert(name.clone()),
                Refers::ConfigMap => _ = self.config_maps.insert(name.clone()),
                Refers::Nowhere => {}
            },
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, refers, namespace)),
            Value::Object(fields) => {
                let other = text_at(value, "/namespace").filter(|other| *other != namespace && !matches!(refers, Refers::Nowhere));
                for (key, inner) in fields {
                    match (refers, key.as_str(), other) {
                        // Inside a reference only its name is one: `key`, `namespace` and paths are not.
                        (Refers::Secret | Refers::ConfigMap, "name", None) => self.walk(inner, refers, namespace),
                        (Refers::Secret | Refers::ConfigMap, "name", Some(other)) => {
                            _ = self.elsewhere.insert(format!("{other}/{}", inner.as_str().unwrap_or_default()));
                        }
                        _ => self.walk(inner, Refers::by_key(key), namespace),
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn has_secret(&self, secret: &Value) -> bool {
        let Some(name) = name_of(secret) else { return false };
        let foreign = text_at(secret, "/type").is_some_and(|kind| FOREIGN_TYPES.contains(&kind));
        !foreign && !is_own(secret) && (SECRETS.contains(&name) || self.secrets.contains(name) || self.is_labelled(secret))
    }

    pub(crate) fn has_config_map(&self, config_map: &Value) -> bool {
        let Some(name) = name_of(config_map) else { return false };
        !is_own(config_map) && (CONFIG_MAPS.contains(&name) || self.config_maps.contains(name) || self.is_labelled(config_map))
    }

    /// Routes that lead to 3scale.
    pub(crate) fn has_route(&self, route: &Value) -> bool {
        let leads_here = |service: &str| ["system-", "apicast-", "backend-", "zync"].iter().any(|prefix| service.starts_with(prefix));
        self.is_labelled(route) || text_at(route, "/spec/to/name").is_some_and(leads_here)
    }

    fn is_labelled(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let labelled = labels.into_iter().flatten().any(|(label, value)| {
            let of_app =
                label == "app" && value.as_str().is_some_and(|app| app == "3scale-api-management" || self.app_labels.contains(app));
            of_app || label == "threescale_component" || label.split_once('/').is_some_and(|(prefix, _)| prefix.ends_with("3scale.net"))
        });
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owned = owners
            .into_iter()
            .flatten()
            .any(|owner| text_at(owner, "/apiVersion").is_some_and(|version| version.split('/').next().is_some_and(is_group)));
        labelled || owned
    }
}

fn is_group(group: &str) -> bool {
    group == crate::kinds::APPS || group == crate::kinds::CAPABILITIES
}

/// What this program keeps in Secrets of a target is of a run, not of the installation.
fn is_own(object: &Value) -> bool {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(OWN_LABEL.0)).and_then(Value::as_str) == Some(OWN_LABEL.1)
}

#[derive(Clone, Copy)]
enum Refers {
    Nowhere,
    Secret,
    ConfigMap,
}

impl Refers {
    /// `secretRef`, `configurationSecretRef`, `secretName`, `secretKeyRef`, `imagePullSecrets`, `masterCredentialsRef`, `providerAccountRef`…
    fn by_key(key: &str) -> Self {
        let key = key.to_ascii_lowercase();
        if key.contains("configmap") {
            Self::ConfigMap
        } else if key.contains("secret") || key.contains("credential") || key == "provideraccountref" {
            Self::Secret
        } else {
            Self::Nowhere
        }
    }
}
