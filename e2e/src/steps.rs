//! Numbered steps of a case, printed as they begin, with their times.

use std::time::Instant;

/// The steps of one case.
#[derive(Debug)]
pub struct Steps {
    case: &'static str,
    number: u32,
    began: Instant,
    step_began: Instant,
}

impl Steps {
    /// Begins a case.
    #[must_use]
    pub fn of(case: &'static str) -> Self {
        eprintln!("\n== {case}");
        Self { case, number: 0, began: Instant::now(), step_began: Instant::now() }
    }

    /// The next step begins.
    pub fn step(&mut self, what: &str) {
        self.end_step();
        self.number += 1;
        eprintln!("   {:>2}. {what}", self.number);
    }

    /// Something worth reading within a step.
    pub fn note(&self, what: &str) {
        eprintln!("       {what}");
    }

    /// What the program printed.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            self.note(line);
        }
    }

    fn end_step(&mut self) {
        if self.number > 0 {
            eprintln!("       {:.1} s", self.step_began.elapsed().as_secs_f64());
        }
        self.step_began = Instant::now();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.end_step();
        let verdict = if std::thread::panicking() { "FAILED in this step" } else { "passed" };
        eprintln!("== {}: {verdict} after {:.0} s", self.case, self.began.elapsed().as_secs_f64());
    }
}
