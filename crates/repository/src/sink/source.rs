//! What the archiver reads from: pulls parts one by one, checks their order, bounds what is in memory, and keeps the verdict.
//!
//! The archiver swallows errors of entries and files, so none is given to it to keep: the first failure is noted here and ends the intake.

use std::collections::VecDeque;
use std::io::Cursor;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use plan::evidence::Tally;
use plan::ports::{Content, Context, Dump, Meta, Part, StopFlag, Verdict};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};
use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};

use super::node::{fingerprint, node_of};
use super::part::{Bytes, PartReader};
use crate::fault::{guarded, lock};
use crate::read::walk::Found;
use crate::storage::Gate;

/// Bytes of parts in memory at a time, unless two parts alone are larger: the archiver asks for the next part before it reads the one that it was given last.
const IN_FLIGHT_BYTES_MAX: u64 = 48 << 20;
/// Parts with content at a time, for each processor, and some: each may be an open file or a connection. Entries without (folders, files that did not change) are not bounded here.
const IN_FLIGHT_PARTS_FOR_EACH_PROCESSOR: u64 = 4;
const IN_FLIGHT_PARTS: u64 = 4;

/// What was given to the archiver.
#[derive(Debug, Default, Clone)]
pub struct Counted {
    /// Every entry with its metadata.
    pub entries: Tally,
    /// Files.
    pub files: u64,
    /// Bytes of files.
    pub bytes: u64,
}

impl Counted {
    /// # Errors
    /// When what was found is not what was given.
    pub fn compare(&self, found: &Found) -> Result<()> {
        if self.entries == found.entries && self.files == found.files && self.bytes == found.bytes {
            return Ok(());
        }
        Err(Error::failed("what was stored is not what was dumped").hint(format!(
            "Given: {} entries, {} files, {} bytes. Read back: {} entries, {} files, {} bytes.",
            self.entries.count, self.files, self.bytes, found.entries.count, found.files, found.bytes
        )))
    }
}

#[derive(Default)]
struct State {
    given: Counted,
    read_files: u64,
    read_bytes: u64,
    order: TreeOrder,
    ended: bool,
    failure: Option<Error>,
}

/// One dump on its way into the repository.
pub struct Intake {
    dump: Mutex<Option<Box<dyn Dump>>>,
    state: Mutex<State>,
    over: AtomicBool,
    stop: StopFlag,
    gate: Arc<Gate>,
    failures_before: u64,
    in_flight: Arc<InFlight>,
}

impl Intake {
    /// An intake that has not begun.
    pub fn new(context: &Context, dump: Box<dyn Dump>, gate: Arc<Gate>) -> Self {
        let failures_before = gate.failures();
        Self {
            dump: Mutex::new(Some(dump)),
            state: Mutex::default(),
            over: AtomicBool::new(false),
            stop: context.stop.clone(),
            gate,
            failures_before,
            in_flight: Arc::default(),
        }
    }

    /// Notes the first failure and ends the intake.
    pub fn fail(&self, error: Error) {
        lock(&self.state).failure.get_or_insert(error);
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether nothing more is to be read, looking at the operator's wish and at failed writes too.
    pub fn is_over(&self) -> bool {
        if self.over.load(Ordering::SeqCst) {
            return true;
        }
        if let Err(error) = self.stop.check() {
            self.fail(error);
        } else if self.gate.failures() != self.failures_before {
            self.fail(self.gate.take_failure().unwrap_or_else(|| Error::failed("failed to write to the repository")));
        }
        self.over.load(Ordering::SeqCst)
    }

    /// The first failure, once.
    pub fn failure(&self) -> Option<Error> {
        if self.is_over() { lock(&self.state).failure.take() } else { None }
    }

    /// A file was read to its end.
    pub fn part_read(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.read_files += 1;
        state.read_bytes += bytes;
    }

    /// After the archiver is done: whether all went well, and what the producer says.
    ///
    /// # Errors
    /// When anything did not.
    pub fn finish(&self) -> Result<(Counted, Verdict)> {
        let dump = lock(&self.dump).take();
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let counted = {
            let state = lock(&self.state);
            if !state.ended || state.read_files != state.given.files || state.read_bytes != state.given.bytes {
                return Err(Error::failed("failed to store the dump")
                    .hint(format!("The repository engine read {} of {} files and gave no reason.", state.read_files, state.given.files)));
            }
            state.given.clone()
        };
        let dump = dump.ok_or_else(|| Error::failed("failed to ask the producer for its verdict"))?;
        let verdict = guarded("ask the producer for its verdict", || dump.finish())?;
        Ok((counted, verdict))
    }

    fn next_part(&self) -> Option<Part> {
        if self.is_over() {
            return None;
        }
        let mut dump = lock(&self.dump);
        let next = dump.as_mut().map_or(Ok(None), |dump| guarded("read the dump", || dump.next_part()));
        match next {
            Ok(Some(part)) => return Some(part),
            Ok(None) => lock(&self.state).ended = true,
            Err(error) => {
                // Dropping it early ends the dump at its source.
                *dump = None;
                self.fail(error);
            }
        }
        None
    }

    fn entries_of(self: &Arc<Self>, part: Part) -> Result<Vec<ReadSourceEntry<PartReader>>> {
        let Part { path, meta, content } = part;
        let implied = lock(&self.state).order.admit(&path, matches!(content, Content::Folder)).map_err(|why| {
            Error::failed(format!("part {:?} {why}", path.display().to_string()))
                .hint("This is a fault of the data set's dump, not of the data; or the tree is deeper than any that can be kept.")
        })?;
        let mut entries = Vec::with_capacity(implied.len() + 1);
        for folder in implied {
            entries.push(self.entry(&folder, &Meta { mode: 0o755, ..Meta::default() }, Content::Folder)?);
        }
        entries.push(self.entry(&path, &meta, content)?);
        Ok(entries)
    }

    fn entry(self: &Arc<Self>, path: &Path, meta: &Meta, content: Content) -> Result<ReadSourceEntry<PartReader>> {
        let node = node_of(path, meta, &content)?;
        let size_bytes = node.meta.size;
        {
            let mut state = lock(&self.state);
            state.given.entries.add(&fingerprint(path, &node)?);
            if node.is_file() {
                state.given.files += 1;
                state.given.bytes += size_bytes;
            }
            if matches!(content, Content::Kept(_)) {
                state.read_files += 1;
                state.read_bytes += size_bytes;
            }
        }
        let (bytes, held) = match content {
            Content::Bytes(bytes) => (Some(Bytes::Whole(Cursor::new(bytes))), size_bytes),
            Content::Stream { reader, .. } => (Some(Bytes::Stream(reader)), 0),
            _ => (None, 0),
        };
        let open = bytes.map(|bytes| PartReader {
            path: path.to_owned(),
            size_bytes,
            left: size_bytes,
            bytes,
            intake: Arc::clone(self),
            done: false,
            permit: Some(self.in_flight.acquire(held, || self.is_over())),
        });
        Ok(ReadSourceEntry { path: Path::new("/").join(path), node, open })
    }
}

/// Bounds the parts that wait for the archiver, and their bytes: its queue takes dozens of entries, whatever their size.
///
/// The part that was given last is not waited for: the archiver looks one entry ahead, to know when a folder ends, and begins with a part only when it has
/// been given the next one. So two parts may be in memory whatever their size, and never more than two above the bound.
#[derive(Debug)]
pub struct InFlight {
    held: Mutex<Held>,
    freed: Condvar,
    parts_max: u64,
}

impl Default for InFlight {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
        Self { held: Mutex::default(), freed: Condvar::new(), parts_max: IN_FLIGHT_PARTS_FOR_EACH_PROCESSOR * processors + IN_FLIGHT_PARTS }
    }
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    parts: u64,
    /// Number and bytes of the part that was given last, while it is held.
    last: Option<(u64, u64)>,
    given: u64,
}

/// Room for a part; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    of: Arc<InFlight>,
    number: u64,
    bytes: u64,
}

impl InFlight {
    fn acquire(self: &Arc<Self>, bytes: u64, is_over: impl Fn() -> bool) -> Permit {
        let mut held = lock(&self.held);
        let is_full = |held: &Held| {
            held.parts >= self.parts_max || held.bytes > held.last.map_or(0, |(_, bytes)| bytes) && held.bytes + bytes > IN_FLIGHT_BYTES_MAX
        };
        while is_full(&held) && !is_over() {
            held = self.freed.wait_timeout(held, Duration::from_millis(200)).unwrap_or_else(PoisonError::into_inner).0;
        }
        held.bytes += bytes;
        held.parts += 1;
        held.given += 1;
        let number = held.given;
        held.last = Some((number, bytes));
        Permit { of: Arc::clone(self), number, bytes }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = lock(&self.of.held);
        held.bytes -= self.bytes;
        held.parts -= 1;
        held.last = held.last.filter(|(number, _)| *number != self.number);
        drop(held);
        self.of.freed.notify_all();
    }
}

/// The engine's view of an intake.
pub struct Source(pub Arc<Intake>);

/// Parts as the archiver pulls them, one thread at a time.
pub struct Parts {
    intake: Arc<Intake>,
    ready: VecDeque<ReadSourceEntry<PartReader>>,
}

impl ReadSource for Source {
    type Open = PartReader;
    type Iter = Parts;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Parts {
        Parts { intake: Arc::clone(&self.0), ready: VecDeque::new() }
    }
}

impl Iterator for Parts {
    type Item = RusticResult<ReadSourceEntry<PartReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            let part = self.intake.next_part()?;
            match self.intake.entries_of(part) {
                Ok(entries) => self.ready.extend(entries),
                Err(error) => self.intake.fail(error),
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
