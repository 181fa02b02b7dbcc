//! Snapshots of data sets that no set names: what interrupted backups left.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plan::Result;
use plan::ids::SetId;
use rustic_core::Id;

use super::known::{Known, set_of};

/// Younger ones may belong to a backup that runs, without a lock that anybody sees.
const OLD_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Those that nobody can need any more: every snapshot of the set that was to be is old, by the writer's clock and by the storage's; nobody holds a lock for
/// that set; no run needs it. (One more snapshot of a set that exists, as `restic tag` and `restic copy` make, goes with its set.) A snapshot that does not say its set is left alone.
///
/// # Errors
/// When the storage cannot say how old they are.
pub fn old(known: &Known, now: Timestamp) -> Result<Vec<Id>> {
    let mut groups: BTreeMap<SetId, (Timestamp, Vec<Id>)> = BTreeMap::new();
    for held in known.listing.orphans() {
        let Some(set) = set_of(&held.file) else { continue };
        // A file that the storage does not list any more is not there.
        let stored = known.stored_at(&held.id).unwrap_or(Timestamp::MAX);
        let (newest, ids) = groups.entry(set).or_insert((Timestamp::MIN, Vec::new()));
        *newest = held.file.time.timestamp().max(stored).max(*newest);
        ids.push(held.id);
    }
    let is_old = |newest: Timestamp| now.duration_since(newest) > OLD_AFTER;
    let groups = groups.into_iter().filter(|(set, (newest, _))| is_old(*newest) && !known.is_being_taken(set) && !known.held.holds(set));
    Ok(groups.flat_map(|(_, (_, ids))| ids).collect())
}
