//! Names of constraints, where the previous tables are kept within the live schema: a schema has each name once, and those of the set need theirs.
//!
//! Foreign keys, and on MySQL checks, of the kept tables are dropped with their definitions in the record, and added again when the tables are live again. Neither
//! looks at a row (foreign keys) or refuses one that was there (checks).

use plan::Result;
use plan::ports::Event;
use serde::{Deserialize, Serialize};

use super::{Swap, swap};
use crate::place::Room;
use crate::quote;
use crate::record::Document;
use crate::schema::{definition, read};
use crate::server::Kind;
use crate::session::Session;

/// A constraint whose name was given to it, and so does not change with its table's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    table: String,
    name: String,
    /// `CONSTRAINT … FOREIGN KEY …`, `CONSTRAINT … CHECK …`.
    definition: String,
    is_check: bool,
}

/// Writes those of the live tables into the record, before anything is moved.
pub(super) fn note(swap: &mut Swap<'_>) -> Result<()> {
    if !swap.schemas.is_within() {
        return Ok(());
    }
    let (live, mut bound) = (&swap.schemas.live, Vec::new());
    for table in read::table_names(&mut swap.session, live)? {
        let cut = definition::cut(&read::create_table(&mut swap.session, live, &table)?, |_| true)?;
        let checks = if swap.server.kind == Kind::Mysql { cut.checks } else { Vec::new() };
        let all = cut.foreign_keys.into_iter().map(|item| (item, false)).chain(checks.into_iter().map(|item| (item, true)));
        for (definition, is_check) in all {
            let name = definition::key_name(&definition);
            let is_made_up = ["_ibfk_", "_chk_"].iter().any(|word| name.starts_with(&format!("{table}{word}")));
            if !is_made_up {
                bound.push(Bound { table: table.clone(), name, definition, is_check });
            }
        }
    }
    swap.record.write(&mut swap.session, Document::Constraints, &bound)
}

/// Drops those of the kept tables.
pub(super) fn free_names(swap: &mut Swap<'_>) -> Result<()> {
    let kept = swap.schemas.kept();
    for bound in noted(swap)? {
        if is_there(&mut swap.session, &kept, &bound)? {
            let kind = if bound.is_check { "CHECK" } else { "FOREIGN KEY" };
            let sql = format!("ALTER TABLE {} DROP {kind} {}", kept.qualified(&bound.table), quote::name(&bound.name));
            swap.session.run("free the name of a constraint", &sql)?;
        }
    }
    Ok(())
}

/// The previous tables are live again: what holds the names goes, and they get their constraints back. One that the server refuses is told.
pub(super) fn put_back(swap: &mut Swap<'_>) -> Result<()> {
    let bound = noted(swap)?;
    if bound.is_empty() {
        return Ok(());
    }
    swap::drop_within(&mut swap.session, &swap.schemas.aside())?;
    let live = swap.schemas.live();
    for bound in bound {
        if is_there(&mut swap.session, &live, &bound)? {
            continue;
        }
        let sql = format!("ALTER TABLE {} ADD {}", live.qualified(&bound.table), bound.definition);
        if let Some(refusal) = swap.session.refusal("put a constraint back", &sql)? {
            let text =
                format!("constraint {:?} of table {:?} could not be put back: {refusal}. Do it by hand: {sql}", bound.name, bound.table);
            swap.context.watch.see(Event::Warning(&text));
        }
    }
    Ok(())
}

fn noted(swap: &mut Swap<'_>) -> Result<Vec<Bound>> {
    if !swap.schemas.is_within() {
        return Ok(Vec::new());
    }
    Ok(swap.record.read(&mut swap.session, Document::Constraints)?.unwrap_or_default())
}

fn is_there(session: &mut Session, room: &Room, bound: &Bound) -> Result<bool> {
    let [schema, table, name] = [&room.schema, &room.name(&bound.table), &bound.name].map(|text| quote::text(text));
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} AND CONSTRAINT_NAME = {name}"
    );
    Ok(!session.rows("look for a constraint", &sql)?.is_empty())
}
