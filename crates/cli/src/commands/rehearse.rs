//! `rehearse`: stages a set in throw-away servers, proves it, cuts over, and looks whether its stores agree. The live installation is not touched, nor even reached.

mod doors;
mod nobody;
mod servers;
mod stage;

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::choice::Whose;
use plan::ids::DataSetName;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Event, NothingToSynchronise, Repository};
use plan::step::Action;
use plan::{Class, Error, InstallationId, Result, plan_rehearsal};
use runner::{Hands, Report};

use crate::agreement::{self, Beside, Side, Sides};
use crate::app::App;
use crate::args;
use crate::commands::backup::with_way_out;
use crate::commands::restore::{print_plan, targets};
use crate::commands::runs::print_report;
use crate::output::duration_ms;
use crate::rates::{Estimate, Of};
use crate::whose::Wanted;
use nobody::NoWriters;
use servers::Servers;

/// Differences that are named.
const NAMED_MAX: usize = 5;

pub(crate) fn rehearse(app: &App, args: &args::Rehearse) -> Result<()> {
    if !args.pods {
        lab::fits_sockets()?;
    }
    let config = app.config()?;
    let repository: Arc<dyn Repository> = app.repository(&config)?;
    let wanted = Wanted::new("rehearse", &args.set, args.partial.partial);
    let (chosen, whose) = app.find_set(&config, repository.as_ref(), &wanted)?;
    let manifest = chosen.manifest;
    let names = names_in(&manifest, &args.only.only)?;
    // In a pod there is no folder that stays.
    let installation = args.pods.then(|| app.installation_even_nothing(&config, None)).transpose()?;
    let state = app.state(&config, installation.as_deref())?;

    let run = runner::new_run_id();
    let context = app.noting_rates(&config, Of::Rehearsal, app.context(&config, run.clone(), InstallationId::default())?);
    let mut servers = Servers::new(app, &config, &context, args.pods)?;
    let mut data_sets = BTreeMap::new();
    for (name, kept) in names {
        context.stop.check()?;
        app.output.note(&format!("starting a throw-away server for {name} ({})", kept.store));
        data_sets.insert(name, servers.prepare(&context, name, kept)?);
    }
    let mut plan = plan_rehearsal(run.clone(), manifest.set.clone(), targets(&data_sets, &context, &manifest, false)?);
    plan.from = manifest.installation.clone().filter(|_| matches!(whose, Whose::Named(_)));
    let estimate = app.rates(&config, Of::Rehearsal).map(|rates| rates.of_plan(&plan));
    if !app.output.json {
        app.output.note(&print_plan(&plan, &manifest, estimate.as_ref()));
    }
    app.output.expect(estimate.map(Estimate::whole).unwrap_or_default());
    plan.check()?;
    let (writers, synchronise) = (Arc::new(NoWriters), Arc::new(NothingToSynchronise));
    let hands = Hands {
        repository,
        data_sets,
        writers,
        synchronise,
        context,
        copies_journal: false,
        host: app.host(),
        lanes: app.effort(&config)?.jobs,
        reads_all: false,
        rests: Vec::new(),
        examine: None,
        rewriter: None,
        repairer: None,
        row_worker: None,
        file_finder: None,
        onlooker: None,
    };
    let journal = state.begin(plan)?;
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;
    let report = runner::report(&state, &run)?;
    if let Some((staged, cut_over)) = staged_ms(&report).zip(report.cut_over_ms()) {
        let text =
            format!("set {} was staged and proven in {}, then cut over in {}", manifest.set, duration_ms(staged), duration_ms(cut_over));
        app.output.note(&format!("{text}; a restore adds to the latter the time to stop the writers and to start them again"));
    }
    compare(app, &hands)?;
    let then = args.then.as_deref().map(|command| servers.then(app, &hands.context, command));
    drop(hands);
    match servers.remove() {
        Ok(()) => app.output.note("the throw-away servers are removed"),
        Err(error) => app.output.note(&format!("warning: {}. {}", error.chain(), error.hints().join(" "))),
    }
    print_report(app, &state, &run)?;
    then.unwrap_or(Ok(()))
}

/// From the beginning of the first load to the end of the last proof.
fn staged_ms(report: &Report) -> Option<i64> {
    let is_of_it = |action: &Action| matches!(action, Action::Stage { .. } | Action::Prove { .. });
    let steps = || report.steps.iter().filter(|step| is_of_it(&step.action));
    let began = steps().filter_map(|step| step.first_started_at).min()?;
    Some(steps().filter_map(|step| step.succeeded_at).max()?.as_millisecond() - began.as_millisecond())
}

/// Says whether the stores agree, as they came out of the cut-over. That they differ, or cannot be compared, is no fault of the set's going back.
fn compare(app: &App, hands: &Hands) -> Result<()> {
    let live = |name: DataSetName| hands.data_sets.get(&name).cloned().map(Side::Live);
    let Some((rows, keys)) = live(DataSetName::SystemDatabase).zip(live(DataSetName::BackendRedis)) else {
        app.output.note("whether the stores agree is not looked at: that takes system-database and backend-redis");
        return Ok(());
    };
    let sides =
        Sides { files: live(DataSetName::SystemStorage), beside: Beside::of(live(DataSetName::ZyncDatabase)), ..Sides::of(rows, keys) };
    let warn = |text: &str| hands.context.watch.see(Event::Warning(text));
    let agreement = match agreement::of_sides(&sides, &hands.context, NAMED_MAX, None) {
        Ok(agreement) => agreement,
        Err(error) if error.class() == Class::Interrupted => return Err(error),
        Err(error) => {
            warn(&format!("whether the stores agree could not be looked at: {}", error.chain()));
            return Ok(());
        }
    };
    match agreement::differences(&agreement.report, NAMED_MAX) {
        None => app.output.note("the stores agree"),
        Some(text) => {
            warn(&format!(
                "the stores differ, as they do in the set: {text}. A restore sets Backend's configuration right (`verify` tells all)"
            ));
        }
    }
    agreement.unseen.iter().filter(|unseen| unseen.is_trouble()).for_each(|unseen| app.output.note(&unseen.to_string()));
    Ok(())
}

fn names_in<'a>(manifest: &'a Manifest, only: &[DataSetName]) -> Result<BTreeMap<DataSetName, &'a KeptDataSet>> {
    if let Some(missing) = only.iter().find(|name| !manifest.data_sets.contains_key(name)) {
        return Err(Error::refused(format!("set {} has no {missing}", manifest.set)).hint("`threescale-backup show` says what it has."));
    }
    let objects = DataSetName::KubernetesObjects;
    if only.contains(&objects) {
        return Err(Error::refused(format!("there is no throw-away server for {objects}"))
            .hint("Leave it out of --only: `plan` shows what it would change."));
    }
    let is_wanted = |name: &DataSetName| *name != objects && (only.is_empty() || only.contains(name));
    Ok(manifest.data_sets.iter().filter(|(name, _)| is_wanted(name)).map(|(name, kept)| (*name, kept)).collect())
}
