//! Tables of MariaDB that keep their history, what of them cannot be kept, and names of their own database within definitions.

use plan::Result;

use super::tables::names_of;
use crate::quote;
use crate::schema::{Column, ROW_END, ROW_START, definition};
use crate::session::Session;

/// Moments until which a row is that has no end: of MariaDB before 11.5, and since.
const NO_END: [&str; 2] = ["2038-01-19 03:14:07.999999", "2106-02-07 06:28:15.999999"];

/// What is selected of a column that says from when, or until when, a row was. No end is NULL: each version writes it as another moment.
pub(super) fn select(name: &str, expression: &str) -> Option<String> {
    let quoted = quote::name(name);
    match expression {
        ROW_START => Some(quoted),
        ROW_END => Some(format!("NULLIF(NULLIF({quoted}, '{}'), '{}')", NO_END[0], NO_END[1])),
        _ => None,
    }
}

/// What is assigned on load: no end is what the server itself writes for it (since 11.5, seconds go beyond 31 bits).
pub(super) fn load(expression: &str) -> Option<&'static str> {
    (expression == ROW_END).then_some(
        "COALESCE(@cell, FROM_UNIXTIME(IF(SUBSTRING_INDEX(VERSION(), '.', 1) + 0 > 11 OR SUBSTRING_INDEX(VERSION(), '.', 1) + 0 = 11 \
         AND SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1) + 0 >= 5, 4294967295.999999, 2147483647.999999)))",
    )
}

/// The columns that a table has without naming them: where its definition names none.
pub(super) fn unnamed(columns: &[Column]) -> Vec<Column> {
    if columns.iter().any(Column::is_row_end) {
        return Vec::new();
    }
    let column = |name: &str, expression: &str| Column {
        name: name.to_owned(),
        data_type: "timestamp".into(),
        column_type: "timestamp(6)".into(),
        nullable: false,
        charset: None,
        collation: None,
        default: None,
        extra: "INVISIBLE".into(),
        generation: Some(expression.to_owned()),
        select: select(name, expression),
        load: load(expression).map(str::to_owned),
    };
    vec![column("row_start", ROW_START), column("row_end", ROW_END)]
}

/// What cannot be kept, with the way out: other kinds of tables, packages, libraries. Told before a backup or a restore begins.
pub(crate) fn others(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let known = "NOT IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE', 'VIEW', 'SYSTEM VIEW')";
    let unknown = names_of(session, database, known)?.into_iter().map(|name| {
        let text = format!("{name:?} is of a kind that cannot be kept");
        (text, "Drop it or replace it by an ordinary table; 3scale makes none.".to_owned())
    });
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND GENERATION_EXPRESSION = '{ROW_START}' \
         AND DATA_TYPE <> 'timestamp' ORDER BY 1",
        quote::text(database)
    );
    let found = session.rows("look for tables versioned by transactions", &sql)?;
    let names: Vec<String> = found.iter().map(|record| record.text(0)).collect::<Result<_>>()?;
    let by_transactions = names.into_iter().map(|name| {
        let text =
            format!("table {name:?} is versioned by numbers of transactions, which mean something on this server only: it cannot be kept");
        (text, format!("ALTER TABLE {} DROP SYSTEM VERSIONING (its history goes)", quote::name(&name)))
    });
    Ok(unknown.chain(by_transactions).chain(super::objects::packages_and_libraries(session, database)?).collect())
}

/// A definition in which names of the own database are without it: so they mean the same wherever the table goes. MariaDB writes those of sequences with it.
pub(crate) fn without_home(text: &str, database: &str) -> String {
    definition::without_qualifier(text, &format!("{}.", quote::name(database)))
}
