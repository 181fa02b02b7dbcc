//! Snapshots: one under a wrong name is put under its own, a damaged one is set aside.

use plan::Result;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{FileType, Id};
use sha2::{Digest as _, Sha256};

use super::{RepairReport, records, set_aside};
use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::sets::{Listing, is_known_by_copy_only, renew_manifest};
use crate::small::{self, path_of};
use crate::snapshots::{Snapshots, read_one};

/// # Errors
/// When the storage fails.
pub fn repair(open: &Open, apply: bool, report: &mut RepairReport) -> Result<()> {
    let snapshots = Snapshots::read(open)?;
    // All put back first: of two that were exchanged, each lies where the other belongs.
    let mut contents = Vec::new();
    for (id, error) in &snapshots.damaged {
        let own = open.storage.read_full(FileType::Snapshot, id).ok().and_then(|bytes| {
            let own = Id::new(Sha256::digest(&bytes).into());
            small::parse::<SnapshotFile>(&open.key, FileType::Snapshot, &own, &bytes).ok()?;
            Some((own, bytes))
        });
        let known = |own: &Id| snapshots.all.contains(own) && !snapshots.damaged.iter().any(|(damaged, _)| damaged == own);
        contents.push((id, error, own.filter(|(own, _)| !known(own))));
    }
    let gone: Vec<Id> = contents.iter().filter(|(_, _, own)| own.is_none()).map(|(id, _, _)| **id).collect();
    if records::may_be_one(open, &gone)? {
        records::protect_all(open, apply, report)?;
    }
    for (id, error, _) in &contents {
        set_aside(open, FileType::Snapshot, id, &error.chain(), apply, report)?;
    }
    for (id, _, own) in contents {
        let Some((own, bytes)) = own else { continue };
        report.put_back.push(format!("{} lay in {}", path_of(FileType::Snapshot, &own), path_of(FileType::Snapshot, id)));
        if apply {
            open.storage
                .write_bytes(FileType::Snapshot, &own, false, bytes.into())
                .during(|| format!("write {}", path_of(FileType::Snapshot, &own)))?;
        }
    }
    manifests(open, apply, report)
}

/// Manifests that are what their names say, and whose content is gone: stored anew from the copy that the snapshot has, else lost.
fn manifests(open: &Open, apply: bool, report: &mut RepairReport) -> Result<()> {
    let listing = Listing::read_what_can_be(open)?;
    let index = open.index()?;
    for set in &listing.sets {
        let held = read_one(open, &set.id)?;
        if !is_known_by_copy_only(&index, &held.file)? {
            continue;
        }
        let set = &set.manifest.set;
        report.manifests_renewed.push(set.clone());
        if apply {
            renew_manifest(open, set, &held.file)?;
        }
        set_aside(open, FileType::Snapshot, &held.id, &format!("the manifest of set {set} in it is lost"), apply, report)?;
    }
    for (set, file) in listing.lost_manifests() {
        report.lost.push((set.clone(), None, file.error.chain()));
        set_aside(open, FileType::Snapshot, &file.id, &file.error.chain(), apply, report)?;
    }
    Ok(())
}
