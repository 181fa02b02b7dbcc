//! A cut-over and an undo that are interrupted after any statement, and called again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::ports::{Context, DataSet, Place, Road};
use plan::{Class, Error, Result};

use super::kit::{KINDS, all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_with};
use crate::place::Schemas;
use crate::record::{Record, State};
use crate::session::Talk;
use crate::{MysqlStore, Options};

const OLD: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY AUTO_INCREMENT, n INT) AUTO_INCREMENT = 40;;
CREATE TABLE items (id INT PRIMARY KEY, account INT, CONSTRAINT owner FOREIGN KEY (account) REFERENCES accounts (id));;
INSERT INTO accounts VALUES (1, 1), (2, 2);;
INSERT INTO items VALUES (1, 1);;
CREATE TABLE keyed (id INT PRIMARY KEY, n INT, UNIQUE KEY (n));;
CREATE TABLE pointing (n INT, CONSTRAINT of_keyed FOREIGN KEY (n) REFERENCES keyed (n));;
CREATE VIEW totals AS SELECT COUNT(*) AS c FROM items;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = IFNULL(NEW.n, 5);;
CREATE PROCEDURE p() SELECT 1;;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO SELECT 1
";

/// MariaDB only: defaults that a sequence makes name a schema, and are put right after the swap.
const SEQUENCE: &str = "
CREATE SEQUENCE s;;
CREATE TABLE numbered (id INT PRIMARY KEY DEFAULT NEXTVAL(s), n INT DEFAULT (NEXTVAL(s) + 1));;
INSERT INTO numbered () VALUES (), ()
";

/// A foreign key refers to a table that is not there any more, and which the set's would not fit.
const CHANGES: &str = "
SET foreign_key_checks = 0;;
DROP TABLE keyed;;
ALTER TABLE pointing DROP FOREIGN KEY of_keyed;;
ALTER TABLE pointing MODIFY n VARCHAR(9);;
ALTER TABLE pointing ADD CONSTRAINT of_keyed FOREIGN KEY (n) REFERENCES keyed (n);;
SET foreign_key_checks = 1;;
DROP TRIGGER fill;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = 99;;
CREATE TRIGGER newer AFTER INSERT ON items FOR EACH ROW SET @x = 1;;
DROP PROCEDURE p;;
DROP VIEW totals;;
CREATE VIEW totals AS SELECT 'new' AS c;;
CREATE TABLE added (id INT PRIMARY KEY);;
INSERT INTO accounts VALUES (3, 3);;
ALTER DATABASE `system` COLLATE utf8mb4_bin
";

/// A database whose set differs from what is live now.
struct Case {
    server: Mysql,
    place: Place,
    context: Context,
    restored: std::collections::BTreeMap<String, String>,
    live: std::collections::BTreeMap<String, String>,
}

fn case(kind: MysqlKind) -> Case {
    let server = server(kind, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;;\nUSE `system`");
    run(&mut conn, OLD);
    if kind.is_mariadb() {
        run(&mut conn, SEQUENCE);
    }
    let restored = all_of(&server, "system");
    let (store, context) = (store(&server, "system"), context("1"));
    let (held, kept) = keep(&store, &context);
    run(&mut conn, CHANGES);
    let live = all_of(&server, "system");
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    Case { server, place, context, restored, live }
}

/// Stops before the `limit`-th changing statement, as if killed there.
pub(super) fn hook_that_dies(limit: usize) -> crate::session::Hook {
    let ran = AtomicUsize::new(0);
    Arc::new(move |_: &str| -> Result<()> {
        if ran.fetch_add(1, Ordering::SeqCst) >= limit { Err(Error::interrupted()) } else { Ok(()) }
    })
}

/// A store that stops before its `limit`-th changing statement.
fn dying(server: &Mysql, limit: usize) -> MysqlStore {
    store_with(server, "system", Options { lock_wait_seconds: 2, hook: Some(hook_that_dies(limit)), ..Options::default() })
}

/// Interrupts a verb at every statement, calling it again each time, until it ends; every call gets one statement further than the one before.
fn interrupted_everywhere(server: &Mysql, mut verb: impl FnMut(&MysqlStore) -> Result<()>) -> usize {
    for limit in 0..200 {
        let store = dying(server, limit);
        match verb(&store) {
            Ok(()) => return limit,
            Err(error) => assert_eq!(error.class(), Class::Interrupted, "{error:?}"),
        }
    }
    panic!("it never ends")
}

#[test]
fn a_cut_over_and_an_undo_killed_after_any_statement_go_on() {
    for kind in KINDS {
        let case = case(kind);
        // Once from the beginning for every crash point: killed there, then called again whole.
        let mut points = 0;
        for limit in 0..200 {
            let dying_store = dying(&case.server, limit);
            let whole = store(&case.server, "system");
            let first = dying_store.cut_over(&case.context, &case.place);
            whole.cut_over(&case.context, &case.place).unwrap();
            assert_same(&case.restored, &all_of(&case.server, "system"), &format!("cut over after a crash at {limit}"));
            let dying_store = dying(&case.server, limit);
            let second = dying_store.undo(&case.context, &case.place);
            whole.undo(&case.context, &case.place).unwrap();
            assert_same(&case.live, &all_of(&case.server, "system"), &format!("undo after a crash at {limit}"));
            points += 1;
            if first.is_ok() && second.is_ok() {
                break;
            }
        }
        assert!(points > 20, "{points} crash points");
        // A cut-over that was killed anywhere can be taken back instead.
        for limit in 0..points {
            let dying_store = dying(&case.server, limit);
            let whole = store(&case.server, "system");
            drop(dying_store.cut_over(&case.context, &case.place));
            whole.undo(&case.context, &case.place).unwrap();
            assert_same(&case.live, &all_of(&case.server, "system"), &format!("taken back after a crash at {limit}"));
        }
        // And killed again and again.
        interrupted_everywhere(&case.server, |store| store.cut_over(&case.context, &case.place));
        assert_same(&case.restored, &all_of(&case.server, "system"), "after many crashes");
        interrupted_everywhere(&case.server, |store| store.undo(&case.context, &case.place).map(drop));
        assert_same(&case.live, &all_of(&case.server, "system"), "undone after many crashes");
        interrupted_everywhere(&case.server, |store| store.discard(&case.context, &case.place, plan::ports::Discard::Staged));
        assert!(side_schemas(&case.server).is_empty());
    }
}

#[test]
fn a_half_way_cut_over_is_not_discarded() {
    for kind in KINDS {
        let case = case(kind);
        let store = store(&case.server, "system");
        let schemas = Schemas::from_place(&case.place, "system").unwrap();
        let (mut before_it, mut half_way) = (0, 0);
        for limit in 0..200 {
            let dying_store = dying(&case.server, limit);
            let ended = dying_store.cut_over(&case.context, &case.place).is_ok();
            let mut session = store.restoring(Talk::Text, &schemas, None).unwrap();
            match Record::at(&schemas).state(&mut session).unwrap().unwrap() {
                State::Staged | State::Undone => before_it += 1,
                State::Done => assert!(half_way > 0, "it is done at the end only"),
                State::Saved | State::Swapped => {
                    half_way += 1;
                    let (side, live) = (side_schemas(&case.server), all_of(&case.server, "system"));
                    assert!(store.discard(&case.context, &case.place, plan::ports::Discard::Previous).is_err(), "at {limit}");
                    assert_eq!(side, side_schemas(&case.server));
                    assert_same(&live, &all_of(&case.server, "system"), &format!("a refused discard at {limit}"));
                }
                state @ (State::Staging | State::Undoing) => panic!("{state:?} at {limit}"),
            }
            store.undo(&case.context, &case.place).unwrap();
            if ended {
                break;
            }
        }
        assert!(before_it > 3 && half_way > 15, "{before_it} before, {half_way} half-way");
        store.discard(&case.context, &case.place, plan::ports::Discard::Staged).unwrap();
        assert!(side_schemas(&case.server).is_empty());
        assert_same(&case.live, &all_of(&case.server, "system"), "after the discard");
    }
}

#[test]
fn an_open_transaction_makes_the_cut_over_give_up_with_everything_as_before() {
    for kind in KINDS {
        let case = case(kind);
        let store = store(&case.server, "system");
        let mut blocker = root(&case.server, Some("system"));
        run(&mut blocker, "START TRANSACTION;;\nUPDATE accounts SET n = n WHERE id = 1");
        let error = store.cut_over(&case.context, &case.place).unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error:?}");
        let id = blocker.connection_id();
        assert!(error.hints().iter().any(|hint| hint.contains(&format!("connection {id} "))), "{error:?}");
        run(&mut blocker, "ROLLBACK");
        assert_same(&case.live, &all_of(&case.server, "system"), "after giving up");
        store.cut_over(&case.context, &case.place).unwrap();
        run(&mut blocker, "START TRANSACTION;;\nSELECT * FROM accounts");
        assert_eq!(store.undo(&case.context, &case.place).unwrap_err().class(), Class::Transient);
        run(&mut blocker, "ROLLBACK");
        assert_same(&case.restored, &all_of(&case.server, "system"), "after the undo gave up");
        store.undo(&case.context, &case.place).unwrap();
        assert_same(&case.live, &all_of(&case.server, "system"), "after the undo");
    }
}

/// The blocker comes between the probe and the swap: triggers are gone already, and come back.
#[test]
fn a_blocker_that_comes_late_brings_the_triggers_back() {
    for kind in KINDS {
        let case = case(kind);
        let blocker = Arc::new(std::sync::Mutex::new(root(&case.server, Some("system"))));
        let late = Arc::clone(&blocker);
        let hook = move |sql: &str| -> Result<()> {
            if sql.starts_with("RENAME TABLE") {
                run(&mut late.lock().unwrap(), "START TRANSACTION;;\nSELECT * FROM accounts");
            }
            Ok(())
        };
        let options =
            Options { lock_wait_seconds: 1, insist_on_locks_for: Duration::from_secs(1), hook: Some(Arc::new(hook)), ..Options::default() };
        // The trigger's own table is held: take the trigger away, so that putting back does not need that table.
        let store = store_with(&case.server, "system", options);
        let result = store.cut_over(&case.context, &case.place);
        run(&mut blocker.lock().unwrap(), "ROLLBACK");
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error:?}");
        // The held table's trigger could not come back while it was held; the next call does it.
        let calm = super::kit::store(&case.server, "system");
        calm.undo(&case.context, &case.place).unwrap();
        assert_same(&case.live, &all_of(&case.server, "system"), "after giving up");
        calm.cut_over(&case.context, &case.place).unwrap();
        assert_same(&case.restored, &all_of(&case.server, "system"), "after the next call");
    }
}

#[test]
fn a_server_killed_in_the_cut_over_can_go_on() {
    for kind in KINDS {
        let mut case = case(kind);
        for word in ["RENAME TABLE", "CREATE DEFINER"] {
            let process = case.server.process_id().unwrap();
            let hook = move |sql: &str| -> Result<()> {
                if sql.starts_with(word) {
                    // The statement is sent to a server that is being killed.
                    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
                    assert!(killed.success());
                }
                Ok(())
            };
            let options = Options { hook: Some(Arc::new(hook)), ..Options::default() };
            let store = store_with(&case.server, "system", options);
            assert!(store.cut_over(&case.context, &case.place).is_err());
            case.server.kill();
            case.server.start_again().unwrap();
            let store = super::kit::store(&case.server, "system");
            store.cut_over(&case.context, &case.place).unwrap();
            assert_same(&case.restored, &all_of(&case.server, "system"), word);
            store.undo(&case.context, &case.place).unwrap();
            assert_same(&case.live, &all_of(&case.server, "system"), word);
        }
    }
}

#[test]
fn a_stage_that_was_interrupted_begins_again() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system` CHARACTER SET utf8mb4;;\nUSE `system`");
        run(&mut conn, OLD);
        let (whole, context) = (store(&server, "system"), context("1"));
        let (held, kept) = keep(&whole, &context);
        let place = whole.reserve(&context, &kept, Road::SideCopy).unwrap();
        let points = interrupted_everywhere(&server, |store| store.stage(&context, &place, held.clone(), &kept));
        assert!(points > 10, "{points}");
        assert_eq!(kept.evidence.differences(&whole.prove(&context, &place, &kept).unwrap()), Vec::<String>::new());
        let copies: Vec<String> = conn.query("SHOW DATABASES LIKE 'system%'").unwrap();
        assert_eq!(copies.len(), 3);
        whole.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
        assert!(side_schemas(&server).is_empty());
    }
}
