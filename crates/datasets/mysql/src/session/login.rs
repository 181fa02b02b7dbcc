//! What a refused login means.

use mysql::MySqlError;
use plan::Error;

use super::code;
use super::failure::caused;
use crate::address::Address;

const WAYS_OF_TLS: &str =
    "tls = { mode = \"verify-full\", ca-file = … } (or mode = \"require\") in the section, or ?ssl_mode=… in the address";

/// An error while logging in.
pub(super) fn login_error(address: &Address, error: mysql::Error) -> Error {
    let place = address.server();
    match error {
        mysql::Error::MySqlError(refusal) => refused(address, &place, refusal),
        mysql::Error::TlsError(_) => Error::refused(format!("no TLS connection with {place}"))
            .because(error)
            .hint("Check the TLS mode, the CA and the client certificate."),
        // A server that does not want to tell which users it has asks for any way to log in for one that it does not know.
        mysql::Error::DriverError(mysql::DriverError::UnknownAuthPlugin(ref plugin)) => {
            let hint = format!(
                "It asks for the way {plugin}, which this program does not know: check the user's name, or give the user another way."
            );
            caused(Error::refused(format!("{place} refuses the login of user {:?}", address.user)), error).hint(hint)
        }
        error => caused(Error::transient(format!("cannot reach {place}")), error)
            .hint("Check that the server runs and that the address is right."),
    }
}

/// What the server itself says. Only what passes by itself is worth another try.
fn refused(address: &Address, place: &str, refusal: MySqlError) -> Error {
    let user = &address.user;
    let login = || Error::refused(format!("{place} refuses the login of user {user:?}"));
    let (error, hint) = match refusal.code {
        code::ACCESS_DENIED | code::ACCESS_DENIED_SOCKET => (login(), access_denied(address)),
        code::DB_ACCESS_DENIED => (
            Error::refused(format!("user {user:?} may not use the database")),
            format!("GRANT ALL ON {}.* TO that user.", crate::quote::name(&address.database)),
        ),
        code::UNKNOWN_DATABASE => (
            Error::refused(format!("there is no database {:?} on {place}", address.database)),
            "Check the database in the address. If it was dropped, `restore` makes it again.".to_owned(),
        ),
        wanted if code::TLS_WANTED.contains(&wanted) => {
            (Error::refused(format!("{place} wants TLS, and was asked in plain text")), format!("Set {WAYS_OF_TLS}."))
        }
        code::HOST_UNKNOWN => (login(), format!("The server lets nobody in from this machine's address: make a user for it, CREATE USER {user:?}@'…'.")),
        code::HOST_BLOCKED => (
            login(),
            "Too many connections from this machine broke off: TRUNCATE performance_schema.host_cache (FLUSH HOSTS on MariaDB) lets it in again.".to_owned(),
        ),
        expired if code::PASSWORD_EXPIRED.contains(&expired) => {
            (login(), "Its password has expired: ALTER USER … IDENTIFIED BY a new one, and put that into the address.".to_owned())
        }
        locked if code::ACCOUNT_LOCKED.contains(&locked) => (login(), "ALTER USER … ACCOUNT UNLOCK lets it in.".to_owned()),
        passing if code::PASSING.contains(&passing) || code::PASSING_AT_LOGIN.contains(&passing) => {
            return Error::transient(format!("{place} does not accept the connection")).because(refusal);
        }
        _ => return login().because(refusal),
    };
    error.because(refusal).hint(hint)
}

/// The server says the same of a wrong password and of a connection that is not as the user must have it (`REQUIRE SSL`, `X509`, `SUBJECT` …).
fn access_denied(address: &Address) -> String {
    let tls = &address.tls;
    let more = if address.socket.is_some() {
        ""
    } else if !tls.is_on() {
        return format!(
            "Check user name and password. MariaDB with require_secure_transport, and a user who is made with REQUIRE SSL or X509, lets in by TLS only and says no more than this: {WAYS_OF_TLS}."
        );
    } else if tls.client_certificate_file.is_none() {
        " A user who is made with REQUIRE X509 gets in with a client certificate only: client-certificate-file and client-key-file in tls = { … }, or sslcert and sslkey in the address."
    } else {
        " A user who is made with REQUIRE SUBJECT or ISSUER gets in with that client certificate only: see client-certificate-file."
    };
    format!("Check user name and password.{more}")
}
