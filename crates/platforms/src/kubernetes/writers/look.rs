//! Looking at the namespace: workloads, pods, APIManagers, autoscalers.

use plan::ids::DataSetName;
use plan::{Error, Result};
use serde_json::Value;

use super::super::error::Rule;
use super::note::Seen;
use super::pods::{is_active, is_task, running_for};
use super::who::Writer;
use super::workload::{Workload, WorkloadKind, name};
use super::{Cluster, KubernetesWriters};

/// The APIManagers' version; it was never another.
pub(crate) const API_MANAGERS: &str = "apps.3scale.net/v1alpha1";

/// All of a kind, or none when the server does not know the kind: DeploymentConfigs are of OpenShift, APIManagers of an operator that may not be there.
pub(crate) fn list_if_known(cluster: &Cluster, path: &str) -> Result<Vec<Value>> {
    match cluster.list(path, None) {
        Ok(items) => Ok(items),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// All workloads of the namespace.
///
/// # Errors
/// When they cannot be listed.
pub(crate) fn workloads(cluster: &Cluster) -> Result<Seen> {
    let list = |kind: WorkloadKind| list_if_known(cluster, &kind.all(cluster.namespace()));
    Ok(Seen { deployments: list(WorkloadKind::Deployment)?, deployment_configs: list(WorkloadKind::DeploymentConfig)?, ..Seen::default() })
}

/// Names of writers that are not there; the cache does not count.
pub(crate) fn writers_missing(seen: &Seen) -> Vec<&'static str> {
    let is_there = |writer: Writer| seen.workloads().any(|(_, object)| Writer::of(object) == Some(writer));
    let needed = Writer::ALL.into_iter().filter(|writer| writer.in_api_manager().is_some());
    needed.filter(|writer| !is_there(*writer)).map(Writer::name).collect()
}

impl Cluster {
    /// The writers that a restore of these data sets stops.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn writers_of(&self, data_sets: &[DataSetName]) -> Result<Vec<(WorkloadKind, String)>> {
        let seen = workloads(self)?;
        let is_one = |object: &Value| Writer::of(object).is_some_and(|writer| writer.writes_to_any(data_sets));
        Ok(seen.workloads().filter(|(_, object)| is_one(object)).map(|(kind, object)| (kind, name(object).to_owned())).collect())
    }
}

/// All pods of the namespace.
pub(crate) fn pods(cluster: &Cluster) -> Result<Vec<Value>> {
    Ok(cluster.list(&cluster.path("v1", "pods", None), None)?)
}

impl KubernetesWriters {
    /// All that a note is made from.
    pub(super) fn look_to_note(&self) -> Result<Seen> {
        let cluster = &self.cluster;
        let mut seen = workloads(cluster)?;
        if !seen.workloads().any(|(_, object)| Writer::of(object).is_some()) {
            return Err(Error::refused(format!("there is no 3scale installation in namespace {}", cluster.namespace()))
                .hint("None of system-app, system-sidekiq, backend-listener, zync… is there as a Deployment or DeploymentConfig.")
                .hint("Give the installation's namespace with --namespace."));
        }
        seen.autoscalers = match cluster.list(&cluster.path("autoscaling/v1", "horizontalpodautoscalers", None), None) {
            Ok(found) => found,
            // Good to know, and not needed.
            Err(error) if error.is_forbidden() || error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        seen.may_hold_operator = match seen.operator() {
            Some(operator) => self.may_patch_deployment(name(operator))?,
            None => false,
        };
        seen.api_managers = list_if_known(cluster, &cluster.path(API_MANAGERS, "apimanagers", None))?;
        Ok(seen)
    }

    fn may_patch_deployment(&self, deployment: &str) -> Result<bool> {
        let namespace = Some(self.cluster.namespace().to_owned());
        let rule = Rule { verb: "patch".to_owned(), group: "apps".to_owned(), resource: "deployments".to_owned(), namespace };
        Ok(self.cluster.is_allowed_for(&rule, Some(deployment))?)
    }

    /// One workload as it is now; `None` when it is gone.
    pub(super) fn look_at(&self, workload: &Workload) -> Result<Option<Value>> {
        Ok(self.cluster.get_if_there(&workload.path(self.cluster.namespace()))?)
    }

    /// Whether no pod of any writer runs, nor one of a task.
    pub(super) fn nobody_runs(&self) -> Result<bool> {
        let (seen, pods) = (workloads(&self.cluster)?, pods(&self.cluster)?);
        let has_pods = |object: &Value| !running_for(&pods, object).is_empty();
        let is_written = seen.workloads().any(|(_, object)| Writer::of(object).is_some() && has_pods(object));
        Ok(!is_written && !pods.iter().any(|pod| is_task(pod) && is_active(pod)))
    }
}
