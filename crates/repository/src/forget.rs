//! Removes sets that no rule keeps, and what interrupted backups left; then prunes.
//!
//! A set stops to exist first (its manifest goes), its snapshots after that. Pruning is in two phases: packs that nothing uses are marked, and deleted by a
//! prune that comes [`crate::BACKUP_HOURS_MAX`] later and still finds them unused; so a backup that runs meanwhile loses nothing.

use std::collections::BTreeMap;

use jiff::{Span, Timestamp};
use plan::ids::SetId;
use plan::{Error, Result};
use rustic_core::{Id, PruneOptions};

use crate::engine::Open;
use crate::fault::{EngineResult as _, guarded};
use crate::read::walk;
use crate::repository::{ForgetOptions, id_of};
use crate::retention::{Candidate, Retention};
use crate::sets::{Listing, snapshot_ids};
use crate::snapshots::Snapshots;

/// Data snapshots without a manifest that are younger may belong to a backup that runs.
const ORPHAN_HOURS: i64 = 24;
/// Backups that end during the prune make it go over the marks again.
const PRUNE_ROUNDS_MAX: usize = 10;

/// A set that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSet {
    /// The set.
    pub set: SetId,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// Why it stays: `daily 3`.
    pub reasons: Vec<String>,
}

/// A set that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedSet {
    /// The set.
    pub set: SetId,
    /// When it was finished.
    pub finished_at: Timestamp,
}

/// What a prune does (or would do).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// Packs in use, or kept because they are young.
    pub used_bytes: u64,
    /// Bytes that become marked for deletion.
    pub marked_bytes: u64,
    /// Marked earlier and deleted now.
    pub deleted_bytes: u64,
    /// Read and written anew because parts of them are unused.
    pub repacked_bytes: u64,
}

/// What was done (or would be).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetReport {
    /// Sets that stay, oldest first.
    pub kept: Vec<KeptSet>,
    /// Sets that go, oldest first.
    pub removed: Vec<RemovedSet>,
    /// Snapshots that interrupted backups left, and that go.
    pub orphan_snapshots: usize,
    /// When asked for.
    pub prune: Option<PruneReport>,
    /// Whether it was done.
    pub is_applied: bool,
}

/// See [`crate::RusticRepository::forget`].
///
/// # Errors
/// See there.
pub fn forget(open: &Open, retention: &Retention, options: &ForgetOptions) -> Result<ForgetReport> {
    let listing = Listing::read(open)?;
    let candidate = |manifest: &plan::manifest::Manifest| Candidate {
        finished_at: manifest.finished_at,
        is_safety_copy: manifest.safety_for.is_some(),
    };
    let candidates: Vec<_> = listing.sets.iter().map(|set| candidate(&set.manifest)).collect();
    let reasons = retention.reasons(&candidates, &options.now)?;

    let mut report = ForgetReport { is_applied: options.apply, ..ForgetReport::default() };
    let (mut manifests, mut data, mut staying) = (Vec::new(), Vec::new(), Vec::new());
    for (set, reasons) in listing.sets.iter().zip(reasons) {
        let (name, finished_at) = (set.manifest.set.clone(), set.manifest.finished_at);
        let named = set.manifest.data_sets.values().map(|kept| id_of(&kept.snapshot)).collect::<Result<Vec<_>>>()?;
        if reasons.is_empty() {
            manifests.push(set.id);
            data.extend(named);
            report.removed.push(RemovedSet { set: name, finished_at });
        } else {
            staying.extend(named);
            report.kept.push(KeptSet { set: name, finished_at, reasons });
        }
    }
    data.retain(|id| listing.all.contains(id) && !staying.contains(id));
    let orphans = old_orphans(&listing, options)?;
    report.orphan_snapshots = orphans.len();
    data.extend(orphans);

    if options.apply {
        unchanged(open, &listing.all)?;
        delete(open, &manifests)?;
        delete(open, &data)?;
    }
    if options.prune {
        let gone: Vec<_> = manifests.iter().chain(&data).copied().collect();
        report.prune = Some(prune(open, options, &gone)?);
    }
    Ok(report)
}

fn delete(open: &Open, ids: &[Id]) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
    open.plain.delete_snapshots(&ids).during(|| "delete snapshots".to_owned())
}

/// Data snapshots without a manifest, by the set they were to belong to, when the newest of that set is old enough.
fn old_orphans(listing: &Listing, options: &ForgetOptions) -> Result<Vec<Id>> {
    let too_young =
        options.now.checked_sub(Span::new().hours(ORPHAN_HOURS)).map_err(|error| Error::refused("understand the time").because(error))?;
    let mut groups: BTreeMap<String, (Timestamp, Vec<Id>)> = BTreeMap::new();
    for held in listing.orphans() {
        let group = held.file.tags.iter().find(|tag| tag.starts_with("set:")).cloned().unwrap_or_default();
        let (newest, ids) = groups.entry(group).or_insert((Timestamp::MIN, Vec::new()));
        *newest = held.file.time.timestamp().max(*newest);
        ids.push(held.id);
    }
    Ok(groups.into_values().filter(|(newest, _)| *newest < too_young.timestamp()).flat_map(|(_, ids)| ids).collect())
}

/// Looks a second time. Snapshots may have come; none that was there may be missing, or the listing is not to be believed.
fn unchanged(open: &Open, before: &[Id]) -> Result<()> {
    let now = snapshot_ids(open)?;
    match before.iter().find(|id| now.binary_search(id).is_err()) {
        None => Ok(()),
        Some(id) => Err(Error::transient(format!("the list of snapshots changed while it was looked at: {id} is gone"))
            .hint("Another `forget` runs, or the storage does not list reliably. Nothing was deleted.")),
    }
}

/// The engine's prune breaks on a folder that it cannot read. So all are read before, and the error names the file.
fn read_all_trees(open: &Open, gone: &[Id]) -> Result<()> {
    let snapshots = Snapshots::read(open)?;
    let held = snapshots.manifests.iter().chain(&snapshots.data).chain(&snapshots.records).chain(&snapshots.retagged);
    let roots: Vec<_> = held.filter(|held| !gone.contains(&held.id)).map(|held| held.file.tree).collect();
    walk::first_unreadable(&*open.index()?, &roots)?.map_or(Ok(()), |error| {
        Err(error
            .during("plan the prune")
            .hint("Nothing was deleted by it. `threescale-backup check` says which sets are damaged; forget these, and prune then."))
    })
}

fn prune(open: &Open, options: &ForgetOptions, gone: &[Id]) -> Result<PruneReport> {
    read_all_trees(open, gone)?;
    let young = if options.nobody_else_writes { 0 } else { i64::from(options.backup_hours_max) };
    let mut prune = PruneOptions::default()
        .keep_delete(Span::new().hours(young))
        // What a running backup has stored is used by no snapshot yet.
        .keep_pack(Span::new().hours(young))
        .instant_delete(options.nobody_else_writes);
    if !options.apply {
        prune = prune.ignore_snaps(gone.iter().map(|id| (*id).into()).collect::<Vec<_>>());
        return guarded("plan the prune", || {
            let plan = open.plain.prune_plan(&prune).during(|| "plan the prune".to_owned())?;
            Ok(report_of(&plan.stats, options.nobody_else_writes))
        });
    }
    let mut first = None;
    for _ in 0..PRUNE_ROUNDS_MAX {
        let before = snapshot_ids(open)?;
        unchanged(open, &before)?;
        let stats = guarded("prune", || {
            let plan = open.plain.prune_plan(&prune).during(|| "plan the prune".to_owned())?;
            // The plan has read all snapshots; nothing that was there before it may have vanished meanwhile.
            unchanged(open, &before)?;
            let stats = report_of(&plan.stats, options.nobody_else_writes);
            open.plain.prune(&prune, plan).during(|| "prune".to_owned())?;
            Ok(stats)
        })?;
        let report = *first.get_or_insert(stats);
        // A backup that ended meanwhile may use what was just marked: the next round takes such packs out of the marked ones again.
        if snapshot_ids(open)? == before {
            return Ok(report);
        }
    }
    Err(Error::transient("prune")
        .hint("New snapshots came in all the time; what was marked for deletion is looked at again by the next prune."))
}

fn report_of(stats: &rustic_core::PruneStats, at_once: bool) -> PruneReport {
    let size = stats.size_sum();
    let unreferenced = size.remove + size.repack + stats.size_unref;
    let (marked_bytes, deleted_now) = if at_once { (0, unreferenced) } else { (unreferenced, 0) };
    PruneReport {
        used_bytes: size.used,
        marked_bytes,
        deleted_bytes: stats.size_to_delete.remove + deleted_now,
        repacked_bytes: size.repack - size.repackrm,
    }
}
