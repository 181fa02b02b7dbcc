//! Reads views, triggers, routines and events, with the session settings that belong to them.

use plan::{Error, Result};

use crate::place;
use crate::quote;
use crate::schema::literals::{self, Writing};
use crate::schema::{Object, ObjectKind, Objects};
use crate::session::{Answer, Session};

/// All objects of a database.
pub(crate) fn objects(session: &mut Session, database: &str) -> Result<Objects> {
    refuse_others(session, database)?;
    let (charset, collation) = super::defaults(session, database)?;
    let tables = super::table_names(session, database)?;
    let views =
        list(session, database, ObjectKind::View, "TABLE_NAME, DEFINER, NULL, NULL FROM information_schema.VIEWS WHERE TABLE_SCHEMA", "1")?;
    let triggers = list(
        session,
        database,
        ObjectKind::Trigger,
        "TRIGGER_NAME, DEFINER, NULL, NULL FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA",
        "EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",
    )?;
    let routines = "ROUTINE_NAME, DEFINER, NULL, NULL FROM information_schema.ROUTINES WHERE ROUTINE_TYPE";
    let mut all_routines = Vec::new();
    for kind in [ObjectKind::Function, ObjectKind::Procedure] {
        all_routines.extend(list(session, database, kind, &format!("{routines} = '{}' AND ROUTINE_SCHEMA", kind.keyword()), "1")?);
    }
    let events = list(
        session,
        database,
        ObjectKind::Event,
        "EVENT_NAME, DEFINER, TIME_ZONE, NULL FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
        "1",
    )?;
    Ok(Objects {
        database: database.to_owned(),
        charset,
        collation,
        tables,
        routines: all_routines,
        views: in_order(views),
        triggers,
        events,
        routine_grants: super::grants::read(session, database)?,
    })
}

/// Left out, they would be missing without a word.
fn refuse_others(session: &mut Session, database: &str) -> Result<()> {
    match packages_and_libraries(session, database)?.into_iter().next() {
        Some((text, way_out)) => Err(Error::refused(text).hint(way_out)),
        None => Ok(()),
    }
}

/// Packages of MariaDB and libraries of MySQL, which cannot be kept, with the way out.
pub(super) fn packages_and_libraries(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let mut others = Vec::new();
    let schema = quote::text(database);
    for sql in [
        format!(
            "SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES \
             WHERE ROUTINE_SCHEMA = {schema} AND ROUTINE_TYPE NOT IN ('FUNCTION', 'PROCEDURE') ORDER BY 1"
        ),
        format!("SELECT LIBRARY_NAME, 'LIBRARY' FROM information_schema.LIBRARIES WHERE LIBRARY_SCHEMA = {schema} ORDER BY 1"),
    ] {
        // A server that has no libraries does not know that table.
        for other in session.rows_if_possible("look for packages and libraries", &sql)?.unwrap_or_default() {
            let (name, kind) = (other.text(0)?, other.text(1)?.to_ascii_lowercase());
            others.push((format!("{name:?} is a {kind}, which cannot be kept"), "Drop it; 3scale makes none.".to_owned()));
        }
    }
    Ok(others)
}

fn list(session: &mut Session, database: &str, kind: ObjectKind, select: &str, order: &str) -> Result<Vec<Object>> {
    let sql = format!("SELECT {select} = {} ORDER BY {order}", quote::text(database));
    let listed = session.rows("list views, triggers, routines and events", &sql)?;
    let mut objects = Vec::new();
    for record in &listed {
        let name = record.text(0)?;
        // Views that a run keeps are no objects of the application.
        if !place::is_ours(&name) {
            objects.push(object(session, database, kind, &name, record.text(1)?, record.maybe(2)?)?);
        }
    }
    Ok(objects)
}

fn object(
    session: &mut Session,
    database: &str,
    kind: ObjectKind,
    name: &str,
    definer: String,
    time_zone: Option<String>,
) -> Result<Object> {
    let word = kind.word();
    let sql = format!("SHOW CREATE {} {}", kind.keyword(), quote::qualified(database, name));
    let mut show = |results: &str| -> Result<Answer> {
        session.set(&format!("SESSION character_set_results = {results}"))?;
        let shown = session.rows(&format!("read the definition of {word} {name:?}"), &sql)?;
        session.set("SESSION character_set_results = utf8mb4")?;
        shown.into_iter().next().ok_or_else(|| Error::failed(format!("{word} {name:?} vanished while it was read")))
    };
    let column = match kind {
        ObjectKind::View => "Create View",
        ObjectKind::Trigger => "SQL Original Statement",
        ObjectKind::Procedure => "Create Procedure",
        ObjectKind::Function => "Create Function",
        ObjectKind::Event => "Create Event",
    };
    // As it is, in the character set of the client that made it.
    let record = show("binary")?;
    let client = record.named("character_set_client")?.unwrap_or_else(|| "utf8mb4".into());
    // The server shows NULL to those who may list a routine but not read it: a backup without it would be silently incomplete.
    let raw = record.bytes_named(column).filter(|text| !text.is_empty()).ok_or_else(|| {
        Error::failed(format!("the definition of {word} {name:?} is not shown to this user"))
            .hint("GRANT SHOW_ROUTINE ON *.* (MySQL) or SHOW CREATE ROUTINE (MariaDB), or SELECT ON mysql.*, to this user; or log in as the definer.")
    })?;
    let converted = if raw.is_ascii() || client.starts_with("utf8") { None } else { Some(show("utf8mb4")?) };
    let shown = converted.as_ref().and_then(|record| record.bytes_named(column)).unwrap_or(raw);
    // In these a byte of a character may look like a quote: only what the server makes of them can be read.
    let raw = if ["big5", "cp932", "gb18030", "gbk", "sjis"].contains(&client.as_str()) { shown } else { raw };
    let create = literals::text(raw, shown, Writing::of(&record.named("sql_mode")?.unwrap_or_default()));
    Ok(Object {
        kind,
        name: name.to_owned(),
        definer,
        create,
        sql_mode: record.named("sql_mode")?,
        character_set_client: client,
        collation_connection: record.named("collation_connection")?.unwrap_or_else(|| "utf8mb4_general_ci".into()),
        database_collation: record.named("Database Collation")?,
        time_zone,
    })
}

/// Views after those that they name. A name in quotes inside a text is taken for a use: the order is still right, only not the only one.
fn in_order(mut views: Vec<Object>) -> Vec<Object> {
    let mut ordered: Vec<Object> = Vec::with_capacity(views.len());
    while !views.is_empty() {
        let names: Vec<String> = views.iter().map(|view| quote::name(&view.name)).collect();
        let is_free = |view: &Object| {
            let body = view.create.split_once(" AS ").map_or("", |(_, body)| body);
            !names.iter().any(|name| *name != quote::name(&view.name) && body.contains(name.as_str()))
        };
        let (free, bound): (Vec<_>, Vec<_>) = views.drain(..).partition(|view| is_free(view));
        if free.is_empty() {
            // A circle by name only (a column is called as a view): any order; creation tries again what fails.
            ordered.extend(bound);
            break;
        }
        ordered.extend(free);
        views = bound;
    }
    ordered
}
