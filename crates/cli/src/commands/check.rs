//! `check`: the repository, and whether every set in it is whole.

use jiff::Timestamp;
use plan::checked::{self, Checked, Stretch};
use plan::ids::{DataSetName, SetId};
use plan::ports::Repository;
use plan::words::counted;
use plan::{Error, Result};
use repository::{CheckReport, ReadData};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::commands::renew;
use crate::output::{bytes, count, local_time};

#[derive(Serialize)]
struct CheckDocument {
    whole: bool,
    sets: Vec<SetDocument>,
    problems: Vec<String>,
    notes: Vec<String>,
    packs: u64,
    pack_bytes: u64,
    packs_read: u64,
    read_bytes: u64,
}

#[derive(Serialize)]
struct SetDocument {
    set: SetId,
    problems: Vec<Damage>,
}

#[derive(Serialize)]
struct Damage {
    data_set: Option<DataSetName>,
    problem: String,
}

pub(crate) fn check(app: &App, args: &args::Check) -> Result<()> {
    let percent = args.read_data.as_deref().map(percent).transpose()?;
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let read_data = match percent {
        None => ReadData::Nothing,
        Some(100) => ReadData::All,
        Some(percent) => ReadData::Part(next(repository.as_ref(), percent)),
    };
    let context = app.context_alone(&config)?;
    let started_at = Timestamp::now();
    let mut report = repository.check(read_data, &context.stop, context.watch.as_ref())?;
    report.notes.extend(renew::note(&repository, &context.stop)?);
    remember(app, repository.as_ref(), started_at, read_data, &report);
    app.output.line(&print(&report))?;
    let whole = report.is_whole();
    let damaged: Vec<_> = report.sets.iter().filter(|set| !set.problems.is_empty()).map(|set| set.set.to_string()).collect();
    let what = if damaged.is_empty() {
        "the repository is damaged".to_owned()
    } else {
        format!("the repository is damaged: {}", damaged.join(", "))
    };
    app.output.document(&document(report))?;
    if whole {
        return Ok(());
    }
    Err(Error::failed(what).hint(
        "Sets that are not named can still be restored. Take a new backup now: it builds on nothing that was found damaged. \
         Then `threescale-backup repair` says what can be mended and what is lost, `repair --yes` does it. \
         Look for the cause: the disk, the bucket, another program.",
    ))
}

/// In the repository, for `status` on whatever machine. Who may only read it has checked it all the same.
fn remember(app: &App, repository: &dyn Repository, started_at: Timestamp, read_data: ReadData, report: &CheckReport) {
    let checked = Checked {
        host: app.host(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        finished_at: Timestamp::now(),
        packs: report.packs,
        pack_bytes: report.pack_bytes,
        packs_read: report.packs_read,
        read_bytes: report.read_bytes,
        stretch: if let ReadData::Part(stretch) = read_data { Some(stretch) } else { None },
        whole: report.is_whole(),
    };
    if let Err(error) = checked::keep(repository, &checked) {
        app.output.note(&format!("note: `status` will not know of this check: {}", error.chain()));
    }
}

/// Behind what the last check of a share read; anywhere when nobody knows.
fn next(repository: &dyn Repository, percent: u8) -> Stretch {
    let checks = checked::checks(repository).unwrap_or_default();
    let anywhere =
        || Stretch { begin_percent: u8::try_from(Timestamp::now().subsec_nanosecond().unsigned_abs() % 100).unwrap_or(0), percent: 0 };
    Stretch::behind(checks.iter().rev().find_map(|checked| checked.stretch).unwrap_or_else(anywhere), percent)
}

fn percent(text: &str) -> Result<u8> {
    let wrong = || Error::refused(format!("--read-data={text} is not a share")).hint("Write --read-data for all, or --read-data=10%.");
    text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|percent| (1..=100).contains(percent)).ok_or_else(wrong)
}

fn document(report: CheckReport) -> CheckDocument {
    let damage = |(data_set, problem)| Damage { data_set, problem };
    let whole = report.is_whole();
    CheckDocument {
        whole,
        sets: report
            .sets
            .into_iter()
            .map(|set| SetDocument { set: set.set, problems: set.problems.into_iter().map(damage).collect() })
            .collect(),
        problems: report.problems,
        notes: report.notes,
        packs: report.packs,
        pack_bytes: report.pack_bytes,
        packs_read: report.packs_read,
        read_bytes: report.read_bytes,
    }
}

fn print(report: &CheckReport) -> String {
    let mut lines = Vec::new();
    for set in &report.sets {
        let verdict = if set.problems.is_empty() { "whole" } else { "DAMAGED" };
        lines.push(format!("set {} of {}: {verdict}", set.set, local_time(set.finished_at)));
        for (data_set, problem) in &set.problems {
            lines.push(format!("  {}{problem}", data_set.map(|name| format!("{name}: ")).unwrap_or_default()));
        }
    }
    lines.extend(report.problems.iter().map(|problem| format!("problem: {problem}")));
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.push(format!(
        "{}, {} packs of {}; {} packs read ({})",
        counted(report.sets.len(), "set", "sets"),
        count(report.packs),
        bytes(report.pack_bytes),
        count(report.packs_read),
        bytes(report.read_bytes)
    ));
    lines.join("\n")
}
