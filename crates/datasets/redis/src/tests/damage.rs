//! Broken streams, damaged bytes, servers that go away, versions that do not fit: errors, never a set.

use std::sync::Arc;

use lab::Redis;
use plan::Class;
use plan::ports::{DataSet, Road, Severity, Snapshot};
use proptest::prelude::*;

use super::scene::*;
use crate::rdb::source::{NoTap, Source};
use crate::rdb::value::{Shape, value};
use crate::rdb::walk::{Item, Walk};
use crate::rdb::{Dialect, Format};
use crate::tally::{Buckets, DatabaseTally};
use crate::{Address, Options, RedisStore};

/// Walks a whole file, digesting.
pub(super) fn walk(bytes: &[u8]) -> plan::Result<Buckets> {
    let mut walk = Walk::begin(Source::new(bytes, NoTap))?;
    let mut tally = DatabaseTally::new(0);
    loop {
        match walk.next()? {
            Item::Key(head) => {
                tally.begin_key(&head.key, Shape::of(head.kind, walk.format).unwrap(), head.expires_ms);
                value(&mut walk.source, head.kind, walk.format, &mut tally)?;
                tally.end_key();
            }
            Item::End { checked } => {
                walk.source.at_end()?;
                return if checked { Ok(tally.buckets) } else { Err(plan::Error::failed("no checksum")) };
            }
            _ => {}
        }
    }
}

fn small_rdb() -> Vec<u8> {
    let server = Redis::start(&[]).unwrap();
    let mut connection = connect(&server, 0);
    for words in [
        "SET text abc",
        "SET number 12345",
        "RPUSH list a 1 -5 300 70000",
        "SADD ints 1 2 3",
        "SADD set a b",
        "ZADD zset 1 one 2.5 two",
        "HSET hash a 1 b two",
        "XADD stream 1-1 f v",
        "XGROUP CREATE stream g 0",
        "XREADGROUP GROUP g c STREAMS stream >",
        "SET ttl x PX 100000000",
    ] {
        say(&mut connection, words);
    }
    connection.call(&[b"SET", b"packed", &b"abc ".repeat(100)]).unwrap();
    backup(&store(&server)).unwrap().snapshot.rdb("storage")
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let bytes = small_rdb();
    let whole = walk(&bytes).unwrap();
    assert_eq!(whole.persistent.count, 9);
    for end in 0..bytes.len() {
        assert!(walk(&bytes[..end]).is_err(), "cut after {end}");
    }
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(walk(&damaged).is_err() || damaged[..9] != bytes[..9], "bit {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_walker_panic(kind in 0u8..=30, valkey in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let format = Format { dialect: if valkey { Dialect::Valkey } else { Dialect::Redis }, version: 11 };
        let mut tally = DatabaseTally::new(0);
        tally.begin_key(b"k", Shape::of(kind, format).unwrap_or(Shape::String), None);
        drop(value(&mut Source::new(bytes.as_slice(), NoTap), kind, format, &mut tally));
        drop(value(&mut Source::new(bytes.as_slice(), NoTap), kind, format, &mut ()));
    }
}

/// Digest of one value given as raw bytes.
fn digest_of(kind: u8, format: Format, raw: &[u8]) -> Buckets {
    let mut tally = DatabaseTally::new(0);
    tally.begin_key(b"k", Shape::of(kind, format).unwrap(), None);
    let mut source = Source::new(raw, NoTap);
    value(&mut source, kind, format, &mut tally).unwrap();
    source.at_end().unwrap();
    tally.end_key();
    tally.buckets
}

#[test]
fn the_same_value_in_another_encoding_has_the_same_digest() {
    let redis = Format { dialect: Dialect::Redis, version: 12 };
    let valkey = Format { dialect: Dialect::Valkey, version: 80 };
    // A hash {a: 1}: plain, zipmap, ziplist, listpack.
    let plain = digest_of(4, redis, b"\x01\x01a\x01\x31");
    assert_eq!(digest_of(9, redis, b"\x07\x01\x01a\x01\x001\xff"), plain);
    assert_eq!(digest_of(13, redis, b"\x10\x10\0\0\0\x0d\0\0\0\x02\0\x00\x01a\x03\xf2\xff"), plain);
    assert_eq!(digest_of(16, redis, b"\x0c\x0c\0\0\0\x02\0\x81a\x02\x01\x01\xff"), plain);
    // A field that expires at 1000: Redis 7.4 hash table (relative), pre-release (absolute), listpack, and Valkey 9.
    let expiring = digest_of(24, redis, b"\xe8\x03\0\0\0\0\0\0\x01\x01\x01a\x011");
    assert_eq!((expiring.persistent.count, expiring.volatile.len(), expiring.fields.len()), (0, 1, 1));
    assert_eq!(digest_of(22, redis, b"\x01\x43\xe8\x01a\x011"), expiring);
    assert_eq!(digest_of(25, redis, b"\xe8\x03\0\0\0\0\0\0\x0f\x0f\0\0\0\x03\0\x81a\x02\x01\x01\xc3\xe8\x02\xff"), expiring);
    assert_eq!(digest_of(22, valkey, b"\x01\x01a\x011\xe8\x03\0\0\0\0\0\0"), expiring);
    assert_eq!(digest_of(22, valkey, b"\x01\x01a\x011\xff\xff\xff\xff\xff\xff\xff\xff"), plain);
    // Sets and sorted sets.
    let set = digest_of(2, redis, b"\x02\x011\x012");
    assert_eq!(digest_of(11, redis, b"\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0"), set);
    assert_eq!(digest_of(20, redis, b"\x0b\x0b\0\0\0\x02\0\x02\x01\x01\x01\xff"), set);
    let zset = digest_of(5, redis, b"\x01\x01a\0\0\0\0\0\0\xf8\x3f");
    assert_eq!(digest_of(3, redis, b"\x01\x01a\x031.5"), zset);
    assert_eq!(digest_of(17, redis, b"\x0f\x0f\0\0\0\x02\0\x81a\x02\x831.5\x04\xff"), zset);
    // A stream without entries and with one group: as of 5.0, 7.0, 7.2, and as of 8.6 with a producer of idempotent ids.
    let old = digest_of(15, redis, b"\x00\x00\x05\x01\x01\x01g\x05\x01\x00\x01\x01c\x01\0\0\0\0\0\0\0\x00");
    let tail = b"\x00\x01\x01c\x01\0\0\0\0\0\0\0";
    let v2 = [b"\x00\x00\x05\x01\0\0\0\0\x00\x01\x01g\x05\x01\x07".as_slice(), tail, b"\x00"].concat();
    assert_eq!(digest_of(19, redis, &v2), old);
    let v3 = [b"\x00\x00\x05\x01\0\0\0\0\x00\x01\x01g\x05\x01\x07".as_slice(), tail, b"\x09\0\0\0\0\0\0\0\x00"].concat();
    assert_eq!(digest_of(21, redis, &v3), old);
    let v4 = [v3.as_slice(), b"\x0a\x0a\x01\x01p\x01\x02id\x05\x01\x01\x00"].concat();
    assert_eq!(digest_of(26, redis, &v4), old);
}

#[test]
fn a_server_that_dies_during_a_dump_leaves_no_verdict() {
    let mut server = Redis::start(&[]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..12u64 {
        connection.call(&[b"SET", number.to_string().as_bytes(), &noise(6_000_000, number)]).unwrap();
    }
    let mut dump = store(&server).dump(&context("x")).unwrap();
    assert!(dump.next_part().unwrap().is_some());
    server.kill();
    let error = loop {
        match dump.next_part() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a broken stream is an error, never an end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(dump.finish().is_err());
    server.start_again().unwrap();
    assert!(backup(&store(&server)).is_ok());
}

#[test]
fn a_raised_stop_flag_interrupts_and_a_silent_server_is_not_waited_for() {
    let server = Redis::start(&[]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..8u64 {
        connection.call(&[b"SET", number.to_string().as_bytes(), &noise(6_000_000, number)]).unwrap();
    }
    let stopped = context("x");
    let mut dump = store(&server).dump(&stopped).unwrap();
    assert!(dump.next_part().unwrap().is_some());
    stopped.stop.raise();
    let error = std::iter::repeat_with(|| dump.next_part()).find_map(Result::err).unwrap();
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");

    let impatient = store_with(&server, Options { idle_timeout: std::time::Duration::from_secs(1), ..Options::default() });
    server.freeze().unwrap();
    let error = impatient.look(&context("x")).unwrap_err();
    server.thaw().unwrap();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(impatient.look(&context("x")).is_ok());
}

/// Kills the server when half of the parts were read.
struct Killing(Arc<Memory>, std::sync::Mutex<Option<Redis>>, std::sync::atomic::AtomicU64);

impl Snapshot for Killing {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<plan::ports::Entry>> + Send + '_>> {
        self.0.entries()
    }
    fn find(&self, path: &std::path::Path) -> plan::Result<plan::ports::Entry> {
        if self.2.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 20 {
            self.1.lock().unwrap().as_mut().unwrap().kill();
        }
        self.0.find(path)
    }
    fn read(&self, entry: &plan::ports::Entry) -> plan::Result<Box<dyn std::io::Read + Send>> {
        self.0.read(entry)
    }
}

#[test]
fn a_server_that_dies_during_a_stage_is_staged_again() {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    every_type(&mut connect(&server, 0));
    let before = digest(&server);
    let store = store_with(&server, Options { part_bytes: 256 << 10, ..Options::default() });
    let set = backup(&store).unwrap();
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let killing = Arc::new(Killing(Arc::clone(&set.snapshot), std::sync::Mutex::new(Some(server)), std::sync::atomic::AtomicU64::new(0)));
    let error = store.stage(&context("r"), &place, Arc::clone(&killing) as Arc<dyn Snapshot>, &set.kept).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let mut server = killing.1.lock().unwrap().take().unwrap();
    server.start_again().unwrap();
    assert_eq!(store.cut_over(&context("r"), &place).unwrap_err().class(), Class::Failed);
    store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
    assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new());
    store.cut_over(&context("r"), &place).unwrap();
    store.discard(&context("r"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
}

#[test]
fn a_damaged_part_never_becomes_a_loaded_copy() {
    let server = Redis::start(&[]).unwrap();
    every_type(&mut connect(&server, 0));
    let store = store(&server);
    let set = backup(&store).unwrap();
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let first = set
        .snapshot
        .0
        .iter()
        .find(|(path, _)| path.to_str().unwrap().contains("storage"))
        .map(|(path, bytes)| (path.clone(), bytes.len()))
        .unwrap();
    for at in [first.1 / 3, first.1 / 2, first.1 - 1] {
        let mut memory = Memory(set.snapshot.0.clone());
        memory.0.get_mut(&first.0).unwrap()[at] ^= 4;
        assert!(store.stage(&context("r"), &place, Arc::new(memory), &set.kept).is_err());
        assert!(store.cut_over(&context("r"), &place).is_err());
    }
    store.discard(&context("r"), &place, plan::ports::Discard::Staged).unwrap();
}

#[test]
fn a_dump_of_a_newer_redis_is_refused_before_anything_is_touched() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "SET a 1");
    let store = store(&server);
    let mut set = backup(&store).unwrap();
    let blocks = |set: &Set| {
        let problems = store.fits(&context("r"), &set.kept, Road::SideCopy).unwrap();
        problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text).collect::<Vec<_>>()
    };
    assert_eq!(blocks(&set), Vec::<String>::new());
    // As sets of earlier versions tell it.
    set.kept.evidence.facts.retain(|name, _| !name.starts_with("rdb-version."));
    for version in ["11", "12", "80", "nonsense"] {
        set.kept.evidence.facts.insert("rdb-version".to_owned(), version.to_owned());
        assert!(blocks(&set).iter().any(|text| text.contains("cannot load")), "{version}");
    }
    set.kept.evidence.facts.insert("rdb-version".to_owned(), "9".to_owned());
    assert_eq!(blocks(&set), Vec::<String>::new());
    set.kept.evidence.facts.insert("folder.other".to_owned(), "x".to_owned());
    set.kept.evidence.facts.insert("module-keys".to_owned(), "2".to_owned());
    set.kept.evidence.facts.insert("largest-value-bytes".to_owned(), (600u64 << 20).to_string());
    assert_eq!(blocks(&set).len(), 3, "{:?}", blocks(&set));
}

#[test]
fn the_same_database_twice_is_refused() {
    let server = Redis::start(&[]).unwrap();
    let name = plan::ids::DataSetName::BackendRedis;
    let new = |one: &str, two: &str| {
        let addresses = vec![("storage", Address::parse(one).unwrap()), ("queues", Address::parse(two).unwrap())];
        RedisStore::new(name, addresses, Options::default())
    };
    assert_eq!(new(&server.url(0), &server.url(0)).unwrap_err().class(), Class::Refused);
    let hidden = new(&server.url(0), &server.socket_url(0)).unwrap();
    assert_eq!(hidden.look(&context("x")).unwrap_err().class(), Class::Refused);
    assert!(RedisStore::new(name, Vec::new(), Options::default()).is_err());
}
