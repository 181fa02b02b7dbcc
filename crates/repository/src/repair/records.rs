//! Records that are lost: what they guarded is protected before they are set aside, so that no `forget` takes a lost protection, or a lost need of a run, for none.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plan::ids::SetId;
use plan::needs::{NEED, PROTECTION, Protection};
use plan::{Error, Result};
use rustic_core::{FileType, Id};

use super::{RepairReport, set_aside};
use crate::engine::Open;
use crate::records;
use crate::sets::Listing;
use crate::small::is_passing;
use crate::snapshots::{Held, Snapshots, snapshot_ids};

const NOTE: &str = "by repair: a damaged file may have been its protection, or what an unfinished run needs";

/// Whether a snapshot that cannot be read may have been a record: all that no manifest names may.
///
/// # Errors
/// When the storage fails.
pub fn may_be_one(open: &Open, damaged: &[Id]) -> Result<bool> {
    let listing = Listing::read_what_can_be(open)?;
    let named: BTreeSet<_> =
        listing.sets.iter().flat_map(|set| set.manifest.data_sets.values().map(|kept| kept.snapshot.as_str().to_owned())).collect();
    Ok(damaged.iter().any(|id| !named.contains(id.to_hex().as_str())))
}

/// Sets records aside whose content is gone.
///
/// # Errors
/// When the storage fails.
pub fn repair(open: &Open, apply: bool, report: &mut RepairReport) -> Result<()> {
    let index = open.index()?;
    let mut lost: Vec<(Held, Error)> = Vec::new();
    for held in Snapshots::read(open)?.records {
        match records::content(&index, &held) {
            Ok(_) => {}
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => lost.push((held, error)),
        }
    }
    let has_tag = |kind: &str| lost.iter().any(|(held, _)| held.file.tags.contains(&format!("kind:{kind}")));
    if has_tag(NEED) || has_tag(PROTECTION) {
        protect_all(open, apply, report)?;
    }
    // A protection that was written anew has taken the place of the lost one.
    let there = if apply { snapshot_ids(open)? } else { Vec::new() };
    for (held, error) in &lost {
        let why = format!("a record is lost: {}", error.chain());
        set_aside(open, FileType::Snapshot, &held.id, &why, apply && there.contains(&held.id), report)?;
    }
    Ok(())
}

/// Protects every set that is not: until a person has looked.
///
/// # Errors
/// When the storage fails.
pub fn protect_all(open: &Open, apply: bool, report: &mut RepairReport) -> Result<()> {
    let known: BTreeSet<String> = records::read(open, PROTECTION)?.records.into_iter().map(|record| record.name).collect();
    let listing = Listing::read_what_can_be(open)?;
    let sets: Vec<SetId> = listing.sets.iter().map(|set| set.manifest.set.clone()).filter(|set| !known.contains(set.as_str())).collect();
    for set in sets {
        if report.protected.contains(&set) {
            continue;
        }
        if apply {
            let protection = Protection { since: Timestamp::now(), note: NOTE.to_owned() };
            let bytes = serde_json::to_vec(&protection).map_err(|error| Error::failed("failed to write a protection").because(error))?;
            records::put(open, PROTECTION, set.as_str(), &bytes)?;
        }
        report.protected.push(set);
    }
    Ok(())
}
