//! A database of porta's shape, its 78 triggers and the procedure included, goes back and forth on both roads; the server's own dump client is the judge.

use lab::MysqlKind;
use mysql::prelude::Queryable;
use plan::ports::{DataSet, Discard, Road, Undone};

use super::generated::{assert_same, oracle};
use super::kit::{context, keep, root, run, server, stage, store};

#[test]
fn a_database_of_portas_shape_goes_back_and_forth() {
    // On each road once, on each kind of server.
    for (kind, roads) in [
        (MysqlKind::Mysql, &[Road::SideCopy, Road::InPlace][..]),
        (MysqlKind::Mariadb, &[Road::InPlace]),
        (MysqlKind::NewerMariadb, &[Road::SideCopy]),
    ] {
        let server = server(kind, &["--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;\nUSE `system`");
        lab::porta::mysql().iter().for_each(|statement| conn.query_drop(statement).unwrap_or_else(|error| panic!("{error}\n{statement}")));
        let (store, context, set) = (store(&server, "system"), context("1"), oracle(&server));
        let (held, kept) = keep(&store, &context);
        assert!(kept.problems.is_empty() && kept.evidence.objects["triggers"] == 78, "{kind:?}: {:?}", kept.problems);
        // The migration that makes an undo hard, and other changes.
        run(
            &mut conn,
            "SET @disable_triggers = NULL;;\nALTER TABLE tags ADD COLUMN added INT;;\nDELETE FROM users;;\nDROP TRIGGER plans_tenant_id;;\nINSERT INTO forums (account_id, name) VALUES (7, 'new')",
        );
        let live = oracle(&server);
        for road in roads.iter().copied() {
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            assert_same(&but_next_ids(&set), &but_next_ids(&oracle(&server)), &format!("{kind:?}: restored"));
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            assert_same(&live, &oracle(&server), &format!("{kind:?}: undone"));
            store.discard(&context, &place, Discard::Staged).unwrap();
        }
    }
}

/// Where ids go on is no lower than it was live, and so another number than the set's.
fn but_next_ids(lines: &[String]) -> Vec<String> {
    let cut = |line: &String| match line.split_once("AUTO_INCREMENT=") {
        Some((before, after)) if line.starts_with(')') => format!("{before}{}", after.split_once(' ').map_or("", |(_, rest)| rest)),
        _ => line.clone(),
    };
    lines.iter().map(cut).collect()
}
