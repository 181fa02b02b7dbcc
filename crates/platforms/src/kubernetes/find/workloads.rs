//! Deployments and DeploymentConfigs of 3scale, and the operator's.

use plan::Result;
use plan::ports::{Problem, Severity};
use serde_json::Value;

use crate::kubernetes::client::Cluster;
use crate::kubernetes::target::{Target, is_ready, selector};

/// Names of the workloads, for those of installations whose labels were lost, with component and element. The labels are the same in all eras.
const NAMES: [(&str, &str, &str); 17] = [
    ("system-app", "system", "app"),
    ("system-sidekiq", "system", "sidekiq"),
    ("system-mysql", "system", "mysql"),
    ("system-postgresql", "system", "postgresql"),
    ("system-redis", "system", "redis"),
    ("system-memcache", "system", "memcache"),
    ("system-searchd", "system", "searchd"),
    ("system-sphinx", "system", "sphinx"),
    ("backend-redis", "backend", "redis"),
    ("backend-listener", "backend", "listener"),
    ("backend-worker", "backend", "worker"),
    ("backend-cron", "backend", "cron"),
    ("zync", "zync", "zync"),
    ("zync-que", "zync", "zync-que"),
    ("zync-database", "zync", "database"),
    ("apicast-production", "apicast", "production"),
    ("apicast-staging", "apicast", "staging"),
];
/// The operator's Deployment, of any version.
const OPERATOR: &str = "threescale-operator-controller-manager";

/// A Deployment or DeploymentConfig of 3scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWorkload {
    /// Whether it is a DeploymentConfig.
    pub is_deployment_config: bool,
    /// Its name.
    pub name: String,
    /// `system`, `backend`, `zync`, `apicast`.
    pub component: String,
    /// `app`, `listener`, …
    pub element: String,
    /// How many pods it is to have.
    pub replicas: u64,
    /// The labels of its pods, as a selector.
    pub selector: String,
    /// Its containers.
    pub containers: Vec<String>,
    /// Pods that are there.
    pub pods: usize,
    /// Of those, the ready ones.
    pub pods_ready: usize,
}

impl FoundWorkload {
    /// One of its pods.
    #[must_use]
    pub fn target(&self, namespace: &str) -> Target {
        Target::labels(namespace, &self.selector, &self.name)
    }
}

/// The operator's workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAt {
    /// Its namespace: the installation's, or another when it watches several.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many pods it is to have.
    pub replicas: u64,
}

/// A label of the pods of System, as their workloads make them.
pub(super) fn label<'a>(objects: &'a [Value], name: &str) -> Option<&'a str> {
    let of = |workload: &str| objects.iter().find(|object| object["metadata"]["name"] == workload);
    let labels =
        ["system-app", "system-sidekiq"].into_iter().filter_map(of).map(|object| &object["spec"]["template"]["metadata"]["labels"]);
    labels.filter_map(|labels| labels[name].as_str()).next()
}

/// All workloads of the namespace. On Kubernetes there are no DeploymentConfigs.
pub(super) fn look(cluster: &Cluster) -> Result<Vec<Value>> {
    let mut found = cluster.list(&cluster.path("apps/v1", "deployments", None), None)?;
    match cluster.list(&cluster.path("apps.openshift.io/v1", "deploymentconfigs", None), None) {
        Ok(configs) => found.extend(configs),
        // A role made for Kubernetes does not name them.
        Err(error) if error.is_not_found() || error.is_forbidden() && !found.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(found)
}

pub(super) fn pods(cluster: &Cluster) -> Result<Vec<Value>> {
    Ok(cluster.list(&cluster.path("v1", "pods", None), None)?)
}

pub(super) fn of_threescale(objects: &[Value], pods: &[Value]) -> Vec<FoundWorkload> {
    objects.iter().filter_map(|object| of_object(object, pods)).collect()
}

fn of_object(object: &Value, pods: &[Value]) -> Option<FoundWorkload> {
    let name = object["metadata"]["name"].as_str()?;
    let labels = &object["metadata"]["labels"];
    let labelled = labels["threescale_component"].as_str().zip(labels["threescale_component_element"].as_str());
    let (component, element) =
        labelled.or_else(|| NAMES.iter().find(|(known, ..)| *known == name).map(|(_, component, element)| (*component, *element)))?;
    let is_deployment_config = object["kind"] == "DeploymentConfig";
    let labels = if is_deployment_config { &object["spec"]["selector"] } else { &object["spec"]["selector"]["matchLabels"] };
    let labels = labels.as_object().cloned().unwrap_or_default();
    let own = pods.iter().filter(|pod| !labels.is_empty() && labels.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value));
    let own: Vec<_> = own.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
    let containers = object["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
    Some(FoundWorkload {
        is_deployment_config,
        name: name.to_owned(),
        component: component.to_owned(),
        element: element.to_owned(),
        // Absent means one.
        replicas: object["spec"]["replicas"].as_u64().unwrap_or(1),
        selector: selector(&labels),
        containers: containers.iter().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect(),
        pods: own.len(),
        pods_ready: own.iter().filter(|pod| is_ready(pod)).count(),
    })
}

/// The operator's workload: in this namespace, else wherever this user may look.
pub(super) fn operator(cluster: &Cluster, objects: &[Value], problems: &mut Vec<Problem>) -> Result<Option<OperatorAt>> {
    if let Some(found) = objects.iter().find_map(|object| operator_at(object, cluster.namespace())) {
        return Ok(Some(found));
    }
    let note = match cluster.list("/apis/apps/v1/deployments", None) {
        Ok(all) => {
            let elsewhere = all.iter().find_map(|object| operator_at(object, object["metadata"]["namespace"].as_str().unwrap_or_default()));
            if elsewhere.is_some() {
                return Ok(elsewhere);
            }
            Problem::new(Severity::Note, "no operator of 3scale runs in the cluster: nobody holds replicas or ConfigMaps")
        }
        Err(error) if error.is_forbidden() => Problem::new(
            Severity::Degrades,
            "the operator is not in this namespace, and this user may not look for it elsewhere",
        )
        .way_out(
            "If it watches this namespace from another one, it undoes what a restore does: allow listing deployments, or hold it by hand.",
        ),
        Err(error) => return Err(error.into()),
    };
    problems.push(note);
    Ok(None)
}

fn operator_at(object: &Value, namespace: &str) -> Option<OperatorAt> {
    let name = object["metadata"]["name"].as_str().filter(|name| name.starts_with(OPERATOR))?;
    let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
    Some(OperatorAt { namespace: namespace.to_owned(), name: name.to_owned(), replicas })
}
