//! No id is given twice: what is restored goes on where the live tables did, on every road; an undo goes on where the restored ones did, and else is exact.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::ports::{Context, DataSet, Discard, Event, Road, Undone, Watch};

use super::generated::Dice;
use super::kit::{KINDS, SERVERS, all_of, assert_same, context, keep, root, run, server, stage, store, store_as};
use crate::Options;

const SET: &str = "
CREATE TABLE invoices (id BIGINT PRIMARY KEY AUTO_INCREMENT, n INT);;
CREATE TABLE payments (n INT, id INT UNSIGNED NOT NULL AUTO_INCREMENT, KEY (id)) COMMENT = 'AUTO_INCREMENT=7';;
CREATE TABLE emptied (id BIGINT PRIMARY KEY AUTO_INCREMENT) AUTO_INCREMENT = 500;;
CREATE TABLE narrow (id TINYINT PRIMARY KEY AUTO_INCREMENT);;
CREATE TABLE ended (id TINYINT PRIMARY KEY AUTO_INCREMENT);;
CREATE TABLE wide (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT);;
CREATE TABLE parted (id INT PRIMARY KEY AUTO_INCREMENT) PARTITION BY HASH (id) PARTITIONS 2;;
CREATE TABLE a_table_with_a_name_that_is_as_long_as_the_server_takes_it_64chr (id INT PRIMARY KEY AUTO_INCREMENT);;
CREATE TABLE without (id INT PRIMARY KEY);;
INSERT INTO invoices (n) VALUES (1), (2), (3);;
INSERT INTO payments (n) VALUES (1);;
INSERT INTO narrow VALUES (NULL)
";
const LONG: &str = "a_table_with_a_name_that_is_as_long_as_the_server_takes_it_64chr";

/// Rows come and go, ids with them.
const HISTORY: &str = "
INSERT INTO invoices VALUES (30, 1);;
DELETE FROM invoices WHERE id > 3;;
INSERT INTO payments (n) VALUES (2), (3);;
TRUNCATE emptied;;
ALTER TABLE narrow MODIFY id BIGINT AUTO_INCREMENT;;
INSERT INTO narrow VALUES (1000);;
INSERT INTO ended VALUES (127);;
DELETE FROM ended;;
INSERT INTO wide VALUES (18446744073709551613);;
DELETE FROM wide;;
INSERT INTO parted VALUES (1), (2);;
INSERT INTO a_table_with_a_name_that_is_as_long_as_the_server_takes_it_64chr VALUES (70);;
CREATE TABLE later (id INT PRIMARY KEY AUTO_INCREMENT);;
INSERT INTO later VALUES (11)
";

#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Watch for Ear {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) | Event::Note(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

impl Ear {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|heard| heard.contains(text))
    }
}

/// The id that a new row gets, from the server itself.
fn gives(server: &Mysql, insert: &str) -> u64 {
    let mut conn = root(server, Some("system"));
    conn.query_drop(insert).unwrap();
    conn.query_first("SELECT LAST_INSERT_ID()").unwrap().unwrap()
}

/// The id that a new row gets; `None` where the server gives none any more.
fn gives_if_any(server: &Mysql, insert: &str) -> Option<u64> {
    let mut conn = root(server, Some("system"));
    conn.query_drop(insert).ok()?;
    conn.query_first("SELECT LAST_INSERT_ID()").unwrap()
}

fn next_values(server: &Mysql) -> (i64, i64) {
    root(server, Some("system")).query_first("SELECT NEXTVAL(up), NEXTVAL(down)").unwrap().unwrap()
}

#[test]
fn what_is_restored_gives_no_id_again_and_neither_does_what_an_undo_makes_live() {
    for kind in SERVERS {
        for (road, user) in [(Road::SideCopy, "root"), (Road::InPlace, "root"), (Road::InPlace, "app")] {
            let what = format!("{kind:?} {road:?} {user}");
            let server = server(kind, &["--log-bin-trust-function-creators=1"]);
            let mut conn = root(&server, None);
            run(
                &mut conn,
                "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nCREATE DATABASE `system`;;\nUSE `system`",
            );
            run(&mut conn, SET);
            let is_mariadb = matches!(kind, MysqlKind::Mariadb | MysqlKind::NewerMariadb);
            if is_mariadb {
                run(&mut conn, "CREATE SEQUENCE up;;\nCREATE SEQUENCE down INCREMENT -1 MINVALUE -1000 MAXVALUE -1 START WITH -1 NOCACHE");
            }
            let (held, kept) = keep(&store(&server, "system"), &context("0"));
            run(&mut conn, HISTORY);
            let given = is_mariadb.then(|| next_values(&server));
            let old = all_of(&server, "system");

            let ear = Arc::new(Ear::default());
            let context = Context { watch: Arc::clone(&ear) as Arc<dyn Watch>, ..context("1") };
            let options = Options { lock_wait_seconds: 2, ..Options::default() };
            let app_store = store_as(&server, "app", "system", options);
            let store = if user == "root" { store(&server, "system") } else { app_store };
            let place = stage(&store, &context, &held, &kept, road);
            store.cut_over(&context, &place).unwrap();
            assert!(ear.has("invoices from 4 to 31"), "{what}: {:?}", ear.0.lock().unwrap());
            assert!(ear.has("narrow goes on at 2, and not at 1001"), "{what}: {:?}", ear.0.lock().unwrap());
            assert!(ear.has("the set does not have later at 12"), "{what}: {:?}", ear.0.lock().unwrap());
            // Nobody wrote: what comes back is what was, to the digit.
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            assert_same(&old, &all_of(&server, "system"), &what);

            // Again, and now rows are made.
            match road {
                Road::SideCopy => store.cut_over(&context, &place).unwrap(),
                Road::InPlace => store.stage(&context, &place, held.clone(), &kept).unwrap(),
            }
            assert_eq!(gives(&server, "INSERT INTO invoices (n) VALUES (9)"), 31, "{what}");
            assert_eq!(gives(&server, "INSERT INTO payments (n) VALUES (9)"), 4, "{what}");
            assert_eq!(gives(&server, "INSERT INTO emptied VALUES (NULL)"), 500, "{what}: the set's is further");
            assert_eq!(gives(&server, "INSERT INTO narrow VALUES (NULL)"), 2, "{what}");
            // MySQL gives the last one of a type once more when its row is gone, MariaDB does not.
            let ended = gives_if_any(&server, "INSERT INTO ended VALUES (NULL)");
            assert!(ended.is_none_or(|id| id == 127), "{what}: {ended:?}");
            let wide = gives_if_any(&server, "INSERT INTO wide VALUES (NULL)");
            assert!(wide.is_none_or(|id| id > 18_446_744_073_709_551_613), "{what}: {wide:?}");
            assert_eq!(gives(&server, "INSERT INTO parted VALUES (NULL)"), 3, "{what}");
            assert_eq!(gives(&server, &format!("INSERT INTO {LONG} VALUES (NULL)")), 71, "{what}");
            let restored = given.map(|(up, down)| {
                let (next_up, next_down) = next_values(&server);
                assert!(next_up > up && next_down < down, "{what}: {next_up} {next_down} after {up} {down}");
                (next_up, next_down)
            });
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            assert_eq!(gives(&server, "INSERT INTO invoices (n) VALUES (9)"), 32, "{what}: 31 was given while the restored rows were live");
            assert_eq!(gives(&server, "INSERT INTO payments (n) VALUES (9)"), 5, "{what}");
            assert_eq!(gives(&server, "INSERT INTO emptied VALUES (NULL)"), 501, "{what}");
            assert_eq!(gives(&server, "INSERT INTO narrow VALUES (NULL)"), 1001, "{what}");
            if let Some((up, down)) = restored {
                let (next_up, next_down) = next_values(&server);
                assert!(next_up > up && next_down < down, "{what}: {next_up} {next_down} after {up} {down}");
            }
            store.discard(&context, &place, Discard::Staged).unwrap();
        }
    }
}

#[test]
fn a_database_that_is_gone_or_empty_holds_nothing_back() {
    for kind in SERVERS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, SET);
        let (store, context) = (store(&server, "system"), context("1"));
        let (held, kept) = keep(&store, &context);
        let set = all_of(&server, "system");
        for lost in ["DROP DATABASE `system`", "DROP DATABASE `system`;;\nCREATE DATABASE `system`"] {
            run(&mut root(&server, None), lost);
            let place = stage(&store, &context, &held, &kept, Road::SideCopy);
            store.cut_over(&context, &place).unwrap();
            assert_same(&set, &all_of(&server, "system"), lost);
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            store.cut_over(&context, &place).unwrap();
            store.discard(&context, &place, Discard::Previous).unwrap();
        }
    }
}

/// A random history of rows, backups, restores, undos and settled runs; with `THREESCALE_BACKUP_SEED` another one.
#[test]
fn no_id_is_given_twice_whatever_happens() {
    let seed = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_129);
    for kind in KINDS {
        let server = server(kind, &["--log-bin-trust-function-creators=1"]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nCREATE DATABASE `system`;;\nUSE `system`;;\n\
             CREATE TABLE invoices (id BIGINT PRIMARY KEY AUTO_INCREMENT, n INT)",
        );
        let (mut dice, mut given, mut told) = (Dice(seed), BTreeSet::new(), Vec::new());
        let mut set = keep(&store(&server, "system"), &context("0"));
        let (mut live, mut restores) = (None, 0);
        for step in 0..60 {
            match dice.below(8) {
                0..=3 => {
                    for _ in 0..=dice.below(4) {
                        let id = gives(&server, "INSERT INTO invoices (n) VALUES (1)");
                        assert!(given.insert(id), "{kind:?}, seed {seed}: {id} was given twice: {told:?}");
                    }
                    told.push(format!("rows to {:?}", given.last()));
                }
                4 => {
                    run(&mut conn, &format!("DELETE FROM `system`.invoices WHERE id % 3 = {} OR id > {}", dice.below(3), given.len()));
                    told.push("deletes".to_owned());
                }
                5 => {
                    set = keep(&store(&server, "system"), &context("0"));
                    told.push("backup".to_owned());
                }
                _ => match live.take() {
                    None => {
                        restores += 1;
                        let context = context(&format!("{}", 10 + step));
                        let as_app = dice.hit(3);
                        let store = match as_app {
                            true => store_as(&server, "app", "system", Options { lock_wait_seconds: 2, ..Options::default() }),
                            false => store(&server, "system"),
                        };
                        let road = if as_app || dice.hit(2) { Road::InPlace } else { Road::SideCopy };
                        let place = stage(&store, &context, &set.0, &set.1, road);
                        store.cut_over(&context, &place).unwrap();
                        told.push(format!("restore {road:?} {as_app}"));
                        live = Some((store, context, place));
                    }
                    Some((store, context, place)) if dice.hit(2) => {
                        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
                        store.discard(&context, &place, Discard::Staged).unwrap();
                        told.push("undo".to_owned());
                    }
                    Some((store, context, place)) => {
                        store.discard(&context, &place, Discard::Previous).unwrap();
                        told.push("settle".to_owned());
                    }
                },
            }
        }
        assert!(restores >= 4 && given.len() > 20, "{restores} restores, {} ids", given.len());
    }
}
