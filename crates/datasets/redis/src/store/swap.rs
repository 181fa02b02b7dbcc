//! Cut-over and undo: `SWAPDB` of every database of a server and the change of its marker, in one transaction. Whether it was done is asked of the
//! markers, so a crash between the transaction and the journal does no harm.

use plan::ports::{Context, Event, Road};
use plan::{Error, Result};

use super::file_road;
use super::place::{Holds, Method, Placed, Spot, foreign};
use super::transaction::{Commands, command, settle_writes, transaction};
use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Reply};

impl RedisStore {
    pub(crate) fn swap_in(&self, context: &Context, placed: &Placed) -> Result<()> {
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            if placed.road == Road::InPlace {
                check_loaded(&mut connection, placed, at, spots)?;
                continue;
            }
            match common_state(&mut connection, at, placed, spots)? {
                Holds::Previous => {}
                Holds::Loaded => {
                    if server.at_least(7, 0) {
                        load_staged_functions(&mut connection, placed, spots, context)?;
                    }
                    watch(&mut connection, &placed.staging(), spots)?;
                    transaction(&mut connection, &swap_commands(spots, placed, &placed.staging(), [&placed.previous(), "1"]))?;
                }
                _ => return Err(Error::failed(format!("nothing is staged for {}", at.address)).hint("Stage it again.")),
            }
            settle_writes(&mut connection, &server)?;
        }
        Ok(())
    }

    pub(crate) fn swap_back(&self, context: &Context, placed: &Placed) -> Result<()> {
        if placed.road == Road::InPlace {
            return Err(Error::needs_person(format!("{} was restored in place: there is no previous data at the place", self.name))
                .hint("Restore the safety copy that was taken into the repository before."));
        }
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            let state = common_state(&mut connection, at, placed, spots)?;
            if state == Holds::Previous {
                watch(&mut connection, &placed.previous(), spots)?;
                transaction(&mut connection, &swap_commands(spots, placed, &placed.previous(), [&placed.staging(), "loaded"]))?;
            }
            if server.at_least(7, 0) && state != Holds::Nothing {
                unload_functions(&mut connection, placed, spots)?;
            }
            settle_writes(&mut connection, &server)?;
        }
        Ok(())
    }
}

/// What all side databases of a server hold: they change together, so anything else is a person's affair.
fn common_state(connection: &mut Connection, at: &ServerAt, placed: &Placed, spots: &[Spot]) -> Result<Holds> {
    let mut states = Vec::new();
    for side in spots.iter().filter_map(|spot| spot.side) {
        match placed.holds(connection, side)? {
            Holds::Foreign => return Err(foreign(at, side)),
            state => states.push(state),
        }
    }
    let first = states.first().copied().unwrap_or(Holds::Nothing);
    if states.iter().all(|state| *state == first) {
        return Ok(first);
    }
    if states.contains(&Holds::Previous) {
        return Err(Error::needs_person(format!("some databases of {} are swapped, others are not", at.address.endpoint()))
            .hint(format!("They are swapped together by this program: {states:?}. Somebody else has changed them.")));
    }
    // A load that broke between two databases.
    Ok(Holds::Loading)
}

fn watch(connection: &mut Connection, marker: &str, spots: &[Spot]) -> Result<()> {
    for side in spots.iter().filter_map(|spot| spot.side) {
        connection.select(side)?;
        connection.call(&[b"WATCH", marker.as_bytes()])?;
    }
    Ok(())
}

/// Swaps each database with its side, and one marker for the other. Keys of the run stay in the side database.
fn swap_commands(spots: &[Spot], placed: &Placed, before: &str, after: [&str; 2]) -> Commands {
    let mut commands = Commands::new();
    for spot in spots {
        let Some(side) = spot.side else { continue };
        let (side, live) = (side.to_string(), spot.live.to_string());
        commands.push(command(&["SELECT", &side]));
        commands.push(command(&["DEL", before]));
        for key in [placed.functions(), loaded_functions(placed), placed.left_out()] {
            commands.push(command(&["MOVE", &key, &live]));
        }
        commands.push(command(&["SWAPDB", &live, &side]));
        commands.push(command(&["SET", after[0], after[1]]));
    }
    commands
}

/// In place there is nothing to swap, but the load must have come to its end.
pub(crate) fn check_loaded(connection: &mut Connection, placed: &Placed, at: &ServerAt, spots: &[Spot]) -> Result<()> {
    if placed.method == Method::File {
        return file_road::check_loaded(connection, placed, at);
    }
    for spot in spots {
        connection.select(spot.live)?;
        if connection.call(&[b"EXISTS", placed.loading().as_bytes()])?.number() != Some(0) {
            return Err(Error::failed(format!("the load of {} in place has not come to its end", spot.name)).hint("Stage it again."));
        }
    }
    Ok(())
}

/// Names of libraries that this run has loaded.
fn loaded_functions(placed: &Placed) -> String {
    format!("{}:loaded", placed.functions())
}

fn select_first(connection: &mut Connection, spots: &[Spot]) -> Result<()> {
    spots.iter().find_map(|spot| spot.side).map_or(Ok(()), |side| connection.select(side))
}

fn load_staged_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot], context: &Context) -> Result<()> {
    select_first(connection, spots)?;
    let staged = connection.call(&[b"LRANGE", placed.functions().as_bytes(), b"0", b"-1"])?.list();
    let libraries: Vec<Vec<u8>> =
        staged.into_iter().filter_map(|code| if let Reply::Bytes(code) = code { Some(code) } else { None }).collect();
    load_functions(connection, &libraries, Some(&loaded_functions(placed)), context)
}

/// Loads function libraries whose names the server does not know; it notes their names first, in `note`, for undo. A library of the same name stays as it is.
pub(crate) fn load_functions(connection: &mut Connection, libraries: &[Vec<u8>], note: Option<&str>, context: &Context) -> Result<()> {
    for code in libraries {
        let Some(name) = library_name(code) else {
            context.watch.see(Event::Warning("a function library without a name was left out"));
            continue;
        };
        let known = connection.call(&[b"FUNCTION", b"LIST", b"LIBRARYNAME", name.as_bytes(), b"WITHCODE"])?.list();
        if let Some(library) = known.into_iter().next() {
            let same = library.list().iter().any(|field| matches!(field, Reply::Bytes(found) if found == code));
            if !same {
                let warning = format!("the function library {name:?} is on the server with other code; it stays as it is");
                context.watch.see(Event::Warning(&warning));
            }
            continue;
        }
        if let Some(note) = note {
            connection.call(&[b"SADD", note.as_bytes(), name.as_bytes()])?;
        }
        connection.call(&[b"FUNCTION", b"LOAD", code])?;
    }
    Ok(())
}

/// Takes back the libraries that this run has loaded.
fn unload_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot]) -> Result<()> {
    select_first(connection, spots)?;
    let note = loaded_functions(placed);
    for name in connection.call(&[b"SMEMBERS", note.as_bytes()])?.list() {
        match connection.ask(&[b"FUNCTION", b"DELETE", name.text().as_bytes()])? {
            Reply::Error(text) if !text.contains("not found") => return Reply::Error(text).ok().map(drop),
            _ => {}
        }
        connection.call(&[b"SREM", note.as_bytes(), name.text().as_bytes()])?;
    }
    Ok(())
}

/// The name in the first line of a library: `#!lua name=mylib`.
pub(crate) fn library_name(code: &[u8]) -> Option<String> {
    let first = code.split(|byte| *byte == b'\n').next()?;
    let first = std::str::from_utf8(first).ok()?.strip_prefix("#!")?;
    first.split_ascii_whitespace().find_map(|word| word.strip_prefix("name=")).map(str::to_owned)
}
