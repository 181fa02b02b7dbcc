//! Platform `direct`: the writers are stopped and started by commands of the operator's own, run by `sh -c`.
//!
//! Their output is shown when they fail. Secrets do not belong in them: they are the operator's, and appear in the process list.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plan::ports::{Context, Event, Writers};
use plan::{Error, Result};

/// Writers handled by commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandWriters {
    /// Stops them; may be run when they are stopped.
    pub stop: String,
    /// Starts them; may be run when they run.
    pub start: String,
    /// Exits with 0 when they are stopped, with 1 when they are not. Asked after `stop` until it says so.
    pub stopped: Option<String>,
    /// How long to wait for `stopped`, in seconds.
    pub wait_seconds_max: u64,
}

/// How often `stopped` is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);

impl Writers for CommandWriters {
    fn stop(&self, context: &Context) -> Result<()> {
        context.watch.see(Event::Note("stopping the writers"));
        let began = Instant::now();
        succeed("stop", &self.stop)?;
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

    fn start(&self, context: &Context) -> Result<()> {
        context.watch.see(Event::Note("starting the writers"));
        succeed("start", &self.start)
    }

    fn stopped(&self, _context: &Context) -> Result<Option<bool>> {
        let Some(command) = &self.stopped else { return Ok(None) };
        let output = run("stopped", command)?;
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

fn succeed(name: &str, command: &str) -> Result<()> {
    let output = run(name, command)?;
    if output.status.success() { Ok(()) } else { Err(failed(name, &output)) }
}

fn run(name: &str, command: &str) -> Result<std::process::Output> {
    let output = Command::new("/bin/sh").arg("-c").arg(command).stdin(Stdio::null()).output();
    output.map_err(|error| Error::failed(format!("failed to run [writers] {name}")).because(error))
}

fn failed(name: &str, output: &std::process::Output) -> Error {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" | ");
    let error = Error::failed(format!("[writers] {name} ended with {}", output.status));
    if tail.is_empty() { error } else { error.hint(format!("It said: {tail}")) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use plan::ids::RunId;
    use plan::ports::{Silent, StopFlag};

    use super::*;

    fn context() -> Context {
        Context { run: RunId("r".into()), workers: 1, watch: Arc::new(Silent), stop: StopFlag::default() }
    }

    fn writers(folder: &std::path::Path) -> CommandWriters {
        let path = folder.display();
        CommandWriters {
            stop: format!("rm {path}/running; touch {path}/asked"),
            start: format!("touch {path}/running"),
            stopped: Some(format!("test ! -e {path}/running")),
            wait_seconds_max: 5,
        }
    }

    #[test]
    fn they_are_stopped_and_started() {
        let folder = tempfile::tempdir().unwrap();
        let writers = writers(folder.path());
        writers.start(&context()).unwrap();
        assert_eq!(writers.stopped(&context()).unwrap(), Some(false));
        writers.stop(&context()).unwrap();
        assert_eq!(writers.stopped(&context()).unwrap(), Some(true));
    }

    #[test]
    fn a_failing_command_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let error = CommandWriters { start: "echo no pods >&2; exit 7".into(), ..writers(folder.path()) }.start(&context()).unwrap_err();
        assert!(error.to_string().contains("exit status: 7"), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("no pods")));
    }

    #[test]
    fn writers_that_do_not_go_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let stubborn =
            CommandWriters { stopped: Some("exit 1".into()), wait_seconds_max: 0, stop: "true".into(), ..writers(folder.path()) };
        let error = stubborn.stop(&context()).unwrap_err();
        assert!(error.to_string().contains("still run"), "{error}");
    }
}
