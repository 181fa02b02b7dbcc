//! restic's locks: taken while this program writes or reads, and honoured when somebody else holds one.
//!
//! A lock is a file in `locks`, named after its content as all files are. Who takes one writes it first and looks then, so that of two at least one sees the
//! other. It is refreshed every few minutes and removed at the end. A lock says that nobody else may remove stored data; it never makes a set: what
//! was stored is looked at again before the manifest is written, whether a lock was held or not.

mod file;
mod process;

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use file::Clocks;
pub use file::{LockFile, Purpose};
use jiff::Timestamp;
use plan::ids::SetId;
use plan::ports::StopFlag;
use plan::{Class, Error, Result};
use sha2::{Digest as _, Sha256};

use crate::fault::{EngineResult as _, lock};
use crate::seal::Key;
use crate::storage::{Seen, Storage};

const FOLDER: &str = "locks";
/// As restic does.
const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);
/// A lock has some 300 bytes.
const BYTES_MAX: u64 = 64 << 10;
/// How often one looks whether a lock that stands in the way is gone.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The repository's locks. Clones are the same holder.
#[derive(Clone)]
pub struct Locks {
    files: Arc<dyn Storage>,
    key: Key,
    /// Files that this holder has written.
    own: Arc<Mutex<BTreeSet<String>>>,
    wait: Duration,
    stop: StopFlag,
}

/// A lock that is held. Dropped: it is removed.
pub struct Guard {
    held: Arc<Held>,
}

struct Held {
    locks: Locks,
    /// The lock as it stands, and its file; no file when it is given back.
    state: Mutex<(LockFile, Option<String>)>,
    given_back: Condvar,
}

/// Another holder's lock that counts.
pub struct Other {
    path: String,
    /// `None` when it cannot be read: it may be any.
    pub lock: Option<LockFile>,
}

impl Other {
    /// Who holds it.
    pub fn describe(&self) -> String {
        self.lock.as_ref().map_or_else(|| format!("somebody holds a lock that cannot be read ({})", self.path), LockFile::describe)
    }
}

impl Locks {
    /// The locks of a repository.
    pub fn new(files: Arc<dyn Storage>, key: Key) -> Self {
        Self { files, key, own: Arc::default(), wait: Duration::ZERO, stop: StopFlag::default() }
    }

    /// The same, waiting for so long for the end of a lock that stands in the way.
    pub fn waiting(&self, limit: Duration, stop: StopFlag) -> Self {
        Self { wait: limit, stop, ..self.clone() }
    }

    /// Takes a lock beside others that are not exclusive.
    ///
    /// # Errors
    /// [`Class::Locked`] when somebody holds an exclusive one; when the storage cannot be written.
    pub fn share(&self, purpose: Purpose, set: Option<SetId>) -> Result<Guard> {
        self.take(&LockFile::of_this_process(false, purpose, set))
    }

    /// Takes a lock that nobody else has.
    ///
    /// # Errors
    /// [`Class::Locked`] when somebody holds any; when the storage cannot be written.
    pub fn exclude(&self, purpose: Purpose) -> Result<Guard> {
        self.take(&LockFile::of_this_process(true, purpose, None))
    }

    /// Tries again until nothing stands in the way any more, for as long as one is ready to wait.
    fn take(&self, wanted: &LockFile) -> Result<Guard> {
        let begun = Instant::now();
        loop {
            match self.try_take(wanted.clone()) {
                Err(error) if error.class() == Class::Locked && begun.elapsed() < self.wait => {
                    self.stop.check()?;
                    std::thread::sleep(LOOK_EVERY.min(self.wait.saturating_sub(begun.elapsed())));
                }
                other => return other,
            }
        }
    }

    fn try_take(&self, wanted: LockFile) -> Result<Guard> {
        let path = self.write(&wanted)?;
        let held = Arc::new(Held { locks: self.clone(), state: Mutex::new((wanted, Some(path))), given_back: Condvar::new() });
        let guard = Guard { held: Arc::clone(&held) };
        guard.look_for_others()?;
        let refresh = move || held.refresh();
        let thread = std::thread::Builder::new().name("repository-lock".to_owned()).spawn(refresh);
        thread.map_err(|error| Error::failed("refresh the repository's lock").because(error))?;
        Ok(guard)
    }

    /// Locks of others that count. Removes those that count no more.
    ///
    /// # Errors
    /// When the list cannot be had.
    pub fn others(&self) -> Result<Vec<Other>> {
        let (mine, others): (Vec<Seen>, Vec<Seen>) = {
            let seen = match self.files.survey(Some(FOLDER)) {
                // A repository that restic or an older version made may have no such folder yet.
                Err(_) if self.is_without_folder() => return Ok(Vec::new()),
                seen => seen.during(|| "list the repository's locks".to_owned())?,
            };
            let own = lock(&self.own);
            seen.into_iter().partition(|seen| own.contains(&seen.path))
        };
        let here = Timestamp::now();
        let clocks = Clocks { here, storage: mine.iter().map(|seen| seen.modified).max().unwrap_or(here) };
        let mut counting = Vec::new();
        for seen in others.into_iter().filter(|seen| is_lock(&seen.path)) {
            let found = match self.files.read_at(&seen.path) {
                Ok(bytes) => self.key.open_file(&bytes, BYTES_MAX).ok().and_then(|text| serde_json::from_slice::<LockFile>(&text).ok()),
                Err(_) => match self.files.survey(Some(FOLDER)) {
                    Ok(now) if now.iter().any(|other| other.path == seen.path) => None,
                    // Given back meanwhile.
                    Ok(_) => continue,
                    Err(error) => return Err(error).during(|| "list the repository's locks".to_owned()),
                },
            };
            let is_stale = found.as_ref().is_some_and(|found| found.is_stale(seen.modified, clocks));
            if is_stale {
                // When it cannot be removed, it counts for nothing all the same.
                drop(self.files.remove_at(&seen.path));
            } else {
                counting.push(Other { path: seen.path, lock: found });
            }
        }
        Ok(counting)
    }

    /// Whether the file is a lock of this holder.
    pub fn is_own(&self, path: &str) -> bool {
        lock(&self.own).contains(path)
    }

    fn is_without_folder(&self) -> bool {
        let prefix = format!("{FOLDER}/");
        self.files.survey(None).is_ok_and(|all| !all.iter().any(|seen| seen.path.starts_with(&prefix)))
    }

    fn write(&self, wanted: &LockFile) -> Result<String> {
        let text = serde_json::to_vec(wanted).map_err(|error| Error::failed("failed to write a lock").because(error))?;
        let sealed = self.key.seal(&text)?;
        let path = format!("{FOLDER}/{}", hex::encode(Sha256::digest(&sealed)));
        lock(&self.own).insert(path.clone());
        if let Err(error) = self.files.write_at(&path, sealed).during(|| "write a lock into the repository".to_owned()) {
            lock(&self.own).remove(&path);
            return Err(error);
        }
        Ok(path)
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.files.remove_at(path).during(|| "remove the repository's lock".to_owned())?;
        lock(&self.own).remove(path);
        Ok(())
    }
}

/// Whether the name is one of a lock, and not of a temporary file.
fn is_lock(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn refused(others: &[&Other], exclusive: bool) -> Error {
    let what = if exclusive { "somebody else uses the repository" } else { "somebody else has locked the repository" };
    let error = Error::new(Class::Locked, what);
    let error = others.iter().fold(error, |error, other| error.hint(format!("{}.", upper_first(&other.describe()))));
    error.hint(
        "Say --wait to wait for the end of it. A lock that nobody refreshes counts for nothing after 30 minutes; when it is certain that its process is gone, \
         `restic unlock` removes it at once.",
    )
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl Guard {
    fn look_for_others(&self) -> Result<()> {
        let exclusive = lock(&self.held.state).0.exclusive;
        let others = self.held.locks.others()?;
        let stands_in_the_way = |other: &&Other| match &other.lock {
            Some(lock) => exclusive || lock.exclusive,
            // Nobody knows what it is: no reason to leave an installation without its backup, and reason enough to remove nothing.
            None => exclusive,
        };
        let in_the_way: Vec<_> = others.iter().filter(stands_in_the_way).collect();
        if in_the_way.is_empty() { Ok(()) } else { Err(refused(&in_the_way, exclusive)) }
    }

    /// Makes sure that the lock is still there and counts: a machine that slept may have lost it.
    ///
    /// # Errors
    /// [`Class::Locked`] when somebody holds one that does not go with it; when the storage cannot be written.
    pub fn renew(&self) -> Result<()> {
        self.held.rewrite()?;
        self.look_for_others()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = lock(&self.held.state);
        let removed = state.1.take().map_or(Ok(()), |path| self.held.locks.remove(&path));
        drop(state);
        self.held.given_back.notify_all();
        if let Err(error) = removed {
            log::warn!("{}; it counts for nothing after half an hour", error.chain());
        }
    }
}

impl Held {
    /// A new file with the time of now, then the old one goes: there is always one.
    fn rewrite(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let Some(old) = state.1.clone() else { return Ok(()) };
        state.0.time = Timestamp::now();
        state.1 = Some(self.locks.write(&state.0)?);
        self.locks.remove(&old)
    }

    fn refresh(&self) {
        loop {
            let begun = Instant::now();
            let mut state = lock(&self.state);
            while begun.elapsed() < REFRESH_EVERY {
                if state.1.is_none() {
                    return;
                }
                let left = REFRESH_EVERY.saturating_sub(begun.elapsed());
                state = self.given_back.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(state);
            if let Err(error) = self.rewrite() {
                log::warn!("{}; it is tried again", error.chain());
            }
        }
    }
}
