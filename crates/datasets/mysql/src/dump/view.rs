//! One consistent view of a database for N connections, protected from changes of definitions.
//!
//! Three ways to it, the best that the privileges allow: a global read lock for the moment in which the transactions begin; read locks on every table for
//! that moment; one connection only. Which one was taken is a fact of the evidence. Never keeps writers out beyond that moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ports::{Context, Severity};
use plan::{Class, Error, Result};

use crate::blockers;
use crate::owned;
use crate::privileges::Grants;
use crate::quote;
use crate::rights;
use crate::schema::{Schema, read};
use crate::server::{Kind, Server, Version};
use crate::session::{Session, Talk, code};
use crate::store::MysqlStore;

/// Between two tries for the lock, for the writers.
const PAUSE: Duration = Duration::from_millis(200);

/// The view.
pub(super) struct View {
    /// Each in a transaction that sees the database as of the same moment.
    pub(super) workers: Vec<Session>,
    /// Reads keys to cut tables; what it sees decides about boundaries only.
    pub(super) planner: Session,
    /// Holds what keeps definitions from changing.
    pub(super) guard: Session,
    /// Reads definitions.
    pub(super) reader: Session,
    pub(super) schema: Schema,
    pub(super) consistent_at: Timestamp,
    pub(super) facts: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
}

/// How the transactions were made to see the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    GlobalLock,
    TableLocks,
    OneConnection,
}

/// Opens the view.
pub(super) fn open(store: &MysqlStore, context: &Context) -> Result<View> {
    let database = &store.address.database;
    let mut reader = store.session(Talk::Text, Some(database))?;
    let server = Server::ask(&mut reader)?;
    refuse_incomplete(&mut reader, &server, database)?;
    let (mut facts, mut warnings) = (BTreeMap::new(), Vec::new());
    let mut guard = store.session(Talk::Text, Some(database))?;
    let mut tables = read::table_names(&mut reader, database)?;
    let mut protected = protect(store, &mut guard, &server, &tables)?;
    context.stop.check()?;
    let mut workers = Vec::new();
    for _ in 0..context.workers.max(1) {
        let mut session = store.session(Talk::Rows, Some(database))?;
        session.set("SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        workers.push(session);
    }
    let planner = store.session(Talk::Rows, Some(database))?;
    let way = lock_patiently(store, context, &mut reader, database, &tables)?;
    if way == Way::OneConnection {
        workers.truncate(1);
    }
    for worker in &mut workers {
        worker.rows("begin a transaction", "START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
    }
    let consistent_at = Timestamp::now();
    let position = position(&mut reader, &server)?;
    reader.rows("release the read lock", "UNLOCK TABLES")?;
    reader.set("SESSION autocommit = 1")?;
    for new in read::table_names(&mut reader, database)?.into_iter().filter(|name| !tables.contains(name)).collect::<Vec<_>>() {
        hold(&mut guard, database, &new)?;
        tables.push(new);
    }
    let schema = read::schema(&mut reader, &server, database)?;
    describe(way, &mut facts, &mut warnings);
    if position.is_empty() {
        warnings.push(
            "the position in the binary log is not known: the log is off, or the user lacks REPLICATION CLIENT (BINLOG MONITOR)".into(),
        );
    }
    facts.extend(position);
    if !protected.is_empty() {
        facts.insert("definitions-protected-by".into(), std::mem::take(&mut protected));
    }
    warnings.extend(outside_of_the_view(&schema));
    Ok(View { workers, planner, guard, reader, schema, consistent_at, facts, warnings })
}

/// What may not be seen would be left out without a word: such a dump is refused.
fn refuse_incomplete(session: &mut Session, server: &Server, database: &str) -> Result<()> {
    let grants = Grants::ask(session, server.kind)?;
    let problems =
        rights::reading(&grants, server, database).into_iter().chain(owned::hidden_routines(session, server, &grants, database)?);
    let mut blocking = problems.filter(|problem| problem.severity == Severity::Blocks).peekable();
    let Some(first) = blocking.peek() else { return Ok(()) };
    let error = Error::refused(first.text.clone());
    Err(blocking.filter_map(|problem| problem.way_out).fold(error, |error, way_out| error.hint(format!("{way_out}."))))
}

/// Keeps definitions from changing until the guard's session ends: a metadata lock on every table, and the backup lock where there is one.
fn protect(store: &MysqlStore, guard: &mut Session, server: &Server, tables: &[String]) -> Result<String> {
    guard.set(&format!("SESSION lock_wait_timeout = {}", store.options.lock_wait_seconds))?;
    let mut by = "metadata locks".to_owned();
    if server.kind == Kind::Mysql {
        match guard.attempt("lock definitions", "LOCK INSTANCE FOR BACKUP")? {
            Ok(_) => by = "backup lock and metadata locks".into(),
            Err(error) if error.code == code::LOCK_WAIT_TIMEOUT => return Err(blockers::busy(guard, "a definition is being changed")),
            Err(_) => {}
        }
    }
    guard.rows("begin a transaction", "START TRANSACTION")?;
    tables.iter().try_for_each(|table| hold(guard, &store.address.database, table))?;
    Ok(by)
}

/// A read inside the guard's transaction: the server keeps the table's definition until that ends.
fn hold(guard: &mut Session, database: &str, table: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM {} LIMIT 0", quote::qualified(database, table));
    guard.rows("hold a table's definition", &sql).map(drop).map_err(|error| {
        if error.class() == Class::Transient && guard.is_alive() {
            blockers::busy(guard, &format!("the definition of table {table:?} is being changed"))
        } else if error.class() == Class::Transient {
            error
        } else {
            error.hint("GRANT SELECT on every table of the database to this user.")
        }
    })
}

/// Asks for the lock for a second at a time: while it waits, writers wait behind it, and one of them may hold what the lock waits for.
fn lock_patiently(store: &MysqlStore, context: &Context, session: &mut Session, database: &str, tables: &[String]) -> Result<Way> {
    session.set("SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")?;
    let begin = Instant::now();
    loop {
        context.stop.check()?;
        match lock(session, database, tables) {
            Err(error)
                if error.class() == Class::Transient && begin.elapsed() < Duration::from_secs(store.options.lock_wait_seconds.into()) =>
            {
                session.rows("release the read lock", "UNLOCK TABLES")?;
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Stops writers for the moment of the view, as far as the privileges go.
fn lock(session: &mut Session, database: &str, tables: &[String]) -> Result<Way> {
    // Flushing first makes the wait under the lock short: nothing waits for it while long statements end.
    for sql in ["FLUSH NO_WRITE_TO_BINLOG TABLES", "FLUSH TABLES WITH READ LOCK"] {
        match session.attempt("lock all tables for reading", sql)? {
            Ok(_) => {}
            Err(error) if error.code == code::LOCK_WAIT_TIMEOUT => {
                return Err(blockers::busy(session, "the moment of the snapshot could not be had: a long statement holds a table"));
            }
            Err(error) if is_denied(error.code) => return lock_tables(session, database, tables),
            Err(error) => return Err(crate::session::query_error("lock all tables for reading", mysql::Error::MySqlError(error))),
        }
    }
    Ok(Way::GlobalLock)
}

fn lock_tables(session: &mut Session, database: &str, tables: &[String]) -> Result<Way> {
    if tables.is_empty() {
        return Ok(Way::TableLocks);
    }
    // Without autocommit, InnoDB waits for transactions that have written (MariaDB does not without).
    session.set("SESSION autocommit = 0")?;
    let list: Vec<String> = tables.iter().map(|table| format!("{} READ", quote::qualified(database, table))).collect();
    match session.attempt("lock the tables for reading", &format!("LOCK TABLES {}", list.join(", ")))? {
        Ok(_) => Ok(Way::TableLocks),
        Err(error) if error.code == code::LOCK_WAIT_TIMEOUT => {
            Err(blockers::busy(session, "the moment of the snapshot could not be had: a transaction holds a table"))
        }
        Err(error) if is_denied(error.code) => Ok(Way::OneConnection),
        Err(error) => Err(crate::session::query_error("lock the tables for reading", mysql::Error::MySqlError(error))),
    }
}

const fn is_denied(code: u16) -> bool {
    matches!(code, code::SPECIFIC_ACCESS_DENIED | code::DB_ACCESS_DENIED | code::ACCESS_DENIED | code::TABLE_ACCESS_DENIED)
}

fn describe(way: Way, facts: &mut BTreeMap<String, String>, warnings: &mut Vec<String>) {
    let (text, warning) = match way {
        Way::GlobalLock => ("global read lock", None),
        Way::TableLocks => (
            "read locks on every table",
            Some("the user lacks RELOAD: the consistent view was taken under read locks on every table of the database"),
        ),
        Way::OneConnection => (
            "one connection",
            Some("the user lacks RELOAD and LOCK TABLES: the dump was taken through one connection only, which is slower"),
        ),
    };
    facts.insert("consistent-by".into(), text.into());
    warnings.extend(warning.map(str::to_owned));
}

/// Where the binary log stands, as far as we may know.
fn position(session: &mut Session, server: &Server) -> Result<Vec<(String, String)>> {
    let mut facts = Vec::new();
    let status =
        if server.kind == Kind::Mysql && server.version >= Version(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    if let Some(rows) = session.rows_if_possible("read the position in the binary log", status)?
        && let Some(record) = rows.first()
    {
        facts.push(("binlog-file".to_owned(), record.text(0)?));
        facts.push(("binlog-offset".to_owned(), record.text(1)?));
    }
    let variable = if server.kind == Kind::Mysql { "GLOBAL.gtid_executed" } else { "GLOBAL.gtid_binlog_pos" };
    if let Some(gtid) = session.variable(variable)?.filter(|gtid| !gtid.is_empty()) {
        facts.push(("gtid-executed".to_owned(), gtid.replace('\n', "")));
    }
    Ok(facts)
}

/// Tables that know no transactions are read as they are at the moment of reading.
fn outside_of_the_view(schema: &Schema) -> Vec<String> {
    let outside = schema.tables.iter().filter(|table| !table.engine.eq_ignore_ascii_case("InnoDB"));
    outside
        .map(|table| format!("table {:?} has engine {}: its rows are not part of the consistent view", table.name, table.engine))
        .collect()
}
