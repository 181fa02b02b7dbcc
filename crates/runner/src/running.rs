//! Runs what is outstanding of a plan: steps whose needs are met run side by side, in the order of the plan.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use plan::journal::{Record, Run, RunState, StepState};
use plan::ports::{Context, Event};
use plan::step::{Action, Output, Step, StepId};
use plan::{Class, Error, Purpose, Result};

use crate::act::{Hands, act};
use crate::copies;
use crate::journal::Journal;
use crate::needs;
use crate::proofs;
use crate::stores::check_stores;
use crate::taking_back::tidy;
use crate::views::Views;

/// How many steps run at the same time. Each archiver of the repository takes some 100 MiB (`building-blocks`), and two keep two cores busy.
const LANES: usize = 2;

/// How often a backup is taken, at most, whose dumps give way to the application.
const BACKUPS_MAX: u32 = 3;
/// How long it rests before it begins anew: a migration changes one table after the other.
const REST: Duration = Duration::from_secs(3);

/// Runs the outstanding steps of a journal's plan, from wherever it stopped. A backup whose dump gave way to the application is taken again, all of it: its views
/// would be of different times else. What was stored is reused.
///
/// # Errors
/// The first step's error, journaled; other steps that were running are told to stop and waited for. What comes next is the operator's choice.
pub fn run(journal: &Journal, hands: &Hands) -> Result<()> {
    let mut ended = attempt(journal, hands);
    for _ in 1..BACKUPS_MAX {
        let Err(error) = &ended else { break };
        if !error.gave_way() || journal.run().plan.purpose != Purpose::Backup {
            break;
        }
        let (what, seconds) = (error.chain(), REST.as_secs());
        hands.context.watch.see(Event::Warning(&format!("{what}; the backup begins anew in {seconds} s")));
        rest(&hands.context)?;
        ended = attempt(journal, hands);
    }
    ended
}

fn rest(context: &Context) -> Result<()> {
    let until = Instant::now() + REST;
    while Instant::now() < until {
        context.stop.check()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn attempt(journal: &Journal, hands: &Hands) -> Result<()> {
    let views = Views::default();
    // What fails stops the others, but is not a signal.
    let mut hands = hands.clone();
    hands.context.stop = hands.context.stop.child();
    let hands = &hands;
    check_stores(hands, &journal.run())?;
    needs::note(hands, &journal.run());
    let mut pending = pending(&journal.run());
    let mut running = BTreeSet::new();
    let mut first_error: Option<Error> = None;
    let (sender, receiver) = unbounded::<(StepId, Result<()>)>();
    thread::scope(|scope| {
        loop {
            while first_error.is_none() && running.len() < LANES {
                if let Err(error) = hands.context.stop.check() {
                    first_error = Some(error);
                    break;
                }
                let Some(step) = next_ready(&journal.run(), &pending, &running) else { break };
                pending.remove(&step.id);
                running.insert(step.id);
                let (sender, views) = (sender.clone(), &views);
                scope.spawn(move || {
                    let result = run_step(journal, hands, &step, views);
                    // The receiver lives as long as this scope.
                    drop(sender.send((step.id, result)));
                });
            }
            if running.is_empty() {
                break;
            }
            let Ok((id, result)) = receiver.recv() else { break };
            running.remove(&id);
            if let Err(error) = result
                && first_error.is_none()
            {
                first_error = Some(error);
                hands.context.stop.raise();
            }
        }
    });
    let ended = match first_error {
        Some(error) => Err(error),
        None => {
            tidy(hands, &journal.run());
            journal.write(Record::Finished)
        }
    };
    if journal.run().state != RunState::Open {
        needs::note(hands, &journal.run());
    }
    proofs::note(hands, journal);
    // A run that has touched nothing is nobody else's business.
    if journal.run().plan.purpose == Purpose::Restore && journal.run().has_cut_over() || journal.run().holds_writers() {
        copies::keep(journal, hands);
    }
    ended
}

/// The steps to run. A backup is taken up from its start, or its views would be of different times; writers that it stopped stay stopped.
fn pending(run: &Run) -> BTreeSet<StepId> {
    let outstanding = || run.outstanding().into_iter().map(|step| step.id);
    if run.plan.purpose != Purpose::Backup {
        return outstanding().collect();
    }
    let is_written = |step: &Step| step.action == Action::WriteManifest && run.output(step.id).is_some();
    if run.plan.steps.iter().any(is_written) {
        return outstanding().collect();
    }
    // Writers that this run stopped are not noted again: there would be none.
    let is_noted = |step: &&Step| matches!(step.action, Action::NoteWriters { .. }) && run.output(step.id).is_some();
    run.plan.steps.iter().filter(|step| !is_noted(step)).map(|step| step.id).collect()
}

fn next_ready(run: &Run, pending: &BTreeSet<StepId>, running: &BTreeSet<StepId>) -> Option<Step> {
    let is_done = |need: &StepId| !pending.contains(need) && !running.contains(need) && run.output(*need).is_some();
    run.plan.steps.iter().find(|step| pending.contains(&step.id) && step.needs.iter().all(is_done)).cloned()
}

fn run_step(journal: &Journal, hands: &Hands, step: &Step, views: &Views) -> Result<()> {
    journal.write(Record::Started { step: step.id })?;
    let run = journal.run();
    if copies::is_worth_a_copy(&run, step) {
        copies::keep(journal, hands);
    }
    debug_assert_eq!(run.steps.get(&step.id), Some(&StepState::Started));
    let acted = catch_unwind(AssertUnwindSafe(|| act(hands, &run, step, views)));
    let result: Result<Output> = acted.unwrap_or_else(|_| Err(Error::new(Class::Failed, "a bug: the step panicked")));
    match result {
        Ok(output) => {
            journal.write(Record::Succeeded { step: step.id, output })?;
            if matches!(step.action, Action::SafetyCopy { .. }) {
                needs::note(hands, &journal.run());
            }
            Ok(())
        }
        Err(error) => {
            let error = error.during(format!("step {} failed: {}", step.id, step.action));
            journal.write(Record::Failed { step: step.id, class: error.class(), error: error.chain() })?;
            Err(error)
        }
    }
}
