//! What a run may still need of the repository, written there: the set that it puts back, and the safety copies it took. Whoever forgets sets, on whatever machine,
//! keeps these until the run is over.

use plan::Purpose;
use plan::ids::SetId;
use plan::journal::Run;
use plan::needs::{self, Need};
use plan::ports::Event;
use plan::step::{Action, Output};

use crate::act::Hands;

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
        let text = format!(
            "that run {id} needs set {} was not written into the repository, so a `forget` elsewhere does not know it: {}",
            run.plan.set,
            error.chain()
        );
        hands.context.watch.see(Event::Warning(&text));
    }
}

fn safety_copies(run: &Run) -> impl Iterator<Item = &SetId> {
    run.plan.steps.iter().filter(|step| matches!(step.action, Action::SafetyCopy { .. })).filter_map(|step| match run.output(step.id) {
        Some(Output::Set { set }) => Some(set),
        _ => None,
    })
}
