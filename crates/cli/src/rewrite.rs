//! The configuration in Backend, made what System has: who does it in a restore, and how this program does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::{Context, DataSet, Event, Problem, Severity, SyncTask};
use plan::step::Output;
use plan::{Class, Result};
use runner::{Make, Rewriter, Rewriting};
use threescale::rewrite::{changes, known_releases, knows};
use threescale::verify::{Atoms, Backend, System, Veil};

use crate::agreement::{Keys, Rows, read_rows};
use crate::args::RewriteChoice;
use crate::sealed::room;

/// What may be in memory of each thing that is sorted.
const HELD_MAX_BYTES: usize = 32 << 20;
const TASK: &str = "backend:storage:rewrite";

/// Who does it.
pub(crate) struct Decided {
    pub(crate) is_own: bool,
    pub(crate) problem: Option<Problem>,
}

/// Decides who does it. `offers`: what 3scale's own tasks can do here; the one that is not wanted goes from it.
pub(crate) fn decide(
    choice: RewriteChoice,
    manifest: &Manifest,
    data_sets: &BTreeMap<DataSetName, Arc<dyn DataSet>>,
    context: &Context,
    offers: &mut Vec<SyncTask>,
) -> Result<Decided> {
    let said = |severity, text: String| {
        Some(Problem::new(severity, text).way_out(format!("Afterwards {}", SyncTask::BackendConfiguration.by_hand())))
    };
    let [system, backend] = [DataSetName::SystemDatabase, DataSetName::BackendRedis].map(|name| data_sets.get(&name));
    if system.is_none() && backend.is_none() {
        return Ok(Decided { is_own: false, problem: None });
    }
    if choice == RewriteChoice::None {
        offers.retain(|task| *task != SyncTask::BackendConfiguration);
        let text = "--rewrite none: the configuration in Backend stays as it goes back, whatever System has".to_owned();
        return Ok(Decided { is_own: false, problem: said(Severity::Degrades, text) });
    }
    let why_not = match (choice, system, backend) {
        (RewriteChoice::Own, Some(_), Some(backend)) => why_not(manifest, backend.as_ref(), context)?,
        (RewriteChoice::Own, ..) => Some(Problem::new(Severity::Note, "only one of system-database and backend-redis goes back")),
        _ => Some(Problem::new(Severity::Note, "--rewrite rake was said")),
    };
    let Some(why_not) = why_not else { return Ok(Decided { is_own: true, problem: None }) };
    let problem = if offers.contains(&SyncTask::BackendConfiguration) {
        let text = format!(
            "the configuration in Backend is rewritten by 3scale's own task {TASK}, while the installation does not serve: {}",
            why_not.text
        );
        Some(Problem { text, severity: Severity::Note, ..why_not })
    } else {
        said(Severity::Degrades, format!("nobody rewrites the configuration in Backend from System here: {}", why_not.text))
    };
    Ok(Decided { is_own: false, problem })
}

fn why_not(manifest: &Manifest, backend: &dyn DataSet, context: &Context) -> Result<Option<Problem>> {
    let text = match manifest.newest_migration.as_deref() {
        Some(newest) if knows(newest) => return backend.changes_lack(context),
        Some(newest) => {
            format!("the newest migration of the set's system database is {newest}; this program knows the rules of {}", known_releases())
        }
        None => format!("which release the set's system database is of is not known; this program knows the rules of {}", known_releases()),
    };
    Ok(Some(Problem::new(Severity::Note, text)))
}

/// Rewrites from what a set holds, which was proven equal to what it is loaded from and into.
pub(crate) fn rewriter() -> Rewriter {
    Arc::new(rewrite)
}

fn rewrite(of: &Rewriting<'_>, make: Make<'_>) -> Result<Output> {
    let context = of.context;
    let mut atoms = Atoms::new(&room, HELD_MAX_BYTES);
    let mut rows = Rows { system: System::new(Veil::none(), &room, HELD_MAX_BYTES), gateways: None, atoms: &mut atoms };
    read_rows(of.system, of.repository, context, &mut rows)
        .map_err(|error| error.during("system-database of the set could not be read"))?;
    let known = match rows.system.finish(&mut atoms) {
        // It goes back all the same: there is nothing of 3scale's to rewrite from.
        Err(error) if error.class() == Class::Refused => {
            let text = format!("the configuration in Backend was not rewritten: {}", error.chain());
            context.watch.see(Event::Warning(&text));
            return Ok(Output::Rewritten { written: 0, changed: 0, removed: 0 });
        }
        known => known?,
    };
    let mut keys = Keys { backend: Backend::new(Veil::none(), &known), atoms: &mut atoms };
    let snapshot = Arc::from(of.repository.open(&of.backend.snapshot)?);
    redis_data_set::read_keys(snapshot, of.backend, "storage", &context.stop, &mut keys)
        .map_err(|error| error.during("backend-redis of the set could not be read"))?;
    let mut changes = changes(atoms, &known, &room, HELD_MAX_BYTES)?;
    make(&mut changes)?;
    let counts = changes.counts;
    Ok(Output::Rewritten { written: counts.written, changed: counts.changed, removed: counts.removed })
}
