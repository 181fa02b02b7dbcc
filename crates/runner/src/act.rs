//! What each action does, by calling ports.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use plan::evidence;
use plan::ids::{DataSetName, RunId, SetId};
use plan::journal::Run;
use plan::manifest::{self, KeptDataSet, Manifest};
use plan::ports::{Context, DataSet, Event, Keep, Noted, Place, Repository, Synchronise, Verb, Writers};
use plan::step::{Action, Output, Step, StepId};
use plan::{Error, Result};

/// Everything that a run calls.
#[derive(Clone)]
pub struct Parts {
    /// Where sets are kept.
    pub repository: Arc<dyn Repository>,
    /// The data sets at their live places.
    pub data_sets: BTreeMap<DataSetName, Arc<dyn DataSet>>,
    /// Who writes to them.
    pub writers: Arc<dyn Writers>,
    /// Who makes copies anew after a restore.
    pub synchronise: Arc<dyn Synchronise>,
    /// What every verb is given.
    pub context: Context,
    /// The name of this machine, for manifests.
    pub host: String,
}

impl Parts {
    pub(crate) fn data_set(&self, name: DataSetName) -> Result<&Arc<dyn DataSet>> {
        self.data_sets.get(&name).ok_or_else(|| {
            Error::refused(format!("{name} is in the plan and not in the configuration"))
                .hint("Add its section to the configuration, or leave it out with --only.")
        })
    }

    /// Begin, the work, End: as the watcher sees it.
    pub(crate) fn watched<T>(
        &self,
        data_set: DataSetName,
        verb: Verb,
        total_bytes: Option<u64>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.context.watch.see(Event::Begin { data_set, verb, total_bytes });
        let result = work()?;
        self.context.watch.see(Event::End { data_set, verb });
        Ok(result)
    }
}

/// Lets the other dumps of a backup begin when the system database's view is open.
#[derive(Default)]
pub(crate) struct FirstView {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl FirstView {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    fn wait(&self, context: &Context) -> Result<()> {
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            context.stop.check()?;
            is_open = self
                .opened
                .wait_timeout(is_open, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        Ok(())
    }
}

/// Acts out one step.
pub(crate) fn act(parts: &Parts, run: &Run, step: &Step, first_view: &FirstView) -> Result<Output> {
    match &step.action {
        Action::Dump { data_set } => {
            let kept = dump(parts, &run.plan.set, *data_set, Some(first_view))?;
            Ok(Output::Kept { kept: Box::new(kept) })
        }
        Action::WriteManifest => write_manifest(parts, run),
        Action::Reserve { data_set, road } => {
            let kept = kept_of(run, *data_set)?;
            let place = parts.data_set(*data_set)?.reserve(&parts.context, kept, *road)?;
            Ok(Output::Reserved { place, snapshot: kept.snapshot.clone() })
        }
        Action::Stage { data_set, reserved } => {
            let kept = kept_of(run, *data_set)?;
            stage(parts, *data_set, place_of(run, *reserved)?, kept)?;
            Ok(Output::Done)
        }
        Action::Prove { data_set, reserved } => {
            let evidence = prove(parts, *data_set, place_of(run, *reserved)?, kept_of(run, *data_set)?)?;
            Ok(Output::Proven { evidence: Box::new(evidence) })
        }
        Action::NoteWriters { data_sets } => Ok(Output::Noted { noted: parts.writers.note(&parts.context, data_sets)? }),
        Action::StopWriters { noted } => {
            parts.writers.stop(&parts.context, noted_of(run, *noted)?)?;
            Ok(Output::Done)
        }
        Action::SafetyCopy { data_sets } => safety_copy(parts, run, data_sets),
        Action::CutOver { data_set, reserved } => {
            let place = place_of(run, *reserved)?;
            let store = parts.data_set(*data_set)?;
            parts.watched(*data_set, Verb::CutOver, None, || store.cut_over(&parts.context, place))?;
            Ok(Output::Done)
        }
        Action::StartWriters { noted, groups } => {
            let noted = noted_of(run, *noted)?;
            groups.iter().try_for_each(|group| parts.writers.start(&parts.context, noted, *group))?;
            Ok(Output::Done)
        }
        Action::Synchronise { task } => {
            parts.synchronise.synchronise(&parts.context, *task)?;
            Ok(Output::Done)
        }
        Action::ReleaseWriters { noted } => {
            parts.writers.release(&parts.context, noted_of(run, *noted)?)?;
            Ok(Output::Done)
        }
    }
}

pub(crate) fn place_of(run: &Run, reserved: StepId) -> Result<&Place> {
    match run.output(reserved) {
        Some(Output::Reserved { place, .. }) => Ok(place),
        _ => Err(Error::needs_person(format!("the journal does not say which place step {reserved} reserved"))),
    }
}

pub(crate) fn noted_of(run: &Run, noted: StepId) -> Result<&Noted> {
    match run.output(noted) {
        Some(Output::Noted { noted }) => Ok(noted),
        _ => Err(Error::needs_person(format!("the journal does not say what step {noted} noted of the writers"))),
    }
}

pub(crate) fn kept_of(run: &Run, data_set: DataSetName) -> Result<&KeptDataSet> {
    let planned = run.plan.data_sets.get(&data_set).and_then(|planned| planned.kept.as_ref());
    planned.ok_or_else(|| Error::failed(format!("the plan does not say what of {data_set} goes back")))
}

pub(crate) fn stage(parts: &Parts, data_set: DataSetName, place: &Place, kept: &KeptDataSet) -> Result<()> {
    let store = parts.data_set(data_set)?;
    parts.watched(data_set, Verb::Stage, Some(kept.bytes), || {
        let snapshot: Arc<dyn plan::ports::Snapshot> = Arc::from(parts.repository.open(&kept.snapshot)?);
        store.stage(&parts.context, place, snapshot, kept)
    })
}

pub(crate) fn prove(parts: &Parts, data_set: DataSetName, place: &Place, kept: &KeptDataSet) -> Result<plan::evidence::Evidence> {
    let store = parts.data_set(data_set)?;
    let found = parts.watched(data_set, Verb::Prove, Some(kept.bytes), || store.prove(&parts.context, place, kept))?;
    let differences = kept.evidence.differences(&found);
    if differences.is_empty() {
        return Ok(found);
    }
    let shown = differences.len().min(10);
    let error = Error::failed(format!("what was staged of {data_set} does not equal the set: {} differences", differences.len()));
    let error = differences.into_iter().take(shown).fold(error, Error::hint);
    Err(error.hint("The live data was not swapped. `resume` stages again; `undo` drops what was staged."))
}

fn dump(parts: &Parts, set: &SetId, data_set: DataSetName, first_view: Option<&FirstView>) -> Result<KeptDataSet> {
    let store = parts.data_set(data_set)?;
    if let Some(view) = first_view.filter(|_| data_set != DataSetName::SystemDatabase) {
        view.wait(&parts.context)?;
    }
    let findings = store.look(&parts.context)?;
    let kind = store.kind()?;
    let started_at = Timestamp::now();
    let kept = parts.watched(data_set, Verb::Dump, Some(findings.size_bytes), || {
        let dump = store.dump(&parts.context)?;
        if let Some(view) = first_view.filter(|_| data_set == DataSetName::SystemDatabase) {
            view.open();
        }
        parts.repository.keep(&parts.context, &Keep { set: set.clone(), data_set }, dump)
    })?;
    for warning in &kept.verdict.evidence.warnings {
        parts.context.watch.see(Event::Warning(&format!("{data_set}: {warning}")));
    }
    Ok(KeptDataSet {
        snapshot: kept.snapshot,
        kind,
        store: findings.store,
        started_at,
        consistent_at: kept.verdict.consistent_at,
        finished_at: Timestamp::now(),
        parts: kept.parts,
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        evidence: kept.verdict.evidence,
    })
}

fn write_manifest(parts: &Parts, run: &Run) -> Result<Output> {
    let mut data_sets = BTreeMap::new();
    for step in &run.plan.steps {
        if let (Action::Dump { data_set }, Some(Output::Kept { kept })) = (&step.action, run.output(step.id)) {
            data_sets.insert(*data_set, kept.as_ref().clone());
        }
    }
    if data_sets.len() != run.plan.data_sets.len() {
        return Err(Error::failed("not every data set of the plan was kept; the set is not written"));
    }
    if parts.repository.manifests()?.iter().any(|manifest| manifest.set == run.plan.set) {
        return Ok(Output::Set { set: run.plan.set.clone() });
    }
    let manifest = manifest(parts, run.plan.set.clone(), run.opened_at, run.plan.freeze, None, data_sets);
    parts.repository.write_manifest(&manifest)?;
    Ok(Output::Set { set: manifest.set })
}

fn safety_copy(parts: &Parts, run: &Run, data_sets: &[DataSetName]) -> Result<Output> {
    let (set, started_at) = (crate::new_set_id(), Timestamp::now());
    let mut kept = BTreeMap::new();
    for name in data_sets {
        let mut copy = dump(parts, &set, *name, None)?;
        copy.evidence.facts.insert(evidence::SAFETY_COPY.to_owned(), run.plan.run.to_string());
        kept.insert(*name, copy);
    }
    let manifest = manifest(parts, set.clone(), started_at, run.holds_writers(), Some(run.plan.run.clone()), kept);
    parts.repository.write_manifest(&manifest)?;
    Ok(Output::Set { set })
}

fn manifest(
    parts: &Parts,
    set: SetId,
    started_at: Timestamp,
    frozen: bool,
    safety_for: Option<RunId>,
    data_sets: BTreeMap<DataSetName, KeptDataSet>,
) -> Manifest {
    Manifest {
        format: manifest::FORMAT.to_owned(),
        set,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: parts.host.clone(),
        started_at,
        finished_at: Timestamp::now(),
        frozen,
        safety_for,
        data_sets,
    }
}
