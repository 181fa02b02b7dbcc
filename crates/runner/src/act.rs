//! What each action does, by calling ports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plan::evidence;
use plan::ids::{DataSetName, SetId};
use plan::journal::Run;
use plan::manifest::{self, Agreement, KeptDataSet, Manifest};
use plan::ports::{
    Context, DataSet, Earlier, Event, Keep, KeyChanges, Noted, Place, Problem, Repository, Road, Severity, StoreKind, Synchronise, Verb,
    Writers,
};
use plan::step::{Action, Output, Step, StepId};
use plan::words::counted;
use plan::{Error, Plan, Restorable, Result};

use crate::draining;
use crate::files::{self, FileFinder};
use crate::merging;
use crate::repairing::{self, Repairer};
use crate::rows::{self, RowWorker};
use crate::setting_right;
use crate::views::Views;

/// Everything that a run calls.
#[derive(Clone)]
pub struct Hands {
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
    /// Whether copies of the journal go into the repository: where the journal is on this machine only.
    pub copies_journal: bool,
    /// The name of this machine, for manifests.
    pub host: String,
    /// Whether a backup reads all, also what seems not to have changed since the set before.
    pub reads_all: bool,
    /// How many steps run at the same time.
    pub lanes: usize,
    /// How long to rest before what failed for a while is done once more, as far as that changes nothing that is live; as often as there are rests.
    pub rests: Vec<Duration>,
    /// Says how far the stores of a set agree, before its manifest is written; `None` where it is not to be looked at.
    pub examine: Option<Examine>,
    /// Rewrites the configuration in Backend from System's rows.
    pub rewriter: Option<Rewriter>,
    /// Works out what of the live keys is to be set right.
    pub repairer: Option<Repairer>,
    /// Works out which live rows of a tenant are not as a set has them.
    pub row_worker: Option<RowWorker>,
    /// Finds the files of a tenant in a set.
    pub file_finder: Option<FileFinder>,
    /// Runs a command that looks at what is staged.
    pub onlooker: Option<Onlooker>,
}

/// Runs a command that looks at what is staged, to its end; an error when that is not 0.
pub type Onlooker = Arc<dyn Fn(&Looking<'_>) -> Result<()> + Send + Sync>;

/// What an [`Onlooker`] is given.
pub struct Looking<'a> {
    /// For `sh -c`.
    pub command: &'a str,
    /// The set that is staged.
    pub set: &'a SetId,
    /// What is staged, and where.
    pub staged: Vec<(DataSetName, &'a dyn DataSet, &'a Place)>,
    /// Who watches, and who stops.
    pub context: &'a Context,
}

/// Works out from what was kept of System and of Backend what has to change in Backend, and gives it to whom makes the changes.
pub type Rewriter = Arc<dyn Fn(&Rewriting<'_>, Make<'_>) -> Result<Output> + Send + Sync>;

/// Makes changes.
pub type Make<'a> = &'a dyn Fn(&mut dyn KeyChanges) -> Result<()>;

/// What a [`Rewriter`] is given.
pub struct Rewriting<'a> {
    /// What was kept of the system database.
    pub system: &'a KeptDataSet,
    /// What was kept of Backend's Redis.
    pub backend: &'a KeptDataSet,
    /// Where it is kept.
    pub repository: &'a dyn Repository,
    /// Who watches, and who stops.
    pub context: &'a Context,
}

/// See [`Hands::examine`]. An error ends the backup: what only cannot be told is none.
pub type Examine = Arc<dyn Fn(&Manifest, &dyn Repository, &Context) -> Result<Option<Agreement>> + Send + Sync>;

impl Hands {
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

/// Acts out one step.
pub(crate) fn act(hands: &Hands, run: &Run, step: &Step, views: &Views) -> Result<Output> {
    match &step.action {
        Action::Dump { data_set, after_view_of } => {
            if let Some(first) = after_view_of {
                views.wait_for(*first, &hands.context)?;
            }
            let kept = dump(hands, &run.plan.set, *data_set, || views.opened(*data_set))?;
            Ok(Output::Kept { kept: Box::new(kept) })
        }
        Action::WriteManifest => write_manifest(hands, run),
        Action::Reserve { data_set, road } => {
            let kept = kept_of(run, *data_set)?;
            let place = hands.data_set(*data_set)?.reserve(&hands.context, kept, *road)?;
            Ok(Output::Reserved { place, snapshot: kept.snapshot.clone() })
        }
        Action::Stage { data_set, reserved } => {
            let kept = kept_of(run, *data_set)?;
            stage(hands, *data_set, place_of(run, *reserved)?, kept)?;
            Ok(Output::Done)
        }
        Action::Prove { data_set, reserved } => {
            let evidence = prove(hands, *data_set, place_of(run, *reserved)?, kept_of(run, *data_set)?, run.is_in_place(*reserved))?;
            Ok(Output::Proven { evidence: Box::new(evidence) })
        }
        Action::RewriteConfiguration { data_set, reserved } => rewrite(hands, run, *data_set, place_of(run, *reserved)?),
        Action::KeepKeys { data_set, database, wanted } => repairing::keep_keys(hands, run, (*data_set, database), wanted),
        Action::RepairKeys { data_set, database, kept } => repairing::repair_keys(hands, run, (*data_set, database), *kept),
        Action::KeepRows { data_set, whose } => rows::keep_rows(hands, run, *data_set, whose),
        Action::ChangeRows { data_set, kept } => rows::change_rows(hands, run, *data_set, *kept),
        Action::StageFiles { data_set, reserved, whose } => files::stage(
            hands,
            (*data_set, place_of(run, *reserved)?),
            whose,
            (kept_of(run, *data_set)?, kept_of(run, DataSetName::SystemDatabase)?),
        ),
        Action::PutFiles { data_set, reserved } => files::put(hands, *data_set, place_of(run, *reserved)?),
        Action::LookFirst { command, staged } => {
            let onlooker = hands.onlooker.as_ref().ok_or_else(|| Error::failed("there is nobody here to run the command of --then"))?;
            let staged = staged.iter().map(|(name, reserved)| Ok((*name, hands.data_set(*name)?.as_ref(), place_of(run, *reserved)?)));
            let staged = staged.collect::<Result<Vec<_>>>()?;
            onlooker(&Looking { command, set: &run.plan.set, staged, context: &hands.context })?;
            Ok(Output::Done)
        }
        Action::LoadRest { data_set, reserved } => {
            let (place, kept) = (place_of(run, *reserved)?, kept_of(run, *data_set)?);
            let (store, snapshot) = (hands.data_set(*data_set)?, Arc::from(hands.repository.open(&kept.snapshot)?));
            hands.watched(*data_set, Verb::Stage, None, || store.load_rest(&hands.context, place, snapshot, kept))?;
            Ok(Output::Done)
        }
        Action::NoteWriters { data_sets } => Ok(Output::Noted { noted: hands.writers.note(&hands.context, data_sets)? }),
        Action::StopWriters { noted, drain } => {
            if let Some(drain) = drain {
                draining::drain(hands, noted_of(run, *noted)?, drain)?;
            }
            hands.writers.stop(&hands.context, noted_of(run, *noted)?)?;
            Ok(Output::Done)
        }
        Action::SafetyCopy { data_sets } => safety_copy(hands, run, data_sets),
        Action::CutOver { data_set, reserved } => {
            let place = place_of(run, *reserved)?;
            let store = hands.data_set(*data_set)?;
            hands.watched(*data_set, Verb::CutOver, None, || store.cut_over(&hands.context, place))?;
            Ok(Output::Done)
        }
        Action::MergeKeys { data_set, reserved, merging, ids } => {
            let (place, kept) = (place_of(run, *reserved)?, kept_of(run, *data_set)?);
            merging::merge(hands, (*data_set, place), kept, merging, ids)
        }
        Action::NoteIds { data_set, counters } => setting_right::note_ids(hands, *data_set, counters),
        Action::KeepIdsAhead { data_set, noted, pending_deletion, seen } => {
            // Before what System has is taken out of one of them.
            setting_right::keep_ids_ahead(hands, run, (*data_set, *noted), pending_deletion.as_ref(), seen)
        }
        Action::HoldClock { data_set, ticks, counts } => setting_right::hold_clock(hands, *data_set, ticks, counts),
        Action::StartWriters { noted, groups } => {
            let noted = noted_of(run, *noted)?;
            groups.iter().try_for_each(|group| hands.writers.start(&hands.context, noted, *group))?;
            Ok(Output::Done)
        }
        Action::Synchronise { task } => {
            hands.synchronise.synchronise(&hands.context, *task)?;
            Ok(Output::Done)
        }
        Action::RestartReaders { readers } => {
            hands.writers.restart(&hands.context, readers)?;
            Ok(Output::Done)
        }
        Action::ReleaseWriters { noted } => {
            hands.writers.release(&hands.context, noted_of(run, *noted)?)?;
            Ok(Output::Done)
        }
    }
}

/// Where Backend's keys of configuration are in a set.
const CONFIGURATION: &str = "storage";

fn rewrite(hands: &Hands, run: &Run, data_set: DataSetName, place: &Place) -> Result<Output> {
    let rewriter = hands.rewriter.as_ref().ok_or_else(|| Error::failed("there is nobody here to rewrite the configuration in Backend"))?;
    let (system, backend) = (kept_of(run, DataSetName::SystemDatabase)?, kept_of(run, data_set)?);
    let (store, context) = (hands.data_set(data_set)?, &hands.context);
    let rewriting = Rewriting { system, backend, repository: hands.repository.as_ref(), context };
    let output = rewriter(&rewriting, &|changes| store.change_keys(context, place, CONFIGURATION, changes))?;
    if let Output::Rewritten { written, changed, removed } = &output {
        let text = format!("the configuration in Backend is as System has it: {written} written, {changed} changed, {removed} removed");
        context.watch.see(Event::Note(&text));
    }
    Ok(output)
}

pub(crate) fn place_of(run: &Run, reserved: StepId) -> Result<&Place> {
    run.place(reserved).ok_or_else(|| Error::needs_person(format!("the journal does not say which place step {reserved} reserved")))
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

pub(crate) fn stage(hands: &Hands, data_set: DataSetName, place: &Place, kept: &KeptDataSet) -> Result<()> {
    let store = hands.data_set(data_set)?;
    hands.watched(data_set, Verb::Stage, Some(kept.bytes), || {
        let snapshot: Arc<dyn plan::ports::Snapshot> = Arc::from(hands.repository.open(&kept.snapshot)?);
        store.stage(&hands.context, place, snapshot, kept)
    })
}

pub(crate) fn prove(
    hands: &Hands,
    data_set: DataSetName,
    place: &Place,
    kept: &KeptDataSet,
    is_in_place: bool,
) -> Result<plan::evidence::Evidence> {
    let store = hands.data_set(data_set)?;
    let found = hands.watched(data_set, Verb::Prove, Some(kept.bytes), || store.prove(&hands.context, place, kept))?;
    let differences = kept.evidence.differences(&found);
    if differences.is_empty() {
        return Ok(found);
    }
    let shown = differences.len().min(10);
    let what = if is_in_place { "what is live now of" } else { "the staged copy of" };
    let places = counted(differences.len(), "place", "places");
    let error = Error::failed(format!("{what} {data_set} differs from the set in {places}"));
    let error = differences.into_iter().take(shown).fold(error, Error::hint);
    Err(error.hint(match is_in_place {
        true => "It is what is live now. `resume` loads it again; `undo` puts the previous data back.",
        false => "The live data was not swapped. `resume` stages again; `undo` drops what was staged.",
    }))
}

fn dump(hands: &Hands, set: &SetId, data_set: DataSetName, view_is_open: impl FnOnce()) -> Result<KeptDataSet> {
    let store = hands.data_set(data_set)?;
    let findings = store.look(&hands.context)?;
    let kind = store.kind()?;
    let started_at = Timestamp::now();
    let earlier = if kind.is_files() { earlier(hands, store.as_ref(), &kind, findings.identity.as_deref())? } else { None };
    let kept = hands.watched(data_set, Verb::Dump, Some(findings.size_bytes), || {
        let (earlier, dump) = match earlier {
            Some(earlier) => (Some(earlier.kept.snapshot.clone()), store.dump_since(&hands.context, earlier)?),
            None => (None, store.dump(&hands.context)?),
        };
        view_is_open();
        hands.repository.keep(&hands.context, &Keep { set: set.clone(), data_set, earlier }, dump)
    })?;
    for warning in &kept.verdict.evidence.warnings {
        hands.context.watch.see(Event::Warning(&format!("{data_set}: {warning}")));
    }
    for problem in &kept.verdict.problems {
        hands.context.watch.see(Event::Warning(&format!("{data_set}: {}", problem.sentence())));
    }
    Ok(KeptDataSet {
        snapshot: kept.snapshot,
        kind,
        store: findings.store,
        identity: findings.identity,
        started_at,
        consistent_at: kept.verdict.consistent_at,
        finished_at: Timestamp::now(),
        parts: kept.parts,
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        evidence: kept.verdict.evidence,
        problems: kept.verdict.problems,
    })
}

/// The newest snapshot of the same store that a dump can build on. One that cannot be opened is no reason not to back up: all is read then.
fn earlier(hands: &Hands, store: &dyn DataSet, kind: &StoreKind, identity: Option<&str>) -> Result<Option<Earlier>> {
    let data_set = store.name();
    let is_of_store = |manifest: &Manifest, kept: &KeptDataSet| match (identity, kept.identity.as_deref()) {
        (Some(now), Some(then)) => now == then,
        // A store that nothing tells from others: that of the same installation.
        (None, None) => manifest.installation.as_ref().is_some_and(|installation| hands.context.installation.is(installation)),
        _ => false,
    };
    let usable = |manifest: &Manifest| {
        let kept = manifest.data_sets.get(&data_set)?;
        (kept.kind == *kind && is_of_store(manifest, kept) && store.reuses(kept)).then(|| kept.clone())
    };
    let Some(kept) = hands.repository.manifests()?.iter().rev().find_map(usable) else { return Ok(None) };
    match hands.repository.open(&kept.snapshot) {
        Ok(snapshot) => Ok(Some(Earlier { snapshot: Arc::from(snapshot), kept, reads_all: hands.reads_all })),
        Err(error) => {
            let text = format!("{data_set}: all of it is read again, because the set before cannot be used: {}", error.chain());
            hands.context.watch.see(Event::Warning(&text));
            Ok(None)
        }
    }
}

fn write_manifest(hands: &Hands, run: &Run) -> Result<Output> {
    let mut data_sets = BTreeMap::new();
    for step in &run.plan.steps {
        if let (Action::Dump { data_set, .. }, Some(Output::Kept { kept })) = (&step.action, run.output(step.id)) {
            data_sets.insert(*data_set, kept.as_ref().clone());
        }
    }
    if data_sets.len() != run.plan.data_sets.len() {
        return Err(Error::failed("not every data set of the plan was kept; the set is not written"));
    }
    if hands.repository.manifests()?.iter().any(|manifest| manifest.set == run.plan.set) {
        return Ok(Output::Set { set: run.plan.set.clone() });
    }
    let manifest = Manifest { frozen: run.plan.freeze, ..manifest(hands, &run.plan, run.plan.set.clone(), run.opened_at, data_sets) };
    let examined = hands.examine.as_ref().map(|examine| examine(&manifest, hands.repository.as_ref(), &hands.context)).transpose()?;
    let manifest = Manifest { agreement: examined.flatten(), finished_at: Timestamp::now(), ..manifest };
    hands.repository.write_manifest(&manifest)?;
    Ok(Output::Set { set: manifest.set })
}

fn safety_copy(hands: &Hands, run: &Run, data_sets: &[DataSetName]) -> Result<Output> {
    let (set, started_at) = (crate::new_set_id(), Timestamp::now());
    let mut kept = BTreeMap::new();
    for name in data_sets {
        let mut copy = dump(hands, &set, *name, || ())?;
        refuse_useless(hands, run, *name, &copy)?;
        copy.evidence.facts.insert(evidence::SAFETY_COPY.to_owned(), run.plan.run.to_string());
        kept.insert(*name, copy);
    }
    let safety_for = Some(run.plan.run.clone());
    let manifest = Manifest { frozen: run.holds_writers(), safety_for, ..manifest(hands, &run.plan, set.clone(), started_at, kept) };
    hands.repository.write_manifest(&manifest)?;
    Ok(Output::Set { set })
}

/// Where the safety copy is the only way back, it must be one: what could not be loaded again is not replaced.
fn refuse_useless(hands: &Hands, run: &Run, data_set: DataSetName, copy: &KeptDataSet) -> Result<()> {
    if Restorable::of(&copy.problems) != Restorable::No {
        return Ok(());
    }
    let store = hands.data_set(data_set)?;
    let place = store.reserve(&hands.context, kept_of(run, data_set)?, Road::InPlace)?;
    if store.keeps_previous(&place) {
        return Ok(());
    }
    let error = Error::failed(format!("{data_set} is not replaced in place: its safety copy could not go back"));
    let error = copy.problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(Problem::sentence).fold(error, Error::hint);
    Err(error.hint("The live data was not touched."))
}

fn manifest(hands: &Hands, plan: &Plan, set: SetId, started_at: Timestamp, data_sets: BTreeMap<DataSetName, KeptDataSet>) -> Manifest {
    Manifest {
        format: manifest::FORMAT.to_owned(),
        set,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        host: hands.host.clone(),
        started_at,
        finished_at: Timestamp::now(),
        frozen: false,
        safety_for: None,
        installation: plan.installation.clone(),
        release: plan.release.clone(),
        newest_migration: plan.newest_migration().map(str::to_owned),
        left_out: plan.left_out.clone(),
        absent: plan.absent.clone(),
        agreement: None,
        data_sets,
    }
}
