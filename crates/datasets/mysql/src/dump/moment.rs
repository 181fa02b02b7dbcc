//! The one moment at which the transactions of all workers begin.
//!
//! The application waits for it as little as there is: no tables are flushed (a flush that waits for a long statement cannot be taken back: everybody who wants
//! the table waits for that statement), commits are kept out for the milliseconds that the transactions need to begin, and a lock that is not had at once is given
//! back. When it cannot be had within the limit, one connection reads everything: one transaction is always of one moment.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ports::Context;
use plan::{Class, Result};

use crate::blockers;
use crate::quote;
use crate::server::{Kind, Server, Version};
use crate::session::{Session, code, query_error};

/// Between two tries, for the application.
const PAUSE: Duration = Duration::from_millis(700);
/// A lock that is waited for longer is given back: writers may wait behind it.
const PATIENCE: Duration = Duration::from_millis(300);

/// How the transactions were made to see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// MariaDB's backup stage, in which commits wait.
    BackupStage,
    /// Read locks on every table.
    TableLocks,
    /// One transaction only.
    OneConnection,
}

/// The moment, when it has passed.
pub(super) struct Moment {
    pub(super) way: Way,
    pub(super) at: Timestamp,
    /// Where the binary log stood; empty when that is not known.
    pub(super) position: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
}

/// Whom the moment concerns.
pub(super) struct Hands<'a> {
    pub(super) server: &'a Server,
    /// Takes the locks.
    pub(super) locker: &'a mut Session,
    /// Ends a wait of the locker.
    pub(super) control: &'a mut Session,
    pub(super) workers: &'a mut Vec<Session>,
}

/// Begins the transactions of all workers at one moment; where that cannot be had, leaves one worker.
pub(super) fn begin(hands: &mut Hands<'_>, context: &Context, database: &str, tables: &[String], limit: Duration) -> Result<Moment> {
    let mut warnings = Vec::new();
    if hands.workers.len() > 1 {
        let ways: &[Way] = if hands.server.kind == Kind::Mariadb { &[Way::BackupStage, Way::TableLocks] } else { &[Way::TableLocks] };
        for &way in ways {
            match patiently(hands, context, way, database, tables, limit)? {
                Had::Yes(moment) => return Ok(moment),
                Had::Denied => {}
                Had::NotInTime(text) => {
                    warnings.push(text);
                    break;
                }
            }
        }
        hands.workers.truncate(1);
        if warnings.is_empty() {
            let missing = if hands.server.kind == Kind::Mariadb { "RELOAD and LOCK TABLES" } else { "LOCK TABLES" };
            warnings.push(format!("the user lacks {missing}: the dump was taken through one connection only, which is slower"));
        }
    }
    let at = open(hands.workers)?;
    Ok(Moment { way: Way::OneConnection, at, position: position(hands.locker, hands.server)?, warnings })
}

enum Had {
    Yes(Moment),
    Denied,
    /// With what was in the way.
    NotInTime(String),
}

fn patiently(hands: &mut Hands<'_>, context: &Context, way: Way, database: &str, tables: &[String], limit: Duration) -> Result<Had> {
    let begin = Instant::now();
    loop {
        context.stop.check()?;
        let locked = match way {
            Way::BackupStage => block_commits(hands.locker),
            _ => lock_tables(hands, database, tables),
        };
        let had = match locked {
            Ok(true) => {
                let moment = open(hands.workers)
                    .and_then(|at| Ok(Moment { way, at, position: position(hands.locker, hands.server)?, warnings: Vec::new() }));
                release(hands.locker, way)?;
                return moment.map(Had::Yes);
            }
            Ok(false) => Ok(Had::Denied),
            Err(error) if error.class() == Class::Transient && hands.locker.is_alive() => Err(()),
            Err(error) => return Err(error),
        };
        release(hands.locker, way)?;
        if let Ok(had) = had {
            return Ok(had);
        }
        if begin.elapsed() >= limit {
            let who = blockers::list(hands.locker).join("; ");
            let who = if who.is_empty() { "nobody who can be seen (GRANT PROCESS)".to_owned() } else { who };
            return Ok(Had::NotInTime(format!(
                "the moment for several connections could not be had in {} s, so the dump was taken through one, which is slower; in the way may be: {who}",
                limit.as_secs()
            )));
        }
        std::thread::sleep(PAUSE.min(limit));
    }
}

/// Commits wait from here on, statements do not. `false` where the user may not.
fn block_commits(locker: &mut Session) -> Result<bool> {
    locker.set("SESSION lock_wait_timeout = 1")?;
    for stage in ["START", "BLOCK_COMMIT"] {
        let what = "keep commits out for a moment";
        match locker.attempt(what, &format!("BACKUP STAGE {stage}"))? {
            Ok(_) => {}
            Err(error) if code::is_denied(error.code) => return Ok(false),
            Err(error) => return Err(query_error(what, mysql::Error::MySqlError(error))),
        }
    }
    Ok(true)
}

/// `false` where the user may not. A wait is ended from outside: the server's own limit is in whole seconds.
fn lock_tables(hands: &mut Hands<'_>, database: &str, tables: &[String]) -> Result<bool> {
    if tables.is_empty() {
        return Ok(true);
    }
    if hands.server.kind == Kind::Mariadb {
        // Without autocommit, InnoDB waits for transactions that have written: MySQL's metadata locks do that already.
        hands.locker.set("SESSION autocommit = 0")?;
    }
    hands.locker.set("SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")?;
    let list: Vec<String> = tables.iter().map(|table| format!("{} READ", quote::qualified(database, table))).collect();
    let sql = format!("LOCK TABLES {}", list.join(", "));
    let (what, id) = ("lock the tables for reading", hands.locker.id());
    let (locker, control) = (&mut *hands.locker, &mut *hands.control);
    let outcome = std::thread::scope(|scope| {
        let (done, ended) = crossbeam_channel::bounded::<()>(0);
        scope.spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                drop(control.rows_if_possible("give up a lock", &format!("KILL QUERY {id}")));
            }
        });
        let outcome = locker.attempt(what, &sql);
        drop(done);
        outcome
    })?;
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if code::is_denied(error.code) => Ok(false),
        Err(error) => Err(query_error(what, mysql::Error::MySqlError(error))),
    }
}

/// Gives back whatever of the locks was had.
fn release(locker: &mut Session, way: Way) -> Result<()> {
    match way {
        // Without a stage it is refused: none was had.
        Way::BackupStage => drop(locker.attempt("let commits go on", "BACKUP STAGE END")?),
        _ => {
            // A KILL that came late hits the next statement: that is this one, or none.
            drop(locker.rows_if_possible("release the read lock", "DO 1")?);
            locker.rows("release the read lock", "UNLOCK TABLES")?;
            locker.set("SESSION autocommit = 1")?;
        }
    }
    Ok(())
}

/// All at once where there are several: each takes a moment of the server.
fn open(workers: &mut [Session]) -> Result<Timestamp> {
    for worker in workers {
        worker.rows("begin a transaction", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
    }
    Ok(Timestamp::now())
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
