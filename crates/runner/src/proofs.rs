//! What a restore or a rehearsal showed of its set, kept beside the set.

use std::collections::BTreeMap;

use plan::ids::RunId;
use plan::journal::{Line, Record, Run, RunState, StepState};
use plan::ports::Event;
use plan::proof::{self, Proof, Proven, digest_of};
use plan::step::{Action, Output, Step};
use plan::{Class, Purpose, Result};

use crate::act::Hands;
use crate::journal::{Journal, lines_of};
use crate::report::Report;
use crate::state::State;

/// Writes what the run showed, when it showed anything. That it cannot be written is told and stops nothing: the journal says the same.
pub(crate) fn note(hands: &Hands, journal: &Journal) {
    let run = journal.run();
    let Ok((lines, _)) = lines_of(&journal.text()) else { return };
    let Some(proof) = proof_of(&Report::of(run, &lines), &lines, &hands.host) else { return };
    if let Err(error) = proof::keep(hands.repository.as_ref(), &proof) {
        let text = format!(
            "what run {} showed was not written beside set {}, so `list` on another machine does not know it: {}",
            proof.run,
            proof.set,
            error.chain()
        );
        hands.context.watch.see(Event::OfRecords(&text));
    }
}

/// What a run showed of its set by its journal alone: none of a run that is for something else, or is under way, or was stopped by what is no fault of the set's.
///
/// # Errors
/// As [`State::read`].
pub fn shown(state: &State, id: &RunId) -> Result<Option<Proof>> {
    let (run, lines) = state.told(id)?;
    Ok(proof_of(&Report::of(run, &lines), &lines, ""))
}

/// Why a data set could not be loaded, or was not equal when it was compared; not what another try may do better by itself.
fn failure_of(run: &Run, lines: &[Line]) -> Option<String> {
    let is_of_the_set = |step: &Step| matches!(step.action, Action::Stage { .. } | Action::Prove { .. });
    let failed = run.plan.steps.iter().filter(|step| is_of_the_set(step) && matches!(run.steps.get(&step.id), Some(StepState::Failed(_))));
    let why = |step: &Step| {
        lines.iter().rev().find_map(|line| match &line.record {
            Record::Failed { step: id, class, error } if *id == step.id => Some((*class, error.clone())),
            _ => None,
        })
    };
    failed.filter_map(why).find(|(class, _)| *class == Class::Failed).map(|(_, error)| error)
}

fn proof_of(report: &Report, lines: &[Line], host: &str) -> Option<Proof> {
    let run = &report.run;
    // Some of its keys, or rows, say nothing of the set.
    if run.merges() || run.changes_rows() {
        return None;
    }
    let failure = if run.state == RunState::Open { failure_of(run, lines) } else { None };
    let is_over = matches!(run.state, RunState::Finished | RunState::Settled) || failure.is_some();
    if !matches!(run.plan.purpose, Purpose::Restore | Purpose::Rehearse) || !is_over {
        return None;
    }
    let mut data_sets = BTreeMap::new();
    for step in &report.steps {
        let Action::Prove { data_set, reserved } = step.action else { continue };
        let (Some(Output::Proven { evidence }), Some(planned)) = (run.output(step.id), run.plan.data_sets.get(&data_set)) else { continue };
        let staged_at = report.steps.iter().find_map(|step| match step.action {
            Action::Stage { reserved: of, .. } if of == reserved => step.first_started_at,
            _ => None,
        });
        let took_ms = match (staged_at, step.succeeded_at) {
            (Some(from), Some(to)) => to.as_millisecond() - from.as_millisecond(),
            _ => 0,
        };
        let (store, elements, digest) = (planned.findings.store.clone(), evidence.count(), digest_of(evidence));
        data_sets.insert(data_set, Proven { store, elements, digest, took_ms });
    }
    // A run that was settled since ended before that.
    let last_step_at = report.steps.iter().filter_map(|step| step.succeeded_at).max().filter(|_| failure.is_none());
    let is_restore = run.plan.purpose == Purpose::Restore;
    Some(Proof {
        set: run.plan.set.clone(),
        run: run.plan.run.clone(),
        purpose: run.plan.purpose,
        installation: run.plan.installation.clone().filter(|_| is_restore),
        host: host.to_owned(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: run.opened_at,
        finished_at: last_step_at.unwrap_or(run.last_at),
        downtime_ms: report.downtime_ms().filter(|_| is_restore && failure.is_none()),
        data_sets,
        failure,
    })
}
