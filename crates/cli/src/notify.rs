//! Tells somebody how a command ended: a command, a webhook, mailboxes, a service that expects to hear of every backup. Whatever becomes of that harms nothing, and is told.

mod before;
mod email;
mod message;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use herald::Address;
use jiff::Timestamp;
use plan::error::During;
use plan::{Class, Error, Result};
use secrecy::ExposeSecret;

use crate::app::App;
use crate::args::Command;
use crate::config::Config;
use before::Before;
use message::{Event, Message};

/// How long the command that is told may take.
const COMMAND_SECONDS_MAX: u64 = 60;

/// Who is told how one command ends.
pub(crate) struct Notify<'a> {
    app: &'a App,
    config: Config,
    command: &'static str,
    /// Of a backup.
    ping: Option<Address>,
    before: Before,
    installation: String,
    started_at: Timestamp,
}

impl<'a> Notify<'a> {
    /// When somebody is to be told of this command. What stands in the way is told, and of a configuration that cannot be read the command itself tells.
    pub(crate) fn of(app: &'a App, command: &Command) -> Option<Self> {
        let name = told_of(command)?;
        let config = app.config().ok().filter(|config| config.has("notify"))?;
        let global = app.global();
        let named = global.sets_of.clone().or_else(|| config.installation_name()).or_else(|| global.namespace.clone());
        let installation = named.unwrap_or_default();
        let before = Before::of(app, &config, name, &installation);
        let ping = if name == "backup" { address(&config, PING) } else { None };
        let ping = ping.and_then(|ping| ping.inspect_err(|error| not_told(app, PING, error)).ok());
        let notify = Self { app, config, command: name, ping, before, installation, started_at: Timestamp::now() };
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
        // Of a backup that found another one under way that one tells.
        if result.as_ref().err().map(Error::class) != Some(Class::Locked) {
            self.ping((event == Event::Failed).then_some("fail"));
        }
        if event != Event::Succeeded || self.config.notify_text(SECTION, "on") == Some("everything") {
            let host = self.app.host();
            let message = Message::new(event, self.command, &self.installation, &host, self.started_at, result.as_ref().err());
            if let Some(command) = self.config.notify_text(SECTION, COMMAND) {
                self.told(COMMAND, by_command(command, &message));
            }
            if let Some(address) = address(&self.config, WEBHOOK) {
                let body = message.body(self.config.notify_text(SECTION, "webhook-format").unwrap_or("json"));
                self.told(WEBHOOK, address.and_then(|address| address.post("application/json", body?)));
            }
            if let Some(mail) = email::mail(&self.config) {
                self.told(email::NAME, mail.and_then(|mail| mail.send(&message.subject(), &message.letter())));
            }
        }
        self.before.keep(event == Event::Failed);
    }

    /// Tells the service that expects to hear of every backup.
    fn ping(&self, part: Option<&str>) {
        let Some(address) = &self.ping else { return };
        let post = |address: &Address| address.post("text/plain", Vec::new());
        self.told(PING, part.map_or_else(|| post(address), |part| post(&address.below(part)?)));
    }

    fn told(&self, target: &str, told: Result<()>) {
        if let Err(error) = told {
            not_told(self.app, target, &error);
        }
    }
}

const SECTION: &str = "notify";
const COMMAND: &str = "command";
const WEBHOOK: &str = "webhook-url";
const PING: &str = "ping-url";
const CA_FILE: &str = "ca-file";

/// The address that a key names.
fn address(config: &Config, key: &str) -> Option<Result<Address>> {
    let url = config.notify_value(SECTION, key)?;
    let ca_file = config.notify_value(SECTION, CA_FILE).transpose();
    Some(url.and_then(|url| Address::parse(&url, ca_file?.map(|path| PathBuf::from(path.expose_secret())))))
}

/// What is wrong with `[notify]`, as far as it can be known without asking anybody.
pub(crate) fn unusable(config: &Config) -> Vec<Error> {
    let check = |key: &str| {
        let checked = address(config, key)?.and_then(|address| address.check());
        checked.err().map(|error| error.during(format!("[notify] {key} cannot be used")))
    };
    let of_email = email::mail(config).and_then(|mail| mail.and_then(|mail| mail.check()).err());
    let of_email = of_email.map(|error| error.during(format!("[notify] {} cannot be used", email::NAME)));
    [WEBHOOK, PING].into_iter().filter_map(check).chain(of_email).collect()
}

fn not_told(app: &App, target: &str, error: &Error) {
    warn(app, &format!("[notify] {target} was not told"), error);
}

fn warn(app: &App, what: &str, error: &Error) {
    app.output.note(&format!("warning: {what}: {}", error.chain()));
}

/// The commands whose end somebody waits for who does not see it.
const fn told_of(command: &Command) -> Option<&'static str> {
    match command {
        Command::Backup(_) => Some("backup"),
        Command::Check(_) => Some("check"),
        Command::Copy(args) if !args.dry_run => Some("copy"),
        Command::Forget(_) => Some("forget"),
        Command::Rehearse(_) => Some("rehearse"),
        Command::Renew(args) if !args.dry_run => Some("renew"),
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
    // In a process group of its own: all of it ends when it takes too long.
    let mut shell = children::command("/bin/sh");
    let mut child = shell.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).spawn().during(what)?;
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
            children::end_group(&mut child);
            return Err(Error::failed(format!("it did not end within {COMMAND_SECONDS_MAX} s")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
