//! Programs that run beside a store: in a container of a pod.

use std::io::{Read, Write};

use super::Context;
use crate::Result;

/// A place where programs run beside a store. Streams are whole or an error: a truncated, reset or stalled one never looks like a finished one.
///
/// The place has a POSIX shell, `cat`, `head`, `tee` and `sha256sum`: nothing else is taken for granted.
pub trait Remote: Send + Sync {
    /// Where it is, for people: `pod system-app-1-abcde, container system-master`.
    fn place(&self) -> String;

    /// Starts a program. Arguments are visible in the process list of the place: never a secret; environment is given over the stream, before the
    /// program starts, and is not visible there.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when it is not allowed, [`crate::Class::Transient`] when the place cannot be reached.
    fn start(&self, context: &Context, program: &Program) -> Result<Box<dyn Process>>;
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program and its arguments; a script goes as `["sh", "-c", script, "name", argument…]`.
    pub command: Vec<String>,
    /// Environment variables to add. May hold secrets.
    pub environment: Vec<(String, secrecy::SecretString)>,
    /// Whether bytes will be written to its standard input; without, its standard input is empty.
    pub takes_input: bool,
}

impl Program {
    /// A script for the place's `sh`, with its arguments (`$1`, `$2`…).
    #[must_use]
    pub fn script(script: &str, arguments: &[&str]) -> Self {
        let head = ["sh", "-c", script, "threescale-backup"];
        Self { command: head.iter().chain(arguments).map(|text| (*text).to_owned()).collect(), ..Self::default() }
    }

    /// The same, fed from here.
    #[must_use]
    pub fn with_input(mut self) -> Self {
        self.takes_input = true;
        self
    }
}

/// A running program. Dropping it ends it, as far as the place allows, and never makes its streams look finished.
pub trait Process: Send {
    /// Its standard input, once; `None` when the program takes none.
    fn input(&mut self) -> Option<Box<dyn Input>>;

    /// Its standard output, once. The reader gives an error, never an end, when the stream broke, stalled, or does not have the length and digest
    /// that the source side found. Must be read to its end before [`Process::finish`].
    fn output(&mut self) -> Option<Box<dyn Read + Send>>;

    /// Waits for its end.
    ///
    /// # Errors
    /// When how it ended cannot be known. An exit status other than 0 is no error here.
    fn finish(self: Box<Self>) -> Result<Ended>;
}

/// The way into a program's standard input.
pub trait Input: Write + Send {
    /// Says that all was written. Dropping the input without it makes the program's run an error: it must not take a part for the whole.
    ///
    /// # Errors
    /// When what was written is not known to have arrived.
    fn end(self: Box<Self>) -> Result<()>;
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit status.
    pub status: i32,
    /// The beginning of what it said on standard error (64 KiB at most). May hold names of files, never secrets that the program was given.
    pub said: String,
}

impl Ended {
    /// Makes an exit status other than 0 an error, with the program's own words.
    ///
    /// # Errors
    /// [`crate::Class::Failed`].
    pub fn success(self, what: impl Into<String>) -> Result<Self> {
        if self.status == 0 {
            return Ok(self);
        }
        let error = crate::Error::failed(format!("{} (exit status {})", what.into(), self.status));
        Err(if self.said.trim().is_empty() { error } else { error.hint(format!("It said: {}", self.said.trim())) })
    }
}
