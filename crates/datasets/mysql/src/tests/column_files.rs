//! Parts that are kept as columns: what changed is in few of them, and they are rows again wherever rows are wanted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use lab::Mysql;
use plan::Result;
use plan::ports::{Road, RowReader, StopFlag};

use super::kit::{Held, KINDS, all_of, assert_same, context, keep, root, run, server, stage, store};
use crate::{columns, read_rows};

/// 32,768 applications, 4 MiB.
fn applications(server: &Mysql) {
    let mut conn = root(server, None);
    run(&mut conn, "CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;\nUSE `system`");
    run(
        &mut conn,
        "CREATE TABLE cinstances (id BIGINT PRIMARY KEY AUTO_INCREMENT, user_key VARCHAR(255), description TEXT, hits INT, updated_at DATETIME);;\n\
         INSERT INTO cinstances (user_key, description, hits, updated_at) VALUES ('a', 'tab\\tline\\nback\\\\', 1, '2026-01-01 00:00:00'), (NULL, '', NULL, NULL)",
    );
    for _ in 0..14 {
        run(
            &mut conn,
            "INSERT INTO cinstances (user_key, description, hits, updated_at) SELECT LEFT(SHA2(-id, 256), 32), CONCAT('ü\\n', SHA2(id, 256)), id % 7, updated_at FROM cinstances",
        );
    }
}

fn kept_columns(held: &Held) -> BTreeMap<PathBuf, Vec<u8>> {
    held.rows().filter(|(path, _)| path.components().count() == 4).cloned().collect()
}

#[derive(Default)]
struct Ids(u64, u64);

impl RowReader for Ids {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        (table == "cinstances").then_some(&["hits", "id"])
    }

    fn row(&mut self, _: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let id = cells.get(1).copied().flatten().map(|id| String::from_utf8_lossy(id).into_owned());
        self.0 += 1;
        self.1 += id.unwrap().parse::<u64>().unwrap();
        Ok(())
    }
}

#[test]
fn rows_that_change_in_one_column_leave_the_others_as_they_were() {
    for kind in KINDS {
        let server = server(kind, &["--local-infile=ON"]);
        applications(&server);
        let store = store(&server, "system");
        let (first, _) = keep(&store, &context("1"));
        let mut conn = root(&server, Some("system"));
        run(&mut conn, "UPDATE cinstances SET updated_at = '2026-02-04 05:06:07' WHERE id % 100 = 0");
        let (held, kept) = keep(&store, &context("2"));
        let (before, after) = (kept_columns(&first), kept_columns(&held));
        assert!(before.len() >= 5 && before.keys().eq(after.keys()), "{:?}", after.keys());
        let changed: Vec<_> = after.iter().filter(|(path, bytes)| before[*path] != **bytes).map(|(path, _)| path).collect();
        assert!(!changed.is_empty() && changed.iter().all(|path| path.ends_with("0005.tsv")), "{changed:?}");
        let bytes = |of: &BTreeMap<PathBuf, Vec<u8>>| of.values().map(Vec::len).sum::<usize>();
        assert!(bytes(&after) > 1 << 20);

        let expected: (u64, u64) =
            mysql::prelude::Queryable::query_first(&mut conn, "SELECT COUNT(*), SUM(id) FROM cinstances").unwrap().unwrap();
        let mut ids = Ids::default();
        read_rows(held.as_ref(), &StopFlag::default(), &mut ids).unwrap();
        assert_eq!((ids.0, ids.1), expected);
        stage(&store, &context("2"), &held, &kept, Road::SideCopy);
    }
}

#[test]
fn the_client_alone_loads_columns_when_they_are_pasted() {
    for kind in KINDS {
        let server = server(kind, &["--local-infile=ON"]);
        applications(&server);
        let before = all_of(&server, "system");
        let (held, _) = keep(&store(&server, "system"), &context("1"));
        run(&mut root(&server, None), "DROP DATABASE `system`;;\nCREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin");
        let folder = tempfile::tempdir().unwrap();
        held.restore(folder.path());
        let mut client = server.client();
        let mut child = client
            .args(["--local-infile=1", "--binary-mode", "--comments", "system"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for (_, sql) in held.0.iter().filter(|(path, _)| path.starts_with("sql")) {
            std::io::Write::write_all(&mut input, sql).unwrap();
        }
        drop(input);
        assert!(child.wait().unwrap().success());
        assert_same(&before, &all_of(&server, "system"), "after the client's load");
    }
}

#[test]
fn a_part_that_lacks_a_column_is_not_loaded() {
    let server = server(KINDS[0], &[]);
    applications(&server);
    let store = store(&server, "system");
    let (held, kept) = keep(&store, &context("1"));
    for lost in ["0002.tsv", "0005.tsv"] {
        let damaged = Arc::new(Held(held.0.iter().filter(|(path, _)| !path.ends_with(lost)).cloned().collect()));
        let place = plan::ports::DataSet::reserve(&store, &context("1"), &kept, Road::SideCopy).unwrap();
        let error = plan::ports::DataSet::stage(&store, &context("1"), &place, damaged.clone(), &kept).unwrap_err();
        assert!(error.chain().contains("files of columns"), "{}", error.chain());
        assert!(read_rows(damaged.as_ref(), &StopFlag::default(), &mut Ids::default()).is_err());
    }
}

#[test]
fn columns_of_a_wide_table_pasted_are_its_rows() {
    for count in [2, 256, 300] {
        let row = (0..count).map(|column| column.to_string()).collect::<Vec<_>>().join("\t") + "\n";
        let rows = row.repeat((1 << 20) / row.len());
        let split = columns::split(rows.as_bytes()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..split.len()).map(|index| folder.path().join(format!("{index:04}"))).collect();
        paths.iter().zip(&split).for_each(|(path, column)| std::fs::write(path, column).unwrap());
        let pasted = std::process::Command::new("paste").env("LC_ALL", "C").args(&paths).output().unwrap().stdout;
        assert!(pasted == rows.as_bytes(), "{count} columns");
    }
}
