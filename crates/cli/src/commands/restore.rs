//! `plan` and `restore`: how a set goes back, and putting it back.

pub(crate) mod agreeing;
mod classes;
mod empty;
mod origin;
mod printed;
pub(crate) mod tenant;
mod together;

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::choice::{Owner, Whose};
use plan::ids::{DataSetName, RunId};
use plan::manifest::Manifest;
use plan::ports::{Context, DataSet, MergedClass, Problem, Repository, Road, Severity};
use plan::{Around, Error, InstallationId, ObjectsPolicy, Plan, Result, Target, WritersAre, plan_restore};
use runner::{Hands, State};
use serde::Serialize;
use threescale::verify::Only;

use crate::app::App;
use crate::args;
use crate::care;
use crate::commands::backup::with_way_out;
use crate::commands::runs::print_report;
use crate::config::Config;
use crate::in_the_way;
use crate::inside;
use crate::join::{self, Installation};
use crate::journals;
use crate::locks;
use crate::queues::{self, LeftOutQueue};
use crate::rates::{Estimate, Of};
use crate::rewrite;
use crate::whose::Wanted;
use crate::writers::Consent;
use printed::estimated_space_bytes;
pub(crate) use printed::print_plan;
use together::Together;

/// What `plan --json` says.
#[derive(Serialize)]
struct PlanDocument<'a> {
    plan: &'a Plan,
    /// Whose set goes back; `null` for a set of release 0.1.0, which wrote no name. `plan.from` is there when it is another's.
    set_installation: Option<&'a InstallationId>,
    /// As fast as before on this machine; `null` where it has no past.
    estimated_stage_ms: Option<i64>,
    estimated_space_bytes: u64,
    /// Job queues of the set that are not loaded, or not wholly: database, queue, jobs that are left out.
    queues_left_out: Vec<LeftOutQueue>,
    /// The jobs of the set by queue and class, and what becomes of them.
    jobs: &'a [queues::JobsOfClass],
    /// Reports of traffic that were not counted when the set was taken; `null` where the set does not tell.
    usage_in_flight: Option<u64>,
    /// Kubernetes objects of the set that are not the same here. Secrets as digests.
    objects: &'a [String],
    /// Where keys of some classes go back alone: what becomes of them.
    classes: &'a [MergedClass],
    /// Where the rows of one tenant go back alone: what becomes of them.
    tenant: Option<tenant::TenantDocument<'a>>,
    refused: bool,
}

pub(crate) fn plan(app: &App, args: &args::PlanArgs) -> Result<()> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let writers = installation.writers_are(args.writers_are_stopped, false).unwrap_or(WritersAre::ByHand);
    let mut prepared = prepare_any(app, &config, installation.as_ref(), args, writers, "plan")?;
    let state = app.state_to_look_at(&config, Some(installation.as_ref()))?;
    let (repository, data_sets) = (Arc::clone(&prepared.repository), prepared.data_sets.clone());
    let hands = app.hands(&config, installation.as_ref(), repository, data_sets, prepared.plan.run.clone(), Consent::Given)?;
    if let Err(error) = refuse_what_is_in_the_way(app, &state, &hands) {
        let problem = Problem::new(Severity::Blocks, error.chain()).way_out(error.hints().join(" "));
        prepared.plan.problems.push(problem);
    }
    show_plan(app, &prepared)?;
    prepared.plan.check()
}

pub(crate) fn restore(app: &App, args: &args::Restore) -> Result<()> {
    if args.into_empty {
        return empty::restore(app, args);
    }
    if args.dry_run {
        return plan(app, &args.plan);
    }
    // A command that looks asks at a socket, after hours of loading.
    if args.plan.then.is_some() {
        lab::fits_sockets()?;
    }
    let Some((state, run)) = carry_out(app, args)? else { return Ok(()) };
    print_report(app, &state, &run)?;
    let config = app.config()?;
    let only = match args.plan.tenant.tenant.is_some() {
        true => tenant::after(app, &config, &state, &run)?,
        false => None,
    };
    if args.plan.no_verify || args.plan.is_of_a_part() && only.is_none() {
        return Ok(());
    }
    let context = app.context_alone(&config)?;
    compare_after(app, &config, &context, (&state, &run), only.as_ref())
}

/// Says how the live stores agree, and notes it.
fn compare_after(app: &App, config: &Config, context: &Context, (state, run): (&State, &RunId), only: Option<&Only>) -> Result<()> {
    let installation = app.installation(config)?;
    let context = Context { installation: installation.id(), ..context.clone() };
    let mut locks = None;
    agreeing::after(app, config, &context, only, || {
        locks = Some(locks::take(app, state, installation.as_ref(), &context)?);
        state.open_journal(run)
    })
}

/// Plans, asks, and carries the plan out; `None` when there is nothing to do.
pub(crate) fn carry_out(app: &App, args: &args::Restore) -> Result<Option<(State, RunId)>> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let state = app.state(&config, Some(installation.as_ref()))?;
    let writers = match installation.writers_are(args.plan.writers_are_stopped, args.yes) {
        Some(writers) => writers,
        // Nobody is stopped.
        None if args.plan.is_of_a_part() => WritersAre::Running,
        None if std::io::IsTerminal::is_terminal(&std::io::stdin()) => WritersAre::ByHand,
        None => {
            return Err(Error::refused("cannot tell whether the writers are stopped, and there is no terminal to ask on").hint(
                "Configure [writers] stop, start and stopped; or stop the writers and pass --writers-are-stopped; or pass --yes alone: anything written after the \
                 cut-over begins is then lost.",
            ));
        }
    };
    let prepared = prepare_any(app, &config, installation.as_ref(), &args.plan, writers, "restore")?;
    if prepared.changes_nothing() {
        show_plan(app, &prepared)?;
        prepared.plan.check()?;
        app.output.note("There is nothing to do, and no run was begun.");
        return Ok(None);
    }
    let consent = if args.plan.writers_are_stopped || args.yes { Consent::Given } else { Consent::Ask };
    let run = carry_out_prepared(app, &config, installation.as_ref(), &state, prepared, &Carried { asks: !args.yes, consent })?;
    Ok(Some((state, run)))
}

/// How a plan is carried out.
struct Carried {
    /// Whether a person is asked first.
    asks: bool,
    /// What was said about the writers.
    consent: Consent,
}

/// Shows a plan, asks, and carries it out.
fn carry_out_prepared(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    state: &State,
    prepared: Prepared,
    how: &Carried,
) -> Result<RunId> {
    if !app.output.json {
        app.output.note(&prepared.text());
    }
    prepared.plan.check()?;
    let run = prepared.plan.run.clone();
    let mut hands = app.hands(config, installation, prepared.repository, prepared.data_sets, run.clone(), how.consent)?;
    hands.context.installation = prepared.plan.installation.clone().unwrap_or_default();
    refuse_what_is_in_the_way(app, state, &hands)?;
    if how.asks {
        match app.output.ask("Carry out this plan?")? {
            Some(true) => {}
            Some(false) => return Err(Error::refused("not carried out; nothing was touched")),
            None => return Err(Error::refused("nobody can be asked whether to carry out the plan").hint("Say --yes.")),
        }
    }
    // Not before the answer: a person may think for long. Then all is looked at again.
    let _locks = locks::take(app, state, installation, &hands.context)?;
    refuse_what_is_in_the_way(app, state, &hands)?;
    app.output.expect(prepared.estimate.map(Estimate::whole).unwrap_or_default());
    let journal = state.begin(prepared.plan)?;
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;
    Ok(run)
}

/// Runs that are known, and what others left in the stores.
fn refuse_what_is_in_the_way(app: &App, state: &State, hands: &Hands) -> Result<()> {
    let copies = hands.copies_journal.then_some(hands.repository.as_ref());
    let known = journals::known(state, copies, &hands.context.installation)?;
    let left = in_the_way::leftovers(app, &hands.data_sets, Some(hands.writers.as_ref()), &hands.context);
    in_the_way::of_restore(&known, &left)
}

struct Prepared {
    repository: Arc<dyn Repository>,
    data_sets: BTreeMap<DataSetName, Arc<dyn DataSet>>,
    manifest: Manifest,
    plan: Plan,
    jobs: queues::Jobs,
    objects: Vec<String>,
    /// How long it takes to stage and prove, as far as there is a past.
    estimate: Option<Estimate>,
    /// Where keys of some classes go back alone.
    merged: Option<classes::Merged>,
    /// Where the rows of one tenant go back alone.
    tenant: Option<tenant::OneTenant>,
}

impl Prepared {
    /// Where a part goes back alone: whether it is there already.
    fn changes_nothing(&self) -> bool {
        self.merged.as_ref().is_some_and(classes::Merged::changes_nothing)
            || self.tenant.as_ref().is_some_and(tenant::OneTenant::changes_nothing)
    }

    fn text(&self) -> String {
        if let Some(merged) = &self.merged {
            return merged.text(&self.plan, &self.manifest);
        }
        if let Some(tenant) = &self.tenant {
            return tenant.text(&self.plan, &self.manifest);
        }
        let mut lines = vec![print_plan(&self.plan, &self.manifest, self.estimate.as_ref())];
        lines.extend(self.jobs.lines());
        if !self.objects.is_empty() {
            lines.push("Kubernetes objects of the set that are not the same here:".to_owned());
            lines.extend(self.objects.iter().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

fn prepare_any(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    args: &args::PlanArgs,
    writers: WritersAre,
    verb: &'static str,
) -> Result<Prepared> {
    if args.tenant.tenant.is_some() {
        return tenant::prepare(app, config, installation, args, verb);
    }
    if args.classes.classes.is_empty() {
        return prepare(app, config, installation, args, writers, verb);
    }
    classes::prepare(app, config, installation, args, verb)
}

fn prepare(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    args: &args::PlanArgs,
    writers: WritersAre,
    verb: &'static str,
) -> Result<Prepared> {
    join::selected(installation, &args.only.only)?;
    let repository: Arc<dyn Repository> = app.repository(config)?;
    let run = runner::new_run_id();
    let context = app.context(config, run.clone(), installation.id())?;
    let wanted = Wanted::new(verb, &args.set, args.partial.partial);
    let manifest = app.find_set_for(installation, &context, repository.as_ref(), &wanted)?.manifest;
    let names = names_in(installation, &manifest, args)?;
    let policies = args.policies();
    let mut data_sets = join::data_sets(installation, &names, &policies)?;
    let targets = targets(&data_sets, &context, &manifest, args.in_place)?;
    let found = targets.iter().map(|(name, target)| (*name, target.findings.clone())).collect();
    let snapshot = manifest.data_sets.get(&DataSetName::KubernetesObjects).filter(|_| names.contains(&DataSetName::KubernetesObjects));
    let snapshot = snapshot.map(|kept| repository.open(&kept.snapshot)).transpose()?;
    let stopped = if writers == WritersAre::Ours { names.as_slice() } else { &[] };
    let readers = match &snapshot {
        Some(snapshot) if policies.objects == ObjectsPolicy::Overwrite => {
            installation.readers(&context, snapshot.as_ref(), policies.clone(), stopped)?
        }
        _ => Vec::new(),
    };
    let mut set_right = care::look(installation, &context, &names, &care::Wanted::of(args))?;
    let mut offers = installation.synchronise()?.offers();
    let rewriting = rewrite::decide(args.rewrite, &manifest, &data_sets, &context, &mut offers)?;
    set_right.care.rewrites_configuration = rewriting.is_own;
    set_right.problems.extend(rewriting.problem);
    let around = Around { writers, offers, policies: policies.clone(), readers, care: set_right.care, look_first: args.then.clone() };
    let mut plan = plan_restore(run, manifest.set.clone(), targets, &around);
    let here = Whose::Ours { id: installation.id(), store: join::first_identity(installation, &context, &found) };
    plan.from = manifest.installation.clone().filter(|_| here.owner(&manifest) == Owner::Other);
    plan.installation = Some(join::identified(installation, &context, &found));
    plan.problems.extend(join::twice(installation, &context, &found));
    plan.problems.extend(inside::problems(app, config, installation, &names, inside::Verb::Restore));
    let older = origin::older_system(&plan, &manifest, installation.release().as_deref());
    plan.problems.extend(older);
    plan.problems.extend(installation.standing());
    if writers == WritersAre::Ours {
        plan.problems.extend(installation.rights_lacking(&names)?);
    }
    if args.only.only.is_empty() {
        let there: Vec<_> = installation.names().into_iter().filter(|name| !is_declined(args, *name)).collect();
        plan.problems.extend(origin::lacking(&there, &manifest));
    }
    plan.problems.extend(origin::disagreeing(&names, &manifest));
    if !args.no_verify {
        let set = (&manifest, repository.as_ref());
        plan.problems.extend(agreeing::before(app, installation, &context, set, &names)?);
    }
    let objects = match snapshot {
        Some(snapshot) => installation.differences(&context, snapshot.as_ref(), policies)?,
        None => Vec::new(),
    };
    plan.problems.extend(set_right.problems);
    data_sets.extend(set_right.beside);
    let jobs = queues::of_plan(&plan, repository.as_ref(), &context)?;
    plan.problems.extend(jobs.problems());
    let estimate = app.rates(config, Of::Installation).map(|rates| rates.of_plan(&plan));
    Ok(Prepared { repository, data_sets, manifest, plan, jobs, objects, estimate, merged: None, tenant: None })
}

/// The data sets to put back: those asked for, or all of the set; each must be in the set and in the installation. Objects that are not asked for by name are
/// left out where there are none.
fn names_in(installation: &dyn Installation, manifest: &Manifest, args: &args::PlanArgs) -> Result<Vec<DataSetName>> {
    let only = args.only.only.as_slice();
    let in_set: Vec<_> = manifest.data_sets.keys().copied().collect();
    if let Some(missing) = only.iter().find(|name| !in_set.contains(name)) {
        let has: Vec<_> = in_set.iter().map(|name| name.as_str()).collect();
        return Err(Error::refused(format!("set {} has no {missing}", manifest.set)).hint(format!("It has {}.", has.join(", "))));
    }
    let there = installation.names();
    let mut wanted = if only.is_empty() { in_set } else { only.to_vec() };
    let objects = DataSetName::KubernetesObjects;
    if args.objects == args::ObjectsChoice::None || only.is_empty() && !there.contains(&objects) {
        wanted.retain(|name| *name != objects);
    }
    if let Some(missing) = wanted.iter().find(|name| !there.contains(name)) {
        let is_absent = installation.absent().contains(missing);
        let why = if is_absent { format!("says that [{missing}] is absent") } else { format!("has no section [{missing}]") };
        return Err(Error::refused(format!("{missing} is in the set, but the configuration {why}"))
            .hint(format!("{}, or leave it out with --only.", installation.way_to(*missing))));
    }
    Ok(wanted)
}

/// Whether the operator said that it stays as it is.
fn is_declined(args: &args::PlanArgs, name: DataSetName) -> bool {
    name == DataSetName::KubernetesObjects && args.objects == args::ObjectsChoice::None
}

/// Looks at every target of a set, on the road that is open or asked for.
pub(crate) fn targets(
    data_sets: &BTreeMap<DataSetName, Arc<dyn DataSet>>,
    context: &Context,
    manifest: &Manifest,
    in_place: bool,
) -> Result<BTreeMap<DataSetName, Target>> {
    let found = super::backup::look_at_all(data_sets, context)?;
    let mut targets = BTreeMap::new();
    let mut together = Together::default();
    for (name, findings) in found {
        let (Some(kept), Some(store)) = (manifest.data_sets.get(&name), data_sets.get(&name)) else { continue };
        // Objects have no other road, and need none.
        let mut look = || -> Result<_> {
            let asked = in_place && name != DataSetName::KubernetesObjects;
            let (road, why) = if asked { (Road::InPlace, None) } else { store.road(context, &findings, kept)? };
            let (road, why) = together.with(store.as_ref(), context, kept, (road, why))?;
            let mut fits = store.fits(context, kept, road)?;
            fits.extend(why);
            Ok((road, fits, store.rest(kept, road)))
        };
        let (road, fits, rest) = look().map_err(|error| error.during(format!("failed to look whether the set fits into {name}")))?;
        targets.insert(name, Target { findings, kept: kept.clone(), road, fits, rest });
    }
    Ok(targets)
}

fn show_plan(app: &App, prepared: &Prepared) -> Result<()> {
    app.output.line(&prepared.text())?;
    let refused = prepared.plan.check().is_err();
    app.output.document(&PlanDocument {
        plan: &prepared.plan,
        set_installation: prepared.manifest.installation.as_ref(),
        estimated_stage_ms: prepared.estimate.as_ref().and_then(Estimate::ms),
        estimated_space_bytes: if prepared.merged.is_some() || prepared.tenant.is_some() {
            0
        } else {
            estimated_space_bytes(&prepared.plan)
        },
        queues_left_out: prepared.jobs.queues_left_out(),
        jobs: &prepared.jobs.classes,
        usage_in_flight: prepared.jobs.usage_in_flight,
        objects: &prepared.objects,
        classes: prepared
            .merged
            .as_ref()
            .map(|merged| merged.classes.as_slice())
            .or_else(|| prepared.tenant.as_ref().map(tenant::OneTenant::classes))
            .unwrap_or_default(),
        tenant: prepared.tenant.as_ref().map(tenant::OneTenant::document),
        refused,
    })
}
