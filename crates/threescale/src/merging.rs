//! Classes of keys that go into live data that stays: how each does, and why others do not.

use plan::ids::DataSetName;

use crate::keys::{Class, KINDS, Keys, Store};
use crate::pattern;

/// How a key goes into live data that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// A counter of traffic: set, the larger one, or added, as was chosen.
    Count,
    /// A number that never goes down.
    Raise,
    /// Members that the live one lacks.
    Members,
    /// The same, without what System has taken.
    Events,
    /// Only where there is none.
    Missing,
    /// Entries that the live list lacks, at its end.
    OldestLast,
    /// Entries that the live list lacks, at its begin.
    OldestFirst,
}

impl Merge {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "count" => Self::Count,
            "raise" => Self::Raise,
            "members" => Self::Members,
            "events" => Self::Events,
            "missing" => Self::Missing,
            "oldest-last" => Self::OldestLast,
            "oldest-first" => Self::OldestFirst,
            _ => return None,
        })
    }

    /// Whether a value of that type, as `TYPE` calls it, can go so.
    #[must_use]
    pub fn fits(self, kind: &str) -> bool {
        match self {
            Self::Count | Self::Raise | Self::Missing => kind == "string",
            Self::Members => matches!(kind, "set" | "zset"),
            Self::Events => kind == "zset",
            Self::OldestLast | Self::OldestFirst => kind == "list",
        }
    }
}

/// Whether keys of a class can go into live data that stays.
fn merges(class: Class) -> bool {
    KINDS.iter().any(|kind| kind.class == class && kind.merge.is_some())
}

/// Why a class does not, and the other road.
const fn why_not(class: Class) -> &'static str {
    match class {
        Class::Configuration => {
            "System has the truth of it: `threescale-backup verify` says where Backend differs, and `threescale-backup verify --repair` sets it right"
        }
        Class::Jobs | Class::JobState | Class::Batch => {
            "a job that was done since would be done twice: a restore of the whole Redis takes jobs by their class, with `--queues`"
        }
        Class::UsageInFlight => {
            "what was in flight then was counted since, and would be counted twice; a restore of the whole Redis puts it back"
        }
        Class::PendingDeletion => {
            "backend-cron would erase the statistics of these services in its next daily run; a restore of the whole Redis keeps those that System has"
        }
        Class::AuthToken => "a token that was revoked since would be let in again; only Backend of 3scale 2.8 and before reads them",
        Class::Process | Class::Lock => {
            "it belongs to a process or a job that ran when the set was taken, and would hold up those that run now"
        }
        Class::JobNames => "it is made anew with the first job of a queue",
        Class::Transient | Class::Probe => "it is gone in a minute, and is made anew",
        Class::Legacy => "nothing reads it any more",
        Class::Usage | Class::Counter | Class::Events | Class::Errors | Class::Guard | Class::Record | Class::CustomerRecord => "",
    }
}

/// The class of a name, when its keys can go into live data that stays.
///
/// # Errors
/// A sentence for people: those there are, or why this one does not.
pub fn class_of(name: &str) -> Result<Class, String> {
    let those: Vec<_> = Class::all().filter(|class| merges(*class)).map(Class::as_str).collect();
    match Class::parse(name) {
        None => Err(format!("there is no class {name:?} of keys; those that go back alone are {}", those.join(", "))),
        Some(class) if merges(class) => Ok(class),
        Some(class) => Err(format!("{} do not go back alone: {}; those that do are {}", class.plural(), why_not(class), those.join(", "))),
    }
}

/// The data sets that have keys of these classes.
#[must_use]
pub fn data_sets_of(classes: &[Class]) -> Vec<DataSetName> {
    let has =
        |stores: &[Store]| KINDS.iter().any(|kind| stores.contains(&kind.store) && kind.merge.is_some() && classes.contains(&kind.class));
    let backend = has(&[Store::BackendStorage, Store::BackendQueues]).then_some(DataSetName::BackendRedis);
    backend.into_iter().chain(has(&[Store::SystemRedis]).then_some(DataSetName::SystemRedis)).collect()
}

/// Whether keys of a class name the service that they belong to.
#[must_use]
pub fn has_services(class: Class) -> bool {
    KINDS.iter().any(|kind| kind.class == class && kind.merge.is_some() && kind.pattern.contains("{service}"))
}

/// Whether Backend may call a service so: by its id, behind the prefix of its account where it has one.
#[must_use]
pub fn is_service(name: &str) -> bool {
    pattern::is_service(name.as_bytes())
}

/// Which keys of a logical database are wanted.
#[derive(Debug, Clone)]
pub struct Chosen {
    keys: Keys,
    classes: Vec<Class>,
    services: Vec<String>,
}

impl Chosen {
    /// Of these classes, and of these services where some are named.
    #[must_use]
    pub fn new(keys: Keys, classes: &[String], services: &[String]) -> Self {
        Self { keys, classes: classes.iter().filter_map(|name| Class::parse(name)).collect(), services: services.to_vec() }
    }

    /// Whether there can be any in this database.
    #[must_use]
    pub fn is_any(&self) -> bool {
        KINDS.iter().any(|kind| kind.store == self.keys.store() && self.classes.contains(&kind.class) && kind.merge.is_some())
    }

    /// The class of a key that is wanted, and how it goes; `None` when it is not wanted.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> Option<(Class, Option<Merge>)> {
        let known = self.keys.know(key).filter(|known| self.classes.contains(&known.kind.class))?;
        let is_named = |service: &[u8]| self.services.iter().any(|name| name.as_bytes() == service);
        let is_wanted = self.services.is_empty() || known.part("service").is_some_and(is_named);
        is_wanted.then_some((known.kind.class, known.kind.merge))
    }

    /// The key without what an installation may put before all its keys.
    #[must_use]
    pub fn bare<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.keys.bare(key)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_class_goes_back_alone_or_says_why_not() {
        for class in Class::all() {
            assert_eq!(merges(class), why_not(class).is_empty(), "{class}");
            assert_eq!(class_of(class.as_str()).is_ok(), merges(class), "{class}");
        }
        let unknown = class_of("usages").unwrap_err();
        assert!(unknown.contains("usage, counter, events, errors, guard, record, customer-record"), "{unknown}");
        assert!(class_of("jobs").unwrap_err().contains("--queues"));
        assert_eq!(data_sets_of(&[Class::Usage]), [DataSetName::BackendRedis]);
        assert_eq!(data_sets_of(&[Class::CustomerRecord]), [DataSetName::SystemRedis]);
        assert_eq!(data_sets_of(&[Class::Record]), [DataSetName::BackendRedis, DataSetName::SystemRedis]);
        assert!(has_services(Class::Usage) && has_services(Class::Events) && !has_services(Class::Counter));
    }

    #[test]
    fn the_type_of_the_data_file_is_one_that_can_go_so() {
        for kind in KINDS.iter() {
            let row = crate::rows::rows(crate::keys::DATA).find(|row| row.get("pattern") == kind.pattern).unwrap();
            let of = row.get("type").split(' ').next().unwrap_or_default().to_owned();
            assert!(kind.merge.is_none_or(|merge| merge.fits(&of)), "{}: {of}", kind.pattern);
            assert_eq!(row.get("merge").is_empty(), kind.merge.is_none(), "{}", kind.pattern);
        }
    }

    #[test]
    fn keys_are_chosen_by_class_and_service() {
        let keys = Keys::of(Store::BackendStorage, None);
        let chosen = |classes: &[&str], services: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            Chosen::new(keys.clone(), &owned(classes), &owned(services))
        };
        let odd = b"stats/{service:7}/cinstance:a+b/metric:9/c:d/metric:1/hour:201601021";
        assert_eq!(chosen(&["usage"], &[]).of(odd), Some((Class::Usage, Some(Merge::Count))));
        assert_eq!(chosen(&["usage"], &["7"]).of(odd), Some((Class::Usage, Some(Merge::Count))));
        assert_eq!(chosen(&["usage"], &["70"]).of(odd), None);
        assert_eq!(chosen(&["errors"], &[]).of(odd), None);
        let of_account = b"stats/{service:acme-7}/metric:1/hour:201601021";
        assert_eq!(chosen(&["usage"], &["acme-7"]).of(of_account), Some((Class::Usage, Some(Merge::Count))));
        assert_eq!(chosen(&["usage"], &["7"]).of(of_account), None, "another service");
        assert_eq!(chosen(&["events"], &["7"]).of(b"events/queue"), None, "which names no service");
        assert_eq!(chosen(&["events"], &[]).of(b"events/queue"), Some((Class::Events, Some(Merge::Events))));
        assert_eq!(chosen(&["usage"], &[]).of(b"service/id:7/state"), None);
    }
}
