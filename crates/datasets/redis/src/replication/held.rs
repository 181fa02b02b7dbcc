//! Settings that are held while a view is asked for, and put back.
//!
//! * `repl-diskless-sync-delay` at 0: the server does not wait for more replicas (5 s by default).
//! * `repl-diskless-sync` at `yes`, where it is `no` (the default before Redis 7.0): else the server writes its data to its volume first, and when that has no room, and
//!   there are save points, it refuses every write from then on (`stop-writes-on-bgsave-error`). What it was is first written into a key of the live database, because
//!   a killed program puts nothing back: the next backup does, and `doctor` tells it. Where that key cannot be written the setting stays as it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plan::Result;

use crate::address::Address;
use crate::connection::{Connection, Limits, Reply};

/// In a live database: what `repl-diskless-sync` was before it was held.
pub(crate) const SETTINGS: &str = "threescale-backup:repl-diskless-sync";
const DISKLESS: &[u8] = b"repl-diskless-sync";
const DELAY: &[u8] = b"repl-diskless-sync-delay";

/// Of two data sets on one server neither takes the other's setting for the server's own, or puts it back too early.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// While this lives the settings are held. They are put back when it is dropped, also after an error.
pub(super) struct Held {
    address: Address,
    limits: Limits,
    diskless: Option<String>,
    delay: Option<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Held {
    pub(super) fn begin(address: &Address, limits: &Limits) -> Result<Self> {
        // The stop flag must not keep a setting from being put back.
        let limits = Limits { stops: Vec::new(), idle: Duration::from_secs(10), ..limits.clone() };
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = Self { address: address.clone(), limits, diskless: None, delay: None, _alone: alone };
        // Where CONFIG is forbidden the pull takes some seconds more, and the server writes as it is set to.
        let mut connection = held.connect()?;
        held.diskless = hold_diskless(&mut connection)?;
        held.delay = hold_delay(&mut connection)?;
        Ok(held)
    }

    fn connect(&self) -> Result<Connection> {
        let mut connection = Connection::open(&self.address, &self.limits)?;
        connection.select(self.address.database())?;
        Ok(connection)
    }

    fn put_back(&self) -> Result<()> {
        let mut connection = self.connect()?;
        if let Some(delay) = &self.delay {
            connection.call(&[b"CONFIG", b"SET", DELAY, delay.as_bytes()])?;
        }
        if let Some(diskless) = &self.diskless {
            connection.call(&[b"CONFIG", b"SET", DISKLESS, diskless.as_bytes()])?;
            connection.call(&[b"DEL", SETTINGS.as_bytes()])?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.delay.is_some() || self.diskless.is_some() {
            // A server that has gone has read its own configuration again when it is back.
            drop(self.put_back());
        }
    }
}

/// What a killed run has on record in the selected database.
pub(crate) fn on_record(connection: &mut Connection) -> Result<Option<String>> {
    Ok(match connection.call(&[b"GET", SETTINGS.as_bytes()])? {
        Reply::Bytes(before) => Some(String::from_utf8_lossy(&before).into_owned()),
        _ => None,
    })
}

fn setting(connection: &mut Connection, name: &[u8]) -> Result<Option<String>> {
    Ok(connection.ask(&[b"CONFIG", b"GET", name])?.list().get(1).map(Reply::text))
}

/// Whether the server did it.
fn did(connection: &mut Connection, command: &[&[u8]]) -> Result<bool> {
    Ok(!matches!(connection.ask(command)?, Reply::Error(_)))
}

/// What it was, when it is held now, or was by a run that was killed.
fn hold_diskless(connection: &mut Connection) -> Result<Option<String>> {
    let before = match on_record(connection)? {
        Some(before) => before,
        None => match setting(connection, DISKLESS)? {
            Some(before) if before == "no" => before,
            _ => return Ok(None),
        },
    };
    if !did(connection, &[b"SET", SETTINGS.as_bytes(), before.as_bytes()])? {
        return Ok(None);
    }
    if !did(connection, &[b"CONFIG", b"SET", DISKLESS, b"yes"])? {
        connection.call(&[b"DEL", SETTINGS.as_bytes()])?;
        return Ok(None);
    }
    Ok(Some(before))
}

fn hold_delay(connection: &mut Connection) -> Result<Option<String>> {
    let before = setting(connection, DELAY)?.filter(|text| text.parse::<u64>().is_ok_and(|seconds| seconds > 0));
    Ok(match before {
        Some(before) if did(connection, &[b"CONFIG", b"SET", DELAY, b"0"])? => Some(before),
        _ => None,
    })
}
