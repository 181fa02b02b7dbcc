//! Limits and states of servers, said as what they are, before anything is touched, with the command that helps.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use lab::{Redis, RedisKind};
use plan::ids::DataSetName;
use plan::ports::{DataSet, Discard, Problem, Road, Severity};

use super::scene::*;
use crate::{Address, Options, RedisStore};

fn blocking(problems: &[Problem]) -> String {
    let blocks = problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(Problem::sentence);
    blocks.collect::<Vec<_>>().join("\n")
}

/// What the plan of a restore says, by both roads.
fn planned(server: &Redis, set: &Set) -> String {
    let store = store(server);
    [Road::SideCopy, Road::InPlace].map(|road| blocking(&store.fits(&context("x"), &set.kept, road).unwrap())).join("\n").trim().to_owned()
}

fn only(url: &str) -> RedisStore {
    RedisStore::new(DataSetName::SystemRedis, vec![("", Address::parse(url).unwrap())], Options::default()).unwrap()
}

#[test]
fn long_keys_and_long_elements_go_back() {
    for kind in [RedisKind::Redis6, RedisKind::Redis] {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let mut connection = connect(&server, 0);
        let long = noise(65 << 20, 7);
        connection.call(&[b"RPUSH", b"list", b"short", &long, b"after"]).unwrap();
        let key = noise(17 << 20, 8);
        connection.call(&[b"SET", &key, b"of a long name"]).unwrap();
        drop((long, key));
        let before = digest(&server);
        let store = store(&server);
        let set = backup(&store).unwrap();
        damage(&server);
        let place = restore(&store, &set, "long", Road::SideCopy);
        store.discard(&context("long"), &place, Discard::Previous).unwrap();
        assert_eq!(digest(&server), before, "{kind:?}");
    }
}

#[test]
fn a_setting_below_the_longest_value_is_in_the_plan_with_the_command_that_helps() {
    let source = Redis::start_kind(RedisKind::Redis6, &[]).unwrap();
    connect(&source, 0).call(&[b"SET", b"long", &noise(6 << 20, 1)]).unwrap();
    let set = backup(&store(&source)).unwrap();
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &[]).unwrap();
        for name in ["proto-max-bulk-len", "client-query-buffer-limit", "maxmemory-clients"] {
            if kind == RedisKind::Redis6 && name == "maxmemory-clients" {
                continue;
            }
            say(&mut connect(&server, 0), &format!("CONFIG SET {name} 4194304"));
            let told = planned(&server, &set);
            let command = told.split('`').nth(1).unwrap_or_else(|| panic!("{kind:?} {name}: {told:?}"));
            assert!(command.contains(name), "{told}");
            say(&mut connect(&server, 0), command.strip_prefix("redis-cli ").unwrap());
            assert_eq!(planned(&server, &set), "", "{kind:?} {name}");
            let place = stage(&store(&server), &set, name, Road::SideCopy).unwrap();
            store(&server).discard(&context(name), &place, Discard::Staged).unwrap();
        }
    }
}

#[test]
fn a_server_that_refuses_writes_is_known_by_the_plan_and_why() {
    for kind in RedisKind::ALL {
        let options: &[&str] = if kind == RedisKind::Redis6 { &[] } else { &["--enable-protected-configs", "yes"] };
        let server = Redis::start_kind(kind, options).unwrap();
        let mut connection = connect(&server, 0);
        connection.call(&[b"CONFIG", b"SET", b"save", b"10000 1000"]).unwrap();
        say(&mut connection, "SET text abc");
        let set = backup(&store(&server)).unwrap();
        assert_eq!(planned(&server, &set), "", "{kind:?}");
        let mut set_to = |name: &str, value: &str| say(&mut connection, &format!("CONFIG SET {name} {value}"));

        set_to("min-replicas-to-write", "1");
        assert!(planned(&server, &set).contains("min-replicas-to-write 0"), "{kind:?} {}", planned(&server, &set));
        set_to("min-replicas-to-write", "0");

        set_to("maxmemory", "1000");
        assert!(planned(&server, &set).contains("reached maxmemory"), "{kind:?} {}", planned(&server, &set));
        set_to("maxmemory", "0");

        // A save that fails: a folder is where the file would be.
        std::fs::create_dir(server.folder().join("data/blocked.rdb")).unwrap();
        std::fs::write(server.folder().join("data/blocked.rdb/file"), "").unwrap();
        set_to("dbfilename", "blocked.rdb");
        wait(|| say(&mut connect(&server, 0), "INFO persistence").text().contains("rdb_bgsave_in_progress:0"));
        say(&mut connect(&server, 0), "BGSAVE");
        wait(|| say(&mut connect(&server, 0), "INFO persistence").text().contains("rdb_last_bgsave_status:err"));
        let told = planned(&server, &set);
        assert!(told.contains("could not save its data") && told.contains("MISCONF"), "{kind:?} {told}");
        assert!(blocking(&store(&server).look(&context("x")).unwrap().restore_problems).contains("MISCONF"));
        set_to("dbfilename", "free.rdb");
        wait(|| say(&mut connect(&server, 0), "INFO persistence").text().contains("rdb_bgsave_in_progress:0"));
        say(&mut connect(&server, 0), "BGSAVE");
        wait(|| say(&mut connect(&server, 0), "INFO persistence").text().contains("rdb_last_bgsave_status:ok"));
        assert_eq!(planned(&server, &set), "", "{kind:?}");
    }
}

fn wait(mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_database_that_is_not_there_and_cluster_mode_are_said_as_what_they_are() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &[]).unwrap();
        let found = only(&server.url(16)).look(&context("x")).unwrap();
        for problems in [&found.backup_problems, &found.restore_problems] {
            let told = blocking(problems);
            assert!(told.contains("no logical database 16") && told.contains("CONFIG GET databases"), "{kind:?} {told}");
        }
        let error = backup(&only(&server.url(16))).err().unwrap();
        assert!(error.chain().contains("no logical database 16") && error.class() == plan::Class::Refused, "{error:?}");
        drop(server);
        let server = cluster(kind);
        for database in [0, 1] {
            let found = only(&server.url(database)).look(&context("x")).unwrap();
            for problems in [&found.backup_problems, &found.restore_problems] {
                let told = blocking(problems);
                assert!(told.contains("cluster mode"), "{kind:?} {database} {told}");
            }
        }
    }
}

#[test]
fn a_replica_is_backed_up_and_not_restored_into() {
    let (master, server) = (Redis::start(&["--requirepass", ""]).unwrap(), Redis::start(&[]).unwrap());
    say(&mut connect(&master, 0), "SET a 1");
    say(&mut connect(&server, 0), &format!("REPLICAOF 127.0.0.1 {}", master.port()));
    wait(|| say(&mut connect(&server, 0), "INFO replication").text().contains("master_link_status:up"));
    let set = backup(&store(&server)).unwrap();
    assert_eq!(set.kept.evidence.count(), 1);
    let told = planned(&server, &set);
    assert!(told.contains("is a replica") && told.contains("address of the master"), "{told}");
}

#[test]
fn a_server_that_loads_its_data_is_not_looked_at_further() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "DEBUG POPULATE 3000 key 100");
    say(&mut connect(&server, 0), "CONFIG SET key-load-delay 1000");
    say(&mut connect(&server, 0), "CONFIG SET loading-process-events-interval-bytes 1024");
    std::thread::scope(|scope| {
        scope.spawn(|| say(&mut connect(&server, 0), "DEBUG RELOAD"));
        wait(|| say(&mut connect_only(&server), "INFO persistence").text().contains("\nloading:1"));
        let found = store(&server).look(&context("x")).unwrap();
        assert!(blocking(&found.backup_problems).contains("is loading its data"), "{found:?}");
        say(&mut connect_only(&server), "CONFIG SET key-load-delay 0");
    });
    wait(|| say(&mut connect_only(&server), "INFO persistence").text().contains("\nloading:0"));
    assert_eq!(blocking(&store(&server).look(&context("x")).unwrap().backup_problems), "");
}

/// Without selecting a database, which a server that loads refuses.
fn connect_only(server: &Redis) -> crate::connection::Connection {
    crate::connection::Connection::open(&Address::parse(&server.url(0)).unwrap(), &limits()).unwrap()
}

#[test]
fn a_connection_that_is_turned_away_says_why() {
    let server = Redis::start(&["--requirepass", ""]).unwrap();
    let mut first = connect(&server, 0);
    say(&mut first, "CONFIG SET maxclients 1");
    let error = store(&server).look(&context("x")).unwrap_err();
    assert!(error.class() == plan::Class::Transient && format!("{error:?}").contains("maxclients"), "{error:?}");
    say(&mut first, "CONFIG SET maxclients 100");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://127.0.0.1:{}/0", listener.local_addr().unwrap().port());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"-DENIED Redis is running in protected mode because protected mode is enabled\r\n").unwrap();
            drop(stream.read(&mut [0; 100]));
        });
        let error = only(&url).look(&context("x")).unwrap_err();
        assert!(error.class() == plan::Class::Refused && format!("{error:?}").contains("protected mode"), "{error:?}");
    });
}

#[test]
fn a_user_without_a_password_logs_in_and_a_name_that_nobody_has_is_passed_over() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &["--requirepass", ""]).unwrap();
        say(&mut connect(&server, 0), "ACL SETUSER np on nopass ~* +@all");
        say(&mut connect(&server, 0), "SET a 1");
        let url = |user: &str| format!("redis://{user}@127.0.0.1:{}/0", server.port());
        // As other clients do, which send no name without a password.
        assert_eq!(backup(&only(&url("nobody"))).unwrap().kept.evidence.count(), 1);
        say(&mut connect(&server, 0), "ACL SETUSER default -@all +auth");
        let set = backup(&only(&url("np"))).unwrap();
        assert_eq!(set.kept.evidence.count(), 1, "{kind:?}");
        let place = restore(&only(&url("np")), &set, "np", Road::SideCopy);
        only(&url("np")).discard(&context("np"), &place, Discard::Previous).unwrap();
        let error = backup(&only(&url("nobody"))).err().unwrap();
        assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    }
}

#[test]
fn a_pull_that_the_server_ends_says_by_which_setting() {
    let server = Redis::start(&["--repl-timeout", "1", "--repl-diskless-sync-delay", "0"]).unwrap();
    let mut connection = connect(&server, 0);
    for number in 0..8u64 {
        connection.call(&[b"SET", number.to_string().as_bytes(), &noise(6_000_000, number)]).unwrap();
    }
    let mut dump = store(&server).dump(&context("x")).unwrap();
    assert!(dump.next_part().unwrap().is_some());
    wait(|| say(&mut connection, "INFO replication").text().contains("connected_slaves:0"));
    let error = std::iter::repeat_with(|| dump.next_part()).find_map(plan::Result::err).unwrap();
    assert!(error.class() == plan::Class::Transient, "{error:?}");
    assert!(format!("{error:?}").contains("CONFIG SET repl-timeout"), "{error:?}");
}

/// Its bus is on another port than the lab's, which may be taken.
fn cluster(kind: RedisKind) -> Redis {
    (0..10).find_map(|_| Redis::start_kind(kind, &["--cluster-enabled", "yes"]).ok()).unwrap()
}

#[test]
fn the_longest_values_and_how_long_the_server_stands_still_are_told_in_the_plan() {
    let server = Redis::start(&[]).unwrap();
    let script = "for n = 1, 200000 do redis.call('SADD', 'in pieces', 'member' .. n) end redis.call('SADD', 'short', 'x')";
    assert!(server.client().args(["EVAL", script, "0"]).output().unwrap().status.success());
    let mut connection = connect(&server, 0);
    for number in 1..=12u64 {
        connection.call(&[b"XADD", b"long one", format!("{number}-1").as_bytes(), b"field", &noise(1 << 20, number)]).unwrap();
    }
    let store = store(&server);
    let set = backup(&store).unwrap();
    let told = |road| {
        let problems = store.fits(&context("r"), &set.kept, road).unwrap();
        problems.into_iter().filter(|problem| problem.text.contains("stands still")).collect::<Vec<_>>()
    };
    let beside = told(Road::SideCopy);
    assert!(beside.len() == 1 && beside[0].severity == Severity::Note, "{beside:?}");
    assert!(beside[0].text.contains("\"long one\" of storage (stream, "), "{beside:?}");
    assert!(!beside[0].text.contains("short") && !beside[0].text.contains("in pieces"), "{beside:?}");
    assert_eq!(told(Road::InPlace), [], "the writers are stopped");
}
