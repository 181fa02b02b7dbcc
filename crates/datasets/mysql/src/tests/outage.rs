//! The application waits for no backup: the slowest of its statements, timed from outside, while migrations, long statements and open transactions meet a dump.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::Class;
use plan::ports::{DataSet, Dump};

use super::kit::{SERVERS, context, root, run, server, store, store_as, until};
use crate::{MysqlStore, Options};

/// More than this above what the same statements need without a backup is an outage.
const MORE: Duration = Duration::from_secs(1);

fn fill(server: &Mysql) {
    let mut conn = root(server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE a (id INT PRIMARY KEY, b LONGTEXT);;\nCREATE TABLE z (id INT PRIMARY KEY AUTO_INCREMENT, n INT)",
    );
    run(&mut conn, "INSERT INTO z (n) VALUES (0), (0), (0)");
    for id in 0..24 {
        run(&mut conn, &format!("INSERT INTO a VALUES ({id}, REPEAT('y', 2 << 20))"));
    }
    let readers = "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE";
    run(&mut conn, &format!("CREATE USER weak@'%' IDENTIFIED BY 'pw';;\nGRANT {readers}, LOCK TABLES ON `system`.* TO weak@'%'"));
}

/// The application: reads and one-row writes on every table, without a pause; the slowest of them is what it tells.
struct Application(Arc<AtomicBool>, Vec<JoinHandle<Duration>>);

impl Application {
    fn start(server: &Mysql) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let statements = [
            "SELECT COUNT(*) FROM z",
            "UPDATE z SET n = n + 1 WHERE id = 2",
            "UPDATE a SET b = CONCAT(b, 'x') WHERE id = 3",
            "SELECT LENGTH(b) FROM a WHERE id = 5",
            "INSERT INTO z (n) VALUES (1)",
        ];
        let threads = statements.map(|statement| {
            let (stop, mut conn) = (Arc::clone(&stop), root(server, Some("system")));
            thread::spawn(move || {
                let mut slowest = Duration::ZERO;
                while !stop.load(Ordering::SeqCst) {
                    let begin = Instant::now();
                    conn.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
                    slowest = slowest.max(begin.elapsed());
                    thread::sleep(Duration::from_millis(5));
                }
                slowest
            })
        });
        Self(stop, threads.into())
    }

    fn slowest(mut self) -> Duration {
        self.0.store(true, Ordering::SeqCst);
        self.1.drain(..).map(|thread| thread.join().unwrap()).max().unwrap()
    }
}

fn begun(store: &MysqlStore) -> Box<dyn Dump> {
    let mut dump = store.dump(&context("1")).unwrap();
    dump.next_part().unwrap().unwrap();
    dump
}

fn to_the_end(mut dump: Box<dyn Dump>) -> plan::Result<()> {
    while dump.next_part()?.is_some() {}
    dump.finish().map(drop)
}

/// How slow the application is when nobody takes a backup, on this machine, now.
fn alone(server: &Mysql) -> Duration {
    let application = Application::start(server);
    thread::sleep(Duration::from_secs(1));
    application.slowest()
}

fn statement(server: &Mysql, sql: &'static str) -> (u32, JoinHandle<Result<(), mysql::Error>>) {
    let mut conn = root(server, Some("system"));
    let id = conn.connection_id();
    let thread = thread::spawn(move || sql.split(";;").try_for_each(|one| conn.query_drop(one)));
    (id, thread)
}

fn until_it_runs(server: &Mysql, id: u32, word: &str) {
    let mut conn = root(server, None);
    until("the statement runs", || {
        let sql = format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO LIKE '%{word}%'");
        conn.query_first::<u8, _>(sql).unwrap().is_some()
    });
}

#[test]
fn a_migration_that_meets_a_dump_stops_nobody() {
    for kind in SERVERS {
        let server = server(kind, &[]);
        fill(&server);
        let without = alone(&server);
        // With the privileges of root the migration waits for the end of the dump, and nobody for the migration.
        let dump = begun(&store(&server, "system"));
        let application = Application::start(&server);
        let (id, migration) = statement(&server, "ALTER TABLE z ADD COLUMN more INT");
        until_it_runs(&server, id, "ALTER");
        thread::sleep(Duration::from_secs(2));
        let slowest = application.slowest();
        assert!(slowest < without + MORE, "{kind:?}: {slowest:?} instead of {without:?}");
        to_the_end(dump).unwrap();
        migration.join().unwrap().unwrap();
        // Without them the dump gives way at once.
        let weak = store_as(&server, "weak", "system", Options { lock_wait_seconds: 2, ..Options::default() });
        let dump = begun(&weak);
        let application = Application::start(&server);
        let (_, migration) = statement(&server, "ALTER TABLE z ADD COLUMN second INT");
        migration.join().unwrap().unwrap();
        let slowest = application.slowest();
        assert!(slowest < without + MORE, "{kind:?}, weak: {slowest:?} instead of {without:?}");
        let error = to_the_end(dump).unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(error.chain().contains("gave way"), "{error:?}");
    }
}

#[test]
fn long_statements_and_open_transactions_make_nobody_wait_for_a_dump() {
    for kind in SERVERS {
        let server = server(kind, &[]);
        fill(&server);
        let without = alone(&server);
        let (slow, select) = statement(&server, "SELECT SLEEP(20) FROM z LIMIT 1");
        let (idle, transaction) = statement(&server, "START TRANSACTION;;UPDATE z SET n = n + 1 WHERE id = 1;;DO SLEEP(20)");
        until_it_runs(&server, slow, "SLEEP");
        until_it_runs(&server, idle, "DO SLEEP");
        for weak in [false, true] {
            let store = if weak {
                store_as(&server, "weak", "system", Options { lock_wait_seconds: 2, ..Options::default() })
            } else {
                store(&server, "system")
            };
            let application = Application::start(&server);
            let dump = to_the_end(store.dump(&context("1")).unwrap());
            let slowest = application.slowest();
            assert!(slowest < without + MORE, "{kind:?}, weak {weak}: {slowest:?} instead of {without:?}");
            dump.unwrap();
        }
        let mut conn = root(&server, None);
        [slow, idle].iter().for_each(|id| drop(conn.query_drop(format!("KILL {id}"))));
        drop((select.join(), transaction.join()));
    }
}

#[test]
fn a_lock_of_tables_by_somebody_else_ends_a_dump_and_stops_nobody() {
    let server = server(MysqlKind::Mysql, &[]);
    fill(&server);
    let dump = begun(&store(&server, "system"));
    let begin = Instant::now();
    let (_, locker) = statement(&server, "LOCK TABLES z WRITE;;UNLOCK TABLES");
    locker.join().unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(to_the_end(dump).unwrap_err().chain().contains("gave way"));
}
