//! A verb leaves connections to the application, however many workers are wanted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use mysql::{Conn, OptsBuilder};
use plan::ports::{Context, DataSet, Discard, Road};

use super::kit::{KINDS, context, keep, root, run, server, stage, store_as, store_with};
use crate::Options;
use crate::session::Hook;

#[test]
fn many_workers_leave_connections_to_the_application() {
    for kind in KINDS {
        let server = server(kind, &["--max-connections=24", "--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE USER shop@'%' IDENTIFIED BY 'pw'");
        run(
            &mut conn,
            "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON `system\\_\\_%`.* TO app@'%'",
        );
        run(&mut conn, "GRANT PROCESS, RELOAD ON *.* TO app@'%'");
        for number in 0..30 {
            run(
                &mut conn,
                &format!("CREATE TABLE t{number} (id INT PRIMARY KEY, v INT);;\nINSERT INTO t{number} VALUES (1, {number}), (2, 7)"),
            );
        }
        let store = store_as(&server, "app", "system", Options { lock_wait_seconds: 2, chunk_bytes: 1, ..Options::default() });
        let context = Context { workers: 60, ..context("1") };
        let life = || {
            let (held, kept) = keep(&store, &context);
            let place = stage(&store, &context, &held, &kept, Road::SideCopy);
            store.discard(&context, &place, Discard::Staged).unwrap();
            kept.evidence.facts["connections"].parse::<usize>().unwrap()
        };
        // It connects anew for each page that it shows.
        let over = Arc::new(AtomicBool::new(false));
        let (ended, port) = (Arc::clone(&over), server.port());
        let shop = thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let options = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(port).prefer_socket(false);
                Conn::new(options.user(Some("shop")).pass(Some("pw"))).unwrap();
            }
        });
        let connections = life();
        assert!((2..12).contains(&connections), "{kind:?}: {connections}");
        over.store(true, Ordering::SeqCst);
        shop.join().unwrap();
        run(&mut conn, "ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 9");
        assert!(life() < 4, "{kind:?}");
    }
}

/// Somebody holds the first rows' place for longer than a lock is waited for: once, and then no more.
#[test]
fn a_part_that_lost_to_another_session_is_loaded_again() {
    for (kind, insert_only) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE t (id INT PRIMARY KEY, v INT);;\nINSERT INTO t VALUES (1, 5), (2, 7)",
        );
        let (held, kept) = keep(&store_with(&server, "system", Options::default()), &context("1"));
        let blocker = Mutex::new((root(&server, None), 0));
        let hook: Hook = Arc::new(move |sql: &str| {
            let Some(rest) = sql.split_once("INTO TABLE ").or_else(|| sql.split_once("INSERT INTO ")) else { return Ok(()) };
            let (table, _) = rest.1.split_once([' ', '\n']).unwrap();
            if !table.ends_with("`t`") {
                return Ok(());
            }
            let (conn, tries) = &mut *blocker.lock().unwrap();
            *tries += 1;
            match tries {
                1 => run(conn, &format!("START TRANSACTION;;\nSELECT * FROM {table} FOR UPDATE")),
                _ => run(conn, "ROLLBACK"),
            }
            Ok(())
        });
        let options = Options { lock_wait_seconds: 1, insert_only, hook: Some(hook), ..Options::default() };
        let store = store_with(&server, "system", options);
        stage(&store, &context("2"), &held, &kept, Road::SideCopy);
    }
}
