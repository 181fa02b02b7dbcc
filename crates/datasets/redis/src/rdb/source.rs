//! Bytes of an RDB, buffered, checksummed, and handed to a tap as they pass.

use std::io::Read;

use plan::{Error, Result};

use super::absorb::Absorb;
use super::crc64::crc64;
use super::decimal::decimal;

/// How much is read at a time.
const BUFFER_BYTES: usize = 128 << 10;
/// How far back a compressed string refers (`src/lzf_d.c`: 13 bits).
const LZF_WINDOW: usize = 1 << 13;

/// Takes raw bytes as they pass, when the source is told to.
pub(crate) trait Tap {
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Takes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoTap;

impl Tap for NoTap {
    fn take(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A length as encoded in an RDB, or the number of a special encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Plain(u64),
    Special(u8),
}

/// The source.
pub(crate) struct Source<R, T> {
    reader: R,
    /// Gets the bytes between [`Source::tap_on`] and [`Source::tap_off`].
    pub(crate) tap: T,
    tapping: bool,
    buffer: Vec<u8>,
    position: usize,
    end: usize,
    /// Up to here bytes are with the tap.
    settled: usize,
    /// Up to here bytes are in the checksum: it is made of many at once, which is quicker than key by key.
    summed: usize,
    crc: u64,
    /// Bytes before the buffer.
    before: u64,
    /// For values that come compressed.
    inflated: Vec<u8>,
}

impl<R: Read, T: Tap> Source<R, T> {
    pub(crate) fn new(reader: R, tap: T) -> Self {
        Self::with_buffer(reader, tap, vec![0; BUFFER_BYTES])
    }

    /// With a buffer that was used before (see [`Source::into_parts`]).
    pub(crate) fn with_buffer(reader: R, tap: T, buffer: Vec<u8>) -> Self {
        Self { reader, tap, tapping: false, buffer, position: 0, end: 0, settled: 0, summed: 0, crc: 0, before: 0, inflated: Vec::new() }
    }

    /// Reader, tap and buffer again. What is buffered is lost.
    pub(crate) fn into_parts(self) -> (R, T, Vec<u8>) {
        (self.reader, self.tap, self.buffer)
    }

    /// Bytes passed so far.
    pub(crate) const fn offset(&self) -> u64 {
        self.before + self.position as u64
    }

    pub(crate) fn tap_on(&mut self) -> Result<()> {
        self.settle()?;
        self.tapping = true;
        Ok(())
    }

    pub(crate) fn tap_off(&mut self) -> Result<()> {
        self.settle()?;
        self.tapping = false;
        Ok(())
    }

    /// Checksum of all bytes so far.
    pub(crate) fn crc(&mut self) -> Result<u64> {
        self.settle()?;
        self.sum();
        Ok(self.crc)
    }

    fn sum(&mut self) {
        self.crc = crc64(self.crc, self.buffer.get(self.summed..self.position).unwrap_or_default());
        self.summed = self.position;
    }

    fn settle(&mut self) -> Result<()> {
        let passed = self.buffer.get(self.settled..self.position).unwrap_or_default();
        if self.tapping && !passed.is_empty() {
            self.tap.take(passed)?;
        }
        self.settled = self.position;
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.settle()?;
        self.sum();
        self.before += self.end as u64;
        (self.position, self.end, self.settled, self.summed) = (0, 0, 0, 0);
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(0) => {
                    let what = format!("the RDB ends in the middle, after {} bytes", self.before);
                    return Err(Error::transient(what).hint("The server or the connection broke off; the same call may work later."));
                }
                Ok(count) => {
                    self.end = count;
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(from_io(error)),
            }
        }
    }

    /// That there is nothing more.
    pub(crate) fn at_end(&mut self) -> Result<()> {
        let mut one = [0u8];
        if self.position < self.end || self.reader.read(&mut one).map_err(from_io)? != 0 {
            return Err(Error::failed("there are bytes after the end of the RDB"));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8> {
        if self.position == self.end {
            self.fill()?;
        }
        let byte = self.buffer.get(self.position).copied().unwrap_or_default();
        self.position += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn exact<const N: usize>(&mut self) -> Result<[u8; N]> {
        if let Some(bytes) = self.buffer.get(self.position..self.end).and_then(|bytes| bytes.first_chunk::<N>()) {
            self.position += N;
            return Ok(*bytes);
        }
        let mut bytes = [0u8; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// At least one (unless none is wanted) and at most so many bytes.
    #[inline]
    pub(crate) fn chunk(&mut self, most: u64) -> Result<&[u8]> {
        if self.position == self.end && most > 0 {
            self.fill()?;
        }
        let from = self.position;
        let count = (self.end - from).min(usize::try_from(most).unwrap_or(usize::MAX));
        self.position += count;
        Ok(self.buffer.get(from..self.position).unwrap_or_default())
    }

    pub(crate) fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            count -= self.chunk(count)?.len() as u64;
        }
        Ok(())
    }

    pub(crate) fn length_or_special(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3f);
        Ok(Length::Plain(match (first >> 6, first) {
            (0, _) => low,
            (1, _) => (low << 8) | u64::from(self.byte()?),
            (2, 0x80) => u64::from(u32::from_be_bytes(self.exact()?)),
            (2, 0x81) => u64::from_be_bytes(self.exact()?),
            (3, _) => return Ok(Length::Special(first & 0x3f)),
            _ => return Err(self.damaged("a length that is none")),
        }))
    }

    pub(crate) fn length(&mut self) -> Result<u64> {
        match self.length_or_special()? {
            Length::Plain(length) => Ok(length),
            Length::Special(_) => Err(self.damaged("a special encoding where a length must be")),
        }
    }

    /// A string: told to `absorb` as one piece, or skipped when it wants nothing.
    pub(crate) fn string<A: Absorb>(&mut self, absorb: &mut A) -> Result<()> {
        match self.length_or_special()? {
            Length::Plain(length) if A::WANTS => {
                absorb.begin(length)?;
                let mut left = length;
                while left > 0 {
                    let chunk = self.chunk(left)?;
                    left -= chunk.len() as u64;
                    absorb.bytes(chunk);
                }
                Ok(())
            }
            Length::Plain(length) => self.skip(length),
            Length::Special(0) => self.exact().map(i8::from_le_bytes).and_then(|number| integer(absorb, number.into())),
            Length::Special(1) => self.exact().map(i16::from_le_bytes).and_then(|number| integer(absorb, number.into())),
            Length::Special(2) => self.exact().map(i32::from_le_bytes).and_then(|number| integer(absorb, number.into())),
            Length::Special(3) => {
                let (packed, length) = (self.length()?, self.length()?);
                if A::WANTS { self.inflate(packed, length, absorb) } else { self.skip(packed) }
            }
            Length::Special(_) => Err(self.damaged("an unknown encoding of a string")),
        }
    }

    /// A string as bytes, no longer than a limit.
    pub(crate) fn bytes(&mut self, limit: u64, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        self.string(&mut Collect { into, limit })
    }

    /// LZF (`src/lzf_d.c`) as a stream: only the window to which it may refer is kept.
    fn inflate<A: Absorb>(&mut self, packed: u64, length: u64, absorb: &mut A) -> Result<()> {
        absorb.begin(length)?;
        let end = self.offset() + packed;
        let mut window = std::mem::take(&mut self.inflated);
        window.clear();
        let (mut told, mut total) = (0, 0u64);
        while self.offset() < end {
            let control = self.byte()?;
            let before = window.len();
            if control < 32 {
                let mut left = u64::from(control) + 1;
                while left > 0 {
                    let chunk = self.chunk(left)?;
                    left -= chunk.len() as u64;
                    window.extend_from_slice(chunk);
                }
            } else {
                let mut run = usize::from(control >> 5);
                if run == 7 {
                    run += usize::from(self.byte()?);
                }
                let back = (usize::from(control & 31) << 8) + usize::from(self.byte()?) + 1;
                let from = before.checked_sub(back).ok_or_else(|| self.damaged("a compressed string that refers to before its begin"))?;
                for at in from..from + run + 2 {
                    window.push(window.get(at).copied().unwrap_or_default());
                }
            }
            total += (window.len() - before) as u64;
            if total > length {
                break;
            }
            if window.len() >= 8 * LZF_WINDOW {
                absorb.bytes(window.get(told..).unwrap_or_default());
                window.drain(..window.len() - LZF_WINDOW);
                told = LZF_WINDOW;
            }
        }
        if total != length || self.offset() != end {
            return Err(self.damaged("a compressed string of a wrong length"));
        }
        absorb.bytes(window.get(told..).unwrap_or_default());
        self.inflated = window;
        Ok(())
    }

    /// An error that names the place.
    pub(crate) fn damaged(&self, what: &str) -> Error {
        Error::failed(format!("the RDB is damaged: {what}, at byte {}", self.offset()))
    }
}

fn integer<A: Absorb>(absorb: &mut A, number: i64) -> Result<()> {
    if A::WANTS { absorb.piece(decimal(number, &mut [0; 20])) } else { Ok(()) }
}

/// The [`plan::Error`] inside, or a broken stream.
pub(crate) fn from_io(error: std::io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| Error::transient("the RDB cannot be read").because(error))
}

struct Collect<'a> {
    into: &'a mut Vec<u8>,
    limit: u64,
}

impl Absorb for Collect<'_> {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        if length > self.limit {
            return Err(Error::failed(format!(
                "the RDB holds a key or a packed node of {length} bytes, more than {} are not supported",
                self.limit
            )));
        }
        self.into.reserve(usize::try_from(length.min(1 << 20)).unwrap_or_default());
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.into.extend_from_slice(bytes);
    }
}
