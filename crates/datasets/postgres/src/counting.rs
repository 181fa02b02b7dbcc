//! Counts all tables of a database on several connections at the same time, in one snapshot when there is one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use plan::error::During;
use plan::evidence::Tally;
use plan::ids::DataSetName;
use plan::ports::{Context, Event, StopFlag, Verb};
use plan::{Error, Result};

use crate::address::Address;
use crate::digest::{self, LARGE_OBJECTS, Table};
use crate::failure::has_code;
use crate::long_rows;
use crate::session::Session;
use crate::sql::literal;

/// Enters the exported snapshot of another session; what is read is exactly what `pg_dump --snapshot` reads.
pub(crate) fn enter(session: &mut Session, snapshot: &str) -> Result<()> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT ";
    session.run(&format!("{begin}{}", literal(snapshot)), "enter the snapshot of the dump")
}

/// Counts under way. Dropped early, it cancels the statements and waits for their end.
pub(crate) struct Counting {
    threads: Vec<JoinHandle<Result<()>>>,
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<VecDeque<Task>>,
    tallies: Mutex<BTreeMap<String, Tally>>,
    given_up: StopFlag,
}

enum Task {
    Table(Table),
    LargeObjects,
}

/// What to count, and where.
pub(crate) struct Order {
    /// The database.
    pub(crate) address: Address,
    /// An exported snapshot, whose exporter stays open until the counts are in; none to see what is there.
    pub(crate) snapshot: Option<String>,
    /// The tables.
    pub(crate) tables: Vec<Table>,
    /// How many connections there can be.
    pub(crate) sessions_max: usize,
    /// For the events. A dump counts rows by the way: its progress is bytes.
    pub(crate) data_set: DataSetName,
    /// [`Verb::Dump`] or [`Verb::Prove`].
    pub(crate) verb: Verb,
}

impl Counting {
    /// Starts counting on up to `context.workers` connections.
    ///
    /// # Errors
    /// When a connection cannot be had, the snapshot is gone, or it has rows that cannot be dumped.
    pub(crate) fn start(context: &Context, order: Order) -> Result<Self> {
        let Order { address, snapshot, mut tables, sessions_max, data_set, verb } = order;
        tables.sort_by_key(|table| std::cmp::Reverse(table.size_bytes));
        let queue: VecDeque<_> = std::iter::once(Task::LargeObjects).chain(tables.into_iter().map(Task::Table)).collect();
        let workers = context.workers.min(sessions_max).clamp(1, queue.len());
        let given_up = StopFlag::default();
        let shared = Arc::new(Shared { queue: Mutex::new(queue), tallies: Mutex::default(), given_up });
        let mut counting = Self { threads: Vec::new(), shared: Arc::clone(&shared) };
        for number in 0..workers {
            let mut session = match Session::open(&address) {
                // Somebody else has come in between: fewer do it, too.
                Err(error) if number > 0 && has_code(&error, "53300") => break,
                opened => opened?,
            };
            if let Some(snapshot) = &snapshot {
                enter(&mut session, snapshot)?;
                if number == 0 {
                    long_rows::refuse(&mut session, &context.stop)?;
                }
            }
            let (shared, context) = (Arc::clone(&shared), context.clone());
            counting.threads.push(std::thread::spawn(move || work(&mut session, &shared, &context, data_set, verb)));
        }
        Ok(counting)
    }

    /// Waits for all counts.
    ///
    /// # Errors
    /// The first failure of a worker.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<String, Tally>> {
        for thread in std::mem::take(&mut self.threads) {
            let joined = thread.join().map_err(|_| Error::failed("a counting thread panicked"));
            if let Err(error) = joined.and_then(|outcome| outcome) {
                self.shared.given_up.raise();
                return Err(error);
            }
        }
        Ok(std::mem::take(&mut *lock(&self.shared.tallies)))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.given_up.raise();
        }
        for thread in self.threads.drain(..) {
            // Its failure is that it was cancelled.
            drop(thread.join());
        }
    }
}

fn work(session: &mut Session, shared: &Shared, context: &Context, data_set: DataSetName, verb: Verb) -> Result<()> {
    loop {
        let Some(task) = lock(&shared.queue).pop_front() else { return Ok(()) };
        let counted = session.cancellable(&[&context.stop, &shared.given_up], |session| match &task {
            Task::Table(table) => Ok((table.collection(), digest::table(session, table)?, table.size_bytes)),
            Task::LargeObjects => Ok((LARGE_OBJECTS.to_owned(), digest::large_objects(session)?, 0)),
        });
        let (name, tally, size_bytes) = counted.inspect_err(|_| shared.given_up.raise())?;
        let bytes = if verb == Verb::Dump { 0 } else { u64::try_from(size_bytes).during(|| "read a table's size".to_owned())? };
        lock(&shared.tallies).insert(name, tally);
        context.watch.see(Event::Advance { data_set, verb, bytes, items: tally.count });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
