//! Reads base tables: definition, columns, keys, foreign keys.

use std::collections::BTreeMap;

use plan::Result;

use super::versioned;
use crate::place;
use crate::quote;
use crate::schema::literals::{self, Writing};
use crate::schema::{Column, ForeignKey, Key, KeyPart, Table, definition};
use crate::session::{Answer, Session};

/// Names of the base tables and sequences, sorted by file name; not those that runs have made, which are no data of the application.
pub(crate) fn table_names(session: &mut Session, database: &str) -> Result<Vec<String>> {
    names_of(session, database, "NOT IN ('VIEW', 'SYSTEM VIEW')")
}

/// Names of those whose type fulfils a condition.
pub(super) fn names_of(session: &mut Session, database: &str, condition: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE {condition}",
        quote::text(database)
    );
    let names = session.rows("list the tables", &sql)?.iter().map(|record| record.text(0)).collect::<Result<Vec<_>>>()?;
    let mut names: Vec<String> = names.into_iter().filter(|name| !place::is_ours(name)).collect();
    names.sort_unstable_by_key(|name| quote::file_name(name));
    Ok(names)
}

/// Whether there are tables of engine MERGE.
pub(crate) fn has_merge_tables(session: &mut Session, database: &str) -> Result<bool> {
    let sql =
        format!("SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND ENGINE = 'MRG_MyISAM' LIMIT 1", quote::text(database));
    Ok(!session.rows("look for tables of engine MERGE", &sql)?.is_empty())
}

/// Whether there are tables that keep their history.
pub(crate) fn has_history(session: &mut Session, database: &str) -> Result<bool> {
    Ok(!names_of(session, database, "= 'SYSTEM VERSIONED'")?.is_empty())
}

struct Listed {
    name: String,
    versioned: bool,
    engine: String,
    rows: u64,
    row_bytes: u64,
}

fn list(session: &mut Session, database: &str) -> Result<Vec<Listed>> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, AVG_ROW_LENGTH, DATA_LENGTH FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
        quote::text(database)
    );
    let mut tables = Vec::new();
    for record in session.rows("list the tables", &sql)? {
        let name = record.text(0)?;
        if place::is_ours(&name) {
            continue;
        }
        let row_bytes = record.number(4).max(record.number(5) / record.number(3).max(1));
        let versioned = record.text(1)? == "SYSTEM VERSIONED";
        tables.push(Listed { name, versioned, engine: record.text(2)?, rows: record.number(3), row_bytes });
    }
    tables.sort_unstable_by_key(|listed| quote::file_name(&listed.name));
    Ok(tables)
}

/// All base tables.
pub(crate) fn tables(session: &mut Session, database: &str) -> Result<Vec<Table>> {
    let mut columns = columns(session, database)?;
    let mut keys = keys(session, database)?;
    let mut foreign_keys = foreign_keys(session, database)?;
    let partitions = partitions(session, database)?;
    let mut histograms = histograms(session, database)?;
    let mut tables = Vec::new();
    for listed in list(session, database)? {
        let create = create_table(session, database, &listed.name)?;
        let cut = definition::cut(&create, |_| true);
        let checks =
            cut.map_err(|error| error.during(format!("failed to read the definition of table {:?}", listed.name)))?.checks.len() as u64;
        let mut columns = columns.remove(&listed.name).unwrap_or_default();
        for column in columns.iter_mut().filter(|column| column.data_type == "timestamp") {
            // MySQL lists it as it was written, in whatever time zone that was; the definition is in this session's.
            column.default = definition::moment_of(&create, &column.name).or(column.default.take());
        }
        columns.extend(if listed.versioned { versioned::unnamed(&columns) } else { Vec::new() });
        let histograms = histograms.remove(&listed.name).unwrap_or_default();
        tables.push(Table {
            columns,
            keys: keys.remove(&listed.name).unwrap_or_default(),
            foreign_keys: foreign_keys.remove(&listed.name).unwrap_or_default(),
            partitions: partitions.get(&listed.name).copied().unwrap_or(0),
            name: listed.name,
            engine: listed.engine,
            create,
            checks,
            versioned: listed.versioned,
            histograms,
            estimated_rows: listed.rows,
            average_row_bytes: listed.row_bytes,
        });
    }
    Ok(tables)
}

/// `SHOW CREATE TABLE`.
pub(crate) fn create_table(session: &mut Session, database: &str, table: &str) -> Result<String> {
    let shown = session.rows("read a table's definition", &format!("SHOW CREATE TABLE {}", quote::qualified(database, table)))?;
    let shown = shown.first().and_then(|record| record.bytes(1)).unwrap_or_default();
    // MariaDB writes a binary default as it is, which may be no text.
    Ok(versioned::without_home(&literals::text(shown, shown, Writing::default()), database))
}

/// The columns of all tables, by table, in their order.
pub(crate) fn columns(session: &mut Session, database: &str) -> Result<BTreeMap<String, Vec<Column>>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_DEFAULT, EXTRA, \
         GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        quote::text(database)
    );
    let mut columns = BTreeMap::<String, Vec<Column>>::new();
    for record in session.rows("read the columns", &sql)? {
        columns.entry(record.text(0)?).or_default().push(column(&record, database)?);
    }
    Ok(columns)
}

fn column(record: &Answer, database: &str) -> Result<Column> {
    let (name, data_type, column_type, extra) = (record.text(1)?, record.text(2)?.to_ascii_lowercase(), record.text(3)?, record.text(8)?);
    let quoted = quote::name(&name);
    // `DEFAULT_GENERATED` of MySQL is an expression as default, not a generated column.
    let expression = record.maybe(9)?.unwrap_or_default();
    let of_row = versioned::select(&name, &expression);
    let generated = of_row.is_none()
        && ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|word| extra.to_ascii_uppercase().contains(word));
    let is_of_row = of_row.is_some();
    let (select, load) = match data_type.as_str() {
        // A FLOAT is shown with 6 digits, FLOAT(M,D) and DOUBLE(M,D) with D: as a product they are shown exactly (and -0 stays).
        "float" | "double" => (format!("{quoted} * 1e0"), None),
        // With an empty member, '' would stand for two values: keep the number.
        "enum" | "set" if has_empty_member(&column_type) => (format!("{quoted} + 0"), Some("@cell + 0")),
        // Numbers within are taken from text as DOUBLE, whatever they were: they are kept as they will come back. These take text, not bytes without a character set.
        "json" => (format!("CAST({} AS JSON)", json_text(&quoted)), Some("CONVERT(@cell USING utf8mb4)")),
        "uuid" | "inet4" | "inet6" => (quoted, Some("CONVERT(@cell USING utf8mb4)")),
        _ => (of_row.unwrap_or(quoted), versioned::load(&expression)),
    };
    Ok(Column {
        name,
        data_type,
        column_type,
        nullable: record.text(4)? == "YES",
        charset: record.maybe(5)?,
        collation: record.maybe(6)?,
        default: record.bytes(7).map(|bytes| versioned::without_home(&String::from_utf8_lossy(bytes), database)),
        extra,
        generation: Some(expression).filter(|text| (generated || is_of_row) && !text.is_empty()),
        select: (!generated).then_some(select),
        load: load.map(str::to_owned),
    })
}

/// The text of a JSON value, by its column's quoted name.
pub(crate) fn json_text(quoted: &str) -> String {
    format!("CAST({quoted} AS CHAR CHARACTER SET utf8mb4)")
}

fn has_empty_member(column_type: &str) -> bool {
    let members = column_type.split_once('(').map_or(column_type, |(_, members)| members);
    members.starts_with("''") && !members.starts_with("'''") || column_type.contains(",'',") || column_type.ends_with(",'')")
}

/// The keys of all tables, by table, the primary first.
pub(crate) fn keys(session: &mut Session, database: &str) -> Result<BTreeMap<String, Vec<Key>>> {
    // Who is ignored by the optimizer cannot be asked for by name.
    let unseen = ["IS_VISIBLE = 'NO'", "IGNORED = 'YES'"].into_iter().find(|unseen| {
        let probe = format!("SELECT {unseen} FROM information_schema.STATISTICS LIMIT 0");
        session.rows_if_possible("look which keys the optimizer may use", &probe).is_ok_and(|answer| answer.is_some())
    });
    let unseen = unseen.unwrap_or("0");
    let sql = format!(
        "SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, INDEX_TYPE, COLUMN_NAME, SUB_PART, COLLATION, {unseen} FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
        quote::text(database)
    );
    let mut keys = BTreeMap::<String, Vec<Key>>::new();
    for record in session.rows("read the keys", &sql)? {
        let of_table = keys.entry(record.text(0)?).or_default();
        let name = record.text(1)?;
        let part = KeyPart {
            column: record.maybe(4)?,
            prefix: record.maybe(5)?.and_then(|text| text.parse().ok()),
            descending: record.text(6)? == "D",
        };
        match of_table.last_mut() {
            Some(key) if key.name == name => key.parts.push(part),
            _ => of_table.push(Key {
                name,
                unique: record.number(2) == 0,
                index_type: record.text(3)?,
                parts: vec![part],
                unseen: record.number(7) == 1,
            }),
        }
    }
    Ok(keys)
}

/// The foreign keys of all tables, by table.
pub(crate) fn foreign_keys(session: &mut Session, database: &str) -> Result<BTreeMap<String, Vec<ForeignKey>>> {
    let sql = format!(
        "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, \
         r.UPDATE_RULE, r.DELETE_RULE FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
         ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
         WHERE k.TABLE_SCHEMA = {0} AND r.CONSTRAINT_SCHEMA = {0} AND k.REFERENCED_TABLE_NAME IS NOT NULL \
         ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
        quote::text(database)
    );
    let mut keys = BTreeMap::<String, Vec<ForeignKey>>::new();
    for record in session.rows("read the foreign keys", &sql)? {
        let of_table = keys.entry(record.text(0)?).or_default();
        let name = record.text(1)?;
        if of_table.last().is_none_or(|key| key.name != name) {
            let schema = record.text(3)?;
            of_table.push(ForeignKey {
                name,
                columns: Vec::new(),
                other_schema: (schema != database).then_some(schema),
                table: record.text(4)?,
                referred: Vec::new(),
                on_update: record.text(6)?,
                on_delete: record.text(7)?,
            });
        }
        if let Some(key) = of_table.last_mut() {
            key.columns.push(record.text(2)?);
            key.referred.push(record.text(5)?);
        }
    }
    Ok(keys)
}

/// Of MySQL; MariaDB has no such table.
fn histograms(session: &mut Session, database: &str) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let sql = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, CAST(HISTOGRAM AS CHAR) FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = {} ORDER BY 1, 2",
        quote::text(database)
    );
    let mut histograms = BTreeMap::<String, Vec<(String, String)>>::new();
    for record in session.rows_if_possible("read the histograms", &sql)?.unwrap_or_default() {
        histograms.entry(record.text(0)?).or_default().push((record.text(1)?, record.text(2)?));
    }
    Ok(histograms)
}

fn partitions(session: &mut Session, database: &str) -> Result<BTreeMap<String, u64>> {
    let sql = format!(
        "SELECT TABLE_NAME, COUNT(*) FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = {} AND PARTITION_NAME IS NOT NULL GROUP BY TABLE_NAME",
        quote::text(database)
    );
    session.rows("read the partitions", &sql)?.iter().map(|record| Ok((record.text(0)?, record.number(1)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_member_of_an_enum_is_seen() {
        for with in ["set('','a')", "set('a','')", "enum('')", "enum('','a')", "enum('a','','b')", "enum('a','')"] {
            assert!(has_empty_member(with), "{with}");
        }
        for without in ["enum('a')", "enum('''','a')", "enum('a,''','b')"] {
            assert!(!has_empty_member(without), "{without}");
        }
    }
}
