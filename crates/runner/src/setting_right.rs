//! What a restore sets right beside what it loads: counters of ids that must not rewind, a clock that must not strike. What the keys are is in the plan.

use plan::ids::DataSetName;
use plan::journal::Run;
use plan::ports::{Asking, Event, KeySession, LARGEST_ID, LiveKey, Members, RowSession};
use plan::step::{Action, Counting, IdCounter, Output, Step, StepId};
use plan::{Error, Result};

use crate::act::Hands;

/// Ids that are named in a note.
const SHOWN_MAX: usize = 20;

fn keys_of(hands: &Hands, data_set: DataSetName) -> Result<Box<dyn KeySession + '_>> {
    let keys = hands.data_set(data_set)?.live_keys().ok_or_else(|| Error::failed(format!("{data_set} has no keys")))?;
    Ok(keys.session(&hands.context))
}

/// Questions to System's rows.
fn system_of(hands: &Hands) -> Asking<'_> {
    Asking::new(|| {
        let system = DataSetName::SystemDatabase;
        let rows = hands.data_set(system)?.live_rows();
        rows.ok_or_else(|| Error::failed(format!("{system} has no rows that can be asked")))?.session(&hands.context)
    })
}

/// Notes what the counters are while the data is live that will be replaced.
pub(crate) fn note_ids(hands: &Hands, data_set: DataSetName, counters: &[IdCounter]) -> Result<Output> {
    let mut keys = keys_of(hands, data_set)?;
    let noted = counters.iter().map(|counter| Ok((counter.clone(), keys.counter(&counter.of)?)));
    Ok(Output::Ids { counters: noted.collect::<Result<_>>()?, was: Vec::new(), kept: 0 })
}

/// Raises each counter to the largest of what was noted, what is live now, and what System's rows have had. Before, System's tables are to give none of the ids that were seen.
pub(crate) fn keep_ids_ahead(
    hands: &Hands,
    run: &Run,
    (data_set, noted): (DataSetName, StepId),
    pending_deletion: Option<&(LiveKey, String)>,
    seen: &[(LiveKey, String)],
) -> Result<Output> {
    let (mut keys, mut system) = (keys_of(hands, data_set)?, system_of(hands));
    give_none_that_was_seen(hands, data_set, &mut system, seen)?;
    let Some(Output::Ids { counters, .. }) = run.output(noted) else {
        return Err(Error::needs_person(format!("the journal does not say what step {noted} noted of the counters of ids")));
    };
    let context = &hands.context;
    let (mut raised, mut was) = (Vec::new(), Vec::new());
    for (counter, before) in counters {
        let live = keys.counter(&counter.of)?;
        let rows = largest_of_rows(hands, &mut system, counter, pending_deletion.is_some())?;
        let before = Some(*before).filter(|before| is_an_id(hands, *before, &counter.of.key)).unwrap_or_default();
        let to = live.max(before).max(rows.unwrap_or_default());
        if to > live {
            keys.raise(&counter.of, to)?;
            let rows = rows.map(|rows| format!(", {rows} is the largest of {}", counter.table)).unwrap_or_default();
            let text = format!("{} was raised from {live} to {to}: {before} was live{rows}", counter.of.key);
            context.watch.see(Event::Note(&text));
        }
        raised.push((counter.clone(), to));
        was.push(live);
    }
    let kept = pending_deletion.map_or(Ok(0), |pending| keep_from_deletion(hands, keys.as_mut(), &mut system, pending))?;
    Ok(Output::Ids { counters: raised, was, kept })
}

/// The largest id that System's rows have had of a counter, where they are asked.
fn largest_of_rows(hands: &Hands, system: &mut Asking<'_>, counter: &IdCounter, asks: bool) -> Result<Option<u64>> {
    let largest = if asks { system.ask(|rows| rows.largest(&counter.table, &counter.column))? } else { None };
    Ok(largest.filter(|id| is_an_id(hands, *id, &counter.table)))
}

/// Whether it can be one; that it is none is told, and nothing goes on behind it.
fn is_an_id(hands: &Hands, id: u64, from: &str) -> bool {
    if id > LARGEST_ID {
        let text = format!("{id} of {from} is no id that anything has come to, and nothing goes on behind it");
        hands.context.watch.see(Event::Warning(&text));
    }
    id <= LARGEST_ID
}

/// Lets System's tables give none of the ids that the sets have. What cannot be done of it is told: the installation does not serve meanwhile.
fn give_none_that_was_seen(hands: &Hands, data_set: DataSetName, system: &mut Asking<'_>, seen: &[(LiveKey, String)]) -> Result<()> {
    let context = &hands.context;
    for (of, table) in seen {
        match give_none_of(hands, data_set, system, of, table) {
            Ok(Some(text)) => context.watch.see(Event::Note(&text)),
            Ok(None) => {}
            Err(error) => {
                context.stop.check()?;
                let text = format!("{table} may give ids again that are in {} of {data_set}: {}", of.key, error.chain());
                context.watch.see(Event::Warning(&text));
            }
        }
    }
    Ok(())
}

fn give_none_of(hands: &Hands, data_set: DataSetName, system: &mut Asking<'_>, of: &LiveKey, table: &str) -> Result<Option<String>> {
    let mut largest = 0_u64;
    each_of_set(keys_of(hands, data_set)?.as_mut(), of, |_, members| {
        largest = members.iter().filter_map(|member| member.parse().ok()).filter(|id| *id <= LARGEST_ID).fold(largest, u64::max);
        Ok(())
    })?;
    if largest == 0 {
        return Ok(None);
    }
    let to = largest.saturating_add(1);
    let was = system.ask(|rows| rows.raise_next_id(table, to))?;
    Ok(was.map(|was| format!("{table} go on at {to}, and not at {was}: {largest} is in {} of {data_set}", of.key)))
}

/// Takes back what [`keep_ids_ahead`] raised. What was counted on since stays, and so does what nobody can say any more what it was: no id is given twice. Gives those, with
/// how far they came: where the data set itself goes back, what comes in its place goes on from there ([`go_on_from`]).
pub(crate) fn lower_ids(hands: &Hands, run: &Run, step: StepId) -> Result<Vec<(IdCounter, u64)>> {
    let Some(Action::KeepIdsAhead { data_set, noted, pending_deletion, .. }) = run.plan.step(step).map(|step| &step.action) else {
        return Ok(Vec::new());
    };
    let Some(Output::Ids { counters: noted, .. }) = run.ids(*noted) else { return Ok(Vec::new()) };
    let (mut keys, context) = (keys_of(hands, *data_set)?, &hands.context);
    let (goes_back, mut reached, mut system) = (is_replaced(run, *data_set), Vec::new(), system_of(hands));
    for (at, (counter, before)) in noted.iter().enumerate() {
        let raised = match run.ids(step) {
            Some(Output::Ids { counters, was, .. }) => counters.get(at).zip(was.get(at)).map(|((_, to), was)| (*to, *was)),
            _ => None,
        };
        if goes_back {
            let now = keys.counter(&counter.of)?;
            // With the writers stopped nobody counted before it could say what it raised.
            let is_as_it_was_left = raised.map_or(run.plan.stops_writers(), |(to, was)| now == to || now == was);
            reached.extend((!is_as_it_was_left).then(|| (counter.clone(), now)));
            continue;
        }
        let raised = match raised {
            Some(raised) => Some(raised),
            // It died before it could say so: with the writers stopped, it was what was noted, and the rows that are still live say what it was raised to.
            None if run.plan.stops_writers() => {
                let rows = largest_of_rows(hands, &mut system, counter, pending_deletion.is_some())?;
                Some((rows.unwrap_or_default().max(*before), *before))
            }
            None => None,
        };
        let key = &counter.of.key;
        let text = match raised {
            Some((from, to)) if from == to || keys.counter(&counter.of)? == to => continue,
            Some((from, to)) if keys.lower(&counter.of, from, to)? => format!("{key} was put back from {from} to {to}"),
            Some((from, to)) => format!("{key} stays at {}: only {from} is put back to {to}", keys.counter(&counter.of)?),
            None => {
                format!("{key} stays at {}: what it was is not known, and nobody stopped the writers", keys.counter(&counter.of)?)
            }
        };
        context.watch.see(Event::Note(&text));
    }
    Ok(reached)
}

/// Whether this run replaced, or began to replace, the data set.
fn is_replaced(run: &Run, data_set: DataSetName) -> bool {
    run.plan.steps.iter().any(|step| {
        run.was_begun(step.id)
            && match &step.action {
                Action::CutOver { data_set: of, .. } => *of == data_set,
                Action::Stage { data_set: of, reserved } => *of == data_set && run.is_in_place(*reserved),
                _ => false,
            }
    })
}

/// The data set is back: its counters go on from where those came that were live instead of it.
pub(crate) fn go_on_from(hands: &Hands, run: &Run, data_set: DataSetName, reached: &[(IdCounter, u64)]) -> Result<()> {
    let is_of = |counter: &IdCounter| {
        let has = |step: &Step| match &step.action {
            Action::NoteIds { data_set: of, counters } => *of == data_set && counters.contains(counter),
            _ => false,
        };
        run.plan.steps.iter().any(has)
    };
    let context = &hands.context;
    for (counter, to) in reached.iter().filter(|(counter, _)| is_of(counter)) {
        let (mut keys, key) = (keys_of(hands, data_set)?, &counter.of.key);
        let back = keys.counter(&counter.of)?;
        if back < *to {
            keys.raise(&counter.of, *to)?;
            context
                .watch
                .see(Event::Note(&format!("{key} goes on from {to}, and not from {back}: so many ids were given since the restore")));
        }
    }
    Ok(())
}

/// All members of a set, some at a time.
pub(crate) fn each_of_set<'k>(
    keys: &mut (dyn KeySession + 'k),
    of: &LiveKey,
    mut each: impl FnMut(&mut (dyn KeySession + 'k), Vec<String>) -> Result<()>,
) -> Result<()> {
    let mut from = 0;
    loop {
        let (members, next) = keys.some_of_set(of, from)?;
        each(keys, members)?;
        if next == 0 {
            return Ok(());
        }
        from = next;
    }
}

/// What System has is taken out of what is to be deleted. Gives how many.
fn keep_from_deletion(
    hands: &Hands,
    keys: &mut (dyn KeySession + '_),
    system: &mut Asking<'_>,
    (of, table): &(LiveKey, String),
) -> Result<u64> {
    let (mut kept, mut first) = (0, Vec::new());
    each_of_set(keys, of, |keys, members| {
        let ids: Vec<u64> = members.iter().filter_map(|member| member.parse().ok()).collect();
        let there: Vec<String> = system.ask(|rows| rows.those_of(table, &ids))?.iter().map(u64::to_string).collect();
        keys.remove_from_set(of, &there)?;
        kept += there.len() as u64;
        let room = SHOWN_MAX.saturating_sub(first.len());
        first.extend(there.into_iter().take(room));
        Ok(())
    })?;
    if kept > 0 {
        let text = format!("{kept} of {table} are in System and are not deleted from Backend: {}", first.join(", "));
        hands.context.watch.see(Event::Note(&text));
    }
    Ok(kept)
}

/// Puts the ticks where they count as done, and counts what would have been done at them. What cannot be counted is told, and is held all the same.
pub(crate) fn hold_clock(hands: &Hands, data_set: DataSetName, ticks: &[Members], counts: &[Counting]) -> Result<Output> {
    let mut keys = keys_of(hands, data_set)?;
    ticks.iter().try_for_each(|members| keys.add_members(members))?;
    let (mut counted, watch, mut system) = (Vec::new(), &hands.context.watch, system_of(hands));
    for counting in counts {
        match system.ask(|rows| count(rows, counting)) {
            Ok(Some((0, _)) | None) => {}
            Ok(Some((number, names))) => {
                watch.see(Event::Note(&counting.sentence(number, &names)));
                counted.push((counting.job.clone(), counting.what.clone(), number, names));
            }
            Err(error) => {
                hands.context.stop.check()?;
                watch.see(Event::Warning(&format!("{} are not counted: {}", counting.what, error.chain())));
            }
        }
    }
    Ok(Output::Held { counts: counted })
}

fn count(rows: &mut dyn RowSession, counting: &Counting) -> Result<Option<(u64, Vec<String>)>> {
    let number = rows.count(&counting.count)?;
    let names = if number.is_some_and(|number| number > 0) { rows.texts(&counting.names)? } else { Vec::new() };
    Ok(number.map(|number| (number, names)))
}

/// Removes the ticks that a step put there, and those that were held after them. Ticks are texts that sort by time.
pub(crate) fn let_clock_go(hands: &Hands, run: &Run, step: StepId) -> Result<()> {
    let Some(Action::HoldClock { data_set, ticks, .. }) = run.plan.step(step).map(|step| &step.action) else { return Ok(()) };
    let mut keys = keys_of(hands, *data_set)?;
    ticks.iter().try_for_each(|held| {
        let mut members: Vec<String> = held.members.iter().map(|(_, member)| member.clone()).collect();
        let Some(last) = members.iter().max().cloned() else { return Ok(()) };
        // Those after it were held for what this run restored, too: a hold has no hole.
        let later: Vec<String> = keys.members(&held.of)?.into_iter().filter(|tick| *tick > last).collect();
        if !later.is_empty() {
            let text =
                format!("{}: what was held since the restore is let go too, up to {}", held.of.key, later.iter().max().unwrap_or(&last));
            hands.context.watch.see(Event::Note(&text));
        }
        members.extend(later);
        keys.remove_members(&held.of, &members)
    })
}
