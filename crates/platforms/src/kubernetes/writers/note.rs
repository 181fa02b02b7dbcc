//! What is noted of the writers before the first of them is stopped, made from the JSON of the namespace. Pure.
//!
//! The note is journaled; only this module reads it again. It holds names and numbers, never a secret.

use plan::ids::{DataSetName, RunId};
use plan::ports::{Noted, WriterGroup};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coming::Coming;
use super::who::Writer;
use super::workload::{REPLICAS, RUN, Workload, WorkloadKind, annotation, name, replicas, text, uid};

/// What was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The writers, in the order in which they are stopped.
    pub(crate) writers: Vec<NotedWriter>,
    /// Who would start them again.
    pub(crate) holder: Holder,
    /// They wait for the data of an installation that was put into an empty namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coming: Option<Coming>,
}

/// A writer as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotedWriter {
    pub(crate) writer: Writer,
    #[serde(flatten)]
    pub(crate) workload: Workload,
    pub(crate) uid: String,
    pub(crate) replicas: u64,
    /// The HorizontalPodAutoscaler that scales it: it rests while there are none of the workload, and goes on by itself when they are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) autoscaler: Option<String>,
}

/// Who would start the writers again, and how that is prevented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Holder {
    /// Nobody is stopped, so nobody is held.
    Nobody,
    /// The operator is scaled to 0.
    Operator { workload: Workload, uid: String, replicas: u64 },
    /// The operator is out of reach: the numbers that it enforces are set to 0 where it reads them.
    ApiManager { why: String, enforced: Vec<Enforced> },
}

/// The replicas of a writer in an APIManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enforced {
    pub(crate) api_manager: String,
    pub(crate) writer: Writer,
    /// `None`: the APIManager says nothing, and the operator leaves the writer alone.
    pub(crate) replicas: Option<u64>,
}

/// What the namespace holds, as listed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) deployments: Vec<Value>,
    pub(crate) deployment_configs: Vec<Value>,
    pub(crate) autoscalers: Vec<Value>,
    pub(crate) api_managers: Vec<Value>,
    /// Whether this user may patch the operator's Deployment.
    pub(crate) may_hold_operator: bool,
}

impl Seen {
    /// All workloads with their kinds.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = (WorkloadKind, &Value)> {
        let deployments = self.deployments.iter().map(|object| (WorkloadKind::Deployment, object));
        deployments.chain(self.deployment_configs.iter().map(|object| (WorkloadKind::DeploymentConfig, object)))
    }

    /// A noted workload, when it is still there.
    pub(crate) fn find(&self, workload: &Workload) -> Option<&Value> {
        self.workloads().find(|(kind, object)| *kind == workload.kind && name(object) == workload.name).map(|(_, object)| object)
    }

    /// The operator's own Deployment.
    pub(crate) fn operator(&self) -> Option<&Value> {
        let is_named = |object: &&Value| {
            name(object).starts_with("threescale-operator-controller-manager")
                || matches!(name(object), "3scale-operator" | "threescale-operator")
        };
        self.deployments.iter().find(is_named)
    }
}

impl Note {
    /// Notes the writers of these data sets.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when another run holds some of them at 0: their number is not the truth.
    pub(crate) fn take(seen: &Seen, data_sets: &[DataSetName], run: &RunId) -> Result<Self> {
        let mut writers = Vec::new();
        for (kind, object) in seen.workloads() {
            let Some(writer) = Writer::of(object).filter(|writer| writer.writes_to_any(data_sets)) else { continue };
            let workload = Workload::new(kind, name(object));
            let autoscaler = autoscaler_of(&seen.autoscalers, &workload);
            writers.push(NotedWriter { writer, replicas: own_replicas(object, run)?, uid: uid(object).to_owned(), workload, autoscaler });
        }
        writers.sort_by(|left, right| (left.writer, &left.workload).cmp(&(right.writer, &right.workload)));
        let holder = if writers.is_empty() { Holder::Nobody } else { holder(seen, &writers, run)? };
        let coming = seen.api_managers.iter().find_map(Coming::of);
        Ok(Self { writers, holder, coming })
    }

    /// The note as it is journaled.
    ///
    /// # Errors
    /// Never in practice: it is plain data.
    pub(crate) fn to_noted(&self) -> Result<Noted> {
        serde_json::to_value(self).map(Noted).map_err(|error| Error::failed("failed to write down the writers").because(error))
    }

    /// Reads a note again; `None` when nothing was noted.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when it is not a note of this platform.
    pub(crate) fn from_noted(noted: &Noted) -> Result<Option<Self>> {
        if noted.0.is_null() {
            return Ok(None);
        }
        Self::deserialize(&noted.0).map(Some).map_err(|error| {
            Error::needs_person("the journal's note of the writers cannot be read").because(error).hint(
                "It was written by another version or platform. What was scaled to 0 says in its annotation threescale-backup/replicas how many there were.",
            )
        })
    }

    /// How many of a writer are to run when the run is over.
    pub(crate) fn number(&self, noted: &NotedWriter) -> u64 {
        self.coming.as_ref().and_then(|coming| coming.number(noted.writer)).unwrap_or(noted.replicas)
    }

    /// Those of a group, in the order in which they start.
    pub(crate) fn of_group(&self, group: WriterGroup) -> Vec<&NotedWriter> {
        let mut writers: Vec<_> = self.writers.iter().filter(|noted| noted.writer.group() == group).collect();
        writers.sort_by_key(|noted| noted.writer.turn());
        writers
    }
}

/// How many there are; when this run has scaled it to 0 already, how many there were.
fn own_replicas(object: &Value, run: &RunId) -> Result<u64> {
    let Some(holding) = annotation(object, RUN).filter(|_| replicas(object) == 0) else { return Ok(replicas(object)) };
    let were = annotation(object, REPLICAS).unwrap_or("?");
    match were.parse() {
        Ok(were) if holding == run.as_str() => Ok(were),
        _ => Err(held_by_another(name(object), holding, were)),
    }
}

fn held_by_another(what: &str, run: &str, were: &str) -> Error {
    Error::refused(format!("{what} was scaled to 0 by run {run} and not put back"))
        .hint(format!("There were {were} of it. `resume` or `undo` that run first: its journal knows all numbers."))
        .hint("If its journal is lost, scale it by hand and remove the annotations threescale-backup/run and threescale-backup/replicas.")
}

fn autoscaler_of(autoscalers: &[Value], workload: &Workload) -> Option<String> {
    let kind = match workload.kind {
        WorkloadKind::Deployment => "Deployment",
        WorkloadKind::DeploymentConfig => "DeploymentConfig",
    };
    let scales =
        |object: &&Value| text(object, "/spec/scaleTargetRef/kind") == kind && text(object, "/spec/scaleTargetRef/name") == workload.name;
    autoscalers.iter().find(scales).map(|object| name(object).to_owned())
}

fn holder(seen: &Seen, writers: &[NotedWriter], run: &RunId) -> Result<Holder> {
    let why = match seen.operator() {
        Some(operator) if seen.may_hold_operator => {
            let workload = Workload::new(WorkloadKind::Deployment, name(operator));
            return Ok(Holder::Operator { workload, uid: uid(operator).to_owned(), replicas: own_replicas(operator, run)? });
        }
        Some(operator) => format!("this user may not scale {}", name(operator)),
        None => "there is no 3scale operator in this namespace".to_owned(),
    };
    let mut enforced = Vec::new();
    for object in &seen.api_managers {
        let held = held_numbers(object, run)?;
        for noted in writers {
            let now = in_api_manager(object, noted.writer);
            let were = held.as_ref().and_then(|held| held.get(noted.writer.name())).map_or(now, Value::as_u64);
            if noted.writer.in_api_manager().is_some() {
                enforced.push(Enforced { api_manager: name(object).to_owned(), writer: noted.writer, replicas: were });
            }
        }
    }
    Ok(Holder::ApiManager { why, enforced })
}

/// The replicas of a writer that an APIManager sets.
pub(crate) fn in_api_manager(object: &Value, writer: Writer) -> Option<u64> {
    let (component, element) = writer.in_api_manager()?;
    object.pointer(&format!("/spec/{component}/{element}/replicas")).and_then(Value::as_u64)
}

/// The numbers that this run wrote into an APIManager's annotation when it set them to 0.
fn held_numbers(object: &Value, run: &RunId) -> Result<Option<Value>> {
    let Some(holding) = annotation(object, RUN) else { return Ok(None) };
    let were = annotation(object, REPLICAS).unwrap_or("{}");
    match serde_json::from_str(were) {
        Ok(numbers) if holding == run.as_str() => Ok(Some(numbers)),
        _ => Err(held_by_another(&format!("what the APIManager {} names", name(object)), holding, were)),
    }
}

#[cfg(test)]
mod tests;
