//! Function libraries: they belong to a server, not to a database. Those of a set wait beside the staged copy, are loaded with the cut-over, and go with its undo.

use plan::Result;
use plan::ports::{Context, Event};

use super::place::{Placed, Spot};
use crate::connection::{Connection, Reply};

/// Names of libraries that this run has loaded.
pub(crate) fn loaded_functions(placed: &Placed) -> String {
    format!("{}:loaded", placed.functions())
}

fn select_first(connection: &mut Connection, spots: &[Spot]) -> Result<()> {
    spots.iter().find_map(|spot| spot.side).map_or(Ok(()), |side| connection.select(side))
}

pub(crate) fn load_staged_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot], context: &Context) -> Result<()> {
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
pub(crate) fn unload_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot]) -> Result<()> {
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
