//! Packed nodes of small collections: ziplist, listpack, intset, zipmap (`src/ziplist.c`, `src/listpack.c`, `src/intset.c`, `src/zipmap.c`).
//!
//! Every length is checked against the node: a damaged node is an error, never a panic.

use plan::{Error, Result};

/// An entry: bytes, or an integer that stands for its decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed<'a> {
    Bytes(&'a [u8]),
    Number(i64),
}

/// The rest of a node.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A little-endian integer of three bytes, with its sign.
    fn i24(&mut self) -> Result<i64> {
        let [a, b, c] = self.array()?;
        Ok(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8))
    }
}

fn damaged() -> Error {
    Error::failed("the RDB is damaged: a packed node does not fit its own lengths")
}

fn size(number: u32) -> Result<usize> {
    usize::try_from(number).map_err(|_| damaged())
}

/// The entries of a listpack; also those of a stream's nodes.
pub(crate) fn listpack<'a>(node: &'a [u8], mut each: impl FnMut(Packed<'a>) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor(node);
    if size(u32::from_le_bytes(cursor.array()?))? != node.len() {
        return Err(damaged());
    }
    let _count: [u8; 2] = cursor.array()?;
    loop {
        let before = cursor.0.len();
        let first = cursor.byte()?;
        let entry = match first {
            0xff => break,
            0x00..=0x7f => Packed::Number(first.into()),
            0x80..=0xbf => Packed::Bytes(cursor.take(usize::from(first & 0x3f))?),
            0xc0..=0xdf => {
                let raw = (i64::from(first & 0x1f) << 8) | i64::from(cursor.byte()?);
                Packed::Number(if raw >= 1 << 12 { raw - (1 << 13) } else { raw })
            }
            0xe0..=0xef => {
                let length = (usize::from(first & 0x0f) << 8) | usize::from(cursor.byte()?);
                Packed::Bytes(cursor.take(length)?)
            }
            0xf0 => {
                let length = size(u32::from_le_bytes(cursor.array()?))?;
                Packed::Bytes(cursor.take(length)?)
            }
            0xf1 => Packed::Number(i16::from_le_bytes(cursor.array()?).into()),
            0xf2 => Packed::Number(cursor.i24()?),
            0xf3 => Packed::Number(i32::from_le_bytes(cursor.array()?).into()),
            0xf4 => Packed::Number(i64::from_le_bytes(cursor.array()?)),
            0xf5..=0xfe => return Err(damaged()),
        };
        // The entry's own length follows, in base 128, for walking backwards.
        cursor.take(match before - cursor.0.len() {
            0..=127 => 1,
            128..=16_383 => 2,
            16_384..=2_097_151 => 3,
            2_097_152..=268_435_455 => 4,
            _ => 5,
        })?;
        each(entry)?;
    }
    if cursor.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

/// The entries of a ziplist.
pub(crate) fn ziplist<'a>(node: &'a [u8], mut each: impl FnMut(Packed<'a>) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor(node);
    if size(u32::from_le_bytes(cursor.array()?))? != node.len() {
        return Err(damaged());
    }
    let _tail_and_count: [u8; 6] = cursor.array()?;
    loop {
        match cursor.byte()? {
            0xff => break,
            0xfe => drop(cursor.array::<4>()?),
            _ => {}
        }
        let first = cursor.byte()?;
        each(match first {
            0x00..=0x3f => Packed::Bytes(cursor.take(usize::from(first))?),
            0x40..=0x7f => {
                let length = (usize::from(first & 0x3f) << 8) | usize::from(cursor.byte()?);
                Packed::Bytes(cursor.take(length)?)
            }
            0x80 => {
                let length = size(u32::from_be_bytes(cursor.array()?))?;
                Packed::Bytes(cursor.take(length)?)
            }
            0xc0 => Packed::Number(i16::from_le_bytes(cursor.array()?).into()),
            0xd0 => Packed::Number(i32::from_le_bytes(cursor.array()?).into()),
            0xe0 => Packed::Number(i64::from_le_bytes(cursor.array()?)),
            0xf0 => Packed::Number(cursor.i24()?),
            0xfe => Packed::Number(i8::from_le_bytes(cursor.array()?).into()),
            0xf1..=0xfd => Packed::Number(i64::from(first & 0x0f) - 1),
            _ => return Err(damaged()),
        })?;
    }
    if cursor.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

/// The members of an intset.
pub(crate) fn intset(node: &[u8], mut each: impl FnMut(Packed<'_>) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor(node);
    let width = u32::from_le_bytes(cursor.array()?);
    let count = u32::from_le_bytes(cursor.array()?);
    for _ in 0..count {
        each(Packed::Number(match width {
            2 => i16::from_le_bytes(cursor.array()?).into(),
            4 => i32::from_le_bytes(cursor.array()?).into(),
            8 => i64::from_le_bytes(cursor.array()?),
            _ => return Err(damaged()),
        }))?;
    }
    if cursor.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

/// The fields and values of a zipmap (Redis 2.4 and before), in turns.
pub(crate) fn zipmap<'a>(node: &'a [u8], mut each: impl FnMut(Packed<'a>) -> Result<()>) -> Result<()> {
    let mut cursor = Cursor(node);
    let _count = cursor.byte()?;
    let length = |cursor: &mut Cursor<'a>, first: u8| match first {
        0xfe => size(u32::from_le_bytes(cursor.array()?)),
        0xff => Err(damaged()),
        short => Ok(usize::from(short)),
    };
    loop {
        let first = cursor.byte()?;
        if first == 0xff {
            break;
        }
        let field = length(&mut cursor, first)?;
        each(Packed::Bytes(cursor.take(field)?))?;
        let first = cursor.byte()?;
        let value = length(&mut cursor, first)?;
        let free = usize::from(cursor.byte()?);
        each(Packed::Bytes(cursor.take(value)?))?;
        cursor.take(free)?;
    }
    if cursor.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(walk: impl FnOnce(&mut Vec<String>) -> Result<()>) -> Vec<String> {
        let mut found = Vec::new();
        assert!(walk(&mut found).is_ok());
        found
    }

    fn text(entry: Packed<'_>) -> String {
        match entry {
            Packed::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Packed::Number(number) => number.to_string(),
        }
    }

    fn push(found: &mut Vec<String>, entry: Packed<'_>) -> Result<()> {
        found.push(text(entry));
        Ok(())
    }

    #[test]
    fn a_ziplist_has_integers_of_every_width() {
        let mut node = vec![0; 10];
        let entries: [&[u8]; 8] = [
            b"\x00\x02hi",
            b"\x04\xf1",
            b"\x02\xfd",
            b"\x02\xfe\xff",
            b"\x03\xc0\x00\x80",
            b"\x04\xf0\xff\xff\xff",
            b"\x05\xd0\x01\x00\x00\x80",
            b"\xfe\x06\x00\x00\x00\xe0\xff\xff\xff\xff\xff\xff\xff\x7f",
        ];
        entries.iter().for_each(|entry| node.extend_from_slice(entry));
        node.push(0xff);
        let length = u32::try_from(node.len()).unwrap_or_default().to_le_bytes();
        node.splice(..4, length);
        let found = texts(|found| ziplist(&node, |entry| push(found, entry)));
        assert_eq!(found, ["hi", "0", "12", "-1", "-32768", "-1", "-2147483647", "9223372036854775807"]);
        for cut in 0..node.len() {
            assert!(ziplist(node.get(..cut).unwrap_or_default(), |_| Ok(())).is_err());
        }
    }

    #[test]
    fn a_listpack_has_integers_of_every_width() {
        let mut node = vec![0; 6];
        let entries: [&[u8]; 8] = [
            b"\x7f\x01",
            b"\x82hi\x03",
            b"\xdf\xff\x02",
            b"\xcf\xff\x02",
            b"\xf1\x00\x80\x03",
            b"\xf2\xff\xff\xff\x04",
            b"\xf3\x01\x00\x00\x80\x05",
            b"\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09",
        ];
        entries.iter().for_each(|entry| node.extend_from_slice(entry));
        node.push(0xff);
        let length = u32::try_from(node.len()).unwrap_or_default().to_le_bytes();
        node.splice(..4, length);
        let found = texts(|found| listpack(&node, |entry| push(found, entry)));
        assert_eq!(found, ["127", "hi", "-1", "4095", "-32768", "-1", "-2147483647", "9223372036854775807"]);
        for cut in 0..node.len() {
            assert!(listpack(node.get(..cut).unwrap_or_default(), |_| Ok(())).is_err());
        }
    }

    #[test]
    fn an_intset_and_a_zipmap_are_read() {
        let found = texts(|found| intset(b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0", |entry| push(found, entry)));
        assert_eq!(found, ["-1", "5"]);
        let found = texts(|found| zipmap(b"\x02\x03foo\x03\x00bar\x01k\x02\x03hixxx\xff", |entry| push(found, entry)));
        assert_eq!(found, ["foo", "bar", "k", "hi"]);
    }
}
