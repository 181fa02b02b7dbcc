//! The mark of a load in place: an empty table in the live database, whose comment says whose load it is.
//!
//! It is made before the first change and removed when the load is whole, so that whoever finds it knows that the data is neither the old nor the new. One
//! statement makes it with what it says. Dumps, proofs and swaps do not see it ([`crate::schema::read::table_names`]).

use plan::ports::{Context, Mark, MarkRole};
use plan::{Error, Result};

use crate::place::Schemas;
use crate::quote;
use crate::session::Session;
use crate::store::MysqlStore;

/// The table's name.
pub(crate) const TABLE: &str = "threescale_backup_mark";

/// A mark as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What it says, as it stands there.
    pub(crate) text: String,
    /// Whose it is; `None` when that cannot be read.
    pub(crate) mark: Option<Mark>,
}

impl Found {
    /// Its owner, for messages.
    pub(crate) fn owner(&self) -> String {
        self.mark.as_ref().map_or_else(|| "a run that its mark does not name".to_owned(), Mark::owner)
    }
}

/// The mark in a database.
pub(crate) fn find(session: &mut Session, database: &str) -> Result<Option<Found>> {
    let sql = format!(
        "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = '{TABLE}'",
        quote::text(database)
    );
    let rows = session.rows("look for the mark of a load", &sql)?;
    let Some(record) = rows.first() else { return Ok(None) };
    let text = record.text(0)?;
    Ok(Some(Found { mark: serde_json::from_str(&text).ok(), text }))
}

/// Nobody swaps what is being replaced.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when the live database bears a mark.
pub(crate) fn refuse_half_loaded(session: &mut Session, live: &str) -> Result<()> {
    let Some(found) = find(session, live)? else { return Ok(()) };
    Err(replaced_by(&found, live))
}

fn replaced_by(found: &Found, live: &str) -> Error {
    let owner = found.owner();
    let run = found.mark.as_ref().map_or("RUN", |mark| mark.run.as_str());
    Error::needs_person(format!("{owner} began to replace database {live:?} in place, and has not ended: nothing was changed"))
        .hint(format!("`resume {run}` or `undo {run}` with its journal ends it; `abandon {run}` removes its mark."))
}

/// Nobody else is replacing the live database.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when another run has marked it.
pub(crate) fn refuse_another(session: &mut Session, context: &Context, live: &str) -> Result<()> {
    match find(session, live)? {
        Some(found) if !is_of(&found, context) => Err(replaced_by(&found, live)),
        _ => Ok(()),
    }
}

/// Marks the live database as being replaced by this run.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when another run has marked it.
pub(crate) fn put(store: &MysqlStore, session: &mut Session, context: &Context, schemas: &Schemas) -> Result<()> {
    if let Some(found) = find(session, &schemas.live)? {
        return if is_of(&found, context) { Ok(()) } else { Err(replaced_by(&found, &schemas.live)) };
    }
    let mark = Mark::of(context, store.name, MarkRole::InPlace);
    let text = serde_json::to_string(&mark).map_err(|error| Error::failed("failed to write the mark of the load").because(error))?;
    let sql = format!(
        "CREATE TABLE {} (id INT PRIMARY KEY) ENGINE = InnoDB COMMENT = {}",
        quote::qualified(&schemas.live, TABLE),
        quote::comment(&text)
    );
    session.run("mark the database as being replaced", &sql).map(drop)
}

/// Removes the mark, if it is this run's.
pub(crate) fn remove(session: &mut Session, context: &Context, live: &str) -> Result<()> {
    match find(session, live)? {
        Some(found) if is_of(&found, context) => drop_table(session, live),
        _ => Ok(()),
    }
}

/// Removes the mark, whosever it is.
pub(crate) fn drop_table(session: &mut Session, live: &str) -> Result<()> {
    session.run("remove the mark of the load", &format!("DROP TABLE IF EXISTS {}", quote::qualified(live, TABLE))).map(drop)
}

fn is_of(found: &Found, context: &Context) -> bool {
    found.mark.as_ref().is_some_and(|mark| mark.run == context.run)
}
