//! What a server's error means for the run.

use plan::{Class, Error};

/// Whether the server has no rule for an encrypted session of this role from this host (`hostnossl`); where libpq then asks without TLS.
pub(crate) fn wants_no_encryption(error: &Error) -> bool {
    let text = error.chain();
    text.contains("SQLSTATE 28000") && text.contains("SSL encryption")
}

/// What the server says when a lock was not had in time, or a circle of waits was broken at our expense: the transaction may be tried again.
const LOST_TO_ANOTHER: [&str; 3] = ["55P03", "40P01", "40001"];

/// Whether a transaction failed for another's sake only.
pub(crate) fn lost_to_another(error: &Error) -> bool {
    LOST_TO_ANOTHER.iter().any(|code| has_code(error, code)) || error.hints().iter().any(|said| says_lost_to_another(said))
}

/// The same, by what `psql` said with `VERBOSITY verbose`.
pub(crate) fn says_lost_to_another(said: &str) -> bool {
    LOST_TO_ANOTHER.iter().any(|code| said.contains(&format!("  {code}: ")))
}

/// Whether a rule of the database forbids what was tried: a value that no two rows share, a row that another one wants (class 23, "integrity constraint violation").
pub(crate) fn is_forbidden(error: &Error) -> bool {
    error.chain().contains("(SQLSTATE 23")
}

/// Whether the detail tells what a row holds, which may be a key or somebody's address. Of a foreign key it tells a number.
fn tells_values(code: &str) -> bool {
    code.starts_with("23") && code != "23503"
}

/// Whether the server gave that SQLSTATE.
pub(crate) fn has_code(error: &Error, code: &str) -> bool {
    error.chain().contains(&format!("(SQLSTATE {code})"))
}

/// An error that came while `COPY` gave its rows.
pub(crate) fn of_copy(error: std::io::Error, what: &str) -> Error {
    match error.downcast::<postgres::Error>() {
        Ok(error) => classed(error, what),
        Err(error) => Error::transient(what.to_owned()).because(error),
    }
}

/// An error of the driver, classed by its SQLSTATE (PostgreSQL manual, appendix A).
pub(crate) fn classed(error: postgres::Error, what: impl Into<String>) -> Error {
    let what = what.into();
    let Some(server) = error.as_db_error() else {
        if let Some(refused) = tls::of(&error, what.clone()) {
            return refused;
        }
        let shown = error.to_string();
        if shown.contains("TLS") {
            return Error::refused(what)
                .because(error)
                .hint("Check the TLS mode, the CA file and the host name; sslmode=disable speaks to a server without TLS.");
        }
        // Everything else that is not the server's word is a connection that cannot be had or was lost, or a login that cannot be tried.
        let class =
            if shown.contains("invalid configuration") || shown.contains("authentication") { Class::Refused } else { Class::Transient };
        return Error::new(class, what).because(error);
    };
    let code = server.code().code();
    let class = match code {
        // Not the machine's memory: its own table of locks.
        "53200" if server.message().contains("shared memory") => Class::Refused,
        "28P01" | "28000" | "3D000" | "42501" | "0LP01" => Class::Refused,
        "40001" | "40P01" | "55P03" | "55006" | "57P01" | "57P02" | "57P03" | "57P04" | "53300" => Class::Transient,
        "57014" => Class::Interrupted,
        code if code.starts_with("08") => Class::Transient,
        _ => Class::Failed,
    };
    let mut text = format!("{}: {} (SQLSTATE {code})", server.severity(), server.message());
    if let Some(detail) = server.detail().filter(|_| !tells_values(code)) {
        text.push_str(&format!("; {detail}"));
    }
    let failure = Error::new(class, what).because(Error::new(class, text));
    let own = if code == "28000" { way_in(server.message()) } else { None };
    own.into_iter().chain(server.hint()).fold(failure, Error::hint)
}

/// What a login lacks that the server refuses for how the connection is made (`src/backend/libpq/auth.c`).
fn way_in(message: &str) -> Option<&'static str> {
    [
        (
            "valid client certificate",
            "The server lets this role in with a client certificate only: give client-certificate-file and client-key-file in tls = { … }, or sslcert and sslkey in the address.",
        ),
        (
            "certificate authentication failed",
            "The client certificate is for another role: its common name must be the role's, or pg_ident.conf of the server must map it.",
        ),
        (
            "no encryption",
            "pg_hba.conf of the server has no line for this login without TLS. If it has one with: sslmode=require, verify-ca or verify-full in the address, or mode in tls = { … }.",
        ),
        (
            "SSL encryption",
            "pg_hba.conf of the server has no line for this login with TLS. If it has one without: sslmode=disable in the address, or mode = \"disable\" in tls = { … }.",
        ),
    ]
    .into_iter()
    .find_map(|(said, way_out)| message.contains(said).then_some(way_out))
}
