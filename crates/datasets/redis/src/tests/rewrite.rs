//! Keys of configuration written into a copy that is whole: beside the live data, and in place.

use std::collections::{BTreeSet, VecDeque};

use lab::{Redis, RedisKind};
use plan::Class;
use plan::ports::{DataSet, KeyChange, KeyChanges, Road, Undone};

use super::scene::*;

/// More than are sent at once.
const MEMBERS: usize = 2500;

struct List(VecDeque<KeyChange>);

impl KeyChanges for List {
    fn next_change(&mut self) -> plan::Result<Option<KeyChange>> {
        Ok(self.0.pop_front())
    }
}

fn changes() -> List {
    let key = |key: &str| key.as_bytes().to_vec();
    let mut all = VecDeque::from([
        KeyChange::Set { key: key("a key: with spaces"), value: b"new\r\nvalue".to_vec() },
        KeyChange::Set { key: key("a list"), value: b"text".to_vec() },
        KeyChange::Remove { key: key("gone") },
        KeyChange::Remove { key: key("never there") },
        KeyChange::Take { key: key("members"), member: b"old".to_vec() },
        KeyChange::SetField { key: key("token"), field: b"permissions".to_vec(), value: Vec::new() },
        KeyChange::Take { key: key("text"), member: b"x".to_vec() },
    ]);
    for key in ["members", "text"] {
        all.extend((0..MEMBERS).map(|n| KeyChange::Add { key: key.as_bytes().to_vec(), member: n.to_string().into_bytes() }));
    }
    List(all)
}

fn assert_changed(server: &Redis, what: &str) {
    let mut live = connect(server, 0);
    assert_eq!(live.call(&[b"GET", b"a key: with spaces"]).unwrap().text(), "new\r\nvalue", "{what}");
    assert_eq!(live.call(&[b"GET", b"a list"]).unwrap().text(), "text", "{what}");
    assert_eq!(say(&mut live, "EXISTS gone").number(), Some(0), "{what}");
    assert_eq!(say(&mut live, "HEXISTS token permissions").number(), Some(1), "{what}");
    assert_eq!(say(&mut live, "GET stays").text(), "1", "{what}");
    let wanted: BTreeSet<String> = (0..MEMBERS).map(|n| n.to_string()).collect();
    for (key, more) in [("members", Some("stays")), ("text", None)] {
        let members: BTreeSet<String> =
            say(&mut live, &format!("SMEMBERS {key}")).list().iter().map(crate::connection::Reply::text).collect();
        assert_eq!(members, wanted.iter().cloned().chain(more.map(str::to_owned)).collect(), "{what}: {key}");
    }
    assert_eq!(say(&mut live, "DBSIZE").number(), Some(6), "{what}");
}

fn seed(server: &Redis) {
    let mut live = connect(server, 0);
    for words in ["SET stays 1", "SET gone 1", "SET text abc", "SADD members old stays", "RPUSH a_list 1"] {
        say(&mut live, words);
    }
    live.call(&[b"RENAME", b"a_list", b"a list"]).unwrap();
    say(&mut connect(server, 1), "SET gone 1");
}

#[test]
fn changes_go_into_the_staged_copy_and_nowhere_else() {
    for kind in [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey] {
        let server = Redis::start_kind(kind, &[]).unwrap();
        seed(&server);
        let store = store(&server);
        let set = backup(&store).unwrap();
        damage(&server);
        let run = context("r");
        let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
        assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new());
        // Again, as after a crash in the middle.
        let half = List(changes().0.into_iter().take(1200).collect());
        for mut changes in [half, changes(), changes()] {
            store.change_keys(&run, &place, "storage", &mut changes).unwrap();
        }
        assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1", "{kind:?}");
        assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(1), "{kind:?}");
        store.cut_over(&run, &place).unwrap();
        assert_changed(&server, &format!("{kind:?}"));
        assert_eq!(say(&mut connect(&server, 1), "GET gone").text(), "1", "{kind:?}: the other database");
        // What is at the place now is the previous data.
        let before = digest(&server);
        assert_eq!(store.change_keys(&run, &place, "storage", &mut changes()).unwrap_err().class(), Class::Failed);
        assert_eq!(store.change_keys(&context("another"), &place, "nowhere", &mut changes()).unwrap_err().class(), Class::Refused);
        assert_eq!(digest(&server), before, "{kind:?}");
        assert_eq!(store.undo(&run, &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1", "{kind:?}");
    }
}

#[test]
fn where_the_live_data_was_replaced_in_place_changes_go_into_it() {
    let server = Redis::start_kind(RedisKind::Redis, &[]).unwrap();
    seed(&server);
    let store = store(&server);
    let set = backup(&store).unwrap();
    damage(&server);
    let place = stage(&store, &set, "r", Road::InPlace).unwrap();
    assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new());
    store.change_keys(&context("r"), &place, "storage", &mut changes()).unwrap();
    assert_changed(&server, "in place");
}

#[test]
fn what_was_not_staged_is_not_written_to() {
    let server = Redis::start_kind(RedisKind::Redis, &[]).unwrap();
    seed(&server);
    let store = store(&server);
    let set = backup(&store).unwrap();
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let before = digest(&server);
    let error = store.change_keys(&context("r"), &place, "storage", &mut changes()).unwrap_err();
    assert!(error.chain().contains("has not come to its end"), "{}", error.chain());
    assert_eq!(digest(&server), before);
}
