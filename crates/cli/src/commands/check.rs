//! `check`: the repository, and whether every set in it is whole.

use jiff::Timestamp;
use plan::checked::{self, Checked};
use plan::ids::{DataSetName, SetId};
use plan::ports::Repository;
use plan::words::counted;
use plan::{Error, Result};
use repository::{CheckReport, ReadData};
use serde::Serialize;

use crate::app::App;
use crate::args;
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
    let read_data = args.read_data.as_deref().map_or(Ok(ReadData::Nothing), share)?;
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let context = app.context_alone(&config)?;
    let started_at = Timestamp::now();
    let report = repository.check(read_data, &context.stop, context.watch.as_ref())?;
    remember(app, repository.as_ref(), started_at, &report);
    app.output.line(&print(&report))?;
    let whole = report.is_whole();
    app.output.document(&document(report))?;
    if whole {
        return Ok(());
    }
    Err(Error::failed("the repository is damaged").hint(
        "Sets without a problem above can still be restored. Take a new backup now: it builds on nothing that was found damaged. \
         Then `threescale-backup repair` says what can be mended and what is lost, `repair --yes` does it. \
         Look for the cause: the disk, the bucket, another program.",
    ))
}

/// In the repository, for `status` on whatever machine. Who may only read it has checked it all the same.
fn remember(app: &App, repository: &dyn Repository, started_at: Timestamp, report: &CheckReport) {
    let checked = Checked {
        host: app.host(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        finished_at: Timestamp::now(),
        packs: report.packs,
        pack_bytes: report.pack_bytes,
        packs_read: report.packs_read,
        read_bytes: report.read_bytes,
        whole: report.is_whole(),
    };
    if let Err(error) = checked::keep(repository, &checked) {
        app.output.note(&format!("note: `status` will not know of this check: {}", error.chain()));
    }
}

fn share(text: &str) -> Result<ReadData> {
    let wrong = || Error::refused(format!("--read-data={text} is not a share")).hint("Write --read-data for all, or --read-data=10%.");
    let percent: u8 =
        text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|percent| (1..=100).contains(percent)).ok_or_else(wrong)?;
    Ok(if percent == 100 { ReadData::All } else { ReadData::Percent(f64::from(percent)) })
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
