//! There and back: what was dumped comes live again, and nothing else is touched.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use lab::Redis;
use plan::ports::{DataSet, Road};

use super::scene::*;
use crate::connection::Reply;
use crate::{Address, Options, RedisStore};

fn small_parts() -> Options {
    Options { part_bytes: 64 << 10, ..Options::default() }
}

#[test]
fn every_type_comes_back_as_it_was_and_nothing_else_is_touched() {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    every_type(&mut connect(&server, 0));
    say(&mut connect(&server, 1), "RPUSH resque:queue:priority a b");
    say(&mut connect(&server, 5), "SET somebody else");
    connect(&server, 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    let before = digest(&server);
    let store = store_with(&server, small_parts());
    let set = backup(&store).unwrap();
    damage(&server);
    say(&mut connect(&server, 0), "FUNCTION FLUSH");
    let damaged = digest(&server);
    let place = restore(&store, &set, "run1", Road::SideCopy);
    assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
    assert!(store.kept_bytes(&context("run1"), &place).unwrap() > 0);

    store.undo(&context("run1"), &place).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
    assert!(connect(&server, 0).ask(&[b"FCALL", b"hello", b"0"]).unwrap().ok().is_err(), "undo takes the function away");
    store.cut_over(&context("run1"), &place).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
    store.discard(&context("run1"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
    assert_ne!(damaged, before);
}

#[test]
fn a_database_of_a_dump_is_an_rdb_that_redis_itself_loads() {
    let server = Redis::start(&[]).unwrap();
    every_type(&mut connect(&server, 0));
    let set = backup(&store_with(&server, small_parts())).unwrap();
    let mut fresh = Redis::start(&[]).unwrap();
    fresh.stop().unwrap();
    let file = fresh.folder().join("data/dump.rdb");
    let bytes = set.snapshot.rdb("storage");
    std::fs::write(&file, &bytes).unwrap();
    let check = Command::new(lab::find_program("redis-check-rdb").unwrap()).arg(&file).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    fresh.start_again().unwrap();
    assert_eq!(digest(&fresh), digest(&server));
    let empty = fresh.folder().join("empty.rdb");
    std::fs::write(&empty, set.snapshot.rdb("queues")).unwrap();
    let check = Command::new(lab::find_program("redis-check-rdb").unwrap()).arg(&empty).output().unwrap();
    assert!(check.status.success(), "an empty database is a valid file too");
}

#[test]
fn an_independent_parser_counts_the_same_keys() {
    let server = Redis::start(&[]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..500 {
        say(&mut connection, &format!("SET key:{number} value{number}"));
        say(&mut connection, &format!("HSET hash:{number} f {number}"));
    }
    let set = backup(&store(&server)).unwrap();
    let bytes = set.snapshot.rdb("storage");
    let decoder = rdb::RdbDecoder::new(std::io::Cursor::new(bytes), rdb::filter::Simple::new()).unwrap();
    let is_key = |item: &rdb::RdbValue| matches!(item, rdb::RdbValue::String { .. } | rdb::RdbValue::Hash { .. });
    assert_eq!(decoder.map(|item| item.unwrap()).filter(is_key).count(), 1000);
    assert_eq!(set.kept.evidence.collections["storage/persistent"].count, 1000);
}

#[test]
fn what_was_restored_survives_a_restart_with_the_aof_on() {
    let mut server = Redis::start(&["--appendonly", "yes", "--appendfsync", "everysec"]).unwrap();
    every_type(&mut connect(&server, 0));
    say(&mut connect(&server, 1), "SET queue 1");
    let store = store(&server);
    let before = digest(&server);
    let set = backup(&store).unwrap();
    damage(&server);
    let place = restore(&store, &set, "run2", Road::SideCopy);
    server.stop().unwrap();
    server.start_again().unwrap();
    store.discard(&context("run2"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
    server.stop().unwrap();
    server.start_again().unwrap();
    assert_eq!(digest(&server), before);
}

#[test]
fn without_free_databases_it_goes_back_in_place() {
    let server = Redis::start(&["--databases", "2", "--appendonly", "yes"]).unwrap();
    every_type(&mut connect(&server, 0));
    let before = digest(&server);
    let store = store(&server);
    let set = backup(&store).unwrap();
    assert_eq!(store.look(&context("run3")).unwrap().road, Road::InPlace);
    let problems = store.fits(&context("run3"), &set.kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == plan::ports::Severity::Blocks));
    assert_eq!(store.reserve(&context("run3"), &set.kept, Road::SideCopy).unwrap_err().class(), plan::Class::Refused);
    damage(&server);
    let place = restore(&store, &set, "run3", Road::InPlace);
    assert_eq!(digest(&server), before);
    store.discard(&context("run3"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before, "discard never touches live data");
    assert_eq!(store.undo(&context("run3"), &place).unwrap_err().class(), plan::Class::NeedsPerson);
}

#[test]
fn under_write_load_a_dump_is_one_point_in_time() {
    let server = Redis::start(&[]).unwrap();
    every_type(&mut connect(&server, 0));
    let stop = AtomicBool::new(false);
    let sets = std::thread::scope(|scope| {
        let (server, stop) = (&server, &stop);
        scope.spawn(move || {
            let mut connection = connect(server, 0);
            while !stop.load(Ordering::Relaxed) {
                for words in ["MULTI", "SELECT 0", "INCR counter", "RPUSH log x", "SELECT 1", "INCR counter", "EXEC"] {
                    say(&mut connection, words);
                }
            }
        });
        let mut watching = connect(server, 0);
        while say(&mut watching, "EXISTS counter").number() == Some(0) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let store = store(server);
        let sets: Vec<Set> = (0..3).map(|_| backup(&store).unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        sets
    });
    let target = Redis::start(&[]).unwrap();
    let target_store = store(&target);
    for (number, set) in sets.iter().enumerate() {
        let run = format!("load{number}");
        let place = restore(&target_store, set, &run, Road::SideCopy);
        let counter = say(&mut connect(&target, 0), "GET counter").text();
        assert!(counter.parse::<u64>().unwrap() > 0);
        assert_eq!(say(&mut connect(&target, 1), "GET counter").text(), counter);
        assert_eq!(say(&mut connect(&target, 0), "LLEN log").text(), counter);
        target_store.discard(&context(&run), &place, plan::ports::Discard::Previous).unwrap();
    }
}

#[test]
fn where_replication_is_forbidden_keys_are_scanned() {
    let server = Redis::start(&["--user", "managed", "on", ">pw", "~*", "&*", "+@all", "-psync", "-sync", "-replconf"]).unwrap();
    every_type(&mut connect(&server, 0));
    connect(&server, 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    say(&mut connect(&server, 1), "SET queue 1");
    let before = digest(&server);
    let address = |database: u32| Address::parse(&format!("redis://managed:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    let addresses = vec![("storage", address(0)), ("queues", address(1))];
    let store = RedisStore::new(plan::ids::DataSetName::BackendRedis, addresses, Options::default()).unwrap();
    let findings = store.look(&context("x")).unwrap();
    assert!(findings.backup_problems.iter().any(|problem| problem.text.contains("PSYNC")), "{findings:?}");
    let set = backup(&store).unwrap();
    assert_eq!(set.kept.evidence.facts["dump-road"], "scan");
    assert_eq!(set.kept.evidence.facts["functions"], "1");
    assert!(set.kept.evidence.warnings.iter().any(|warning| warning.contains("one point in time")));
    let by_replication = backup(&super::scene::store(&server)).unwrap();
    assert_eq!(totals(&by_replication.kept.evidence), totals(&set.kept.evidence));
    damage(&server);
    let place = restore(&store, &set, "run4", Road::SideCopy);
    store.discard(&context("run4"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
}

#[test]
fn keys_that_expire_between_backup_and_proof_are_accounted_for() {
    let server = Redis::start(&[]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..50 {
        say(&mut connection, &format!("SET short:{number} x PX 1500"));
        say(&mut connection, &format!("SET medium:{number} x EX 7200"));
        say(&mut connection, &format!("SET always:{number} x"));
    }
    let store = store(&server);
    let set = backup(&store).unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while say(&mut connection, "EXISTS short:0 short:49").number() != Some(0) {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let place = stage(&store, &set, "run5", Road::SideCopy).unwrap();
    let proof = store.prove(&context("run5"), &place, &set.kept).unwrap();
    assert_eq!(set.kept.evidence.differences(&proof), Vec::<String>::new());
    assert_eq!(proof.facts["expired-since-dump"], "50");
    store.cut_over(&context("run5"), &place).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(100));
    let left = say(&mut connect(&server, 0), "TTL medium:3").number().unwrap();
    assert!((7100..=7200).contains(&left), "{left}");
}

#[test]
fn a_lost_changed_or_added_key_is_seen_by_the_proof() {
    let server = Redis::start(&[]).unwrap();
    every_type(&mut connect(&server, 0));
    let store = store(&server);
    let set = backup(&store).unwrap();
    for (number, tamper) in [
        "DEL hash",
        "APPEND text x",
        "SET new 1",
        "PEXPIRE text 99999999",
        "ZADD zset 3 one",
        "LSET big-list 7 y",
        "XACK stream readers 1-1",
        "PERSIST expiring",
    ]
    .iter()
    .enumerate()
    {
        let run = format!("tamper{number}");
        let place = stage(&store, &set, &run, Road::SideCopy).unwrap();
        assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new());
        let side = place.0["servers"][0][0]["side"].as_u64().unwrap();
        say(&mut connect(&server, u32::try_from(side).unwrap()), tamper);
        assert_ne!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{tamper}");
        store.discard(&context(&run), &place, plan::ports::Discard::Staged).unwrap();
    }
}

#[test]
fn storage_and_queues_may_be_on_two_servers() {
    let (one, two) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    every_type(&mut connect(&one, 3));
    say(&mut connect(&two, 3), "RPUSH queue a b c");
    let (before_one, before_two) = (digest(&one), digest(&two));
    let addresses = vec![("storage", Address::parse(&one.url(3)).unwrap()), ("queues", Address::parse(&two.url(3)).unwrap())];
    let store = RedisStore::new(plan::ids::DataSetName::BackendRedis, addresses, Options::default()).unwrap();
    let set = backup(&store).unwrap();
    say(&mut connect(&one, 3), "FLUSHDB");
    say(&mut connect(&two, 3), "DEL queue");
    let place = restore(&store, &set, "run6", Road::SideCopy);
    store.discard(&context("run6"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!((digest(&one), digest(&two)), (before_one, before_two));
}

#[test]
fn the_servers_delay_is_put_back_and_no_replica_stays() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "SET a 1");
    let store = store(&server);
    let begun = std::time::Instant::now();
    backup(&store).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(store.dump(&context("dropped")).unwrap());
    let mut connection = connect(&server, 0);
    assert_eq!(
        say(&mut connection, "CONFIG GET repl-diskless-sync-delay"),
        Reply::List(vec![Reply::Bytes(b"repl-diskless-sync-delay".to_vec()), Reply::Bytes(b"5".to_vec())])
    );
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !say(&mut connection, "INFO replication").text().contains("connected_slaves:0") {
        assert!(std::time::Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
