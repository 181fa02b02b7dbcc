//! `report`: one page about an installation's sets over time: is all well, how they grow, what the last proofs showed, what is open.

mod plots;

use std::path::Path;

use plan::Result;
use plan::choice::Candidate;
use plan::difference::{self, DataSetDifference};
use plan::manifest::Agreement;
use repository::RusticRepository;
use serde::Serialize;

use super::status::{Seen, page as status_lines, reasons};
use crate::app::App;
use crate::args;
use crate::output::html::{self, Cell, escaped, table};
use crate::output::{bytes, count, duration_ms, file, local_time};
use plots::{Bar, bars};

/// Sets that are drawn and listed, the newest.
const SETS_MAX: usize = 60;
/// Collections that are told to have grown.
const GROWN_MAX: usize = 20;

#[derive(Serialize)]
struct WrittenDocument<'a> {
    installation: &'a str,
    file: &'a Path,
    sets: usize,
}

pub(crate) fn report(app: &App, args: &args::Report) -> Result<()> {
    let config = app.config()?;
    let (location, password) = app.location(&config)?;
    let repository = RusticRepository::open(&location, &password)?;
    let seen = Seen::look(app, &config, &location, &repository)?;
    let reasons = reasons(&seen, &args.limits);
    let page = page(&seen, &reasons, &location.to_string(), None);
    if args.replace {
        file::replace(&args.html, &page)?
    } else {
        file::create(&args.html, &page)?
    }
    app.output.line(&format!("the report is in {}", args.html.display()))?;
    app.output.document(&WrittenDocument { installation: &seen.installation, file: &args.html, sets: seen.sets.len() })
}

/// `remark`: what is to be known before all else.
pub(super) fn page(seen: &Seen, reasons: &[String], repository: &str, remark: Option<&str>) -> String {
    let name = if seen.installation.is_empty() { "this installation" } else { &seen.installation };
    let title = format!("Backups of {name}");
    let shown = seen.sets.get(seen.sets.len().saturating_sub(SETS_MAX)..).unwrap_or_default();
    let (class, verdict) = if reasons.is_empty() { ("good", "All is well.") } else { ("bad", "Not all is well:") };
    let listed: String = reasons.iter().map(|reason| format!("<li>{}</li>\n", escaped(reason))).collect();
    let lines: String = status_lines(seen).iter().map(|line| format!("{}\n", escaped(line))).collect();
    let remark = remark.map(|remark| format!("<p class=\"bad\">{}</p>\n", escaped(remark))).unwrap_or_default();
    let parts = [
        format!("<h1>{}</h1>\n{remark}<p class=\"{class}\">{verdict}</p>\n<ul>\n{listed}</ul>\n<pre>{lines}</pre>\n", escaped(&title)),
        plots(shown),
        grown(shown),
        "<h2>Sets</h2>\n".to_owned(),
        sets(seen, shown),
        format!(
            "<p class=\"soft\">Of the repository {}, looked at on {}. What a set holds is in <code>threescale-backup evidence SET --to FILE.html</code>.</p>\n",
            escaped(repository),
            escaped(local_time(seen.now))
        ),
    ];
    html::page(&title, &parts.concat())
}

fn plots(shown: &[Candidate]) -> String {
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return String::new() };
    let (begin, end) = (local_time(first.manifest.started_at), local_time(last.manifest.started_at));
    let plot = |title: &str, value: &dyn Fn(&Candidate) -> f64, said: &dyn Fn(f64) -> String| {
        let bar = |set: &Candidate| {
            let value = value(set);
            let title = format!("{}, {}: {}", set.manifest.set, local_time(set.manifest.started_at), said(value));
            Bar { value, title, is_bad: set.damage.is_some() || !set.manifest.is_whole() }
        };
        let all: Vec<_> = shown.iter().map(bar).collect();
        format!("<h2>{}</h2>\n{}", escaped(title), bars(&all, &begin, &end, said))
    };
    let as_bytes = |value: f64| bytes(value as u64);
    let as_time = |value: f64| duration_ms(value as i64);
    [
        plot("What each set holds", &|set| set.manifest.bytes() as f64, &as_bytes),
        plot("What each set added to the repository", &|set| set.manifest.stored_bytes() as f64, &as_bytes),
        plot("How long each backup took", &|set| duration(set) as f64, &as_time),
    ]
    .concat()
}

fn duration(set: &Candidate) -> i64 {
    set.manifest.finished_at.as_millisecond() - set.manifest.started_at.as_millisecond()
}

/// What has more or fewer elements in the newest set than in the oldest one that is shown.
fn grown(shown: &[Candidate]) -> String {
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return String::new() };
    if first.manifest.set == last.manifest.set {
        return String::new();
    }
    let differences = difference::between(&first.manifest, &last.manifest);
    let of = |difference: &DataSetDifference| {
        let name = difference.data_set;
        let all = difference.collections.iter().filter_map(move |it| {
            let (from, to) = (it.elements.from.unwrap_or(0), it.elements.to.unwrap_or(0));
            (from != to).then(|| (from.abs_diff(to), name, it.name.clone(), from, to))
        });
        all.collect::<Vec<_>>()
    };
    let mut all: Vec<_> = differences.iter().filter(|it| it.bytes.from.is_some() && it.bytes.to.is_some()).flat_map(of).collect();
    all.sort_by(|a, b| b.cmp(a));
    all.truncate(GROWN_MAX);
    let since = format!("<h2>What has changed most since {}</h2>\n", escaped(local_time(first.manifest.started_at)));
    if all.is_empty() {
        return since + "<p>Nothing has more or fewer elements.</p>\n";
    }
    let rows = all.into_iter().map(|(by, data_set, name, from, to)| {
        let sign = if to > from { "+" } else { "-" };
        vec![
            Cell::Text(data_set.to_string()),
            Cell::Text(name),
            Cell::Number(count(from)),
            Cell::Number(count(to)),
            Cell::Number(format!("{sign}{}", count(by))),
        ]
    });
    since + &table(&[("Data set", false), ("Collection", false), ("Then", true), ("Now", true), ("Change", true)], rows)
}

fn sets(seen: &Seen, shown: &[Candidate]) -> String {
    let head = [
        ("Set", false),
        ("Taken", false),
        ("Data sets", false),
        ("Size", true),
        ("Added", true),
        ("Took", true),
        ("Proven", false),
        ("To know", false),
    ];
    let row = |set: &Candidate| {
        let manifest = &set.manifest;
        let proof = seen.proofs.get(&manifest.set).and_then(|proofs| proofs.last());
        let mut remarks: Vec<_> = set.damage.iter().map(|damage| format!("DAMAGED: {damage}")).collect();
        remarks.extend(manifest.agreement.and_then(Agreement::differences).map(|differences| format!("stores differ: {differences}")));
        remarks.extend(manifest.problems().map(|(name, problem)| format!("{name}: {}", problem.text)));
        vec![
            Cell::Code(manifest.set.to_string()),
            Cell::Text(local_time(manifest.started_at)),
            Cell::Text(manifest.extent()),
            Cell::Number(bytes(manifest.bytes())),
            Cell::Number(bytes(manifest.stored_bytes())),
            Cell::Number(duration_ms(duration(set))),
            Cell::Text(
                proof
                    .map(|proof| {
                        format!("{} {} at {}", proof.word(), proof.extent(manifest.data_sets.len()), local_time(proof.finished_at))
                    })
                    .unwrap_or_default(),
            ),
            Cell::Text(remarks.join("; ")),
        ]
    };
    table(&head, shown.iter().rev().map(row))
}
