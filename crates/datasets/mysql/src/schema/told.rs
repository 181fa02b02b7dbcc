//! What of a schema will not go back, or not as it was: found while it is dumped, and told in the set.

use plan::Result;
use plan::ports::{Problem, Severity};

use super::needs::HISTORY_IS_TAKEN;
use super::{Column, Schema, Table, read};
use crate::quote;
use crate::server::Kind;
use crate::session::Session;

/// Engines whose tables were loaded, moved and read back in tests.
const ENGINES: [&str; 8] = ["innodb", "myisam", "memory", "aria", "archive", "csv", "blackhole", "mrg_myisam"];
/// Functions whose result depends on the session's time zone.
const BY_ZONE: [&str; 2] = ["from_unixtime", "unix_timestamp"];

/// All of it. Reads rows only of tables that have a stored column which may depend on the time zone.
pub(crate) fn problems(session: &mut Session, schema: &Schema) -> Result<Vec<Problem>> {
    let mut problems: Vec<Problem> = schema.tables.iter().filter_map(engine).collect();
    problems.extend(schema.tables.iter().filter_map(|table| history(schema, table)));
    problems.extend(histograms(session, schema)?);
    problems.extend(routine_privileges(session, schema)?);
    for table in &schema.tables {
        problems.extend(by_zone(session, schema, table)?);
        problems.extend(json_numbers(session, schema, table)?);
    }
    Ok(problems)
}

fn engine(table: &Table) -> Option<Problem> {
    (!ENGINES.contains(&table.engine.to_ascii_lowercase().as_str())).then(|| {
        Problem::new(Severity::Blocks, format!("table {:?} has engine {}, which a restore cannot make", table.name, table.engine))
            .way_out(format!("ALTER TABLE {} ENGINE = InnoDB, or drop it; 3scale has no such table", quote::name(&table.name)))
    })
}

/// Rows with the time when they were go back to the servers that take them.
fn history(schema: &Schema, table: &Table) -> Option<Problem> {
    (table.versioned && schema.server.version < HISTORY_IS_TAKEN).then(|| {
        let text = format!(
            "the history of table {:?} goes back to MariaDB {HISTORY_IS_TAKEN} and newer only; this is {}",
            table.name, schema.server.version
        );
        Problem::new(Severity::Blocks, text)
            .way_out(format!("Upgrade the server, or ALTER TABLE {} DROP SYSTEM VERSIONING (its history goes)", quote::name(&table.name)))
    })
}

/// MySQL's are kept; those of MariaDB have no statement that takes them.
fn histograms(session: &mut Session, schema: &Schema) -> Result<Option<Problem>> {
    if schema.server.kind == Kind::Mysql {
        return Ok(None);
    }
    let database = quote::text(&schema.objects.database);
    let sql = format!("SELECT COUNT(*) FROM mysql.column_stats WHERE db_name = {database} AND hist_size > 0");
    let count = session.rows_if_possible("look for histograms", &sql)?.and_then(|rows| rows.first().map(|row| row.number(0))).unwrap_or(0);
    Ok((count > 0).then(|| {
        Problem::new(Severity::Note, format!("histograms of {count} columns are statistics and are not kept"))
            .way_out("After a restore: ANALYZE TABLE … PERSISTENT FOR ALL")
    }))
}

/// Privileges on single routines go with the routine when it is dropped, as a restore has to: they are given again where they are known.
fn routine_privileges(session: &mut Session, schema: &Schema) -> Result<Option<Problem>> {
    if schema.objects.routines.is_empty() || read::routine_grants_are_shown(session)? {
        return Ok(None);
    }
    let user = session.value("read the user's name", "SELECT CURRENT_USER()")?.unwrap_or_default();
    let text = "privileges on single routines may not be looked at: if there are any, they are lost when a restore makes the routines anew";
    Ok(Some(Problem::new(Severity::Note, text).way_out(format!("GRANT SELECT ON mysql.procs_priv TO {}", quote::account(&user)))))
}

/// Rows in whose stored columns the server wrote what it would not write in UTC, in which they are loaded.
fn by_zone(session: &mut Session, schema: &Schema, table: &Table) -> Result<Option<Problem>> {
    let suspects: Vec<&Column> = table.columns.iter().filter(|column| depends_on_zone(table, column)).collect();
    if suspects.is_empty() {
        return Ok(None);
    }
    let differ: Vec<String> = suspects
        .iter()
        .filter_map(|column| Some(format!("NOT ({} <=> ({}))", quote::name(&column.name), column.generation.as_deref()?)))
        .collect();
    let from = table.source(&schema.objects.database);
    let sql = format!("SELECT COUNT(*) FROM {from} WHERE {}", differ.join(" OR "));
    let names: Vec<&str> = suspects.iter().map(|column| column.name.as_str()).collect();
    let rows = session.rows_if_possible("compare stored columns with their expressions", &sql)?;
    let text = match rows.and_then(|rows| rows.first().map(|row| row.number(0))) {
        Some(0) => return Ok(None),
        Some(rows) => {
            format!("{rows} rows of table {:?} hold in {} what was computed in another time zone than UTC", table.name, names.join(", "))
        }
        None => format!("{} of table {:?} depend on the time zone in which a row was written", names.join(", "), table.name),
    };
    Ok(Some(
        Problem::new(Severity::Degrades, format!("{text}: a restore computes them in UTC"))
            .way_out("After a restore, in the application's time zone: UPDATE the column that they are computed from."),
    ))
}

/// JSON values whose text another server reads as another value: `1.50` of a DECIMAL comes back as the DOUBLE `1.5`.
fn json_numbers(session: &mut Session, schema: &Schema, table: &Table) -> Result<Option<Problem>> {
    let columns: Vec<&str> = table.kept_columns().filter(|column| column.data_type == "json").map(|column| column.name.as_str()).collect();
    if columns.is_empty() {
        return Ok(None);
    }
    let differ: Vec<String> = columns
        .iter()
        .map(|column| {
            let text = read::json_text(&quote::name(column));
            format!("{text} COLLATE utf8mb4_bin <> {} COLLATE utf8mb4_bin", read::json_text(&format!("CAST({text} AS JSON)")))
        })
        .collect();
    let from = table.source(&schema.objects.database);
    let sql = format!("SELECT COUNT(*) FROM {from} WHERE {}", differ.join(" OR "));
    let rows = session.rows_if_possible("look for JSON values that text does not hold", &sql)?;
    let rows = rows.and_then(|rows| rows.first().map(|row| row.number(0))).unwrap_or(0);
    Ok((rows > 0).then(|| {
        let text = format!(
            "{rows} rows of table {:?} hold in {} JSON numbers of type DECIMAL: they come back as DOUBLE, 1.50 as 1.5",
            table.name,
            columns.join(", ")
        );
        Problem::new(Severity::Degrades, text)
            .way_out("Nothing to do where the application reads them as numbers. JSON has no DECIMAL of its own.")
    }))
}

/// Stored, and made of a TIMESTAMP or by a function of the time zone.
fn depends_on_zone(table: &Table, column: &Column) -> bool {
    let Some(expression) = column.generation.as_ref().map(|text| text.to_ascii_lowercase()) else { return false };
    let stored = ["STORED", "PERSISTENT"].iter().any(|word| column.extra.to_ascii_uppercase().contains(word));
    let stamps = || table.columns.iter().filter(|other| other.data_type == "timestamp");
    stored
        && (BY_ZONE.iter().any(|function| expression.contains(function))
            || stamps().any(|stamp| expression.contains(&quote::name(&stamp.name).to_ascii_lowercase())))
}
