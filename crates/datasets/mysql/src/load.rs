//! The statements of a load: tables without the keys that can wait, rows, then keys. Runs nothing itself.

use plan::Result;

use crate::chunk;
use crate::quote;
use crate::schema::{Column, Table, definition};

/// A table's definition, cut for a load.
#[derive(Debug, Clone)]
pub(crate) struct Definitions {
    /// `CREATE TABLE`.
    pub(crate) create: String,
    keys: Vec<String>,
    foreign_keys: Vec<String>,
}

impl Definitions {
    /// Cuts a table's definition.
    pub(crate) fn of(table: &Table) -> Result<Self> {
        let needed = needed_keys(table);
        let cut = definition::cut(&table.create, |item| needed.contains(&definition::key_name(item)))
            .map_err(|error| error.during(format!("failed to cut the definition of table {:?}", table.name)))?;
        Ok(Self { create: cut.create, keys: cut.keys, foreign_keys: cut.foreign_keys })
    }

    /// The `ALTER TABLE`s that add all keys that were left out. One for each FULLTEXT key: InnoDB makes no two of them at a time (MySQL error 1795).
    pub(crate) fn add_keys(&self, table: &str) -> Vec<String> {
        let (alone, together): (Vec<&String>, Vec<&String>) = self.keys.iter().partition(|key| key.starts_with("FULLTEXT "));
        add(table, &together).into_iter().chain(alone.into_iter().filter_map(|key| add(table, &[key]))).collect()
    }

    /// The foreign keys that were left out.
    pub(crate) fn foreign_keys(&self) -> &[String] {
        &self.foreign_keys
    }

    /// `ALTER TABLE` that adds the foreign keys.
    pub(crate) fn add_foreign_keys(&self, table: &str) -> Option<String> {
        add(table, &self.foreign_keys.iter().collect::<Vec<_>>())
    }
}

fn add(table: &str, items: &[&String]) -> Option<String> {
    let items: Vec<String> = items.iter().map(|item| format!("ADD {item}")).collect();
    (!items.is_empty()).then(|| format!("ALTER TABLE {table}\n  {}", items.join(",\n  ")))
}

/// Keys that the table cannot be without while it is loaded: the one that AUTO_INCREMENT needs, and, without a primary key, the unique keys: the first
/// one over NOT NULL columns is what InnoDB orders the table by.
fn needed_keys(table: &Table) -> Vec<String> {
    if table.engine.eq_ignore_ascii_case("MRG_MyISAM") {
        // It must look like the tables that it unites whenever it is opened, and has no rows of its own to wait for.
        return table.keys.iter().map(|key| key.name.clone()).collect();
    }
    let auto = table.columns.iter().find(|column| is_auto(column)).map(|column| column.name.clone());
    let has_primary = table.keys.iter().any(|key| key.name == "PRIMARY");
    let for_auto = |leading_only: bool| {
        table.keys.iter().find(|key| {
            let parts = if leading_only { key.parts.get(..1) } else { key.parts.get(..) };
            auto.is_some() && parts.unwrap_or_default().iter().any(|part| part.column == auto)
        })
    };
    let mut needed: Vec<String> = for_auto(true).or_else(|| for_auto(false)).map(|key| key.name.clone()).into_iter().collect();
    if !has_primary && chunk::order(table).is_some() {
        needed.extend(table.keys.iter().filter(|key| key.unique).map(|key| key.name.clone()));
    }
    needed
}

fn is_auto(column: &Column) -> bool {
    column.extra.to_ascii_lowercase().contains("auto_increment")
}

/// `LOAD DATA` of one part; `schema` qualifies the table.
pub(crate) fn statement(schema: Option<&str>, table: &Table, file: &str) -> String {
    let into = schema.map_or_else(|| quote::name(&table.name), |schema| quote::qualified(schema, &table.name));
    let (mut cells, mut sets) = (Vec::new(), Vec::new());
    // MariaDB forgets that the AUTO_INCREMENT column was given, and makes a new value for 0, when `SET` assigns others and not it.
    let assigns = table.kept_columns().any(|column| column.load.is_some());
    let given = assigns.then(|| "@cell".to_owned());
    for (index, column) in table.kept_columns().enumerate() {
        let load = if is_auto(column) { &given } else { &column.load };
        match load {
            None => cells.push(quote::name(&column.name)),
            Some(load) => {
                cells.push(format!("@cell{index}"));
                sets.push(format!("{} = {}", quote::name(&column.name), load.replace("@cell", &format!("@cell{index}"))));
            }
        }
    }
    if cells.is_empty() {
        cells.push("@nothing".into());
    }
    let sets = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
    let file = file.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "LOAD DATA LOCAL INFILE '{file}' INTO TABLE {into} CHARACTER SET binary FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' \
         LINES STARTING BY '' TERMINATED BY '\\n' ({}){sets}",
        cells.join(", ")
    )
}

/// The beginning of an `INSERT` of rows, for servers that take no local files.
pub(crate) fn insert_into(schema: &str, table: &Table) -> String {
    format!(
        "INSERT INTO {} ({}) VALUES ",
        quote::qualified(schema, &table.name),
        quote::names(table.kept_columns().map(|column| column.name.as_str()))
    )
}

/// A cell as a literal for that `INSERT`.
pub(crate) fn literal(column: &Column, cell: Option<&[u8]>) -> String {
    let bytes = match cell {
        Some(bytes) => bytes,
        None if column.is_row_end() => return column.load.as_deref().unwrap_or("@cell").replace("@cell", "NULL"),
        None => return "NULL".into(),
    };
    let text = || quote::bytes(bytes, "utf8mb4");
    match column.data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => String::from_utf8_lossy(bytes).into_owned(),
        // Without an exponent it would be an exact number, which knows no -0.
        "float" | "double" if !bytes.contains(&b'e') => format!("{}e0", String::from_utf8_lossy(bytes)),
        "float" | "double" => String::from_utf8_lossy(bytes).into_owned(),
        "enum" | "set" if column.load.is_some() => String::from_utf8_lossy(bytes).into_owned(),
        "json" | "uuid" | "inet4" | "inet6" | "date" | "time" | "datetime" | "timestamp" => text(),
        _ => quote::bytes(bytes, "binary"),
    }
}
