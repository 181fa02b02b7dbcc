//! A connection to a server: commands, pipelines, and the raw bytes that replication needs.
//!
//! Own client, because no crate speaks PSYNC, and because dumps and payloads must pass as streams. It is synchronous, holds one buffer each
//! way, looks at the stop flag twice a second, and never waits longer than its idle limit for a byte.

mod handshake;
mod open;
mod reply;
mod sentinel;
mod together;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Class, Error, Result};

pub(crate) use reply::{Reply, is_forbidden, refusal};

use crate::rdb::decimal::decimal;

/// Input buffer, and the size at which pending output is sent.
const BUFFER_BYTES: usize = 256 << 10;
/// The longest reply that is held in memory: the longest key that a server takes. Values are read as streams.
const REPLY_MAX_BYTES: u64 = 512 << 20;
/// The longest line of a reply.
const LINE_MAX_BYTES: usize = 64 << 10;
/// Who wants so many bytes at once gets them without a copy in between.
const AT_ONCE_BYTES: usize = 64 << 10;

/// How long things may take, and who may stop them.
#[derive(Clone)]
pub(crate) struct Limits {
    /// For the TCP connection.
    pub(crate) connect: Duration,
    /// Without a single byte from, or accepted by, the server.
    pub(crate) idle: Duration,
    /// Any of them ends the work.
    pub(crate) stops: Vec<StopFlag>,
    /// For tests of crashes: how many commands may still be sent.
    pub(crate) crash: Option<Crash>,
    /// For the connections of tests: commands that this program never sends.
    #[cfg(test)]
    pub(crate) any_command: bool,
}

/// Pretends that the program dies around its n-th command.
#[derive(Clone)]
pub(crate) struct Crash {
    pub(crate) commands_left: Arc<AtomicI64>,
    /// Whether the fatal command still reaches the server, only its reply does not come back.
    pub(crate) after_sending: bool,
}

/// A connection.
pub(crate) struct Connection {
    stream: open::Stream,
    peer: String,
    limits: Limits,
    input: Box<[u8]>,
    position: usize,
    end: usize,
    output: Vec<u8>,
    /// Set by any failure: nothing read later could be told from an earlier reply.
    broken: bool,
    /// A command that the list of rights does not have: nothing is sent any more.
    unlisted: Option<String>,
    /// Whom plain text was sent to, until the first answer.
    unanswered: Option<handshake::Asked>,
}

impl Connection {
    fn over(stream: open::Stream, peer: String, limits: Limits) -> Self {
        let input = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self {
            stream,
            peer,
            limits,
            input,
            position: 0,
            end: 0,
            output: Vec::with_capacity(BUFFER_BYTES),
            broken: false,
            unlisted: None,
            unanswered: None,
        }
    }

    /// The server, without secrets.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Sends one command and waits for its reply; a refusal is an error.
    pub(crate) fn call(&mut self, arguments: &[&[u8]]) -> Result<Reply> {
        let name = arguments.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        self.ask(arguments)?.ok().map_err(|error| error.during(format!("{name} at {}", self.peer)))
    }

    /// Sends one command and waits for its reply; a refusal is a reply like any other.
    pub(crate) fn ask(&mut self, arguments: &[&[u8]]) -> Result<Reply> {
        let dies = self.dies();
        if dies == Some(false) {
            return Err(Error::transient("pretended crash before a command"));
        }
        self.push(arguments);
        let answer = self.flush().and_then(|()| self.reply());
        let asked = self.unanswered.take();
        let reply = answer.map_err(|error| match asked {
            Some(asked) if error.class() != Class::Interrupted => asked.explain(&self.peer, error),
            _ => error,
        })?;
        if dies.is_some() { Err(Error::transient("pretended crash after a command")) } else { Ok(reply) }
    }

    /// For tests of crashes: whether now, and whether what is sent still arrives.
    fn dies(&self) -> Option<bool> {
        let crash = self.limits.crash.as_ref()?;
        (crash.commands_left.fetch_sub(1, Ordering::SeqCst) <= 0).then_some(crash.after_sending)
    }

    /// Selects a logical database.
    pub(crate) fn select(&mut self, database: u32) -> Result<()> {
        match self.ask(&[b"SELECT", database.to_string().as_bytes()])? {
            Reply::Error(text) => Err(reply::no_database(database, &self.peer, &text)),
            _ => Ok(()),
        }
    }

    /// Adds a command to the pending output. A command that is not in the list of rights ([`crate::rights`]) is never sent.
    pub(crate) fn push(&mut self, arguments: &[&[u8]]) {
        let name = arguments.first().copied().unwrap_or_default();
        if !self.may_send(name, arguments.get(1).copied()) {
            self.unlisted.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        }
        push_number(&mut self.output, b'*', arguments.len());
        arguments.iter().for_each(|argument| self.push_argument(argument));
    }

    /// Begins a command of that many words with this one, which is in the list of rights; the others follow by [`Connection::push_argument`].
    pub(crate) fn push_command(&mut self, words: usize, verb: &'static [u8]) {
        push_number(&mut self.output, b'*', words);
        self.push_argument(verb);
    }

    /// Adds an `MSET` of so many keys; `pairs` holds them and their values, each as an [`argument`].
    pub(crate) fn push_mset(&mut self, keys: usize, pairs: &[u8]) {
        push_number(&mut self.output, b'*', 1 + 2 * keys);
        self.push_argument(b"MSET");
        self.output.extend_from_slice(pairs);
    }

    fn may_send(&self, name: &[u8], second: Option<&[u8]>) -> bool {
        #[cfg(test)]
        if self.limits.any_command {
            return true;
        }
        crate::rights::is_listed(name, second)
    }

    /// Adds one argument.
    pub(crate) fn push_argument(&mut self, bytes: &[u8]) {
        argument(&mut self.output, bytes);
    }

    /// Begins an argument of that many bytes, whose bytes and line end follow by [`Connection::push_raw`].
    pub(crate) fn push_argument_head(&mut self, bytes: u64) {
        push_number(&mut self.output, b'$', usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Adds bytes as they are; sends when enough is pending.
    pub(crate) fn push_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// How many bytes wait to be sent.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.output.len()
    }

    /// Sends what is pending.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.usable()?;
        let mut sent = 0;
        let mut since = Instant::now();
        while sent < self.output.len() {
            let outcome = self.stream.write(self.output.get(sent..).unwrap_or_default());
            match outcome {
                Ok(0) => return Err(self.lost(io::ErrorKind::WriteZero.into())),
                Ok(count) => (sent, since) = (sent + count, Instant::now()),
                Err(error) => self.wait_on(error, since)?,
            }
        }
        self.output.clear();
        if self.output.capacity() > 4 * BUFFER_BYTES {
            self.output.shrink_to(BUFFER_BYTES);
        }
        since = Instant::now();
        loop {
            match self.stream.flush() {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_on(error, since)?,
            }
        }
    }

    /// Whether the next reply is `OK`, which is taken then. What has not come yet is nothing.
    pub(crate) fn takes_ok(&mut self) -> bool {
        const OK: &[u8] = b"+OK\r\n";
        let is_ok = self.input.get(self.position..self.end).is_some_and(|input| input.starts_with(OK));
        self.position += if is_ok { OK.len() } else { 0 };
        is_ok
    }

    /// Reads one reply.
    pub(crate) fn reply(&mut self) -> Result<Reply> {
        self.reply_at(0)
    }

    fn reply_at(&mut self, depth: usize) -> Result<Reply> {
        let line = self.line()?;
        let text = || String::from_utf8_lossy(line.get(1..).unwrap_or_default()).into_owned();
        let number = || text().parse::<i64>().map_err(|_| Error::failed(format!("{} sent a reply that is no RESP", self.peer)));
        match line.first() {
            Some(b'+') => Ok(Reply::Text(text())),
            Some(b'-') => Ok(Reply::Error(text())),
            Some(b':') => Ok(Reply::Number(number()?)),
            Some(b'$') => match u64::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(length) if length > REPLY_MAX_BYTES => Err(self.garbled("a reply that is too long")),
                Ok(length) => self.bulk(length).map(Reply::Bytes),
            },
            Some(b'*') => match u64::try_from(number()?) {
                Err(_) => Ok(Reply::Nil),
                Ok(_) if depth > 8 => Err(self.garbled("a reply that is nested too deep")),
                Ok(count) => (0..count).map(|_| self.reply_at(depth + 1)).collect::<Result<_>>().map(Reply::List),
            },
            _ => Err(self.garbled("a reply that is no RESP")),
        }
    }

    /// Reads the head of a bulk reply: its length, or the other reply that came instead.
    pub(crate) fn bulk_head(&mut self) -> Result<std::result::Result<u64, Reply>> {
        let line = self.line()?;
        let text = String::from_utf8_lossy(line.get(1..).unwrap_or_default()).into_owned();
        match (line.first(), text.parse::<i64>().map(u64::try_from)) {
            (Some(b'$'), Ok(Ok(length))) => Ok(Ok(length)),
            (Some(b'$'), Ok(Err(_))) => Ok(Err(Reply::Nil)),
            (Some(b'-'), _) => Ok(Err(Reply::Error(text))),
            _ => Err(self.garbled("something else than a bulk reply")),
        }
    }

    fn bulk(&mut self, length: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|error| Error::failed("failed to read a reply").because(error))?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let wanted = length - bytes.len();
            let chunk = self.chunk(wanted)?;
            bytes.extend_from_slice(chunk);
        }
        self.end_of_bulk()?;
        Ok(bytes)
    }

    /// Reads the line end after the bytes of a bulk reply.
    pub(crate) fn end_of_bulk(&mut self) -> Result<()> {
        if self.byte()? == b'\r' && self.byte()? == b'\n' { Ok(()) } else { Err(self.garbled("a bulk reply without its end")) }
    }

    /// Reads a line, without its end.
    pub(crate) fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::with_capacity(64);
        loop {
            if self.position == self.end {
                self.fill()?;
            }
            let input = self.input.get(self.position..self.end).unwrap_or_default();
            let end = input.iter().position(|byte| *byte == b'\n');
            let taken = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
            line.extend_from_slice(taken);
            self.position += taken.len() + usize::from(end.is_some());
            if line.len() > LINE_MAX_BYTES {
                return Err(self.garbled("a line that does not end"));
            }
            if end.is_some() {
                line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
        }
    }

    fn byte(&mut self) -> Result<u8> {
        self.chunk(1).map(|chunk| chunk.first().copied().unwrap_or_default())
    }

    /// At least one and at most so many bytes of input.
    fn chunk(&mut self, most: usize) -> Result<&[u8]> {
        if self.position == self.end {
            self.fill()?;
        }
        let from = self.position;
        self.position = self.end.min(from + most);
        Ok(self.input.get(from..self.position).unwrap_or_default())
    }

    fn fill(&mut self) -> Result<()> {
        let mut input = std::mem::take(&mut self.input);
        let count = self.receive(&mut input);
        self.input = input;
        (self.position, self.end) = (0, count?);
        Ok(())
    }

    /// At least one byte of what the server sends.
    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        self.usable()?;
        let since = Instant::now();
        loop {
            match self.stream.read(into) {
                Ok(0) => return Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => return Ok(count),
                Err(error) => self.wait_on(error, since)?,
            }
        }
    }

    /// After an I/O error: fine to try again, or the end.
    fn wait_on(&mut self, error: io::Error, since: Instant) -> Result<()> {
        if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) {
            return Err(self.lost(error));
        }
        if let Err(stopped) = self.limits.stops.iter().try_for_each(StopFlag::check) {
            self.broken = true;
            return Err(stopped);
        }
        if since.elapsed() < self.limits.idle {
            return Ok(());
        }
        self.broken = true;
        Err(Error::transient(format!("{} has been silent for {} s", self.peer, self.limits.idle.as_secs())))
    }

    fn usable(&self) -> Result<()> {
        if let Some(name) = &self.unlisted {
            return Err(Error::failed(format!("{name} is not in the list of commands: it was not sent to {}", self.peer)));
        }
        if self.broken { Err(Error::transient(format!("the connection to {} is broken", self.peer))) } else { Ok(()) }
    }

    fn lost(&mut self, error: io::Error) -> Error {
        self.broken = true;
        tls::of(&error, format!("TLS with {} failed", self.peer)).unwrap_or_else(|| {
            Error::transient(format!("the connection to {} broke", self.peer))
                .because(error)
                .hint("The server may have been restarted; the same call may work later.")
        })
    }

    fn garbled(&mut self, what: &str) -> Error {
        self.broken = true;
        Error::failed(format!("{} sent {what}", self.peer))
    }
}

/// Raw input, for replication and for values. Errors are [`plan::Error`] inside.
impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.position == self.end && buffer.len() >= AT_ONCE_BYTES {
            return self.receive(buffer).map_err(io::Error::other);
        }
        let chunk = self.chunk(buffer.len()).map_err(io::Error::other)?;
        if let Some(target) = buffer.get_mut(..chunk.len()) {
            target.copy_from_slice(chunk);
        }
        Ok(chunk.len())
    }
}

/// One argument of a command.
pub(crate) fn argument(output: &mut Vec<u8>, bytes: &[u8]) {
    push_number(output, b'$', bytes.len());
    output.extend_from_slice(bytes);
    output.extend_from_slice(b"\r\n");
}

fn push_number(output: &mut Vec<u8>, mark: u8, number: usize) {
    output.push(mark);
    output.extend_from_slice(decimal(i64::try_from(number).unwrap_or(i64::MAX), &mut [0; 20]));
    output.extend_from_slice(b"\r\n");
}
