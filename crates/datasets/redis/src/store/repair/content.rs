//! What a key has, whatever order and encoding the server keeps it in, and what it has after changes.

use std::collections::{BTreeMap, BTreeSet};

use plan::ports::{KeyChange, KeyReader, KeyValue, ReadKey};
use plan::{Error, Result};

use crate::rdb::Format;
use crate::rdb::source::{NoTap, Source};
use crate::rdb::walk::KeyHead;
use crate::reading::tell;

/// Version and checksum after a dumped value.
const FOOTER_BYTES: usize = 10;
/// Most values are short, and there are many of them.
const BUFFER_BYTES: usize = 128 << 10;

/// The content of a key and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    content: Content,
    expires_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(Vec<u8>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// Of a type that 3scale's configuration does not have: as it is dumped.
    Other(Vec<u8>),
}

impl Value {
    /// `None`: there is no such key.
    pub(super) fn of(value: Option<&KeyValue>) -> Result<Option<Self>> {
        let Some(KeyValue { payload, expires_ms }) = value else { return Ok(None) };
        Ok(Some(Self { content: content(payload)?, expires_ms: *expires_ms }))
    }

    /// Whether the first of the changes would meet a value that it cannot be made to.
    pub(super) fn is_of_another_type(&self, changes: &[KeyChange]) -> bool {
        match changes.first() {
            Some(KeyChange::Add { .. } | KeyChange::Take { .. }) => !matches!(self.content, Content::Set(_)),
            Some(KeyChange::SetField { .. }) => !matches!(self.content, Content::Hash(_)),
            Some(KeyChange::Set { .. } | KeyChange::Remove { .. }) | None => false,
        }
    }
}

fn content(payload: &[u8]) -> Result<Content> {
    let too_short = || Error::failed("a dumped value is too short");
    let (raw, footer) = payload.split_at_checked(payload.len().saturating_sub(FOOTER_BYTES)).ok_or_else(too_short)?;
    let format = Format::of_version(u16::from_le_bytes(*footer.first_chunk::<2>().ok_or_else(too_short)?));
    let (kind, value) = raw.split_first().ok_or_else(too_short)?;
    let mut pieces = Pieces::default();
    tell(
        &mut Source::with_buffer(value, NoTap, vec![0; value.len().clamp(64, BUFFER_BYTES)]),
        format,
        &KeyHead { kind: *kind, ..KeyHead::default() },
        &mut pieces,
    )?;
    let Pieces { kind, pieces } = pieces;
    Ok(match kind {
        "string" => Content::Text(pieces.into_iter().next().unwrap_or_default()),
        "set" => Content::Set(pieces.into_iter().collect()),
        "hash" if pieces.len() % 2 == 0 => {
            let (mut hash, mut pieces) = (BTreeMap::new(), pieces.into_iter());
            while let (Some(field), Some(value)) = (pieces.next(), pieces.next()) {
                hash.insert(field, value);
            }
            Content::Hash(hash)
        }
        _ => Content::Other(payload.to_vec()),
    })
}

#[derive(Default)]
struct Pieces {
    kind: &'static str,
    pieces: Vec<Vec<u8>>,
}

impl KeyReader for Pieces {
    fn wants(&self, _key: &[u8]) -> bool {
        true
    }

    fn piece(&mut self, _key: &[u8], piece: &[u8]) {
        self.pieces.push(piece.to_vec());
    }

    fn key(&mut self, key: &ReadKey<'_>) -> Result<()> {
        self.kind = key.kind;
        Ok(())
    }
}

/// What a key has after changes; one of another type is made anew.
pub(super) fn after(was: Option<&Value>, changes: &[KeyChange]) -> Option<Value> {
    changes.iter().fold(was.cloned(), after_one)
}

fn after_one(was: Option<Value>, change: &KeyChange) -> Option<Value> {
    let new = |content| Some(Value { content, expires_ms: None });
    match (change, was) {
        (KeyChange::Set { value, .. }, _) => new(Content::Text(value.clone())),
        (KeyChange::Remove { .. }, _) => None,
        (KeyChange::Add { member, .. }, Some(Value { content: Content::Set(mut members), expires_ms })) => {
            members.insert(member.clone());
            Some(Value { content: Content::Set(members), expires_ms })
        }
        (KeyChange::Add { member, .. }, _) => new(Content::Set(BTreeSet::from([member.clone()]))),
        (KeyChange::Take { member, .. }, Some(Value { content: Content::Set(mut members), expires_ms })) => {
            members.remove(member);
            (!members.is_empty()).then_some(Value { content: Content::Set(members), expires_ms })
        }
        (KeyChange::Take { .. }, _) => None,
        (KeyChange::SetField { field, value, .. }, Some(Value { content: Content::Hash(mut fields), expires_ms })) => {
            fields.insert(field.clone(), value.clone());
            Some(Value { content: Content::Hash(fields), expires_ms })
        }
        (KeyChange::SetField { field, value, .. }, _) => new(Content::Hash(BTreeMap::from([(field.clone(), value.clone())]))),
    }
}
