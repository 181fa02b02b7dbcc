//! Backend's configuration as System's rows want it: what has to be written into Backend's storage, and what has to go from it. The facts of both sides are those that
//! [`crate::verify`] compares, with nothing veiled; what agrees is not written.
//!
//! It writes what porta's `backend:storage:rewrite` writes (`app/lib/backend/storage_rewrite.rb` and `model_extensions/*.rb`, which call apisonator's internal API), and what that
//! leaves out: alert levels (porta writes them since 2025-04), and providers that are suspended or to be deleted (left out since 2.15). It removes credentials and configuration of
//! services and applications that work in Backend and are not, or not so, in System. What is left of those that Backend does not know any more lets nobody in, and stays; so do
//! metrics of a backend API that a product does not use any more and limits of a plan that is gone, which porta leaves too.

mod key;
pub(crate) mod should;
pub(crate) mod walk;

use plan::Result;
use plan::ports::{KeyChange, KeyChanges};

use crate::verify::{Atoms, Known, Merge, Room, Sorter};
use should::{Should, What, Why};

/// The newest migrations of System between which the rules were read.
const DATA: &str = include_str!("../data/rewrite-schemas.tsv");

/// Whether the rules were read of a System whose newest migration (`schema_migrations`) is this one.
#[must_use]
pub fn knows(newest_migration: &str) -> bool {
    let all = || crate::rows::rows(DATA).map(|row| row.get("newest_migration"));
    let is_number = newest_migration.len() == 14 && newest_migration.bytes().all(|byte| byte.is_ascii_digit());
    is_number && all().min().is_some_and(|first| first <= newest_migration) && all().max().is_some_and(|last| newest_migration <= last)
}

/// The releases whose rules were read, for people.
#[must_use]
pub fn known_releases() -> String {
    let releases: Vec<_> = crate::rows::rows(DATA).map(|row| row.get("release")).collect();
    format!("{} to {}", releases.first().copied().unwrap_or_default(), releases.last().copied().unwrap_or_default())
}

/// How much is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What Backend lacked: keys, and members of sets.
    pub written: u64,
    /// Keys that had another value.
    pub changed: u64,
    /// What System does not have: keys, and members of sets.
    pub removed: u64,
}

/// How a change changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Written,
    Changed,
    Removed,
}

impl Counts {
    pub(crate) const fn add(&mut self, nature: Nature) {
        match nature {
            Nature::Written => self.written += 1,
            Nature::Changed => self.changed += 1,
            Nature::Removed => self.removed += 1,
        }
    }
}

/// A change, and what it is.
pub(crate) struct Made {
    pub(crate) change: KeyChange,
    pub(crate) nature: Nature,
    pub(crate) why: Option<Why>,
}

/// The changes, in the order in which they are made: by key, and what goes before what comes.
pub struct Changes {
    sorted: Merge,
    next: Option<Should>,
    /// What was given so far.
    pub counts: Counts,
}

/// Works out what has to change. `atoms` and `known`: what [`crate::verify::System`] and [`crate::verify::Backend`] said with [`crate::verify::Veil::none`]. What `room` gives
/// holds credentials: it must be sealed.
///
/// # Errors
/// When what was sorted cannot be read back, or there is no room.
pub fn changes(atoms: Atoms<'_>, known: &Known, room: Room<'_>, held_max_bytes: usize) -> Result<Changes> {
    let mut all = Sorter::new(room, held_max_bytes);
    walk::walk(atoms, known, &mut |should| all.push(&should.record()))?;
    Changes::of(all)
}

impl Changes {
    /// `all`: records of what should be done.
    pub(crate) fn of(all: Sorter<'_>) -> Result<Self> {
        let mut sorted = all.sorted()?;
        let next = Should::next(&mut sorted)?;
        Ok(Self { sorted, next, counts: Counts::default() })
    }

    fn take(&mut self) -> Result<Option<Should>> {
        let next = Should::next(&mut self.sorted)?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn follows(&self, key: &[u8]) -> bool {
        self.next.as_ref().is_some_and(|next| next.key == key)
    }

    /// The next one.
    ///
    /// # Errors
    /// When what was sorted cannot be read back.
    pub(crate) fn next_made(&mut self) -> Result<Option<Made>> {
        while let Some(should) = self.take()? {
            match should.what {
                // Two applications want one key, and one of them has it.
                What::Agrees => {
                    while self.follows(&should.key) {
                        self.take()?;
                    }
                }
                // Taken from one application and given to another, or wanted by two: the last of them gets it.
                What::Stays | What::Remove | What::Set if self.follows(&should.key) => {
                    let has_value = should.is_other || should.what != What::Set;
                    if let Some(next) = &mut self.next {
                        next.is_other |= has_value;
                        if should.what != What::Stays {
                            next.why = worse(next.why.take(), should.why);
                        }
                    }
                }
                _ => {
                    let Some(change) = should.change() else { continue };
                    let nature = match (&change, should.is_other) {
                        (KeyChange::Remove { .. } | KeyChange::Take { .. }, _) => Nature::Removed,
                        (_, true) => Nature::Changed,
                        (_, false) => Nature::Written,
                    };
                    self.counts.add(nature);
                    return Ok(Some(Made { change, nature, why: should.why }));
                }
            }
        }
        Ok(None)
    }
}

/// What is done for two reasons is as bad as the worse of them.
fn worse(one: Option<Why>, other: Option<Why>) -> Option<Why> {
    match (one, other) {
        (Some(one), Some(other)) if other.kind.rank() < one.kind.rank() => Some(other),
        (one, other) => one.or(other),
    }
}

impl KeyChanges for Changes {
    fn next_change(&mut self) -> Result<Option<KeyChange>> {
        Ok(self.next_made()?.map(|made| made.change))
    }
}
