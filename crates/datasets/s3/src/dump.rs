//! The dump of a bucket: listed whole, brought into the order of a tree, then read by many requests at once; parts come out in order.
//!
//! What the earlier set has with the same key, ETag, size and time is not read again. Memory is bounded: a window of entries, and one of bytes.

mod read;
mod window;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use plan::error::During as _;
use plan::ids::DataSetName;
use plan::ports::{Advancing, Context, Dump, Entry, Part, Snapshot, Verb, Verdict};
use plan::{Error, Result};

use self::read::Read;
use self::window::Window;
use crate::census::Census;
use crate::client::Client;
use crate::key::{Placed, TreeKey};
use crate::parallel::at_once;
use crate::spool::Sorted;

/// Objects up to this size are read whole.
pub(crate) const SMALL_BYTES: u64 = 8 << 20;
/// Entries between the listing and the one that is wanted.
const WINDOW_ENTRIES: usize = 256;

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) client: Arc<Client>,
    pub(crate) context: Context,
    pub(crate) earlier: Option<Arc<dyn Snapshot>>,
    pub(crate) window: Window,
    /// When the dump began: the mark of what was read, and not named again.
    pub(crate) begun_ns: i128,
    census: Mutex<Census>,
    /// Large objects handed out whose content was not yet read to the end.
    pub(crate) unread: std::sync::atomic::AtomicU64,
    walk_ended: AtomicBool,
}

impl Shared {
    pub(crate) fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Slot = Receiver<Result<Option<Read>>>;

/// One entry that is to be read.
pub(crate) struct Job {
    pub(crate) what: What,
    pub(crate) earlier: Option<Entry>,
    slot: Sender<Result<Option<Read>>>,
}

/// What a job is about.
pub(crate) enum What {
    /// A folder that no object stands for, and the time of the first object in it.
    Folder { path: String, modified_ns: i128 },
    /// An object, or the empty one that stands for a folder.
    Object(Placed),
}

/// See the module.
pub(crate) struct BucketDump {
    shared: Arc<Shared>,
    slots: Option<Receiver<Slot>>,
    threads: Vec<JoinHandle<()>>,
    progress: Advancing,
    ended: bool,
}

impl BucketDump {
    /// Starts the threads.
    pub(crate) fn start(context: &Context, client: &Arc<Client>, listed: Sorted, earlier: Option<Arc<dyn Snapshot>>) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: Arc::clone(client),
            context: context.clone(),
            earlier,
            window: Window::default(),
            begun_ns: Timestamp::now().as_nanosecond(),
            census: Mutex::default(),
            unread: std::sync::atomic::AtomicU64::new(0),
            walk_ended: AtomicBool::new(false),
        });
        let (slots_in, slots) = bounded(WINDOW_ENTRIES);
        let (jobs_in, jobs): (Sender<Job>, Receiver<Job>) = bounded(WINDOW_ENTRIES);
        let mut dump = Self {
            shared: Arc::clone(&shared),
            slots: Some(slots),
            threads: Vec::new(),
            progress: Advancing::of(DataSetName::SystemStorage, Verb::Dump),
            ended: false,
        };
        for _ in 0..at_once(context) {
            let (shared, jobs) = (Arc::clone(&shared), jobs.clone());
            dump.spawn(move || {
                for job in jobs {
                    drop(job.slot.send(read::read(&shared, job.what, job.earlier)));
                }
            })?;
        }
        dump.spawn(move || {
            let failed = feed(&shared, listed, &slots_in, &jobs_in);
            match failed {
                Ok(true) => shared.walk_ended.store(true, Ordering::SeqCst),
                Ok(false) => {}
                Err(error) => {
                    let (slot, out) = bounded(1);
                    drop(slot.send(Err(error)));
                    drop(slots_in.send(out));
                }
            }
        })?;
        Ok(dump)
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name("bucket-reader".to_owned()).spawn(work);
        self.threads.push(thread.during(|| "start a thread for reading objects".to_owned())?);
        Ok(())
    }

    fn next_read(&mut self) -> Result<Option<Read>> {
        loop {
            self.shared.context.stop.check()?;
            let Some(slot) = self.slots.as_ref().and_then(|slots| slots.recv().ok()) else {
                if self.shared.walk_ended.load(Ordering::SeqCst) {
                    return Ok(None);
                }
                return Err(Error::failed(format!("the listing of {} broke off", self.shared.client.shown())));
            };
            if let Some(read) = slot.recv().map_err(|_| Error::failed("a reader of objects broke off"))?? {
                self.shared.window.leave(read.held_bytes);
                return Ok(Some(read));
            }
        }
    }
}

impl Dump for BucketDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        if self.ended {
            return Ok(None);
        }
        let Some(read) = self.next_read()? else {
            self.ended = true;
            self.progress.end(&*self.shared.context.watch);
            return Ok(None);
        };
        self.progress.add(&*self.shared.context.watch, read.size_bytes, 1);
        Ok(Some(read.part))
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        let unread = self.shared.unread.load(Ordering::SeqCst);
        if !self.ended || unread > 0 {
            return Err(Error::failed("the dump of the bucket was not read to its end"));
        }
        Ok(self.shared.census().verdict(Timestamp::now(), Vec::new()))
    }
}

impl Drop for BucketDump {
    fn drop(&mut self) {
        self.shared.window.close();
        self.slots = None;
        for thread in self.threads.drain(..) {
            // A panic of a thread was already seen as a slot that nobody filled.
            drop(thread.join());
        }
    }
}

/// Makes a job of every object, and of every folder on the way to one; `false` when nobody wants more.
fn feed(shared: &Shared, listed: Sorted, slots: &Sender<Slot>, jobs: &Sender<Job>) -> Result<bool> {
    let mut earlier = Earlier::of(shared)?;
    let mut folders: Vec<String> = Vec::new();
    for placed in listed {
        let placed = placed?;
        shared.context.stop.check()?;
        while folders.pop_if(|folder| !is_inside(&placed.path, folder)).is_some() {}
        let mut ready = Vec::new();
        let known = folders.last().map_or(0, |folder| folder.len() + 1);
        for (at, _) in placed.path.match_indices('/').filter(|(at, _)| *at >= known) {
            let path = placed.path.get(..at).unwrap_or_default().to_owned();
            folders.push(path.clone());
            ready.push((What::Folder { path, modified_ns: placed.modified_ns }, None));
        }
        if placed.is_folder() {
            folders.push(placed.path.clone());
        }
        let before = if placed.is_folder() { None } else { earlier.at(&placed.path)? };
        ready.push((What::Object(placed), before));
        for (what, earlier) in ready {
            let (slot, out) = bounded(1);
            let bytes = if let What::Object(placed) = &what { window::held_bytes(placed.size) } else { 0 };
            if !shared.window.enter(bytes) || slots.send(out).is_err() || jobs.send(Job { what, earlier, slot }).is_err() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn is_inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The entries of the earlier set, as far as the listing came.
struct Earlier<'a> {
    entries: Option<Box<dyn Iterator<Item = Result<Entry>> + Send + 'a>>,
    next: Option<Entry>,
}

impl<'a> Earlier<'a> {
    fn of(shared: &'a Shared) -> Result<Self> {
        let entries = shared.earlier.as_ref().map(|snapshot| snapshot.entries()).transpose()?;
        Ok(Self { entries, next: None })
    }

    /// The entry of a path.
    fn at(&mut self, path: &str) -> Result<Option<Entry>> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        loop {
            if self.next.is_none() {
                self.next = entries.next().transpose()?;
            }
            let Some(next) = self.next.as_ref() else {
                self.entries = None;
                return Ok(None);
            };
            match next.path.to_str().map(|there| TreeKey::of(there).cmp(&TreeKey::of(path))) {
                Some(std::cmp::Ordering::Equal) => return Ok(self.next.take()),
                Some(std::cmp::Ordering::Greater) => return Ok(None),
                Some(std::cmp::Ordering::Less) | None => self.next = None,
            }
        }
    }
}
