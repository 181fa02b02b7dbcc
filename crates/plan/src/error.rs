//! The one error type that crosses a port: what failed, the evidence, the way out.
//!
//! A source is kept and never repeated inside the message; the chain is printed in one place, by the command line.

use std::error::Error as StdError;
use std::fmt;

/// Result of everything behind a port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the error means for the run, and so for the exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Checked before anything was touched, or bad usage. Exit code 2.
    Refused,
    /// Cannot work as things are; `resume` or `undo` are possible. Exit code 1.
    Failed,
    /// The evidence does not fit: a person has to decide. Exit code 3.
    NeedsPerson,
    /// The same call may work later. Exit code 75.
    Transient,
    /// Stopped by a signal or by the operator. Exit code 130.
    Interrupted,
    /// No repository at the configured place. Exit code 10.
    NoRepository,
    /// Another run holds the lock. Exit code 11.
    Locked,
    /// The repository's password is wrong. Exit code 12.
    WrongPassword,
}

impl Class {
    /// The documented exit code of the program (`docs/exit-codes.md`).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Refused => 2,
            Self::NeedsPerson => 3,
            Self::NoRepository => 10,
            Self::Locked => 11,
            Self::WrongPassword => 12,
            Self::Transient => 75,
            Self::Interrupted => 130,
        }
    }
}

/// What failed (a lowercase fragment, no full stop), why, and how to get out of it.
///
/// Never holds a secret: callers strip passwords from addresses and statements before they get here.
pub struct Error {
    class: Class,
    what: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of a class, without a source.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), hints: Vec::new(), source: None }
    }

    /// [`Class::Failed`].
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Class::Failed, what)
    }

    /// [`Class::Refused`].
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Class::Refused, what)
    }

    /// [`Class::Transient`].
    pub fn transient(what: impl Into<String>) -> Self {
        Self::new(Class::Transient, what)
    }

    /// [`Class::NeedsPerson`].
    pub fn needs_person(what: impl Into<String>) -> Self {
        Self::new(Class::NeedsPerson, what)
    }

    /// [`Class::Interrupted`].
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(Class::Interrupted, "interrupted")
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a whole sentence: more evidence, or the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same error in another class.
    #[must_use]
    pub fn in_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Says what was being done when this error arose; class and hints stay.
    #[must_use]
    pub fn during(self, what: impl Into<String>) -> Self {
        let (class, hints) = (self.class, self.hints.clone());
        Self { class, what: what.into(), hints, source: Some(Box::new(Self { hints: Vec::new(), ..self })) }
    }

    /// What the error means for the run.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Sentences with more evidence or the way out, in the order they were added.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The message and its causes on one line, for journals and reports.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.class, self.chain())?;
        self.hints.iter().try_for_each(|hint| write!(f, " [{hint}]"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// Adds what was being done to a foreign error, making it [`Class::Failed`].
pub trait During<T> {
    /// `what` is a lowercase fragment that completes "failed to …".
    ///
    /// # Errors
    /// The error of `self`, with `what` as its message and the original as its source.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::failed(what()).because(error))
    }
}
