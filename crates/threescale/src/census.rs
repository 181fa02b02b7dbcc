//! What a logical database holds, by class, service and type. Bounded: names that nobody bounds are counted together when there are too many.

use std::collections::BTreeMap;

use crate::jobs;
use crate::keys::{Class, Keys};

/// Services, classes of jobs and the like that are told apart.
const NAMES_MAX: usize = 20_000;
/// Where names are counted together.
const OTHERS: &str = "(others)";

/// Keys of one kind together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values as the set has them.
    pub bytes: u64,
    /// Elements of lists, sets and hashes; 1 for anything else.
    pub elements: u64,
    /// The largest key, and its bytes.
    pub largest: Option<(String, u64)>,
}

/// A key as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'k> {
    /// The key.
    pub key: &'k [u8],
    /// Its type, as Redis calls it.
    pub kind: &'static str,
    /// As in [`Sum::elements`].
    pub elements: u64,
    /// As in [`Sum::bytes`].
    pub bytes: u64,
}

/// The census of one logical database, in the making.
#[derive(Debug)]
pub struct Census {
    keys: Keys,
    unknown_max: usize,
    /// All of it.
    pub all: Sum,
    /// By class; `None` is what nobody knows.
    pub classes: BTreeMap<Option<Class>, Sum>,
    /// By type.
    pub types: BTreeMap<&'static str, Sum>,
    /// By service, where the key names one.
    pub services: BTreeMap<String, Sum>,
    /// Jobs by queue and class.
    pub jobs: BTreeMap<(String, String), u64>,
    /// Jobs that failed for good: nothing runs them but a person.
    pub dead: u64,
    /// The first keys that nobody knows, with their bytes.
    pub unknown: Vec<(String, u64)>,
}

impl Census {
    /// `unknown_max`: so many keys that nobody knows are named.
    #[must_use]
    pub const fn new(keys: Keys, unknown_max: usize) -> Self {
        Self {
            keys,
            unknown_max,
            all: Sum { keys: 0, bytes: 0, elements: 0, largest: None },
            classes: BTreeMap::new(),
            types: BTreeMap::new(),
            services: BTreeMap::new(),
            jobs: BTreeMap::new(),
            dead: 0,
            unknown: Vec::new(),
        }
    }

    /// What it knows keys by.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the elements of a key are jobs.
    #[must_use]
    pub fn holds_jobs(&self, key: &[u8]) -> bool {
        self.keys.know(key).is_some_and(|known| known.kind.class == Class::Jobs)
    }

    /// A job of a key that holds jobs.
    pub fn job(&mut self, key: &[u8], job: &[u8]) {
        let name = (printable(key), jobs::class_of(job));
        let name = if self.jobs.len() < NAMES_MAX || self.jobs.contains_key(&name) { name } else { (OTHERS.to_owned(), OTHERS.to_owned()) };
        *self.jobs.entry(name).or_default() += 1;
    }

    /// A key.
    pub fn key(&mut self, seen: Seen<'_>) {
        let known = self.keys.know(seen.key);
        self.all.add(seen);
        self.types.entry(seen.kind).or_default().add(seen);
        self.classes.entry(known.as_ref().map(|known| known.kind.class)).or_default().add(seen);
        match known {
            None if self.unknown.len() < self.unknown_max => self.unknown.push((printable(seen.key), seen.bytes)),
            None => {}
            Some(known) => {
                if known.kind.pattern == "dead" {
                    self.dead += seen.elements;
                }
                if let Some(service) = known.part("service").map(printable) {
                    let is_told = self.services.len() < NAMES_MAX || self.services.contains_key(&service);
                    self.services.entry(if is_told { service } else { OTHERS.to_owned() }).or_default().add(seen);
                }
            }
        }
    }
}

impl Sum {
    fn add(&mut self, seen: Seen<'_>) {
        self.keys += 1;
        self.bytes += seen.bytes;
        self.elements += seen.elements;
        if self.largest.as_ref().is_none_or(|(_, bytes)| seen.bytes > *bytes) {
            self.largest = Some((printable(seen.key), seen.bytes));
        }
    }
}

/// A key for people: cut, without control characters.
#[must_use]
pub fn printable(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key.get(..key.len().min(200)).unwrap_or_default()).into_owned();
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Store;

    fn seen(key: &str, bytes: u64) -> Seen<'_> {
        Seen { key: key.as_bytes(), kind: "string", elements: 1, bytes }
    }

    #[test]
    fn keys_are_counted_by_class_service_and_type_and_unknown_ones_named() {
        let mut census = Census::new(Keys::of(Store::BackendStorage, None), 1);
        for (key, bytes) in [
            ("stats/{service:2}/metric:1/eternity", 10),
            ("stats/{service:2}/metric:1/day:20260105", 30),
            ("service/id:2/state", 5),
            ("service/id:acme-7/state", 9),
            ("odd\n1", 7),
            ("odd2", 8),
        ] {
            census.key(seen(key, bytes));
        }
        let sum = |class| census.classes.get(&class).map(|sum| (sum.keys, sum.bytes));
        assert_eq!(sum(Some(Class::Usage)), Some((2, 40)));
        assert_eq!(sum(Some(Class::Configuration)), Some((2, 14)));
        assert_eq!(sum(None), Some((2, 15)), "all are counted");
        assert_eq!(census.unknown, [("odd\u{fffd}1".to_owned(), 7)], "and the first are named");
        assert_eq!(census.services.get("2").map(|sum| sum.keys), Some(3));
        assert_eq!(census.services.get("acme-7").map(|sum| sum.bytes), Some(9), "behind the prefix of its account");
        assert_eq!(census.all.largest, Some(("stats/{service:2}/metric:1/day:20260105".to_owned(), 30)));
        assert_eq!((census.all.keys, census.all.bytes), (6, 69));
    }

    #[test]
    fn names_are_bounded() {
        let mut census = Census::new(Keys::of(Store::BackendStorage, None), 0);
        for service in 0..NAMES_MAX + 10 {
            census.key(seen(&format!("errors/service_id:{service}"), 1));
        }
        assert_eq!(census.services.len(), NAMES_MAX + 1);
        assert_eq!(census.services.get(OTHERS).map(|sum| sum.keys), Some(10));
    }
}
