//! Following a Job to its end: its pod's log as it comes, and what became of it.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Class, Error, Result};
use serde_json::Value;

use super::super::request::LogOptions;
use super::made::CONTAINER;
use super::seen::{Stage, grace_seconds, stage};
use super::{Said, SubmittedJob};

/// How often the Job is looked at while there is nothing to read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the stop flag is looked at.
const BREATH: Duration = Duration::from_millis(200);
/// How often a person is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long an image may be out of reach before that is the end.
const HOPELESS_MAX: Duration = Duration::from_secs(60);
/// How long a log that is at its end may say so later than its container.
const LOG_SLACK: Duration = Duration::from_secs(30);
/// How long a running program may be silent before its log is asked for anew: a connection can be dead without a word.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How often the rest of an ended program's log is asked for.
const READ_MAX: u32 = 3;
/// Lines that wait for the terminal.
const LINES: usize = 256;
/// What is left of a line without an end.
const LINE_LONGEST: usize = 64 * 1024;

/// Where the log stands.
#[derive(Default)]
struct Shown {
    pod: String,
    lines: u64,
    /// Whether the last look came to the log's end.
    is_whole: bool,
    /// Whether an earlier pod of the Job was lost.
    was_replaced: bool,
}

/// What comes of a log.
enum Read {
    Line(String),
    End,
}

impl SubmittedJob {
    /// Follows the Job to its end, telling its log and what it waits for; gives the exit status of the program in it.
    ///
    /// When `stop` is raised, the program in the cluster is asked to stop as if the signal were its own.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when the API server cannot be had for long: the Job goes on. [`plan::Class::Failed`] when the program ended otherwise than by
    /// its own exit: killed, evicted, never started. [`plan::Class::Interrupted`] when it was stopped.
    pub fn follow(&self, stop: &StopFlag, see: &mut dyn FnMut(Said<'_>)) -> Result<u64> {
        let (began, mut told, mut shown) = (Instant::now(), Instant::now(), Shown::default());
        let mut stopping: Option<(Instant, Duration)> = None;
        loop {
            let job = self.cluster.get_if_there(&self.path()).map_err(|error| self.lost_sight(error.into()))?;
            let Some(job) = job else { return Err(self.gone(stopping.is_some())) };
            if stop.is_raised() && stopping.is_none() {
                see(Said::Note("stopping: the program in the cluster is asked to stop; once more, and it is left to itself"));
                self.ask_to_stop().map_err(|error| self.lost_sight(error.into()))?;
                stopping = Some((Instant::now(), Duration::from_secs(grace_seconds(&job)) + LOG_SLACK));
            }
            match stage(&job, &self.pods().map_err(|error| self.lost_sight(error))?) {
                Stage::Ended { pod, status, reason } => {
                    let is_whole = self.read_rest(&pod, &mut shown, stop, see);
                    if shown.was_replaced && status == u64::from(Class::Refused.exit_code()) {
                        return Err(self.lost("its pod was lost, and the one that took its place refused"));
                    }
                    let status = self.ended(status, &reason, stopping.is_some())?;
                    return if is_whole || status != 0 { Ok(status) } else { Err(self.result_lost()) };
                }
                Stage::Runs { pod } => shown.is_whole = self.read(&pod, &mut shown, stop, stopping.is_some(), see),
                Stage::Lost { reason } if stopping.is_none() => return Err(self.lost(&reason)),
                // Its pod is gone, with its exit status.
                Stage::Lost { .. } | Stage::Waits { .. } if stopping.is_some() => return Err(self.gone(true)),
                Stage::Lost { reason } | Stage::Waits { reason, is_hopeless: false } => {
                    if told.elapsed() >= TELL_EVERY {
                        told = Instant::now();
                        see(Said::Note(&format!("Job {} waits: {reason}", self.name)));
                    }
                }
                Stage::Waits { reason, is_hopeless: true } => {
                    if began.elapsed() > HOPELESS_MAX {
                        return Err(self.never_began(&reason));
                    }
                }
            }
            if stopping.is_some_and(|(since, max)| since.elapsed() > max) {
                return Err(Error::interrupted().hint(format!("Job {} does not stop; it is left to itself.", self.name)));
            }
            breathe(stop, stopping.is_some());
        }
    }

    fn pods(&self) -> Result<Vec<Value>> {
        Ok(self.cluster.list(&self.cluster.path("v1", "pods", None), Some(&format!("job-name={}", self.name)))?)
    }

    /// Tells the log from where it was left until it ends or breaks, or somebody wants to stop; whether it was read to its end.
    fn read(&self, pod: &str, shown: &mut Shown, stop: &StopFlag, is_stopping: bool, see: &mut dyn FnMut(Said<'_>)) -> bool {
        if shown.pod != pod {
            if !shown.pod.is_empty() {
                see(Said::Note(&format!("pod {} is gone; Kubernetes started {pod} for the same Job", shown.pod)));
            }
            *shown = Shown { pod: pod.to_owned(), was_replaced: !shown.pod.is_empty(), ..Shown::default() };
        }
        let lines = self.lines(pod, shown.lines);
        let (mut said, mut looked) = (Instant::now(), Instant::now());
        loop {
            match lines.recv_timeout(BREATH) {
                Ok(Read::Line(line)) => {
                    shown.lines += 1;
                    see(Said::Line(&line));
                    (said, looked) = (Instant::now(), Instant::now());
                }
                Ok(Read::End) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if stop.is_raised() && !is_stopping => return false,
                Err(RecvTimeoutError::Timeout) if looked.elapsed() > LOG_SLACK => {
                    looked = Instant::now();
                    if said.elapsed() > SILENCE_MAX || !self.runs_in(pod) {
                        return false;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Tells what is left of an ended program's log, and whether all of it came. Of one that was read to its end nothing is missed when its pod is gone.
    fn read_rest(&self, pod: &str, shown: &mut Shown, stop: &StopFlag, see: &mut dyn FnMut(Said<'_>)) -> bool {
        let was_whole = shown.is_whole && shown.pod == pod;
        let is_whole = was_whole || (0..READ_MAX).any(|_| self.read(pod, shown, stop, true, see));
        if !is_whole {
            see(Said::Note("the end of the log could not be read"));
        }
        is_whole
    }

    /// The program ended well, and what it said did not arrive: nobody may take that for an empty answer.
    fn result_lost(&self) -> Error {
        Error::transient(format!("the program in the cluster ended well, and its result did not arrive: the log of Job {} could not be read to its end", self.name))
            .hint("The node may have lost the log. A command that only looks can be called again.")
            .hint("What one that changes something did is done: `threescale-backup list --in-cluster` and `threescale-backup runs --in-cluster` show it.")
    }

    fn runs_in(&self, pod: &str) -> bool {
        self.pods().is_ok_and(|pods| stage(&Value::Null, &pods) == Stage::Runs { pod: pod.to_owned() })
    }

    /// The lines of the log after the first `skip`, from a thread of their own: reading one blocks for as long as there is none.
    fn lines(&self, pod: &str, skip: u64) -> Receiver<Read> {
        let (sender, receiver) = sync_channel(LINES);
        let (cluster, pod) = (self.cluster.hastily(), pod.to_owned());
        thread::spawn(move || {
            let options = LogOptions { container: Some(CONTAINER.to_owned()), follow: true, ..LogOptions::default() };
            let Ok(log) = cluster.log(&pod, &options) else { return };
            let (mut log, mut number, mut line) = (BufReader::new(log), 0, Vec::new());
            loop {
                line.clear();
                // Half a line at a connection's end is read again, whole.
                match log.read_until(b'\n', &mut line) {
                    Ok(0) => {
                        sender.send(Read::End).ok();
                        return;
                    }
                    Ok(_) if line.last() == Some(&b'\n') => {}
                    _ => return,
                }
                number += 1;
                line.truncate(LINE_LONGEST);
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']).to_owned();
                if number > skip && sender.send(Read::Line(text)).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn ended(&self, status: u64, reason: &str, was_stopped: bool) -> Result<u64> {
        if was_stopped {
            self.remove().ok();
        }
        // 128 and a signal's number: it did not end by itself.
        if status != 130 && status > 128 {
            let error = Error::failed(format!("the program in the cluster was killed ({reason}, exit status {status})"));
            let error = if reason == "OOMKilled" { error.hint("Raise the memory limit of its container in the CronJob.") } else { error };
            return Err(error.hint("`threescale-backup runs --in-cluster` shows its run, `resume --in-cluster` goes on with it."));
        }
        Ok(status)
    }

    fn lost(&self, reason: &str) -> Error {
        Error::failed(format!("Job {} ended without the program: {reason}", self.name))
            .hint("`threescale-backup runs --in-cluster` shows its run, `resume --in-cluster` goes on with it.")
    }

    fn gone(&self, was_stopped: bool) -> Error {
        if was_stopped {
            self.remove().ok();
            return Error::interrupted().hint("`threescale-backup runs --in-cluster` shows what is left to `resume` or `undo`.");
        }
        Error::failed(format!("Job {} was deleted under way", self.name))
            .hint("`threescale-backup runs --in-cluster` shows its run, `resume --in-cluster` goes on with it.")
    }

    fn never_began(&self, reason: &str) -> Error {
        self.remove().ok();
        Error::refused(format!("Job {} does not start", self.name))
            .hint(format!("{reason}."))
            .hint("Nothing was touched. Correct the CronJob, for example its image, and submit again.")
    }

    fn lost_sight(&self, error: Error) -> Error {
        error.during(format!("lost sight of Job {}", self.name)).hint(format!(
            "The Job goes on without this terminal. `kubectl logs -f job/{} -n {} -c {CONTAINER}` follows it.",
            self.name,
            self.cluster.namespace()
        ))
    }
}

/// A pause that the stop flag ends.
fn breathe(stop: &StopFlag, is_stopping: bool) {
    let until = Instant::now() + LOOK_EVERY;
    while Instant::now() < until && (is_stopping || !stop.is_raised()) {
        thread::sleep(BREATH);
    }
}

#[cfg(test)]
mod tests;
