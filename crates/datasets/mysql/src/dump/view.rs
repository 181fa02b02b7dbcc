//! One consistent view of a database for N connections, protected from changes of definitions.
//!
//! In this order: what keeps definitions from changing, the lookout that gives it back when the application would wait, the moment of the view. Which way was
//! taken is a fact of the evidence. Never keeps writers out beyond that moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ports::{Context, Problem, Severity};
use plan::{Class, Error, Result};

use super::lookout::Lookout;
use super::moment::{self, Hands, Way};
use crate::blockers;
use crate::limits;
use crate::owned;
use crate::privileges::Grants;
use crate::quote;
use crate::rights;
use crate::schema::{Schema, read, told};
use crate::server::{Kind, Server};
use crate::session::{Session, Talk, code, query_error};
use crate::store::MysqlStore;

/// Between two tries for the definitions' locks.
const PAUSE: Duration = Duration::from_millis(200);

/// The view.
pub(super) struct View {
    /// Each in a transaction that sees the database as of the same moment.
    pub(super) workers: Vec<Session>,
    /// Reads keys to cut tables; what it sees decides about boundaries only.
    pub(super) planner: Session,
    /// Holds what keeps definitions from changing.
    pub(super) guard: Session,
    /// Holds MariaDB's backup stage: migrations wait for it, the application does not.
    pub(super) stage: Option<Session>,
    /// Gives all of it back when the application would wait.
    pub(super) lookout: Lookout,
    /// Reads definitions.
    pub(super) reader: Session,
    pub(super) schema: Schema,
    pub(super) consistent_at: Timestamp,
    pub(super) facts: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

/// Opens the view.
pub(super) fn open(store: &MysqlStore, context: &Context) -> Result<View> {
    let database = &store.address.database;
    let mut reader = store.session(Talk::Text, Some(database))?;
    let server = Server::ask(&mut reader)?;
    refuse_incomplete(&mut reader, &server, database)?;
    let mut facts = BTreeMap::new();
    let mut guard = store.session(Talk::Text, Some(database))?;
    let limit = Duration::from_secs(store.options.lock_wait_seconds.into());
    let backup_lock = server.kind == Kind::Mysql && lock_for_backup(store, &mut guard)?;
    let mut tables = hold_all(context, &mut guard, database, limit)?;
    let mut workers = Vec::new();
    for _ in 0..limits::workers(&mut reader, context)? {
        match store.session(Talk::Rows, Some(database)) {
            // Somebody else has come in between: fewer do it, too.
            Err(error) if !workers.is_empty() && error.class() == Class::Transient => break,
            opened => workers.push(opened?),
        }
    }
    facts.insert("connections".into(), workers.len().to_string());
    let planner = store.session(Talk::Rows, Some(database))?;
    let victims = workers.iter().chain([&planner, &guard]).map(Session::id).collect();
    let lookout = Lookout::begin(store, &tables, victims)?;
    let mut hands = Hands { server: &server, locker: &mut reader, control: &mut guard, workers: &mut workers };
    let moment = moment::begin(&mut hands, context, database, &tables, limit).map_err(|error| lookout.explain(error))?;
    let stage = if server.kind == Kind::Mariadb { block_ddl(store, &mut reader)? } else { None };
    stage.iter().for_each(|stage| lookout.also(stage.id()));
    for new in read::table_names(&mut reader, database)?.into_iter().filter(|name| !tables.contains(name)).collect::<Vec<_>>() {
        hold(&mut guard, database, &new)?;
        tables.push(new);
    }
    let schema = read::schema(&mut reader, &server, database)?;
    let mut warnings = moment.warnings;
    facts.insert("consistent-by".into(), described(moment.way).into());
    if moment.position.is_empty() {
        warnings.push(
            "the position in the binary log is not known: the log is off, or the user lacks REPLICATION CLIENT (BINLOG MONITOR)".into(),
        );
    }
    facts.extend(moment.position);
    let by = match (backup_lock, &stage) {
        (true, _) => "backup lock and metadata locks",
        (false, Some(_)) => "backup stage and metadata locks",
        (false, None) => "metadata locks, given back when the application would wait",
    };
    facts.insert("definitions-protected-by".into(), by.into());
    warnings.extend(outside_of_the_view(&schema));
    let problems = told::problems(&mut reader, &schema)?;
    Ok(View { problems, workers, planner, guard, stage, lookout, reader, schema, consistent_at: moment.at, facts, warnings })
}

/// What may not be seen would be left out without a word: such a dump is refused.
fn refuse_incomplete(session: &mut Session, server: &Server, database: &str) -> Result<()> {
    let grants = Grants::ask(session, server)?;
    let problems =
        rights::reading(&grants, server, database).into_iter().chain(owned::hidden_routines(session, server, &grants, database)?);
    let others = read::others(session, database)?.into_iter().map(|(text, way_out)| Problem::new(Severity::Blocks, text).way_out(way_out));
    let mut blocking = problems.chain(others).filter(|problem| problem.severity == Severity::Blocks).peekable();
    let Some(first) = blocking.peek() else { return Ok(()) };
    let error = Error::refused(first.text.clone());
    Err(blocking
        .filter_map(|problem| problem.way_out)
        .fold(error, |error, way_out| error.hint(format!("{}.", way_out.trim_end_matches('.')))))
}

/// MySQL's backup lock: changes of definitions wait for it before they hold anything that others wait for. Returns whether the user may.
fn lock_for_backup(store: &MysqlStore, guard: &mut Session) -> Result<bool> {
    guard.set(&format!("SESSION lock_wait_timeout = {}", store.options.lock_wait_seconds.max(1)))?;
    match guard.attempt("lock definitions", "LOCK INSTANCE FOR BACKUP")? {
        Ok(_) => Ok(true),
        Err(error) if error.code == code::LOCK_WAIT_TIMEOUT => Err(blockers::busy(guard, "a definition is being changed")),
        Err(_) => Ok(false),
    }
}

/// A read of every table inside the guard's transaction: the server keeps their definitions until that ends. When one of them cannot be had, all are given back
/// before the next try: whoever changes one table does not keep others waiting for this.
/// Gives their names.
fn hold_all(context: &Context, guard: &mut Session, database: &str, limit: Duration) -> Result<Vec<String>> {
    guard.set("SESSION lock_wait_timeout = 1")?;
    let begin = Instant::now();
    loop {
        context.stop.check()?;
        let tables = read::table_names(guard, database)?;
        guard.rows("begin a transaction", "START TRANSACTION")?;
        match tables.iter().try_for_each(|table| hold(guard, database, table)) {
            Err(error) if error.class() == Class::Transient && begin.elapsed() < limit && guard.is_alive() => {
                guard.rows("give the definitions back", "ROLLBACK")?;
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome.map(|()| tables),
        }
    }
}

fn hold(guard: &mut Session, database: &str, table: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM {} LIMIT 0", quote::qualified(database, table));
    match guard.refused("hold a table's definition", &sql) {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) if refusal.code == code::NO_SUCH_TABLE => {
            let text = format!("table {table:?} was dropped or renamed when the backup had just begun");
            Err(Error::transient(text).because(refusal).hint("Run the backup again when the migration has ended."))
        }
        Ok(Some(refusal)) => Err(query_error("hold a table's definition", mysql::Error::MySqlError(refusal))
            .hint("GRANT SELECT on every table of the database to this user.")),
        Err(error) if error.class() == Class::Transient && guard.is_alive() => {
            Err(blockers::busy(guard, &format!("the definition of table {table:?} is being changed")))
        }
        Err(error) => Err(error),
    }
}

/// MariaDB's backup stage in which changes of definitions wait, and statements on InnoDB tables do not. Those on other tables would: where there are such
/// tables, or events (their table is one), it is not taken.
fn block_ddl(store: &MysqlStore, reader: &mut Session) -> Result<Option<Session>> {
    let others = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' \
                  AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') LIMIT 1";
    let events = "SELECT 1 FROM information_schema.EVENTS WHERE STATUS = 'ENABLED' AND @@GLOBAL.event_scheduler = 'ON' LIMIT 1";
    for sql in [others, events] {
        if !reader.rows("look whom a backup stage would stop", sql)?.is_empty() {
            return Ok(None);
        }
    }
    let mut session = store.session(Talk::Text, None)?;
    session.set("SESSION lock_wait_timeout = 1")?;
    for stage in ["START", "BLOCK_DDL"] {
        // Another backup holds it, a definition is being changed, the user may not: the metadata locks do.
        if session.attempt("keep migrations waiting", &format!("BACKUP STAGE {stage}"))?.is_err() {
            return Ok(None);
        }
    }
    Ok(Some(session))
}

const fn described(way: Way) -> &'static str {
    match way {
        Way::BackupStage => "commits that waited for a moment",
        Way::TableLocks => "read locks on every table",
        Way::OneConnection => "one connection",
    }
}

/// Tables that know no transactions are read as they are at the moment of reading.
fn outside_of_the_view(schema: &Schema) -> Vec<String> {
    let outside = schema.tables.iter().filter(|table| !table.is_in_the_view());
    outside
        .map(|table| format!("table {:?} has engine {}: its rows are not part of the consistent view", table.name, table.engine))
        .collect()
}
