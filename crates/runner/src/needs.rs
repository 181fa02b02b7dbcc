//! What a run may still need of the repository, written there: the set that it puts back, and the safety copies it took. Whoever forgets sets, on whatever machine,
//! keeps these until the run is over.

use plan::ids::SetId;
use plan::journal::Run;
use plan::needs::{self, Need};
use plan::ports::{Event, Repository};
use plan::step::{Action, Output};
use plan::{Purpose, Result};

use crate::act::Hands;
use crate::state::State;

/// Writes what the run needs now, or that it needs nothing more. That it cannot be written is told and stops nothing: a repository may be there to be read only.
pub(crate) fn note(hands: &Hands, run: &Run) {
    if run.plan.purpose != Purpose::Restore {
        return;
    }
    let id = run.plan.run.as_str();
    let written = if run.is_over() {
        needs::no_longer_needed(hands.repository.as_ref(), &run.plan.run)
    } else {
        let need = Need {
            installation: run.plan.installation.clone(),
            sets: std::iter::once(&run.plan.set).chain(safety_copies(run)).cloned().collect(),
            since: run.opened_at,
            note: run.describe(),
        };
        needs::need(hands.repository.as_ref(), &run.plan.run, &need)
    };
    if let Err(error) = written {
        let (set, why) = (&run.plan.set, error.chain());
        let text = match run.is_over() {
            true => format!(
                "that run {id} needs set {set} no more was not written into the repository, so `forget` keeps it until the next backup from here: {why}"
            ),
            false => format!(
                "that run {id} needs set {set} was not written into the repository, so a `forget` elsewhere does not know it: {why}"
            ),
        };
        hands.context.watch.see(Event::OfRecords(&text));
    }
}

fn safety_copies(run: &Run) -> impl Iterator<Item = &SetId> {
    run.plan.steps.iter().filter(|step| matches!(step.action, Action::SafetyCopy { .. })).filter_map(|step| match run.output(step.id) {
        Some(Output::Set { set }) => Some(set),
        _ => None,
    })
}

/// Takes back what runs that are over by their journals here are still noted to need: when they ended, the repository could not be written.
///
/// # Errors
/// When the journals or the repository cannot be read, or the repository cannot be written.
pub fn tidy_needs(state: &State, repository: &dyn Repository) -> Result<()> {
    let needed = needs::needs(repository)?;
    if needed.is_empty() {
        return Ok(());
    }
    let over = state.all()?.into_iter().filter(|(id, run)| needed.contains_key(id) && run.as_ref().is_ok_and(Run::is_over));
    over.into_iter().try_for_each(|(id, _)| needs::no_longer_needed(repository, &id))
}
