//! What it takes to take a merge back, kept in the side database of the run: one key for each live key that was changed, its name with two signs before it. A record and its
//! change are made in one transaction, so that what has a record is done, and what has none is not.
//!
//! | record of `KEY` | type | what it says |
//! |---|---|---|
//! | `c:KEY` | string | a counter: what was added, whether there was one, when it expired before, when it does now |
//! | `r:KEY` | string | a number that was raised: what it was, whether there was one, what it is now |
//! | `a:KEY` | string | there was none: the value that was put there |
//! | `m:KEY`, `z:KEY` | set | the members that were added to a set, or to a sorted set |
//! | `t:KEY`, `h:KEY` | list | the entries that were added at the end of a list, or at its begin |

use plan::{Error, Result};

use super::exactly::{Seen, words};
use crate::store::transaction::Commands;

/// Two times of expiry that are this near are one: what is left is told at another moment than what is set.
const SAME_MS: u64 = 2000;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Count,
    Raised,
    Made,
    Members,
    Scored,
    AtEnd,
    AtBegin,
}

impl Of {
    const EACH: [(Self, &'static [u8]); 7] = [
        (Self::Count, b"c:"),
        (Self::Raised, b"r:"),
        (Self::Made, b"a:"),
        (Self::Members, b"m:"),
        (Self::Scored, b"z:"),
        (Self::AtEnd, b"t:"),
        (Self::AtBegin, b"h:"),
    ];

    /// The key of the record of a key.
    pub(super) fn key(self, of: &[u8]) -> Vec<u8> {
        let before = Self::EACH.iter().find(|(each, _)| *each == self).map_or(&b""[..], |(_, before)| *before);
        [before, of].concat()
    }

    /// The same, backwards; `None` for a key that is no record.
    pub(super) fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        Self::EACH.iter().find_map(|(of, before)| record.strip_prefix(*before).map(|key| (*of, key)))
    }
}

/// Whether two times of expiry are the same.
pub(super) fn is_same_time(one: Option<u64>, other: Option<u64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.abs_diff(other) < SAME_MS,
        (one, other) => one == other,
    }
}

/// Lets a key expire then, or never.
pub(super) fn expire(key: &[u8], at_ms: Option<u64>) -> Vec<Vec<u8>> {
    match at_ms {
        Some(at_ms) => words(&[b"PEXPIREAT", key, at_ms.to_string().as_bytes()]),
        None => words(&[b"PERSIST", key]),
    }
}

/// What was done to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) added: i64,
    /// What it was; `None` where there was none.
    pub(super) had: Option<i64>,
    pub(super) before_ms: Option<u64>,
    pub(super) now_ms: Option<u64>,
}

impl Counted {
    pub(super) fn to_text(self) -> String {
        let time = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let had = self.had.map_or_else(|| "-".to_owned(), |had| had.to_string());
        format!("{} {had} {} {}", self.added, time(self.before_ms), time(self.now_ms))
    }

    pub(super) fn read(text: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(text);
        let fields: Vec<&str> = text.split(' ').collect();
        let time = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        let had = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        let read = || match fields.as_slice() {
            [added, before, before_ms, now_ms] => {
                Some(Self { added: added.parse().ok()?, had: had(before)?, before_ms: time(before_ms)?, now_ms: time(now_ms)? })
            }
            _ => None,
        };
        read().ok_or_else(|| unreadable(&text))
    }

    /// What takes it back; `None`: it was begun anew since, or is no number any more, and stays.
    pub(super) fn taken_back(self, key: &[u8], seen: &Seen) -> Option<Commands> {
        if seen.value == super::exactly::Found::Nothing {
            return Some(Commands::new());
        }
        let now = seen.value.number()?;
        // Counters do not go down: one that would be less than it was has been begun anew.
        let before = now.checked_sub(self.added).filter(|before| *before >= self.had.unwrap_or(0))?;
        if self.had.is_none() && before == 0 {
            return Some(vec![words(&[b"DEL", key])]);
        }
        let mut commands = vec![words(&[b"INCRBY", key, self.added.checked_neg()?.to_string().as_bytes()])];
        if self.had.is_some() && self.before_ms != self.now_ms && is_same_time(seen.expires_ms, self.now_ms) {
            commands.push(expire(key, self.before_ms));
        }
        Some(commands)
    }

    /// Whether others counted on since.
    pub(super) fn went_on(self, seen: &Seen) -> bool {
        seen.value.number().is_some_and(|now| now.checked_sub(self.added) != Some(self.had.unwrap_or(0)))
    }
}

/// What was done to a number that never goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) from: i64,
    pub(super) was_there: bool,
    pub(super) to: i64,
}

impl Raised {
    pub(super) fn to_text(self) -> String {
        format!("{} {} {}", self.from, u8::from(self.was_there), self.to)
    }

    pub(super) fn read(text: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(text);
        let fields: Vec<&str> = text.split(' ').collect();
        let read = || match fields.as_slice() {
            [from, was_there, to] => Some(Self { from: from.parse().ok()?, was_there: *was_there == "1", to: to.parse().ok()? }),
            _ => None,
        };
        read().ok_or_else(|| unreadable(&text))
    }

    /// What takes it back; `None`: it went on since, and no number is given twice.
    pub(super) fn taken_back(self, key: &[u8], seen: &Seen) -> Option<Commands> {
        if seen.value == super::exactly::Found::Nothing {
            return Some(Commands::new());
        }
        if seen.value.number() != Some(self.to) {
            return None;
        }
        Some(match self.was_there {
            false => vec![words(&[b"DEL", key])],
            true => vec![words(&[b"INCRBY", key, self.from.checked_sub(self.to)?.to_string().as_bytes()])],
        })
    }
}

fn unreadable(text: &str) -> Error {
    Error::needs_person(format!("a record of the run cannot be read: {text:?}"))
}
