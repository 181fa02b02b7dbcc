//! A server that throws keys away when its memory is full must not do so while two copies are in it: nobody can choose which of them loses keys. Its
//! `maxmemory-policy` is held at `noeviction` from before the first key is loaded until the run keeps nothing there any more.
//!
//! What it was stands in the key `threescale-backup:policy` of each database of the run, so that whoever ends the run puts it back: also after a kill, from another
//! machine, without the journal. Of several data sets or runs on one server the last one does.

use plan::ports::{Problem, Severity};
use plan::{Error, Result};

use super::{ServerAt, place::Spot};
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// In a database of a run: the policy that is put back when the run keeps nothing there any more.
pub(crate) const POLICY: &str = "threescale-backup:policy";
const SETTING: &[u8] = b"maxmemory-policy";
const NO_EVICTION: &str = "noeviction";

/// Whether the server may throw keys away.
pub(crate) fn evicts(server: &Server) -> bool {
    !matches!(server.field("maxmemory_policy"), "" | NO_EVICTION)
}

/// Whether the policy can be held: the server is told to keep the one that it has.
pub(crate) fn can_hold(connection: &mut Connection, server: &Server) -> Result<bool> {
    let policy = server.field("maxmemory_policy").as_bytes();
    Ok(!matches!(connection.ask(&[b"CONFIG", b"SET", SETTING, policy])?, Reply::Error(_)))
}

/// What is on record in the selected database.
pub(crate) fn on_record(connection: &mut Connection) -> Result<Option<String>> {
    Ok(match connection.call(&[b"GET", POLICY.as_bytes()])? {
        Reply::Bytes(policy) => Some(String::from_utf8_lossy(&policy).into_owned()),
        _ => None,
    })
}

/// Holds the policy, for databases that carry a mark of the run.
pub(crate) fn hold(connection: &mut Connection, at: &ServerAt, spots: &[Spot]) -> Result<()> {
    let server = Server::ask(connection)?;
    let before = match anywhere(connection, &server)? {
        Some(before) => before,
        None if evicts(&server) => server.field("maxmemory_policy").to_owned(),
        None => return Ok(()),
    };
    for spot in spots {
        connection.select(spot.side.unwrap_or(spot.live))?;
        connection.call(&[b"SET", POLICY.as_bytes(), before.as_bytes()])?;
    }
    again(connection, at, &server)
}

/// Holds it also where a restart of the server has read another one from its configuration.
pub(crate) fn again(connection: &mut Connection, at: &ServerAt, server: &Server) -> Result<()> {
    if !evicts(server) {
        return Ok(());
    }
    connection.call(&[b"CONFIG", b"SET", SETTING, NO_EVICTION.as_bytes()]).map(drop).map_err(|error| {
        error.during(format!("failed to hold maxmemory-policy of {} at {NO_EVICTION}", at.address.endpoint())).hint(
            "With two copies in it the server would throw keys away, also live ones. Allow CONFIG SET, set the policy yourself for the time, or restore \
             with --in-place.",
        )
    })
}

/// Puts the policy back, when nobody holds it any more. What somebody else has set meanwhile stays.
pub(crate) fn let_go(connection: &mut Connection, at: &ServerAt, before: Option<String>) -> Result<()> {
    let Some(before) = before else { return Ok(()) };
    let server = Server::ask(connection)?;
    if anywhere(connection, &server)?.is_some() || server.field("maxmemory_policy") != NO_EVICTION {
        return Ok(());
    }
    connection.call(&[b"CONFIG", b"SET", SETTING, before.as_bytes()]).map(drop).map_err(|error: Error| {
        let endpoint = at.address.endpoint();
        error.hint(format!(
            "maxmemory-policy of {endpoint} was {before} before: `redis-cli CONFIG SET maxmemory-policy {before}` puts it back."
        ))
    })
}

/// Tells that keys are thrown away though a run keeps data beside: a restart has read the policy of the configuration.
pub(crate) fn lost(connection: &mut Connection, at: &ServerAt, server: &Server) -> Result<Option<Problem>> {
    if !evicts(server) || anywhere(connection, server)?.is_none() {
        return Ok(None);
    }
    let (endpoint, policy) = (at.address.endpoint(), server.field("maxmemory_policy"));
    let text = format!(
        "a run keeps data beside the live one at {endpoint}, and maxmemory-policy, which it held at {NO_EVICTION}, is {policy} again (a restart): when the memory is \
         full keys of both are thrown away"
    );
    let way_out = "Hold it until `settle` or `undo` ends the run: `redis-cli CONFIG SET maxmemory-policy noeviction`; or end the run now.";
    Ok(Some(Problem::new(Severity::Degrades, text).way_out(way_out)))
}

/// What any run has on record on this server.
fn anywhere(connection: &mut Connection, server: &Server) -> Result<Option<String>> {
    for number in (0..1024).filter(|number| server.keys(*number).0 > 0) {
        connection.select(number)?;
        if let Some(policy) = on_record(connection)? {
            return Ok(Some(policy));
        }
    }
    Ok(None)
}
