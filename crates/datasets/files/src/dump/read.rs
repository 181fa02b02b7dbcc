//! Reads one entry: metadata of all, content of small files, the open file of large ones.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crossbeam_channel::Sender;
use jiff::Timestamp;
use plan::ports::{Entry, Meta, Reused};
use plan::words::shell_word;
use plan::{Error, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_128;

use super::since::{self, Compared, Same};
use super::{SMALL_BYTES, Shared};
use crate::hook::Moment;
use crate::walk::Found;
use beneath::{allocated_bytes, is_vanished, meta_of, mtime_ns, read_xattrs, read_xattrs_at, stat_entry};

/// How often a small file is read again when it changed meanwhile.
const READINGS: u32 = 3;

/// What was read of an entry; `None` when it is left out.
pub(super) type Answer = Result<Option<Item>>;

/// An entry to be read.
pub(super) struct Job {
    pub(super) sequence: u64,
    pub(super) found: Found,
    /// What the set before has at its path.
    pub(super) earlier: Option<Entry>,
}

/// The answers of a batch. They go together: each by itself would wake who takes them, which costs more than looking at a file.
pub(super) struct Answers {
    ready: Vec<Answer>,
    to: Sender<Vec<Answer>>,
}

impl Answers {
    pub(super) const fn new(to: Sender<Vec<Answer>>) -> Self {
        Self { ready: Vec::new(), to }
    }

    pub(super) fn add(&mut self, answer: Answer) {
        self.ready.push(answer);
    }

    /// Gives what is ready: at the end, and before something that may take long or wait until what is ready was taken.
    pub(super) fn give(&mut self) {
        if !self.ready.is_empty() {
            // Nobody wants them when the dump is over.
            drop(self.to.send(std::mem::take(&mut self.ready)));
        }
    }
}

/// What was read of an entry.
pub(super) struct Item {
    pub(super) path: PathBuf,
    pub(super) meta: Meta,
    pub(super) kind: Kind,
    pub(super) allocated_bytes: u64,
    /// Bytes that count in the window.
    pub(super) held_bytes: u64,
}

pub(super) enum Kind {
    Small {
        bytes: Vec<u8>,
        digest: u128,
    },
    Large {
        file: File,
        stat: Stat,
    },
    /// The content of the set before.
    Kept {
        reused: Reused,
        digest: u128,
        was_read: bool,
    },
    Folder,
    Symlink(PathBuf),
    Fifo,
    Socket,
}

impl Kind {
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Small { bytes, .. } => bytes.len() as u64,
            Self::Large { stat, .. } => u64::try_from(stat.st_size).unwrap_or(0),
            Self::Kept { reused, .. } => reused.size_bytes,
            _ => 0,
        }
    }
}

/// Reads an entry; `None` when it is left out (which was noticed).
pub(super) fn read_entry(shared: &Shared, job: &mut Job, answers: &mut Answers) -> Answer {
    let earlier = job.earlier.take();
    let found = &job.found;
    let read = match found.kind {
        FileType::RegularFile => read_file_since(shared, job, earlier, answers),
        FileType::Directory => read_folder(found).map(Some),
        FileType::Symlink | FileType::Fifo | FileType::Socket => read_special(shared, found),
        FileType::Unknown => Err(Errno::NOENT.into()),
        FileType::BlockDevice | FileType::CharacterDevice => {
            shared.notice("devices", &found.path, "a device file; left out");
            return Ok(None);
        }
    };
    match read {
        Ok(item) => Ok(item),
        Err(error) if is_vanished(&error) => {
            shared.notice("vanished", &found.path, "vanished before it was read; left out");
            Ok(None)
        }
        Err(error) => cannot_read(shared, &found.path, error).map_or(Ok(None), Err),
    }
}

/// What an unreadable entry means: an error, or a notice when the operator wants that.
pub(super) fn cannot_read(shared: &Shared, path: &Path, error: std::io::Error) -> Option<Error> {
    if shared.skip_unreadable && !path.as_os_str().is_empty() {
        shared.notice("unreadable", path, &format!("could not be read ({error}); left out"));
        return None;
    }
    let place = shared.tree.place_of(path);
    let failed = Error::failed(format!("failed to read {}", place.display())).because(error);
    if shared.lent.is_some() {
        return Some(failed.hint("What was restored cannot be read back, so it is not proven. Run as root, or as the owner of the files."));
    }
    Some(failed.hint(format!(
        "A backup without this file would not be complete. Give this program's user the right to read it (as its owner: chmod u+r -- {}), or move it away; \
         or leave out what cannot be read, with a warning, by the option skip-unreadable.",
        shell_word(&place)
    )))
}

pub(super) fn item(found: &Found, meta: Meta, kind: Kind, allocated_bytes: u64) -> Item {
    Item { path: found.path.clone(), meta, kind, allocated_bytes, held_bytes: 0 }
}

fn read_folder(found: &Found) -> io::Result<Item> {
    let folder = found.opened.as_ref().ok_or(Errno::NOENT)?;
    let stat = fstat(folder)?;
    let mut meta = Meta { xattrs: read_xattrs(folder)?, ..meta_of(&stat, false) };
    meta.mode = found.lent_mode.unwrap_or(meta.mode);
    Ok(item(found, meta, Kind::Folder, allocated_bytes(&stat)))
}

fn read_special(shared: &Shared, found: &Found) -> io::Result<Option<Item>> {
    let stat = stat_entry(&*found.folder, &found.name)?.ok_or(Errno::NOENT)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = readlinkat(&*found.folder, &found.name, Vec::new())?;
            Kind::Symlink(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
        }
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => return Ok(replaced(shared, &found.path)),
    };
    let meta = Meta { xattrs: read_xattrs_at(&*found.folder, &found.name)?, ..meta_of(&stat, false) };
    Ok(Some(item(found, meta, kind, allocated_bytes(&stat))))
}

fn replaced(shared: &Shared, path: &Path) -> Option<Item> {
    shared.notice("vanished", path, "became something else before it was read; left out");
    None
}

fn open_file(shared: &Shared, found: &Found) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Reading shall leave no trace; only the owner may ask for that.
    let fd = match openat(&*found.folder, &found.name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&*found.folder, &found.name, flags, Mode::empty())?,
        Err(Errno::ACCESS) => match &shared.lent {
            Some(lent) => return lent.open_file(&found.path, &*found.folder, &found.name),
            None => return Err(Errno::ACCESS.into()),
        },
        other => other?,
    };
    Ok(File::from(fd))
}

/// What tells that a file changed. The time of the inode's change catches a writer who puts the time of change back.
pub(super) fn state_of(stat: &Stat) -> (i64, i128, i64, i64) {
    (stat.st_size, mtime_ns(stat), stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0))
}

/// Takes over what the set before has, or reads.
fn read_file_since(shared: &Shared, job: &Job, earlier: Option<Entry>, answers: &mut Answers) -> io::Result<Option<Item>> {
    let same = earlier.map_or(Ok(None), |entry| since::look(shared, &job.found, entry))?;
    let Some(same) = same else { return read_file(shared, job, None, answers) };
    match same.note.digest.filter(|_| !same.is_read(shared)) {
        Some(digest) => match same.reuse(shared, &job.found, digest, false) {
            Some(item) => Ok(Some(item)),
            None => read_file(shared, job, None, answers),
        },
        None => read_file(shared, job, Some(same), answers),
    }
}

/// `same`: what the set before has of the file, with which what is read is compared.
fn read_file(shared: &Shared, job: &Job, mut same: Option<Same>, answers: &mut Answers) -> io::Result<Option<Item>> {
    let found = &job.found;
    let now = Timestamp::now();
    let mut file = open_file(shared, found)?;
    let mut before = fstat(&file)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Ok(replaced(shared, &found.path));
    }
    let mut held_bytes = 0;
    let mut reading = 1;
    loop {
        shared.hook.at(Moment::Opened, &found.path)?;
        let size_bytes = u64::try_from(before.st_size).unwrap_or(0);
        if size_bytes > SMALL_BYTES {
            shared.window.leave(held_bytes);
            answers.give();
            return large(shared, found, (file, before), same, now).map(Some);
        }
        if size_bytes > held_bytes {
            if !shared.window.enter(job.sequence, size_bytes - held_bytes, || answers.give()) {
                return Ok(None);
            }
            held_bytes = size_bytes;
        }
        let bytes = read_whole(file.as_fd(), size_bytes)?;
        let xattrs = read_xattrs(&file)?;
        let after = fstat(&file)?;
        let steady = state_of(&before) == state_of(&after) && bytes.len() as u64 == size_bytes;
        if steady || (reading == READINGS && bytes.len() as u64 <= SMALL_BYTES) {
            if !steady {
                shared.notice("changed-while-read", &found.path, "changed while it was read; kept as it was read the last time");
            }
            let digest = xxh3_128(&bytes);
            if let Some(same) = same.take().filter(|same| steady && same.has_state(&after)) {
                if same.note.digest == Some(digest) {
                    if let Some(item) = same.reuse(shared, found, digest, true) {
                        shared.window.leave(held_bytes);
                        return Ok(Some(item));
                    }
                } else {
                    same.tell_other(shared);
                }
            }
            let note = if steady { shared.note(&after, now, Some(digest)) } else { Vec::new() };
            let meta = Meta { xattrs, note, ..meta_of_file(shared, &after) };
            return Ok(Some(Item { held_bytes, ..item(found, meta, Kind::Small { bytes, digest }, allocated_bytes(&after)) }));
        }
        reading = READINGS.min(reading + 1);
        // The name may mean another file by now (written beside and renamed, as careful writers do): that one is whole.
        file = open_file(shared, found)?;
        before = fstat(&file)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            shared.window.leave(held_bytes);
            return Ok(replaced(shared, &found.path));
        }
    }
}

fn meta_of_file(shared: &Shared, stat: &Stat) -> Meta {
    let meta = meta_of(stat, true);
    let mode = shared.lent.as_ref().map_or(meta.mode, |lent| lent.mode_of(stat));
    Meta { mode, read_at_ns: shared.settled.map(|_| shared.begun_ns), ..meta }
}

fn large(shared: &Shared, found: &Found, (mut file, stat): (File, Stat), same: Option<Same>, now: Timestamp) -> io::Result<Item> {
    if let Some(same) = same.filter(|same| same.has_state(&stat)) {
        match same.read_large(shared, &mut file)? {
            Compared::Equal(digest) => {
                if let Some(item) = same.reuse(shared, found, digest, true) {
                    return Ok(item);
                }
            }
            Compared::Other => same.tell_other(shared),
            Compared::Unknown => {}
        }
        file.rewind()?;
    }
    let note = shared.note(&stat, now, None);
    let meta = Meta { xattrs: read_xattrs(&file)?, note, ..meta_of_file(shared, &stat) };
    let allocated = allocated_bytes(&stat);
    Ok(item(found, meta, Kind::Large { file, stat }, allocated))
}

/// Reads to the end, but never much more than `size_bytes`: a file that grows faster than it is read has no end.
fn read_whole(file: impl AsFd, size_bytes: u64) -> io::Result<Vec<u8>> {
    let capacity = usize::try_from(size_bytes).unwrap_or(0) + 1;
    let mut bytes = vec![0; capacity];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}
