//! Whose database it is, whose run: identities, marks, locks, leftovers.

use plan::ports::{Discard, Holds, Leftover, Undone};
use plan::{Class, InstallationId};

use super::*;
use crate::mark::Tag;
use crate::place::Databases;

/// A database with `old` as its content, and a set with `kept`.
fn server() -> (lab::Postgres, (Arc<Memory>, KeptDataSet)) {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync; COMMENT ON DATABASE zync IS 'it''s ours'");
    psql(&server, "zync", "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')");
    let set = take(&store_at(&server.url("zync")));
    psql(&server, "zync", "UPDATE t SET v = 'old'");
    (server, set)
}

fn of_prod(run: &str) -> Context {
    Context { installation: InstallationId::named("prod"), ..context(run).0 }
}

fn a() -> Context {
    of_prod("01jd000000000000000a")
}

fn b() -> Context {
    of_prod("01jd000000000000000b")
}

fn live(server: &lab::Postgres) -> String {
    psql(server, "zync", "SELECT v FROM t")
}

fn comment(server: &lab::Postgres, database: &str) -> String {
    let query = format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'");
    psql(server, "postgres", &query)
}

fn leftovers(store: &PostgresStore) -> Vec<Leftover> {
    store.leftovers(&a()).unwrap()
}

#[test]
fn an_identity_is_the_clusters_and_stays_over_a_cut_over_a_restart_and_another_login() {
    let (mut server, set) = server();
    let store = store_at(&server.url("zync"));
    let identity = store.identity(&a()).unwrap().unwrap();
    let identifier = psql(&server, "postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(identity, format!("postgresql {identifier}/zync"));
    let place = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place).unwrap();
    assert_eq!(store.look(&a()).unwrap().identity.as_ref(), Some(&identity), "after a cut-over");
    server.kill();
    server.start_again().unwrap();
    psql(&server, "postgres", "CREATE ROLE plain LOGIN PASSWORD 'plain'");
    let plain = store_at(&server.url_as("plain", "plain", "zync"));
    assert_eq!(plain.identity(&a()).unwrap().as_ref(), Some(&identity), "after a restart, as a plain role");
    // Absent databases have one too: it is the server's, with their name.
    assert_eq!(store_at(&server.url("absent")).identity(&a()).unwrap().unwrap(), identity.replace("/zync", "/absent"));
    assert_ne!(store_at(&server.url("postgres")).identity(&a()).unwrap().unwrap(), identity, "another database");
    psql(&server, "zync", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    assert_eq!(plain.identity(&a()).unwrap(), None, "it may not be asked for");
    assert_eq!(plain.look(&a()).unwrap().identity, None);
}

#[test]
fn a_side_database_says_whose_it_is_and_the_live_one_keeps_its_own_comment() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let place = staged(&store, &a(), &set, Road::SideCopy);
    let names = Databases::read(&place).unwrap();
    let role = |name: &str| {
        let tag = Tag::read(&comment(&server, name)).unwrap();
        assert_eq!((tag.threescale_backup.run, tag.threescale_backup.installation.name.as_str()), (a().run, "prod"));
        serde_json::to_value(tag.threescale_backup.role).unwrap()
    };
    assert_eq!((role(&names.stage), comment(&server, "zync").as_str()), ("staged".into(), "it's ours"));
    store.cut_over(&a(), &place).unwrap();
    assert_eq!((role(&names.before), comment(&server, "zync").as_str()), ("previous".into(), "it's ours"));
    store.undo(&a(), &place).unwrap();
    assert_eq!((role(&names.stage), comment(&server, "zync").as_str()), ("staged".into(), "it's ours"));
    store.discard(&a(), &place, Discard::Staged).unwrap();
    assert_eq!((databases(&server), comment(&server, "zync")), (vec!["zync".to_owned()], "it's ours".to_owned()));
}

#[test]
fn a_run_does_not_swap_over_what_came_after_it_was_planned() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let (place_a, place_b) = (staged(&store, &a(), &set, Road::SideCopy), staged(&store, &b(), &set, Road::SideCopy));
    store.cut_over(&a(), &place_a).unwrap();
    let there = databases(&server);
    let error = store.cut_over(&b(), &place_b).unwrap_err();
    assert!(error.class() == Class::NeedsPerson && error.chain().contains("replaced after run"), "{error:?}");
    assert_eq!(databases(&server), there);
    assert_eq!(store.undo(&b(), &place_b).unwrap(), Undone::PreviousIsLive);
    store.discard(&b(), &place_b, Discard::Staged).unwrap();
    assert_eq!(store.undo(&a(), &place_a).unwrap(), Undone::PreviousIsLive);
    assert_eq!(live(&server), "old");
}

#[test]
fn of_two_runs_undone_in_the_wrong_order_nothing_is_lost() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let place_a = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place_a).unwrap();
    psql(&server, "zync", "UPDATE t SET v = 'of a'");
    let place_b = staged(&store, &b(), &set, Road::SideCopy);
    store.cut_over(&b(), &place_b).unwrap();
    let there = databases(&server);
    for _ in 0..2 {
        assert_eq!(store.undo(&a(), &place_a).unwrap_err().class(), Class::NeedsPerson);
        assert_eq!(store.discard(&a(), &place_a, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
    }
    assert_eq!((databases(&server), live(&server).as_str()), (there, "kept"), "nothing was changed");
    assert_eq!(store.undo(&b(), &place_b).unwrap(), Undone::PreviousIsLive);
    assert_eq!(live(&server), "of a");
    store.discard(&b(), &place_b, Discard::Staged).unwrap();
    assert_eq!(store.undo(&a(), &place_a).unwrap(), Undone::PreviousIsLive);
    assert_eq!(live(&server), "old");
    // Settled over another: that one is not undone under it.
    store.cut_over(&a(), &place_a).unwrap();
    let place_b = staged(&store, &b(), &set, Road::SideCopy);
    store.cut_over(&b(), &place_b).unwrap();
    store.discard(&b(), &place_b, Discard::Previous).unwrap();
    assert_eq!(store.undo(&a(), &place_a).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(live(&server), "kept");
    store.discard(&a(), &place_a, Discard::Previous).unwrap();
    assert_eq!((databases(&server), live(&server)), (vec!["zync".to_owned()], "kept".to_owned()));
}

#[test]
fn a_server_that_knows_nothing_of_a_run_says_so_and_drops_nothing() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let place = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place).unwrap();
    // A copy of the data folder that the first was made of: even object ids and the cluster's identifier are the same.
    let other = lab::Postgres::start(&[]).unwrap();
    psql(&other, "postgres", "CREATE DATABASE zync");
    psql(&other, "zync", "CREATE TABLE t (v text); INSERT INTO t VALUES ('mine')");
    let elsewhere = store_at(&other.url("zync"));
    assert_eq!(elsewhere.undo(&a(), &place).unwrap(), Undone::NothingThere);
    assert_eq!(elsewhere.cut_over(&a(), &place).unwrap_err().class(), Class::NeedsPerson);
    for what in [Discard::Staged, Discard::Previous] {
        elsewhere.discard(&a(), &place, what).unwrap();
    }
    assert_eq!((databases(&other), live(&other)), (vec!["zync".to_owned()], "mine".to_owned()));
    for _ in 0..2 {
        assert_eq!(store.undo(&a(), &place).unwrap(), Undone::PreviousIsLive);
    }
    store.discard(&a(), &place, Discard::Staged).unwrap();
    assert_eq!(store.undo(&a(), &place).unwrap(), Undone::NothingThere, "nothing tells it from any other");
    let place = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place).unwrap();
    store.discard(&a(), &place, Discard::Previous).unwrap();
    assert_eq!(store.undo(&a(), &place).unwrap(), Undone::NothingThere);
    assert_eq!(live(&server), "kept");
}

#[test]
fn what_bears_another_runs_mark_is_left_alone_and_what_bears_none_is_of_an_old_release() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let other = of_prod("01zz000000000000000a");
    assert_eq!(other.run.short(), a().run.short());
    let place = staged(&store, &a(), &set, Road::SideCopy);
    for swapped in [false, true] {
        if swapped {
            store.cut_over(&a(), &place).unwrap();
        }
        let there = databases(&server);
        let refused = [
            store.cut_over(&other, &place).unwrap_err(),
            store.undo(&other, &place).map(drop).unwrap_err(),
            store.discard(&other, &place, Discard::Previous).unwrap_err(),
            store.stage(&other, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap_err(),
        ];
        for error in refused {
            assert!(error.class() == Class::NeedsPerson && error.chain().contains("is of run 01jd000000000000000a of prod"), "{error:?}");
        }
        assert_eq!(databases(&server), there);
    }
    // Release 0.1.0 wrote no marks.
    let names = Databases::read(&place).unwrap();
    psql(&server, "postgres", &format!("COMMENT ON DATABASE {} IS 'it''s ours'", names.before));
    let found = leftovers(&store);
    let short = a().run.short().to_owned();
    assert!(matches!(&found[..], [one] if one.holds == Holds::Previous && one.run == short && one.installation.is_none()), "{found:?}");
    assert_eq!(store.undo(&a(), &place).unwrap(), Undone::PreviousIsLive);
    assert_eq!((live(&server).as_str(), comment(&server, "zync").as_str()), ("old", "it's ours"));
}

#[test]
fn the_previous_data_is_never_dropped_under_the_name_of_a_staged_copy() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let place = staged(&store, &a(), &set, Road::SideCopy);
    let names = Databases::read(&place).unwrap();
    // As release 0.1.0 left it when two runs were undone in the wrong order.
    store.cut_over(&a(), &place).unwrap();
    psql(&server, "postgres", &format!("ALTER DATABASE {} RENAME TO {}; COMMENT ON DATABASE {1} IS NULL", names.before, names.stage));
    let there = databases(&server);
    for error in [
        store.discard(&a(), &place, Discard::Staged).unwrap_err(),
        store.discard(&a(), &place, Discard::Previous).unwrap_err(),
        store.undo(&a(), &place).map(drop).unwrap_err(),
    ] {
        assert!(error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("only copy")), "{error:?}");
    }
    assert_eq!(databases(&server), there);
}

#[test]
fn a_database_that_became_live_where_there_was_none_is_known_by_its_mark_until_it_is_settled() {
    let (first, set) = server();
    drop(first);
    let server = lab::Postgres::start(&[]).unwrap();
    let store = store_at(&server.url("zync"));
    let place = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place).unwrap();
    let found = leftovers(&store);
    assert!(matches!(&found[..], [one] if one.holds == Holds::Mark && one.run == a().run.to_string()), "{found:?}");
    // Somebody puts another database in its place.
    psql(&server, "postgres", "ALTER DATABASE zync RENAME TO away; CREATE DATABASE zync");
    assert_eq!(store.undo(&a(), &place).unwrap(), Undone::NothingThere);
    psql(&server, "postgres", "DROP DATABASE zync; ALTER DATABASE away RENAME TO zync");
    assert_eq!(store.undo(&a(), &place).unwrap(), Undone::PreviousIsLive);
    assert_eq!(databases(&server), [Databases::read(&place).unwrap().stage]);
    store.cut_over(&a(), &place).unwrap();
    store.discard(&a(), &place, Discard::Previous).unwrap();
    assert_eq!((live(&server).as_str(), comment(&server, "zync").as_str(), leftovers(&store).len()), ("kept", "it's ours", 0));
}

#[test]
fn the_lock_is_one_for_a_database_from_everywhere_and_goes_with_its_session() {
    let (server, set) = server();
    psql(&server, "postgres", "CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE DATABASE other");
    let store = store_at(&server.url("zync"));
    let lock = store.lock(&a()).unwrap().unwrap();
    assert!(lock.is_held());
    for url in [server.url("zync"), server.url_as("plain", "plain", "zync")] {
        let error = store_at(&url).lock(&b()).map(drop).unwrap_err();
        assert_eq!(error.class(), Class::Locked);
        let named = |word: &str| error.hints().iter().any(|hint| hint.contains(word));
        assert!(named("run 01jd000000000000000a, prod") && named("pg_terminate_backend("), "{error:?}");
    }
    drop(store_at(&server.url("other")).lock(&b()).unwrap().unwrap());
    // It is in nobody's way: neither of the swap nor of new databases.
    let place = staged(&store, &a(), &set, Road::SideCopy);
    store.cut_over(&a(), &place).unwrap();
    psql(&server, "postgres", "CREATE DATABASE another");
    assert!(lock.is_held());
    // Its session is ended, as when its process is killed.
    psql(
        &server,
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'threescale-backup lock%'",
    );
    until("the lock is let go", || !lock.is_held());
    let next = store.lock(&b()).unwrap().unwrap();
    assert!(next.is_held());
    drop(next);
    until("a dropped lock is free", || store.lock(&a()).is_ok());
    psql(&server, "postgres", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC");
    let plain = store_at(&server.url_as("plain", "plain", "zync"));
    assert!(plain.lock(&b()).unwrap().is_none(), "where there can be none");
}

#[test]
fn a_load_in_place_that_is_killed_is_seen_until_it_is_ended() {
    let (server, set) = server();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; ALTER DATABASE zync OWNER TO zync");
    psql(&server, "zync", "ALTER TABLE t OWNER TO zync; GRANT ALL ON SCHEMA public TO zync");
    let store = store_at(&server.url_as("zync", "zync", "zync"));
    let place = store.reserve(&a(), &set.1, Road::InPlace).unwrap();
    let load = |context: &Context| store.stage(context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1);
    let half = || store.look(&a()).unwrap().half_loaded_by;
    // What a call leaves that is killed.
    let mark = |context: &Context| {
        let mut session = crate::session::Session::open(&Address::parse(&server.url_as("zync", "zync", "zync")).unwrap()).unwrap();
        crate::mark::put(&mut session, context, DataSetName::ZyncDatabase, "zync").unwrap();
    };
    mark(&a());
    assert_eq!(half().as_deref(), Some("01jd000000000000000a"));
    let (memory, kept) = take(&store);
    assert!(memory.0.iter().all(|(_, bytes)| !String::from_utf8_lossy(bytes).contains("threescale_backup")), "no mark in a dump");
    assert_eq!(kept.evidence.differences(&set.1.evidence).iter().filter(|text| !text.contains("public.t")).count(), 0, "nor in its counts");
    let error = load(&b()).unwrap_err();
    assert!(
        error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("abandon 01jd000000000000000a")),
        "{error:?}"
    );
    let swapper = store_at(&server.url("zync"));
    let beside = staged(&swapper, &b(), &set, Road::SideCopy);
    assert_eq!(swapper.cut_over(&b(), &beside).unwrap_err().class(), Class::NeedsPerson);
    swapper.discard(&b(), &beside, Discard::Staged).unwrap();
    let found = leftovers(&store);
    assert!(matches!(&found[..], [one] if one.holds == Holds::Mark && one.installation.as_ref().unwrap().name == "prod"), "{found:?}");
    // The next call ends it.
    load(&a()).unwrap();
    assert_eq!((half(), live(&server).as_str()), (None, "kept"));
    assert!(leftovers(&store).iter().all(|one| one.holds == Holds::Previous), "{:?}", leftovers(&store));
    store.discard(&a(), &place, Discard::Previous).unwrap();
    assert_eq!(leftovers(&store).len(), 0);
    let before = text(&server, "zync");
    // So does one that fails: all is as it was.
    psql(&server, "zync", "UPDATE t SET v = 'old'");
    let mut short = set.0.0.clone();
    let last = &mut short.last_mut().unwrap().1;
    last.truncate(last.len() / 2);
    store.stage(&a(), &place, Arc::new(Memory(short)), &set.1).unwrap_err();
    assert_eq!(half(), None);
    assert_eq!(leftovers(&store).len(), 0);
    psql(&server, "zync", "UPDATE t SET v = 'kept'");
    same(&before, &text(&server, "zync"));
    // Or a person does, who has no journal.
    mark(&b());
    store.remove_leftover(&a(), &leftovers(&store)[0]).unwrap();
    assert_eq!((half(), leftovers(&store).len()), (None, 0));
    same(&before, &text(&server, "zync"));
}

#[test]
fn a_role_that_may_not_keep_what_it_replaces_is_refused_before_anything_is_touched() {
    let (server, set) = server();
    psql(&server, "postgres", "CREATE ROLE app LOGIN PASSWORD 'app'");
    psql(&server, "zync", "ALTER TABLE t OWNER TO app; GRANT ALL ON SCHEMA public TO app");
    let store = store_at(&server.url_as("app", "app", "zync"));
    let (context, _) = context("01jd000000000000000a");
    let place = store.reserve(&context, &set.1, Road::InPlace).unwrap();
    let before = text(&server, "zync");
    let problems = store.look(&context).unwrap().restore_problems;
    assert!(
        problems.iter().any(|problem| problem.severity == plan::ports::Severity::Blocks && problem.text.contains("CREATE on the database")),
        "{problems:?}"
    );
    let error = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    same(&before, &text(&server, "zync"));
}

#[test]
fn what_runs_left_is_found_without_their_journals_and_removed_only_as_it_was_found() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    psql(&server, "postgres", "CREATE DATABASE other");
    psql(&server, "postgres", "CREATE DATABASE zyncs__stage_0123456789");
    psql(&server, "postgres", "CREATE DATABASE zync__stage_notours");
    assert_eq!(leftovers(&store), Vec::new());
    let place = staged(&store, &a(), &set, Road::SideCopy);
    let staged_copy = leftovers(&store);
    assert!(
        matches!(&staged_copy[..], [one] if one.holds == Holds::Staged && one.bytes > Some(0) && one.run == a().run.to_string()
            && one.installation.as_ref().unwrap().name == "prod"),
        "{staged_copy:?}"
    );
    assert_eq!(store_at(&server.url("other")).leftovers(&a()).unwrap(), Vec::new(), "of another database");
    store.cut_over(&a(), &place).unwrap();
    let previous = leftovers(&store);
    assert_eq!(previous[0].holds, Holds::Previous);
    store.undo(&a(), &place).unwrap();
    let undone = leftovers(&store);
    assert_eq!(undone[0].holds, Holds::Staged);
    let place = staged(&store, &a(), &set, Road::SideCopy);
    assert_eq!(store.remove_leftover(&b(), &staged_copy[0]).unwrap_err().class(), Class::NeedsPerson, "it is not what it was");
    store.cut_over(&a(), &place).unwrap();
    let previous = leftovers(&store);
    let names = Databases::read(&place).unwrap();
    psql(&server, "postgres", "ALTER DATABASE zync RENAME TO away");
    let error = store.remove_leftover(&b(), &previous[0]).unwrap_err();
    assert!(error.class() == Class::NeedsPerson && error.chain().contains(&names.before), "{error:?}");
    psql(&server, "postgres", "ALTER DATABASE away RENAME TO zync");
    store.remove_leftover(&b(), &previous[0]).unwrap();
    store.remove_leftover(&b(), &previous[0]).unwrap();
    assert_eq!((leftovers(&store).len(), live(&server).as_str()), (0, "kept"));
}
