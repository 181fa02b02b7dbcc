//! Tables and objects that sets could not bring back, or changed without a word: each goes back exactly, or the backup says that it does not.

use std::collections::BTreeMap;

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use mysql::{Row, Value};
use plan::ports::{DataSet, Discard, Road, Severity};

use super::kit::{SERVERS, all_of, assert_same, context, keep, root, run, server, stage, store, store_with};
use crate::Options;

/// Each with rows, in a session of its own; `None`: on all servers, else on MySQL only or on MariaDB only.
const CASES: [(&str, Option<bool>, &str); 19] = [
    (
        "a SET with an empty member",
        None,
        "SET SESSION sql_mode = '';;\nCREATE TABLE t (id INT PRIMARY KEY, v SET('','a','b'), w SET('x',''));;\nINSERT INTO t VALUES (1,1,1),(2,3,2),(3,7,3),(4,0,0),(5,NULL,2)",
    ),
    (
        "two FULLTEXT keys",
        None,
        "CREATE TABLE t (id INT PRIMARY KEY, a TEXT, b TEXT, FULLTEXT KEY (a), FULLTEXT KEY (b), FULLTEXT KEY ab (a, b), KEY (b(5)));;\nINSERT INTO t VALUES (1,'word other','some words')",
    ),
    (
        "a foreign key to a key that is not unique",
        None,
        "SET SESSION /*!80400 restrict_fk_on_non_standard_key = 0, */ foreign_key_checks = 0;;\nCREATE TABLE p (id INT PRIMARY KEY, k INT, KEY (k));;\nCREATE TABLE t (id INT PRIMARY KEY, k INT, CONSTRAINT loose FOREIGN KEY (k) REFERENCES p (k));;\nINSERT INTO p VALUES (1,5),(2,5);;\nINSERT INTO t VALUES (1,5)",
    ),
    (
        "a foreign key to a table that is not there",
        None,
        "SET SESSION foreign_key_checks = 0;;\nCREATE TABLE t (id INT PRIMARY KEY, k INT, CONSTRAINT lost FOREIGN KEY (k) REFERENCES nowhere (id));;\nINSERT INTO t VALUES (1,5)",
    ),
    (
        "a row too wide for today's rules",
        None,
        "SET SESSION innodb_strict_mode = 0, sql_mode = '';;\nCREATE TABLE t (id INT PRIMARY KEY, a CHAR(250), b CHAR(250), c CHAR(250), d CHAR(250), e CHAR(250), f CHAR(250), g CHAR(250), h CHAR(250), i CHAR(250), j CHAR(250), k CHAR(250), l CHAR(250), m CHAR(250), n CHAR(250), o CHAR(250), p CHAR(250), q CHAR(250), r CHAR(250), s CHAR(250), u CHAR(250), v CHAR(250), w CHAR(250), x CHAR(250), y CHAR(250), z CHAR(250), a1 CHAR(250), a2 CHAR(250), a3 CHAR(250), a4 CHAR(250), a5 CHAR(250), a6 CHAR(250), a7 CHAR(250), a8 CHAR(250)) CHARSET=latin1 ROW_FORMAT=DYNAMIC;;\nINSERT INTO t (id, a) VALUES (1, 'x')",
    ),
    (
        "a default in another time zone",
        None,
        "SET SESSION time_zone = '+05:00';;\nCREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP NOT NULL DEFAULT '2024-01-01 02:00:00', u TIMESTAMP NULL DEFAULT '1970-01-01 05:00:01');;\nINSERT INTO t (id) VALUES (1)",
    ),
    (
        "JSON of a decimal",
        Some(false),
        "CREATE TABLE t (id INT PRIMARY KEY, j JSON, g JSON GENERATED ALWAYS AS (JSON_OBJECT('a', CAST(1.50 AS DECIMAL(5,2)))) STORED, d JSON DEFAULT (JSON_OBJECT('a', CAST(1.50 AS DECIMAL(5,2)))));;\nINSERT INTO t (id, j, d) VALUES (1, '{\"a\": 1.5, \"b\": [null, \"é\"]}', 'null')",
    ),
    (
        "tables of other engines",
        None,
        "CREATE TABLE m1 (id INT PRIMARY KEY, v INT, KEY (v)) ENGINE=MyISAM;;\nCREATE TABLE m2 LIKE m1;;\nINSERT INTO m1 VALUES (1,1);;\nINSERT INTO m2 VALUES (2,2);;\nCREATE TABLE m (id INT NOT NULL, v INT, KEY (id), KEY (v)) ENGINE=MERGE UNION=(m1,m2) INSERT_METHOD=LAST;;\nCREATE TABLE h (id INT PRIMARY KEY, KEY (id)) ENGINE=MEMORY;;\nINSERT INTO h VALUES (3)",
    ),
    (
        "a BLACKHOLE and a CSV table",
        Some(false),
        "CREATE TABLE bl (id INT PRIMARY KEY) ENGINE=BLACKHOLE;;\nCREATE TABLE cs (id INT NOT NULL, v VARCHAR(9) NOT NULL) ENGINE=CSV;;\nINSERT INTO cs VALUES (1, 'a\\nb')",
    ),
    (
        "an ARCHIVE table",
        Some(false),
        "CREATE TABLE ar (id INT NOT NULL AUTO_INCREMENT, v INT, KEY (id)) ENGINE=ARCHIVE;;\nINSERT INTO ar (v) VALUES (1), (2)",
    ),
    (
        "a unique key that nobody sees",
        Some(false),
        "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, UNIQUE KEY u1 (a, b), UNIQUE KEY a0 (c) INVISIBLE);;\nINSERT INTO t VALUES (1,1,1),(1,2,2)",
    ),
    (
        "a unique key that is ignored",
        Some(true),
        "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, c INT NOT NULL, UNIQUE KEY u1 (a, b), UNIQUE KEY a0 (c) IGNORED);;\nINSERT INTO t VALUES (1,1,1),(1,2,2)",
    ),
    (
        "a binary default",
        None,
        "CREATE TABLE t (id INT PRIMARY KEY, b BINARY(4) NOT NULL DEFAULT X'00FF00FE', c VARBINARY(9) DEFAULT X'275C0A41');;\nINSERT INTO t (id) VALUES (1)",
    ),
    (
        "rows that a CHECK would refuse",
        Some(true),
        "SET SESSION check_constraint_checks = 0;;\nCREATE TABLE t (id INT PRIMARY KEY, CHECK (id < 5));;\nINSERT INTO t VALUES (7)",
    ),
    (
        "old character sets",
        None,
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET utf8mb3, w VARCHAR(9) CHARACTER SET cp1250, x CHAR(3) CHARACTER SET utf8mb4);;\nINSERT INTO t VALUES (1, 'é', 'é', 'é')",
    ),
    (
        "texts of a client in latin1",
        None,
        "SET NAMES utf8mb4;;\nCREATE TABLE t (id INT PRIMARY KEY);;\nINSERT INTO t VALUES (1);;\nSET SESSION character_set_client = latin1, collation_connection = latin1_swedish_ci",
    ),
    (
        "texts of a client that speaks utf8mb3",
        None,
        "CREATE TABLE t (id INT PRIMARY KEY);;\nSET NAMES utf8mb3;;\nCREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = IF('é' = 'e', 1, NEW.id);;\nCREATE VIEW v2 AS SELECT _latin1 X'E9' AS b, _binary X'FF00' AS c;;\nCREATE PROCEDURE p2() SELECT _latin1 X'E9'",
    ),
    (
        "generated columns and expressions",
        None,
        "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20), g VARCHAR(30) GENERATED ALWAYS AS (CONCAT(a, '''x')) STORED, v INT GENERATED ALWAYS AS (id * 2) VIRTUAL, KEY (v));;\nINSERT INTO t (id, a) VALUES (1, 'q''')",
    ),
    ("no rows, no key", None, "CREATE TABLE t (a INT, b TEXT);;\nCREATE TABLE u (a INT) COMMENT 'a\\\\b'"),
];

/// Latin-1 in a statement: no text for this program's own client, so the server's client sends it.
fn as_latin1(server: &Mysql) {
    let script = b"SET NAMES latin1;\nCREATE VIEW v1 AS SELECT _latin1'\xe9' AS b, '\xe9' AS c;\nCREATE TRIGGER tl BEFORE INSERT ON t FOR EACH ROW SET @x = CONCAT('\xe9', _latin1'\xe9\\'');\nCREATE PROCEDURE p1() SELECT '\xe9' AS a, _latin1'\xe9' AS b;\nCREATE FUNCTION f1() RETURNS TEXT CHARSET latin1 DETERMINISTIC RETURN _latin1'\xe9';\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let input = std::fs::File::open(file.path()).unwrap();
    let output = server.client().args(["--default-character-set=latin1", "system"]).stdin(input).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What `all_of` reads in another way: numbers behind ENUM and SET, bytes of definitions, values of computed columns.
fn as_bytes(server: &Mysql) -> BTreeMap<String, String> {
    let mut conn = root(server, Some("system"));
    conn.query_drop("SET NAMES binary").unwrap();
    let mut all = BTreeMap::new();
    let columns: Vec<(String, String)> = conn
        .query("SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'system' AND TABLE_NAME NOT LIKE '\\_\\_before%' ORDER BY TABLE_NAME, ORDINAL_POSITION")
        .unwrap();
    for (table, column) in columns {
        let sql = format!("SELECT HEX(`{column}`), `{column}` + 0 FROM `{table}` ORDER BY 1, 2");
        let rows: Vec<Row> = conn.query(sql).unwrap();
        all.insert(format!("{table}.{column}"), format!("{rows:?}"));
    }
    for (kind, list) in [
        ("VIEW", "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'system' AND TABLE_NAME NOT LIKE '\\_\\_before%'"),
        ("TRIGGER", "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'system'"),
        (
            "PROCEDURE",
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'system' AND ROUTINE_TYPE = 'PROCEDURE'",
        ),
    ] {
        for name in conn.query::<String, _>(list).unwrap() {
            let shown: Row = conn.query_first(format!("SHOW CREATE {kind} `{name}`")).unwrap().unwrap();
            let cells: Vec<String> = (0..shown.len())
                .filter(|at| shown.columns_ref()[*at].name_str() != "Created")
                .map(|at| match shown.as_ref(at) {
                    Some(Value::Bytes(bytes)) => bytes.escape_ascii().to_string(),
                    other => format!("{other:?}"),
                })
                .collect();
            all.insert(format!("{kind} {name}"), cells.join(" | "));
        }
    }
    for call in ["CALL p1()", "SELECT f1()", "SELECT * FROM v1", "SELECT * FROM v2"] {
        if let Ok(rows) = conn.query::<Row, _>(call) {
            all.insert(call.into(), format!("{rows:?}"));
        }
    }
    all
}

/// What a text of another character set comes to: bytes after an introducer are written in hexadecimal, so the text is another and the value is not.
fn values_only(mut all: BTreeMap<String, String>) -> BTreeMap<String, String> {
    all.retain(|name, _| !["FUNCTION", "PROCEDURE", "TRIGGER", "VIEW"].iter().any(|kind| name.starts_with(kind)));
    all
}

fn goes_back(kind: MysqlKind, options: &Options, server_options: &[&str]) {
    let server = server(kind, server_options);
    for (name, only_mariadb, script) in CASES {
        if only_mariadb.is_some_and(|only| only != kind.is_mariadb()) {
            continue;
        }
        let mut conn = root(&server, None);
        run(&mut conn, "DROP DATABASE IF EXISTS `system`;;\nCREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, script);
        drop(conn);
        if name.contains("latin1") {
            as_latin1(&server);
        }
        let (before, bytes) = (all_of(&server, "system"), as_bytes(&server));
        let (store, context) = (store_with(&server, "system", options.clone()), context("1"));
        let (held, kept) = keep(&store, &context);
        assert!(kept.problems.iter().all(|problem| problem.severity == Severity::Note), "{kind:?}, {name}: {:?}", kept.problems);
        let blocking: Vec<_> = store.fits(&context, &kept, Road::SideCopy).unwrap();
        assert!(blocking.iter().all(|problem| problem.severity != Severity::Blocks), "{kind:?}, {name}: {blocking:?}");
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap_or_else(|error| panic!("{kind:?}, {name}: {error:?}"));
        let compared = |all| if name.contains("latin1") { values_only(all) } else { all };
        let (before, bytes) = (compared(before), compared(bytes));
        assert_same(&before, &compared(all_of(&server, "system")), &format!("{kind:?}, {name}"));
        assert_same(&bytes, &compared(as_bytes(&server)), &format!("{kind:?}, {name}, as bytes"));
        store.undo(&context, &place).unwrap_or_else(|error| panic!("{kind:?}, {name}: {error:?}"));
        assert_same(&before, &compared(all_of(&server, "system")), &format!("{kind:?}, {name}, after the undo"));
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
}

#[test]
fn odd_tables_and_objects_go_back_on_mysql() {
    goes_back(MysqlKind::Mysql, &Options::default(), &["--local-infile=1"]);
}

#[test]
fn odd_tables_and_objects_go_back_on_mariadb() {
    goes_back(MysqlKind::Mariadb, &Options::default(), &[]);
}

#[test]
fn odd_tables_and_objects_go_back_on_newer_mariadb() {
    goes_back(MysqlKind::NewerMariadb, &Options::default(), &[]);
}

#[test]
fn inserts_stay_below_the_largest_packet() {
    for kind in SERVERS {
        let server = server(kind, &["--max-allowed-packet=1M"]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT);;\nINSERT INTO t VALUES (1, REPEAT('a', 300000)), (2, REPEAT('b', 400000)), (3, 'c'), (4, REPEAT('d', 390000))",
        );
        let before = all_of(&server, "system");
        let store = store_with(&server, "system", Options { insert_only: true, ..Options::default() });
        let (held, kept) = keep(&store, &context("1"));
        let place = stage(&store, &context("1"), &held, &kept, Road::SideCopy);
        store.cut_over(&context("1"), &place).unwrap();
        assert_same(&before, &all_of(&server, "system"), "after the cut-over");
        // One that no INSERT holds is said by the plan, with what holds it.
        run(&mut conn, "INSERT INTO t VALUES (5, REPEAT('e', 600000))");
        let (_, kept) = keep(&store, &context("2"));
        let told = |store: &crate::MysqlStore| store.fits(&context("2"), &kept, Road::SideCopy).unwrap();
        let problem = told(&store).into_iter().find(|problem| problem.severity == Severity::Blocks).unwrap();
        assert!(problem.text.contains("600001 bytes, an INSERT of it twice as many"), "{problem:?}");
        let by_files = store_with(&server, "system", Options::default());
        assert!(told(&by_files).iter().all(|problem| problem.severity != Severity::Blocks));
        run(&mut conn, problem.way_out.unwrap().split(", or ").nth(1).unwrap());
        assert!(told(&store).iter().all(|problem| problem.severity != Severity::Blocks));
    }
}

#[test]
fn a_decimal_in_json_comes_back_as_a_double_and_is_told() {
    let server = server(MysqlKind::Mysql, &[]);
    let mut conn = root(&server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE t (id INT PRIMARY KEY, j JSON);;\nINSERT INTO t VALUES (1, JSON_OBJECT('a', CAST(1.50 AS DECIMAL(5,2)))), (2, '{\"a\": 2.5}')",
    );
    let (store, context) = (store(&server, "system"), context("1"));
    let (held, kept) = keep(&store, &context);
    assert!(
        matches!(&kept.problems[..], [one] if one.severity == Severity::Degrades && one.text.starts_with("1 rows of table \"t\"")),
        "{:?}",
        kept.problems
    );
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    let values: Vec<String> = conn.query("SELECT CAST(j AS CHAR) FROM `system`.t ORDER BY id").unwrap();
    assert_eq!(values, ["{\"a\": 1.5}", "{\"a\": 2.5}"]);
}

fn looked_at(server: &Mysql, database: &str) -> Vec<String> {
    let findings = store(server, database).look(&context("1")).unwrap();
    findings.backup_problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text).collect()
}

#[test]
fn a_name_in_the_wrong_case_is_told_before_a_backup_begins() {
    let folding = server(MysqlKind::Mysql, &["--lower-case-table-names=1"]);
    run(&mut root(&folding, None), "CREATE DATABASE `system`");
    assert_eq!(looked_at(&folding, "system"), Vec::<String>::new());
    let told = looked_at(&folding, "SYSTEM");
    assert!(told.iter().any(|text| text.contains("lower_case_table_names = 1")), "{told:?}");
    let error = store(&folding, "SYSTEM").dump(&context("1")).map(drop).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("\"system\"")), "{error:?}");
}

#[test]
fn partial_revokes_take_away_and_know_no_patterns() {
    let server = server(MysqlKind::Mysql, &["--partial-revokes=ON"]);
    let mut conn = root(&server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nCREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON `system\\_\\_%`.* TO app@'%'",
    );
    let app = super::kit::store_as(&server, "app", "system", Options::default());
    let findings = app.look(&context("1")).unwrap();
    assert_eq!(findings.road, Road::InPlace, "the pattern is one schema's name");
    let way_out =
        findings.restore_problems.iter().filter_map(|problem| problem.way_out.clone()).find(|way| way.contains("partial_revokes")).unwrap();
    run(&mut conn, way_out.split(" (").next().unwrap());
    assert_eq!(app.look(&context("1")).unwrap().road, Road::SideCopy);
    // Everywhere, but not here.
    run(
        &mut conn,
        "CREATE USER all_but@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON *.* TO all_but@'%';;\nREVOKE SELECT, TRIGGER ON `system`.* FROM all_but@'%'",
    );
    let blocking = super::kit::store_as(&server, "all_but", "system", Options::default()).look(&context("1")).unwrap().backup_problems;
    let blocking: Vec<_> =
        blocking.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text).collect();
    assert!(blocking.iter().any(|text| text.contains("lacks SELECT, TRIGGER on `system`")), "{blocking:?}");
}

#[test]
fn a_row_that_is_too_large_is_refused_at_once_by_its_key() {
    for kind in [MysqlKind::Mysql, MysqlKind::Mariadb] {
        let options = ["--max-allowed-packet=128M", "--loose-innodb-log-file-size=768M", "--loose-innodb-redo-log-capacity=1G"];
        let server = server(kind, &options);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE big (a INT, b INT, v LONGTEXT, PRIMARY KEY (a, b));;\n\
             INSERT INTO big VALUES (1, 1, 'x'), (7, 8, REPEAT('x', 49 << 20)), (9, 9, REPEAT('y', 20 << 20))",
        );
        let error = super::kit::try_keep(&store(&server, "system"), &context("1")).map(drop).unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
        assert!(error.hints().iter().any(|hint| hint.contains("\"big\" with the key 7, 8")), "{error:?}");
    }
}

#[test]
fn what_is_not_kept_is_told_by_the_backup() {
    let server = server(MysqlKind::Mysql, &[]);
    let mut conn = root(&server, None);
    run(
        &mut conn,
        "CREATE DATABASE `system`;;\nUSE `system`;;\nSET SESSION time_zone = '+05:00';;\n\
         CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP NULL, d DATE GENERATED ALWAYS AS (CAST(ts AS DATE)) STORED);;\n\
         INSERT INTO t (id, ts) VALUES (1, '2024-01-02 01:00:00'), (2, '2024-01-02 12:00:00');;\n\
         ANALYZE TABLE t UPDATE HISTOGRAM ON d",
    );
    let (_, kept) = keep(&store(&server, "system"), &context("1"));
    let told =
        |severity: Severity, text: &str| kept.problems.iter().any(|problem| problem.severity == severity && problem.text.contains(text));
    assert!(told(Severity::Degrades, "1 rows of table \"t\" hold in d"), "{:?}", kept.problems);
    assert_eq!(kept.problems.len(), 1, "{:?}", kept.problems);
}
