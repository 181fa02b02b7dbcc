//! Counts and digests the keys of one logical database, whatever their encoding, so that a staged copy can be compared with the dump.
//!
//! Keys without expiry are one collection. Keys that expire are counted by the time of their expiry, in buckets (a minute wide within the first hour,
//! then an hour, then a day), so that a proof days later can still compare all that has not expired. Fields of hashes that expire on their
//! own are elements of their own. A bounded number of buckets, never a list of keys.

use std::collections::BTreeMap;

use plan::Result;
use plan::digest::MultisetDigest;
use plan::evidence::Tally;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::rdb::absorb::Absorb;
use crate::rdb::elements::Elements;
use crate::rdb::value::Shape;

/// Elements up to this size are hashed at once, longer ones as a stream.
const AT_ONCE_BYTES: usize = 64 << 10;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Buckets are an hour wide until here, and a day wide until there; all that is later is one bucket.
const HOURS_END_MS: u64 = 2 * DAY_MS;
const DAYS_END_MS: u64 = 400 * DAY_MS;

/// XXH3-128 of pieces. Nearly all elements are short, for which a buffer is quicker than the streaming state.
#[derive(Default)]
struct Hash {
    short: Vec<u8>,
    long: Option<Box<Xxh3>>,
}

impl Hash {
    fn push(&mut self, bytes: &[u8]) {
        if let Some(long) = &mut self.long {
            long.update(bytes);
        } else if self.short.len() + bytes.len() <= AT_ONCE_BYTES {
            self.short.extend_from_slice(bytes);
        } else {
            let mut long = Box::new(Xxh3::new());
            long.update(&self.short);
            long.update(bytes);
            self.long = Some(long);
        }
    }

    fn finish(&mut self) -> u128 {
        let hash = self.long.take().map_or_else(|| xxh3_128(&self.short), |long| long.digest128());
        self.short.clear();
        hash
    }
}

/// Buckets of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Buckets {
    pub(crate) persistent: Tally,
    /// By the end of the bucket, milliseconds since the epoch.
    pub(crate) volatile: BTreeMap<u64, Tally>,
    /// Fields of hashes that expire on their own.
    pub(crate) fields: BTreeMap<u64, Tally>,
}

impl Buckets {
    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.persistent.merge(other.persistent);
        for (mine, others) in [(&mut self.volatile, &other.volatile), (&mut self.fields, &other.fields)] {
            others.iter().for_each(|(end_ms, tally)| mine.entry(*end_ms).or_default().merge(*tally));
        }
    }
}

/// The digest in the making.
pub(crate) struct DatabaseTally {
    base_ms: u64,
    pub(crate) buckets: Buckets,
    whole: Hash,
    element: Hash,
    counted: Elements,
    /// Whether what comes is an element of a collection without order.
    unordered: bool,
    /// Type of the key that has just ended, when it is a module's.
    pub(crate) module: Option<u64>,
    /// Of a hash, with its length: fields that expire are told with it.
    key: Vec<u8>,
    expires_ms: Option<u64>,
    lasting: u64,
    sum: MultisetDigest,
    latest_field_ms: u64,
}

/// The end of the bucket of an expiry.
pub(crate) fn bucket_end(base_ms: u64, expires_ms: u64) -> u64 {
    let after = expires_ms.saturating_sub(base_ms);
    let width = match after {
        0..HOUR_MS => MINUTE_MS,
        HOUR_MS..HOURS_END_MS => HOUR_MS,
        HOURS_END_MS..DAYS_END_MS => DAY_MS,
        _ => return u64::MAX,
    };
    base_ms + (after / width + 1) * width
}

/// The begin of the bucket with that end.
pub(crate) fn bucket_begin(base_ms: u64, end_ms: u64) -> u64 {
    let after = end_ms.saturating_sub(base_ms);
    if after <= HOUR_MS {
        end_ms - MINUTE_MS
    } else if after <= HOURS_END_MS {
        end_ms - HOUR_MS
    } else if after <= DAYS_END_MS {
        end_ms - DAY_MS
    } else {
        base_ms + DAYS_END_MS
    }
}

impl DatabaseTally {
    /// `base_ms` must be the same in dump and proof: the begin of the first bucket.
    pub(crate) fn new(base_ms: u64) -> Self {
        Self {
            base_ms,
            buckets: Buckets::default(),
            whole: Hash::default(),
            element: Hash::default(),
            counted: Elements::of(Shape::String),
            unordered: false,
            module: None,
            key: Vec::new(),
            expires_ms: None,
            lasting: 0,
            sum: MultisetDigest::default(),
            latest_field_ms: 0,
        }
    }

    /// A key begins; its value is absorbed next.
    pub(crate) fn begin_key(&mut self, key: &[u8], shape: Shape, expires_ms: Option<u64>) {
        (self.counted, self.expires_ms) = (Elements::of(shape), expires_ms);
        (self.unordered, self.module) = (shape.is_unordered(), None);
        (self.lasting, self.latest_field_ms) = (0, 0);
        self.sum = MultisetDigest::default();
        let length = (key.len() as u64).to_le_bytes();
        if shape == Shape::Hash {
            self.key.clear();
            self.key.extend_from_slice(&length);
            self.key.extend_from_slice(key);
        }
        self.whole.push(&[shape.letter()]);
        self.whole.push(&expires_ms.unwrap_or(0).to_le_bytes());
        self.whole.push(&length);
        self.whole.push(key);
    }

    /// Elements of the key that has just ended: of a list, a set, a sorted set or a hash; 1 for anything else.
    pub(crate) const fn length(&self) -> u64 {
        self.counted.count()
    }

    /// Of all that was counted.
    pub(crate) fn digest(&self) -> u128 {
        let Buckets { persistent, volatile, fields } = &self.buckets;
        let all = std::iter::once(persistent).chain(volatile.values()).chain(fields.values());
        all.fold(0, |sum: u128, tally| sum.wrapping_add(tally.digest.value()))
    }

    /// The key ends.
    pub(crate) fn end_key(&mut self) {
        if self.unordered {
            self.whole.push(&self.lasting.to_le_bytes());
            self.whole.push(&self.sum.value().to_le_bytes());
        }
        let hash = self.whole.finish();
        // A hash all of whose fields expire goes with the last of them.
        let all_fields = (self.counted.unordered > 0 && self.lasting == 0).then_some(self.latest_field_ms);
        let gone_ms = self.expires_ms.into_iter().chain(all_fields).min();
        let tally = match gone_ms {
            None => &mut self.buckets.persistent,
            Some(gone_ms) => self.buckets.volatile.entry(bucket_end(self.base_ms, gone_ms)).or_default(),
        };
        tally.count += 1;
        tally.digest.add_hash(hash);
    }
}

impl Absorb for DatabaseTally {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        self.counted.begin(length)?;
        self.bytes(&length.to_le_bytes());
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.unordered { self.element.push(bytes) } else { self.whole.push(bytes) }
    }

    fn module(&mut self, id: u64) {
        self.module = Some(id);
    }

    fn unordered(&mut self) {
        self.unordered = true;
    }

    fn end_element(&mut self, expires_ms: Option<u64>) {
        self.counted.end_element(expires_ms);
        let Some(expires_ms) = expires_ms else {
            self.lasting += 1;
            self.sum.add_hash(self.element.finish());
            return;
        };
        self.latest_field_ms = self.latest_field_ms.max(expires_ms);
        self.element.push(&expires_ms.to_le_bytes());
        self.element.push(&self.key);
        let gone_ms = self.expires_ms.map_or(expires_ms, |key_ms| key_ms.min(expires_ms));
        let tally = self.buckets.fields.entry(bucket_end(self.base_ms, gone_ms)).or_default();
        tally.count += 1;
        tally.digest.add_hash(self.element.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_where_they_say() {
        let base = 1_700_000_040_000;
        for after in
            [0, 1, 59_999, 60_000, 3_599_999, 3_600_000, 100_000_000, 172_799_999, 172_800_000, 34_559_999_999, 34_560_000_000, 1 << 44]
        {
            let end = bucket_end(base, base + after);
            let begin = bucket_begin(base, end);
            assert!(begin <= base + after && base + after < end, "{after}: {begin} {end}");
        }
    }

    #[test]
    fn a_long_element_has_the_hash_of_its_bytes() {
        let bytes: Vec<u8> = (0..200_000u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut hash = Hash::default();
        bytes.chunks(777).for_each(|chunk| hash.push(chunk));
        assert_eq!(hash.finish(), xxh3_128(&bytes));
        hash.push(b"x");
        assert_eq!(hash.finish(), xxh3_128(b"x"));
    }
}
