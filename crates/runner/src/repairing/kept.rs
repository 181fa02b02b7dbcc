//! Keys that are to be set right, as they are kept in the repository: records of some MiB, with the changes and what the keys had. The repository encrypts them; nothing of them is
//! in the journal.

use plan::ids::RunId;
use plan::ports::{KeyChange, KeyRepair, KeyValue, Repository};
use plan::{Error, Result};

/// The name of each record; its kind tells run and part.
const NAME: &str = "keys";
/// A part is written when it has so many bytes. It may have one key more.
const PART_BYTES: usize = 8 << 20;

fn kind(run: &RunId, part: u32) -> String {
    format!("repair:{run}:{part:06}")
}

/// Writes parts.
pub(super) struct Keeping<'a> {
    repository: &'a dyn Repository,
    run: &'a RunId,
    bytes: Vec<u8>,
    pub(super) parts: u32,
    pub(super) keys: u64,
}

impl<'a> Keeping<'a> {
    pub(super) const fn new(repository: &'a dyn Repository, run: &'a RunId) -> Self {
        Self { repository, run, bytes: Vec::new(), parts: 0, keys: 0 }
    }

    pub(super) fn keep(&mut self, repair: &KeyRepair) -> Result<()> {
        write(repair, &mut self.bytes);
        self.keys += 1;
        if self.bytes.len() >= PART_BYTES { self.part() } else { Ok(()) }
    }

    fn part(&mut self) -> Result<()> {
        self.repository.put_record(&kind(self.run, self.parts), NAME, &std::mem::take(&mut self.bytes))?;
        self.parts += 1;
        Ok(())
    }

    /// Writes what is left. Parts of an earlier call that died go.
    pub(super) fn end(mut self) -> Result<(u32, u64)> {
        if !self.bytes.is_empty() {
            self.part()?;
        }
        drop_from(self.repository, self.run, self.parts)?;
        Ok((self.parts, self.keys))
    }
}

/// A part, read back.
pub(super) fn part(repository: &dyn Repository, run: &RunId, part: u32) -> Result<Vec<KeyRepair>> {
    let lost = || {
        Error::needs_person(format!("part {part} of what run {run} kept of the keys is not in the repository, or damaged")).hint(format!(
            "Without it nobody knows what was changed. `abandon {run}` ends the run as it is; `verify` says how the stores differ."
        ))
    };
    let record = repository.records(&kind(run, part))?.into_iter().find(|record| record.name == NAME).ok_or_else(lost)?;
    let (mut rest, mut repairs) = (record.bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        repairs.push(read(&mut rest).ok_or_else(lost)?);
    }
    Ok(repairs)
}

/// Removes the parts from this one on, the last one first: what a call that dies leaves is found by the next one.
pub(super) fn drop_from(repository: &dyn Repository, run: &RunId, from: u32) -> Result<()> {
    let mut end = from;
    while !repository.records(&kind(run, end))?.is_empty() {
        end += 1;
    }
    (from..end).rev().try_for_each(|part| repository.remove_record(&kind(run, part), NAME))
}

fn write(repair: &KeyRepair, bytes: &mut Vec<u8>) {
    let KeyRepair { key, about, changes, was } = repair;
    put(key, bytes);
    put(about.as_bytes(), bytes);
    bytes.push(u8::from(was.is_some()));
    if let Some(KeyValue { payload, expires_ms }) = was {
        bytes.extend_from_slice(&expires_ms.unwrap_or_default().to_le_bytes());
        put(payload, bytes);
    }
    bytes.extend_from_slice(&u32::try_from(changes.len()).unwrap_or(u32::MAX).to_le_bytes());
    for change in changes {
        let (what, one, other): (u8, &[u8], &[u8]) = match change {
            KeyChange::Set { value, .. } => (0, value, b""),
            KeyChange::Add { member, .. } => (1, member, b""),
            KeyChange::SetField { field, value, .. } => (2, field, value),
            KeyChange::Take { member, .. } => (3, member, b""),
            KeyChange::Remove { .. } => (4, b"", b""),
        };
        bytes.push(what);
        put(one, bytes);
        put(other, bytes);
    }
}

fn put(text: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(text);
}

/// `None`: it is damaged.
fn read(rest: &mut &[u8]) -> Option<KeyRepair> {
    let key = take(rest)?;
    let about = String::from_utf8(take(rest)?).ok()?;
    let was = match byte(rest)? {
        0 => None,
        _ => {
            let expires = u64::from_le_bytes(fixed(rest)?);
            Some(KeyValue { payload: take(rest)?, expires_ms: (expires > 0).then_some(expires) })
        }
    };
    let count = u32::from_le_bytes(fixed(rest)?);
    let changes = (0..count).map(|_| change(&key, rest)).collect::<Option<_>>()?;
    Some(KeyRepair { key, about, changes, was })
}

fn change(key: &[u8], rest: &mut &[u8]) -> Option<KeyChange> {
    let (what, one, other, key) = (byte(rest)?, take(rest)?, take(rest)?, key.to_vec());
    Some(match what {
        0 => KeyChange::Set { key, value: one },
        1 => KeyChange::Add { key, member: one },
        2 => KeyChange::SetField { key, field: one, value: other },
        3 => KeyChange::Take { key, member: one },
        4 => KeyChange::Remove { key },
        _ => return None,
    })
}

fn take(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_le_bytes(fixed(rest)?)).ok()?;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(text.to_vec())
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    fixed::<1>(rest).map(|[byte]| byte)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_what_is_torn_is_not() {
        let key = b"a\0key".to_vec();
        let changes = vec![
            KeyChange::Remove { key: key.clone() },
            KeyChange::Take { key: key.clone(), member: b"old".to_vec() },
            KeyChange::Set { key: key.clone(), value: Vec::new() },
            KeyChange::Add { key: key.clone(), member: b"new".to_vec() },
            KeyChange::SetField { key: key.clone(), field: b"permissions".to_vec(), value: b"x".to_vec() },
        ];
        let was =
            [None, Some(KeyValue { payload: vec![0; 300], expires_ms: None }), Some(KeyValue { payload: vec![1], expires_ms: Some(7) })];
        let all = was.map(|was| KeyRepair { key: key.clone(), about: "service 4".to_owned(), changes: changes.clone(), was });
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        write(&all[0], &mut one);
        all.iter().for_each(|repair| write(repair, &mut bytes));
        let mut rest = bytes.as_slice();
        for repair in &all {
            assert!(read(&mut rest).unwrap() == *repair);
        }
        assert!(rest.is_empty());
        let mut first = Vec::new();
        write(&all[0], &mut first);
        assert!((0..first.len()).all(|length| read(&mut &first[..length]).is_none()), "torn");
    }
}
