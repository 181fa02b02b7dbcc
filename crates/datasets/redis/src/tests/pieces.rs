//! Large values are loaded in pieces: no command is long, what comes out is what was there, and half of one is never taken for a whole one.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, Discard, Entry, Problem, Road, Snapshot};

use super::generated::held;
use super::rights::{allow, exact};
use super::scene::*;
use crate::connection::Connection;
use crate::rights::For;
use crate::rights::trial::ANY_KEY;
use crate::{Options, RedisStore};

/// Elements of the values that are long by their number: a packed node takes the square of its own.
const MANY: u64 = 12_000;
const MANY_PACKED: u64 = 5_000;
/// From so many elements on values go in pieces here.
const FROM: u64 = 2_000;

/// Limits under which a server keeps a large collection in one packed node.
const PACKED: [&str; 3] = ["set-max-intset-entries", "hash-max-ziplist-entries", "zset-max-ziplist-entries"];

fn packed_up_to(connection: &mut Connection, entries: [u64; 3]) {
    for (limit, entries) in PACKED.iter().zip(entries) {
        say(connection, &format!("CONFIG SET {limit} {entries}"));
    }
}

/// Values of all that can go in pieces, whatever a server has made of them.
fn fill(server: &Redis) {
    let connection = &mut connect(server, 0);
    let script = "local suffix = KEYS[1] for n = 1, KEYS[2] do local ints, names, pairs, scored = {}, {}, {}, {} \
         for m = 1, 1000 do local at = n * 1000 + m \
           ints[m] = string.format('%.0f', at * 1000003) names[m] = 'member ' .. at pairs[2 * m - 1] = 'field ' .. at pairs[2 * m] = at * 3 \
           scored[2 * m - 1] = string.format('%.17g', at / 7) scored[2 * m] = 'job ' .. at end \
         redis.call('SADD', 'ints' .. suffix, unpack(ints)) redis.call('SADD', 'set' .. suffix, unpack(names)) \
         redis.call('HSET', 'hash' .. suffix, unpack(pairs)) redis.call('ZADD', 'zset' .. suffix, unpack(scored)) end";
    let make = |connection: &mut Connection, suffix: &[u8], many: u64| {
        connection.call(&[b"EVAL", script.as_bytes(), b"2", suffix, (many / 1000).to_string().as_bytes()]).unwrap();
    };
    make(connection, b"", MANY);
    packed_up_to(connection, [1 << 20; 3]);
    make(connection, b":packed", MANY_PACKED);
    packed_up_to(connection, [512, 512, 128]);
    // Scores that a double has, and decimal text must not lose.
    for (member, score) in ["inf", "-inf", "0", "1e300", "5e-324", "0.1", "-2.2250738585072011e-308", "9007199254740993"].iter().enumerate()
    {
        say(connection, &format!("ZADD zset {score} odd:{member}"));
    }
    // With a sign of zero, which packed nodes lose.
    connection
        .call(&[b"EVAL", b"for n = 1, 3000 do redis.call('ZADD', 'zset:zero', n % 7 == 0 and '-0' or n, 'member ' .. n) end", b"0"])
        .unwrap();
    // Long in bytes: many elements, and few.
    for number in 0..500u64 {
        let elements: Vec<Vec<u8>> = (0..100).map(|at| noise(100, number * 100 + at)).collect();
        for (verb, key) in [("RPUSH", "wide:list"), ("SADD", "wide:set")] {
            let words: Vec<&[u8]> = [verb.as_bytes(), key.as_bytes()].into_iter().chain(elements.iter().map(Vec::as_slice)).collect();
            connection.call(&words).unwrap();
        }
    }
    let long = noise(3_000_000, 5);
    let other = noise(70_000, 6);
    connection.call(&[b"SADD", b"few:set", &long, b"", b"short", &other, &noise(2_000_000, 8)]).unwrap();
    connection.call(&[b"RPUSH", b"few:list", b"", &long, b"between", &other, &long, b""]).unwrap();
    connection.call(&[b"HSET", b"few:hash", b"", b"", b"a", &long, &other, b"short", &long, &other, b"b", b"", b"c", &other]).unwrap();
    connection.call(&[b"ZADD", b"few:zset", b"2", &long, b"1", b"", b"-0", &other, b"2", &noise(2_000_000, 8)]).unwrap();
    connection.call(&[b"SET", b"text", &noise(5_000_000, 9)]).unwrap();
    // Compressed, and still long.
    connection.call(&[b"SET", b"text:packed", &[noise(5_000_000, 10), b"abc".repeat(500_000)].concat()]).unwrap();
    for key in ["set", "hash:packed", "wide:list", "text", "few:zset"] {
        say(connection, &format!("PEXPIRE {key} 100000000"));
    }
    say(&mut connect(server, 1), "RPUSH resque:queue:priority a b");
}

/// A command that the server carried out.
struct Done {
    verb: String,
    key: String,
    words: usize,
    bytes: usize,
}

/// What the server notes of each command: it cuts long ones, and says by how much.
fn done(server: &Redis) -> Vec<Done> {
    let more = |text: &str, what: &str| -> Option<usize> {
        text.rsplit_once("... (").and_then(|(_, more)| more.strip_suffix(&format!(" more {what})"))?.parse().ok())
    };
    let entries = say(&mut connect(server, 0), "SLOWLOG GET 100000").list();
    let words = entries.into_iter().map(|entry| entry.list().swap_remove(3).list());
    let told = words.map(|words| {
        let words: Vec<String> = words.iter().map(crate::connection::Reply::text).collect();
        let all = words.last().and_then(|last| more(last, "arguments")).map_or(words.len(), |more| words.len() - 1 + more);
        let bytes = words.iter().map(|word| more(word, "bytes").map_or(word.len(), |more| 128 + more)).sum();
        Done { verb: words[0].to_uppercase(), key: words.get(1).cloned().unwrap_or_default(), words: all, bytes }
    });
    told.collect()
}

/// Has the server note every command from now on.
fn note_all(server: &Redis) {
    for words in ["CONFIG SET slowlog-max-len 100000", "CONFIG SET slowlog-log-slower-than 0", "SLOWLOG RESET"] {
        say(&mut connect(server, 0), words);
    }
}

#[test]
fn large_values_go_in_pieces_and_are_what_they_were_on_every_server() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
        fill(&server);
        let made_whole = ["stream", "expiring-fields", "zset:zero"];
        for number in 0..10 {
            say(&mut connect(&server, 0), &format!("XADD stream {}-1 field value", number + 1));
        }
        if matches!(kind, RedisKind::NewestRedis | RedisKind::Valkey) {
            let fields: Vec<String> = (0..MANY / 2).map(|at| format!("field:{at} x")).collect();
            say(&mut connect(&server, 0), &format!("HSET expiring-fields {}", fields.join(" ")));
            say(&mut connect(&server, 0), "HPEXPIRE expiring-fields 100000000 FIELDS 1 field:7");
        }
        let (whole, first) = (digest(&server), held(&server, 0, false));
        let store = store_with(&server, Options { pieces_from: FROM, ..Options::default() });
        let set = backup(&store).unwrap();
        for road in [Road::SideCopy, Road::InPlace] {
            damage(&server);
            note_all(&server);
            let run = format!("pieces-{road:?}").to_lowercase();
            let place = stage(&store, &set, &run, road).unwrap();
            let done = done(&server);
            assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{kind:?} {road:?}");
            store.cut_over(&context(&run), &place).unwrap();
            store.discard(&context(&run), &place, Discard::Previous).unwrap();
            assert_eq!(held(&server, 0, false), first, "{kind:?} {road:?}");
            assert_eq!(digest(&server), whole, "{kind:?} {road:?}");

            let restored: Vec<&str> = done.iter().filter(|done| done.verb == "RESTORE").map(|done| done.key.as_str()).collect();
            let in_one_go =
                |key: &str| made_whole.contains(&key) || key.starts_with("resque:") || [ANY_KEY, "threescale-backup:probe"].contains(&key);
            assert!(restored.contains(&"stream") && restored.iter().all(|key| in_one_go(key)), "{kind:?} {road:?}: {restored:?}");
            for (verb, key, at_least) in [
                ("SADD", "ints", 24),
                ("SADD", "set:packed", 10),
                ("SADD", "ints:packed", 10),
                ("HSET", "hash", 48),
                ("HSET", "hash:packed", 20),
                ("ZADD", "zset", 48),
                ("ZADD", "zset:packed", 20),
                ("RPUSH", "wide:list", 100),
                ("SADD", "wide:set", 100),
                ("RPUSH", "few:list", 5),
                ("HSET", "few:hash", 5),
                ("ZADD", "few:zset", 3),
                ("SADD", "few:set", 3),
                ("SET", "text", 1),
                ("SET", "text:packed", 1),
            ] {
                let pieces: Vec<&Done> = done.iter().filter(|done| done.verb == verb && done.key == key).collect();
                assert!(pieces.len() >= at_least, "{kind:?} {road:?} {key}: {}", pieces.len());
                assert!(pieces.iter().all(|piece| piece.words <= 502), "{kind:?} {road:?} {key}");
                let most = if key.starts_with("few") || key.starts_with("text") { usize::MAX } else { 64 << 10 };
                assert!(pieces.iter().all(|piece| piece.bytes <= most), "{kind:?} {road:?} {key}");
            }
            say(&mut connect(&server, 0), "CONFIG SET slowlog-log-slower-than -1");
        }
    }
}

/// A repository that breaks behind so many parts of the storage.
struct Breaking(Arc<Memory>, usize);

impl Snapshot for Breaking {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        self.0.entries()
    }

    fn find(&self, path: &Path) -> plan::Result<Entry> {
        self.0.find(path)
    }

    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        let number = entry.path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<usize>().ok());
        match number {
            Some(number) if number > self.1 => Err(plan::Error::transient("the repository is away")),
            _ => self.0.read(entry),
        }
    }
}

#[test]
fn half_a_value_is_never_taken_for_a_whole_one_and_the_next_call_makes_it_whole() {
    for (verb, count) in [("SADD", "SCARD"), ("RPUSH", "LLEN")] {
        let server = Redis::start(&["--appendonly", "yes"]).unwrap();
        for number in 0..600u64 {
            let elements: Vec<Vec<u8>> = (0..100).map(|at| noise(100, number * 100 + at)).collect();
            let words: Vec<&[u8]> = [verb.as_bytes(), b"wide"].into_iter().chain(elements.iter().map(Vec::as_slice)).collect();
            connect(&server, 0).call(&words).unwrap();
        }
        say(&mut connect(&server, 0), "PEXPIRE wide 100000000");
        say(&mut connect(&server, 1), "RPUSH queue a b");
        let (whole, first) = (digest(&server), held(&server, 0, false));
        let store = store_with(&server, Options { part_bytes: 128 << 10, ..Options::default() });
        let set = backup(&store).unwrap();
        let breaking = |parts| Arc::new(Breaking(Arc::clone(&set.snapshot), parts)) as Arc<dyn Snapshot>;
        for road in [Road::SideCopy, Road::InPlace] {
            damage(&server);
            let (run, damaged) = (format!("half-{road:?}").to_lowercase(), digest(&server));
            let place = store.reserve(&context(&run), &set.kept, road).unwrap();
            let database = place.0["servers"][0][0]["side"].as_u64().map_or(0, |side| u32::try_from(side).unwrap());
            for parts in [10, 20, 10] {
                // A server may drop what has come when the connection goes: then it is done once more.
                let half = (0..50).any(|_| {
                    let error = store.stage(&context(&run), &place, breaking(parts), &set.kept).unwrap_err();
                    assert!(error.chain().contains("the repository is away"), "{error:?}");
                    let there = say(&mut connect(&server, database), &format!("{count} wide")).number().unwrap();
                    assert!(there < 59_000, "{verb} {road:?}: {there}");
                    there > 0
                });
                assert!(half, "{verb} {road:?}: half of it is there");
                assert!(store.prove(&context(&run), &place, &set.kept).is_err(), "{verb} {road:?}");
                assert!(store.cut_over(&context(&run), &place).is_err(), "{verb} {road:?}");
                assert_eq!(backup(&store).is_err(), road == Road::InPlace, "{verb}: half of the live data is in no set");
            }
            if road == Road::SideCopy {
                store.discard(&context(&run), &place, Discard::Staged).unwrap();
                assert_eq!(digest(&server), damaged, "nothing is left of it");
                assert_eq!(store.reserve(&context(&run), &set.kept, road).unwrap(), place);
                store.stage(&context(&run), &place, breaking(20), &set.kept).unwrap_err();
            }
            store.stage(&context(&run), &place, breaking(usize::MAX), &set.kept).unwrap();
            assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{verb} {road:?}");
            store.cut_over(&context(&run), &place).unwrap();
            store.discard(&context(&run), &place, Discard::Previous).unwrap();
            assert_eq!((digest(&server), held(&server, 0, false)), (whole.clone(), first.clone()), "{verb} {road:?}");
        }
    }
}

#[test]
fn who_may_not_load_in_pieces_is_told_before_and_loads_in_one_go() {
    const LONG: &str =
        "for n = 1, 160 do local many = {} for m = 1, 1000 do many[m] = n * 1000 + m end redis.call('SADD', 'many', unpack(many)) end";
    let kind = RedisKind::NewestRedis;
    let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
    connect(&server, 0).call(&[b"EVAL", LONG.as_bytes(), b"0"]).unwrap();
    let before = digest(&server);
    let set = backup(&store(&server)).unwrap();
    assert_eq!(set.kept.evidence.facts["long-value-kind.storage.1"], "set in-pieces");
    damage(&server);
    let needed = [For::All, For::View, For::Restore, For::Beside];
    let told = |store: &RedisStore| {
        let problems = store.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
        problems.iter().map(Problem::sentence).find(|text| text.contains("stands still"))
    };
    assert_eq!(told(&store(&server)), None, "it goes in pieces");
    let calls = |command: &str| {
        let text = say(&mut connect(&server, 0), "INFO commandstats").text();
        let calls = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    // One of the commands is enough to be missing, and none of them is carried out by the trial.
    for lacking in ["unlink", "rpush", "sadd", "zadd", "hset", "pexpireat"] {
        allow(&server, kind, &[&needed[..], &[For::WhereAllowed]].concat(), Some(lacking), "~*");
        assert!(told(&exact(&server)).is_some_and(|text| text.contains("UNLINK") && text.contains("\"many\"")), "{lacking}");
    }
    allow(&server, kind, &[&needed[..], &[For::WhereAllowed]].concat(), None, "~*");
    assert_eq!(told(&exact(&server)), None);
    allow(&server, kind, &needed, None, "~*");
    say(&mut connect(&server, 0), "CONFIG RESETSTAT");
    let place = restore(&exact(&server), &set, "whole", Road::SideCopy);
    assert_eq!(calls("sadd"), 0);
    exact(&server).discard(&context("whole"), &place, Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
}
