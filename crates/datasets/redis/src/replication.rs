//! A fresh RDB by the replication handshake (`syncCommand` and `replconfCommand` in `src/replication.c`): the server forks, and its child sends one
//! consistent view. The program never stays attached as a replica.

mod held;

use jiff::Timestamp;
use plan::{Error, Result};

use crate::address::Address;
use crate::connection::{Connection, Limits, Reply, is_forbidden};
use held::Held;
pub(crate) use held::{SETTINGS, on_record};

/// How a transfer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With these bytes (diskless).
    Mark([u8; 40]),
}

/// A view of the whole server that is open; the RDB follows on the connection.
pub(crate) struct View {
    pub(crate) connection: Connection,
    pub(crate) framing: Framing,
    pub(crate) consistent_at: Timestamp,
}

/// What asking for a view gave.
pub(crate) enum Asked {
    View(Box<View>),
    /// Replication is forbidden here.
    Forbidden,
}

/// The newest Valkey whose RDB this program reads ([`crate::rdb::Format::is_known`]); newer servers send it that format, or refuse.
const NEWEST_VALKEY: &[u8] = b"9.2.0";

/// Opens a view. Settings are held for that moment where that is allowed ([`held`]).
pub(crate) fn open_view(address: &Address, limits: &Limits) -> Result<Asked> {
    let mut connection = Connection::open(address, limits)?;
    let capa = connection.ask(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"])?;
    if let Reply::Error(text) = &capa
        && is_forbidden(text)
    {
        return Ok(Asked::Forbidden);
    }
    // Only the RDB, nothing after it: known from Redis 6.2 on; others refuse, and are left right after the RDB.
    let _known = connection.ask(&[b"REPLCONF", b"rdb-only", b"1"])?;
    // Valkey sends what does not tell its version the RDB of Redis 7.2, and breaks the transfer off at a hash whose fields expire. Redis does not know it.
    let _known = connection.ask(&[b"REPLCONF", b"version", NEWEST_VALKEY])?;
    let held = Held::begin(address, limits)?;
    let opened = handshake(connection);
    drop(held);
    opened
}

fn handshake(mut connection: Connection) -> Result<Asked> {
    connection.push(&[b"PSYNC", b"?", b"-1"]);
    connection.flush()?;
    let answer = wait_line(&mut connection)?;
    let consistent_at = Timestamp::now();
    if let Some(text) = answer.strip_prefix('-') {
        if is_forbidden(text) {
            return Ok(Asked::Forbidden);
        }
        let error = Reply::Error(text.to_owned()).ok().err().unwrap_or_else(|| Error::failed("replication refused"));
        return Err(error.in_class(plan::Class::Transient).during(format!("replication from {}", connection.peer())));
    }
    if !answer.starts_with("+FULLRESYNC") {
        return Err(Error::failed(format!("{} answered {answer:?} to a request of a full synchronisation", connection.peer())));
    }
    let frame = wait_line(&mut connection)?;
    let framing = match frame.strip_prefix("$EOF:") {
        Some(mark) => mark.as_bytes().try_into().ok().map(Framing::Mark),
        None => frame.strip_prefix('$').and_then(|length| length.parse().ok()).map(Framing::Length),
    };
    let Some(framing) = framing else {
        return Err(Error::transient(format!("{} did not send its RDB but {frame:?}", connection.peer()))
            .hint("Its background save may have failed: look at its log (memory to fork, disk)."));
    };
    Ok(Asked::View(Box::new(View { connection, framing, consistent_at })))
}

/// The next line; empty ones are signs of life while the server saves.
fn wait_line(connection: &mut Connection) -> Result<String> {
    loop {
        let line = connection.line()?;
        if !line.is_empty() {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
    }
}
