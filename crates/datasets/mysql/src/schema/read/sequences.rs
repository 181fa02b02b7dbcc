//! Reads sequences of MariaDB: definition, and where each goes on.

use plan::{Error, Result};

use crate::quote;
use crate::schema::Sequence;
use crate::session::Session;

/// How MariaDB writes `NEXT VALUE FOR` in a definition.
const NEXT_VALUE: &str = "nextval(";

/// All of them; none on MySQL.
pub(super) fn read(session: &mut Session, database: &str) -> Result<Vec<Sequence>> {
    super::tables::names_of(session, database, "= 'SEQUENCE'")?.into_iter().map(|name| sequence(session, database, name)).collect()
}

fn sequence(session: &mut Session, database: &str, name: String) -> Result<Sequence> {
    let qualified = quote::qualified(database, &name);
    let vanished = || Error::failed(format!("sequence {name:?} vanished while it was read"));
    let shown = session.rows("read the definition of a sequence", &format!("SHOW CREATE SEQUENCE {qualified}"))?;
    let create = shown.first().map(|record| record.text(1)).transpose()?.ok_or_else(vanished)?;
    let columns = "next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option, cycle_count";
    let found = session.rows("read where a sequence goes on", &format!("SELECT {columns} FROM {qualified}"))?;
    let found = found.first().ok_or_else(vanished)?;
    let row = (0..columns.split(", ").count()).map(|at| found.text(at)).collect::<Result<_>>()?;
    Ok(Sequence { create, row, name })
}

/// Whether a column's default is made by a sequence.
pub(crate) fn is_next_value(default: Option<&str>) -> bool {
    default.is_some_and(|text| text.contains(NEXT_VALUE))
}

/// Whether a database has tables whose defaults are made by sequences.
pub(crate) fn has_defaults(session: &mut Session, database: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND COLUMN_DEFAULT LIKE '%{NEXT_VALUE}%' LIMIT 1",
        quote::text(database)
    );
    Ok(!session.rows("look for defaults of sequences", &sql)?.is_empty())
}
