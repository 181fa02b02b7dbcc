use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::place::Databases;

/// A database with `old` as its content, and a set with `kept`.
fn server() -> (lab::Postgres, (Arc<Memory>, KeptDataSet)) {
    let server = lab::Postgres::start(&["-c", "max_prepared_transactions=5"]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')");
    let set = take(&store_at(&server.url("zync")));
    psql(&server, "zync", "UPDATE t SET v = 'old'");
    (server, set)
}

fn live(server: &lab::Postgres) -> String {
    psql(server, "zync", "SELECT v FROM t")
}

#[test]
fn clients_that_reconnect_all_the_time_do_not_hinder_the_cut_over() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let stop = Arc::new(AtomicBool::new(false));
    let logins = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, logins, url) = (Arc::clone(&stop), Arc::clone(&logins), server.url("zync"));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // As zync does: log in, LISTEN, work, and come again at once when thrown out.
                    let Ok(mut client) = postgres::Client::connect(&url, postgres::NoTls) else { continue };
                    logins.fetch_add(1, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) && client.batch_execute("LISTEN que_listener; SELECT v FROM t").is_ok() {}
                }
            })
        })
        .collect();
    until("all clients are in", || logins.load(Ordering::Relaxed) >= 4);
    for round in 0..3 {
        let so_far = logins.load(Ordering::Relaxed);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(live(&server), "kept", "round {round}");
        until("clients are back", || logins.load(Ordering::Relaxed) > so_far);
        store.undo(&context, &place).unwrap();
        assert_eq!(live(&server), "old", "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!((databases(&server), live(&server)), (vec!["zync".to_owned()], "old".to_owned()));
}

#[test]
fn a_prepared_transaction_is_named_and_nothing_is_changed() {
    let (server, set) = server();
    let mut options = Options { cut_over_wait: Duration::from_millis(300), ..Options::default() };
    options.client_folder = None;
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), options);
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    psql(&server, "zync", "BEGIN; INSERT INTO t VALUES ('pending'); PREPARE TRANSACTION 'stuck-one'");
    let before = databases(&server);
    let error = store.cut_over(&context, &place).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("stuck-one")), "{error:?}");
    assert_eq!(databases(&server), before);
    assert_eq!(live(&server), "old");
    prove(&store, &context, &place, &set.1);
    psql(&server, "zync", "ROLLBACK PREPARED 'stuck-one'");
    store.cut_over(&context, &place).unwrap();
    assert_eq!(live(&server), "kept");
}

#[test]
fn a_session_that_may_not_be_ended_is_named_and_nothing_is_changed() {
    let (server, set) = server();
    psql(&server, "postgres", "CREATE ROLE app LOGIN CREATEDB PASSWORD 'app'; ALTER DATABASE zync OWNER TO app");
    psql(&server, "zync", "ALTER TABLE t OWNER TO app; GRANT ALL ON SCHEMA public TO app");
    let url = server.url_as("app", "app", "zync");
    let options = Options { cut_over_wait: Duration::from_millis(300), ..Options::default() };
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&url).unwrap(), options);
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let mut superuser = postgres::Client::connect(&format!("{}?application_name=monitoring", server.url("zync")), postgres::NoTls).unwrap();
    assert!(store.look(&context).unwrap().restore_problems.iter().any(|problem| problem.text.contains("cannot be ended")));
    let error = store.cut_over(&context, &place).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("user postgres")), "{error:?}");
    superuser.batch_execute("SELECT 1").unwrap();
    assert_eq!(live(&server), "old");
    drop(superuser);
    store.cut_over(&context, &place).unwrap();
    assert_eq!(live(&server), "kept");
}

/// Runs a verb that dies at its n-th statement; whether it died.
fn dies_at(store: &mut PostgresStore, nth: usize, verb: impl FnOnce(&PostgresStore) -> plan::Result<()>) -> bool {
    let seen = AtomicUsize::new(0);
    store.hook = Arc::new(move |_| assert!(seen.fetch_add(1, Ordering::SeqCst) != nth, "killed here"));
    let died = catch_unwind(AssertUnwindSafe(|| verb(store).unwrap())).is_err();
    store.hook = Arc::new(|_| {});
    died
}

#[test]
fn a_crash_at_any_statement_is_resumed_or_undone() {
    let (server, set) = server();
    let mut store = store_at(&server.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let names = Databases::read(&place).unwrap();
    let mut points = 0;
    while dies_at(&mut store, points, |store| store.cut_over(&context, &place)) {
        // Resumed …
        store.cut_over(&context, &place).unwrap();
        assert_eq!((live(&server).as_str(), databases(&server)), ("kept", vec!["zync".into(), names.before.clone()]), "point {points}");
        // … undone, and undone from the same crash.
        store.undo(&context, &place).unwrap();
        assert_eq!(live(&server), "old");
        assert!(dies_at(&mut store, points, |store| store.cut_over(&context, &place)));
        store.undo(&context, &place).unwrap();
        assert_eq!((live(&server).as_str(), databases(&server)), ("old", vec!["zync".into(), names.stage.clone()]), "point {points}");
        prove(&store, &context, &place, &set.1);
        points += 1;
    }
    assert!(points >= 8, "{points} points");
    let mut back = 0;
    while dies_at(&mut store, back, |store| store.undo(&context, &place).map(drop)) {
        store.undo(&context, &place).unwrap();
        assert_eq!(live(&server), "old", "point {back}");
        store.cut_over(&context, &place).unwrap();
        assert!(dies_at(&mut store, back, |store| store.undo(&context, &place).map(drop)));
        store.cut_over(&context, &place).unwrap();
        assert_eq!(live(&server), "kept", "point {back}");
        back += 1;
    }
    assert!(back >= 9, "{back} points");
    assert_eq!(live(&server), "old");
}

#[test]
fn discard_never_drops_the_only_copy() {
    let (server, set) = server();
    let mut store = store_at(&server.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let names = Databases::read(&place).unwrap();
    psql(&server, "postgres", &format!("ALTER DATABASE zync RENAME TO {}", names.before));
    let error = store.discard(&context, &place, plan::ports::Discard::Previous).unwrap_err();
    assert_eq!(error.class(), plan::Class::NeedsPerson);
    store.undo(&context, &place).unwrap();
    assert_eq!(live(&server), "old");
    store.cut_over(&context, &place).unwrap();
    assert!(dies_at(&mut store, 0, |store| store.discard(&context, &place, plan::ports::Discard::Previous)));
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!((databases(&server), live(&server)), (vec!["zync".to_owned()], "kept".to_owned()));
    assert_eq!(store.undo(&context, &place).unwrap(), plan::ports::Undone::NothingThere);
    assert_eq!(store.kept_bytes(&context, &place).unwrap(), 0);
}

#[test]
fn a_half_staged_copy_is_staged_again_from_the_start() {
    let (server, set) = server();
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    let place = store.reserve(&context, &set.1, Road::SideCopy).unwrap();
    psql(&server, "postgres", &format!("CREATE DATABASE {}", Databases::read(&place).unwrap().stage));
    let again = staged(&store, &context, &set, Road::SideCopy);
    assert_eq!(place, again);
}
