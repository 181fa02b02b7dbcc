//! Which permissions a backup and a restore need, and which of them this user lacks.

use plan::Result;

use super::client::Cluster;
use super::error::Rule;

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing in the installation is changed.
    Backup,
    /// Workloads are stopped and started, objects are put back.
    Restore,
}

/// Group, resource, verbs. Exec and forwarded ports are a GET of a WebSocket: older servers ask for `get`, newer ones for `create` as well.
const BACKUP: &[(&str, &str, &[&str])] = &[
    ("", "pods", &["get", "list"]),
    ("", "pods/exec", &["get", "create"]),
    ("", "pods/portforward", &["get", "create"]),
    ("", "services", &["get", "list"]),
    ("", "secrets", &["get", "list"]),
    ("", "configmaps", &["get", "list"]),
    ("apps", "deployments", &["get", "list"]),
    ("apps.3scale.net", "apimanagers", &["get", "list"]),
];
/// What a restore needs beyond that.
const RESTORE: &[(&str, &str, &[&str])] = &[
    ("", "pods/log", &["get"]),
    ("", "secrets", &["create", "update", "patch", "delete"]),
    ("", "configmaps", &["create", "update", "patch", "delete"]),
    ("apps", "deployments", &["patch"]),
    ("apps.3scale.net", "apimanagers", &["create", "update", "patch"]),
    ("coordination.k8s.io", "leases", &["get", "create", "update", "delete"]),
];
/// On OpenShift only.
const OPENSHIFT_BACKUP: &[(&str, &str, &[&str])] =
    &[("apps.openshift.io", "deploymentconfigs", &["get", "list"]), ("route.openshift.io", "routes", &["get", "list"])];
const OPENSHIFT_RESTORE: &[(&str, &str, &[&str])] =
    &[("apps.openshift.io", "deploymentconfigs", &["patch"]), ("apps.openshift.io", "deploymentconfigs/scale", &["get", "patch"])];

impl Cluster {
    /// The permissions that this user lacks in the installation's namespace.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn missing_rules(&self, purpose: Purpose) -> Result<Vec<Rule>> {
        let mut missing = Vec::new();
        for rule in self.rules(purpose)? {
            if !self.is_allowed(&rule)? {
                missing.push(rule);
            }
        }
        Ok(missing)
    }

    /// All permissions that the purpose needs here.
    ///
    /// # Errors
    /// When the server cannot be asked what it is.
    pub fn rules(&self, purpose: Purpose) -> Result<Vec<Rule>> {
        let is_openshift = self.get_if_there("/apis/apps.openshift.io")?.is_some();
        let mut tables = vec![BACKUP];
        if purpose == Purpose::Restore {
            tables.push(RESTORE);
        }
        if is_openshift {
            tables.push(OPENSHIFT_BACKUP);
            if purpose == Purpose::Restore {
                tables.push(OPENSHIFT_RESTORE);
            }
        }
        let rule = |group: &str, resource: &str, verb: &str| Rule {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: Some(self.namespace().to_owned()),
        };
        let rows = tables.into_iter().flatten();
        Ok(rows.flat_map(|(group, resource, verbs)| verbs.iter().map(|verb| rule(group, resource, verb))).collect())
    }
}
