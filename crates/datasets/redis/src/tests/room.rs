//! The live keys are safe: no key is thrown away, no write refused and no volume filled while a copy is loaded beside them, and what was begun can always be ended.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use lab::Redis;
use plan::ports::{Context, DataSet, Discard, Place, Process, Program, Remote, Road, Severity, Snapshot, Undone};
use plan::{Class, Result};

use super::scene::*;
use crate::connection::{Crash, Reply};
use crate::{Address, FileRoad, Options, RedisStore};

/// The policy as the server's own client tells it.
fn policy(server: &Redis) -> String {
    outside(server, &["CONFIG", "GET", "maxmemory-policy"]).lines().nth(1).unwrap().to_owned()
}

fn outside(server: &Redis, arguments: &[&str]) -> String {
    String::from_utf8(server.client().args(arguments).output().unwrap().stdout).unwrap().trim().to_owned()
}

fn info(server: &Redis, name: &str) -> u64 {
    let text = outside(server, &["INFO"]);
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).map_or(0, |number| number.trim().parse().unwrap())
}

/// So many keys of so many bytes each in database 0, and few in 1.
fn fill(server: &Redis, keys: u32, bytes: usize) {
    // What does not compress.
    let value = "local t = {} for m = 1, bytes / 40 do t[m] = redis.sha1hex(n .. ' ' .. m) end";
    let script =
        format!("local bytes = {bytes} for n = 1, {keys} do {value} redis.call('SET', 'key:' .. n, table.concat(t), 'EX', 100000 + n) end");
    outside(server, &["EVAL", &script, "0"]);
    outside(server, &["-n", "1", "EVAL", "for n = 1, 50 do redis.call('RPUSH', 'queue', n) end", "0"]);
}

fn snapshot(set: &Set) -> Arc<dyn Snapshot> {
    Arc::clone(&set.snapshot) as Arc<dyn Snapshot>
}

#[test]
fn a_server_that_throws_keys_away_is_held_off_from_it_until_the_run_keeps_nothing() {
    for evicting in ["allkeys-lru", "volatile-ttl"] {
        let server = Redis::start(&["--maxmemory", "64mb", "--maxmemory-policy", evicting]).unwrap();
        fill(&server, 8000, 1000);
        let (store, before) = (store(&server), digest(&server));
        let set = backup(&store).unwrap();
        let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
        assert_eq!(policy(&server), "noeviction", "while there are two copies");
        assert!(store.leftovers(&context("x")).unwrap().iter().all(|left| left.what.contains(&format!("it was {evicting}"))));
        store.discard(&context("r"), &place, Discard::Staged).unwrap();
        assert_eq!((policy(&server), digest(&server)), (evicting.to_owned(), before.clone()));

        let place = restore(&store, &set, "s", Road::SideCopy);
        assert_eq!(policy(&server), "noeviction", "the previous data is kept");
        assert_eq!(store.undo(&context("s"), &place).unwrap(), Undone::PreviousIsLive);
        store.cut_over(&context("s"), &place).unwrap();
        store.discard(&context("s"), &place, Discard::Previous).unwrap();
        assert_eq!((policy(&server), digest(&server)), (evicting.to_owned(), before.clone()));

        // Ended without its journal.
        stage(&store, &set, "t", Road::SideCopy).unwrap();
        for left in store.leftovers(&context("x")).unwrap() {
            assert_eq!(policy(&server), "noeviction");
            store.remove_leftover(&context("x"), &left).unwrap();
        }
        assert_eq!((policy(&server), info(&server, "evicted_keys")), (evicting.to_owned(), 0));

        // In place it is held for the load.
        let place = restore(&store, &set, "u", Road::InPlace);
        assert_eq!((policy(&server), digest(&server)), (evicting.to_owned(), before.clone()));
        store.discard(&context("u"), &place, Discard::Previous).unwrap();
    }
}

#[test]
fn of_two_data_sets_on_one_server_the_last_puts_the_policy_back() {
    let server = Redis::start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"]).unwrap();
    fill(&server, 100, 100);
    outside(&server, &["-n", "2", "SET", "system", "1"]);
    let address = Address::parse(&server.url(2)).unwrap();
    let (backend, system) =
        (store(&server), RedisStore::new(plan::ids::DataSetName::SystemRedis, vec![("system", address)], Options::default()).unwrap());
    let (set_b, set_s) = (backup(&backend).unwrap(), backup(&system).unwrap());
    let (place_b, place_s) = (stage(&backend, &set_b, "r", Road::SideCopy).unwrap(), stage(&system, &set_s, "r", Road::SideCopy).unwrap());
    backend.discard(&context("r"), &place_b, Discard::Staged).unwrap();
    assert_eq!(policy(&server), "noeviction", "the other copy is still there");
    system.discard(&context("r"), &place_s, Discard::Staged).unwrap();
    assert_eq!(policy(&server), "allkeys-lfu");
}

#[test]
fn after_a_crash_anywhere_the_policy_goes_back() {
    let server = Redis::start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]).unwrap();
    fill(&server, 20, 100);
    let (store, before) = (store(&server), digest(&server));
    let set = backup(&store).unwrap();
    let dying = |commands: i64, after_sending: bool| {
        let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending };
        store_with(&server, Options { crash: Some(crash), ..Options::default() })
    };
    for after_sending in [false, true] {
        for commands in 0.. {
            let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
            let staged = dying(commands, after_sending).stage(&context("r"), &place, snapshot(&set), &set.kept);
            if commands % 3 == 0 {
                store.stage(&context("r"), &place, snapshot(&set), &set.kept).unwrap();
                assert_eq!(policy(&server), "noeviction");
            }
            let discarded = dying(commands, after_sending).discard(&context("r"), &place, Discard::Staged);
            store.discard(&context("r"), &place, Discard::Staged).unwrap();
            assert_eq!((policy(&server), digest(&server)), ("allkeys-lru".to_owned(), before.clone()), "{commands} {after_sending}");
            if staged.is_ok() && discarded.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn where_the_policy_cannot_be_held_it_goes_back_in_place() {
    let server = Redis::start(&[
        "--maxmemory",
        "64mb",
        "--maxmemory-policy",
        "allkeys-lru",
        "--user",
        "few",
        "on",
        ">pw",
        "~*",
        "&*",
        "+@all",
        "-config",
    ])
    .unwrap();
    fill(&server, 100, 100);
    let address = |database: u32| Address::parse(&format!("redis://few:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    let few =
        RedisStore::new(plan::ids::DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], Options::default())
            .unwrap();
    let (set, before) = (backup(&few).unwrap(), digest(&server));
    assert_eq!(few.look(&context("x")).unwrap().road, Road::InPlace);
    let problems = few.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert!(
        problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("throws keys away")),
        "{problems:?}"
    );
    let place = few.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let error = few.stage(&context("r"), &place, snapshot(&set), &set.kept).unwrap_err();
    assert!(error.chain().contains("maxmemory-policy"), "{error:?}");
    few.discard(&context("r"), &place, Discard::Staged).unwrap();
    assert_eq!((policy(&server), digest(&server)), ("allkeys-lru".to_owned(), before));
}

#[test]
fn a_load_that_would_fill_the_memory_steps_back_while_the_live_server_serves() {
    for evicting in ["noeviction", "allkeys-lru"] {
        let source = Redis::start(&[]).unwrap();
        let script = "for n = 1, 20000 do redis.call('HSET', 'hash:' .. n, 'a', n, 'b', n, 'c', n, 'd', n) end";
        outside(&source, &["EVAL", script, "0"]);
        let set = backup(&store(&source)).unwrap();
        let server = Redis::start(&["--maxmemory", "14mb", "--maxmemory-policy", evicting, "--hash-max-listpack-entries", "0"]).unwrap();
        fill(&server, 6000, 1000);
        let (before, store) = (digest(&server), store(&server));
        let problems = store.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
        assert!(problems.iter().all(|problem| problem.severity < Severity::Blocks), "the plan cannot know: {problems:?}");
        let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
        let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = connect(&server, 3);
                while !stop.load(Ordering::Relaxed) {
                    let answer = writer.ask(&[b"SET", b"traffic", b"1"]).unwrap();
                    refused.fetch_add(u64::from(matches!(answer, Reply::Error(_))), Ordering::Relaxed);
                }
                drop(writer.ask(&[b"DEL", b"traffic"]));
            });
            let staged = store.stage(&context("r"), &place, snapshot(&set), &set.kept);
            stop.store(true, Ordering::Relaxed);
            staged.unwrap_err()
        });
        assert!(error.class() == Class::Refused && error.chain().contains("memory"), "{error:?}");
        assert_eq!((refused.into_inner(), info(&server, "evicted_keys")), (0, 0), "{evicting}");
        assert_eq!((policy(&server).as_str(), digest(&server)), (evicting, before), "what was loaded is gone");
        store.discard(&context("r"), &place, Discard::Staged).unwrap();
        store.release(&context("r")).unwrap();
    }
}

#[test]
fn with_the_memory_full_a_run_is_still_ended_and_taken_back() {
    let server = Redis::start(&[]).unwrap();
    fill(&server, 3000, 1000);
    connect(&server, 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    let (store, good) = (store(&server), digest(&server));
    let set = backup(&store).unwrap();
    say(&mut connect(&server, 0), "FUNCTION FLUSH");
    outside(&server, &["EVAL", "for n = 1, 500 do redis.call('DEL', 'key:' .. n) end", "0"]);
    let damaged = digest(&server);
    let full =
        |is_full: bool| drop(say(&mut connect(&server, 0), if is_full { "CONFIG SET maxmemory 1mb" } else { "CONFIG SET maxmemory 0" }));

    let place = stage(&store, &set, "one", Road::SideCopy).unwrap();
    full(true);
    assert!(store.cut_over(&context("one"), &place).unwrap_err().chain().contains("OOM"));
    assert_eq!(store.undo(&context("one"), &place).unwrap(), Undone::PreviousIsLive);
    store.discard(&context("one"), &place, Discard::Staged).unwrap();
    assert_eq!(digest(&server), damaged);

    full(false);
    let place = restore(&store, &set, "two", Road::SideCopy);
    full(true);
    store.discard(&context("two"), &place, Discard::Previous).unwrap();
    assert_eq!(digest(&server), good, "settled");
    full(false);
    outside(&server, &["EVAL", "for n = 1, 500 do redis.call('DEL', 'key:' .. n) end", "0"]);

    for commands in (0..).step_by(3) {
        full(false);
        let place = restore(&store, &set, "three", Road::SideCopy);
        full(true);
        let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending: commands % 2 == 1 };
        let died = store_with(&server, Options { crash: Some(crash), ..Options::default() }).undo(&context("three"), &place);
        // An undo that came to its end may find nothing of the run any more.
        let again = store.undo(&context("three"), &place).unwrap();
        assert!(again == Undone::PreviousIsLive || died.is_ok(), "{commands}");
        store.discard(&context("three"), &place, Discard::Staged).unwrap();
        assert_eq!(digest(&server), damaged, "{commands}");
        if died.is_ok() {
            assert!(commands > 10);
            break;
        }
    }
}

#[test]
fn in_place_into_a_full_memory_there_is_never_an_emptied_database_without_its_mark() {
    let server = Redis::start(&[]).unwrap();
    fill(&server, 3000, 1000);
    let (store, good) = (store(&server), digest(&server));
    let set = backup(&store).unwrap();
    outside(&server, &["EVAL", "for n = 1, 2500 do redis.call('SET', 'more:' .. n, string.rep('x', 1000)) end", "0"]);
    let limit = info(&server, "used_memory") - 100_000;
    say(&mut connect(&server, 0), &format!("CONFIG SET maxmemory {limit}"));
    let place = store.reserve(&context("r"), &set.kept, Road::InPlace).unwrap();
    for commands in (0..).step_by(7) {
        let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending: commands % 2 == 1 };
        let died = store_with(&server, Options { crash: Some(crash), ..Options::default() }).stage(
            &context("r"),
            &place,
            snapshot(&set),
            &set.kept,
        );
        if outside(&server, &["DBSIZE"]).parse::<u64>().unwrap() < 2500 && died.is_err() {
            assert_eq!(store.look(&context("x")).unwrap().half_loaded_by.as_deref(), Some("r"), "{commands}");
        }
        assert!(commands < 3000, "{died:?}");
        if died.is_ok() {
            break;
        }
    }
    store.tidy(&context("r"), &place).unwrap();
    assert_eq!(digest(&server), good);
}

#[test]
fn a_set_larger_than_what_is_live_goes_back_in_place_where_two_copies_do_not_fit() {
    let source = Redis::start(&[]).unwrap();
    fill(&source, 20_000, 1000);
    let set = backup(&store(&source)).unwrap();
    let server = Redis::start(&["--maxmemory", "36mb"]).unwrap();
    fill(&server, 10_000, 1000);
    let store = store(&server);
    let findings = store.look(&context("x")).unwrap();
    assert_eq!(findings.road, Road::SideCopy, "two copies of what is live fit");
    let (road, why) = store.road(&context("x"), &findings, &set.kept).unwrap();
    assert!(road == Road::InPlace && why.as_ref().unwrap().text.contains("two copies do not fit"), "{why:?}");
    let small = Redis::start(&["--maxmemory", "20mb"]).unwrap();
    fill(&small, 1000, 1000);
    let small = super::scene::store(&small);
    let problems = small.fits(&context("x"), &set.kept, Road::InPlace).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("memory")), "{problems:?}");
}

/// A container with a volume of so many bytes, as its `df` tells.
struct Volume {
    size: u64,
    folder: PathBuf,
}

impl Volume {
    fn used(&self) -> u64 {
        let output = Command::new("du").arg("-sb").arg(&self.folder).output().unwrap().stdout;
        String::from_utf8(output).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Remote for Volume {
    fn place(&self) -> String {
        "pod backend-redis-1".to_owned()
    }

    fn start(&self, _context: &Context, program: &Program) -> Result<Box<dyn Process>> {
        let mut command = if program.command.iter().any(|word| word.contains("df -Pk")) {
            let (size, used) = (self.size / 1024, self.used() / 1024);
            let mut command = Command::new("echo");
            command.arg(format!(
                "Filesystem 1024-blocks Used Available Capacity Mounted\n/dev/x {size} {used} {} 50% /data",
                size.saturating_sub(used)
            ));
            command
        } else {
            let mut command = Command::new(&program.command[0]);
            command.args(&program.command[1..]);
            command
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        Ok(Box::new(super::file_road::Local(command.spawn().unwrap(), false)))
    }
}

fn on_volume(server: &Redis, size: u64) -> RedisStore {
    let folder = server.folder().join("data");
    let remote = Arc::new(Volume { size, folder: folder.clone() });
    let road = FileRoad { remote, data_folder: folder.to_str().unwrap().to_owned(), restart: Arc::new(|_: &Context| Ok(())) };
    store_with(server, Options { file_road: Some(road), ..Options::default() })
}

#[test]
fn a_volume_without_room_for_two_copies_is_known_before_and_never_filled() {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    fill(&server, 15_000, 1000);
    let set = backup(&store(&server)).unwrap();
    let size = 28 << 20;
    let store = on_volume(&server, size);
    let problems = store.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("volume")), "{problems:?}");
    assert!(
        on_volume(&server, 80 << 20)
            .fits(&context("x"), &set.kept, Road::SideCopy)
            .unwrap()
            .iter()
            .all(|problem| problem.severity < Severity::Blocks)
    );
    // Whoever goes on all the same, or finds the volume filled meanwhile.
    let (before, place): (_, Place) = (digest(&server), store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap());
    let error = store.stage(&context("r"), &place, snapshot(&set), &set.kept).unwrap_err();
    assert!(error.class() == Class::Refused && error.chain().contains("volume"), "{error:?}");
    let used = Volume { size, folder: server.folder().join("data") }.used();
    assert!(used < size, "{used}");
    assert_eq!(digest(&server), before);
}

#[test]
fn the_volume_of_a_server_on_this_machine_is_seen() {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    fill(&server, 10, 10);
    let store = store(&server);
    let set = backup(&store).unwrap();
    let problems = store.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert!(problems.iter().all(|problem| !problem.text.contains("nobody can see")), "{problems:?}");
    let behind = store_with(&server, Options { known_as: Some("Service redis".to_owned()), ..Options::default() });
    let problems = behind.fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.text.contains("nobody can see")), "{problems:?}");
}
