//! Reads privileges on single routines. No view of the servers has them, only a table of theirs.

use plan::Result;

use crate::quote;
use crate::schema::{ObjectKind, RoutineGrant};
use crate::session::Session;

/// All of them, as far as this user may read that table ([`are_shown`]).
pub(super) fn read(session: &mut Session, database: &str) -> Result<Vec<RoutineGrant>> {
    let sql = format!(
        "SELECT Proc_priv, Routine_type, Routine_name, User, Host FROM mysql.procs_priv WHERE Db = {} ORDER BY 2, 3, 4, 5",
        quote::text(database)
    );
    let found = session.rows_if_possible("read privileges on routines", &sql)?.unwrap_or_default();
    let mut grants = Vec::new();
    for record in found {
        let kind = match record.text(1)?.as_str() {
            "PROCEDURE" => ObjectKind::Procedure,
            "FUNCTION" => ObjectKind::Function,
            // Of packages, which are refused.
            _ => continue,
        };
        let words = record.text(0)?.to_uppercase();
        let (option, privileges): (Vec<&str>, Vec<&str>) =
            words.split(',').filter(|word| !word.is_empty()).partition(|word| *word == "GRANT");
        let (user, host) = (record.text(3)?, record.text(4)?);
        // Roles of MariaDB are on no host.
        let account = if host.is_empty() { quote::comment(&user) } else { format!("{}@{}", quote::comment(&user), quote::comment(&host)) };
        let privileges = if privileges.is_empty() { "USAGE".to_owned() } else { privileges.join(", ") };
        grants.push(RoutineGrant { kind, routine: record.text(2)?, privileges, account, with_grant_option: !option.is_empty() });
    }
    Ok(grants)
}

/// Whether this user may read them.
pub(crate) fn are_shown(session: &mut Session) -> Result<bool> {
    Ok(session.rows_if_possible("look for privileges on routines", "SELECT 1 FROM mysql.procs_priv LIMIT 0")?.is_some())
}
