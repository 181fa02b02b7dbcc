//! Cut-over and undo: `SWAPDB` of every database of a server and the change of its mark, in one transaction. Whether it was done is asked of the
//! marks, so a crash between the transaction and the journal does no harm.
//!
//! Databases on several servers cannot be swapped at once: from before the first to after the last the live ones carry the mark `half-loaded`.

use plan::ports::{Context, Event, Road, Undone};
use plan::{Error, Result};

use super::counted;
use super::file_road;
use super::full;
use super::functions::{load_staged_functions, loaded_functions, unload_functions};
use super::later;
use super::mark::{HALF, Holds, MARK, Marks, Role};
use super::place::{Method, Placed, Spot, foreign};
use super::transaction::{Commands, command, is_full, settle_writes, transaction};
use super::{RedisStore, ServerAt, hold, rest};
use crate::connection::Connection;
use crate::server::Server;

/// A server of the place, and what its side databases hold: each, and all together.
pub(crate) struct State<'a> {
    pub(crate) at: &'a ServerAt,
    pub(crate) connection: Connection,
    pub(crate) server: Server,
    pub(crate) spots: &'a [Spot],
    pub(crate) each: Vec<(u32, Holds)>,
    holds: Holds,
}

impl RedisStore {
    /// Looks at all servers of the place, before anything is changed on one.
    pub(crate) fn states<'a>(&'a self, context: &Context, placed: &'a Placed) -> Result<Vec<State<'a>>> {
        let marks = self.marks(context, placed);
        let mut states = Vec::new();
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            let mut each = Vec::new();
            for spot in spots {
                let Some(side) = spot.side else { continue };
                full::go_on(&mut connection, &marks, spot, side)?;
                each.push((side, marks.holds(&mut connection, spot, side)?));
            }
            states.push(State { at, connection, server, spots, each, holds: Holds::Nothing });
        }
        Ok(states)
    }

    /// The same, where each server's databases are in one state.
    fn common_states<'a>(&'a self, context: &Context, placed: &'a Placed) -> Result<Vec<State<'a>>> {
        let mut states = self.states(context, placed)?;
        for state in &mut states {
            state.holds = common_state(state.at, &state.each)?;
        }
        Ok(states)
    }

    pub(crate) fn swap_in(&self, context: &Context, placed: &Placed) -> Result<()> {
        if placed.road == Road::InPlace {
            for ((at, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
                check_loaded(&mut connection, &self.marks(context, placed), at, spots)?;
            }
            return Ok(());
        }
        let (marks, mut states) = (self.marks(context, placed), self.common_states(context, placed)?);
        for state in &states {
            match &state.holds {
                Holds::Previous | Holds::Loaded => {}
                Holds::Claimed | Holds::Loading => {
                    return Err(Error::failed(format!("nothing is staged for {}", state.at.address)).hint("Stage it again."));
                }
                Holds::Nothing => return Err(gone(state.at, placed)),
                holds @ (Holds::Others(_) | Holds::Foreign) => return Err(foreign(state.at, state.side(), holds)),
            }
        }
        for state in states.iter_mut().filter(|state| state.holds == Holds::Loaded) {
            rest::check_loaded(&mut state.connection, placed, state.spots)?;
        }
        for state in &mut states {
            // A restart in between has read the policy of the configuration.
            state.connection.select(state.side())?;
            if hold::on_record(&mut state.connection)?.is_some() {
                hold::again(&mut state.connection, state.at, &state.server)?;
            }
        }
        let several = states.len() > 1;
        if several && states.iter().any(|state| state.holds != Holds::Previous) {
            states.iter_mut().try_for_each(|state| mark_half(state, &marks))?;
        }
        for state in states.iter_mut().filter(|state| state.holds == Holds::Loaded) {
            if state.server.at_least(7, 0) {
                load_staged_functions(&mut state.connection, placed, state.spots, context)?;
            }
            state.swap(&marks, Role::Previous, several)?;
        }
        settle(&mut states, &marks)
    }

    pub(crate) fn swap_back(&self, context: &Context, placed: &Placed) -> Result<Undone> {
        if placed.road == Road::InPlace {
            return Err(Error::needs_person(format!("{} was restored in place: there is no previous data at the place", self.name))
                .hint("Restore the safety copy that was taken into the repository before."));
        }
        let (marks, mut states) = (self.marks(context, placed), self.states(context, placed)?);
        for state in &mut states {
            if full::is_half_back(state) {
                full::swap_back(context, state, &marks, placed)?;
            }
            state.holds = common_state(state.at, &state.each)?;
        }
        // A database that another run has taken holds nothing of this one.
        let nothing = |state: &State<'_>| matches!(state.holds, Holds::Nothing | Holds::Others(_));
        if states.iter().all(nothing) {
            return Ok(Undone::NothingThere);
        }
        // Where none is swapped, there is nothing to take back from one that came back empty.
        let is_swapped = states.iter().any(|state| state.holds == Holds::Previous);
        for state in &mut states {
            match &state.holds {
                Holds::Nothing | Holds::Others(_) if !is_swapped => {
                    let text = format!(
                        "{} has lost the staged copy of run {}: it was restarted without its data, or somebody emptied it. Look at what is live there",
                        state.at.address.endpoint(),
                        placed.run
                    );
                    context.watch.see(Event::Warning(&text));
                }
                Holds::Nothing | Holds::Others(_) => return Err(gone(state.at, placed)),
                Holds::Foreign => return Err(foreign(state.at, state.side(), &Holds::Foreign)),
                Holds::Previous => later::check_newest(state, &marks)?,
                Holds::Claimed | Holds::Loading | Holds::Loaded => {}
            }
        }
        let several = states.len() > 1;
        if several && states.iter().any(|state| state.holds == Holds::Previous) {
            for state in &mut states {
                match mark_half(state, &marks) {
                    // No mark can be made where the memory is full, and what was live before goes back all the same.
                    Err(error) if is_full(&error) => {}
                    marked => marked?,
                }
            }
        }
        let mut since = Vec::new();
        for state in &mut states {
            if state.holds == Holds::Previous {
                since.extend(counted::since(state, &marks)?);
                match state.swap(&marks, Role::Staged, several) {
                    Err(error) if is_full(&error) => full::swap_back(context, state, &marks, placed)?,
                    swapped => swapped?,
                }
            }
            if state.server.at_least(7, 0) && !nothing(state) {
                unload_functions(&mut state.connection, placed, state.spots, context)?;
            }
        }
        states.iter_mut().try_for_each(|state| later::not_replaced_any_more(state, &marks))?;
        settle(&mut states, &marks)?;
        since.iter().for_each(|text| context.watch.see(Event::Warning(text)));
        Ok(Undone::PreviousIsLive)
    }
}

impl State<'_> {
    /// Any of its side databases, for messages.
    fn side(&self) -> u32 {
        self.each.first().map_or(0, |(side, _)| *side)
    }

    /// Swaps each database with its side, and one mark for the other. Keys of the run stay in the side database.
    fn swap(&mut self, marks: &Marks<'_>, after: Role, several: bool) -> Result<()> {
        let placed = marks.placed;
        let mut commands = Commands::new();
        for spot in self.spots {
            let Some(side) = spot.side else { continue };
            let mark = if after == Role::Previous {
                let kept = later::kept_by_others(&mut self.connection, &self.server, marks, spot)?;
                let order = kept.iter().map(|(_, mark)| mark.order).max().unwrap_or(0) + 1;
                commands.extend(later::replaced(&mut self.connection, marks, &kept)?);
                marks.previous(spot, order, counted::at_cut_over(&mut self.connection, marks, spot.live, side)?)?
            } else {
                marks.text(spot, after)?
            };
            marks.watch(&mut self.connection, side)?;
            let now = marks.holds(&mut self.connection, spot, side)?;
            if now != self.holds {
                return Err(foreign(self.at, side, &now));
            }
            let (side, live) = (side.to_string(), spot.live.to_string());
            commands.push(command(&["SELECT", &side]));
            commands.push(command(&["DEL", MARK, &placed.old_staging(), &placed.old_previous()]));
            for key in [placed.functions(), loaded_functions(placed), placed.left_out(), hold::POLICY.to_owned()] {
                commands.push(command(&["MOVE", &key, &live]));
            }
            if several {
                commands.extend([command(&["SELECT", &live]), command(&["DEL", HALF]), command(&["SELECT", &side])]);
            }
            commands.push(command(&["SWAPDB", &live, &side]));
            commands.push(command(&["SET", MARK, &mark]));
            if several {
                commands.push(command(&["SELECT", &live]));
                commands.push(command(&["SET", HALF, &marks.text(spot, Role::Swapping)?]));
            }
        }
        transaction(&mut self.connection, &commands)
    }
}

/// What all side databases of a server hold: they change together, so anything else is a person's affair.
fn common_state(at: &ServerAt, states: &[(u32, Holds)]) -> Result<Holds> {
    let first = states.first().map_or(Holds::Nothing, |(_, holds)| holds.clone());
    if states.iter().all(|(_, holds)| *holds == first) {
        return Ok(first);
    }
    if states.iter().any(|(_, holds)| *holds == Holds::Previous) {
        return Err(Error::needs_person(format!("some databases of {} are swapped, others are not", at.address.endpoint()))
            .hint("They are swapped together by this program: somebody else has changed them. Nothing was touched."));
    }
    if let Some((side, holds)) = states.iter().find(|(_, holds)| matches!(holds, Holds::Others(_) | Holds::Foreign)) {
        return if states.iter().all(|(_, holds)| matches!(holds, Holds::Others(_) | Holds::Nothing)) {
            Ok(holds.clone())
        } else {
            Err(foreign(at, *side, holds))
        };
    }
    // A load that broke between two databases.
    Ok(Holds::Loading)
}

fn gone(at: &ServerAt, placed: &Placed) -> Error {
    Error::needs_person(format!("{} has neither the staged copy nor the previous data of run {}", at.address.endpoint(), placed.run)).hint(
        "Look whether this is the server that the run was made for, and whether it was restarted without its data. Nothing was touched.",
    )
}

/// Of several servers not all are swapped: whoever reads the live data sees that.
fn mark_half(state: &mut State<'_>, marks: &Marks<'_>) -> Result<()> {
    for spot in state.spots {
        super::claim::refuse_others(&mut state.connection, state.at, marks, spot)?;
        let mark = marks.text(spot, Role::Swapping)?;
        state.connection.call(&[b"SET", HALF.as_bytes(), mark.as_bytes()])?;
    }
    Ok(())
}

/// All are swapped: they are whole again.
fn settle(states: &mut [State<'_>], marks: &Marks<'_>) -> Result<()> {
    let several = states.len() > 1;
    for state in states {
        for spot in state.spots.iter().filter(|_| several) {
            if marks.half(&mut state.connection, spot)? == Some(Role::Swapping) {
                state.connection.call(&[b"DEL", HALF.as_bytes()])?;
            }
        }
        settle_writes(&mut state.connection, &state.server)?;
    }
    Ok(())
}

/// In place there is nothing to swap, but the load must have come to its end.
pub(crate) fn check_loaded(connection: &mut Connection, marks: &Marks<'_>, at: &ServerAt, spots: &[Spot]) -> Result<()> {
    if marks.placed.method == Method::File {
        return file_road::check_loaded(connection, marks.placed, at);
    }
    for spot in spots {
        if marks.half(connection, spot)?.is_some() {
            return Err(Error::failed(format!("the load of {} in place has not come to its end", spot.name)).hint("Stage it again."));
        }
    }
    Ok(())
}
