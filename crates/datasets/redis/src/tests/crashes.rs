//! The program dies around its n-th command, for every n; then the same verb is called again.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use lab::Redis;
use plan::ports::{DataSet, Road, Snapshot};

use super::scene::*;
use crate::Options;
use crate::connection::Crash;

/// Calls a verb with a crash around its n-th command, for n = 0, 1, … until it comes through; after each crash `again` is called without one.
pub(crate) fn at_every_command(server: &Redis, verb: impl Fn(&crate::RedisStore) -> plan::Result<()>, again: impl Fn(i64, bool)) {
    for after_sending in [false, true] {
        for commands in 0.. {
            let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending };
            let outcome = verb(&store_with(server, Options { crash: Some(crash), ..Options::default() }));
            let done = outcome.is_ok();
            again(commands, after_sending);
            if done {
                assert!(commands > 5, "the crash must have happened inside");
                break;
            }
        }
    }
}

fn small_server() -> (Redis, Set, String, String) {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    let mut connection = connect(&server, 0);
    connection.call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    for number in 0..20 {
        say(&mut connection, &format!("SET key:{number} {number}"));
    }
    say(&mut connect(&server, 1), "RPUSH queue a b");
    say(&mut connect(&server, 7), "SET somebody else");
    let before = digest(&server);
    let set = backup(&store(&server)).unwrap();
    damage(&server);
    say(&mut connection, "FUNCTION FLUSH");
    let damaged = digest(&server);
    (server, set, before, damaged)
}

#[test]
fn a_crash_anywhere_in_the_stage_is_mended_by_the_next_call() {
    let (server, set, _, damaged) = small_server();
    let store = store(&server);
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let stage = |store: &crate::RedisStore| store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
    at_every_command(&server, stage, |commands, _| {
        if commands % 8 == 0 {
            stage(&store).unwrap();
            assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new());
        }
        store.discard(&context("r"), &place, plan::ports::Discard::Staged).unwrap();
        assert_eq!(digest(&server), damaged, "the live data was not touched, and nothing is left");
    });
}

#[test]
fn a_crash_anywhere_in_the_choice_leaves_nothing_that_the_run_cannot_give_back() {
    let (server, set, _, damaged) = small_server();
    let store = store(&server);
    at_every_command(
        &server,
        |store| store.reserve(&context("r"), &set.kept, Road::SideCopy).map(drop),
        |commands, _| {
            if commands % 2 == 0 {
                store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
                assert_eq!(store.leftovers(&context("x")).unwrap().len(), 2, "what was claimed is found, not left behind");
            }
            store.release(&context("r")).unwrap();
            assert_eq!(digest(&server), damaged);
        },
    );
}

#[test]
fn a_crash_anywhere_in_the_cut_over_and_the_undo_is_mended_by_the_next_call() {
    let (server, set, before, damaged) = small_server();
    let store = store(&server);
    let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
    at_every_command(
        &server,
        |store| store.cut_over(&context("r"), &place),
        |_, _| {
            store.cut_over(&context("r"), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 0), "GET key:3").text(), "3");
            assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
            store.undo(&context("r"), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
            assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(1));
        },
    );
    store.cut_over(&context("r"), &place).unwrap();
    at_every_command(
        &server,
        |store| store.undo(&context("r"), &place).map(drop),
        |_, _| {
            store.undo(&context("r"), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 1), "GET damaged").text(), "1");
            store.cut_over(&context("r"), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
        },
    );
    at_every_command(&server, |store| store.discard(&context("r"), &place, plan::ports::Discard::Previous), |_, _| {});
    store.discard(&context("r"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(digest(&server), before);
    assert_ne!(before, damaged);
}

#[test]
fn a_crash_anywhere_in_place_is_seen_and_mended() {
    let (server, set, before, _) = small_server();
    let store = store(&server);
    let place = store.reserve(&context("r"), &set.kept, Road::InPlace).unwrap();
    let stage = |store: &crate::RedisStore| store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
    at_every_command(&server, stage, |_, _| {
        if store.cut_over(&context("r"), &place).is_ok() && digest(&server) != before {
            assert_ne!(differences(&store, &set, &place, "r"), Vec::<String>::new(), "half a load must not pass for a whole one");
        }
        stage(&store).unwrap();
        store.cut_over(&context("r"), &place).unwrap();
        assert_eq!(digest(&server), before);
    });
}

/// The readiness probe of a pod writes its key whenever it likes: that is no difference, and any other key is one.
#[test]
fn what_a_probe_writes_into_the_live_database_is_no_difference() {
    for (before, meanwhile) in [
        ("SET liveness-probe 1", "SET liveness-probe 22"),
        ("SET liveness-probe 1", "DEL liveness-probe"),
        ("DEL liveness-probe", "SET liveness-probe 1"),
        ("SET liveness-probe 1 EX 1000", "SET liveness-probe 1"),
    ] {
        let server = Redis::start(&["--appendonly", "yes"]).unwrap();
        let (store, mut live) = (store(&server), connect(&server, 0));
        say(&mut live, "SET key 1");
        let thousand: Vec<&[u8]> =
            [b"RPUSH".as_slice(), b"thousand"].into_iter().chain(std::iter::repeat_n(b"x".as_slice(), 1000)).collect();
        live.call(&thousand).unwrap();
        live.call(&[b"EVAL", b"for i = 1, 200 do redis.call('RPUSH', 'long', unpack(redis.call('LRANGE', 'thousand', 0, -1))) end", b"0"])
            .unwrap();
        say(&mut live, before);
        let set = backup(&store).unwrap();
        let facts = format!("{:?}", set.kept.evidence.facts);
        assert!(facts.contains("long") && !facts.contains("liveness-probe"), "it has one element: {facts}");
        let place = stage(&store, &set, "r", Road::InPlace).unwrap();
        assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new(), "{before}");
        say(&mut live, meanwhile);
        let found = differences(&store, &set, &place, "r");
        // One that expires is nobody's probe.
        assert_eq!(found.is_empty(), !before.contains("EX"), "{before}, {meanwhile}: {found:?}");
        say(&mut live, "SET other 1");
        assert_ne!(differences(&store, &set, &place, "r"), Vec::<String>::new());
    }
}

#[test]
fn a_database_of_somebody_else_is_never_touched() {
    let (server, set, ..) = small_server();
    let store = store(&server);
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let side = u32::try_from(place.0["servers"][0][1]["side"].as_u64().unwrap()).unwrap();
    say(&mut connect(&server, side), "SET theirs 1");
    let class = |outcome: plan::Result<()>| outcome.unwrap_err().class();
    let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
    assert_eq!(class(store.stage(&context("r"), &place, snapshot, &set.kept)), plan::Class::NeedsPerson);
    assert_eq!(class(store.cut_over(&context("r"), &place)), plan::Class::NeedsPerson);
    assert_eq!(class(store.undo(&context("r"), &place).map(drop)), plan::Class::NeedsPerson);
    assert_eq!(class(store.discard(&context("r"), &place, plan::ports::Discard::Previous)), plan::Class::NeedsPerson);
    assert_eq!(say(&mut connect(&server, side), "GET theirs").text(), "1");
    say(&mut connect(&server, side), "SET threescale-backup:staging:other loading");
    assert_eq!(
        class(store.discard(&context("r"), &place, plan::ports::Discard::Previous)),
        plan::Class::NeedsPerson,
        "also a database of another run"
    );
    let other = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    assert_ne!(other, place, "only empty databases are chosen");
}

#[test]
fn a_second_stage_after_the_cut_over_is_refused() {
    let (server, set, ..) = small_server();
    let store = store(&server);
    let place = restore(&store, &set, "r", Road::SideCopy);
    let again = store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
    assert_eq!(again.unwrap_err().class(), plan::Class::NeedsPerson);
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
}
