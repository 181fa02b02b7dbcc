//! Removes sets that no rule keeps, and what interrupted backups left; then prunes.
//!
//! Every rule is about the sets of one installation; those of others are not looked at. A set stops to exist first (its manifest goes), its snapshots
//! after that. What is in doubt stays: whatever a run needs, what somebody protects, what a backup that holds a lock has stored.

mod groups;
mod known;
mod orphans;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, Zoned};
use known::Known;
use plan::ids::SetId;
use plan::{Class, Error, InstallationId, Result};
use rustic_core::Id;

use crate::engine::Open;
use crate::fault::{EngineResult as _, is_full};
use crate::lock::{Guard, Purpose};
use crate::prune::{self, PruneReport, Rules, none_is_missing};
use crate::retention::{Retention, Verdict};

/// How [`crate::RusticRepository::forget`] works.
#[derive(Debug, Clone)]
pub struct ForgetOptions {
    /// Now, in the time zone in which days begin.
    pub now: Zoned,
    /// Whose sets the rules are about.
    pub whose: Whose,
    /// Whether to prune as well.
    pub prune: bool,
    /// Whether to do it; else only to say what would be done.
    pub apply: bool,
    /// When a person has seen what would go: nothing else goes.
    pub shown: Option<BTreeSet<SetId>>,
    /// No backup takes longer than this: packs that are younger, or that were marked later, stay. [`crate::BACKUP_HOURS_MAX`] unless there is a reason. A
    /// backup that does take longer fails rather than being incomplete.
    pub backup_hours_max: u32,
    /// Removes stored data at once instead of marking it, under a lock that nobody else has.
    pub at_once: bool,
}

/// Whose sets the rules are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// The installation.
    pub installation: Option<InstallationId>,
    /// Those of sets without an installation's name, which version 0.1.0 took: as if they were of one installation.
    pub unnamed: bool,
}

/// A set, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedSet {
    /// The set.
    pub set: SetId,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// Why it stays or goes: `daily 3`, `daily 1 of system-redis`, `daily 7: newer days fill it`.
    pub reasons: Vec<String>,
}

/// What was done (or would be).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForgetReport {
    /// Sets that stay, oldest first.
    pub kept: Vec<JudgedSet>,
    /// Sets that go, oldest first.
    pub removed: Vec<JudgedSet>,
    /// Sets of others, by installation, that the rules are not about.
    pub others: Vec<(String, usize)>,
    /// Snapshots that interrupted backups left, and that go.
    pub orphan_snapshots: usize,
    /// When asked for.
    pub prune: Option<PruneReport>,
    /// Whether it was done.
    pub is_applied: bool,
}

/// What goes.
#[derive(Default)]
struct Going {
    manifests: Vec<Id>,
    data: Vec<Id>,
}

/// See [`crate::RusticRepository::forget`].
///
/// # Errors
/// See there.
pub fn forget(open: &Open, retention: &Retention, options: &ForgetOptions) -> Result<ForgetReport> {
    let mut lock = if options.apply { take_lock(open, options)? } else { None };
    let known = Known::read(open)?;
    let mut report = ForgetReport { is_applied: options.apply, ..ForgetReport::default() };
    let going = judge(&known, retention, options, &mut report)?;
    if options.apply {
        none_is_missing(open, &known.listing.all)?;
        // What somebody needs or protects since it was looked at stays.
        let still = Known::held(open)?;
        if let Some(set) = report.removed.iter().find(|set| still.holds(&set.set)) {
            return Err(
                Error::transient(format!("set {} is needed since it was looked at", set.set)).hint("Nothing was removed. Try again.")
            );
        }
        delete(open, &going.manifests)?;
        delete(open, &going.data)?;
        if lock.is_none() {
            // There was no room for it; now there may be.
            lock = take_lock(open, options)?;
        }
    }
    if options.prune {
        let young = SignedDuration::from_hours(options.backup_hours_max.into());
        let rules = Rules { now: options.now.timestamp(), young, at_once: options.at_once };
        let gone: Vec<_> = going.manifests.iter().chain(&going.data).copied().collect();
        report.prune = Some(if options.apply { prune::prune(open, &rules, &mut lock)? } else { prune::plan(open, &rules, &gone)? });
    }
    Ok(report)
}

/// None when the volume is so full that not even a lock can be written, and nobody else has one.
fn take_lock(open: &Open, options: &ForgetOptions) -> Result<Option<Guard>> {
    let purpose = if options.prune { Purpose::Prune } else { Purpose::Forget };
    let taken = if options.prune && options.at_once { open.locks.exclude(purpose) } else { open.locks.share(purpose, None) };
    match taken {
        Err(error) if is_full(&error) => {
            let others = open.locks.others()?;
            match others.iter().find(|other| options.at_once || other.lock.as_ref().is_none_or(|lock| lock.exclusive)) {
                Some(other) => Err(Error::new(Class::Locked, "somebody else uses the repository").hint(format!("{}.", other.describe()))),
                None => Ok(None),
            }
        }
        other => other.map(Some),
    }
}

fn judge(known: &Known, retention: &Retention, options: &ForgetOptions, report: &mut ForgetReport) -> Result<Going> {
    let mut going = Going::default();
    let mut leaving = BTreeSet::new();
    let (meant, others) = groups::part(groups::of(known.listing.sets.iter().map(|set| &set.manifest)), &options.whose)?;
    report.others = others.into_iter().map(|group| (group.name, group.places.len())).collect();
    if meant.is_empty() {
        // The rules are looked at all the same.
        retention.judge(&[], &options.now)?;
    }
    for group in meant {
        let candidates = known.candidates(&group);
        let mut verdicts = retention.judge(&candidates, &options.now)?;
        for (candidate, verdict) in candidates.iter().zip(&mut verdicts) {
            if !verdict.stays && options.shown.as_ref().is_some_and(|shown| !shown.contains(&candidate.set)) {
                *verdict = Verdict { stays: true, reasons: vec!["it was not among those that were shown".to_owned()] };
            }
        }
        if !verdicts.iter().any(|verdict| verdict.stays) && !verdicts.is_empty() {
            return Err(Error::refused(format!("these rules would leave no set of {}", group.name))
                .hint("Nothing was removed. Give a rule that keeps one, or `threescale-backup protect SET`."));
        }
        for (candidate, verdict) in candidates.into_iter().zip(verdicts) {
            let judged = JudgedSet { set: candidate.set, finished_at: candidate.finished_at, reasons: verdict.reasons };
            if verdict.stays {
                report.kept.push(judged);
            } else {
                leaving.insert(judged.set.clone());
                report.removed.push(judged);
            }
        }
    }
    let gone = known.listing.sets.iter().filter(|set| leaving.contains(&set.manifest.set));
    going.manifests.extend(gone.flat_map(|set| std::iter::once(set.id).chain(set.copies.iter().copied())));
    going.data = known.data_of(&leaving);
    going.data.extend(known.proofs_without_set(&leaving));
    let orphans = orphans::old(known, options.now.timestamp())?;
    report.orphan_snapshots = orphans.len();
    going.data.extend(orphans);
    for judged in [&mut report.kept, &mut report.removed] {
        judged.sort_by(|a, b| (a.finished_at, &a.set).cmp(&(b.finished_at, &b.set)));
    }
    Ok(going)
}

fn delete(open: &Open, ids: &[Id]) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
    open.plain.delete_snapshots(&ids).during(|| "delete snapshots".to_owned())
}
