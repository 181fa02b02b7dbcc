//! The application waits for no staging, cut-over or undo, and none of its statements is ended for their sake, whatever stands in their way: how long it waits for a lock
//! is what the server says, not a clock of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::Class;
use plan::ports::{DataSet, Road};

use super::kit::{KINDS, context, keep, root, run, server, stage, store, store_with, until, user};
use crate::{MysqlStore, Options};

/// Who waits for a lock of a table as long as this waits for us: a try of ours is given up within a second, what is in our way stays for a minute.
const TOO_LONG_SECONDS: u64 = 6;

/// What stands in the way of a swap and does not end by itself, and the word by which it is seen to run.
const IN_THE_WAY: [(&str, &str); 2] =
    [("SLEEP", "SELECT SLEEP(60) FROM z LIMIT 1"), ("DO SLEEP", "START TRANSACTION;;UPDATE z SET n = n + 1 WHERE id = 1;;DO SLEEP(60)")];

const SCHEMA: &str = "
CREATE DATABASE `system`;;
USE `system`;;
CREATE TABLE a (id INT PRIMARY KEY, b LONGTEXT);;
CREATE TABLE z (id INT PRIMARY KEY AUTO_INCREMENT, n INT);;
INSERT INTO a VALUES (3, 'x'), (5, REPEAT('y', 1000000));;
INSERT INTO z (n) VALUES (0), (0), (0);;
CREATE TRIGGER t BEFORE INSERT ON z FOR EACH ROW SET NEW.n = 7;;
CREATE VIEW v AS SELECT n FROM z;;
CREATE USER app@'%' IDENTIFIED BY 'pw';;
GRANT ALL ON `system`.* TO app@'%'
";

/// The application: reads and one-row writes on every table, one after the other; and somebody who looks how long it waits.
struct Application {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    observer: JoinHandle<u64>,
}

impl Application {
    fn start(server: &Mysql) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let statements = [
            "SELECT COUNT(*) FROM z",
            "UPDATE z SET n = n + 1 WHERE id = 2",
            "UPDATE a SET b = 'z' WHERE id = 3",
            "SELECT LENGTH(b) FROM a WHERE id = 5",
        ];
        let clients = statements.map(|statement| {
            let (stop, mut conn) = (Arc::clone(&stop), user(server, "app", "pw", Some("system")));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    conn.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
                    thread::sleep(Duration::from_millis(5));
                }
            })
        });
        let (over, mut conn) = (Arc::clone(&stop), root(server, None));
        let observer = thread::spawn(move || {
            let waiting =
                "SELECT COALESCE(MAX(TIME), 0) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND STATE LIKE 'Waiting for %lock'";
            let mut longest = 0;
            while !over.load(Ordering::SeqCst) {
                longest = longest.max(conn.query_first::<u64, _>(waiting).unwrap().unwrap_or(0));
                thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Self { stop, clients: clients.into(), observer }
    }

    /// The longest that it was seen to wait, in seconds.
    fn longest_wait(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.observer.join().unwrap()
    }
}

/// Somebody else's statements, and the number of his connection.
fn somebody(server: &Mysql, sql: &'static str) -> (u32, JoinHandle<Result<(), mysql::Error>>) {
    let mut conn = root(server, Some("system"));
    let id = conn.connection_id();
    (id, thread::spawn(move || sql.split(";;").try_for_each(|one| conn.query_drop(one))))
}

fn until_it_runs(server: &Mysql, id: u32, word: &str) {
    let mut conn = root(server, None);
    let sql = format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO LIKE '%{word}%'");
    until("the statement runs", || conn.query_first::<u8, _>(&sql).unwrap().is_some());
}

#[test]
fn a_restore_and_its_undo_make_nobody_wait() {
    thread::scope(|scope| KINDS.map(|kind| scope.spawn(move || forth_and_back(kind))).map(|life| life.join().unwrap()));
}

fn forth_and_back(kind: MysqlKind) {
    let server = server(kind, &["--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, SCHEMA);
    // It ends statements of others that open a table with a trigger, now and then: where the defaults are so already it is not sent.
    let hook = |sql: &str| {
        assert!(!sql.starts_with("ALTER DATABASE"), "{sql}");
        Ok(())
    };
    let patient = store_with(&server, "system", Options { lock_wait_seconds: 120, hook: Some(Arc::new(hook)), ..Options::default() });
    let (hasty, context) = (store(&server, "system"), context("1"));
    let (held, kept) = keep(&patient, &context);
    let application = Application::start(&server);
    let place = stage(&patient, &context, &held, &kept, Road::SideCopy);
    for (word, sql) in IN_THE_WAY {
        for is_cut_over in [true, false] {
            let verb = |store: &MysqlStore| {
                if is_cut_over { store.cut_over(&context, &place) } else { store.undo(&context, &place).map(drop) }
            };
            let what = format!("{kind:?}, cut over {is_cut_over}, {word}");
            let (id, other) = somebody(&server, sql);
            until_it_runs(&server, id, word);
            let error = verb(&hasty).unwrap_err();
            assert_eq!(error.class(), Class::Transient, "{what}: {error:?}");
            assert!(error.hints().iter().any(|hint| hint == "Everything is as it was."), "{what}: {error:?}");
            conn.query_drop(format!("KILL {id}")).unwrap();
            drop(other.join());
            verb(&patient).unwrap();
            let triggers: Vec<String> =
                conn.query("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'system'").unwrap();
            assert_eq!(triggers, ["t"], "{what}");
        }
    }
    // Who ends in time is waited for, and a migration meanwhile is not hindered.
    let (id, other) = somebody(&server, "SELECT SLEEP(12) FROM z LIMIT 1");
    until_it_runs(&server, id, "SLEEP");
    patient.cut_over(&context, &place).unwrap();
    other.join().unwrap().unwrap();
    let (_, migration) = somebody(&server, "ALTER TABLE z ADD COLUMN later INT");
    patient.undo(&context, &place).unwrap();
    migration.join().unwrap().unwrap();
    let longest = application.longest_wait();
    assert!(longest < TOO_LONG_SECONDS, "{kind:?}: the application waited for {longest} s");
}
