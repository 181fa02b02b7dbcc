//! Sends keys as `RESTORE … ABSTTL`, pipelined. Short values are gathered, long ones pass straight to the server: their size is known from the dump.

use std::collections::VecDeque;

use plan::{Error, Result};

use crate::connection::Connection;
use crate::pass::printable;
use crate::rdb::crc64::crc64;
use crate::rdb::source::Tap;
use crate::rdb::walk::KeyHead;
use crate::rdb::write;

/// Replies that may be outstanding.
const AHEAD: usize = 4000;
/// Bytes of the keys whose replies may be outstanding, so that long names are not gathered.
const AHEAD_BYTES: usize = 4 << 20;
/// Pending output that is sent.
const SEND_BYTES: usize = 128 << 10;
/// A value that is not in the list of big ones has at most this many bytes.
const SHORT_MAX_BYTES: usize = 8 << 20;
/// A list of strings, as every server loads it.
const LIST: u8 = 1;
/// RDB version and checksum after the value.
const FOOTER_BYTES: u64 = 10;

/// Loads keys into the selected database of a connection.
pub(crate) struct Loader {
    pub(crate) connection: Connection,
    version: u16,
    head: KeyHead,
    /// Raw bytes still to come of a long value; `None` for a short one.
    long: Option<u64>,
    payload: Vec<u8>,
    crc: u64,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    pub(crate) bytes: u64,
}

impl Loader {
    pub(crate) fn new(connection: Connection, version: u16) -> Self {
        let payload = Vec::new();
        Self {
            connection,
            version,
            head: KeyHead::default(),
            long: None,
            payload,
            crc: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            bytes: 0,
        }
    }

    /// A key; its raw value follows through the tap. `long` is the size of a value that is too long for memory.
    pub(crate) fn begin(&mut self, head: KeyHead, long: Option<u64>) -> Result<()> {
        self.payload.clear();
        self.payload.push(head.kind);
        self.crc = crc64(0, &self.payload);
        self.head = head;
        self.long = long;
        if let Some(raw_bytes) = long {
            self.command_head();
            self.connection.push_argument_head(1 + raw_bytes + FOOTER_BYTES);
            self.connection.push_raw(&self.payload)?;
        }
        Ok(())
    }

    fn command_head(&mut self) {
        let head = &self.head;
        let options = usize::from(head.expires_ms.is_some()) + 2 * usize::from(head.idle_s.is_some() || head.frequency.is_some());
        self.connection.push_restore(5 + options);
        self.connection.push_argument(&head.key);
        self.connection.push_argument(head.expires_ms.unwrap_or(0).to_string().as_bytes());
    }

    /// The value is whole.
    pub(crate) fn end(&mut self) -> Result<()> {
        let version = self.version.to_le_bytes();
        match self.long.take() {
            Some(0) => {
                let crc = crc64(self.crc, &version).to_le_bytes();
                self.connection.push_raw(&version)?;
                self.connection.push_raw(&crc)?;
                self.connection.push_raw(b"\r\n")?;
            }
            Some(left) => return Err(Error::failed(format!("a value is {left} bytes shorter than the set says"))),
            None => {
                self.payload.extend_from_slice(&version);
                let crc = crc64(0, &self.payload);
                self.payload.extend_from_slice(&crc.to_le_bytes());
                self.command_head();
                self.connection.push_argument(&self.payload);
            }
        }
        self.connection.push_argument(b"REPLACE");
        if self.head.expires_ms.is_some() {
            self.connection.push_argument(b"ABSTTL");
        }
        match (self.head.idle_s, self.head.frequency) {
            (_, Some(frequency)) => {
                self.connection.push_argument(b"FREQ");
                self.connection.push_argument(frequency.to_string().as_bytes());
            }
            (Some(idle_s), None) => {
                self.connection.push_argument(b"IDLETIME");
                self.connection.push_argument(idle_s.to_string().as_bytes());
            }
            (None, None) => {}
        }
        let key = std::mem::take(&mut self.head.key);
        self.sent(key)
    }

    /// A list that begins with this element: whoever may load may make one, and `RPUSHX`, unlike `RPUSH`, can be tried without effect.
    pub(crate) fn list_of_one(&mut self, key: &[u8], element: &[u8]) -> Result<()> {
        let mut value = Vec::with_capacity(element.len() + 16);
        write::length(&mut value, 1);
        write::string(&mut value, element);
        self.begin(KeyHead { kind: LIST, key: key.to_vec(), ..KeyHead::default() }, None)?;
        self.take(&value)?;
        self.end()
    }

    /// A command that writes a key; its reply is read later.
    pub(crate) fn command(&mut self, arguments: &[&[u8]], key: &[u8]) -> Result<()> {
        self.connection.push(arguments);
        self.sent(key.to_vec())
    }

    fn sent(&mut self, key: Vec<u8>) -> Result<()> {
        self.waiting_bytes += key.len();
        self.waiting.push_back(key);
        if self.connection.pending_bytes() >= SEND_BYTES {
            self.connection.flush()?;
        }
        if self.waiting_bytes >= AHEAD_BYTES {
            return self.drain(0);
        }
        if self.waiting.len() >= AHEAD { self.drain(AHEAD / 2) } else { Ok(()) }
    }

    /// Reads replies until so many are outstanding.
    pub(crate) fn drain(&mut self, outstanding: usize) -> Result<()> {
        self.connection.flush()?;
        while self.waiting.len() > outstanding {
            let reply = self.connection.reply()?;
            let key = self.waiting.pop_front().unwrap_or_default();
            self.waiting_bytes -= key.len();
            reply.ok().map_err(|error| error.during(format!("the load of the key {:?} at {}", printable(&key), self.connection.peer())))?;
        }
        Ok(())
    }
}

impl Tap for Loader {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if let Some(left) = &mut self.long {
            *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| Error::failed("a value is longer than the set says"))?;
            self.crc = crc64(self.crc, bytes);
            return self.connection.push_raw(bytes);
        }
        if self.payload.len() + bytes.len() > SHORT_MAX_BYTES {
            return Err(Error::failed("a long value is not in the set's list of big values"));
        }
        self.payload.extend_from_slice(bytes);
        Ok(())
    }
}
