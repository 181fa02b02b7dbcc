//! `list`: the sets of this installation, or of all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plan::choice::{Candidate, Owner, Whose, others, others_line};
use plan::ids::{DataSetName, SetId};
use plan::manifest::{Agreement, Manifest};
use plan::ports::{Damaged, Repository as _};
use plan::proof::Proof;
use plan::{InstallationId, Restorable, Result};
use serde::Serialize;

use super::document::{SetDocument, duration};
use super::held::Held;
use super::proofs::Proofs;
use crate::app::App;
use crate::args;
use crate::output::{Table, age, bytes, duration_ms, local_time};
use crate::whose::{candidates, told};

#[derive(Serialize)]
struct ListDocument<'a> {
    sets: Vec<SetDocument<'a>>,
    /// Installations whose sets are not among these.
    other_installations: Vec<Other<'a>>,
    /// What is damaged in the repository, whosever it is.
    damaged: Vec<DamageDocument<'a>>,
}

#[derive(Serialize)]
struct DamageDocument<'a> {
    set: Option<&'a SetId>,
    data_set: Option<DataSetName>,
    problem: &'a str,
}

#[derive(Serialize)]
struct Other<'a> {
    #[serde(flatten)]
    installation: &'a InstallationId,
    sets: usize,
}

pub(crate) fn list(app: &App, args: &args::List) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let whose = app.whose(&config)?;
    let mut candidates = candidates(repository.as_ref())?;
    let damaged = repository.damaged()?;
    let lost = without_manifest(&candidates, &damaged);
    let others = if args.all_installations {
        BTreeMap::new()
    } else {
        let others = others(candidates.iter().map(|candidate| &candidate.manifest), &whose);
        candidates.retain(|candidate| is_meant(&whose, &candidate.manifest));
        others
    };
    let is_named = args.all_installations || whose == Whose::Unknown || servers(&candidates).len() > 1;
    let mut proofs = Proofs::all(app, &config, repository.as_ref());
    let mut held = Held::all(app, repository.as_ref());
    let mut table = Table::new(&head(is_named));
    let mut documents = Vec::new();
    for candidate in &candidates {
        let proofs = proofs.of(&candidate.manifest.set);
        let held = held.remove(&candidate.manifest.set).unwrap_or_default();
        table.row(row(candidate, &proofs, &held, is_named));
        documents.push(SetDocument::of(candidate, proofs).held(held));
    }
    if candidates.is_empty() && lost.is_empty() {
        let of = whose_name(&whose).map(|name| format!(" of {name}")).unwrap_or_default();
        app.output.note(&format!("The repository has no set{of} yet. Take one with `threescale-backup backup`."));
    } else {
        app.output.line(&table.render())?;
    }
    for line in remarks(&candidates, &whose, args.all_installations).into_iter().chain(lost).chain(others_line(&others, &whose)) {
        app.output.line(&line)?;
    }
    let other_installations = others.iter().map(|(installation, sets)| Other { installation, sets: *sets }).collect();
    let damaged =
        damaged.iter().map(|damage| DamageDocument { set: damage.set.as_ref(), data_set: damage.data_set, problem: &damage.what });
    app.output.document(&ListDocument { sets: documents, other_installations, damaged: damaged.collect() })
}

/// A line for what is damaged and has no row: a set whose manifest cannot be read (nobody can say whose it was), a file of which nobody can say what it was.
fn without_manifest(candidates: &[Candidate], damaged: &[Damaged]) -> Vec<String> {
    let has_row = |damage: &&Damaged| candidates.iter().any(|candidate| damage.set.as_ref() == Some(&candidate.manifest.set));
    let line = |damage: &Damaged| {
        let set = damage.set.as_ref().map(|set| format!("set {set} is damaged: ")).unwrap_or_else(|| "damaged: ".to_owned());
        format!("{set}{}", told(damage))
    };
    damaged.iter().filter(|damage| !has_row(damage)).map(line).collect()
}

/// Sets without a name may be anybody's, so they are shown; not where an installation is asked for by its name.
fn is_meant(whose: &Whose, manifest: &Manifest) -> bool {
    match whose.owner(manifest) {
        Owner::Ours => true,
        Owner::Unnamed => !matches!(whose, Whose::Named(_)),
        Owner::Other => false,
    }
}

fn whose_name(whose: &Whose) -> Option<&str> {
    match whose {
        Whose::Ours { id, .. } => Some(&id.name),
        Whose::Named(name) => Some(name),
        Whose::Unknown => None,
    }
}

/// The servers that sets of named installations were taken from.
fn servers(candidates: &[Candidate]) -> BTreeSet<&InstallationId> {
    let with_identity = |id: &&InstallationId| id.identity.is_some();
    candidates.iter().filter_map(|candidate| candidate.manifest.installation.as_ref()).filter(with_identity).collect()
}

fn head(is_named: bool) -> Vec<&'static str> {
    let mut head = vec!["SET", "TAKEN", "AGE", "DURATION", "SIZE", "STORED", "SKEW", "PROVEN", "DATA SETS"];
    if is_named {
        head.insert(1, "INSTALLATION");
    }
    head
}

fn row(candidate: &Candidate, proofs: &[Proof], held: &Held, is_named: bool) -> Vec<String> {
    let manifest = &candidate.manifest;
    let mut row = vec![
        manifest.set.to_string(),
        local_time(manifest.started_at),
        age(manifest.started_at),
        duration_ms(duration(manifest)),
        bytes(manifest.bytes()),
        bytes(manifest.stored_bytes()),
        duration_ms(i64::try_from(manifest.skew_ms()).unwrap_or(i64::MAX)),
        proofs.last().map_or_else(|| "digests".to_owned(), |proof| proven(proof, manifest.data_sets.len())),
        format!("{}{}", what_is_in(candidate, is_named), held.remark()),
    ];
    if is_named {
        row.insert(1, manifest.installation.clone().unwrap_or_default().to_string());
    }
    row
}

/// `rehearsed 5/6, 2 d`.
fn proven(proof: &Proof, of: usize) -> String {
    format!("{} {}, {}", proof.word(), proof.extent(of), age(proof.finished_at))
}

/// `5/5`, `4/5 without zync-database`, `system-redis (safety copy of run …)`.
fn what_is_in(candidate: &Candidate, is_named: bool) -> String {
    let manifest = &candidate.manifest;
    let mut remarks: Vec<_> = manifest.safety_for.iter().map(|run| format!("safety copy of run {}", run.short())).collect();
    remarks.extend((!is_named && manifest.installation.is_none()).then(|| "without a name".to_owned()));
    remarks.extend(manifest.is_ahead_of(Timestamp::now()).then(|| "from the future".to_owned()));
    remarks.extend(match manifest.restorable() {
        Some(Restorable::No) => Some("CANNOT GO BACK".to_owned()),
        Some(Restorable::WithOmissions) => Some("goes back with omissions".to_owned()),
        Some(Restorable::Yes) | None => None,
    });
    remarks.extend(manifest.agreement.and_then(Agreement::differences).map(|differences| format!("stores differ: {differences}")));
    remarks.extend(candidate.damage.is_some().then(|| "DAMAGED".to_owned()));
    let remarks = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join(", ")) };
    format!("{}{remarks}", manifest.extent())
}

/// What must be known about the sets shown beyond their own rows.
fn remarks(candidates: &[Candidate], whose: &Whose, all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.manifest.is_ahead_of(Timestamp::now())) {
        let manifest = &candidate.manifest;
        lines.push(format!(
            "set {} was finished in the future ({}): a clock was wrong, here or on {}; it is never `latest`",
            manifest.set,
            local_time(manifest.finished_at),
            manifest.host
        ));
    }
    lines.extend(
        candidates
            .iter()
            .filter_map(|candidate| candidate.damage.as_ref().map(|damage| format!("set {} is damaged: {damage}", candidate.manifest.set))),
    );
    for candidate in candidates.iter().filter(|candidate| candidate.manifest.restorable() > Some(Restorable::Yes)) {
        let set = &candidate.manifest.set;
        lines.push(format!("what of set {set} will not go back, and why: `threescale-backup show {set}`"));
    }
    let unnamed = candidates.iter().filter(|candidate| candidate.manifest.installation.is_none()).count();
    match unnamed {
        0 => {}
        1 => lines.push("1 set is without a name (release 0.1.0 wrote none): it is taken by its id only".to_owned()),
        several => lines.push(format!("{several} sets are without a name (release 0.1.0 wrote none): they are taken by their ids only")),
    }
    let servers = servers(candidates).len();
    if let (Some(name), false, true) = (whose_name(whose), all, servers > 1) {
        lines.push(format!(
            "{servers} servers have installations called {name}; a restore takes the sets of the one that it reaches. [installation] name gives each its own"
        ));
    }
    lines
}
