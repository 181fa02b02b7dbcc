//! `init`, `list`, `show`: the repository and what is in it.

mod document;
mod held;
mod list;
mod proofs;

use std::collections::BTreeMap;

use plan::Result;
use plan::manifest::{Agreement, Manifest};
use plan::ports::Severity;
use plan::proof::Proof;
use repository::RusticRepository;

pub(crate) use document::SetDocument;
pub(crate) use list::list;

use crate::app::App;
use crate::args;
use crate::output::{Table, bytes, count, duration_ms, local_time};
use crate::whose::{Wanted, candidates};
use document::duration;
use held::Held;
pub(crate) use proofs::Proofs;

pub(crate) fn init(app: &App) -> Result<()> {
    let config = app.config()?;
    let (location, password) = app.location(&config)?;
    RusticRepository::init(&location, &password)?;
    app.output.line(&format!("made the repository {location}"))?;
    app.output.note("Keep its password in a second place: without it nothing in the repository can be read.");
    app.output.document(&BTreeMap::from([("repository", location.to_string())]))
}

pub(crate) fn show(app: &App, args: &args::OfSet) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let (chosen, _) = app.find_set(&config, repository.as_ref(), &Wanted::new("show", &args.set, args.partial.partial))?;
    let manifest = chosen.manifest;
    let proofs = Proofs::all(app, &config, repository.as_ref()).of(&manifest.set);
    let held = Held::all(app, repository.as_ref()).remove(&manifest.set).unwrap_or_default();
    let remark = held.remark();
    let kept = if remark.is_empty() { remark } else { format!("\nKept:{remark}") };
    app.output.line(&format!("{}{kept}", describe(&manifest, &proofs)))?;
    let candidates = candidates(repository.as_ref())?;
    match candidates.iter().find(|candidate| candidate.manifest.set == manifest.set) {
        Some(candidate) => app.output.document(&SetDocument::of(candidate, proofs).held(held)),
        None => app.output.document(&SetDocument::new(&manifest, proofs).held(held)),
    }
}

fn describe(manifest: &Manifest, proofs: &[Proof]) -> String {
    let installation = manifest.installation.clone().unwrap_or_default();
    let mut lines = vec![
        format!(
            "Set {} of {}, taken in {} by {} on {}",
            manifest.set,
            local_time(manifest.started_at),
            duration_ms(duration(manifest)),
            manifest.program_version,
            manifest.host
        ),
        format!("Installation: {installation}"),
        format!(
            "{} in {} data sets, {} new in the repository; skew between the stores {} ms{}",
            bytes(manifest.bytes()),
            manifest.data_sets.len(),
            bytes(manifest.stored_bytes()),
            manifest.skew_ms(),
            if manifest.frozen { ", writers stopped" } else { ", writers running" }
        ),
    ];
    lines.extend(completeness(manifest));
    lines.extend(restorable(manifest));
    lines.extend(manifest.agreement.map(|agreement| agrees(manifest, agreement)));
    let mut table = Table::new(&["DATA SET", "STORE", "SIZE", "STORED", "ELEMENTS", "VIEW", "SNAPSHOT"]);
    for (name, kept) in &manifest.data_sets {
        table.row([
            name.to_string(),
            kept.store.clone(),
            bytes(kept.bytes),
            bytes(kept.stored_bytes),
            count(kept.evidence.count()),
            local_time(kept.consistent_at),
            kept.snapshot.as_str().chars().take(12).collect(),
        ]);
    }
    lines.push(String::new());
    lines.push(table.render());
    lines.push(String::new());
    lines.push("Proof when taken: counts and digests of every collection, under the same view as the data.".to_owned());
    for proof in proofs {
        lines.push(told(proof, manifest.data_sets.len()));
    }
    for (name, kept) in &manifest.data_sets {
        let warnings = kept.evidence.warnings.iter().map(|warning| format!("warning: {name}: {warning}"));
        lines.extend(warnings);
    }
    lines.join("\n")
}

/// What a run showed: `Run 01…: rehearsed 5/6 on …`.
fn told(proof: &Proof, of: usize) -> String {
    let on = if proof.host.is_empty() { String::new() } else { format!(" on {}", proof.host) };
    let names: Vec<_> = proof.data_sets.keys().map(|name| name.as_str()).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let took = duration_ms(proof.finished_at.as_millisecond() - proof.started_at.as_millisecond());
    let downtime = proof.downtime_ms.map(|ms| format!(", {} of downtime", duration_ms(ms))).unwrap_or_default();
    let failure = proof.failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default();
    let (run, word, extent, at) = (&proof.run, proof.word(), proof.extent(of), local_time(proof.finished_at));
    format!("Run {run}: {word} {at}{on} by {}, in {took}{downtime}; equal to the set: {extent} ({names}){failure}", proof.program_version)
}

/// Whether it can go back, as the backup could tell, and what does not.
fn restorable(manifest: &Manifest) -> Vec<String> {
    let Some(restorable) = manifest.restorable() else {
        return vec![format!(
            "Goes back: not known, release {} did not say it; `threescale-backup rehearse` shows it",
            manifest.program_version
        )];
    };
    let mut lines = vec![format!("Goes back: {restorable}")];
    let word = |severity| match severity {
        Severity::Note => "note",
        Severity::Degrades => "omitted",
        Severity::Blocks => "would be refused",
    };
    lines.extend(manifest.problems().map(|(name, problem)| format!("  {}: {name}: {}", word(problem.severity), problem.sentence())));
    lines
}

/// Whether its stores agree, as the backup saw it.
fn agrees(manifest: &Manifest, agreement: Agreement) -> String {
    match agreement.differences() {
        None => "Stores agree: yes".to_owned(),
        Some(differences) => format!("Stores agree: no, {differences}; `threescale-backup verify {}` names them", manifest.set),
    }
}

/// What the set has of the installation, and why it lacks the rest.
fn completeness(manifest: &Manifest) -> Vec<String> {
    let what = match &manifest.safety_for {
        Some(run) => format!("Safety copy of run {run}: {}", manifest.extent()),
        None if manifest.is_whole() => format!("Whole: {}", manifest.extent()),
        None => format!("Not whole: {}", manifest.extent()),
    };
    let mut lines = vec![what];
    lines.extend(manifest.missing().iter().map(|(name, why)| format!("  without {name}: {why}")));
    lines.extend(manifest.absent.iter().map(|name| format!("  {name}: declared absent")));
    if manifest.is_ahead_of(jiff::Timestamp::now()) {
        let finished = local_time(manifest.finished_at);
        lines.push(format!("From the future: finished on {finished}; a clock was wrong, here or on {}", manifest.host));
    }
    lines
}
