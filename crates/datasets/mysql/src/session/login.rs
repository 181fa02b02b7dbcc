//! What a refused login means.

use plan::Error;

use super::code;
use crate::address::Address;

/// An error while logging in.
pub(super) fn login_error(address: &Address, error: mysql::Error) -> Error {
    let place = address.server();
    match &error {
        mysql::Error::MySqlError(refusal) => match refusal.code {
            code::ACCESS_DENIED | code::ACCESS_DENIED_SOCKET => {
                Error::refused(format!("{place} refuses the login of user {:?}", address.user))
                    .because(error)
                    .hint("Check user name and password.")
            }
            code::DB_ACCESS_DENIED => Error::refused(format!("user {:?} may not use the database", address.user))
                .because(error)
                .hint(format!("GRANT ALL ON {}.* TO that user.", crate::quote::name(&address.database))),
            code::UNKNOWN_DATABASE => Error::refused(format!("there is no database {:?} on {place}", address.database))
                .because(error)
                .hint("Check the database in the address. If it was dropped, `restore` makes it again."),
            _ => Error::transient(format!("{place} does not accept the connection")).because(error),
        },
        mysql::Error::TlsError(_) => Error::refused(format!("no TLS connection with {place}"))
            .because(error)
            .hint("Check the TLS mode, the CA and the client certificate."),
        // A server that does not want to tell which users it has asks for any way to log in for one that it does not know.
        mysql::Error::DriverError(mysql::DriverError::UnknownAuthPlugin(plugin)) => {
            let hint = format!(
                "It asks for the way {plugin}, which this program does not know: check the user's name, or give the user another way."
            );
            Error::refused(format!("{place} refuses the login of user {:?}", address.user)).because(error).hint(hint)
        }
        _ => Error::transient(format!("cannot reach {place}"))
            .because(error)
            .hint("Check that the server runs and that the address is right."),
    }
}
