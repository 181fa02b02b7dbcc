//! Running a task's pod to its end.

use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use plan::ports::{Context, Event};
use plan::{Error, Result};
use serde_json::{Value, json};

use super::super::request::LogOptions;
use super::super::writers::pods::{cannot_start, told, why_not_ready, why_still_there};
use super::super::writers::wait::{Ended, Look, until};
use super::super::writers::who::Writer;
use super::super::writers::workload::{text, uid};
use super::log::{last_words, masked, progress};
use super::pod::{CONTAINER, Outcome, Rake, is_running, outcome, pod_name, task_pod};
use super::{KubernetesTasks, look};

/// Lines of a log that are looked at.
const TAIL: u32 = 20;
/// Bytes of a log that are looked at.
const TAIL_BYTES: u64 = 64 * 1024;
/// How long the log is waited for.
const TAIL_MAX: Duration = Duration::from_secs(15);
/// How long an image may be out of reach before it is an error.
const CANNOT_START_MAX: Duration = Duration::from_secs(60);
/// How much longer than its own deadline a pod is waited for.
const DEADLINE_SLACK: Duration = Duration::from_secs(60);

impl KubernetesTasks {
    /// Runs a task, or waits for the one that this run began before a crash.
    pub(super) fn run(&self, context: &Context, rake: Rake) -> Result<()> {
        let pod = pod_name(rake, &context.run);
        match self.find_earlier(context, &pod)? {
            Some(Outcome::Ended(0, _)) => context.watch.see(Event::Note(&format!("rake {rake} has ended well before"))),
            Some(Outcome::GoesOn) => context.watch.see(Event::Note(&format!("rake {rake} goes on in pod {pod}"))),
            Some(_) | None => {
                context.watch.see(Event::Note(&format!("running rake {rake} in pod {pod}")));
                self.make(context, rake, &pod)?;
            }
        }
        self.watch(context, rake, &pod)?;
        let options = json!({"propagationPolicy": "Background"});
        match self.cluster.delete(&self.path(&pod), &options) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            // The task is done; what is left is a finished pod.
            Err(error) => {
                context.watch.see(Event::Warning(&format!("pod {pod} is done and could not be removed: {error}")));
                Ok(())
            }
        }
    }

    fn path(&self, pod: &str) -> String {
        self.cluster.path("v1", "pods", Some(pod))
    }

    /// A pod of an earlier attempt: waited for when it goes on or ended well, removed when it failed.
    fn find_earlier(&self, context: &Context, pod: &str) -> Result<Option<Outcome>> {
        let Some(object) = self.cluster.get_if_there(&self.path(pod))? else { return Ok(None) };
        let is_leaving = !text(&object, "/metadata/deletionTimestamp").is_empty();
        let found = outcome(&object);
        // One that never ran is made anew: what hindered it may be mended in the workload that it is made from.
        let never_ran = found == Outcome::GoesOn && !is_running(&object);
        if !is_leaving && !never_ran && matches!(found, Outcome::GoesOn | Outcome::Ended(0, _)) {
            return Ok(Some(found));
        }
        let options = json!({"propagationPolicy": "Background", "preconditions": {"uid": uid(&object)}});
        match self.cluster.delete(&self.path(pod), &options) {
            Ok(_) => {}
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        let max = Duration::from_secs(self.options.wait_seconds_max);
        let ended = until(context, "waiting for an earlier task's pod to go", max, || {
            let now = self.cluster.get_if_there(&self.path(pod))?.filter(|now| uid(now) == uid(&object));
            Ok(now.map_or(Look::Done, |now| Look::Waiting(vec![why_still_there(&now)])))
        })?;
        match ended {
            Ended::Well => Ok(None),
            Ended::Late(reasons) => {
                let error = Error::failed(format!("pod {pod} of an earlier attempt does not go"));
                Err(told(error, &reasons).hint("Delete it by hand, then `resume`."))
            }
        }
    }

    fn make(&self, context: &Context, rake: Rake, pod: &str) -> Result<()> {
        let seen = look::workloads(&self.cluster)?;
        let is = |writer: Writer| seen.workloads().map(|(_, object)| object).find(|object| Writer::of(object) == Some(writer));
        let template = is(Writer::SystemSidekiq)
            .or_else(|| is(Writer::SystemApp))
            .ok_or_else(|| Error::failed(format!("there is no system-sidekiq or system-app whose image could run {rake}")))?;
        let object = task_pod(template, rake, &context.run, self.options.task_seconds_max)?;
        match self.cluster.post(&self.cluster.path("v1", "pods", None), &object) {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            // The answer may have been lost, not the pod.
            Err(error) => match self.cluster.get_if_there(&self.path(pod)) {
                Ok(Some(_)) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// Waits for the end of a task.
    fn watch(&self, context: &Context, rake: Rake, pod: &str) -> Result<()> {
        let began = Instant::now();
        let max = Duration::from_secs(self.options.task_seconds_max) + DEADLINE_SLACK;
        let mut was_running = false;
        let mut shown = None;
        let ended = until(context, &format!("rake {rake}"), max, || {
            let object = self.cluster.get_if_there(&self.path(pod))?.ok_or_else(|| {
                Error::failed(format!("pod {pod} was deleted before rake {rake} had ended")).hint("`resume` runs it again.")
            })?;
            match outcome(&object) {
                Outcome::Ended(0, _) => return Ok(Look::Done),
                Outcome::Ended(status, reason) => return Err(self.failed(rake, pod, &format!("exit status {status}, {reason}"))),
                Outcome::Lost(reason) => return Err(self.failed(rake, pod, &reason)),
                Outcome::GoesOn => {}
            }
            was_running |= is_running(&object);
            if !was_running {
                self.check_start(rake, pod, &object, began.elapsed())?;
                return Ok(Look::Waiting(vec![format!("its pod is not running yet: {}", why_not_ready(&object).unwrap_or_default())]));
            }
            if let Some(line) = self.tail(pod).as_deref().and_then(progress) {
                shown = Some(line);
            }
            Ok(Look::Waiting(shown.clone().into_iter().collect()))
        })?;
        match ended {
            Ended::Well => {
                let last = self.tail(pod).as_deref().and_then(progress).map(|line| format!(": {line}")).unwrap_or_default();
                context.watch.see(Event::Note(&format!("rake {rake} ended well{last}")));
                Ok(())
            }
            Ended::Late(_) => Err(self.failed(rake, pod, &format!("still running after {} seconds", self.options.task_seconds_max))),
        }
    }

    /// A pod that will not start is an error before all of its time is up.
    fn check_start(&self, rake: Rake, pod: &str, object: &Value, waited: Duration) -> Result<()> {
        let is_late = waited > Duration::from_secs(self.options.wait_seconds_max);
        let reason = match cannot_start(object).filter(|_| waited > CANNOT_START_MAX) {
            Some(reason) => reason,
            None if is_late => why_not_ready(object).unwrap_or_default(),
            None => return Ok(()),
        };
        Err(Error::failed(format!("pod {pod} for rake {rake} does not start"))
            .hint(format!("{reason}."))
            .hint("It is made as system-sidekiq's own pods are. Delete it when the cause is gone, then `resume`."))
    }

    fn failed(&self, rake: Rake, pod: &str, how: &str) -> Error {
        let error = Error::failed(format!("rake {rake} failed ({})", masked(how)));
        let words = self.tail(pod).map(|log| last_words(&log)).unwrap_or_default();
        let error = words.into_iter().fold(error, |error, line| error.hint(format!("It said: {line}")));
        error.hint(format!(
            "Pod {pod} is kept until the next attempt: `kubectl logs {pod} -c {CONTAINER}` shows all. `resume` runs the task again; it may be repeated."
        ))
    }

    /// The last lines of the task's log, as far as they can be had soon: they are evidence, not the result.
    fn tail(&self, pod: &str) -> Option<String> {
        let options = LogOptions { container: Some(CONTAINER.to_owned()), follow: false, tail_lines: Some(TAIL) };
        let (cluster, pod) = (self.cluster.hastily(), pod.to_owned());
        let (sender, receiver) = mpsc::channel();
        // In a thread of its own: an API server that stops in mid-answer shall not stop the wait for the task.
        thread::spawn(move || {
            let read = || {
                let mut bytes = Vec::new();
                cluster.log(&pod, &options).ok()?.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            };
            sender.send(read()).ok();
        });
        receiver.recv_timeout(TAIL_MAX).ok().flatten()
    }
}

#[cfg(test)]
mod tests;
