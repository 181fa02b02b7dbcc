//! Looks out for the application while a dump holds locks: when its statements begin to wait for a table, the dump gives its locks back.
//!
//! A dump keeps the definitions of the tables from changing. Somebody who wants to change one all the same (`ALTER TABLE`, `LOCK TABLES … WRITE`) may wait for the
//! dump, and every later statement on that table waits behind him. So a probe does what the application does, a read of every table, a few times a second; when
//! the server says that it waits, the dump's connections are ended: the dump fails, nobody else does. Needs no privilege but to read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use plan::{Error, Result};

use crate::quote;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Between two probes.
const PERIOD: Duration = Duration::from_millis(150);
/// A probe that takes longer is looked at.
const PATIENCE: Duration = Duration::from_millis(250);
/// So many tables in one statement.
const TABLES: usize = 60;

/// The two threads; they end with the value.
pub(crate) struct Lookout {
    gave_way: Arc<AtomicBool>,
    victims: Arc<Mutex<Vec<u32>>>,
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Lookout {
    /// Begins to look out. `victims` are the connections that hold locks.
    pub(crate) fn begin(store: &MysqlStore, tables: &[String], victims: Vec<u32>) -> Result<Self> {
        let database = &store.address.database;
        let mut probe = store.session(Talk::Text, Some(database))?;
        let mut control = store.session(Talk::Text, None)?;
        // A server that forgets this connection is no reason to hold it for a year.
        probe.set("SESSION lock_wait_timeout = 5")?;
        let statements: Vec<String> = tables.chunks(TABLES).map(|tables| statement(database, tables)).collect();
        let (stop, stopped) = bounded(0);
        let since: Arc<Mutex<Option<Instant>>> = Arc::default();
        let gave_way: Arc<AtomicBool> = Arc::default();
        let victims = Arc::new(Mutex::new(victims));
        let id = probe.id();
        let (begun, ended) = (Arc::clone(&since), stopped.clone());
        let probing = thread::spawn(move || {
            while !is_over(&ended, PERIOD) {
                for statement in &statements {
                    set(&begun, Some(Instant::now()));
                    // A refusal (a table that has gone) is an answer, and no wait.
                    drop(probe.rows_if_possible("look out for the application", statement));
                }
                set(&begun, None);
            }
        });
        let (gives_way, held) = (Arc::clone(&gave_way), Arc::clone(&victims));
        let watching = thread::spawn(move || {
            while !is_over(&stopped, Duration::from_millis(100)) {
                let late = since.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() > PATIENCE);
                if late && waits(&mut control, id) {
                    gives_way.store(true, Ordering::SeqCst);
                    for victim in held.lock().unwrap_or_else(PoisonError::into_inner).iter().chain([&id]) {
                        // Gone already is as good.
                        drop(control.rows_if_possible("give the locks back", &format!("KILL {victim}")));
                    }
                    return;
                }
            }
        });
        Ok(Self { gave_way, victims, stop: Some(stop), threads: vec![probing, watching] })
    }

    /// Another connection that holds locks.
    pub(super) fn also(&self, id: u32) {
        self.victims.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// What an error means when somebody who only reads gave way.
    pub(crate) fn explain_reading(&self, error: Error) -> Error {
        if !self.gave_way.load(Ordering::SeqCst) {
            return error;
        }
        let text =
            "the reading gave way: somebody wants to change or lock a table, and the application's statements began to wait behind him";
        Error::giving_way(text).because(error).hint("Run the command again when the migration has ended.")
    }

    /// What an error means when the dump gave way.
    pub(super) fn explain(&self, error: Error) -> Error {
        if !self.gave_way.load(Ordering::SeqCst) {
            return error;
        }
        Error::giving_way(
            "the dump gave way: somebody wants to change or lock a table, and the application's statements began to wait behind him",
        )
        .because(error)
        .hint("Run the backup again when the migration has ended.")
        .hint("On MySQL, BACKUP_ADMIN keeps migrations waiting instead, on MariaDB RELOAD.")
    }

    /// Ends both threads.
    pub(crate) fn end(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.end();
    }
}

fn set(since: &Mutex<Option<Instant>>, to: Option<Instant>) {
    *since.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

fn is_over(stopped: &Receiver<()>, wait: Duration) -> bool {
    stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
}

/// Opens every table, and reads nothing.
fn statement(database: &str, tables: &[String]) -> String {
    let each: Vec<String> = tables.iter().map(|table| format!("(SELECT 1 FROM {} LIMIT 0)", quote::qualified(database, table))).collect();
    each.join(" UNION ALL ")
}

/// Whether the server says that the probe waits for a table, and not for a processor.
fn waits(control: &mut Session, id: u32) -> bool {
    let sql = format!("SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = {id}");
    let state = control.value("look what the probe waits for", &sql).ok().flatten().unwrap_or_default();
    state.starts_with("Waiting for")
}
