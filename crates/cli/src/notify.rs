//! Tells somebody how a command ended: a command, a webhook, a service that expects to hear of every backup. Whatever becomes of that harms nothing, and is told.

mod before;
mod message;

use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use herald::Address;
use jiff::Timestamp;
use plan::error::During;
use plan::{Error, Result};
use secrecy::SecretString;

use crate::app::App;
use crate::args::Command;
use crate::config::NotifySection;
use before::Before;
use message::{Event, Message};

/// How long the command that is told may take.
const COMMAND_SECONDS_MAX: u64 = 60;

/// Who is told how one command ends.
pub(crate) struct Notify<'a> {
    app: &'a App,
    command: &'static str,
    section: NotifySection,
    before: Before,
    installation: String,
    started_at: Timestamp,
}

impl<'a> Notify<'a> {
    /// When somebody is to be told of this command. What stands in the way is told, and of a configuration that cannot be read the command itself tells.
    pub(crate) fn of(app: &'a App, command: &Command) -> Option<Self> {
        let name = told_of(command)?;
        let config = app.config().ok()?;
        let section = config.notify().inspect_err(|error| warn(app, "nobody will be told how this ends", error)).ok()??;
        let global = app.global();
        let named = global.sets_of.clone().or_else(|| config.installation_name()).or_else(|| global.namespace.clone());
        let installation = named.unwrap_or_default();
        let before = Before::of(app, &config, name, &installation);
        let notify = Self { app, command: name, section, before, installation, started_at: Timestamp::now() };
        notify.ping(Some("start"));
        Some(notify)
    }

    /// Tells it.
    pub(crate) fn end(self, result: &Result<ExitCode>) {
        let event = match result {
            Err(_) => Event::Failed,
            Ok(code) if *code != ExitCode::SUCCESS => Event::Warned,
            Ok(_) if self.before.has_failed() => Event::Recovered,
            Ok(_) => Event::Succeeded,
        };
        self.ping((event == Event::Failed).then_some("fail"));
        if event != Event::Succeeded || self.section.on.as_deref() == Some("everything") {
            let host = self.app.host();
            let message = Message::new(event, self.command, &self.installation, &host, self.started_at, result.as_ref().err());
            self.tell("[notify] command", self.section.command.as_ref().map(|command| by_command(command, &message)));
            self.tell("[notify] webhook-url", self.section.webhook_url.as_ref().map(|url| self.by_webhook(url, &message)));
        }
        self.before.keep(event == Event::Failed);
    }

    fn by_webhook(&self, url: &SecretString, message: &Message<'_>) -> Result<()> {
        let body = message.body(self.section.webhook_format.as_deref().unwrap_or("json"))?;
        self.address(url)?.post("application/json", body)
    }

    /// Tells the service that expects to hear of every backup.
    fn ping(&self, part: Option<&str>) {
        let Some(url) = self.section.ping_url.as_ref().filter(|_| self.command == "backup") else { return };
        let ping = || {
            let address = self.address(url)?;
            part.map_or_else(|| Ok(None), |part| address.below(part).map(Some))?.unwrap_or(address).post("text/plain", Vec::new())
        };
        self.tell("[notify] ping-url", Some(ping()));
    }

    fn address(&self, url: &SecretString) -> Result<Address> {
        Address::parse(url, self.section.ca_file.as_ref().map(PathBuf::from))
    }

    fn tell(&self, target: &str, told: Option<Result<()>>) {
        if let Some(Err(error)) = told {
            warn(self.app, &format!("{target} was not told"), &error);
        }
    }
}

fn warn(app: &App, what: &str, error: &Error) {
    app.output.note(&format!("warning: {what}: {}", error.chain()));
}

/// The commands whose end somebody waits for who does not see it.
const fn told_of(command: &Command) -> Option<&'static str> {
    match command {
        Command::Backup(_) => Some("backup"),
        Command::Check(_) => Some("check"),
        Command::Forget(_) => Some("forget"),
        Command::Rehearse(_) => Some("rehearse"),
        Command::Restore(args) if !args.dry_run => Some("restore"),
        Command::Resume(_) => Some("resume"),
        Command::Undo(_) => Some("undo"),
        Command::Verify(_) => Some("verify"),
        Command::Status(_) => Some("status"),
        _ => None,
    }
}

/// Gives the message to a command. One that does not end is ended.
fn by_command(command: &str, message: &Message<'_>) -> Result<()> {
    let what = || "run it".to_owned();
    let mut child = children::command("/bin/sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().during(what)?;
    let body = message.body("json")?;
    if let Some(mut input) = child.stdin.take() {
        // A command that does not read is told by its exit status alone; a message is smaller than a pipe.
        drop(input.write_all(&body));
    }
    let end = Instant::now() + Duration::from_secs(COMMAND_SECONDS_MAX);
    loop {
        if let Some(status) = child.try_wait().during(what)? {
            return if status.success() { Ok(()) } else { Err(Error::failed(format!("it ended with {status}"))) };
        }
        if Instant::now() > end {
            drop(child.kill());
            drop(child.wait());
            return Err(Error::failed(format!("it did not end within {COMMAND_SECONDS_MAX} s")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
