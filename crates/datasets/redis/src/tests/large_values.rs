//! `--large-values during-stop`: values for which the server stands still are not loaded while it serves, and are there, as they were, before the swap.

use std::sync::Arc;

use lab::{Redis, RedisKind};
use plan::LargeValues;
use plan::ports::{Context, DataSet, Discard, Place, Problem, Road, Severity, Snapshot};

use super::crashes::at_every_command;
use super::scene::*;
use crate::{Options, RedisStore};

/// Values that cannot be loaded in pieces; `wide` can be, and so can a set as long.
const LONG_KEYS: [&str; 2] = ["long:stream", "long:pending"];

fn during_stop(server: &Redis) -> RedisStore {
    store_with(server, Options { large_values: LargeValues::DuringStop, ..Options::default() })
}

/// A stream whose bytes do not pack.
fn stream(server: &Redis, key: &str) {
    let mut connection = connect(server, 0);
    for number in 1..=9u64 {
        connection.call(&[b"XADD", key.as_bytes(), format!("{number}-1").as_bytes(), b"field", &noise(1 << 20, number)]).unwrap();
    }
}

fn fill(server: &Redis, keys: &[&str]) {
    keys.iter().for_each(|key| stream(server, key));
    let mut connection = connect(server, 0);
    // A short one, one that is long in bytes only, and one that takes as long, but not in pieces.
    say(&mut connection, "SET short text");
    connection.call(&[b"SET", b"wide", &noise(5_000_000, 7)]).unwrap();
    let script =
        "for n = 1, 160 do local many = {} for m = 1, 1000 do many[m] = n * 1000 + m end redis.call('SADD', 'many', unpack(many)) end";
    connection.call(&[b"EVAL", script.as_bytes(), b"0"]).unwrap();
    say(&mut connect(server, 1), "RPUSH somebodys-queue a b");
}

fn side(place: &Place) -> u32 {
    u32::try_from(place.0["servers"][0][0]["side"].as_u64().unwrap()).unwrap()
}

fn load_rest(store: &RedisStore, context: &Context, set: &Set, place: &Place) -> plan::Result<()> {
    store.load_rest(context, place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept)
}

#[test]
fn they_are_left_out_beside_the_live_data_and_are_there_before_the_swap_on_every_server() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
        fill(&server, &LONG_KEYS);
        for words in
            ["XGROUP CREATE long:pending g 0", "XREADGROUP GROUP g c COUNT 5 STREAMS long:pending >", "PEXPIRE long:stream 100000000"]
        {
            say(&mut connect(&server, 0), words);
        }
        let before = digest(&server);
        let set = backup(&store(&server)).unwrap();
        damage(&server);
        let (store, context) = (during_stop(&server), context("r"));
        assert!(store.rest(&set.kept, Road::SideCopy).unwrap().contains("stream"));
        let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
        let mut beside = connect(&server, side(&place));
        let there = |connection: &mut _, keys: &[&str]| say(connection, &format!("EXISTS {}", keys.join(" "))).number();
        assert_eq!(there(&mut beside, &LONG_KEYS), Some(0), "{kind:?}: nothing that takes long was made while the server serves");
        assert_eq!(there(&mut beside, &["short", "wide", "many"]), Some(3), "{kind:?}");
        assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new(), "{kind:?}: with the note it is what was dumped");
        let error = store.cut_over(&context, &place).unwrap_err();
        assert!(error.to_string().contains("some values of storage are not loaded yet"), "{kind:?}: {error:?}");
        // Whatever this call is told: the place knows.
        load_rest(&super::scene::store(&server), &context, &set, &place).unwrap();
        assert_eq!(there(&mut beside, &LONG_KEYS), Some(2), "{kind:?}");
        load_rest(&store, &context, &set, &place).unwrap();
        store.cut_over(&context, &place).unwrap();
        assert_eq!(there(&mut connect(&server, 0), &LONG_KEYS), Some(2), "{kind:?}");
        store.undo(&context, &place).unwrap();
        assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(digest(&server), before, "{kind:?}");
    }
}

#[test]
fn a_crash_anywhere_in_their_load_is_mended_by_the_next_call_and_by_an_undo() {
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    fill(&server, &["long"]);
    let set = backup(&store(&server)).unwrap();
    damage(&server);
    let (damaged, store) = (digest(&server), during_stop(&server));
    let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
    at_every_command(
        &server,
        |store| load_rest(store, &context("r"), &set, &place),
        |commands, _| {
            if commands % 2 == 0 {
                load_rest(&store, &context("r"), &set, &place).unwrap();
                store.cut_over(&context("r"), &place).unwrap();
                assert_eq!(say(&mut connect(&server, 0), "XLEN long").number(), Some(9));
                store.undo(&context("r"), &place).unwrap();
            }
            store.discard(&context("r"), &place, Discard::Staged).unwrap();
            assert_eq!(digest(&server), damaged, "the live data was not touched, and nothing is left");
            assert_eq!(stage(&store, &set, "r", Road::SideCopy).unwrap(), place, "the same databases are free");
        },
    );
}

#[test]
fn one_that_is_not_what_the_set_has_is_not_swapped_in_and_one_that_expired_is_not_missed() {
    let server = Redis::start(&[]).unwrap();
    fill(&server, &["long"]);
    say(&mut connect(&server, 0), "COPY long going");
    say(&mut connect(&server, 0), "PEXPIRE going 4000000");
    let set = backup(&store(&server)).unwrap();
    damage(&server);
    let (store, context) = (during_stop(&server), context("r"));
    let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
    let mut beside = connect(&server, side(&place));
    let note = say(&mut beside, "GET threescale-backup:rest:r").text();
    // Counts of other values than those that come.
    let mut other: serde_json::Value = serde_json::from_str(&note).unwrap();
    other["collections"]["storage/persistent"]["count"] = 2.into();
    say(&mut beside, &format!("SET threescale-backup:rest:r {other}"));
    let error = load_rest(&store, &context, &set, &place).unwrap_err();
    assert!(error.hints().concat().contains("storage/persistent: 1 elements instead of 2"), "{error:?}");
    assert!(store.cut_over(&context, &place).is_err());
    say(&mut beside, &format!("SET threescale-backup:rest:r {note}"));
    load_rest(&store, &context, &set, &place).unwrap();
    assert_eq!(say(&mut beside, "EXISTS long going").number(), Some(2));

    // A set whose value has expired meanwhile, as if the restore came later.
    let later = |text: String| {
        let mut note: serde_json::Value = serde_json::from_str(&text).unwrap();
        note["values"].as_array_mut().unwrap().truncate(0);
        let collections = note["collections"].as_object_mut().unwrap();
        collections.retain(|name, _| name.starts_with("storage/volatile"));
        note.to_string()
    };
    let gone = later(note);
    say(&mut beside, "DEL going");
    say(&mut beside, &format!("SET threescale-backup:rest:r {gone}"));
    assert!(load_rest(&store, &context, &set, &place).is_err(), "its bucket has not begun: it is missing");
}

#[test]
fn the_plan_says_when_they_are_loaded_and_where_that_changes_nothing() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "SET a 1");
    let none = backup(&store(&server)).unwrap();
    fill(&server, &["long"]);
    say(&mut connect(&server, 1), "COPY somebodys-queue resque:queue:priority");
    let set = backup(&store(&server)).unwrap();
    let said = |store: &RedisStore, set: &Set, road| {
        let problems = store.fits(&context("r"), &set.kept, road).unwrap();
        let about = |problem: &&Problem| problem.severity == Severity::Note && problem.sentence().contains("--large-values");
        (problems.iter().filter(about).map(Problem::sentence).collect::<String>(), store.rest(&set.kept, road).is_some())
    };
    let (usual, wanted) = (store(&server), during_stop(&server));
    for (store, set, road, words, has_step) in [
        (&usual, &set, Road::SideCopy, "With --large-values during-stop such values", false),
        (&usual, &none, Road::SideCopy, "", false),
        (&usual, &set, Road::InPlace, "", false),
        (&wanted, &set, Road::SideCopy, "values for which the server stands still for 200 ms and more are left out of the copy", true),
        (&wanted, &none, Road::SideCopy, "changes nothing: the set names no value that is made in one go", false),
        (&wanted, &set, Road::InPlace, "changes nothing: in place", false),
    ] {
        let (text, step) = said(store, set, road);
        assert!(text.contains(words) && text.is_empty() == words.is_empty() && step == has_step, "{words}: {text}");
    }
    // Who reads by replication only could not read back single keys.
    let rights = "+@all -dump -pexpiretime";
    say(&mut connect(&server, 0), &format!("ACL SETUSER lacking on >pw ~* &* {rights}"));
    let url = |database: u32| crate::Address::parse(&format!("redis://lacking:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    let options = Options { large_values: LargeValues::DuringStop, ..Options::default() };
    let lacking = RedisStore::new(usual.name(), vec![("storage", url(0)), ("queues", url(1))], options).unwrap();
    let blocks = |set: &Set| {
        let problems = lacking.fits(&context("r"), &set.kept, Road::SideCopy).unwrap();
        problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(Problem::sentence).collect::<String>()
    };
    assert_eq!(blocks(&none), "");
    let told = blocks(&set);
    assert!(told.contains("--large-values during-stop") && told.contains("ACL SETUSER lacking +dump +pexpiretime"), "{told}");
}
