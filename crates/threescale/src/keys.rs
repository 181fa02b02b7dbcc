//! Classes of keys in Redis: what a key is for, whom it belongs to, and what a restore does with it.

use std::fmt;
use std::sync::LazyLock;

use plan::ids::DataSetName;

use crate::merging::Merge;
use crate::pattern::{Part, Pattern};
use crate::rows::rows;

pub(crate) const DATA: &str = include_str!("../data/key-classes.tsv");

/// A logical database of 3scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Backend's configuration, usage and events.
    BackendStorage,
    /// Backend's jobs (Resque).
    BackendQueues,
    /// System's jobs (Sidekiq).
    SystemRedis,
}

impl Store {
    /// The database of a data set by its label in the set.
    #[must_use]
    pub fn of(data_set: DataSetName, label: &str) -> Option<Self> {
        match (data_set, label) {
            (DataSetName::SystemRedis, _) => Some(Self::SystemRedis),
            (DataSetName::BackendRedis, "storage") => Some(Self::BackendStorage),
            (DataSetName::BackendRedis, "queues") => Some(Self::BackendQueues),
            _ => None,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BackendStorage => "backend-storage",
            Self::BackendQueues => "backend-queues",
            Self::SystemRedis => "system-redis",
        }
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Copied from System, which is its source of truth.
    Configuration,
    /// Counters of traffic: only Backend has them.
    Usage,
    /// Traffic that is not counted yet.
    UsageInFlight,
    /// The last id that was given.
    Counter,
    /// What System is told, and has been told.
    Events,
    /// Errors of integration, which customers see.
    Errors,
    /// Services whose counters are erased at night.
    PendingDeletion,
    /// Jobs that wait, for a worker or for their time.
    Jobs,
    /// Which queues there are.
    JobNames,
    /// How far a job came.
    JobState,
    /// A worker process, its heartbeat and what it was doing.
    Process,
    /// Progress of a batch of jobs.
    Batch,
    /// Held by a job or a process until it ends.
    Lock,
    /// Keeps something from being done twice.
    Guard,
    /// Read by people: statistics, the schedule.
    Record,
    /// Read by customers, and kept nowhere else.
    CustomerRecord,
    /// Tokens of OAuth that Backend gave out itself.
    AuthToken,
    /// Gone in a minute.
    Transient,
    /// Written by a probe.
    Probe,
    /// Of a release before; nothing reads it.
    Legacy,
}

/// Each class under its name in the data file and for people, with what it is called in the plural.
const CLASSES: [(Class, &str, &str); 20] = [
    (Class::Configuration, "configuration", "keys of configuration"),
    (Class::Usage, "usage", "counters of usage"),
    (Class::UsageInFlight, "usage-in-flight", "lists of usage in flight"),
    (Class::Counter, "counter", "counters of ids"),
    (Class::Events, "events", "keys of events"),
    (Class::Errors, "errors", "lists of errors"),
    (Class::PendingDeletion, "pending-deletion", "lists of what is to be deleted"),
    (Class::Jobs, "jobs", "queues"),
    (Class::JobNames, "job-names", "lists of queues"),
    (Class::JobState, "job-state", "states of jobs"),
    (Class::Process, "process", "keys of worker processes"),
    (Class::Batch, "batch", "keys of batches"),
    (Class::Lock, "lock", "locks of jobs"),
    (Class::Guard, "guard", "guards"),
    (Class::Record, "record", "records"),
    (Class::CustomerRecord, "customer-record", "records of customers"),
    (Class::AuthToken, "auth-token", "tokens"),
    (Class::Transient, "transient", "transient keys"),
    (Class::Probe, "probe", "keys of probes"),
    (Class::Legacy, "legacy", "keys of releases before"),
];

impl Class {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        CLASSES.iter().find(|(_, name, _)| *name == text).map(|(class, ..)| *class)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CLASSES.iter().map(|(class, ..)| *class)
    }

    /// As the data file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        CLASSES.iter().find(|(class, ..)| *class == self).map_or("", |(_, name, _)| name)
    }

    /// For people, in the plural.
    #[must_use]
    pub fn plural(self) -> &'static str {
        CLASSES.iter().find(|(class, ..)| *class == self).map_or("", |(.., plural)| plural)
    }

    /// `1 lock of jobs`, `2 locks of jobs`.
    #[must_use]
    pub fn counted(self, keys: u64) -> String {
        let plural = self.plural();
        if keys != 1 {
            return format!("{keys} {plural}");
        }
        let (noun, rest) = plural.find(" of ").map_or((plural, ""), |at| plural.split_at(at));
        format!("1 {}{rest}", noun.strip_suffix('s').unwrap_or(noun))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a kind of key.
#[derive(Debug)]
pub struct Kind {
    /// Where it is.
    pub store: Store,
    /// As the data file writes it.
    pub pattern: &'static str,
    /// What it is for.
    pub class: Class,
    /// What a restore has to heed.
    pub care: &'static str,
    /// How it goes into live data that stays; `None`: not at all.
    pub merge: Option<Merge>,
    patterns: Vec<Pattern>,
}

pub(crate) static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let stores = [Store::BackendStorage, Store::BackendQueues, Store::SystemRedis];
    let kind = |row: crate::rows::Row| {
        let store = stores.into_iter().find(|store| store.as_str() == row.get("store"))?;
        // The row of the class `prefix` tells of all other keys: [`Keys`] knows it.
        let class = Class::parse(row.get("class"))?;
        let pattern = row.get("pattern");
        let (care, merge) = (row.get("twice_or_trap"), Merge::parse(row.get("merge")));
        Some(Kind { store, pattern, class, care, merge, patterns: Pattern::spread(pattern) })
    };
    rows(DATA).filter_map(kind).collect()
});

/// A key that is known.
#[derive(Debug)]
pub struct Known<'k> {
    /// Its kind.
    pub kind: &'static Kind,
    parts: Vec<Part<'k>>,
}

impl<'k> Known<'k> {
    /// A part of the key by its name in the pattern.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&'k [u8]> {
        self.parts.iter().find(|(part, _)| *part == name).map(|(_, text)| *text)
    }
}

/// Knows the keys of one logical database.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    /// `NAMESPACE:` of 3scale 2.14 and before; empty when there is none.
    prefix: Vec<u8>,
}

impl Keys {
    /// `namespace` may stand before System's keys, or not: some are from before it was set.
    #[must_use]
    pub fn of(store: Store, namespace: Option<&str>) -> Self {
        let name = namespace.map(|name| name.trim_end_matches(':')).filter(|name| !name.is_empty() && store == Store::SystemRedis);
        Self { store, prefix: name.map(|name| format!("{name}:").into_bytes()).unwrap_or_default() }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> Store {
        self.store
    }

    /// A key without what the installation puts before its keys.
    pub(crate) fn bare<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key.strip_prefix(self.prefix.as_slice()).unwrap_or(key)
    }

    /// What is known of a key; `None` when nothing is.
    #[must_use]
    pub fn know<'k>(&self, key: &'k [u8]) -> Option<Known<'k>> {
        let own = self.bare(key);
        let of_store = KINDS.iter().filter(|kind| kind.store == self.store);
        let fit = |kind: &'static Kind| kind.patterns.iter().find_map(|pattern| pattern.parts(own)).map(|parts| Known { kind, parts });
        of_store.into_iter().find_map(fit)
    }
}

#[cfg(test)]
mod tests;
