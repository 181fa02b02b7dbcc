//! The tables of the live database: their columns, keys and foreign keys, by the server's catalogue.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{Reference, TableShape};

use crate::digest;
use crate::session::Session;
use crate::sql::literal;

/// Of two tables of a name it is the one in the schema `public`.
pub(super) struct Tables {
    /// By name: as it stands in statements, and its shape.
    by_name: BTreeMap<String, (String, TableShape)>,
    /// Those whose ids come from a sequence.
    counting: Vec<String>,
}

const COLUMNS: &str = "SELECT a.attrelid::regclass::text, a.attname::text, a.attgenerated <> '', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/// Unique keys over columns, of all rows; the primary first, then those without NULL.
const KEYS: &str = "SELECT i.indrelid::regclass::text, \
       ARRAY(SELECT a.attname::text FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY k (number, at) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.at), \
       NOT EXISTS (SELECT 1 FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k (number) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE NOT a.attnotnull OR a.attgenerated <> '') \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
     WHERE i.indisunique AND i.indisvalid AND i.indexprs IS NULL AND i.indpred IS NULL AND c.relkind = 'r' ORDER BY i.indisprimary DESC, i.indexrelid";

const FOREIGN_KEYS: &str = "SELECT f.conrelid::regclass::text, f.confrelid::regclass::text, \
       ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY k (number, at) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number ORDER BY k.at), \
       ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY k (number, at) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.number ORDER BY k.at) \
     FROM pg_constraint f WHERE f.contype = 'f' ORDER BY f.oid";

const SEQUENCES: &str = "SELECT d.refobjid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
       JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND a.attname = 'id'";

/// May insert, update, delete; owns it, where that is needed for its triggers; may count its ids on.
pub(super) fn rights_question(quoted: &str) -> String {
    let table = literal(quoted);
    format!(
        "SELECT has_table_privilege({table}::regclass, 'INSERT'), has_table_privilege({table}::regclass, 'UPDATE'), has_table_privilege({table}::regclass, 'DELETE'), \
           NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = {table}::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A')) \
             OR (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = {table}::regclass), \
           NOT EXISTS (SELECT 1 FROM pg_depend d JOIN pg_class s ON s.oid = d.objid WHERE d.refobjid = {table}::regclass AND d.deptype IN ('a', 'i') \
             AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'UPDATE') ELSE false END)"
    )
}

/// The columns of a table: whether each may be NULL, and how much text it holds, where it holds text.
pub(super) fn holding_question(quoted: &str) -> String {
    format!(
        "SELECT a.attname::text, NOT a.attnotnull, \
           CASE WHEN a.atttypid = 'text'::regtype THEN 32 WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) THEN CASE WHEN a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 32 END END::int4 \
         FROM pg_attribute a WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''",
        literal(quoted)
    )
}

impl Tables {
    pub(super) fn read(session: &mut Session) -> Result<Self> {
        let all = digest::tables(session)?;
        let is_public = |table: &digest::Table| table.schema == "public";
        let has_twin = |table: &digest::Table| all.iter().any(|other| is_public(other) && other.name == table.name);
        let mut by_name = BTreeMap::new();
        // As `regclass` writes them, which quotes each part where it is needed.
        let mut names = BTreeMap::new();
        for table in all.iter().filter(|table| is_public(table) || !has_twin(table)) {
            let written: String = session.row(&format!("SELECT {}::regclass::text", literal(&table.quoted())), "name a table")?.get(0);
            names.insert(written, table.name.clone());
            let shape = TableShape {
                name: table.name.clone(),
                columns: Vec::new(),
                required: Vec::new(),
                key: Vec::new(),
                unique: Vec::new(),
                refers: Vec::new(),
            };
            by_name.insert(table.name.clone(), (table.quoted(), shape));
        }
        let mut shape_of = |written: String, add: &mut dyn FnMut(&mut TableShape)| {
            if let Some((_, shape)) = names.get(&written).and_then(|name| by_name.get_mut(name)) {
                add(shape);
            }
        };
        for row in session.rows(COLUMNS, "list the columns")? {
            let (name, is_generated, is_required): (String, bool, bool) = (row.get(1), row.get(2), row.get(3));
            shape_of(row.get(0), &mut |shape| {
                shape.columns.extend((!is_generated).then(|| name.clone()));
                shape.required.extend((is_required && !is_generated).then(|| name.clone()));
            });
        }
        for row in session.rows(KEYS, "list the keys")? {
            let (columns, is_sure): (Vec<String>, bool) = (row.get(1), row.get(2));
            shape_of(row.get(0), &mut |shape| match is_sure && shape.key.is_empty() {
                true => shape.key.clone_from(&columns),
                false => shape.unique.push(columns.clone()),
            });
        }
        for row in session.rows(FOREIGN_KEYS, "list the foreign keys")? {
            let other: String = row.get(1);
            let Some(table) = names.get(&other).cloned() else { continue };
            let (columns, referred): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
            shape_of(row.get(0), &mut |shape| {
                shape.refers.push(Reference { columns: columns.clone(), table: table.clone(), referred: referred.clone() });
            });
        }
        let counting =
            session.rows(SEQUENCES, "list the sequences")?.iter().filter_map(|row| names.get(&row.get::<_, String>(0)).cloned()).collect();
        Ok(Self { by_name, counting })
    }

    pub(super) fn into_shapes(self) -> Vec<TableShape> {
        self.by_name.into_values().map(|(_, shape)| shape).collect()
    }

    /// As it stands in statements.
    pub(super) fn quoted(&self, table: &str) -> Option<&str> {
        self.by_name.get(table).map(|(quoted, _)| quoted.as_str())
    }

    /// Who refers to a table, and how.
    pub(super) fn referring(&self, table: &str) -> Vec<(String, Reference)> {
        let all = self.by_name.iter().flat_map(|(name, (_, shape))| shape.refers.iter().map(move |key| (name, key)));
        all.filter(|(_, key)| key.table == table).map(|(name, key)| (name.clone(), key.clone())).collect()
    }

    /// Whether its ids come from a sequence.
    pub(super) fn has_sequence(&self, table: &str) -> bool {
        self.counting.iter().any(|name| name == table)
    }
}
