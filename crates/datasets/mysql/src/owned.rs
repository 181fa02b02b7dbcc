//! What others own in the live database and stands in the way: routines that are not shown, objects that may not be dropped. Changes nothing.

use std::collections::BTreeSet;

use plan::Result;
use plan::ports::{Problem, Severity};

use crate::privileges::Grants;
use crate::quote;
use crate::rights;
use crate::server::{Kind, Server, Version};
use crate::session::Session;

/// The first MySQL whose accounts with `SYSTEM_USER` are protected from those without.
const SYSTEM_USERS: Version = Version(8, 0, 16);
/// So many names are told.
const NAMES: usize = 5;

/// Routines that are listed without their body: a dump would lack them, and so would the way back from a cut-over.
pub(crate) fn hidden_routines(session: &mut Session, server: &Server, grants: &Grants, database: &str) -> Result<Option<Problem>> {
    let sql = format!(
        "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} AND ROUTINE_DEFINITION IS NULL ORDER BY 1",
        quote::text(database)
    );
    let hidden = session.rows("look for routines that are not shown", &sql)?;
    let names: Vec<String> = hidden.iter().map(|record| record.text(0)).collect::<Result<_>>()?;
    Ok((!names.is_empty()).then(|| {
        let (user, schema) = (&grants.user, quote::name(database));
        let text = format!("{user} may not read the routines of {schema} that others own: {}", few(&names));
        Problem::new(Severity::Blocks, text).way_out(show_routines(server, user, &schema))
    }))
}

/// What shows routines with their bodies to somebody who does not own them.
pub(crate) fn show_routines(server: &Server, user: &str, schema: &str) -> String {
    match server.kind {
        Kind::Mysql => {
            let name = if rights::is_known("SHOW_ROUTINE", server.kind, server.version) { "SHOW_ROUTINE" } else { "SELECT" };
            format!("GRANT {name} ON *.* TO {user}")
        }
        Kind::Mariadb => format!("GRANT EXECUTE ON {schema}.* TO {user}; GRANT SELECT ON mysql.proc TO {user}"),
    }
}

/// Views, routines and events of an account with `SYSTEM_USER` may be dropped by such an account only: a restore replaces them all. Found out before
/// anything is dropped.
pub(crate) fn protected(session: &mut Session, server: &Server, grants: &Grants, database: &str) -> Result<Option<Problem>> {
    if server.kind != Kind::Mysql || server.version < SYSTEM_USERS || grants.everywhere("SYSTEM_USER") {
        return Ok(None);
    }
    let schema = quote::text(database);
    let sql = format!(
        "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {schema} \
         UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} \
         UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {schema}"
    );
    let own = session.value("read the user's name", "SELECT CURRENT_USER()")?;
    let owners: BTreeSet<String> = session.rows("look for owners", &sql)?.iter().map(|record| record.text(0)).collect::<Result<_>>()?;
    let mut owners: Vec<String> = owners.into_iter().filter(|owner| Some(owner) != own.as_ref()).collect();
    let holders = "SELECT CONCAT(USER, '@', HOST) FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER'";
    let holders = session.rows_if_possible("look for accounts with SYSTEM_USER", holders)?;
    let (user, grant) = (&grants.user, format!("GRANT SYSTEM_USER ON *.* TO {}", grants.user));
    let problem = if let Some(holders) = holders {
        let holders: BTreeSet<String> = holders.iter().map(|record| record.text(0)).collect::<Result<_>>()?;
        owners.retain(|owner| holders.contains(owner));
        let text = format!("{user} may not drop the views, routines and events of {}, who have SYSTEM_USER", few(&owners));
        Problem::new(Severity::Blocks, text).way_out(grant)
    } else {
        let text = format!(
            "{user} may not drop the views, routines and events of {} if those have SYSTEM_USER, which {user} may not look at",
            few(&owners)
        );
        // Told too late, a restore in place would stop with half of the objects gone.
        Problem::new(Severity::Blocks, text)
            .way_out(format!("{grant} (or, to find out whether that is needed: GRANT SELECT ON mysql.global_grants TO {user})"))
    };
    Ok((!owners.is_empty()).then_some(problem))
}

fn few(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES);
    let told = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { told } else { format!("{told} and {more} more") }
}
