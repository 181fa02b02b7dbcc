//! Turns errors and panics of the engine into errors of this program. Never carries a password: the engine's errors do not hold credentials.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plan::{Class, Error, Result};
use rustic_core::RusticError;

/// What the engine said, on one line.
#[derive(Debug)]
struct EngineError(String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for EngineError {}

/// A storage that could not be reached or did not answer in time, after all retries.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Unreachable {}

/// A volume that is full.
#[derive(Debug)]
pub struct Full(String);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Full {}

const READ_ONLY: &str = "The repository's volume is mounted read-only: a disk that had errors is, too. As root: mount -o remount,rw MOUNT-POINT, when its cause is known; or set \
                         [repository] url to another folder, and `init` it. What is in it can be listed, checked and restored as it is.";

/// Whether it failed because the repository's volume is full.
pub fn is_full(error: &Error) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(|cause| cause.is::<Full>())
}

/// What will be so again at every other try, and what to do about it.
#[derive(Debug)]
pub struct Refusal {
    /// What the storage said.
    pub text: String,
    /// The way out.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Refusal {}

/// The work was asked to stop.
#[derive(Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl StdError for Stopped {}

/// The engine's result, as ours.
pub trait EngineResult<T> {
    /// `what` is a lowercase fragment that completes "failed to …".
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> EngineResult<T> for rustic_core::RusticResult<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| translate(&error, what()))
    }
}

/// The class comes from the deepest cause that says something: unreachable storage is transient, a full disk has a hint.
pub fn translate(error: &RusticError, what: String) -> Error {
    let mut class = Class::Failed;
    let mut is_full = false;
    let mut hint: Option<String> = None;
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.is::<Unreachable>() {
            class = Class::Transient;
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => is_full = true,
            Some(io::ErrorKind::ReadOnlyFilesystem) => hint = Some(READ_ONLY.to_owned()),
            _ => {}
        }
        if cause.is::<Stopped>() {
            class = Class::Interrupted;
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            class = Class::Refused;
            hint = Some(refusal.hint.clone());
        }
        next = cause.source();
    }
    if error.is_incorrect_password() {
        return Error::new(Class::WrongPassword, what).hint("The password does not open any key of this repository.");
    }
    let text = error.display_log();
    let text = text.strip_prefix("Error: ").unwrap_or(&text).replace('\n', " ");
    if is_full {
        return Error::new(class, what).because(Full(text)).hint(
            "The repository's volume is full. `threescale-backup forget --keep-daily 7 --prune --now` shows which sets would go and what that frees, and does \
             it with --yes, also on a full volume; or make the volume larger. What was stored is reused by the next backup.",
        );
    }
    let error = Error::new(class, what).because(EngineError(text));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Whether the file or folder that was asked for is not there.
pub fn is_not_found(error: &RusticError) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::NotFound) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Runs something of the engine's or of a producer's; a panic in it becomes an error.
pub fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Error::failed(what.to_owned()).because(EngineError(format!("panicked: {text}"))))
    })
}

/// A lock whose holder panicked is still a lock: every panic is reported on its own.
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
