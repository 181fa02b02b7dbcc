//! Which permissions a backup, a restore and a rehearsal need, and which of them this user lacks.

use plan::Result;
use plan::ports::{Problem, Severity};

use super::client::Cluster;
use super::error::Rule;
use super::writers::WorkloadKind;

/// Which permissions: those of which work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// Nothing in the installation is changed.
    Backup,
    /// Workloads are stopped and started, objects are put back.
    Restore,
    /// Throw-away servers run in pods beside the installation, which is not changed.
    Rehearse,
}

/// Group, resource, verbs.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// Exec and forwarded ports are a GET of a WebSocket: older servers ask for `get`, newer ones for `create` as well.
const BACKUP: &[Row] = &[
    ("", "pods", &["get", "list"]),
    ("", "pods/exec", &["get", "create"]),
    ("", "pods/portforward", &["get", "create"]),
    ("", "services", &["get", "list"]),
    ("", "secrets", &["get", "list"]),
    ("", "configmaps", &["get", "list"]),
    ("apps", "deployments", &["get", "list"]),
    ("apps.3scale.net", "apimanagers", &["get", "list"]),
];
/// What a restore needs beyond that. Pods: tasks of System run in pods of their own, and one mounts the files.
const RESTORE: &[Row] = &[
    ("", "pods", &["create", "delete"]),
    ("", "pods/log", &["get"]),
    ("", "secrets", &["create", "update", "patch", "delete"]),
    ("", "configmaps", &["create", "update", "patch", "delete"]),
    ("apps", "deployments", &["patch"]),
    ("apps.3scale.net", "apimanagers", &["create", "update", "patch", "delete"]),
];
/// What a rehearsal in pods needs beyond a backup. What belongs to a pod goes with it.
const REHEARSE: &[Row] =
    &[("", "pods", &["create", "delete"]), ("", "secrets", &["create"]), ("networking.k8s.io", "networkpolicies", &["create"])];
/// In the cluster the journals of runs are ConfigMaps, and a Lease is their lock.
const JOURNALS: &[Row] =
    &[("", "configmaps", &["create", "patch", "delete"]), ("coordination.k8s.io", "leases", &["get", "create", "patch"])];
/// On OpenShift only.
const OPENSHIFT_BACKUP: &[Row] =
    &[("apps.openshift.io", "deploymentconfigs", &["get", "list"]), ("route.openshift.io", "routes", &["get", "list"])];
const OPENSHIFT_RESTORE: &[Row] =
    &[("apps.openshift.io", "deploymentconfigs", &["patch"]), ("apps.openshift.io", "deploymentconfigs/instantiate", &["create"])];

/// Group, resource and verb of all permissions that a purpose needs.
pub fn needed(
    purpose: Permissions,
    is_openshift: bool,
    is_inside: bool,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let is_restore = purpose == Permissions::Restore;
    let tables = [
        (true, BACKUP),
        (is_restore, RESTORE),
        (purpose == Permissions::Rehearse, REHEARSE),
        (is_inside, JOURNALS),
        (is_openshift, OPENSHIFT_BACKUP),
        (is_openshift && is_restore, OPENSHIFT_RESTORE),
    ];
    let rows = tables.into_iter().filter_map(|(is_needed, table)| is_needed.then_some(table)).flatten();
    rows.flat_map(|(group, resource, verbs)| verbs.iter().map(move |verb| (*group, *resource, *verb)))
}

impl Cluster {
    /// The permissions that this user lacks in the installation's namespace.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn missing_rules(&self, purpose: Permissions) -> Result<Vec<Rule>> {
        let mut missing = Vec::new();
        for rule in self.rules(purpose)? {
            if !self.is_allowed(&rule)? {
                missing.push(rule);
            }
        }
        Ok(missing)
    }

    /// Refuses where this user may not do what a rehearsal in pods takes: a line of a Role for each thing.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] with the lines that are missing; when the server cannot be asked.
    pub fn check_may_rehearse(&self) -> Result<()> {
        // Secrets and addresses of the installation are not read for it.
        let is_needed = |rule: &Rule| {
            let reads = ["get", "list"].contains(&rule.verb.as_str());
            match rule.resource.as_str() {
                "pods" | "pods/exec" | "networkpolicies" => true,
                "pods/portforward" => !self.is_inside(),
                "secrets" => !reads,
                "deployments" => rule.verb == "list",
                _ => false,
            }
        };
        let mut missing = Vec::new();
        for rule in self.rules(Permissions::Rehearse)?.into_iter().filter(is_needed) {
            if !self.is_allowed(&rule)? {
                missing.push(rule);
            }
        }
        let Some(first) = missing.first() else { return Ok(()) };
        let namespace = self.namespace();
        let error = plan::Error::refused(format!(
            "for a rehearsal in pods this user may not {} {} in namespace {namespace}",
            first.verb, first.resource
        ));
        Err(missing
            .iter()
            .fold(error, |error, rule| error.hint(format!("Add to a Role in namespace {namespace}, and bind it to this user: {rule}"))))
    }

    /// What this user may not do that stopping and starting the writers takes, and working beside the stores: a line of a Role each.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn missing_to_stop(&self, writers: &[(WorkloadKind, String)]) -> Result<Vec<Problem>> {
        let (mut problems, namespace) = (Vec::new(), self.namespace());
        let blocks = |rule: &Rule, what: &str| {
            Problem::new(Severity::Blocks, format!("this user may not {} {what} in namespace {namespace}", rule.verb))
                .way_out(format!("Add to a Role in namespace {namespace}, and bind it to this user: {rule}"))
        };
        let in_pods = ["pods", "pods/exec", "pods/log"];
        for rule in self.rules(Permissions::Restore)?.iter().filter(|rule| in_pods.contains(&rule.resource.as_str())) {
            if !self.is_allowed(rule)? {
                problems.push(blocks(rule, &rule.resource));
            }
        }
        for kind in [WorkloadKind::Deployment, WorkloadKind::DeploymentConfig] {
            let (group, resource) = kind.group_and_plural();
            let rule = Rule {
                verb: "patch".to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                namespace: Some(namespace.to_owned()),
            };
            let of_kind: Vec<_> = writers.iter().filter(|(other, _)| *other == kind).map(|(_, name)| name.as_str()).collect();
            if of_kind.is_empty() || self.is_allowed(&rule)? {
                continue;
            }
            // A Role may name them.
            let mut denied = Vec::new();
            for name in of_kind {
                if !self.is_allowed_for(&rule, Some(name))? {
                    denied.push(name);
                }
            }
            if !denied.is_empty() {
                problems.push(blocks(&rule, &format!("{resource} {} (a restore stops and starts them)", denied.join(", "))));
            }
        }
        Ok(problems)
    }

    /// Whether this user may keep journals of runs in the namespace, and take their lock there.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn may_keep_journals(&self) -> Result<bool> {
        let lists = ("", "configmaps", ["get", "list"].as_slice());
        for (group, resource, verbs) in std::iter::once(&lists).chain(JOURNALS) {
            for verb in *verbs {
                let namespace = Some(self.namespace().to_owned());
                let rule = Rule { verb: (*verb).to_owned(), group: (*group).to_owned(), resource: (*resource).to_owned(), namespace };
                if !self.is_allowed(&rule)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// All permissions that the purpose needs here.
    ///
    /// # Errors
    /// When the server cannot be asked what it is.
    pub fn rules(&self, purpose: Permissions) -> Result<Vec<Rule>> {
        let is_openshift = self.get_if_there("/apis/apps.openshift.io")?.is_some();
        let rule = |group: &str, resource: &str, verb: &str| Rule {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: Some(self.namespace().to_owned()),
        };
        let mut rules: Vec<_> =
            needed(purpose, is_openshift, self.is_inside()).map(|(group, resource, verb)| rule(group, resource, verb)).collect();
        rules.sort();
        rules.dedup();
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::scripted::{Reply, cluster};

    /// What is missing for a user who may patch these Deployments, and none but them.
    fn missing(may_patch: &'static [&str]) -> Vec<Problem> {
        let cluster = cluster(move |_, path, body| {
            if !path.ends_with("selfsubjectaccessreviews") {
                return Reply::Json(404, json!({"reason": "NotFound"}));
            }
            let asked: Value = serde_json::from_str(body).unwrap();
            let of = &asked["spec"]["resourceAttributes"];
            let may = of["resource"] != "deployments"
                || of["verb"] != "patch"
                || of["name"].as_str().is_some_and(|name| may_patch.contains(&name));
            Reply::Json(201, json!({"status": {"allowed": may}}))
        });
        let writers = ["system-app", "zync"].map(|name| (WorkloadKind::Deployment, name.to_owned()));
        cluster.missing_to_stop(&writers).unwrap()
    }

    #[test]
    fn that_the_writers_cannot_be_stopped_is_known_beforehand_by_their_names() {
        assert_eq!(missing(&["system-app", "zync"]), [], "a Role may name them");
        let problems = missing(&["system-app"]);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(problem.severity, Severity::Blocks);
        assert_eq!(problem.text, "this user may not patch deployments zync (a restore stops and starts them) in namespace n");
        assert!(problem.way_out.as_ref().unwrap().contains(r#"resources: ["deployments"], verbs: ["patch"]"#), "{problem:?}");
    }
}
