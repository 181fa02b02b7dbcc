//! `runs`, `resume`, `undo`, `settle`: the journal's runs.

use std::sync::Arc;

use jiff::Timestamp;
use plan::ids::{DataSetName, RunId};
use plan::journal::{Run, RunState};
use plan::ports::Repository;
use plan::step::{Action, Output as StepOutput};
use plan::{Error, Purpose, Result};
use runner::{Hands, Report, State};
use serde::Serialize;

use crate::app::{App, find_run};
use crate::args::OfRun;
use crate::commands::backup::with_way_out;
use crate::config::Config;
use crate::join::{self, Installation};
use crate::output::{Table, age, bytes, duration_ms, local_time};
use crate::writers::Consent;

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
    steps: Vec<StepDocument>,
}

#[derive(Serialize)]
struct StepDocument {
    step: u32,
    action: String,
    duration_ms: Option<i64>,
}

pub(crate) fn runs(app: &App) -> Result<()> {
    let config = app.config()?;
    // The journals are told even when the installation cannot be reached.
    let installation = app.installation(&config).inspect_err(|error| app.output.note(&format!("warning: {}", error.chain()))).ok();
    let state = app.state(&config, installation.as_deref())?;
    let id_here = installation.as_ref().map(|installation| installation.id());
    let mut table = Table::new(&["RUN", "WHAT", "OPENED", "AGE", "KEEPS"]);
    let (mut documents, mut reminders) = (Vec::new(), Vec::new());
    for id in state.runs()? {
        let report = match runner::report(&state, &id) {
            Ok(report) => report,
            Err(error) => {
                reminders.push(format!("run {id}: {}", error.chain()));
                continue;
            }
        };
        let kept = match &installation {
            _ if !report.run.keeps_previous() => Some(0),
            Some(installation) => kept_bytes(app, &config, installation.as_ref(), &report).ok(),
            None => None,
        };
        let kept_text = match kept {
            Some(0) => String::new(),
            Some(size) => bytes(size),
            None => "unknown".to_owned(),
        };
        let run = &report.run;
        if id_here.as_ref().is_some_and(|here| !run.is_of(here)) {
            continue;
        }
        table.row([id.to_string(), run.describe(), local_time(run.opened_at), age(run.opened_at), kept_text.clone()]);
        if run.keeps_previous() {
            reminders.push(format!("run {id} keeps what it replaced ({kept_text}): `settle {id}` drops it, `undo {id}` puts it back."));
        }
        if matches!(run.state, RunState::Open | RunState::Undoing) && (run.plan.purpose == Purpose::Restore || run.holds_writers()) {
            let held = if run.holds_writers() { " It holds the writers." } else { "" };
            reminders.push(format!("run {id} is not finished.{held} `resume {id}` goes on, `undo {id}` takes it back."));
        }
        documents.push(document(&report, kept));
    }
    if documents.is_empty() {
        app.output.note("There were no runs yet.");
    } else {
        app.output.line(&table.render())?;
    }
    for reminder in reminders {
        app.output.line(&reminder)?;
    }
    app.output.document(&std::collections::BTreeMap::from([("runs", documents)]))
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
        downtime_ms: report.downtime_ms(),
        cut_over_ms: report.cut_over_ms(),
        steps: steps.collect(),
    }
}

fn kept_bytes(app: &App, config: &Config, installation: &dyn Installation, report: &Report) -> Result<u64> {
    let names: Vec<_> = report.run.plan.data_sets.keys().copied().collect();
    let data_sets = join::data_sets(installation, &names, report.run.plan.policies)?;
    let context = app.context(config, report.run.plan.run.clone(), installation.id())?;
    let mut sum = 0;
    for step in &report.run.plan.steps {
        if let (Action::Reserve { data_set, .. }, Some(StepOutput::Reserved { place, .. })) = (&step.action, report.run.output(step.id))
            && let Some(store) = data_sets.get(data_set)
        {
            sum += store.kept_bytes(&context, place)?;
        }
    }
    Ok(sum)
}

pub(crate) fn resume(app: &App, args: &OfRun) -> Result<()> {
    let opened = open(app, args, Run::can_resume)?;
    let run = opened.journal.run();
    match run.state {
        RunState::Open if run.plan.purpose == Purpose::Rehearse => {
            return Err(
                Error::refused("a rehearsal is not resumed: its servers are gone").hint("Rehearse again; nothing live was touched.")
            );
        }
        RunState::Open => {}
        _ => {
            return Err(
                Error::refused(format!("run {} is {}", opened.id, run.describe())).hint("Only an interrupted or failed run can go on.")
            );
        }
    }
    runner::run(&opened.journal, &opened.hands).map_err(|error| with_way_out(error, &opened.journal.run()))?;
    print_report(app, &opened.state, &opened.id)
}

pub(crate) fn undo(app: &App, args: &OfRun) -> Result<()> {
    let opened = open(app, args, Run::can_undo)?;
    confirm(app, args, &format!("Put back what run {} replaced? What was written since is lost.", opened.id))?;
    runner::undo(&opened.journal, &opened.hands).map_err(|error| error.hint(format!("`undo {}` goes on.", opened.id)))?;
    app.output.line(&format!("run {} is undone: all is as it was before it", opened.id))?;
    app.output.document(&document(&runner::report(&opened.state, &opened.id)?, Some(0)))
}

pub(crate) fn settle(app: &App, args: &OfRun) -> Result<()> {
    let opened = open(app, args, Run::can_settle)?;
    confirm(app, args, &format!("Drop what run {} replaced? There is no undo afterwards.", opened.id))?;
    runner::settle(&opened.journal, &opened.hands).map_err(|error| error.hint(format!("`settle {}` goes on.", opened.id)))?;
    app.output.line(&format!("run {} is settled: what it replaced is dropped", opened.id))?;
    app.output.document(&document(&runner::report(&opened.state, &opened.id)?, Some(0)))
}

/// Naming the command is consent enough for a script; a person at a terminal is asked.
fn confirm(app: &App, args: &OfRun, question: &str) -> Result<()> {
    if !args.yes && app.output.ask(question) == Some(false) {
        return Err(Error::refused("nothing was touched"));
    }
    Ok(())
}

struct Opened {
    state: State,
    _lock: runner::Lock,
    id: RunId,
    journal: runner::Journal,
    hands: Hands,
}

fn open(app: &App, args: &OfRun, fits: impl Fn(&Run) -> bool) -> Result<Opened> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let state = app.state(&config, Some(installation.as_ref()))?;
    let lock = state.lock()?;
    let id = find_run(&state, &installation.id(), args.run.as_deref(), fits)?;
    let journal = state.open_journal(&id)?;
    let repository: Arc<dyn Repository> = app.repository(&config)?;
    let plan = journal.run().plan;
    let names: Vec<DataSetName> = plan.data_sets.keys().copied().collect();
    let data_sets = join::data_sets(installation.as_ref(), &names, plan.policies)?;
    let consent = if args.writers_are_stopped || args.yes { Consent::Given } else { Consent::Ask };
    let hands = app.hands(&config, installation.as_ref(), repository, data_sets, id.clone(), consent)?;
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
    if run.keeps_previous() {
        app.output.line(&format!("what was replaced is kept: `settle {id}` drops it, `undo {id}` puts it back"))?;
    }
    app.output.document(&document(&report, None))
}
