//! Foreign keys that follow a table when it is renamed, or that name a table which is not there.
//!
//! The server keeps a foreign key with the table that it refers to: after a swap, those of other schemas point into the room of the tables that were moved away, and
//! those to a table that is not there point into the schema that they were loaded in. They are made again towards the live database, without a look at the rows, as
//! a load does it. And one to a table that is not there is tried against the table that comes under that name, which may not fit it (MySQL errors 1822 and 3780,
//! MariaDB 1005): so it is dropped before one comes. Each is in the record while it is dropped and not yet added.

use std::collections::BTreeSet;

use plan::ports::{Event, Problem, Severity};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Swap;
use crate::place::{self, Room, Schemas, Side};
use crate::privileges::Grants;
use crate::quote;
use crate::record::Document;
use crate::schema::{definition, read};
use crate::session::Session;

/// What making a foreign key again needs on its table.
const NEEDS: [&str; 2] = ["ALTER", "REFERENCES"];

/// A foreign key that does not point where it should, or is dropped for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stray {
    /// Its table, qualified and quoted; of the restored and of the previous data, as it is while that is live.
    table: String,
    name: String,
    /// The definition, towards the live database.
    definition: String,
    /// Whether its table is of the restored or of the previous data, which moves; of another schema otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<Side>,
}

impl Stray {
    /// Of a listed foreign key that is to refer to a table of the live database; `live` says whose tables those are now. `None` when it is gone.
    fn of(session: &mut Session, schemas: &Schemas, live: Side, key: &Listed, to: &str) -> Result<Option<Self>> {
        let items = definition::cut(&read::create_table(session, &key.schema, &key.table)?, |_| true)?.foreign_keys;
        let Some(item) = items.into_iter().find(|item| definition::key_name(item) == key.name) else { return Ok(None) };
        let wanted = format!(" REFERENCES {} (", quote::qualified(&schemas.live, to));
        let (far, near) = (quote::qualified(&key.other_schema, &key.other_table), quote::name(&key.other_table));
        let pointed = item.replacen(&format!(" REFERENCES {far} ("), &wanted, 1);
        let definition = if pointed == item { item.replacen(&format!(" REFERENCES {near} ("), &wanted, 1) } else { pointed };
        let of = key.schema.eq_ignore_ascii_case(&schemas.live).then_some(live);
        Ok(Some(Self { table: quote::qualified(&key.schema, &key.table), name: key.name.clone(), definition, of }))
    }

    fn drop(&self) -> String {
        format!("ALTER TABLE {} DROP FOREIGN KEY {}", self.table, quote::name(&self.name))
    }

    fn add(&self) -> String {
        format!("ALTER TABLE {} ADD {}", self.table, self.definition)
    }
}

/// A foreign key as the server lists it.
struct Listed {
    schema: String,
    table: String,
    name: String,
    other_schema: String,
    other_table: String,
}

/// All foreign keys into some schemas that this user may see.
fn into(session: &mut Session, schemas: &[&str]) -> Result<Vec<Listed>> {
    let schemas: Vec<String> = schemas.iter().map(|schema| quote::text(schema)).collect();
    let sql = format!(
        "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME \
         FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_SCHEMA IN ({}) ORDER BY 1, 2, 3",
        schemas.join(", ")
    );
    let of = |record: &crate::session::Answer| {
        Ok(Listed {
            schema: record.text(0)?,
            table: record.text(1)?,
            name: record.text(2)?,
            other_schema: record.text(3)?,
            other_table: record.text(4)?,
        })
    };
    session.rows("look for foreign keys from elsewhere", &sql)?.iter().map(of).collect()
}

/// Those that an earlier call was at work on, or left for later, and others.
fn with_noted(swap: &mut Swap<'_>, found: &[Stray]) -> Result<Vec<Stray>> {
    let mut strays: Vec<Stray> = swap.record.read(&mut swap.session, Document::Pointing)?.unwrap_or_default();
    let is_new = |stray: &&Stray| strays.iter().all(|known| (known.of, &known.table, &known.name) != (stray.of, &stray.table, &stray.name));
    let new: Vec<Stray> = found.iter().filter(is_new).cloned().collect();
    strays.extend(new);
    Ok(strays)
}

/// Drops what refers to a table that is not `there` and is `coming` under that name, until [`put_right`]. `live` says whose tables are live now.
pub(super) fn set_aside(swap: &mut Swap<'_>, live: Side, there: &[String], coming: &[String]) -> Result<()> {
    let (schemas, mut found) = (swap.schemas, Vec::new());
    for key in into(&mut swap.session, &[&schemas.live])? {
        let is_waiting = !there.contains(&key.other_table) && coming.contains(&key.other_table);
        if is_waiting && !is_of_a_run(&schemas.live, &key.schema, &key.table) {
            found.extend(Stray::of(&mut swap.session, schemas, live, &key, &key.other_table)?);
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let strays = with_noted(swap, &found)?;
    swap.record.write(&mut swap.session, Document::Pointing, &strays)?;
    for stray in found {
        // What the server has against it, it has against the table that comes too.
        swap.session.refusal("set a foreign key aside", &stray.drop())?;
    }
    Ok(())
}

/// Makes again what points into a room of this run, was set aside, or was being made again when an earlier call ended. One that the server refuses is told; of
/// another schema, it is tried again when the other tables are live.
pub(super) fn put_right(swap: &mut Swap<'_>, live: Side) -> Result<()> {
    let found = find(swap, live)?;
    let strays = with_noted(swap, &found)?;
    let (now, mut later): (Vec<Stray>, Vec<Stray>) = strays.iter().cloned().partition(|stray| stray.of.is_none_or(|of| of == live));
    if now.is_empty() {
        return Ok(());
    }
    swap.record.write(&mut swap.session, Document::Pointing, &strays)?;
    for stray in now {
        // It may be dropped already.
        swap.session.refusal("drop a foreign key that points elsewhere", &stray.drop())?;
        let add = stray.add();
        if let Some(refusal) = swap.session.refusal("make a foreign key again", &add)? {
            let text = format!("foreign key {:?} of {} could not be made again: {refusal}. Do it by hand: {add}", stray.name, stray.table);
            swap.context.watch.see(Event::Warning(&text));
            later.extend(Some(stray).filter(|stray| stray.of.is_none()));
        }
    }
    if later.is_empty() {
        swap.record.remove(&mut swap.session, Document::Pointing)
    } else {
        swap.record.write(&mut swap.session, Document::Pointing, &later)
    }
}

/// Foreign keys of tables that are no run's own, into a room of this run.
fn find(swap: &mut Swap<'_>, live: Side) -> Result<Vec<Stray>> {
    let schemas = swap.schemas;
    let rooms = [schemas.kept(), schemas.aside()];
    let names = own_names(swap)?;
    let all = into(&mut swap.session, &[&schemas.live, &schemas.stage, &schemas.before])?;
    let mut strays = Vec::new();
    for key in all.into_iter().filter(|key| !is_of_a_run(&schemas.live, &key.schema, &key.table)) {
        let Some(table) = rooms.iter().find_map(|room| own_name(room, &names, &key)) else { continue };
        strays.extend(Stray::of(&mut swap.session, schemas, live, &key, &table)?);
    }
    Ok(strays)
}

/// The names of the tables that the rooms of this run may have.
fn own_names(swap: &mut Swap<'_>) -> Result<BTreeSet<String>> {
    let (set, live) = (swap.set()?, swap.live()?);
    Ok(set.tables.into_iter().chain(live.tables).collect())
}

/// The name that the table had, or will have, in the live database.
fn own_name(room: &Room, names: &BTreeSet<String>, key: &Listed) -> Option<String> {
    if !room.schema.eq_ignore_ascii_case(&key.other_schema) || !room.has(&key.other_table) {
        return None;
    }
    // In a schema of its own it has its own name, also when it is not there at all.
    if room.is_whole() {
        return Some(key.other_table.clone());
    }
    names.iter().find(|name| room.name(name) == key.other_table).cloned()
}

/// Whether a table is a run's own: it is moved with all others that it refers to.
fn is_of_a_run(live: &str, schema: &str, table: &str) -> bool {
    Schemas::side_of(live, schema).is_some() || (schema.eq_ignore_ascii_case(live) && place::is_ours(table))
}

/// Foreign keys of other schemas into the live database: what becomes of them.
pub(crate) fn problems(session: &mut Session, grants: &Grants, live: &str) -> Result<Vec<Problem>> {
    let keys = into(session, &[live])?.into_iter();
    let keys: Vec<Listed> =
        keys.filter(|key| !key.schema.eq_ignore_ascii_case(live) && !is_of_a_run(live, &key.schema, &key.table)).collect();
    let unseen = unseen(session, live)?.into_iter().filter(|schema| keys.iter().all(|key| key.schema != *schema));
    let unseen = unseen.map(|schema| {
        let (user, schema, live) = (&grants.user, quote::name(&schema), quote::name(live));
        let text = format!(
            "tables of {schema}, which {user} may not see, have foreign keys into {live}: they would follow the previous tables away"
        );
        Problem::new(Severity::Blocks, text).way_out(format!("GRANT SELECT, {} ON {schema}.* TO {user}", NEEDS.join(", ")))
    });
    Ok(keys.iter().map(|key| problem(key, grants)).chain(unseen).collect())
}

/// Schemas of other tables with foreign keys into the live database, as InnoDB itself knows them: to those with `PROCESS`, it shows what they may not see. Names with
/// characters that a file's name writes otherwise are not found so.
fn unseen(session: &mut Session, live: &str) -> Result<BTreeSet<String>> {
    let mut schemas = BTreeSet::new();
    for table in ["INNODB_FOREIGN", "INNODB_SYS_FOREIGN"] {
        let sql =
            format!("SELECT FOR_NAME FROM information_schema.{table} WHERE SUBSTRING_INDEX(REF_NAME, '/', 1) = {}", quote::text(live));
        for record in session.rows_if_possible("look for foreign keys that are not shown", &sql)?.unwrap_or_default() {
            let name = record.text(0)?;
            let Some((schema, table)) = name.split_once('/') else { continue };
            if !schema.eq_ignore_ascii_case(live) && !is_of_a_run(live, schema, table) {
                schemas.insert(schema.to_owned());
            }
        }
    }
    Ok(schemas)
}

fn problem(key: &Listed, grants: &Grants) -> Problem {
    let (table, other) = (quote::qualified(&key.schema, &key.table), quote::qualified(&key.other_schema, &key.other_table));
    let text = format!("foreign key {:?} of {table} refers to {other}", key.name);
    let missing = grants.missing(&NEEDS, &key.schema);
    if missing.is_empty() {
        let text = format!("{text}: the cut-over makes it again towards the restored table, without a look at the rows of {table}");
        return Problem::new(Severity::Note, text);
    }
    let list = missing.join(", ");
    Problem::new(Severity::Blocks, format!("{text}, and {} may not make it again: it would follow the previous table away", grants.user))
        .way_out(format!("GRANT {list} ON {}.* TO {}", quote::name(&key.schema), grants.user))
}

/// That every foreign key from elsewhere can be made again.
///
/// # Errors
/// [`plan::Class::Refused`] before anything is changed.
pub(super) fn refuse_immovable(swap: &mut Swap<'_>) -> Result<()> {
    let grants = Grants::ask(&mut swap.session, &swap.server)?;
    let problems = problems(&mut swap.session, &grants, &swap.schemas.live)?;
    let Some(first) = problems.into_iter().find(|problem| problem.severity == Severity::Blocks) else { return Ok(()) };
    let error = Error::refused(format!("{}: nothing was changed", first.text));
    Err(first.way_out.into_iter().fold(error, |error, way_out| error.hint(format!("{way_out}."))))
}
