//! Job queues: what a restore leaves out, that the proof stays exact, and that the choice is the place's.

use std::sync::{Arc, Mutex};

use lab::Redis;
use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, Event, Place, Road, Snapshot, Watch};

use super::scene::*;
use crate::connection::Connection;
use crate::{Address, Options, RedisStore, queues_of};
use plan::Queues;

/// Keys that a restore with [`Queues::Drop`] leaves out.
const JOBS: [&str; 10] = [
    "RPUSH queue:mailers one two three",
    "RPUSH queue:billing charge",
    "ZADD schedule 1 later 2 even-later",
    "ZADD retry 1 again",
    "SADD queues mailers billing",
    "SADD processes host-1:7:0123456789ab",
    "HSET host-1:7:0123456789ab busy 1",
    "HSET BID-abc pending 3",
    "SET lock:import x PX 90000000",
    "SET activejob_uniqueness:delete:no_arguments x PX 90000000",
];

/// Keys that always come back.
const OTHERS: [&str; 7] = [
    "RPUSH webhooks:failures:provider-2 failed failed-again",
    "ZADD dead 1 buried",
    "SET stat:processed 12",
    "HSET cron_job:billing cron daily",
    "ZADD cron_job:billing:enqueued 1 tick",
    "SET lock:billing:42 x PX 90000000",
    "SET something:else x",
];

fn system_store(server: &Redis, queues: Queues, namespace: Option<&str>) -> RedisStore {
    let options = Options { queues, namespace: namespace.map(str::to_owned), ..Options::default() };
    RedisStore::new(DataSetName::SystemRedis, vec![("", Address::parse(&server.url(1)).unwrap())], options).unwrap()
}

fn filled(options: &[&str]) -> Redis {
    let server = Redis::start(options).unwrap();
    let mut connection = connect(&server, 1);
    JOBS.iter().chain(&OTHERS).for_each(|words| drop(say(&mut connection, words)));
    server
}

fn keys(server: &Redis, database: u32) -> Vec<String> {
    let mut keys: Vec<String> = say(&mut connect(server, database), "KEYS *").list().iter().map(crate::connection::Reply::text).collect();
    keys.sort();
    keys
}

fn names(commands: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = commands.iter().map(|words| words.split(' ').nth(1).unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Remembers notes.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Watch for Ear {
    fn see(&self, event: Event<'_>) {
        if let Event::Note(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

#[test]
fn a_set_tells_its_queues_and_a_restore_leaves_them_out_and_says_so() {
    let server = filled(&[]);
    let store = system_store(&server, Queues::Drop, None);
    let set = backup(&store).unwrap();
    let expected = [("queue:billing", 1), ("queue:mailers", 3), ("retry", 1), ("schedule", 2)];
    let expected: Vec<_> = expected.map(|(queue, jobs)| ("main".to_owned(), queue.to_owned(), jobs)).into();
    assert_eq!(queues_of(&set.kept.evidence), expected);

    say(&mut connect(&server, 1), "RPUSH queue:mailers newer");
    let ear = Arc::new(Ear::default());
    let context = Context { watch: Arc::clone(&ear) as Arc<dyn Watch>, ..context("q1") };
    let place = store.reserve(&context, &set.kept, Road::SideCopy).unwrap();
    store.stage(&context, &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
    let notes = ear.0.lock().unwrap().clone();
    for note in
        ["left out: queue:mailers 3 jobs", "left out: queue:billing 1 job", "left out: schedule 2 jobs", "left out: 2 locks of jobs"]
    {
        assert!(notes.iter().any(|said| said == note), "{note}: {notes:?}");
    }
    assert_eq!(differences(&store, &set, &place, "q1"), Vec::<String>::new());
    store.cut_over(&context, &place).unwrap();
    assert_eq!(keys(&server, 1), names(&OTHERS));
    let side = u32::try_from(place.0["servers"][0][0]["side"].as_u64().unwrap()).unwrap();
    assert_eq!(say(&mut connect(&server, side), "LLEN queue:mailers").number(), Some(4), "what was live is kept until settle");

    store.undo(&context, &place).unwrap();
    assert_eq!(differences(&store, &set, &place, "q1"), Vec::<String>::new(), "the record goes with the copy");
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!((keys(&server, 1), keys(&server, side).len()), (names(&OTHERS), 0));
}

#[test]
fn in_place_the_queues_are_left_out_as_well_and_the_record_goes_with_settle() {
    let server = filled(&["--appendonly", "yes"]);
    let store = system_store(&server, Queues::Drop, None);
    let set = backup(&store).unwrap();
    let place = restore(&store, &set, "q2", Road::InPlace);
    store.discard(&context("q2"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(keys(&server, 1), names(&OTHERS));
}

/// The proof must find a difference after each of these commands, in the copy.
fn tampered(road: Road, tampering: &[&str]) {
    let server = filled(&[]);
    let store = system_store(&server, Queues::Drop, None);
    let set = backup(&store).unwrap();
    for (number, words) in tampering.iter().enumerate() {
        let run = format!("t{number}");
        let place = stage(&store, &set, &run, road).unwrap();
        assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new());
        let copy = place.0["servers"][0][0]["side"].as_u64().map_or(1, |side| u32::try_from(side).unwrap());
        say(&mut connect(&server, copy), words);
        assert_ne!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{words}");
        store.discard(&context(&run), &place, plan::ports::Discard::Previous).unwrap();
    }
}

#[test]
fn a_key_that_should_be_there_and_is_not_fails_the_proof_and_so_does_one_that_should_not() {
    let tampering = [
        "DEL webhooks:failures:provider-2",
        "DEL lock:billing:42",
        "LPOP webhooks:failures:provider-2",
        "RPUSH queue:mailers one two three",
        "SET lock:import x PX 90000000",
        "ZADD retry 1 again",
        "SADD queues mailers billing",
    ];
    tampered(Road::SideCopy, &tampering);
    tampered(Road::InPlace, &tampering);
}

#[test]
fn the_choice_is_the_places_whatever_the_options_are_later() {
    let server = filled(&[]);
    let (keeps, drops) = (system_store(&server, Queues::Keep, None), system_store(&server, Queues::Drop, None));
    let set = backup(&keeps).unwrap();
    let all: Vec<&str> = JOBS.iter().chain(&OTHERS).copied().collect();
    let stage_with = |store: &RedisStore, place: &Place, run: &str| {
        store.stage(&context(run), place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
        assert_eq!(differences(store, &set, place, run), Vec::<String>::new());
        store.cut_over(&context(run), place).unwrap();
        store.discard(&context(run), place, plan::ports::Discard::Previous).unwrap();
    };
    let dropping = drops.reserve(&context("p1"), &set.kept, Road::SideCopy).unwrap();
    stage_with(&keeps, &dropping, "p1");
    assert_eq!(keys(&server, 1), names(&OTHERS));

    let mut keeping = keeps.reserve(&context("p2"), &set.kept, Road::SideCopy).unwrap();
    keeping.0.as_object_mut().unwrap().remove("queues").unwrap();
    stage_with(&drops, &keeping, "p2");
    assert_eq!(keys(&server, 1), names(&all), "a place of an older version keeps them");
}

#[test]
fn only_the_queues_database_of_backend_is_filtered() {
    let server = Redis::start(&[]).unwrap();
    let fill = |connection: &mut Connection| {
        for words in [
            "RPUSH resque:queue:main a b",
            "SADD resque:queues main",
            "RPUSH resque:failed x",
            "SET resque:stat:processed 3",
            "SET queue:x 1",
        ] {
            say(connection, words);
        }
    };
    fill(&mut connect(&server, 0));
    fill(&mut connect(&server, 1));
    let store = store_with(&server, Options { queues: Queues::Drop, ..Options::default() });
    let set = backup(&store).unwrap();
    let expected = [("resque:failed", 1), ("resque:queue:main", 2)];
    let expected: Vec<_> = expected.map(|(queue, jobs)| ("queues".to_owned(), queue.to_owned(), jobs)).into();
    assert_eq!(queues_of(&set.kept.evidence), expected);
    damage(&server);
    let place = restore(&store, &set, "b1", Road::SideCopy);
    store.discard(&context("b1"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(keys(&server, 0).len(), 5);
    assert_eq!(keys(&server, 1), ["queue:x", "resque:stat:processed"]);
}

#[test]
fn keys_under_a_namespace_are_known_and_a_scan_counts_queues_as_well() {
    let server = Redis::start(&["--user", "managed", "on", ">pw", "~*", "&*", "+@all", "-psync", "-sync", "-replconf"]).unwrap();
    let mut connection = connect(&server, 1);
    for words in ["RPUSH porta:queue:low 1 2", "SET porta:stat:failed 1"] {
        say(&mut connection, words);
    }
    let address = Address::parse(&format!("redis://managed:pw@127.0.0.1:{}/1", server.port())).unwrap();
    let options = Options { queues: Queues::Drop, namespace: Some("porta".to_owned()), ..Options::default() };
    let store = RedisStore::new(DataSetName::SystemRedis, vec![("", address)], options).unwrap();
    let set = backup(&store).unwrap();
    assert_eq!(queues_of(&set.kept.evidence), [("main".to_owned(), "porta:queue:low".to_owned(), 2)]);
    let place = restore(&store, &set, "n1", Road::SideCopy);
    store.discard(&context("n1"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(keys(&server, 1), ["porta:stat:failed"]);
}

/// A job as Sidekiq writes it.
fn job(class: &str, id: u32) -> String {
    format!(r#"{{"class":"{class}","args":[{id}],"jid":"j{id}"}}"#)
}

fn push(server: &Redis, words: &[&str]) {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    connect(server, 1).call(&words).unwrap();
}

/// Queues with jobs of several classes each, and what belongs to them.
fn with_classes() -> Redis {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    for (id, class) in ["ZyncWorker", "BillingWorker", "ZyncWorker", "Nobody::Knows", "BackendMetricWorker"].into_iter().enumerate() {
        push(&server, &["RPUSH", "queue:default", &job(class, u32::try_from(id).unwrap())]);
    }
    push(&server, &["RPUSH", "queue:default", "no job", ""]);
    push(&server, &["RPUSH", "queue:billing", &job("BillingWorker", 10)]);
    push(
        &server,
        &[
            "ZADD",
            "schedule",
            "1767607200.25",
            &job("ZyncWorker", 20),
            "-inf",
            &job("LastTrafficWorker", 21),
            "4102444800",
            &job("MessageWorker", 22),
        ],
    );
    push(
        &server,
        &["RPUSH", "queue:long", &job("ZyncWorker", 30), &format!(r#"{{"class":"ZyncWorker","args":["{}"]}}"#, "x".repeat(3 << 20))],
    );
    push(&server, &["SET", "queue:odd", "no list"]);
    for words in [
        "SADD queues default billing",
        "SET activejob_uniqueness:backend_metric_worker:0af x PX 90000000",
        "SET lock:import x PX 90000000",
        "SET activejob_uniqueness:delete_object_hierarchy_worker:0af x PX 90000000",
        "HSET BID-a pending 1",
        "HSET it-j4 c 1",
        "ZADD dead 1 buried",
        "RPUSH webhooks:failures:provider-2 f",
    ] {
        say(&mut connect(&server, 1), words);
    }
    server
}

fn list(server: &Redis, key: &str) -> Vec<String> {
    say(&mut connect(server, 1), &format!("LRANGE {key} 0 -1")).list().iter().map(crate::connection::Reply::text).collect()
}

#[test]
fn jobs_go_back_by_their_class_in_their_order_and_with_their_time() {
    for road in [Road::SideCopy, Road::InPlace] {
        let server = with_classes();
        let store = system_store(&server, Queues::Safe, None);
        let set = backup(&store).unwrap();
        say(&mut connect(&server, 1), "RPUSH queue:default newer");
        let place = restore(&store, &set, "c1", road);
        store.discard(&context("c1"), &place, plan::ports::Discard::Previous).unwrap();
        assert_eq!(list(&server, "queue:default"), [job("ZyncWorker", 0), job("ZyncWorker", 2), job("BackendMetricWorker", 4)]);
        assert_eq!(list(&server, "queue:long").len(), 2, "however long a job is");
        let schedule: Vec<_> =
            say(&mut connect(&server, 1), "ZRANGE schedule 0 -1 WITHSCORES").list().iter().map(crate::connection::Reply::text).collect();
        assert_eq!(schedule, [job("LastTrafficWorker", 21), "-inf".to_owned(), job("ZyncWorker", 20), "1767607200.25".to_owned()]);
        let expected = [
            "activejob_uniqueness:backend_metric_worker:0af",
            "dead",
            "it-j4",
            "queue:default",
            "queue:long",
            "queues",
            "schedule",
            "webhooks:failures:provider-2",
        ];
        assert_eq!(keys(&server, 1), expected, "a lock goes back with its class, and what belongs to jobs that do not is left out");
    }
}

#[test]
fn only_the_classes_that_were_asked_for_go_back() {
    let server = with_classes();
    let store = system_store(&server, Queues::Only(vec!["BillingWorker".to_owned(), "Nobody::Knows".to_owned()]), None);
    let set = backup(&store).unwrap();
    let place = restore(&store, &set, "o1", Road::SideCopy);
    assert_eq!(list(&server, "queue:default"), [job("BillingWorker", 1), job("Nobody::Knows", 3)]);
    assert_eq!(list(&server, "queue:billing"), [job("BillingWorker", 10)]);
    assert_eq!(keys(&server, 1), ["BID-a", "dead", "queue:billing", "queue:default", "queues", "webhooks:failures:provider-2"]);
    store.undo(&context("o1"), &place).unwrap();
    assert_eq!(differences(&store, &set, &place, "o1"), Vec::<String>::new());
    assert_eq!(list(&server, "queue:default").len(), 7, "all that was live is back");
}

#[test]
fn a_job_too_few_or_too_many_fails_the_proof() {
    let server = with_classes();
    let store = system_store(&server, Queues::Safe, None);
    let set = backup(&store).unwrap();
    let billing = format!("RPUSH queue:billing {}", job("BillingWorker", 10));
    let tampering = [
        "LPOP queue:default",
        "DEL queue:long",
        &billing,
        "ZADD schedule 1 x",
        "ZINCRBY schedule 1 x",
        "RPUSH queue:new x",
        "DEL dead",
        "SET lock:import x PX 90000000",
    ];
    for (number, words) in tampering.iter().enumerate() {
        let run = format!("t{number}");
        let place = stage(&store, &set, &run, Road::SideCopy).unwrap();
        assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new());
        let copy = u32::try_from(place.0["servers"][0][0]["side"].as_u64().unwrap()).unwrap();
        say(&mut connect(&server, copy), words);
        assert_ne!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{words}");
        store.discard(&context(&run), &place, plan::ports::Discard::Staged).unwrap();
    }
}

#[test]
fn a_set_tells_the_usage_in_flight() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 1), "SET x y");
    let store = store_with(&server, Options::default());
    let in_flight = || crate::usage_in_flight(&backup(&store).unwrap().kept.evidence);
    assert_eq!(in_flight(), Some(0));
    say(&mut connect(&server, 0), "RPUSH notify/aggregator/batch a b c");
    assert_eq!(in_flight(), Some(3));
}
