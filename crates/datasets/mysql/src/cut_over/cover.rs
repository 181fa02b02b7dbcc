//! Runs that are swapped in over one another.
//!
//! Tables bear no mark, so a run cannot see in the live database whether it is still its own. Therefore whoever swaps in over another run writes that into the
//! other's record, and takes it away when it is undone: a run that is covered cannot be undone, for what is live is not its own. It stays when the later run is
//! settled. And a run swaps only over what it was planned for.

use plan::ids::RunId;
use plan::ports::{Mark, MarkRole};
use plan::{Error, Result};

use super::Swap;
use crate::beside::{self, Beside};
use crate::record::{Document, Record};
use crate::session::Session;

/// The other runs beside the live database, with their records.
fn others(session: &mut Session, live: &str, own: &Record) -> Result<Vec<(Beside, Option<Record>)>> {
    let runs = beside::list(session, live)?.into_iter().map(|run| {
        let record = run.record(live);
        (run, record)
    });
    Ok(runs.filter(|(_, record)| !record.as_ref().is_some_and(|record| record.key().eq_ignore_ascii_case(own.key()))).collect())
}

/// That nobody swapped since this run was planned, and nobody is in the middle of it.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] otherwise; nothing is changed then.
pub(super) fn refuse_strangers(swap: &mut Swap<'_>) -> Result<()> {
    let (run, live) = (&swap.context.run, &swap.schemas.live);
    for (other, record) in others(&mut swap.session, &swap.schemas.live, &swap.record)? {
        let owner = other.owner();
        if other.is_half_way() {
            return Err(Error::needs_person(format!("{owner} is in the middle of swapping database {live:?}: nothing was changed"))
                .hint(format!("Finish it with `resume {0}` or `undo {0}`, then go on.", other.run())));
        }
        let is_new = swap.schemas.over.as_ref().is_some_and(|over| record.as_ref().is_some_and(|record| !over.contains(record.key())));
        if other.is_swapped() && is_new {
            return Err(Error::needs_person(format!(
                "database {live:?} was replaced by {owner} after run {run} was planned: nothing was changed"
            ))
            .hint(format!("`undo {run}` drops the staged copy; restore again over what is live now, or `undo {}` first.", other.run())));
        }
    }
    Ok(())
}

/// Writes into the records of the runs that are live until now that this one comes over them.
pub(super) fn cover(swap: &mut Swap<'_>) -> Result<()> {
    let mark = Mark::of(swap.context, swap.data_set, MarkRole::Previous);
    for (other, record) in others(&mut swap.session, &swap.schemas.live, &swap.record)? {
        let Some(record) = record.filter(|_| other.is_swapped() && other.covered.is_none()) else { continue };
        record.write(&mut swap.session, Document::Covered, &mark)?;
    }
    Ok(())
}

/// Takes away what [`cover`] wrote: this run is not live, or no longer.
pub(crate) fn uncover(session: &mut Session, live: &str, own: &Record, run: &RunId) -> Result<()> {
    for (other, record) in others(session, live, own)? {
        let Some(record) = record.filter(|_| other.covered.as_ref().is_some_and(|mark| mark.run == *run)) else { continue };
        record.remove(session, Document::Covered)?;
    }
    Ok(())
}

/// That what is live is this run's.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when another run was swapped in over it.
pub(super) fn refuse_covered(swap: &mut Swap<'_>) -> Result<()> {
    let Some(mark) = swap.record.read::<Mark>(&mut swap.session, Document::Covered)? else { return Ok(()) };
    let (run, live, kept) = (&swap.context.run, &swap.schemas.live, swap.schemas.kept().schema);
    Err(Error::needs_person(format!("what is live in database {live:?} is not of run {run}: {} came over it", mark.owner()))
        .hint(format!("Nothing was changed. `undo {}` first, if it is not settled; then this run can be undone.", mark.run))
        .hint(format!("What run {run} replaced is in schema {kept:?} until it is settled.")))
}
