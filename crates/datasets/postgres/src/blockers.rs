//! Sessions that stand in the way of a rename or a drop: who they are, and how they are ended.

use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Error, Result};

use crate::session::Session;
use crate::sql::{identifier, literal};

/// Pause between two looks at who is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends all sessions in the databases but our own, again and again until none is left.
///
/// Autovacuum is not counted: the server itself sends it away.
///
/// # Errors
/// When some are left at the deadline: they are named.
pub(crate) fn end_sessions(session: &mut Session, databases: &[&str], deadline: Instant, stop: &StopFlag) -> Result<()> {
    loop {
        stop.check()?;
        let pids = session.rows(
            &format!(
                "SELECT pid FROM pg_stat_activity WHERE {} AND usesysid IS NOT NULL AND pid <> pg_backend_pid()",
                within("datname", databases)
            ),
            "list the sessions",
        )?;
        let mut refused = None;
        for pid in pids.iter().map(|row| row.get::<_, i32>(0)) {
            // One that we may not end must not keep us from ending the others; it is named below if it stays.
            refused = session.run(&format!("SELECT pg_terminate_backend({pid})"), "end a session").err().or(refused);
        }
        let left = name(session, databases)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let failure = Error::failed(format!("{} cannot be freed: {} still there", databases.join(", "), left.len()));
            let failure = left.into_iter().fold(failure, |failure, blocker| failure.hint(format!("Blocker: {blocker}.")));
            return Err(match refused {
                Some(refused) => failure.because(refused).hint("Stop these clients, or grant the role pg_signal_backend."),
                None => failure.hint("Stop these clients (or COMMIT/ROLLBACK PREPARED), then resume."),
            });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Names the sessions and prepared transactions in the databases.
///
/// # Errors
/// The server's.
pub(crate) fn name(session: &mut Session, databases: &[&str]) -> Result<Vec<String>> {
    let query = format!(
        "SELECT format('session %s of user %s, application %s, state %s', pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), '?'), \
                       coalesce(state, '?')) \
         FROM pg_stat_activity WHERE {} AND usesysid IS NOT NULL AND pid <> pg_backend_pid() \
         UNION ALL SELECT format('prepared transaction %s of user %s', quote_literal(gid), owner) FROM pg_prepared_xacts WHERE {}",
        within("datname", databases),
        within("database", databases)
    );
    Ok(session.rows(&query, "name the sessions")?.iter().map(|row| row.get(0)).collect())
}

/// Drops a side database with all its sessions; not there is fine.
///
/// # Errors
/// The server's: a prepared transaction or a replication slot in it.
pub(crate) fn drop_database(session: &mut Session, database: &str) -> Result<()> {
    session.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(database)), &format!("drop the database {database}"))
}

fn within(column: &str, databases: &[&str]) -> String {
    let names: Vec<_> = databases.iter().map(|database| literal(database)).collect();
    format!("{column} IN ({})", names.join(", "))
}
