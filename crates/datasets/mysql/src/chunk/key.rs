//! The key by which a table is cut.

use crate::quote;
use crate::schema::{Column, Key, Table};

/// Columns of a key that can be compared with literals without loss, all NOT NULL: the longest such beginning of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkKey {
    /// The index to read in.
    pub(crate) index: String,
    pub(crate) columns: Vec<KeyColumn>,
}

/// A column of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    pub(crate) name: String,
    kind: Walkable,
}

/// Types whose values, read as bytes and written back as literals, compare as they do in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Walkable {
    Integer,
    Decimal,
    Text { charset: String, collation: String },
    Binary,
}

impl KeyColumn {
    fn of(column: &Column) -> Option<Self> {
        let kind = match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Walkable::Integer,
            "decimal" => Walkable::Decimal,
            "char" | "varchar" => Walkable::Text { charset: column.charset.clone()?, collation: column.collation.clone()? },
            "binary" | "varbinary" => Walkable::Binary,
            // Dates may hold zero parts, floats are not exact, ENUM and SET compare by number: such keys are not walked.
            _ => return None,
        };
        (!column.nullable).then(|| Self { name: column.name.clone(), kind })
    }

    pub(crate) const fn is_integer(&self) -> bool {
        matches!(self.kind, Walkable::Integer)
    }

    /// A value as read (bytes, unconverted) as a literal.
    pub(crate) fn literal(&self, value: &[u8]) -> Option<String> {
        match &self.kind {
            Walkable::Integer | Walkable::Decimal => {
                let text = std::str::from_utf8(value).ok()?;
                (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))).then(|| text.to_owned())
            }
            Walkable::Text { charset, collation } => Some(format!("{} COLLATE {collation}", quote::bytes(value, charset))),
            Walkable::Binary => Some(quote::bytes(value, "binary")),
        }
    }
}

impl ChunkKey {
    #[cfg(test)]
    pub(crate) fn of_integers(names: &[&str]) -> Self {
        let columns = names.iter().map(|name| KeyColumn { name: (*name).to_owned(), kind: Walkable::Integer }).collect();
        Self { index: "PRIMARY".into(), columns }
    }

    /// `ORDER BY` list.
    pub(crate) fn list(&self) -> String {
        quote::names(self.columns.iter().map(|column| column.name.as_str()))
    }
}

/// The primary key, or the first unique key that serves.
pub(crate) fn choose(table: &Table) -> Option<ChunkKey> {
    let usable: Vec<ChunkKey> = table
        .keys
        .iter()
        .filter(|key| key.unique && !key.unseen && key.index_type == "BTREE")
        .filter_map(|key| beginning(table, key))
        .collect();
    // The primary key comes first in the list, and reading in its order reads the table in its own order.
    usable.into_iter().next()
}

fn beginning(table: &Table, key: &Key) -> Option<ChunkKey> {
    let columns: Vec<KeyColumn> = key
        .parts
        .iter()
        .map_while(|part| match (&part.column, part.prefix, part.descending) {
            (Some(column), None, false) => table.column(column).and_then(KeyColumn::of),
            _ => None,
        })
        .collect();
    (!columns.is_empty()).then(|| ChunkKey { index: key.name.clone(), columns })
}
