//! `renew`: locks anew, in a bucket with object lock, what sets need. Also after each backup and each copy.

use plan::ports::StopFlag;
use plan::words::counted;
use plan::{Class, Error, Result};
use repository::{LockReport, Mode, RusticRepository};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::config::Config;
use crate::output::{count, local_time};

#[derive(Serialize)]
struct RenewDocument {
    /// Whether anything was to be locked.
    applied: bool,
    mode: &'static str,
    days: u32,
    objects: u64,
    short: u64,
    renewed: u64,
    missing: u64,
    other_mode: u64,
    /// Until when all of it is locked; `null`: something is not.
    locked_until: Option<jiff::Timestamp>,
}

pub(crate) fn renew(app: &App, args: &args::Renew) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let Some(report) = repository.object_lock(!args.dry_run, app.stop())? else {
        return Err(Error::refused("object lock is not asked for").hint(
            "Write object-lock = \"governance\" or \"compliance\" into the section of the repository, which must be in a bucket that has object lock.",
        ));
    };
    app.output.line(&told(&report))?;
    app.output.document(&document(&report, !args.dry_run))?;
    judge(&report)
}

/// After a backup: what the new set needs of earlier ones is locked as long as what it has itself. Nothing where object lock is not asked for.
///
/// # Errors
/// When something is not locked as it should be, or cannot be asked.
pub(crate) fn after_backup(app: &App, config: &Config) -> Result<()> {
    let done = app.repository(config).and_then(|repository| self::repository(app, &repository, None));
    done.map_err(|error| match error.class() {
        Class::Interrupted => error,
        _ => error.hint("`threescale-backup renew` tries it again."),
    })
}

/// Of one repository, and tells it; `name` is what a second one is called.
///
/// # Errors
/// As [`after_backup`].
pub(crate) fn repository(app: &App, repository: &RusticRepository, name: Option<&str>) -> Result<()> {
    let Some(report) = repository.object_lock(true, app.stop())? else { return Ok(()) };
    let of = name.map(|name| format!("{name}: ")).unwrap_or_default();
    app.output.note(&format!("{of}{}", told(&report)));
    judge(&report)
}

/// What `check` says of it. That it cannot be asked is no damage.
///
/// # Errors
/// When the work was asked to stop.
pub(crate) fn note(repository: &RusticRepository, stop: &StopFlag) -> Result<Option<String>> {
    match repository.object_lock(false, stop) {
        Err(error) if error.class() == Class::Interrupted => Err(error),
        Err(error) => Ok(Some(format!("object lock: nobody knows how long objects are locked: {}", error.chain()))),
        Ok(report) => Ok(report.map(|report| {
            let way_out = if report.still_short() > 0 { "; `threescale-backup renew` locks them anew" } else { "" };
            format!("{}{way_out}", told(&report))
        })),
    }
}

fn judge(report: &LockReport) -> Result<()> {
    let days = report.wanted.days;
    if report.missing > 0 {
        let what =
            format!("{} not in the bucket, or not in the size that the index says", counted(usize(report.missing), "pack is", "packs are"));
        return Err(Error::failed(what).hint(
            "They were removed, hidden behind delete markers, or written over: `threescale-backup check` names the sets that need them, docs/second-copies.md says how what is locked comes back.",
        ));
    }
    if report.still_short() == 0 {
        return Ok(());
    }
    let what = format!("{} locked for less than half of {days} days", counted(usize(report.still_short()), "object is", "objects are"));
    Err(Error::failed(what).hint("`threescale-backup renew` locks them anew."))
}

fn usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One line.
fn told(report: &LockReport) -> String {
    let until = match report.until {
        Some(until) => format!("all are locked until {} at least", local_time(until)),
        None => "some are not locked".to_owned(),
    };
    let mut parts = vec![format!("object lock: {} looked at, {} locked anew, {until}", count(report.objects), count(report.renewed))];
    if report.still_short() > 0 {
        parts.push(format!("{} for less than half of {} days", count(report.still_short()), report.wanted.days));
    }
    if report.missing > 0 {
        parts.push(format!("{} missing, hidden or written over", count(report.missing)));
    }
    if report.other_mode > 0 {
        parts.push(format!("{} in the other mode, in which they stay while they are locked", count(report.other_mode)));
    }
    parts.join("; ")
}

fn document(report: &LockReport, applied: bool) -> RenewDocument {
    RenewDocument {
        applied,
        mode: match report.wanted.mode {
            Mode::Governance => "governance",
            Mode::Compliance => "compliance",
        },
        days: report.wanted.days,
        objects: report.objects,
        short: report.short,
        renewed: report.renewed,
        missing: report.missing,
        other_mode: report.other_mode,
        locked_until: report.until,
    }
}
