//! `verify`: whether System, Backend and the files agree, live or in a set.

mod repairing;

use std::time::Duration;

use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::{Error, Result};
use serde::Serialize;
use threescale::verify::zync::ZyncCounts;
use threescale::verify::{Finding, Rank, Report};

use crate::agreement::{self, Agreement, Sides, Unseen};
use crate::app::App;
use crate::args;
use crate::join::Installation;
use crate::output::count;
use crate::whose::Wanted;

#[derive(Serialize)]
struct VerifyDocument<'a> {
    /// `null`: the live stores.
    set: Option<&'a str>,
    /// Whether nothing differs that `--fail-on` is about.
    agrees: bool,
    /// Of a set.
    frozen: Option<bool>,
    /// Of a set. When it is not frozen, what changed in this time may be among the differences.
    skew_ms: Option<u64>,
    /// How often the stores were read: of live ones that differed, what differed both times is told.
    looks: u8,
    services: u64,
    applications: u64,
    credentials: u64,
    /// Files that rows name; `null` when there are none to look for.
    files: Option<u64>,
    /// What zync's database holds; `null` where it was not compared.
    zync: Option<ZyncCounts>,
    /// Addresses of System for which Routes were looked for; `null` where they were not.
    addresses: Option<u64>,
    /// Search indices that were counted; `null` where they were not.
    search_indices: Option<u64>,
    /// What was not compared, and why.
    not_compared: &'a [Unseen],
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
    if args.repair {
        if let Some(set) = &args.set {
            return Err(Error::refused(format!("--repair sets live stores right, and {set} is a set"))
                .hint("Leave the set out: `threescale-backup verify --repair`."));
        }
        return repairing::verify_and_repair(app, args);
    }
    let config = app.config()?;
    let Some(set) = &args.set else {
        let installation = app.installation(&config)?;
        let context = app.context(&config, runner::new_run_id(), installation.id())?;
        let sides = live(installation.as_ref())?;
        let pause = || app.pause(Duration::from_secs(args.again_after));
        return tell(app, args, None, &agreement::of_sides(&sides, &context, args.limit, Some(&pause))?);
    };
    let repository = app.repository(&config)?;
    let wanted = Wanted::new("verify", set, args.partial.partial);
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let context = app.context_alone(&config)?;
    let agreement = agreement::of_set(&manifest, repository.as_ref(), &context, args.limit)?;
    tell(app, args, Some(&manifest), &agreement)
}

/// The live stores of an installation.
fn live(installation: &dyn Installation) -> Result<Sides<'_>> {
    let there = installation.names();
    if let Some(missing) = [DataSetName::SystemDatabase, DataSetName::BackendRedis].into_iter().find(|name| !there.contains(name)) {
        return Err(Error::refused(format!("{missing} is not configured")).hint(format!("{}.", installation.way_to(missing))));
    }
    agreement::sides(installation, &|_| None)?.ok_or_else(|| Error::failed("the installation has nothing to compare"))
}

fn tell(app: &App, args: &args::Verify, of: Option<&Manifest>, agreement: &Agreement) -> Result<()> {
    app.output.line(&shown(of, agreement))?;
    app.output.document(&document(of, agreement, args))?;
    verdict(of, agreement, args)
}

fn fails(agreement: &Agreement, args: &args::Verify) -> bool {
    agreement.report.worst().is_some_and(|worst| worst <= args.fail_on.rank())
}

/// The end of the command: an error where something differs that `--fail-on` is about.
fn verdict(of: Option<&Manifest>, agreement: &Agreement, args: &args::Verify) -> Result<()> {
    let whose = of.map_or_else(|| "the live stores".to_owned(), |manifest| format!("the stores of set {}", manifest.set));
    let differ = || Error::failed(format!("{whose} differ: {}", counts(&agreement.report)));
    if fails(agreement, args) { Err(differ()) } else { Ok(()) }
}

fn document<'a>(of: Option<&'a Manifest>, agreement: &'a Agreement, args: &args::Verify) -> VerifyDocument<'a> {
    let report = &agreement.report;
    VerifyDocument {
        set: of.map(|manifest| manifest.set.as_str()),
        agrees: !fails(agreement, args),
        frozen: of.map(|manifest| manifest.frozen),
        skew_ms: of.map(Manifest::skew_ms),
        looks: agreement.looks,
        services: report.services,
        applications: report.applications,
        credentials: report.credentials,
        files: agreement.files.then_some(report.files),
        zync: report.zync,
        addresses: report.addresses,
        search_indices: report.indices,
        not_compared: &agreement.unseen,
        differences: report.kinds.iter().map(of_kind).collect(),
    }
}

fn of_kind<'a>((kind, found): (&threescale::verify::Kind, &'a threescale::verify::Found)) -> KindDocument<'a> {
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

/// What was compared beside System, Backend and the files.
fn beside(report: &Report) -> String {
    let zync = report.zync.map(|zync| {
        let failing = if zync.jobs_failing == 0 { String::new() } else { format!(", of which {} failed before", count(zync.jobs_failing)) };
        format!(
            ", zync ({} tenants, {} gateways, {} applications, {} jobs to be done{failing})",
            count(zync.tenants),
            count(zync.proxies),
            count(zync.applications),
            count(zync.jobs)
        )
    });
    let routes = report.addresses.map(|addresses| format!(", Routes for {} addresses", count(addresses)));
    let search = report.indices.map(|indices| format!(", {} search indices", count(indices)));
    [zync, routes, search].into_iter().flatten().collect()
}

fn shown(of: Option<&Manifest>, agreement: &Agreement) -> String {
    let report = &agreement.report;
    let files = match (agreement.files, of) {
        (true, _) => format!("{} files that rows name", count(report.files)),
        (false, Some(_)) => "no files (the set has no system-storage)".to_owned(),
        (false, None) => "no files (system-storage is not configured)".to_owned(),
    };
    let whose = of.map_or_else(|| "live".to_owned(), |manifest| format!("set {}", manifest.set));
    let mut lines = vec![format!(
        "{whose}: compared {} services, {} applications, {} credentials, {files}{}",
        count(report.services),
        count(report.applications),
        count(report.credentials),
        beside(report)
    )];
    lines.extend(agreement.unseen.iter().map(ToString::to_string));
    for (kind, found) in &report.kinds {
        lines.push(format!("\n{} {}: {}", kind.rank().as_str(), kind.code(), count(found.count)));
        lines.push(format!("  {}", kind.meaning()));
        lines.extend(found.examples.iter().map(|finding| format!("    {}", agreement::told(finding))));
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
    if let Some(manifest) = of.filter(|manifest| report.worst().is_some() && !manifest.frozen) {
        let skew = manifest.skew_ms();
        lines.push(format!(
            "The stores were read {skew} ms apart, while the writers went on: what changed in between may be among the differences."
        ));
    }
    if agreement.looks > 1 {
        lines.push("The stores were read twice: what differed only once (changes under way) is not told.".to_owned());
    }
    lines.join("\n")
}
