//! A schema as sorted lines that are the same on every version of one kind of server: what a proof compares.
//!
//! `SHOW CREATE TABLE` would not do: versions print the same table differently (`utf8` and `utf8mb3`, `int(11)` and `int`).

use std::collections::BTreeMap;

use plan::evidence::Tally;

use super::{Column, ForeignKey, Key, Schema, Table};

/// The collection of [`plan::evidence::Evidence`] that holds the digest over all lines.
pub(crate) const COLLECTION: &str = "(definitions)";

/// One line for every column, key, foreign key and sequence, sorted. Not where a sequence goes on, which changes while it is dumped.
pub(crate) fn lines(schema: &Schema) -> Vec<String> {
    let sequences = schema.sequences.iter().map(|sequence| format!("{}: sequence {}", sequence.name, sequence.create));
    let mut lines: Vec<String> = schema.tables.iter().flat_map(of_table).chain(sequences).collect();
    lines.sort_unstable();
    lines
}

/// All that a restored database must have again: with where each sequence goes on.
pub(crate) fn all(schema: &Schema) -> Vec<String> {
    let places = schema.sequences.iter().map(|sequence| format!("{}: goes on at {}", sequence.name, sequence.row.join(", ")));
    let mut lines: Vec<String> = lines(schema).into_iter().chain(places).collect();
    lines.sort_unstable();
    lines
}

/// Count and digest of the lines.
pub(crate) fn tally(schema: &Schema) -> Tally {
    let mut tally = Tally::default();
    all(schema).iter().for_each(|line| tally.add(line.as_bytes()));
    tally
}

/// How many objects of each kind there are.
pub(crate) fn counts(schema: &Schema) -> BTreeMap<String, u64> {
    let count = |of: fn(&Table) -> usize| schema.tables.iter().map(of).sum::<usize>() as u64;
    let objects = &schema.objects;
    let sequences = (!schema.sequences.is_empty()).then(|| ("sequences".to_owned(), schema.sequences.len() as u64));
    let all = BTreeMap::from([
        ("tables".to_owned(), schema.tables.len() as u64),
        ("columns".to_owned(), count(|table| table.columns.len())),
        ("indexes".to_owned(), count(|table| table.keys.len())),
        ("foreign-keys".to_owned(), count(|table| table.foreign_keys.len())),
        ("checks".to_owned(), schema.tables.iter().map(|table| table.checks).sum()),
        ("partitions".to_owned(), schema.tables.iter().map(|table| table.partitions).sum()),
        ("views".to_owned(), objects.views.len() as u64),
        ("triggers".to_owned(), objects.triggers.len() as u64),
        ("routines".to_owned(), objects.routines.len() as u64),
        ("events".to_owned(), objects.events.len() as u64),
    ]);
    all.into_iter().chain(sequences).collect()
}

fn of_table(table: &Table) -> Vec<String> {
    let name = &table.name;
    let columns = table.columns.iter().enumerate().map(|(at, column)| format!("{name}: column {at} {}", of_column(column)));
    let keys = table.keys.iter().map(|key| format!("{name}: key {}", of_key(key)));
    let foreign_keys = table.foreign_keys.iter().map(|key| format!("{name}: foreign key {}", of_foreign_key(key)));
    let own = format!(
        "{name}: table engine {}, {} partitions, {} checks{}",
        table.engine.to_ascii_lowercase(),
        table.partitions,
        table.checks,
        if table.versioned { ", versioned" } else { "" }
    );
    columns.chain(keys).chain(foreign_keys).chain([own]).collect()
}

fn of_column(column: &Column) -> String {
    let extra = column.extra.to_ascii_lowercase().replace("default_generated", "");
    let mut words: Vec<&str> = extra.split_whitespace().collect();
    words.sort_unstable();
    format!(
        "{:?} {}{} charset {} collation {} default {} extra {}",
        column.name,
        column_type(&column.column_type),
        if column.nullable { " null" } else { "" },
        full_charset(column.charset.as_deref()),
        full_charset(column.collation.as_deref()),
        default(column.default.as_deref()),
        words.join(" "),
    )
}

/// Integer types without their display width, which new versions no longer show. `enum` and `set` keep every character.
fn column_type(text: &str) -> String {
    let is_integer = ["tinyint", "smallint", "mediumint", "int", "bigint", "year"]
        .iter()
        .any(|word| text.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', ' '])));
    match (is_integer && !text.contains("zerofill"), text.find('('), text.find(')')) {
        (true, Some(open), Some(close)) => format!("{}{}", text.get(..open).unwrap_or(text), text.get(close + 1..).unwrap_or_default()),
        _ => text.to_owned(),
    }
}

fn full_charset(text: Option<&str>) -> String {
    match text {
        None => "-".into(),
        Some("utf8") => "utf8mb3".into(),
        Some(text) => text.strip_prefix("utf8_").map_or_else(|| text.to_owned(), |rest| format!("utf8mb3_{rest}")),
    }
}

/// MariaDB shows the text of the expression, MySQL the value.
fn default(text: Option<&str>) -> String {
    match text {
        None | Some("NULL") => "-".into(),
        Some(text) if text.to_ascii_lowercase().starts_with("current_timestamp") => text.to_ascii_lowercase().replace("()", ""),
        Some(text) => text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(text).to_owned(),
    }
}

fn of_key(key: &Key) -> String {
    let part = |part: &super::KeyPart| {
        let prefix = part.prefix.map_or_else(String::new, |length| format!("({length})"));
        format!("{}{prefix}{}", part.column.as_deref().unwrap_or("<expression>"), if part.descending { " desc" } else { "" })
    };
    let parts: Vec<_> = key.parts.iter().map(part).collect();
    format!("{:?} {}{} ({})", key.name, if key.unique { "unique " } else { "" }, key.index_type, parts.join(", "))
}

fn of_foreign_key(key: &ForeignKey) -> String {
    format!(
        "{:?} ({}) to {}{} ({}) on update {} on delete {}",
        key.name,
        key.columns.join(", "),
        key.other_schema.as_deref().map_or_else(String::new, |schema| format!("{schema}.")),
        key.table,
        key.referred.join(", "),
        rule(&key.on_update),
        rule(&key.on_delete),
    )
}

/// `NO ACTION` and `RESTRICT` are one thing in InnoDB, and versions differ in which of them they show.
fn rule(text: &str) -> &str {
    if text == "NO ACTION" { "RESTRICT" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_print_differently_give_the_same_line() {
        assert_eq!(column_type("int(11) unsigned"), "int unsigned");
        assert_eq!(column_type("int unsigned"), "int unsigned");
        assert_eq!(column_type("enum('int(1)')"), "enum('int(1)')");
        assert_eq!(column_type("point"), "point");
        assert_eq!(full_charset(Some("utf8_bin")), "utf8mb3_bin");
        assert_eq!(default(Some("current_timestamp()")), default(Some("CURRENT_TIMESTAMP")));
        assert_eq!(default(Some("'a'")), default(Some("a")));
    }
}
