//! `schema.json`, and the statements with which the `mysql` client alone loads a snapshot (`sql/`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use plan::ports::Part;
use plan::{Error, Result};

use crate::load::{self, Definitions};
use crate::objects;
use crate::quote;
use crate::schema::{FORMAT, Object, ObjectKind, Schema};
use crate::session::SQL_MODE;

/// Where the schema is, for this program.
pub(crate) const SCHEMA_PATH: &str = "schema.json";
/// Files of `sql/` with `LOAD DATA` lines end about here.
const FILE_BYTES: usize = 4 << 20;

/// The lines that load parts, as the parts leave.
#[derive(Default)]
pub(super) struct Script {
    /// Index of the table and path of every part, as a file of rows.
    loads: Vec<(usize, PathBuf)>,
}

/// `rows/<table>/<chunk>.<part>.tsv`
pub(super) fn row_path(table: &str, chunk: u32, part: u32) -> PathBuf {
    format!("{}/{chunk:08}.{part:06}.tsv", row_folder(table)).into()
}

/// The columns of a part, the first last: `rows/<table>/<chunk>.<part>/<column>.tsv`
pub(super) fn column_parts(path: &Path, columns: Vec<Vec<u8>>) -> Vec<Part> {
    let folder = path.with_extension("");
    let parts = columns.into_iter().enumerate().map(|(index, column)| Part::bytes(folder.join(column_name(index)), column));
    parts.rev().collect()
}

/// The file of a column; columns count from 0.
pub(crate) fn column_name(column: usize) -> String {
    format!("{:04}.tsv", column + 1)
}

/// Where the rows of a folder of columns would be, and are when they have been joined.
pub(crate) fn row_path_of(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(".tsv");
    path.into()
}

/// The folder of a table's rows.
fn row_folder(table: &str) -> String {
    format!("rows/{}", quote::file_name(table))
}

/// The machine-readable schema. Programs that know nothing of columns must refuse what has some.
pub(super) fn schema_part(schema: &Schema, has_columns: bool) -> Result<Part> {
    let with_columns = has_columns.then(|| Schema { format: FORMAT, ..schema.clone() });
    let schema = with_columns.as_ref().unwrap_or(schema);
    let bytes = serde_json::to_vec_pretty(schema).map_err(|error| Error::failed("failed to write the schema as JSON").because(error))?;
    Ok(Part::bytes(SCHEMA_PATH, bytes))
}

impl Script {
    /// A part left.
    pub(super) fn add(&mut self, table: usize, path: &Path) {
        self.loads.push((table, path.to_owned()));
    }

    /// The files of `sql/`, in order.
    pub(super) fn parts(self, schema: &Schema) -> Result<Vec<Part>> {
        let definitions: Vec<Definitions> = schema.tables.iter().map(Definitions::of).collect::<Result<_>>()?;
        let mut parts = vec![sql("1-tables", tables(schema, &definitions))];
        let mut text = String::from("SET NAMES binary;\n");
        let mut files = 0;
        for (index, path) in &self.loads {
            let Some(table) = schema.tables.get(*index) else { continue };
            text.push_str(&load::statement(None, table, &path.to_string_lossy()));
            text.push_str(";\n");
            if text.len() >= FILE_BYTES {
                parts.push(sql(&format!("2-rows-{files:06}"), std::mem::take(&mut text)));
                files += 1;
            }
        }
        parts.push(sql(&format!("2-rows-{files:06}"), text));
        parts.push(sql("3-keys", keys(schema, &definitions)));
        parts.push(sql("4-objects", objects_script(schema)));
        Ok(parts)
    }
}

fn sql(name: &str, text: String) -> Part {
    Part::bytes(format!("sql/{name}.sql"), text.into_bytes())
}

fn tables(schema: &Schema, definitions: &[Definitions]) -> String {
    let mut text = format!(
        "-- Load with, from the folder that holds rows/ and sql/ ({}):\n\
         -- for part in rows/*/*/; do if [ -d \"$part\" ]; then LC_ALL=C paste \"$part\"*.tsv > \"${{part%/}}.tsv\"; fi; done\n\
         -- cat sql/*.sql | mysql --local-infile=1 --binary-mode --comments DATABASE\n\
         SET NAMES utf8mb4;\nSET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0;\n\
         ALTER DATABASE CHARACTER SET {} COLLATE {};\n",
        schema.server.name(),
        schema.objects.charset,
        schema.objects.collation
    );
    if schema.tables.iter().any(|table| table.versioned) {
        text.push_str("SET SESSION system_versioning_insert_history = 1, system_versioning_alter_history = 'KEEP';\n");
    }
    for sequence in &schema.sequences {
        let _written = writeln!(text, "{};\n{};", sequence.create, sequence.go_on(&quote::name(&sequence.name)));
    }
    for definition in definitions {
        // A line that begins with a client command's name would be taken for it only outside of a statement.
        text.push_str(&definition.create);
        text.push_str(";\n");
    }
    text
}

fn keys(schema: &Schema, definitions: &[Definitions]) -> String {
    let mut text = String::from("SET NAMES utf8mb4;\n");
    let named = |table: &crate::schema::Table| quote::name(&table.name);
    let keys = schema.tables.iter().zip(definitions).flat_map(|(table, definition)| definition.add_keys(&named(table)));
    let foreign = schema.tables.iter().zip(definitions).filter_map(|(table, definition)| definition.add_foreign_keys(&named(table)));
    for statement in keys.chain(foreign) {
        text.push_str(&statement);
        text.push_str(";\n");
    }
    text
}

fn objects_script(schema: &Schema) -> String {
    let mut text = String::from("SET NAMES utf8mb4;\n");
    let defaults = &schema.objects;
    let mut collation = &defaults.collation;
    for object in schema.objects.all() {
        // Parameters and variables of routines and triggers take the database's collation when they have none of their own.
        let wanted = object.database_collation.as_ref().unwrap_or(collation);
        if wanted != collation {
            let _written = writeln!(text, "ALTER DATABASE COLLATE {wanted};");
            collation = wanted;
        }
        let _written = writeln!(text, "SET SESSION {};", objects::settings(object, schema.server.kind));
        match object.kind {
            ObjectKind::View => text.push_str(&terminated(object, ";")),
            _ => {
                let end = delimiter(object);
                let _written = writeln!(text, "DELIMITER {end}\n{}\nDELIMITER ;", terminated(object, &end).trim_end());
            }
        }
    }
    if *collation != defaults.collation {
        let _written = writeln!(text, "ALTER DATABASE CHARACTER SET {} COLLATE {};", defaults.charset, defaults.collation);
    }
    // Their accounts may not be there.
    for grant in &defaults.routine_grants {
        let _written = writeln!(text, "-- {};", grant.statement(&quote::name(&grant.routine)).replace('\n', " "));
    }
    let _written = writeln!(
        text,
        "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', foreign_key_checks = 1, unique_checks = 1;\nSET NAMES utf8mb4;"
    );
    text
}

fn terminated(object: &Object, end: &str) -> String {
    format!("{}\n{end}\n", object.create)
}

/// A delimiter that the statement does not hold.
fn delimiter(object: &Object) -> String {
    let mut end = String::from(";;");
    while object.create.contains(&end) {
        end.push(';');
    }
    end
}
