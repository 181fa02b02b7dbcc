//! A small client of Redis' protocol (RESP2): single calls, and pipelines whose answers are only checked for errors.
//!
//! On purpose not the product's own: what the lab finds must not share its mistakes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use plan::error::During;
use plan::{Error, Result};

use crate::Redis;

const FLUSH_BYTES: usize = 64 << 10;
/// So few that the server's answers always fit into socket buffers while we write.
const UNREAD_ANSWERS: u64 = 1000;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Nil,
    Text(Vec<u8>),
    Number(i64),
    List(Vec<Answer>),
}

impl Answer {
    /// Text as it is, numbers as text, nothing otherwise.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Nil | Self::List(_) => String::new(),
        }
    }

    pub(crate) fn list(self) -> Vec<Self> {
        if let Self::List(items) = self { items } else { Vec::new() }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        if let Self::Text(bytes) = self { bytes } else { Vec::new() }
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection to one logical database.
pub(crate) struct Link {
    stream: BufReader<Box<dyn Stream>>,
    out: Vec<u8>,
    unread: u64,
}

impl Link {
    /// Through the server's socket, without a limit of time.
    pub(crate) fn open(server: &Redis, db: u32) -> Result<Self> {
        let socket = UnixStream::connect(server.socket()).during(|| "connect to the lab's Redis".to_owned())?;
        Self::log_in(Box::new(socket), Some(server.password()), db)
    }

    /// By address, as a process of 3scale would; no call takes longer than the limit.
    pub(crate) fn connect(port: u16, password: Option<&str>, db: u32, limit: Duration) -> Result<Self> {
        let attempt = || {
            let socket = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), limit)?;
            socket.set_read_timeout(Some(limit))?;
            socket.set_write_timeout(Some(limit))?;
            socket.set_nodelay(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        Self::log_in(Box::new(attempt().during(|| "connect to the lab's Redis".to_owned())?), password, db)
    }

    fn log_in(stream: Box<dyn Stream>, password: Option<&str>, db: u32) -> Result<Self> {
        let mut link = Self { stream: BufReader::with_capacity(64 << 10, stream), out: Vec::new(), unread: 0 };
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            link.call(&["AUTH", password])?;
        }
        link.call(&["SELECT", &db.to_string()])?;
        Ok(link)
    }

    /// One command, its answer awaited.
    pub(crate) fn call<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Result<Answer> {
        self.finish()?;
        self.write(words);
        self.flush()?;
        self.read()
    }

    /// One command of a pipeline.
    pub(crate) fn push<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Result<()> {
        self.write(words);
        self.unread += 1;
        if self.out.len() > FLUSH_BYTES || self.unread >= UNREAD_ANSWERS {
            self.finish()?;
        }
        Ok(())
    }

    /// One command for each key, all answers awaited.
    pub(crate) fn each(&mut self, command: &[&[u8]], keys: &[Vec<u8>]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(500) {
            for key in chunk {
                self.write(&command.iter().copied().chain([key.as_slice()]).collect::<Vec<_>>());
            }
            self.flush()?;
            for _ in chunk {
                answers.push(self.read()?);
            }
        }
        Ok(answers)
    }

    /// The end of a pipeline: every answer is there, and none is an error.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.flush()?;
        while self.unread > 0 {
            self.unread -= 1;
            self.read()?;
        }
        Ok(())
    }

    fn write<T: AsRef<[u8]>>(&mut self, words: &[T]) {
        self.out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words.iter().map(AsRef::as_ref) {
            self.out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.out.extend_from_slice(word);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.out).during(|| "write to Redis".to_owned())?;
        self.out.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<Answer> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).during(|| "read from Redis".to_owned())?;
        let text = line.strip_suffix(b"\r\n").ok_or_else(|| Error::failed("Redis closed the connection"))?;
        let (kind, rest) = text.split_first().ok_or_else(|| Error::failed("empty answer of Redis"))?;
        let rest = String::from_utf8_lossy(rest);
        let number = || rest.parse::<i64>().during(|| "read a number of Redis".to_owned());
        match kind {
            b'+' => Ok(Answer::Text(rest.as_bytes().to_vec())),
            b'-' => Err(Error::failed(format!("Redis says {rest}"))),
            b':' => Ok(Answer::Number(number()?)),
            b'$' => self.read_text(number()?),
            b'*' => (0..number()?).map(|_| self.read()).collect::<Result<_>>().map(Answer::List),
            _ => Err(Error::failed("answer of Redis that is not understood")),
        }
    }

    fn read_text(&mut self, length: i64) -> Result<Answer> {
        let Ok(length) = usize::try_from(length) else { return Ok(Answer::Nil) };
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).during(|| "read from Redis".to_owned())?;
        bytes.truncate(length);
        Ok(Answer::Text(bytes))
    }
}
