//! Settings that are held while a view is asked for, and put back.
//!
//! * `repl-diskless-sync-delay` at 0: the server does not wait for more replicas (5 s by default).
//! * `repl-diskless-sync` at `yes`, where it is `no` (the default before Redis 7.0): else the server writes its data to its volume first, and when that has no room, and
//!   there are save points, it refuses every write from then on (`stop-writes-on-bgsave-error`).
//! * `rdbcompression` at `no`, where it is `yes` (the default): the server tries to compress each key and each value of 20 bytes and more by itself, for a quarter of its time for a
//!   view, and counters do not get shorter by it. The repository compresses what it keeps. Not where the server writes its volume first: that file is its own.
//!
//! What the last two were is first written into keys of the live database, because a killed program puts nothing back: the next backup does, and `doctor` tells it. Where
//! such a key cannot be written the setting stays as it is. Nothing but this view is written with them: a server makes one RDB at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plan::Result;

use crate::address::Address;
use crate::connection::{Connection, Limits, Reply};

/// A setting that is held, and put back from what stands in a key.
struct Setting {
    name: &'static str,
    /// In a live database: what it was before it was held.
    key: &'static str,
    /// What it is changed from, and what to.
    from: &'static str,
    to: &'static str,
}

const DISKLESS: Setting = Setting { name: "repl-diskless-sync", key: "threescale-backup:repl-diskless-sync", from: "no", to: "yes" };
const COMPRESSION: Setting = Setting { name: "rdbcompression", key: "threescale-backup:rdbcompression", from: "yes", to: "no" };
const DELAY: &str = "repl-diskless-sync-delay";

/// Of two data sets on one server neither takes the other's setting for the server's own, or puts it back too early.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whether a key is one of those in which settings stand that are held.
pub(crate) fn is_of_settings(key: &str) -> bool {
    [DISKLESS, COMPRESSION].iter().any(|setting| setting.key == key)
}

/// While this lives the settings are held. They are put back when it is dropped, also after an error.
pub(super) struct Held {
    address: Address,
    limits: Limits,
    settings: Vec<(Setting, String)>,
    delay: Option<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Held {
    pub(super) fn begin(address: &Address, limits: &Limits) -> Result<Self> {
        // The stop flag must not keep a setting from being put back.
        let limits = Limits { stops: Vec::new(), idle: Duration::from_secs(10), ..limits.clone() };
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = Self { address: address.clone(), limits, settings: Vec::new(), delay: None, _alone: alone };
        // Where CONFIG is forbidden the pull takes some seconds more, and the server writes as it is set to.
        let mut connection = held.connect()?;
        held.hold(&mut connection, DISKLESS)?;
        held.delay = hold_delay(&mut connection)?;
        if setting(&mut connection, DISKLESS.name)?.as_deref() == Some(DISKLESS.to) {
            held.hold(&mut connection, COMPRESSION)?;
        }
        Ok(held)
    }

    fn connect(&self) -> Result<Connection> {
        let mut connection = Connection::open(&self.address, &self.limits)?;
        connection.select(self.address.database())?;
        Ok(connection)
    }

    /// Holds a setting, or notes that a run that was killed does.
    fn hold(&mut self, connection: &mut Connection, held: Setting) -> Result<()> {
        let before = match on_record(connection, &held)? {
            Some(before) => before,
            None => match setting(connection, held.name)? {
                Some(before) if before == held.from => before,
                _ => return Ok(()),
            },
        };
        if !did(connection, &[b"SET", held.key.as_bytes(), before.as_bytes()])? {
            return Ok(());
        }
        if !did(connection, &[b"CONFIG", b"SET", held.name.as_bytes(), held.to.as_bytes()])? {
            connection.call(&[b"DEL", held.key.as_bytes()])?;
            return Ok(());
        }
        self.settings.push((held, before));
        Ok(())
    }

    fn put_back(&self) -> Result<()> {
        let mut connection = self.connect()?;
        if let Some(delay) = &self.delay {
            connection.call(&[b"CONFIG", b"SET", DELAY.as_bytes(), delay.as_bytes()])?;
        }
        for (held, before) in &self.settings {
            connection.call(&[b"CONFIG", b"SET", held.name.as_bytes(), before.as_bytes()])?;
            connection.call(&[b"DEL", held.key.as_bytes()])?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.delay.is_some() || !self.settings.is_empty() {
            // A server that has gone has read its own configuration again when it is back.
            drop(self.put_back());
        }
    }
}

/// What a killed run has left in the selected database: settings as they are now, and as they were.
pub(crate) fn left_behind(connection: &mut Connection) -> Result<Vec<(&'static str, &'static str, String)>> {
    let mut left = Vec::new();
    for held in [DISKLESS, COMPRESSION] {
        left.extend(on_record(connection, &held)?.map(|before| (held.name, held.to, before)));
    }
    Ok(left)
}

fn on_record(connection: &mut Connection, held: &Setting) -> Result<Option<String>> {
    Ok(match connection.call(&[b"GET", held.key.as_bytes()])? {
        Reply::Bytes(before) => Some(String::from_utf8_lossy(&before).into_owned()),
        _ => None,
    })
}

fn setting(connection: &mut Connection, name: &str) -> Result<Option<String>> {
    Ok(connection.ask(&[b"CONFIG", b"GET", name.as_bytes()])?.list().get(1).map(Reply::text))
}

/// Whether the server did it.
fn did(connection: &mut Connection, command: &[&[u8]]) -> Result<bool> {
    Ok(!matches!(connection.ask(command)?, Reply::Error(_)))
}

fn hold_delay(connection: &mut Connection) -> Result<Option<String>> {
    let before = setting(connection, DELAY)?.filter(|text| text.parse::<u64>().is_ok_and(|seconds| seconds > 0));
    Ok(match before {
        Some(before) if did(connection, &[b"CONFIG", b"SET", DELAY.as_bytes(), b"0"])? => Some(before),
        _ => None,
    })
}
