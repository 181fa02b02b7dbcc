//! What runs left is found by its marks, without any journal, and goes only while it is what it was.

use std::sync::Arc;

use lab::Redis;
use plan::ports::{Context, DataSet, Discard, Holds, Leftover, Road, Snapshot};
use plan::{Class, InstallationId};

use super::scene::*;
use crate::RedisStore;

fn of_prod(run: &str) -> Context {
    Context { installation: InstallationId::named("prod"), ..context(run) }
}

fn scene(server: &Redis) -> (RedisStore, Set) {
    (0..20).for_each(|number| drop(say(&mut connect(server, 0), &format!("SET key:{number} {number}"))));
    say(&mut connect(server, 1), "RPUSH queue a b");
    let store = store(server);
    let set = backup(&store).unwrap();
    (store, set)
}

fn left(store: &RedisStore) -> Vec<Leftover> {
    store.leftovers(&context("doctor")).unwrap()
}

#[test]
fn staged_copies_and_previous_data_are_told_apart_and_removed_each_by_itself() {
    let server = Redis::start(&[]).unwrap();
    let (store, set) = scene(&server);
    assert_eq!(left(&store), Vec::new());
    let place = store.reserve(&of_prod("one"), &set.kept, Road::SideCopy).unwrap();
    store.stage(&of_prod("one"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
    restore(&store, &set, "two", Road::SideCopy);
    let live = digest(&server);
    let found = left(&store);
    assert_eq!(found.len(), 4, "{found:?}");
    let one: Vec<_> = found.iter().filter(|left| left.run == "one").collect();
    assert!(one.iter().all(|left| left.holds == Holds::Staged && left.installation == Some(InstallationId::named("prod"))), "{one:?}");
    assert!(found.iter().filter(|left| left.run == "two").all(|left| left.holds == Holds::Previous && left.bytes > Some(0)), "{found:?}");
    assert_eq!(digest(&server), live, "looking changes nothing");
    for left in one {
        store.remove_leftover(&context("doctor"), left).unwrap();
        store.remove_leftover(&context("doctor"), left).unwrap();
    }
    assert_eq!(left(&store).iter().map(|left| left.run.as_str()).collect::<Vec<_>>(), ["two", "two"]);
    for left in left(&store) {
        store.remove_leftover(&context("doctor"), &left).unwrap();
    }
    assert_eq!(left(&store), Vec::new());
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
}

#[test]
fn what_has_changed_since_it_was_found_and_what_is_live_stays() {
    let server = Redis::start(&[]).unwrap();
    let (store, set) = scene(&server);
    let place = stage(&store, &set, "one", Road::SideCopy).unwrap();
    let found = left(&store);
    store.cut_over(&context("one"), &place).unwrap();
    let before = digest(&server);
    for left in &found {
        assert_eq!(
            store.remove_leftover(&context("doctor"), left).unwrap_err().class(),
            Class::NeedsPerson,
            "it holds the previous data now"
        );
    }
    let mut forged = found[0].clone();
    forged.handle["number"] = 0.into();
    assert_eq!(store.remove_leftover(&context("doctor"), &forged).unwrap_err().class(), Class::NeedsPerson);
    forged.handle["is"] = "key".into();
    forged.handle["key"] = "key:1".into();
    assert_eq!(store.remove_leftover(&context("doctor"), &forged).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(digest(&server), before);
}

#[test]
fn marks_in_live_data_are_found_and_their_removal_leaves_the_data() {
    let server = Redis::start(&[]).unwrap();
    let (store, set) = scene(&server);
    let mut broken = Memory(set.snapshot.0.clone());
    broken.0.retain(|path, _| !path.to_str().unwrap().contains("queues"));
    let place = store.reserve(&context("one"), &set.kept, Road::InPlace).unwrap();
    assert!(store.stage(&of_prod("one"), &place, Arc::new(broken), &set.kept).is_err());
    let found = left(&store);
    assert_eq!(found.len(), 2, "storage and queues: {found:?}");
    assert!(found.iter().all(|left| left.run == "one" && left.holds == Holds::Mark), "{found:?}");
    found.iter().for_each(|left| store.remove_leftover(&context("doctor"), left).unwrap());
    assert_eq!(left(&store), Vec::new());
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
    assert_eq!(store.look(&context("x")).unwrap().half_loaded_by, None);
}

#[test]
fn marks_of_version_0_1_0_are_found_by_their_names() {
    let server = Redis::start(&[]).unwrap();
    let (store, _) = scene(&server);
    say(&mut connect(&server, 0), "SET threescale-backup:left-out:01older {}");
    let mut connection = connect(&server, 9);
    say(&mut connection, "SET data 1");
    say(&mut connection, "SET threescale-backup:previous:01old 1");
    let found = left(&store);
    let told: Vec<_> = found.iter().map(|left| (left.run.as_str(), left.holds)).collect();
    assert_eq!(told, [("01older", Holds::Mark), ("01old", Holds::Previous)], "{found:?}");
    found.iter().for_each(|left| store.remove_leftover(&context("doctor"), left).unwrap());
    assert_eq!((say(&mut connection, "DBSIZE").number(), say(&mut connect(&server, 0), "DBSIZE").number()), (Some(0), Some(20)));
}

#[test]
fn after_every_end_of_a_run_nothing_is_left() {
    let server = Redis::start(&[]).unwrap();
    let (store, set) = scene(&server);
    let before = digest(&server);
    for (road, undone) in [(Road::SideCopy, true), (Road::SideCopy, false), (Road::InPlace, false)] {
        let place = restore(&store, &set, "one", road);
        match (road, undone) {
            (Road::InPlace, _) => store.tidy(&context("one"), &place).unwrap(),
            (Road::SideCopy, true) => {
                store.undo(&context("one"), &place).unwrap();
                store.discard(&context("one"), &place, Discard::Staged).unwrap();
            }
            (Road::SideCopy, false) => store.discard(&context("one"), &place, Discard::Previous).unwrap(),
        }
        assert_eq!((left(&store), digest(&server)), (Vec::new(), before.clone()));
    }
}
