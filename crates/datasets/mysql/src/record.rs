//! The record of a cut-over, in a table of the `before` schema (where there is none, of the live one): what the set brings, what the live database had, and how far the swap came.
//!
//! It is written before anything is dropped, so that a cut-over or an undo that was interrupted anywhere can go on, without the repository.

use plan::ids::RunId;
use plan::ports::Mark;
use plan::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::place::{self, Schemas};
use crate::quote;
use crate::schema::read;
use crate::session::Session;

/// The table's name.
pub(crate) const TABLE: &str = "threescale_backup_record";
/// A document is kept in pieces, which fit into any `max_allowed_packet`.
const PIECE_BYTES: usize = 256 << 10;

/// How far a swap came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// The load has begun.
    Staging,
    /// The load is whole.
    Staged,
    /// What the live database has is saved; its objects may be gone, its tables are still there.
    Saved,
    /// The tables are swapped; objects may be missing.
    Swapped,
    /// The cut-over is whole.
    Done,
    /// An undo has begun.
    Undoing,
    /// The undo is whole.
    Undone,
}

/// The documents of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Document {
    State,
    /// The set's schema.
    Set,
    /// The live database's objects, and the names of its tables.
    Live,
    /// `local_infile` of the server, when it was changed for the load.
    LocalInfile,
    /// Whose run it is; not in records of 0.1.0.
    Mark,
    /// The live database, whose name may be cut in that of the schema; not in records of 0.1.0.
    Database,
    /// The run that was swapped in over this one: what is live is not this run's. Written by that run.
    Covered,
    /// What of the set the server refuses, with the definitions.
    NotMade,
    /// Foreign keys of the set that the server refuses, with the statements.
    KeysNotAdded,
    /// What of the previous objects could not be put back, with the definitions: the only place that has them.
    NotPutBack,
    /// Foreign keys and checks of the previous tables that gave up their names for those of the set.
    Constraints,
    /// Foreign keys that are being made again: one of them may be dropped and not added.
    Pointing,
    /// There was no database.
    Absent,
    /// Where the restored tables went on to give ids when they became live.
    NextIds,
}

impl Document {
    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Set => "set",
            Self::Live => "live",
            Self::LocalInfile => "local-infile",
            Self::Mark => "mark",
            Self::Database => "database",
            Self::Covered => "covered",
            Self::NotMade => "not-made",
            Self::KeysNotAdded => "keys-not-added",
            Self::NotPutBack => "not-put-back",
            Self::Constraints => "constraints",
            Self::Pointing => "pointing",
            Self::Absent => "absent",
            Self::NextIds => "next-ids",
        }
    }
}

/// The record of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    schema: String,
    name: String,
    table: String,
}

impl Record {
    /// The record at a place.
    pub(crate) fn at(schemas: &Schemas) -> Self {
        if schemas.is_within() { Self::within(&schemas.live, schemas.short()) } else { Self::in_schema(&schemas.before) }
    }

    /// The record in a schema for previous data.
    pub(crate) fn in_schema(before: &str) -> Self {
        Self::named(before, TABLE.to_owned())
    }

    /// The record of a run that keeps its data within the live schema.
    pub(crate) fn within(live: &str, short: &str) -> Self {
        Self::named(live, place::record_within(short))
    }

    fn named(schema: &str, name: String) -> Self {
        Self { schema: schema.to_owned(), table: quote::qualified(schema, &name), name }
    }

    /// Its table, quoted, for messages and statements.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// What tells it from those of other runs on the live database.
    pub(crate) fn key(&self) -> &str {
        if self.name == TABLE { &self.schema } else { &self.name }
    }

    /// Makes the table, and the schema that is for it, if they are not there, and says whose they are, and whether the database was made for it.
    pub(crate) fn create(&self, session: &mut Session, mark: &Mark, live: &str, is_made: bool) -> Result<()> {
        if self.name == TABLE {
            session
                .run("make the schema for the previous data", &format!("CREATE DATABASE IF NOT EXISTS {}", quote::name(&self.schema)))?;
        }
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (name VARCHAR(16) CHARACTER SET ascii NOT NULL, piece INT NOT NULL, content LONGBLOB NOT NULL, \
             PRIMARY KEY (name, piece)) ENGINE = InnoDB",
            self.table
        );
        session.run("make the record of the cut-over", &sql)?;
        together(session, |session| {
            self.put(session, Document::Database, &live)?;
            self.put(session, Document::Mark, mark)?;
            if is_made { self.put(session, Document::Absent, &true) } else { Ok(()) }
        })
    }

    /// That the record is this run's, when it says whose it is: the name of its schema has the end of the run's id only.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when it is another's.
    fn check_owner(&self, session: &mut Session, run: &RunId) -> Result<()> {
        match self.read::<Mark>(session, Document::Mark)? {
            Some(mark) if mark.run != *run => {
                Err(Error::needs_person(format!("{} is of {}, not of run {run}: nothing was changed", self.table, mark.owner())))
            }
            _ => Ok(()),
        }
    }

    fn is_there(&self, session: &mut Session) -> Result<bool> {
        let (schema, name) = (quote::text(&self.schema), quote::text(&self.name));
        let sql = format!("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {name}");
        Ok(!session.rows("look for the record of the cut-over", &sql)?.is_empty())
    }

    /// Whether there was no database before the run.
    pub(crate) fn was_absent(&self, session: &mut Session) -> Result<bool> {
        Ok(self.is_there(session)? && self.read::<bool>(session, Document::Absent)? == Some(true))
    }

    /// How far the run came; `None` when there is no record.
    pub(crate) fn state(&self, session: &mut Session) -> Result<Option<State>> {
        if !self.is_there(session)? {
            return Ok(None);
        }
        self.read(session, Document::State)
    }

    /// How far this run came.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when the record is another run's.
    pub(crate) fn state_of(&self, session: &mut Session, run: &RunId) -> Result<Option<State>> {
        let state = self.state(session)?;
        if state.is_some() {
            self.check_owner(session, run)?;
        }
        Ok(state)
    }

    /// Reads a document.
    pub(crate) fn read<T: DeserializeOwned>(&self, session: &mut Session, document: Document) -> Result<Option<T>> {
        let sql = format!("SELECT content FROM {} WHERE name = '{}' ORDER BY piece", self.table, document.name());
        let pieces = session.rows("read the record of the cut-over", &sql)?;
        if pieces.is_empty() {
            return Ok(None);
        }
        let bytes = pieces.iter().filter_map(|record| record.bytes(0)).collect::<Vec<_>>().concat();
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::needs_person(format!("the record of the cut-over, {}, is damaged", self.table)).because(error))
    }

    /// Reads a document that must be there.
    pub(crate) fn need<T: DeserializeOwned>(&self, session: &mut Session, document: Document) -> Result<T> {
        self.read(session, document)?
            .ok_or_else(|| Error::needs_person(format!("the record of the cut-over, {}, lacks {:?}", self.table, document.name())))
    }

    /// Writes a state.
    pub(crate) fn write_state(&self, session: &mut Session, state: State) -> Result<()> {
        self.write(session, Document::State, &state)
    }

    /// Writes a document and a state, both or neither.
    pub(crate) fn write_with_state<T: Serialize>(
        &self,
        session: &mut Session,
        document: Document,
        content: &T,
        state: State,
    ) -> Result<()> {
        together(session, |session| {
            self.put(session, document, content)?;
            self.put(session, Document::State, &state)
        })
    }

    /// Writes a document.
    pub(crate) fn write<T: Serialize>(&self, session: &mut Session, document: Document, content: &T) -> Result<()> {
        together(session, |session| self.put(session, document, content))
    }

    /// Removes a document.
    pub(crate) fn remove(&self, session: &mut Session, document: Document) -> Result<()> {
        session.run("write the record of the cut-over", &format!("DELETE FROM {} WHERE name = '{}'", self.table, document.name())).map(drop)
    }

    /// Drops the record, and the schema that is for it with what is still in it.
    pub(crate) fn drop_with_schema(&self, session: &mut Session) -> Result<()> {
        if self.name == TABLE {
            return drop_schema(session, &self.schema);
        }
        session.run("drop the record of the cut-over", &format!("DROP TABLE IF EXISTS {}", self.table)).map(drop)
    }

    fn put<T: Serialize>(&self, session: &mut Session, document: Document, content: &T) -> Result<()> {
        let bytes =
            serde_json::to_vec(content).map_err(|error| Error::failed("failed to write the record of the cut-over").because(error))?;
        self.remove(session, document)?;
        for (piece, content) in bytes.chunks(PIECE_BYTES).enumerate() {
            let sql = format!("INSERT INTO {} VALUES ('{}', {piece}, x'{}')", self.table, document.name(), hex::encode(content));
            session.run("write the record of the cut-over", &sql)?;
        }
        Ok(())
    }
}

/// Writes are short, and better not torn: a signal waits for them.
fn together(session: &mut Session, write: impl FnMut(&mut Session) -> Result<()>) -> Result<()> {
    session.in_transaction("write the record of the cut-over", || Ok(()), write)
}

/// Drops a schema of a run: table by table, the record last, so that a crash leaves the record with what is left.
pub(crate) fn drop_schema(session: &mut Session, schema: &str) -> Result<()> {
    if !read::exists(session, schema)? {
        return Ok(());
    }
    for table in read::table_names(session, schema)?.iter().filter(|name| *name != TABLE) {
        session.run("drop a table of this run", &format!("DROP TABLE IF EXISTS {}", quote::qualified(schema, table)))?;
    }
    session.run("drop a schema of this run", &format!("DROP DATABASE IF EXISTS {}", quote::name(schema))).map(drop)
}
