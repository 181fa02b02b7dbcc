//! One connection with settings that do not depend on the server's configuration.
//!
//! Statements that change something go through [`Session::run`] only, so that a test can stop the work after any of them. Never puts a
//! statement's text into an error: it may hold data.

mod answer;
mod failure;
mod giving_way;
mod login;
mod transaction;
mod variables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use line::{Line, Waiting};
use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use plan::{Error, Result};

use crate::address::Address;
use crate::asker::Asker;
use crate::secure::EndsTls;

pub(crate) use answer::Answer;
pub(crate) use failure::{is_forbidden, query_error};
use giving_way::GivingWay;
use login::login_error;

/// Called with every changing statement before it runs; an error stops the work there.
pub(crate) type Hook = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// What the session talks: text in UTF-8, or the bytes of rows as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Definitions: names and statements in UTF-8.
    Text,
    /// Rows: no conversion of characters in either direction.
    Rows,
}

/// The `sql_mode` of every session: zero values and ids are taken literally, invalid dates are taken as they were stored.
pub(crate) const SQL_MODE: &str = "NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES";

/// Server error codes that this program acts on (MySQL Server Error Message Reference).
pub(crate) mod code {
    pub(crate) const DB_ACCESS_DENIED: u16 = 1044;
    pub(crate) const ACCESS_DENIED: u16 = 1045;
    pub(crate) const UNKNOWN_DATABASE: u16 = 1049;
    pub(crate) const TABLE_ACCESS_DENIED: u16 = 1142;
    pub(crate) const NO_SUCH_TABLE: u16 = 1146;
    pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(crate) const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub(crate) const DEADLOCK: u16 = 1213;
    /// Ended by a `KILL QUERY`.
    pub(crate) const INTERRUPTED: u16 = 1317;
    pub(crate) const NO_ROUTINE_CREATION: u16 = 1419;
    pub(crate) const NO_SUCH_DEFINER: u16 = 1449;
    pub(crate) const ACCESS_DENIED_SOCKET: u16 = 1698;
    pub(crate) const HOST_BLOCKED: u16 = 1129;
    pub(crate) const HOST_UNKNOWN: u16 = 1130;
    /// MySQL, MariaDB.
    pub(crate) const PASSWORD_EXPIRED: [u16; 2] = [1820, 1862];
    /// MySQL, MariaDB.
    pub(crate) const ACCOUNT_LOCKED: [u16; 2] = [3118, 4151];
    /// MySQL, MariaDB.
    pub(crate) const TLS_WANTED: [u16; 2] = [3159, 4172];
    /// The user may not: on the schema, the table, a column (1143), a routine (1370), at all.
    pub(crate) const fn is_denied(code: u16) -> bool {
        matches!(code, SPECIFIC_ACCESS_DENIED | DB_ACCESS_DENIED | ACCESS_DENIED | TABLE_ACCESS_DENIED | 1143 | 1370)
    }

    /// The server or the connection went away, or has no room: the same call may work later.
    pub(crate) const PASSING: [u16; 14] = [1040, 1053, 1077, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 3169];
    /// The same, at the login: no memory, no thread, offline mode.
    pub(crate) const PASSING_AT_LOGIN: [u16; 7] = [1037, 1038, 1041, 1135, 1156, 1157, 3032];
}

/// An open connection.
pub(crate) struct Session {
    // Before its line: it says good-bye.
    pub(crate) conn: Conn,
    hook: Option<Hook>,
    asker: Option<Arc<Asker>>,
    line: Option<Line>,
    giving_way: Option<Arc<GivingWay>>,
    is_in_transaction: bool,
}

/// Logs in; over the network, through a line.
pub(crate) fn connect(address: &Address, database: Option<&str>) -> Result<(Conn, Option<Line>)> {
    if address.socket.is_some() || !(address.tls.is_on() || address.prefers_tls) {
        return connect_with(address, database, None);
    }
    let secure = Arc::new(EndsTls::new(address)?);
    match connect_with(address, database, Some(Arc::clone(&secure))) {
        Err(_) if address.prefers_tls && secure.had_none() => connect_with(address, database, None),
        connected => connected,
    }
}

fn connect_with(address: &Address, database: Option<&str>, secure: Option<Arc<EndsTls>>) -> Result<(Conn, Option<Line>)> {
    let line = match (&address.socket, secure) {
        (Some(_), _) => None,
        (None, Some(secure)) => Some(Line::ending_tls(&address.host, address.port, &address.limits, secure)?),
        (None, None) => Some(Line::open(&address.host, address.port, &address.limits)?),
    };
    let waiting = line.as_ref().map(Line::waiting);
    let options = address.options(line.as_ref().map(Line::door)).db_name(database);
    let conn = Conn::new(options).map_err(|error| {
        let error = login_error(address, error);
        line.as_ref().and_then(Line::fault).unwrap_or(error)
    })?;
    drop(waiting);
    Ok((conn, line))
}

impl Session {
    /// Opens a connection; `database` becomes its default.
    pub(crate) fn open(address: &Address, talk: Talk, database: Option<&str>, hook: Option<Hook>) -> Result<Self> {
        let (conn, line) = connect(address, database)?;
        let asker = line.as_ref().map(|line| {
            let asker = Arc::new(Asker::new(address.clone(), conn.connection_id()));
            line.set_peer(Arc::clone(&asker) as Arc<dyn line::Peer>);
            asker
        });
        let mut session = Self { conn, hook, asker, line, giving_way: None, is_in_transaction: false };
        let names = match talk {
            Talk::Text => "utf8mb4",
            Talk::Rows => "binary",
        };
        session.set(&format!("NAMES {names}"))?;
        session.set(variables::FIRST)?;
        session.set(&format!("SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00'"))?;
        session.pin()?;
        Ok(session)
    }

    /// Gives every variable of the list its value, as far as the server knows it: in one statement, or one by one where the user may not set all of them.
    fn pin(&mut self) -> Result<()> {
        let asked = self.rows("read the session's variables", &variables::question())?;
        let mut found = BTreeMap::new();
        for record in &asked {
            found.insert(record.text(0)?.to_ascii_lowercase(), record.text(1)?);
        }
        let differ = |name: &str, value: &str| found.get(name).is_some_and(|is| !is.eq_ignore_ascii_case(value));
        let wrong: Vec<_> = variables::pinned().filter(|(name, value, _)| differ(name, value)).collect();
        let assignments: Vec<String> = wrong.iter().map(|(name, value, _)| variables::assignment(name, value)).collect();
        if wrong.is_empty() || self.set_if_possible(&format!("SESSION {}", assignments.join(", ")))? {
            return Ok(());
        }
        for ((name, value, must), assignment) in wrong.iter().zip(&assignments) {
            let assignment = format!("SESSION {assignment}");
            if !*must {
                self.set_if_possible(&assignment)?;
                continue;
            }
            self.set(&assignment).map_err(|error| {
                let is = found.get(*name).map(String::as_str).unwrap_or_default();
                error.hint(format!("{name} is {is:?} on the server, and this session needs {value:?}: SET GLOBAL {name} = DEFAULT, or a user who may set it."))
            })?;
        }
        Ok(())
    }

    /// What a load needs besides: rows and definitions that an older rule, or a session without rules, let in. Where the user may not set one of them, the
    /// server says so at the object that needs it.
    pub(crate) fn allow_what_was_allowed(&mut self) -> Result<()> {
        self.set("SESSION foreign_key_checks = 0, unique_checks = 0")?;
        for setting in [
            "check_constraint_checks = 0",
            "innodb_strict_mode = 0",
            "restrict_fk_on_non_standard_key = 0",
            "system_versioning_alter_history = 'KEEP'",
            "system_versioning_insert_history = 1",
        ] {
            self.set_if_possible(&format!("SESSION {setting}"))?;
        }
        Ok(())
    }

    /// A signal waits for the statements of this session: they are short, and better not torn.
    pub(crate) fn be_patient(&self) {
        self.asker.iter().for_each(|asker| asker.be_patient());
    }

    /// Nobody waits for long behind a changing statement of this session: one that waits for a lock gives way, and is tried again for `limit`; for `patience` after
    /// [`Self::insist`].
    pub(crate) fn give_way(&mut self, address: &Address, limit: Duration, patience: Duration) {
        self.giving_way = Some(Arc::new(GivingWay::new(address.clone(), limit, patience)));
    }

    /// What is begun is to be ended: locks are tried for longer, and others still wait for moments only.
    pub(crate) fn insist(&mut self) {
        self.giving_way = self.giving_way.take().map(|giving_way| Arc::new(giving_way.insisting()));
    }

    /// Makes a database this session's default.
    pub(crate) fn enter(&mut self, database: &str) -> Result<()> {
        self.rows("choose the database", &format!("USE {}", crate::quote::name(database))).map(drop)
    }

    /// Makes the address's database this session's default, if it is there.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when this user may not use it.
    pub(crate) fn enter_if_there(&mut self, address: &Address) -> Result<bool> {
        let _waiting = self.waiting();
        match self.conn.query_drop(format!("USE {}", crate::quote::name(&address.database))) {
            Ok(()) => Ok(true),
            Err(mysql::Error::MySqlError(refusal)) if refusal.code == code::UNKNOWN_DATABASE => Ok(false),
            Err(error @ mysql::Error::MySqlError(_)) => Err(login_error(address, error)),
            Err(error) => Err(self.failure("choose the database", error)),
        }
    }

    /// The server is waited for, as long as that lives.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.line.as_ref().map(Line::waiting)
    }

    /// An error of the library: when the line was cut, that is what it means.
    pub(crate) fn failure(&self, what: &str, error: mysql::Error) -> Error {
        explained(self.line.as_ref(), query_error(what, error))
    }

    /// Whether the server still answers here.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.rows_if_possible("see whether the server answers", "SELECT 1").is_ok()
    }

    /// `SET …`: changes this session only.
    pub(crate) fn set(&mut self, what: &str) -> Result<()> {
        let _waiting = self.waiting();
        self.conn.query_drop(format!("SET {what}")).map_err(|error| self.failure("set a variable of the session", error))
    }

    /// Like [`Self::set`], where the server may not know the variable or not let us set it. Returns whether it was set.
    pub(crate) fn set_if_possible(&mut self, what: &str) -> Result<bool> {
        let _waiting = self.waiting();
        match self.conn.query_drop(format!("SET {what}")) {
            Ok(()) => Ok(true),
            Err(mysql::Error::MySqlError(_)) => Ok(false),
            Err(error) => Err(self.failure("set a variable of the session", error)),
        }
    }

    /// Runs a statement that changes something; returns the affected rows.
    pub(crate) fn run(&mut self, what: &str, sql: &str) -> Result<u64> {
        self.attempt(what, sql)?.map_err(|error| query_error(what, mysql::Error::MySqlError(error)))
    }

    /// Like [`Self::run`], with the server's own refusal as a value. Nobody waits for long behind it where [`Self::give_way`] says so: what waits for a lock is ended,
    /// and what was ended for another's sake (a deadlock) is tried again, unless a transaction went with it.
    pub(crate) fn attempt(&mut self, what: &str, sql: &str) -> Result<std::result::Result<u64, mysql::MySqlError>> {
        if let Some(hook) = &self.hook {
            hook(sql)?;
        }
        let Some(giving_way) = self.giving_way.clone() else { return self.once(what, sql) };
        let begin = Instant::now();
        loop {
            let (outcome, is_ended) = giving_way.watched(self.id(), || self.once(what, sql));
            if is_ended {
                // An end that came late hits the next statement: that is this one.
                self.rows_if_possible("go on after a wait", "DO 1")?;
            }
            match outcome? {
                Err(error)
                    if begin.elapsed() < giving_way.limit
                        && (is_ended && error.code == code::INTERRUPTED || error.code == code::DEADLOCK && !self.is_in_transaction) =>
                {
                    std::thread::sleep(giving_way::PAUSE);
                }
                Err(error) if is_ended && error.code == code::INTERRUPTED => {
                    return Ok(Err(mysql::MySqlError {
                        code: code::LOCK_WAIT_TIMEOUT,
                        message: "the lock was not had in time".into(),
                        ..error
                    }));
                }
                outcome => return Ok(outcome),
            }
        }
    }

    fn once(&mut self, what: &str, sql: &str) -> Result<std::result::Result<u64, mysql::MySqlError>> {
        let _waiting = self.waiting();
        match self.conn.query_drop(sql) {
            Ok(()) => Ok(Ok(self.conn.affected_rows())),
            Err(mysql::Error::MySqlError(error)) => Ok(Err(error)),
            Err(error) => Err(self.failure(what, error)),
        }
    }

    /// Like [`Self::attempt`], of a statement that may be refused for good: what the server has against it.
    ///
    /// # Errors
    /// When the same call may work later: a lock, a lost connection.
    pub(crate) fn refusal(&mut self, what: &str, sql: &str) -> Result<Option<mysql::MySqlError>> {
        match self.attempt(what, sql)? {
            Ok(_) => Ok(None),
            Err(error) if code::PASSING.contains(&error.code) => Err(query_error(what, mysql::Error::MySqlError(error))),
            Err(error) => Ok(Some(error)),
        }
    }

    /// All rows of a small result.
    pub(crate) fn rows(&mut self, what: &str, sql: &str) -> Result<Vec<Answer>> {
        let _waiting = self.waiting();
        let rows: Vec<Row> = self.conn.query(sql).map_err(|error| self.failure(what, error))?;
        Ok(rows.into_iter().map(Answer::new).collect())
    }

    /// What the server has against a statement that only reads.
    ///
    /// # Errors
    /// When the same call may work later: a lock, a lost connection.
    pub(crate) fn refused(&mut self, what: &str, sql: &str) -> Result<Option<mysql::MySqlError>> {
        let _waiting = self.waiting();
        match self.conn.query::<Row, _>(sql) {
            Ok(_) => Ok(None),
            Err(mysql::Error::MySqlError(refusal)) if !code::PASSING.contains(&refusal.code) => Ok(Some(refusal)),
            Err(error) => Err(self.failure(what, error)),
        }
    }

    /// All rows of a small result; none when the server refuses.
    pub(crate) fn rows_if_possible(&mut self, what: &str, sql: &str) -> Result<Option<Vec<Answer>>> {
        let _waiting = self.waiting();
        match self.conn.query::<Row, _>(sql) {
            Ok(rows) => Ok(Some(rows.into_iter().map(Answer::new).collect())),
            Err(mysql::Error::MySqlError(_)) => Ok(None),
            Err(error) => Err(self.failure(what, error)),
        }
    }

    /// The first cell of the first row, as text.
    pub(crate) fn value(&mut self, what: &str, sql: &str) -> Result<Option<String>> {
        self.rows(what, sql)?.first().map_or(Ok(None), |record| record.maybe(0))
    }

    /// A global or session variable; `None` when the server does not know it.
    pub(crate) fn variable(&mut self, name: &str) -> Result<Option<String>> {
        Ok(match self.rows_if_possible("read a variable", &format!("SELECT @@{name}"))? {
            Some(rows) => rows.first().map_or(Ok(None), |record| record.maybe(0))?,
            None => None,
        })
    }

    /// Rows of a large result, one by one. Who takes long over one pauses the waiting.
    pub(crate) fn stream(&mut self, what: &str, sql: &str, mut take: impl FnMut(Row, Option<&Waiting>) -> Result<()>) -> Result<()> {
        let line = self.line.as_ref();
        // Lives longer than the result, which reads to its end when it is dropped.
        let waiting = line.map(Line::waiting);
        let fail = |error| explained(line, query_error(what, error));
        let mut result = self.conn.query_iter(sql).map_err(fail)?;
        while let Some(set) = result.iter() {
            for row in set {
                take(row.map_err(fail)?, waiting.as_ref())?;
            }
        }
        Ok(())
    }

    /// Lets the server read a statement without running it. More than one are none.
    pub(crate) fn prepare(&mut self, what: &str, sql: &str) -> Result<()> {
        let statement = self.conn.prep(sql).map_err(|error| query_error(what, error))?;
        self.conn.close(statement).map_err(|error| query_error(what, error))
    }

    /// Number of this connection on the server.
    pub(crate) fn id(&self) -> u32 {
        self.conn.connection_id()
    }
}

fn explained(line: Option<&Line>, error: Error) -> Error {
    match line {
        Some(line) => line.explain(error),
        None => error,
    }
}

#[cfg(test)]
pub(crate) fn is_in_the_list_of_variables(name: &str) -> bool {
    variables::rule(name).is_some()
}
