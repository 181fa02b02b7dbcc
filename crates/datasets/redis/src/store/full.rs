//! Undo where the server's memory is full: nothing can be queued for a transaction, and no mark be written (`processCommand` in `src/server.c`). What is left are
//! single commands that need no memory.
//!
//! `SWAPDB` brings the previous data back with its mark still in it. A live database with the run's mark `previous` means just that: it was swapped back, and what is
//! beside it is what was restored. So a crash anywhere is recognised. What was restored goes at once, which makes room; its mark, renamed, stays beside the live data.

use plan::Result;
use plan::ports::Context;

use super::functions::{loaded_functions, unload_functions};
use super::hold;
use super::mark::{Holds, MARK, Marks, Role, Seen, UNDONE, read};
use super::place::{Placed, Spot};
use super::swap::State;
use crate::connection::Connection;

/// Swaps back, database by database.
pub(crate) fn swap_back(context: &Context, state: &mut State<'_>, marks: &Marks<'_>, placed: &Placed) -> Result<()> {
    if state.server.at_least(7, 0) {
        unload_functions(&mut state.connection, placed, state.spots, context)?;
    }
    let sides = state.spots.iter().filter(|spot| spot.side.is_some());
    for (spot, (side, _)) in sides.zip(&mut state.each).filter(|(_, (_, holds))| *holds == Holds::Previous) {
        state.connection.call(&[b"SWAPDB", spot.live.to_string().as_bytes(), side.to_string().as_bytes()])?;
        go_on(&mut state.connection, marks, spot, *side)?;
    }
    state.each.iter_mut().for_each(|(_, holds)| *holds = Holds::Loading);
    Ok(())
}

/// Whether such an undo has come to some of a server's databases, and not to all.
pub(crate) fn is_half_back(state: &State<'_>) -> bool {
    let is_back = |holds: &Holds| matches!(holds, Holds::Loading);
    let all = || state.each.iter().map(|(_, holds)| holds);
    all().any(is_back) && all().any(|holds| *holds == Holds::Previous) && all().all(|holds| is_back(holds) || *holds == Holds::Previous)
}

/// Where that swap is found, it comes to its end.
pub(crate) fn go_on(connection: &mut Connection, marks: &Marks<'_>, spot: &Spot, side: u32) -> Result<()> {
    connection.select(spot.live)?;
    if matches!(read(connection, UNDONE)?, Seen::Mark(mark) if marks.is_own(&mark, spot)) {
        return move_marks(connection, side);
    }
    match read(connection, MARK)? {
        Seen::Mark(mark) if marks.is_own(&mark, spot) && mark.role == Role::Previous => {}
        _ => return Ok(()),
    }
    connection.select(side)?;
    connection.call(&[b"FLUSHDB"])?;
    connection.select(spot.live)?;
    let placed = marks.placed;
    let keys = [placed.functions(), loaded_functions(placed), placed.left_out()];
    let gone: Vec<&[u8]> = std::iter::once(b"DEL".as_slice()).chain(keys.iter().map(|key| key.as_bytes())).collect();
    connection.call(&gone)?;
    // Until now the mark tells what was done.
    connection.call(&[b"RENAME", MARK.as_bytes(), UNDONE.as_bytes()])?;
    move_marks(connection, side)
}

/// From the selected live database beside it.
fn move_marks(connection: &mut Connection, side: u32) -> Result<()> {
    let side = side.to_string();
    connection.call(&[b"MOVE", hold::POLICY.as_bytes(), side.as_bytes()])?;
    connection.call(&[b"MOVE", UNDONE.as_bytes(), side.as_bytes()]).map(drop)
}
