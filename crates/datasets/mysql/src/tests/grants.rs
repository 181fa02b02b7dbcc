//! Privileges on single routines, and histograms: both go with what a restore drops or leaves behind, and come back by it and by its undo.

use std::sync::Arc;

use lab::MysqlKind;
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::ports::{Context, DataSet, Discard, Road, Severity};

use super::kit::{Heard, SERVERS, context, keep, root, run, server, stage, store, store_as};
use crate::Options;

const OBJECTS: &str = "
CREATE DATABASE `system`;;
USE `system`;;
CREATE TABLE t (id INT PRIMARY KEY, n INT, w VARCHAR(20));;
INSERT INTO t VALUES (1, 1, 'é'), (2, 2, 'b''x'), (3, 2, 'back\\\\slash'), (4, 9, NULL);;
CREATE PROCEDURE `p ``q`() SELECT 1;;
CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1;;
CREATE PROCEDURE alone() SELECT 2
";

const ACCOUNTS: &str = "
CREATE USER 'o''ne'@'%';;
CREATE USER two@'10.0.0.%';;
CREATE ROLE crew;;
GRANT EXECUTE ON PROCEDURE `system`.`p ``q` TO 'o''ne'@'%' WITH GRANT OPTION;;
GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `system`.f TO two@'10.0.0.%';;
GRANT EXECUTE ON FUNCTION `system`.f TO crew
";

fn heard() -> (Arc<Heard>, Context) {
    let heard = Arc::new(Heard::default());
    (heard.clone(), Context { watch: heard, ..context("1") })
}

/// What the server says that the accounts may.
fn grants(conn: &mut Conn) -> Vec<String> {
    let accounts = ["'o''ne'@'%'", "two@'10.0.0.%'", "crew"];
    let shown = accounts.iter().flat_map(|account| conn.query::<String, _>(format!("SHOW GRANTS FOR {account}")).unwrap_or_default());
    shown.filter(|line| line.contains("FUNCTION") || line.contains("PROCEDURE")).collect()
}

#[test]
fn privileges_on_routines_come_back_by_a_restore_and_by_its_undo() {
    std::thread::scope(|scope| {
        for kind in SERVERS {
            scope.spawn(move || privileges_come_back(kind));
        }
    });
}

fn privileges_come_back(kind: MysqlKind) {
    let server = server(kind, &["--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, OBJECTS);
    run(&mut conn, ACCOUNTS);
    let of_the_set = grants(&mut conn);
    assert_eq!(of_the_set.len(), 3, "{of_the_set:?}");
    let (heard, context) = heard();
    let store = store(&server, "system");
    let (held, kept) = keep(&store, &context);
    assert!(kept.problems.is_empty(), "{:?}", kept.problems);
    run(
        &mut conn,
        "REVOKE ALL PRIVILEGES ON FUNCTION `system`.f FROM crew;;\nGRANT EXECUTE ON PROCEDURE `system`.alone TO crew;;\nDROP PROCEDURE `system`.`p ``q`",
    );
    let live = grants(&mut conn);
    for road in [Road::SideCopy, Road::InPlace] {
        let place = stage(&store, &context, &held, &kept, road);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(grants(&mut conn), of_the_set, "{kind:?}, {road:?}: restored");
        store.undo(&context, &place).unwrap();
        assert_eq!(grants(&mut conn), live, "{kind:?}, {road:?}: undone");
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
    assert_eq!(*heard.0.lock().unwrap(), Vec::<String>::new());
    // An account that is not there is not made, and stops nothing.
    run(&mut conn, "DROP USER two@'10.0.0.%'");
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    let there: Option<String> = conn.query_first("SELECT user FROM mysql.user WHERE user = 'two'").unwrap();
    assert_eq!((there, grants(&mut conn).len()), (None, 2));
    let told = heard.0.lock().unwrap().join("; ");
    assert!(told.contains("runs: GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `system`.`f` TO 'two'@'10.0.0.%'"), "{told}");
}

#[test]
fn a_user_who_may_not_give_them_tells_the_statements() {
    for kind in [MysqlKind::Mysql, MysqlKind::Mariadb] {
        let server = server(kind, &["--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(&mut conn, OBJECTS);
        run(&mut conn, ACCOUNTS);
        run(
            &mut conn,
            "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON `system\\_\\_%`.* TO app@'%'",
        );
        if kind == MysqlKind::Mysql {
            run(&mut conn, "GRANT SYSTEM_USER, SHOW_ROUTINE ON *.* TO app@'%'");
        } else {
            run(&mut conn, "GRANT SELECT ON mysql.proc TO app@'%'");
        }
        let (heard, context) = heard();
        let app = store_as(&server, "app", "system", Options::default());
        // A backup by this user does not know them, and says so with what would let it.
        let (_, kept) = keep(&app, &context);
        let note = kept.problems.iter().find(|problem| problem.text.contains("single routines")).unwrap();
        assert_eq!(note.severity, Severity::Note);
        run(&mut conn, note.way_out.as_ref().unwrap());
        let (held, kept) = keep(&app, &context);
        // The same as the plan says.
        assert!(kept.problems.iter().all(|problem| problem.text.contains("are not given again")), "{:?}", kept.problems);
        let told = app.fits(&context, &kept, Road::SideCopy).unwrap();
        assert!(told.iter().any(|problem| problem.text.contains("single routines") && problem.severity == Severity::Degrades), "{told:?}");
        let place = stage(&app, &context, &held, &kept, Road::SideCopy);
        app.cut_over(&context, &place).unwrap();
        let told = heard.0.lock().unwrap().join("; ");
        assert!(told.contains("runs: GRANT EXECUTE ON PROCEDURE `system`.`p ``q` TO 'o''ne'@'%' WITH GRANT OPTION"), "{told}");
    }
}

#[test]
fn histograms_of_mysql_come_back_as_they_were() {
    let server = server(MysqlKind::Mysql, &["--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, OBJECTS);
    run(
        &mut conn,
        "ANALYZE TABLE `system`.t UPDATE HISTOGRAM ON n WITH 2 BUCKETS;;\nANALYZE TABLE `system`.t UPDATE HISTOGRAM ON w WITH 9 BUCKETS AUTO UPDATE",
    );
    // All but when they were made.
    let histograms = |conn: &mut Conn| -> Vec<(String, String)> {
        conn.query(
            "SELECT COLUMN_NAME, CAST(JSON_REMOVE(HISTOGRAM, '$.\"last-updated\"') AS CHAR) FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = 'system' ORDER BY 1",
        )
        .unwrap()
    };
    let before = histograms(&mut conn);
    assert_eq!(before.len(), 2);
    let (store, context) = (store(&server, "system"), context("1"));
    let (held, kept) = keep(&store, &context);
    run(&mut conn, "ANALYZE TABLE `system`.t DROP HISTOGRAM ON n");
    let live = histograms(&mut conn);
    for road in [Road::SideCopy, Road::InPlace] {
        let place = stage(&store, &context, &held, &kept, road);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(histograms(&mut conn), before, "{road:?}: restored");
        store.undo(&context, &place).unwrap();
        assert_eq!(histograms(&mut conn), live, "{road:?}: undone");
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
}
