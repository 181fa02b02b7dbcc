//! Keys of some classes into live data that stays. What is compared is read by `redis-cli`, and the keys are written out here.

mod counters;
mod meanwhile;

use std::collections::BTreeMap;
use std::sync::Arc;

use lab::{Redis, RedisKind};
use plan::ports::{Context, Counts, DataSet, Event, GivenIds, MergedClass, Merging, Place, Road, Severity, Snapshot, Watch};

use super::scene::*;
use crate::{Address, Options, RedisStore};

/// Every key of a database in hexadecimal digits, its type, when it expires (milliseconds; 0: never), and all that is in it.
const PICTURE: &str = "local hex = function(text) return (text:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end \
    local time = redis.call('TIME') local now = time[1] * 1000 + math.floor(time[2] / 1000) local told = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do local kind = redis.call('TYPE', key).ok local left = redis.call('PTTL', key) local all \
    if kind == 'string' then all = {redis.call('GET', key)} elseif kind == 'list' then all = redis.call('LRANGE', key, 0, -1) \
    elseif kind == 'set' then all = redis.call('SMEMBERS', key) table.sort(all) elseif kind == 'zset' then all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') \
    else all = {redis.sha1hex(redis.call('DUMP', key))} end \
    for at, one in ipairs(all) do all[at] = hex(one) end \
    told[#told + 1] = hex(key) .. ' ' .. kind .. ' ' .. string.format('%.0f', left > 0 and now + left or 0) .. ' ' .. table.concat(all, ',') end return told";

/// A key as `redis-cli` shows it: type, expiry, content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    kind: String,
    expires_ms: u64,
    all: Vec<String>,
}

type Picture = BTreeMap<String, Shown>;

fn unhex(text: &str) -> String {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect::<Vec<_>>();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn cli(server: &Redis, database: u32, words: &[&str]) -> String {
    let output = server.client().args(["-n", &database.to_string()]).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !said.starts_with("ERR") && !said.starts_with("WRONGTYPE"), "{words:?}: {said}");
    said
}

fn picture(server: &Redis, database: u32) -> Picture {
    let said = cli(server, database, &["EVAL", PICTURE, "0"]);
    let shown = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let all = fields.get(3).filter(|all| !all.is_empty()).map(|all| all.split(',').map(unhex).collect()).unwrap_or_default();
        (unhex(fields[0]), Shown { kind: fields[1].to_owned(), expires_ms: fields[2].parse().unwrap(), all })
    };
    said.lines().filter(|line| !line.is_empty()).map(shown).collect()
}

/// Both databases of a store.
fn pictures(server: &Redis) -> (Picture, Picture) {
    (picture(server, 0), picture(server, 1))
}

/// Times of expiry are told with what is left, so they differ by some milliseconds.
fn assert_same(found: &Picture, wanted: &Picture, when: &str) {
    let keys: Vec<_> = found.keys().chain(wanted.keys()).collect();
    for key in keys {
        let (Some(one), Some(other)) = (found.get(key), wanted.get(key)) else {
            panic!("{when}: {key}: {:?}, wanted {:?}", found.get(key), wanted.get(key));
        };
        assert_eq!((&one.kind, &one.all), (&other.kind, &other.all), "{when}: {key}");
        assert!(one.expires_ms.abs_diff(other.expires_ms) < 1500, "{when}: {key}: {} and {}", one.expires_ms, other.expires_ms);
    }
}

fn say_all(server: &Redis, database: u32, lines: &[&str]) {
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        cli(server, database, &words);
    }
}

fn merging(classes: &[&str], services: &[&str], counts: Counts) -> Merging {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Merging { classes: owned(classes), services: owned(services), counts }
}

fn merge(store: &RedisStore, set: &Set, place: &Place, run: &str, how: &Merging, ids: &GivenIds) -> plan::Result<Vec<MergedClass>> {
    let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
    store.merges_keys().unwrap().merge(&context(run), place, &snapshot, &set.kept, how, ids)
}

fn foresee(store: &RedisStore, set: &Set, how: &Merging, ids: &GivenIds) -> Vec<MergedClass> {
    let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
    let foreseen = store.merges_keys().unwrap().foresee(&context("f"), &snapshot, &set.kept, how, ids).unwrap();
    assert!(foreseen.problems.iter().all(|problem| problem.severity < Severity::Blocks), "{:?}", foreseen.problems);
    foreseen.classes
}

fn reserve(store: &RedisStore, set: &Set, run: &str) -> Place {
    store.reserve(&context(run), &set.kept, Road::SideCopy).unwrap()
}

fn numbers(classes: &[MergedClass], class: &str) -> (u64, u64, u64, u64) {
    let mut sum = (0, 0, 0, 0);
    for of in classes.iter().filter(|of| of.class == class) {
        sum = (sum.0 + of.keys, sum.1 + of.new, sum.2 + of.changed, sum.3 + of.equal);
    }
    sum
}

/// Takes down what is told.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) | Event::Note(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// Takes a run back; gives what was told.
fn take_back(store: &RedisStore, place: &Place, run: &str) -> String {
    let heard = Arc::new(Heard::default());
    let context = Context { watch: Arc::<Heard>::clone(&heard), ..context(run) };
    store.merges_keys().unwrap().take_back(&context, place).unwrap();
    heard.0.lock().unwrap().join("\n")
}

/// One command for each kind of key of Backend, with names as Backend writes them: hours without their last zero, spaces as `+`, user keys with `/` and `:`.
const STORAGE: &[(&str, &str)] = &[
    ("configuration", "SADD services_set 2 3"),
    ("configuration", "SET service/id:2/state active"),
    ("configuration", "SET application/service_id:2/key:a/b:c/id app"),
    ("configuration", "SADD application/service_id:2/id:app/keys secret"),
    ("configuration", "SADD alerts/service_id:2/allowed_set 50 100"),
    ("legacy", "SET stats/{service:2}/uinstance:u/metric:1/eternity 3"),
    ("usage", "SET stats/{service:2}/metric:1/eternity 40"),
    ("usage", "SET stats/{service:2}/metric:1/hour:201601021 4"),
    ("usage", "SET stats/{service:2}/cinstance:a+b/metric:7/x:y/metric:1/day:20160102 5"),
    ("usage", "SET stats/{service:3}/cinstance:app/response_code:2XX/year:20160101 6"),
    ("usage", "SET stats/{service:3}/response_code:404/eternity 7"),
    ("usage", "SADD stats/{service:2}/cinstances app a+b"),
    ("usage-in-flight", "RPUSH notify/aggregator/batch x"),
    ("counter", "SET events/id 12"),
    ("counter", "SET alerts/current_id 5"),
    ("events", "ZADD events/queue 11 {\"id\":11} 12 {\"id\":12}"),
    ("transient", "SET events/ping 1 PX 100000000"),
    ("events", "SET alerts/service_id:2/app_id:app/80/already_notified 1 PX 80000000"),
    ("events", "SET daily_traffic/service:2/cinstance:app/20160102 9 PX 90000000"),
    ("errors", "LPUSH errors/service_id:2 {\"n\":1} {\"n\":2}"),
    ("pending-deletion", "SADD set_with_services_marked_for_deletion 9"),
    ("probe", "SET liveness-probe 1"),
    ("auth-token", "SET oauth_access_tokens/service:2/token app"),
    ("", "SET who/knows/this 1"),
];

/// The same of the queues.
const QUEUES: &[(&str, &str)] = &[
    ("jobs", "RPUSH resque:queue:priority job"),
    ("job-names", "SADD resque:queues priority"),
    ("process", "SADD resque:workers w"),
    ("record", "SET resque:stat:processed 70"),
    ("lock", "SET resque:x:lock 1"),
];

fn fill(server: &Redis, kinds: &[(&str, &str)], database: u32, but: &str) {
    let lines: Vec<_> = kinds.iter().filter(|(class, _)| *class != but).map(|(_, line)| *line).collect();
    say_all(server, database, &lines);
}

fn keys_of(class: &str) -> Vec<String> {
    let all = STORAGE.iter().chain(QUEUES).filter(|(of, _)| *of == class);
    all.map(|(_, line)| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn each_class_comes_back_alone_and_no_other_key_is_touched() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let store = store(&server);
        fill(&server, STORAGE, 0, "none");
        fill(&server, QUEUES, 1, "none");
        let set = backup(&store).unwrap();
        let (storage, queues) = pictures(&server);
        let ids = GivenIds::from([("events/id".to_owned(), 11)]);
        for class in ["usage", "counter", "events", "errors", "record"] {
            // All is lost, and Backend has begun anew: what it writes is there, and is not what the set has.
            say_all(
                &server,
                0,
                &["FLUSHALL", "SET service/id:2/state suspended", "SET application/service_id:9/id:z/state live", "SET who/knows/that 1"],
            );
            say_all(&server, 1, &["RPUSH resque:queue:priority newer", "HSET hash a 1"]);
            let lost = pictures(&server);
            let how = merging(&[class], &[], Counts::Max);
            let foreseen = foresee(&store, &set, &how, &ids);
            assert_eq!(pictures(&server), lost, "{kind:?} {class}: looking changes nothing");
            let place = reserve(&store, &set, class);
            let merged = merge(&store, &set, &place, class, &how, &ids).unwrap();
            assert_eq!(merged, foreseen, "{kind:?} {class}");
            let (mut wanted_storage, mut wanted_queues) = lost.clone();
            for key in keys_of(class) {
                let (of, into) = if queues.contains_key(&key) { (&queues, &mut wanted_queues) } else { (&storage, &mut wanted_storage) };
                let mut shown = of[&key].clone();
                if key == "events/queue" {
                    // System has taken the other.
                    shown.all = vec!["{\"id\":12}".to_owned(), "12".to_owned()];
                }
                into.insert(key, shown);
            }
            let now = pictures(&server);
            assert_same(&now.0, &wanted_storage, &format!("{kind:?} {class}"));
            assert_same(&now.1, &wanted_queues, &format!("{kind:?} {class}"));
            let count = keys_of(class).len() as u64;
            assert_eq!(numbers(&merged, class), (count, count, 0, 0), "{kind:?} {class}");
            // Once more: all of it is there.
            let again = foresee(&store, &set, &how, &ids);
            assert_eq!(numbers(&again, class), (count, 0, 0, count), "{kind:?} {class}");
            assert_eq!(take_back(&store, &place, class), "", "{kind:?} {class}");
            let back = pictures(&server);
            assert_same(&back.0, &lost.0, &format!("{kind:?} {class} taken back"));
            assert_same(&back.1, &lost.1, &format!("{kind:?} {class} taken back"));
            assert!(!cli(&server, 0, &["INFO", "keyspace"]).contains("db15"), "nothing of the run is left");
        }
        for class in ["configuration", "jobs", "lock", "auth-token", "probe", "transient", "legacy", "usage-in-flight", "pending-deletion"]
        {
            let classes = foresee(&store, &set, &merging(&[class], &[], Counts::Max), &ids);
            assert!(classes.iter().all(|of| (of.new, of.changed) == (0, 0)), "{class}: {classes:?}");
        }
    }
}

#[test]
fn services_are_told_apart_by_their_whole_id() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    fill(&server, STORAGE, 0, "none");
    say_all(&server, 0, &["SET stats/{service:22}/metric:1/eternity 8", "LPUSH errors/service_id:22 e"]);
    let set = backup(&store).unwrap();
    let before = picture(&server, 0);
    cli(&server, 0, &["FLUSHALL"]);
    let place = reserve(&store, &set, "r");
    let how = merging(&["usage", "errors", "events"], &["2"], Counts::Max);
    merge(&store, &set, &place, "r", &how, &GivenIds::from([("events/id".to_owned(), 0)])).unwrap();
    let of_it = |key: &String| {
        ["stats/{service:2}/metric", "stats/{service:2}/cinstance", "errors/service_id:2"].iter().any(|begin| key.starts_with(begin))
            && !key.ends_with("service_id:22")
            || key.contains("already_notified")
            || key.starts_with("daily_traffic/service:2/")
    };
    let wanted: Picture = before.into_iter().filter(|(key, _)| of_it(key)).collect();
    assert_eq!(wanted.len(), 7);
    assert_same(&picture(&server, 0), &wanted, "service 2");
}

#[test]
fn lists_and_sets_get_what_they_lack_where_older_ones_are() {
    let server = Redis::start(&[]).unwrap();
    let system = || {
        RedisStore::new(plan::ids::DataSetName::SystemRedis, vec![("system", Address::parse(&server.url(0)).unwrap())], Options::default())
            .unwrap()
    };
    let (backend, system) = (store(&server), system());
    let none = GivenIds::new();
    say_all(
        &server,
        0,
        &[
            "RPUSH errors/service_id:2 e5 e4 same same e3",
            "SADD stats/{service:2}/cinstances a b c",
            "ZADD events/queue 5 five 6 six 7 seven",
        ],
    );
    say_all(
        &server,
        0,
        &[
            "RPUSH webhooks:failures:provider-2 w1 w2 w3",
            "ZADD dead 1 d1 2 d2",
            "ZADD cron_job:billing_jobs:enqueued 100.5 t1",
            "SET lock:billing:4 x",
            "SET stat:processed 9",
        ],
    );
    let (of_backend, of_system) = (backup(&backend).unwrap(), backup(&system).unwrap());
    cli(&server, 0, &["FLUSHALL"]);
    say_all(
        &server,
        0,
        &["RPUSH errors/service_id:2 e7 e6 same", "SADD stats/{service:2}/cinstances c d", "ZADD events/queue 6 another 8 eight"],
    );
    say_all(
        &server,
        0,
        &["RPUSH webhooks:failures:provider-2 w3 w4", "ZADD dead 9 d2 3 d3", "SET lock:billing:4 live", "SET stat:processed 20"],
    );
    let lost = picture(&server, 0);
    let place = reserve(&backend, &of_backend, "b");
    let how = merging(&["errors", "usage", "events"], &[], Counts::Max);
    let merged = merge(&backend, &of_backend, &place, "b", &how, &GivenIds::from([("events/id".to_owned(), 5)])).unwrap();
    let all = |key: &str| picture(&server, 0).get(key).map(|shown| shown.all.join(" ")).unwrap_or_default();
    assert_eq!(all("errors/service_id:2"), "e7 e6 same e5 e4 same e3", "the newest are first");
    assert_eq!(all("stats/{service:2}/cinstances"), "a b c d");
    assert_eq!(all("events/queue"), "another 6 seven 7 eight 8", "five was taken, and six is another's id");
    let events = merged.iter().find(|of| of.class == "events").unwrap();
    assert_eq!(events.left.values().copied().collect::<Vec<_>>(), [2], "{events:?}");
    let other = reserve(&system, &of_system, "s");
    merge(&system, &of_system, &other, "s", &merging(&["customer-record", "record", "guard"], &[], Counts::Max), &none).unwrap();
    assert_eq!(all("webhooks:failures:provider-2"), "w1 w2 w3 w4", "the oldest are first");
    assert_eq!(all("dead"), "d1 1 d3 3 d2 9", "what is live keeps its time");
    assert_eq!(all("cron_job:billing_jobs:enqueued"), "t1 100.5");
    assert_eq!((all("lock:billing:4"), all("stat:processed")), ("live".to_owned(), "20".to_owned()));
    // What comes since stays when it is taken back.
    say_all(&server, 0, &["LPUSH errors/service_id:2 e8", "RPUSH webhooks:failures:provider-2 w5", "SADD stats/{service:2}/cinstances e"]);
    assert_eq!((take_back(&system, &other, "s"), take_back(&backend, &place, "b")), (String::new(), String::new()));
    assert_eq!((all("errors/service_id:2"), all("webhooks:failures:provider-2")), ("e8 e7 e6 same".to_owned(), "w3 w4 w5".to_owned()));
    assert_eq!((all("stats/{service:2}/cinstances"), all("events/queue")), ("c d e".to_owned(), "another 6 eight 8".to_owned()));
    say_all(&server, 0, &["LPOP errors/service_id:2", "RPOP webhooks:failures:provider-2", "SREM stats/{service:2}/cinstances e"]);
    assert_same(&picture(&server, 0), &lost, "taken back");
}

#[test]
fn a_list_of_errors_grows_to_what_backend_keeps_and_no_further() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    for from in [0, 500] {
        let entries: Vec<String> = (from..from + 500).map(|n| format!("old{n}")).collect();
        let words: Vec<&str> = ["RPUSH", "errors/service_id:2"].into_iter().chain(entries.iter().map(String::as_str)).collect();
        cli(&server, 0, &words);
    }
    let set = backup(&store).unwrap();
    say_all(&server, 0, &["FLUSHALL", "RPUSH errors/service_id:2 new1 new2"]);
    let place = reserve(&store, &set, "r");
    let merged = merge(&store, &set, &place, "r", &merging(&["errors"], &[], Counts::Max), &GivenIds::new()).unwrap();
    assert_eq!(cli(&server, 0, &["LLEN", "errors/service_id:2"]), "1000");
    assert_eq!(cli(&server, 0, &["LRANGE", "errors/service_id:2", "998", "-1"]), "old996\nold997");
    assert_eq!(merged[0].left.values().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(take_back(&store, &place, "r"), "");
    assert_eq!(cli(&server, 0, &["LRANGE", "errors/service_id:2", "0", "-1"]), "new1\nnew2");
}
