//! Adds the foreign keys of a load. One that the server refuses stops nothing else: a table of another schema no longer fits it, or the server has a stricter rule than the
//! one that the set was taken from. It is told before the writers stop, and kept with its statement.

use plan::Result;
use plan::ports::{Context, Event};
use serde::{Deserialize, Serialize};

use crate::load::Definitions;
use crate::place::Schemas;
use crate::quote;
use crate::record::{Document, Record};
use crate::schema::{Schema, Table, definition};
use crate::session::Session;

/// A foreign key that could not be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotAdded {
    /// Its table.
    pub(crate) table: String,
    /// Its name.
    pub(crate) name: String,
    /// What adds it to the live database.
    statement: String,
    /// The server's words.
    why: String,
}

impl NotAdded {
    /// What it is, why, and how a person adds it.
    pub(crate) fn text(&self) -> String {
        let Self { table, name, statement, why } = self;
        format!("foreign key {name:?} of table {table:?} cannot be made: {why}. After the restore, when that is mended: {statement}")
    }
}

/// Adds all of them, table by table; the session has the target as its database.
///
/// # Errors
/// When the same call may work later: a lock, a lost connection.
pub(super) fn add(session: &mut Session, context: &Context, schemas: &Schemas, schema: &Schema, definitions: &[Definitions]) -> Result<()> {
    let mut refused = Vec::new();
    for (table, definition) in schema.tables.iter().zip(definitions) {
        context.stop.check()?;
        // One to a table that is not there refers into the schema of the load, where there is none that might not fit it: the cut-over turns it.
        let name = quote::name(&table.name);
        let Some(together) = definition.add_foreign_keys(&name) else { continue };
        if session.refusal(&format!("add the foreign keys of table {:?}", table.name), &together)?.is_some() {
            one_by_one(session, schemas, table, definition, &mut refused)?;
        }
    }
    refused.iter().for_each(|one| context.watch.see(Event::Warning(&one.text())));
    if schemas.keeps_previous() { Record::at(schemas).write(session, Document::KeysNotAdded, &refused) } else { Ok(()) }
}

fn one_by_one(
    session: &mut Session,
    schemas: &Schemas,
    table: &Table,
    definition: &Definitions,
    refused: &mut Vec<NotAdded>,
) -> Result<()> {
    for item in definition.foreign_keys() {
        let name = definition::key_name(item);
        let add = |to: &str| format!("ALTER TABLE {to} ADD {item}");
        if let Some(why) = session.refusal(&format!("add foreign key {name:?}"), &add(&quote::name(&table.name)))? {
            let statement = add(&quote::qualified(&schemas.live, &table.name));
            refused.push(NotAdded { table: table.name.clone(), name, statement, why: why.to_string() });
        }
    }
    Ok(())
}

/// Those of a load.
pub(crate) fn not_added(session: &mut Session, schemas: &Schemas) -> Result<Vec<NotAdded>> {
    if !schemas.keeps_previous() {
        return Ok(Vec::new());
    }
    Ok(Record::at(schemas).read(session, Document::KeysNotAdded)?.unwrap_or_default())
}
