//! A restore in place keeps what it replaces by rename, whatever the user may: killed anywhere, it goes on or goes back exactly, without a proof.

use std::collections::BTreeMap;
use std::sync::Arc;

use lab::{Mysql, MysqlKind};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Discard, Holds, Place, Road, Undone};
use plan::{Class, Error, Result};

use super::crash::hook_that_dies;
use super::kit::{Held, KINDS, all_of, assert_same, context, keep, kept_within, root, run, server, side_schemas, stage, store_as};
use crate::{MysqlStore, Options};

const SET: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY AUTO_INCREMENT, n INT);;
CREATE TABLE items (id INT PRIMARY KEY, account INT, again INT, KEY (account), KEY (again), CONSTRAINT owner FOREIGN KEY (account) REFERENCES accounts (id), FOREIGN KEY (again) REFERENCES accounts (id), CONSTRAINT small CHECK (id < 1000));;
CREATE TABLE a_table_with_a_name_that_is_as_long_as_the_server_takes_it_64chr (id INT PRIMARY KEY);;
INSERT INTO accounts VALUES (1, 1), (2, 2);;
INSERT INTO items VALUES (1, 1, 2);;
CREATE TABLE keyed (id INT PRIMARY KEY, n INT, UNIQUE KEY (n));;
CREATE TABLE pointing (n INT, CONSTRAINT of_keyed FOREIGN KEY (n) REFERENCES keyed (n));;
CREATE VIEW totals AS SELECT COUNT(*) AS c FROM items;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = IFNULL(NEW.n, 5);;
CREATE PROCEDURE p() SELECT 1
";

/// A foreign key refers to a table that is not there any more, and which the set's would not fit.
const CHANGES: &str = "
SET foreign_key_checks = 0;;
DROP TABLE keyed;;
ALTER TABLE pointing DROP FOREIGN KEY of_keyed;;
ALTER TABLE pointing MODIFY n VARCHAR(9);;
ALTER TABLE pointing ADD CONSTRAINT of_keyed FOREIGN KEY (n) REFERENCES keyed (n);;
SET foreign_key_checks = 1;;
INSERT INTO accounts VALUES (3, 3);;
DROP TRIGGER fill;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = 99;;
CREATE VIEW newer AS SELECT 1 AS one;;
CREATE TABLE gone (id INT PRIMARY KEY);;
CREATE VIEW broken AS SELECT id FROM gone;;
DROP TABLE gone;;
CREATE TABLE added (id INT PRIMARY KEY, account INT, KEY (account), CONSTRAINT owner_too FOREIGN KEY (account) REFERENCES accounts (id))
";

struct Case {
    server: Mysql,
    user: &'static str,
    held: Arc<Held>,
    kept: KeptDataSet,
    set: BTreeMap<String, String>,
    /// The set, with the next id of what is replaced: it gave one more.
    restored: BTreeMap<String, String>,
    old: BTreeMap<String, String>,
}

/// `user`: `root`, or `app`, who may make no schema.
fn case(kind: MysqlKind, user: &'static str) -> Case {
    let server = server(kind, &["--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(
        &mut conn,
        "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nCREATE DATABASE `system`;;\nUSE `system`",
    );
    match kind {
        MysqlKind::Mysql => run(&mut conn, "GRANT SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, SHOW_ROUTINE, SYSTEM_USER ON *.* TO app@'%'"),
        MysqlKind::Mariadb | MysqlKind::NewerMariadb => {
            run(&mut conn, "GRANT SET USER ON *.* TO app@'%';;\nGRANT SELECT ON mysql.proc TO app@'%'")
        }
    }
    run(&mut conn, SET);
    let set = all_of(&server, "system");
    let (held, kept) = keep(&super::kit::store(&server, "system"), &context("0"));
    run(&mut conn, CHANGES);
    let old = all_of(&server, "system");
    let mut restored = set.clone();
    let accounts = restored.get_mut("BASE TABLE accounts").unwrap();
    *accounts = accounts.replace("AUTO_INCREMENT=3", "AUTO_INCREMENT=4");
    assert_ne!(restored, set);
    Case { server, user, held, kept, set, restored, old }
}

impl Case {
    fn store_with(&self, options: Options) -> MysqlStore {
        let options = Options { lock_wait_seconds: 2, ..options };
        if self.user == "root" {
            super::kit::store_with(&self.server, "system", options)
        } else {
            store_as(&self.server, self.user, "system", options)
        }
    }

    fn store(&self) -> MysqlStore {
        self.store_with(Options::default())
    }

    fn dying(&self, limit: usize) -> MysqlStore {
        self.store_with(Options { hook: Some(hook_that_dies(limit)), ..Options::default() })
    }

    fn load(&self, store: &MysqlStore, context: &Context, place: &Place) -> Result<()> {
        store.stage(context, place, self.held.clone(), &self.kept)
    }

    fn assert_live(&self, wanted: &BTreeMap<String, String>, what: &str) {
        assert_same(wanted, &all_of(&self.server, "system"), what);
    }
}

#[test]
fn what_is_replaced_in_place_is_kept_and_comes_back_from_any_crash() {
    let cases = KINDS.into_iter().flat_map(|kind| ["root", "app"].map(|user| (kind, user)));
    for (first, (kind, user)) in cases.enumerate() {
        let (case, context) = (case(kind, user), context("1"));
        let store = case.store();
        let place = store.reserve(&context, &case.kept, Road::InPlace).unwrap();
        assert!(store.keeps_previous(&place));
        // Killed before every statement (each server takes its share of them): taken back.
        let mut last = 0;
        for limit in (first..400).step_by(4) {
            let ended = case.load(&case.dying(limit), &context, &place).is_ok();
            let found = store.undo(&context, &place).unwrap();
            // Until the record says how far it came, nothing was touched.
            assert!(found == Undone::PreviousIsLive || limit < 20, "{kind:?} {user} at {limit}: {found:?}");
            case.assert_live(&case.old, &format!("{kind:?} {user}: undone after a crash at {limit}"));
            assert_eq!(store.look(&context).unwrap().half_loaded_by, None, "{kind:?} {user} at {limit}");
            if limit % 3 == 0 {
                assert_eq!(store.undo(&context, &place).unwrap(), found);
                store.discard(&context, &place, Discard::Staged).unwrap();
                assert_eq!(
                    (side_schemas(&case.server), kept_within(&case.server, "system")),
                    (Vec::new(), Vec::new()),
                    "{user} at {limit}"
                );
            }
            last = limit;
            if ended {
                break;
            }
        }
        assert!(last > 50, "{last} statements");
        // Or gone on with; and the undo is killed too.
        for limit in (first..last).step_by(16) {
            drop(case.load(&case.dying(limit), &context, &place));
            case.load(&store, &context, &place).unwrap();
            case.assert_live(&case.restored, &format!("{kind:?} {user}: loaded after a crash at {limit}"));
            assert_eq!(case.kept.evidence.differences(&store.prove(&context, &place, &case.kept).unwrap()), Vec::<String>::new());
            drop(case.dying(limit).undo(&context, &place));
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            case.assert_live(&case.old, &format!("{kind:?} {user}: an undo killed at {limit}"));
        }
        case.load(&store, &context, &place).unwrap();
        let left = store.leftovers(&context).unwrap();
        assert!(
            matches!(&left[..], [one] if one.holds == Holds::Previous && one.run == context.run.to_string() && one.bytes > Some(0)),
            "{left:?}"
        );
        assert_eq!(store.discard(&context, &place, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
        store.discard(&context, &place, Discard::Previous).unwrap();
        case.assert_live(&case.restored, "settled");
        assert_eq!((side_schemas(&case.server), kept_within(&case.server, "system")), (Vec::new(), Vec::new()));
    }
}

#[test]
fn a_load_in_place_that_fails_is_undone_exactly() {
    for kind in KINDS {
        for user in ["root", "app"] {
            let (case, context) = (case(kind, user), context("1"));
            let store = case.store();
            // A part that the server does not take: the load fails in its midst, however often.
            let damage = |(path, bytes): &(std::path::PathBuf, Vec<u8>)| {
                (path.clone(), if path.starts_with("rows/items") { b"1\tx\n".to_vec() } else { bytes.clone() })
            };
            let damaged = Arc::new(Held(case.held.0.iter().map(damage).collect()));
            let place = store.reserve(&context, &case.kept, Road::InPlace).unwrap();
            for _ in 0..2 {
                assert!(store.stage(&context, &place, damaged.clone(), &case.kept).is_err());
                assert_eq!(store.look(&context).unwrap().half_loaded_by.as_deref(), Some(context.run.as_str()));
            }
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            case.assert_live(&case.old, user);
            store.discard(&context, &place, Discard::Staged).unwrap();
            assert_eq!((side_schemas(&case.server), kept_within(&case.server, "system")), (Vec::new(), Vec::new()));
        }
    }
}

#[test]
fn runs_in_place_and_beside_are_undone_in_their_order() {
    for kind in KINDS {
        for user in ["root", "app"] {
            let (case, a, b) = (case(kind, user), context("1"), context("2"));
            let store = case.store();
            let place_a = stage(&store, &a, &case.held, &case.kept, Road::InPlace);
            run(&mut root(&case.server, Some("system")), "CREATE TABLE of_a (id INT PRIMARY KEY)");
            let of_a = all_of(&case.server, "system");
            let place_b = stage(&store, &b, &case.held, &case.kept, Road::InPlace);
            case.assert_live(&case.restored, "the second is live");
            let error: Error = store.undo(&a, &place_a).map(drop).unwrap_err();
            assert!(error.class() == Class::NeedsPerson && error.chain().contains(b.run.as_str()), "{error:?}");
            assert_eq!(store.undo(&b, &place_b).unwrap(), Undone::PreviousIsLive);
            case.assert_live(&of_a, "the second is undone");
            store.discard(&b, &place_b, Discard::Staged).unwrap();
            assert_eq!(store.undo(&a, &place_a).unwrap(), Undone::PreviousIsLive);
            case.assert_live(&case.old, "both are undone");
            store.discard(&a, &place_a, Discard::Staged).unwrap();
            assert_eq!((side_schemas(&case.server), kept_within(&case.server, "system")), (Vec::new(), Vec::new()));
        }
    }
}

#[test]
fn a_place_of_an_old_release_keeps_nothing_and_says_so() {
    for kind in KINDS {
        let (case, context) = (case(kind, "root"), context("1"));
        let store = case.store();
        let mut place = store.reserve(&context, &case.kept, Road::InPlace).unwrap();
        place.0.as_object_mut().unwrap().remove("keeps");
        assert!(!store.keeps_previous(&place));
        case.load(&store, &context, &place).unwrap();
        case.assert_live(&case.set, "loaded over");
        assert_eq!(case.kept.evidence.differences(&store.prove(&context, &place, &case.kept).unwrap()), Vec::<String>::new());
        let error = store.undo(&context, &place).unwrap_err();
        assert!(error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("safety copy")), "{error:?}");
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!((side_schemas(&case.server), kept_within(&case.server, "system")), (Vec::new(), Vec::new()));
    }
}
