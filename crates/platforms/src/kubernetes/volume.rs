//! A pod of this program's own that mounts the volume of System's files: made from the template of a pod of System, runs nothing, and is there while no pod of
//! System is.
//!
//! A restore works through it from staging on: it does not share the limits of a container that serves, it is ready when the writers are stopped, and it is found
//! again by its name after a crash. Nobody needs to remove it: it ends by itself after a day.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plan::ids::RunId;
use plan::ports::{Context, Event, Process, Program, Remote};
use plan::{Error, Result};
use serde_json::{Value, json};

use super::client::Cluster;
use super::one_off::{OneOff, pod};
use super::target::Target;
use super::writers::look;
use super::writers::pods::{OURS, cannot_start, why_not_ready};
use super::writers::wait::{Ended, Look, until};
use super::writers::who::Writer;
use super::writers::workload::{RUN, list, text};

/// The container's name.
const CONTAINER: &str = "volume";
/// After this long the pod ends, whoever has forgotten it.
const SECONDS_MAX: u64 = 24 * 3600;
/// How long to wait until it runs: an image may have to be pulled.
const READY_MAX: Duration = Duration::from_secs(300);
/// How long an image may be out of reach before it is an error.
const CANNOT_START_MAX: Duration = Duration::from_secs(60);
/// What it runs: nothing, until it is asked to end.
const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 1; done";

/// A place to run programs beside the files.
pub struct Volume {
    cluster: Cluster,
    mount_path: String,
    /// A container that serves and mounts the volume too: used while it runs, and this has no pod of its own.
    serving: Option<(Target, String)>,
    /// The pod that was made or found.
    known: Mutex<Option<String>>,
}

impl Volume {
    /// Of the volume that System's pods mount there. Nothing is asked yet.
    #[must_use]
    pub fn new(cluster: Cluster, mount_path: &str) -> Self {
        Self { cluster, mount_path: mount_path.to_owned(), serving: None, known: Mutex::new(None) }
    }

    /// The same, through a container that serves while there is one: for reading, without a pod of our own.
    #[must_use]
    pub fn serving(cluster: Cluster, mount_path: &str, target: Target, container: &str) -> Self {
        let mut volume = Self::new(cluster, mount_path);
        volume.serving = Some((target, container.to_owned()));
        volume
    }

    /// A serving pod, when one runs. Programs of one verb must find the same place: once there is a pod of our own it stays that.
    fn serving_pod(&self) -> Option<(String, String)> {
        let (target, container) = self.serving.as_ref()?;
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return None;
        }
        let pod = self.cluster.find_pod(target, Some(container)).ok()?;
        Some((pod.name, container.clone()))
    }

    /// Sees that the pod runs.
    ///
    /// # Errors
    /// When it cannot be made, or does not run in time.
    pub fn prepare(&self, context: &Context) -> Result<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = pod_name(&context.run);
        if known.as_deref() == Some(name.as_str()) && self.state(&name)?.is_some_and(|pod| runs(&pod)) {
            return Ok(name);
        }
        // Removed in the end though the wait for it may be in vain.
        *known = Some(name.clone());
        self.make(context, &name)?;
        Ok(name)
    }

    fn path(&self, name: &str) -> String {
        self.cluster.path("v1", "pods", Some(name))
    }

    fn state(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.cluster.get_if_there(&self.path(name))?)
    }

    /// Makes the pod unless it is there, and waits until it runs. One that ended is made anew.
    fn make(&self, context: &Context, name: &str) -> Result<()> {
        let began = std::time::Instant::now();
        let mut is_ours = false;
        let ended = until(context, "waiting for the pod that mounts the files", READY_MAX, || match self.state(name)? {
            None => {
                context.watch.see(Event::Note(&format!("making pod {name}, which mounts the files")));
                self.post(&context.run, name)?;
                is_ours = true;
                Ok(Look::Waiting(vec![format!("{name} was just made")]))
            }
            Some(pod) if runs(&pod) => Ok(Look::Done),
            // One that never ran, too: what hindered it may be mended in the workload that it is made from.
            Some(pod) if has_ended(&pod) || !is_ours && text(&pod, "/metadata/deletionTimestamp").is_empty() => {
                self.remove(name)?;
                Ok(Look::Waiting(vec![format!("{name} of an earlier attempt is removed")]))
            }
            Some(pod) => {
                let reason = why_not_ready(&pod).unwrap_or_else(|| format!("{name} is starting"));
                if began.elapsed() > CANNOT_START_MAX
                    && let Some(words) = cannot_start(&pod)
                {
                    return Err(Error::failed(format!("pod {name} cannot start: {words}")).hint("Mend that, then `resume`; or `undo`."));
                }
                Ok(Look::Waiting(vec![reason]))
            }
        })?;
        match ended {
            Ended::Well => Ok(()),
            Ended::Late(reasons) => {
                Err(Error::failed(format!("pod {name} does not run after {} s: {}", READY_MAX.as_secs(), reasons.join("; ")))
                    .hint("It mounts the volume of system-storage. Mend what hinders it, then `resume`; or `undo`."))
            }
        }
    }

    fn post(&self, run: &RunId, name: &str) -> Result<()> {
        let seen = look::workloads(&self.cluster)?;
        let mounting = |writer: Writer| {
            let mut all = seen.workloads().map(|(_, object)| object);
            all.find(|object| Writer::of(object) == Some(writer) && mounts(object, &self.mount_path))
        };
        let template = [Writer::SystemSidekiq, Writer::SystemApp].into_iter().find_map(mounting);
        let template = template.ok_or_else(|| {
            Error::failed(format!("neither system-sidekiq nor system-app mounts {}", self.mount_path))
                .hint("Is the file storage of this installation S3?")
        })?;
        let wanted = OneOff {
            name: name.to_owned(),
            container: CONTAINER,
            command: ["sh", "-c", IDLE].map(str::to_owned).to_vec(),
            labels: json!({OURS.0: OURS.1, RUN: run.as_str()}),
            seconds_max: SECONDS_MAX,
        };
        let object = pod(template, &wanted)?;
        match self.cluster.post(&self.cluster.path("v1", "pods", None), &object) {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            // The answer may have been lost, not the pod.
            Err(error) => match self.state(name) {
                Ok(Some(_)) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.cluster.delete(&self.path(name), &json!({"gracePeriodSeconds": 0})) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Remote for Volume {
    fn place(&self) -> String {
        "a pod that mounts system-storage".to_owned()
    }

    fn start(&self, context: &Context, program: &Program) -> Result<Box<dyn Process>> {
        if let Some((pod, container)) = self.serving_pod() {
            let target = Target::pod(self.cluster.namespace(), &pod);
            return self.cluster.remote(target, Some(&container)).start(context, program);
        }
        let name = self.prepare(context)?;
        self.cluster.remote(Target::pod(self.cluster.namespace(), &name), Some(CONTAINER)).start(context, program)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Some(name) = self.known.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It ends by itself otherwise.
            self.remove(&name).ok();
        }
    }
}

fn pod_name(run: &RunId) -> String {
    format!("threescale-backup-files-{}", run.short())
}

fn runs(pod: &Value) -> bool {
    let running = list(pod, "/status/containerStatuses")
        .iter()
        .any(|status| text(status, "/name") == CONTAINER && status.pointer("/state/running").is_some());
    running && text(pod, "/metadata/deletionTimestamp").is_empty()
}

fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn mounts(workload: &Value, path: &str) -> bool {
    let containers = list(workload, "/spec/template/spec/containers");
    containers.iter().any(|container| list(container, "/volumeMounts").iter().any(|mount| text(mount, "/mountPath") == path))
}

#[cfg(test)]
mod tests;
