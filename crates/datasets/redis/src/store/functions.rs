//! Function libraries: they belong to a server, not to a database. Those of a set wait beside the staged copy and are loaded when it is whole, while the
//! writers still run: nobody calls them yet, and what cannot be loaded is known in time. They go with `undo` and with a staged copy that is dropped.
//!
//! A library that cannot be loaded stops nothing else: it is told, and its code is in the set. One of the same name stays as it is.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{Context, Event, Problem, Severity};
use xxhash_rust::xxh3::xxh3_128;

use super::place::{Placed, Spot};
use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Reply};
use crate::rights::For;
use crate::server::Server;

/// Begin of the facts of a set that tell its libraries: `function.<library>`, digest of the code, then the names of the functions where they are known.
const FACT: &str = "function.";

/// Names of libraries that this run has loaded.
pub(crate) fn loaded_functions(placed: &Placed) -> String {
    format!("{}:loaded", placed.functions())
}

fn select_first(connection: &mut Connection, spots: &[Spot]) -> Result<()> {
    spots.iter().find_map(|spot| spot.side).map_or(Ok(()), |side| connection.select(side))
}

/// Libraries as one text: a byte is a character, so that code of any encoding comes back.
pub(crate) fn to_text(libraries: &[Vec<u8>]) -> Result<String> {
    let texts: Vec<String> = libraries.iter().map(|code| code.iter().copied().map(char::from).collect()).collect();
    serde_json::to_string(&texts).map_err(|error| plan::Error::failed("failed to write down function libraries").because(error))
}

/// Reads such a text from a key of the selected database. Version 0.1.0 kept lists and sets.
fn read(connection: &mut Connection, key: &str, old: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    Ok(match connection.ask(&[b"GET", key.as_bytes()])? {
        Reply::Bytes(text) => {
            let texts: Vec<String> = serde_json::from_slice(&text)
                .map_err(|error| plan::Error::needs_person(format!("the key {key} cannot be understood")).because(error))?;
            texts.iter().map(|text| text.chars().filter_map(|one| u8::try_from(u32::from(one)).ok()).collect()).collect()
        }
        Reply::Error(text) if text.starts_with("WRONGTYPE") => {
            let found = connection.call(old)?.list();
            found.into_iter().filter_map(|one| if let Reply::Bytes(bytes) = one { Some(bytes) } else { None }).collect()
        }
        Reply::Error(text) => return Reply::Error(text).ok().map(|_| Vec::new()),
        _ => Vec::new(),
    })
}

fn loaded_names(connection: &mut Connection, note: &str) -> Result<Vec<String>> {
    let names = read(connection, note, &[b"SMEMBERS", note.as_bytes()])?;
    Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn note_names(connection: &mut Connection, note: &str, names: &[String]) -> Result<()> {
    let text = to_text(&names.iter().map(|name| name.clone().into_bytes()).collect::<Vec<_>>())?;
    connection.call(&[b"SET", note.as_bytes(), text.as_bytes()]).map(drop)
}

/// Loads what waits beside the staged copy, and is not there yet.
pub(crate) fn load_staged_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot], context: &Context) -> Result<()> {
    select_first(connection, spots)?;
    let key = placed.functions();
    let libraries = read(connection, &key, &[b"LRANGE", key.as_bytes(), b"0", b"-1"])?;
    load_functions(connection, &libraries, Some(&loaded_functions(placed)), context)
}

/// Loads function libraries whose names the server does not know; it notes their names first, in `note`, for undo.
pub(crate) fn load_functions(connection: &mut Connection, libraries: &[Vec<u8>], note: Option<&str>, context: &Context) -> Result<()> {
    for code in libraries {
        let name = library_name(code).unwrap_or_default();
        let left_out = |why: &str| {
            let text = format!("the function library {name:?} is left out: {why}; its code is in the set, in functions/");
            context.watch.see(Event::Warning(&text));
        };
        let known = match connection.ask(&[b"FUNCTION", b"LIST", b"LIBRARYNAME", name.as_bytes(), b"WITHCODE"])? {
            Reply::Error(text) => {
                left_out(&format!("the server answered {text:?}"));
                continue;
            }
            found => found.list(),
        };
        if let Some(library) = known.into_iter().next() {
            let same = library.list().iter().any(|field| matches!(field, Reply::Bytes(found) if found == code));
            if !same {
                left_out("the server has one of that name with other code, which stays as it is");
            }
            continue;
        }
        if let Some(note) = note {
            let mut names = loaded_names(connection, note)?;
            names.push(name.clone());
            note_names(connection, note, &names)?;
        }
        if let Reply::Error(text) = connection.ask(&[b"FUNCTION", b"LOAD", code])? {
            left_out(&format!("the server answered {text:?}"));
            if let Some(note) = note {
                let names: Vec<String> = loaded_names(connection, note)?.into_iter().filter(|other| *other != name).collect();
                note_names(connection, note, &names)?;
            }
        }
    }
    Ok(())
}

/// Takes back the libraries that this run has loaded. One that cannot be taken back is told, and stops nothing.
pub(crate) fn unload_functions(connection: &mut Connection, placed: &Placed, spots: &[Spot], context: &Context) -> Result<()> {
    select_first(connection, spots)?;
    let note = loaded_functions(placed);
    let names = loaded_names(connection, &note)?;
    for name in &names {
        if let Reply::Error(text) = connection.ask(&[b"FUNCTION", b"DELETE", name.as_bytes()])?
            && !text.contains("not found")
        {
            let warning = format!(
                "the function library {name:?}, which this run loaded, stays: the server answered {text:?}. `redis-cli FUNCTION DELETE {name}` removes it"
            );
            context.watch.see(Event::Warning(&warning));
        }
    }
    if !names.is_empty() {
        connection.call(&[b"DEL", note.as_bytes()])?;
    }
    Ok(())
}

/// The safety copy is back in place: a library that is not in it was loaded by the run, or by somebody since. Nobody can tell which, so it stays and is told.
pub(crate) fn tell_further(connection: &mut Connection, safety_copy: &[Vec<u8>], context: &Context) -> Result<()> {
    let known: Vec<String> = safety_copy.iter().filter_map(|code| library_name(code)).collect();
    for library in libraries(connection)?.into_iter().filter(|library| !known.contains(&library.name)) {
        let name = library.name;
        let warning = format!(
            "the function library {name:?} is not in the safety copy, and stays: the restore loaded it, or somebody since. `redis-cli FUNCTION DELETE {name}` removes it"
        );
        context.watch.see(Event::Warning(&warning));
    }
    Ok(())
}

/// The name in the first line of a library: `#!lua name=mylib`.
pub(crate) fn library_name(code: &[u8]) -> Option<String> {
    let first = code.split(|byte| *byte == b'\n').next()?;
    let first = std::str::from_utf8(first).ok()?.strip_prefix("#!")?;
    first.split_ascii_whitespace().find_map(|word| word.strip_prefix("name=")).map(str::to_owned)
}

/// A library of a server, as `FUNCTION LIST` tells it.
struct Library {
    name: String,
    code: Vec<u8>,
    functions: Vec<String>,
}

/// Those of a server; none where they are forbidden or not known.
fn libraries(connection: &mut Connection) -> Result<Vec<Library>> {
    let Reply::List(found) = connection.ask(&[b"FUNCTION", b"LIST", b"WITHCODE"])? else { return Ok(Vec::new()) };
    let library = |fields: &Reply| {
        let functions = fields.field("functions").cloned().map(Reply::list).unwrap_or_default();
        Library {
            name: fields.field("library_name").map(Reply::text).unwrap_or_default(),
            code: if let Some(Reply::Bytes(code)) = fields.field("library_code") { code.clone() } else { Vec::new() },
            functions: functions.iter().filter_map(|function| function.field("name").map(Reply::text)).collect(),
        }
    };
    Ok(found.iter().map(library).collect())
}

/// The code of each library of a server; none where they are forbidden or not known.
pub(crate) fn codes(connection: &mut Connection) -> Result<Vec<Vec<u8>>> {
    Ok(libraries(connection)?.into_iter().map(|library| library.code).filter(|code| !code.is_empty()).collect())
}

fn digest(code: &[u8]) -> String {
    format!("{:032x}", xxh3_128(code))
}

/// Tells the libraries of a dump.
pub(crate) fn note_libraries(connection: &mut Connection, codes: &[Vec<u8>], facts: &mut BTreeMap<String, String>) -> Result<()> {
    let known = if codes.is_empty() { Vec::new() } else { libraries(connection)? };
    for code in codes {
        let Some(name) = library_name(code) else { continue };
        let functions = known.iter().find(|library| library.name == name).map_or(&[][..], |library| library.functions.as_slice());
        facts.insert(format!("{FACT}{name}"), [&[digest(code)][..], functions].concat().join(" "));
    }
    Ok(())
}

impl RedisStore {
    /// What of a set's libraries will not be loaded.
    pub(crate) fn functions_fit(
        &self,
        context: &Context,
        at: &ServerAt,
        server: &Server,
        facts: &BTreeMap<String, String>,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        let endpoint = at.address.endpoint();
        if !server.at_least(7, 0) {
            let text = format!("{endpoint} has no functions (before Redis 7.0): those of the set are left out");
            problems.push(Problem::new(Severity::Degrades, text));
            return Ok(());
        }
        let lacks = self.lacking(context, at, true, &[For::Functions], &[])?;
        if !lacks.is_nothing() {
            let what = format!("the function libraries of the set cannot be loaded at {endpoint} and are left out");
            problems.push(lacks.problem(Severity::Degrades, &what));
            return Ok(());
        }
        let there = libraries(&mut self.connect(context, at)?)?;
        for (name, said) in facts.iter().filter_map(|(fact, said)| Some((fact.strip_prefix(FACT)?, said))) {
            let mut words = said.split(' ');
            let code = words.next().unwrap_or_default();
            if let Some(library) = there.iter().find(|library| library.name == name) {
                if digest(&library.code) != code {
                    let text = format!("{endpoint} has a function library {name:?} with other code than the set's: it stays as it is");
                    problems.push(Problem::new(Severity::Degrades, text).way_out(delete(name)));
                }
                continue;
            }
            let taken = words.find_map(|function| {
                let library = there.iter().find(|library| library.functions.iter().any(|other| other.eq_ignore_ascii_case(function)))?;
                Some((function.to_owned(), library))
            });
            if let Some((function, library)) = taken {
                let text = format!(
                    "the function library {name:?} of the set is left out: its function {function:?} is one of the library {:?} at {endpoint}",
                    library.name
                );
                problems.push(Problem::new(Severity::Degrades, text).way_out(delete(&library.name)));
            }
        }
        Ok(())
    }
}

fn delete(library: &str) -> String {
    format!("To have the set's: `redis-cli FUNCTION DELETE {library}` before the restore.")
}
