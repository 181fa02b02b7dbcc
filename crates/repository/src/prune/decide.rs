//! What becomes of each pack. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rustic_core::Id;
use rustic_core::repofile::BlobType;

use super::ledger::{Ledger, Pack};
use super::space::Space;
use crate::init::{DATA_PACK_BYTES, TREE_PACK_BYTES};
use crate::storage::Seen;

/// Unused chunks in packs that are in use are left up to this share of what is used.
const UNUSED_PERCENT_MAX: u64 = 5;
/// A prune beside others writes no more than this share of all packs anew.
const REPACK_PERCENT_MAX: u64 = 10;
/// More small packs than this are put together, however little is in them: each costs a request when it is read.
const SMALL_PACKS_MAX: usize = 32;
/// Temporary files of writers that are older than this are nobody's any more.
const TEMPORARY_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Times that are later than now by more are of a clock that was wrong.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(10);

/// How to prune.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Now.
    pub now: Timestamp,
    /// No backup takes longer than this.
    pub young: SignedDuration,
    /// Nobody else writes: nothing has to be marked first, and nothing is young.
    pub at_once: bool,
}

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// It stays as it is.
    Keep,
    /// Nothing needs it, and it is too young to be sure.
    KeepYoung,
    /// It becomes marked.
    Mark,
    /// It stays marked.
    KeepMarked,
    /// Marked, with a time that makes no sense: from now on.
    MarkAnew,
    /// Marked, and needed again.
    Recover,
    /// It goes.
    Delete,
    /// It is not there, and nothing needs it: the index forgets it.
    Drop,
    /// What is used of it is written anew.
    Repack,
}

impl Todo {
    /// Whether the index has to say something else than it does.
    pub const fn changes_index(self) -> bool {
        !matches!(self, Self::Keep | Self::KeepYoung | Self::KeepMarked)
    }
}

impl Rules {
    fn is_young(&self, pack: &Pack) -> bool {
        if self.at_once {
            return false;
        }
        // By the writer's clock or the storage's, whichever makes it younger. The writer's counts for nothing when it is absurd.
        let by_writer = pack.time().filter(|time| time.duration_since(self.now) <= CLOCK_SLACK);
        let by_storage = pack.listed.map(|(_, time)| time);
        by_writer.max(by_storage).is_some_and(|time| self.now.duration_since(time) < self.young)
    }

    fn todo(&self, pack: &Pack) -> Todo {
        let (is_named, is_used) = (!pack.named_in.is_empty(), pack.used_bytes > 0);
        match (pack.is_marked, is_used) {
            // A set is damaged; what the index says of the pack is all that is left.
            (false, true) => Todo::Keep,
            (true, true) => Todo::Recover,
            _ if pack.listed.is_none() => Todo::Drop,
            _ if self.at_once => Todo::Delete,
            (false, false) if self.is_young(pack) => Todo::KeepYoung,
            (false, false) => Todo::Mark,
            (true, false) => {
                match pack.time() {
                    Some(time) if time.duration_since(self.now) <= CLOCK_SLACK && is_named => {
                        if self.now.duration_since(time) >= self.young { Todo::Delete } else { Todo::KeepMarked }
                    }
                    _ => Todo::MarkAnew,
                }
            }
        }
    }

    /// Whether a temporary file is nobody's any more. Who holds the only lock knows that nobody else writes.
    pub fn is_left_over(&self, seen: &Seen) -> bool {
        is_temporary(&seen.path) && (self.at_once || self.now.duration_since(seen.modified) > TEMPORARY_AFTER)
    }

    /// What becomes of each pack.
    pub fn decide(&self, ledger: &Ledger) -> BTreeMap<Id, Todo> {
        let mut todo: BTreeMap<_, _> = ledger.packs.iter().map(|(id, pack)| (*id, self.todo(pack))).collect();
        for id in self.repack(ledger, &todo) {
            todo.insert(id, Todo::Repack);
        }
        todo
    }

    /// Packs that are worth writing anew: those with the largest unused share first, until little enough is left; and small ones, when many make one.
    fn repack(&self, ledger: &Ledger, todo: &BTreeMap<Id, Todo>) -> Vec<Id> {
        let is_candidate = |id: &Id, pack: &Pack| todo.get(id) == Some(&Todo::Keep) && pack.is_intact() && !self.is_young(pack);
        let candidates: Vec<_> = ledger.packs.iter().filter(|(id, pack)| is_candidate(id, pack)).collect();
        let total: u64 = ledger.packs.values().map(Pack::bytes).sum();
        let used: u64 = ledger.packs.values().map(|pack| pack.used_bytes).sum();
        let mut budget = if self.at_once { u64::MAX } else { total * REPACK_PERCENT_MAX / 100 };
        let mut chosen = Vec::new();

        let mut wasting: Vec<_> = candidates.iter().filter(|(_, pack)| pack.unused_bytes > 0).collect();
        let mut unused: u64 = wasting.iter().map(|(_, pack)| pack.unused_bytes).sum();
        // Shares are compared crosswise: a of a+b against c of c+d.
        wasting.sort_by_key(|(id, pack)| {
            (u64::MAX - pack.unused_bytes.saturating_mul(1_000_000) / (pack.unused_bytes + pack.used_bytes), **id)
        });
        for (id, pack) in wasting {
            if unused <= used * UNUSED_PERCENT_MAX / 100 || pack.used_bytes > budget {
                break;
            }
            unused -= pack.unused_bytes;
            budget -= pack.used_bytes;
            chosen.push(**id);
        }
        for (kind, target) in [(BlobType::Data, DATA_PACK_BYTES), (BlobType::Tree, TREE_PACK_BYTES)] {
            let small: Vec<_> =
                candidates.iter().filter(|(id, pack)| pack.kind() == kind && pack.bytes() < target / 4 && !chosen.contains(id)).collect();
            let sum: u64 = small.iter().map(|(_, pack)| pack.used_bytes).sum();
            if (sum >= target || small.len() > SMALL_PACKS_MAX) && sum <= budget {
                budget -= sum;
                chosen.extend(small.into_iter().map(|(id, _)| **id));
            }
        }
        chosen
    }

    /// Where the bytes are when this is done, and the snapshots in `gone` are gone.
    pub fn space_after(&self, ledger: &Ledger, todo: &BTreeMap<Id, Todo>, gone: &[Id]) -> Space {
        let gone: BTreeSet<_> = gone.iter().map(|id| format!("snapshots/{id}")).collect();
        let todo = |id: &Id, _: &Pack| match todo.get(id).copied().unwrap_or(Todo::Keep) {
            Todo::Repack if !self.at_once => Todo::Keep,
            todo => todo,
        };
        space(ledger, todo, |seen| self.is_left_over(seen) || gone.contains(&seen.path))
    }
}

/// Where the bytes are.
pub fn space_now(ledger: &Ledger) -> Space {
    let todo = |_: &Id, pack: &Pack| match (pack.is_marked, pack.used_bytes > 0) {
        (true, _) => Todo::KeepMarked,
        (false, true) => Todo::Keep,
        (false, false) => Todo::KeepYoung,
    };
    space(ledger, todo, |_| false)
}

fn space(ledger: &Ledger, todo: impl Fn(&Id, &Pack) -> Todo, goes: impl Fn(&Seen) -> bool) -> Space {
    let mut space = Space::default();
    for (id, pack) in &ledger.packs {
        let bytes = pack.bytes();
        let unused = pack.unused_bytes.min(bytes);
        match todo(id, pack) {
            Todo::KeepYoung => space.young_bytes += bytes,
            Todo::Mark | Todo::KeepMarked | Todo::MarkAnew => space.marked_bytes += bytes,
            Todo::Delete | Todo::Drop => space.free_bytes += bytes,
            Todo::Repack => {
                space.free_bytes += unused;
                space.used_bytes += bytes - unused;
            }
            Todo::Keep | Todo::Recover => {
                space.unused_bytes += unused;
                space.used_bytes += bytes - unused;
            }
        }
    }
    for seen in &ledger.others {
        let place = match seen {
            seen if goes(seen) => &mut space.free_bytes,
            seen if is_temporary(&seen.path) => &mut space.temporary_bytes,
            _ => &mut space.structure_bytes,
        };
        *place += seen.bytes;
    }
    space
}

/// Whether it is the file of a writer that has not ended: this program and restic both name it `ID-tmp-…`.
pub fn is_temporary(path: &str) -> bool {
    path.rsplit('/').next().and_then(|name| name.split_once("-tmp-")).is_some_and(|(id, _)| id.len() == 64 || id == "config")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::index::file;

    fn rules(at_once: bool) -> Rules {
        Rules { now: "2026-03-10T12:00:00Z".parse().unwrap(), young: SignedDuration::from_hours(23), at_once }
    }

    fn pack(is_marked: bool, used_bytes: u64, hours: [Option<i64>; 2]) -> Pack {
        let at = |hours: i64| rules(false).now - SignedDuration::from_hours(hours);
        Pack {
            entry: file::Pack { id: Id::default(), blobs: Vec::new(), time: hours[0].map(|hours| at(hours).to_string()), size: Some(100) },
            named_in: vec![Id::default()],
            is_marked,
            listed: hours[1].map(|hours| (100, at(hours))),
            used_bytes,
            unused_bytes: 100 - used_bytes,
        }
    }

    #[test]
    fn what_is_in_use_stays_whatever_its_age() {
        for at_once in [false, true] {
            assert_eq!(rules(at_once).todo(&pack(false, 10, [Some(1000), Some(1000)])), Todo::Keep);
            assert_eq!(rules(at_once).todo(&pack(true, 10, [Some(1000), Some(1000)])), Todo::Recover);
            // A set needs it and it is gone: the set is damaged, and the others are pruned.
            assert_eq!(rules(at_once).todo(&pack(false, 10, [Some(1000), None])), Todo::Keep);
            assert_eq!(rules(at_once).todo(&pack(false, 0, [Some(1), None])), Todo::Drop);
        }
    }

    #[test]
    fn what_nothing_needs_is_marked_when_both_clocks_say_that_it_is_old() {
        let todo = |hours| rules(false).todo(&pack(false, 0, hours));
        assert_eq!(todo([Some(24), Some(24)]), Todo::Mark);
        assert_eq!(todo([Some(22), Some(24)]), Todo::KeepYoung);
        assert_eq!(todo([Some(48), Some(1)]), Todo::KeepYoung);
        assert_eq!(todo([None, Some(1)]), Todo::KeepYoung);
        // The writer's clock was in 2031: the storage's counts.
        assert_eq!(todo([Some(-50_000), Some(24)]), Todo::Mark);
        assert_eq!(todo([Some(-50_000), Some(2)]), Todo::KeepYoung);
    }

    #[test]
    fn what_is_marked_goes_a_day_later() {
        let todo = |hours| rules(false).todo(&pack(true, 0, [hours, Some(1000)]));
        assert_eq!(todo(Some(24)), Todo::Delete);
        assert_eq!(todo(Some(22)), Todo::KeepMarked);
        assert_eq!(todo(Some(-50_000)), Todo::MarkAnew);
        assert_eq!(todo(None), Todo::MarkAnew);
    }

    #[test]
    fn at_once_nothing_is_young() {
        for is_marked in [false, true] {
            assert_eq!(rules(true).todo(&pack(is_marked, 0, [Some(0), Some(0)])), Todo::Delete);
        }
    }

    #[test]
    fn temporary_files_are_told_by_their_names() {
        let id = "ab".repeat(32);
        assert!(is_temporary(&format!("data/ab/{id}-tmp-17-0")) && is_temporary(&format!("index/{id}-tmp-8431")));
        assert!(!is_temporary(&format!("data/ab/{id}")) && !is_temporary("notes-tmp-1") && !is_temporary("data/x-tmp-/file"));
        let seen = |hours| Seen {
            path: format!("data/ab/{id}-tmp-1-1"),
            bytes: 1,
            modified: rules(false).now - SignedDuration::from_hours(hours),
        };
        assert!(rules(false).is_left_over(&seen(25)) && !rules(false).is_left_over(&seen(1)) && rules(true).is_left_over(&seen(1)));
    }
}
