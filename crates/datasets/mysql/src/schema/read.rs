//! Reads a schema from a server. Changes nothing.

mod grants;
mod objects;
mod sequences;
mod tables;
mod versioned;

use plan::Result;

use super::{Objects, Schema};
use crate::quote;
use crate::server::Server;
use crate::session::Session;

pub(crate) use grants::are_shown as routine_grants_are_shown;
pub(crate) use objects::objects;
pub(crate) use sequences::{has_defaults as has_sequence_defaults, is_next_value};
pub(crate) use tables::{columns, create_table, foreign_keys, has_history, has_merge_tables, json_text, keys, table_names};
pub(crate) use versioned::others;

/// The whole schema of a database, through a session that has it as its default (views are then shown without its name).
pub(crate) fn schema(session: &mut Session, server: &Server, database: &str) -> Result<Schema> {
    let objects = objects(session, database)?;
    let tables = tables::tables(session, database)?;
    let sequences = sequences::read(session, database)?;
    Ok(Schema::new(server.clone(), tables, objects, sequences))
}

/// Tables only, as a proof of a side schema needs them.
pub(crate) fn tables_only(session: &mut Session, server: &Server, database: &str) -> Result<Schema> {
    let tables = tables::tables(session, database)?;
    let sequences = sequences::read(session, database)?;
    let (charset, collation) = defaults(session, database)?;
    let objects = Objects {
        database: database.to_owned(),
        charset,
        collation,
        tables: table_names(session, database)?,
        routines: Vec::new(),
        views: Vec::new(),
        triggers: Vec::new(),
        events: Vec::new(),
        routine_grants: Vec::new(),
    };
    Ok(Schema::new(server.clone(), tables, objects, sequences))
}

/// Default character set and collation of a database.
pub(crate) fn defaults(session: &mut Session, database: &str) -> Result<(String, String)> {
    let sql = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        quote::text(database)
    );
    match session.rows("read the database's default character set", &sql)?.first() {
        Some(record) => Ok((record.text(0)?, record.text(1)?)),
        None => Err(plan::Error::failed(format!("database {database:?} is not there"))),
    }
}

/// Whether a schema exists.
pub(crate) fn exists(session: &mut Session, database: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", quote::text(database));
    Ok(!session.rows("look for a schema", &sql)?.is_empty())
}

/// Every table and view of a schema, whoever made it: name, and whether it is a view.
pub(crate) fn all_names(session: &mut Session, database: &str) -> Result<Vec<(String, bool)>> {
    let sql =
        format!("SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY 1", quote::text(database));
    session.rows("list tables and views", &sql)?.iter().map(|record| Ok((record.text(0)?, record.text(1)?.contains("VIEW")))).collect()
}
