//! What people and programs read. Nothing is printed anywhere else.

mod errors;
pub(crate) mod file;
mod format;
pub(crate) mod html;
mod progress;
mod question;
mod table;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use plan::ports::{StopFlag, Watch};
use plan::words::printable;
use plan::{Error, Result};
use secrecy::SecretString;
use serde::Serialize;

pub(crate) use errors::{error_text, print_error};
pub(crate) use format::{age, age_at, bytes, count, duration_ms, length, local_time, parse_bytes, rate};
pub(crate) use table::Table;

use crate::args::Global;

/// Version of the JSON documents on standard output. Fields are added without a change; a field that changes its meaning or goes raises it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How to print.
#[derive(Clone)]
pub(crate) struct Output {
    /// One JSON document on standard output instead of text.
    pub json: bool,
    quiet: bool,
    results: bool,
    /// Raised by a signal: it ends a question.
    stop: StopFlag,
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl Output {
    pub(crate) fn new(global: &Global, stop: &StopFlag) -> Self {
        Self { json: global.json, quiet: global.quiet, results: true, stop: stop.clone() }
    }

    /// The same for commands that are part of another: their results are notes of that one, and only it prints a document.
    pub(crate) fn without_results(&self) -> Self {
        Self { json: false, quiet: self.quiet, results: false, stop: self.stop.clone() }
    }

    /// A result line on standard output, in text mode.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        match (self.results, self.json) {
            (true, true) => Ok(()),
            (true, false) => write_out(&format!("{}\n", printable(text))),
            (false, _) => {
                self.note(text);
                Ok(())
            }
        }
    }

    /// A line that only accompanies the work: on standard error, and not when quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // When standard error is gone there is nobody to tell.
            drop(writeln!(io::stderr().lock(), "{}", printable(text)));
        }
    }

    /// A line of another program of ours, on standard error: it was as quiet as it was told to be.
    #[expect(clippy::unused_self, reason = "nothing is printed but through it")]
    pub(crate) fn line_of_log(&self, text: &str) {
        drop(writeln!(io::stderr().lock(), "{}", printable(text)));
    }

    /// A line of another program's result, on standard output.
    #[expect(clippy::unused_self, reason = "nothing is printed but through it")]
    pub(crate) fn raw_line(&self, text: &str) -> Result<()> {
        write_out(&format!("{}\n", printable(text)))
    }

    /// The JSON document, in JSON mode.
    pub(crate) fn document<T: Serialize>(&self, body: &T) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let document = Document { schema_version: SCHEMA_VERSION, body };
        let text = serde_json::to_string_pretty(&document).map_err(|error| Error::failed("failed to write JSON").because(error))?;
        write_out(&format!("{text}\n"))
    }

    /// Who watches the work: bars on a terminal, else a line every few seconds.
    pub(crate) fn watch(&self) -> Arc<dyn Watch> {
        if self.quiet {
            Arc::new(progress::Quiet)
        } else if io::stderr().is_terminal() {
            Arc::new(progress::Bars::default())
        } else {
            Arc::new(progress::Lines::default())
        }
    }

    /// Asks for a secret, which is not shown while it is typed. `None` when nobody can be asked.
    ///
    /// # Errors
    /// [`plan::Class::Interrupted`] when a signal came instead of an answer.
    pub(crate) fn ask_secret(&self, question: &str) -> Result<Option<SecretString>> {
        question::ask_secret(question, &self.stop)
    }

    /// Asks a question that wants `yes`. `None` when nobody can be asked.
    ///
    /// # Errors
    /// [`plan::Class::Interrupted`] when a signal came instead of an answer.
    pub(crate) fn ask(&self, question: &str) -> Result<Option<bool>> {
        question::ask(question, &self.stop)
    }
}

/// Standard output; a reader that went away (`| head`) is not an error. Where both outputs come together in one log, each line of a result is marked.
fn write_out(text: &str) -> Result<()> {
    let text = match std::env::var(platforms::kubernetes::RESULT_MARK) {
        Ok(mark) if !mark.is_empty() => text.split_inclusive('\n').map(|line| format!("{mark}{line}")).collect(),
        _ => text.to_owned(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::failed("failed to write to standard output").because(error)),
        _ => Ok(()),
    }
}

/// Raw text (completions, the manual page).
pub(crate) fn write_raw(bytes: &[u8]) -> Result<()> {
    write_out(&String::from_utf8_lossy(bytes))
}
