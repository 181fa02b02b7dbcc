//! What is not where one expects it: a database that was dropped, foreign keys of other schemas, foreign keys to tables that are not there.

use lab::{Mysql, MysqlKind};
use mysql::Row;
use mysql::prelude::Queryable;
use plan::Class;
use plan::ports::{DataSet, Discard, Road, Severity, Undone};

use super::crash::hook_that_dies;
use super::kit::{KINDS, all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_as, try_keep};
use crate::{Address, MysqlStore, Options};

const SET: &str = "
CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;
USE `system`;;
CREATE TABLE accounts (id INT PRIMARY KEY, n INT);;
INSERT INTO accounts VALUES (1, 1), (2, 2);;
CREATE VIEW v AS SELECT n FROM accounts;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = 5
";

#[test]
fn a_database_that_was_dropped_comes_back_by_a_restore_alone() {
    for kind in KINDS {
        for road in [Road::SideCopy, Road::InPlace] {
            let server = server(kind, &[]);
            let mut conn = root(&server, None);
            run(&mut conn, SET);
            let set = all_of(&server, "system");
            let (store, context) = (store(&server, "system"), context("1"));
            let (held, kept) = keep(&store, &context);
            conn.query_drop("DROP DATABASE `system`").unwrap();
            let findings = store.look(&context).unwrap();
            let told = |problems: &[plan::ports::Problem]| {
                problems.iter().find(|problem| problem.text.contains("there is no database \"system\"")).unwrap().severity
            };
            assert_eq!((told(&findings.backup_problems), told(&findings.restore_problems)), (Severity::Blocks, Severity::Degrades));
            let error = store.dump(&context).map(drop).unwrap_err();
            assert!(error.class() == Class::Refused && error.chain().contains("there is no database \"system\""), "{error:?}");
            assert!(store.fits(&context, &kept, road).unwrap().iter().all(|problem| problem.severity != Severity::Blocks));
            for _ in 0..2 {
                let place = stage(&store, &context, &held, &kept, road);
                store.cut_over(&context, &place).unwrap();
                assert_same(&set, &all_of(&server, "system"), "it is there again");
                assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
                assert!(all_of(&server, "system").is_empty(), "there is none again");
                store.discard(&context, &place, Discard::Staged).unwrap();
                assert!(side_schemas(&server).is_empty());
            }
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            store.discard(&context, &place, Discard::Previous).unwrap();
            assert_same(&set, &all_of(&server, "system"), "settled");
        }
    }
}

#[test]
fn a_user_of_one_schema_restores_it_when_it_was_dropped() {
    for kind in KINDS {
        let server = server(kind, &["--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(&mut conn, SET);
        run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%'");
        let context = context("1");
        let (held, kept) = keep(&store(&server, "system"), &context);
        let rows = |conn: &mut mysql::Conn| conn.query::<(u32, u32), _>("SELECT * FROM `system`.accounts ORDER BY id").unwrap();
        let before = rows(&mut conn);
        conn.query_drop("DROP DATABASE `system`").unwrap();
        let store = store_as(&server, "app", "system", Options::default());
        assert_eq!(store.look(&context).unwrap().road, Road::InPlace);
        let place = stage(&store, &context, &held, &kept, Road::InPlace);
        assert_eq!(rows(&mut conn), before);
        // Undone, there is none again; what somebody put into it stays.
        for somebody in [false, true] {
            let there = |conn: &mut mysql::Conn| {
                conn.query_first::<u8, _>("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'system'").unwrap()
            };
            store.undo(&context, &place).unwrap();
            if somebody {
                conn.query_drop("CREATE TABLE `system`.own (id INT)").unwrap();
            }
            store.discard(&context, &place, Discard::Staged).unwrap();
            assert_eq!(there(&mut conn).is_some(), somebody, "{kind:?}");
            if somebody {
                conn.query_drop("DROP DATABASE `system`").unwrap();
            }
            assert_eq!(place, stage(&store, &context, &held, &kept, Road::InPlace));
        }
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(rows(&mut conn), before);
    }
}

#[test]
fn a_database_that_was_absent_is_absent_again_wherever_a_load_in_place_died() {
    for kind in KINDS {
        let server = server(kind, &["--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(&mut conn, SET);
        run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%'");
        let (context, (held, kept)) = (context("1"), keep(&store(&server, "system"), &context("1")));
        conn.query_drop("DROP DATABASE `system`").unwrap();
        for user in ["root", "app"] {
            let password = if user == "root" { server.password() } else { "pw" };
            let of = |options: Options| {
                let address = format!("mysql2://{user}:{password}@127.0.0.1:{}/system", server.port());
                MysqlStore::new(plan::ids::DataSetName::SystemDatabase, Address::parse(&address).unwrap(), options)
            };
            let whole = of(Options::default());
            let limits: &[usize] = if user == "app" { &[0, 1, 5, 9, 10, 11, 14, 18, 24, 40, 1000] } else { &[0, 3, 9, 14, 20, 1000] };
            for &limit in limits {
                let place = whole.reserve(&context, &kept, Road::InPlace).unwrap();
                let dying = of(Options { hook: Some(hook_that_dies(limit)), ..Options::default() });
                let outcome = dying.stage(&context, &place, held.clone(), &kept);
                whole.undo(&context, &place).unwrap();
                whole.discard(&context, &place, Discard::Staged).unwrap();
                let left: Option<String> =
                    conn.query_first("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'system%'").unwrap();
                // Between the database and the record in it, nothing says whose it is.
                let is_unsaid = user == "app" && (1..=9).contains(&limit);
                assert!(left.is_none() || is_unsaid, "{kind:?} {user} {limit}: {left:?}");
                conn.query_drop("DROP DATABASE IF EXISTS `system`").unwrap();
                if outcome.is_ok() {
                    break;
                }
            }
        }
    }
}

/// With keys to a table that is not there, and from another schema.
fn pointing(kind: MysqlKind) -> Mysql {
    let server = server(kind, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, SET);
    run(
        &mut conn,
        "SET foreign_key_checks = 0;;\nCREATE TABLE child (id INT PRIMARY KEY, g INT, CONSTRAINT to_nothing FOREIGN KEY (g) REFERENCES gone (id) ON DELETE CASCADE)",
    );
    run(
        &mut conn,
        "CREATE DATABASE reports;;\nCREATE TABLE reports.lines (id INT PRIMARY KEY, account INT, CONSTRAINT of_account FOREIGN KEY (account) REFERENCES `system`.accounts (id) ON UPDATE CASCADE ON DELETE SET NULL);;\nINSERT INTO reports.lines VALUES (1, 1)",
    );
    server
}

fn shown(server: &Mysql, table: &str) -> String {
    let row: Row = root(server, None).query_first(format!("SHOW CREATE TABLE {table}")).unwrap().unwrap();
    row.get::<String, _>(1).unwrap()
}

#[test]
fn foreign_keys_from_elsewhere_and_to_nowhere_point_where_they_did() {
    for kind in KINDS {
        for road in [Road::SideCopy, Road::InPlace] {
            let server = pointing(kind);
            let (set, lines) = (all_of(&server, "system"), shown(&server, "reports.lines"));
            let (store, context) = (store(&server, "system"), context("1"));
            let (held, kept) = keep(&store, &context);
            // The set has no such table, and what is live now has.
            run(&mut root(&server, Some("system")), "CREATE TABLE gone (id INT PRIMARY KEY);;\nINSERT INTO accounts VALUES (3, 3)");
            let old = all_of(&server, "system");
            let told = store.fits(&context, &kept, road).unwrap();
            assert!(
                told.iter()
                    .any(|problem| problem.severity == Severity::Note && problem.text.contains("\"of_account\" of `reports`.`lines`")),
                "{told:?}"
            );
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            assert_same(&set, &all_of(&server, "system"), "restored");
            assert_eq!(shown(&server, "reports.lines"), lines, "restored");
            store.undo(&context, &place).unwrap();
            assert_same(&old, &all_of(&server, "system"), "undone");
            assert_eq!(shown(&server, "reports.lines"), lines, "undone");
            store.discard(&context, &place, Discard::Staged).unwrap();
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            store.discard(&context, &place, Discard::Previous).unwrap();
            // It holds still.
            let mut conn = root(&server, None);
            conn.query_drop("INSERT INTO reports.lines VALUES (2, 2)").unwrap();
            assert!(conn.query_drop("INSERT INTO reports.lines VALUES (3, 99)").is_err());
        }
    }
}

#[test]
fn foreign_keys_that_may_not_be_made_again_stop_the_cut_over_before_anything_is_touched() {
    for kind in KINDS {
        let server = pointing(kind);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON `system\\_\\_%`.* TO app@'%';;\nGRANT SELECT ON reports.* TO app@'%'",
        );
        let context = context("1");
        let (held, kept) = keep(&store(&server, "system"), &context);
        let store = store_as(&server, "app", "system", Options { lock_wait_seconds: 2, ..Options::default() });
        let told = store.fits(&context, &kept, Road::SideCopy).unwrap();
        let blocks = told.iter().find(|problem| problem.severity == Severity::Blocks && problem.text.contains("of_account")).unwrap();
        assert_eq!(blocks.way_out.as_deref(), Some("GRANT ALTER, REFERENCES ON `reports`.* TO 'app'@'%'"));
        let old = all_of(&server, "system");
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        let error = store.cut_over(&context, &place).unwrap_err();
        assert!(error.class() == Class::Refused && error.chain().contains("of_account"), "{error:?}");
        assert_same(&old, &all_of(&server, "system"), "nothing was touched");
        drop(try_keep(&super::kit::store(&server, "system"), &context).unwrap());
        // Of a schema that this user may not see at all, InnoDB tells.
        run(&mut conn, "REVOKE SELECT ON reports.* FROM app@'%';;\nGRANT PROCESS ON *.* TO app@'%'");
        let told = store.fits(&context, &kept, Road::SideCopy).unwrap();
        let blocks = told.iter().find(|problem| problem.severity == Severity::Blocks && problem.text.contains("`reports`")).unwrap();
        assert_eq!(blocks.way_out.as_deref(), Some("GRANT SELECT, ALTER, REFERENCES ON `reports`.* TO 'app'@'%'"));
        assert_eq!(store.cut_over(&context, &place).unwrap_err().class(), Class::Refused);
    }
}
