//! Whether the stores in the place are those that a run was made for.

use plan::journal::Run;
use plan::step::Action;
use plan::{Error, Result};

use crate::act::Hands;

/// Compares what tells each store from others with what it was when the run was planned. A store that cannot be told apart (Redis) is known by the run's own
/// mark in it, which its verbs check.
///
/// # Errors
/// [`plan::Class::Refused`] when a store is another one; when one cannot be asked.
pub fn check_stores(hands: &Hands, run: &Run) -> Result<()> {
    for (name, planned) in &run.plan.data_sets {
        let Some(then) = &planned.findings.identity else { continue };
        let store = hands.data_set(*name)?;
        let now = store.identity(&hands.context).map_err(|error| error.during(format!("failed to look which store {name} is")))?;
        if now.as_ref().is_some_and(|now| now != then) {
            let id = &run.plan.run;
            return Err(Error::refused(format!(
                "run {id} is of another store: its {name} was {then}, here is {}",
                now.unwrap_or_default()
            ))
            .hint(format!(
                "It was at {}. Use the configuration of the installation that the run is of; nothing was touched.",
                planned.findings.address
            ))
            .hint(format!("If that store is gone for good, `abandon {id}` ends the run.")));
        }
    }
    Ok(())
}

/// Looks for traces of a run whose cut-over was begun, before anything is stopped for taking it back: where no store has any, somebody else took it back or
/// settled it, and there is nothing to put back. A store that cannot be asked, and one whose data was replaced in place, may know: their verbs say it.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when no store knows anything of the run.
pub(crate) fn check_that_a_store_knows(hands: &Hands, run: &Run) -> Result<()> {
    let mut cut_over = Vec::new();
    for step in run.plan.steps.iter().filter(|step| run.was_begun(step.id)) {
        match step.action {
            Action::CutOver { data_set, .. } => cut_over.push(data_set),
            Action::Stage { reserved, .. } if run.is_in_place(reserved) => return Ok(()),
            _ => {}
        }
    }
    for data_set in &cut_over {
        let Ok(left) = hands.data_set(*data_set).and_then(|store| store.leftovers(&hands.context)) else { return Ok(()) };
        if left.iter().any(|leftover| leftover.is_by(run.plan.run.as_str())) {
            return Ok(());
        }
    }
    if cut_over.is_empty() {
        return Ok(());
    }
    let id = &run.plan.run;
    let names: Vec<_> = cut_over.iter().map(|name| name.as_str()).collect();
    Err(Error::needs_person(format!("no store knows anything of run {id}, whose cut-over of {} the journal says was begun", names.join(", ")))
        .hint("Nothing was stopped or changed. Look whether these are the stores that the run was made for, and whether somebody took it back or settled it.")
        .hint(format!("`abandon {id}` ends the run as it is.")))
}
