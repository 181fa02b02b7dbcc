//! What is counted of a bucket: the collections of its evidence. The dump and the proof count with the same code.
//!
//! | collection | one element for each | fields |
//! |---|---|---|
//! | `files` | object | path, size, XXH3-128 of the content: as a folder's evidence has it |
//! | `folders` | folder on the way to an object, or of its own | path |
//! | `times` | object and folder | path, time of change in nanoseconds (a folder has that of its first object) |
//! | `objects` | object | key, then name and value of each property |
//!
//! A bucket gives every object the time at which it was written, has no folders that are empty, and no modes, owners, links or attributes: those collections of a set are
//! not proven in a bucket, and `objects` is not proven in a folder.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use plan::evidence::{ELEMENTS, Evidence, Tally};
use plan::ports::{Problem, Verdict};

use crate::properties::Properties;

/// What a bucket can hold of the collections of a set.
const HELD: [&str; 2] = ["files", "objects"];
/// How many warnings are named.
const NAMED: usize = 100;

/// Tallies, and what people must know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    tallies: BTreeMap<&'static str, Tally>,
    warnings: Vec<String>,
    warned: u64,
    /// Objects that were not read, because the earlier set has them.
    pub(crate) unchanged: u64,
    bytes: u64,
    elements: u64,
    longest_name_bytes: usize,
    longest_path_bytes: usize,
}

impl Census {
    fn tally(&mut self, collection: &'static str) -> &mut Tally {
        self.tallies.entry(collection).or_default()
    }

    /// An object's content.
    pub(crate) fn file(&mut self, path: &str, size: u64, digest: u128) {
        self.tally("files").add_fields(&[path.as_bytes(), &size.to_be_bytes(), &digest.to_be_bytes()]);
    }

    /// What is known of an object.
    pub(crate) fn object(&mut self, key: &str, properties: &Properties) {
        let fields: Vec<_> = std::iter::once(key.as_bytes()).chain(properties.fields()).collect();
        self.tally("objects").add_fields(&fields);
    }

    /// An entry of the tree.
    pub(crate) fn entry(&mut self, path: &str, size: u64, modified_ns: i128, is_folder: bool) {
        if is_folder {
            self.tally("folders").add_fields(&[path.as_bytes()]);
        }
        self.tally("times").add_fields(&[path.as_bytes(), &modified_ns.to_be_bytes()]);
        self.elements += 1;
        self.bytes += size;
        self.longest_path_bytes = self.longest_path_bytes.max(path.len());
        self.longest_name_bytes = self.longest_name_bytes.max(Path::new(path).file_name().map_or(0, std::ffi::OsStr::len));
    }

    /// Something about one object.
    pub(crate) fn warn(&mut self, key: &str, text: &str) {
        self.warned += 1;
        if self.warnings.len() < NAMED {
            self.warnings.push(format!("{key:?}: {text}"));
        }
    }

    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.tallies.iter().for_each(|(name, tally)| self.tallies.entry(name).or_default().merge(*tally));
    }

    /// The verdict of a dump.
    pub(crate) fn verdict(&self, consistent_at: Timestamp, problems: Vec<Problem>) -> Verdict {
        let mut evidence = self.evidence();
        let facts = [
            ("bytes", self.bytes.to_string()),
            (ELEMENTS, self.elements.to_string()),
            ("unchanged", self.unchanged.to_string()),
            ("longest-name-bytes", self.longest_name_bytes.to_string()),
            ("longest-path-bytes", self.longest_path_bytes.to_string()),
        ];
        evidence.facts.extend(facts.into_iter().map(|(name, value)| (name.to_owned(), value)));
        if self.elements == 0 {
            evidence.warnings.push("the bucket is empty: is it the right one?".to_owned());
        }
        Verdict { evidence, consistent_at, problems }
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence { warnings: self.warnings.clone(), ..Evidence::default() };
        for name in ["files", "folders", "times", "objects"] {
            evidence.collections.insert(name.to_owned(), self.tallies.get(name).copied().unwrap_or_default());
        }
        let rest = self.warned.saturating_sub(self.warnings.len() as u64);
        if rest > 0 {
            evidence.warnings.push(format!("and {rest} more"));
        }
        evidence
    }

    /// What was read back, compared with what a set can have of it.
    pub(crate) fn proven(&self, kept: &Evidence) -> Evidence {
        let mut found = self.evidence();
        found.collections.retain(|name, _| HELD.contains(&name.as_str()) && kept.collections.contains_key(name));
        let others = kept.collections.iter().filter(|(name, _)| !HELD.contains(&name.as_str()));
        found.collections.extend(others.map(|(name, tally)| (name.clone(), *tally)));
        found
    }
}
