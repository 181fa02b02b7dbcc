//! What a dump counted while the data passed, and what a proof compares it with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::MultisetDigest;

/// Count and digest of one collection: a table's rows, a logical database's keys, a tree's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Number of elements.
    pub count: u64,
    /// Digest over all elements.
    pub digest: MultisetDigest,
}

impl Tally {
    /// Counts one element, given as its canonical bytes.
    pub fn add(&mut self, element: &[u8]) {
        self.count += 1;
        self.digest.add(element);
    }

    /// Counts one element of several fields, each preceded by its length.
    pub fn add_fields(&mut self, fields: &[&[u8]]) {
        let mut element = Vec::with_capacity(fields.iter().map(|field| field.len() + 8).sum());
        for field in fields {
            element.extend_from_slice(&(field.len() as u64).to_be_bytes());
            element.extend_from_slice(field);
        }
        self.add(&element);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.digest += other.digest;
    }
}

/// The fact of a data set that is a safety copy, with the run that it was taken for: what goes back of it is all that was live, whatever the run's policies are.
pub const SAFETY_COPY: &str = "safety-copy-for";

/// The evidence of one data set: taken by the dump, compared by the proof, kept in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Collections by name (`accounts`; `storage/persistent`), with count and digest. Names are the data set's own.
    pub collections: BTreeMap<String, Tally>,
    /// Objects that have no rows, by kind: triggers, routines, views, indexes… and how many there are.
    pub objects: BTreeMap<String, u64>,
    /// Facts worth keeping with the set: `gtid-executed`, `binlog-file`, `rdb-version`, `charset`… Never a secret.
    pub facts: BTreeMap<String, String>,
    /// What an operator must know about this dump: a file that changed while being read, a fallback taken.
    pub warnings: Vec<String>,
}

/// The fact of how many elements a data set has, where its collections count each from several sides: a file's content, mode, owner and time.
pub const ELEMENTS: &str = "entries";

impl Evidence {
    /// Elements: as the data set counts them itself, else those of all collections together.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counted = self.facts.get(ELEMENTS).and_then(|text| text.parse().ok());
        counted.unwrap_or_else(|| self.collections.values().map(|tally| tally.count).sum())
    }

    /// Names what differs between this evidence and `found`: collections and objects, not facts or warnings.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let names: std::collections::BTreeSet<_> = self.collections.keys().chain(found.collections.keys()).collect();
        for name in names {
            match (self.collections.get(name), found.collections.get(name)) {
                (Some(want), Some(have)) if want == have => {}
                (Some(want), Some(have)) if want.count == have.count => {
                    differences.push(format!("{name}: {} elements, but digest {} instead of {}", want.count, have.digest, want.digest))
                }
                (Some(want), Some(have)) => {
                    differences.push(format!("{name}: {} elements instead of {}", have.count, want.count));
                }
                (Some(want), None) => differences.push(format!("{name}: missing ({} elements)", want.count)),
                (None, Some(have)) => differences.push(format!("{name}: not in the set ({} elements)", have.count)),
                (None, None) => {}
            }
        }
        let kinds: std::collections::BTreeSet<_> = self.objects.keys().chain(found.objects.keys()).collect();
        for kind in kinds {
            let count = |evidence: &Self| evidence.objects.get(kind).copied().unwrap_or(0);
            if count(self) != count(found) {
                differences.push(format!("{kind}: {} instead of {}", count(found), count(self)));
            }
        }
        differences
    }
}
