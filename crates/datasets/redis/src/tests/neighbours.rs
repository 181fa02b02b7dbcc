//! Two data sets on one server: what the other names is live, also when it is empty.

use std::sync::Arc;

use lab::{Redis, RedisKind};
use plan::ids::DataSetName;
use plan::ports::{DataSet, Discard, Road, Undone};

use super::scene::*;
use crate::{Address, Options, RedisStore};

const KINDS: [RedisKind; 3] = [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey];

/// Storage in 0, queues in 15 without a job; System's in 2. On one server, each knowing the other.
fn neighbours(server: &Redis) -> (RedisStore, RedisStore) {
    let tcp = |database| Address::parse(&server.url(database)).unwrap();
    let socket = |database| Address::parse(&server.socket_url(database)).unwrap();
    let backend = |storage, queues| {
        RedisStore::new(DataSetName::BackendRedis, vec![("storage", storage), ("queues", queues)], Options::default()).unwrap()
    };
    let system = |address| RedisStore::new(DataSetName::SystemRedis, vec![("", address)], Options::default()).unwrap();
    let (one, other) = (backend(tcp(0), tcp(15)), system(tcp(2)));
    one.spare(Arc::new(system(socket(2))));
    other.spare(Arc::new(backend(socket(0), socket(15))));
    (one, other)
}

#[test]
fn an_empty_database_that_another_data_set_names_is_live() {
    for kind in KINDS {
        let server = Redis::start_kind(kind, &[]).unwrap();
        (0..20).for_each(|number| drop(say(&mut connect(&server, 0), &format!("SET key:{number} {number}"))));
        say(&mut connect(&server, 2), "SET of system");
        let (backend, system) = neighbours(&server);
        let (of_backend, of_system) = (backup(&backend).unwrap(), backup(&system).unwrap());
        let facts = system.look(&context("r")).unwrap().facts;
        assert!(facts.iter().any(|(name, free)| name.ends_with("empty databases") && free.ends_with(" 13 14")), "{facts:?}");
        // What both take is of the same server, by whatever address.
        let shares = |store: &RedisStore, set: &Set| {
            let all = store.shares(&context("r"), &set.kept, Road::SideCopy).unwrap();
            all.into_iter().map(|share| (share.of, share.takes, share.free)).collect::<Vec<_>>()
        };
        let (one, other) = (shares(&backend, &of_backend), shares(&system, &of_system));
        let databases = |all: &[(String, u64, u64)]| all.iter().find(|(of, ..)| of.starts_with("empty databases")).unwrap().clone();
        assert_eq!((databases(&one).1, databases(&other).1, databases(&one).2), (2, 1, 13));
        assert!(one.iter().zip(&other).all(|(one, other)| one.0 == other.0 && one.2 > 0) && one.len() >= 2, "{one:?} {other:?}");
        // The queues have no job: daily life.
        let place = restore(&system, &of_system, "r", Road::SideCopy);
        say(&mut connect(&server, 15), "RPUSH resque:queue:priority job");
        system.discard(&context("r"), &place, Discard::Previous).unwrap();
        assert_eq!(say(&mut connect(&server, 15), "LRANGE resque:queue:priority 0 -1").list().len(), 1, "a live job is not settled away");
        // All is lost: what is empty now is to be mended, not to be used.
        say(&mut connect(&server, 0), "FLUSHALL");
        say(&mut connect(&server, 0), "SET live 0");
        let before = digest(&server);
        let places = [restore(&backend, &of_backend, "all", Road::SideCopy), restore(&system, &of_system, "all", Road::SideCopy)];
        assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
        assert_eq!(say(&mut connect(&server, 2), "KEYS *").list().len(), 1);
        for (store, place) in [&system, &backend].into_iter().zip(places.iter().rev()) {
            assert_eq!(store.undo(&context("all"), place).unwrap(), Undone::PreviousIsLive);
            store.discard(&context("all"), place, Discard::Staged).unwrap();
        }
        assert_eq!(digest(&server), before);
    }
}

#[test]
fn one_server_spelled_in_two_ways_does_not_take_its_own_empty_database() {
    let server = Redis::start(&[]).unwrap();
    (0..20).for_each(|number| drop(say(&mut connect(&server, 0), &format!("SET key:{number} {number}"))));
    let addresses = vec![
        ("storage", Address::parse(&server.url(0)).unwrap()),
        ("queues", Address::parse(&server.url(15).replace("127.0.0.1", "localhost")).unwrap()),
    ];
    let store = RedisStore::new(DataSetName::BackendRedis, addresses, Options::default()).unwrap();
    let set = backup(&store).unwrap();
    say(&mut connect(&server, 0), "SET x y");
    let before = digest(&server);
    let place = restore(&store, &set, "r", Road::SideCopy);
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
    assert_eq!(store.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
    store.discard(&context("r"), &place, Discard::Staged).unwrap();
    assert_eq!(digest(&server), before);
}

#[test]
fn where_another_data_set_cannot_be_asked_nothing_is_loaded_into_a_database_that_may_be_its_own() {
    let server = Redis::start(&[]).unwrap();
    let gone = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "SET key 1");
    let store = store(&server);
    let (set, damaged) = (backup(&store).unwrap(), digest(&server));
    let address = Address::parse(&gone.url(0)).unwrap();
    drop(gone);
    store.spare(Arc::new(RedisStore::new(DataSetName::SystemRedis, vec![("", address)], Options::default()).unwrap()));
    let found = store.look(&context("r")).unwrap();
    assert_eq!(found.road, Road::InPlace);
    let problems = store.fits(&context("r"), &set.kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.text.contains("system-redis")), "{problems:?}");
    assert!(store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap_err().chain().contains("system-redis"));
    assert_eq!(digest(&server), damaged);
}
