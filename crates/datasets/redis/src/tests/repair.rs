//! Live keys that are set right and put back, while somebody else changes some of them.

use lab::{Redis, RedisKind};
use plan::ports::{Fate, KeyChange, KeyRepair, KeyRepairs};

use super::scene::*;
use crate::RedisStore;
use crate::rights::For;

fn key(key: &str) -> Vec<u8> {
    key.as_bytes().to_vec()
}

/// One key of each kind of change, and of each type that may be in the way.
fn changes() -> Vec<Vec<KeyChange>> {
    let set = |name: &str| KeyChange::Set { key: key(name), value: b"new".to_vec() };
    let add = |name: &str, member: &str| KeyChange::Add { key: key(name), member: key(member) };
    let take = |name: &str, member: &str| KeyChange::Take { key: key(name), member: key(member) };
    let field = |name: &str| KeyChange::SetField { key: key(name), field: b"permissions".to_vec(), value: Vec::new() };
    vec![
        vec![set("text")],
        vec![set("expiring")],
        vec![set("list")],
        vec![set("new")],
        vec![KeyChange::Remove { key: key("gone") }],
        vec![take("members", "old"), add("members", "1"), add("members", "another")],
        vec![take("only", "one")],
        vec![add("made", "one")],
        vec![take("numbers", "2"), add("numbers", "text, and no number")],
        vec![add("no set", "one")],
        vec![take("neither", "one")],
        vec![field("token")],
        vec![field("no hash")],
    ]
}

fn seed(server: &Redis) {
    let mut live = connect(server, 0);
    for words in [
        "SET text old",
        "SET expiring old PX 100000000",
        "RPUSH list 1 2",
        "SET gone 1",
        "SADD members old stays",
        "SADD only one",
        "SADD numbers 1 2 3",
        "HSET token other 1",
        "SET beside 1",
    ] {
        say(&mut live, words);
    }
    for name in ["no set", "neither", "no hash"] {
        live.call(&[b"ZADD", name.as_bytes(), b"1.5", b"x"]).unwrap();
    }
}

fn repairs(store: &RedisStore) -> Vec<KeyRepair> {
    let all = changes();
    let keys: Vec<_> = all.iter().map(|changes| changes[0].key().to_vec()).collect();
    let values = store.looks_at(&context("r"), "storage").unwrap().values(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let repairs = keys.into_iter().zip(all).zip(values);
    repairs.map(|((key, changes), was)| KeyRepair { about: String::from_utf8(key.clone()).unwrap(), key, changes, was }).collect()
}

/// Every key with its dump and when it expires.
fn dumps(server: &Redis) -> Vec<(String, String, String)> {
    let mut live = connect(server, 0);
    let mut keys: Vec<_> = say(&mut live, "KEYS *").list();
    keys.sort_by_key(crate::connection::Reply::text);
    let all = keys.iter().map(|name| {
        let name = name.text();
        let dump = format!("{:?}", live.call(&[b"DUMP", name.as_bytes()]).unwrap());
        // In a table the order of a set is the server's, and another one after each load.
        let members = live.ask(&[b"SMEMBERS", name.as_bytes()]).unwrap();
        let dump = if matches!(members, crate::connection::Reply::Error(_)) { dump } else { sorted(&members) };
        let left = live.call(&[b"PTTL", name.as_bytes()]).unwrap().number().unwrap();
        // Within an hour.
        (name, dump, if left < 0 { "never".to_owned() } else { format!("{}", (left + 1_800_000) / 3_600_000) })
    });
    all.collect()
}

fn sorted(members: &crate::connection::Reply) -> String {
    let mut list: Vec<_> = members.clone().list().iter().map(crate::connection::Reply::text).collect();
    list.sort();
    list.join(" ")
}

fn fates(repairs: &[KeyRepair], changed: &[&str], else_: Fate) -> Vec<Fate> {
    repairs.iter().map(|repair| if changed.contains(&repair.about.as_str()) { Fate::Changed } else { else_ }).collect()
}

#[test]
fn keys_are_set_right_and_put_back_by_a_user_who_may_no_more_than_that() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &[]).unwrap();
        seed(&server);
        let before = dumps(&server);
        let is_7 = kind != RedisKind::Redis6;
        super::rights::allow(&server, kind, &[For::All, For::Rewrite, For::Repair], None, "~*");
        let store = super::rights::exact(&server);
        assert_eq!(KeyRepairs::lacks(&store, &context("r")).unwrap(), None, "{kind:?}");
        let repairs = repairs(&store);
        // Of `neither` nothing is left: a member was to go from what is no set.
        assert_eq!(store.make(&context("r"), "storage", &repairs).unwrap(), fates(&repairs, &[], Fate::Done), "{kind:?}");
        let repaired = dumps(&server);
        let mut live = connect(&server, 0);
        let said = |live: &mut _, words: &str| {
            let mut list: Vec<_> = say(live, words).list().iter().map(crate::connection::Reply::text).collect();
            list.sort();
            list.join(" ")
        };
        assert_eq!(said(&mut live, "MGET text expiring list new"), "new new new new", "{kind:?}");
        assert_eq!(said(&mut live, "SMEMBERS members"), "1 another stays", "{kind:?}");
        assert_eq!(said(&mut live, "HGETALL token"), " 1 other permissions", "{kind:?}");
        assert_eq!(say(&mut live, "EXISTS gone only neither").number(), Some(0), "{kind:?}");
        // As after a crash in the middle.
        assert_eq!(store.make(&context("r"), "storage", &repairs).unwrap(), fates(&repairs, &[], Fate::WasSo), "{kind:?}");
        assert_eq!(dumps(&server), repaired, "{kind:?}");
        let (first, rest) = repairs.split_at(5);
        store.take_back(&context("r"), "storage", first).unwrap();
        assert_eq!(store.take_back(&context("r"), "storage", rest).unwrap(), fates(rest, &[], Fate::Done), "{kind:?}");
        assert_eq!(store.take_back(&context("r"), "storage", &repairs).unwrap(), fates(&repairs, &[], Fate::WasSo), "{kind:?}");
        assert_eq!(dumps(&server), before, "{kind:?}");
        for taken in crate::rights::rights_of(&[For::Rewrite, For::Repair], is_7).map(|right| right.command).filter(|one| *one != "sadd") {
            super::rights::allow(&server, kind, &[For::All, For::Rewrite, For::Repair], Some(taken), "~*");
            let lacks = KeyRepairs::lacks(&super::rights::exact(&server), &context("r")).unwrap().unwrap();
            assert!(lacks.sentence().contains(&format!("+{taken}")), "{kind:?} {taken}: {}", lacks.sentence());
        }
        assert_eq!(dumps(&server), before, "{kind:?}: asked");
    }
}

#[test]
fn what_somebody_changes_meanwhile_stays() {
    let server = Redis::start(&[]).unwrap();
    seed(&server);
    let store = store(&server);
    let (repairs, before) = (repairs(&store), dumps(&server));
    let change = |words: &str| say(&mut connect(&server, 0), words);
    // Since it was looked at: another value, another member, another expiry, one that is new, one that is gone.
    let meanwhile = ["text", "members", "expiring", "new", "gone"];
    for words in ["SET text other", "SADD members more", "PERSIST expiring", "SET new other", "DEL gone", "SET gone other"] {
        change(words);
    }
    assert_eq!(store.make(&context("r"), "storage", &repairs).unwrap(), fates(&repairs, &meanwhile, Fate::Done));
    let mut live = connect(&server, 0);
    assert_eq!(say(&mut live, "GET text").text(), "other");
    assert_eq!(say(&mut live, "SISMEMBER members old").number(), Some(1));
    assert_eq!(say(&mut live, "PTTL expiring").number(), Some(-1));
    // Since it was set right.
    change("SADD numbers 77");
    change("PEXPIRE made 100000000");
    let stays = [&meanwhile[..], &["numbers", "made"]].concat();
    assert_eq!(store.take_back(&context("r"), "storage", &repairs).unwrap(), fates(&repairs, &stays, Fate::Done));
    assert_eq!(say(&mut live, "SISMEMBER numbers 77").number(), Some(1));
    let untouched =
        |all: &[(String, String, String)]| all.iter().filter(|(name, ..)| !stays.contains(&name.as_str())).cloned().collect::<Vec<_>>();
    assert_eq!(untouched(&dumps(&server)), untouched(&before));
}
