//! `status`: in one page, whether the sets are young, proven and checked, and what stands open. For people, for monitoring (exit code), as metrics.

mod judge;
mod metrics;
mod push;
mod seen;

use jiff::Timestamp;
use plan::checked::Checked;
use plan::ids::{RunId, SetId};
use plan::journal::{Run, RunState};
use plan::manifest::{Agreement, Manifest};
use plan::proof::Proof;
use plan::words::counted;
use plan::{Class, Error, Purpose, Restorable, Result};
use repository::RusticRepository;
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::copied::Copied;
use crate::output::{age_at, bytes, count, local_time};
pub(super) use judge::reasons;
pub(super) use metrics::{Metric, metrics, one, seconds, text as metrics_text};
pub(super) use seen::Seen;
use seen::{GROWTH, Space};

#[derive(Serialize)]
struct StatusDocument<'a> {
    looked_at: Timestamp,
    good: bool,
    /// Why it is not.
    reasons: &'a [String],
    /// Empty when it is not known which installation this is.
    installation: &'a str,
    repository: String,
    /// Whole sets and partial ones, without safety copies.
    sets: usize,
    newest_whole_set: Option<NewestDocument<'a>>,
    /// The newest restore or rehearsal of a whole set in which all of it was equal.
    proven: Option<&'a Proof>,
    proven_age_seconds: Option<i64>,
    checked: Option<&'a Checked>,
    checked_age_seconds: Option<i64>,
    /// Since when every pack that there was then has been read, by one check or by several together.
    everything_read_since: Option<Timestamp>,
    /// Second repositories: what was there when sets were last copied.
    copies: Vec<CopyDocument<'a>>,
    growth: GrowthDocument,
    /// `null` of a bucket.
    space: Option<Space>,
    /// Those that are not over.
    runs: Vec<RunDocument<'a>>,
    /// Until when some jobs of 3scale's clock are held; `null` when none is, or when it is not known.
    clock_held_until: Option<Timestamp>,
    /// What could not be looked at, and why.
    unknown: &'a [String],
}

#[derive(Serialize)]
struct NewestDocument<'a> {
    set: &'a SetId,
    started_at: Timestamp,
    finished_at: Timestamp,
    age_seconds: i64,
    bytes: u64,
    stored_bytes: u64,
    /// `null` for a set of release 0.1.0.
    restorable: Option<Restorable>,
    /// `null` where it was not looked at.
    agreement: Option<Agreement>,
    /// Warnings of its backup.
    warnings: usize,
    damage: Option<&'a str>,
}

#[derive(Serialize)]
struct CopyDocument<'a> {
    #[serde(flatten)]
    copied: &'a Copied,
    newest_age_seconds: Option<i64>,
    /// Whole sets here that are younger than the newest there.
    behind: usize,
}

#[derive(Serialize)]
struct GrowthDocument {
    seconds: i64,
    sets: usize,
    stored_bytes: u64,
}

#[derive(Serialize)]
struct RunDocument<'a> {
    run: &'a RunId,
    purpose: Purpose,
    set: &'a SetId,
    state: RunState,
    opened_at: Timestamp,
    last_at: Timestamp,
    holds_writers: bool,
    keeps_previous: bool,
}

pub(crate) fn status(app: &App, args: &args::Status) -> Result<()> {
    let gateway = args.push.as_deref().map(|url| push::Gateway::at(url, args.push_ca_file.clone())).transpose()?;
    let config = app.config()?;
    let (location, password) = app.location(&config)?;
    let repository = RusticRepository::open(&location, &password)?;
    let seen = Seen::look(app, &config, &location, &repository)?;
    let reasons = reasons(&seen, &args.limits);
    let metrics_of = |seen: &Seen| metrics_text(&seen.installation, &metrics(seen, reasons.is_empty(), &args.limits));
    app.output.line(&shown(&seen, &reasons))?;
    app.output.document(&document(&seen, &reasons, location.to_string()))?;
    if let Some(file) = &args.metrics {
        // Whoever asks for the exit code is not told that all is well, or not, by what became of a file.
        metrics::write(file, &metrics_of(&seen)).map_err(|error| error.in_class(Class::Transient))?;
    }
    if let Some(gateway) = &gateway {
        gateway.put(&seen.installation, &app.host(), metrics_of(&seen)).map_err(|error| error.in_class(Class::Transient))?;
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("not all is well: {}", reasons.join("; "))))
}

/// The document of `--json`.
pub(super) fn document<'a>(seen: &'a Seen, reasons: &'a [String], repository: String) -> impl Serialize + 'a {
    let age = |then: Timestamp| (seen.now.as_second() - then.as_second()).max(0);
    let proven = seen.proven().map(|(_, proof)| proof);
    let checked = seen.checks.last();
    let (stored_bytes, sets) = seen.growth();
    StatusDocument {
        looked_at: seen.now,
        good: reasons.is_empty(),
        reasons,
        installation: &seen.installation,
        repository,
        sets: seen.sets.len(),
        newest_whole_set: seen.newest().map(|set| {
            let manifest = &set.manifest;
            NewestDocument {
                set: &manifest.set,
                started_at: manifest.started_at,
                finished_at: manifest.finished_at,
                age_seconds: age(manifest.started_at),
                bytes: manifest.bytes(),
                stored_bytes: manifest.stored_bytes(),
                restorable: manifest.restorable(),
                agreement: manifest.agreement,
                warnings: warnings(manifest),
                damage: set.damage.as_deref(),
            }
        }),
        proven,
        proven_age_seconds: proven.map(|proof| age(proof.finished_at)),
        checked,
        checked_age_seconds: checked.map(|checked| age(checked.finished_at)),
        everything_read_since: seen.everything_read_since(),
        copies: seen
            .copies
            .iter()
            .map(|copied| CopyDocument { copied, newest_age_seconds: copied.newest_started_at.map(age), behind: seen.behind(copied) })
            .collect(),
        growth: GrowthDocument { seconds: GROWTH.as_secs(), sets, stored_bytes },
        space: seen.space,
        runs: seen.runs.iter().map(run_document).collect(),
        clock_held_until: seen.held_until,
        unknown: &seen.unknown,
    }
}

fn run_document(run: &Run) -> RunDocument<'_> {
    RunDocument {
        run: &run.plan.run,
        purpose: run.plan.purpose,
        set: &run.plan.set,
        state: run.state,
        opened_at: run.opened_at,
        last_at: run.last_at,
        holds_writers: run.holds_writers(),
        keeps_previous: run.keeps_previous(),
    }
}

fn warnings(manifest: &Manifest) -> usize {
    manifest.data_sets.values().map(|kept| kept.evidence.warnings.len() + kept.problems.len()).sum()
}

/// The answer first, with its reasons.
fn shown(seen: &Seen, reasons: &[String]) -> String {
    let name = if seen.installation.is_empty() { String::new() } else { format!(": {}", seen.installation) };
    let mut lines = vec![if reasons.is_empty() { format!("GOOD{name}") } else { format!("BAD{name}") }];
    lines.extend(reasons.iter().map(|reason| format!("  {reason}")));
    lines.extend(page(seen));
    lines.join("\n")
}

/// One line for each question.
pub(super) fn page(seen: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |what: &str, text: String| lines.push(format!("{what:<8} {text}"));
    line("newest", newest(seen));
    line("proven", proven(seen));
    line("checked", checked(seen));
    let never = seen.copies_wanted.iter().filter(|name| seen.copied_to(name).is_none());
    never.for_each(|name| line("copy", format!("{name}: nothing was copied yet")));
    seen.copies.iter().for_each(|copied| line("copy", copy(seen, copied)));
    let (stored, young) = seen.growth();
    line("sets", format!("{}; {} in the last 7 days added {}", count(seen.sets.len() as u64), count(young as u64), bytes(stored)));
    if let Some(space) = seen.space {
        line("space", space_left(space, stored));
    }
    seen.runs.iter().for_each(|run| line("run", standing(run, seen.now)));
    if let Some(until) = seen.held_until {
        line("clock", format!("held until {}; `threescale-backup hold status` shows what waits", local_time(until)));
    }
    seen.unknown.iter().for_each(|unknown| line("unknown", unknown.clone()));
    lines
}

fn newest(seen: &Seen) -> String {
    let Some(set) = seen.newest() else { return "no whole set".to_owned() };
    let manifest = &set.manifest;
    let mut remarks = Vec::new();
    remarks.extend((manifest.restorable() == Some(Restorable::WithOmissions)).then(|| "goes back with omissions".to_owned()));
    remarks.extend(manifest.agreement.and_then(Agreement::differences).map(|differences| format!("its stores differ: {differences}")));
    remarks.extend(Some(warnings(manifest)).filter(|count| *count > 0).map(|number| counted(number, "warning", "warnings")));
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join(", ")) };
    let (id, extent, size) = (&manifest.set, manifest.extent(), bytes(manifest.bytes()));
    format!("{id}, {} old, {extent}, {size}{remarks}", age_at(manifest.started_at, seen.now))
}

fn proven(seen: &Seen) -> String {
    let Some((manifest, proof)) = seen.proven() else { return "no whole set by a restore or a rehearsal".to_owned() };
    let (word, extent, set) = (proof.word(), proof.extent(manifest.data_sets.len()), &manifest.set);
    let on = if proof.host.is_empty() { String::new() } else { format!(" on {}", proof.host) };
    format!("{set}, {word} {extent} {} ago{on}", age_at(proof.finished_at, seen.now))
}

fn checked(seen: &Seen) -> String {
    let Some(last) = seen.checks.last() else { return "not since this is written down".to_owned() };
    let verdict = if last.whole { "nothing wrong" } else { "DAMAGED" };
    let share =
        if last.packs_read == 0 { "no pack".to_owned() } else { format!("{} of {} packs", count(last.packs_read), count(last.packs)) };
    let everything = match seen.everything_read_since() {
        Some(_) if last.packs_read == last.packs => String::new(),
        Some(since) => format!("; all were read within the last {}", age_at(since, seen.now)),
        None => "; not all were ever read".to_owned(),
    };
    format!("{} ago on {}: {verdict}, {share} read{everything}", age_at(last.finished_at, seen.now), last.host)
}

fn copy(seen: &Seen, copied: &Copied) -> String {
    let place = copied.copy.as_ref().map_or_else(|| copied.repository.clone(), |name| format!("{name} ({})", copied.repository));
    let ago = age_at(copied.finished_at, seen.now);
    let not_copied = match copied.not_copied {
        0 => String::new(),
        number => format!("; {} not copied, damaged here", counted(usize::try_from(number).unwrap_or(usize::MAX), "set", "sets")),
    };
    match (&copied.newest, copied.newest_started_at) {
        (Some(set), Some(newest)) => {
            let behind = match seen.behind(copied) {
                0 => "none is younger here".to_owned(),
                number => format!("{} here", counted(number, "younger set", "younger sets")),
            };
            format!("{place}: {set}, {} old, copied {ago} ago; {behind}{not_copied}", age_at(newest, seen.now))
        }
        _ => format!("{place}: no whole set, {ago} ago{not_copied}"),
    }
}

fn space_left(space: Space, stored_in_a_week: u64) -> String {
    let weeks = space.free_bytes.checked_div(stored_in_a_week);
    // More than ten years are no forecast.
    let enough = weeks.filter(|weeks| *weeks < 520).map(|weeks| format!("; enough for {weeks} weeks like the last")).unwrap_or_default();
    format!("{} of {} free{enough}", bytes(space.free_bytes), bytes(space.total_bytes))
}

fn standing(run: &Run, now: Timestamp) -> String {
    let keeps = if run.keeps_previous() { ", keeps what it replaced" } else { "" };
    let (id, last) = (&run.plan.run, age_at(run.last_at, now));
    format!("{id}: {}{keeps}, {last} ago.{}", run.describe(), Run::writers_sentence(run.writers()))
}
