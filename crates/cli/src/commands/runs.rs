//! `runs`, `resume`, `undo`, `settle`: the journal's runs.

mod heard;
mod standing;

use std::sync::Arc;

use jiff::Timestamp;
use plan::ids::{DataSetName, RunId};
use plan::journal::{Compared, Run, RunState};
use plan::ports::{Holds, Leftover, MergedClass, Repository};
use plan::step::{Action, Output as StepOutput};
use plan::words::counted;
use plan::{Error, InstallationId, Policies, Purpose, Result};
use runner::{Hands, Report, State};
use serde::Serialize;

use crate::app::App;
use crate::args::OfRun;
use crate::commands::backup::with_way_out;
use crate::commands::restore::{agreeing, tenant};
use crate::config::Config;
use crate::in_the_way::{self, LeftAt};
use crate::join::{self, Installation};
use crate::journals::{self, Known, WhichRun};
use crate::locks::{self, Locks};
use crate::output::{Table, age, bytes, duration_ms, local_time};
use crate::writers::Consent;
use heard::Heard;
pub(crate) use standing::{Standing, standing};

/// A run as `runs --json` tells it.
#[derive(Serialize)]
struct RunDocument {
    run: RunId,
    purpose: Purpose,
    set: String,
    state: RunState,
    opened_at: Timestamp,
    last_at: Timestamp,
    holds_writers: bool,
    /// Approximate bytes of replaced data that it still keeps; `null` when the stores could not be asked.
    kept_bytes: Option<u64>,
    downtime_ms: Option<i64>,
    cut_over_ms: Option<i64>,
    /// How the live stores agreed when it was done; `null` where they were not compared.
    compared: Option<Compared>,
    steps: Vec<StepDocument>,
    /// Where keys of some classes went back alone: what became of them.
    classes: Vec<MergedClass>,
}

#[derive(Serialize)]
struct RunsDocument {
    runs: Vec<RunDocument>,
    /// What runs left in the stores whose journals are not here.
    left: Vec<LeftDocument>,
}

#[derive(Serialize)]
struct LeftDocument {
    /// `null`: at the writers.
    data_set: Option<DataSetName>,
    #[serde(flatten)]
    leftover: Leftover,
}

#[derive(Serialize)]
struct StepDocument {
    step: u32,
    action: String,
    duration_ms: Option<i64>,
}

pub(crate) fn runs(app: &App) -> Result<()> {
    let config = app.config()?;
    // The journals are told even when the installation, or the repository, cannot be reached.
    let installation =
        app.installation_even_nothing(&config, None).inspect_err(|error| app.output.note(&format!("warning: {}", error.chain()))).ok();
    let state = app.state_to_look_at(&config, installation.as_deref())?;
    let seen = look(app, &config, installation.as_deref(), &state)?;
    let mut telling = Telling::new();
    for known in &seen.known {
        telling.tell(&state, known, seen.hands.as_ref());
    }
    let here = installation.as_ref().map(|installation| installation.id()).unwrap_or_default();
    let traces = telling.traces(&seen.known, &seen.left, &here);
    for (name, run) in state.strays()? {
        telling.reminders.push(format!("{name} in {} is a copy of the journal of run {run}, and is not looked at.", state.place()));
    }
    let others = state.all()?.iter().filter(|(_, run)| run.as_ref().is_ok_and(|run| !run.is_of(&here))).count();
    if others > 0 {
        telling.reminders.push(format!(
            "Of other installations {} in {} too.",
            counted(others, "journal is", "journals are"),
            state.place()
        ));
    }
    if seen.known.is_empty() {
        app.output.note("There were no runs of this installation yet.");
    } else if !telling.documents.is_empty() {
        app.output.line(&telling.table.render())?;
    }
    telling.reminders.iter().try_for_each(|reminder| app.output.line(reminder))?;
    app.output.document(&RunsDocument { runs: telling.documents, left: traces })
}

/// What there is of runs, as far as it can be reached.
struct Seen {
    known: Vec<Known>,
    left: Vec<LeftAt>,
    /// `None`: the installation or the repository cannot be reached.
    hands: Option<Hands>,
}

fn look(app: &App, config: &Config, installation: Option<&dyn Installation>, state: &State) -> Result<Seen> {
    let here = installation.map(Installation::id).unwrap_or_default();
    let warn = |error: &Error| app.output.note(&format!("warning: {}", error.chain()));
    let hands = installation.and_then(|installation| hands_to_look(app, config, installation).inspect_err(warn).ok());
    let copies = hands.as_ref().filter(|hands| hands.copies_journal).map(|hands| hands.repository.as_ref());
    let known = match journals::known(state, copies, &here) {
        Err(error) if copies.is_some() => {
            app.output.note(&format!("warning: journals of other machines are not shown: {}", error.chain()));
            journals::known(state, None, &here)?
        }
        known => known?,
    };
    // What is in the stores is told without the repository too.
    let left = installation.map_or_else(|| Ok(Vec::new()), |installation| left_in_stores(app, config, installation))?;
    Ok(Seen { known, left, hands })
}

fn left_in_stores(app: &App, config: &Config, installation: &dyn Installation) -> Result<Vec<LeftAt>> {
    let context = app.context(config, runner::new_run_id(), installation.id())?;
    let mut data_sets = std::collections::BTreeMap::new();
    for name in installation.names() {
        match installation.data_set(name, Policies::default()) {
            Ok(store) => drop(data_sets.insert(name, store)),
            Err(error) => app.output.note(&format!("warning: {name}: {}", error.chain())),
        }
    }
    let writers = installation
        .writers(&app.output, Consent::Given)
        .inspect_err(|error| app.output.note(&format!("warning: what runs left at the writers is not known: {}", error.chain())))
        .ok();
    Ok(in_the_way::leftovers(app, &data_sets, writers.as_deref(), &context))
}

/// What `runs` prints.
struct Telling {
    table: Table,
    documents: Vec<RunDocument>,
    reminders: Vec<String>,
}

impl Telling {
    fn new() -> Self {
        Self { table: Table::new(&["RUN", "WHAT", "OPENED", "AGE", "KEEPS"]), documents: Vec::new(), reminders: Vec::new() }
    }

    fn tell(&mut self, state: &State, known: &Known, hands: Option<&Hands>) {
        let id = &known.id;
        let run = match &known.run {
            Ok(run) => run,
            Err(error) => {
                self.reminders.push(format!("run {id}: {}. `abandon {id}` ends it, and says what it left.", error.chain()));
                return;
            }
        };
        let kept = if run.keeps_previous() { hands.and_then(|hands| kept_bytes(hands, run).ok()) } else { Some(0) };
        let kept_text = match kept {
            Some(0) => String::new(),
            Some(size) => bytes(size),
            None => "unknown".to_owned(),
        };
        let kept_in_brackets = if kept_text.is_empty() { String::new() } else { format!(" ({kept_text})") };
        let elsewhere = known.remark();
        self.table.row([
            id.to_string(),
            format!("{}{elsewhere}", run.describe()),
            local_time(run.opened_at),
            age(run.opened_at),
            kept_text.clone(),
        ]);
        match run.state {
            RunState::Finished if run.keeps_previous() => {
                let lost = hands.map(|hands| runner::lost(hands, run)).unwrap_or_default();
                let keeps = match run.merges() && !run.changes_rows() {
                    true => format!(
                        "run {id} keeps on record what it put into the live data{kept_in_brackets}: `settle {id}` forgets it, `undo {id}` takes it back."
                    ),
                    false => {
                        format!("run {id} keeps what it replaced{kept_in_brackets}: `settle {id}` drops it, `undo {id}` puts it back.")
                    }
                };
                self.reminders.push(if lost.is_empty() { keeps } else { told_lost(run, &lost) });
            }
            RunState::Settling => self.reminders.push(format!("the settle of run {id} is not finished: `settle {id}` goes on.")),
            RunState::Undoing => {
                let held = Run::writers_sentence(run.writers());
                self.reminders
                    .push(format!("the undo of run {id} is not finished.{held} `undo {id}` goes on, `abandon {id}` ends it as it is."));
            }
            RunState::Open if run.plan.purpose.changes_live() || run.holds_writers() => {
                let held = Run::writers_sentence(run.writers());
                self.reminders.push(format!("run {id} is not finished.{held} `resume {id}` goes on, `undo {id}` takes it back."));
            }
            _ => {}
        }
        if let Some((compared, differences)) =
            run.compared.as_ref().filter(|_| run.state == RunState::Finished).and_then(|it| Some((it, it.agreement.differences()?)))
        {
            let first = compared.first.join("; ");
            let about = if run.changes_rows() { " about the products of its tenant" } else { "" };
            self.reminders
                .push(format!("when run {id} was done, the live stores differed{about}: {differences}: {first}. `verify` looks again."));
        }
        let report = if known.is_here() { runner::report(state, id).ok() } else { None };
        self.documents.push(document(&report.unwrap_or_else(|| Report { run: run.clone(), steps: Vec::new() }), kept));
    }

    /// What runs left whose journals are not here, or that were abandoned.
    fn traces(&mut self, known: &[Known], left: &[LeftAt], here: &InstallationId) -> Vec<LeftDocument> {
        // What a rehearsal left nobody goes on with.
        let is_looked_after = |known: &Known| {
            known.run.as_ref().map_or(true, |run| run.state != RunState::Abandoned && run.plan.purpose != Purpose::Rehearse)
        };
        let has_journal = |leftover: &Leftover| known.iter().any(|known| leftover.is_by(known.id.as_str()) && is_looked_after(known));
        let traces: Vec<_> = left.iter().filter(|(_, leftover)| !has_journal(leftover)).collect();
        for (place, leftover) in &traces {
            let (what, run) = (in_the_way::describe(*place, leftover), &leftover.run);
            self.reminders.push(if in_the_way::is_anothers(leftover, here) {
                format!("left by a run of another installation: {what}. Look after it with that installation's configuration.")
            } else if leftover.holds == Holds::Unknown {
                format!("left in a store: {what}. No command removes what nobody knows: look at it with the store's own client.")
            } else {
                let by = known.iter().find(|known| leftover.is_by(known.id.as_str()));
                let is_rehearsal = by.and_then(|known| known.run.as_ref().ok()).is_some_and(|run| run.plan.purpose == Purpose::Rehearse);
                match (by, is_rehearsal) {
                    (Some(_), true) => format!(
                        "of a rehearsal that is under way or died: {what}. It ends by itself; `abandon {run} --remove` removes it now."
                    ),
                    (Some(_), false) => format!(
                        "left by a run that was abandoned: {what}. `abandon {run}` shows all of it, and removes it when you say so."
                    ),
                    (None, _) => format!(
                        "left by a run without a journal here: {what}. `abandon {run}` shows all of it, and removes it when you say so."
                    ),
                }
            });
        }
        traces.into_iter().map(|(place, leftover)| LeftDocument { data_set: *place, leftover: leftover.clone() }).collect()
    }
}

/// What is said of a run of which some stores know nothing any more.
fn told_lost(run: &Run, lost: &[DataSetName]) -> String {
    let (id, set) = (&run.plan.run, &run.plan.set);
    let names: Vec<_> = lost.iter().map(|name| name.as_str()).collect();
    let of = run.plan.steps.iter().filter(|step| matches!(step.action, Action::CutOver { .. })).count();
    let rest = if run.changes_rows() {
        format!("`undo {id}` puts back the rest, and then waits for a person; `settle {id}` drops the rest.")
    } else if run.merges() {
        format!("What was lost stays in the live data: `settle {id}` ends the run.")
    } else if lost.len() < of {
        format!("`undo {id}` puts back the rest, and then waits for a person; `settle {id}` drops the rest.")
    } else {
        format!("There is nothing to undo: `settle {id}` ends the run. What it restored can be restored again: `restore {set}`.")
    };
    format!(
        "run {id} has lost what it kept of {}: there is nothing of it in the store any more. Was that emptied, restarted without its data, or settled from elsewhere? {rest}",
        names.join(", ")
    )
}

/// Everything that the installation has, to be looked at only.
fn hands_to_look(app: &App, config: &Config, installation: &dyn Installation) -> Result<Hands> {
    let data_sets = join::data_sets(installation, &installation.names(), &Policies::default())?;
    let repository: Arc<dyn Repository> = app.repository(config)?;
    app.hands(config, installation, repository, data_sets, runner::new_run_id(), Consent::Given)
}

fn document(report: &Report, kept_bytes: Option<u64>) -> RunDocument {
    let run = &report.run;
    let steps = report.steps.iter().map(|step| StepDocument {
        step: step.id.0,
        action: step.action.to_string(),
        duration_ms: step.succeeded_at.zip(step.started_at).map(|(end, begin)| end.as_millisecond() - begin.as_millisecond()),
    });
    RunDocument {
        run: run.plan.run.clone(),
        purpose: run.plan.purpose,
        set: run.plan.set.to_string(),
        state: run.state,
        opened_at: run.opened_at,
        last_at: run.last_at,
        holds_writers: run.holds_writers(),
        kept_bytes,
        downtime_ms: report.downtime_ms().filter(|_| run.plan.purpose != Purpose::Rehearse),
        cut_over_ms: report.cut_over_ms(),
        compared: run.compared.clone(),
        steps: steps.collect(),
        classes: run.plan.steps.iter().filter_map(|step| run.output(step.id)).flat_map(merged_by).cloned().collect(),
    }
}

fn merged_by(output: &StepOutput) -> &[MergedClass] {
    if let StepOutput::Merged { classes } = output { classes } else { &[] }
}

fn kept_bytes(hands: &Hands, run: &Run) -> Result<u64> {
    let mut sum = 0;
    for step in &run.plan.steps {
        if let (Action::Reserve { data_set, .. }, Some(StepOutput::Reserved { place, .. })) = (&step.action, run.output(step.id))
            && let Some(store) = hands.data_sets.get(data_set)
        {
            sum += store.kept_bytes(&hands.context, place)?;
        }
    }
    Ok(sum)
}

pub(crate) fn resume(app: &App, args: &OfRun) -> Result<()> {
    let opened = open(app, args, "resume", Run::can_resume)?;
    runner::run(&opened.journal, &opened.hands).map_err(|error| with_way_out(error, &opened.journal.run()))?;
    print_report(app, &opened.state, &opened.id)?;
    let Opened { id, journal, hands, state, .. } = &opened;
    let run = journal.run();
    let only = if run.changes_rows() { tenant::after(app, &app.config()?, state, id)? } else { None };
    let is_compared = run.plan.purpose.changes_live() && !run.fills_empty() && run.changes_rows() == only.is_some();
    if is_compared { agreeing::after(app, &app.config()?, &hands.context, only.as_ref(), || state.open_journal(id)) } else { Ok(()) }
}

pub(crate) fn undo(app: &App, args: &OfRun) -> Result<()> {
    let mut opened = open(app, args, "undo", Run::can_undo)?;
    let run = opened.journal.run();
    if run.repairs_keys() {
        refuse_under_restore(&opened, &run)?;
    }
    if run.fills_empty() {
        refuse_under_data(&opened, &run)?;
        confirm(
            app,
            args,
            &format!("Empty the namespace again? All goes that run {} put there, and all that the operator made of it.", opened.id),
        )?;
    } else if run.changes_rows() {
        confirm(
            app,
            args,
            &format!("Put back what run {} changed of the tenant? What somebody changed or counted since stays as it is.", opened.id),
        )?;
    } else if run.merges() {
        confirm(app, args, &format!("Take back what run {} put into the live data? What was counted since stays.", opened.id))?;
    } else {
        confirm(app, args, &format!("Put back what run {} replaced? What was written since is lost.", opened.id))?;
    }
    let heard = Heard::before(Arc::clone(&opened.hands.context.watch));
    opened.hands.context.watch = Arc::<Heard>::clone(&heard);
    runner::undo(&opened.journal, &opened.hands).map_err(|error| match opened.journal.run().state {
        RunState::Undoing if error.hints().is_empty() => error.hint(format!("`undo {}` goes on.", opened.id)),
        _ => error,
    })?;
    let undone = match run.plan.purpose {
        // A counter of ids that was counted on stays, and what somebody changed since.
        Purpose::Repair => format!("run {} is undone: what was still as the repair left it is as it was before", opened.id),
        _ => heard.undone(&run),
    };
    app.output.line(&undone)?;
    app.output.document(&document(&runner::report(&opened.state, &opened.id)?, Some(0)))
}

/// What a restore has put into Backend since was not changed by the repair, and what the repair removed would be there again.
fn refuse_under_restore(opened: &Opened, run: &Run) -> Result<()> {
    let is_over_it = |other: &Run| {
        let is_later = other.plan.run > run.plan.run && other.plan.purpose == Purpose::Restore;
        is_later
            && other.has_cut_over()
            && !other.changes_one_by_one()
            && other.plan.stores().contains(&DataSetName::BackendRedis)
            && other.state != RunState::Undone
    };
    match opened.others()?.into_iter().find(is_over_it) {
        None => Ok(()),
        Some(other) => {
            let (id, later) = (&opened.id, &other.plan.run);
            let error =
                Error::refused(format!("run {later} replaced live data since run {id} changed keys of it: it is {}", other.describe()));
            let error = if other.can_undo() { error.hint(format!("`undo {later}` comes first.")) } else { error };
            Err(error.hint(format!("`settle {id}` drops what run {id} kept; `verify` says whether the live stores agree.")))
        }
    }
}

/// The objects of an installation go only when the data that was put beside them went: the newest first.
fn refuse_under_data(opened: &Opened, run: &Run) -> Result<()> {
    let is_over_it =
        |other: &Run| other.plan.run > run.plan.run && other.plan.purpose == Purpose::Restore && other.state != RunState::Undone;
    match opened.others()?.into_iter().find(is_over_it) {
        None => Ok(()),
        Some(other) => {
            let id = &other.plan.run;
            let error = Error::refused(format!("run {id} put data where run {} put the objects: it is {}", opened.id, other.describe()));
            Err(match other.can_undo() {
                true => error.hint(format!("`undo {id}` comes first.")),
                false => error.hint("The installation is in use. To remove it, delete its namespace."),
            })
        }
    }
}

/// With the data what the run kept of the empty namespace: there is no going back to that any more.
fn settle_objects_under(opened: &Opened) -> Result<()> {
    let run = opened.journal.run();
    let is_under = |other: &Run| other.fills_empty() && other.plan.run < run.plan.run && other.can_settle();
    for under in opened.others()?.into_iter().filter(is_under) {
        let (hands, id) = (&opened.hands, under.plan.run.as_str());
        let id = journals::find(&opened.state, opened.copies(), &hands.context.installation, WhichRun::Named(id), &hands.host, |_| true)?;
        runner::settle(&opened.state.open_journal(&id)?, hands)?;
    }
    Ok(())
}

pub(crate) fn settle(app: &App, args: &OfRun) -> Result<()> {
    let opened = open(app, args, "settle", Run::can_settle)?;
    let merges = opened.journal.run().merges() && !opened.journal.run().changes_rows();
    confirm(
        app,
        args,
        &match merges {
            true => format!("Forget how to take back what run {} put into the live data? There is no undo afterwards.", opened.id),
            false => format!("Drop what run {} replaced? There is no undo afterwards.", opened.id),
        },
    )?;
    runner::settle(&opened.journal, &opened.hands)?;
    settle_objects_under(&opened).map_err(|error| error.hint("`settle` goes on."))?;
    app.output.line(&match merges {
        true => format!("run {} is settled: what it put into the live data stays", opened.id),
        false => format!("run {} is settled: what it replaced is dropped", opened.id),
    })?;
    app.output.document(&document(&runner::report(&opened.state, &opened.id)?, Some(0)))
}

fn confirm(app: &App, args: &OfRun, question: &str) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    match app.output.ask(question)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::refused("nothing was touched")),
        None => Err(Error::refused("nobody can be asked, and nothing was touched").hint(format!("{question} Say --yes for that."))),
    }
}

struct Opened {
    state: State,
    _lock: Locks,
    id: RunId,
    journal: runner::Journal,
    hands: Hands,
}

impl Opened {
    /// The repository where it has copies of the installation's journals.
    fn copies(&self) -> Option<&dyn Repository> {
        self.hands.copies_journal.then_some(self.hands.repository.as_ref())
    }

    /// The runs of the installation that can be read, wherever their journals are.
    fn others(&self) -> Result<Vec<Run>> {
        let known = journals::known(&self.state, self.copies(), &self.hands.context.installation)?;
        Ok(known.into_iter().filter_map(|known| known.run.ok()).collect())
    }
}

fn open(app: &App, args: &OfRun, verb: &str, fits: impl Fn(&Run) -> bool) -> Result<Opened> {
    let config = app.config()?;
    let installation = app.installation_even_nothing(&config, None)?;
    let state = app.state(&config, Some(installation.as_ref()))?;
    // To go on needs the set; to put back what the stores kept, or to drop it, does not.
    let (repository, is_there) =
        if verb == "resume" { (app.repository(&config)? as Arc<dyn Repository>, true) } else { app.repository_if_there(&config) };
    let context = app.context(&config, runner::new_run_id(), installation.id())?;
    let lock = locks::take(app, &state, installation.as_ref(), &context)?;
    let copies = is_there.then_some(repository.as_ref());
    let wanted = args.run.as_deref().map_or(WhichRun::NewestTo(verb), WhichRun::Named);
    let id = journals::find(&state, copies, &installation.id(), wanted, &app.host(), &fits)?;
    let journal = state.open_journal(&id)?;
    let run = journal.run();
    if !fits(&run) {
        return Err(Error::refused(format!("run {id} is {}: there is nothing to {verb}", run.describe()))
            .hint("`threescale-backup runs` lists the runs, and what can be done with each."));
    }
    let names = run.plan.stores();
    let mut data_sets = join::data_sets(installation.as_ref(), &names, &run.plan.policies)?;
    // What a run under this one noted of the objects goes with what this one kept.
    let objects = DataSetName::KubernetesObjects;
    let known = journals::known(&state, copies, &installation.id())?;
    if !names.contains(&objects) && known.iter().any(|other| other.run.as_ref().is_ok_and(Run::fills_empty)) {
        data_sets.insert(objects, installation.data_set(objects, run.plan.policies.clone())?);
    }
    let consent = if args.writers_are_stopped || args.yes { Consent::Given } else { Consent::Ask };
    let mut hands = app.hands(&config, installation.as_ref(), repository, data_sets, id.clone(), consent)?;
    hands.copies_journal &= is_there;
    if let Some(installation) = run.plan.installation {
        hands.context.installation = installation;
    }
    Ok(Opened { state, _lock: lock, id, journal, hands })
}

/// What a finished run did.
pub(crate) fn print_report(app: &App, state: &State, id: &RunId) -> Result<()> {
    let report = runner::report(state, id)?;
    let mut table = Table::new(&["STEP", "ACTION", "TIME"]);
    for step in &report.steps {
        let time = step.succeeded_at.zip(step.started_at).map(|(end, begin)| duration_ms(end.as_millisecond() - begin.as_millisecond()));
        table.row([step.id.to_string(), step.action.to_string(), time.unwrap_or_default()]);
    }
    app.output.line(&table.render())?;
    let run = &report.run;
    let total = run.last_at.as_millisecond() - run.opened_at.as_millisecond();
    app.output.line(&format!("run {id} finished in {}", duration_ms(total)))?;
    if let Some(downtime) = report.downtime_ms().filter(|_| run.plan.purpose == Purpose::Restore) {
        let cut_over = report.cut_over_ms().map(|time| format!(" (cut-over {})", duration_ms(time))).unwrap_or_default();
        app.output.line(&format!("the installation did not serve for {}{cut_over}", duration_ms(downtime)))?;
    }
    if run.merges() && !run.changes_rows() {
        app.output.line(&format!("what it put into the live data is on record: `settle {id}` forgets it, `undo {id}` takes it back"))?;
    } else if run.keeps_previous() {
        app.output.line(&format!("what was replaced is kept: `settle {id}` drops it, `undo {id}` puts it back"))?;
    }
    app.output.document(&document(&report, None))
}
