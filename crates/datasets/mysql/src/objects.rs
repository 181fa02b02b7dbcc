//! Views, triggers, routines and events: which there are, the session settings that belong to them, and their removal.

pub(crate) mod broken;
mod granting;
mod making;

use std::collections::BTreeSet;

use plan::Result;

use crate::place;
use crate::quote;
use crate::schema::{Object, ObjectKind};
use crate::server::Kind;
use crate::session::{SQL_MODE, Session};

pub(crate) use granting::grant_again;
pub(crate) use making::{Unmade, make_missing, try_all};

/// Modes that only one kind of server knows; the other refuses them.
const MARIADB_MODES: [&str; 16] = [
    "NO_AUTO_CREATE_USER",
    "SIMULTANEOUS_ASSIGNMENT",
    "EMPTY_STRING_IS_NULL",
    "TIME_ROUND_FRACTIONAL",
    "POSTGRESQL",
    "ORACLE",
    "MSSQL",
    "DB2",
    "MAXDB",
    "MYSQL323",
    "MYSQL40",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_FIELD_OPTIONS",
    "IGNORE_BAD_TABLE_OPTIONS",
    "NOT_USED",
];
const MYSQL_MODES: [&str; 1] = ["TIME_TRUNCATE_FRACTIONAL"];

/// The assignments of `SET SESSION` under which an object is made.
pub(crate) fn settings(object: &Object, kind: Kind) -> String {
    let unknown: &[&str] = if kind == Kind::Mysql { &MARIADB_MODES } else { &MYSQL_MODES };
    let mode = object.sql_mode.as_deref().unwrap_or(SQL_MODE);
    let mode: Vec<&str> = mode.split(',').filter(|word| !unknown.contains(word)).collect();
    // The statement is kept in UTF-8; a narrower client character set would misread it, unless it is plain ASCII.
    let client = &object.character_set_client;
    let client = if object.create.is_ascii() || client.starts_with("utf8") { client } else { "utf8mb4" };
    let zone = object.time_zone.as_ref().map_or_else(String::new, |zone| format!(", time_zone = '{}'", zone.replace('\'', "")));
    format!(
        "sql_mode = '{}', character_set_client = {client}, collation_connection = {}{zone}",
        mode.join(","),
        object.collation_connection
    )
}

/// Names of the objects that a database has; not those of the views that runs keep in it.
pub(crate) fn existing(session: &mut Session, database: &str) -> Result<BTreeSet<(ObjectKind, String)>> {
    let mut found = BTreeSet::new();
    for (kind, from) in [
        (ObjectKind::View, "TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA"),
        (ObjectKind::Trigger, "TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA"),
        (ObjectKind::Function, "ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA"),
        (ObjectKind::Procedure, "ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA"),
        (ObjectKind::Event, "EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA"),
    ] {
        for record in session.rows("list objects", &format!("SELECT {from} = {}", quote::text(database)))? {
            let name = record.text(0)?;
            if !place::is_ours(&name) {
                found.insert((kind, name));
            }
        }
    }
    Ok(found)
}

/// Drops every object of a database. Events first, so that none fires meanwhile; views before routines that they call.
pub(crate) fn drop_all(session: &mut Session, database: &str) -> Result<()> {
    drop_kinds(session, database, &[ObjectKind::Event, ObjectKind::Trigger, ObjectKind::View, ObjectKind::Procedure, ObjectKind::Function])
}

/// Drops what cannot be kept by a rename: every object of a database but its views.
pub(crate) fn drop_all_but_views(session: &mut Session, database: &str) -> Result<()> {
    drop_kinds(session, database, &[ObjectKind::Event, ObjectKind::Trigger, ObjectKind::Procedure, ObjectKind::Function])
}

fn drop_kinds(session: &mut Session, database: &str, kinds: &[ObjectKind]) -> Result<()> {
    let found = existing(session, database)?;
    for kind in kinds {
        for (_, name) in found.iter().filter(|(found_kind, _)| found_kind == kind) {
            let sql = format!("DROP {} IF EXISTS {}", kind.keyword(), quote::qualified(database, name));
            session.run(&format!("drop {} {name:?}", kind.word()), &sql)?;
        }
    }
    Ok(())
}

/// The default collation of a database.
fn default_collation(session: &mut Session, database: &str) -> Result<Option<String>> {
    let sql = format!("SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", quote::text(database));
    session.value("look at the database's default collation", &sql)
}

/// Default character set and collation of a database. Not set where they are so: MySQL ends statements of others (error 1213) that open a table with a trigger meanwhile.
pub(crate) fn set_defaults(session: &mut Session, database: &str, charset: &str, collation: &str) -> Result<()> {
    // The character set is the collation's.
    if default_collation(session, database)?.is_some_and(|now| now == collation) {
        return Ok(());
    }
    let sql = format!("ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation}", quote::name(database));
    session.run("set the database's default collation", &sql).map(drop)
}
