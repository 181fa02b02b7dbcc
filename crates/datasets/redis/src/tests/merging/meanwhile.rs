//! Merges that are interrupted, counted over, forbidden and without room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lab::{Redis, RedisKind};
use plan::ports::{Counts, DataSet, GivenIds, Severity, Snapshot};

use super::super::crashes::at_every_command;
use super::*;
use crate::rights::{For, rights_of};
use crate::{Address, Options};

#[test]
fn a_crash_anywhere_adds_nothing_twice_and_all_is_taken_back() {
    let server = Redis::start(&[]).unwrap();
    let all = store(&server);
    let ids = GivenIds::from([("events/id".to_owned(), 11)]);
    fill(&server, STORAGE, 0, "none");
    fill(&server, QUEUES, 1, "none");
    say_all(&server, 0, &["SET stats/{service:2}/metric:5/eternity 10 PX 90000000"]);
    let set = backup(&all).unwrap();
    say_all(
        &server,
        0,
        &[
            "FLUSHALL",
            "SET stats/{service:2}/metric:1/eternity 2",
            "SET stats/{service:2}/metric:5/eternity 1 PX 50000000",
            "LPUSH errors/service_id:2 e",
        ],
    );
    let lost = pictures(&server);
    let how = merging(&["usage", "events", "errors", "counter", "record"], &[], Counts::Add);
    let whole = reserve(&all, &set, "whole");
    merge(&all, &set, &whole, "whole", &how, &ids).unwrap();
    let merged = pictures(&server);
    assert_eq!(merged.0["stats/{service:2}/metric:1/eternity"].all, ["42"]);
    take_back(&all, &whole, "whole");
    let place = std::cell::RefCell::new(reserve(&all, &set, "r"));
    let merging = |store: &RedisStore| merge(store, &set, &place.borrow(), "r", &how, &ids).map(drop);
    at_every_command(&server, merging, |commands, after| {
        merging(&all).unwrap();
        let now = pictures(&server);
        assert_same(&now.0, &merged.0, &format!("after a crash at {commands}, {after}"));
        assert_same(&now.1, &merged.1, &format!("after a crash at {commands}, {after}"));
        // And a crash somewhere while it is taken back: that is shorter.
        let commands = commands / 2;
        let crash = crate::connection::Crash { commands_left: Arc::new(std::sync::atomic::AtomicI64::new(commands)), after_sending: after };
        let dying = store_with(&server, Options { crash: Some(crash), ..Options::default() });
        drop(dying.merges_keys().unwrap().take_back(&context("r"), &place.borrow()));
        let left = all.merges_keys().unwrap().take_back(&context("r"), &place.borrow());
        // It may have come to its end.
        assert!(left.is_ok() || cli(&server, 0, &["INFO", "keyspace"]).lines().all(|line| !line.starts_with("db15")), "{left:?}");
        let now = pictures(&server);
        assert_same(&now.0, &lost.0, &format!("taken back after a crash at {commands}, {after}"));
        assert_same(&now.1, &lost.1, &format!("taken back after a crash at {commands}, {after}"));
        *place.borrow_mut() = reserve(&all, &set, "r");
    });
}

/// Somebody counts all the time: nothing that he counts is lost, neither by the merge nor when it is taken back.
#[test]
fn what_is_counted_meanwhile_is_kept() {
    for (counts, kind) in [(Counts::Max, RedisKind::Redis), (Counts::Add, RedisKind::Valkey), (Counts::Set, RedisKind::Redis6)] {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let store = store(&server);
        const KEYS: usize = 1200;
        let key = |n: usize| format!("stats/{{service:2}}/metric:{n}/eternity");
        let mut connection = connect(&server, 0);
        for n in 0..KEYS {
            say(&mut connection, &format!("SET {} 1000", key(n)));
        }
        say(&mut connection, &format!("SET {} 1000 PX 90000000", key(KEYS)));
        let set = backup(&store).unwrap();
        // Half of them begin anew, the others go on.
        for n in (0..KEYS).step_by(2) {
            say(&mut connection, &format!("DEL {}", key(n)));
        }
        let (stop, place) = (AtomicBool::new(false), reserve(&store, &set, "r"));
        let begun = std::sync::atomic::AtomicU64::new(0);
        let (counted, merged) = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut connection = connect(&server, 0);
                let mut counted = vec![0u64; KEYS + 1];
                while !stop.load(Ordering::SeqCst) {
                    for (n, count) in counted.iter_mut().enumerate() {
                        connection.push(&[b"INCRBY", key(n).as_bytes(), b"1"]);
                        *count += 1;
                    }
                    connection.flush().unwrap();
                    for _ in 0..=KEYS {
                        connection.reply().unwrap().ok().unwrap();
                    }
                    begun.fetch_add(1, Ordering::SeqCst);
                }
                counted
            });
            let rounds = |more: u64| {
                let until = begun.load(Ordering::SeqCst) + more;
                while begun.load(Ordering::SeqCst) < until {
                    thread::sleep(std::time::Duration::from_millis(1));
                }
            };
            rounds(2);
            let merged = merge(&store, &set, &place, "r", &merging(&["usage"], &[], counts), &GivenIds::new());
            rounds(2);
            stop.store(true, Ordering::SeqCst);
            (writer.join().unwrap(), merged)
        });
        merged.unwrap();
        let now = picture(&server, 0);
        let before = |n: usize| if n < KEYS && n.is_multiple_of(2) { 0 } else { 1000 };
        for (n, counted) in counted.iter().enumerate().take(KEYS) {
            let value: u64 = now[&key(n)].all[0].parse().unwrap();
            match counts {
                Counts::Add => assert_eq!(value, before(n) + 1000 + counted, "{n}"),
                // Of those that went on from what the set has, none is more in the set.
                Counts::Max if n % 2 == 1 => assert_eq!(value, 1000 + counted, "{n}"),
                // What was counted before the merge came to it may be in the larger one, and no count after it is lost.
                Counts::Max => assert!((1000 + 2..=1000 + counted).contains(&value), "{n}: {value} of {counted}"),
                Counts::Set => assert!((1000 + 2..=1000 + counted).contains(&value), "{n}: {value} of {counted}"),
            }
        }
        let told = take_back(&store, &place, "r");
        assert!(told.contains("were counted on since"), "{told}");
        let back = picture(&server, 0);
        for (n, counted) in counted.iter().enumerate().take(KEYS) {
            assert_eq!(back[&key(n)].all, [(before(n) + counted).to_string()], "{n}: as if there had been no merge");
        }
    }
}

/// What writes whatever it is given is tried when it is used.
const NOT_TRIED: [&str; 3] = ["sadd", "lpush", "rpush"];

#[test]
fn a_user_who_has_what_the_list_says_can_do_all_of_it_and_what_is_missing_is_said_before() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let all = store(&server);
        fill(&server, STORAGE, 0, "none");
        fill(&server, QUEUES, 1, "none");
        let set = backup(&all).unwrap();
        say_all(&server, 0, &["FLUSHALL", "SET stats/{service:2}/metric:1/eternity 2", "LPUSH errors/service_id:2 e"]);
        let lost = pictures(&server);
        let of = [For::All, For::Restore, For::Merge];
        let allow = |taken: Option<&str>| {
            let rights = rights_of(&of, kind != RedisKind::Redis6).filter(|right| Some(right.command) != taken);
            let rights: Vec<String> = rights.map(|right| format!("+{}", right.command)).collect();
            say(&mut connect(&server, 0), &format!("ACL SETUSER exact reset on >pw ~* -@all {}", rights.join(" ")));
        };
        let exact = || {
            let address = |database: u32| Address::parse(&format!("redis://exact:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
            RedisStore::new(plan::ids::DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], Options::default())
                .unwrap()
        };
        let how = merging(&["usage", "events", "errors", "counter", "record"], &[], Counts::Max);
        let ids = GivenIds::from([("events/id".to_owned(), 11)]);
        let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
        for right in rights_of(&[For::Merge], kind != RedisKind::Redis6).filter(|right| !NOT_TRIED.contains(&right.command)) {
            allow(Some(right.command));
            let foreseen = exact().merges_keys().unwrap().foresee(&context("f"), &snapshot, &set.kept, &how, &ids).unwrap();
            let told: Vec<_> = foreseen
                .problems
                .iter()
                .filter(|problem| problem.severity == Severity::Blocks)
                .map(plan::ports::Problem::sentence)
                .collect();
            assert!(told.iter().any(|text| text.contains(&format!("+{}", right.command))), "{kind:?} {}: {told:?}", right.command);
        }
        allow(None);
        let store = exact();
        assert_eq!(foresee(&store, &set, &how, &ids).len(), 5);
        let place = reserve(&store, &set, "r");
        merge(&store, &set, &place, "r", &how, &ids).unwrap();
        assert_eq!(picture(&server, 0)["stats/{service:2}/metric:1/eternity"].all, ["40"]);
        assert_eq!(take_back(&store, &place, "r"), "");
        assert_same(&pictures(&server).0, &lost.0, "taken back");
    }
}

#[test]
fn what_has_no_room_or_no_place_is_refused_before_anything_is_touched() {
    let server = Redis::start(&["--maxmemory-policy", "noeviction"]).unwrap();
    let store = store(&server);
    let mut connection = connect(&server, 0);
    for n in 0..3000 {
        say(&mut connection, &format!("SET stats/{{service:2}}/metric:{n}/eternity 1"));
    }
    let set = backup(&store).unwrap();
    say_all(&server, 0, &["FLUSHALL"]);
    let problems = || {
        let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
        let how = merging(&["usage"], &[], Counts::Max);
        let foreseen = store.merges_keys().unwrap().foresee(&context("f"), &snapshot, &set.kept, &how, &GivenIds::new()).unwrap();
        foreseen
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Blocks)
            .map(|problem| problem.text.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert_eq!(problems(), "");
    let used: u64 =
        cli(&server, 0, &["INFO", "memory"]).lines().find_map(|line| line.trim().strip_prefix("used_memory:")?.parse().ok()).unwrap();
    cli(&server, 0, &["CONFIG", "SET", "maxmemory", &(used + (1 << 20) + 300_000).to_string()]);
    assert!(problems().contains("needs about"), "{}", problems());
    cli(&server, 0, &["CONFIG", "SET", "maxmemory", "0"]);
    for database in 2..16 {
        cli(&server, database, &["SET", "somebody", "else"]);
    }
    assert!(problems().contains("not enough empty logical databases"), "{}", problems());
}
