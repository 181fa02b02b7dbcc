//! The dump of a tree, and (over a staged tree) its proof: one thread walks, others read ahead, parts come out in tree order.
//!
//! Memory is bounded: the names of the folders on the way, a window of entries, and a window of bytes. What changed or vanished while it was
//! read is in the evidence. A file that cannot be read ends the dump: a backup that lacks files is not complete.

mod content;
mod note;
mod order;
mod read;
mod since;
mod window;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use jiff::Timestamp;
use plan::ids::DataSetName;
use plan::ports::{Advancing, Content, Context, Dump, Meta, Part, StopFlag, Verb, Verdict};
use plan::{Error, Result};
use rustix::fs::{Stat, fstat};

use self::content::LargeFile;
use self::note::Note;
pub(crate) use self::note::SETTLED;
use self::order::Slot;
use self::read::{Answer, Item, Kind};
use self::since::{READ_AGAIN, TURN, UNCHANGED};
pub(crate) use self::since::{Since, has_notes};
use self::window::Window;
use crate::hook::Hook;
use crate::lent::Lent;
use crate::mounts;
use crate::root::RootMeta;
use crate::tallied::{FirstNames, Tallied};
use beneath::Tree;
use beneath::{meta_of, read_xattrs};

/// Files up to this size are read whole by a reader thread.
pub(crate) const SMALL_BYTES: u64 = 8 << 20;

/// What the threads and the readers of large files share with the dump.
pub(crate) struct Shared {
    pub(crate) tree: Arc<Tree>,
    pub(crate) hook: Hook,
    pub(crate) skip_unreadable: bool,
    /// A proof reads what its owner may not read by his right to change that, for that long. A backup changes nothing.
    pub(crate) lent: Option<Lent>,
    pub(crate) window: Window,
    /// What the set before has.
    pub(crate) since: Option<Since>,
    /// How long a file must have been left alone to get a note; `None`: none gets one.
    pub(crate) settled: Option<Duration>,
    /// When the dump began: the mark of what was read, and not taken over.
    pub(crate) begun_ns: i128,
    pub(crate) stop: StopFlag,
    walk_ended: AtomicBool,
    tally: Mutex<Tallied>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tallied> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next dump needs to know of a file.
    fn note(&self, stat: &Stat, now: Timestamp, digest: Option<u128>) -> Vec<u8> {
        self.settled.and_then(|settled| Note::of(stat, now, settled, digest)).map(Note::to_bytes).unwrap_or_default()
    }

    /// Reports something about a path.
    pub(crate) fn notice(&self, kind: &'static str, path: &Path, text: &str) {
        self.tally().notices.about(kind, path, text);
    }
}

/// How a tree is read.
pub(crate) enum Reading {
    /// For a set.
    Dump {
        /// Leave out what cannot be read.
        skip_unreadable: bool,
        /// What the set before has.
        since: Option<Since>,
        /// How long a file must have been left alone that the next dump does not have to read.
        settled: Duration,
    },
    /// To compare with a set.
    Proof,
}

/// See the module.
pub(crate) struct FilesDump {
    context: Context,
    shared: Arc<Shared>,
    slots: Option<Receiver<Slot>>,
    /// Of the batch that is being emptied.
    slot: Option<Slot>,
    ready: std::vec::IntoIter<Answer>,
    threads: Vec<JoinHandle<()>>,
    next: u64,
    first_names: FirstNames,
    root: RootMeta,
    progress: Advancing,
    unchanged: u64,
    read_again: u64,
    ended: bool,
}

impl FilesDump {
    /// Starts the threads.
    pub(crate) fn start(context: &Context, tree: Arc<Tree>, reading: Reading, hook: Hook) -> Result<Self> {
        let path = &tree.place_of(Path::new(""));
        let root_fd = tree.folder(Path::new("")).map_err(|error| crate::look::cannot_open(path, error))?;
        let stat = fstat(&root_fd).map_err(|error| crate::look::cannot_open(path, error.into()))?;
        let xattrs = read_xattrs(&root_fd).map_err(|error| crate::look::cannot_open(path, error))?;
        let root = RootMeta::new(&Meta { xattrs, ..meta_of(&stat, false) });
        let mounts = mounts::below(&tree)?;
        let (verb, skip_unreadable, since, settled) = match reading {
            Reading::Dump { skip_unreadable, since, settled } => (Verb::Dump, skip_unreadable, since, Some(settled)),
            Reading::Proof => (Verb::Prove, false, None, None),
        };
        let shared = Arc::new(Shared {
            tree,
            hook,
            skip_unreadable,
            lent: (verb == Verb::Prove).then(Lent::default),
            window: Window::default(),
            since,
            settled,
            begun_ns: Timestamp::now().as_nanosecond(),
            stop: context.stop.clone(),
            walk_ended: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        // What is mounted inside is part of what the application sees, so it is read; but renames cannot move it.
        for path in mounts {
            shared.notice("mount-points", &path, "another volume is mounted here; its files are in the backup");
        }
        let (slots, threads) = order::start(&shared, &context.stop, context.workers.max(1))?;
        Ok(Self {
            context: context.clone(),
            shared,
            slots: Some(slots),
            slot: None,
            ready: Vec::new().into_iter(),
            threads,
            next: 0,
            first_names: FirstNames::default(),
            root,
            progress: Advancing::of(DataSetName::SystemStorage, verb),
            unchanged: 0,
            read_again: 0,
            ended: false,
        })
    }

    /// Takes the next entry that is really there.
    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            self.context.stop.check()?;
            let Some(item) = self.ready.next() else {
                if !self.wait()? {
                    return Ok(None);
                }
                continue;
            };
            self.next += 1;
            // A reader of a large file that was stopped says that it could not read it.
            self.context.stop.check()?;
            if let Some(item) = item? {
                self.shared.window.leave(item.held_bytes);
                return Ok(Some(item));
            }
        }
    }

    /// Waits for the next answers; false when there are no more.
    fn wait(&mut self) -> Result<bool> {
        self.shared.window.wait_for(self.next);
        if let Some(slot) = self.slot.as_mut().filter(|slot| slot.due > 0) {
            let answers = slot.answers.recv().map_err(|_| Error::failed("a reader of files broke off"))?;
            slot.due = slot.due.saturating_sub(answers.len());
            self.ready = answers.into_iter();
            return Ok(true);
        }
        self.slot = self.slots.as_ref().and_then(|slots| slots.recv().ok());
        if self.slot.is_some() {
            return Ok(true);
        }
        if self.shared.walk_ended.load(Ordering::SeqCst) {
            return Ok(false);
        }
        Err(Error::failed(format!("the walk of {} broke off", self.shared.tree.place_of(Path::new("")).display())))
    }

    fn part(&mut self, mut item: Item) -> Part {
        let size_bytes = item.kind.size_bytes();
        let shared = Arc::clone(&self.shared);
        let mut tally = shared.tally();
        tally.clamp(&item.path, &mut item.meta);
        let first = self.first_names.meet(&item.path, &mut item.meta, size_bytes, &mut tally.notices);
        let Item { path, meta, kind, allocated_bytes, .. } = item;
        tally.arrive(&path, &meta, size_bytes, first.as_deref(), matches!(kind, Kind::Symlink(_)));
        if first.is_none() {
            tally.allocated_bytes += allocated_bytes;
        }
        let content = match kind {
            Kind::Small { bytes, digest } => {
                if first.is_none() {
                    tally.census.file(&path, size_bytes, digest);
                }
                Content::Bytes(bytes)
            }
            Kind::Large { file, stat } => {
                tally.unread += 1;
                let reader = LargeFile::new(file, stat, path.clone(), first.is_none(), Arc::clone(&self.shared));
                Content::Stream { size_bytes, reader: Box::new(reader) }
            }
            Kind::Kept { reused, digest, was_read } => {
                if first.is_none() {
                    tally.census.file(&path, size_bytes, digest);
                }
                self.unchanged += 1;
                self.read_again += u64::from(was_read);
                Content::Kept(reused)
            }
            Kind::Folder => {
                tally.census.plain("folders", &path);
                Content::Folder
            }
            Kind::Fifo => {
                tally.census.plain("fifos", &path);
                Content::Fifo
            }
            Kind::Socket => {
                tally.census.plain("sockets", &path);
                Content::Socket
            }
            Kind::Symlink(target) => {
                tally.census.symlink(&path, &target);
                Content::Symlink(target)
            }
        };
        drop(tally);
        Part { path, meta, content }
    }

    /// What was counted. Asked at the end.
    pub(crate) fn verdict(&self) -> Result<Verdict> {
        let mut verdict = self.shared.tally().verdict(self.ended, &self.root)?;
        if self.shared.settled.is_some() {
            let turn = self.shared.since.as_ref().map_or(0, Since::turn);
            let facts = [(TURN, turn), (UNCHANGED, self.unchanged), (READ_AGAIN, self.read_again)];
            verdict.evidence.facts.extend(facts.map(|(name, value)| (name.to_owned(), value.to_string())));
        }
        Ok(verdict)
    }
}

impl Dump for FilesDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        if self.ended {
            return Ok(None);
        }
        let Some(item) = self.next_item()? else {
            self.ended = true;
            self.progress.end(&*self.context.watch);
            return Ok(None);
        };
        self.progress.add(&*self.context.watch, item.kind.size_bytes(), 1);
        Ok(Some(self.part(item)))
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        self.verdict()
    }
}

impl Drop for FilesDump {
    fn drop(&mut self) {
        self.shared.window.close();
        self.slots = None;
        for thread in self.threads.drain(..) {
            // A panic of a thread was already seen as a slot that nobody filled.
            drop(thread.join());
        }
        if let Some(lent) = &self.shared.lent {
            lent.give_back(&self.shared.tree);
        }
    }
}
