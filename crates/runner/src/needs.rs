//! What a run may still need of the repository, written there: the set that it puts back, and the safety copies it took. Whoever forgets sets, on whatever machine,
//! keeps these until the run is over.

use plan::ids::SetId;
use plan::journal::Run;
use plan::ports::Event;
use plan::step::{Action, Output};
use plan::{Error, Purpose};
use serde::Serialize;

use crate::act::Hands;

/// The kind of the records in the repository (`docs/set-format.md`).
const KIND: &str = "need";

#[derive(Serialize)]
struct Need<'a> {
    installation: Option<&'a plan::InstallationId>,
    sets: Vec<&'a SetId>,
    since: jiff::Timestamp,
    note: String,
}

/// Writes what the run needs now, or that it needs nothing more. That it cannot be written is told and stops nothing: a repository may be there to be read only.
pub(crate) fn note(hands: &Hands, run: &Run) {
    if run.plan.purpose != Purpose::Restore {
        return;
    }
    let id = run.plan.run.as_str();
    let written = if run.is_over() {
        hands.repository.remove_record(KIND, id)
    } else {
        let need = Need {
            installation: run.plan.installation.as_ref(),
            sets: std::iter::once(&run.plan.set).chain(safety_copies(run)).collect(),
            since: run.opened_at,
            note: run.describe(),
        };
        serde_json::to_vec(&need)
            .map_err(|error| Error::failed("failed to write it as JSON").because(error))
            .and_then(|bytes| hands.repository.put_record(KIND, id, &bytes))
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
