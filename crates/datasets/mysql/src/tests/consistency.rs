//! A dump under load is one moment, and a dump that cannot be whole is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::ports::{Content, Context, DataSet};

use super::kit::{Held, KINDS, context, keep, root, run, server, store, store_with, user};
use crate::{MysqlStore, Options, row};

/// Money that is in accounts and in transfers between them: at every moment, an account's balance is 1000 and what its transfers say.
fn bank(server: &Mysql) {
    let mut conn = root(server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE accounts (id INT PRIMARY KEY, balance INT, filler VARCHAR(500))",
    );
    run(&mut conn, "CREATE TABLE transfers (id INT PRIMARY KEY AUTO_INCREMENT, source INT, target INT, amount INT)");
    let rows: Vec<String> = (0..400).map(|id| format!("({id}, 1000, REPEAT('x', 500))")).collect();
    run(&mut conn, &format!("INSERT INTO accounts VALUES {}", rows.join(",")));
}

fn transfer(conn: &mut Conn, step: u32) {
    let (source, target) = (step * 7 % 400, (step * 13 + 1) % 400);
    let sql = format!(
        "START TRANSACTION;;\nUPDATE accounts SET balance = balance - 1 WHERE id = {0};;\nUPDATE accounts SET balance = balance + 1 WHERE id = {1};;\n\
         INSERT INTO transfers (source, target, amount) VALUES ({0}, {1}, 1);;\nCOMMIT",
        source.min(target),
        source.max(target)
    );
    if source != target {
        run(conn, &sql);
    }
}

/// Writers that go on until the value is dropped.
struct Writers(Arc<AtomicBool>, Vec<thread::JoinHandle<()>>);

impl Writers {
    fn start(server: &Mysql) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for start in 0..2 {
            let (stop, mut conn) = (Arc::clone(&stop), root(server, Some("system")));
            threads.push(thread::spawn(move || {
                for step in start.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // Two writers may meet in a deadlock; the server then takes one back.
                    drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| transfer(&mut conn, step))));
                    drop(conn.query_drop("ROLLBACK"));
                }
            }));
        }
        Self(stop, threads)
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        self.1.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn numbers(held: &Held, table: &str) -> Vec<Vec<i64>> {
    let parts = held.rows().filter(|(path, _)| path.starts_with(format!("rows/{table}")));
    parts
        .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]).collect::<Vec<_>>())
        .map(|line| {
            row::cells(line).unwrap().into_iter().map(|cell| String::from_utf8(cell.unwrap()).unwrap().parse().unwrap_or(0)).collect()
        })
        .collect()
}

fn assert_one_moment(held: &Held) -> usize {
    let mut balances: Vec<i64> = vec![1000; 400];
    let transfers = numbers(held, "transfers");
    for transfer in &transfers {
        balances[usize::try_from(transfer[1]).unwrap()] -= transfer[3];
        balances[usize::try_from(transfer[2]).unwrap()] += transfer[3];
    }
    let found: Vec<i64> = numbers(held, "accounts").iter().map(|account| account[1]).collect();
    assert_eq!(found, balances);
    transfers.len()
}

#[test]
fn a_dump_under_load_is_one_moment() {
    for kind in KINDS {
        let server = server(kind, &[]);
        bank(&server);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE USER weak@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `system`.* TO weak@'%'",
        );
        run(
            &mut conn,
            "CREATE USER weaker@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `system`.* TO weaker@'%'",
        );
        let writers = Writers::start(&server);
        let mut seen = 0;
        for round in 0..4 {
            let best = if kind.is_mariadb() { "commits that waited for a moment" } else { "read locks on every table" };
            for (user, way) in [("root", best), ("weak", "read locks on every table"), ("weaker", "one connection")] {
                let options = Options { chunk_bytes: 20_000, lock_wait_seconds: 20, ..Options::default() };
                let store = if user == "root" {
                    store_with(&server, "system", options)
                } else {
                    super::kit::store_as(&server, user, "system", options)
                };
                let (held, kept) = keep(&store, &context("1"));
                assert_eq!(kept.evidence.facts["consistent-by"], way);
                let told = kept.evidence.warnings.iter().any(|text| text.contains("one connection only"));
                assert_eq!(told, user == "weaker", "{:?}", kept.evidence.warnings);
                let now = assert_one_moment(&held);
                assert!(now >= seen, "round {round}: time goes on");
                seen = now;
            }
        }
        drop(writers);
        assert!(seen > 0, "there was load");
    }
}

#[test]
fn the_position_in_the_binary_log_is_recorded() {
    let servers = [
        server(MysqlKind::Mysql, &["--log-bin=log", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--server-id=1"]),
        server(MysqlKind::Mariadb, &["--log-bin=log", "--server-id=1"]),
    ];
    for server in servers {
        bank(&server);
        let (_, kept) = keep(&store(&server, "system"), &context("1"));
        for fact in ["binlog-file", "binlog-offset", "gtid-executed"] {
            assert!(kept.evidence.facts.get(fact).is_some_and(|value| !value.is_empty()), "{fact}: {:?}", kept.evidence.facts);
        }
    }
}

/// Begins a dump of many parts and takes the first.
fn begun(store: &MysqlStore, context: &Context) -> Box<dyn plan::ports::Dump> {
    let mut dump = store.dump(context).unwrap();
    let first = dump.next_part().unwrap().unwrap();
    assert!(matches!(first.content, Content::Bytes(_)));
    dump
}

fn big(server: &Mysql) -> MysqlStore {
    let mut conn = root(server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE a (id INT PRIMARY KEY, b LONGTEXT);;\nCREATE TABLE z (id INT PRIMARY KEY)",
    );
    for id in 0..40 {
        run(&mut conn, &format!("INSERT INTO a VALUES ({id}, REPEAT('y', 2 << 20))"));
    }
    store_with(server, "system", Options { lock_wait_seconds: 2, ..Options::default() })
}

fn to_the_end(mut dump: Box<dyn plan::ports::Dump>) -> plan::Result<plan::ports::Verdict> {
    while dump.next_part()?.is_some() {}
    dump.finish()
}

#[test]
fn a_definition_cannot_change_during_a_dump() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let store = big(&server);
        let dump = begun(&store, &context("1"));
        let mut conn = root(&server, Some("system"));
        run(&mut conn, "SET SESSION lock_wait_timeout = 1");
        let (all, alter) = (
            ["DROP TABLE z", "TRUNCATE TABLE a", "RENAME TABLE z TO y"],
            ["ALTER TABLE z ADD COLUMN more INT", "CREATE TRIGGER t BEFORE INSERT ON z FOR EACH ROW SET @x = 1"],
        );
        let kept_out = if kind.is_mariadb() { alter.to_vec() } else { [&alter[..], &all[..]].concat() };
        for ddl in kept_out {
            assert!(conn.query_drop(ddl).is_err(), "{ddl} is kept out");
        }
        let verdict = to_the_end(dump).unwrap();
        assert_eq!(verdict.evidence.collections["a"].count, 40);
        run(&mut conn, "ALTER TABLE z ADD COLUMN more INT");
        if kind.is_mariadb() {
            // Its backup stage lets these hold their table while they wait: the dump gives way.
            let dump = begun(&store, &context("1"));
            run(&mut conn, "SET SESSION lock_wait_timeout = 10;;\nTRUNCATE TABLE z");
            assert!(to_the_end(dump).unwrap_err().chain().contains("gave way"));
        }
    }
}

#[test]
fn an_object_that_changed_during_a_dump_is_told() {
    let server = server(MysqlKind::Mariadb, &[]);
    let store = big(&server);
    // Where no statement but those on InnoDB tables would wait for it, the backup stage keeps procedures out too.
    run(&mut root(&server, None), "CREATE DATABASE other;;\nCREATE TABLE other.t (id INT PRIMARY KEY) ENGINE=MyISAM");
    let dump = begun(&store, &context("1"));
    run(&mut root(&server, Some("system")), "INSERT INTO other.t VALUES (1);;\nCREATE PROCEDURE p() SELECT 1");
    let verdict = to_the_end(dump).unwrap();
    assert!(verdict.evidence.warnings.iter().any(|text| text.contains("changed during the dump")));
}

#[test]
fn a_broken_connection_is_an_error_and_never_an_end() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let store = big(&server);
        let dump = begun(&store, &context("1"));
        let mut conn = root(&server, None);
        let ids: Vec<u64> = conn.query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'system'").unwrap();
        ids.iter().for_each(|id| drop(conn.query_drop(format!("KILL {id}"))));
        assert!(to_the_end(dump).is_err());
    }
}

#[test]
fn a_server_killed_in_a_dump_is_an_error() {
    for kind in KINDS {
        let mut server = server(kind, &[]);
        let store = big(&server);
        let dump = begun(&store, &context("1"));
        server.kill();
        assert!(to_the_end(dump).is_err());
    }
}

#[test]
fn a_dump_given_up_leaves_no_connection_and_no_lock() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let store = big(&server);
        let context = context("1");
        drop(begun(&store, &context));
        let mut conn = user(&server, "root", server.password(), Some("system"));
        run(&mut conn, "SET SESSION lock_wait_timeout = 5;;\nALTER TABLE a ADD COLUMN c INT");
        // Raised while it runs, the flag ends a dump too.
        let mut dump = begun(&store, &context);
        context.stop.raise();
        let mut end = Ok(());
        while end.is_ok() {
            end = dump.next_part().map(drop);
        }
        assert_eq!(end.unwrap_err().class(), plan::Class::Interrupted);
    }
}

/// Locks that cannot be had are given back, one connection reads everything, and who was in the way is named.
#[test]
fn a_long_statement_is_no_reason_to_wait() {
    for kind in KINDS {
        let server = server(kind, &[]);
        bank(&server);
        let mut slow = root(&server, Some("system"));
        let id = slow.connection_id();
        let statement = thread::spawn(move || drop(slow.query_drop("UPDATE accounts SET balance = balance + SLEEP(30) LIMIT 1")));
        let mut conn = root(&server, None);
        super::kit::until("the statement runs", || {
            let sql = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE ID = {id} AND INFO LIKE '%SLEEP%'");
            conn.query_first::<u64, _>(sql).unwrap().is_some()
        });
        let (_, kept) = keep(&store(&server, "system"), &context("1"));
        assert_eq!(kept.evidence.collections["accounts"].count, 400);
        let named = kept.evidence.warnings.iter().any(|text| text.contains(&format!("connection {id} ")));
        assert_eq!(named, kept.evidence.facts["consistent-by"] == "one connection", "{:?}", kept.evidence);
        run(&mut conn, &format!("KILL {id}"));
        statement.join().unwrap();
    }
}
