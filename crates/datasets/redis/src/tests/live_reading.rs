//! Live keys, read one after the other for who compares: by either road what the set of the same moment says.

use std::collections::{BTreeMap, BTreeSet};

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, KeyReader, LiveKey, ReadKey};

use super::scene::*;
use crate::rights::{For, rights_of};
use crate::{Address, Options, RedisStore, read_keys};

/// Takes down what it is told: the pieces of the values of all keys but those that count usage.
#[derive(Default, PartialEq, Eq, Debug)]
struct Heard {
    values: BTreeMap<Vec<u8>, (String, Vec<Vec<u8>>)>,
    begun: BTreeSet<Vec<u8>>,
    pieces: Vec<Vec<u8>>,
}

impl KeyReader for Heard {
    fn wants(&self, key: &[u8]) -> bool {
        !key.starts_with(b"stats/")
    }

    fn begin(&mut self, key: &[u8]) {
        self.begun.insert(key.to_vec());
    }

    fn piece(&mut self, _key: &[u8], piece: &[u8]) {
        self.pieces.push(piece.to_vec());
    }

    fn key(&mut self, key: &ReadKey<'_>) -> plan::Result<()> {
        let mut pieces = std::mem::take(&mut self.pieces);
        if key.kind == "set" {
            pieces.sort();
        }
        if self.wants(key.key) {
            self.values.insert(key.key.to_vec(), (format!("{} of {}", key.kind, key.elements), pieces));
        }
        Ok(())
    }
}

fn live(store: &RedisStore) -> plan::Result<Heard> {
    let mut heard = Heard::default();
    store.live_keys().unwrap().read(&context("look"), "storage", &mut heard)?;
    Ok(heard)
}

fn seed(server: &Redis) {
    let mut connection = connect(server, 0);
    for n in 0..1500 {
        say(&mut connection, &format!("SET application/service_id:1/id:{n}/state active"));
        say(&mut connection, &format!("SADD many member:{n}"));
    }
    for words in [
        "SADD numbers 1 2 30000",
        "SADD few a b",
        "SET empty x",
        "RPUSH list c a b",
        "SET later x PX 100000000",
        "SET stats/{service:1}/x 5",
    ] {
        say(&mut connection, words);
    }
    connection.call(&[b"SET", b"empty", b""]).unwrap();
    connection.call(&[b"SET", b"compressed", "x y ".repeat(5000).as_bytes()]).unwrap();
    // Another database of the same server, and another label.
    say(&mut connect(server, 1), "SET not-here 1");
}

/// As a user who may do this and nothing else.
fn as_user(server: &Redis, kind: RedisKind, of: For, keys: &str) -> RedisStore {
    let rights: Vec<String> = rights_of(&[For::All, of], kind != RedisKind::Redis6).map(|right| format!("+{}", right.command)).collect();
    say(&mut connect(server, 0), &format!("ACL SETUSER exact reset on >pw {keys} -@all {}", rights.join(" ")));
    let address = |database: u32| Address::parse(&format!("redis://exact:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    RedisStore::new(plan::ids::DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], Options::default())
        .unwrap()
}

#[test]
fn live_keys_are_read_by_scan_or_by_replication_as_a_set_has_them() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
        seed(&server);
        let set = backup(&store(&server)).unwrap();
        let mut wanted = Heard::default();
        read_keys(set.snapshot.clone(), &set.kept, "storage", &context("x").stop, &mut wanted).unwrap();
        assert_eq!((wanted.values.len(), wanted.begun.len()), (1507, 1508), "{kind:?}");

        let forks =
            || say(&mut connect(&server, 0), "INFO stats").text().lines().find(|line| line.starts_with("sync_full")).unwrap().to_owned();
        let before = forks();
        assert_eq!(live(&store(&server)).unwrap(), wanted, "{kind:?}");
        assert_eq!(live(&as_user(&server, kind, For::Scan, "~*")).unwrap(), wanted, "{kind:?}");
        assert_eq!(forks(), before, "where SCAN is allowed, the server does not fork");
        assert_eq!(live(&as_user(&server, kind, For::View, "~threescale-backup:*")).unwrap(), wanted, "{kind:?}");
        let refused = live(&as_user(&server, kind, For::All, "~*")).unwrap_err();
        assert!(refused.hints().iter().any(|hint| hint.contains("ACL SETUSER exact") && hint.contains("+scan")), "{refused:?}");
    }
}

/// Writers wait for them: through an API server each connection costs a good part of a second.
#[test]
fn the_keys_of_a_session_are_read_and_changed_over_one_connection() {
    let server = Redis::start(&[]).unwrap();
    let mut watching = connect(&server, 0);
    let mut opened = || {
        let stats = say(&mut watching, "INFO stats").text();
        let told = stats.lines().find_map(|line| line.trim_end().strip_prefix("total_connections_received:"));
        told.unwrap().parse::<u64>().unwrap()
    };
    say(&mut connect(&server, 1), "SET events/id 3");
    let store = store(&server);
    let of = |database: &str| LiveKey { database: database.to_owned(), key: "events/id".to_owned() };
    let before = opened();
    let context = context("run");
    let mut keys = store.live_keys().unwrap().session(&context);
    for (to, wanted) in [(7, 7), (5, 7)] {
        keys.raise(&of("storage"), to).unwrap();
        assert_eq!((keys.counter(&of("storage")).unwrap(), keys.counter(&of("queues")).unwrap()), (wanted, 3));
    }
    keys.members(&of("storage")).unwrap_err();
    assert!(keys.lower(&of("storage"), 7, 2).unwrap() && !keys.lower(&of("queues"), 7, 2).unwrap());
    assert_eq!(opened() - before, 1);
    assert_eq!(say(&mut connect(&server, 0), "GET events/id").text(), "2");
    assert_eq!(say(&mut connect(&server, 1), "GET events/id").text(), "3");
}
