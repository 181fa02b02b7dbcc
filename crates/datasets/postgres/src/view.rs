//! The consistent view of a database: every table locked against changes of its structure, then a snapshot that others can enter.
//!
//! A lock that waits keeps those that are held, and who wants one of those for himself keeps the application waiting: each wait is short, and what is held is given
//! back before the next try.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ports::StopFlag;
use plan::{Error, Result};

use crate::digest::{self, Table};
use crate::failure::has_code;
use crate::session::Session;

/// How often the tables are listed again when one was created or dropped between the listing and the snapshot.
const LISTINGS: usize = 5;
/// How long one try waits for a lock, in milliseconds: the application waits as long, at most.
const LOCK_WAIT_MS: u32 = 400;
/// How long it is tried.
const LOCKS_WAIT: Duration = Duration::from_secs(60);
/// Pause between two tries, in which everybody else goes on.
const PAUSE: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct View {
    /// The tables in it.
    pub(crate) tables: Vec<Table>,
    /// The exported snapshot.
    pub(crate) snapshot: String,
    /// When it was.
    pub(crate) consistent_at: Timestamp,
}

impl View {
    /// Locks every table against `TRUNCATE`, `ALTER` and `DROP` first (ACCESS SHARE: readers and writers go on) and exports the snapshot then: a table truncated
    /// between snapshot and lock would look empty, whatever the isolation level.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when somebody changes tables all the time, [`plan::Class::Refused`] when the server cannot hold so many locks.
    pub(crate) fn open(session: &mut Session, stop: &StopFlag) -> Result<Self> {
        let deadline = Instant::now() + LOCKS_WAIT;
        // Also for the listing: it asks for sizes, and locks each table for it.
        session.run(&format!("SET lock_timeout = {LOCK_WAIT_MS}"), "bound the wait for locks")?;
        let mut listings = 0;
        while listings < LISTINGS {
            stop.check()?;
            let opened = Self::try_open(session);
            if let Ok(Some(view)) = opened {
                session.run("SET LOCAL lock_timeout = '5s'", "bound the wait for locks")?;
                return Ok(view);
            }
            session.run("ROLLBACK", "give the locks back")?;
            match opened {
                // Dropped or made since the listing.
                Ok(_) => listings += 1,
                Err(error) if has_code(&error, "42P01") || has_code(&error, "3F000") => listings += 1,
                Err(error) if has_code(&error, "55P03") && Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(error) => return Err(explained(session, error)),
            }
        }
        Err(Error::transient("tables are created and dropped all the time: no consistent view can be had")
            .hint("Take the backup when no migration runs."))
    }

    /// `None` when there is a table that is not locked.
    fn try_open(session: &mut Session) -> Result<Option<Self>> {
        let listed = digest::tables(session)?;
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "begin the dump's transaction")?;
        lock(session, &listed)?;
        let snapshot = session.row("SELECT pg_export_snapshot()", "export the snapshot")?.get(0);
        let consistent_at = Timestamp::now();
        let tables = digest::tables(session)?;
        let names = |tables: &[Table]| tables.iter().map(Table::quoted).collect::<BTreeSet<_>>();
        Ok(names(&tables).is_subset(&names(&listed)).then_some(Self { tables, snapshot, consistent_at }))
    }
}

fn lock(session: &mut Session, tables: &[Table]) -> Result<()> {
    for some in tables.chunks(500) {
        let names: Vec<_> = some.iter().map(Table::quoted).collect();
        session
            .run(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")), "lock the tables against changes of their structure")?;
    }
    Ok(())
}

/// Who is in the way, or which setting.
fn explained(session: &mut Session, error: Error) -> Error {
    if has_code(&error, "53200") {
        return error.hint(
            "A backup locks each table twice, and the server's table of locks is too small for it: ALTER SYSTEM SET max_locks_per_transaction to a higher \
             value (`doctor` says which), and start the server anew.",
        );
    }
    if !has_code(&error, "55P03") {
        return error;
    }
    let query = "SELECT l.pid, l.relation::regclass::text, coalesce(a.usename::text, '?'), coalesce(nullif(a.application_name, ''), '?') FROM pg_locks l \
                 LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' \
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY l.granted DESC LIMIT 3";
    let rows = session.rows(query, "look who holds locks").unwrap_or_default();
    rows.iter().fold(error, |error, row| {
        let (pid, table, user, application): (i32, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
        error.hint(format!("Session {pid} of {user:?} ({application}) changes {table}, or waits to: take the backup when it has ended."))
    })
}
