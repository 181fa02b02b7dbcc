//! Rows of the live database that are made what a set has, in one transaction, and what is asked before.

mod shapes;

use std::collections::BTreeSet;

use plan::ports::{Cell, ChangesRows, ChangingRows, Context, FindsRows, Problem, RowsOf, Severity, TableShape};
use plan::{Error, Result};

use crate::failure::is_forbidden;
use crate::session::Session;
use crate::sql::{identifier, literal};
use crate::store::PostgresStore;
use shapes::Tables;

/// An `INSERT` ends about here; a larger row makes a larger statement.
const STATEMENT_BYTES: usize = 1 << 20;
/// How long any lock is waited for.
const LOCK_WAIT: &str = "10s";

impl ChangesRows for PostgresStore {
    fn shapes(&self, context: &Context) -> Result<Vec<TableShape>> {
        context.stop.check()?;
        Ok(Tables::read(&mut Session::open(&self.address)?)?.into_shapes())
    }

    fn rows_lack(&self, context: &Context, tables: &[&str]) -> Result<Option<Problem>> {
        context.stop.check()?;
        let mut session = Session::open(&self.address)?;
        let all = Tables::read(&mut session)?;
        let (mut rights, mut owners, mut sequences) = (BTreeSet::new(), Vec::new(), Vec::new());
        for table in tables.iter().filter_map(|table| all.quoted(table)) {
            let row = session.row(&shapes::rights_question(table), "ask what the role may do")?;
            for (at, right) in ["INSERT", "UPDATE", "DELETE"].into_iter().enumerate() {
                if !row.get::<_, bool>(at) {
                    rights.insert(right);
                }
            }
            if !row.get::<_, bool>(3) {
                owners.push(table.to_owned());
            }
            if !row.get::<_, bool>(4) {
                sequences.push(table.to_owned());
            }
        }
        let (mut lacking, mut ways) = (Vec::new(), Vec::new());
        let role = identifier(&self.address.user);
        if !rights.is_empty() {
            let rights = rights.into_iter().collect::<Vec<_>>().join(", ");
            lacking.push(format!("{rights} on some tables"));
            ways.push(format!("GRANT {rights} ON ALL TABLES IN SCHEMA public TO {role};"));
        }
        if !sequences.is_empty() {
            lacking.push("UPDATE on sequences of ids".to_owned());
            ways.push(format!("GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {role};"));
        }
        if let Some(first) = owners.first() {
            // Its triggers can be put off by the owner only (manual, ALTER TABLE).
            lacking.push(format!("the ownership of {} tables with triggers ({first}, …)", owners.len()));
            ways.push("Use the role that owns 3scale's tables.".to_owned());
        }
        let text = format!("role {:?} may not change rows of all tables: it lacks {}", self.address.user, lacking.join("; "));
        Ok((!lacking.is_empty()).then(|| Problem::new(Severity::Blocks, text).way_out(ways.join(" "))))
    }

    fn finder<'a>(&'a self, context: &'a Context) -> Result<Box<dyn FindsRows + 'a>> {
        Ok(Box::new(Rows::open(self, context)?))
    }

    fn begin<'a>(&'a self, context: &'a Context) -> Result<Box<dyn ChangingRows + 'a>> {
        let mut rows = Rows::open(self, context)?;
        rows.session.run(&format!("SET lock_timeout = '{LOCK_WAIT}'"), "bound the wait for locks")?;
        rows.session.run("BEGIN", "begin a transaction")?;
        Ok(Box::new(rows))
    }
}

/// A session that knows the tables.
struct Rows<'a> {
    session: Session,
    context: &'a Context,
    tables: Tables,
    /// What makes the triggers work again that do not now.
    put_off: Vec<String>,
    /// Tables whose triggers were looked at.
    looked_at: BTreeSet<String>,
    /// Tables into which rows were put.
    fuller: BTreeSet<String>,
}

impl<'a> Rows<'a> {
    fn open(store: &PostgresStore, context: &'a Context) -> Result<Self> {
        let mut session = Session::open(&store.address)?;
        let tables = Tables::read(&mut session)?;
        Ok(Self { session, context, tables, put_off: Vec::new(), looked_at: BTreeSet::new(), fuller: BTreeSet::new() })
    }

    fn quoted(&self, table: &str) -> Result<String> {
        let quoted = self.tables.quoted(table).map(str::to_owned);
        quoted.ok_or_else(|| Error::failed(format!("table {table:?} is not there any more")))
    }

    fn select(&mut self, what: &str, query: &str) -> Result<Vec<Vec<Cell>>> {
        self.context.stop.check()?;
        self.session.texts(query, what)
    }

    fn run(&mut self, what: &str, statement: &str) -> Result<()> {
        self.context.stop.check()?;
        self.session.run(statement, what)
    }

    /// Triggers of the application, which would fill in what is NULL, and fail where they find nothing, do not work on a table until the transaction ends.
    fn put_triggers_off(&mut self, table: &str) -> Result<()> {
        if !self.looked_at.insert(table.to_owned()) {
            return Ok(());
        }
        let quoted = self.quoted(table)?;
        let query = format!(
            "SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE tgrelid = {}::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A')",
            literal(&quoted)
        );
        for row in self.session.rows(&query, "look for triggers")? {
            let (name, how): (String, String) = (row.get(0), row.get(1));
            let (name, again) = (identifier(&name), if how == "A" { "ENABLE ALWAYS" } else { "ENABLE" });
            self.run(&format!("put the triggers of {table} off"), &format!("ALTER TABLE {quoted} DISABLE TRIGGER {name}"))?;
            self.put_off.push(format!("ALTER TABLE {quoted} {again} TRIGGER {name}"));
        }
        Ok(())
    }
}

fn key_names(of: &RowsOf) -> Vec<String> {
    of.key.iter().filter_map(|at| of.columns.get(*at).cloned()).collect()
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
}

fn text(cell: &Cell) -> Result<String> {
    let Some(bytes) = cell else { return Ok("NULL".to_owned()) };
    std::str::from_utf8(bytes).map(literal).map_err(|_| Error::failed("a row holds bytes that are no UTF-8: it cannot go back alone"))
}

fn tuple(cells: &[Cell]) -> Result<Vec<String>> {
    cells.iter().map(text).collect()
}

/// `(a, b) IN (('1', '2'), …)`; where a value may be NULL, term by term.
fn condition(names: &[String], values: &[Vec<Cell>]) -> Result<String> {
    if values.iter().flatten().all(Option::is_some) {
        let tuples = values.iter().map(|cells| Ok(format!("({})", tuple(cells)?.join(", ")))).collect::<Result<Vec<_>>>()?;
        return Ok(format!("({}) IN ({})", list(names), tuples.join(", ")));
    }
    let is_it = |cells: &Vec<Cell>| -> Result<String> {
        let terms = names.iter().zip(tuple(cells)?).map(|(name, value)| format!("{} IS NOT DISTINCT FROM {value}", identifier(name)));
        Ok(format!("({})", terms.collect::<Vec<_>>().join(" AND ")))
    };
    Ok(values.iter().map(is_it).collect::<Result<Vec<_>>>()?.join(" OR "))
}

impl FindsRows for Rows<'_> {
    fn find(&mut self, of: &RowsOf, columns: &[String], values: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>> {
        let values: Vec<_> = values.iter().filter(|cells| cells.iter().all(Option::is_some)).cloned().collect();
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = [columns, &key_names(of)].concat();
        let query = format!("SELECT {} FROM ONLY {} WHERE {}", list(&wanted), self.quoted(&of.table)?, condition(columns, &values)?);
        self.select(&format!("find rows of {}", of.table), &query)
    }
}

impl ChangingRows for Rows<'_> {
    fn lock(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let condition = condition(&key_names(of), keys)?;
        let query = format!("SELECT {} FROM ONLY {} WHERE {condition} FOR UPDATE", list(&of.columns), self.quoted(&of.table)?);
        self.select(&format!("lock rows of {}", of.table), &query)
    }

    fn referred(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<Vec<usize>> {
        let mut referred = Vec::new();
        for (table, key) in self.tables.referring(&of.table) {
            let places: Option<Vec<usize>> = key.referred.iter().map(|name| of.columns.iter().position(|column| column == name)).collect();
            // Rows of one table that refer to each other go together.
            let Some(places) = places.filter(|_| table != of.table && !rows.is_empty()) else { continue };
            let values: Vec<Vec<Cell>> = rows.iter().map(|row| places.iter().map(|at| row.get(*at).cloned().flatten()).collect()).collect();
            let query =
                format!("SELECT {} FROM ONLY {} WHERE {}", list(&key.columns), self.quoted(&table)?, condition(&key.columns, &values)?);
            let found = self.select(&format!("look which rows of {table} refer to others"), &query)?;
            referred.extend(values.iter().enumerate().filter(|(_, values)| found.contains(values)).map(|(at, _)| at));
        }
        referred.sort_unstable();
        referred.dedup();
        Ok(referred)
    }

    fn insert(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<()> {
        self.put_triggers_off(&of.table)?;
        let what = format!("insert rows of {}", of.table);
        // Columns that the server alone would number are numbered as they were.
        let begin = format!("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ", self.quoted(&of.table)?, list(&of.columns));
        let mut statement = String::new();
        for row in rows {
            let values = format!("({})", tuple(row)?.join(", "));
            if !statement.is_empty() && statement.len() + values.len() > STATEMENT_BYTES {
                self.run(&what, &std::mem::take(&mut statement))?;
            }
            statement.push_str(if statement.is_empty() { &begin } else { ", " });
            statement.push_str(&values);
        }
        self.fuller.insert(of.table.clone());
        if statement.is_empty() { Ok(()) } else { self.run(&what, &statement) }
    }

    fn update(&mut self, of: &RowsOf, row: &[Cell]) -> Result<()> {
        self.put_triggers_off(&of.table)?;
        let values = of.columns.iter().zip(tuple(row)?).enumerate().filter(|(at, _)| !of.key.contains(at));
        let sets: Vec<_> = values.map(|(_, (name, value))| format!("{} = {value}", identifier(name))).collect();
        let condition = condition(&key_names(of), &[of.key_of(row)])?;
        let statement = format!("UPDATE ONLY {} SET {} WHERE {condition}", self.quoted(&of.table)?, sets.join(", "));
        self.run(&format!("update a row of {}", of.table), &statement)
    }

    fn park(&mut self, of: &RowsOf, keys: &[Vec<Cell>], columns: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.put_triggers_off(&of.table)?;
        let (key, quoted) = (key_names(of), self.quoted(&of.table)?);
        let referring = self.tables.referring(&of.table);
        let is_free = |name: &String| !key.contains(name) && !referring.iter().any(|(_, foreign)| foreign.referred.contains(name));
        let (mut of_text, mut nullable) = (None, None);
        for row in self.session.rows(&shapes::holding_question(&quoted), "look what columns hold")? {
            let (name, is_nullable, length): (String, bool, Option<i32>) = (row.get(0), row.get(1), row.get(2));
            if columns.contains(&name) && is_free(&name) {
                if let Some(length) = length.filter(|length| *length >= 16) {
                    of_text = Some((name, length.min(32)));
                } else if is_nullable {
                    nullable = Some(name);
                }
            }
        }
        let (name, value) = match (of_text, nullable) {
            (Some((name, length)), _) => (name, format!("left(md5(concat_ws('/', 'parked', {})), {length})", list(&key))),
            (None, Some(name)) => (name, "NULL".to_owned()),
            (None, None) => {
                return Err(Error::failed(format!("nothing but what rows have fits into {} of {}", columns.join(", "), of.table)));
            }
        };
        let statement = format!("UPDATE ONLY {quoted} SET {} = {value} WHERE {}", identifier(&name), condition(&key, keys)?);
        self.run(&format!("park rows of {}", of.table), &statement)
    }

    fn delete(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<()> {
        self.put_triggers_off(&of.table)?;
        let condition = condition(&key_names(of), keys)?;
        let statement = format!("DELETE FROM ONLY {} WHERE {condition}", self.quoted(&of.table)?);
        self.run(&format!("delete rows of {}", of.table), &statement)
    }

    fn allows(&mut self, work: &mut dyn FnMut(&mut dyn ChangingRows) -> Result<()>) -> Result<bool> {
        let put_off = (self.looked_at.clone(), self.put_off.len());
        self.session.run("SAVEPOINT allowed", "set a savepoint")?;
        match work(self) {
            Ok(()) => self.session.run("RELEASE SAVEPOINT allowed", "let a savepoint go").map(|()| true),
            Err(error) if is_forbidden(&error) => {
                self.session.run("ROLLBACK TO SAVEPOINT allowed; RELEASE SAVEPOINT allowed", "go back to a savepoint")?;
                // Triggers are at work again.
                self.looked_at = put_off.0;
                self.put_off.truncate(put_off.1);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn give_up(mut self: Box<Self>) -> Result<()> {
        self.session.run("ROLLBACK", "give up")
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        for table in std::mem::take(&mut self.fuller) {
            let quoted = self.quoted(&table)?;
            let of = format!("SELECT pg_get_serial_sequence({}, 'id')", literal(&quoted));
            let has_sequence = self.tables.has_sequence(&table);
            let Some(sequence) = has_sequence
                .then(|| self.session.row(&of, "look for a sequence"))
                .transpose()?
                .and_then(|row| row.get::<_, Option<String>>(0))
            else {
                continue;
            };
            // Behind every row of the table. No counter goes back: one that is ahead is left alone, and one that is behind gives no number meanwhile that is larger.
            let raise = format!(
                "SELECT setval({0}, GREATEST(nextval({0}), largest)) FROM {sequence}, (SELECT MAX(id) AS largest FROM ONLY {quoted}) AS ids WHERE last_value < largest",
                literal(&sequence)
            );
            self.session.rows(&raise, "let ids go on behind those of the rows")?;
        }
        for statement in std::mem::take(&mut self.put_off) {
            self.session.run(&statement, "let the triggers work again")?;
        }
        self.session.run("COMMIT", "commit")
    }
}
