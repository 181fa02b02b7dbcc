//! What a server's error means for the run. What rows hold is never told: it may be a key, or somebody's address.

use std::error::Error as _;

use mysql::MySqlError;
use plan::{Class, Error};

use super::code;
use crate::address::MAX_PACKET_BYTES;

/// Rules of the database that forbid a change: a value that no two rows share (1062, 1586), a foreign key (1216, 1217, 1451, 1452), a condition (3819, MariaDB 4025).
const FORBIDDEN: [u16; 8] = [1062, 1586, 1216, 1217, 1451, 1452, 3819, 4025];
/// Refusals that tell a value: an entry that is there twice, and those of what does not fit a column.
const TELL_A_VALUE: [u16; 5] = [1062, 1586, 1292, 1366, 1411];

/// Whether a rule of the database forbids what was tried.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(refusal) = cause.downcast_ref::<MySqlError>() {
            return FORBIDDEN.contains(&refusal.code);
        }
        next = cause.source();
    }
    false
}

/// The refusal without the value that it tells: `Duplicate entry for key 'index_accounts_on_domain'`.
fn without_values(refusal: MySqlError) -> MySqlError {
    if !TELL_A_VALUE.contains(&refusal.code) {
        return refusal;
    }
    let text = &refusal.message;
    // What follows the value is the server's own: a value with quotes in it ends at the last of them.
    let rest = text.rfind("' for ").and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let message = text.find('\'').and_then(|at| text.get(..at)).map(|begin| format!("{}{rest}", begin.trim_end_matches([' ', ':'])));
    MySqlError { message: message.unwrap_or_else(|| text.clone()), ..refusal }
}

/// An error of a statement: what the server says of it, or a connection that was lost, which may be had again later.
pub(crate) fn query_error(what: &str, error: mysql::Error) -> Error {
    let what = format!("failed to {what}");
    let class = match &error {
        mysql::Error::MySqlError(refusal) if code::PASSING.contains(&refusal.code) => Class::Transient,
        // What our own reader said, handed through by the library.
        mysql::Error::IoError(broken) if let Some(own) = plan::error::inside(broken) => own.class(),
        // The library gives its own error no other name.
        mysql::Error::CodecError(broken) if format!("{broken:?}") == "PacketTooLarge" => {
            return Error::refused(format!("{what}: one of them is larger than {} MiB", MAX_PACKET_BYTES >> 20)).because(error);
        }
        mysql::Error::IoError(_) | mysql::Error::CodecError(_) | mysql::Error::DriverError(_) => {
            let hint = "The connection was lost; the server may have been restarted. The same call may work later.";
            return caused(Error::transient(what), error).hint(hint);
        }
        _ => Class::Failed,
    };
    caused(Error::new(class, what), error)
}

/// An error with its cause: the server's own words, without the library's around them.
pub(super) fn caused(what: Error, cause: mysql::Error) -> Error {
    match cause {
        mysql::Error::MySqlError(refusal) => what.because(without_values(refusal)),
        mysql::Error::IoError(broken) => what.because(broken),
        mysql::Error::DriverError(reason) => what.because(reason),
        other => what.because(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_row_is_told() {
        for (code, said, told) in [
            (
                1062,
                "Duplicate entry 'a' for b'c' for key 'accounts.index_accounts_on_domain'",
                "Duplicate entry for key 'accounts.index_accounts_on_domain'",
            ),
            (1062, "Duplicate entry '2001-s3cret' for key 'k'", "Duplicate entry for key 'k'"),
            (
                1366,
                "Incorrect string value: '\\xF0' for column `system`.`users`.`email` at row 1",
                "Incorrect string value for column `system`.`users`.`email` at row 1",
            ),
            (1292, "Truncated incorrect DOUBLE value: 's3cret'", "Truncated incorrect DOUBLE value"),
            (
                1452,
                "Cannot add or update a child row: a foreign key constraint fails (`x`)",
                "Cannot add or update a child row: a foreign key constraint fails (`x`)",
            ),
        ] {
            let refusal = MySqlError { state: "23000".to_owned(), message: said.to_owned(), code };
            let error = query_error("insert rows", mysql::Error::MySqlError(refusal));
            assert!(error.chain().ends_with(told) && !error.chain().contains("s3cret"), "{error:?}");
            assert_eq!(is_forbidden(&error.during("deeper")), [1062, 1452].contains(&code));
        }
    }
}
