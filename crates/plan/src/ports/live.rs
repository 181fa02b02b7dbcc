//! Live stores: a few values by name, which a restore sets right beside what it loads; and all of one, read for a comparison.

use serde::{Deserialize, Serialize};

use super::{Context, FileReader, KeyReader, Problem, RowReader};
use crate::Result;

/// A key of a logical database, as 3scale names both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LiveKey {
    /// The database's label in a set: `storage`, `queues`, `system`.
    pub database: String,
    /// The key, without what an installation may put before all its keys.
    pub key: String,
}

/// Nobody has counted ids beyond this one: what is larger is garbage, and nothing goes on behind it. Up to here a double holds whole numbers exactly, as the scores of
/// Backend's events are (`lib/3scale/backend/event_storage.rb` of apisonator).
pub const LARGEST_ID: u64 = 1 << 53;

/// Members that a sorted set is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The sorted set.
    pub of: LiveKey,
    /// Score and member.
    pub members: Vec<(i64, String)>,
}

/// Single keys of a live key-value store, and all of one of its databases.
pub trait LiveKeys: Send + Sync {
    /// What the user lacks for the calls of a session. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn lacks(&self, context: &Context) -> Result<Option<Problem>>;

    /// For several calls one after the other. Connects at the first one to each server, so that what waits for the calls does not wait for connections too.
    fn session<'a>(&'a self, context: &'a Context) -> Box<dyn KeySession + 'a>;

    /// Reads a logical database, by its label, in any order; a key may be told twice. Changes nothing, and needs no more rights than a backup.
    ///
    /// # Errors
    /// When it cannot be read, or is half replaced by a run; what the reader says.
    fn read(&self, context: &Context, database: &str, reader: &mut dyn KeyReader) -> Result<()>;
}

/// A few keys of a live key-value store. No call reads or changes another key than the one that it names.
pub trait KeySession {
    /// The members of a sorted set, by their score; none when there is no such key.
    ///
    /// # Errors
    /// When the store cannot be asked, or the key is of another type.
    fn members(&mut self, of: &LiveKey) -> Result<Vec<String>>;

    /// Adds members to a sorted set; those that are there stay.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn add_members(&mut self, members: &Members) -> Result<()>;

    /// Removes members from a sorted set; those that are not there are none.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn remove_members(&mut self, of: &LiveKey, members: &[String]) -> Result<()>;

    /// A field of a hash.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn field(&mut self, of: &LiveKey, field: &str) -> Result<Option<String>>;

    /// A counter; 0 when there is no such key.
    ///
    /// # Errors
    /// As [`KeySession::members`]; when it is no number.
    fn counter(&mut self, of: &LiveKey) -> Result<u64>;

    /// Sets a counter that is lower to this number.
    ///
    /// # Errors
    /// As [`KeySession::counter`].
    fn raise(&mut self, of: &LiveKey, to: u64) -> Result<()>;

    /// Takes back what [`KeySession::raise`] did: a counter that is exactly `from` becomes `to` again (0: there is no such key). One that was counted on since, also in
    /// this moment, stays, and the answer is `false`.
    ///
    /// # Errors
    /// As [`KeySession::counter`].
    fn lower(&mut self, of: &LiveKey, from: u64, to: u64) -> Result<bool>;

    /// Some members of a set, and where to go on: from 0 until that is 0 again, each member comes at least once.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn some_of_set(&mut self, of: &LiveKey, from: u64) -> Result<(Vec<String>, u64)>;

    /// The length of a list; 0 when there is no such key.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn length(&mut self, of: &LiveKey) -> Result<u64>;

    /// Removes members from a set.
    ///
    /// # Errors
    /// As [`KeySession::members`].
    fn remove_from_set(&mut self, of: &LiveKey, members: &[String]) -> Result<()>;
}

/// Questions to a live database, and its rows.
pub trait LiveRows: Send + Sync {
    /// For several questions one after the other; connects.
    ///
    /// # Errors
    /// When the database cannot be reached.
    fn session<'a>(&'a self, context: &'a Context) -> Result<Box<dyn RowSession + 'a>>;

    /// Reads the rows that are wanted, all as of one moment. Changes nothing, holds nobody up, and needs no more rights than a backup.
    ///
    /// # Errors
    /// When they cannot be read, or somebody would have waited for it; what the reader says.
    fn read(&self, context: &Context, reader: &mut dyn RowReader) -> Result<()>;
}

/// A few questions to a live database. One that cannot be answered harms no later one.
pub trait RowSession {
    /// The largest number in a column; 0 when there is no row, `None` when there is no such table or column.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn largest(&mut self, table: &str, column: &str) -> Result<Option<u64>>;

    /// Which of these rows there are, by their `id`.
    ///
    /// # Errors
    /// As [`RowSession::largest`].
    fn those_of(&mut self, table: &str, ids: &[u64]) -> Result<Vec<u64>>;

    /// How many rows a question that counts finds (`SELECT COUNT(*) …`); `None` when the tables or columns are not as it wants them.
    ///
    /// # Errors
    /// As [`RowSession::largest`].
    fn count(&mut self, question: &str) -> Result<Option<u64>>;

    /// Lets a table give no id below `to`. Gives where it would have gone on; `None` when that was as far, or it gives no ids.
    ///
    /// # Errors
    /// As [`RowSession::largest`]; when its ids are of a type that does not go so far.
    fn raise_next_id(&mut self, table: &str, to: u64) -> Result<Option<u64>>;

    /// The texts that a question of one column finds; none when the tables or columns are not as it wants them.
    ///
    /// # Errors
    /// As [`RowSession::largest`].
    fn texts(&mut self, question: &str) -> Result<Vec<String>>;
}

/// Questions over one session, as long as it answers: opened by the first, and anew by the one after a question that failed.
pub struct Asking<'a> {
    open: Box<dyn Fn() -> Result<Box<dyn RowSession + 'a>> + 'a>,
    session: Option<Box<dyn RowSession + 'a>>,
}

impl<'a> Asking<'a> {
    /// Nothing is opened yet.
    pub fn new(open: impl Fn() -> Result<Box<dyn RowSession + 'a>> + 'a) -> Self {
        Self { open: Box::new(open), session: None }
    }

    /// # Errors
    /// When no session can be opened; what the question says.
    pub fn ask<T>(&mut self, question: impl FnOnce(&mut dyn RowSession) -> Result<T>) -> Result<T> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => (self.open)()?,
        };
        let answer = question(session.as_mut())?;
        self.session = Some(session);
        Ok(answer)
    }
}

/// The files of a live store.
pub trait LiveFiles: Send + Sync {
    /// Lists them. A file that is made or removed meanwhile may be told or not.
    ///
    /// # Errors
    /// When some cannot be listed; what the reader says.
    fn each_file(&self, context: &Context, reader: &mut FileReader<'_>) -> Result<()>;
}
