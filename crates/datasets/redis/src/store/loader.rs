//! Sends keys as `RESTORE … ABSTTL`, pipelined; short strings that do not expire many at once, by `MSET`, and large values in pieces, where that is allowed. Short values are gathered,
//! long ones pass straight to the server: their size is known from the dump. How the server is, is asked in the same pipeline, so that it never waits for it.

use std::collections::VecDeque;
use std::io::Read;

use plan::{Error, Result};

use super::pieces::{self, NegativeZero, Pieces};
use super::strings::{Strings, may_set_many, short_text};
use crate::connection::Connection;
use crate::pass::printable;
use crate::rdb::crc64::crc64;
use crate::rdb::decimal::decimal;
use crate::rdb::source::{NoTap, Source, Tap};
use crate::rdb::value::{Shape, value};
use crate::rdb::walk::KeyHead;
use crate::rdb::{Format, write};
use crate::server::Server;

/// Keys whose replies may be outstanding: some milliseconds of work for the server.
const AHEAD: usize = 10_000;
/// Bytes of the keys whose replies may be outstanding, so that long names are not gathered.
const AHEAD_BYTES: usize = 4 << 20;
/// Pending output that is sent.
const SEND_BYTES: usize = 128 << 10;
/// A value that is not in the list of big ones has at most this many bytes.
const SHORT_MAX_BYTES: usize = 8 << 20;
/// A string, and a list of strings, as every server loads it.
const STRING: u8 = 0;
const LIST: u8 = 1;
/// RDB version and checksum after the value.
const FOOTER_BYTES: u64 = 10;

/// What was sent and not yet answered.
enum Sent {
    Key(Vec<u8>),
    /// So many strings, and the first of them.
    Strings(usize, Vec<u8>),
    /// The question how the server is, behind so many bytes of the set.
    State(u64),
}

/// Loads keys into the selected database of a connection.
pub(crate) struct Loader {
    pub(crate) connection: Connection,
    version: u16,
    head: KeyHead,
    /// Raw bytes still to come of a long value; `None` for a short one.
    long: Option<u64>,
    payload: Vec<u8>,
    crc: u64,
    /// Where many may be set at once.
    strings: Option<Strings>,
    /// From how many elements on a value goes in pieces, where that is allowed.
    pieces_from: Option<u64>,
    waiting: VecDeque<Sent>,
    /// Keys that wait for their reply, and bytes of the names that are held for it.
    keys: usize,
    waiting_bytes: usize,
    asked: bool,
    state: Option<(Server, u64)>,
}

impl Loader {
    /// `pieces_from`: from how many elements on a value goes in pieces.
    pub(crate) fn new(mut connection: Connection, version: u16, pieces_from: u64) -> Result<Self> {
        let strings = may_set_many(&mut connection)?.then(Strings::default);
        let pieces_from = pieces::may(&mut connection)?.then_some(pieces_from);
        Ok(Self {
            connection,
            version,
            head: KeyHead::default(),
            long: None,
            payload: Vec::new(),
            crc: 0,
            strings,
            pieces_from,
            waiting: VecDeque::new(),
            keys: 0,
            waiting_bytes: 0,
            asked: false,
            state: None,
        })
    }

    /// A key; its raw value follows through the tap. `long` is the size of a value that is too long for memory. Gives back the room of the key before.
    pub(crate) fn begin(&mut self, head: KeyHead, long: Option<u64>) -> Result<Vec<u8>> {
        self.payload.clear();
        self.payload.push(head.kind);
        let before = std::mem::replace(&mut self.head, head);
        self.long = long;
        if let Some(raw_bytes) = long {
            self.crc = crc64(0, &self.payload);
            self.command_head();
            self.connection.push_argument_head(1 + raw_bytes + FOOTER_BYTES);
            self.connection.push_raw(&self.payload)?;
        }
        Ok(before.key)
    }

    fn command_head(&mut self) {
        let head = &self.head;
        let options = usize::from(head.expires_ms.is_some()) + 2 * usize::from(head.idle_s.is_some() || head.frequency.is_some());
        self.connection.push_command(5 + options, b"RESTORE");
        self.connection.push_argument(&head.key);
        let expires_ms = i64::try_from(head.expires_ms.unwrap_or(0)).unwrap_or(i64::MAX);
        self.connection.push_argument(decimal(expires_ms, &mut [0; 20]));
    }

    /// The value is whole.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.is_string()? || self.went_in_pieces()? {
            return Ok(());
        }
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
        self.sent(Sent::Key(key))
    }

    /// Takes the key that has just ended for one of those that are set together, if it is such a one.
    fn is_string(&mut self) -> Result<bool> {
        let KeyHead { key, kind: STRING, expires_ms: None, idle_s: None, frequency: None } = &self.head else { return Ok(false) };
        let (Some(strings), None, Some((_, raw))) = (&mut self.strings, self.long, self.payload.split_first()) else { return Ok(false) };
        let mut digits = [0; 20];
        let Some(text) = short_text(raw, &mut digits) else { return Ok(false) };
        strings.add(key, text);
        if strings.is_full() {
            self.send_strings()?;
        }
        Ok(true)
    }

    /// Whether a value is loaded in pieces that is too long for memory.
    pub(crate) fn takes_pieces(&self, head: &KeyHead) -> bool {
        self.pieces_from.is_some() && pieces::is_possible(head, Format::of_version(self.version))
    }

    /// Loads a value in pieces; it is next in the source.
    pub(crate) fn in_pieces<R: Read, T: Tap>(&mut self, source: &mut Source<R, T>, head: &KeyHead) -> Result<()> {
        let format = Format::of_version(self.version);
        let mut pieces = Pieces::begin(self, head, format)?;
        value(source, head.kind, format, &mut pieces)?;
        pieces.end()
    }

    /// A piece has been sent; its reply is read later.
    pub(super) fn sent_piece(&mut self, key: &[u8]) -> Result<()> {
        self.sent(Sent::Key(key.to_vec()))
    }

    /// Sends the key that has just ended in pieces, if it has so many elements.
    fn went_in_pieces(&mut self) -> Result<bool> {
        let (None, Some(from), Some((kind, raw))) = (self.long, self.pieces_from, self.payload.split_first()) else { return Ok(false) };
        if !pieces::pays(*kind, raw, from) || !self.takes_pieces(&self.head) {
            return Ok(false);
        }
        let mut zero = NegativeZero::default();
        if Shape::of(*kind, Format::of_version(self.version)) == Some(Shape::SortedSet) {
            value(&mut Source::new(raw, NoTap), *kind, Format::of_version(self.version), &mut zero)?;
        }
        if zero.0 {
            return Ok(false);
        }
        let (payload, head) = (std::mem::take(&mut self.payload), std::mem::take(&mut self.head));
        self.in_pieces(&mut Source::new(payload.get(1..).unwrap_or_default(), NoTap), &head)?;
        self.payload = payload;
        Ok(true)
    }

    fn send_strings(&mut self) -> Result<()> {
        match self.strings.as_mut().and_then(|strings| strings.push(&mut self.connection)) {
            Some((keys, first)) => self.sent(Sent::Strings(keys, first)),
            None => Ok(()),
        }
    }

    /// Asks how the server is when it has taken all so far, which is `done` bytes of the set.
    pub(crate) fn ask_state(&mut self, done: u64) -> Result<()> {
        self.send_strings()?;
        self.connection.push(&[b"INFO"]);
        self.asked = true;
        self.sent(Sent::State(done))
    }

    /// What it answered; waits for it. `None` where it was not asked.
    pub(crate) fn state(&mut self) -> Result<Option<(Server, u64)>> {
        if self.asked {
            self.connection.flush()?;
        }
        while self.asked {
            self.answer()?;
        }
        Ok(self.state.take())
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
        self.sent(Sent::Key(key.to_vec()))
    }

    fn sent(&mut self, sent: Sent) -> Result<()> {
        self.keys += sent.keys();
        self.waiting_bytes += sent.name().len();
        self.waiting.push_back(sent);
        if self.connection.pending_bytes() >= SEND_BYTES {
            self.connection.flush()?;
        }
        if self.waiting_bytes >= AHEAD_BYTES {
            return self.drain(0);
        }
        if self.keys >= AHEAD { self.drain(AHEAD / 2) } else { Ok(()) }
    }

    /// Waits for all that was begun.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.send_strings()?;
        self.drain(0)
    }

    /// Reads replies until those of so many keys are outstanding.
    fn drain(&mut self, outstanding: usize) -> Result<()> {
        self.connection.flush()?;
        while self.keys > outstanding || outstanding == 0 && !self.waiting.is_empty() {
            self.answer()?;
        }
        Ok(())
    }

    /// Reads one reply.
    fn answer(&mut self) -> Result<()> {
        let Some(sent) = self.waiting.pop_front() else { return Ok(()) };
        self.keys -= sent.keys();
        self.waiting_bytes -= sent.name().len();
        if self.connection.takes_ok() {
            return Ok(());
        }
        let reply =
            self.connection.reply()?.ok().map_err(|error| error.during(format!("{} at {}", sent.words(), self.connection.peer())))?;
        if let Sent::State(done) = sent {
            self.asked = false;
            self.state = Some((Server::parse(&reply.text()), done));
        }
        Ok(())
    }
}

impl Sent {
    const fn keys(&self) -> usize {
        match self {
            Self::Key(_) => 1,
            Self::Strings(keys, _) => *keys,
            Self::State(_) => 0,
        }
    }

    fn name(&self) -> &[u8] {
        match self {
            Self::Key(name) | Self::Strings(_, name) => name,
            Self::State(_) => b"",
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Key(key) => format!("the load of the key {:?}", printable(key)),
            Self::Strings(keys, first) => format!("the load of {keys} keys, the first {:?},", printable(first)),
            Self::State(_) => "INFO".to_owned(),
        }
    }
}

impl Tap for Loader {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
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
