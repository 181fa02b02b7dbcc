//! Everything comes back, byte by byte, as the server itself sees it.

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::ports::{DataSet, Road};

use super::kit::{Heard, KINDS, all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_with};
use crate::Options;

/// Every type and every byte value, in a database whose name is a reserved word.
fn fill(server: &Mysql, database: &str) {
    let mut conn = root(server, None);
    run(&mut conn, &format!("CREATE DATABASE `{database}` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;\nUSE `{database}`"));
    run(&mut conn, "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00'");
    run(&mut conn, include_str!("fidelity/common.sql"));
    run(
        &mut conn,
        match server.kind() {
            MysqlKind::Mysql => include_str!("fidelity/mysql.sql"),
            MysqlKind::Mariadb | MysqlKind::NewerMariadb => include_str!("fidelity/mariadb.sql"),
        },
    );
    // Every byte in every kind of column that takes bytes, alone and all together.
    let mut insert = |bytes: &[u8]| {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let sql = format!(
            "INSERT INTO bytes (b, v, l, t) VALUES (x'{hex}', x'{hex}', CONVERT(x'{hex}' USING latin1), CONVERT(x'{hex}' USING latin1))"
        );
        conn.query_drop(sql).unwrap();
    };
    (0..=255_u8).for_each(|byte| insert(&[byte]));
    insert(&(0..=255_u8).collect::<Vec<_>>());
    insert(b"");
    insert(b"\\N");
    insert(b"\\");
}

fn comes_back(kind: MysqlKind, options: Options, extra: &[&str]) {
    let server = server(kind, extra);
    fill(&server, "system");
    let before = all_of(&server, "system");
    let store = store_with(&server, "system", options);
    let context = context("1");
    let (held, kept) = keep(&store, &context);
    // A rehearsal beside an unchanged database leaves no trace.
    let rehearsal = super::kit::context("0");
    let rehearsed = stage(&store, &rehearsal, &held, &kept, Road::SideCopy);
    store.discard(&rehearsal, &rehearsed, plan::ports::Discard::Staged).unwrap();
    // The live database is damaged, then the set comes back over it.
    let mut conn = root(&server, Some("system"));
    run(
        &mut conn,
        "SET foreign_key_checks = 0, sql_mode = '';;\nALTER TABLE odd DROP COLUMN tt;;\nDELETE FROM odd WHERE id = 7;;\nDELETE FROM `bytes` LIMIT 100;;\nCREATE TABLE newer (id INT);;\nALTER DATABASE `system` COLLATE utf8mb4_bin",
    );
    drop(conn);
    let damaged = all_of(&server, "system");
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    assert_same(&damaged, &all_of(&server, "system"), "staging does not touch the live database");
    store.cut_over(&context, &place).unwrap();
    assert_same(&before, &all_of(&server, "system"), "after the cut-over");
    assert!(store.kept_bytes(&context, &place).unwrap() > 0);
    store.undo(&context, &place).unwrap();
    assert_same(&damaged, &all_of(&server, "system"), "after the undo");
    store.cut_over(&context, &place).unwrap();
    store.cut_over(&context, &place).unwrap();
    assert_same(&before, &all_of(&server, "system"), "after the second cut-over");
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert!(side_schemas(&server).is_empty());
    assert_same(&before, &all_of(&server, "system"), "after settling");
    // A dump of what came back is the same dump: equal parts, so nothing new to keep.
    let (again, _) = keep(&store, &context);
    assert!(held.rows().eq(again.rows()), "the rows of the second dump are the same");
}

#[test]
fn everything_comes_back_on_mysql() {
    comes_back(MysqlKind::Mysql, Options::default(), &["--local-infile=ON"]);
}

#[test]
fn everything_comes_back_on_mariadb() {
    comes_back(MysqlKind::Mariadb, Options::default(), &[]);
}

#[test]
fn inserts_bring_the_same_where_no_local_files_are_taken() {
    for kind in KINDS {
        comes_back(kind, Options { insert_only: true, ..Options::default() }, &[]);
    }
}

#[test]
fn local_infile_is_switched_on_for_the_load_and_put_back() {
    for kind in KINDS {
        let server = server(kind, &["--local-infile=OFF"]);
        fill(&server, "system");
        let before = all_of(&server, "system");
        let (store, context) = (store(&server, "system"), context("2"));
        let (held, kept) = keep(&store, &context);
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        let on: u8 = root(&server, None).query_first("SELECT @@GLOBAL.local_infile").unwrap().unwrap();
        assert_eq!(on, 0);
        store.cut_over(&context, &place).unwrap();
        assert_same(&before, &all_of(&server, "system"), "after the cut-over");
    }
}

#[test]
fn the_client_alone_loads_a_snapshot() {
    for kind in KINDS {
        let server = server(kind, &["--local-infile=ON", "--log-bin-trust-function-creators=1"]);
        fill(&server, "system");
        let before = all_of(&server, "system");
        let (held, _) = keep(&store(&server, "system"), &context("3"));
        run(&mut root(&server, None), "DROP DATABASE `system`;;\nCREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin");
        let folder = tempfile::tempdir().unwrap();
        held.restore(folder.path());
        let mut scripts: Vec<_> = std::fs::read_dir(folder.path().join("sql")).unwrap().map(|entry| entry.unwrap().path()).collect();
        scripts.sort();
        let all: Vec<u8> = scripts.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
        std::fs::write(folder.path().join("all.sql"), all).unwrap();
        let input = std::fs::File::open(folder.path().join("all.sql")).unwrap();
        let output = server
            .client()
            .args(["--local-infile=1", "--binary-mode", "--comments", "system"])
            .current_dir(folder.path())
            .stdin(input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_same(&before, &all_of(&server, "system"), "after the client's load");
    }
}

#[test]
fn triggers_of_porta_do_not_rewrite_rows_on_load() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, "CREATE TABLE accounts (id BIGINT PRIMARY KEY AUTO_INCREMENT, tenant_id BIGINT)");
        run(&mut conn, "INSERT INTO accounts VALUES (1, NULL), (2, 7)");
        run(
            &mut conn,
            "CREATE TRIGGER accounts_tenant_id BEFORE INSERT ON accounts FOR EACH ROW SET NEW.tenant_id = IFNULL(NEW.tenant_id, 2)",
        );
        let (store, context) = (store(&server, "system"), context("4"));
        let (held, kept) = keep(&store, &context);
        for road in [Road::SideCopy, Road::InPlace] {
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            let rows: Vec<(u64, Option<u64>)> = conn.query("SELECT * FROM `system`.accounts ORDER BY id").unwrap();
            assert_eq!(rows, [(1, None), (2, Some(7))]);
            conn.query_drop("INSERT INTO `system`.accounts (tenant_id) VALUES (NULL)").unwrap();
            let (id, fired): (u64, u64) =
                conn.query_first("SELECT id, tenant_id FROM `system`.accounts ORDER BY id DESC LIMIT 1").unwrap().unwrap();
            // An id that the replaced table gave is not given again.
            let next = if road == Road::SideCopy { 3 } else { 4 };
            assert_eq!((id, fired), (next, 2), "the trigger is back, and so is AUTO_INCREMENT");
            store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        }
    }
}

#[test]
fn a_row_that_fills_max_allowed_packet_comes_back() {
    for kind in KINDS {
        let server = server(
            kind,
            &["--max-allowed-packet=32M", "--loose-innodb-log-file-size=512M", "--loose-innodb-redo-log-capacity=1G", "--local-infile=ON"],
        );
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE big (id INT PRIMARY KEY, a LONGBLOB, b LONGBLOB)");
        run(
            &mut conn,
            "INSERT INTO big VALUES (1, REPEAT(x'00', 15 << 20), NULL), (2, REPEAT('a', 15 << 20), REPEAT(x'5c', 10 << 20)), (3, 'x', 'y')",
        );
        run(&mut conn, "UPDATE big SET b = REPEAT('z', 31 << 20) WHERE id = 3");
        let before = all_of(&server, "system");
        let (store, context) = (store(&server, "system"), context("5"));
        let (held, kept) = keep(&store, &context);
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        assert_same(&before, &all_of(&server, "system"), "after the cut-over");
    }
}

#[test]
fn a_view_broken_at_its_source_is_told_and_keeps_nothing_else_away() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE kept (id INT PRIMARY KEY);;\nINSERT INTO kept VALUES (1);;\nCREATE TABLE gone (id INT PRIMARY KEY)",
        );
        run(
            &mut conn,
            "CREATE VIEW a_broken AS SELECT id FROM gone;;\nCREATE VIEW a_second AS SELECT id FROM a_broken;;\nCREATE VIEW z_whole AS SELECT id FROM kept;;\nCREATE TRIGGER t BEFORE INSERT ON kept FOR EACH ROW SET @x = 1;;\nDROP TABLE gone",
        );
        let heard = std::sync::Arc::new(Heard::default());
        let context = plan::ports::Context { watch: heard.clone(), ..context("6") };
        let store = store(&server, "system");
        let (held, kept) = keep(&store, &context);
        assert_eq!((kept.evidence.objects["views"], heard.0.lock().unwrap().len()), (3, 0));
        let mut before = all_of(&server, "system");
        for road in [Road::SideCopy, Road::InPlace] {
            let place = store.reserve(&context, &kept, road).unwrap();
            store.stage(&context, &place, held.clone(), &kept).unwrap();
            store.cut_over(&context, &place).unwrap();
            let told = std::mem::take(&mut *heard.0.lock().unwrap());
            // Beside, they are told when they are tried and when they are to be made.
            assert_eq!(told.len(), if road == Road::SideCopy { 4 } else { 2 }, "{told:?}");
            assert!(told.iter().all(|text| text.contains("cannot be made: ERROR ")), "{told:?}");
            assert!(["a_broken", "a_second"].iter().all(|view| told.iter().any(|text| text.contains(view))), "{told:?}");
            before.retain(|name, _| !name.contains("a_broken") && !name.contains("a_second"));
            assert_same(&before, &all_of(&server, "system"), "all but the broken views");
            store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        }
    }
}
