//! Runs what is outstanding of a plan: steps whose needs are met run side by side, in the order of the plan.

use std::collections::{BTreeMap, BTreeSet};
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

/// How many steps run at the same time when nobody says otherwise. Each archiver of the repository takes some 100 MiB (`building-blocks`), and two keep two cores busy.
pub const LANES: usize = 2;

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
    let (mut gave_way, mut lost) = (1..BACKUPS_MAX, hands.rests.iter());
    while let Err(error) = &ended {
        let rested = match error.class() {
            _ if journal.run().plan.purpose != Purpose::Backup => None,
            _ if error.gave_way() => gave_way.next().map(|_| REST),
            Class::Transient => lost.next().copied(),
            _ => None,
        };
        let Some(time) = rested else { break };
        let (what, seconds) = (error.chain(), time.as_secs());
        hands.context.watch.see(Event::Warning(&format!("{what}; the backup begins anew in {seconds} s")));
        rest(&hands.context, time)?;
        ended = attempt(journal, hands);
    }
    ended
}

/// Does what a step does; what changes nothing that is live, and failed for a while only, once more after each rest.
fn act_patiently(hands: &Hands, run: &Run, step: &Step, views: &Views) -> Result<Output> {
    let changes_nothing_live = match &step.action {
        Action::Reserve { .. } | Action::Prove { .. } | Action::LoadRest { .. } | Action::NoteWriters { .. } => true,
        Action::Stage { reserved, .. } => !run.is_in_place(*reserved),
        _ => false,
    };
    for time in hands.rests.iter().filter(|_| changes_nothing_live) {
        match act(hands, run, step, views) {
            Err(error) if error.class() == Class::Transient && !hands.context.stop.is_raised() => {
                let (what, seconds) = (error.chain(), time.as_secs());
                hands.context.watch.see(Event::Warning(&format!("{}: {what}; once more in {seconds} s", step.action)));
                rest(&hands.context, *time)?;
            }
            acted => return acted,
        }
    }
    act(hands, run, step, views)
}

fn rest(context: &Context, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
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
    let steps = journal.run().plan.steps.len();
    let mut running = BTreeMap::new();
    let mut first_error: Option<Error> = None;
    let (sender, receiver) = unbounded::<(StepId, Result<()>)>();
    thread::scope(|scope| {
        loop {
            while first_error.is_none() && running.len() < hands.lanes {
                if let Err(error) = hands.context.stop.check() {
                    first_error = Some(error);
                    break;
                }
                let Some(step) = next_ready(&journal.run(), &pending, &running) else { break };
                pending.remove(&step.id);
                let action = step.action.to_string();
                hands.context.watch.see(Event::Step { number: step.id.0, of: number(steps), action: &action });
                running.insert(step.id, action);
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
            let action = running.remove(&id).unwrap_or_default();
            match result {
                Ok(()) => {
                    let done = number(steps - pending.len() - running.len());
                    hands.context.watch.see(Event::StepEnd { number: id.0, of: number(steps), done, action: &action });
                }
                Err(error) if first_error.is_none() => {
                    first_error = Some(error);
                    hands.context.stop.raise();
                }
                Err(_) => {}
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
    let run = journal.run();
    if run.plan.purpose.changes_live() && run.has_touched_live() || run.holds_writers() || copies::may_be_known(&run) {
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

fn number(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

fn next_ready(run: &Run, pending: &BTreeSet<StepId>, running: &BTreeMap<StepId, String>) -> Option<Step> {
    let is_done = |need: &StepId| !pending.contains(need) && !running.contains_key(need) && run.output(*need).is_some();
    run.plan.steps.iter().find(|step| pending.contains(&step.id) && step.needs.iter().all(is_done)).cloned()
}

fn run_step(journal: &Journal, hands: &Hands, step: &Step, views: &Views) -> Result<()> {
    journal.write(Record::Started { step: step.id })?;
    let run = journal.run();
    if copies::is_worth_a_copy(&run, step) {
        copies::keep(journal, hands);
    }
    debug_assert_eq!(run.steps.get(&step.id), Some(&StepState::Started));
    let acted = catch_unwind(AssertUnwindSafe(|| act_patiently(hands, &run, step, views)));
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
            // "Refused" says that nothing was touched.
            let is_touched = journal.run().holds_writers() || journal.run().has_touched_live();
            let error = if is_touched && error.class() == Class::Refused { error.in_class(Class::Failed) } else { error };
            journal.write(Record::Failed { step: step.id, class: error.class(), error: error.chain() })?;
            Err(error)
        }
    }
}
