//! No id is given twice: what is swapped in goes on where what it replaces does (`AUTO_INCREMENT`, and sequences of MariaDB).
//!
//! It is done on the staged tables before the swap, so that nobody ever sees one that rewinds, and once more after it, when what is replaced is still. In InnoDB it
//! changes no row. An undo carries back what was counted on since; what nobody counted on is again exactly as it was.

use std::collections::BTreeMap;

use plan::Result;
use plan::next_ids::{self, NextId, Raise, Raises};
use plan::ports::{Event, Road};

use super::Swap;
use crate::place::Room;
use crate::quote;
use crate::record::Document;
use crate::schema::read;
use crate::session::Session;

/// What gives an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Giver {
    Column,
    Sequence,
}

/// Where tables and sequences of a room go on, by their own names. Who is not there, or gives no ids, is left out; so is a sequence that begins anew by itself.
fn givers(session: &mut Session, room: &Room, names: &[String]) -> Result<Vec<(NextId, Giver)>> {
    let schema = quote::text(&room.schema);
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} AND EXTRA LIKE '%auto_increment%'"
    );
    let mut lasts = BTreeMap::new();
    for record in session.rows("read which tables give ids", &sql)? {
        lasts.insert(record.text(0)?, last_of(&record.text(1)?));
    }
    let sql = format!("SELECT TABLE_NAME, AUTO_INCREMENT, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema}");
    let mut found = BTreeMap::new();
    for record in session.rows("read where the ids of tables go on", &sql)? {
        found.insert(record.text(0)?, (record.number(1), record.text(2)?));
    }
    let mut ids = Vec::new();
    for name in names {
        let here = room.name(name);
        match found.get(&here) {
            Some((_, kind)) if kind == "SEQUENCE" => ids.extend(sequence(session, room, name)?.map(|id| (id, Giver::Sequence))),
            Some((next, _)) => {
                let last = lasts.get(&here).copied();
                let next = i128::from(*next).max(1);
                ids.extend(last.map(|last| (NextId { name: name.clone(), next, last, falls: false }, Giver::Column)));
            }
            None => {}
        }
    }
    Ok(ids)
}

fn sequence(session: &mut Session, room: &Room, name: &str) -> Result<Option<NextId>> {
    let sql = format!("SELECT next_not_cached_value, minimum_value, maximum_value, increment, cycle_option FROM {}", room.qualified(name));
    let rows = session.rows("read where a sequence goes on", &sql)?;
    let Some(row) = rows.first().filter(|row| row.number(4) == 0) else { return Ok(None) };
    let number = |at: usize| row.text(at).map(|text| text.parse().unwrap_or(i128::MAX));
    let falls = row.text(3)?.starts_with('-');
    Ok(Some(NextId { name: name.to_owned(), next: number(0)?, last: number(if falls { 1 } else { 2 })?, falls }))
}

/// The largest id that a column takes, by its type.
fn last_of(column_type: &str) -> i128 {
    let unsigned = column_type.contains("unsigned");
    let word = column_type.split(['(', ' ']).next().unwrap_or_default();
    let bits = match word {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        // Of a float all that InnoDB counts.
        _ => 64,
    };
    (1 << (bits - u32::from(!unsigned))) - 1
}

/// Raises those of `to` that give ids which those of `from` have given. Gives what was done, or could not be.
fn raise(swap: &mut Swap<'_>, to: &Room, these: &[(NextId, Giver)], others: &[NextId]) -> Result<Raises> {
    let ids: Vec<NextId> = these.iter().map(|(id, _)| id.clone()).collect();
    let mut raises = Raises::between(&ids, others);
    let mut done = Vec::new();
    for one in std::mem::take(&mut raises.raises) {
        let table = to.qualified(&one.name);
        let is_sequence = these.iter().any(|(id, giver)| id.name == one.name && *giver == Giver::Sequence);
        let sql = match is_sequence {
            // One that is used up: the last was given.
            true => format!("SELECT SETVAL({table}, {}, {})", one.used_up.unwrap_or(one.to), u8::from(one.used_up.is_some())),
            false => format!("ALTER TABLE {table} AUTO_INCREMENT = {}", one.to),
        };
        match swap.session.refusal("let ids go on where they were", &sql)? {
            None => done.push(one),
            Some(refusal) => {
                let Raise { name, from, to, .. } = &one;
                let text = format!("{}: {name} goes on at {from}, and not at {to}: {refusal}. Do it by hand: {sql}", swap.data_set);
                swap.context.watch.see(Event::Warning(&text));
            }
        }
    }
    raises.raises = done;
    Ok(raises)
}

fn tell(swap: &Swap<'_>, raises: &Raises, others: &str) {
    if let Some(text) = raises.told(others) {
        swap.context.watch.see(Event::Note(&format!("{}: {text}", swap.data_set)));
    }
}

/// Where those of a room go on, whatever gives them.
pub(crate) fn next_of(session: &mut Session, room: &Room, names: &[String]) -> Result<Vec<NextId>> {
    Ok(givers(session, room, names)?.into_iter().map(|(id, _)| id).collect())
}

fn warn(swap: &Swap<'_>, raises: &Raises, others: &str) {
    for text in raises.warnings(others) {
        swap.context.watch.see(Event::Warning(&format!("{}: {text}", swap.data_set)));
    }
}

/// Before the swap: what is staged goes on where what is live does.
pub(super) fn keep_ahead(swap: &mut Swap<'_>, staged: &[String]) -> Result<()> {
    if swap.schemas.road == Road::InPlace {
        return Ok(());
    }
    let (live, aside) = (swap.schemas.live(), swap.schemas.aside());
    let of_live = read::table_names(&mut swap.session, &swap.schemas.live)?;
    let others = next_of(&mut swap.session, &live, &of_live)?;
    let these = givers(&mut swap.session, &aside, staged)?;
    let raises = raise(swap, &aside, &these, &others)?;
    tell(swap, &raises, "the live ones");
    warn(swap, &raises, "the live one");
    Ok(())
}

/// When what was live is kept, and gives no more ids: the same, by what it has reached; and where what is live goes on is noted, for an undo.
pub(super) fn keep_ahead_of_kept(swap: &mut Swap<'_>) -> Result<()> {
    let (set, was) = (swap.set()?, swap.live()?);
    let (live, kept) = (swap.schemas.live(), swap.schemas.kept());
    let others = next_of(&mut swap.session, &kept, &was.tables)?;
    let these = givers(&mut swap.session, &live, &set.tables)?;
    let raises = raise(swap, &live, &these, &others)?;
    tell(swap, &raises, "those that were live");
    if swap.schemas.road == Road::InPlace {
        warn(swap, &raises, "the one that was live");
    }
    let now = next_ids::by_name(&next_of(&mut swap.session, &live, &set.tables)?);
    swap.record.write(&mut swap.session, Document::NextIds, &now)
}

/// After the swap back: what gave ids while it was live is live no more, and what is live again gives none of them.
pub(super) fn carry_back(swap: &mut Swap<'_>) -> Result<()> {
    let Some(noted) = swap.record.read::<BTreeMap<String, i128>>(&mut swap.session, Document::NextIds)? else { return Ok(()) };
    let was = swap.live()?;
    let (live, aside) = (swap.schemas.live(), swap.schemas.aside());
    let others = next_ids::counted_on(next_of(&mut swap.session, &aside, &was.tables)?, &noted);
    let these = givers(&mut swap.session, &live, &was.tables)?;
    let raises = raise(swap, &live, &these, &others)?;
    tell(swap, &raises, "the restored ones");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::last_of;

    #[test]
    fn the_largest_id_is_that_of_the_type() {
        let types = ["tinyint", "tinyint(3) unsigned", "smallint", "mediumint unsigned", "int(11)", "int unsigned", "bigint", "float"];
        let largest = [127, 255, 32_767, 16_777_215, 2_147_483_647, 4_294_967_295, i128::from(i64::MAX), i128::from(i64::MAX)];
        assert_eq!(types.map(last_of), largest);
    }
}
