//! `forget`: a retention policy over the sets.

use jiff::{Span, Zoned};
use plan::ids::SetId;
use plan::{Error, Result};
use repository::{BACKUP_HOURS_MAX, ForgetOptions, ForgetReport, PruneReport, Retention};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::output::{bytes, local_time};

#[derive(Serialize)]
struct ForgetDocument {
    applied: bool,
    kept: Vec<Kept>,
    removed: Vec<SetId>,
    orphan_snapshots: usize,
    prune: Option<Pruned>,
}

#[derive(Serialize)]
struct Kept {
    set: SetId,
    reasons: Vec<String>,
}

#[derive(Serialize)]
struct Pruned {
    used_bytes: u64,
    marked_bytes: u64,
    deleted_bytes: u64,
    repacked_bytes: u64,
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
    let options = ForgetOptions {
        now: Zoned::now(),
        prune: args.prune,
        apply: args.yes,
        nobody_else_writes: false,
        backup_hours_max: BACKUP_HOURS_MAX,
    };
    let report = repository.forget(&retention, &options)?;
    app.output.line(&print(&report))?;
    app.output.document(&document(report))
}

fn within(text: &str) -> Result<Span> {
    let parsed = text.parse::<Span>();
    parsed.map_err(|error| Error::refused(format!("--keep-within {text} is not a time")).because(error).hint("Write 36h, 30d, 12w or 1y."))
}

fn document(report: ForgetReport) -> ForgetDocument {
    let pruned = |prune: PruneReport| Pruned {
        used_bytes: prune.used_bytes,
        marked_bytes: prune.marked_bytes,
        deleted_bytes: prune.deleted_bytes,
        repacked_bytes: prune.repacked_bytes,
    };
    ForgetDocument {
        applied: report.is_applied,
        kept: report.kept.into_iter().map(|set| Kept { set: set.set, reasons: set.reasons }).collect(),
        removed: report.removed.into_iter().map(|set| set.set).collect(),
        orphan_snapshots: report.orphan_snapshots,
        prune: report.prune.map(pruned),
    }
}

fn print(report: &ForgetReport) -> String {
    let mut lines: Vec<_> = report
        .kept
        .iter()
        .map(|set| format!("keep    {} of {}: {}", set.set, local_time(set.finished_at), set.reasons.join(", ")))
        .collect();
    lines.extend(report.removed.iter().map(|set| format!("forget  {} of {}", set.set, local_time(set.finished_at))));
    if report.orphan_snapshots > 0 {
        lines.push(format!("forget  {} snapshots that no set names (interrupted backups)", report.orphan_snapshots));
    }
    if let Some(prune) = &report.prune {
        lines.push(format!(
            "prune   {} in use, {} repacked, {} marked to be deleted by a later prune, {} deleted",
            bytes(prune.used_bytes),
            bytes(prune.repacked_bytes),
            bytes(prune.marked_bytes),
            bytes(prune.deleted_bytes)
        ));
    }
    let what = if report.is_applied { "done" } else { "nothing was touched: say --yes to do it" };
    lines.push(format!("{} sets kept, {} forgotten; {what}", report.kept.len(), report.removed.len()));
    lines.join("\n")
}
