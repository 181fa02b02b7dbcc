//! What tests are made of: servers, keys of every kind, a repository in memory, and the life of a data set in one call.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lab::Redis;
use plan::evidence::{Evidence, Tally};
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Dump, Entry, EntryHandle, Meta, Place, Road, Severity, Snapshot, Verdict};
use plan::{Error, Result};

use crate::connection::{Connection, Limits, Reply};
use crate::{Address, Options, RedisStore};

pub(crate) fn context(run: &str) -> Context {
    Context { workers: 2, ..Context::new(run) }
}

pub(crate) fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), idle: Duration::from_secs(60), stops: Vec::new(), crash: None, any_command: true }
}

pub(crate) fn store(server: &Redis) -> RedisStore {
    store_with(server, Options::default())
}

/// Storage in 0, queues in 1.
pub(crate) fn store_with(server: &Redis, options: Options) -> RedisStore {
    let address = |database| Address::parse(&server.url(database)).unwrap();
    RedisStore::new(DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], options).unwrap()
}

pub(crate) fn connect(server: &Redis, database: u32) -> Connection {
    let mut connection = Connection::open(&Address::parse(&server.url(database)).unwrap(), &limits()).unwrap();
    connection.select(database).unwrap();
    connection
}

/// One command in words.
pub(crate) fn say(connection: &mut Connection, words: &str) -> Reply {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    connection.call(&words).unwrap()
}

/// Saves; waits for a save that goes on by itself.
pub(crate) fn save(server: &Redis) {
    let mut connection = connect(server, 0);
    let limit = Instant::now() + Duration::from_secs(30);
    while let Reply::Error(text) = connection.ask(&[b"SAVE"]).unwrap() {
        assert!(text.contains("in progress") && Instant::now() < limit, "{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn digest(server: &Redis) -> String {
    say(&mut connect(server, 0), "DEBUG DIGEST").text()
}

/// A repository in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn entry(path: &Path, bytes: &[u8]) -> Entry {
        let (meta, kind) = (Meta::default(), plan::ports::EntryKind::File);
        Entry { path: path.to_owned(), meta, size_bytes: bytes.len() as u64, kind, handle: EntryHandle(Box::new(())) }
    }

    /// The joined parts of a database.
    pub(crate) fn rdb(&self, name: &str) -> Vec<u8> {
        let suffix = format!("-{name}.rdb");
        let parts = self.0.iter().filter(|(path, _)| path.parent().unwrap().to_str().unwrap().ends_with(&suffix));
        parts.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

impl Snapshot for Memory {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().map(|(path, bytes)| Ok(Self::entry(path, bytes)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        let bytes = self.0.get(path).ok_or_else(|| Error::failed(format!("no {}", path.display())))?;
        Ok(Self::entry(path, bytes))
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0[&entry.path].clone())))
    }
}

/// A set: its snapshot and its place in the manifest.
#[derive(Clone)]
pub(crate) struct Set {
    pub(crate) snapshot: Arc<Memory>,
    pub(crate) kept: KeptDataSet,
}

/// Takes a dump to its end. Parts must come in the order of their paths.
pub(crate) fn read(mut dump: Box<dyn Dump>) -> Result<(Memory, Verdict)> {
    let mut memory = Memory::default();
    let mut last = PathBuf::new();
    while let Some(part) = dump.next_part()? {
        assert!(part.path > last, "{} after {}", part.path.display(), last.display());
        last.clone_from(&part.path);
        let Content::Bytes(bytes) = part.content else { panic!("no bytes") };
        assert!(bytes.len() <= 8 << 20);
        memory.0.insert(part.path, bytes);
    }
    Ok((memory, dump.finish()?))
}

pub(crate) fn backup(store: &RedisStore) -> Result<Set> {
    let (memory, verdict) = read(store.dump(&context("backup"))?)?;
    let now = Timestamp::now();
    let kept = KeptDataSet {
        snapshot: SnapshotId("s".to_owned()),
        kind: plan::ports::StoreKind::Redis,
        store: verdict.evidence.facts["store"].clone(),
        identity: None,
        started_at: now,
        consistent_at: verdict.consistent_at,
        finished_at: now,
        parts: memory.0.len() as u64,
        bytes: memory.0.values().map(|bytes| bytes.len() as u64).sum(),
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };
    Ok(Set { snapshot: Arc::new(memory), kept })
}

pub(crate) fn stage(store: &RedisStore, set: &Set, run: &str, road: Road) -> Result<Place> {
    let context = context(run);
    let problems = store.fits(&context, &set.kept, road)?;
    assert!(problems.iter().all(|problem| problem.severity < Severity::Blocks), "{problems:?}");
    let place = store.reserve(&context, &set.kept, road)?;
    store.stage(&context, &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept)?;
    Ok(place)
}

pub(crate) fn differences(store: &RedisStore, set: &Set, place: &Place, run: &str) -> Vec<String> {
    set.kept.evidence.differences(&store.prove(&context(run), place, &set.kept).unwrap())
}

/// Count and digest of all elements of a database, whatever time they expire at. Two dumps are compared by these: their buckets begin at the minute
/// in which each was taken.
pub(crate) fn totals(evidence: &Evidence) -> BTreeMap<&str, Tally> {
    let mut totals: BTreeMap<&str, Tally> = BTreeMap::new();
    for (name, tally) in &evidence.collections {
        totals.entry(name.split('/').next().unwrap()).or_default().merge(*tally);
    }
    totals
}

/// Stage, prove, cut over.
pub(crate) fn restore(store: &RedisStore, set: &Set, run: &str, road: Road) -> Place {
    let place = stage(store, set, run, road).unwrap();
    assert_eq!(differences(store, set, &place, run), Vec::<String>::new());
    store.cut_over(&context(run), &place).unwrap();
    place
}

/// Bytes that do not compress.
pub(crate) fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(seed >> 11).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) const LIBRARY: &[u8] = b"#!lua name=mylib\nredis.register_function('hello', function() return 'hi' end)";

/// Keys of every type, small and large, in the selected database.
pub(crate) fn every_type(connection: &mut Connection) {
    for words in [
        "SET int8 7",
        "SET int16 -300",
        "SET int32 123456789",
        "SET int64 1234567890123456789",
        "SET text abc",
        "SETBIT bits 70000 1",
        "PFADD hll a b c d e",
        "RPUSH list a 1 -5 300 70000 20000000 9000000000000 b",
        "SADD intset16 1 2 3",
        "SADD intset32 1 70000 -70000",
        "SADD intset64 1 9000000000000",
        "SADD set a b c 12",
        "ZADD zset 1 one 2.5 two -inf low inf high 1e300 big 0.1 tenth",
        "ZADD zeros -0 a 0 b",
        "HSET hash a 1 b two c 3.5",
        "SET expiring later PX 600000",
        "HSET expiring-hash a 1",
        "PEXPIRE expiring-hash 100000000",
        "SET far x EX 4000000000",
        "XADD stream 1-1 field value other thing",
        "XADD stream 1-2 field value2 other thing2",
        "XADD stream 5-0 more fields than before",
        "XDEL stream 1-2",
        "XGROUP CREATE stream readers 0",
        "XGROUP CREATE stream others $",
        "XREADGROUP GROUP readers alice COUNT 1 STREAMS stream >",
        "XREADGROUP GROUP readers bob STREAMS stream >",
        "XGROUP CREATE empty-stream g $ MKSTREAM",
    ] {
        say(connection, words);
    }
    connection.call(&[b"SET", b"", b""]).unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    connection.call(&[b"SET", &every_byte, &every_byte]).unwrap();
    connection.call(&[b"SET", b"compressible", &b"abcdefg ".repeat(700_000)]).unwrap();
    connection.call(&[b"SET", b"long", &noise(5_000_000, 1)]).unwrap();
    connection.call(&[b"RPUSH", b"list-of-long", &noise(50_000, 2), b"short", &noise(70_000, 3)]).unwrap();
    for number in 0..3000u32 {
        let text = number.to_string();
        let member = format!("member number {number} {}", "x".repeat(number as usize % 90));
        let (text, member) = (text.as_bytes(), member.as_bytes());
        connection.push(&[b"RPUSH", b"big-list", member, text]);
        connection.push(&[b"SADD", b"big-set", member]);
        connection.push(&[b"SADD", b"big-intset", text]);
        connection.push(&[b"ZADD", b"big-zset", format!("{}", f64::from(number) / 7.0).as_bytes(), member]);
        connection.push(&[b"HSET", b"big-hash", member, text]);
        connection.push(&[b"XADD", b"big-stream", format!("{}-{}", number / 10 + 1, number).as_bytes(), member, text]);
        connection.flush().unwrap();
        for _ in 0..6 {
            connection.reply().unwrap().ok().unwrap();
        }
    }
    say(connection, "XGROUP CREATE big-stream g 0");
    say(connection, "XREADGROUP GROUP g c COUNT 500 STREAMS big-stream >");
}

/// Writes what a disaster would leave: some keys gone, some changed, some new.
pub(crate) fn damage(server: &Redis) {
    for database in [0, 1] {
        let mut connection = connect(server, database);
        say(&mut connection, "FLUSHDB");
        say(&mut connection, "SET damaged 1");
    }
}
