//! How a load begins and ends: a side database is claimed when it is chosen, the live one marked before its first key goes; and what was loaded is called whole in one
//! transaction.

use plan::ports::{Context, Event};
use plan::{Error, Result};

use super::ServerAt;
use super::functions::{load_functions, load_staged_functions, to_text};
use super::hold;
use super::mark::{HALF, Holds, MARK, Marks, Role, Seen, read};
use super::place::{Spot, foreign};
use super::transaction::{Commands, command, is_full, transaction, wait_until_freed};
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// Claims an empty database: of several that try at once one gets it. `false` when it has gone to another, or is not empty any more.
pub(crate) fn claim(connection: &mut Connection, marks: &Marks<'_>, spot: &Spot, side: u32) -> Result<bool> {
    connection.select(side)?;
    let claimed = marks.text(spot, Role::Claimed)?;
    if connection.call(&[b"SET", MARK.as_bytes(), claimed.as_bytes(), b"NX"])? == Reply::Nil {
        return Ok(false);
    }
    if connection.call(&[b"DBSIZE"])?.number() == Some(1) {
        return Ok(true);
    }
    connection.call(&[b"DEL", MARK.as_bytes()])?;
    Ok(false)
}

/// Clears what this run left, and nothing else; marks the database before it gets its first key.
pub(crate) fn prepare(connection: &mut Connection, at: &ServerAt, marks: &Marks<'_>, spot: &Spot) -> Result<()> {
    let Some(side) = spot.side else { return prepare_in_place(connection, at, marks, spot) };
    match marks.holds(connection, spot, side)? {
        Holds::Previous => Err(Error::needs_person(format!("the cut-over of {} has been done already", spot.name))
            .hint("Undo it first: what is at the place now is the previous data.")),
        // The claim went with the server's memory.
        Holds::Nothing => {
            if !claim(connection, marks, spot, side)? {
                return Err(foreign(at, side, &marks.holds(connection, spot, side)?));
            }
            begin(connection, at, marks, spot, side)
        }
        Holds::Claimed => begin(connection, at, marks, spot, side),
        seen @ (Holds::Loading | Holds::Loaded) => {
            marks.watch(connection, side)?;
            let holds = marks.holds(connection, spot, side)?;
            if holds != seen {
                return Err(foreign(at, side, &holds));
            }
            let again = marked_again(connection, MARK, &marks.text(spot, Role::Loading)?)?;
            match transaction(connection, &again) {
                // Nothing can be queued where the memory is full. What is dropped is the run's own, and the database is claimed again.
                Err(error) if is_full(&error) => {
                    // Not in the background: the marks need the memory.
                    connection.call(&[b"FLUSHDB"])?;
                    transaction(connection, &again)
                }
                outcome => outcome,
            }
        }
        holds @ (Holds::Others(_) | Holds::Foreign) => Err(foreign(at, side, &holds)),
    }
}

/// A claimed database is the run's when there is nothing else in it.
fn begin(connection: &mut Connection, at: &ServerAt, marks: &Marks<'_>, spot: &Spot, side: u32) -> Result<()> {
    marks.watch(connection, side)?;
    let holds = marks.holds(connection, spot, side)?;
    if holds != Holds::Claimed {
        return Err(foreign(at, side, &holds));
    }
    if connection.call(&[b"DBSIZE"])?.number() != Some(1) {
        transaction(connection, &vec![command(&["DEL", MARK])])?;
        return Err(foreign(at, side, &Holds::Foreign));
    }
    transaction(connection, &vec![command(&["SET", MARK, &marks.text(spot, Role::Loading)?])])
}

fn prepare_in_place(connection: &mut Connection, at: &ServerAt, marks: &Marks<'_>, spot: &Spot) -> Result<()> {
    connection.select(spot.live)?;
    connection.call(&[b"WATCH", HALF.as_bytes()])?;
    refuse_others(connection, at, marks, spot)?;
    let again = marked_again(connection, HALF, &marks.text(spot, Role::InPlace)?)?;
    let mut is_marked = false;
    // The server's memory is full, so that it takes no mark. Keys of the database that is about to be emptied, whose content stands in the repository, go one by one
    // until it does: there is never an emptied database without a mark.
    loop {
        match transaction(connection, &again) {
            Err(error) if is_full(&error) => {}
            outcome => return outcome.and_then(|()| wait_until_freed(connection)),
        }
        let text = marks.text(spot, Role::InPlace)?;
        if !is_marked {
            is_marked = match connection.call(&[b"SET", HALF.as_bytes(), text.as_bytes()]) {
                Err(error) if is_full(&error) => false,
                outcome => outcome.map(|_| true)?,
            };
        }
        drop_any_key(connection, at, spot)?;
    }
}

fn drop_any_key(connection: &mut Connection, at: &ServerAt, spot: &Spot) -> Result<()> {
    if connection.call(&[b"DBSIZE"])?.number() <= Some(2) {
        let text = format!("the memory of {} is full, though {} is nearly empty", at.address.endpoint(), spot.name);
        return Err(Error::failed(text).hint("Something else on the server fills it: raise maxmemory, then resume."));
    }
    match connection.call(&[b"RANDOMKEY"])? {
        Reply::Bytes(key) if !key.starts_with(crate::MARKER_PREFIX) => connection.call(&[b"DEL", &key]).map(drop),
        _ => Ok(()),
    }
}

/// Empties the selected database but for a mark, and the record of what is held for it.
fn marked_again(connection: &mut Connection, key: &str, text: &str) -> Result<Commands> {
    let held = hold::on_record(connection)?;
    let record = held.map(|policy| command(&["SET", hold::POLICY, &policy]));
    Ok([command(&["FLUSHDB", "ASYNC"]), command(&["SET", key, text])].into_iter().chain(record).collect())
}

/// What another run is replacing is not replaced over it.
pub(crate) fn refuse_others(connection: &mut Connection, at: &ServerAt, marks: &Marks<'_>, spot: &Spot) -> Result<()> {
    connection.select(spot.live)?;
    let whose = match read(connection, HALF)? {
        Seen::Nothing => return Ok(()),
        Seen::Mark(mark) if mark.run == marks.placed.run => return Ok(()),
        Seen::Mark(mark) => format!("run {} of installation {}", mark.run, mark.installation),
        Seen::Unknown => "another version of this program".to_owned(),
    };
    Err(Error::needs_person(format!("database {} of {} is half replaced by {whose}", spot.live, at.address.endpoint()))
        .hint("Resume or undo that run first, or end it with `abandon`; nothing was touched."))
}

/// A database that is loaded, with what is on record beside it.
pub(crate) struct Loaded<'a> {
    pub(crate) spot: &'a Spot,
    /// What was left out.
    pub(crate) left_out: Option<String>,
    /// What is loaded later.
    pub(crate) rest: Option<String>,
}

/// All databases of the server are loaded: says so of all at once, and with it what was left out of each, and what comes later.
pub(crate) fn finish(
    connection: &mut Connection,
    marks: &Marks<'_>,
    loaded: &[Loaded<'_>],
    functions: &[Vec<u8>],
    server: &Server,
    context: &Context,
) -> Result<()> {
    let (placed, knows_functions) = (marks.placed, server.at_least(7, 0));
    if !functions.is_empty() && !knows_functions {
        context.watch.see(Event::Warning("the set has function libraries, this server is older than Redis 7.0: they are left out"));
    }
    let mut commands = Commands::new();
    for (position, Loaded { spot, left_out, rest }) in loaded.iter().enumerate() {
        let database = spot.side.unwrap_or(spot.live);
        commands.push(command(&["SELECT", &database.to_string()]));
        commands.extend(left_out.iter().map(|text| command(&["SET", &placed.left_out(), text])));
        commands.extend(rest.iter().map(|text| command(&["SET", &placed.rest_note(), text])));
        if spot.side.is_none() {
            if position == 0 && knows_functions {
                load_functions(connection, functions, None, context)?;
            }
            commands.push(command(&["DEL", HALF, hold::POLICY]));
            continue;
        }
        if position == 0 && knows_functions && !functions.is_empty() {
            commands.push(command(&["SET", &placed.functions(), &to_text(functions)?]));
        }
        commands.push(command(&["SET", MARK, &marks.text(spot, Role::Staged)?]));
    }
    transaction(connection, &commands)?;
    let spots: Vec<Spot> = loaded.iter().map(|loaded| loaded.spot.clone()).collect();
    if knows_functions && spots.iter().any(|spot| spot.side.is_some()) {
        load_staged_functions(connection, placed, &spots, context)?;
    }
    Ok(())
}
