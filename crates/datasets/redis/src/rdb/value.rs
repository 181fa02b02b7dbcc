//! The value of a key, of any type and encoding (`rdbLoadObject` in `src/rdb.c`), told piece by piece in a form that does not depend on the encoding.

use std::io::Read;

use plan::{Error, Result};

use super::absorb::Absorb;
use super::decimal::decimal;
use super::module;
use super::packed::{Packed, intset, listpack, ziplist, zipmap};
use super::source::{Source, Tap};
use super::{Dialect, Format};

/// The longest packed node: the limit of the servers themselves (`SIZE_SAFETY_LIMIT` in `src/ziplist.c`, 1 GiB, and a header). They keep nodes at some
/// kilobytes, but before Redis 7.0 an element of any length is in a node of its own.
const NODE_MAX_BYTES: u64 = (1 << 30) + (4 << 10);

/// What a value is, whatever its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Stream,
    Module,
}

impl Shape {
    /// The shape of an RDB type number; `None` for numbers that this program does not know.
    pub(crate) const fn of(kind: u8, format: Format) -> Option<Self> {
        Some(match kind {
            0 => Self::String,
            1 | 10 | 14 | 18 => Self::List,
            2 | 11 | 20 => Self::Set,
            3 | 5 | 12 | 17 => Self::SortedSet,
            4 | 9 | 13 | 16 | 22 => Self::Hash,
            23..=25 if matches!(format.dialect, Dialect::Redis) => Self::Hash,
            15 | 19 | 21 => Self::Stream,
            26 | 27 if matches!(format.dialect, Dialect::Redis) => Self::Stream,
            7 => Self::Module,
            _ => return None,
        })
    }

    /// As `TYPE` calls it; a module's value by what it is.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Module => "module",
        }
    }

    /// A letter for the canonical form.
    pub(crate) const fn letter(self) -> u8 {
        match self {
            Self::String => b's',
            Self::List => b'l',
            Self::Set => b'S',
            Self::SortedSet => b'z',
            Self::Hash => b'h',
            Self::Stream => b'x',
            Self::Module => b'm',
        }
    }

    /// Whether the order of the elements means nothing.
    pub(crate) const fn is_unordered(self) -> bool {
        matches!(self, Self::Set | Self::SortedSet | Self::Hash)
    }
}

/// Reads the value of a key.
pub(crate) fn value<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, kind: u8, format: Format, absorb: &mut A) -> Result<()> {
    match kind {
        0 => source.string(absorb),
        1 => repeat(source, |source| source.string(absorb)),
        2 => repeat(source, |source| {
            source.string(absorb)?;
            end(absorb, None)
        }),
        3 => repeat(source, |source| {
            source.string(absorb)?;
            let score = text_score(source)?;
            scored(absorb, score)
        }),
        5 => repeat(source, |source| {
            source.string(absorb)?;
            let score = f64::from_le_bytes(source.exact()?);
            scored(absorb, score)
        }),
        4 => repeat(source, |source| {
            source.string(absorb)?;
            source.string(absorb)?;
            end(absorb, None)
        }),
        7 => module::value(source, absorb),
        9..=13 | 16 | 17 | 20 => packed(source, kind, absorb),
        14 => repeat(source, |source| packed(source, 10, absorb)),
        18 => repeat(source, |source| match source.length()? {
            1 => source.string(absorb),
            2 => packed(source, 18, absorb),
            _ => Err(source.damaged("an unknown container of a list")),
        }),
        22 | 24 => expiring_hash(source, kind, format, absorb),
        23 | 25 => {
            if kind == 25 {
                let _earliest: [u8; 8] = source.exact()?;
            }
            packed(source, kind, absorb)
        }
        15 | 19 | 21 | 26 | 27 => stream(source, kind, absorb),
        _ => Err(unknown(kind, format)),
    }
}

/// An error that says that a type is not known.
pub(crate) fn unknown(kind: u8, format: Format) -> Error {
    Error::refused(format!(
        "the server holds a value of RDB type {kind} (RDB version {}), which this program does not know",
        format.version
    ))
    .hint("Use a newer version of threescale-backup, or remove that key: 3scale stores none of this type.")
}

fn repeat<R: Read, T: Tap>(source: &mut Source<R, T>, mut each: impl FnMut(&mut Source<R, T>) -> Result<()>) -> Result<()> {
    let count = source.length()?;
    (0..count).try_for_each(|_| each(source))
}

fn end<A: Absorb>(absorb: &mut A, expires_ms: Option<u64>) -> Result<()> {
    absorb.end_element(expires_ms);
    Ok(())
}

fn scored<A: Absorb>(absorb: &mut A, score: f64) -> Result<()> {
    if A::WANTS {
        absorb.score(score);
        absorb.end_element(None);
    }
    Ok(())
}

/// A score as text, with a length byte whose last values are not-a-number and the infinities.
fn text_score<R: Read, T: Tap>(source: &mut Source<R, T>) -> Result<f64> {
    match source.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        length => {
            let text = (0..length).map(|_| source.byte()).collect::<Result<Vec<u8>>>()?;
            parse_score(&text)
        }
    }
}

fn parse_score(text: &[u8]) -> Result<f64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<f64>().ok());
    parsed.ok_or_else(|| Error::failed("the RDB is damaged: a score that is no number"))
}

fn entry<A: Absorb>(absorb: &mut A, entry: Packed<'_>) -> Result<()> {
    match entry {
        Packed::Bytes(bytes) => absorb.piece(bytes),
        Packed::Number(number) => absorb.piece(decimal(number, &mut [0; 20])),
    }
}

/// A packed node: kind is the RDB type, 18 for a node of a list.
fn packed<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, kind: u8, absorb: &mut A) -> Result<()> {
    if !A::WANTS {
        return source.string(&mut ());
    }
    let mut node = Vec::new();
    source.bytes(NODE_MAX_BYTES, &mut node)?;
    let mut turn = 0u8;
    let mut each = |found: Packed<'_>| match kind {
        10 | 18 => entry(absorb, found),
        11 | 20 => {
            entry(absorb, found)?;
            end(absorb, None)
        }
        12 | 17 if turn == 1 => {
            turn = 0;
            let score = match found {
                // Redis stores only integers here that a double holds exactly.
                Packed::Number(number) => number as f64,
                Packed::Bytes(text) => parse_score(text)?,
            };
            scored(absorb, score)
        }
        23 | 25 if turn == 2 => {
            turn = 0;
            let expires = match found {
                Packed::Number(number) => u64::try_from(number).ok(),
                Packed::Bytes(_) => None,
            };
            let expires = expires.ok_or_else(|| Error::failed("the RDB is damaged: a field expiry that is no time"))?;
            end(absorb, Some(expires).filter(|expires| *expires != 0))
        }
        9 | 13 | 16 if turn == 1 => {
            turn = 0;
            entry(absorb, found)?;
            end(absorb, None)
        }
        _ => {
            turn += 1;
            entry(absorb, found)
        }
    };
    match kind {
        9 => zipmap(&node, &mut each)?,
        10 | 12 | 13 => ziplist(&node, &mut each)?,
        11 => intset(&node, &mut each)?,
        _ => listpack(&node, &mut each)?,
    }
    if turn == 0 { Ok(()) } else { Err(source.damaged("a packed node with half an element")) }
}

/// Hashes whose fields may expire: types 22 and 24 of Redis 7.4, type 22 of Valkey 9.
fn expiring_hash<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, kind: u8, format: Format, absorb: &mut A) -> Result<()> {
    let earliest = if kind == 24 { u64::from_le_bytes(source.exact()?) } else { 0 };
    repeat(source, |source| {
        if format.dialect == Dialect::Valkey {
            source.string(absorb)?;
            source.string(absorb)?;
            // -1: this field does not expire (EXPIRY_NONE in Valkey's src/expire.h).
            let expires = i64::from_le_bytes(source.exact()?);
            return end(absorb, u64::try_from(expires).ok());
        }
        let expires = match (source.length()?, kind) {
            (0, _) => None,
            (relative, 24) => Some(relative.wrapping_add(earliest).wrapping_sub(1)),
            (absolute, _) => Some(absolute),
        };
        source.string(absorb)?;
        source.string(absorb)?;
        end(absorb, expires)
    })
}

/// Streams: types 15, 19, 21 and, from Redis 8.6 on, 26 and 27. Only what all of them keep is told: entries as they are (their nodes have the same
/// form in all), length, last id, groups, consumers, pending entries. First id, counters of what was ever added or read, times of activity and
/// idempotency ids are not: a newer server makes them up when it loads an older type.
fn stream<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, kind: u8, absorb: &mut A) -> Result<()> {
    repeat(source, |source| {
        source.string(absorb)?;
        source.string(absorb)
    })?;
    for _ in 0..3 {
        absorb.number(source.length()?);
    }
    if kind >= 19 {
        for _ in 0..5 {
            source.length()?;
        }
    }
    repeat(source, |source| group(source, kind, absorb))?;
    if kind >= 26 {
        source.length()?;
        source.length()?;
        repeat(source, |source| {
            source.string(&mut ())?;
            repeat(source, |source| {
                source.string(&mut ())?;
                source.length()?;
                source.length().map(drop)
            })
        })?;
        source.length()?;
        source.length()?;
    }
    Ok(())
}

fn group<R: Read, T: Tap, A: Absorb>(source: &mut Source<R, T>, kind: u8, absorb: &mut A) -> Result<()> {
    source.string(absorb)?;
    absorb.number(source.length()?);
    absorb.number(source.length()?);
    if kind >= 19 {
        source.length()?;
    }
    repeat(source, |source| {
        absorb.bytes(&source.exact::<24>()?);
        absorb.number(source.length()?);
        Ok(())
    })?;
    repeat(source, |source| {
        source.string(absorb)?;
        absorb.bytes(&source.exact::<8>()?);
        if kind >= 21 {
            let _active: [u8; 8] = source.exact()?;
        }
        repeat(source, |source| {
            absorb.bytes(&source.exact::<16>()?);
            Ok(())
        })
    })?;
    if kind >= 27 {
        repeat(source, |source| {
            absorb.bytes(&source.exact::<16>()?);
            Ok(())
        })?;
    }
    Ok(())
}
