//! Which pod: by its name, by labels, or behind a Service. Pods get replaced, so it is found anew each time.

use std::fmt;
use std::time::{Duration, Instant};

use plan::{Error, Result};
use serde_json::Value;

use super::client::Cluster;
use super::request::{Line, path_in};

/// How often is looked while no pod runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait where there is no pod at all: between the old one and the new, and not for one that nobody wants.
const PATIENCE_WITHOUT_PODS: Duration = Duration::from_secs(5);

/// A pod, as far as it is known beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    namespace: String,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Pod(String),
    Labels { selector: String, owner: String },
    Service(String),
}

impl Target {
    /// This very pod.
    #[must_use]
    pub fn pod(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), by: By::Pod(name.to_owned()) }
    }

    /// A pod with these labels (`deployment=system-app`); `owner` is what people call it by.
    #[must_use]
    pub fn labels(namespace: &str, selector: &str, owner: &str) -> Self {
        Self { namespace: namespace.to_owned(), by: By::Labels { selector: selector.to_owned(), owner: owner.to_owned() } }
    }

    /// A pod behind a Service.
    #[must_use]
    pub fn service(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), by: By::Service(name.to_owned()) }
    }

    /// The namespace of the pod.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            By::Pod(name) => write!(f, "pod {name}"),
            By::Labels { owner, .. } => write!(f, "a pod of {owner}"),
            By::Service(name) => write!(f, "a pod of Service {name}"),
        }
    }
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub struct FoundPod {
    /// Its name.
    pub name: String,
    /// Its containers.
    pub containers: Vec<String>,
    object: Value,
}

impl FoundPod {
    /// The number of a port that the pod calls by a name.
    fn port(&self, name: &str) -> Option<u16> {
        let containers = self.object["spec"]["containers"].as_array()?;
        let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
        let found = ports.find(|port| port["name"] == name)?;
        found["containerPort"].as_u64()?.try_into().ok()
    }
}

impl Cluster {
    /// Finds the pod; waits a while for one that is just being started. With `container`, that one runs in it.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when none runs.
    pub fn find_pod(&self, target: &Target, container: Option<&str>) -> Result<FoundPod> {
        let (line, target, container) = (self.line(), target.clone(), container.map(str::to_owned));
        self.run(async move { Ok(find_pod(&line, &target, container.as_deref()).await) })?
    }
}

/// As [`Cluster::find_pod`].
pub(super) async fn find_pod(line: &Line, target: &Target, container: Option<&str>) -> Result<FoundPod> {
    let selector = match &target.by {
        By::Service(name) => selector_of(&service(line, &target.namespace, name).await?, name)?,
        By::Labels { selector, .. } => selector.clone(),
        By::Pod(_) => String::new(),
    };
    let began = Instant::now();
    loop {
        let pods = match &target.by {
            By::Pod(name) => vec![line.get(&path_in(&target.namespace, "v1", "pods", Some(name))).await?],
            _ => line.list(&path_in(&target.namespace, "v1", "pods", None), Some(&selector)).await?,
        };
        if let Some(found) = best(&pods, container) {
            return Ok(found);
        }
        let patience = if pods.is_empty() { PATIENCE_WITHOUT_PODS.min(line.patience) } else { line.patience };
        if began.elapsed() >= patience {
            return Err(none_runs(target, &pods, container));
        }
        line.stop.check()?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The pod behind a port of a target, and the pod's own number of that port: Services may call it otherwise.
pub(super) async fn find_port(line: &Line, target: &Target, port: u16) -> Result<(FoundPod, u16)> {
    let pod = find_pod(line, target, None).await?;
    let By::Service(name) = &target.by else { return Ok((pod, port)) };
    let service = service(line, &target.namespace, name).await?;
    let ports = service["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let wanted = ports.iter().find(|candidate| candidate["port"] == port).map(|found| &found["targetPort"]);
    let number = match wanted {
        Some(Value::Number(number)) => number.as_u64().and_then(|number| number.try_into().ok()),
        Some(Value::String(name)) => pod.port(name),
        _ => None,
    };
    Ok((pod, number.unwrap_or(port)))
}

async fn service(line: &Line, namespace: &str, name: &str) -> Result<Value> {
    Ok(line.get(&path_in(namespace, "v1", "services", Some(name))).await?)
}

fn selector_of(service: &Value, name: &str) -> Result<String> {
    let labels = service["spec"]["selector"].as_object().filter(|labels| !labels.is_empty()).ok_or_else(|| {
        Error::failed(format!("Service {name} has no pods of its own"))
            .hint("It leads out of the cluster: ports can be forwarded to pods only. Give the server's own address in the configuration.")
    })?;
    Ok(selector(labels))
}

/// Labels as a selector.
pub(super) fn selector(labels: &serde_json::Map<String, Value>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",")
}

/// The one to use: it runs and stays; ready before not ready, new before old.
fn best(pods: &[Value], container: Option<&str>) -> Option<FoundPod> {
    let usable = |pod: &&Value| {
        let statuses = pod["status"]["containerStatuses"].as_array();
        let runs = container.is_none_or(|name| {
            statuses.is_some_and(|statuses| statuses.iter().any(|status| status["name"] == name && status["state"]["running"].is_object()))
        });
        pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null() && runs
    };
    let rank = |pod: &&Value| (is_ready(pod), pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
    let pod = pods.iter().filter(usable).max_by_key(rank)?;
    let containers =
        pod["spec"]["containers"].as_array()?.iter().filter_map(|container| container["name"].as_str().map(str::to_owned)).collect();
    Some(FoundPod { name: pod["metadata"]["name"].as_str()?.to_owned(), containers, object: pod.clone() })
}

/// Whether a pod says that it is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|conditions| conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True"))
}

fn none_runs(target: &Target, pods: &[Value], container: Option<&str>) -> Error {
    let what = container.map_or_else(|| format!("{target} does not run"), |name| format!("container {name} of {target} does not run"));
    let error = Error::transient(format!("{what} in namespace {}", target.namespace));
    if pods.is_empty() {
        return error.hint("It has no pods: is it scaled to 0?");
    }
    let states: Vec<_> = pods
        .iter()
        .map(|pod| {
            let leaving = if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { ", being deleted" };
            let phase = pod["status"]["phase"].as_str().unwrap_or("unknown");
            format!("{} ({phase}{leaving})", pod["metadata"]["name"].as_str().unwrap_or_default())
        })
        .collect();
    error.hint(format!("Its pods are: {}.", states.join(", ")))
}
