//! The dump: N workers read chunks inside one consistent view, and their parts leave in one order.
//!
//! A planner cuts tables into chunks and hands each to the workers and, in the same order, to whoever pulls the parts. Channels are bounded: a worker
//! holds one part while another waits, whatever the size of the data. Every chunk ends with a word of its own; a channel that closes without it is an error.

mod lookout;
mod moment;
mod pieces;
mod script;
mod view;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use plan::evidence::{Evidence, Tally};
use plan::ports::{Context, Dump, Event, Part, Problem, Verb, Verdict};
use plan::{Error, Result};

use crate::address::MAX_PACKET_BYTES;
use crate::chunk;
use crate::columns;
use crate::fits;
use crate::objects;
use crate::quote;
use crate::schema::{Schema, lines, needs, read};
use crate::session::Session;
use crate::store::MysqlStore;
pub(crate) use lookout::Lookout;
use pieces::{Job, Order, Piece};
use view::View;

pub(crate) use script::{SCHEMA_PATH, column_name, row_path_of};

/// The chunk whose parts are leaving.
struct Current {
    table: usize,
    chunk: u32,
    parts: u32,
    pieces: Receiver<Piece>,
}

/// A dump in progress.
pub(crate) struct MysqlDump {
    store: MysqlStore,
    context: Context,
    schema: Arc<Schema>,
    evidence: Evidence,
    consistent_at: jiff::Timestamp,
    reader: Session,
    problems: Vec<Problem>,
    guard: Session,
    lookout: Lookout,
    /// Holds MariaDB's backup stage.
    stage: Option<Session>,
    worker_ids: Vec<u32>,
    threads: Vec<JoinHandle<()>>,
    orders: Option<Receiver<Order>>,
    current: Option<Current>,
    /// Chunks of the current table, and the script's lines for parts that left.
    last_table: Option<(usize, u32)>,
    script: script::Script,
    /// Columns of the part that is leaving, the next last.
    columns: Vec<Part>,
    has_columns: bool,
    /// Parts that follow the rows, the next last.
    rest: Option<Vec<Part>>,
    longest_row_bytes: usize,
    failed: bool,
}

/// Opens the view and starts the workers.
pub(crate) fn begin(store: &MysqlStore, context: &Context) -> Result<MysqlDump> {
    let View { workers, planner, guard, reader, schema, consistent_at, mut facts, warnings, problems, lookout, stage } =
        view::open(store, context)?;
    let schema = Arc::new(schema);
    facts.insert("counted-by".into(), "the rows that passed, and COUNT(*) in the same view".into());
    let mut evidence = Evidence { facts, warnings, objects: lines::counts(&schema), ..Evidence::default() };
    evidence.collections.insert(lines::COLLECTION.into(), lines::tally(&schema));
    evidence.collections.extend(schema.tables.iter().map(|table| (table.name.clone(), Tally::default())));
    evidence.facts.extend(schema_facts(&schema));
    let worker_ids = workers.iter().chain([&planner]).map(Session::id).collect();
    // So many chunks may be finished or in work; each holds at most one part in its channel.
    let (jobs, taken) = bounded::<Job>(1);
    let (orders, ordered) = bounded::<Order>(workers.len());
    let mut threads = Vec::new();
    for mut session in workers {
        let (taken, schema) = (taken.clone(), Arc::clone(&schema));
        threads.push(std::thread::spawn(move || worker::work(&mut session, &schema, &taken)));
    }
    let (planned, chunk_bytes) = (Arc::clone(&schema), store.options.chunk_bytes);
    threads.push(std::thread::spawn(move || plan_chunks(planner, &planned, chunk_bytes, &jobs, &orders)));
    Ok(MysqlDump {
        store: store.clone(),
        context: context.clone(),
        script: script::Script::default(),
        columns: Vec::new(),
        has_columns: false,
        schema,
        evidence,
        consistent_at,
        reader,
        problems,
        guard,
        lookout,
        stage,
        worker_ids,
        threads,
        orders: Some(ordered),
        current: None,
        last_table: None,
        rest: None,
        longest_row_bytes: 0,
        failed: false,
    })
}

fn schema_facts(schema: &Schema) -> Vec<(String, String)> {
    let mut facts = vec![
        ("version".to_owned(), schema.server.version.to_string()),
        ("charset".into(), schema.objects.charset.clone()),
        ("collation".into(), schema.objects.collation.clone()),
        ("collations".into(), needs::collations(schema).into_iter().collect::<Vec<_>>().join(",")),
        ("lower-case-table-names".into(), schema.server.lower_case_table_names.to_string()),
        ("database".into(), schema.objects.database.clone()),
    ];
    if let Some((version, reason)) = needs::oldest_version(schema) {
        facts.push(("needs-version".into(), version.to_string()));
        facts.push(("needs-version-for".into(), reason));
    }
    let obstacles = needs::obstacles(schema);
    if !obstacles.is_empty() {
        facts.push(("other-kind-obstacles".into(), obstacles.iter().take(20).cloned().collect::<Vec<_>>().join("; ")));
    }
    if !schema.objects.routine_grants.is_empty() {
        facts.push(("routine-grants".into(), schema.objects.routine_grants.len().to_string()));
    }
    let count = |of: fn(&&crate::schema::Table) -> bool| schema.tables.iter().filter(of).count();
    let merge = count(|table| table.engine.eq_ignore_ascii_case("MRG_MyISAM"));
    let counted = [(fits::MERGE_TABLES, merge), (fits::HISTORY_TABLES, count(|table| table.versioned))];
    facts.extend(counted.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count.to_string())));
    if schema.tables.iter().any(|table| table.name.chars().any(char::is_uppercase)) {
        facts.push(("upper-case-names".into(), "yes".into()));
    }
    facts
}

/// Cuts every table and hands out the chunks; ends when nobody takes them any more.
fn plan_chunks(mut session: Session, schema: &Schema, chunk_bytes: u64, jobs: &Sender<Job>, orders: &Sender<Order>) {
    let database = &schema.objects.database;
    let hand_out = |index: usize, chunk: Option<chunk::Chunk>| -> Result<()> {
        let (pieces, taken) = bounded(1);
        // The order first: so the parts of the oldest chunk in work are always the next to leave.
        let order =
            if chunk.is_some() { Order::Chunk { table: index, pieces: taken } } else { Order::Count { table: index, pieces: taken } };
        orders.send(order).map_err(|_| Error::interrupted())?;
        jobs.send(Job { table: index, chunk, pieces }).map_err(|_| Error::interrupted())
    };
    let all = schema.tables.iter().enumerate().try_for_each(|(index, table)| {
        chunk::cut(&mut session, database, table, chunk_bytes, |chunk| hand_out(index, Some(chunk)))?;
        if table.is_in_the_view() { hand_out(index, None) } else { Ok(()) }
    });
    let last = all.map_or_else(Order::Failed, |()| Order::End);
    // Nobody listens any more when the dump was given up.
    drop(orders.send(last));
}

impl MysqlDump {
    fn next(&mut self) -> Result<Option<Part>> {
        if let Some(column) = self.columns.pop() {
            return Ok(Some(column));
        }
        while self.orders.is_some() {
            if let Some(part) = self.next_row_part()? {
                return Ok(Some(part));
            }
        }
        if self.rest.is_none() {
            let mut rest = vec![script::schema_part(&self.schema, self.has_columns)?];
            rest.extend(std::mem::take(&mut self.script).parts(&self.schema)?);
            rest.reverse();
            self.rest = Some(rest);
        }
        Ok(self.rest.as_mut().and_then(Vec::pop))
    }

    /// A part of rows, or nothing when a chunk or all chunks ended.
    fn next_row_part(&mut self) -> Result<Option<Part>> {
        let Some(current) = &mut self.current else {
            self.next_chunk()?;
            return Ok(None);
        };
        match wait(&self.context, &current.pieces, "a worker")? {
            Piece::Part { bytes, rows } => {
                let table = table(&self.schema, current.table)?;
                let path = script::row_path(&table.name, current.chunk, current.parts);
                self.script.add(current.table, &path);
                current.parts += 1;
                self.context.watch.see(Event::Advance {
                    data_set: self.store.name,
                    verb: Verb::Dump,
                    bytes: bytes.len() as u64,
                    items: rows,
                });
                let Some(columns) = columns::split(&bytes) else { return Ok(Some(Part::bytes(path, bytes))) };
                self.has_columns = true;
                self.columns = script::column_parts(&path, columns);
                Ok(self.columns.pop())
            }
            Piece::Done(counted) => {
                let name = table(&self.schema, current.table)?.name.clone();
                self.evidence.collections.entry(name).or_default().merge(counted.tally);
                self.longest_row_bytes = self.longest_row_bytes.max(counted.longest_row_bytes);
                self.current = None;
                Ok(None)
            }
            Piece::Rows(_) => Err(Error::failed("a worker counted where it was to read")),
            Piece::Failed(error) if error.class() == plan::Class::Refused => {
                let index = current.table;
                Err(self.name_large_row(index, error))
            }
            Piece::Failed(error) => Err(error),
        }
    }

    fn next_chunk(&mut self) -> Result<()> {
        let Some(orders) = &self.orders else { return Ok(()) };
        match wait(&self.context, orders, "the planner of chunks")? {
            Order::Chunk { table, pieces } => {
                let chunk = match self.last_table {
                    Some((last, chunk)) if last == table => chunk + 1,
                    _ => 0,
                };
                self.last_table = Some((table, chunk));
                self.current = Some(Current { table, chunk, parts: 0, pieces });
            }
            Order::Count { table, pieces } => self.compare_count(table, &pieces)?,
            Order::End => self.orders = None,
            Order::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// A row that is too large to be taken, by its key.
    fn name_large_row(&mut self, index: usize, error: Error) -> Error {
        let Ok(table) = table(&self.schema, index) else { return error };
        let lengths: Vec<String> =
            table.kept_columns().map(|column| format!("COALESCE(LENGTH({}), 0)", quote::name(&column.name))).collect();
        let key = chunk::order(table).map_or_else(|| "'no key'".to_owned(), |(_, key)| key);
        let from = table.source(&self.schema.objects.database);
        let sql =
            format!("SELECT CONCAT_WS(', ', {key}) FROM {from} WHERE {} > {} LIMIT 1", lengths.join(" + "), MAX_PACKET_BYTES - (1 << 20));
        let found = self.reader.value("look for the row", &sql).ok().flatten();
        let error = error
            .hint("Rows of 3scale have a few MiB at most: shorten or delete it, or leave its table out by moving it to another database.");
        match found {
            Some(key) => error.hint(format!("It is the row of table {:?} with the key {key}.", table.name)),
            None => error,
        }
    }

    /// The rows that passed against the server's own count, in the same view: what cuts a result short does not cut that.
    fn compare_count(&mut self, index: usize, pieces: &Receiver<Piece>) -> Result<()> {
        let name = &table(&self.schema, index)?.name;
        let passed = self.evidence.collections.get(name).map_or(0, |tally| tally.count);
        match wait(&self.context, pieces, "a worker")? {
            Piece::Rows(rows) if rows == passed => Ok(()),
            Piece::Failed(error) => Err(error),
            Piece::Rows(rows) => Err(Error::failed(format!("{passed} rows of table {name:?} came, and the server counts {rows} in the same view"))
                .hint("Something between cuts results short: a proxy's rule, a setting of the server. Look at SHOW GLOBAL VARIABLES LIKE 'sql_select_limit'.")),
            Piece::Part { .. } | Piece::Done(_) => Err(Error::failed("a worker counted nothing")),
        }
    }

    /// Definitions must be at the end what they were at the beginning; the view does not cover them.
    fn compare_definitions(&mut self) -> Result<()> {
        let now = read::schema(&mut self.reader, &self.schema.server, &self.schema.objects.database)?;
        let (before, after) = (lines::lines(&self.schema), lines::lines(&now));
        if let Some(changed) = before.iter().find(|line| !after.contains(line)).or_else(|| after.iter().find(|line| !before.contains(line)))
        {
            return Err(Error::giving_way(format!("a table's definition was changed during the dump: {changed}"))
                .hint("Run the backup again when migrations have ended."));
        }
        if self.schema.objects != now.objects {
            self.evidence.warnings.push(
                "views, triggers, routines or events were changed during the dump; the set holds them as they were at its beginning".into(),
            );
        }
        Ok(())
    }
}

fn table(schema: &Schema, index: usize) -> Result<&crate::schema::Table> {
    schema.tables.get(index).ok_or_else(|| Error::failed("a chunk of an unknown table"))
}

/// The next message; looks at the stop flag while it waits.
fn wait<T>(context: &Context, from: &Receiver<T>, whom: &str) -> Result<T> {
    loop {
        context.stop.check()?;
        match from.recv_timeout(Duration::from_millis(200)) {
            Ok(message) => return Ok(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Error::failed(format!("{whom} ended early"))),
        }
    }
}

impl Dump for MysqlDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        if self.failed {
            return Err(Error::failed("the dump failed before"));
        }
        let next = self.next().map_err(|error| self.lookout.explain(error));
        self.failed = next.is_err();
        next
    }

    fn finish(mut self: Box<Self>) -> Result<Verdict> {
        if self.failed || !self.rest.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::failed("the dump is not whole"));
        }
        self.compare_definitions()
            .and_then(|()| self.guard.rows("end the view", "SELECT 1"))
            .map_err(|error| self.lookout.explain(error))?;
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.facts.insert("longest-row-bytes".into(), self.longest_row_bytes.to_string());
        let broken = objects::broken::list(&mut self.reader, &self.schema.objects.database, &self.schema.objects)?;
        let refused = fits::of_a_backup(&self.store, &mut self.reader, &self.schema.server, &evidence)?;
        let found = std::mem::take(&mut self.problems);
        let problems = found.into_iter().chain(broken.iter().map(objects::broken::in_a_set)).chain(refused).collect();
        Ok(Verdict { evidence, consistent_at: self.consistent_at, problems })
    }
}

impl Drop for MysqlDump {
    fn drop(&mut self) {
        self.lookout.end();
        // Its locks go before anything is waited for.
        self.stage = None;
        // Workers that wait for a reader end when their channels close; those that read a long result end when the server ends it.
        self.current = None;
        let ended_well = self.rest.is_some();
        self.orders = None;
        if !ended_well {
            for id in &self.worker_ids {
                // A worker that is gone already needs no end.
                drop(self.guard.rows_if_possible("end a worker", &format!("KILL {id}")));
            }
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
