//! What a command has said: its warnings, for its document; its events; the log.

use std::sync::{Arc, Mutex, PoisonError};

use plan::ports::{Event, Watch};

use super::events::{Events, Told};

/// A document holds so many warnings at most.
const WARNINGS_MAX: usize = 1000;
/// Lines of the log that a person who is not quiet sees anyway.
pub(crate) const TOLD: &str = "told";

/// Shared by all that print for one command.
#[derive(Default)]
pub(super) struct Said {
    warnings: Mutex<Vec<String>>,
    /// The document, printed when all is said.
    pub document: Mutex<Option<String>>,
    pub events: Option<Events>,
}

impl Said {
    pub(super) fn with(events: Option<Events>) -> Self {
        Self { events, ..Self::default() }
    }

    /// Passes a text on. One that begins with `warning: `, or `note: `, is remembered for the document.
    pub(super) fn say(&self, text: &str) {
        match text.strip_prefix("warning: ") {
            Some(warning) => self.warn(warning),
            None => {
                tracing::info!(target: TOLD, "{text}");
                self.tell(&Told::Note { text });
                if let Some(note) = text.strip_prefix("note: ") {
                    self.remember(note);
                }
            }
        }
    }

    fn warn(&self, text: &str) {
        tracing::warn!(target: TOLD, "{text}");
        self.tell(&Told::Warning { text });
        self.remember(text);
    }

    fn remember(&self, text: &str) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.len() < WARNINGS_MAX {
            warnings.push(text.to_owned());
        }
    }

    pub(super) fn tell(&self, told: &Told<'_>) {
        if let Some(events) = &self.events {
            events.tell(told);
        }
    }

    /// What was warned of.
    pub(super) fn warned(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches a run: remembers, logs, passes on, and shows.
pub(super) struct Listening {
    pub said: Arc<Said>,
    /// `None`: nothing but the document is shown.
    pub shown: Option<Arc<dyn Watch>>,
}

impl Watch for Listening {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Note(text) => self.said.say(text),
            Event::Warning(text) | Event::OfRecords(text) => self.said.warn(text),
            Event::Begin { data_set, verb, total_bytes } => tracing::info!(%data_set, ?verb, total_bytes, "work began"),
            Event::End { data_set, verb } => tracing::info!(%data_set, ?verb, "work ended"),
            Event::Step { number, of, action } => tracing::info!(step = number, of, "step began: {action}"),
            Event::StepEnd { number, of, done, action } => tracing::info!(step = number, of, done, "step ended: {action}"),
            Event::Advance { .. } => {}
        }
        if let Some(events) = &self.said.events {
            events.see(event);
        }
        if let Some(shown) = &self.shown {
            shown.see(event);
        }
    }
}
