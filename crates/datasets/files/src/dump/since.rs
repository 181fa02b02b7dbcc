//! What a dump takes over from the set before: the content of files that are the same by their stat, without opening them.
//!
//! Every dump reads one in some of these all the same, others each time, and compares: so all of them are read in the course of some sets, and a file whose
//! content changed while its stat did not (a failing disk) is told. What is read is what is kept.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use plan::manifest::KeptDataSet;
use plan::ports::{Earlier, Entry, Meta, Reused, Snapshot, StopFlag};
use plan::{Error, Result};
use rustix::fs::{FileType, Stat, fstat};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Shared;
use super::note::Note;
use super::read::{Item, Kind, item, state_of};
use crate::walk::Found;
use beneath::{allocated_bytes, meta_of, mtime_ns, stat_entry};

/// Every so many sets a file is read again.
const ONE_IN: u64 = 50;
/// The fact that says which of them a dump read.
pub(super) const TURN: &str = "read-again-turn";
/// The fact that counts what was taken over.
pub(super) const UNCHANGED: &str = "unchanged";
/// The fact that counts what was read though it seemed to be unchanged, and was.
pub(super) const READ_AGAIN: &str = "read-again";
const READ_BYTES: usize = 256 << 10;

/// What the set before has.
pub(crate) struct Since {
    pub(super) snapshot: Arc<dyn Snapshot>,
    turn: u64,
    reads_all: bool,
}

/// Whether a set has notes on its files.
pub(crate) fn has_notes(kept: &KeptDataSet) -> bool {
    kept.evidence.facts.contains_key(TURN)
}

impl Since {
    pub(crate) fn new(earlier: Earlier) -> Self {
        let before: Option<u64> = earlier.kept.evidence.facts.get(TURN).and_then(|turn| turn.parse().ok());
        let turn = before.map_or(0, |turn| turn.wrapping_add(1) % ONE_IN);
        Self { snapshot: earlier.snapshot, turn, reads_all: earlier.reads_all }
    }

    pub(super) const fn turn(&self) -> u64 {
        self.turn
    }

    fn reads(&self, path: &Path) -> bool {
        self.reads_all || xxh3_64(path.as_os_str().as_bytes()) % ONE_IN == self.turn
    }
}

/// The entries of the set before, as far as the walk came.
pub(super) struct Entries<'a> {
    entries: Option<Box<dyn Iterator<Item = Result<Entry>> + Send + 'a>>,
    next: Option<Entry>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(shared: &'a Shared) -> Self {
        let entries = shared.since.as_ref().and_then(|since| since.snapshot.entries().map_err(|error| unreadable(shared, &error)).ok());
        Self { entries, next: None }
    }

    /// The entry of a path; paths come in the order of the tree.
    pub(super) fn at(&mut self, shared: &Shared, path: &Path) -> Option<Entry> {
        let entries = self.entries.as_mut()?;
        loop {
            if self.next.is_none() {
                self.next = match entries.next() {
                    Some(Ok(entry)) => Some(entry),
                    Some(Err(error)) => {
                        unreadable(shared, &error);
                        None
                    }
                    None => None,
                };
            }
            let Some(next) = &self.next else {
                self.entries = None;
                return None;
            };
            match next.path.as_path().cmp(path) {
                Ordering::Equal => return self.next.take(),
                Ordering::Greater => return None,
                Ordering::Less => self.next = None,
            }
        }
    }
}

/// No reason not to back up.
fn unreadable(shared: &Shared, error: &Error) {
    let text = format!("the set before cannot be read from here on, so all files that follow are: {}", error.chain());
    shared.tally().notices.say("earlier-unreadable", || text);
}

/// A file that is, by its stat, the one of the set before.
pub(super) struct Same {
    entry: Entry,
    pub(super) note: Note,
    /// As it was when that was found.
    pub(super) stat: Stat,
}

/// Looks whether a file is the one of the set before.
pub(super) fn look(shared: &Shared, found: &Found, entry: Entry) -> io::Result<Option<Same>> {
    let Some(note) = Note::from_bytes(&entry.meta.note) else { return Ok(None) };
    let Some(stat) = stat_entry(&*found.folder, &found.name)? else { return Ok(None) };
    let is_same = entry.is_file()
        && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size).ok() == Some(entry.size_bytes)
        && entry.meta.mtime_ns == Some(mtime_ns(&stat))
        && note.is_of(&stat)
        // Read later than now: the clock was set back, and no time tells anything.
        && entry.meta.read_at_ns.is_some_and(|at_ns| at_ns < shared.begun_ns);
    Ok(is_same.then_some(Same { entry, note, stat }))
}

impl Same {
    /// Whether it is read all the same, and compared.
    pub(super) fn is_read(&self, shared: &Shared) -> bool {
        // Of a large one the digest is known when it was read once more.
        self.note.digest.is_none() || shared.since.as_ref().is_none_or(|since| since.reads(&self.entry.path))
    }

    /// The content of the set before, where that is whole in the repository; its digest is `digest`.
    pub(super) fn reuse(self, shared: &Shared, found: &Found, digest: u128, was_read: bool) -> Option<Item> {
        let Self { mut entry, note, stat } = self;
        let (xattrs, read_at_ns) = (std::mem::take(&mut entry.meta.xattrs), entry.meta.read_at_ns);
        let reused: Reused = shared.since.as_ref()?.snapshot.reuse(entry)?;
        let note = note.with_digest(digest).to_bytes();
        let meta = Meta { xattrs, read_at_ns, note, ..meta_of(&stat, true) };
        Some(item(found, meta, Kind::Kept { reused, digest, was_read }, allocated_bytes(&stat)))
    }

    /// Reads a large file to its end, and compares its content with what the set before has.
    pub(super) fn read_large(&self, shared: &Shared, file: &mut File) -> io::Result<Compared> {
        let mut content = Hashing { file, hasher: Box::new(Xxh3::new()), stop: &shared.stop };
        let is_it = match (self.note.digest, &shared.since) {
            (Some(digest), _) => {
                let mut buffer = vec![0; READ_BYTES];
                while content.read(&mut buffer)? > 0 {}
                Some(content.hasher.digest128() == digest)
            }
            (None, Some(since)) => since.snapshot.has_content(&self.entry, &mut content)?,
            (None, None) => None,
        };
        let digest = content.hasher.digest128();
        let is_steady = self.has_state(&fstat(&*content.file)?);
        Ok(match is_it.filter(|_| is_steady) {
            Some(true) => Compared::Equal(digest),
            Some(false) => Compared::Other,
            None => Compared::Unknown,
        })
    }

    /// Whether a stat is still the one that was found.
    pub(super) fn has_state(&self, stat: &Stat) -> bool {
        state_of(stat) == state_of(&self.stat)
    }

    /// Tells that the content is another one.
    pub(super) fn tell_other(&self, shared: &Shared) {
        let text = "its content is not the one that the set before has, though its size, its times and its inode are: the disk may be failing, or something \
            changed it past the file system; this set has what was read now, the set before has the other";
        shared.notice("changed-unseen", &self.entry.path, text);
    }
}

/// What a comparison came to.
pub(super) enum Compared {
    /// It is the content of the set before, with this digest.
    Equal(u128),
    /// It is another one, though the file did not change.
    Other,
    /// It changed meanwhile, or the repository does not know.
    Unknown,
}

/// Counts the digest of what is read of a file.
struct Hashing<'a> {
    file: &'a mut File,
    hasher: Box<Xxh3>,
    stop: &'a StopFlag,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_raised() {
                return Err(io::Error::other("the run is over"));
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    return Ok(count);
                }
            }
        }
    }
}
