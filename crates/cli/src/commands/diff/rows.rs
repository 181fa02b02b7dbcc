//! Rows of the tables that differ: by their primary keys, cell by cell.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;
use plan::difference::DataSetDifference;
use plan::digest::hash;
use plan::manifest::KeptDataSet;
use plan::ports::{RowReader, StoreKind};
use plan::words::printable;

use super::deep::{Group, Sets};
use super::records::{Side, put, take};
use crate::agreement::read_rows;

/// Bytes of a cell's hash.
const HASH_BYTES: usize = 8;
/// Of a cell of a key so much is told.
const SHOWN_MAX_CHARS: usize = 100;

pub(super) fn compared(sets: &Sets<'_>, known: &DataSetDifference, from: &KeptDataSet, to: &KeptDataSet) -> Result<Vec<Group>> {
    let in_both = known.collections.iter().filter(|it| it.elements.from.is_some() && it.elements.to.is_some());
    // Rows are told apart by the names of tables alone, and of two schemas' those in `public` are read.
    let mut named = BTreeMap::<_, u32>::new();
    for table in from.evidence.collections.keys().filter_map(|name| table_of(name, &from.kind)) {
        *named.entry(table).or_default() += 1;
    }
    let is_twin = |collection: &str, table: &str| named.get(table).is_some_and(|count| *count > 1) && !collection.starts_with("public.");
    let (mut wanted, mut twins) = (BTreeSet::new(), Vec::new());
    for (collection, table) in in_both.filter_map(|it| Some((&it.name, table_of(&it.name, &from.kind)?))) {
        if is_twin(collection, &table) {
            twins.push(collection.clone());
        } else {
            wanted.insert(table);
        }
    }
    let read = |kept: &KeptDataSet| -> Result<_> {
        let mut reader = Reader { wanted: &wanted, side: Side::new(), tables: BTreeMap::new() };
        read_rows(kept, sets.repository, sets.context, &mut reader)?;
        Ok((reader.side, reader.tables))
    };
    let (one, before) = read(from)?;
    let (other, after) = read(to)?;
    let name = |table: &[u8], key: &[u8]| {
        let table = before.get(table).or_else(|| after.get(table))?;
        (!table.key.is_empty()).then(|| table.named(key))
    };
    let mut groups = sets.groups((one, other), "rows", &name, &mut |group, _, was, is| {
        let (Some(before), Some(after)) = (before.get(group.name.as_bytes()), after.get(group.name.as_bytes())) else { return Ok(true) };
        let mut differs = false;
        for (at, column) in before.columns.iter().enumerate() {
            let Some(there) = after.columns.iter().position(|other| other == column) else { continue };
            if cell(was, at) != cell(is, there) {
                differs = true;
                *group.columns.entry(column.clone()).or_default() += 1;
            }
        }
        Ok(differs)
    })?;
    for group in &mut groups {
        if let (Some(before), Some(after)) = (before.get(group.name.as_bytes()), after.get(group.name.as_bytes())) {
            if let Some(why) = before.cannot_be_compared_with(after) {
                *group = Group { name: std::mem::take(&mut group.name), kind: group.kind, not_compared: Some(why), ..Group::default() };
                continue;
            }
            let of_one =
                |one: &Table, other: &Table| one.columns.iter().filter(|name| !other.columns.contains(name)).cloned().collect::<Vec<_>>();
            group.columns_of_one = [of_one(before, after), of_one(after, before)].concat();
        }
    }
    let why = "another schema has a table of this name, from whose rows its own are not told here";
    groups.extend(twins.into_iter().map(|name| Group { name, kind: "rows", not_compared: Some(why.to_owned()), ..Group::default() }));
    Ok(groups)
}

/// The table that a collection is of, as readers of rows are told it; `None` for what has no rows.
fn table_of(collection: &str, kind: &StoreKind) -> Option<String> {
    if *kind != StoreKind::PostgreSql {
        return (collection != "(definitions)").then(|| collection.to_owned());
    }
    if collection.starts_with("sequence ") || collection == "large objects" {
        return None;
    }
    let (_schema, rest) = identifier(collection)?;
    let (table, _) = identifier(rest.strip_prefix('.')?)?;
    Some(table)
}

/// The name at the begin of a text, and what comes after. A quoted one may have dots, and quotes as two (PostgreSQL manual, "Identifiers and Key Words").
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        return Some((text.get(..end)?.to_owned(), text.get(end..)?));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        let Some(more) = after.strip_prefix('"') else { return Some((name, after)) };
        name.push('"');
        rest = more;
    }
}

fn cell(value: &[u8], at: usize) -> Option<&[u8]> {
    value.get(at * HASH_BYTES..(at + 1) * HASH_BYTES)
}

struct Table {
    columns: Vec<String>,
    /// Names of the columns of the primary key; none where there is none: then a row is told from others by all of it.
    key: Vec<String>,
    places: Vec<usize>,
}

impl Table {
    /// Why nobody can say which row of one set is which of the other.
    fn cannot_be_compared_with(&self, other: &Self) -> Option<String> {
        let shown = |table: &Self| if table.key.is_empty() { "none".to_owned() } else { table.key.join(", ") };
        if self.key != other.key {
            return Some(format!("its primary key was {}, and is {}", shown(self), shown(other)));
        }
        (self.key.is_empty() && self.columns != other.columns).then(|| "it has no primary key, and other columns than before".to_owned())
    }

    /// `id 7`, `account 3, user 9`.
    fn named(&self, key: &[u8]) -> String {
        let (mut at, mut parts) = (0, Vec::new());
        for column in &self.key {
            let Some((cell, next)) = take(key, at) else { break };
            let text = String::from_utf8_lossy(&cell).chars().take(SHOWN_MAX_CHARS).collect::<String>();
            parts.push(format!("{column} {}", printable(&text)));
            at = next;
        }
        parts.join(", ")
    }
}

struct Reader<'w> {
    wanted: &'w BTreeSet<String>,
    side: Side,
    tables: BTreeMap<Vec<u8>, Table>,
}

impl RowReader for Reader<'_> {
    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        if !self.wanted.contains(table) {
            return false;
        }
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        self.tables.insert(table.as_bytes().to_vec(), Table { columns, key: Vec::new(), places: Vec::new() });
        true
    }

    fn primary_key(&mut self, table: &str, columns: &[&str]) {
        let Some(table) = self.tables.get_mut(table.as_bytes()) else { return };
        let places: Option<Vec<_>> = columns.iter().map(|name| table.columns.iter().position(|column| column == name)).collect();
        // A key of a column whose values are not kept tells nobody apart here.
        if let Some(places) = places {
            (table.key, table.places) = (columns.iter().map(|name| (*name).to_owned()).collect(), places);
        }
    }

    fn row(&mut self, name: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let Some(table) = self.tables.get(name.as_bytes()) else { return Ok(()) };
        let mut value = Vec::with_capacity(cells.len() * HASH_BYTES);
        for cell in cells {
            // No text has the hash of NULL but by a chance of 2^-64.
            let of_cell = cell.map_or(0, |bytes| hash(bytes) | 1);
            value.extend_from_slice(of_cell.to_be_bytes().get(HASH_BYTES..).unwrap_or_default());
        }
        let mut key = Vec::new();
        if table.key.is_empty() {
            key.extend_from_slice(&hash(&value).to_be_bytes());
        } else {
            table.places.iter().for_each(|place| put(&mut key, cells.get(*place).copied().flatten().unwrap_or_default()));
        }
        self.side.push(name.as_bytes(), &key, &value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_of_a_table_or_of_none() {
        let of = |name: &str, kind: StoreKind| table_of(name, &kind);
        assert_eq!(of("accounts", StoreKind::MySql).as_deref(), Some("accounts"));
        assert_eq!(of("a.b", StoreKind::MariaDb).as_deref(), Some("a.b"));
        assert_eq!(of("(definitions)", StoreKind::MySql), None);
        assert_eq!(of("public.tenants", StoreKind::PostgreSql).as_deref(), Some("tenants"));
        assert_eq!(of("public.\"a.\"\"b\"", StoreKind::PostgreSql).as_deref(), Some("a.\"b"));
        assert_eq!(of("\"a.\"\".b\".c", StoreKind::PostgreSql).as_deref(), Some("c"));
        assert_eq!(of("sequence public.tenants_id_seq", StoreKind::PostgreSql), None);
        assert_eq!(of("large objects", StoreKind::PostgreSql), None);
    }

    #[test]
    fn rows_that_nobody_can_tell_apart_in_both_sets_are_not_compared() {
        let table = |columns: &[&str], key: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Table { columns: owned(columns), key: owned(key), places: Vec::new() }
        };
        let why = |one: &Table, other: &Table| one.cannot_be_compared_with(other);
        assert_eq!(why(&table(&["id", "a"], &["id"]), &table(&["id", "b"], &["id"])), None);
        assert_eq!(why(&table(&["a"], &[]), &table(&["a"], &[])), None);
        assert!(why(&table(&["a"], &[]), &table(&["a", "b"], &[])).is_some_and(|why| why.contains("no primary key")));
        assert!(why(&table(&["a"], &[]), &table(&["a"], &["a"])).is_some_and(|why| why == "its primary key was none, and is a"));
    }
}
