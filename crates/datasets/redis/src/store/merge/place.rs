//! The side database of a merge: claimed as that of any restore, marked as one with previous data from before the first key changes until all is taken back or settled. So
//! whatever runs are told to look at finds it, and nothing but this run's `undo` and `settle`, or a person, drops it.

use plan::{Error, Result};

use crate::connection::Connection;
use crate::server::Server;
use crate::store::ServerAt;
use crate::store::claim::claim;
use crate::store::later::kept_by_others;
use crate::store::mark::{Holds, MARK, Marks, Role};
use crate::store::place::{Placed, Spot, foreign};
use crate::store::transaction::{command, transaction};

/// Marks the side database, if it is not already.
pub(super) fn take(connection: &mut Connection, at: &ServerAt, server: &Server, marks: &Marks<'_>, spot: &Spot) -> Result<()> {
    let Some(side) = spot.side else { return Err(Error::failed(format!("no place was reserved for {}", spot.name))) };
    let mut holds = marks.holds(connection, spot, side)?;
    // The claim went with the server's memory.
    if holds == Holds::Nothing && claim(connection, marks, spot, side)? {
        holds = Holds::Claimed;
    }
    match holds {
        Holds::Previous => return Ok(()),
        Holds::Claimed => {}
        holds => return Err(foreign(at, side, &holds)),
    }
    let kept = kept_by_others(connection, server, marks, spot)?;
    let order = kept.iter().map(|(_, mark)| mark.order).max().unwrap_or(0) + 1;
    marks.watch(connection, side)?;
    let now = marks.holds(connection, spot, side)?;
    if now != Holds::Claimed || connection.call(&[b"DBSIZE"])?.number() != Some(1) {
        return Err(foreign(at, side, &now));
    }
    let mark = marks.merged(spot, order)?;
    transaction(connection, &vec![command(&["SET", MARK, &mark])])
}

/// All is taken back: what is still there is nothing that anybody needs.
pub(super) fn give_back(connection: &mut Connection, marks: &Marks<'_>, spot: &Spot, side: u32) -> Result<()> {
    connection.select(side)?;
    connection.call(&[b"SET", MARK.as_bytes(), marks.text(spot, Role::Loading)?.as_bytes()]).map(drop)
}

/// There is nothing of the run where it should be.
pub(super) fn gone(at: &ServerAt, placed: &Placed) -> Error {
    let run = &placed.run;
    Error::needs_person(format!("{} has nothing on record of run {run}", at.address.endpoint()))
        .hint("Look whether this is the server that the run was made for, and whether it was restarted without its data. Nothing was touched.")
        .hint(format!("What the run added stays where it is; `abandon {run}` ends the run."))
}
