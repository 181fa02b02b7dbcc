//! Sequences of MariaDB, and tables that keep their history: both go back with where they go on, and with every row that ever was and its times.

use std::collections::BTreeMap;
use std::process::Stdio;

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use mysql::{Conn, Row, Value};
use plan::Class;
use plan::ports::{DataSet, Discard, Road, Severity};

use super::kit::{all_of, assert_same, context, keep, root, run, server, stage, store, store_as, store_with};
use crate::Options;

const MARIADBS: [MysqlKind; 2] = [MysqlKind::Mariadb, MysqlKind::NewerMariadb];

const SEQUENCES: &str = "
CREATE SEQUENCE s START WITH 5 INCREMENT BY 3 CACHE 7 COMMENT 'it''s nextval(`system`.`s`)';;
CREATE SEQUENCE used_up START WITH 1 MAXVALUE 3 NOCACHE NOCYCLE;;
CREATE SEQUENCE `a``round` START WITH 1 MAXVALUE 3 CACHE 2 CYCLE;;
CREATE SEQUENCE down START WITH -1 INCREMENT BY -1 ENGINE = MyISAM;;
CREATE TABLE numbered (id INT PRIMARY KEY DEFAULT NEXTVAL(s) COMMENT 'nextval(`system`.`s`)', v INT DEFAULT (NEXT VALUE FOR s + 1), w VARCHAR(90) DEFAULT 'nextval(`system`.`s`)');;
INSERT INTO numbered () VALUES (), (), ();;
SELECT NEXTVAL(used_up), NEXTVAL(down), NEXTVAL(`a``round`);;
SELECT NEXTVAL(used_up);;
SELECT NEXTVAL(used_up);;
SELECT NEXTVAL(`a``round`), NEXTVAL(`a``round`), NEXTVAL(`a``round`)
";

const HISTORY: &str = "
CREATE TABLE plain (id INT PRIMARY KEY, n INT, note VARCHAR(9) DEFAULT '' WITHOUT SYSTEM VERSIONING, KEY (n)) WITH SYSTEM VERSIONING;;
CREATE TABLE named (id INT AUTO_INCREMENT PRIMARY KEY, n INT, since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, `un``til` TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (since, `un``til`)) WITH SYSTEM VERSIONING;;
CREATE TABLE columns_only (id INT PRIMARY KEY, a INT WITH SYSTEM VERSIONING, b INT);;
CREATE TABLE no_key (a INT, g INT GENERATED ALWAYS AS (a * 2) STORED) WITH SYSTEM VERSIONING;;
CREATE TABLE by_number (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 3 PARTITIONS 3;;
CREATE TABLE by_time (id INT, n INT, KEY (id)) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 DAY STARTS '2020-01-01 00:00:00' (PARTITION h0 HISTORY, PARTITION h1 HISTORY, PARTITION now CURRENT);;
CREATE TABLE by_itself (id INT) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 HOUR AUTO PARTITIONS 3;;
CREATE TABLE booked (room INT, f DATE, t DATE, PERIOD FOR stay (f, t), UNIQUE (room, stay WITHOUT OVERLAPS));;
CREATE TABLE booked_then (room INT, f DATE, t DATE, PERIOD FOR stay (f, t), PRIMARY KEY (room, stay WITHOUT OVERLAPS)) WITH SYSTEM VERSIONING;;
INSERT INTO plain VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');;
UPDATE plain SET n = n + 10;;
UPDATE plain SET n = n + 10 WHERE id = 1;;
UPDATE plain SET note = 'x' WHERE id = 1;;
DELETE FROM plain WHERE id = 2;;
INSERT INTO named (n) SELECT seq FROM seq_1_to_300;;
UPDATE named SET n = -n WHERE id % 3 = 0;;
DELETE FROM named WHERE id % 7 = 0;;
INSERT INTO columns_only VALUES (1, 1, 1);;
UPDATE columns_only SET a = 2;;
INSERT INTO no_key (a) VALUES (1), (1), (NULL);;
DELETE FROM no_key LIMIT 1;;
INSERT INTO by_number VALUES (1, 1);;
UPDATE by_number SET n = 2;;
UPDATE by_number SET n = 3;;
UPDATE by_number SET n = 4;;
UPDATE by_number SET n = 5;;
INSERT INTO by_time VALUES (1, 1), (1, 1);;
UPDATE by_time SET n = 2;;
INSERT INTO by_itself VALUES (1);;
UPDATE by_itself SET id = 2;;
INSERT INTO booked VALUES (1, '2024-01-01', '2024-02-01'), (1, '2024-02-01', '2024-03-01');;
INSERT INTO booked_then VALUES (1, '2024-01-01', '2024-02-01');;
UPDATE booked_then SET t = '2024-01-15'
";

fn made(server: &Mysql) -> Conn {
    let mut conn = root(server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
    run(&mut conn, SEQUENCES);
    run(&mut conn, HISTORY);
    conn
}

/// The server's words, with every row that ever was and where each sequence goes on. Names of the database stay as they are.
fn everything(server: &Mysql, database: &str) -> BTreeMap<String, String> {
    let mut all = all_of(server, database);
    let mut conn = root(server, Some(database));
    conn.query_drop("SET time_zone = '+00:00'").unwrap();
    let kinds: Vec<(String, String)> = conn.query("SHOW FULL TABLES").unwrap();
    for (name, kind) in kinds {
        let quoted = format!("`{}`", name.replace('`', "``"));
        let sql = match (kind.as_str(), name.as_str()) {
            ("SEQUENCE", _) => format!("SELECT * FROM {quoted}"),
            ("SYSTEM VERSIONED", "named") => format!("SELECT *, `un``til` FROM {quoted} FOR SYSTEM_TIME ALL"),
            ("SYSTEM VERSIONED", _) => format!("SELECT *, row_start, row_end FROM {quoted} FOR SYSTEM_TIME ALL"),
            _ => format!("SELECT * FROM {quoted}"),
        };
        let mut rows: Vec<String> = conn.query::<Row, _>(sql).unwrap().iter().map(cells).collect();
        rows.sort();
        // Where a sequence goes on, its first cell, is compared as a table's next id is.
        let goes_on = if kind == "SEQUENCE" { "AUTO_INCREMENT=" } else { "" };
        all.insert(format!("rows of {name}"), format!("{goes_on}{}", rows.join("\n")));
        if kind == "SYSTEM VERSIONED" {
            let now: u64 = conn.query_first(format!("SELECT COUNT(*) FROM {quoted}")).unwrap().unwrap();
            all.insert(format!("rows now in {name}"), now.to_string());
        }
    }
    all
}

fn cells(row: &Row) -> String {
    let cell = |at| match row.as_ref(at) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    (0..row.len()).map(cell).collect::<Vec<_>>().join(" ")
}

const CHANGES: &str = "
DELETE FROM plain;;
DROP TABLE by_time;;
UPDATE named SET n = 0;;
SELECT NEXTVAL(s), NEXTVAL(s), NEXTVAL(s), NEXTVAL(s), NEXTVAL(s);;
DROP TABLE numbered;;
DROP SEQUENCE down;;
CREATE SEQUENCE newer;;
CREATE TABLE of_newer (id INT PRIMARY KEY DEFAULT NEXTVAL(newer)) WITH SYSTEM VERSIONING;;
INSERT INTO of_newer () VALUES (), ();;
DELETE FROM of_newer LIMIT 1
";

#[test]
fn sequences_and_history_go_back_and_forth_on_both_roads() {
    std::thread::scope(|scope| {
        for kind in MARIADBS {
            for (road, insert_only) in [(Road::SideCopy, false), (Road::SideCopy, true), (Road::InPlace, false)] {
                scope.spawn(move || life(kind, road, insert_only));
            }
        }
    });
}

fn life(kind: MysqlKind, road: Road, insert_only: bool) {
    let server = server(kind, &[]);
    let mut conn = made(&server);
    let set = everything(&server, "system");
    let options = Options { chunk_bytes: 300, insert_only, lock_wait_seconds: 2, ..Options::default() };
    let (store, context) = (store_with(&server, "system", options), context("1"));
    let (held, kept) = keep(&store, &context);
    run(&mut conn, CHANGES);
    let changed = everything(&server, "system");
    for _ in 0..2 {
        let place = stage(&store, &context, &held, &kept, road);
        if road == Road::SideCopy {
            assert_same(&changed, &everything(&server, "system"), "staging touches nothing");
        }
        store.cut_over(&context, &place).unwrap();
        assert_same(&set, &everything(&server, "system"), &format!("{kind:?}, {road:?}: restored"));
        store.undo(&context, &place).unwrap();
        assert_same(&changed, &everything(&server, "system"), &format!("{kind:?}, {road:?}: undone"));
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
    let place = stage(&store, &context, &held, &kept, road);
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, Discard::Previous).unwrap();
    assert_same(&set, &everything(&server, "system"), "settled");
    // Defaults are made by the restored sequence, and give no value twice.
    let largest: u32 = conn.query_first("SELECT MAX(GREATEST(id, v)) FROM numbered").unwrap().unwrap();
    run(&mut conn, "INSERT INTO numbered () VALUES ();;\nUPDATE named SET n = 5 WHERE id = 1");
    let (id, v): (u32, u32) = conn.query_first("SELECT id, v FROM numbered ORDER BY id DESC LIMIT 1").unwrap().unwrap();
    assert!(id > largest && v > largest, "{id} and {v} after {largest}");
    let used_up = conn.query_first::<u32, _>("SELECT NEXTVAL(used_up)").unwrap_err().to_string();
    assert!(used_up.contains("4084"), "{used_up}");
}

#[test]
fn the_client_alone_loads_sequences_and_history() {
    for kind in MARIADBS {
        let server = server(kind, &[]);
        let mut conn = made(&server);
        let (held, _) = keep(&store(&server, "system"), &context("1"));
        let folder = tempfile::tempdir().unwrap();
        held.restore(folder.path());
        conn.query_drop("CREATE DATABASE copy").unwrap();
        let mut files: Vec<_> = std::fs::read_dir(folder.path().join("sql")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let script: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect();
        std::fs::write(folder.path().join("all.sql"), script).unwrap();
        let input = std::fs::File::open(folder.path().join("all.sql")).unwrap();
        let mut command = server.client();
        let output = command
            .args(["--local-infile=1", "--binary-mode", "--comments", "copy"])
            .current_dir(folder.path())
            .stdin(Stdio::from(input))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let by_name = |database: &str| -> BTreeMap<String, String> {
            let all = everything(&server, database).into_iter().filter(|(name, _)| name != "database");
            all.map(|(name, text)| (name, text.replace("nextval(`copy`.", "nextval(`system`."))).collect()
        };
        assert_same(&by_name("system"), &by_name("copy"), "loaded by hand");
    }
}

#[test]
fn versions_by_transaction_numbers_are_refused_before_a_dump() {
    for kind in MARIADBS {
        let server = server(kind, &[]);
        run(
            &mut root(&server, None),
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE c (id INT PRIMARY KEY, f BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, t BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (f, t)) WITH SYSTEM VERSIONING",
        );
        let store = store(&server, "system");
        let findings = store.look(&context("1")).unwrap();
        let blocks = |problems: &[plan::ports::Problem]| {
            problems.iter().find(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text.clone()).unwrap_or_default()
        };
        for problems in [&findings.backup_problems, &findings.restore_problems] {
            assert!(blocks(problems).contains("table \"c\" is versioned by numbers of transactions"), "{problems:?}");
        }
        let error = store.dump(&context("1")).map(drop).unwrap_err();
        assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("DROP SYSTEM VERSIONING")), "{error:?}");
    }
}

#[test]
fn defaults_of_sequences_are_not_kept_within_the_database_itself() {
    let server = server(MysqlKind::Mariadb, &[]);
    let mut conn = made(&server);
    run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%'");
    let (_, kept) = keep(&store(&server, "system"), &context("1"));
    let app = store_as(&server, "app", "system", Options::default());
    let told = app.fits(&context("1"), &kept, Road::InPlace).unwrap();
    let way_out = told.iter().find(|problem| problem.text.contains("NEXT VALUE FOR")).and_then(|problem| problem.way_out.clone()).unwrap();
    run(&mut conn, &way_out);
    let told = app.fits(&context("1"), &kept, Road::InPlace).unwrap();
    assert!(told.iter().all(|problem| problem.severity != Severity::Blocks), "{told:?}");
}

/// What users of 3scale do with their database: history has no end in another moment since 11.5, and a row that is now must be now there too.
#[test]
fn a_set_of_10_11_goes_to_11_8_with_its_history_and_sequences() {
    let (from, to) = (server(MysqlKind::Mariadb, &[]), server(MysqlKind::NewerMariadb, &[]));
    drop(made(&from));
    let (held, kept) = keep(&store(&from, "system"), &context("1"));
    run(&mut root(&to, None), "CREATE DATABASE `system`");
    let (store, context) = (store(&to, "system"), context("1"));
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    let of_rows = |server: &Mysql| -> BTreeMap<String, String> {
        let all = everything(server, "system").into_iter().filter(|(name, _)| name.starts_with("rows "));
        all.map(|(name, text)| (name, text.replace("2038-01-19 03:14:07.999999", "2106-02-07 06:28:15.999999"))).collect()
    };
    assert_same(&of_rows(&from), &of_rows(&to), "on the newer server");
}

#[test]
fn a_server_that_takes_no_history_says_so_before_anything_is_touched() {
    for kind in [MysqlKind::Mariadb, MysqlKind::NewerMariadb] {
        let server = server(kind, &["--secure-timestamp=YES"]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nCREATE TABLE `system`.t (id INT PRIMARY KEY) WITH SYSTEM VERSIONING");
        let store = store(&server, "system");
        let (_, kept) = keep(&store, &context("1"));
        let doctor = store.look(&context("1")).unwrap().restore_problems;
        for said in [kept.problems.clone(), store.fits(&context("1"), &kept, Road::SideCopy).unwrap(), doctor] {
            let told = said.iter().find(|problem| problem.text.contains("secure_timestamp is YES")).unwrap_or_else(|| panic!("{said:?}"));
            assert_eq!(told.severity, Severity::Blocks);
        }
        run(&mut conn, "ALTER TABLE `system`.t DROP SYSTEM VERSIONING");
        let (held, kept) = keep(&store, &context("1"));
        assert!(kept.problems.is_empty(), "{:?}", kept.problems);
        stage(&store, &context("1"), &held, &kept, Road::SideCopy);
    }
}
