//! Whether the stores in the place are those that a run was made for.

use plan::ids::DataSetName;
use plan::journal::Run;
use plan::ports::Holds;
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
/// settled it, and there is nothing to put back.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when no store knows anything of the run.
pub(crate) fn check_that_a_store_knows(hands: &Hands, run: &Run) -> Result<()> {
    // Rows that a run changed tell by themselves what it did.
    let cut_over = if run.changes_rows() { Vec::new() } else { cut_over(run) };
    if cut_over.is_empty() || cut_over.iter().any(|name| knows(hands, run, *name)) {
        return Ok(());
    }
    let id = &run.plan.run;
    let names: Vec<_> = cut_over.iter().map(|name| name.as_str()).collect();
    Err(Error::needs_person(format!("no store knows anything of run {id}, whose cut-over of {} the journal says was begun", names.join(", ")))
        .hint("Nothing was stopped or changed. Look whether these are the stores that the run was made for, and whether somebody emptied them, took it back or settled it.")
        .hint(format!("`abandon {id}` ends the run as it is.")))
}

/// Data sets whose stores hold nothing of the run any more, of those that it cut over: emptied, restarted without their data, or settled from elsewhere. A store that
/// cannot be asked may know, and so does one whose data was replaced in place: its verbs say it.
#[must_use]
pub fn lost(hands: &Hands, run: &Run) -> Vec<DataSetName> {
    cut_over(run).into_iter().filter(|name| !knows(hands, run, *name)).collect()
}

fn knows(hands: &Hands, run: &Run, name: DataSetName) -> bool {
    let left = hands.data_set(name).and_then(|store| store.leftovers(&hands.context));
    left.map_or(true, |left| {
        left.iter().any(|leftover| match leftover.holds {
            // It may be the run's, with a mark that somebody has written over.
            Holds::Unknown => true,
            Holds::Nothing => false,
            Holds::Staged | Holds::Previous | Holds::Mark => leftover.is_by(run.plan.run.as_str()),
        })
    })
}

/// Nothing where one was replaced in place.
fn cut_over(run: &Run) -> Vec<DataSetName> {
    let mut cut_over = Vec::new();
    for step in run.plan.steps.iter().filter(|step| run.was_begun(step.id)) {
        match step.action {
            Action::CutOver { data_set, .. } | Action::MergeKeys { data_set, .. } | Action::PutFiles { data_set, .. } => {
                cut_over.push(data_set)
            }
            Action::Stage { reserved, .. } if run.is_in_place(reserved) => return Vec::new(),
            _ => {}
        }
    }
    cut_over
}
