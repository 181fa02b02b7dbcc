//! A replica follows a restore and its undo, by the position in the binary log and by GTID: what it shows is what the primary shows.

use std::time::{Duration, Instant};

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use mysql::{Conn, Row};
use plan::ports::{DataSet, Discard, Road};

use super::kit::{KINDS, all_of, assert_same, context, keep, root, run, server, stage, store_with};
use crate::{LogBin, Options};

const SCHEMA: &str = "
CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;
USE `system`;;
CREATE TABLE accounts (id INT PRIMARY KEY AUTO_INCREMENT, n INT, at TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00', KEY (n));;
CREATE TABLE items (id INT PRIMARY KEY, account INT, b BLOB, s SET('', 'a') DEFAULT 'a', CONSTRAINT owner FOREIGN KEY (account) REFERENCES accounts (id), CHECK (id < 10));;
CREATE TABLE noted (account INT, KEY (account), CONSTRAINT odd FOREIGN KEY (account) REFERENCES accounts (n));;
INSERT INTO accounts (n) VALUES (1), (2);;
INSERT INTO items VALUES (0, 1, X'00FF5C27', '');;
CREATE VIEW totals AS SELECT COUNT(*) AS c FROM items;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = IFNULL(NEW.n, 5);;
CREATE PROCEDURE p() SELECT 1;;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM items
";

struct Pair {
    primary: Mysql,
    replica: Mysql,
}

/// A primary and its replica, both empty.
fn pair(kind: MysqlKind, by_gtid: bool) -> Pair {
    let mut options = vec!["--log-bin=log", "--log-bin-trust-function-creators=1"];
    if kind == MysqlKind::Mysql {
        options.push("--restrict-fk-on-non-standard-key=OFF");
        if by_gtid {
            options.extend(["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]);
        }
    }
    let with = |id: &'static str| server(kind, &options.iter().copied().chain([id]).collect::<Vec<_>>());
    let (primary, replica) = (with("--server-id=1"), with("--server-id=2"));
    let (mut there, mut here) = (root(&primary, None), root(&replica, None));
    let reset = if kind == MysqlKind::Mysql { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
    [&mut there, &mut here].into_iter().for_each(|conn| conn.query_drop(reset).unwrap());
    run(&mut there, "CREATE USER follower@'%' IDENTIFIED BY 'pw';;\nGRANT REPLICATION SLAVE ON *.* TO follower@'%'");
    let port = primary.port();
    match (kind, by_gtid) {
        (MysqlKind::Mysql, _) => {
            let from = if by_gtid { "SOURCE_AUTO_POSITION = 1" } else { "SOURCE_LOG_FILE = 'log.000001', SOURCE_LOG_POS = 4" };
            run(
                &mut here,
                &format!(
                    "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'follower', SOURCE_PASSWORD = 'pw', \
                     GET_SOURCE_PUBLIC_KEY = 1, {from};;\nSTART REPLICA"
                ),
            );
        }
        _ => {
            let from = if by_gtid {
                "MASTER_USE_GTID = slave_pos"
            } else {
                "MASTER_USE_GTID = no, MASTER_LOG_FILE = 'log.000001', MASTER_LOG_POS = 4"
            };
            run(
                &mut here,
                &format!(
                    "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = 'follower', MASTER_PASSWORD = 'pw', {from};;\nSTART SLAVE"
                ),
            );
        }
    }
    Pair { primary, replica }
}

impl Pair {
    /// Waits until the replica has applied what the primary has written now, and compares.
    fn assert_follows(&self, what: &str) {
        let (mut there, mut here) = (root(&self.primary, None), root(&self.replica, None));
        let is_mysql = self.primary.kind() == MysqlKind::Mysql;
        let position: Row = there.query_first(if is_mysql { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }).unwrap().unwrap();
        let wanted: (String, u64) = (position.get(0).unwrap(), position.get(1).unwrap());
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let status = status(&mut here, is_mysql);
            let field =
                |name: &str| status.iter().find(|(known, _)| known.ends_with(name)).map(|(_, value)| value.clone()).unwrap_or_default();
            assert_eq!(field("Last_SQL_Error"), "", "{what}");
            let file = status
                .iter()
                .find(|(name, _)| name.starts_with("Relay_") && name.ends_with("_Log_File") && !name.starts_with("Relay_Log_File"));
            let at = status.iter().find(|(name, _)| name.starts_with("Exec_") && name.ends_with("_Log_Pos"));
            if file.is_some_and(|(_, file)| *file == wanted.0) && at.is_some_and(|(_, at)| at.parse::<u64>().unwrap() >= wanted.1) {
                break;
            }
            assert!(Instant::now() < deadline, "{what}: it does not follow: {status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        // A replica runs no events of its primary's.
        let as_there = |text: String| text.replace(" DISABLE ON REPLICA ", " ENABLE ").replace(" DISABLE ON SLAVE ", " ENABLE ");
        let replica = all_of(&self.replica, "system").into_iter().map(|(name, text)| (name, as_there(text))).collect();
        assert_same(&all_of(&self.primary, "system"), &replica, what);
        assert_eq!(super::kit::side_schemas(&self.primary), super::kit::side_schemas(&self.replica), "{what}");
    }
}

fn status(conn: &mut Conn, is_mysql: bool) -> Vec<(String, String)> {
    let row: Row = conn.query_first(if is_mysql { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" }).unwrap().unwrap();
    let text = |at: usize| row.get_opt::<String, _>(at).and_then(Result::ok).unwrap_or_default();
    row.columns_ref().iter().enumerate().map(|(at, column)| (column.name_str().into_owned(), text(at))).collect()
}

#[test]
fn a_replica_follows_a_restore_and_its_undo() {
    for kind in KINDS {
        // What is logged when a replica is seen, and what is logged always.
        for (by_gtid, log_bin, roads) in
            [(true, LogBin::Always, &[Road::SideCopy, Road::InPlace][..]), (false, LogBin::Auto, &[Road::SideCopy])]
        {
            let pair = pair(kind, by_gtid);
            let mut conn = root(&pair.primary, None);
            run(&mut conn, SCHEMA);
            pair.assert_follows("the replica is one");
            let store = store_with(&pair.primary, "system", Options { lock_wait_seconds: 2, log_bin, ..Options::default() });
            let (held, kept) = keep(&store, &context("1"));
            let doctor = store.look(&context("1")).unwrap();
            assert!(doctor.facts.contains(&("replicas".to_owned(), "yes".to_owned())), "{kind:?}: {:?}", doctor.facts);
            run(
                &mut conn,
                "USE `system`;;\nSET FOREIGN_KEY_CHECKS = 0;;\nDROP TABLE accounts;;\nDROP PROCEDURE p;;\nCREATE TABLE later (id INT)",
            );
            for road in roads.iter().copied() {
                let what = format!("{kind:?}, GTID {by_gtid}, {road:?}");
                let place = stage(&store, &context("1"), &held, &kept, road);
                pair.assert_follows(&format!("{what}: staged"));
                store.cut_over(&context("1"), &place).unwrap();
                pair.assert_follows(&format!("{what}: cut over"));
                store.undo(&context("1"), &place).unwrap();
                pair.assert_follows(&format!("{what}: undone"));
                store.discard(&context("1"), &place, Discard::Staged).unwrap();
                pair.assert_follows(&format!("{what}: discarded"));
            }
        }
    }
}
