//! Platform `direct`: the writers are stopped and started by commands of the operator's own, run by `sh -c`.
//!
//! Their output is shown when they fail. Secrets do not belong in them: they are the operator's, and appear in the process list.
//!
//! The commands know no numbers and no order: nothing is noted, all writers are stopped at once, and they are started at once, with the last group.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Context, Event, Noted, WriterGroup, Writers};
use plan::{Error, Result};

/// Writers handled by commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandWriters {
    /// Stops them; may be run when they are stopped.
    pub stop: String,
    /// Stops those that make jobs for the others (system-app, backend-listener, backend-cron); may be run when they are stopped.
    pub stop_makers: Option<String>,
    /// Starts them; may be run when they run.
    pub start: String,
    /// Exits with 0 when they are stopped, with 1 when they are not. Asked after `stop` until it says so.
    pub stopped: Option<String>,
    /// How long each command may take, and how long to wait for `stopped`, in seconds.
    pub wait_seconds_max: u64,
}

/// How often `stopped` is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often a running command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The group with which the one command that starts all is run: when it comes, every data set is in its place.
const LAST: WriterGroup = WriterGroup::Zync;

impl Writers for CommandWriters {
    /// Nothing to note: the operator's commands know what they stop.
    fn note(&self, _context: &Context, _data_sets: &[DataSetName]) -> Result<Noted> {
        Ok(Noted(serde_json::Value::Null))
    }

    fn stop(&self, context: &Context, _noted: &Noted) -> Result<()> {
        context.watch.see(Event::Note("stopping the writers"));
        let began = Instant::now();
        self.succeed(context, "stop", &self.stop)?;
        while self.stopped(context)? == Some(false) {
            context.stop.check()?;
            if began.elapsed() > Duration::from_secs(self.wait_seconds_max) {
                return Err(Error::failed(format!("the writers still run {} seconds after [writers] stop", self.wait_seconds_max))
                    .hint("[writers] stopped says so. Stop them by hand, then `resume`; or `undo`."));
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    fn stop_makers_of_jobs(&self, context: &Context, _noted: &Noted) -> Result<bool> {
        let Some(command) = &self.stop_makers else { return Ok(false) };
        context.watch.see(Event::Note("stopping those that make jobs"));
        self.succeed(context, "stop-makers", command).map(|()| true)
    }

    /// One command starts all: it is run once, for the last group, and the groups before it have nothing to do.
    fn start(&self, context: &Context, _noted: &Noted, group: WriterGroup) -> Result<()> {
        if group != LAST {
            return Ok(());
        }
        context.watch.see(Event::Note("starting the writers"));
        self.succeed(context, "start", &self.start)
    }

    /// Nobody was held.
    fn release(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }

    fn stopped(&self, context: &Context) -> Result<Option<bool>> {
        let Some(command) = &self.stopped else { return Ok(None) };
        let output = self.run(context, "stopped", command)?;
        match output.status.code() {
            Some(0) => Ok(Some(true)),
            Some(1) => Ok(Some(false)),
            _ => Err(failed("stopped", &output).hint("It must exit with 0 when the writers are stopped, and with 1 when they are not.")),
        }
    }

    fn can_stop(&self) -> bool {
        true
    }
}

impl CommandWriters {
    fn succeed(&self, context: &Context, name: &str, command: &str) -> Result<()> {
        let output = self.run(context, name, command)?;
        if output.status.success() { Ok(()) } else { Err(failed(name, &output)) }
    }

    /// Runs a command in a process group of its own, and ends the group when the command takes too long or the run shall stop.
    fn run(&self, context: &Context, name: &str, command: &str) -> Result<Output> {
        let what = || format!("failed to run [writers] {name}");
        // Its output goes to a file: a pipe that nobody reads would make a talkative command hang.
        let mut said = tempfile::tempfile().during(what)?;
        let (stdout, stderr) = (said.try_clone().during(what)?, said.try_clone().during(what)?);
        let mut shell = children::command("/bin/sh");
        shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let mut child = shell.spawn().during(what)?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().during(what)? {
                break status;
            }
            let is_late = began.elapsed() > Duration::from_secs(self.wait_seconds_max);
            if is_late || context.stop.is_raised() {
                children::end_group(&mut child);
                context.stop.check()?;
                return Err(Error::failed(format!("[writers] {name} did not end within {} seconds", self.wait_seconds_max))
                    .hint("It was ended. Look at the command, or raise [writers] wait-seconds-max."));
            }
            thread::sleep(LOOK_EVERY);
        };
        let mut text = Vec::new();
        said.seek(SeekFrom::Start(0)).and_then(|_| said.read_to_end(&mut text)).during(what)?;
        Ok(Output { status, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

/// How a command ended, and what it said.
struct Output {
    status: ExitStatus,
    text: String,
}

fn failed(name: &str, output: &Output) -> Error {
    let lines: Vec<_> = output.text.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" | ");
    let error = Error::failed(format!("[writers] {name} ended with {}", output.status));
    if tail.is_empty() { error } else { error.hint(format!("It said: {tail}")) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn context() -> Context {
        Context::new("r")
    }

    fn writers(folder: &std::path::Path) -> CommandWriters {
        let path = folder.display();
        CommandWriters {
            stop: format!("rm {path}/running; touch {path}/asked"),
            stop_makers: None,
            start: format!("touch {path}/running"),
            stopped: Some(format!("test ! -e {path}/running")),
            wait_seconds_max: 5,
        }
    }

    fn start(writers: &CommandWriters) -> Result<()> {
        writers.start(&context(), &Noted(serde_json::Value::Null), LAST)
    }

    #[test]
    fn they_are_stopped_and_started() {
        let folder = tempfile::tempdir().unwrap();
        let writers = writers(folder.path());
        let noted = writers.note(&context(), &DataSetName::ALL).unwrap();
        start(&writers).unwrap();
        assert_eq!(writers.stopped(&context()).unwrap(), Some(false));
        writers.stop(&context(), &noted).unwrap();
        assert_eq!(writers.stopped(&context()).unwrap(), Some(true));
        writers.release(&context(), &noted).unwrap();
    }

    #[test]
    fn the_start_command_runs_once_with_the_last_group() {
        let folder = tempfile::tempdir().unwrap();
        let starts = folder.path().join("starts");
        let counting = CommandWriters { start: format!("echo x >>{}", starts.display()), ..writers(folder.path()) };
        for group in WriterGroup::ALL {
            assert!(!starts.exists());
            counting.start(&context(), &Noted(serde_json::Value::Null), group).unwrap();
        }
        assert_eq!(std::fs::read_to_string(starts).unwrap(), "x\n");
    }

    #[test]
    fn a_failing_command_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let failing = CommandWriters { start: "echo no pods >&2; exit 7".into(), ..writers(folder.path()) };
        let error = start(&failing).unwrap_err();
        assert!(error.to_string().contains("exit status: 7"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("no pods")));
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let hanging =
            CommandWriters { wait_seconds_max: 0, start: format!("sleep 30 && touch {} & wait", mark.display()), ..writers(folder.path()) };
        let began = Instant::now();
        let error = start(&hanging).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
        let raised = context();
        raised.stop.raise();
        let error = CommandWriters { wait_seconds_max: 60, ..hanging }.start(&raised, &Noted(serde_json::Value::Null), LAST).unwrap_err();
        assert_eq!(error.class(), plan::Class::Interrupted);
    }

    #[test]
    fn writers_that_do_not_go_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let stubborn =
            CommandWriters { stopped: Some("exit 1".into()), wait_seconds_max: 1, stop: "true".into(), ..writers(folder.path()) };
        let error = stubborn.stop(&context(), &Noted(serde_json::Value::Null)).unwrap_err();
        assert!(error.to_string().contains("still run"), "{error}");
    }
}
