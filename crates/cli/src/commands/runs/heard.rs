//! Whether anything was warned of: then the last sentence of a command does not say that all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::ids::RunId;
use plan::ports::{Event, Watch};
use plan::words::counted;

/// Passes on what is told, and counts the warnings.
pub(super) struct Heard {
    next: Arc<dyn Watch>,
    warnings: AtomicUsize,
}

impl Heard {
    pub(super) fn before(next: Arc<dyn Watch>) -> Arc<Self> {
        Arc::new(Self { next, warnings: AtomicUsize::new(0) })
    }

    /// The last sentence of an undo.
    pub(super) fn undone(&self, run: &RunId) -> String {
        match self.warnings.load(Ordering::Relaxed) {
            0 => format!("run {run} is undone: all is as it was before it"),
            warnings => format!(
                "run {run} is undone: the previous data is live again, but for what the {}",
                counted(warnings, "warning above says", "warnings above say")
            ),
        }
    }
}

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        if matches!(event, Event::Warning(_)) {
            self.warnings.fetch_add(1, Ordering::Relaxed);
        }
        self.next.see(event);
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
        assert_eq!(heard.undone(&run), "run r is undone: all is as it was before it");
        heard.see(Event::Warning("a definer is another one"));
        heard.see(Event::Warning("so is that"));
        assert_eq!(heard.undone(&run), "run r is undone: the previous data is live again, but for what the 2 warnings above say");
    }
}
