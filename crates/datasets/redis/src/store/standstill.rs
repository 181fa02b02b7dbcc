//! Values whose load makes a server stand still: `RESTORE` makes a value in one go, and a server does one thing at a time. Those that cannot go in pieces are told in the plan, the longest
//! of each database, which are in the set.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::LargeValues;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity};
use threescale::queues::Fate;

use super::RedisStore;
use super::pieces::is_possible;
use crate::pass::printable;
use crate::queues::selection;
use crate::rdb::Format;
use crate::rdb::value::Shape;
use crate::rdb::walk::KeyHead;

/// Begin of the facts of a set that tell them: `long-value.<database>.<number>`, elements, bytes in the RDB, then the key for people.
const FACT: &str = "long-value.";
/// And of what tells what it is: its type, and whether it can be loaded in pieces. Sets of before 0.2.0 do not say.
const KIND: &str = "long-value-kind.";
const IN_PIECES: &str = " in-pieces";
/// How many of each database, of those that can be loaded in pieces and of the others.
const TOLD: usize = 3;
/// Elements that a server makes in a second: measured, 2 million of a set took 2.4 s.
const ELEMENTS_PER_SECOND: u64 = 800_000;
/// Bytes of a string or a list that it makes in a second; of a stream, with pending entries, and of a module's value: measured, 256 MiB took 0.6 s, and 14 MiB 0.34 s.
const BYTES_PER_SECOND: u64 = 400_000_000;
const STREAM_BYTES_PER_SECOND: u64 = 40_000_000;
/// Less is nobody's matter.
const MIN_MS: u64 = 200;

const DURING_STOP: &str = "With --large-values during-stop such values are loaded while the writers are stopped, before the cut-over; with --in-place all of the set is.";
const PIECES: &str = "For a user who may run UNLINK, SET, RPUSH, SADD, ZADD, HSET and PEXPIREAT too, sets, hashes, sorted sets, lists and strings are loaded in pieces, for which the server \
                      does not stand still.";

/// For how long a server stands still while it makes a value in one go.
const fn millis(shape: Shape, elements: u64, bytes: u64) -> u64 {
    let rate = if matches!(shape, Shape::Stream | Shape::Module) { STREAM_BYTES_PER_SECOND } else { BYTES_PER_SECOND };
    let (by_elements, by_bytes) = (elements.saturating_mul(1000) / ELEMENTS_PER_SECOND, bytes.saturating_mul(1000) / rate);
    if by_elements > by_bytes { by_elements } else { by_bytes }
}

/// Whether that is for long.
pub(crate) const fn stands_still(shape: Shape, elements: u64, bytes: u64) -> bool {
    millis(shape, elements, bytes) >= MIN_MS
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Long {
    millis: u64,
    elements: u64,
    bytes: u64,
    key: String,
    /// What it is, where that is told.
    kind: String,
}

/// The longest values that have passed: those that can be loaded in pieces, and the others.
#[derive(Debug, Default)]
pub(crate) struct Longest([Vec<Long>; 2]);

impl Longest {
    pub(crate) fn note(&mut self, head: &KeyHead, format: Format, elements: u64, bytes: u64) {
        let Some(shape) = Shape::of(head.kind, format) else { return };
        let millis = millis(shape, elements, bytes);
        let in_pieces = is_possible(head, format);
        let Some(longest) = self.0.get_mut(usize::from(!in_pieces)) else { return };
        if millis < MIN_MS || longest.len() == TOLD && longest.last().is_some_and(|least| least.millis >= millis) {
            return;
        }
        let kind = format!("{}{}", shape.name(), if in_pieces { IN_PIECES } else { "" });
        longest.push(Long { millis, elements, bytes, key: printable(&head.key), kind });
        longest.sort_by(|one, other| other.cmp(one));
        longest.truncate(TOLD);
    }

    /// As facts of a set.
    pub(crate) fn facts<'a>(&'a self, database: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
        let text = |long: &Long| format!("{} {} {}", long.elements, long.bytes, long.key);
        let facts = move |(long, number): (&Long, u32)| {
            [(format!("{FACT}{database}.{number}"), text(long)), (format!("{KIND}{database}.{number}"), long.kind.clone())]
        };
        self.0.iter().flatten().zip(1..).flat_map(facts)
    }
}

fn told(facts: &BTreeMap<String, String>) -> Vec<(&str, Long)> {
    let found = facts.iter().filter_map(|(fact, text)| {
        let which = fact.strip_prefix(FACT)?;
        let (database, _) = which.rsplit_once('.')?;
        let mut words = text.splitn(3, ' ');
        let (elements, bytes) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let kind = facts.get(&format!("{KIND}{which}")).cloned().unwrap_or_default();
        let shape = if kind.starts_with("stream") || kind.starts_with("module") { Shape::Stream } else { Shape::Set };
        let (millis, key) = (millis(shape, elements, bytes), words.next().unwrap_or_default().to_owned());
        Some((database, Long { millis, elements, bytes, key, kind }))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|one, other| other.1.cmp(&one.1));
    found
}

impl Long {
    fn words(&self, database: &str) -> String {
        let (time, kind) = (Duration::from_millis(self.millis), self.kind.trim_end_matches(IN_PIECES));
        let kind = if kind.is_empty() { String::new() } else { format!("{kind}, ") };
        format!("{:?} of {database} ({kind}{} elements, {} bytes; about {:.1} s)", self.key, self.elements, self.bytes, time.as_secs_f64())
    }

    fn in_pieces(&self) -> bool {
        self.kind.ends_with(IN_PIECES)
    }
}

impl RedisStore {
    /// The longest of those values of the set that go back, in words; `None` where there are none.
    fn longest(&self, kept: &KeptDataSet, is_meant: impl Fn(&Long) -> bool) -> Option<String> {
        let namespace = self.options.namespace.as_deref();
        let is_made = |(database, long): &(&str, Long)| {
            let fate = selection(self.name, database, namespace, self.options.queues.clone()).fate(long.key.as_bytes());
            fate == Fate::Back && is_meant(long)
        };
        let long = told(&kept.evidence.facts).into_iter().filter(is_made).take(TOLD);
        let each: Vec<_> = long.map(|(database, long)| long.words(database)).collect();
        (!each.is_empty()).then(|| each.join(", "))
    }

    /// What is left for the stop of the writers, where that is wanted, as the reason of the step. What can be loaded in pieces is never left, also where the user may not.
    pub(crate) fn rest_of(&self, kept: &KeptDataSet, road: Road) -> Option<String> {
        let is_wanted = road == Road::SideCopy && self.options.large_values == LargeValues::DuringStop;
        let longest = self.longest(kept, |long| !long.in_pieces()).filter(|_| is_wanted)?;
        Some(format!("values for which the server stands still, the longest: {longest}"))
    }

    /// What stands still while the installation serves, and what becomes of `--large-values during-stop`. `may`: whether the user may load in pieces.
    pub(crate) fn standstill(&self, kept: &KeptDataSet, road: Road, may: bool, problems: &mut Vec<Problem>) {
        let during_stop = self.options.large_values == LargeValues::DuringStop;
        let changes_nothing = "--large-values during-stop changes nothing";
        let note = |text: String| Problem::new(Severity::Note, text);
        if road == Road::InPlace {
            let text = format!("{changes_nothing}: in place nothing is loaded beside the live data");
            problems.extend(during_stop.then(|| note(text)));
            return;
        }
        match self.longest(kept, |long| !long.in_pieces()).filter(|_| during_stop) {
            Some(longest) => problems.push(note(format!(
                "by --large-values during-stop, values for which the server stands still for {MIN_MS} ms and more are left out of the copy beside the live data, and loaded and proven by a \
                 step of their own right before the first cut-over; the longest: {longest}"
            ))),
            None if during_stop => {
                problems.push(note(format!("{changes_nothing}: the set names no value that is made in one go and takes long")));
            }
            None => {}
        }
        let beside = |long: &Long| if long.in_pieces() { !may } else { !during_stop };
        if let Some(longest) = self.longest(kept, beside) {
            let ways_out = [(!may).then_some(PIECES), (!during_stop).then_some(DURING_STOP)];
            let ways_out: Vec<_> = ways_out.into_iter().flatten().collect();
            let text = format!("the live server stands still while it makes each of the longest values of the set: {longest}");
            problems.push(note(text).way_out(ways_out.join(" ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_values_are_kept_and_read_back() {
        let mut longest = Longest::default();
        let format = Format::of_version(11);
        let (set, stream) = (2, 15);
        let many = [("short", 10), ("a b", 300_000), ("c", 200_000), ("d", 900_000), ("e", 250_000), ("f", 160_000)];
        let values = many.map(|(key, elements)| (set, key, elements, 7)).into_iter();
        for (kind, key, elements, bytes) in values.chain([(stream, "s", 1, 40_000_000), (stream, "small", 1, 7_000_000)]) {
            longest.note(&KeyHead { kind, key: key.as_bytes().to_vec(), ..KeyHead::default() }, format, elements, bytes);
        }
        // A note of the last access goes by `RESTORE` only.
        longest.note(&KeyHead { kind: set, key: b"idle".to_vec(), idle_s: Some(1), ..KeyHead::default() }, format, 160_000, 7);
        let mut facts: BTreeMap<_, _> = longest.facts("storage").collect();
        let found = |facts: &BTreeMap<String, String>| -> Vec<_> {
            told(facts)
                .into_iter()
                .map(|(database, long)| (database.to_owned(), long.elements, long.key.clone(), long.in_pieces()))
                .collect()
        };
        let of = |elements, key: &str, in_pieces| ("storage".to_owned(), elements, key.to_owned(), in_pieces);
        let wanted =
            [of(900_000, "d", true), of(1, "s", false), of(300_000, "a b", true), of(250_000, "e", true), of(160_000, "idle", false)];
        assert_eq!(found(&facts), wanted);
        // Of before 0.2.0.
        facts.retain(|fact, _| !fact.starts_with(KIND));
        assert!(found(&facts).iter().all(|(_, _, _, in_pieces)| !in_pieces));
    }
}
