//! Stopping the writers: held first, all scaled to 0, waited for until their pods are gone, and looked at again for who comes back.

use std::time::{Duration, Instant};

use plan::ports::{Context, Event};
use plan::{Error, Result};
use serde_json::{Value, json};

use super::KubernetesWriters;
use super::look::{pods, workloads};
use super::note::{Holder, Note, NotedWriter, Seen};
use super::patch::to_stop;
use super::pods::{HOOK, is_active, is_of_job, is_task, running_for, told, why_still_there};
use super::wait::{Ended, Look, until};
use super::workload::{Workload, name, number, replicas, uid, written_by};

/// How often somebody may raise a writer again before it counts as a fight that is lost. Once is normal: the operator may have been under way when it
/// was held.
const RAISED_MAX: u32 = 3;
/// How much longer than its grace period a pod may take to go.
const GRACE_SLACK: Duration = Duration::from_secs(60);

impl KubernetesWriters {
    pub(super) fn stop_all(&self, context: &Context, note: &Note) -> Result<()> {
        self.hold(context, note)?;
        self.end_tasks(&pods(&self.cluster)?)?;
        if note.coming.is_some() {
            self.end_hook()?;
        }
        let seen = workloads(&self.cluster)?;
        let grace = longest_grace(note, &seen);
        let max = if grace < self.wait_max() { self.wait_max() } else { grace + GRACE_SLACK };
        let mut scaled_at = self.scale_down(context, note, &seen)?;
        let mut raised = 0;
        let ended = until(context, "waiting for writers to go", max, || {
            let seen = workloads(&self.cluster)?;
            let back = came_back(note, &seen);
            if !back.is_empty() {
                raised += 1;
                if raised >= RAISED_MAX {
                    return Err(lost(&back));
                }
                context.watch.see(Event::Warning(&format!("scaled to 0 once more: {}", back.join("; "))));
                scaled_at = self.scale_down(context, note, &seen)?;
                return Ok(Look::Waiting(back));
            }
            let left = still_there(note, &seen, &pods(&self.cluster)?);
            let settled = scaled_at.elapsed() >= self.settle(note);
            Ok(match (left.is_empty(), settled) {
                (true, true) => Look::Done,
                (true, false) => Look::Waiting(vec!["all are gone; does anybody bring them back?".to_owned()]),
                (false, _) => Look::Waiting(left),
            })
        })?;
        match ended {
            Ended::Well => Ok(()),
            Ended::Late(reasons) => {
                let error = Error::failed(format!("writers are still there after {} seconds", max.as_secs()));
                Err(told(error, &reasons)
                    .hint("Nothing was cut over. See why they do not go (a finalizer, a lost node), then `resume`; or `undo`."))
            }
        }
    }

    /// Stops those that make jobs, before all others. Who is not gone in time is told: it is waited for again when all are stopped.
    pub(super) fn stop_makers(&self, context: &Context, note: &Note) -> Result<()> {
        self.hold(context, note)?;
        let makers = Note { writers: note.writers.iter().filter(|noted| noted.writer.makes_jobs()).cloned().collect(), ..note.clone() };
        self.scale_down(context, &makers, &workloads(&self.cluster)?)?;
        let ended = until(context, "waiting for those that make jobs to go", self.wait_max(), || {
            let left = still_there(&makers, &workloads(&self.cluster)?, &pods(&self.cluster)?);
            Ok(if left.is_empty() { Look::Done } else { Look::Waiting(left) })
        })?;
        if let Ended::Late(reasons) = ended {
            let text =
                format!("those that make jobs are still there after {} seconds: {}", self.options.wait_seconds_max, reasons.join("; "));
            context.watch.see(Event::Warning(&text));
        }
        Ok(())
    }

    /// With the operator gone there is nobody left to wait for; else it takes a moment until one sees whether somebody fights back.
    fn settle(&self, note: &Note) -> Duration {
        let seconds = if matches!(note.holder, Holder::Operator { .. }) { 0 } else { self.options.settle_seconds };
        Duration::from_secs(seconds)
    }

    /// Scales all to 0 that are not, in the order of the note.
    fn scale_down(&self, context: &Context, note: &Note, seen: &Seen) -> Result<Instant> {
        let runs = |noted: &&NotedWriter| seen.find(&noted.workload).is_some_and(|object| replicas(object) > 0);
        let names: Vec<_> = note.writers.iter().filter(runs).map(|noted| noted.workload.name.as_str()).collect();
        if !names.is_empty() {
            context.watch.see(Event::Note(&format!("stopping {}", names.join(", "))));
        }
        for (workload, noted_uid, were) in held(note) {
            let Some(object) = seen.find(workload) else { continue };
            if uid(object) != noted_uid {
                context.watch.see(Event::Note(&format!("{workload} was made anew since it was noted")));
            }
            if let Some(patch) = to_stop(object, were, &context.run) {
                self.patch(workload, &patch)?;
            }
        }
        Ok(Instant::now())
    }

    /// Ends the Job with which a release after 2.14 prepares the database before System's first start, where it goes on or fails: who is let go makes it anew, over the
    /// restored data.
    fn end_hook(&self) -> Result<()> {
        let path = self.cluster.path("batch/v1", "jobs", Some(HOOK));
        match self.cluster.delete(&path, &json!({"propagationPolicy": "Background"})) {
            Ok(_) => Ok(()),
            // One that ended writes no more; one that goes on is waited for.
            Err(error) if error.is_not_found() || error.is_forbidden() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends tasks of an earlier attempt: they write, and what they did is of no use after the cut-over that follows.
    fn end_tasks(&self, pods: &[Value]) -> Result<()> {
        for pod in pods.iter().filter(|pod| is_task(pod)) {
            let options = json!({"propagationPolicy": "Background", "preconditions": {"uid": uid(pod)}});
            match self.cluster.delete(&self.cluster.path("v1", "pods", Some(name(pod))), &options) {
                Ok(_) => {}
                // Gone, or another one of that name: then it is not of before.
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// All that must be at 0: who would start the writers, then the writers. With its uid and number as noted.
fn held(note: &Note) -> impl Iterator<Item = (&Workload, &str, u64)> {
    let operator = match &note.holder {
        Holder::Operator { workload, uid, replicas } => Some((workload, uid.as_str(), *replicas)),
        Holder::Nobody | Holder::ApiManager { .. } => None,
    };
    operator.into_iter().chain(note.writers.iter().map(|noted| (&noted.workload, noted.uid.as_str(), noted.replicas)))
}

/// What somebody raised, with who it was.
fn came_back(note: &Note, seen: &Seen) -> Vec<String> {
    let raised = held(note).filter_map(|(workload, ..)| seen.find(workload)).filter(|object| replicas(object) > 0);
    raised
        .map(|object| {
            let by = written_by(object, &["f:spec", "f:replicas"]).map(|who| format!(" by {who}")).unwrap_or_default();
            format!("{} was scaled to {}{by}", name(object), replicas(object))
        })
        .collect()
}

/// The longest time that a pod of the writers is given to end by itself.
fn longest_grace(note: &Note, seen: &Seen) -> Duration {
    let objects = note.writers.iter().filter_map(|noted| seen.find(&noted.workload));
    Duration::from_secs(objects.map(|object| number(object, "/spec/template/spec/terminationGracePeriodSeconds")).max().unwrap_or(0))
}

/// Pods that still run, with the reason.
fn still_there(note: &Note, seen: &Seen, pods: &[Value]) -> Vec<String> {
    let of_held = held(note).filter_map(|(workload, ..)| seen.find(workload)).flat_map(|object| running_for(pods, object));
    let of_tasks = pods.iter().filter(|pod| (is_task(pod) || note.coming.is_some() && is_of_job(pod, HOOK)) && is_active(pod));
    of_held.chain(of_tasks).map(why_still_there).collect()
}

fn lost(back: &[String]) -> Error {
    let error = Error::failed(format!("somebody starts the writers again ({RAISED_MAX} times)"));
    told(error, back).hint(
        "Nothing was cut over. Pause whatever scales them up (the operator, a GitOps controller, a person), then `resume`; or `undo`.",
    )
}
