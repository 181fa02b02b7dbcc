//! Keys are counted at a cut-over, so that an undo can tell what was written since, which goes with the restored data, and what of the previous data is not there any
//! more: a server that was restarted meanwhile may throw keys away again (`hold`).

use plan::Result;

use super::functions::loaded_functions;
use super::hold;
use super::mark::{Counted, HALF, MARK, Marks, Seen, read};
use super::swap::State;
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// The keys of a database, but for the program's own, and how many of them do not expire.
fn count(connection: &mut Connection, marks: &Marks<'_>, number: u32) -> Result<(u64, u64)> {
    let placed = marks.placed;
    let names =
        [MARK.to_owned(), HALF.to_owned(), placed.functions(), loaded_functions(placed), placed.left_out(), hold::POLICY.to_owned()];
    connection.select(number)?;
    let mut own = 0;
    for name in names {
        own += u64::from(connection.ask(&[b"GET", name.as_bytes()])? != Reply::Nil);
    }
    let (all, expire) = Server::ask(connection)?.keys(number);
    Ok((all.saturating_sub(own), all.saturating_sub(expire).saturating_sub(own)))
}

/// Before the staged copy and the live data are swapped.
pub(crate) fn at_cut_over(connection: &mut Connection, marks: &Marks<'_>, live: u32, side: u32) -> Result<Counted> {
    Ok(Counted { restored: count(connection, marks, side)?.0, lasting: count(connection, marks, live)?.1 })
}

/// Before they are swapped back: what is not as it was at the cut-over, for people. Fewer restored keys may have expired, and are not told.
pub(crate) fn since(state: &mut State<'_>, marks: &Marks<'_>) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for spot in state.spots {
        let Some(side) = spot.side else { continue };
        state.connection.select(side)?;
        let Seen::Mark(mark) = read(&mut state.connection, MARK)? else { continue };
        let Some(then) = mark.counted else { continue };
        let place = format!("{} (database {} of {})", spot.name, spot.live, state.at.address.endpoint());
        let live = count(&mut state.connection, marks, spot.live)?.0;
        if live > then.restored {
            let restored = then.restored;
            told.push(format!(
                "what was written to {place} since the cut-over is gone with what was restored: it had {restored} keys then, and {live} when it was taken back"
            ));
        }
        let kept = count(&mut state.connection, marks, side)?.1;
        if kept < then.lasting {
            told.push(format!(
                "{} of {} keys of the previous data of {place} were gone when it was put back, though they do not expire: the server threw them away (`redis-cli INFO \
                 stats` counts evicted_keys), or somebody deleted them",
                then.lasting - kept,
                then.lasting
            ));
        }
    }
    Ok(told)
}
