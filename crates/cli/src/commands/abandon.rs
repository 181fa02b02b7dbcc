//! `abandon`: ends a run as it is, whatever its state, its journal damaged or lost; says what stays where, and removes what it left when that is wished.

use std::sync::Arc;

use plan::ports::{Holds, Repository};
use plan::step::Action;
use plan::{Error, InstallationId, Policies, Purpose, Result};
use runner::{Hands, State};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::in_the_way::{self, LeftAt};
use crate::journals::{self, Known};
use crate::output::Output;
use crate::writers::Consent;
use crate::{join, locks};

#[derive(Serialize)]
struct AbandonDocument {
    run: String,
    removed: Vec<String>,
    stays: Vec<String>,
    journal: Option<String>,
}

pub(crate) fn abandon(app: &App, args: &args::Abandon) -> Result<()> {
    let config = app.config()?;
    let installation = app.installation_even_nothing(&config, None)?;
    let (repository, is_there) = app.repository_if_there(&config);
    let state = app.state(&config, Some(installation.as_ref()))?;
    let data_sets = join::data_sets(installation.as_ref(), &installation.names(), &Policies::default())?;
    let mut hands = app.hands(&config, installation.as_ref(), Arc::clone(&repository), data_sets, runner::new_run_id(), Consent::Given)?;
    hands.copies_journal &= is_there;
    let _locks = locks::take(app, &state, installation.as_ref(), &hands.context)?;

    let left = in_the_way::leftovers(app, &hands.data_sets, Some(hands.writers.as_ref()), &hands.context);
    let run = find(app, &state, is_there.then_some(repository.as_ref()), &hands, &args.run, &left)?;
    let mine: Vec<_> = left.into_iter().filter(|(_, leftover)| leftover.is_by(run.id())).collect();
    refuse_anothers(&state, &hands, &run, &mine, args.store_is_gone)?;
    let removes = args.remove || matches!(run, Meant::Traces(_));
    let is_removed = |(place, leftover): &LeftAt| {
        let may = removes && (leftover.holds != Holds::Previous || args.drop_previous) && leftover.holds != Holds::Unknown;
        may && place.is_some()
    };
    let (goes, mut stays): (Vec<_>, Vec<_>) = mine.into_iter().partition(is_removed);
    if matches!(run, Meant::Traces(_)) && goes.is_empty() && stays.is_empty() {
        return Err(Error::refused(format!("there is no run {}, and nothing of one in the stores", args.run))
            .hint("`threescale-backup runs` lists them."));
    }
    ask(&app.output, args.yes, &run, &goes, &stays)?;
    for (place, leftover) in &goes {
        if let Some(store) = place.and_then(|name| hands.data_sets.get(&name)) {
            store.remove_leftover(&hands.context, leftover).map_err(|error| error.during(format!("failed to remove {}", leftover.what)))?;
        }
    }
    let (still_there, goes) = still_there(app, &hands, run.id(), goes);
    stays.extend(still_there);
    let lines = |left: &[LeftAt]| left.iter().map(|(place, leftover)| in_the_way::describe(*place, leftover)).collect::<Vec<_>>();
    let (mut removed, mut stays) = (lines(&goes), lines(&stays));
    if let Meant::Journal(known) = &run
        && let Some(repair) = known.run.as_ref().ok().filter(|run| runner::keeps_keys(run))
    {
        let (left, what) = if repair.changes_rows() {
            let left = match repair.repairs_keys() {
                true => "system-database: rows as the run left them; backend-redis: keys too, and `verify` says how the live stores differ",
                false => "system-database: rows as the run left them",
            };
            (left, "repository: what was before the run changed it")
        } else {
            let left = "backend-redis: keys as the repair left them; `verify` says how the live stores differ";
            (left, "repository: what keys of Backend had before the repair changed them")
        };
        stays.push(left.to_owned());
        if args.drop_previous {
            runner::drop_kept_keys(&hands, repair)?;
            removed.push(what.to_owned());
        } else {
            stays.push(format!("{what}; `abandon {} --remove --drop-previous` removes it", known.id));
        }
    }
    let journal = end(&state, &run, &hands, &mut stays)?;
    app.output.line(&format!("run {} is ended as it is", run.id()))?;
    removed.iter().try_for_each(|line| app.output.line(&format!("removed  {line}")))?;
    stays.iter().try_for_each(|line| app.output.line(&format!("stays    {line}")))?;
    if let Some(place) = &journal {
        app.output.line(&format!("its damaged journal is at {place}"))?;
    }
    app.output.document(&AbandonDocument { run: run.id().to_owned(), removed, stays, journal })
}

/// Of what was to go: what is there all the same (a store warns of what it may not remove), as it is now; and what is gone.
fn still_there(app: &App, hands: &Hands, run: &str, goes: Vec<LeftAt>) -> (Vec<LeftAt>, Vec<LeftAt>) {
    if goes.is_empty() {
        return (Vec::new(), goes);
    }
    // What it holds may be told behind its name.
    let name = |what: &str| what.split(" (").next().unwrap_or_default().to_owned();
    let is_same = |(at, one): &LeftAt, (place, other): &LeftAt| at == place && name(&one.what) == name(&other.what);
    let mut now = in_the_way::leftovers(app, &hands.data_sets, None, &hands.context);
    now.retain(|left| left.1.is_by(run) && goes.iter().any(|gone| is_same(left, gone)));
    let gone = goes.into_iter().filter(|gone| !now.iter().any(|left| is_same(left, gone))).collect();
    (now, gone)
}

/// Nothing of another installation is ended or removed, and no run whose stores are not these, unless they are gone.
fn refuse_anothers(state: &State, hands: &Hands, run: &Meant, mine: &[LeftAt], store_is_gone: bool) -> Result<()> {
    let (id, here) = (run.id(), &hands.context.installation);
    let by_mark =
        mine.iter().find(|(_, leftover)| in_the_way::is_anothers(leftover, here)).and_then(|(_, leftover)| leftover.installation.clone());
    let journal = || -> Result<Option<InstallationId>> {
        let all = state.all()?.into_iter().filter(|(known, _)| known.as_str() == id);
        Ok(all.filter_map(|(_, run)| run.ok()).filter(|run| !run.is_of(here)).find_map(|run| run.plan.installation))
    };
    if let Some(theirs) = by_mark.map_or_else(journal, |theirs| Ok(Some(theirs)))? {
        return Err(Error::refused(format!("run {id} is of another installation: {theirs}; this one is {here}"))
            .hint("Use that installation's configuration; nothing was touched."));
    }
    if let Meant::Journal(known) = run
        && let Ok(run) = &known.run
        && !store_is_gone
        // Its stores were throw-away servers.
        && run.plan.purpose != Purpose::Rehearse
    {
        runner::check_stores(hands, run).map_err(|error| {
            error.hint("What it kept stays in the store that it is of. When that store is gone for good, say --store-is-gone.")
        })?;
    }
    Ok(())
}

/// What is known of the run that is meant.
enum Meant {
    /// Its journal can be read.
    Journal(Known),
    /// Its journal is damaged.
    Damaged(Known),
    /// It has no journal here: only what it left.
    Traces(String),
}

impl Meant {
    fn id(&self) -> &str {
        match self {
            Self::Journal(known) | Self::Damaged(known) => known.id.as_str(),
            Self::Traces(run) => run,
        }
    }
}

fn find(app: &App, state: &State, copies: Option<&dyn Repository>, hands: &Hands, wanted: &str, left: &[LeftAt]) -> Result<Meant> {
    let (here, wanted) = (&hands.context.installation, wanted.to_lowercase());
    let all = journals::known(state, copies, here)?;
    let is_damaged = |known: &&Known| known.run.is_err() && known.id.as_str().starts_with(&wanted);
    let is_traced =
        || left.iter().any(|(_, leftover)| leftover.run == wanted || leftover.run.ends_with(&wanted) || wanted.ends_with(&leftover.run));
    if all.iter().filter(is_damaged).count() == 0 && !all.iter().any(|known| known.id.as_str().starts_with(&wanted)) && is_traced() {
        return Ok(Meant::Traces(wanted));
    }
    let is_meant = |known: &&Known| known.id.as_str() == wanted || is_damaged(known);
    let id = match all.iter().find(|known| known.run.is_err() && is_meant(known)) {
        Some(known) if !all.iter().any(|other| other.id.as_str() == wanted && other.id != known.id) => known.id.clone(),
        _ => journals::find(state, copies, here, journals::WhichRun::Named(&wanted), &app.host(), |_| true)?,
    };
    let known = journals::known(state, copies, here)?.into_iter().find(|known| known.id == id);
    let known = known.ok_or_else(|| Error::failed(format!("the journal of run {id} is gone")))?;
    Ok(if known.run.is_err() { Meant::Damaged(known) } else { Meant::Journal(known) })
}

fn ask(output: &Output, yes: bool, run: &Meant, goes: &[LeftAt], stays: &[LeftAt]) -> Result<()> {
    let mut lines = vec![match run {
        Meant::Journal(known) => match &known.run {
            Ok(run) => format!("Run {} is {}.{}", known.id, run.describe(), plan::journal::Run::writers_sentence(run.writers())),
            Err(_) => String::new(),
        },
        Meant::Damaged(known) => format!("The journal of run {} is damaged.", known.id),
        Meant::Traces(run) => format!("Run {run} has no journal here."),
    }];
    lines.extend(goes.iter().map(|(place, leftover)| format!("  is removed: {}", in_the_way::describe(*place, leftover))));
    lines.extend(stays.iter().map(|(place, leftover)| format!("  stays: {}", in_the_way::describe(*place, leftover))));
    output.note(&lines.join("\n"));
    if yes {
        return Ok(());
    }
    match output.ask(&format!("End run {} as it is? It can be neither resumed nor undone afterwards.", run.id()))? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::refused("nothing was touched")),
        None => Err(Error::refused("nobody can be asked whether to end the run").hint("Say --yes.")),
    }
}

/// Writes that it is over, or takes a damaged journal out of the way; gives the place of the latter.
fn end(state: &State, run: &Meant, hands: &Hands, stays: &mut Vec<String>) -> Result<Option<String>> {
    match run {
        Meant::Journal(known) => {
            if let Ok(run) = &known.run {
                if run.holds_writers() {
                    stays.push(format!("writers:{}", plan::journal::Run::writers_sentence(run.writers())));
                }
                if run.plan.steps.iter().any(|step| matches!(step.action, Action::HoldClock { .. }) && run.was_begun(step.id)) {
                    stays.push(
                        "clock: held where the run held it; `hold status` shows until when, `hold release` lets it strike".to_owned(),
                    );
                }
            }
            if known.run.as_ref().is_ok_and(plan::journal::Run::is_over) {
                return Ok(None);
            }
            runner::abandon(&state.open_journal(&known.id)?, hands, stays.clone())?;
            Ok(None)
        }
        Meant::Damaged(known) => state.set_aside(&known.id).map(Some),
        Meant::Traces(_) => Ok(None),
    }
}
