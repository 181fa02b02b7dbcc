//! Making a workload's pods anew, and waiting until the new ones are ready.

use std::time::Duration;

use plan::ports::{Context, Event};
use plan::{Error, Result};
use serde_json::{Value, json};

use super::Cluster;
use super::look::pods;
use super::pods::{running_for, told, why_not_ready};
use super::wait::{Ended, Look, until};
use super::workload::{MANAGER, Workload, WorkloadKind, is_rolled_out, list, replicas, text};

/// Annotation of a pod template: changing it makes the pods anew. It is that of `kubectl rollout restart`, because it stays: taking it away would make them anew again.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// Makes the pods of a workload anew (as `kubectl rollout restart`), and waits until only new ones are left and they are ready. With no replicas there is
/// nothing to do. An annotation of the pod template is what works everywhere: `rollout latest` needs a subresource that not every API server has.
///
/// # Errors
/// When the workload is not there, or the new pods are not ready in time.
pub fn restart_workload(cluster: &Cluster, context: &Context, workload: &Workload, wait_seconds_max: u64) -> Result<()> {
    let path = workload.path(cluster.namespace());
    let object = cluster.get(&path)?;
    if replicas(&object) == 0 {
        context.watch.see(Event::Note(&format!("{workload} is at 0: nothing to restart")));
        return Ok(());
    }
    context.watch.see(Event::Note(&format!("restarting {workload}")));
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: jiff::Timestamp::now().to_string()}}}}});
    let patched = cluster.merge_patch(&format!("{path}?fieldManager={MANAGER}"), &restart)?;
    if workload.kind == WorkloadKind::DeploymentConfig && !rolls_out_by_itself(&patched) {
        let request = json!({"apiVersion": "apps.openshift.io/v1", "kind": "DeploymentRequest", "name": workload.name, "latest": true, "force": true});
        cluster.post(&format!("{path}/instantiate"), &request)?;
    }
    let before = number_of_rollout(&object);
    let what = format!("waiting for {workload} to restart");
    let ended = until(context, &what, Duration::from_secs(wait_seconds_max), || {
        let now = cluster.get(&path)?;
        let is_new = workload.kind == WorkloadKind::Deployment || number_of_rollout(&now) > before;
        let left = running_for(&pods(cluster)?, &now).len();
        Ok(if is_new && is_rolled_out(&now) && u64::try_from(left).is_ok_and(|left| left == replicas(&now)) {
            Look::Done
        } else {
            Look::Waiting(vec![format!("{left} pods of {workload}, old and new")])
        })
    })?;
    match ended {
        Ended::Well => Ok(()),
        Ended::Late(mut reasons) => {
            if let Ok(pods) = pods(cluster) {
                reasons.extend(running_for(&pods, &object).into_iter().filter_map(why_not_ready));
            }
            let error = Error::failed(format!("{workload} is not ready {wait_seconds_max} seconds after its restart"));
            Err(told(error, &reasons))
        }
    }
}

/// Whether a changed template is enough: not where the trigger was taken away. Without a list of triggers it is the default.
fn rolls_out_by_itself(object: &Value) -> bool {
    let is_default = object.pointer("/spec/triggers").is_none_or(Value::is_null);
    is_default || list(object, "/spec/triggers").iter().any(|trigger| text(trigger, "/type") == "ConfigChange")
}

/// A DeploymentConfig counts its rollouts.
fn number_of_rollout(object: &Value) -> u64 {
    super::workload::number(object, "/status/latestVersion")
}
