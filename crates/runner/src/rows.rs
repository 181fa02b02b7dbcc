//! Rows of a tenant in a live database that are made what a set has, and put back. What they were is in the repository before the first is changed; all are changed in one transaction.

mod exchanged;
mod kept;
mod taking_back;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::journal::Run;
use plan::manifest::KeptDataSet;
use plan::ports::{Cell, ChangesRows, ChangingRows, Event, RowChange, RowsOf};
use plan::step::{Action, Output, RowsOwner, StepId};
use plan::{Error, Result};

use crate::act::{Hands, kept_of};
use exchanged::{Way, park};
use kept::{Keeping, Piece};
pub(crate) use taking_back::take_back_rows;

/// So many rows are named.
const NAMED_MAX: usize = 10;
/// Parts that are held while the rows are locked, so that nobody waits for the repository; more are read again.
const PARTS_HELD_MAX: u32 = 4;

/// Works out which live rows are not as a set has them, and gives each with its table, in the order in which they are changed.
pub type RowWorker = Arc<dyn Fn(&Hands, &RowsOwner, &KeptDataSet, GiveRow<'_>) -> Result<()> + Send + Sync>;

/// Is given a row.
pub type GiveRow<'a> = &'a mut dyn FnMut(&RowsOf, RowChange) -> Result<()>;

fn changes_of(hands: &Hands, data_set: DataSetName) -> Result<&dyn ChangesRows> {
    hands.data_set(data_set)?.changes_rows().ok_or_else(|| Error::failed(format!("no rows of {data_set} can be changed")))
}

/// Works out what changes, and keeps it.
pub(crate) fn keep_rows(hands: &Hands, run: &Run, data_set: DataSetName, whose: &RowsOwner) -> Result<Output> {
    let worker = hands.row_worker.as_ref().ok_or_else(|| Error::failed("there is nobody here to work out which rows change"))?;
    let mut keeping = Keeping::new(hands.repository.as_ref(), &run.plan.run);
    worker(hands, whose, kept_of(run, data_set)?, &mut |of, change| {
        hands.context.stop.check()?;
        keeping.keep(of, &change)
    })?;
    let (parts, rows) = keeping.end()?;
    Ok(Output::RowsKept { parts, rows })
}

/// The parts that a step kept.
struct Parts<'a> {
    hands: &'a Hands,
    run: &'a Run,
    count: u32,
    held: HashMap<u32, Vec<Piece>>,
}

impl<'a> Parts<'a> {
    fn of(hands: &'a Hands, run: &'a Run, kept: StepId) -> Result<Self> {
        let Some(Output::RowsKept { parts, .. }) = run.output(kept) else {
            return Err(Error::needs_person(format!("the journal does not say what step {kept} kept of the rows")));
        };
        let mut all = Self { hands, run, count: *parts, held: HashMap::new() };
        for number in 0..all.count.min(PARTS_HELD_MAX) {
            let part = all.read(number)?;
            all.held.insert(number, part);
        }
        Ok(all)
    }

    fn read(&self, number: u32) -> Result<Vec<Piece>> {
        self.hands.context.stop.check()?;
        kept::part(self.hands.repository.as_ref(), &self.run.plan.run, number)
    }

    fn with<T>(&self, number: u32, work: impl FnOnce(&[Piece]) -> Result<T>) -> Result<T> {
        match self.held.get(&number) {
            Some(part) => work(part),
            None => work(&self.read(number)?),
        }
    }

    fn each(&self, mut work: impl FnMut(&RowsOf, &[RowChange]) -> Result<()>) -> Result<()> {
        (0..self.count).try_for_each(|number| {
            self.with(number, |part| {
                part.iter().flat_map(|piece| piece.together().into_iter().map(move |some| (&piece.of, some))).try_for_each(|(of, some)| {
                    self.hands.context.stop.check()?;
                    work(of, some)
                })
            })
        })
    }

    fn each_backwards(&self, mut work: impl FnMut(&RowsOf, &[RowChange]) -> Result<()>) -> Result<()> {
        (0..self.count).rev().try_for_each(|number| {
            self.with(number, |part| {
                let pieces = part.iter().rev();
                pieces.flat_map(|piece| piece.together().into_iter().rev().map(move |some| (&piece.of, some))).try_for_each(|(of, some)| {
                    self.hands.context.stop.check()?;
                    work(of, some)
                })
            })
        })
    }
}

/// What rows are, compared with what was kept.
#[derive(Default)]
struct Seen {
    as_they_were: u64,
    as_they_become: u64,
    others: u64,
    first: Vec<String>,
}

impl Seen {
    fn other(&mut self, name: String) {
        self.others += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(name);
        }
    }

    fn named(&self) -> String {
        let more = self.others.saturating_sub(self.first.len() as u64);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{}{more}", self.first.join(", "))
    }
}

/// The live rows of some changes, in their order, locked.
fn locked(rows: &mut dyn ChangingRows, of: &RowsOf, some: &[RowChange]) -> Result<Vec<Option<Vec<Cell>>>> {
    let keys: Vec<_> = some.iter().map(|change| of.key_of(change.row())).collect();
    // Where a table has no key, there may be several that are equal.
    let mut found: HashMap<Vec<Cell>, Vec<Vec<Cell>>> = HashMap::new();
    for row in rows.lock(of, &keys)? {
        found.entry(of.key_of(&row)).or_default().push(row);
    }
    Ok(keys.iter().map(|key| found.get_mut(key)?.pop()).collect())
}

/// Makes the rows what was kept. Whether an earlier call has done it is seen by the rows: one transaction makes all of them what they become, or none.
pub(crate) fn change_rows(hands: &Hands, run: &Run, data_set: DataSetName, kept: StepId) -> Result<Output> {
    let parts = Parts::of(hands, run, kept)?;
    let changes = changes_of(hands, data_set)?;
    let shapes = changes.shapes(&hands.context)?;
    let mut rows = changes.begin(&hands.context)?;
    let (mut seen, mut done) = (Seen::default(), (0, 0, 0));
    parts.each(|of, some| {
        for (change, live) in some.iter().zip(locked(rows.as_mut(), of, some)?) {
            match live {
                live if live == change.was => seen.as_they_were += 1,
                live if live == change.becomes => seen.as_they_become += 1,
                _ => seen.other(of.name(&of.key_of(change.row()))),
            }
            match (&change.was, &change.becomes) {
                (None, _) => done.0 += 1,
                (_, None) => done.2 += 1,
                _ => done.1 += 1,
            }
        }
        Ok(())
    })?;
    let output = Output::RowsChanged { inserted: done.0, updated: done.1, deleted: done.2 };
    if seen.as_they_were == 0 && seen.as_they_become > 0 {
        // An earlier call committed, and died before it could say so.
        return Ok(output);
    }
    if seen.others + seen.as_they_become > 0 {
        return Err(changed_meanwhile(run, &seen));
    }
    park(rows.as_mut(), &parts, &shapes, Way::Forth, &HashSet::new())?;
    parts.each(|of, some| forth(rows.as_mut(), of, some))?;
    parts.each(|of, some| proven(rows.as_mut(), of, some))?;
    rows.commit()?;
    let (inserted, updated, deleted) = done;
    hands.context.watch.see(Event::Note(&format!("{data_set}: {inserted} rows inserted, {updated} updated, {deleted} deleted")));
    Ok(output)
}

fn changed_meanwhile(run: &Run, seen: &Seen) -> Error {
    let id = &run.plan.run;
    let what = match (seen.as_they_were, seen.as_they_become, seen.others) {
        // An earlier call of this step may have changed them before.
        (0, 0, _) => format!("no row was changed by this call: somebody has changed all of them: {}", seen.named()),
        (were, already, 0) => format!("no row was changed: {already} of the rows are already as the set has them, and {were} are not"),
        (.., others) => format!("no row was changed: somebody changed {others} of the rows since they were looked at: {}", seen.named()),
    };
    Error::failed(what).hint(format!(
        "`undo {id}` ends the run. Then plan again, when nobody works in the tenant; `resume {id}` tries the same once more."
    ))
}

fn key_of(of: &RowsOf, row: &[Cell]) -> String {
    of.name(&of.key_of(row))
}

/// Makes changes of rows of one table.
fn forth(rows: &mut dyn ChangingRows, of: &RowsOf, some: &[RowChange]) -> Result<()> {
    let gone: Vec<_> = some.iter().filter(|change| change.becomes.is_none()).filter_map(|change| change.was.clone()).collect();
    if let Some(row) = rows.referred(of, &gone)?.first().and_then(|at| gone.get(*at)) {
        return Err(Error::failed(format!("no row was changed: others refer to {}, which is to go", key_of(of, row)))
            .hint("Somebody made them since the plan was shown. Plan again: it names them."));
    }
    delete(rows, of, &gone)?;
    for change in some {
        if let (Some(_), Some(becomes)) = (&change.was, &change.becomes) {
            rows.update(of, becomes).map_err(|error| error.during(format!("no row was changed: {} could not be", key_of(of, becomes))))?;
        }
    }
    let new: Vec<_> = some.iter().filter(|change| change.was.is_none()).filter_map(|change| change.becomes.clone()).collect();
    insert(rows, of, &new)
}

fn delete(rows: &mut dyn ChangingRows, of: &RowsOf, gone: &[Vec<Cell>]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = gone.iter().map(|row| of.key_of(row)).collect();
    rows.delete(of, &keys).map_err(|error| error.during(format!("no row was changed: rows of {} could not be taken out", of.table)))
}

fn insert(rows: &mut dyn ChangingRows, of: &RowsOf, new: &[Vec<Cell>]) -> Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    rows.insert(of, new).map_err(|error| error.during(format!("no row was changed: rows of {} could not be put in", of.table)))
}

/// Nothing is committed that is not what the set has, to the byte.
fn proven(rows: &mut dyn ChangingRows, of: &RowsOf, some: &[RowChange]) -> Result<()> {
    for (change, live) in some.iter().zip(locked(rows, of, some)?) {
        if live != change.becomes {
            return Err(Error::failed(format!("no row was changed: {} would not be what the set has", key_of(of, change.row())))
                .hint("A trigger or a rule of the database changes what is written, or the database stores it otherwise."));
        }
    }
    Ok(())
}

/// Whether the repository may still have what rows were before the run changed them.
pub(crate) fn keeps(run: &Run) -> bool {
    run.plan.steps.iter().any(|step| matches!(step.action, Action::KeepRows { .. }) && run.was_begun(step.id))
}

/// Drops what a run kept of rows.
pub(crate) fn drop_kept(hands: &Hands, run: &Run) -> Result<()> {
    let keeps = run.plan.steps.iter().any(|step| matches!(step.action, Action::KeepRows { .. }));
    if keeps { kept::drop_from(hands.repository.as_ref(), &run.plan.run, 0) } else { Ok(()) }
}
