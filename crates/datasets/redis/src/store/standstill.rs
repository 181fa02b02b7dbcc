//! Values whose load makes a server stand still: `RESTORE` makes a value in one go, and a server does one thing at a time. The longest of each database are in the set,
//! and told in the plan.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity};

use super::RedisStore;
use crate::pass::printable;

/// Begin of the facts of a set that tell them: `long-value.<database>.<number>`, elements, bytes in the RDB, then the key for people.
const FACT: &str = "long-value.";
/// How many of each database.
const TOLD: usize = 3;
/// Elements that a server makes in a second: measured, 2 million of a set took 2.4 s.
const ELEMENTS_PER_SECOND: u64 = 800_000;
/// Shorter ones are nobody's matter.
const ELEMENTS_MIN: u64 = ELEMENTS_PER_SECOND / 5;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Long {
    elements: u64,
    bytes: u64,
    key: String,
}

/// The longest values that have passed.
#[derive(Debug, Default)]
pub(crate) struct Longest(Vec<Long>);

impl Longest {
    pub(crate) fn note(&mut self, key: &[u8], elements: u64, bytes: u64) {
        if elements < ELEMENTS_MIN || self.0.len() == TOLD && self.0.last().is_some_and(|least| least.elements >= elements) {
            return;
        }
        self.0.push(Long { elements, bytes, key: printable(key) });
        self.0.sort_by(|one, other| other.cmp(one));
        self.0.truncate(TOLD);
    }

    /// As facts of a set.
    pub(crate) fn facts<'a>(&'a self, database: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
        let text = |long: &Long| format!("{} {} {}", long.elements, long.bytes, long.key);
        self.0.iter().zip(1..).map(move |(long, number)| (format!("{FACT}{database}.{number}"), text(long)))
    }
}

fn told(facts: &BTreeMap<String, String>) -> Vec<(&str, Long)> {
    let found = facts.iter().filter_map(|(fact, text)| {
        let (database, _) = fact.strip_prefix(FACT)?.rsplit_once('.')?;
        let mut words = text.splitn(3, ' ');
        let (elements, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((database, Long { elements, bytes, key: words.next().unwrap_or_default().to_owned() }))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|one, other| other.1.cmp(&one.1));
    found
}

impl RedisStore {
    /// What stands still while the installation serves. In place the writers are stopped anyway.
    pub(crate) fn standstill(&self, kept: &KeptDataSet, road: Road, problems: &mut Vec<Problem>) {
        let long = told(&kept.evidence.facts);
        if road == Road::InPlace || long.is_empty() {
            return;
        }
        let one = |(database, long): &(&str, Long)| {
            let time = Duration::from_millis(1000 * long.elements / ELEMENTS_PER_SECOND);
            format!("{:?} of {database} ({} elements, {} bytes; about {:.1} s)", long.key, long.elements, long.bytes, time.as_secs_f64())
        };
        let each: Vec<_> = long.iter().take(TOLD).map(one).collect();
        let text = format!("the live server stands still while it makes each of the longest values of the set: {}", each.join(", "));
        let way_out = "With --in-place they are loaded while the writers are stopped.";
        problems.push(Problem::new(Severity::Note, text).way_out(way_out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_values_are_kept_and_read_back() {
        let mut longest = Longest::default();
        for (key, elements) in [("short", 10), ("a b", 300_000), ("c", 200_000), ("d", 900_000), ("e", 250_000), ("f", 160_000)] {
            longest.note(key.as_bytes(), elements, 7);
        }
        let facts: BTreeMap<_, _> = longest.facts("storage").collect();
        let found: Vec<_> = told(&facts).into_iter().map(|(database, long)| (database.to_owned(), long.elements, long.key)).collect();
        let of = |elements, key: &str| ("storage".to_owned(), elements, key.to_owned());
        assert_eq!(found, [of(900_000, "d"), of(300_000, "a b"), of(250_000, "e")]);
    }
}
