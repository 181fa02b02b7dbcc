//! `restore SET --into-empty`: a lost installation comes back in a namespace that has none.
//!
//! Two runs, each with its journal, and between them the operator's work: first the objects, whose APIManager names no writers yet; then, when the operator has made
//! the databases and all else, the data, as in any restore; at its end the writers start over it. The same call again goes on wherever it was interrupted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::ids::{DataSetName, SetId};
use plan::journal::{Run, RunState};
use plan::ports::Repository;
use plan::{Error, Purpose, Result, WritersAre};
use runner::State;

use super::{Carried, Prepared, carry_out_prepared, compare_after, names_in, prepare, show_plan};
use crate::app::App;
use crate::args;
use crate::commands::backup::with_way_out;
use crate::commands::runs::print_report;
use crate::config::Config;
use crate::join::{self, Installation};
use crate::journals;
use crate::locks;
use crate::writers::Consent;

/// How long the operator may take to make an installation: images are pulled, volumes made.
const MADE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long it may take until it is content with it.
const CONTENT_MAX: Duration = Duration::from_secs(15 * 60);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often a person is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(15);

pub(super) fn restore(app: &App, args: &args::Restore) -> Result<()> {
    let config = app.config()?;
    let here = app.installation_even_nothing(&config, args.domain.as_deref())?;
    // In a cluster or a namespace that was made anew one's own sets are told by their name.
    let app = &app.about_sets_of(&here.id().name);
    let state = app.state(&config, Some(here.as_ref()))?;
    let objects = match began(app, &config, &state, here.as_ref())? {
        None => {
            let first = prepare_objects(app, &config, here.as_ref(), args)?;
            if args.dry_run {
                show_plan(app, &first)?;
                app.output.note("Then the operator makes the installation, with all writers at 0; then the data goes back as in any restore, and the writers start.");
                return first.plan.check();
            }
            carry_out_prepared(app, &config, here.as_ref(), &state, first, &carried(args))?
        }
        Some(_) if args.dry_run => {
            return Err(Error::refused("the objects are there already").hint("`plan SET --objects none` shows how the data goes back."));
        }
        Some(run) => goes_on(app, &config, here.as_ref(), &state, &run)?,
    };
    let set = state.open_journal(&objects)?.run().plan.set.clone();
    let args = &of_data(args, &set);
    let data = match newer(app, &config, &state, here.as_ref(), &objects)? {
        Some(run) => {
            let made = app.installation(&config)?;
            goes_on(app, &config, made.as_ref(), &state, &run)?
        }
        None => {
            let made = wait_until_made(app, &config, args)?;
            let second = prepare(app, &config, made.as_ref(), &args.plan, WritersAre::Ours, "restore")?;
            carry_out_prepared(app, &config, made.as_ref(), &state, second, &Carried { asks: false, ..carried(args) })?
        }
    };
    print_report(app, &state, &data)?;
    wait_until_content(app, &config)?;
    if !args.plan.no_verify {
        compare_after(app, &config, &app.context_alone(&config)?, (&state, &data), None)?;
    }
    app.output.note(&format!(
        "The installation is there. `undo {data}` takes the data back, then `undo {objects}` empties the namespace again; `settle {data}` keeps it."
    ));
    Ok(())
}

const fn carried(args: &args::Restore) -> Carried {
    Carried { asks: !args.yes, consent: Consent::Given }
}

/// The run that put the objects here, when there is one that goes on or is done.
fn began(app: &App, config: &Config, state: &State, here: &dyn Installation) -> Result<Option<Run>> {
    let of_objects = |run: &Run| run.fills_empty() && !matches!(run.state, RunState::Undone | RunState::Settled | RunState::Abandoned);
    Ok(runs(app, config, state, here)?.into_iter().rev().find(of_objects))
}

/// The run that puts the data back beside the objects of that run, when there is one that goes on or is done.
fn newer(app: &App, config: &Config, state: &State, here: &dyn Installation, objects: &plan::ids::RunId) -> Result<Option<Run>> {
    let is_newer = |run: &Run| run.plan.run > *objects && run.plan.purpose == Purpose::Restore && !run.fills_empty();
    let is_there = |run: &Run| is_newer(run) && !matches!(run.state, RunState::Undone | RunState::Abandoned);
    Ok(runs(app, config, state, here)?.into_iter().rev().find(is_there))
}

fn runs(app: &App, config: &Config, state: &State, here: &dyn Installation) -> Result<Vec<Run>> {
    let repository = app.repository(config)?;
    Ok(journals::known(state, Some(repository.as_ref()), &here.id())?.into_iter().filter_map(|known| known.run.ok()).collect())
}

fn prepare_objects(app: &App, config: &Config, here: &dyn Installation, args: &args::Restore) -> Result<Prepared> {
    let mut plan = args.plan.clone();
    plan.only.only = vec![DataSetName::KubernetesObjects];
    plan.objects = args::ObjectsChoice::IntoEmpty;
    let mut prepared = prepare(app, config, here, &plan, WritersAre::Stopped, "restore --into-empty")?;
    prepared.plan.problems.extend(here.obstacles()?);
    Ok(prepared)
}

/// The same call, for the data of the set whose objects are here.
fn of_data(args: &args::Restore, set: &SetId) -> args::Restore {
    let mut args = args.clone();
    args.plan.set = set.to_string();
    args.plan.objects = args::ObjectsChoice::None;
    args
}

/// Goes on with a run that was interrupted, here or on another machine; one that is finished stays as it is.
fn goes_on(app: &App, config: &Config, installation: &dyn Installation, state: &State, run: &Run) -> Result<plan::ids::RunId> {
    let id = run.plan.run.clone();
    let repository: Arc<dyn Repository> = app.repository(config)?;
    let data_sets = join::data_sets(installation, &run.plan.stores(), &run.plan.policies)?;
    let mut hands = app.hands(config, installation, Arc::clone(&repository), data_sets, id.clone(), Consent::Given)?;
    hands.context.installation = run.plan.installation.clone().unwrap_or_default();
    let _locks = locks::take(app, state, installation, &hands.context)?;
    journals::find(state, Some(repository.as_ref()), &installation.id(), journals::WhichRun::Named(id.as_str()), &hands.host, |_| true)?;
    let journal = state.open_journal(&id)?;
    match journal.run().state {
        RunState::Finished | RunState::Settled | RunState::Settling => return Ok(id),
        RunState::Undoing => {
            return Err(Error::refused(format!("the undo of run {id} is not finished")).hint(format!("`undo {id}` goes on.")));
        }
        _ => {}
    }
    app.output.note(&format!("going on with run {id}"));
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;
    Ok(id)
}

/// Waits until the operator has made what the data goes into, and all of it answers.
fn wait_until_made(app: &App, config: &Config, args: &args::Restore) -> Result<Arc<dyn Installation>> {
    let mut made = None;
    wait(app, "the operator to make the installation", MADE_MAX, || {
        let installation = app.installation_even_nothing(config, None)?;
        let mut missing = installation.still_to_come()?;
        if missing.is_empty() {
            missing = silent(app, config, installation.as_ref(), args)?;
        }
        made = missing.is_empty().then_some(installation);
        Ok(missing)
    })?;
    made.ok_or_else(|| Error::failed("a bug: the installation is made and not there"))
}

/// The data sets of the set whose stores do not answer yet.
fn silent(app: &App, config: &Config, installation: &dyn Installation, args: &args::Restore) -> Result<Vec<String>> {
    let context = app.context(config, runner::new_run_id(), installation.id())?;
    let repository = app.repository(config)?;
    let manifests = repository.manifests()?;
    let manifest = manifests.iter().find(|manifest| manifest.set.to_string() == args.plan.set);
    let manifest = manifest.ok_or_else(|| Error::refused(format!("set {} is not in the repository any more", args.plan.set)))?;
    let mut missing = Vec::new();
    for name in names_in(installation, manifest, &args.plan)? {
        let looked = installation.data_set(name, args.plan.policies()).and_then(|store| store.look(&context));
        app.stop().check()?;
        missing.extend(looked.err().map(|error| format!("{name}: {}", error.chain())));
    }
    Ok(missing)
}

fn wait_until_content(app: &App, config: &Config) -> Result<()> {
    wait(app, "the operator to be content", CONTENT_MAX, || app.installation_even_nothing(config, None)?.conditions_missing())
}

/// Looks until nothing is missing. What cannot be asked now may be asked later.
fn wait(app: &App, what: &str, max: Duration, mut look: impl FnMut() -> Result<Vec<String>>) -> Result<()> {
    let (began, mut told) = (Instant::now(), None::<Instant>);
    loop {
        let missing = match look() {
            Ok(missing) => missing,
            Err(error) if error.class() == plan::Class::Transient => vec![error.chain()],
            Err(error) => return Err(error),
        };
        if missing.is_empty() {
            return Ok(());
        }
        if began.elapsed() > max {
            let error = Error::transient(format!("waited {} minutes for {what}", max.as_secs() / 60));
            let error = missing.into_iter().fold(error, |error, reason| error.hint(format!("{reason}.")));
            return Err(error.hint("Mend that; then the same call goes on from here."));
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            let (first, more) = (missing.iter().take(3).cloned().collect::<Vec<_>>().join("; "), missing.len().saturating_sub(3));
            let more = if more == 0 { String::new() } else { format!("; and {more} more") };
            app.output.note(&format!("waiting for {what}: {first}{more}"));
        }
        app.pause(LOOK_EVERY)?;
    }
}
