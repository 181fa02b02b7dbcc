//! Starting the writers of a group as they were noted, and waiting until they are ready.

use plan::ports::{Context, Event, WriterGroup};
use plan::{Error, Result};
use serde_json::Value;

use super::KubernetesWriters;
use super::look::{pods, workloads};
use super::note::{Holder, Note};
use super::patch::to_start;
use super::pods::{running_for, told, why_not_ready};
use super::wait::{Ended, Look, until};
use super::workload::{Workload, is_ready, list, number, replicas, text, written_by};

/// A workload that shall be ready: how many of it, and whether an autoscaler may choose another number.
pub(super) type Wanted<'a> = (&'a Workload, u64, bool);

impl KubernetesWriters {
    pub(super) fn start_group(&self, context: &Context, note: &Note, group: WriterGroup) -> Result<()> {
        let writers = note.of_group(group);
        if writers.is_empty() {
            return Ok(());
        }
        // Before the workloads: an operator that still reads 0 would undo what follows.
        self.let_go_of(note, |one| one.writer.group() == group, false)?;
        self.let_come(note, |writer| writer.group() == group, false)?;
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        for noted in writers {
            let Some(object) = self.look_at(&noted.workload)? else {
                missing(context, note, &noted.workload)?;
                continue;
            };
            let number = note.number(noted);
            if let Some(patch) = to_start(&object, number, noted.autoscaler.is_some()) {
                context.watch.see(Event::Note(&format!("starting {number} of {}", noted.workload)));
                self.patch(&noted.workload, &patch)?;
            }
            wanted.push((&noted.workload, number, noted.autoscaler.is_some()));
        }
        self.wait_ready(context, group.as_str(), &wanted)
    }

    /// Writers that waited for data which is not there any more wait again: nothing is started.
    pub(super) fn wait_again(&self, context: &Context, note: &Note) -> Result<()> {
        for noted in &note.writers {
            let Some(object) = self.look_at(&noted.workload)? else { continue };
            if let Some(patch) = to_start(&object, noted.replicas, false) {
                self.patch(&noted.workload, &patch)?;
            }
        }
        self.let_operator_go(context, note)
    }

    /// Waits until these workloads are ready.
    pub(super) fn wait_ready(&self, context: &Context, what: &str, wanted: &[Wanted<'_>]) -> Result<()> {
        let wanted: Vec<_> = wanted.iter().filter(|(_, number, _)| *number > 0).copied().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut corrected = false;
        let ended = until(context, &format!("waiting for {what} to be ready"), self.wait_max(), || {
            let (seen, mut reasons) = (workloads(&self.cluster)?, Vec::new());
            for (workload, number, is_free) in &wanted {
                let Some(object) = seen.find(workload) else {
                    reasons.push(format!("{workload} is not there"));
                    continue;
                };
                if replicas(object) != *number && !(*is_free && replicas(object) > 0) {
                    let by = written_by(object, &["f:spec", "f:replicas"]).map(|who| format!(" by {who}")).unwrap_or_default();
                    let how = format!("{workload} was scaled to {}{by} instead of {number}", replicas(object));
                    if corrected {
                        return Err(Error::failed(how).hint("Let the one who does it be, or hold it; then `resume`."));
                    }
                    // Once is normal: the operator may have read the APIManager just before it was put back.
                    corrected = true;
                    if let Some(patch) = to_start(object, *number, *is_free) {
                        self.patch(workload, &patch)?;
                    }
                    reasons.push(how);
                } else if !is_ready(object) {
                    let refused = refused(object).map(|why| format!("; its pods are refused: {why}")).unwrap_or_default();
                    reasons.push(format!("{workload}: {} of {} ready{refused}", ready(object), replicas(object)));
                }
            }
            Ok(if reasons.is_empty() { Look::Done } else { Look::Waiting(reasons) })
        })?;
        match ended {
            Ended::Well => Ok(()),
            Ended::Late(reasons) => Err(self.not_ready(what, &wanted, reasons)),
        }
    }

    /// The error, with what the pods and their events say.
    fn not_ready(&self, what: &str, wanted: &[Wanted<'_>], mut reasons: Vec<String>) -> Error {
        let error = Error::failed(format!("not ready after {} seconds: {what}", self.options.wait_seconds_max));
        // More evidence, if it can be had: what failed is known already.
        if let (Ok(seen), Ok(pods)) = (workloads(&self.cluster), pods(&self.cluster)) {
            let objects = wanted.iter().filter_map(|(workload, _, _)| seen.find(workload)).filter(|object| !is_ready(object));
            for pod in objects.flat_map(|object| running_for(&pods, object)) {
                let Some(why) = why_not_ready(pod) else { continue };
                let event = self.last_event(pod).map(|event| format!("; last event: {event}")).unwrap_or_default();
                reasons.push(format!("{why}{event}"));
            }
        }
        told(error, &reasons).hint("See why they do not start; then `resume`, or `undo`.")
    }

    fn last_event(&self, pod: &Value) -> Option<String> {
        let query = format!("?fieldSelector=involvedObject.uid%3D{}&limit=50", text(pod, "/metadata/uid"));
        let found = self.cluster.get(&format!("{}{query}", self.cluster.path("v1", "events", None))).ok()?;
        let at = |event: &Value| [text(event, "/lastTimestamp"), text(event, "/eventTime")].concat();
        let last = list(&found, "/items").iter().max_by_key(|event| at(event))?;
        Some(format!("{}: {}", text(last, "/reason"), text(last, "/message").trim()))
    }
}

/// Why the server makes no pods for a workload: a quota, a webhook, pod security.
fn refused(object: &Value) -> Option<&str> {
    let failure = list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == "ReplicaFailure")?;
    Some(text(failure, "/message")).filter(|message| !message.is_empty() && text(failure, "/status") == "True")
}

fn ready(object: &Value) -> u64 {
    number(object, "/status/readyReplicas")
}

/// A writer that is not there any more cannot be started. The operator makes it anew when it is let go.
fn missing(context: &Context, note: &Note, workload: &Workload) -> Result<()> {
    if matches!(note.holder, Holder::Operator { .. }) {
        context.watch.see(Event::Warning(&format!("{workload} is gone: the operator has to make it anew when it is let go")));
        return Ok(());
    }
    Err(Error::failed(format!("{workload} is gone and cannot be started"))
        .hint("It was there when the writers were noted, and there is no operator here that makes it anew. Make it, then `resume`."))
}
