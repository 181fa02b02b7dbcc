//! The newest Redis and Valkey: the whole life of a data set there, and which sets go from one kind of server into another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, Road, Severity};

use super::scene::*;
use crate::connection::{Connection, Reply};
use crate::rdb::source::{NoTap, Source};
use crate::rdb::value::value;
use crate::rdb::walk::{Item, Walk};
use crate::rdb::{Dialect, Format};
use crate::server::Server;
use crate::{Address, Options, RedisStore};

const DURABLE: &[&str] = &["--appendonly", "yes", "--enable-debug-command", "yes"];
/// A user as managed services give one.
const MANAGED: &[&str] = &["--user", "managed", "on", ">pw", "~*", "&*", "+@all", "-psync", "-sync", "-replconf"];

/// Hashes whose fields expire, packed and not, some fields and all.
fn expiring_fields(connection: &mut Connection) {
    for words in [
        "HSET fields-some a 1 b two c 3.5",
        "HPEXPIRE fields-some 600000 FIELDS 1 a",
        "HSET fields-all a 1 b 2",
        "HPEXPIRE fields-all 86400000 FIELDS 1 a",
        "HPEXPIRE fields-all 600000 FIELDS 1 b",
        "HSET fields-and-key a 1 b 2",
        "HPEXPIRE fields-and-key 100000000 FIELDS 1 a",
        "PEXPIRE fields-and-key 90000000",
        "HSET fields-no-more a 1 b 2",
        "HPEXPIRE fields-no-more 600000 FIELDS 1 a",
        "HPERSIST fields-no-more FIELDS 1 a",
    ] {
        say(connection, words);
    }
    for number in 0..2000 {
        say(connection, &format!("HSET fields-many field:{number} {number}"));
        if number % 3 == 0 {
            say(connection, &format!("HPEXPIRE fields-many {} FIELDS 1 field:{number}", 600_000 + number * 100_000));
        }
    }
}

/// When fields expire, for which no digest is needed.
fn field_times(server: &Redis) -> Vec<String> {
    let mut connection = connect(server, 0);
    let ask = |key: &str, fields: &str| format!("HPEXPIRETIME {key} FIELDS {} {fields}", fields.split(' ').count());
    let many: Vec<String> = (0..2000).map(|number| format!("field:{number}")).collect();
    let questions =
        [ask("fields-some", "a b c"), ask("fields-all", "a b"), ask("fields-no-more", "a b"), ask("fields-many", &many.join(" "))];
    let times: Vec<String> = questions.iter().map(|words| format!("{:?}", say(&mut connection, words))).collect();
    assert_ne!(times[0], times[2], "{times:?}");
    times
}

/// The format and the RDB types of a file.
fn types(bytes: Vec<u8>) -> (Format, BTreeSet<u8>) {
    let mut walk = Walk::begin(Source::new(std::io::Cursor::new(bytes), NoTap)).unwrap();
    let mut found = BTreeSet::new();
    loop {
        match walk.next().unwrap() {
            Item::Key(head) => {
                found.insert(head.kind);
                value(&mut walk.source, head.kind, walk.format, &mut ()).unwrap();
            }
            Item::End { .. } => return (walk.format, found),
            _ => {}
        }
    }
}

fn managed(server: &Redis) -> RedisStore {
    let address = |database: u32| Address::parse(&format!("redis://managed:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    let addresses = vec![("storage", address(0)), ("queues", address(1))];
    RedisStore::new(plan::ids::DataSetName::BackendRedis, addresses, Options { part_bytes: 64 << 10, ..Options::default() }).unwrap()
}

fn whole_life(kind: RedisKind, dump_road: &str) {
    let mut server = Redis::start_kind(kind, &[DURABLE, MANAGED].concat()).unwrap();
    every_type(&mut connect(&server, 0));
    expiring_fields(&mut connect(&server, 0));
    connect(&server, 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    say(&mut connect(&server, 1), "RPUSH resque:queue:priority a b");
    say(&mut connect(&server, 5), "SET somebody else");
    let (before, times) = (digest(&server), field_times(&server));
    let store =
        if dump_road == "scan" { managed(&server) } else { store_with(&server, Options { part_bytes: 64 << 10, ..Options::default() }) };
    let set = backup(&store).unwrap();
    assert_eq!(set.kept.evidence.facts["dump-road"], dump_road);
    let (format, types) = types(set.snapshot.rdb("storage"));
    assert_eq!(format, Server::ask(&mut connect(&server, 0)).unwrap().writes());
    // Fields that expire have types of their own.
    let of_fields: &[u8] = if format.dialect == Dialect::Valkey { &[22] } else { &[24, 25] };
    assert!(of_fields.iter().all(|kind| types.contains(kind)), "{format:?} {types:?}");

    damage(&server);
    say(&mut connect(&server, 0), "FUNCTION FLUSH");
    let damaged = digest(&server);
    assert_ne!(damaged, before);
    let place = restore(&store, &set, "kind", Road::SideCopy);
    assert_eq!(field_times(&server), times);
    assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
    store.undo(&context("kind"), &place).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
    assert!(connect(&server, 0).ask(&[b"FCALL", b"hello", b"0"]).unwrap().ok().is_err());
    store.cut_over(&context("kind"), &place).unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();
    store.discard(&context("kind"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
    server.kill();
    server.start_again().unwrap();
    assert_eq!((digest(&server), field_times(&server)), (before, times));
    assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
}

#[test]
fn the_newest_redis_gets_back_all_that_it_had() {
    whole_life(RedisKind::NewestRedis, "replication");
}

#[test]
fn valkey_gets_back_all_that_it_had() {
    whole_life(RedisKind::Valkey, "replication");
}

#[test]
fn the_newest_redis_gets_back_all_that_was_scanned() {
    whole_life(RedisKind::NewestRedis, "scan");
}

#[test]
fn valkey_gets_back_all_that_was_scanned() {
    whole_life(RedisKind::Valkey, "scan");
}

fn fields_that_expire_in_between(kind: RedisKind) {
    let server = Redis::start_kind(kind, &[]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..20 {
        for words in [
            format!("HSET some:{number} short 1 long 2 always 3"),
            format!("HPEXPIRE some:{number} 7200000 FIELDS 1 long"),
            format!("HPEXPIRE some:{number} 2000 FIELDS 1 short"),
            format!("HSET all:{number} short 1 shorter 2"),
            format!("HPEXPIRE all:{number} 2000 FIELDS 1 short"),
            format!("HPEXPIRE all:{number} 1900 FIELDS 1 shorter"),
        ] {
            say(&mut connection, &words);
        }
    }
    let store = store(&server);
    let set = backup(&store).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while say(&mut connection, "HEXISTS some:19 short").number() != Some(0)
        || say(&mut connection, "EXISTS all:0 all:19").number() != Some(0)
    {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
    say(&mut connection, "FLUSHALL");
    let place = restore(&store, &set, "fields", Road::SideCopy);
    let mut connection = connect(&server, 0);
    for key in ["some:0", "some:19"] {
        assert_eq!(say(&mut connection, &format!("HGET {key} always")).text(), "3");
        assert_eq!(say(&mut connection, &format!("HGET {key} long")).text(), "2");
        assert_eq!(say(&mut connection, &format!("HEXISTS {key} short")).number(), Some(0));
    }
    let end = Instant::now() + Duration::from_secs(20);
    while say(&mut connection, "DBSIZE").number() != Some(20) {
        assert!(Instant::now() < end, "hashes without fields stay");
        std::thread::sleep(Duration::from_millis(10));
    }
    store.discard(&context("fields"), &place, plan::ports::Discard::Previous).unwrap();
}

#[test]
fn on_the_newest_redis_fields_that_expire_in_between_are_accounted_for() {
    fields_that_expire_in_between(RedisKind::NewestRedis);
}

#[test]
fn on_valkey_fields_that_expire_in_between_are_accounted_for() {
    fields_that_expire_in_between(RedisKind::Valkey);
}

/// Digests of the values of a database. Scores are compared as numbers: from Redis 7.2 on they have another text, which is what is digested. Before Redis 7.0 a
/// server does not tell the moment of an expiry: `exact` is false then.
fn values(server: &Redis, database: u32, exact: bool) -> BTreeMap<Vec<u8>, String> {
    let mut connection = connect(server, database);
    let keys = say(&mut connection, "KEYS *").list();
    let value = |key: Reply| {
        let Reply::Bytes(key) = key else { panic!("{key:?}") };
        let kind = connection.call(&[b"TYPE", &key]).unwrap().text();
        let value = if kind == "zset" {
            let scored = connection.call(&[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"]).unwrap().list();
            let pairs = scored.chunks(2).map(|pair| (pair[0].text(), pair[1].text().parse::<f64>().unwrap()));
            format!("{:?}", pairs.collect::<Vec<_>>())
        } else {
            connection.call(&[b"DEBUG", b"DIGEST-VALUE", &key]).unwrap().list()[0].text()
        };
        let expires = if exact { connection.call(&[b"PEXPIRETIME", &key]) } else { connection.call(&[b"PTTL", &key]) };
        let expires = expires.unwrap().number().unwrap();
        let expires = if exact { expires } else { i64::from(expires > 0) };
        (key, format!("{kind} {expires} {value}"))
    };
    keys.into_iter().map(value).collect()
}

fn an_older_set_goes_into(from: RedisKind, kind: RedisKind) {
    let (source, target) = (Redis::start_kind(from, &[]).unwrap(), Redis::start_kind(kind, &[]).unwrap());
    let is_7 = from != RedisKind::Redis6;
    every_type(&mut connect(&source, 0));
    if is_7 {
        connect(&source, 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    }
    say(&mut connect(&source, 1), "RPUSH queue a b c");
    let set = backup(&store(&source)).unwrap();
    damage(&target);
    let target_store = store(&target);
    let place = restore(&target_store, &set, "older", Road::SideCopy);
    target_store.discard(&context("older"), &place, plan::ports::Discard::Previous).unwrap();
    for database in [0, 1] {
        let (wanted, found) = (values(&source, database, is_7), values(&target, database, is_7));
        assert_eq!(wanted.len(), found.len());
        let differing: Vec<_> = wanted.keys().filter(|key| wanted[*key] != found[*key]).map(|key| String::from_utf8_lossy(key)).collect();
        assert_eq!(differing, Vec::<String>::new());
    }
    if is_7 {
        assert_eq!(say(&mut connect(&target, 0), "FCALL hello 0").text(), "hi");
    }
}

#[test]
fn a_set_of_redis_6_goes_into_redis_7() {
    an_older_set_goes_into(RedisKind::Redis6, RedisKind::Redis);
}

#[test]
fn a_set_of_redis_6_goes_into_the_newest_redis() {
    an_older_set_goes_into(RedisKind::Redis6, RedisKind::NewestRedis);
}

#[test]
fn a_set_of_redis_7_goes_into_the_newest_redis() {
    an_older_set_goes_into(RedisKind::Redis, RedisKind::NewestRedis);
}

#[test]
fn a_set_of_redis_7_goes_into_valkey() {
    an_older_set_goes_into(RedisKind::Redis, RedisKind::Valkey);
}

/// The judgement must be that of the servers themselves: `RESTORE` of a payload that the one has made, at the other.
#[test]
fn what_the_other_server_would_refuse_is_refused_before_anything_is_touched() {
    let kinds = RedisKind::ALL;
    let servers = kinds.map(|kind| Redis::start_kind(kind, &[]).unwrap());
    let sets = servers.each_ref().map(|server| {
        say(&mut connect(server, 0), "SET text abc");
        backup(&store(server)).unwrap()
    });
    let mut refused = 0;
    for (from, set) in servers.iter().zip(&sets) {
        let payload = connect(from, 0).call(&[b"DUMP", b"text"]).unwrap();
        let Reply::Bytes(payload) = payload else { panic!("{payload:?}") };
        for to in &servers {
            let mut other = connect(to, 7);
            let is_loaded = other.ask(&[b"RESTORE", b"text", b"0", &payload]).unwrap().ok().is_ok();
            say(&mut other, "FLUSHDB");
            let before = digest(to);
            let writes = |server: &Redis| Server::ask(&mut connect(server, 0)).unwrap().number("rdb_changes_since_last_save");
            let changes = writes(to);
            for road in [Road::SideCopy, Road::InPlace] {
                let problems = store(to).fits(&context("fits"), &set.kept, road).unwrap();
                let version = |text: &str| text.contains("cannot load RDB version");
                let blocks = problems.iter().any(|problem| problem.severity == Severity::Blocks && version(&problem.text));
                assert_eq!(!blocks, is_loaded, "{} into {}: {problems:?}", set.kept.store, to.url(0));
                refused += usize::from(blocks);
            }
            assert_eq!((digest(to), writes(to)), (before, changes));
        }
    }
    // All three into Redis 6, the newest Redis and Valkey into Redis 7, and into one another; each by two roads.
    assert_eq!(refused, 14);
}
