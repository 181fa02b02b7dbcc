//! The one error type that crosses a port: what failed, the evidence, the way out.
//!
//! A source is kept and never repeated inside the message; the chain is printed in one place, by the command line.

use std::error::Error as StdError;
use std::fmt;
use std::io;

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
    gave_way: bool,
}

impl Error {
    /// An error of a class, without a source.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), hints: Vec::new(), source: None, gave_way: false }
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

    /// [`Class::Transient`]: the work was given up so that the application does not wait for it. It may be done again when what the application wanted is done.
    pub fn giving_way(what: impl Into<String>) -> Self {
        Self { gave_way: true, ..Self::transient(what) }
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
        let (class, hints, gave_way) = (self.class, self.hints.clone(), self.gave_way);
        Self { class, what: what.into(), hints, source: Some(Box::new(Self { hints: Vec::new(), ..self })), gave_way }
    }

    /// Whether the work was given up for the application ([`Error::giving_way`]).
    #[must_use]
    pub const fn gave_way(&self) -> bool {
        self.gave_way
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
        causes(self)
    }
}

/// The message of any error and those of its causes, each once.
#[must_use]
pub fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
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

/// The error of ours that is the cause of a foreign one, however deep: a reader behind `std::io` or a library hands it through, and its class is what the
/// failure means.
#[must_use]
pub fn inside<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return Some(own);
        }
        // `io::Error` names the source of what it wraps, not what it wraps.
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

/// Adds what was being done to an error. A foreign error becomes [`Class::Failed`]; one of ours, or one that wraps one of ours, keeps its class and its hints.
pub trait During<T> {
    /// `what` is a lowercase fragment that completes "failed to …".
    ///
    /// # Errors
    /// The error of `self`, with `what` as its message and the original as its source.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

/// One form for all: what was to be done, behind "failed to".
fn failed_to(what: String) -> String {
    const FORM: &str = "failed to ";
    if what.starts_with(FORM) { what } else { format!("{FORM}{what}") }
}

impl<T, E: StdError + Send + Sync + 'static> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let of_own = |own: &Error| (own.class, own.hints.clone(), own.gave_way);
            let (class, hints, gave_way) = inside(&error).map_or((Class::Failed, Vec::new(), false), of_own);
            let mut source: Box<dyn StdError + Send + Sync> = Box::new(error);
            if let Some(own) = source.downcast_mut::<Error>() {
                // They are told once, by the outermost.
                own.hints.clear();
            }
            Error { class, what: failed_to(what()), hints, source: Some(source), gave_way }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn unreachable() -> Error {
        Error::transient("no answer").hint("Try later.")
    }

    #[test]
    fn an_error_of_ours_keeps_its_class_and_its_hints_through_everything_that_wraps_it() {
        let direct: Result<()> = During::during(Err(unreachable()), || "read".to_owned());
        let in_io: Result<()> = Err(io::Error::other(unreachable())).during(|| "read".to_owned());
        let twice: Result<()> = Err(io::Error::other(io::Error::other(unreachable()))).during(|| "read".to_owned());
        let under = Err::<(), _>(io::Error::other(unreachable().during("read a chunk"))).during(|| "read".to_owned());
        for outcome in [direct, in_io, twice, under] {
            let error = outcome.unwrap_err();
            assert_eq!((error.class(), error.hints()), (Class::Transient, &["Try later.".to_owned()][..]), "{error:?}");
            assert!(error.to_string() == "failed to read" && error.chain().contains("no answer"), "{error:?}");
        }
    }

    #[test]
    fn that_the_work_was_given_up_for_the_application_is_known_through_everything_that_wraps_it() {
        let gave_way = || Error::giving_way("somebody wants the table");
        let in_io: Result<()> = Err(io::Error::other(gave_way().during("read a part"))).during(|| "keep".to_owned());
        assert!(gave_way().gave_way() && gave_way().during("read").gave_way() && in_io.unwrap_err().gave_way());
        assert!(!unreachable().during("read").gave_way());
    }

    #[test]
    fn a_foreign_error_is_a_failure() {
        let outcome: Result<()> = Err(io::Error::other("disk")).during(|| "write".to_owned());
        let error = outcome.unwrap_err();
        assert_eq!((error.class(), error.hints().len(), error.chain().as_str()), (Class::Failed, 0, "failed to write: disk"));
    }
}
