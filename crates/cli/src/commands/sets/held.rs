//! What keeps a set from every `forget`: a protection, or a run that may still need it.

use std::collections::BTreeMap;

use plan::ids::{RunId, SetId};
use plan::needs;
use plan::ports::Repository;
use serde::Serialize;

use crate::app::App;

/// What keeps a set from every `forget`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Held {
    protected: bool,
    /// Why it is protected.
    note: Option<String>,
    /// Runs that may still need it.
    needed_by: Vec<RunId>,
}

impl Held {
    /// What holds each set. A record that cannot be read is told, and holds nothing here; `forget` refuses then.
    pub(crate) fn all(app: &App, repository: &dyn Repository) -> BTreeMap<SetId, Self> {
        let told = |error: plan::Error| app.output.note(&format!("warning: {}", error.chain()));
        let mut all: BTreeMap<SetId, Self> = BTreeMap::new();
        for (set, protection) in needs::protections(repository).map_err(told).unwrap_or_default() {
            let held = all.entry(set).or_default();
            held.protected = true;
            held.note = Some(protection.note).filter(|note| !note.is_empty());
        }
        for (run, need) in needs::needs(repository).map_err(told).unwrap_or_default() {
            need.sets.into_iter().for_each(|set| all.entry(set).or_default().needed_by.push(run.clone()));
        }
        all
    }

    /// ` (protected: before the move) (needed by run …)`.
    pub(crate) fn remark(&self) -> String {
        let protected = match (&self.note, self.protected) {
            (Some(note), _) => format!(" (protected: {note})"),
            (None, true) => " (protected)".to_owned(),
            (None, false) => String::new(),
        };
        self.needed_by.iter().fold(protected, |text, run| format!("{text} (needed by run {})", run.short()))
    }
}
