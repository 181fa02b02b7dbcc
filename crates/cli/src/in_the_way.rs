//! What stands in the way of a backup or a restore: runs that are known, and what runs of others left in the stores.
//!
//! A backup harms nothing, so it is held up only by a mixture: a cut-over that has begun and not ended, a store that is half loaded. Everything else it tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::journal::{Run, RunState};
use plan::ports::{Context, DataSet, Findings, Holds, Leftover, Writers};
use plan::{Class, Error, InstallationId, Purpose, Result};

use crate::app::App;
use crate::journals::Known;

/// What is left in a store, or at the writers (`None`).
pub(crate) type LeftAt = (Option<DataSetName>, Leftover);

/// All that runs left in these stores and at these writers. What cannot be asked is told.
pub(crate) fn leftovers(
    app: &App,
    data_sets: &BTreeMap<DataSetName, Arc<dyn DataSet>>,
    writers: Option<&dyn Writers>,
    context: &Context,
) -> Vec<LeftAt> {
    let mut all = Vec::new();
    let told = |place: &str, error: &Error| app.output.note(&format!("warning: nobody knows what runs left in {place}: {}", error.chain()));
    for (name, store) in data_sets {
        match store.leftovers(context) {
            Ok(found) => all.extend(found.into_iter().map(|leftover| (Some(*name), leftover))),
            Err(error) => told(name.as_str(), &error),
        }
    }
    match writers.map_or_else(|| Ok(Vec::new()), |writers| writers.leftovers(context)) {
        Ok(found) => all.extend(found.into_iter().map(|leftover| (None, leftover))),
        Err(error) => told("the writers", &error),
    }
    all
}

/// Whether its mark names another installation.
pub(crate) fn is_anothers(leftover: &Leftover, here: &InstallationId) -> bool {
    leftover.installation.as_ref().is_some_and(|theirs| !theirs.name.is_empty() && !here.name.is_empty() && !theirs.is(here))
}

/// One line for people.
pub(crate) fn describe(place: Option<DataSetName>, leftover: &Leftover) -> String {
    let holds = match leftover.holds {
        Holds::Staged => "a staged copy",
        Holds::Previous => "PREVIOUS DATA",
        Holds::Mark => "a mark",
        Holds::Nothing => "a helper, without data,",
        Holds::Unknown => "nobody knows what",
    };
    let whose = leftover.installation.as_ref().map(|whose| format!(", of installation {whose}")).unwrap_or_default();
    let size = leftover.bytes.map(|bytes| format!(", {}", crate::output::bytes(bytes))).unwrap_or_default();
    let place = place.map_or_else(|| "writers".to_owned(), |name| name.to_string());
    format!("{place}: {} ({holds} of run {}{whose}{size})", leftover.what, leftover.run)
}

/// Tells which runs stand, and refuses a backup of data that is neither the old nor the new.
pub(crate) fn of_backup(app: &App, known: &[Known], found: &BTreeMap<DataSetName, Findings>, at_writers: &[Leftover]) -> Result<()> {
    mixture(known, found, at_writers)?;
    for known in known {
        let id = &known.id;
        match &known.run {
            Ok(run) if run.is_over() || run.state == RunState::Finished || run.plan.purpose == Purpose::Rehearse => {}
            Ok(run) if run.plan.purpose == Purpose::Backup && !run.holds_writers() => {}
            Ok(run) => app.output.note(&format!(
                "warning: run {id} is {}.{} {}",
                run.describe(),
                Run::writers_sentence(run.writers()),
                way_out(id.as_str(), run)
            )),
            Err(error) => app.output.note(&format!("warning: run {id}: {}. `abandon {id}` ends it.", error.chain())),
        }
    }
    Ok(())
}

/// Refuses what is neither the old data nor the new: no set is made of that.
pub(crate) fn mixture(known: &[Known], found: &BTreeMap<DataSetName, Findings>, at_writers: &[Leftover]) -> Result<()> {
    let begun = |known: &&Known| known.run.as_ref().is_ok_and(Run::is_in_mid_cut_over);
    if let Some(Known { id, run: Ok(run), .. }) = known.iter().find(begun) {
        return Err(Error::new(Class::Locked, format!("run {id} is in the way: it is {}, with its cut-over begun", run.describe()))
            .hint("What is live may be half the old data and half the new: no set is made of that.")
            .hint(way_out(id.as_str(), run)));
    }
    for (name, findings) in found {
        if let Some(run) = &findings.half_loaded_by {
            return Err(Error::new(Class::Locked, format!("{name} is half loaded: run {run} replaces it in place, or died while it did"))
                .hint("What is live is neither the old data nor the new: no set is made of that.")
                .hint(format!(
                    "`resume {run}` goes on with it, `undo {run}` takes it back, on the machine that began it or by this configuration."
                )));
        }
    }
    let is_own = |leftover: &&Leftover| known.iter().any(|known| leftover.is_by(known.id.as_str()));
    if let Some(leftover) = at_writers.iter().find(|leftover| !is_own(leftover)) {
        return Err(Error::new(Class::Locked, format!("run {} holds the writers, and its journal is not here", leftover.run))
            .hint(format!("{}.", leftover.what))
            .hint(
                "A restore is under way, or died, on another machine: a set of that moment could be of half the old data and half the new.",
            ));
    }
    Ok(())
}

/// Refuses a restore while an earlier run is in the way, naming the way out.
pub(crate) fn of_restore(known: &[Known], left: &[LeftAt]) -> Result<()> {
    for known in known {
        let id = &known.id;
        let run = match &known.run {
            Ok(run) => run,
            Err(error) => {
                return Err(Error::refused(format!("run {id} is in the way: its journal cannot be read"))
                    .hint(error.chain())
                    .hint(format!("`abandon {id}` ends it, and says what it left.")));
            }
        };
        let is_in_the_way = match run.state {
            RunState::Open | RunState::Undoing | RunState::Settling => run.plan.purpose.changes_live() || run.holds_writers(),
            // There was nothing before it; or what it keeps is of single keys, and goes back only where they are as it left them.
            RunState::Finished => {
                run.keeps_previous() && !run.fills_empty() && run.plan.purpose != Purpose::Repair && !changes_rows_only(run)
            }
            RunState::Undone | RunState::Settled | RunState::Abandoned => false,
        };
        if is_in_the_way {
            return Err(refusal(run));
        }
    }
    let is_known = |leftover: &Leftover| known.iter().any(|known| leftover.is_by(known.id.as_str()) && !is_abandoned(known));
    let foreign = |leftover: &Leftover| matches!(leftover.holds, Holds::Previous | Holds::Unknown) && !is_known(leftover);
    if let Some((place, leftover)) = left.iter().find(|(_, leftover)| foreign(leftover)) {
        let run = &leftover.run;
        let is_ended = known.iter().any(|known| leftover.is_by(known.id.as_str()));
        let (why, way_out) = if is_ended {
            (
                "it was abandoned",
                "It may be the only copy of what was live before that run, and no command puts it back any more: copy what you need of it first.",
            )
        } else {
            (
                "its journal is not here",
                "It may be the only copy of what was live before that run. `undo` or `settle` it where its journal is (the machine that began it).",
            )
        };
        return Err(Error::refused(format!("run {run} is in the way: it left data in the stores, and {why}"))
            .hint(format!("{}.", describe(*place, leftover)))
            .hint(way_out)
            .hint(format!(
                "`threescale-backup abandon {run}` lists all that it left; `threescale-backup abandon {run} --remove --drop-previous` removes it."
            )));
    }
    Ok(())
}

/// Refuses a repair while another run changes what is live, or died while it did.
pub(crate) fn of_repair(known: &[Known]) -> Result<()> {
    let is_at_work = |run: &Run| {
        let is_open = matches!(run.state, RunState::Open | RunState::Undoing | RunState::Settling);
        is_open && (run.plan.purpose.changes_live() || run.holds_writers())
    };
    let at_work = known.iter().filter_map(|known| known.run.as_ref().ok()).find(|run| is_at_work(run));
    at_work.map_or(Ok(()), |run| Err(refusal(run)))
}

/// Usage that it put back would be taken out of whatever is live then.
fn changes_rows_only(run: &Run) -> bool {
    run.changes_rows() && !run.has_merged()
}

fn refusal(run: &Run) -> Error {
    let id = run.plan.run.as_str();
    Error::refused(format!("run {id} is in the way: it is {}", run.describe())).hint(way_out(id, run))
}

fn is_abandoned(known: &Known) -> bool {
    known.run.as_ref().is_ok_and(|run| run.state == RunState::Abandoned)
}

fn way_out(id: &str, run: &Run) -> String {
    match run.state {
        RunState::Finished if run.merges() && !run.changes_rows() => {
            format!("`settle {id}` forgets how to take back what it put into the live data, `undo {id}` takes that back.")
        }
        RunState::Finished => {
            format!("`settle {id}` drops what it keeps of the replaced data, `undo {id}` puts that back; `runs` says what it keeps.")
        }
        RunState::Undoing => format!("`undo {id}` goes on taking it back; `abandon {id}` ends it as it is."),
        RunState::Settling => format!("`settle {id}` goes on dropping what it kept."),
        _ => format!("`resume {id}` goes on with it, `undo {id}` takes it back; `abandon {id}` ends it as it is."),
    }
}
