//! Chunks hold every row once.

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::ports::Road;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::kit::{KINDS, context, keep, root, run, server, stage, store, store_with};
use crate::chunk;
use crate::schema::read;
use crate::session::Talk;
use crate::{MysqlStore, Options};

/// Cuts a table into chunks of about so many rows; returns the rows of each chunk, in order.
fn counts(store: &MysqlStore, conn: &mut Conn, table: &str, rows_per_chunk: u64) -> Vec<u64> {
    run(conn, &format!("ANALYZE TABLE `{table}`"));
    let mut text = store.session(Talk::Text, Some("system")).unwrap();
    let server = crate::server::Server::ask(&mut text).unwrap();
    let schema = read::tables_only(&mut text, &server, "system").unwrap();
    let mut found = schema.tables.iter().find(|found| found.name == table).unwrap().clone();
    found.estimated_rows = conn.query_first(format!("SELECT COUNT(*) FROM `{table}`")).unwrap().unwrap();
    found.average_row_bytes = 100;
    let mut session = store.session(Talk::Rows, Some("system")).unwrap();
    let mut conditions = Vec::new();
    chunk::cut(&mut session, "system", &found, rows_per_chunk * 100, |chunk| {
        conditions.push(chunk.condition.unwrap_or_else(|| "1".into()));
        Ok(())
    })
    .unwrap();
    let all = found.estimated_rows;
    let counts: Vec<u64> = conditions
        .iter()
        .map(|condition| conn.query_first(format!("SELECT COUNT(*) FROM `{table}` WHERE {condition}")).unwrap().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), all, "{table}: every row is in a chunk");
    // No row in two chunks: the conditions, each as 0 or 1, add up to 1 for every row.
    let sum = sum(&conditions);
    let wrong: u64 = conn.query_first(format!("SELECT COUNT(*) FROM `{table}` WHERE NOT ({sum} <=> 1)")).unwrap().unwrap();
    assert_eq!(wrong, 0, "{table}: every row is in one chunk");
    counts
}

/// The sum of conditions, in halves of halves: a server's stack does not hold a thousand terms inside of each other.
fn sum(conditions: &[String]) -> String {
    match conditions {
        [] => "0".into(),
        [condition] => format!("({condition})"),
        _ => {
            let (left, right) = conditions.split_at(conditions.len() / 2);
            format!("({} + {})", sum(left), sum(right))
        }
    }
}

fn fill(conn: &mut Conn) {
    run(conn, "CREATE DATABASE `system` CHARACTER SET utf8mb4;;\nUSE `system`;;\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'");
    run(
        conn,
        "CREATE TABLE gaps (id BIGINT PRIMARY KEY);;\nCREATE TABLE negative (id INT PRIMARY KEY);;\nCREATE TABLE huge (id BIGINT UNSIGNED PRIMARY KEY)",
    );
    run(
        conn,
        "CREATE TABLE pairs (a INT, b SMALLINT UNSIGNED, c INT, PRIMARY KEY (a, b));;\nCREATE TABLE none (a INT);;\nCREATE TABLE blank (a INT PRIMARY KEY)",
    );
    run(
        conn,
        "CREATE TABLE ci (k VARCHAR(40) COLLATE utf8mb4_general_ci PRIMARY KEY);;\nCREATE TABLE swedish (k CHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY)",
    );
    run(
        conn,
        "CREATE TABLE bins (k VARBINARY(20) PRIMARY KEY);;\nCREATE TABLE money (k DECIMAL(20,5) PRIMARY KEY);;\nCREATE TABLE maybe (k INT, n INT NOT NULL, UNIQUE KEY (k), UNIQUE KEY (n))",
    );
    run(
        conn,
        "CREATE TABLE tied (a VARCHAR(10) NOT NULL, d DATETIME NOT NULL, PRIMARY KEY (a, d));;\nCREATE TABLE down (a INT, b INT, PRIMARY KEY (a DESC, b))",
    );
    run(conn, "CREATE TABLE digits (n INT);;\nINSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)");
    run(conn, "CREATE TABLE series AS SELECT a.n + b.n * 10 + c.n * 100 AS n FROM digits a, digits b, digits c");
    run(
        conn,
        "INSERT INTO gaps SELECT IF(n % 3, n, n + 1567241721) FROM series;;\nINSERT INTO negative SELECT n - 500 FROM series;;\nINSERT INTO huge SELECT 18446744073709551615 - n FROM series",
    );
    run(
        conn,
        "INSERT INTO pairs SELECT n DIV 50 - 5, n % 50, n FROM series;;\nINSERT INTO none SELECT n FROM series;;\nINSERT INTO none SELECT NULL FROM series",
    );
    run(
        conn,
        "INSERT IGNORE INTO ci SELECT CONCAT(CHAR(97 + n % 26 USING utf8mb4), IF(n % 7 = 0, 'É', 'e'), IF(n % 5 = 0, '😀', ''), '''', n) FROM series",
    );
    run(
        conn,
        "INSERT IGNORE INTO swedish SELECT CONCAT(CHAR(0xe0 + n % 31 USING latin1), n % 40) FROM series;;\nINSERT IGNORE INTO swedish VALUES ('')",
    );
    run(
        conn,
        "INSERT INTO bins SELECT LEFT(UNHEX(SHA2(n, 256)), 20) FROM series;;\nINSERT INTO bins VALUES ('');;\nINSERT INTO money SELECT (n - 500) / 7 FROM series",
    );
    run(
        conn,
        "INSERT INTO maybe SELECT IF(n % 2, n, NULL), n FROM series;;\nINSERT INTO tied SELECT CONCAT('k', n % 4), '2020-01-01' + INTERVAL n DAY FROM series",
    );
    run(conn, "INSERT INTO down SELECT n DIV 10, n FROM series");
}

const TABLES: [&str; 13] =
    ["gaps", "negative", "huge", "pairs", "none", "blank", "ci", "swedish", "bins", "money", "maybe", "tied", "down"];

#[test]
fn chunks_hold_every_row_once_whatever_the_key() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        fill(&mut conn);
        let store = store(&server, "system");
        for table in TABLES {
            for rows_per_chunk in [1, 7, 64, 300, 10_000] {
                let counts = counts(&store, &mut conn, table, rows_per_chunk);
                let cut = !["none", "blank", "down"].contains(&table) && rows_per_chunk == 64;
                assert!(!cut || counts.len() > 2, "{table} is cut: {counts:?}");
                if rows_per_chunk == 10_000 {
                    assert_eq!(counts.len(), 1);
                }
            }
        }
        drop(conn);
        // The whole road with small chunks.
        let store = store_with(&server, "system", Options { chunk_bytes: 2000, ..Options::default() });
        let context = context("1");
        let (held, kept) = keep(&store, &context);
        assert!(held.rows().count() > 100);
        assert_eq!(kept.evidence.collections["none"].count, 2000);
        stage(&store, &context, &held, &kept, Road::SideCopy);
    }
}

#[test]
fn chunks_of_any_keys_hold_every_row_once() {
    let server = server(MysqlKind::Mariadb, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system` CHARACTER SET utf8mb4;;\nUSE `system`");
    run(
        &mut conn,
        "CREATE TABLE i (k BIGINT PRIMARY KEY);;\nCREATE TABLE s (k VARCHAR(60) COLLATE utf8mb4_unicode_ci PRIMARY KEY);;\nCREATE TABLE p (a BIGINT, b VARCHAR(20) COLLATE utf8mb4_bin, PRIMARY KEY (a, b))",
    );
    let store = store(&server, "system");
    let conn = std::cell::RefCell::new(conn);
    let strategy = (proptest::collection::vec((any::<i64>(), "\\PC{0,12}", -3_i64..3), 0..60), 1_u64..20, any::<bool>());
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(keys, rows_per_chunk, near)| {
            let mut conn = conn.borrow_mut();
            for (table, values) in [
                ("i", keys.iter().map(|(n, _, small)| format!("({})", if near { small * 17 + n % 100 } else { *n })).collect::<Vec<_>>()),
                ("s", keys.iter().map(|(_, text, _)| format!("({})", crate::quote::text(text))).collect()),
                ("p", keys.iter().map(|(_, text, small)| format!("({small}, {})", crate::quote::text(text))).collect()),
            ] {
                run(&mut conn, &format!("DELETE FROM {table}"));
                if !values.is_empty() {
                    run(&mut conn, &format!("INSERT IGNORE INTO {table} VALUES {}", values.join(", ")));
                }
                counts(&store, &mut conn, table, rows_per_chunk);
            }
            Ok(())
        })
        .unwrap();
}

fn parts_in_common(server: &Mysql, change: &str) -> (usize, usize) {
    let store = store_with(server, "system", Options { chunk_bytes: 4000, ..Options::default() });
    let (before, _) = keep(&store, &context("1"));
    run(&mut root(server, Some("system")), change);
    let (after, _) = keep(&store, &context("2"));
    let old: std::collections::HashSet<&Vec<u8>> = before.rows().map(|(_, bytes)| bytes).collect();
    (after.rows().filter(|(_, bytes)| old.contains(bytes)).count(), after.rows().count())
}

#[test]
fn a_changed_row_changes_few_parts() {
    for kind in KINDS {
        let server = server(kind, &[]);
        fill(&mut root(&server, None));
        let (same, all) = parts_in_common(
            &server,
            "DELETE FROM ci WHERE k LIKE 'k%' LIMIT 1;;\nDELETE FROM bins LIMIT 1;;\nINSERT INTO pairs VALUES (3, 900, 0);;\nDELETE FROM negative WHERE id = 0",
        );
        assert!(all - same <= 12 && all > 60, "{same} of {all} parts are the same");
    }
}
