//! What a schema needs from a server: versions, collations, and what keeps it from the other kind of server.

use std::collections::BTreeSet;

use super::{Column, ObjectKind, Schema};
use crate::server::{Kind, Version};

/// The first MariaDB that takes rows with the time when they were (`system_versioning_insert_history`).
pub(crate) const HISTORY_IS_TAKEN: Version = Version(10, 11, 0);

/// Collations of the database, its columns and objects.
pub(crate) fn collations(schema: &Schema) -> BTreeSet<String> {
    let objects = &schema.objects;
    let columns = schema.tables.iter().flat_map(|table| &table.columns).filter_map(|column| column.collation.clone());
    let of_objects =
        objects.all().flat_map(|object| [Some(object.collation_connection.clone()), object.database_collation.clone()]).flatten();
    columns.chain(of_objects).chain([objects.collation.clone()]).collect()
}

/// The oldest version that has everything that the schema uses, with the reason.
pub(crate) fn oldest_version(schema: &Schema) -> Option<(Version, String)> {
    let mut needs = Vec::new();
    for table in &schema.tables {
        for column in &table.columns {
            let place = format!("column {}.{}", table.name, column.name);
            needs.extend(version_of(schema.server.kind, column).map(|version| (version, place)));
        }
        if table.versioned {
            needs.push((HISTORY_IS_TAKEN, format!("the history of table {}, which older ones do not take", table.name)));
        }
        if schema.server.kind == Kind::Mysql && table.keys.iter().flat_map(|key| &key.parts).any(|part| part.column.is_none()) {
            needs.push((Version(8, 0, 13), format!("a key over an expression of {}", table.name)));
        }
        if schema.server.kind == Kind::Mysql && table.checks > 0 {
            needs.push((Version(8, 0, 16), format!("a CHECK constraint of {}", table.name)));
        }
    }
    // Others than BIGINT are named by their type.
    let typed = schema.sequences.iter().filter(|sequence| sequence.create.contains("` as "));
    needs.extend(typed.map(|sequence| (Version(11, 5, 0), format!("the type of sequence {}", sequence.name))));
    needs.into_iter().max_by_key(|(version, _)| *version)
}

fn version_of(kind: Kind, column: &Column) -> Option<Version> {
    match (kind, column.data_type.as_str()) {
        (Kind::Mysql, "vector") => Some(Version(9, 0, 0)),
        (Kind::Mysql, _) if column.is_invisible() => Some(Version(8, 0, 23)),
        (Kind::Mysql, _)
            if column.extra.contains("DEFAULT_GENERATED") && column.default.as_deref().is_some_and(|text| text.contains('(')) =>
        {
            Some(Version(8, 0, 13))
        }
        (Kind::Mariadb, "vector") => Some(Version(11, 7, 0)),
        (Kind::Mariadb, "uuid") => Some(Version(10, 7, 0)),
        (Kind::Mariadb, "inet4") => Some(Version(10, 10, 0)),
        _ => None,
    }
}

/// Why the schema cannot go to the other kind of server; empty when nothing is in the way.
pub(crate) fn obstacles(schema: &Schema) -> Vec<String> {
    let kind = schema.server.kind;
    let mut obstacles = Vec::new();
    for table in &schema.tables {
        for column in &table.columns {
            let place = format!("column {}.{}", table.name, column.name);
            obstacles.extend(column_obstacle(kind, column).map(|reason| format!("{place} {reason}")));
        }
        if table.keys.iter().flat_map(|key| &key.parts).any(|part| part.column.is_none()) {
            obstacles.push(format!("table {} has a key over an expression", table.name));
        }
        if table.checks > 0 {
            obstacles.push(format!("table {} has CHECK constraints, which the other kind writes differently", table.name));
        }
        if !["innodb", "myisam", "memory"].contains(&table.engine.to_ascii_lowercase().as_str()) {
            obstacles.push(format!("table {} has engine {}", table.name, table.engine));
        }
        if kind == Kind::Mariadb && ["/*M!", "SYSTEM VERSIONING", "PAGE_COMPRESSED"].iter().any(|word| table.create.contains(word)) {
            obstacles.push(format!("table {} uses options of MariaDB only", table.name));
        }
    }
    obstacles.extend(schema.sequences.iter().map(|sequence| format!("there is a sequence, {}", sequence.name)));
    obstacles
        .extend(collations(schema).into_iter().filter(|name| is_foreign_collation(kind, name)).map(|name| format!("collation {name}")));
    let is_risky =
        |object: &&super::Object| object.kind != ObjectKind::Trigger && object.kind != ObjectKind::View && object.create.contains("/*M!");
    obstacles.extend(
        schema.objects.all().filter(is_risky).map(|object| format!("{} {} uses MariaDB's own syntax", object.kind.word(), object.name)),
    );
    obstacles
}

fn column_obstacle(kind: Kind, column: &Column) -> Option<String> {
    let data_type = column.data_type.as_str();
    if column.is_generated() {
        return Some("is generated".into());
    }
    if column.is_invisible() {
        return Some("is invisible".into());
    }
    match (kind, data_type) {
        (Kind::Mysql, "json") => Some("is of type json, which is another type on MariaDB".into()),
        (_, "vector" | "uuid" | "inet4" | "inet6") => Some(format!("is of type {data_type}")),
        (_, "point" | "geometry" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection") => {
            Some(format!("is of type {data_type}, whose reference systems differ"))
        }
        _ if column
            .default
            .as_deref()
            .is_some_and(|text| text.contains('(') && !text.to_ascii_lowercase().starts_with("current_timestamp")) =>
        {
            Some("has an expression as default".into())
        }
        _ => None,
    }
}

fn is_foreign_collation(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Mysql => name.contains("_0900_"),
        Kind::Mariadb => name.contains("uca1400") || name.contains("_nopad_"),
    }
}
