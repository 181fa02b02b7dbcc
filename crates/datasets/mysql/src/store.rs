//! The data set: its verbs, each in a file of its own.

use std::sync::Arc;

use plan::Result;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Discard, Dump, Findings, Held, Leftover, Place, Problem, Road, Snapshot, StoreKind, Undone};

use crate::address::Address;
use crate::place::Schemas;
use crate::server::Server;
use crate::session::{Hook, Session, Talk};
use crate::{chunk, cut_over, discard, dump, fits, identity, leftovers, lock, look, prove, reserve, stage};

/// Whether a restore is written to the server's binary log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogBin {
    /// Not when the server has no replicas and the privilege is there: it is quicker, and nobody reads the log.
    #[default]
    Auto,
    /// Always.
    Always,
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
    /// Size of a chunk by the server's own estimate, in bytes. Changing it costs deduplication with earlier sets.
    pub chunk_bytes: u64,
    /// Load by `INSERT` even where the server takes local files.
    pub insert_only: bool,
    /// Called before every changing statement of a verb.
    pub(crate) hook: Option<Hook>,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_bin: LogBin::Auto, lock_wait_seconds: 30, chunk_bytes: chunk::CHUNK_BYTES, insert_only: false, hook: None }
    }
}

/// A database on MySQL or MariaDB.
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

    /// A session of a restore: bounded waits, and in the binary log only when the whole run is.
    pub(crate) fn restoring(&self, talk: Talk, schemas: &Schemas, database: Option<&str>) -> Result<Session> {
        let mut session = self.session(talk, database)?;
        session.set(&format!("SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}", self.options.lock_wait_seconds))?;
        session.set("SESSION foreign_key_checks = 0, unique_checks = 0")?;
        if !schemas.logged {
            session.set("SESSION sql_log_bin = 0")?;
        }
        Ok(session)
    }

    fn schemas(&self, place: &Place) -> Result<Schemas> {
        Schemas::from_place(place, &self.address.database)
    }
}

impl DataSet for MysqlStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        let mut session = self.session(Talk::Text, None)?;
        Ok(Server::ask(&mut session)?.kind.into())
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        let mut session = self.session(Talk::Text, None)?;
        let server = Server::ask(&mut session)?;
        identity::of(&mut session, &server, &self.address.database)
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(self, context)
    }

    fn fits(&self, _context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        fits::fits(self, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        Ok(Box::new(dump::begin(self, context)?))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        reserve::reserve(self, context, road)?.to_place()
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, _kept: &KeptDataSet) -> Result<()> {
        stage::stage(self, context, &self.schemas(place)?, &*snapshot)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        prove::prove(self, context, &self.schemas(place)?, kept)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        cut_over::cut_over(self, context, &self.schemas(place)?)
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        cut_over::undo(self, context, &self.schemas(place)?)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        discard::discard(self, context, &self.schemas(place)?, what)
    }

    fn kept_bytes(&self, _context: &Context, place: &Place) -> Result<u64> {
        discard::kept_bytes(self, &self.schemas(place)?)
    }

    fn lock(&self, _context: &Context) -> Result<Option<Box<dyn Held>>> {
        lock::take(self).map(Some)
    }

    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        leftovers::list(self)
    }

    fn remove_leftover(&self, _context: &Context, leftover: &Leftover) -> Result<()> {
        leftovers::remove(self, leftover)
    }
}
