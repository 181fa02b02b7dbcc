//! What is told, and the forms that services take.

use jiff::Timestamp;
use plan::words::printable;
use plan::{Class, Error, Result};
use serde::Serialize;
use serde_json::json;

use crate::output::{SCHEMA_VERSION, duration_ms};

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
        let took = duration_ms(finished_at.as_millisecond() - started_at.as_millisecond());
        let of = if installation.is_empty() { String::new() } else { format!(" of {installation}") };
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
        }
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
