//! Discard: clears side databases of the run, and nothing else; and how much is kept in them.

use plan::ports::{Context, Discard, Event, Road};
use plan::{Error, Result};

use super::functions::unload_functions;
use super::mark::{Holds, MARK, Marks};
use super::place::{Method, Placed, Spot, foreign};
use super::swap::State;
use super::transaction::{Commands, clear, command, settle_writes};
use super::{RedisStore, hold};
use crate::connection::Connection;

impl RedisStore {
    pub(crate) fn check_discard_at(&self, context: &Context, placed: &Placed, what: Discard) -> Result<()> {
        match (placed.method, placed.road) {
            (Method::File, _) => self.check_discard_files(context, placed, what),
            (_, Road::InPlace) => self.check_whole(context, placed),
            (_, Road::SideCopy) => check(placed, &self.states(context, placed)?, what),
        }
    }

    pub(crate) fn discard_at(&self, context: &Context, placed: &Placed, what: Discard) -> Result<()> {
        if placed.method == Method::File {
            return self.discard_files(context, placed, what);
        }
        if placed.road == Road::InPlace {
            return self.tidy_at(context, placed);
        }
        let (marks, mut states) = (self.marks(context, placed), self.states(context, placed)?);
        // All are looked at before anything is dropped anywhere.
        check(placed, &states, what)?;
        for (state, policy) in states.iter_mut().zip(placed.policies.iter().cloned().chain(std::iter::repeat(None))) {
            let is_whole = state.each.iter().any(|(_, holds)| *holds == Holds::Loaded);
            if what == Discard::Staged && is_whole && state.server.at_least(7, 0) {
                unload_functions(&mut state.connection, placed, state.spots, context)?;
            }
            let held = held(state)?.or(policy);
            drop_sides(context, state, &marks)?;
            hold::let_go(&mut state.connection, state.at, held)?;
            settle_writes(&mut state.connection, &state.server)?;
        }
        Ok(())
    }

    /// In place all that is left is the record of what was left out. By file also the server's previous files, which stay until `settle` or an undo.
    pub(crate) fn tidy_at(&self, context: &Context, placed: &Placed) -> Result<()> {
        if placed.method == Method::File {
            return self.tidy_files(context, placed);
        }
        self.check_whole(context, placed)?;
        for ((_, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            forget_left_out(&mut connection, placed, spots)?;
        }
        Ok(())
    }

    /// Refuses what a load in place has not come to the end of.
    fn check_whole(&self, context: &Context, placed: &Placed) -> Result<()> {
        let marks = self.marks(context, placed);
        for ((_, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            for spot in spots {
                if marks.half(&mut connection, spot)?.is_some() {
                    return Err(Error::needs_person(format!("{} is half replaced by run {}", spot.name, placed.run))
                        .hint("Resume or undo it: its mark keeps the half from being backed up."));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn kept_bytes_at(&self, context: &Context, placed: &Placed) -> Result<u64> {
        if placed.method == Method::File {
            return self.previous_bytes(context, placed);
        }
        let mut bytes = 0;
        for ((_, _, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            let sides: u64 = spots.iter().filter_map(|spot| spot.side).map(|side| server.keys(side).0).sum();
            bytes += share_of_memory(&server, sides);
        }
        Ok(bytes)
    }
}

/// The policy that the side databases of the run have on record.
fn held(state: &mut State<'_>) -> Result<Option<String>> {
    for (side, holds) in &state.each {
        if matches!(holds, Holds::Loading | Holds::Loaded | Holds::Previous) {
            state.connection.select(*side)?;
            if let Some(policy) = hold::on_record(&mut state.connection)? {
                return Ok(Some(policy));
            }
        }
    }
    Ok(None)
}

/// Whether what is there is what is to go.
fn check(placed: &Placed, states: &[State<'_>], what: Discard) -> Result<()> {
    let run = &placed.run;
    let find = |wanted: Holds| states.iter().find_map(|state| Some((state.at, state.each.iter().find(|(_, holds)| *holds == wanted)?.0)));
    if let Some((at, side)) = find(Holds::Foreign) {
        return Err(foreign(at, side, &Holds::Foreign));
    }
    match (what, find(Holds::Previous)) {
        (Discard::Staged, Some((at, side))) => {
            Err(Error::needs_person(format!("database {side} of {} holds the previous data of run {run}", at.address.endpoint()))
                .hint("It was swapped and not swapped back: this may be the only copy, so nothing was dropped.")
                .hint(format!("`undo {run}` makes it live again; `settle {run}` drops it.")))
        }
        (Discard::Previous, Some(_)) if find(Holds::Loaded).is_some() => {
            Err(Error::needs_person(format!("of the databases of run {run} some are swapped, others are not"))
                .hint(format!("Nothing was dropped. `undo {run}` puts back those that are.")))
        }
        _ => Ok(()),
    }
}

/// All of a server at once: there is no half of it.
fn drop_sides(context: &Context, state: &mut State<'_>, marks: &Marks<'_>) -> Result<()> {
    let mut commands = Commands::new();
    for (spot, (side, seen)) in state.spots.iter().filter(|spot| spot.side.is_some()).zip(&state.each) {
        let connection = &mut state.connection;
        marks.watch(connection, *side)?;
        let holds = marks.holds(connection, spot, *side)?;
        if holds != *seen {
            return Err(foreign(state.at, *side, &holds));
        }
        let command_of = match &holds {
            Holds::Loading | Holds::Loaded | Holds::Previous => command(&["FLUSHDB", "ASYNC"]),
            // Whatever else is in it came from somebody else.
            Holds::Claimed => command(&["DEL", MARK]),
            Holds::Others(mark) => {
                let text = format!("database {side} of {} is that of run {} now: left alone", state.at.address.endpoint(), mark.run);
                context.watch.see(Event::Note(&text));
                continue;
            }
            Holds::Nothing | Holds::Foreign => continue,
        };
        commands.extend([command(&["SELECT", &side.to_string()]), command_of]);
    }
    clear(&mut state.connection, &commands)
}

fn forget_left_out(connection: &mut Connection, placed: &Placed, spots: &[Spot]) -> Result<()> {
    for live in spots.iter().filter(|spot| spot.side.is_none()).map(|spot| spot.live) {
        connection.select(live)?;
        connection.call(&[b"DEL", placed.left_out().as_bytes()])?;
    }
    Ok(())
}

/// The memory of so many keys, as far as their share of all keys tells.
pub(crate) fn share_of_memory(server: &crate::server::Server, keys: u64) -> u64 {
    let all: u64 = (0..1024).map(|database| server.keys(database).0).sum();
    let used = server.number("used_memory").saturating_sub(server.number("used_memory_startup"));
    if all == 0 { 0 } else { u64::try_from(u128::from(used) * u128::from(keys) / u128::from(all)).unwrap_or(used) }
}
