//! What is refused, and how it is said.

use lab::MysqlKind;
use mysql::prelude::Queryable;
use plan::Class;
use plan::ports::{DataSet, Road, Severity};

use super::kit::{Held, KINDS, context, keep, root, run, server, stage, store, store_as, try_keep};
use crate::{Address, MysqlStore, Options};

fn blocks(store: &MysqlStore, kept: &plan::manifest::KeptDataSet) -> Vec<String> {
    let problems = store.fits(&context("1"), kept, Road::SideCopy).unwrap();
    problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text).collect()
}

#[test]
fn a_wrong_login_is_refused_without_the_password() {
    for kind in KINDS {
        let server = server(kind, &[]);
        root(&server, None).query_drop("CREATE DATABASE `system`").unwrap();
        let address = Address::parse(&format!("mysql2://root:hunter2@127.0.0.1:{}/system", server.port())).unwrap();
        let error = MysqlStore::new(plan::ids::DataSetName::SystemDatabase, address, Options::default()).look(&context("1")).unwrap_err();
        assert_eq!(error.class(), Class::Refused);
        assert!(!format!("{error:?} {}", error.chain()).contains("hunter2"));
        let nothing = store(&server, "nothing");
        let told = nothing.look(&context("1")).unwrap().backup_problems;
        assert!(
            told.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("no database \"nothing\"")),
            "{told:?}"
        );
        assert_eq!(try_keep(&nothing, &context("1")).map(drop).unwrap_err().class(), Class::Refused);
    }
    let address = Address::parse("mysql2://root:hunter2@127.0.0.1:1/system").unwrap();
    let error = MysqlStore::new(plan::ids::DataSetName::SystemDatabase, address, Options::default()).look(&context("1")).unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn the_other_kind_of_server_is_refused_with_reasons_or_taken() {
    let [mysql, mariadb] = KINDS.map(|kind| server(kind, &["--local-infile=ON"]));
    for (from, to, typical) in [(&mysql, &mariadb, "json"), (&mariadb, &mysql, "uuid")] {
        let mut conn = root(from, None);
        run(
            &mut conn,
            "DROP DATABASE IF EXISTS plain;;\nCREATE DATABASE plain CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;\nUSE plain;;\nSET NAMES utf8mb4 COLLATE utf8mb4_general_ci",
        );
        run(
            &mut conn,
            "CREATE TABLE a (id BIGINT PRIMARY KEY AUTO_INCREMENT, t TEXT, at DATETIME DEFAULT CURRENT_TIMESTAMP, n INT DEFAULT 5, s VARCHAR(9) DEFAULT 'x', KEY (n))",
        );
        run(&mut conn, "INSERT INTO a (t) VALUES ('é'), ('b');;\nCREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 4");
        run(&mut root(to, None), "DROP DATABASE IF EXISTS plain;;\nCREATE DATABASE plain");
        let (held, kept) = keep(&store(from, "plain"), &context("1"));
        let target = store(to, "plain");
        assert_eq!(blocks(&target, &kept), Vec::<String>::new());
        let place = stage(&target, &context("1"), &held, &kept, Road::SideCopy);
        target.cut_over(&context("1"), &place).unwrap();
        let rows: Vec<(u64, String)> = root(to, Some("plain")).query("SELECT id, t FROM a").unwrap();
        assert_eq!(rows, [(1, "é".to_owned()), (2, "b".to_owned())]);
        target.discard(&context("1"), &place, plan::ports::Discard::Previous).unwrap();
        run(&mut conn, &format!("CREATE TABLE special (id INT PRIMARY KEY, v {typical}, g INT GENERATED ALWAYS AS (id + 1))"));
        let (_, kept) = keep(&store(from, "plain"), &context("1"));
        let found = blocks(&target, &kept);
        assert!(found.len() == 1 && found[0].contains("special.v is of type") && found[0].contains("special.g is generated"), "{found:?}");
    }
}

#[test]
fn missing_collations_newer_versions_and_small_packets_are_refused() {
    let server = server(MysqlKind::Mariadb, &["--max-allowed-packet=1M"]);
    run(&mut root(&server, None), "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE Cap (id INT PRIMARY KEY)");
    let store = store(&server, "system");
    let (_, kept) = keep(&store, &context("1"));
    assert_eq!(blocks(&store, &kept), Vec::<String>::new());
    for (fact, value, word) in [
        ("collations", "utf8mb4_bin,utf8mb4_from_the_future", "utf8mb4_from_the_future"),
        ("needs-version", "99.0.0", "99.0.0"),
        ("longest-row-bytes", "2000000", "max_allowed_packet"),
        ("lower-case-table-names", "1", "lower_case_table_names"),
    ] {
        let mut kept = kept.clone();
        kept.evidence.facts.insert(fact.into(), value.into());
        let found = blocks(&store, &kept);
        assert!(found.len() == 1 && found[0].contains(word), "{fact}: {found:?}");
    }
    let mut other = kept;
    other.kind = plan::ports::StoreKind::PostgreSql;
    assert_eq!(blocks(&store, &other).len(), 1);
}

#[test]
fn a_part_that_is_not_taken_as_it_is_fails_the_load() {
    for kind in KINDS {
        for insert_only in [false, true] {
            let server = server(kind, &["--local-infile=ON"]);
            let mut conn = root(&server, None);
            run(
                &mut conn,
                "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE a (id TINYINT PRIMARY KEY, n TINYINT);;\nINSERT INTO a VALUES (1, 1), (2, 2)",
            );
            let options = Options { insert_only, ..Options::default() };
            let store = super::kit::store_with(&server, "system", options);
            let context = context("1");
            let (held, kept) = keep(&store, &context);
            for rows in ["1\t1\n1\t2\n", "1\t1\n2\t500\n", "1\t1\n2\n", "1\t1\n2\tx\n"] {
                let damage = |(path, bytes): &(std::path::PathBuf, Vec<u8>)| {
                    (path.clone(), if path.starts_with("rows") { rows.into() } else { bytes.clone() })
                };
                let damaged = std::sync::Arc::new(Held(held.0.iter().map(damage).collect()));
                let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
                let error = store.stage(&context, &place, damaged, &kept).unwrap_err();
                assert!(error.chain().contains("rows"), "{rows:?}: {error:?}");
                let error = store.cut_over(&context, &place).unwrap_err();
                assert!(error.chain().contains("no whole staged copy"), "{error:?}");
                store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
            }
        }
    }
}

#[test]
fn a_staged_copy_that_differs_is_seen_by_the_proof() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE a (id INT PRIMARY KEY, n INT, KEY k (n));;\nINSERT INTO a VALUES (1, 1), (2, 2), (3, NULL)",
        );
        let (store, context) = (store(&server, "system"), context("1"));
        let (held, kept) = keep(&store, &context);
        for change in [
            "UPDATE a SET n = 3 WHERE id = 2",
            "DELETE FROM a WHERE id = 1",
            "UPDATE a SET n = 0 WHERE id = 3",
            "ALTER TABLE a DROP KEY k",
            "ALTER TABLE a MODIFY n BIGINT",
            "CREATE TABLE b (id INT)",
        ] {
            let place = stage(&store, &context, &held, &kept, Road::SideCopy);
            let staged = place.0["stage"].as_str().unwrap().to_owned();
            run(&mut root(&server, Some(&staged)), change);
            let found = store.prove(&context, &place, &kept).unwrap();
            assert!(!kept.evidence.differences(&found).is_empty(), "{change}");
            store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
        }
    }
}

#[test]
fn a_place_of_another_database_is_refused() {
    let server = server(MysqlKind::Mariadb, &[]);
    run(&mut root(&server, None), "CREATE DATABASE `system`;;\nCREATE DATABASE other;;\nCREATE USER u@'%' IDENTIFIED BY 'pw'");
    let (held_store, context) = (store(&server, "system"), context("1"));
    let (_, kept) = keep(&held_store, &context);
    let place = held_store.reserve(&context, &kept, Road::SideCopy).unwrap();
    assert_eq!(store(&server, "other").cut_over(&context, &place).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(store_as(&server, "u", "system", Options::default()).look(&context).unwrap_err().class(), Class::Refused);
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        let cases: &[(&str, &str, &str)] = match kind {
            MysqlKind::Mysql => {
                &[("CREATE LIBRARY odd LANGUAGE JAVASCRIPT AS 'export function f(n) { return n }'", "library", "DROP LIBRARY odd")]
            }
            MysqlKind::Mariadb | MysqlKind::NewerMariadb => &[("CREATE PACKAGE odd AS PROCEDURE p(); END", "package", "DROP PACKAGE odd")],
        };
        for (make, word, unmake) in cases {
            conn.query_drop(if make.contains("PACKAGE") { "SET sql_mode = 'ORACLE'" } else { "SET sql_mode = ''" }).unwrap();
            run(&mut conn, make);
            let told = store(&server, "system").look(&context("1")).unwrap().backup_problems;
            let is_told = told.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("\"odd\" is a "));
            assert!(is_told, "{word}: a look says it: {told:?}");
            let error = try_keep(&store(&server, "system"), &context("1")).map(drop).unwrap_err();
            assert!(error.chain().contains("\"odd\" is a ") && error.chain().contains(word), "{word}: {error:?}");
            run(&mut conn, unmake);
        }
        keep(&store(&server, "system"), &context("1"));
    }
}
