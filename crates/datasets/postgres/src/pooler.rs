//! A connection pooler (`PgBouncer` and the like) between us and the server gives each transaction whichever of the application's connections is free: what
//! we set for a session would stay on those. It is recognised before anything is set: a server keeps what a client says when it connects, a pooler, whose
//! connections were made before, does not.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use plan::{Class, Error};

use crate::address::Address;
use crate::failure;

/// A setting that no server has: it may be given by a client all the same.
const NAME: &str = "threescale_backup.session";

/// What a session says of itself when it connects, another one each time.
pub(crate) struct Token(String);

static TOKENS: AtomicU64 = AtomicU64::new(0);

impl Token {
    pub(crate) fn new() -> Self {
        let (now, count) = (Timestamp::now().as_nanosecond(), TOKENS.fetch_add(1, Ordering::Relaxed));
        Self(format!("{}-{now}-{count}", std::process::id()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// As the startup message has it.
    pub(crate) fn option(&self) -> String {
        format!("-c {NAME}={}", self.0)
    }

    /// The question that a direct session answers with the token.
    pub(crate) fn question() -> String {
        format!("SELECT pg_catalog.current_setting('{NAME}', true)")
    }
}

const WHAT: &str = "a connection pooler stands before PostgreSQL";

/// What is said of a pooler. Nothing was set.
pub(crate) fn refusal(address: &Address) -> Error {
    Error::refused(format!("{WHAT} at {address}")).hint(
        "What a backup sets for its own sessions would stay behind on the application's connections: nothing was set. Give the address of the \
         PostgreSQL server itself (PgBouncer names it in its section [databases]), in every pool mode.",
    )
}

/// Whether that was the reason.
pub(crate) fn is_refusal(error: &Error) -> bool {
    error.chain().contains(WHAT)
}

/// An error of connecting. `PgBouncer` refuses the token with words of its own, unless it was told to ignore it.
pub(crate) fn classed(error: postgres::Error, address: &Address, what: impl Into<String>) -> Error {
    let unsupported = error.as_db_error().is_some_and(|server| server.message().contains("unsupported startup parameter"));
    let failure = failure::classed(error, what);
    if unsupported { refusal(address).because(failure.in_class(Class::Refused)) } else { failure }
}
