//! What two sets have, as records that sort by group and key: sorted outside of memory, and compared in one pass.

use std::cmp::Ordering;

use plan::ports::StopFlag;
use plan::{Error, Result};
use threescale::verify::{Merge, Sorter};

/// What may be in memory of each side.
const HELD_MAX_BYTES: usize = 32 << 20;

/// One side: things with a group, a key that tells them apart in it, and what is compared of them.
pub(super) struct Side(Sorter<'static>);

impl Side {
    /// Keys may be credentials: what is sorted outside of memory is sealed.
    pub(super) fn new() -> Self {
        Self(Sorter::new(&crate::sealed::room, HELD_MAX_BYTES))
    }

    pub(super) fn push(&mut self, group: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        let mut record = Vec::with_capacity(group.len() + key.len() + value.len() + 8);
        put(&mut record, group);
        put(&mut record, key);
        record.extend_from_slice(value);
        self.0.push(&record)
    }
}

/// What became of one thing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Became<'r> {
    Added,
    Removed,
    /// What it was, and what it is.
    Changed(&'r [u8], &'r [u8]),
}

/// Is told group, key and what became of it.
pub(super) type Tell<'a> = &'a mut dyn FnMut(&[u8], &[u8], Became<'_>) -> Result<()>;

/// Tells group and key of all that is not on both sides the same.
pub(super) fn compare(from: Side, to: Side, stop: &StopFlag, tell: Tell<'_>) -> Result<()> {
    let (mut from, mut to) = (Head::first(from.0.sorted()?)?, Head::first(to.0.sorted()?)?);
    loop {
        stop.check()?;
        let order = match (&from.record, &to.record) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.name().cmp(other.name()),
        };
        if let (Ordering::Equal, Some(one), Some(other)) = (order, &from.record, &to.record) {
            if one.value() != other.value() {
                tell(&one.group()?, &one.key()?, Became::Changed(one.value(), other.value()))?;
            }
            from.advance()?;
            to.advance()?;
            continue;
        }
        let (side, became) = if order == Ordering::Less { (&mut from, Became::Removed) } else { (&mut to, Became::Added) };
        if let Some(record) = &side.record {
            tell(&record.group()?, &record.key()?, became)?;
        }
        side.advance()?;
    }
}

struct Head {
    records: Merge,
    record: Option<Record>,
}

impl Head {
    fn first(mut records: Merge) -> Result<Self> {
        let record = records.next_record()?.map(Record::of).transpose()?;
        Ok(Self { records, record })
    }

    fn advance(&mut self) -> Result<()> {
        self.record = self.records.next_record()?.map(Record::of).transpose()?;
        Ok(())
    }
}

struct Record {
    bytes: Box<[u8]>,
    /// Where the key begins, and where the value does.
    key_at: usize,
    value_at: usize,
}

impl Record {
    fn of(bytes: Box<[u8]>) -> Result<Self> {
        let key_at = end(&bytes, 0).ok_or_else(torn)?;
        let value_at = end(&bytes, key_at).ok_or_else(torn)?;
        Ok(Self { bytes, key_at, value_at })
    }

    /// Group and key, by which all is sorted.
    fn name(&self) -> &[u8] {
        self.bytes.get(..self.value_at).unwrap_or_default()
    }

    fn value(&self) -> &[u8] {
        self.bytes.get(self.value_at..).unwrap_or_default()
    }

    fn group(&self) -> Result<Vec<u8>> {
        take(&self.bytes, 0).map(|(group, _)| group).ok_or_else(torn)
    }

    fn key(&self) -> Result<Vec<u8>> {
        take(&self.bytes, self.key_at).map(|(key, _)| key).ok_or_else(torn)
    }
}

fn torn() -> Error {
    Error::failed("what was sorted did not come back as it was: a bug, or a disk that loses bytes")
}

const ESCAPED: [u8; 2] = [0, 0xff];
const ENDS: [u8; 2] = [0, 1];

/// Writes bytes so that what is written sorts as they do, whatever follows.
pub(super) fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            0 => to.extend_from_slice(&ESCAPED),
            other => to.push(*other),
        }
    }
    to.extend_from_slice(&ENDS);
}

/// What was written at a place, and where it ends.
pub(super) fn take(bytes: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let to = end(bytes, at)?;
    let written = bytes.get(at..to - ENDS.len())?;
    let mut taken = Vec::with_capacity(written.len());
    let mut rest = written.iter();
    while let Some(byte) = rest.next() {
        taken.push(*byte);
        if *byte == 0 {
            rest.next()?;
        }
    }
    Some((taken, to))
}

fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        match bytes.get(at..at + 2) {
            Some(pair) if pair == ENDS => return Some(at + 2),
            Some(pair) if pair == ESCAPED => at += 2,
            Some(_) => at += 1,
            None => return None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn compared(from: &[(&[u8], &[u8], &[u8])], to: &[(&[u8], &[u8], &[u8])]) -> Vec<String> {
        let side = |records: &[(&[u8], &[u8], &[u8])]| {
            let mut side = Side::new();
            records.iter().for_each(|(group, key, value)| side.push(group, key, value).unwrap());
            side
        };
        let mut told = Vec::new();
        compare(side(from), side(to), &StopFlag::default(), &mut |group, key, became| {
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            let what = match became {
                Became::Added => "+".to_owned(),
                Became::Removed => "-".to_owned(),
                Became::Changed(was, is) => format!("{}>{}", text(was), text(is)),
            };
            told.push(format!("{} {} {what}", text(group), text(key)));
            Ok(())
        })
        .unwrap();
        told
    }

    #[test]
    fn what_differs_is_told_whatever_bytes_keys_are_of() {
        let from: [(&[u8], &[u8], &[u8]); 6] = [
            (b"g", b"a", b"1"),
            (b"g", b"a\0", b"1"),
            (b"g", b"ab", b"9"),
            (b"h", b"", b"1"),
            (b"g\0", b"x", b"1"),
            (b"g", b"same", b"\0"),
        ];
        let to: [(&[u8], &[u8], &[u8]); 5] =
            [(b"h", b"", b"2"), (b"g", b"same", b"\0"), (b"g", b"a", b"2"), (b"g", b"a\0\x01", b"1"), (b"g", b"ab", b"9")];
        assert_eq!(compared(&from, &to), ["g a 1>2", "g a\\x00 -", "g a\\x00\\x01 +", "g\\x00 x -", "h  1>2"]);
        assert_eq!(compared(&from, &from), Vec::<String>::new());
    }

    #[test]
    fn things_that_are_there_twice_count_twice() {
        let once: [(&[u8], &[u8], &[u8]); 1] = [(b"g", b"k", b"")];
        let twice: [(&[u8], &[u8], &[u8]); 2] = [(b"g", b"k", b""), (b"g", b"k", b"")];
        assert_eq!((compared(&once, &twice), compared(&twice, &once)), (vec!["g k +".to_owned()], vec!["g k -".to_owned()]));
    }
}
