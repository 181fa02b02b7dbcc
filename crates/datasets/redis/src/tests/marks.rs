//! Whose a database is: two installations, two hosts, two data sets on one server, two versions; and what is half replaced.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use lab::{Redis, RedisKind};
use plan::Class;
use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, Discard, Place, Road, Snapshot, Undone};
use serde_json::json;

use super::scene::*;
use crate::connection::Crash;
use crate::{Address, Options, RedisStore};

const KINDS: [RedisKind; 3] = [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey];

fn of(installation: &str, run: &str) -> Context {
    Context { installation: plan::InstallationId::named(installation), ..context(run) }
}

/// A server with some keys, and the set of them; then the keys of a disaster.
fn scene(server: &Redis) -> (RedisStore, Set, String) {
    (0..20).for_each(|number| drop(say(&mut connect(server, 0), &format!("SET key:{number} {number}"))));
    say(&mut connect(server, 1), "RPUSH queue a b");
    let store = store(server);
    let set = backup(&store).unwrap();
    damage(server);
    let damaged = digest(server);
    (store, set, damaged)
}

#[test]
fn another_installations_servers_know_nothing_of_a_run_and_lose_nothing() {
    for kind in KINDS {
        let (a, b) = (Redis::start_kind(kind, &[]).unwrap(), Redis::start_kind(kind, &[]).unwrap());
        let (store_a, set, damaged) = scene(&a);
        say(&mut connect(&b, 0), "SET of b");
        let (store_b, before_b) = (store(&b), digest(&b));
        let place = restore(&store_a, &set, "r", Road::SideCopy);
        let swapped = digest(&a);

        let run = of("b", "r");
        assert_eq!(store_b.undo(&run, &place).unwrap(), Undone::NothingThere);
        assert_eq!(store_b.cut_over(&run, &place).unwrap_err().class(), Class::NeedsPerson);
        let snapshot = Arc::clone(&set.snapshot) as Arc<dyn Snapshot>;
        assert_eq!(store_b.stage(&run, &place, snapshot, &set.kept).unwrap_err().class(), Class::Refused);
        [Discard::Staged, Discard::Previous].into_iter().for_each(|what| store_b.discard(&run, &place, what).unwrap());
        assert_eq!((digest(&b), digest(&a)), (before_b, swapped.clone()));

        let error = store_a.discard(&context("r"), &place, Discard::Staged).unwrap_err();
        assert!(error.class() == Class::NeedsPerson && digest(&a) == swapped, "{error:?}");
        assert_eq!(store_a.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(store_a.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
        store_a.discard(&context("r"), &place, Discard::Staged).unwrap();
        assert_eq!(digest(&a), damaged, "all is as it was, and nothing is left");
        assert_eq!(store_a.undo(&context("r"), &place).unwrap(), Undone::NothingThere);
    }
}

#[test]
fn in_place_another_server_is_refused_before_anything_is_cleared() {
    let (a, b) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let (store_a, set, _) = scene(&a);
    say(&mut connect(&b, 0), "SET of b");
    let before = digest(&b);
    let place = restore(&store_a, &set, "r", Road::InPlace);
    let again = store(&b).stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
    assert_eq!((again.unwrap_err().class(), digest(&b)), (Class::Refused, before));
    // The same server under another address, as of a forwarded port; and after a restart at the same address.
    let by_socket = |database: u32| Address::parse(&a.socket_url(database)).unwrap();
    let addresses = vec![("storage", by_socket(0)), ("queues", by_socket(1))];
    let other_way = RedisStore::new(DataSetName::BackendRedis, addresses, Options::default()).unwrap();
    other_way.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
    let mut a = a;
    a.stop().unwrap();
    a.start_again().unwrap();
    store_a.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
}

#[test]
fn of_two_restores_the_newer_one_is_undone_first() {
    let server = Redis::start(&[]).unwrap();
    let (store, set, damaged) = scene(&server);
    let one = restore(&store, &set, "one", Road::SideCopy);
    say(&mut connect(&server, 0), "SET since one");
    let two = restore(&store, &set, "two", Road::SideCopy);
    let both = digest(&server);
    let error = store.undo(&context("one"), &one).unwrap_err();
    assert!(error.class() == Class::NeedsPerson && error.to_string().contains("run two"), "{error:?}");
    assert_eq!(store.discard(&context("one"), &one, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(digest(&server), both);
    for (run, place) in [("two", &two), ("one", &one)] {
        assert_eq!(store.undo(&context(run), place).unwrap(), Undone::PreviousIsLive);
        store.discard(&context(run), place, Discard::Staged).unwrap();
    }
    assert_eq!(digest(&server), damaged);

    let (one, two) = (restore(&store, &set, "three", Road::SideCopy), restore(&store, &set, "four", Road::SideCopy));
    store.discard(&context("four"), &two, Discard::Previous).unwrap();
    // What is live is that of the later one, and nowhere else.
    assert_eq!(store.undo(&context("three"), &one).unwrap_err().class(), Class::NeedsPerson);
    store.discard(&context("three"), &one, Discard::Previous).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
}

#[test]
fn data_that_is_half_replaced_in_place_is_seen_and_never_backed_up() {
    for kind in KINDS {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let mut connection = connect(&server, 0);
        for number in 0..2000 {
            connection.push(&[b"SET", format!("key:{number}").as_bytes(), &noise(200, number)]);
        }
        connection.flush().unwrap();
        (0..2000).for_each(|_| drop(connection.reply().unwrap().ok().unwrap()));
        let store = store_with(&server, Options { part_bytes: 16 << 10, ..Options::default() });
        let (set, before) = (backup(&store).unwrap(), digest(&server));
        let mut broken = Memory(set.snapshot.0.clone());
        let last = broken.0.keys().rfind(|path| path.to_str().unwrap().contains("storage")).unwrap().clone();
        broken.0.remove(&last);
        let place = store.reserve(&context("r"), &set.kept, Road::InPlace).unwrap();
        assert!(store.stage(&context("r"), &place, Arc::new(broken), &set.kept).is_err());
        // How far it came is a matter of time; that it had begun is not.
        assert_ne!(digest(&server), before, "it was in the middle");

        let elsewhere = super::scene::store(&server);
        assert_eq!(elsewhere.look(&of("b", "x")).unwrap().half_loaded_by.as_deref(), Some("r"));
        let error = backup(&elsewhere).err().unwrap();
        assert!(error.class() == Class::Refused && error.to_string().contains("half replaced by run r"), "{error:?}");
        let other = store.reserve(&context("other"), &set.kept, Road::InPlace).unwrap();
        let over = store.stage(&context("other"), &other, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
        assert_eq!(over.unwrap_err().class(), Class::NeedsPerson, "no other run goes on over it");
        assert_eq!(store.tidy(&context("r"), &place).unwrap_err().class(), Class::NeedsPerson);
        assert!(store.prove(&context("r"), &place, &set.kept).is_err());

        store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
        assert_eq!(differences(&store, &set, &place, "r"), Vec::<String>::new());
        store.tidy(&context("r"), &place).unwrap();
        assert_eq!((digest(&server), elsewhere.look(&context("x")).unwrap().half_loaded_by), (before, None));
        assert!(backup(&elsewhere).is_ok());
    }
}

#[test]
fn what_version_0_1_0_left_half_loaded_is_not_backed_up_either() {
    let server = Redis::start(&[]).unwrap();
    let (store, ..) = scene(&server);
    say(&mut connect(&server, 0), "SET threescale-backup:loading:01old loading");
    let error = backup(&store).err().unwrap();
    assert!(error.class() == Class::Refused && error.to_string().contains("run 01old"), "{error:?}");
}

/// Backend and System on one server, as of an installation with one Redis.
fn shared(server: &Redis) -> (RedisStore, RedisStore, Set, Set) {
    let (backend, backend_set, _) = scene(server);
    let address = Address::parse(&server.url(2)).unwrap();
    let system = RedisStore::new(DataSetName::SystemRedis, vec![("system", address)], Options::default()).unwrap();
    say(&mut connect(server, 2), "SET system 1");
    let system_set = backup(&system).unwrap();
    say(&mut connect(server, 2), "SET system 2");
    (backend, system, backend_set, system_set)
}

fn side_databases(place: &Place) -> Vec<u64> {
    let servers = place.0["servers"].as_array().unwrap().iter().flat_map(|spots| spots.as_array().unwrap());
    servers.map(|spot| spot["side"].as_u64().unwrap()).collect()
}

#[test]
fn two_data_sets_on_one_server_choose_and_keep_their_own_databases() {
    let server = Redis::start(&[]).unwrap();
    let (backend, system, backend_set, system_set) = shared(&server);
    let reserve = |store: &RedisStore, set: &Set| store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let (place_b, place_s) = (reserve(&backend, &backend_set), reserve(&system, &system_set));
    assert!(side_databases(&place_b).iter().all(|side| !side_databases(&place_s).contains(side)), "{place_b:?} {place_s:?}");
    let load = |store: &RedisStore, set: &Set, place: &Place| {
        store.stage(&context("r"), place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
        store.cut_over(&context("r"), place).unwrap();
    };
    load(&backend, &backend_set, &place_b);
    load(&system, &system_set, &place_s);
    assert_eq!(say(&mut connect(&server, 2), "GET system").text(), "1");
    assert_eq!(say(&mut connect(&server, 0), "DBSIZE").number(), Some(20));
    assert_eq!(backend.undo(&context("r"), &place_b).unwrap(), Undone::PreviousIsLive);
    assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
}

#[test]
fn a_database_that_another_data_set_of_the_same_run_has_claimed_is_not_taken_from_it() {
    let server = Redis::start(&["--databases", "5"]).unwrap();
    let (backend, system, backend_set, system_set) = shared(&server);
    let place_s = system.reserve(&context("r"), &system_set.kept, Road::SideCopy).unwrap();
    let error = backend.reserve(&context("r"), &backend_set.kept, Road::SideCopy).unwrap_err();
    assert!(error.class() == Class::Refused && error.to_string().contains("not enough empty"), "there is no room for both: {error:?}");
    let system_marks = backend.leftovers(&context("x")).unwrap().len();
    assert_eq!(system_marks, 0, "what it had claimed it gave back");
    system.stage(&context("r"), &place_s, Arc::clone(&system_set.snapshot) as Arc<dyn Snapshot>, &system_set.kept).unwrap();
    system.cut_over(&context("r"), &place_s).unwrap();
    assert_eq!(say(&mut connect(&server, 2), "GET system").text(), "1");
    // One that knows the place of the other by mistake does nothing to it.
    let wrong = Place(json!({"road": "side-copy", "run": "r", "marked": true, "servers": [[
        {"name": "storage", "live": 0, "side": side_databases(&place_s)[0]}, {"name": "queues", "live": 1, "side": 3},
    ]]}));
    assert_eq!(backend.undo(&context("r"), &wrong).unwrap(), Undone::NothingThere);
    backend.discard(&context("r"), &wrong, Discard::Previous).unwrap();
    assert_eq!(backend.cut_over(&context("r"), &wrong).unwrap_err().class(), Class::NeedsPerson);
    backend.release(&context("r")).unwrap();
    assert_eq!(system.undo(&context("r"), &place_s).unwrap(), Undone::PreviousIsLive);
    assert_eq!(say(&mut connect(&server, 2), "GET system").text(), "2");
}

#[test]
fn data_sets_that_choose_at_once_get_databases_of_their_own() {
    let server = Redis::start(&[]).unwrap();
    let (backend, system, backend_set, system_set) = shared(&server);
    for round in 0..30 {
        let run = format!("r{round}");
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| backend.reserve(&context(&run), &backend_set.kept, Road::SideCopy).unwrap());
            let two = scope.spawn(|| system.reserve(&context(&run), &system_set.kept, Road::SideCopy).unwrap());
            (one.join().unwrap(), two.join().unwrap())
        });
        assert!(side_databases(&one).iter().all(|side| !side_databases(&two).contains(side)), "{one:?} {two:?}");
        let again = backend.reserve(&context(&run), &backend_set.kept, Road::SideCopy).unwrap();
        assert_eq!(side_databases(&again), side_databases(&one), "after a crash the same run finds what it has claimed");
        backend.release(&context(&run)).unwrap();
        assert_eq!((backend.leftovers(&context("x")).unwrap().len(), system.leftovers(&context("x")).unwrap().len()), (0, 1));
        system.release(&context(&run)).unwrap();
        assert_eq!(system.leftovers(&context("x")).unwrap(), Vec::new());
    }
}

#[test]
fn an_empty_database_that_a_client_has_selected_is_not_free() {
    let server = Redis::start(&["--databases", "4"]).unwrap();
    let (store, set, _) = scene(&server);
    let mut client = connect(&server, 3);
    say(&mut client, "CLIENT SETNAME application");
    assert_eq!(store.look(&context("x")).unwrap().road, Road::InPlace);
    say(&mut client, "SELECT 0");
    let place = store.reserve(&context("x"), &set.kept, Road::SideCopy).unwrap();
    assert_eq!(side_databases(&place), [3, 2]);
}

/// Storage and queues on a server each.
fn on_two(one: &Redis, two: &Redis, options: Options) -> RedisStore {
    let addresses = vec![("storage", Address::parse(&one.url(3)).unwrap()), ("queues", Address::parse(&two.url(3)).unwrap())];
    RedisStore::new(DataSetName::BackendRedis, addresses, options).unwrap()
}

#[test]
fn of_two_servers_no_half_of_a_swap_is_backed_up() {
    let (one, two) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let get = |server: &Redis| say(&mut connect(server, 3), "GET which").text();
    let set_both =
        |value: &str| [&one, &two].into_iter().for_each(|server| drop(say(&mut connect(server, 3), &format!("SET which {value}"))));
    set_both("old");
    let store = on_two(&one, &two, Options::default());
    let set = backup(&store).unwrap();
    set_both("new");
    let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
    let mut halves = 0;
    for after_sending in [false, true] {
        for commands in 0.. {
            let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending };
            let dying = on_two(&one, &two, Options { crash: Some(crash), ..Options::default() });
            let done = dying.cut_over(&context("r"), &place).is_ok();
            if get(&one) != get(&two) {
                halves += 1;
                assert_eq!(store.look(&context("x")).unwrap().half_loaded_by.as_deref(), Some("r"));
                assert!(backup(&store).is_err());
            }
            if commands % 2 == 0 {
                store.cut_over(&context("r"), &place).unwrap();
                assert_eq!((get(&one), get(&two)), ("old".to_owned(), "old".to_owned()));
            }
            assert_eq!(store.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
            assert_eq!((get(&one), get(&two)), ("new".to_owned(), "new".to_owned()));
            assert_eq!(store.look(&context("x")).unwrap().half_loaded_by, None);
            assert_eq!(say(&mut connect(&one, 3), "DBSIZE").number(), Some(1), "no mark stays");
            if done {
                break;
            }
        }
    }
    assert!(halves > 2, "{halves}");
    store.discard(&context("r"), &place, Discard::Staged).unwrap();
}

#[test]
fn of_two_servers_one_that_lost_its_part_stops_the_cut_over_and_no_undo() {
    let (one, mut two) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    [&one, &two].into_iter().for_each(|server| drop(say(&mut connect(server, 3), "SET which old")));
    let store = on_two(&one, &two, Options::default());
    let set = backup(&store).unwrap();
    let place = stage(&store, &set, "r", Road::SideCopy).unwrap();
    two.kill();
    two.start_again().unwrap();
    let before = digest(&one);
    assert_eq!(store.cut_over(&context("r"), &place).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(digest(&one), before, "nothing was touched");
    // Neither was swapped.
    assert_eq!(store.undo(&context("r"), &place).unwrap(), Undone::PreviousIsLive);
    assert_eq!(digest(&one), before, "nothing was touched");
    store.discard(&context("r"), &place, Discard::Staged).unwrap();
}

#[test]
fn a_claim_that_was_cut_off_takes_nothing_of_others() {
    let server = Redis::start(&[]).unwrap();
    let (store, set, _) = scene(&server);
    let place = store.reserve(&context("r"), &set.kept, Road::SideCopy).unwrap();
    let side = u32::try_from(side_databases(&place)[0]).unwrap();
    let mark =
        json!({"run": "r", "data-set": "backend-redis", "database": "storage", "live": 0, "installation": {"name": ""}, "role": "claimed"});
    let mut connection = connect(&server, side);
    connection.call(&[b"SET", b"threescale-backup:mark", mark.to_string().as_bytes()]).unwrap();
    say(&mut connection, "SET theirs 1");
    let staged = store.stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept);
    assert_eq!(staged.unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(say(&mut connection, "KEYS *").list().iter().map(crate::connection::Reply::text).collect::<Vec<_>>(), ["theirs"]);
    connection.call(&[b"SET", b"threescale-backup:mark", mark.to_string().as_bytes()]).unwrap();
    store.discard(&context("r"), &place, Discard::Staged).unwrap();
    assert_eq!(say(&mut connection, "GET theirs").text(), "1");
}

#[test]
fn a_run_of_version_0_1_0_goes_on_and_back() {
    let server = Redis::start(&[]).unwrap();
    let (store, _, damaged) = scene(&server);
    let old = json!({"road": "side-copy", "run": "01old", "servers": [[
        {"name": "storage", "live": 0, "side": 15}, {"name": "queues", "live": 1, "side": 14},
    ]]});
    let place = Place(old);
    for side in [15, 14] {
        say(&mut connect(&server, side), "SET restored 1");
        say(&mut connect(&server, side), "SET threescale-backup:staging:01old loaded");
    }
    store.cut_over(&context("01old"), &place).unwrap();
    assert_eq!(say(&mut connect(&server, 1), "KEYS *").list().len(), 1);
    assert_eq!(store.undo(&context("01old"), &place).unwrap(), Undone::PreviousIsLive);
    store.discard(&context("01old"), &place, Discard::Staged).unwrap();
    assert_eq!(digest(&server), damaged);

    // It was cut over by the old version.
    for (live, side) in [(0, 15), (1, 14)] {
        say(&mut connect(&server, side), "SET restored 1");
        say(&mut connect(&server, live), &format!("SWAPDB {live} {side}"));
        say(&mut connect(&server, side), "SET threescale-backup:previous:01old 1");
    }
    assert_eq!(store.discard(&context("01old"), &place, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(store.undo(&context("01old"), &place).unwrap(), Undone::PreviousIsLive);
    store.discard(&context("01old"), &place, Discard::Staged).unwrap();
    assert_eq!(digest(&server), damaged);
}

#[test]
fn a_run_is_found_where_its_server_is_known_by_another_name_than_its_address() {
    let (a, b) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let (_, set, _) = scene(&a);
    let known = |server: &Redis| store_with(server, Options { known_as: Some("Service redis in 3scale".to_owned()), ..Options::default() });
    let place = known(&a).reserve(&context("r"), &set.kept, Road::InPlace).unwrap();
    // The pod was replaced: another run id behind another forwarded port.
    known(&b).stage(&context("r"), &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
    assert_eq!(say(&mut connect(&b, 0), "DBSIZE").number(), Some(20));
}
