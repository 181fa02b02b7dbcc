//! What people and programs read. Nothing is printed anywhere else.

mod commands_in_text;
mod errors;
mod events;
pub(crate) mod file;
mod format;
pub(crate) mod html;
mod progress;
mod question;
mod said;
mod standard_error;
mod table;
mod wrapping;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use plan::ports::{StopFlag, Watch};
pub(crate) use plan::words::bytes;
use plan::words::printable;
use plan::{Error, Result};
use secrecy::SecretString;
use serde::Serialize;

pub(crate) use errors::{error_json, error_text, print_error};
pub(crate) use format::{age, age_at, count, duration_ms, length, local_time, parse_bytes, rate};
pub(crate) use progress::Expected;
pub(crate) use said::TOLD;
pub(crate) use standard_error::LogLines;
pub(crate) use table::Table;

use crate::args::Global;
pub(crate) use commands_in_text::{commands_in, with_program};
use events::{Events, Told};
use said::{Listening, Said};
use standard_error::{Weight, tell};

/// Version of the JSON documents on standard output. Fields are added without a change; a field that changes its meaning or goes raises it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// How to print.
#[derive(Clone)]
pub(crate) struct Output {
    /// One JSON document on standard output instead of text.
    pub json: bool,
    quiet: bool,
    /// Nothing is told but the document.
    is_mute: bool,
    results: bool,
    /// For a command that is part of another.
    is_part: bool,
    said: Arc<Said>,
    /// How long the works take that are still to come, where there is a past.
    expected: Arc<Mutex<Expected>>,
    /// Raised by a signal: it ends a question.
    stop: StopFlag,
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct TextDocument<'a> {
    text: &'a str,
}

impl Output {
    /// # Errors
    /// When the file of `--events` cannot be opened, or two things would be printed into one another.
    pub(crate) fn new(global: &Global, stop: &StopFlag) -> Result<Self> {
        if global.json && global.events.as_deref() == Some(Path::new("-")) {
            return Err(Error::refused("--json and --events - would both write to standard output")
                .hint("Say `--events FILE`, or leave --json out: the last events hold the document."));
        }
        let events = global.events.as_deref().map(Events::open).transpose()?;
        let results = events.as_ref().is_none_or(|events| !events.is_standard_output);
        let said = Arc::new(Said::with(events));
        Ok(Self {
            json: global.json,
            quiet: global.quiet,
            is_mute: global.json,
            results,
            is_part: false,
            said,
            expected: Arc::default(),
            stop: stop.clone(),
        })
    }

    /// The same for commands that are part of another: their results are notes of that one, and only it prints a document.
    pub(crate) fn without_results(&self) -> Self {
        Self { json: false, results: false, is_part: true, ..self.clone() }
    }

    /// The same for commands whose documents are parts of something: nothing of it is printed.
    pub(crate) fn captured(&self) -> Self {
        Self { json: true, is_mute: true, results: true, is_part: true, said: Arc::default(), ..self.clone() }
    }

    /// The document that was captured, with what was warned of.
    pub(crate) fn take_document(&self) -> Result<Option<String>> {
        let document = self.said.document.lock().unwrap_or_else(PoisonError::into_inner).take();
        document.map(|document| self.with_warnings(&document)).transpose()
    }

    /// A result line on standard output, in text mode.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        match (self.results, self.json) {
            (true, true) => Ok(()),
            (true, false) => {
                tracing::info!(target: TOLD, "{text}");
                write_out(&format!("{}\n", in_terminal(&printable(&with_program(text)), table::terminal_columns())))
            }
            (false, _) => {
                self.note(text);
                Ok(())
            }
        }
    }

    /// A line that only accompanies the work: on standard error, and not when quiet. With `--json` warnings go into the document.
    pub(crate) fn note(&self, text: &str) {
        self.said.say(text);
        if !self.quiet && !self.is_mute {
            tell(Weight::of(text), &with_program(text));
        }
    }

    /// A line of another program of ours, on standard error: it was as quiet as it was told to be.
    #[expect(clippy::unused_self, reason = "nothing is printed but through it")]
    pub(crate) fn line_of_log(&self, text: &str) {
        tell(Weight::of(text), text);
    }

    /// A line of another program's result, on standard output.
    #[expect(clippy::unused_self, reason = "nothing is printed but through it")]
    pub(crate) fn raw_line(&self, text: &str) -> Result<()> {
        write_out(&format!("{}\n", printable(text)))
    }

    /// A text as it is (completions, a page of the manual); in JSON mode it is in a document.
    pub(crate) fn text(&self, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        if self.json { self.document(&TextDocument { text: &text }) } else { write_out(&text) }
    }

    /// The document of a command: printed in JSON mode when all is said, and told as an event.
    pub(crate) fn document<T: Serialize>(&self, body: &T) -> Result<()> {
        let document = Document { schema_version: SCHEMA_VERSION, body };
        let failed = |error| Error::failed("failed to write JSON").because(error);
        if self.said.events.is_some() && !self.is_part {
            self.said.tell(&Told::Result { document: serde_json::to_value(&document).map_err(failed)? });
        }
        if self.json {
            let text = serde_json::to_string_pretty(&document).map_err(failed)?;
            *self.said.document.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        Ok(())
    }

    /// Says that a command began.
    pub(crate) fn begin(&self, command: &str) {
        let program_version = env!("CARGO_PKG_VERSION");
        tracing::info!(version = program_version, "command {command} began");
        self.said.tell(&Told::Began { command, program_version });
    }

    /// Prints the document, or the error, and gives the exit code.
    pub(crate) fn end(&self, result: Result<ExitCode>) -> ExitCode {
        let printed = self.print_document();
        let (code, error) = match printed.and(result) {
            Ok(code) => (code, None),
            Err(error) => (ExitCode::from(error.class().exit_code()), Some(error)),
        };
        match &error {
            Some(error) => tracing::error!(target: TOLD, "{}", error.chain()),
            None => tracing::info!("the command ended: {code:?}"),
        }
        let number = number_of(code);
        if let Some(events) = &self.said.events {
            let document = error.as_ref().map(|error| errors::error_document(error, self.said.warned()));
            events.done(number, document.as_ref());
        }
        if let Some(error) = &error {
            print_error(error, self.json, self.said.warned());
        }
        code
    }

    /// With all that was warned of until now.
    fn print_document(&self) -> Result<()> {
        self.take_document()?.map_or(Ok(()), |document| write_out(&document))
    }

    fn with_warnings(&self, document: &str) -> Result<String> {
        let warned = serde_json::to_string(&self.said.warned()).map_err(|error| Error::failed("failed to write JSON").because(error))?;
        // The document is an object, and never an empty one: it has its version.
        let body = document.trim_end();
        let body = body.strip_suffix('}').unwrap_or(body).trim_end();
        Ok(format!("{body},\n  \"warned\": {warned}\n}}\n"))
    }

    /// Who watches the work: bars on a terminal that can draw them, else a line every few seconds.
    pub(crate) fn watch(&self) -> Arc<dyn Watch> {
        let can_draw = io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let shown: Option<Arc<dyn Watch>> = match (self.is_mute, self.quiet, can_draw) {
            (true, ..) => None,
            (_, true, _) => Some(Arc::new(progress::Quiet)),
            (_, _, true) => Some(Arc::new(progress::Bars::expecting(&self.expected))),
            _ => Some(Arc::new(progress::Lines::expecting(&self.expected))),
        };
        Arc::new(Listening { said: Arc::clone(&self.said), shown })
    }

    /// Says how long the works take that are to come, for who watches them.
    pub(crate) fn expect(&self, expected: Expected) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = expected;
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

/// `ExitCode` does not give its number away.
fn number_of(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap_or(u8::MAX)
}

/// A text for a terminal of that many columns; for a file or a pipe it is as it is.
fn in_terminal(text: &str, columns: Option<usize>) -> String {
    columns.map_or_else(|| text.to_owned(), |columns| wrapping::wrapped(text, columns))
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
