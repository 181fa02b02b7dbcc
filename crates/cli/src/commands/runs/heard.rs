//! Whether anything was warned of: then the last sentence of a command does not say that all is well. What was said before is not said again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plan::ids::RunId;
use plan::journal::Run;
use plan::ports::{Event, Watch};
use plan::words::counted;

/// Passes on what is told, each warning once, and keeps the warnings.
pub(super) struct Heard {
    next: Arc<dyn Watch>,
    warnings: Mutex<BTreeSet<String>>,
    /// Warnings that are about no data.
    of_records: Mutex<BTreeSet<String>>,
}

impl Heard {
    pub(super) fn before(next: Arc<dyn Watch>) -> Arc<Self> {
        Arc::new(Self { next, warnings: Mutex::default(), of_records: Mutex::default() })
    }

    fn warnings(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last sentence of an undo.
    pub(super) fn undone(&self, run: &Run) -> String {
        let kind = match (run.changes_rows(), run.merges()) {
            (true, merges) => Kind::Tenant { merges },
            (false, true) => Kind::Merge,
            (false, false) => Kind::Other,
        };
        undone(&run.plan.run, kind, self.warnings().len())
    }
}

/// What a run changed.
#[derive(Clone, Copy)]
enum Kind {
    /// What is of a tenant, and perhaps counters.
    Tenant { merges: bool },
    /// Keys that it put into live data.
    Merge,
    /// Whole data sets.
    Other,
}

fn undone(run: &RunId, kind: Kind, warnings: usize) -> String {
    let but = match warnings {
        0 => String::new(),
        warnings => format!(", but for what the {}", counted(warnings, "warning above says", "warnings above say")),
    };
    match kind {
        Kind::Tenant { merges } => {
            let counted = if merges { "; what was counted since stays" } else { "" };
            format!("run {run} is undone: what it changed of the tenant is as it was before it{but}{counted}")
        }
        Kind::Merge if warnings == 0 => format!("run {run} is undone: all that it put into the live data is taken back"),
        Kind::Merge => format!("run {run} is undone: what it put into the live data is taken back{but}"),
        Kind::Other if warnings == 0 => format!("run {run} is undone: all is as it was before it"),
        Kind::Other => format!("run {run} is undone: the previous data is live again{but}"),
    }
}

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        let is_new = match event {
            Event::Warning(text) => self.warnings().insert(text.to_owned()),
            Event::OfRecords(text) => self.of_records.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()),
            _ => true,
        };
        if is_new {
            self.next.see(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use plan::ports::Silent;

    use super::*;

    #[test]
    fn an_undo_that_warned_does_not_say_that_all_is_as_it_was() {
        let (heard, run) = (Heard::before(Arc::new(Silent)), RunId("r".to_owned()));
        heard.see(Event::Note("a note"));
        heard.see(Event::OfRecords("the journal was not copied"));
        let told = || undone(&run, Kind::Other, heard.warnings().len());
        assert_eq!(told(), "run r is undone: all is as it was before it");
        heard.see(Event::Warning("a definer is another one"));
        heard.see(Event::Warning("so is that"));
        heard.see(Event::Warning("so is that"));
        assert_eq!(told(), "run r is undone: the previous data is live again, but for what the 2 warnings above say");
    }
}
