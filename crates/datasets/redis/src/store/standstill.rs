//! Values whose load makes a server stand still: `RESTORE` makes a value in one go, and a server does one thing at a time. The longest of each database are in the set,
//! and told in the plan.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::LargeValues;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity};
use threescale::queues::Fate;

use super::RedisStore;
use crate::pass::printable;
use crate::queues::selection;

/// Begin of the facts of a set that tell them: `long-value.<database>.<number>`, elements, bytes in the RDB, then the key for people.
const FACT: &str = "long-value.";
/// How many of each database.
const TOLD: usize = 3;
/// Elements that a server makes in a second: measured, 2 million of a set took 2.4 s.
const ELEMENTS_PER_SECOND: u64 = 800_000;
/// Shorter ones are nobody's matter.
const ELEMENTS_MIN: u64 = ELEMENTS_PER_SECOND / 5;

/// Whether the server stands still for long while it makes a value of so many elements.
pub(crate) const fn is_long(elements: u64) -> bool {
    elements >= ELEMENTS_MIN
}

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
        if !is_long(elements) || self.0.len() == TOLD && self.0.last().is_some_and(|least| least.elements >= elements) {
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

impl Long {
    fn words(&self, database: &str) -> String {
        let time = Duration::from_millis(1000 * self.elements / ELEMENTS_PER_SECOND);
        format!("{:?} of {database} ({} elements, {} bytes; about {:.1} s)", self.key, self.elements, self.bytes, time.as_secs_f64())
    }
}

impl RedisStore {
    /// The longest values that a restore makes in one go, in words; `None` where the set names none.
    fn longest(&self, kept: &KeptDataSet) -> Option<String> {
        let namespace = self.options.namespace.as_deref();
        let is_made = |(database, long): &(&str, Long)| {
            selection(self.name, database, namespace, self.options.queues.clone()).fate(long.key.as_bytes()) == Fate::Back
        };
        let long = told(&kept.evidence.facts).into_iter().filter(is_made).take(TOLD);
        let each: Vec<_> = long.map(|(database, long)| long.words(database)).collect();
        (!each.is_empty()).then(|| each.join(", "))
    }

    /// What is left for the stop of the writers, where that is wanted, as the reason of the step.
    pub(crate) fn rest_of(&self, kept: &KeptDataSet, road: Road) -> Option<String> {
        let is_wanted = road == Road::SideCopy && self.options.large_values == LargeValues::DuringStop;
        let longest = self.longest(kept).filter(|_| is_wanted)?;
        Some(format!("values for which the server stands still, the longest: {longest}"))
    }

    /// What stands still while the installation serves, and what becomes of `--large-values during-stop`.
    pub(crate) fn standstill(&self, kept: &KeptDataSet, road: Road, problems: &mut Vec<Problem>) {
        let mut note = |text: String, way_out: Option<&str>| {
            let note = Problem::new(Severity::Note, text);
            problems.push(way_out.into_iter().fold(note, Problem::way_out));
        };
        let during_stop = self.options.large_values == LargeValues::DuringStop;
        let changes_nothing = "--large-values during-stop changes nothing";
        match self.longest(kept) {
            _ if road == Road::InPlace && during_stop => {
                note(format!("{changes_nothing}: in place nothing is loaded beside the live data"), None)
            }
            _ if road == Road::InPlace => {}
            None if during_stop => {
                note(format!("{changes_nothing}: the set names no value of {ELEMENTS_MIN} elements or more that is made in one go"), None)
            }
            None => {}
            Some(longest) if during_stop => note(
                format!(
                    "by --large-values during-stop, values of {ELEMENTS_MIN} elements and more are left out of the copy beside the live data, and loaded and proven by a step of their own right \
                     before the first cut-over; the server stands still while it makes each, the longest: {longest}"
                ),
                None,
            ),
            Some(longest) => note(
                format!("the live server stands still while it makes each of the longest values of the set: {longest}"),
                Some(
                    "With --large-values during-stop such values are loaded while the writers are stopped, before the cut-over; with --in-place all of the set is.",
                ),
            ),
        }
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
