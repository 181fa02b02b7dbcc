//! Gives privileges on single routines again: they went with the routines that a restore, or its undo, dropped.

use plan::Result;

use crate::quote;
use crate::schema::Objects;
use crate::session::{SQL_MODE, Session};

/// Gives all of them; the statements that the server refuses are told.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn grant_again(session: &mut Session, tell: &mut dyn FnMut(&str), database: &str, objects: &Objects) -> Result<()> {
    if objects.routine_grants.is_empty() {
        return Ok(());
    }
    // MariaDB would make an account that is not there, without a password. MySQL does not know the mode, and makes none.
    session.set_if_possible("SESSION sql_mode = 'NO_AUTO_CREATE_USER'")?;
    let mut refused = Vec::new();
    for grant in &objects.routine_grants {
        let sql = grant.statement(&quote::qualified(database, &grant.routine));
        refused.extend(session.refusal("give a privilege on a routine again", &sql)?.map(|why| (sql, why)));
    }
    session.set(&format!("SESSION sql_mode = '{SQL_MODE}'"))?;
    for (sql, why) in refused {
        tell(&format!("a privilege on a routine could not be given again: {why}. Whoever may, runs: {sql}"));
    }
    Ok(())
}
