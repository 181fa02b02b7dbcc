//! The data set and how its sessions are opened; its verbs are listed in `data_set.rs`.

use std::time::Duration;

use plan::Result;
use plan::ids::DataSetName;

use crate::address::Address;
use crate::chunk;
use crate::place::Schemas;
use crate::session::{Hook, Session, Talk};

/// Whether a restore is written to the server's binary log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogBin {
    /// Always: replicas that are down now, or are made later from a copy and the log, and a recovery to a point in time get what the server gets.
    #[default]
    Always,
    /// Not when no replica can be seen and the privilege is there: it is quicker, and nobody reads the log now.
    Auto,
    /// Never; refused where the privilege is missing.
    Never,
}

/// Options of the data set.
#[derive(Clone)]
pub struct Options {
    /// Whether a restore is written to the binary log.
    pub log_bin: LogBin,
    /// How long any lock is waited for: the moment of a snapshot, the swap. In seconds.
    pub lock_wait_seconds: u32,
    /// How long a lock is tried for when half of a swap is done.
    pub(crate) insist_on_locks_for: Duration,
    /// Size of a chunk by the server's own estimate, in bytes. Changing it costs deduplication with earlier sets.
    pub chunk_bytes: u64,
    /// Load by `INSERT` even where the server takes local files.
    pub insert_only: bool,
    /// Called before every changing statement of a verb.
    pub(crate) hook: Option<Hook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_bin: LogBin::Always,
            lock_wait_seconds: 30,
            insist_on_locks_for: Duration::from_secs(120),
            chunk_bytes: chunk::CHUNK_BYTES,
            insert_only: false,
            hook: None,
        }
    }
}

/// A database on MySQL or MariaDB.
#[derive(Clone)]
pub struct MysqlStore {
    pub(crate) name: DataSetName,
    pub(crate) address: Address,
    pub(crate) options: Options,
}

impl MysqlStore {
    /// A database at an address. Connects to nothing yet.
    #[must_use]
    pub const fn new(name: DataSetName, address: Address, options: Options) -> Self {
        Self { name, address, options }
    }

    /// A new session.
    pub(crate) fn session(&self, talk: Talk, database: Option<&str>) -> Result<Session> {
        Session::open(&self.address, talk, database, self.options.hook.clone())
    }

    /// A new session, with the database as its default if that is there: somebody may have dropped it.
    pub(crate) fn session_if_there(&self, talk: Talk) -> Result<(Session, bool)> {
        let mut session = self.session(talk, None)?;
        let is_there = session.enter_if_there(&self.address)?;
        Ok((session, is_there))
    }

    /// A session of a restore: bounded waits, and in the binary log only when the whole run is.
    pub(crate) fn restoring(&self, talk: Talk, schemas: &Schemas, database: Option<&str>) -> Result<Session> {
        let mut session = self.session(talk, database)?;
        session.set(&format!("SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}", self.options.lock_wait_seconds))?;
        session.give_way(&self.address, Duration::from_secs(self.options.lock_wait_seconds.into()), self.options.insist_on_locks_for);
        session.allow_what_was_allowed()?;
        if !schemas.logged {
            session.set("SESSION sql_log_bin = 0")?;
        }
        Ok(session)
    }
}
