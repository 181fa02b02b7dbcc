//! Rows of the live database that are made what a set has, in one transaction, and what is asked before.

use std::collections::BTreeMap;

use mysql::{Row, Value};
use plan::ports::{Cell, ChangesRows, ChangingRows, Context, FindsRows, Problem, Reference, RowsOf, Severity, TableShape};
use plan::{Error, Result};

use crate::load;
use crate::quote;
use crate::schema::read::{columns, foreign_keys, keys, table_names};
use crate::schema::{Column, ForeignKey, Key};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// A statement ends about here; a larger row makes a larger statement.
const STATEMENT_BYTES: usize = 1 << 20;
/// How long the definition of a table is waited for, in seconds.
const DEFINITION_WAIT_SECONDS: u32 = 5;

impl ChangesRows for MysqlStore {
    fn shapes(&self, context: &Context) -> Result<Vec<TableShape>> {
        context.stop.check()?;
        let database = &self.address.database;
        let mut session = self.session(Talk::Text, Some(database))?;
        let (columns, keys) = (columns(&mut session, database)?, keys(&mut session, database)?);
        let foreign = foreign_keys(&mut session, database)?;
        let names = table_names(&mut session, database)?;
        let shape = |name: String| {
            let of = |all: &BTreeMap<String, Vec<Key>>| all.get(&name).cloned().unwrap_or_default();
            let columns = columns.get(&name).cloned().unwrap_or_default();
            let (key, unique) = key_and_unique(&columns, &of(&keys));
            TableShape {
                required: columns.iter().filter(|column| is_required(column)).map(|column| column.name.clone()).collect(),
                columns: columns.into_iter().filter(|column| !column.is_generated()).map(|column| column.name).collect(),
                refers: foreign.get(&name).into_iter().flatten().filter_map(reference).collect(),
                key,
                unique,
                name,
            }
        };
        Ok(names.into_iter().map(shape).collect())
    }

    fn rows_lack(&self, context: &Context, tables: &[&str]) -> Result<Option<Problem>> {
        let mut session = self.session(Talk::Text, Some(&self.address.database))?;
        let mut lacking = Vec::new();
        for table in tables {
            context.stop.check()?;
            let name = quote::name(table);
            let Some(column) =
                session.value("look at a table", &first_column(&self.address.database, table))?.map(|column| quote::name(&column))
            else {
                continue;
            };
            // To explain a statement takes what it takes to run it (manual, "EXPLAIN Statement").
            for (right, statement) in [
                ("INSERT", format!("EXPLAIN INSERT INTO {name} ({column}) SELECT {column} FROM {name} WHERE FALSE")),
                ("UPDATE", format!("EXPLAIN UPDATE {name} SET {column} = {column} WHERE FALSE")),
                ("DELETE", format!("EXPLAIN DELETE FROM {name} WHERE FALSE")),
            ] {
                let refusal = session.refused("ask what the user may do", &statement)?;
                if refusal.is_some_and(|refusal| crate::session::code::is_denied(refusal.code)) && !lacking.contains(&right) {
                    lacking.push(right);
                }
            }
        }
        let (user, rights) = (&self.address.user, lacking.join(", "));
        let text = format!("user {user:?} may not change rows of all tables: {rights} is lacking");
        let way_out = format!("GRANT {rights} ON {}.* TO that user.", quote::name(&self.address.database));
        Ok((!lacking.is_empty()).then(|| Problem::new(Severity::Blocks, text).way_out(way_out)))
    }

    fn finder<'a>(&'a self, context: &'a Context) -> Result<Box<dyn FindsRows + 'a>> {
        Ok(Box::new(Rows::open(self, context)?))
    }

    fn begin<'a>(&'a self, context: &'a Context) -> Result<Box<dyn ChangingRows + 'a>> {
        let mut rows = Rows::open(self, context)?;
        rows.session.set(&format!(
            "SESSION lock_wait_timeout = {DEFINITION_WAIT_SECONDS}, innodb_lock_wait_timeout = {}",
            self.options.lock_wait_seconds
        ))?;
        // porta's triggers ask for it (porta, lib/system/database/mysql.rb).
        rows.session.set("@disable_triggers = 1")?;
        rows.session.run("begin a transaction", "START TRANSACTION")?;
        Ok(Box::new(rows))
    }
}

/// How much of a digest a column of text holds; `None` where that tells no row from others.
fn text_length(column: &Column) -> Option<u64> {
    let length = match column.data_type.as_str() {
        "tinytext" | "text" | "mediumtext" | "longtext" => 32,
        "char" | "varchar" => column.column_type.split_once('(')?.1.split(')').next()?.parse().ok()?,
        _ => return None,
    };
    (length >= 16 && !column.is_generated()).then_some(length.min(32))
}

fn first_column(database: &str, table: &str) -> String {
    format!(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION LIMIT 1",
        quote::text(database),
        quote::text(table)
    )
}

fn is_required(column: &Column) -> bool {
    let counts = column.extra.to_ascii_lowercase().contains("auto_increment");
    !column.nullable && column.default.is_none() && !column.is_generated() && !counts
}

/// The columns of the key that tells a row from all others, and those of other unique keys. One of prefixes or expressions tells nothing.
fn key_and_unique(columns: &[Column], keys: &[Key]) -> (Vec<String>, Vec<Vec<String>>) {
    let whole = |key: &Key| -> Option<Vec<String>> {
        let part = |part: &crate::schema::KeyPart| part.column.clone().filter(|_| part.prefix.is_none());
        key.unique.then(|| key.parts.iter().map(part).collect::<Option<Vec<_>>>()).flatten()
    };
    let is_sure = |names: &Vec<String>| {
        names.iter().all(|name| columns.iter().any(|column| column.name == *name && !column.nullable && !column.is_generated()))
    };
    let mut unique: Vec<_> = keys.iter().filter_map(whole).collect();
    let key = unique.iter().position(is_sure).map(|at| unique.remove(at)).unwrap_or_default();
    (key, unique)
}

fn reference(key: &ForeignKey) -> Option<Reference> {
    let ForeignKey { columns, table, referred, .. } = key.clone();
    key.other_schema.is_none().then_some(Reference { columns, table, referred })
}

/// A session that knows the columns.
struct Rows<'a> {
    session: Session,
    context: &'a Context,
    columns: BTreeMap<String, Vec<Column>>,
    /// For each table, who refers to it: the table, and the key.
    referring: BTreeMap<String, Vec<(String, ForeignKey)>>,
    packet_bytes: usize,
}

impl<'a> Rows<'a> {
    fn open(store: &MysqlStore, context: &'a Context) -> Result<Self> {
        let database = &store.address.database;
        let mut told = store.session(Talk::Text, Some(database))?;
        let columns = columns(&mut told, database)?;
        let mut referring: BTreeMap<String, Vec<(String, ForeignKey)>> = BTreeMap::new();
        for (table, keys) in foreign_keys(&mut told, database)? {
            for key in keys.into_iter().filter(|key| key.other_schema.is_none()) {
                referring.entry(key.table.clone()).or_default().push((table.clone(), key));
            }
        }
        let mut session = store.session(Talk::Rows, Some(database))?;
        let packet = session.variable("max_allowed_packet")?.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        Ok(Self { session, context, columns, referring, packet_bytes: packet })
    }

    fn column(&self, table: &str, name: &str) -> Result<&Column> {
        let column = self.columns.get(table).and_then(|columns| columns.iter().find(|column| column.name == name));
        column.ok_or_else(|| Error::failed(format!("table {table:?} has no column {name:?} any more")))
    }

    fn select_list(&self, table: &str, names: &[String]) -> Result<String> {
        let select = |name: &String| Ok(self.column(table, name)?.select.clone().unwrap_or_else(|| quote::name(name)));
        Ok(names.iter().map(select).collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// `(a, b) IN ((1, 2), …)`; where a value may be NULL, term by term.
    fn condition(&self, table: &str, names: &[String], values: &[Vec<Cell>]) -> Result<String> {
        let columns = names.iter().map(|name| self.column(table, name)).collect::<Result<Vec<_>>>()?;
        let tuple =
            |cells: &Vec<Cell>| columns.iter().zip(cells).map(|(column, cell)| compared(column, cell.as_deref())).collect::<Vec<_>>();
        if values.iter().flatten().all(Option::is_some) {
            let tuples: Vec<_> = values.iter().map(|cells| format!("({})", tuple(cells).join(", "))).collect();
            return Ok(format!("({}) IN ({})", quote::names(names.iter().map(String::as_str)), tuples.join(", ")));
        }
        let is_it = |cells: &Vec<Cell>| {
            let terms = names.iter().zip(tuple(cells)).map(|(name, value)| format!("{} <=> {value}", quote::name(name)));
            format!("({})", terms.collect::<Vec<_>>().join(" AND "))
        };
        Ok(values.iter().map(is_it).collect::<Vec<_>>().join(" OR "))
    }

    fn select(&mut self, what: &str, sql: &str) -> Result<Vec<Vec<Cell>>> {
        self.context.stop.check()?;
        let mut found = Vec::new();
        self.session.stream(what, sql, |row, _| {
            found.push(cells(&row)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn run(&mut self, what: &str, sql: &str) -> Result<()> {
        self.context.stop.check()?;
        self.session.run(what, sql).map(drop)
    }

    fn key_names(of: &RowsOf) -> Vec<String> {
        of.key.iter().filter_map(|at| of.columns.get(*at).cloned()).collect()
    }

    fn values(&self, of: &RowsOf, row: &[Cell]) -> Result<Vec<String>> {
        of.columns.iter().zip(row).map(|(name, cell)| Ok(load::literal(self.column(&of.table, name)?, cell.as_deref()))).collect()
    }
}

/// A cell as it is compared with its column: in the column's own character set, so that a key is used and the collation is the column's.
fn compared(column: &Column, cell: Option<&[u8]>) -> String {
    match (cell, column.charset.as_deref()) {
        (Some(bytes), Some(charset)) if column.load.is_none() => quote::bytes(bytes, charset),
        _ => load::literal(column, cell),
    }
}

fn cells(row: &Row) -> Result<Vec<Cell>> {
    let cell = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => Ok(Some(bytes.clone())),
        Some(Value::NULL) => Ok(None),
        _ => Err(Error::failed("the server answered a text query with a binary value")),
    };
    (0..row.len()).map(cell).collect()
}

impl FindsRows for Rows<'_> {
    fn find(&mut self, of: &RowsOf, columns: &[String], values: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>> {
        let values: Vec<_> = values.iter().filter(|cells| cells.iter().all(Option::is_some)).cloned().collect();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = [columns, &Self::key_names(of)].concat();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            self.select_list(&of.table, &wanted)?,
            quote::name(&of.table),
            self.condition(&of.table, columns, &values)?
        );
        self.select(&format!("find rows of {}", of.table), &sql)
    }
}

impl ChangingRows for Rows<'_> {
    fn lock(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {} FOR UPDATE",
            self.select_list(&of.table, &of.columns)?,
            quote::name(&of.table),
            self.condition(&of.table, &Self::key_names(of), keys)?
        );
        self.select(&format!("lock rows of {}", of.table), &sql)
    }

    fn referred(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<Vec<usize>> {
        let mut referred = Vec::new();
        for (table, key) in self.referring.get(&of.table).cloned().unwrap_or_default() {
            let places: Option<Vec<usize>> = key.referred.iter().map(|name| of.columns.iter().position(|column| column == name)).collect();
            // Rows of one table that refer to each other go together.
            let Some(places) = places.filter(|_| table != of.table && !rows.is_empty()) else { continue };
            let values: Vec<Vec<Cell>> = rows.iter().map(|row| places.iter().map(|at| row.get(*at).cloned().flatten()).collect()).collect();
            let sql = format!(
                "SELECT {} FROM {} WHERE {} LOCK IN SHARE MODE",
                self.select_list(&table, &key.columns)?,
                quote::name(&table),
                self.condition(&table, &key.columns, &values)?
            );
            let found = self.select(&format!("look which rows of {table} refer to others"), &sql)?;
            referred.extend(values.iter().enumerate().filter(|(_, values)| found.contains(values)).map(|(at, _)| at));
        }
        referred.sort_unstable();
        referred.dedup();
        Ok(referred)
    }

    fn insert(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<()> {
        let what = format!("insert rows of {}", of.table);
        let begin = format!("INSERT INTO {} ({}) VALUES ", quote::name(&of.table), quote::names(of.columns.iter().map(String::as_str)));
        let limit = STATEMENT_BYTES.min(self.packet_bytes / 2);
        let mut statement = String::new();
        for row in rows {
            let values = format!("({})", self.values(of, row)?.join(", "));
            if !statement.is_empty() && statement.len() + values.len() > limit {
                self.run(&what, &std::mem::take(&mut statement))?;
            }
            statement.push_str(if statement.is_empty() { &begin } else { ", " });
            statement.push_str(&values);
        }
        if statement.is_empty() { Ok(()) } else { self.run(&what, &statement) }
    }

    fn update(&mut self, of: &RowsOf, row: &[Cell]) -> Result<()> {
        let values = of.columns.iter().zip(self.values(of, row)?).enumerate().filter(|(at, _)| !of.key.contains(at));
        let sets: Vec<_> = values.map(|(_, (name, value))| format!("{} = {value}", quote::name(name))).collect();
        let condition = self.condition(&of.table, &Self::key_names(of), &[of.key_of(row)])?;
        self.run(
            &format!("update a row of {}", of.table),
            &format!("UPDATE {} SET {} WHERE {condition}", quote::name(&of.table), sets.join(", ")),
        )
    }

    fn park(&mut self, of: &RowsOf, keys: &[Vec<Cell>], columns: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let key = Self::key_names(of);
        let is_referred =
            |name: &String| self.referring.get(&of.table).into_iter().flatten().any(|(_, foreign)| foreign.referred.contains(name));
        let free = columns.iter().filter(|name| !key.contains(name) && !is_referred(name));
        let free = free.map(|name| self.column(&of.table, name)).collect::<Result<Vec<_>>>()?;
        let of_text = free.iter().find_map(|column| Some((*column, text_length(column)?)));
        let (name, value) = match (of_text, free.iter().find(|column| column.nullable)) {
            (Some((column, length)), _) => {
                let key = quote::names(key.iter().map(String::as_str));
                (column.name.clone(), format!("LEFT(SHA2(CONCAT_WS('/', 'parked', {key}), 256), {length})"))
            }
            (None, Some(column)) => (column.name.clone(), "NULL".to_owned()),
            (None, None) => {
                return Err(Error::failed(format!("nothing but what rows have fits into {} of {}", columns.join(", "), of.table)));
            }
        };
        let condition = self.condition(&of.table, &key, keys)?;
        self.run(
            &format!("park rows of {}", of.table),
            &format!("UPDATE {} SET {} = {value} WHERE {condition}", quote::name(&of.table), quote::name(&name)),
        )
    }

    fn delete(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<()> {
        let condition = self.condition(&of.table, &Self::key_names(of), keys)?;
        self.run(&format!("delete rows of {}", of.table), &format!("DELETE FROM {} WHERE {condition}", quote::name(&of.table)))
    }

    fn allows(&mut self, work: &mut dyn FnMut(&mut dyn ChangingRows) -> Result<()>) -> Result<bool> {
        self.session.run("set a savepoint", "SAVEPOINT allowed")?;
        match work(self) {
            Ok(()) => Ok(true),
            Err(error) if crate::session::is_forbidden(&error) => {
                self.session.run("go back to a savepoint", "ROLLBACK TO SAVEPOINT allowed")?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn give_up(mut self: Box<Self>) -> Result<()> {
        self.session.run("give up", "ROLLBACK").map(drop)
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.session.run("commit", "COMMIT").map(drop)
    }
}
