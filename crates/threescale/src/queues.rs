//! What a restore does with a key, by its class and by what the operator chose for job queues.
//!
//! A job that was done after the backup must not be done again: a card would be charged twice, a mail sent twice, an object deleted that the restore has just brought back.
//! What only means something to jobs that are left out (processes, batches, locks) goes with them: a batch would never be complete, a lock would keep the same job from being
//! enqueued. What customers see, what people decide about by hand, statistics and the schedule always go back, and so does every key that nobody knows. Backend's storage has
//! no jobs: nothing of it is ever left out.

use plan::Queues;

use crate::jobs::{self, NO_JOB};
use crate::keys::{Class, Keys, Known, Store};

/// Reports of traffic that are not counted yet (apisonator, `lib/3scale/backend/transactor/notify_batcher.rb`): a list in Backend's storage.
pub const IN_FLIGHT: &[u8] = b"notify/aggregator/batch";

/// Where jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The set of the names of the queues.
    pub names: &'static str,
    /// What stands before a name in the key of its list.
    pub prefix: &'static str,
    /// The set of the keys of the processes that do them; each is a hash with `busy`, written every ten seconds.
    pub processes: Option<&'static str>,
}

/// Of System: Sidekiq (`lib/sidekiq/api.rb`).
pub const SYSTEM: Waiting = Waiting { names: "queues", prefix: "queue:", processes: Some("processes") };
/// Of Backend: Resque (`lib/resque/data_store.rb`), whose namespace is `resque`.
pub const BACKEND: Waiting = Waiting { names: "resque:queues", prefix: "resque:queue:", processes: None };

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes back.
    Back,
    /// It is left out.
    LeftOut(Class),
    /// It holds jobs, and each has its own fate ([`Selection::keeps`]).
    ByJob,
}

/// What an operator chose, for one logical database.
#[derive(Debug, Clone)]
pub struct Selection {
    keys: Option<Keys>,
    queues: Queues,
}

impl Selection {
    /// `keys` is `None` for a database that nobody knows: all of it goes back.
    #[must_use]
    pub const fn new(keys: Option<Keys>, queues: Queues) -> Self {
        Self { keys, queues }
    }

    /// The database, when anybody knows it.
    #[must_use]
    pub fn store(&self) -> Option<Store> {
        self.keys.as_ref().map(Keys::store)
    }

    /// The fate of a key.
    #[must_use]
    pub fn fate(&self, key: &[u8]) -> Fate {
        let Some(keys) = self.keys.as_ref().filter(|keys| keys.store() != Store::BackendStorage && self.queues != Queues::Keep) else {
            return Fate::Back;
        };
        keys.know(key).map_or(Fate::Back, |known| self.fate_of(&known))
    }

    /// Whether jobs are chosen by their class.
    #[must_use]
    pub const fn is_by_class(&self) -> bool {
        matches!(self.queues, Queues::Safe | Queues::Only(_))
    }

    /// Whether a job of this class goes back.
    #[must_use]
    pub fn keeps(&self, class: &str) -> bool {
        match &self.queues {
            Queues::Keep => true,
            Queues::Drop => false,
            Queues::Safe => jobs::kind(class).is_some_and(|kind| kind.is_safe),
            Queues::Only(names) => class != NO_JOB && names.iter().any(|name| jobs::is_meant(class, name)),
        }
    }

    fn fate_of(&self, known: &Known<'_>) -> Fate {
        let class = known.kind.class;
        let stays = match class {
            Class::Jobs if self.is_by_class() => return Fate::ByJob,
            Class::Jobs | Class::Process => false,
            // Names of queues that are empty do no harm.
            Class::JobNames => self.is_by_class(),
            Class::Batch => self.keeps_any(|kind| kind.is_of_a_batch),
            Class::JobState => self.keeps_any(|kind| kind.is_iterable),
            Class::Lock => known.kind.pattern.starts_with("activejob_uniqueness:") && self.keeps_owner(known),
            _ => true,
        };
        if stays { Fate::Back } else { Fate::LeftOut(class) }
    }

    fn keeps_any(&self, wanted: impl Fn(&jobs::Kind) -> bool) -> bool {
        self.is_by_class() && jobs::KINDS.iter().any(|kind| wanted(kind) && self.keeps(kind.class))
    }

    /// Whether the class of jobs that a lock names goes back.
    fn keeps_owner(&self, known: &Known<'_>) -> bool {
        let owner = known.part("job").map(underscored);
        self.keeps_any(|kind| owner.as_ref() == Some(&underscored(kind.class.as_bytes())))
    }
}

/// A class as Rails writes it in names: `SetTenantIdWorker::Batch` and `set_tenant_id_worker/batch` are one.
fn underscored(class: &[u8]) -> String {
    let mut name = String::new();
    for sign in String::from_utf8_lossy(class).replace("::", "/").chars() {
        if sign.is_ascii_uppercase() && name.chars().last().is_some_and(|before| before != '/' && before != '_') {
            name.push('_');
        }
        name.push(sign.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(queues: Queues, key: &str) -> Fate {
        Selection::new(Some(Keys::of(Store::SystemRedis, None)), queues).fate(key.as_bytes())
    }

    #[test]
    fn what_belongs_to_jobs_goes_with_them() {
        let only = |class: &str| Queues::Only(vec![class.to_owned()]);
        for (key, dropped) in [
            ("queue:low", Class::Jobs),
            ("schedule", Class::Jobs),
            ("queues", Class::JobNames),
            ("host:7:0123456789ab", Class::Process),
            ("BID-a-jids", Class::Batch),
            ("it-a", Class::JobState),
            ("lock:import", Class::Lock),
            ("activejob_uniqueness:BackendMetricWorker:no_arguments", Class::Lock),
        ] {
            assert_eq!(fate(Queues::Drop, key), Fate::LeftOut(dropped), "{key}");
            assert_eq!(fate(Queues::Keep, key), Fate::Back, "{key}");
        }
        for key in [
            "dead",
            "webhooks:failures:provider-2",
            "cron_jobs",
            "cron_job:daily_jobs:enqueued",
            "lock:billing:4",
            "stat:failed",
            "who knows",
        ] {
            for queues in [Queues::Drop, Queues::Safe, Queues::Keep, only("ZyncWorker")] {
                assert_eq!(fate(queues, key), Fate::Back, "{key}");
            }
        }
        assert_eq!(fate(Queues::Safe, "queue:billing"), Fate::ByJob);
        assert_eq!(fate(Queues::Safe, "retry"), Fate::ByJob);
        assert_eq!(fate(Queues::Safe, "queues"), Fate::Back);
        assert_eq!(fate(Queues::Safe, "BID-a"), Fate::LeftOut(Class::Batch), "no safe job is of a batch");
        assert_eq!(fate(only("BillingWorker"), "BID-a"), Fate::Back);
        assert_eq!(fate(Queues::Safe, "it-a"), Fate::Back, "a safe job keeps its progress there");
        assert_eq!(fate(only("ZyncWorker"), "it-a"), Fate::LeftOut(Class::JobState));
        assert_eq!(
            fate(Queues::Safe, "throttled:backend_metric_worker:concurrency.v2"),
            Fate::LeftOut(Class::Lock),
            "it counts running jobs"
        );
    }

    #[test]
    fn a_lock_goes_back_with_its_own_class_alone() {
        for key in ["activejob_uniqueness:backend_metric_worker:0af", "activejob_uniqueness:BackendMetricWorker:no_arguments"] {
            assert_eq!(fate(Queues::Safe, key), Fate::Back);
            assert_eq!(fate(Queues::Only(vec!["ZyncWorker".to_owned()]), key), Fate::LeftOut(Class::Lock));
        }
        let deletion = "activejob_uniqueness:delete_object_hierarchy_worker:0af";
        assert_eq!(fate(Queues::Safe, deletion), Fate::LeftOut(Class::Lock));
        assert_eq!(underscored(b"SetTenantIdWorker::BatchEnqueueWorker"), "set_tenant_id_worker/batch_enqueue_worker");
    }

    #[test]
    fn jobs_are_chosen_by_class() {
        let selection = |queues| Selection::new(Some(Keys::of(Store::SystemRedis, None)), queues);
        let safe = selection(Queues::Safe);
        assert!(safe.keeps("ZyncWorker") && !safe.keeps("BillingWorker") && !safe.keeps("Unknown") && !safe.keeps(NO_JOB));
        let only = selection(Queues::Only(vec!["PostOffice".to_owned(), "Unknown".to_owned()]));
        assert!(only.keeps("ActionMailer::MailDeliveryJob PostOffice") && only.keeps("Unknown") && !only.keeps("ZyncWorker"));
    }

    #[test]
    fn usage_in_flight_is_a_class_of_its_own() {
        let known = Keys::of(Store::BackendStorage, None).know(IN_FLIGHT).map(|known| known.kind.class);
        assert_eq!(known, Some(Class::UsageInFlight));
    }

    #[test]
    fn nothing_of_backends_storage_is_left_out() {
        for queues in [Queues::Drop, Queues::Safe] {
            let storage = Selection::new(Some(Keys::of(Store::BackendStorage, None)), queues.clone());
            for key in ["resque:queue:main", "queue:main", "events/ping", "notify/aggregator/batch"] {
                assert_eq!(storage.fate(key.as_bytes()), Fate::Back);
            }
            assert_eq!(Selection::new(None, queues).fate(b"queue:low"), Fate::Back);
        }
    }
}
