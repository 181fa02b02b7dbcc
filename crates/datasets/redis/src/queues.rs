//! Which keys are job queues and what belongs to running jobs, and what a restore leaves out of them, as one table.
//!
//! A job that was done after the backup must not be done again: a card would be charged twice, a mail sent twice, an object deleted that the
//! restore has just brought back (3scale facts, sections 4 and 5). So with [`plan::Queues::Drop`] the jobs stay in the set, with all that only means
//! something to them (processes, batches, locks). What customers see, what people decide about by hand, statistics and the schedule are always
//! restored, and so is every key that no rule names. The storage database of Backend has no jobs: nothing of it is ever left out.
//!
//! Jobs that were enqueued between the backup and the restore are in the previous data: the cut-over brings in databases without queues, and what
//! was live is kept at the place until `settle`, where `redis-cli` can read it.

use plan::evidence::Evidence;
use plan::ids::DataSetName;
/// What a key is to the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Jobs that wait, for a worker or for their time.
    Jobs,
    /// Which queues there are.
    Names,
    /// A worker process, its heartbeat and what it was doing.
    Process,
    /// Progress of a batch of jobs.
    Batch,
    /// Held by a job until it ends.
    Lock,
    /// Keeps something from being done twice.
    Guard,
    /// Read by people: failures, statistics, the schedule.
    Record,
}

impl Class {
    /// For people, in the plural.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "queues",
            Self::Names => "lists of queues",
            Self::Process => "keys of worker processes",
            Self::Batch => "keys of batches",
            Self::Lock => "locks of jobs",
            Self::Guard => "guards",
            Self::Record => "records",
        }
    }
}

/// How a key is recognised, after its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Exact(&'static str),
    Prefix(&'static str),
    /// Both ends, with something between them.
    Around(&'static str, &'static str),
    /// `<host>:<pid>:<12 hexadecimal digits>`, alone or with one of Sidekiq's endings.
    SidekiqProcess,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Rule {
    pattern: Pattern,
    class: Class,
    dropped: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "the reason stands beside its rule; a test sees that there is one"))]
    why: &'static str,
}

const fn dropped(pattern: Pattern, class: Class, why: &'static str) -> Rule {
    Rule { pattern, class, dropped: true, why }
}

const fn kept(pattern: Pattern, class: Class, why: &'static str) -> Rule {
    Rule { pattern, class, dropped: false, why }
}

use Pattern::{Around, Exact, Prefix, SidekiqProcess};

/// System: Sidekiq and what is built on it. The first line that fits counts; a key that fits none is restored.
const SYSTEM: &[Rule] = &[
    dropped(Prefix("queue:"), Class::Jobs, "billing charges cards, mailers send mail, deletion deletes by id: not twice"),
    dropped(Exact("schedule"), Class::Jobs, "jobs for later: their time has passed, they would all run at once"),
    dropped(Exact("retry"), Class::Jobs, "jobs that failed half-way: most have been done since"),
    kept(Exact("dead"), Class::Record, "nothing runs it but a person, by hand"),
    dropped(Exact("queues"), Class::Names, "Sidekiq adds a queue with its first job"),
    dropped(Exact("processes"), Class::Process, "the processes of then are gone"),
    dropped(SidekiqProcess, Class::Process, "heartbeat, running jobs and signals of a process that is gone"),
    dropped(Prefix("BID-"), Class::Batch, "counts jobs that were left out: it would never be complete"),
    kept(Prefix("billing-summary-"), Class::Record, "results of billing; expires by itself"),
    dropped(Prefix("throttled:"), Class::Lock, "counts running jobs: new ones would wait for those of then"),
    dropped(
        Prefix("activejob_uniqueness:"),
        Class::Lock,
        "its job was left out: until it expires (a day) the same job could not be enqueued",
    ),
    kept(Prefix("lock:billing:"), Class::Guard, "keeps a buyer from being charged twice within the hour; never unlocked on purpose"),
    dropped(Prefix("lock:"), Class::Lock, "whoever held it is gone"),
    kept(Exact("cron_jobs"), Class::Record, "the schedule itself"),
    kept(Around("cron_job:", ":enqueued"), Class::Guard, "remembers the ticks that have fired, so that none fires again"),
    kept(Prefix("cron_job:"), Class::Record, "the schedule itself"),
    kept(Prefix("stat:"), Class::Record, "how many jobs there were"),
    kept(Prefix("webhooks:failures:"), Class::Record, "customers read it by the API; kept nowhere else"),
];

/// Backend's queues database: Resque.
const BACKEND: &[Rule] = &[
    dropped(
        Prefix("resque:queue:"),
        Class::Jobs,
        "reports add to counters: the same traffic would be counted twice, at the time of the restore",
    ),
    dropped(Exact("resque:failed"), Class::Jobs, "backend-cron enqueues it again by itself"),
    dropped(Exact("resque:queues"), Class::Names, "Resque adds a queue with its first job"),
    dropped(Exact("resque:workers"), Class::Process, "the workers of then are gone"),
    dropped(Prefix("resque:workers:"), Class::Process, "their heartbeats"),
    dropped(Prefix("resque:worker:"), Class::Process, "what they were doing"),
    dropped(Exact("resque:pruning_dead_workers_in_progress"), Class::Lock, "whoever held it is gone"),
    dropped(Around("resque:", ":lock"), Class::Lock, "whoever held it is gone"),
    kept(Prefix("resque:stat:"), Class::Record, "how many jobs there were"),
];

/// The rules of one logical database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    table: &'static [Rule],
    /// `NAMESPACE:` of 3scale 2.14 and before.
    prefix: Vec<u8>,
}

impl Rules {
    /// The rules of a database by its label in the set. `namespace` may stand before System's keys, or not.
    pub(crate) fn of(data_set: DataSetName, label: &str, namespace: Option<&str>) -> Self {
        let table = match (data_set, label) {
            (DataSetName::SystemRedis, _) => SYSTEM,
            (DataSetName::BackendRedis, "queues") => BACKEND,
            _ => &[],
        };
        let prefix = namespace.map(|name| name.trim_end_matches(':')).filter(|name| !name.is_empty());
        Self { table, prefix: prefix.map(|name| format!("{name}:").into_bytes()).unwrap_or_default() }
    }

    /// The class of a key that is left out; `None` for one that is restored.
    pub(crate) fn left_out(&self, key: &[u8]) -> Option<Class> {
        let own = key.strip_prefix(self.prefix.as_slice()).unwrap_or(key);
        let rule = self.table.iter().find(|rule| rule.pattern.fits(own))?;
        rule.dropped.then_some(rule.class)
    }
}

impl Pattern {
    fn fits(self, key: &[u8]) -> bool {
        match self {
            Exact(text) => key == text.as_bytes(),
            Prefix(text) => key.starts_with(text.as_bytes()),
            Around(begin, end) => key.len() > begin.len() + end.len() && key.starts_with(begin.as_bytes()) && key.ends_with(end.as_bytes()),
            SidekiqProcess => is_process(key),
        }
    }
}

/// Sidekiq's identity of a process (`lib/sidekiq/component.rb`): host, process id, six random bytes.
fn is_process(key: &[u8]) -> bool {
    let endings: [&[u8]; 3] = [b":work", b":workers", b"-signals"];
    let identity = endings.iter().find_map(|ending| key.strip_suffix(*ending)).unwrap_or(key);
    let mut fields = identity.rsplitn(3, |byte| *byte == b':');
    let (nonce, pid, host) = (fields.next(), fields.next(), fields.next());
    nonce.is_some_and(|nonce| nonce.len() == 12 && nonce.iter().all(u8::is_ascii_hexdigit))
        && pid.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
        && host.is_some_and(|host| !host.is_empty())
}

/// Begin of the facts that tell the lengths of queues: `queue.<database>.<key>`.
pub(crate) const FACT: &str = "queue.";

/// The queues that a set holds, and what a restore with [`plan::Queues::Drop`] leaves out: database, queue, jobs.
#[must_use]
pub fn queues_of(evidence: &Evidence) -> Vec<(String, String, u64)> {
    let queue = |(fact, jobs): (&String, &String)| {
        let (database, queue) = fact.strip_prefix(FACT)?.split_once('.')?;
        Some((database.to_owned(), queue.to_owned(), jobs.parse().ok()?))
    };
    evidence.facts.iter().filter_map(queue).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Rules {
        Rules::of(DataSetName::SystemRedis, "main", None)
    }

    fn backend() -> Rules {
        Rules::of(DataSetName::BackendRedis, "queues", None)
    }

    #[test]
    fn every_rule_of_system_does_what_it_says() {
        for (key, class) in [
            ("queue:mailers", Some(Class::Jobs)),
            ("queue:billing", Some(Class::Jobs)),
            ("schedule", Some(Class::Jobs)),
            ("retry", Some(Class::Jobs)),
            ("queues", Some(Class::Names)),
            ("processes", Some(Class::Process)),
            ("system-sidekiq-5c9f-x2x:7:0123456789ab", Some(Class::Process)),
            ("system-sidekiq-5c9f-x2x:7:0123456789ab:work", Some(Class::Process)),
            ("system-sidekiq-5c9f-x2x:7:0123456789ab:workers", Some(Class::Process)),
            ("system-sidekiq-5c9f-x2x:7:0123456789ab-signals", Some(Class::Process)),
            ("BID-aBc_9", Some(Class::Batch)),
            ("BID-aBc_9-jids", Some(Class::Batch)),
            ("throttled:web_hook_worker:concurrency.v2", Some(Class::Lock)),
            ("activejob_uniqueness:delete_object:no_arguments", Some(Class::Lock)),
            ("lock:import", Some(Class::Lock)),
            ("lock:billing:42", None),
            ("billing-summary-xyz", None),
            ("dead", None),
            ("cron_jobs", None),
            ("cron_job:billing", None),
            ("cron_job:billing:enqueued", None),
            ("cron_job:billing:jid_history", None),
            ("stat:processed:2024-05-01", None),
            ("webhooks:failures:provider-2", None),
        ] {
            assert_eq!(system().left_out(key.as_bytes()), class, "{key}");
        }
    }

    #[test]
    fn every_rule_of_backends_queues_does_what_it_says() {
        for (key, class) in [
            ("resque:queue:priority", Some(Class::Jobs)),
            ("resque:failed", Some(Class::Jobs)),
            ("resque:queues", Some(Class::Names)),
            ("resque:workers", Some(Class::Process)),
            ("resque:workers:heartbeat", Some(Class::Process)),
            ("resque:worker:host:1:main:started", Some(Class::Process)),
            ("resque:pruning_dead_workers_in_progress", Some(Class::Lock)),
            ("resque:threescale::backend::failedjobsscheduler:lock", Some(Class::Lock)),
            ("resque:stat:processed", None),
            ("queue:main", None),
        ] {
            assert_eq!(backend().left_out(key.as_bytes()), class, "{key}");
        }
    }

    #[test]
    fn every_rule_has_its_reason_and_is_not_hidden_by_one_before() {
        for table in [SYSTEM, BACKEND] {
            for (position, rule) in table.iter().enumerate() {
                assert!(rule.why.len() > 10, "{:?}", rule.pattern);
                let (Exact(text) | Prefix(text)) = rule.pattern else { continue };
                let first = table.iter().position(|rule| rule.pattern.fits(text.as_bytes()));
                assert_eq!(first, Some(position), "{text}");
            }
        }
    }

    #[test]
    fn unknown_keys_and_the_storage_database_are_never_left_out() {
        for key in [
            "ratelimit:signup:1.2.3.4",
            "queued",
            "scheduled",
            "a:b:0123456789ab",
            "host:7:0123456789a",
            ":7:0123456789ab",
            "j|20240501",
            "",
            "xlock:a",
        ] {
            assert_eq!(system().left_out(key.as_bytes()), None, "{key}");
        }
        let storage = Rules::of(DataSetName::BackendRedis, "storage", None);
        for key in ["resque:queue:main", "queue:main", "resque:failed", "processes"] {
            assert_eq!(storage.left_out(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn a_namespace_may_stand_before_the_keys() {
        for namespace in ["porta", "porta:"] {
            let rules = Rules::of(DataSetName::SystemRedis, "main", Some(namespace));
            assert_eq!(rules.left_out(b"porta:queue:low"), Some(Class::Jobs));
            assert_eq!(rules.left_out(b"queue:low"), Some(Class::Jobs), "keys from before it was set");
            assert_eq!(rules.left_out(b"porta:webhooks:failures:provider-2"), None);
            assert_eq!(rules.left_out(b"other:queue:low"), None, "somebody else's");
        }
        assert_eq!(system().left_out(b"porta:queue:low"), None);
    }

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
}
