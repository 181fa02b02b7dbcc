//! Removes stored data that nothing needs.
//!
//! Beside others it takes two prunes: what nothing needs is marked, and removed by a prune that comes [`crate::BACKUP_HOURS_MAX`] later and still finds it
//! unused; so a backup that runs meanwhile loses nothing, whether it holds a lock or not. While somebody holds a lock and may be storing, nothing is marked
//! or removed at all. Under an exclusive lock one prune is enough.

mod act;
mod decide;
mod ledger;
mod space;

use std::collections::BTreeMap;

use plan::{Error, Result};
use rustic_core::{FileType, Id};

pub use decide::Rules;
use decide::{Todo, is_temporary, space_now};
use ledger::{Ledger, Pack};
pub use space::Space;

use crate::engine::Open;
use crate::fault::{EngineResult as _, is_full};
use crate::lock::{Guard, Purpose};
use crate::sets::snapshot_ids;

/// Backups that end during the prune make it go over the marks again.
const ROUNDS_MAX: usize = 10;

/// What a prune did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PruneReport {
    /// Bytes that became marked for deletion.
    pub marked_bytes: u64,
    /// Bytes of packs and temporary files that were removed.
    pub deleted_bytes: u64,
    /// Bytes that were read and written anew because the packs around them were mostly unused.
    pub repacked_bytes: u64,
    /// Temporary files that were removed.
    pub temporary_files: usize,
    /// Where the bytes are: after a prune as found then, else as they would be.
    pub space: Space,
    /// Who uses the repository, so that nothing was removed this time.
    pub postponed: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// What a prune would do, if the snapshots in `gone` were gone.
///
/// # Errors
/// When the repository cannot be read whole.
pub fn plan(open: &Open, rules: &Rules, gone: &[Id]) -> Result<PruneReport> {
    let ledger = Ledger::read(open, gone)?;
    let todo = rules.decide(&ledger);
    let mut report = report_of(rules, &ledger, &todo);
    report.space = rules.space_after(&ledger, &todo, gone);
    report.postponed = in_the_way(open)?;
    Ok(report)
}

/// Prunes. Without a lock (there was no room for its file), room is made first.
///
/// # Errors
/// When the repository cannot be read whole, or the storage fails.
pub fn prune(open: &Open, rules: &Rules, lock: &mut Option<Guard>) -> Result<PruneReport> {
    if !rules.at_once
        && let Some(holder) = in_the_way(open)?
    {
        let space = space_now(&Ledger::read(open, &[])?);
        return Ok(PruneReport { space, postponed: Some(holder), ..PruneReport::default() });
    }
    let mut report = None;
    for _ in 0..ROUNDS_MAX {
        let ledger = Ledger::read(open, &[])?;
        // Snapshots may have come; none that was there may be missing, or the listing is not to be believed.
        none_is_missing(open, &ledger.snapshots)?;
        let todo = rules.decide(&ledger);
        let report = report.get_or_insert_with(|| report_of(rules, &ledger, &todo));
        remove_temporaries(open, rules, &ledger, lock.is_some())?;
        if rules.at_once && lock.is_none() {
            make_room(open, &ledger, &todo, lock)?;
        }
        apply(open, rules, &ledger, &todo, report)?;
        // A backup that ended meanwhile may use what was just marked: the next round takes such packs out of the marked ones again.
        if snapshot_ids(open)? == ledger.snapshots {
            report.space = space_now(&Ledger::read(open, &[])?);
            return Ok(report.clone());
        }
    }
    Err(Error::transient("prune")
        .hint("New snapshots came in all the time; what was marked for deletion is looked at again by the next prune."))
}

/// Who may be storing data that no snapshot uses yet, or prunes too.
fn in_the_way(open: &Open) -> Result<Option<String>> {
    let others = open.locks.others()?;
    let is_in_the_way = |other: &&crate::lock::Other| match &other.lock {
        Some(lock) => lock.may_be_storing() || lock.exclusive || lock.ours.as_ref().is_some_and(|ours| ours.purpose == Purpose::Prune),
        None => true,
    };
    Ok(others.iter().find(is_in_the_way).map(crate::lock::Other::describe))
}

/// # Errors
/// [`plan::Class::Transient`] when a snapshot that was there is not there any more.
pub fn none_is_missing(open: &Open, before: &[Id]) -> Result<()> {
    let now = snapshot_ids(open)?;
    match before.iter().find(|id| now.binary_search(id).is_err()) {
        None => Ok(()),
        Some(id) => Err(Error::transient(format!("the list of snapshots changed while it was looked at: {id} is gone"))
            .hint("Another `forget` runs, or the storage does not list reliably. Nothing was deleted.")),
    }
}

fn report_of(rules: &Rules, ledger: &Ledger, todo: &BTreeMap<Id, Todo>) -> PruneReport {
    let sum = |wanted: Todo, bytes: fn(&Pack) -> u64| -> u64 {
        ledger.packs.iter().filter(|(id, _)| todo.get(id) == Some(&wanted)).map(|(_, pack)| bytes(pack)).sum()
    };
    let left_over: Vec<_> = ledger.others.iter().filter(|seen| rules.is_left_over(seen)).collect();
    let repacked = sum(Todo::Repack, |pack| pack.unused_bytes);
    let (repacked_deleted, repacked_marked) = if rules.at_once { (repacked, 0) } else { (0, sum(Todo::Repack, Pack::bytes)) };
    let mut notes = Vec::new();
    let is_wanting = |pack: &&Pack| !pack.is_intact() && pack.used_bytes > 0;
    let wanting = ledger.packs.values().filter(is_wanting).count();
    if wanting > 0 || ledger.missing_chunks > 0 {
        notes.push(format!(
            "{wanting} packs that sets need are missing or damaged: `threescale-backup check` names the sets, `threescale-backup repair` goes on from there."
        ));
    }
    PruneReport {
        marked_bytes: sum(Todo::Mark, Pack::bytes) + repacked_marked,
        deleted_bytes: sum(Todo::Delete, Pack::bytes) + repacked_deleted + left_over.iter().map(|seen| seen.bytes).sum::<u64>(),
        repacked_bytes: sum(Todo::Repack, |pack| pack.used_bytes),
        temporary_files: left_over.len(),
        notes,
        ..PruneReport::default()
    }
}

/// Without a lock only what is old goes: a writer may live.
fn remove_temporaries(open: &Open, rules: &Rules, ledger: &Ledger, is_locked: bool) -> Result<()> {
    let rules = Rules { at_once: rules.at_once && is_locked, ..*rules };
    let mut left_over = ledger.others.iter().filter(|seen| rules.is_left_over(seen));
    left_over.try_for_each(|seen| open.files.remove_at(&seen.path).during(|| "remove temporary files".to_owned()))
}

/// Removes packs that nothing needs, one by one, until there is room for the lock. While there is none nobody else can begin to write either.
fn make_room(open: &Open, ledger: &Ledger, todo: &BTreeMap<Id, Todo>, lock: &mut Option<Guard>) -> Result<()> {
    for id in ledger.packs.keys().filter(|id| todo.get(*id) == Some(&Todo::Delete)) {
        match open.locks.exclude(Purpose::Prune) {
            Ok(guard) => {
                *lock = Some(guard);
                return Ok(());
            }
            Err(error) if is_full(&error) => act::remove_all(open, FileType::Pack, [id])?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn apply(open: &Open, rules: &Rules, ledger: &Ledger, todo: &BTreeMap<Id, Todo>, report: &mut PruneReport) -> Result<()> {
    let deleted = || todo.iter().filter(|(_, todo)| **todo == Todo::Delete).map(|(id, _)| id);
    match act::rewrite_index(open, ledger, todo, rules.now) {
        // The index then names packs that are not there and that nothing needs, until it is written.
        Err(error) if is_full(&error) && rules.at_once => {
            act::remove_all(open, FileType::Pack, deleted())?;
            act::rewrite_index(open, ledger, todo, rules.now)?;
        }
        other => other?,
    }
    act::remove_all(open, FileType::Pack, deleted())?;
    if !todo.values().any(|todo| *todo == Todo::Repack) {
        return Ok(());
    }
    // The index is another one now.
    let ledger = Ledger::read(open, &[])?;
    let todo = rules.decide(&ledger);
    if let Err(error) = act::repack(open, &ledger, &todo, rules.now, rules.at_once) {
        if !is_full(&error) && error.class() != plan::Class::Failed {
            return Err(error);
        }
        report.repacked_bytes = 0;
        report.notes.push(format!("Packs that are partly unused stay as they are: {}.", error.chain()));
    }
    Ok(())
}

/// Temporary files in the repository: how many, and their bytes.
///
/// # Errors
/// When the files cannot be listed.
pub fn temporaries(open: &Open) -> Result<(usize, u64)> {
    let all = open.files.survey(None).during(|| "list the repository's files".to_owned())?;
    let bytes: Vec<_> = all.iter().filter(|seen| is_temporary(&seen.path)).map(|seen| seen.bytes).collect();
    Ok((bytes.len(), bytes.iter().sum()))
}
