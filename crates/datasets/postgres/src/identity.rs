//! What tells a database from all others, whatever its address, roles and passwords.
//!
//! The system identifier is made with the cluster (`initdb`) and stays with its data folder; anybody may ask for it, where that was not revoked. Beside it stands
//! the database's name and not its object id, for a cut-over by rename puts another object under the name. **Limit:** a copy of a data folder, and a standby, have
//! the identifier of their origin; the marks of the runs tell them apart.

use plan::{Class, Result};

use crate::session::Session;

/// The identity of a database; `None` when the role may not ask.
pub(crate) fn of(session: &mut Session, database: &str) -> Result<Option<String>> {
    match session.row("SELECT system_identifier::text FROM pg_control_system()", "ask for the cluster's identifier") {
        Ok(row) => Ok(Some(format!("postgresql {}/{database}", row.get::<_, String>(0)))),
        Err(error) if error.class() == Class::Refused => Ok(None),
        Err(error) => Err(error),
    }
}
