//! What restores and rehearsals showed is beside the set: seen from every machine, with what it covers; gone with its set.

use std::fs;

use crate::machine::machine;
use crate::small::{Home, Small};

#[test]
fn what_a_run_showed_is_known_on_every_machine_with_its_scope() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    let set = a.backup(&[]);
    one.code(0, &["rehearse", "latest", "--only", "system-redis"]);
    let list = other.code(0, &["list"]);
    assert!(list.contains("rehearsed 1/2, "), "{list}");
    one.code(0, &["restore", &set, "--yes"]);
    let list = other.code(0, &["list"]);
    assert!(list.contains("restored 2/2, "), "{list}");
    let shown = other.code(0, &["show", &set]);
    assert!(shown.contains("equal to the set: 1/2 (system-redis)") && shown.contains("of downtime; equal to the set: 2/2"), "{shown}");

    let document = a.json(&["show", &set]);
    let proven = document["proven_by"].as_array().unwrap();
    assert_eq!(proven.iter().map(|proof| proof["purpose"].as_str().unwrap()).collect::<Vec<_>>(), ["rehearse", "restore"]);
    for proof in proven {
        assert!(!proof["host"].as_str().unwrap().is_empty() && proof["program_version"] == env!("CARGO_PKG_VERSION"), "{proof}");
    }
    let redis = |proof: &serde_json::Value| proof["data_sets"]["system-redis"].clone();
    assert_eq!(redis(&proven[0])["elements"], 1);
    assert_eq!(redis(&proven[0])["digest"], redis(&proven[1])["digest"]);
    assert!(proven[0]["downtime_ms"].is_null() && proven[1]["downtime_ms"].is_i64());

    // Settled since: it showed the same, when it did.
    one.code(0, &["settle", "--yes"]);
    assert_eq!(a.json(&["show", &set])["proven_by"], document["proven_by"]);
}

#[test]
fn a_set_that_did_not_go_back_is_told_as_such() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let set = a.backup(&[]);
    let other = machine(&home, &a, "other");
    for pack in fs::read_dir(home.path("repository/data")).unwrap() {
        for file in fs::read_dir(pack.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            bytes[20] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    assert_eq!(a.run(&["rehearse", &set]).status.code(), Some(1));
    let shown = other.code(0, &["show", &set]);
    assert!(shown.contains("FAILED rehearsal"), "{shown}");
    let list = other.code(0, &["list"]);
    assert!(list.contains("FAILED rehearsal"), "{list}");
}

#[test]
fn what_is_known_of_a_set_goes_with_it() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (old, new) = (a.backup(&[]), a.backup(&[]));
    for set in [&old, &new] {
        a.ok(&["rehearse", set, "--only", "system-redis"]);
    }
    let snapshots = || fs::read_dir(home.path("repository/snapshots")).unwrap().count();
    let before = snapshots();
    a.ok(&["forget", "--keep-last", "1", "--yes"]);
    assert_eq!(a.listed(&[]), [new.as_str()]);
    // The manifest, two data sets, and the record.
    assert_eq!(before - snapshots(), 4);
    let list = a.ok(&["list"]);
    assert!(list.contains("rehearsed 1/2, "), "{list}");
}
