//! `evidence`: all that shows that a set is whole and goes back, in one document for an auditor.

mod page;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use plan::checked::{self, Checked};
use plan::digest::MultisetDigest;
use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::proof::{Proof, digest_of};
use plan::{Error, Result};
use repository::RusticRepository;
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::commands::sets::Proofs;
use crate::output::file;
use crate::whose::{Wanted, candidates};

/// Version of the document. Fields are added without a change; a field that changes its meaning or goes raises it.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct EvidenceDocument<'a> {
    format: u32,
    written_at: Timestamp,
    written_by: &'static str,
    host: String,
    repository: String,
    /// The manifest, as it is in the repository.
    manifest: &'a Manifest,
    /// What is known to be wrong with the set.
    damage: Option<&'a str>,
    /// What restores and rehearsals of the set showed, oldest first.
    proven_by: Vec<Proof>,
    /// One digest for each data set, over names, counts and digests of its collections. A restore or a rehearsal that read it back has the same in `proven_by`.
    digests: BTreeMap<DataSetName, MultisetDigest>,
    /// Checks of the repository since the set was finished, oldest first.
    checks: Vec<Checked>,
}

pub(crate) fn evidence(app: &App, args: &args::Evidence) -> Result<()> {
    let write: fn(&EvidenceDocument<'_>) -> Result<String> = match args.to.extension().and_then(|name| name.to_str()) {
        Some("json") => json,
        Some("html") => |document| Ok(page::page(document, &json(document)?)),
        _ => {
            return Err(Error::refused(format!("nobody can tell what {} is to be", args.to.display()))
                .hint("Write --to FILE.html for people (the JSON is in it), or --to FILE.json."));
        }
    };
    let config = app.config()?;
    let (location, password) = app.location(&config)?;
    let repository = RusticRepository::open(&location, &password)?;
    let (chosen, _) = app.find_set(&config, &repository, &Wanted::new("evidence", &args.of.set, args.of.partial.partial))?;
    let manifest = chosen.manifest;
    let proven_by = Proofs::all(app, &config, &repository).of(&manifest.set);
    let mut checks = checked::checks(&repository)?;
    checks.retain(|checked| checked.started_at >= manifest.finished_at);
    let candidates = candidates(&repository)?;
    let damage =
        candidates.iter().find(|candidate| candidate.manifest.set == manifest.set).and_then(|candidate| candidate.damage.as_deref());
    let document = EvidenceDocument {
        format: FORMAT,
        written_at: Timestamp::now(),
        written_by: concat!("threescale-backup ", env!("CARGO_PKG_VERSION")),
        host: app.host(),
        repository: location.to_string(),
        manifest: &manifest,
        damage,
        proven_by,
        digests: manifest.data_sets.iter().map(|(name, kept)| (*name, digest_of(&kept.evidence))).collect(),
        checks,
    };
    file::create(&args.to, &write(&document)?)?;
    told(app, &manifest.set, &args.to)
}

#[derive(Serialize)]
struct WrittenDocument<'a> {
    set: &'a str,
    file: &'a Path,
}

fn told(app: &App, set: &plan::ids::SetId, file: &Path) -> Result<()> {
    app.output.line(&format!("the evidence of set {set} is in {}", file.display()))?;
    app.output.document(&WrittenDocument { set: set.as_str(), file })
}

fn json(document: &EvidenceDocument<'_>) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Error::failed("failed to write the evidence").because(error))?;
    Ok(text + "\n")
}
