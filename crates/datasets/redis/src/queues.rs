//! Job queues: what of a key goes back, and how long the queues of a set are. What keys and jobs are is known by the crate `threescale`.
//!
//! Jobs that were enqueued between the backup and the restore are in the previous data: the cut-over brings in databases without them, and what
//! was live is kept at the place until `settle`, where `redis-cli` can read it.

use plan::Queues;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use threescale::keys::{Class, Keys, Store};
use threescale::queues::{Fate, Selection};

use crate::rdb::value::Shape;

/// What a restore takes of a database, by its label in the set. `namespace` may stand before System's keys, or not.
pub(crate) fn selection(data_set: DataSetName, label: &str, namespace: Option<&str>, queues: Queues) -> Selection {
    Selection::new(Store::of(data_set, label).map(|store| Keys::of(store, namespace)), queues)
}

/// What becomes of a key. Jobs are told apart in lists and sorted sets that do not expire: nothing else is a queue.
pub(crate) fn fate(selection: &Selection, key: &[u8], shape: Shape, expires: bool) -> Fate {
    match selection.fate(key) {
        Fate::ByJob if expires || !matches!(shape, Shape::List | Shape::SortedSet) => Fate::LeftOut(Class::Jobs),
        fate => fate,
    }
}

/// Begin of the facts that tell the lengths of queues: `queue.<database>.<key>`.
pub(crate) const FACT: &str = "queue.";
/// Fact: the count and digest of the key that a pod's probe writes, which a proof of live data takes as the set has it: `probe.<database>`.
pub(crate) const PROBE: &str = "probe.";
/// The fact of how many reports of traffic are in the set and not counted yet.
pub(crate) const IN_FLIGHT: &str = "usage-in-flight";

/// The fact of what may stand before System's keys.
pub(crate) const NAMESPACE: &str = "namespace";

/// What may stand before System's keys of a set, as far as the set tells it.
#[must_use]
pub fn namespace_of(evidence: &Evidence) -> Option<&str> {
    evidence.facts.get(NAMESPACE).map(String::as_str)
}

/// The labels of the logical databases that a set holds: `storage`, `queues`; `system`.
pub fn labels_of(evidence: &Evidence) -> impl Iterator<Item = &str> {
    evidence.facts.keys().filter_map(|fact| fact.strip_prefix("folder."))
}

/// The queues that a set holds, and what a restore with [`plan::Queues::Drop`] leaves out: database, queue, jobs.
#[must_use]
pub fn queues_of(evidence: &Evidence) -> Vec<(String, String, u64)> {
    let queue = |(fact, jobs): (&String, &String)| {
        let (database, queue) = fact.strip_prefix(FACT)?.split_once('.')?;
        Some((database.to_owned(), queue.to_owned(), jobs.parse().ok()?))
    };
    evidence.facts.iter().filter_map(queue).collect()
}

/// How many reports of traffic a set holds that are not counted yet; `None` where it does not tell.
#[must_use]
pub fn usage_in_flight(evidence: &Evidence) -> Option<u64> {
    evidence.facts.get(IN_FLIGHT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_listed_from_the_evidence() {
        let mut evidence = Evidence::default();
        for (fact, value) in [("queue.main.queue:a.b", "3"), ("queues", "9"), ("queue.queues.resque:queue:main", "7"), ("parts.main", "1")]
        {
            evidence.facts.insert(fact.to_owned(), value.to_owned());
        }
        let expected = [("main", "queue:a.b", 3), ("queues", "resque:queue:main", 7)];
        let expected: Vec<_> = expected.map(|(database, queue, jobs)| (database.to_owned(), queue.to_owned(), jobs)).into();
        assert_eq!(queues_of(&evidence), expected);
    }

    #[test]
    fn only_lists_and_sorted_sets_that_last_hold_jobs() {
        let safe = selection(DataSetName::SystemRedis, "system", None, Queues::Safe);
        assert_eq!(fate(&safe, b"queue:low", Shape::List, false), Fate::ByJob);
        assert_eq!(fate(&safe, b"retry", Shape::SortedSet, false), Fate::ByJob);
        for (shape, expires) in [(Shape::String, false), (Shape::Hash, false), (Shape::List, true)] {
            assert_eq!(fate(&safe, b"queue:low", shape, expires), Fate::LeftOut(Class::Jobs));
        }
    }
}
