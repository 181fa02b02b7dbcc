//! One connection with settings that do not depend on the server's configuration.
//!
//! Statements that change something go through [`Session::run`] only, so that a test can stop the work after any of them. Never puts a
//! statement's text into an error: it may hold data.

use std::sync::Arc;

use mysql::prelude::Queryable;
use mysql::{Conn, Row, Value};
use plan::{Class, Error, Result};

use crate::address::Address;

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
    pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(crate) const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub(crate) const NO_ROUTINE_CREATION: u16 = 1419;
    pub(crate) const NO_SUCH_DEFINER: u16 = 1449;
    pub(crate) const ACCESS_DENIED_SOCKET: u16 = 1698;
}

/// An open connection.
pub(crate) struct Session {
    pub(crate) conn: Conn,
    hook: Option<Hook>,
}

impl Session {
    /// Opens a connection; `database` becomes its default.
    pub(crate) fn open(address: &Address, talk: Talk, database: Option<&str>, hook: Option<Hook>) -> Result<Self> {
        let conn = Conn::new(address.options().db_name(database)).map_err(|error| login_error(address, error))?;
        let mut session = Self { conn, hook };
        let names = match talk {
            Talk::Text => "utf8mb4",
            Talk::Rows => "binary",
        };
        session.set(&format!("NAMES {names}"))?;
        session.set(&format!("SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00'"))?;
        for variable in [
            "sql_quote_show_create = 1",
            // A part may wait long for the repository, and a session for its turn.
            "net_write_timeout = 86400",
            "net_read_timeout = 86400",
            "wait_timeout = 2147483",
            "max_error_count = 65535",
            "max_execution_time = 0",
            "max_statement_time = 0",
            "information_schema_stats_expiry = 0",
            "sql_require_primary_key = 0",
            "sql_generate_invisible_primary_key = 0",
            "show_gipk_in_create_table_and_information_schema = 1",
            "sql_if_exists = 0",
        ] {
            session.set_if_possible(&format!("SESSION {variable}"))?;
        }
        Ok(session)
    }

    /// `SET …`: changes this session only.
    pub(crate) fn set(&mut self, what: &str) -> Result<()> {
        self.conn.query_drop(format!("SET {what}")).map_err(|error| query_error("set a variable of the session", error))
    }

    /// Like [`Self::set`], where the server may not know the variable or not let us set it. Returns whether it was set.
    pub(crate) fn set_if_possible(&mut self, what: &str) -> Result<bool> {
        match self.conn.query_drop(format!("SET {what}")) {
            Ok(()) => Ok(true),
            Err(mysql::Error::MySqlError(_)) => Ok(false),
            Err(error) => Err(query_error("set a variable of the session", error)),
        }
    }

    /// Runs a statement that changes something; returns the affected rows.
    pub(crate) fn run(&mut self, what: &str, sql: &str) -> Result<u64> {
        self.attempt(what, sql)?.map_err(|error| query_error(what, mysql::Error::MySqlError(error)))
    }

    /// Like [`Self::run`], with the server's own refusal as a value.
    pub(crate) fn attempt(&mut self, what: &str, sql: &str) -> Result<std::result::Result<u64, mysql::MySqlError>> {
        if let Some(hook) = &self.hook {
            hook(sql)?;
        }
        match self.conn.query_drop(sql) {
            Ok(()) => Ok(Ok(self.conn.affected_rows())),
            Err(mysql::Error::MySqlError(error)) => Ok(Err(error)),
            Err(error) => Err(query_error(what, error)),
        }
    }

    /// All rows of a small result.
    pub(crate) fn rows(&mut self, what: &str, sql: &str) -> Result<Vec<Record>> {
        let rows: Vec<Row> = self.conn.query(sql).map_err(|error| query_error(what, error))?;
        Ok(rows.into_iter().map(Record).collect())
    }

    /// All rows of a small result; none when the server refuses.
    pub(crate) fn rows_if_possible(&mut self, what: &str, sql: &str) -> Result<Option<Vec<Record>>> {
        match self.conn.query::<Row, _>(sql) {
            Ok(rows) => Ok(Some(rows.into_iter().map(Record).collect())),
            Err(mysql::Error::MySqlError(_)) => Ok(None),
            Err(error) => Err(query_error(what, error)),
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

    /// Number of this connection on the server.
    pub(crate) fn id(&self) -> u32 {
        self.conn.connection_id()
    }
}

/// A row of a small result.
pub(crate) struct Record(Row);

impl Record {
    /// The bytes of a cell; `None` for NULL and for a column that is not there.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        match self.0.as_ref(index) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// A cell as text.
    pub(crate) fn maybe(&self, index: usize) -> Result<Option<String>> {
        self.bytes(index)
            .map(|bytes| {
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| Error::failed(format!("{:?} of the server's answer is not UTF-8", self.column(index))))
            })
            .transpose()
    }

    /// A cell as text; empty for NULL.
    pub(crate) fn text(&self, index: usize) -> Result<String> {
        Ok(self.maybe(index)?.unwrap_or_default())
    }

    /// A cell as a number; 0 for NULL and for what is not one.
    pub(crate) fn number(&self, index: usize) -> u64 {
        self.bytes(index).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A cell by its column's name, in any case.
    pub(crate) fn named(&self, name: &str) -> Result<Option<String>> {
        let found = self.0.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case(name));
        found.map_or(Ok(None), |index| self.maybe(index))
    }

    fn column(&self, index: usize) -> String {
        self.0.columns_ref().get(index).map(|column| column.name_str().into_owned()).unwrap_or_default()
    }
}

/// An error while logging in.
fn login_error(address: &Address, error: mysql::Error) -> Error {
    let place = address.server();
    match &error {
        mysql::Error::MySqlError(refusal) => match refusal.code {
            code::ACCESS_DENIED | code::ACCESS_DENIED_SOCKET => {
                Error::refused(format!("{place} refuses the login of user {:?}", address.user))
                    .because(error)
                    .hint("Check user name and password.")
            }
            code::DB_ACCESS_DENIED => Error::refused(format!("user {:?} may not use the database", address.user))
                .because(error)
                .hint(format!("GRANT ALL ON {}.* TO that user.", crate::quote::name(&address.database))),
            code::UNKNOWN_DATABASE => {
                Error::refused(format!("no such database on {place}")).because(error).hint("Check the database in the address.")
            }
            _ => Error::transient(format!("{place} does not accept the connection")).because(error),
        },
        mysql::Error::TlsError(_) => Error::refused(format!("no TLS connection with {place}"))
            .because(error)
            .hint("Check the TLS mode, the CA and the client certificate."),
        _ => Error::transient(format!("cannot reach {place}"))
            .because(error)
            .hint("Check that the server runs and that the address is right."),
    }
}

/// An error of a statement.
pub(crate) fn query_error(what: &str, error: mysql::Error) -> Error {
    let class = match &error {
        mysql::Error::MySqlError(refusal) => match refusal.code {
            code::LOCK_WAIT_TIMEOUT => Class::Transient,
            _ => Class::Failed,
        },
        _ => Class::Failed,
    };
    Error::new(class, format!("failed to {what}")).because(error)
}
