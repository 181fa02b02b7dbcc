//! Storage and queues on servers of their own.

use lab::{Redis, RedisKind};
use plan::ids::DataSetName;
use plan::ports::{DataSet, Discard, Road, Severity, Undone};

use super::scene::*;
use crate::{Address, Options, RedisStore};

fn on(storage: &Redis, queues: &Redis) -> RedisStore {
    let address = |server: &Redis| Address::parse(&server.url(0)).unwrap();
    let addresses = vec![("storage", address(storage)), ("queues", address(queues))];
    RedisStore::new(DataSetName::BackendRedis, addresses, Options::default()).unwrap()
}

#[test]
fn servers_of_different_versions_each_take_their_own_file_and_no_older_one_takes_a_newer() {
    let (old, new) = (Redis::start(&[]).unwrap(), Redis::start_kind(RedisKind::NewestRedis, &[]).unwrap());
    say(&mut connect(&old, 0), "SET a 1");
    say(&mut connect(&new, 0), "RPUSH q 1");
    let store = on(&old, &new);
    let set = backup(&store).unwrap();
    let before = (digest(&old), digest(&new));
    for server in [&old, &new] {
        damage(server);
    }
    let damaged = (digest(&old), digest(&new));
    let place = restore(&store, &set, "r", Road::SideCopy);
    assert_eq!(say(&mut connect(&old, 0), "GET a").text(), "1");
    assert_eq!(store.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
    store.discard(&context("r"), &place, Discard::Staged).unwrap();
    assert_eq!((digest(&old), digest(&new)), damaged);
    let exchanged = on(&new, &old).fits(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert!(
        exchanged.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("cannot load RDB version 12")),
        "{exchanged:?}"
    );
    assert_ne!(before, damaged);
}

#[test]
fn where_one_server_came_back_empty_before_anything_was_swapped_there_is_nothing_to_take_back() {
    for lost in [0, 1] {
        let servers = [Redis::start(&["--save", ""]).unwrap(), Redis::start(&["--save", ""]).unwrap()];
        for server in &servers {
            say(&mut connect(server, 0), "SET key 1");
        }
        let store = on(&servers[0], &servers[1]);
        let set = backup(&store).unwrap();
        let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
        say(&mut connect(&servers[lost], 0), "FLUSHALL");
        let other = digest(&servers[1 - lost]);
        assert!(store.cut_over(&context("r"), &place).is_err());
        assert_eq!(store.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(digest(&servers[1 - lost]), other, "the live data of the other was not touched");
        store.discard(&context("r"), &place, Discard::Staged).unwrap();
        assert_eq!(say(&mut connect(&servers[1 - lost], 0), "GET key").text(), "1");
        assert_eq!(say(&mut connect(&servers[1 - lost], 15), "DBSIZE").number(), Some(0));
    }
}
