//! Makes and drops views, triggers, routines and events, under the session settings that belong to them.

use std::collections::BTreeSet;

use plan::ports::{Context, Event};
use plan::{Error, Result};

use crate::quote;
use crate::schema::{Object, ObjectKind, Objects};
use crate::server::Kind;
use crate::session::{SQL_MODE, Session, code, query_error};

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

/// Names of the objects that a database has.
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
            found.insert((kind, record.text(0)?));
        }
    }
    Ok(found)
}

/// Drops every object of a database. Events first, so that none fires meanwhile; views before routines that they call.
pub(crate) fn drop_all(session: &mut Session, database: &str) -> Result<()> {
    let found = existing(session, database)?;
    for kind in [ObjectKind::Event, ObjectKind::Trigger, ObjectKind::View, ObjectKind::Procedure, ObjectKind::Function] {
        for (_, name) in found.iter().filter(|(found_kind, _)| *found_kind == kind) {
            let sql = format!("DROP {} IF EXISTS {}", kind.keyword(), quote::qualified(database, name));
            session.run(&format!("drop {} {name:?}", kind.word()), &sql)?;
        }
    }
    Ok(())
}

/// Makes the objects that are not there yet, in a session that has the database as its default, and gives the database its default collation.
pub(crate) fn create_missing(session: &mut Session, context: &Context, kind: Kind, database: &str, objects: &Objects) -> Result<()> {
    let there = existing(session, database)?;
    let mut waiting: Vec<&Object> = objects.all().filter(|object| !there.contains(&(object.kind, object.name.clone()))).collect();
    let (mut collation, mut broken) = (None, Vec::new());
    while !waiting.is_empty() {
        let (mut refused, mut first) = (Vec::new(), None);
        for object in &waiting {
            match create(session, context, kind, database, object, &mut collation) {
                Ok(()) => {}
                // It may need another object that is not there yet.
                Err(error) if object.kind == ObjectKind::View => {
                    refused.push(*object);
                    first = first.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = first.filter(|_| refused.len() == waiting.len()) {
            if !names_what_is_not_there(&error) {
                return Err(error);
            }
            // Everything else is there: these views were broken where they come from. They do not keep all others away.
            for view in &refused {
                let text = format!(
                    "view {:?} names something that is not there, as it did before, and cannot be made: {}",
                    view.name,
                    error.chain()
                );
                context.watch.see(Event::Warning(&text));
            }
            broken = refused;
            break;
        }
        waiting = refused;
    }
    set_defaults(session, database, &objects.charset, &objects.collation)?;
    let there = existing(session, database)?;
    let missing = objects
        .all()
        .find(|object| !there.contains(&(object.kind, object.name.clone())) && !ends_by_itself(object) && !broken.contains(object));
    missing.map_or(Ok(()), |object| Err(Error::failed(format!("{} {:?} was made and is not there", object.kind.word(), object.name))))
}

/// No such table, no such column, no such routine, or a view over one of them.
fn names_what_is_not_there(error: &Error) -> bool {
    ["ERROR 1146 ", "ERROR 1054 ", "ERROR 1305 ", "ERROR 1356 "].iter().any(|code| error.chain().contains(code))
}

/// An event for one moment that has passed goes as soon as it is made.
fn ends_by_itself(object: &Object) -> bool {
    object.kind == ObjectKind::Event && object.create.contains("ON SCHEDULE AT")
}

/// Default character set and collation of a database.
pub(crate) fn set_defaults(session: &mut Session, database: &str, charset: &str, collation: &str) -> Result<()> {
    let sql = format!("ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation}", quote::name(database));
    session.run("set the database's default collation", &sql).map(drop)
}

fn create(
    session: &mut Session,
    context: &Context,
    kind: Kind,
    database: &str,
    object: &Object,
    collation: &mut Option<String>,
) -> Result<()> {
    // Parameters and variables of routines and triggers take the database's collation when they have none of their own.
    if let Some(wanted) = &object.database_collation
        && collation.as_ref() != Some(wanted)
    {
        session.run("set the database's default collation", &format!("ALTER DATABASE {} COLLATE {wanted}", quote::name(database)))?;
        *collation = Some(wanted.clone());
    }
    session.set(&format!("SESSION {}", settings(object, kind)))?;
    let what = format!("make {} {:?}", object.kind.word(), object.name);
    let made = match session.attempt(&what, &object.create)? {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code, code::SPECIFIC_ACCESS_DENIED | code::NO_SUCH_DEFINER) => {
            without_definer(session, context, object, &what)
        }
        Err(error) => Err(refusal(&what, error)),
    };
    session.set("NAMES utf8mb4")?;
    session.set(&format!("SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00'"))?;
    made
}

/// Makes it for the current user, where the privilege to name another is missing.
fn without_definer(session: &mut Session, context: &Context, object: &Object, what: &str) -> Result<()> {
    session.attempt(what, &strip_definer(&object.create))?.map_err(|error| refusal(what, error))?;
    let text = format!(
        "{} {:?} now belongs to the user of this program instead of {}: it lacks the privilege to keep definers (SET_ANY_DEFINER, SET_USER_ID, SET USER or SUPER)",
        object.kind.word(),
        object.name,
        object.definer
    );
    context.watch.see(Event::Warning(&text));
    Ok(())
}

fn refusal(what: &str, error: mysql::MySqlError) -> Error {
    let trusted = error.code == code::NO_ROUTINE_CREATION;
    let error = query_error(what, mysql::Error::MySqlError(error));
    if trusted {
        error.hint("SET GLOBAL log_bin_trust_function_creators = 1 on the server (or give this user SUPER), then resume.")
    } else {
        error
    }
}

/// A statement without its `DEFINER=…`.
fn strip_definer(create: &str) -> String {
    let Some((before, after)) = create.split_once("DEFINER=") else { return create.to_owned() };
    let mut quoted = false;
    // The definer ends at the first space that is not inside of backticks.
    let end = after.find(|character| {
        quoted ^= character == '`';
        character == ' ' && !quoted
    });
    format!("{before}{}", end.and_then(|end| after.get(end + 1..)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definer_is_cut_out_and_nothing_else() {
        assert_eq!(
            strip_definer("CREATE ALGORITHM=MERGE DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`@`y` z'"),
            "CREATE ALGORITHM=MERGE SQL SECURITY DEFINER VIEW `v` AS select 'DEFINER=`x`@`y` z'"
        );
    }
}
