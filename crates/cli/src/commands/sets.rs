//! `init`, `list`, `show`: the repository and what is in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::ids::{DataSetName, RunId, SetId};
use plan::journal::RunState;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::Repository;
use plan::{Purpose, Result};
use repository::RusticRepository;
use runner::State;
use serde::Serialize;

use crate::app::{App, find_set};
use crate::output::{Table, age, bytes, count, duration_ms, local_time};

pub(crate) fn init(app: &App) -> Result<()> {
    let config = app.config()?;
    let (location, password) = app.location(&config)?;
    RusticRepository::init(&location, &password)?;
    app.output.line(&format!("made the repository {location}"))?;
    app.output.note("Keep its password in a second place: without it nothing in the repository can be read.");
    app.output.document(&BTreeMap::from([("repository", location.to_string())]))
}

/// A set as `list`, `show` and `backup` print it.
#[derive(Serialize)]
pub(crate) struct SetDocument<'a> {
    set: &'a SetId,
    started_at: Timestamp,
    finished_at: Timestamp,
    duration_ms: i64,
    age_seconds: i64,
    bytes: u64,
    stored_bytes: u64,
    skew_ms: u64,
    frozen: bool,
    safety_for: Option<&'a RunId>,
    host: &'a str,
    program_version: &'a str,
    data_sets: &'a BTreeMap<DataSetName, KeptDataSet>,
    /// Restores and rehearsals of the set that this machine's journals know of.
    proven_by: Vec<Proof>,
}

/// A run that staged and proved the set.
#[derive(Serialize)]
pub(crate) struct Proof {
    run: RunId,
    purpose: Purpose,
    at: Timestamp,
    data_sets: Vec<DataSetName>,
}

impl<'a> SetDocument<'a> {
    pub(crate) fn new(manifest: &'a Manifest, proven_by: Vec<Proof>) -> Self {
        Self {
            set: &manifest.set,
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            duration_ms: duration(manifest),
            age_seconds: Timestamp::now().as_second() - manifest.started_at.as_second(),
            bytes: manifest.bytes(),
            stored_bytes: manifest.stored_bytes(),
            skew_ms: manifest.skew_ms(),
            frozen: manifest.frozen,
            safety_for: manifest.safety_for.as_ref(),
            host: &manifest.host,
            program_version: &manifest.program_version,
            data_sets: &manifest.data_sets,
            proven_by,
        }
    }
}

fn duration(manifest: &Manifest) -> i64 {
    manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond()
}

/// Finished restores and rehearsals of a set, from this machine's journals.
pub(crate) fn proofs(state: &State, set: &SetId) -> Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for id in state.runs()? {
        // A journal that cannot be read is told by `runs`; it proves nothing.
        let Ok(run) = state.read(&id) else { continue };
        let proves =
            matches!(run.plan.purpose, Purpose::Restore | Purpose::Rehearse) && matches!(run.state, RunState::Finished | RunState::Settled);
        if proves && run.plan.set == *set {
            proofs.push(Proof {
                run: id,
                purpose: run.plan.purpose,
                at: run.last_at,
                data_sets: run.plan.data_sets.keys().copied().collect(),
            });
        }
    }
    Ok(proofs)
}

pub(crate) fn list(app: &App) -> Result<()> {
    let config = app.config()?;
    let state = app.state_beside_sets(&config)?;
    let manifests = app.repository(&config)?.manifests()?;
    let mut table = Table::new(&["SET", "TAKEN", "AGE", "DURATION", "SIZE", "STORED", "SKEW", "PROVEN", "DATA SETS"]);
    let mut documents = Vec::new();
    for manifest in &manifests {
        let proofs = proofs(&state, &manifest.set)?;
        let names: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        let remark = manifest.safety_for.as_ref().map(|run| format!(" (safety copy of run {})", run.short())).unwrap_or_default();
        table.row([
            manifest.set.to_string(),
            local_time(manifest.started_at),
            age(manifest.started_at),
            duration_ms(duration(manifest)),
            bytes(manifest.bytes()),
            bytes(manifest.stored_bytes()),
            duration_ms(i64::try_from(manifest.skew_ms()).unwrap_or(i64::MAX)),
            proofs.last().map_or_else(|| "digests".to_owned(), |proof| format!("{} {}", word(proof.purpose), age(proof.at))),
            format!("{}{remark}", names.join(" ")),
        ]);
        documents.push(SetDocument::new(manifest, proofs));
    }
    if manifests.is_empty() {
        app.output.note("The repository has no set yet. Take one with `threescale-backup backup`.");
    } else {
        app.output.line(&table.render())?;
    }
    app.output.document(&BTreeMap::from([("sets", documents)]))
}

const fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Backup => "backup",
        Purpose::Restore => "restored",
        Purpose::Rehearse => "rehearsed",
    }
}

pub(crate) fn show(app: &App, wanted: &str) -> Result<()> {
    let config = app.config()?;
    let state = app.state_beside_sets(&config)?;
    let manifest = find_set(app.repository(&config)?.as_ref(), wanted)?;
    let proofs = proofs(&state, &manifest.set)?;
    app.output.line(&describe(&manifest, &proofs))?;
    app.output.document(&SetDocument::new(&manifest, proofs))
}

fn describe(manifest: &Manifest, proofs: &[Proof]) -> String {
    let mut lines = vec![
        format!(
            "Set {} of {}, taken in {} by {} on {}",
            manifest.set,
            local_time(manifest.started_at),
            duration_ms(duration(manifest)),
            manifest.program_version,
            manifest.host
        ),
        format!(
            "{} in {} data sets, {} new in the repository; skew between the stores {} ms{}",
            bytes(manifest.bytes()),
            manifest.data_sets.len(),
            bytes(manifest.stored_bytes()),
            manifest.skew_ms(),
            if manifest.frozen { ", writers stopped" } else { ", writers running" }
        ),
    ];
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
        let names: Vec<_> = proof.data_sets.iter().map(|name| name.as_str()).collect();
        lines.push(format!("Proof by run {}: {} on {} ({})", proof.run, word(proof.purpose), local_time(proof.at), names.join(", ")));
    }
    for (name, kept) in &manifest.data_sets {
        let warnings = kept.evidence.warnings.iter().map(|warning| format!("warning: {name}: {warning}"));
        lines.extend(warnings);
    }
    lines.join("\n")
}
