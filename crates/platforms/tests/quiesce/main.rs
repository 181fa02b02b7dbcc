//! Writers, tasks and journals against a real cluster (`$KUBECONFIG`), in small installations of their own: the images are those of the test cluster.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod installation;
mod shelf;
mod tasks;
mod writers;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plan::ports::{Context, Event, Watch};

/// Everything that was told.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Watch for Told {
    fn see(&self, event: Event<'_>) {
        if let Event::Note(text) | Event::Warning(text) = event {
            eprintln!("    {text}");
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

impl Told {
    pub(crate) fn has(&self, part: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

/// A context of a run, and what it was told.
pub(crate) fn context(run: &str) -> (Context, Arc<Told>) {
    let told = Arc::new(Told::default());
    let watch = Arc::clone(&told) as Arc<dyn Watch>;
    (Context { watch, ..Context::new(run) }, told)
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(240), "not so after 240 s: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}
