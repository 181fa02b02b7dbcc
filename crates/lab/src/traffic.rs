//! Traffic: threads that write to all five stores all the time, as the processes of 3scale do.
//!
//! Each goes on after any error with a new connection, so a store may come and go. They can be stopped from another
//! process, by a file: what `[writers]` of the configuration does with commands, see [`Control`].

mod system;
mod tasks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::{Error, Result};

use crate::installation::Installation;

/// Between two writes of one thread.
const PAUSE: Duration = Duration::from_millis(4);
/// No call to a store takes longer: a thread has to notice that it shall stop.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Where the writers look for orders: they stop while the file `stop` is there, and then `stopped` is there too.
#[derive(Debug, Clone)]
pub struct Control {
    folder: PathBuf,
}

impl Control {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn stop_file(&self) -> PathBuf {
        self.folder.join("stop")
    }

    fn stopped_file(&self) -> PathBuf {
        self.folder.join("stopped")
    }

    /// Shell commands that stop them and wait, start them and wait, and succeed when they are stopped.
    #[must_use]
    pub fn commands(&self) -> [String; 3] {
        let (stop, stopped) = (self.stop_file(), self.stopped_file());
        let (stop, stopped) = (stop.display(), stopped.display());
        [
            format!("touch {stop}; until test -e {stopped}; do sleep 0.02; done"),
            format!("rm -f {stop}; while test -e {stopped}; do sleep 0.02; done"),
            format!("test -e {stopped}"),
        ]
    }
}

#[derive(Default)]
struct Tally {
    writes: AtomicU64,
    errors: AtomicU64,
}

struct Shared {
    shall_end: AtomicBool,
    shall_wait: AtomicBool,
    waiting: AtomicUsize,
    tallies: BTreeMap<DataSetName, Tally>,
}

/// What was written since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Writes that a store confirmed.
    pub writes: BTreeMap<DataSetName, u64>,
    /// Attempts that failed (a store was away, a table was missing).
    pub errors: BTreeMap<DataSetName, u64>,
}

/// The running threads. They end with the value.
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(installation: &Installation) -> Self {
        let tasks = tasks::all(installation);
        let count = tasks.len();
        let shared = Arc::new(Shared {
            shall_end: AtomicBool::new(false),
            shall_wait: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            tallies: DataSetName::STORES.into_iter().map(|name| (name, Tally::default())).collect(),
        });
        let mut threads: Vec<_> = tasks
            .into_iter()
            .map(|(data_set, mut task)| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.run(data_set, &mut *task))
            })
            .collect();
        let (watched, control) = (Arc::clone(&shared), installation.control());
        threads.push(std::thread::spawn(move || watched.obey(&control, count)));
        Self { shared, threads }
    }

    /// What was written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        let read = |of: fn(&Tally) -> &AtomicU64| {
            self.shared.tallies.iter().map(|(&name, tally)| (name, of(tally).load(Ordering::SeqCst))).collect()
        };
        Written { writes: read(|tally| &tally.writes), errors: read(|tally| &tally.errors) }
    }

    /// Waits until every store has got so many more writes.
    ///
    /// # Errors
    /// When that takes longer than the limit, with the store that gets none.
    pub fn wait_for_writes(&self, more: u64, limit: Duration) -> Result<()> {
        let (before, end) = (self.written(), std::time::Instant::now() + limit);
        loop {
            let now = self.written();
            let behind = now.writes.iter().find(|&(name, &count)| count < before.writes.get(name).copied().unwrap_or(0) + more);
            let Some((name, _)) = behind else { return Ok(()) };
            if std::time::Instant::now() > end {
                return Err(Error::failed(format!("the writers did not get {more} writes into {name} within {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends them and waits until the last write is over.
    pub fn stop(mut self) -> Written {
        self.end();
        self.written()
    }

    fn end(&mut self) {
        self.shared.shall_end.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A panic of a writer shows in its count.
            thread.join().unwrap_or_default();
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn run(&self, data_set: DataSetName, task: &mut dyn tasks::Task) {
        let Some(tally) = self.tallies.get(&data_set) else { return };
        let mut number = 0;
        while !self.shall_end.load(Ordering::SeqCst) {
            if self.shall_wait.load(Ordering::SeqCst) {
                task.disconnect();
                self.waiting.fetch_add(1, Ordering::SeqCst);
                while self.shall_wait.load(Ordering::SeqCst) && !self.shall_end.load(Ordering::SeqCst) {
                    std::thread::sleep(PAUSE);
                }
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            number += 1;
            match task.write(number) {
                Ok(writes) => tally.writes.fetch_add(writes, Ordering::SeqCst),
                Err(_) => {
                    task.disconnect();
                    std::thread::sleep(PAUSE * 5);
                    tally.errors.fetch_add(1, Ordering::SeqCst)
                }
            };
            std::thread::sleep(PAUSE);
        }
        task.disconnect();
    }

    fn obey(&self, control: &Control, count: usize) {
        let (stop, stopped) = (control.stop_file(), control.stopped_file());
        while !self.shall_end.load(Ordering::SeqCst) {
            let shall_wait = stop.exists();
            self.shall_wait.store(shall_wait, Ordering::SeqCst);
            let waiting = self.waiting.load(Ordering::SeqCst);
            // The folder goes with the installation, which may be before the writers.
            if shall_wait && waiting == count && !stopped.exists() {
                fs::write(&stopped, "").unwrap_or_default();
            } else if !shall_wait && waiting == 0 && stopped.exists() {
                fs::remove_file(&stopped).unwrap_or_default();
            }
            std::thread::sleep(PAUSE);
        }
    }
}
