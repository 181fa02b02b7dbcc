//! A namespace without an installation, which is to get one: what must be there for that, what the operator has still to make, and whether it is content at last.
//!
//! This program makes Secrets, ConfigMaps and custom resources; all else is made by 3scale's operator from the APIManager.

use plan::Result;
use plan::ports::{Problem, Severity};
use serde_json::Value;

use super::client::Cluster;
use super::error::ApiError;
use super::find::Installation;
use super::writers::look;
use super::writers::look::API_MANAGERS;
use super::writers::pods::{HOOK, is_active, is_of_job};
use super::writers::workload::{list, name, text};

/// Claims of an installation are waited for by those who mount them; a person wants to know which hangs.
const PENDING: &str = "Pending";

impl Cluster {
    /// What stands in the way of making an installation in this namespace.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn obstacles(&self, found: &Installation) -> Result<Vec<Problem>> {
        let namespace = self.namespace();
        let mut problems = Vec::new();
        let blocks = |text: String, way_out: &str| Problem::new(Severity::Blocks, text).way_out(way_out);
        if !found.workloads.is_empty() {
            let names: Vec<_> = found.workloads.iter().take(5).map(|workload| workload.name.as_str()).collect();
            problems.push(blocks(
                format!("namespace {namespace} is not empty: {} are there", names.join(", ")),
                "Leave --into-empty out: the set goes back into the installation that is there. Or name another namespace.",
            ));
        }
        if let Some(api_manager) = &found.api_manager {
            problems.push(blocks(
                format!("namespace {namespace} has an APIManager, {}", api_manager.name),
                "Leave --into-empty out, or delete it when nothing of it is needed any more: the operator deletes all that it made from it, with volumes.",
            ));
        }
        if self.get_if_there("/apis/apps.3scale.net")?.is_none() {
            problems.push(blocks(
                "the cluster does not know APIManagers".to_owned(),
                "Install the 3scale operator of the set's release, or of the next one, so that it watches this namespace.",
            ));
        }
        match &found.operator {
            Some(operator) if operator.replicas == 0 => problems.push(blocks(
                format!(
                    "the operator is at 0, and has to make the installation (Deployment {} in namespace {})",
                    operator.name, operator.namespace
                ),
                &format!("kubectl -n {} scale deployment {} --replicas=1", operator.namespace, operator.name),
            )),
            Some(operator) if operator.namespace != namespace => problems.push(Problem::new(
                Severity::Note,
                format!("the operator is in namespace {}: it must watch namespace {namespace} too", operator.namespace),
            )),
            Some(_) => {}
            None if found.problems.iter().any(|problem| problem.severity == Severity::Degrades && problem.text.contains("operator")) => {
                problems.push(Problem::new(
                    Severity::Degrades,
                    "nobody knows whether an operator watches this namespace: it has to make the installation",
                ));
            }
            None => problems.push(blocks(
                "no operator of 3scale runs, and it has to make the installation".to_owned(),
                "Install the 3scale operator of the set's release, or of the next one, so that it watches this namespace.",
            )),
        }
        Ok(problems)
    }

    /// What the operator has not made yet of an installation whose writers wait for their data, with what hinders it as far as that can be seen.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn still_to_come(&self, found: &Installation) -> Result<Vec<String>> {
        let seen = look::workloads(self)?;
        let pods = look::pods(self)?;
        // The operator makes system-app when the Job that prepares the database ended well, which it does not over one that is gone: the data comes first then.
        let fails = pods.iter().any(|pod| is_of_job(pod, HOOK) && (!is_active(pod) && text(pod, "/status/phase") == "Failed"));
        let missing = look::writers_missing(&seen).into_iter().filter(|writer| !(fails && *writer == "system-app"));
        let mut missing: Vec<_> = missing.map(|writer| format!("{writer} is not there yet")).collect();
        let is_ready = |element: &str| matches!(element, "mysql" | "postgresql" | "redis" | "database");
        for workload in found.workloads.iter().filter(|workload| is_ready(&workload.element) && workload.pods_ready == 0) {
            missing.push(format!("{} is not ready yet", workload.name));
        }
        if !missing.is_empty() {
            missing.extend(self.hindrances()?);
        }
        Ok(missing)
    }

    /// What the operator itself says that it waits for, and claims without a volume.
    fn hindrances(&self) -> Result<Vec<String>> {
        let mut reasons = Vec::new();
        for api_manager in look::list_if_known(self, &self.path(API_MANAGERS, "apimanagers", None))? {
            let refusals = list(&api_manager, "/status/conditions")
                .iter()
                .filter(|condition| text(condition, "/status") == "False" && !text(condition, "/message").is_empty());
            reasons.extend(refusals.map(|condition| {
                format!(
                    "the operator says of APIManager {}: {}: {}",
                    name(&api_manager),
                    text(condition, "/type"),
                    text(condition, "/message")
                )
            }));
        }
        let claims = match self.list(&self.path("v1", "persistentvolumeclaims", None), None) {
            Ok(claims) => claims,
            // Good to know, and not needed.
            Err(error) if error.is_forbidden() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let pending = claims.iter().filter(|claim| text(claim, "/status/phase") == PENDING);
        reasons.extend(pending.map(|claim| format!("PersistentVolumeClaim {} has no volume yet", name(claim))));
        Ok(reasons)
    }

    /// Conditions of the APIManager that are not as they shall be at last: `Available`, and `Preflights` where the operator has them.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn conditions_missing(&self) -> Result<Vec<String>, ApiError> {
        let all = self.list(&self.path(API_MANAGERS, "apimanagers", None), None)?;
        let Some(api_manager) = all.first() else { return Ok(vec!["there is no APIManager".to_owned()]) };
        Ok(["Available", "Preflights"].into_iter().filter_map(|wanted| not_true(api_manager, wanted)).collect())
    }
}

/// Why a condition is not true. One that the operator does not have is `Preflights` before 2.15; `Available` every operator has.
fn not_true(api_manager: &Value, wanted: &str) -> Option<String> {
    let condition = list(api_manager, "/status/conditions").iter().find(|condition| text(condition, "/type") == wanted);
    match condition {
        Some(condition) if text(condition, "/status") == "True" => None,
        None if wanted != "Available" => None,
        condition => {
            let message = condition.map(|condition| text(condition, "/message")).filter(|message| !message.is_empty());
            let message = message.map(|message| format!(": {message}")).unwrap_or_default();
            Some(format!("condition {wanted} of APIManager {} is not true{message}", name(api_manager)))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_those_that_the_operator_of_the_release_has() {
        let with = |conditions: Value| json!({"metadata": {"name": "am"}, "status": {"conditions": conditions}});
        let missing =
            |object: &Value| ["Available", "Preflights"].into_iter().filter_map(|wanted| not_true(object, wanted)).collect::<Vec<_>>();
        assert_eq!(missing(&with(json!([{"type": "Available", "status": "True"}]))), Vec::<String>::new());
        assert_eq!(missing(&json!({"metadata": {"name": "am"}})), ["condition Available of APIManager am is not true"]);
        let refused = with(json!([{"type": "Available", "status": "True"}, {"type": "Preflights", "status": "False", "message": "no"}]));
        assert_eq!(missing(&refused), ["condition Preflights of APIManager am is not true: no"]);
    }
}
