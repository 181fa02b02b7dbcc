//! `backup`: takes a set.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use plan::ids::{DataSetName, RunId};
use plan::journal::{Run, RunState};
use plan::manifest::{Agreement, Manifest};
use plan::ports::{Context, DataSet, Event, Findings, Repository};
use plan::{Class, Error, Policies, Purpose, Restorable, Result, TAKEN_WITH_WARNINGS, Wanted, plan_backup};
use runner::{Hands, State};

use crate::app::App;
use crate::args;
use crate::commands::sets::SetDocument;
use crate::commands::{copy, renew};
use crate::config::Config;
use crate::draining;
use crate::in_the_way;
use crate::inside;
use crate::join;
use crate::journals::{self, Known};
use crate::locks;
use crate::output::{bytes, duration_ms};
use crate::rates::Of;
use crate::writers::Consent;

/// Journals of runs that are over and keep nothing: enough to look back on, few enough to read each time.
const JOURNALS_KEPT: usize = 200;

/// Takes a set; exit code 4 when it will not go back, or not wholly.
pub(crate) fn backup(app: &App, args: &args::Backup) -> Result<ExitCode> {
    let manifest = take(app, args)?;
    let config = app.config()?;
    app.output.note(&format!(
        "took {} in {}, {} new in the repository, skew between the stores {} ms",
        bytes(manifest.bytes()),
        duration_ms(manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond()),
        bytes(manifest.stored_bytes()),
        manifest.skew_ms()
    ));
    let missing: Vec<_> = manifest.missing().iter().map(|(name, why)| format!("{name}: {why}")).collect();
    if !missing.is_empty() {
        let (taken, expected) = (manifest.data_sets.len(), manifest.data_sets_expected());
        app.output.note(&format!("{taken} of {expected} data sets; without {}", missing.join(", ")));
    }
    let restorable = manifest.restorable().unwrap_or(Restorable::Yes);
    if restorable != Restorable::Yes {
        app.output.note(&format!("the set was taken; whether it can go back: {restorable} (the warnings above say why)"));
    }
    if let Some(differences) = manifest.agreement.and_then(Agreement::differences) {
        let set = &manifest.set;
        app.output.note(&format!(
            "warning: the stores of the set differ: {differences}; `threescale-backup verify {set}` names what and the way out"
        ));
    }
    app.output.line(manifest.set.as_str())?;
    app.output.document(&SetDocument::new(&manifest, Vec::new()))?;
    let (is_locked, is_copied) = (locked(app, &config, &manifest), copied(app, &config, &manifest));
    let is_fine = restorable == Restorable::Yes && is_locked && is_copied || args.warnings_are_fine;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::from(TAKEN_WITH_WARNINGS) })
}

/// Renews the lock of what sets need, where that is configured. The set was taken, whatever becomes of it.
fn locked(app: &App, config: &Config, manifest: &Manifest) -> bool {
    let Err(error) = renew::after_backup(app, config) else { return true };
    let hints: String = error.hints().iter().map(|hint| format!(" {hint}")).collect();
    app.watch().see(Event::Warning(&format!(
        "set {} was taken, and not all that sets need is locked as it should be: {}.{hints}",
        manifest.set,
        error.chain()
    )));
    false
}

/// Brings second repositories up to date, where that is configured. The set was taken, whatever becomes of it.
fn copied(app: &App, config: &Config, manifest: &Manifest) -> bool {
    let Err(error) = copy::after_backup(app, config) else { return true };
    let hints: String = error.hints().iter().map(|hint| format!(" {hint}")).collect();
    // Told to a schedule, too, that wants to hear of failures only.
    app.watch().see(Event::Warning(&format!(
        "set {} was taken, and not copied everywhere: {}.{hints} `threescale-backup copy` tries it again",
        manifest.set,
        error.chain()
    )));
    false
}

/// Takes a set, and reads its manifest back.
pub(crate) fn take(app: &App, args: &args::Backup) -> Result<Manifest> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let names = join::selected(installation.as_ref(), &args.only.only)?;
    if let Some(missing) = join::told_missing(&config).filter(|_| args.only.only.is_empty()) {
        app.output.note(&format!("warning: {missing}"));
    }
    let repository = app.repository(&config)?;
    repository.try_object_lock(true)?;
    let state = app.state(&config, Some(installation.as_ref()))?;
    let run = runner::new_run_id();
    let data_sets = join::data_sets(installation.as_ref(), &names, &Policies::default())?;
    let kept_in = Arc::clone(&repository) as Arc<dyn Repository>;
    let mut hands = app.hands(&config, installation.as_ref(), kept_in, data_sets, run.clone(), Consent::Ask)?;
    let _locks = locks::take(app, &state, installation.as_ref(), &hands.context)?;
    let found = locks::waiting(app, || look_while_nothing_is_in_the_way(app, &state, &hands))?;
    hands.reads_all = args.read_all;
    hands.examine = hands.examine.filter(|_| !args.no_verify);
    hands.context.installation = join::identified(installation.as_ref(), &hands.context, &found);
    let wanted = Wanted {
        installation: Some(hands.context.installation.clone()),
        release: installation.release(),
        left_out: join::left_out(installation.as_ref(), &names),
        absent: installation.absent(),
        freeze: args.freeze,
        can_stop_writers: hands.writers.can_stop(),
        drain: (args.freeze && args.drain_seconds > 0).then(|| draining::of(&names, args.drain_seconds)),
        ..Wanted::new(run, runner::new_set_id())
    };
    let twice = join::twice(installation.as_ref(), &hands.context, &found);
    let mut plan = plan_backup(wanted, found);
    plan.problems.extend(twice);
    plan.problems.extend(inside::problems(app, &config, installation.as_ref(), &names, inside::Verb::Backup));
    plan.problems.extend(installation.standing());
    for (name, problem) in plan.all_problems().filter(|(_, problem)| problem.severity == plan::ports::Severity::Degrades) {
        app.output.note(&format!("warning: {}{}", name.map(|name| format!("{name}: ")).unwrap_or_default(), problem.text));
    }
    plan.check()?;
    let set = plan.set.clone();
    if let Some(estimate) = app.rates(&config, Of::Installation).map(|rates| rates.of_backup(&plan)) {
        if let Some(ms) = estimate.ms() {
            app.output.note(&format!("about {} to take it, as fast as before", duration_ms(ms)));
        }
        app.output.expect(estimate.whole());
    }
    let journal = state.begin(plan)?;
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;

    // The set is there, whatever becomes of this: whoever may not delete takes nothing back.
    if let Err(error) = runner::tidy_needs(&state, repository.as_ref()) {
        app.output
            .note(&format!("note: `forget` keeps sets of runs that are over until a backup can note that they are: {}", error.chain()));
    }
    state.tidy(JOURNALS_KEPT)?;

    let manifest = repository.manifests()?.into_iter().find(|manifest| manifest.set == set);
    manifest.ok_or_else(|| Error::failed(format!("set {set} was written and is not in the repository")))
}

/// Looks at every data set, when no restore is in the middle of replacing them; closes backups that died.
fn look_while_nothing_is_in_the_way(app: &App, state: &State, hands: &Hands) -> Result<BTreeMap<DataSetName, Findings>> {
    let copies = hands.copies_journal.then_some(hands.repository.as_ref());
    let known = journals::known(state, copies, &hands.context.installation)?;
    let found = look_at_all(&hands.data_sets, &hands.context)?;
    let at_writers = hands.writers.leftovers(&hands.context)?;
    in_the_way::of_backup(app, &known, &found, &at_writers)?;
    close_dead_backups(state, &known)?;
    Ok(found)
}

/// Looks at every data set, side by side.
pub(crate) fn look_at_all(
    data_sets: &BTreeMap<DataSetName, Arc<dyn DataSet>>,
    context: &Context,
) -> Result<BTreeMap<DataSetName, Findings>> {
    std::thread::scope(|scope| {
        let looks: Vec<_> = data_sets.iter().map(|(name, store)| (*name, scope.spawn(|| store.look(context)))).collect();
        let mut found = BTreeMap::new();
        for (name, look) in looks {
            let findings = look.join().unwrap_or_else(|_| Err(Error::failed("a bug: the look panicked")));
            found.insert(name, findings.map_err(|error| error.during(format!("failed to look at {name}")))?);
        }
        Ok(found)
    })
}

/// A backup that died leaves nothing behind but its journal: it is closed when the next begins, which reuses what it stored.
fn close_dead_backups(state: &State, known: &[Known]) -> Result<()> {
    let is_dead = |run: &Run| run.plan.purpose == Purpose::Backup && run.state == RunState::Open && !run.holds_writers();
    let dead = known.iter().filter(|known| known.is_here() && known.run.as_ref().is_ok_and(is_dead));
    dead.into_iter().try_for_each(|known| runner::close_dead_backup(&state.open_journal(&known.id)?))
}

/// Says what can be done about a failed run.
pub(crate) fn with_way_out(error: Error, run: &Run) -> Error {
    let id: &RunId = &run.plan.run;
    let held = Run::writers_sentence(run.writers());
    // The run is open and has done something: it was not refused before anything was touched.
    let is_begun = run.plan.purpose.changes_live() || run.holds_writers();
    let error = if is_begun && error.class() == Class::Refused { error.in_class(Class::Failed) } else { error };
    match run.plan.purpose {
        Purpose::Backup if run.holds_writers() => {
            error.hint(format!("There is no set.{held} `resume {id}` takes it again, `undo {id}` starts the writers."))
        }
        Purpose::Backup => error.hint("There is no set; what was stored is reused by the next backup."),
        Purpose::Rehearse => error.hint("The live installation was not touched."),
        Purpose::Repair if run.has_cut_over() => {
            error.hint(format!("Some may be set right, and some not. `resume {id}` goes on, `undo {id}` puts back what was."))
        }
        Purpose::Repair => error.hint(format!("Nothing live was changed. `resume {id}` goes on, `undo {id}` ends it.")),
        Purpose::Restore if run.has_cut_over() && run.changes_rows() => {
            let beside = if run.merges() || run.repairs_keys() { ", what is in Backend one by one, after them" } else { "" };
            error.hint(format!(
                "Rows are changed all together or not at all{beside}. `resume {id}` goes on, `undo {id}` puts back what was."
            ))
        }
        Purpose::Restore if run.has_cut_over() => {
            error.hint(format!("The cut-over has begun.{held} `resume {id}` goes on, `undo {id}` puts back what was."))
        }
        Purpose::Restore if run.has_merged() => {
            error.hint(format!("Some of the keys are in the live data. `resume {id}` goes on, `undo {id}` takes them out again."))
        }
        Purpose::Restore => {
            error.hint(format!("The live data was not touched.{held} `resume {id}` goes on, `undo {id}` drops what was staged."))
        }
    }
}
