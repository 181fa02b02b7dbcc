//! Limits of a server's settings that a load, or a pull of its RDB, would meet.

use plan::Result;
use plan::ports::{Problem, Severity};

use super::ServerAt;
use crate::connection::{Connection, Reply};

/// What `RESTORE` adds to a value, and what else may wait in the server's buffer of a connection.
const AROUND_BYTES: u64 = 1 << 20;
/// `proto-max-bulk-len` where it cannot be asked.
const BULK_MAX_BYTES: u64 = 512 << 20;

/// A setting as text; `None` where it is not there or not allowed.
fn setting(connection: &mut Connection, name: &str) -> Result<Option<String>> {
    Ok(connection.ask(&[b"CONFIG", b"GET", name.as_bytes()])?.list().get(1).map(Reply::text))
}

fn bytes(connection: &mut Connection, name: &str) -> Result<Option<u64>> {
    Ok(setting(connection, name)?.and_then(|text| text.parse().ok()))
}

/// Whether the longest value of a set passes.
pub(crate) fn limits_fit(at: &ServerAt, connection: &mut Connection, largest: u64, problems: &mut Vec<Problem>) -> Result<()> {
    let endpoint = at.address.endpoint();
    let mut blocks = |name: &str, limit: u64, wanted: u64, what: &str| {
        let text = format!("the set has a value of {largest} bytes; {what} at {endpoint} ({name} is {limit})");
        let way_out = format!("Raise it for the restore: `redis-cli CONFIG SET {name} {wanted}`; afterwards put {limit} back.");
        problems.push(Problem::new(Severity::Blocks, text).way_out(way_out));
    };
    let bulk = bytes(connection, "proto-max-bulk-len")?.unwrap_or(BULK_MAX_BYTES);
    if largest + 64 > bulk {
        blocks("proto-max-bulk-len", bulk, largest + AROUND_BYTES, "no argument of a command may be that long");
    }
    if let Some(limit) = bytes(connection, "client-query-buffer-limit")?
        && limit > 0
        && largest + AROUND_BYTES > limit
    {
        blocks("client-query-buffer-limit", limit, largest + 2 * AROUND_BYTES, "a connection that sends so much at once is closed");
    }
    if let Some(limit) = bytes(connection, "maxmemory-clients")?
        && limit > 0
        && 2 * largest + AROUND_BYTES > limit
    {
        blocks("maxmemory-clients", limit, 2 * largest + 2 * AROUND_BYTES, "a client that takes so much memory is disconnected");
    }
    Ok(())
}

/// By what a server ends the pull of its RDB, in words. Replicas that want the RDB only are not fed what is written meanwhile (from 6.2 on), so the limit of
/// their buffers does not matter.
pub(crate) fn what_ends_a_pull(connection: &mut Connection) -> Result<Option<String>> {
    let Some(seconds) = setting(connection, "repl-timeout")? else { return Ok(None) };
    Ok(Some(format!(
        "The server ends a pull that takes nothing for repl-timeout ({seconds} s): where the repository was slow for so long, `redis-cli CONFIG SET repl-timeout 3600` \
         helps; afterwards put {seconds} back."
    )))
}
