//! Values of modules: vector sets, which the newest Redis brings along.

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, Discard, Road, Severity};

use super::scene::*;

/// Vector sets of every kind: quantised, binary, plain, projected, with attributes, with one element and with many.
fn vectors(server: &Redis) {
    let mut connection = connect(server, 0);
    for words in [
        "VADD two VALUES 3 0 1 2 a",
        "VADD two VALUES 3 1 1 2 b",
        "VADD one VALUES 2 0.5 -1 only",
        "VADD attributes VALUES 2 1 2 a SETATTR {\"year\":1984}",
        "VADD attributes VALUES 2 2 -1 b",
        "VADD none VALUES 2 0 0 zero",
    ] {
        say(&mut connection, words);
    }
    for number in 0..300u64 {
        let vector: Vec<String> = (0..8).map(|at| ((number * 7919 + at * 104_729) % 1000).to_string()).collect();
        for (key, before, after) in [("many", "", ""), ("plain", "", " NOQUANT"), ("binary", "", " BIN"), ("projected", "REDUCE 3 ", "")] {
            say(&mut connection, &format!("VADD {key} {before}VALUES 8 {} element:{number}{after}", vector.join(" ")));
        }
    }
    say(&mut connection, "PEXPIRE binary 100000000");
}

const KEYS: [&str; 8] = ["two", "one", "attributes", "none", "many", "plain", "binary", "projected"];

/// As the module itself digests them.
fn digests(server: &Redis) -> String {
    format!("{:?}", say(&mut connect(server, 0), &format!("DEBUG DIGEST-VALUE {}", KEYS.join(" "))))
}

#[test]
fn vector_sets_are_proven_whatever_the_order_in_which_they_come() {
    let server = Redis::start_kind(RedisKind::NewestRedis, &[]).unwrap();
    vectors(&server);
    let before = digests(&server);
    let store = store(&server);
    let set = backup(&store).unwrap();
    assert_eq!(set.kept.evidence.facts["module.vectorset"], "8");
    damage(&server);
    for (run, road) in [("beside", Road::SideCopy), ("in-place", Road::InPlace)] {
        let place = restore(&store, &set, run, road);
        store.discard(&context(run), &place, Discard::Previous).unwrap();
        assert_eq!(digests(&server), before, "{run}");
    }
    // What is loaded is dumped again, in another order, as the same.
    let again = backup(&store).unwrap();
    assert_ne!(again.snapshot.rdb("storage"), set.snapshot.rdb("storage"));
    assert_eq!(totals(&again.kept.evidence), totals(&set.kept.evidence));
}

#[test]
fn a_vector_that_is_lost_changed_or_added_is_seen_by_the_proof() {
    let server = Redis::start_kind(RedisKind::NewestRedis, &[]).unwrap();
    vectors(&server);
    let store = store(&server);
    let set = backup(&store).unwrap();
    for (number, tamper) in [
        "VREM many element:7",
        "VADD two VALUES 3 0 1 2 c",
        "VADD two VALUES 3 5 1 2 a",
        "VSETATTR attributes a {\"year\":1985}",
        "VSETATTR two a 1",
        "DEL one",
        "PERSIST binary",
    ]
    .iter()
    .enumerate()
    {
        let run = format!("vector{number}");
        let place = stage(&store, &set, &run, Road::SideCopy).unwrap();
        assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new());
        let side = place.0["servers"][0][0]["side"].as_u64().unwrap();
        say(&mut connect(&server, u32::try_from(side).unwrap()), tamper);
        assert_ne!(differences(&store, &set, &place, &run), Vec::<String>::new(), "{tamper}");
        store.discard(&context(&run), &place, Discard::Staged).unwrap();
    }
}

/// The same server without its module, and Valkey, which never had it: told before anything is touched.
#[test]
fn values_of_a_module_that_the_server_lacks_are_refused_in_the_plan() {
    let source = Redis::start_kind(RedisKind::NewestRedis, &[]).unwrap();
    vectors(&source);
    let mut set = backup(&store(&source)).unwrap();
    let target = Redis::start_kind(RedisKind::Valkey, &[]).unwrap();
    // As if Valkey took the version.
    set.kept.evidence.facts.retain(|name, _| !name.starts_with("rdb-version."));
    set.kept.evidence.facts.insert("rdb-version".to_owned(), "11".to_owned());
    for road in [Road::SideCopy, Road::InPlace] {
        let blocks = |server: &Redis| {
            let problems = store(server).fits(&context("x"), &set.kept, road).unwrap();
            problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text).collect::<Vec<_>>()
        };
        let told = blocks(&target);
        assert!(told.len() == 1 && told[0].contains("8 values of the type vectorset"), "{told:?}");
        assert_eq!(blocks(&source), Vec::<String>::new());
    }
    assert_eq!(say(&mut connect(&target, 0), "DBSIZE").number(), Some(0));
}
