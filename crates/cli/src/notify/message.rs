//! What is told, and the forms that services take.

use jiff::Timestamp;
use plan::words::printable;
use plan::{Class, Error, Result};
use serde::Serialize;
use serde_json::json;

use crate::output::{SCHEMA_VERSION, commands_in, duration_ms, with_program};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    Failed,
    /// Done, with warnings.
    Warned,
    /// The first success after a failure.
    Recovered,
    Succeeded,
}

/// See the module. Never holds a secret: errors have none.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    schema_version: u32,
    event: Event,
    command: &'a str,
    /// Its configured name, else the namespace that was given; may be empty.
    installation: &'a str,
    host: &'a str,
    program_version: &'static str,
    started_at: Timestamp,
    finished_at: Timestamp,
    /// What failed, with its causes.
    error: Option<String>,
    /// More evidence, and the way out.
    hints: Vec<String>,
    exit_code: u8,
    /// All of it in a few lines.
    text: String,
    #[serde(skip)]
    took_ms: i64,
    /// How it ended, in a few words.
    #[serde(skip)]
    word: &'static str,
}

/// Whose the sets are, behind the name of a command; nothing where that is not known.
fn of_whom(installation: &str) -> String {
    if installation.is_empty() { String::new() } else { format!(" of {installation}") }
}

/// How it ended, in a few words.
fn short(event: Event, failure: Option<&Error>) -> &'static str {
    match (event, failure.map(Error::class)) {
        (_, Some(Class::Interrupted)) => "was interrupted",
        (Event::Failed, _) => "FAILED",
        (Event::Warned, _) => "is done, with warnings",
        (Event::Recovered, _) => "succeeded again",
        (Event::Succeeded, _) => "succeeded",
    }
}

impl<'a> Message<'a> {
    pub(super) fn new(
        event: Event,
        command: &'a str,
        installation: &'a str,
        host: &'a str,
        started_at: Timestamp,
        failure: Option<&Error>,
    ) -> Self {
        let finished_at = Timestamp::now();
        let exit_code = failure.map_or(if event == Event::Warned { 4 } else { 0 }, |error| error.class().exit_code());
        let hints = failure.map(|error| error.hints().to_vec()).unwrap_or_default();
        let error = failure.map(Error::chain);
        let took_ms = finished_at.as_millisecond() - started_at.as_millisecond();
        let took = duration_ms(took_ms);
        let of = of_whom(installation);
        let word = match (event, failure.map(Error::class)) {
            (_, Some(Class::Interrupted)) => "was interrupted",
            (Event::Failed, _) => "FAILED",
            (Event::Warned, _) => "is done, with warnings: the set would not go back wholly (`threescale-backup show latest`)",
            (Event::Recovered, _) => "succeeded again",
            (Event::Succeeded, _) => "succeeded",
        };
        let mut lines = vec![format!("threescale-backup {command}{of} {word} after {took} on {host}")];
        lines.extend(error.clone());
        lines.extend(hints.iter().cloned());
        let text = printable(&lines.join("\n")).into_owned();
        let program_version = env!("CARGO_PKG_VERSION");
        Self {
            schema_version: SCHEMA_VERSION,
            event,
            command,
            installation,
            host,
            program_version,
            started_at,
            finished_at,
            error,
            hints,
            exit_code,
            text,
            took_ms,
            word: short(event, failure),
        }
    }

    /// Of a mail: what, of whom, how it ended.
    pub(super) fn subject(&self) -> String {
        let of = of_whom(self.installation);
        printable(&format!("threescale-backup: {}{of} {} ({})", self.command, self.word, self.host)).into_owned()
    }

    /// A mail: what happened, what to do, the commands for it.
    pub(super) fn letter(&self) -> String {
        let of = of_whom(self.installation);
        let took = duration_ms(self.took_ms);
        let mut lines = vec![format!("{}{of} {} after {took} on {}.", self.command, self.word, self.host), String::new()];
        if let Some(error) = &self.error {
            lines.extend(["What failed:".to_owned(), String::new(), format!("    {}", error.replace('\n', "\n    ")), String::new()]);
        }
        if self.event == Event::Warned {
            lines.push("The set is there, and would not go back wholly: `show latest` says what of it.".to_owned());
            lines.push(String::new());
        }
        for hint in &self.hints {
            lines.extend([with_program(hint), String::new()]);
        }
        let commands = commands_in(&lines.join("\n"));
        if !commands.is_empty() {
            lines.extend(["To copy:".to_owned(), String::new()]);
            lines.extend(commands.iter().map(|command| format!("    {command}")));
            lines.push(String::new());
        }
        lines.push(format!("Begun {}, ended {}, exit code {}.", self.started_at, self.finished_at, self.exit_code));
        lines.push(format!(
            "threescale-backup {} on {}. [notify.email] of its configuration says who gets this.",
            self.program_version, self.host
        ));
        lines.iter().map(|line| format!("{}\n", line.split('\n').map(printable).collect::<Vec<_>>().join("\n"))).collect()
    }

    /// As a service takes it: `json`, `slack` (incoming webhook), `teams` (a card in a message of the type "Workflows" take).
    pub(super) fn body(&self, format: &str) -> Result<Vec<u8>> {
        let value = match format {
            // What Slack would take for a link or a call of everybody ("Formatting text", escaping).
            "slack" => json!({ "text": self.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;") }),
            "teams" => json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [{ "type": "TextBlock", "wrap": true, "text": self.text }],
                    },
                }],
            }),
            _ => serde_json::to_value(self).map_err(|error| Error::failed("failed to write the message").because(error))?,
        };
        serde_json::to_vec(&value).map_err(|error| Error::failed("failed to write the message").because(error))
    }
}
