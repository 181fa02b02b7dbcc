//! A fresh RDB by the replication handshake (`syncCommand` and `replconfCommand` in `src/replication.c`): the server forks, and its child sends one
//! consistent view. The program never stays attached as a replica.

use std::time::Duration;

use jiff::Timestamp;
use plan::{Error, Result};

use crate::address::Address;
use crate::connection::{Connection, Limits, Reply, is_forbidden};

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

/// Opens a view. The delay with which servers wait for more replicas (`repl-diskless-sync-delay`, 5 s by default) is put to 0 for the pull where
/// that is allowed, and put back.
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
    let delay = NoDelay::begin(address, limits);
    let opened = handshake(connection);
    drop(delay);
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

const DELAY: &[u8] = b"repl-diskless-sync-delay";

/// While this lives the server does not wait for more replicas. Puts the setting back when dropped, also after an error.
struct NoDelay {
    address: Address,
    limits: Limits,
    before: Option<String>,
}

impl NoDelay {
    fn begin(address: &Address, limits: &Limits) -> Self {
        // The stop flag must not keep the setting from being put back.
        let limits = Limits { stops: Vec::new(), idle: Duration::from_secs(10), ..limits.clone() };
        let mut guard = Self { address: address.clone(), limits, before: None };
        let before = guard.connect().and_then(|mut connection| {
            let found = connection.call(&[b"CONFIG", b"GET", DELAY])?.list();
            let before = found.get(1).map(Reply::text).filter(|text| text.parse::<u64>().is_ok_and(|seconds| seconds > 0));
            if before.is_some() {
                connection.call(&[b"CONFIG", b"SET", DELAY, b"0"])?;
            }
            Ok(before)
        });
        // Where CONFIG is forbidden the pull takes some seconds more.
        guard.before = before.ok().flatten();
        guard
    }

    fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address, &self.limits)
    }
}

impl Drop for NoDelay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let put_back = self.connect().and_then(|mut connection| connection.call(&[b"CONFIG", b"SET", DELAY, before.as_bytes()]));
            // A server that has gone has read its own configuration again when it is back.
            drop(put_back);
        }
    }
}
