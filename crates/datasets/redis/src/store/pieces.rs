//! Large values on their way to the server in pieces. `RESTORE` makes a value in one go, and nobody else is answered meanwhile; of pieces each takes less than a millisecond. The value
//! is the same, by contents: what a set, a hash or a sorted set holds has no order but that of scores, and a list gets its elements in theirs.
//!
//! Half a value is never taken for a whole one: the database is marked as loading until all of it is loaded, and what is loaded again begins with an empty one. The expiry comes last, so
//! that the key is not gone before it is whole.

use plan::{Error, Result};

use super::loader::Loader;
use crate::connection::{Connection, Reply, argument, is_forbidden};
use crate::rdb::absorb::Absorb;
use crate::rdb::decimal::decimal;
use crate::rdb::value::Shape;
use crate::rdb::walk::KeyHead;
use crate::rdb::{Dialect, Format};
use crate::rights::trial::ANY_KEY;
use crate::store::transaction::command;

/// From so many elements on a value goes in pieces: shorter ones keep the server for some milliseconds.
pub(crate) const FROM_ELEMENTS: u64 = 8192;
/// Bytes of a packed node for each of these elements.
const PACKED_BYTES: u64 = 8;
/// Arguments of one command, at most: 500 members, or fields and values of 250.
const ARGUMENTS: usize = 500;
/// Bytes of one command, but for one string that is longer.
const COMMAND_BYTES: usize = 32 << 10;
/// A string that is longer goes in a command of its own, and is not held.
const HELD_BYTES: u64 = 64 << 10;
/// Bytes of members whose score is -0 that are sent last.
const ZEROS_BYTES: usize = 1 << 20;

/// Whether a value can be made of pieces, and nothing of it is lost: not streams, values of modules, hashes whose fields expire; nor what has a note of its last access, which only
/// `RESTORE` takes.
pub(crate) fn is_possible(head: &KeyHead, format: Format) -> bool {
    let of_fields_that_expire = matches!((head.kind, format.dialect), (22, _) | (23..=25, Dialect::Redis));
    let shape = Shape::of(head.kind, format).filter(|_| !of_fields_that_expire);
    head.idle_s.is_none() && head.frequency.is_none() && shape.is_some_and(|shape| verb(shape).is_some())
}

/// Whether it pays for a value that is not long in bytes; `raw` is what an RDB has of it. `from` is the number of elements from which on it does.
pub(crate) fn pays(kind: u8, raw: &[u8], from: u64) -> bool {
    match kind {
        // The number of elements stands first.
        1..=5 => count(raw).is_some_and(|count| count >= from),
        // In one node, which a server whose limits are lower takes apart.
        9 | 11..=13 | 16 | 17 | 20 => raw.len() as u64 >= from.saturating_mul(PACKED_BYTES),
        // A list is made node by node, and a string in one go.
        _ => false,
    }
}

/// The length at the begin of what an RDB has.
fn count(raw: &[u8]) -> Option<u64> {
    match raw {
        [short @ 0..=0x3f, ..] => Some(u64::from(*short)),
        [high @ 0x40..=0x7f, low, ..] => Some(u64::from(high & 0x3f) << 8 | u64::from(*low)),
        [0x80, rest @ ..] => rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes).into()),
        [0x81, rest @ ..] => rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        _ => None,
    }
}

fn is_negative_zero(score: f64) -> bool {
    score == 0.0 && score.is_sign_negative()
}

/// Whether a sorted set has a score of -0. Where it is at hand it is not made of pieces: the server may keep the first of them in a packed node.
#[derive(Debug, Default)]
pub(crate) struct NegativeZero(pub(crate) bool);

impl Absorb for NegativeZero {
    const WANTS: bool = true;

    fn begin(&mut self, _length: u64) -> Result<()> {
        Ok(())
    }

    fn bytes(&mut self, _bytes: &[u8]) {}

    fn score(&mut self, score: f64) {
        self.0 |= is_negative_zero(score);
    }
}

/// The command that adds to a value of that shape.
const fn verb(shape: Shape) -> Option<&'static [u8]> {
    match shape {
        Shape::String => Some(b"SET"),
        Shape::List => Some(b"RPUSH"),
        Shape::Set => Some(b"SADD"),
        Shape::SortedSet => Some(b"ZADD"),
        Shape::Hash => Some(b"HSET"),
        Shape::Stream | Shape::Module => None,
    }
}

/// Whether the user may load in pieces. A transaction that is discarded says so without effect: a server looks whether a command is allowed before it queues it.
pub(crate) fn may(connection: &mut Connection) -> Result<bool> {
    if connection.ask(&[b"MULTI"])? != Reply::Text("OK".to_owned()) {
        return Ok(false);
    }
    let tried = [
        &["UNLINK", ANY_KEY][..],
        &["SET", ANY_KEY, "x"],
        &["RPUSH", ANY_KEY, "x"],
        &["SADD", ANY_KEY, "x"],
        &["ZADD", ANY_KEY, "1", "x"],
        &["HSET", ANY_KEY, "x", "x"],
        &["PEXPIREAT", ANY_KEY, "1"],
        &["DISCARD"],
    ];
    let replies = connection.together(&tried.map(command))?;
    Ok(!replies.iter().any(|reply| matches!(reply, Reply::Error(text) if is_forbidden(text))))
}

/// Where the string that comes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Into the next command.
    Batch,
    /// It is held until what belongs to it has come: a member for its score, a field for its value.
    Held,
    /// To the server, as it comes.
    Direct,
}

/// Sends a value; see the module. Holds one command, and of a sorted set one member.
pub(crate) struct Pieces<'a> {
    loader: &'a mut Loader,
    shape: Shape,
    verb: &'static [u8],
    head: &'a KeyHead,
    /// Arguments of the next command behind the key, and how many.
    batch: Vec<u8>,
    arguments: usize,
    way: Way,
    /// Bytes of the string that are still to come.
    to_come: u64,
    held: Option<Vec<u8>>,
    /// Members whose score is -0, and their bytes. A small sorted set is kept in a packed node, which has no sign of zero (since Redis 7.0): they come when it is none any more.
    zeros: Vec<Vec<u8>>,
    zeros_bytes: usize,
    /// Whether the string is a field of a hash: its value is next.
    is_field: bool,
    /// A command has gone to the server whose last string is still to come.
    is_open: bool,
    failed: Option<Error>,
}

impl<'a> Pieces<'a> {
    /// Whatever a key of that name has goes first.
    pub(crate) fn begin(loader: &'a mut Loader, head: &'a KeyHead, format: Format) -> Result<Self> {
        let shape = Shape::of(head.kind, format).and_then(|shape| Some((shape, verb(shape)?)));
        let (shape, verb) = shape.ok_or_else(|| Error::failed("a value that cannot be loaded in pieces"))?;
        loader.command(&[b"UNLINK", &head.key], &head.key)?;
        Ok(Self {
            loader,
            shape,
            verb,
            head,
            batch: Vec::with_capacity(COMMAND_BYTES),
            arguments: 0,
            way: Way::Batch,
            to_come: 0,
            held: None,
            zeros: Vec::new(),
            zeros_bytes: 0,
            is_field: false,
            is_open: false,
            failed: None,
        })
    }

    /// The value is whole.
    pub(crate) fn end(mut self) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.to_come > 0 || self.held.is_some() || self.is_open {
            return Err(Error::failed("a value ends within an element"));
        }
        for member in std::mem::take(&mut self.zeros) {
            self.add_member(-0.0, &member)?;
        }
        self.send()?;
        let Some(expires_ms) = self.head.expires_ms else { return Ok(()) };
        let expires_ms = i64::try_from(expires_ms).unwrap_or(i64::MAX);
        self.loader.command(&[b"PEXPIREAT", &self.head.key, decimal(expires_ms, &mut [0; 20])], &self.head.key)
    }

    /// Sends what is gathered.
    fn send(&mut self) -> Result<()> {
        if self.arguments == 0 {
            return Ok(());
        }
        self.loader.connection.push_command(2 + self.arguments, self.verb);
        self.loader.connection.push_argument(&self.head.key);
        self.loader.connection.push_raw(&self.batch)?;
        self.batch.clear();
        self.arguments = 0;
        self.loader.sent_piece(&self.head.key)
    }

    fn send_when_full(&mut self) -> Result<()> {
        let is_full = self.arguments >= ARGUMENTS || self.batch.len() >= COMMAND_BYTES;
        if is_full { self.send() } else { Ok(()) }
    }

    fn add(&mut self, text: &[u8]) {
        argument(&mut self.batch, text);
        self.arguments += 1;
    }

    /// Begins a command of its own for a string that is long, or whose field is.
    fn open(&mut self) -> Result<()> {
        if !self.is_open {
            self.send()?;
            let words = if self.shape == Shape::Hash { 4 } else { 3 };
            self.loader.connection.push_command(words, self.verb);
            self.loader.connection.push_argument(&self.head.key);
            self.is_open = true;
        }
        if let Some(field) = self.held.take() {
            self.loader.connection.push_argument(&field);
        }
        Ok(())
    }

    /// Where a string of so many bytes goes.
    const fn way_of(&self, length: u64) -> Way {
        match self.shape {
            Shape::SortedSet => Way::Held,
            Shape::String => Way::Direct,
            _ if length > HELD_BYTES || self.is_open => Way::Direct,
            _ if self.is_field => Way::Held,
            _ => Way::Batch,
        }
    }

    fn string_begins(&mut self, length: u64) -> Result<()> {
        self.is_field = self.shape == Shape::Hash && !self.is_field;
        (self.way, self.to_come) = (self.way_of(length), length);
        match self.way {
            Way::Held => self.held = Some(Vec::with_capacity(usize::try_from(length.min(HELD_BYTES)).unwrap_or_default())),
            Way::Batch => {
                if let Some(field) = self.held.take() {
                    self.add(&field);
                }
                self.batch.extend_from_slice(format!("${length}\r\n").as_bytes());
                self.arguments += 1;
            }
            Way::Direct => {
                self.open()?;
                self.loader.connection.push_argument_head(length);
            }
        }
        if length == 0 { self.string_ends() } else { Ok(()) }
    }

    fn string_ends(&mut self) -> Result<()> {
        match self.way {
            Way::Held => Ok(()),
            Way::Batch => {
                self.batch.extend_from_slice(b"\r\n");
                self.send_when_full()
            }
            Way::Direct => {
                self.loader.connection.push_raw(b"\r\n")?;
                if self.is_field {
                    return Ok(());
                }
                self.is_open = false;
                self.loader.sent_piece(&self.head.key)
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let left = self.to_come.checked_sub(bytes.len() as u64);
        self.to_come = left.ok_or_else(|| Error::failed("a string is longer than it says"))?;
        match (self.way, &mut self.held) {
            (Way::Held, Some(held)) => held.extend_from_slice(bytes),
            (Way::Held, None) => return Err(Error::failed("a string that nobody holds")),
            (Way::Batch, _) => self.batch.extend_from_slice(bytes),
            (Way::Direct, _) => self.loader.connection.push_raw(bytes)?,
        }
        if self.to_come == 0 { self.string_ends() } else { Ok(()) }
    }

    /// A member has its score.
    fn scored(&mut self, score: f64) -> Result<()> {
        let member = self.held.take().ok_or_else(|| Error::failed("a score without a member"))?;
        if is_negative_zero(score) && self.zeros_bytes + member.len() < ZEROS_BYTES {
            self.zeros_bytes += member.len() + std::mem::size_of::<Vec<u8>>();
            self.zeros.push(member);
            return Ok(());
        }
        self.add_member(score, &member)
    }

    /// A score is written with as many digits as tell it from all others.
    fn add_member(&mut self, score: f64, member: &[u8]) -> Result<()> {
        self.add(format!("{score:e}").as_bytes());
        self.add(member);
        self.send_when_full()
    }

    /// What follows an error is not sent.
    fn note(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) {
        if self.failed.is_none() {
            self.failed = act(self).err();
        }
    }
}

impl Absorb for Pieces<'_> {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.string_begins(length)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.note(|pieces| pieces.take(bytes));
        }
    }

    fn score(&mut self, score: f64) {
        self.note(|pieces| pieces.scored(score));
    }
}
