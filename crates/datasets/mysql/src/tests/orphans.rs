//! Foreign keys to tables that are not there, and that a restore or its undo brings: whether those fit or not, neither is stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use lab::{Mysql, MysqlKind};
use mysql::Row;
use mysql::prelude::Queryable;
use plan::ports::{Context, DataSet, Discard, Road};

use super::kit::{Heard, SERVERS, all_of, assert_same, context, keep, root, run, server, stage, store, store_as};
use crate::{MysqlStore, Options};

/// Foreign keys refer to a unique key, to one that is not, and to a table that is not there.
const SET: &str = "
CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;
USE `system`;;
SET foreign_key_checks = 0;;
CREATE TABLE parent (id INT PRIMARY KEY, n INT, m INT, UNIQUE KEY (n), KEY (m));;
CREATE TABLE child (id INT PRIMARY KEY, n INT, m INT, KEY by_n (n), KEY by_m (m), CONSTRAINT c1 FOREIGN KEY (n) REFERENCES parent (n), CONSTRAINT c2 FOREIGN KEY (m) REFERENCES parent (m) ON DELETE CASCADE);;
CREATE TABLE lost (g INT, CONSTRAINT to_gone FOREIGN KEY (g) REFERENCES gone (g));;
INSERT INTO parent VALUES (1, 1, 1), (2, 2, 1);;
INSERT INTO child VALUES (1, 2, 1);;
CREATE DATABASE other;;
CREATE TABLE other.fits (n INT, CONSTRAINT fits FOREIGN KEY (n) REFERENCES `system`.parent (n));;
INSERT INTO other.fits VALUES (2)
";

/// What refers to the parent stays when that goes; the other one comes, and does not fit what referred to it.
const CHANGES: &str = "
SET foreign_key_checks = 0;;
DROP TABLE parent;;
ALTER TABLE child DROP FOREIGN KEY c1;;
ALTER TABLE child MODIFY n VARCHAR(5);;
ALTER TABLE child ADD CONSTRAINT c1 FOREIGN KEY (n) REFERENCES parent (n);;
CREATE TABLE other.unfit (n VARCHAR(5), CONSTRAINT unfit FOREIGN KEY (n) REFERENCES `system`.parent (n) ON UPDATE CASCADE);;
ALTER TABLE lost DROP FOREIGN KEY to_gone;;
CREATE TABLE gone (id INT PRIMARY KEY, g VARCHAR(5))
";

fn changed(kind: MysqlKind) -> Mysql {
    // Who wants such a key has allowed it (MySQL 8.4 and newer).
    let options: &[&str] = if kind == MysqlKind::Mysql { &["--restrict-fk-on-non-standard-key=OFF"] } else { &[] };
    let server = server(kind, options);
    let mut conn = root(&server, None);
    run(&mut conn, SET);
    run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON other.* TO app@'%'");
    server
}

/// Both schemas.
fn everything(server: &Mysql) -> BTreeMap<String, String> {
    let other = all_of(server, "other").into_iter().map(|(name, text)| (format!("other: {name}"), text));
    all_of(server, "system").into_iter().chain(other).collect()
}

fn foreign_keys(server: &Mysql, table: &str) -> usize {
    let row: Row = root(server, None).query_first(format!("SHOW CREATE TABLE {table}")).unwrap().unwrap();
    row.get::<String, _>(1).unwrap().matches(" FOREIGN KEY ").count()
}

fn listening() -> (Arc<Heard>, Context) {
    let heard = Arc::new(Heard::default());
    (Arc::clone(&heard), Context { watch: heard, ..context("1") })
}

#[test]
fn foreign_keys_to_what_is_not_there_stop_neither_a_restore_nor_its_undo() {
    std::thread::scope(|scope| SERVERS.map(|kind| scope.spawn(move || forth_and_back(kind))).map(|life| life.join().unwrap()));
}

fn forth_and_back(kind: MysqlKind) {
    let server = changed(kind);
    let set = all_of(&server, "system");
    let (held, kept) = keep(&store(&server, "system"), &context("0"));
    run(&mut root(&server, Some("system")), CHANGES);
    let old = everything(&server);
    let as_app = || store_as(&server, "app", "system", Options { lock_wait_seconds: 2, ..Options::default() });
    let roads: [(&str, Road, &dyn Fn() -> MysqlStore); 3] = [
        ("beside", Road::SideCopy, &|| store(&server, "system")),
        ("in place", Road::InPlace, &|| store(&server, "system")),
        ("within", Road::InPlace, &as_app),
    ];
    for (name, road, store) in roads {
        let (what, store, (heard, context)) = (format!("{kind:?}, {name}"), store(), listening());
        let place = stage(&store, &context, &held, &kept, road);
        store.cut_over(&context, &place).unwrap();
        assert_same(&set, &all_of(&server, "system"), &format!("{what}: restored"));
        // One that does not fit is told, and all others are there.
        assert_eq!([foreign_keys(&server, "other.fits"), foreign_keys(&server, "other.unfit")], [1, 0], "{what}");
        let told: Vec<String> = heard.0.lock().unwrap().drain(..).filter(|text| text.starts_with("foreign key ")).collect();
        assert!(matches!(&told[..], [one] if one.starts_with("foreign key \"unfit\" of `other`.`unfit` could not")), "{what}: {told:?}");
        let mut conn = root(&server, Some("other"));
        assert!(conn.query_drop("INSERT INTO fits VALUES (99)").is_err(), "{what}: it holds");
        store.undo(&context, &place).unwrap();
        assert_same(&old, &everything(&server), &format!("{what}: undone"));
        if road == Road::SideCopy {
            store.cut_over(&context, &place).unwrap();
            assert_same(&set, &all_of(&server, "system"), &format!("{what}: restored again"));
            store.undo(&context, &place).unwrap();
            assert_same(&old, &everything(&server), &format!("{what}: undone again"));
        }
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_same(&old, &everything(&server), &format!("{what}: discarded"));
    }
}

/// Foreign keys of the set into another schema, of which one fits no more, and one is of a table that has another one too.
const OUTWARD: &str = "
CREATE DATABASE other;;
CREATE TABLE other.parent (n INT PRIMARY KEY, m INT, UNIQUE KEY (m));;
CREATE TABLE other.calm (n INT PRIMARY KEY);;
INSERT INTO other.parent VALUES (1, 1);;
INSERT INTO other.calm VALUES (1);;
CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;;
USE `system`;;
CREATE TABLE child (id INT PRIMARY KEY, n INT, m INT, CONSTRAINT to_parent FOREIGN KEY (m) REFERENCES other.parent (m), CONSTRAINT to_calm FOREIGN KEY (n) REFERENCES other.calm (n));;
CREATE TABLE grandchild (id INT PRIMARY KEY, CONSTRAINT `to ``child``` FOREIGN KEY (id) REFERENCES child (id));;
INSERT INTO child VALUES (1, 1, 1);;
INSERT INTO grandchild VALUES (1)
";

const NO_MORE: &str = "
ALTER TABLE child DROP FOREIGN KEY to_parent;;
DROP TABLE other.parent;;
CREATE TABLE other.parent (n INT PRIMARY KEY, m VARCHAR(5), UNIQUE KEY (m))
";

#[test]
fn a_foreign_key_of_the_set_that_fits_no_more_stops_nothing_else() {
    std::thread::scope(|scope| SERVERS.map(|kind| scope.spawn(move || outward(kind))).map(|life| life.join().unwrap()));
}

fn outward(kind: MysqlKind) {
    let server = server(kind, &[]);
    run(&mut root(&server, None), OUTWARD);
    let set = all_of(&server, "system");
    let (held, kept) = keep(&store(&server, "system"), &context("0"));
    run(&mut root(&server, Some("system")), NO_MORE);
    let old = everything(&server);
    for road in [Road::SideCopy, Road::InPlace] {
        let (what, store, (heard, context)) = (format!("{kind:?}, {road:?}"), store(&server, "system"), listening());
        // Proven with what is told; on the road beside, before anything is live.
        let place = stage(&store, &context, &held, &kept, road);
        let told: Vec<String> = heard.0.lock().unwrap().iter().filter(|text| text.starts_with("foreign key ")).cloned().collect();
        let [told] = &told[..] else { panic!("{what}: {told:?}") };
        let (_, statement) = told.split_once("when that is mended: ").unwrap();
        store.cut_over(&context, &place).unwrap();
        assert_eq!([foreign_keys(&server, "`system`.child"), foreign_keys(&server, "`system`.grandchild")], [1, 1], "{what}");
        // The statement that was told is the way out.
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "DROP TABLE other.parent;;\nCREATE TABLE other.parent (n INT PRIMARY KEY, m INT, UNIQUE KEY (m));;\nINSERT INTO other.parent VALUES (1, 1)",
        );
        conn.query_drop(statement).unwrap();
        assert_same(&set, &all_of(&server, "system"), &format!("{what}: restored"));
        run(&mut root(&server, Some("system")), NO_MORE);
        store.undo(&context, &place).unwrap();
        assert_same(&old, &everything(&server), &format!("{what}: undone"));
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
}
