//! Object lock: what is written into a bucket that has it is locked against everybody for so many days, and stays locked as long as sets need it.
//!
//! What is written is locked in the same request (`storage/s3/locking.rs`). A set needs objects of earlier ones, so after each backup the lock of all that the
//! index names is looked at, and renewed where less than half of the days is left. Nothing is noted anywhere: the service itself says how long each object is
//! locked, so a renewal that was killed is gone on with by the next. Files of `locks` are never locked: they must be removed by who made them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use plan::ports::StopFlag;
use plan::words::counted;
use plan::{Error, Result};
use rustic_core::FileType;

use crate::engine::Open;
use crate::fault::{EngineResult as _, lock};
use crate::index::State;
use crate::small::{is_passing, path_of};
use crate::storage::{Found, LocksObjects};

/// Requests at the same time.
const WORKERS: usize = 16;
/// So many objects may fail before the rest is left to the next time: one that cannot be locked stops no other.
const FAILURES_MAX: usize = 20;

/// Who may end a lock before its time (S3 user guide, "Retention modes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Whoever has the right to get round it.
    Governance,
    /// Nobody, not even the owner of the account.
    Compliance,
}

impl Mode {
    /// As the service writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// The mode of a word of the service.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.word() == word)
    }
}

/// How what is written is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may end it.
    pub mode: Mode,
    /// For how many days from the day on which an object is written, or its lock is renewed.
    pub days: u32,
}

impl ObjectLock {
    /// Until when something is locked that is locked now. Whole seconds: some services take nothing finer.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Timestamp {
        let end = now.checked_add(self.length()).unwrap_or(Timestamp::MAX);
        Timestamp::from_second(end.as_second()).unwrap_or(end)
    }

    fn length(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.days))
    }

    /// Whether less than half of the days is left.
    fn falls_short(&self, until: Option<Timestamp>, now: Timestamp) -> bool {
        let half = now.checked_add(self.length() / 2).unwrap_or(Timestamp::MAX);
        until.is_none_or(|until| until < half)
    }
}

/// How long what sets need is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockReport {
    /// What is wanted.
    pub wanted: ObjectLock,
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that were not locked for half of the days.
    pub short: u64,
    /// Those of them that were locked anew.
    pub renewed: u64,
    /// Objects that the index names and the bucket does not show, or not in their size: removed, hidden behind a delete marker, or written over. They are not
    /// locked: it would be the wrong version.
    pub missing: u64,
    /// Objects that are locked in the other mode, in which they stay while that lock lasts.
    pub other_mode: u64,
    /// Until when all of it is locked, as it is now. `None`: something is not locked at all.
    pub until: Option<Timestamp>,
}

impl LockReport {
    /// Objects that are not locked for half of the days even now.
    #[must_use]
    pub const fn still_short(&self) -> u64 {
        self.short.saturating_sub(self.renewed)
    }

    fn see(&mut self, seen: &Seen) {
        let Seen::Locked { was_short, is_renewed, mode, until } = *seen else {
            self.missing += 1;
            return;
        };
        self.until = if self.objects == 0 { until } else { self.until.min(until) };
        self.objects += 1;
        self.short += u64::from(was_short);
        self.renewed += u64::from(is_renewed);
        self.other_mode += u64::from(mode.is_some_and(|mode| mode != self.wanted.mode));
    }
}

/// What was found of one object, and done.
enum Seen {
    Missing,
    Locked { was_short: bool, is_renewed: bool, mode: Option<Mode>, until: Option<Timestamp> },
}

/// Looks how long everything is locked that sets need; with `apply`, locks anew what falls short. `None` where object lock is not asked for.
///
/// # Errors
/// [`plan::Class::Refused`] when the bucket has no object lock, the credentials may not ask for it, or the clocks differ; when the storage does not answer; when
/// objects could not be locked: all others are then.
pub fn renew(open: &Open, apply: bool, stop: &StopFlag) -> Result<Option<LockReport>> {
    let Some(locks) = open.files.object_lock() else { return Ok(None) };
    locks.now().during(|| "look at the object lock of the bucket".to_owned())?;
    let (paths, missing) = needed(open)?;
    let report = LockReport { wanted: locks.wanted(), objects: 0, short: 0, renewed: 0, missing, other_mode: 0, until: None };
    let work = Work { locks: &*locks, apply, stop, state: Mutex::new((report, Vec::new())) };
    work.all(&paths);
    let (report, mut failures) = work.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    stop.check()?;
    if failures.is_empty() {
        return Ok(Some(report));
    }
    let (first, more) = (failures.remove(0), failures.len());
    let class = first.class();
    let first = if more == 0 { first } else { first.hint(format!("{more} more failed.")) };
    let seen = format!("{} of {}", report.objects, counted(paths.len(), "object", "objects"));
    Err(first.hint(format!("{seen} were looked at, {} locked anew; the next renewal goes on from there.", report.renewed)).in_class(class))
}

/// Shows, before anything is begun, that objects can be locked: that the bucket has it, that the clocks agree, and that the credentials may: the latter is seen by
/// locking only, with `apply`, the one file that is always there and never changes. Nothing is done where object lock is not asked for.
///
/// # Errors
/// As [`renew`].
pub fn try_it(open: &Open, apply: bool) -> Result<()> {
    let Some(locks) = open.files.object_lock() else { return Ok(()) };
    let done = locks.now().and_then(|now| {
        let (wanted, found) = (locks.wanted(), locks.found(CONFIG)?);
        let (mode, until) = match found {
            Found::Locked(mode, until) if until > now => (mode, until),
            _ => (wanted.mode, now),
        };
        let is_due = apply && found != Found::Gone && until < wanted.until(now);
        if is_due { locks.lock(CONFIG, mode, wanted.until(now)).map(drop) } else { Ok(()) }
    });
    done.during(|| "see whether objects of the repository can be locked".to_owned())
}

const CONFIG: &str = "config";

/// The paths of all that sets need, and how many packs are not there, or are others. What a prune has marked is not needed: it may go.
fn needed(open: &Open) -> Result<(Vec<String>, u64)> {
    let mut paths = vec![CONFIG.to_owned()];
    for tpe in [FileType::Key, FileType::Snapshot, FileType::Index] {
        let listed = open.storage.list(tpe).during(|| format!("list {}", tpe.dirname()))?;
        paths.extend(listed.iter().map(|id| path_of(tpe, id)));
    }
    let index = open.index()?;
    let is_missing = |state: State| matches!(state, State::Missing | State::WrongSize);
    let missing = index.packs().iter().filter(|pack| is_missing(pack.state)).count() as u64;
    let there = index.packs().iter().filter(|pack| !is_missing(pack.state) && pack.state != State::Marked);
    paths.extend(there.map(|pack| path_of(FileType::Pack, &pack.id)));
    Ok((paths, missing))
}

struct Work<'a> {
    locks: &'a dyn LocksObjects,
    apply: bool,
    stop: &'a StopFlag,
    state: Mutex<(LockReport, Vec<Error>)>,
}

impl Work<'_> {
    fn all(&self, paths: &[String]) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS.min(paths.len()) {
                scope.spawn(|| {
                    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.stop.is_raised() || !self.goes_on() {
                            return;
                        }
                        self.one(path);
                    }
                });
            }
        });
    }

    /// A storage that does not answer is not asked for all the rest.
    fn goes_on(&self) -> bool {
        let failures = &lock(&self.state).1;
        failures.len() < FAILURES_MAX && !failures.iter().any(is_passing)
    }

    fn one(&self, path: &str) {
        let done = self.look(path).during(|| format!("renew the lock of {path}"));
        let mut state = lock(&self.state);
        match done {
            Ok(seen) => state.0.see(&seen),
            Err(error) => state.1.push(error),
        }
    }

    fn look(&self, path: &str) -> rustic_core::RusticResult<Seen> {
        let (wanted, now) = (self.locks.wanted(), self.locks.now()?);
        let (mode, until) = match self.locks.found(path)? {
            Found::Gone => return Ok(Seen::Missing),
            // A lock that has ended is none.
            Found::Locked(mode, until) if until > now => (Some(mode), Some(until)),
            Found::Free | Found::Locked(..) => (None, None),
        };
        let was_short = wanted.falls_short(until, now);
        if !(was_short && self.apply) {
            return Ok(Seen::Locked { was_short, is_renewed: false, mode, until });
        }
        // The mode of what is locked cannot be changed by who may only lock.
        let (mode, until) = (mode.unwrap_or(wanted.mode), wanted.until(now));
        match self.locks.lock(path, mode, until)? {
            true => Ok(Seen::Locked { was_short, is_renewed: true, mode: Some(mode), until: Some(until) }),
            false => Ok(Seen::Missing),
        }
    }
}

#[cfg(test)]
mod tests;
