//! How rows of a table belong to a tenant and to a product: the data file, read.

use std::sync::LazyLock;

use crate::rows::{Row, rows};

pub(crate) const DATA: &str = include_str!("../../data/tenant-paths.tsv");

/// One way in which a row belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `COLUMN is T`: it does when the column has the number of what is wanted.
    Is {
        /// The column.
        column: &'static str,
    },
    /// `COLUMN -> TABLE`, `COLUMN -> TABLE if COLUMN is TYPE`: as the row that the column names.
    Refers {
        /// The column.
        column: &'static str,
        /// The table that it names a row of.
        table: &'static str,
        /// Only when this column has this text.
        only_if: Option<(&'static str, &'static str)>,
    },
}

/// Whether rows of a table are extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extract {
    /// With the tenant.
    Always,
    /// When they are asked for: history, and what a living installation works off by itself.
    Asked,
    /// They belong to no tenant.
    Nobody,
}

/// How the rows of a table belong.
#[derive(Debug, Clone)]
pub struct Path {
    /// The table.
    pub table: &'static str,
    /// To a tenant: the first that says whose a row is.
    pub tenant: Vec<Rule>,
    /// To a product; none where they belong to none.
    pub product: Vec<Rule>,
    /// Whether they are extracted.
    pub extract: Extract,
}

/// Of all tables that are known, by name.
pub static PATHS: LazyLock<Vec<Path>> = LazyLock::new(|| {
    let mut paths: Vec<_> = rows(DATA).map(path).collect();
    paths.sort_by_key(|path| path.table);
    paths
});

/// Of a table.
#[must_use]
pub fn of_table(name: &str) -> Option<&'static Path> {
    PATHS.binary_search_by_key(&name, |path| path.table).ok().and_then(|at| PATHS.get(at))
}

fn path(row: Row) -> Path {
    let extract = match row.get("extract") {
        "always" => Extract::Always,
        "asked" => Extract::Asked,
        _ => Extract::Nobody,
    };
    let ways = |column| row.get(column).split(" | ").filter_map(rule).collect();
    Path { table: row.get("table"), tenant: ways("tenant"), product: ways("product"), extract }
}

fn rule(text: &'static str) -> Option<Rule> {
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        [column, "is", "T"] => Some(Rule::Is { column }),
        [column, "->", table] => Some(Rule::Refers { column, table, only_if: None }),
        [column, "->", table, "if", type_column, "is", kind] => Some(Rule::Refers { column, table, only_if: Some((type_column, kind)) }),
        _ => None,
    }
}
