//! Rows that are made what they were before a run changed them: each that still is as the run left it, and that nothing forbids. All others stay, and are named.

use std::collections::HashSet;

use plan::Result;
use plan::journal::Run;
use plan::ports::{Cell, ChangingRows, Event, RowChange, RowsOf, TableShape};
use plan::step::{Action, StepId};

use super::exchanged::{RowName, Way, park};
use super::{Parts, Seen, changes_of, delete, insert, key_of, locked};
use crate::act::Hands;

/// Makes the rows what they were, where they still are as the run left them.
pub(crate) fn take_back_rows(hands: &Hands, run: &Run, step: StepId) -> Result<()> {
    let Some(Action::ChangeRows { data_set, kept }) = run.plan.step(step).map(|step| &step.action) else { return Ok(()) };
    let parts = Parts::of(hands, run, *kept)?;
    let changes = changes_of(hands, *data_set)?;
    let shapes = changes.shapes(&hands.context)?;
    let mut stay = HashSet::new();
    // What stays may keep others from going back: so all of it is tried again without what was forbidden, until nothing is.
    loop {
        let mut rows = changes.begin(&hands.context)?;
        let mut taking = TakingBack::new(rows.as_mut(), &parts, &shapes, &stay)?;
        parts.each_backwards(|of, some| taking.back(of, some))?;
        let TakingBack { seen, forbidden, .. } = taking;
        if forbidden.is_empty() {
            rows.commit()?;
            tell(hands, &seen);
            return Ok(());
        }
        rows.give_up()?;
        stay.extend(forbidden);
    }
}

fn tell(hands: &Hands, seen: &Seen) {
    if seen.others > 0 {
        let text = format!(
            "{} rows stay as they are, each because it is not any more as the run left it, because others refer to it, or because what it was is another's now or wants what is gone: {}",
            seen.others,
            seen.named()
        );
        hands.context.watch.see(Event::Warning(&text));
    }
}

/// What is done with some rows of a table.
type Work<'w> = dyn FnMut(&mut dyn ChangingRows, &RowsOf, &[Vec<Cell>]) -> Result<()> + 'w;

struct TakingBack<'a> {
    rows: &'a mut dyn ChangingRows,
    seen: Seen,
    parked: HashSet<RowName>,
    /// Rows that are left as they are.
    stay: &'a HashSet<RowName>,
    /// Rows that may not become what they were.
    forbidden: Vec<RowName>,
}

impl<'a> TakingBack<'a> {
    fn new(rows: &'a mut dyn ChangingRows, parts: &Parts<'_>, shapes: &[TableShape], stay: &'a HashSet<RowName>) -> Result<Self> {
        let parked = park(rows, parts, shapes, Way::Back, stay)?;
        Ok(Self { rows, seen: Seen::default(), parked, stay, forbidden: Vec::new() })
    }

    fn back(&mut self, of: &RowsOf, some: &[RowChange]) -> Result<()> {
        let (mut gone, mut new, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (change, live) in some.iter().zip(locked(self.rows, of, some)?) {
            let name = (of.table.clone(), of.key_of(change.row()));
            match (live, &change.was, &change.becomes) {
                (live, was, _) if live == *was => {}
                _ if self.stay.contains(&name) => self.seen.other(key_of(of, change.row())),
                (Some(_), Some(was), _) if self.parked.contains(&name) => others.push(was.clone()),
                (Some(live), None, Some(becomes)) if live == *becomes => gone.push(live),
                (None, Some(was), None) => new.push(was.clone()),
                (Some(live), Some(was), Some(becomes)) if live == *becomes => others.push(was.clone()),
                _ => self.seen.other(key_of(of, change.row())),
            }
        }
        let held = self.rows.referred(of, &gone)?;
        held.iter().filter_map(|at| gone.get(*at)).for_each(|row| self.seen.other(key_of(of, row)));
        let gone: Vec<_> = gone.into_iter().enumerate().filter(|(at, _)| !held.contains(at)).map(|(_, row)| row).collect();
        self.allowed(of, &gone, &mut delete)?;
        others.reverse();
        self.allowed(of, &others, &mut |rows, of, some| {
            some.iter().try_for_each(|was| {
                rows.update(of, was).map_err(|error| error.during(format!("no row was put back: {} could not be", key_of(of, was))))
            })
        })?;
        self.allowed(of, &new, &mut insert)
    }

    /// Works on rows together; where that is forbidden, one by one.
    fn allowed(&mut self, of: &RowsOf, some: &[Vec<Cell>], work: &mut Work<'_>) -> Result<()> {
        if some.is_empty() || self.rows.allows(&mut |rows| work(rows, of, some))? {
            return Ok(());
        }
        for row in some.chunks(1) {
            if !self.rows.allows(&mut |rows| work(rows, of, row))? {
                self.forbidden.extend(row.iter().map(|row| (of.table.clone(), of.key_of(row))));
            }
        }
        Ok(())
    }
}
