//! `forget`: a retention policy over the sets of this installation, and what it leaves stored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Span, Timestamp, Zoned};
use plan::ids::SetId;
use plan::words::counted;
use plan::{Error, InstallationId, Result};
use repository::{BACKUP_HOURS_MAX, ForgetOptions, ForgetReport, JudgedSet, PruneReport, Retention, Space, Whose};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::config::Config;
use crate::join;
use crate::output::{bytes, local_time};

#[derive(Serialize)]
struct ForgetDocument {
    applied: bool,
    kept: Vec<Judged>,
    removed: Vec<SetId>,
    /// Those of `removed`, with the reasons.
    removed_because: Vec<Judged>,
    /// Sets of other installations, which were not looked at.
    others: Vec<Others>,
    orphan_snapshots: usize,
    prune: Option<Pruned>,
}

#[derive(Serialize)]
struct Judged {
    set: SetId,
    finished_at: Timestamp,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Others {
    installation: String,
    sets: usize,
}

#[derive(Serialize)]
struct Pruned {
    used_bytes: u64,
    marked_bytes: u64,
    deleted_bytes: u64,
    repacked_bytes: u64,
    temporary_files: usize,
    /// Who uses the repository, so that nothing was pruned this time.
    postponed: Option<String>,
    notes: Vec<String>,
    /// Where the bytes are; together they are the size of the repository.
    space: SpaceDocument,
}

#[derive(Serialize)]
struct SpaceDocument {
    used_bytes: u64,
    unused_bytes: u64,
    young_bytes: u64,
    marked_bytes: u64,
    temporary_bytes: u64,
    structure_bytes: u64,
    free_bytes: u64,
    total_bytes: u64,
}

pub(crate) fn forget(app: &App, args: &args::Forget) -> Result<()> {
    let retention = Retention {
        last: args.keep_last.unwrap_or(0),
        hourly: args.keep_hourly.unwrap_or(0),
        daily: args.keep_daily.unwrap_or(0),
        weekly: args.keep_weekly.unwrap_or(0),
        monthly: args.keep_monthly.unwrap_or(0),
        yearly: args.keep_yearly.unwrap_or(0),
        within: args.keep_within.as_deref().map(within).transpose()?,
    };
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let mut options = ForgetOptions {
        now: Zoned::now(),
        whose: Whose { installation: Some(installation(app, &config)?), unnamed: args.unnamed },
        prune: args.prune,
        apply: args.yes,
        shown: None,
        backup_hours_max: BACKUP_HOURS_MAX,
        at_once: args.now,
    };
    let mut report = repository.forget(&retention, &options)?;
    app.output.line(&print(&report))?;
    if !options.apply && does_something(&report) {
        match app.output.ask(&question(&report))? {
            Some(true) => {
                options.apply = true;
                options.shown = Some(report.removed.iter().map(|set| set.set.clone()).collect::<BTreeSet<_>>());
                report = repository.forget(&retention, &options)?;
                app.output.line(&summary(&report))?;
            }
            Some(false) => app.output.note("Nothing was touched."),
            None => app.output.note("Nothing was touched: say --yes to do it."),
        }
    }
    app.output.document(&document(report))
}

/// Whose sets the rules are about: those of `--installation`, else of this one, with what its first store says it is, where it can be asked.
fn installation(app: &App, config: &Config) -> Result<InstallationId> {
    if let Some(name) = &app.global().sets_of {
        return Ok(InstallationId::named(name.clone()));
    }
    let installation = app.installation(config)?;
    let id = installation.id();
    if id.identity.is_some() {
        return Ok(id);
    }
    let context = app.context(config, runner::new_run_id(), id.clone())?;
    let first = join::first_identity(installation.as_ref(), &context, &BTreeMap::new());
    Ok(InstallationId { identity: first.map(|(_, identity)| identity), ..id })
}

/// The length of time to keep. `m` alone is refused: it is minutes here and months elsewhere (restic), and the wrong one of the two forgets all sets but one.
fn within(text: &str) -> Result<Span> {
    const WAYS: &str = "Write 36h, 30d, 12w, 6mo or 1y.";
    if text.split(|letter: char| !letter.is_ascii_alphabetic()).any(|unit| unit == "m") {
        return Err(Error::refused(format!("--keep-within {text}: nobody knows whether m is minutes or months")).hint(WAYS));
    }
    let span = text.parse::<Span>();
    let span = span.map_err(|error| Error::refused(format!("--keep-within {text} is not a time")).because(error).hint(WAYS))?;
    if span.is_zero() {
        return Err(Error::refused(format!("--keep-within {text} keeps nothing")).hint("Leave it out, or give a time.").hint(WAYS));
    }
    Ok(span)
}

fn does_something(report: &ForgetReport) -> bool {
    let prunes = |prune: &PruneReport| {
        prune.postponed.is_none() && prune.marked_bytes + prune.deleted_bytes + prune.repacked_bytes + prune.space.free_bytes > 0
    };
    !report.removed.is_empty() || report.orphan_snapshots > 0 || report.prune.as_ref().is_some_and(prunes)
}

fn question(report: &ForgetReport) -> String {
    let sets = match report.removed.len() {
        0 => "Remove what no set needs".to_owned(),
        1 => "Remove this set".to_owned(),
        several => format!("Remove these {several} sets"),
    };
    format!("{sets}? There is no way back.")
}

fn document(report: ForgetReport) -> ForgetDocument {
    let judged = |sets: Vec<JudgedSet>| -> Vec<_> {
        sets.into_iter().map(|set| Judged { set: set.set, finished_at: set.finished_at, reasons: set.reasons }).collect()
    };
    ForgetDocument {
        applied: report.is_applied,
        removed: report.removed.iter().map(|set| set.set.clone()).collect(),
        kept: judged(report.kept),
        removed_because: judged(report.removed),
        others: report.others.into_iter().map(|(installation, sets)| Others { installation, sets }).collect(),
        orphan_snapshots: report.orphan_snapshots,
        prune: report.prune.map(pruned),
    }
}

fn pruned(prune: PruneReport) -> Pruned {
    let space = prune.space;
    Pruned {
        used_bytes: space.used_bytes,
        marked_bytes: prune.marked_bytes,
        deleted_bytes: prune.deleted_bytes,
        repacked_bytes: prune.repacked_bytes,
        temporary_files: prune.temporary_files,
        postponed: prune.postponed,
        notes: prune.notes,
        space: SpaceDocument {
            used_bytes: space.used_bytes,
            unused_bytes: space.unused_bytes,
            young_bytes: space.young_bytes,
            marked_bytes: space.marked_bytes,
            temporary_bytes: space.temporary_bytes,
            structure_bytes: space.structure_bytes,
            free_bytes: space.free_bytes,
            total_bytes: space.total_bytes(),
        },
    }
}

/// Each set with the reasons, then what else there is to say.
fn print(report: &ForgetReport) -> String {
    let line =
        |word: &str, set: &JudgedSet| format!("{word:<7} {} of {}: {}", set.set, local_time(set.finished_at), set.reasons.join("; "));
    let mut lines: Vec<_> = report.kept.iter().map(|set| line("keep", set)).collect();
    lines.extend(report.removed.iter().map(|set| line("forget", set)));
    for (installation, sets) in &report.others {
        let way =
            if installation == "the sets without a name" { "; --unnamed applies the rules to them, as to one installation" } else { "" };
        lines.push(format!(
            "others  {sets} {}: not touched{way}",
            if way.is_empty() { format!("of {installation}") } else { "without an installation's name".to_owned() }
        ));
    }
    if report.orphan_snapshots > 0 {
        lines.push(format!("forget  {} snapshots that no set names (interrupted backups)", report.orphan_snapshots));
    }
    lines.push(summary(report));
    lines.join("\n")
}

/// How many, and what became of the stored data.
fn summary(report: &ForgetReport) -> String {
    let mut lines = report.prune.as_ref().map(|prune| prune_lines(prune, report.is_applied)).unwrap_or_default();
    let counts = if report.is_applied {
        format!("{} kept, {} forgotten; done", counted(report.kept.len(), "set", "sets"), report.removed.len())
    } else {
        format!("{} would be kept, {} forgotten; nothing is touched yet", counted(report.kept.len(), "set", "sets"), report.removed.len())
    };
    lines.push(counts);
    lines.join("\n")
}

fn prune_lines(prune: &PruneReport, is_applied: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match &prune.postponed {
        Some(holder) => lines.push(format!("prune   nothing is pruned now, it may be in use: {holder}. Prune again later.")),
        None => lines.push(format!(
            "prune   {} deleted, {} marked to be deleted by a later prune, {} written anew, {} temporary files removed{}",
            bytes(prune.deleted_bytes),
            bytes(prune.marked_bytes),
            bytes(prune.repacked_bytes),
            prune.temporary_files,
            if is_applied { "" } else { " (if done)" }
        )),
    }
    lines.push(space_line(&prune.space));
    lines.extend(prune.notes.iter().map(|note| format!("note    {note}")));
    lines
}

fn space_line(space: &Space) -> String {
    let parts = [
        ("in use", space.used_bytes),
        ("unused beside it", space.unused_bytes),
        ("young", space.young_bytes),
        ("marked", space.marked_bytes),
        ("temporary", space.temporary_bytes),
        ("index and snapshots", space.structure_bytes),
        ("free at once", space.free_bytes),
    ];
    let named: Vec<_> = parts.iter().filter(|(_, size)| *size > 0).map(|(name, size)| format!("{} {name}", bytes(*size))).collect();
    format!("space   {} in all: {}", bytes(space.total_bytes()), named.join(", "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_time_to_keep_that_may_be_minutes_or_months_is_refused() {
        for text in ["6m", "1y6m", "1y 6 m", "6m1d", "0d", "0", "", "many"] {
            let error = within(text).unwrap_err();
            assert_eq!(error.class(), plan::Class::Refused, "{text}");
            assert!(error.hints().iter().any(|hint| hint.contains("6mo")), "{text}: {error:?}");
        }
        assert_eq!(within("6mo").unwrap().get_months(), 6);
        assert_eq!(within("90min").unwrap().get_minutes(), 90);
        assert_eq!(within("1y6mo").unwrap().get_years(), 1);
        assert_eq!(within("36h").unwrap().get_hours(), 36);
        assert_eq!(within("P6M").unwrap().get_months(), 6);
    }
}
