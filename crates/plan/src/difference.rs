//! What differs between two sets, by their evidence alone: no data is read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::evidence::{Evidence, Tally};
use crate::ids::DataSetName;
use crate::manifest::{KeptDataSet, Manifest};
use crate::ports::StoreKind;

/// One data set of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataSetDifference {
    /// The data set.
    pub data_set: DataSetName,
    /// Its bytes in both; `None` where a set does not have it.
    pub bytes: Sides,
    /// Store and version in both.
    pub stores: (Option<String>, Option<String>),
    /// Collections that both have in common with equal contents.
    pub equal: usize,
    /// Collections that differ: tables, kinds of keys, files, objects.
    pub collections: Vec<CollectionDifference>,
    /// Kinds of objects without rows of which there are more or fewer: triggers, views, indexes.
    pub objects: Vec<ObjectsDifference>,
}

/// A number in the one set and in the other; `None` where there is no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// In the first set.
    pub from: Option<u64>,
    /// In the second.
    pub to: Option<u64>,
}

/// A collection that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectionDifference {
    /// Its name; the data set's own.
    pub name: String,
    /// Its elements. Where both are equal, the contents differ.
    pub elements: Sides,
}

/// A kind of objects of which there are more or fewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectsDifference {
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub count: Sides,
}

impl DataSetDifference {
    /// Whether both have it with the same contents, as far as counts and digests say.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.bytes.from.is_some() && self.bytes.to.is_some() && self.collections.is_empty() && self.objects.is_empty()
    }
}

/// What differs, data set by data set; those without a difference too.
#[must_use]
pub fn between(from: &Manifest, to: &Manifest) -> Vec<DataSetDifference> {
    let names: BTreeSet<_> = from.data_sets.keys().chain(to.data_sets.keys()).copied().collect();
    names.into_iter().map(|name| of_data_set(name, from.data_sets.get(&name), to.data_sets.get(&name))).collect()
}

fn of_data_set(data_set: DataSetName, from: Option<&KeptDataSet>, to: Option<&KeptDataSet>) -> DataSetDifference {
    let store = |kept: Option<&KeptDataSet>| kept.map(|kept| kept.store.clone());
    let bytes = |kept: Option<&KeptDataSet>| kept.map(|kept| kept.bytes);
    let mut difference = DataSetDifference {
        data_set,
        bytes: Sides { from: bytes(from), to: bytes(to) },
        stores: (store(from), store(to)),
        equal: 0,
        collections: Vec::new(),
        objects: Vec::new(),
    };
    let (Some(from), Some(to)) = (from, to) else { return difference };
    let (before, after) = (collections(from), collections(to));
    for name in union(&before, &after) {
        let (one, other) = (before.get(name), after.get(name));
        if one == other {
            difference.equal += 1;
            continue;
        }
        let count = |tally: Option<&Tally>| tally.map(|tally| tally.count);
        difference.collections.push(CollectionDifference { name: name.clone(), elements: Sides { from: count(one), to: count(other) } });
    }
    let objects = |evidence: &Evidence, kind: &String| evidence.objects.get(kind).copied();
    for kind in union(&from.evidence.objects, &to.evidence.objects) {
        let count = Sides { from: objects(&from.evidence, kind), to: objects(&to.evidence, kind) };
        if count.from.unwrap_or(0) != count.to.unwrap_or(0) {
            difference.objects.push(ObjectsDifference { kind: kind.clone(), count });
        }
    }
    difference
}

fn union<'a, V, W>(one: &'a BTreeMap<String, V>, other: &'a BTreeMap<String, W>) -> BTreeSet<&'a String> {
    one.keys().chain(other.keys()).collect()
}

/// The collections of a data set, by names that two sets share. Keys of Redis that expire are counted by the time of their expiry from the moment of the
/// dump on (`storage/volatile/<end>`), which two dumps do not share: all of them together are one collection here.
fn collections(kept: &KeptDataSet) -> BTreeMap<String, Tally> {
    let mut collections: BTreeMap<String, Tally> = BTreeMap::new();
    for (name, tally) in &kept.evidence.collections {
        let name = match name.rsplit_once('/') {
            Some((group, end)) if kept.kind == StoreKind::Redis && end.parse::<u64>().is_ok() => group,
            _ => name,
        };
        collections.entry(name.to_owned()).or_default().merge(*tally);
    }
    collections
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn kept(kind: &str, collections: &[(&str, &[&str])], triggers: u64) -> KeptDataSet {
        let mut evidence = Evidence::default();
        for (name, elements) in collections {
            let tally = evidence.collections.entry((*name).to_owned()).or_default();
            elements.iter().for_each(|element| tally.add(element.as_bytes()));
        }
        evidence.objects.insert("triggers".to_owned(), triggers);
        let now = "2026-11-30T00:00:00Z";
        let kept = serde_json::json!({"snapshot": "s", "kind": kind, "store": "a", "started_at": now, "consistent_at": now, "finished_at": now,
            "parts": 1, "bytes": 1, "stored_bytes": 1, "evidence": evidence});
        serde_json::from_value(kept).unwrap()
    }

    #[test]
    fn what_is_changed_gone_and_new_is_told_and_what_is_equal_counted() {
        let one = kept("mysql", &[("same", &["a"]), ("changed", &["a"]), ("more", &["a"]), ("gone", &["a"])], 2);
        let other = kept("mysql", &[("same", &["a"]), ("changed", &["b"]), ("more", &["a", "b"]), ("new", &[])], 1);
        let found = of_data_set(DataSetName::SystemDatabase, Some(&one), Some(&other));
        let told: Vec<_> = found.collections.iter().map(|it| (it.name.as_str(), it.elements.from, it.elements.to)).collect();
        assert_eq!(told, [("changed", Some(1), Some(1)), ("gone", Some(1), None), ("more", Some(1), Some(2)), ("new", None, Some(0))]);
        assert_eq!((found.equal, found.objects.len(), found.objects[0].count), (1, 1, Sides { from: Some(2), to: Some(1) }));
        assert!(!found.is_none() && of_data_set(DataSetName::SystemDatabase, Some(&one), Some(&one)).is_none());
        assert!(!of_data_set(DataSetName::SystemDatabase, Some(&one), None).is_none());
    }

    #[test]
    fn keys_that_expire_are_compared_whatever_the_minutes_of_the_dumps() {
        let one =
            kept("redis", &[("storage/persistent", &["a"]), ("storage/volatile/60000", &["b"]), ("storage/volatile/120000", &["c"])], 0);
        let other = kept("redis", &[("storage/persistent", &["a"]), ("storage/volatile/90000", &["b", "c"])], 0);
        assert!(of_data_set(DataSetName::BackendRedis, Some(&one), Some(&other)).is_none());
        // A table may be called so.
        let table = kept("mysql", &[("a/1", &["a"])], 0);
        assert_eq!(collections(&table).keys().collect::<Vec<_>>(), ["a/1"]);
    }
}
