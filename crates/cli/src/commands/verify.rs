//! `verify`: whether System, Backend and the files of a set agree.

use plan::manifest::Manifest;
use plan::{Error, Result};
use serde::Serialize;
use threescale::verify::{Finding, Rank, Report};

use crate::agreement::{self, Agreement};
use crate::app::App;
use crate::args;
use crate::output::count;
use crate::whose::Wanted;

#[derive(Serialize)]
struct VerifyDocument<'a> {
    set: &'a str,
    /// Whether nothing differs that `--fail-on` is about.
    agrees: bool,
    frozen: bool,
    /// Of a set that is not frozen: what changed in this time may be among the differences.
    skew_ms: u64,
    services: u64,
    applications: u64,
    credentials: u64,
    /// Files that rows name; `null` when the set has none to look for.
    files: Option<u64>,
    differences: Vec<KindDocument<'a>>,
}

#[derive(Serialize)]
struct KindDocument<'a> {
    kind: &'static str,
    rank: Rank,
    count: u64,
    meaning: &'static str,
    way_out: Option<&'static str>,
    examples: &'a [Finding],
}

pub(crate) fn verify(app: &App, args: &args::Verify) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let wanted = Wanted::new("verify", &args.of.set, args.of.partial.partial);
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let context = app.context_alone(&config)?;
    let agreement = agreement::of_set(&manifest, repository.as_ref(), &context, args.limit)?;
    let report = &agreement.report;
    let fails = report.worst().is_some_and(|worst| worst <= args.fail_on.rank());
    app.output.line(&shown(&manifest, &agreement))?;
    app.output.document(&VerifyDocument {
        set: manifest.set.as_str(),
        agrees: !fails,
        frozen: manifest.frozen,
        skew_ms: manifest.skew_ms(),
        services: report.services,
        applications: report.applications,
        credentials: report.credentials,
        files: agreement.files.then_some(report.files),
        differences: report.kinds.iter().map(document).collect(),
    })?;
    if fails { Err(Error::failed(format!("the stores of set {} differ: {}", manifest.set, counts(report)))) } else { Ok(()) }
}

fn document<'a>((kind, found): (&threescale::verify::Kind, &'a threescale::verify::Found)) -> KindDocument<'a> {
    KindDocument {
        kind: kind.code(),
        rank: kind.rank(),
        count: found.count,
        meaning: kind.meaning(),
        way_out: kind.repair(),
        examples: &found.examples,
    }
}

/// `2 security, 1 drift`.
fn counts(report: &Report) -> String {
    let ranks = Rank::ALL.into_iter().map(|rank| (rank, report.count(rank))).filter(|(_, number)| *number > 0);
    ranks.map(|(rank, number)| format!("{} {}", count(number), rank.as_str())).collect::<Vec<_>>().join(", ")
}

fn shown(manifest: &Manifest, agreement: &Agreement) -> String {
    let (report, set) = (&agreement.report, manifest.set.as_str());
    let files = if agreement.files {
        format!("{} files that rows name", count(report.files))
    } else {
        "no files (the set has no system-storage)".to_owned()
    };
    let mut lines = vec![format!(
        "set {set}: compared {} services, {} applications, {} credentials, {files}",
        count(report.services),
        count(report.applications),
        count(report.credentials)
    )];
    for (kind, found) in &report.kinds {
        lines.push(format!("\n{} {}: {}", kind.rank().as_str(), kind.code(), count(found.count)));
        lines.push(format!("  {}", kind.meaning()));
        lines.extend(found.examples.iter().map(|finding| format!("    {}", of(finding))));
        let more = found.count - found.examples.len() as u64;
        if more > 0 {
            lines.push(format!("    and {} more: --limit {} names all", count(more), found.count));
        }
        lines.extend(kind.repair().map(|repair| format!("  {repair}")));
    }
    lines.push(match report.worst() {
        None => "System and Backend agree.".to_owned(),
        Some(_) => format!("\ndifferences: {}", counts(report)),
    });
    if report.worst().is_some() && !manifest.frozen {
        let skew = manifest.skew_ms();
        lines.push(format!(
            "The stores were read {skew} ms apart, while the writers went on: what changed in between may be among the differences."
        ));
    }
    lines.join("\n")
}

fn of(finding: &Finding) -> String {
    let parts = [("service", &finding.service), ("application", &finding.application), ("", &finding.detail)];
    let told = parts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what} {text}").trim_start().to_owned());
    told.collect::<Vec<_>>().join(", ")
}
