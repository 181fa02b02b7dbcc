//! Digests of unordered collections: rows of a table, keys of a logical database, entries of a tree.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// XXH3-128 of bytes, with which elements are counted.
#[must_use]
pub fn hash(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

/// Digest of a multiset: the sum, modulo 2^128, of the XXH3-128 of every element.
///
/// The order in which elements are added does not matter, and repeated elements count (a sum, not an exclusive or), so parallel
/// workers each sum their share. It guards against loss, repetition and damage, not against forgery: authenticity is the repository's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MultisetDigest(u128);

impl MultisetDigest {
    /// Adds one element, given as its canonical bytes.
    pub fn add(&mut self, element: &[u8]) {
        self.add_hash(xxhash_rust::xxh3::xxh3_128(element));
    }

    /// Adds one element whose XXH3-128 the caller has computed.
    pub const fn add_hash(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// The sum as a number.
    #[must_use]
    pub const fn value(self) -> u128 {
        self.0
    }
}

impl AddAssign for MultisetDigest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for MultisetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for MultisetDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MultisetDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(elements: &[&str]) -> MultisetDigest {
        let mut sum = MultisetDigest::default();
        elements.iter().for_each(|element| sum.add(element.as_bytes()));
        sum
    }

    #[test]
    fn order_does_not_matter_and_repetition_does() {
        assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "a", "b"]), digest(&["b"]));
        assert_ne!(digest(&["a", "a"]), digest(&["a"]));
    }

    #[test]
    fn survives_its_text_form() {
        let sum = digest(&["x"]);
        let text = serde_json::to_string(&sum).unwrap_or_default();
        assert_eq!(serde_json::from_str::<MultisetDigest>(&text).ok(), Some(sum));
    }
}
