//! Whose database it is, whose run: identities, marks, locks, leftovers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use plan::ids::RunId;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Discard, Holds, Leftover, Road, Undone};
use plan::{Class, Error, InstallationId, Result};

use super::kit::{Held, KINDS, all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_as, store_with};
use crate::{MysqlStore, Options};

const SET: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY AUTO_INCREMENT, n INT);;
CREATE TABLE items (id INT PRIMARY KEY, account INT, CONSTRAINT owner FOREIGN KEY (account) REFERENCES accounts (id));;
INSERT INTO accounts VALUES (1, 1), (2, 2);;
INSERT INTO items VALUES (1, 1);;
CREATE VIEW totals AS SELECT COUNT(*) AS c FROM items;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = IFNULL(NEW.n, 5)
";

/// A database with a set of it, and what became of it since.
struct Case {
    server: Mysql,
    held: Arc<Held>,
    kept: KeptDataSet,
    set: BTreeMap<String, String>,
    old: BTreeMap<String, String>,
}

fn case(kind: MysqlKind) -> Case {
    let server = server(kind, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
    run(&mut conn, SET);
    let set = all_of(&server, "system");
    let (held, kept) = keep(&store(&server, "system"), &context("0"));
    run(&mut conn, "INSERT INTO accounts VALUES (3, 3);;\nCREATE TABLE newer (id INT PRIMARY KEY)");
    let old = all_of(&server, "system");
    Case { server, held, kept, set, old }
}

impl Case {
    fn store(&self) -> MysqlStore {
        store(&self.server, "system")
    }

    fn staged(&self, context: &Context) -> plan::ports::Place {
        stage(&self.store(), context, &self.held, &self.kept, Road::SideCopy)
    }

    fn assert_live(&self, wanted: &BTreeMap<String, String>, what: &str) {
        assert_same(wanted, &all_of(&self.server, "system"), what);
    }

    /// A store that stops before its `limit`-th changing statement.
    fn dying(&self, limit: usize) -> MysqlStore {
        let ran = AtomicUsize::new(0);
        let hook =
            move |_: &str| -> Result<()> { if ran.fetch_add(1, Ordering::SeqCst) >= limit { Err(Error::interrupted()) } else { Ok(()) } };
        store_with(&self.server, "system", Options { lock_wait_seconds: 2, hook: Some(Arc::new(hook)), ..Options::default() })
    }
}

fn of_prod(run: &str) -> Context {
    Context { installation: InstallationId::named("prod"), ..context(run) }
}

fn leftovers(store: &MysqlStore) -> Vec<Leftover> {
    store.leftovers(&context("9")).unwrap()
}

#[test]
fn an_identity_stays_over_a_cut_over_a_restart_and_another_login_and_is_not_that_of_another_server() {
    for kind in KINDS {
        let mut case = case(kind);
        let context = of_prod("1");
        let identity = case.store().identity(&context).unwrap().unwrap();
        assert!(
            identity.starts_with(if kind == MysqlKind::Mysql { "mysql " } else { "mariadb " }) && identity.ends_with("/system"),
            "{identity}"
        );
        let place = case.staged(&context);
        case.store().cut_over(&context, &place).unwrap();
        assert_eq!(case.store().look(&context).unwrap().identity.as_ref(), Some(&identity), "after a cut-over");
        case.server.kill();
        case.server.start_again().unwrap();
        run(&mut root(&case.server, None), "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT ON `system`.* TO app@'%'");
        let plain = store_as(&case.server, "app", "system", Options::default());
        assert_eq!(plain.identity(&context).unwrap().as_ref(), Some(&identity), "after a restart, as a plain user");
        let other = server(kind, &[]);
        run(&mut root(&other, None), "CREATE DATABASE `system`");
        assert_ne!(store(&other, "system").identity(&context).unwrap().unwrap(), identity, "another server");
        run(&mut root(&case.server, None), "CREATE DATABASE other");
        assert_ne!(store(&case.server, "other").identity(&context).unwrap().unwrap(), identity, "another database");
    }
}

#[test]
fn a_run_does_not_swap_over_what_came_after_it_was_planned() {
    for kind in KINDS {
        let case = case(kind);
        let (store, a, b) = (case.store(), of_prod("1"), of_prod("2"));
        let (place_a, place_b) = (case.staged(&a), case.staged(&b));
        store.cut_over(&a, &place_a).unwrap();
        let error = store.cut_over(&b, &place_b).unwrap_err();
        assert!(error.class() == Class::NeedsPerson && error.chain().contains("run 01jd000000000001 of prod"), "{error:?}");
        case.assert_live(&case.set, "what the first brought stays");
        assert_eq!(store.undo(&b, &place_b).unwrap(), Undone::PreviousIsLive);
        store.discard(&b, &place_b, Discard::Staged).unwrap();
        assert_eq!(store.undo(&a, &place_a).unwrap(), Undone::PreviousIsLive);
        case.assert_live(&case.old, "the first is undone");
    }
}

#[test]
fn of_two_runs_undone_in_the_wrong_order_nothing_is_lost() {
    for kind in KINDS {
        let case = case(kind);
        let (store, a, b) = (case.store(), of_prod("1"), of_prod("2"));
        let place_a = case.staged(&a);
        store.cut_over(&a, &place_a).unwrap();
        run(&mut root(&case.server, Some("system")), "CREATE TABLE of_a (id INT PRIMARY KEY)");
        let of_a = all_of(&case.server, "system");
        let place_b = case.staged(&b);
        store.cut_over(&b, &place_b).unwrap();
        let side = side_schemas(&case.server);
        for _ in 0..2 {
            let error = store.undo(&a, &place_a).unwrap_err();
            assert!(error.class() == Class::NeedsPerson && error.chain().contains("run 01jd000000000002 of prod"), "{error:?}");
            assert_eq!(store.discard(&a, &place_a, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
        }
        assert_eq!(side_schemas(&case.server), side, "nothing was dropped");
        case.assert_live(&case.set, "nothing was changed");
        // In their order, both come back.
        assert_eq!(store.undo(&b, &place_b).unwrap(), Undone::PreviousIsLive);
        case.assert_live(&of_a, "the second is undone");
        store.discard(&b, &place_b, Discard::Staged).unwrap();
        assert_eq!(store.undo(&a, &place_a).unwrap(), Undone::PreviousIsLive);
        case.assert_live(&case.old, "both are undone");
        store.discard(&a, &place_a, Discard::Staged).unwrap();
        assert!(side_schemas(&case.server).is_empty());
    }
}

#[test]
fn a_run_is_not_undone_under_one_that_was_settled_over_it() {
    for kind in KINDS {
        let case = case(kind);
        let (store, a, b) = (case.store(), of_prod("1"), of_prod("2"));
        let place_a = case.staged(&a);
        store.cut_over(&a, &place_a).unwrap();
        let place_b = case.staged(&b);
        store.cut_over(&b, &place_b).unwrap();
        store.discard(&b, &place_b, Discard::Previous).unwrap();
        assert_eq!(store.undo(&a, &place_a).unwrap_err().class(), Class::NeedsPerson);
        case.assert_live(&case.set, "what was settled stays");
        assert_eq!(leftovers(&store).len(), 1, "what the first replaced is still there");
        store.discard(&a, &place_a, Discard::Previous).unwrap();
        case.assert_live(&case.set, "after the first is settled too");
        assert!(side_schemas(&case.server).is_empty());
    }
}

#[test]
fn a_server_that_knows_nothing_of_a_run_says_so_and_drops_nothing() {
    for kind in KINDS {
        let (case, context) = (case(kind), of_prod("1"));
        let place = case.staged(&context);
        case.store().cut_over(&context, &place).unwrap();
        let other = server(kind, &[]);
        run(&mut root(&other, None), "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE mine (id INT PRIMARY KEY)");
        let (there, elsewhere) = (all_of(&other, "system"), store(&other, "system"));
        assert_eq!(elsewhere.undo(&context, &place).unwrap(), Undone::NothingThere);
        assert_eq!(elsewhere.cut_over(&context, &place).unwrap_err().class(), Class::NeedsPerson);
        for what in [Discard::Staged, Discard::Previous] {
            elsewhere.discard(&context, &place, what).unwrap();
        }
        assert_same(&there, &all_of(&other, "system"), "the other server");
        // The right one: as often as it is called, and no longer when it is settled.
        for _ in 0..2 {
            assert_eq!(case.store().undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        }
        case.store().cut_over(&context, &place).unwrap();
        assert_eq!(case.store().discard(&context, &place, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
        case.store().discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(case.store().undo(&context, &place).unwrap(), Undone::NothingThere);
        case.assert_live(&case.set, "after settling");
    }
}

#[test]
fn what_bears_another_runs_mark_is_left_alone_and_what_bears_none_is_of_an_old_release() {
    for kind in KINDS {
        let (case, context) = (case(kind), of_prod("1"));
        let place = case.staged(&context);
        let store = case.store();
        let other = Context { run: RunId("01zz000000000001".into()), ..context.clone() };
        assert_eq!(other.run.short(), context.run.short());
        for swapped in [false, true] {
            if swapped {
                store.cut_over(&context, &place).unwrap();
            }
            let side = side_schemas(&case.server);
            let refused = [
                store.cut_over(&other, &place).unwrap_err(),
                store.undo(&other, &place).map(drop).unwrap_err(),
                store.discard(&other, &place, Discard::Previous).unwrap_err(),
                store.stage(&other, &place, case.held.clone(), &case.kept).unwrap_err(),
            ];
            for error in refused {
                assert!(error.class() == Class::NeedsPerson && error.chain().contains("is of run 01jd000000000001 of prod"), "{error:?}");
            }
            assert_eq!(side_schemas(&case.server), side);
        }
        // Release 0.1.0 wrote no marks.
        let record = format!("`{}`.threescale_backup_record", place.0["before"].as_str().unwrap());
        root(&case.server, None).query_drop(format!("DELETE FROM {record} WHERE name IN ('mark', 'database')")).unwrap();
        let found = leftovers(&store);
        assert!(
            matches!(&found[..], [one] if one.holds == Holds::Previous && one.run == context.run.short() && one.installation.is_none()),
            "{found:?}"
        );
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        case.assert_live(&case.old, "undone by its name");
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
}

#[test]
fn the_lock_is_one_for_a_database_from_everywhere_and_goes_with_its_connection() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(
            &mut conn,
            "CREATE DATABASE `system`;;\nCREATE DATABASE other;;\nCREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT ON `system`.* TO app@'%'",
        );
        let (here, context) = (store(&server, "system"), of_prod("1"));
        let lock = here.lock(&context).unwrap().unwrap();
        assert!(lock.is_held());
        for elsewhere in [store(&server, "system"), store_as(&server, "app", "system", Options::default())] {
            let error = elsewhere.lock(&of_prod("2")).map(drop).unwrap_err();
            assert_eq!(error.class(), Class::Locked);
            assert!(error.hints().iter().any(|hint| hint.contains("KILL ")), "{error:?}");
        }
        let error = here.lock(&of_prod("2")).map(drop).unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("of root@")), "{error:?}");
        drop(store(&server, "other").lock(&context).unwrap().unwrap());
        // Its connection is ended, as when its process is killed.
        let holder: u64 =
            conn.query_first("SELECT IS_USED_LOCK(CONCAT('threescale-backup:', LEFT(SHA2('system', 256), 40)))").unwrap().unwrap();
        conn.query_drop(format!("KILL {holder}")).unwrap();
        super::kit::until("the lock is let go", || !lock.is_held());
        super::kit::until("what was let go is free", || here.lock(&context).is_ok());
        let next = || here.lock(&context).ok().flatten().filter(|lock| lock.is_held());
        super::kit::until("a dropped lock is free", || next().is_some());
    }
}

#[test]
fn a_load_in_place_that_is_killed_is_seen_until_it_is_ended() {
    for kind in KINDS {
        let (case, context) = (case(kind), of_prod("1"));
        let store = case.store();
        let place = store.reserve(&context, &case.kept, Road::InPlace).unwrap();
        let load = |store: &MysqlStore, context: &Context| store.stage(context, &place, case.held.clone(), &case.kept);
        let half = || store.look(&context).unwrap().half_loaded_by;
        let mut marked = 0;
        loop {
            assert_eq!(load(&case.dying(marked), &context).unwrap_err().class(), Class::Interrupted);
            case.assert_live(&case.old, "first the record, then the mark, then changes");
            if half().is_some() {
                break;
            }
            marked += 1;
        }
        for limit in [0, 1, 4, 30].map(|more| marked + more) {
            assert_eq!(load(&case.dying(limit), &context).unwrap_err().class(), Class::Interrupted);
            assert_eq!(half().as_deref(), Some("01jd000000000001"), "killed at {limit}");
        }
        // Nobody takes it for data, nobody loads or swaps over it, everybody can see whose it is.
        let (held, kept) = keep(&store, &of_prod("3"));
        assert!(kept.evidence.collections.keys().all(|name| !name.contains("threescale")), "{:?}", kept.evidence.collections);
        assert!(
            held.0.iter().all(|(path, bytes)| !path.to_string_lossy().contains("threescale")
                && !String::from_utf8_lossy(bytes).contains("threescale_backup"))
        );
        let error = load(&store, &of_prod("2")).unwrap_err();
        assert!(
            error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("abandon 01jd000000000001")),
            "{error:?}"
        );
        let beside = stage(&store, &of_prod("4"), &case.held, &case.kept, Road::SideCopy);
        assert_eq!(store.cut_over(&of_prod("4"), &beside).unwrap_err().class(), Class::NeedsPerson);
        store.discard(&of_prod("4"), &beside, Discard::Staged).unwrap();
        let found = leftovers(&store);
        assert!(
            matches!(&found[..], [kept, mark] if kept.holds == Holds::Unknown && mark.holds == Holds::Mark
                && found.iter().all(|one| one.run == "01jd000000000001" && one.installation.as_ref().unwrap().name == "prod")),
            "{found:?}"
        );
        assert_eq!(store.remove_leftover(&of_prod("9"), &found[0]).unwrap_err().class(), Class::NeedsPerson, "it has what was live");
        // The next call ends it.
        load(&store, &context).unwrap();
        assert_eq!(half(), None);
        case.assert_live(&case.set, "loaded whole");
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(leftovers(&store), Vec::new());
        // Before anything is moved, a person who has no journal may remove the mark and the record.
        assert!(load(&case.dying(marked), &context).is_err());
        for leftover in leftovers(&store) {
            store.remove_leftover(&of_prod("9"), &leftover).unwrap();
        }
        assert_eq!((half(), leftovers(&store)), (None, Vec::new()));
        case.assert_live(&case.set, "the live data is not touched");
    }
}

#[test]
fn what_runs_left_is_found_without_their_journals_and_removed_only_as_it_was_found() {
    for kind in KINDS {
        let (case, context) = (case(kind), of_prod("1"));
        let store = case.store();
        run(
            &mut root(&case.server, None),
            "CREATE DATABASE system__stage_notours;;\nCREATE DATABASE systems__stage_0123456789;;\nCREATE DATABASE other",
        );
        assert_eq!(leftovers(&store), Vec::new());
        let place = case.staged(&context);
        let staged = leftovers(&store);
        assert!(
            matches!(&staged[..], [one] if one.holds == Holds::Staged && one.bytes > Some(0) && one.run == context.run.to_string()
            && one.installation.as_ref().unwrap().name == "prod" && one.what.contains("system__stage_0000000001")),
            "{staged:?}"
        );
        assert_eq!(super::kit::store(&case.server, "other").leftovers(&context).unwrap(), Vec::new(), "of another database");
        store.cut_over(&context, &place).unwrap();
        let error = store.remove_leftover(&context, &staged[0]).unwrap_err();
        assert_eq!(error.class(), Class::NeedsPerson, "it is not what it was");
        let previous = leftovers(&store);
        assert_eq!(previous[0].holds, Holds::Previous);
        store.remove_leftover(&context, &previous[0]).unwrap();
        store.remove_leftover(&context, &previous[0]).unwrap();
        assert_eq!(leftovers(&store), Vec::new());
        case.assert_live(&case.set, "live data is not touched");
        // Somebody's own tables under a name of ours: shown, never dropped.
        run(
            &mut root(&case.server, None),
            "CREATE DATABASE system__stage_0123456789;;\nCREATE TABLE system__stage_0123456789.mine (id INT PRIMARY KEY)",
        );
        let unknown = leftovers(&store);
        assert_eq!(unknown[0].holds, Holds::Unknown);
        let error = store.remove_leftover(&context, &unknown[0]).unwrap_err();
        assert!(
            error.class() == Class::NeedsPerson
                && error.hints().iter().any(|hint| hint.contains("DROP DATABASE `system__stage_0123456789`")),
            "{error:?}"
        );
    }
}

#[test]
fn a_swap_that_is_half_done_is_seen_and_nobody_swaps_over_it() {
    for kind in KINDS {
        let (case, a, b) = (case(kind), of_prod("1"), of_prod("2"));
        let store = case.store();
        let (place_a, place_b) = (case.staged(&a), case.staged(&b));
        let mut seen = 0;
        for limit in 0..200 {
            let ended = case.dying(limit).cut_over(&a, &place_a).is_ok();
            let half = store.look(&b).unwrap().half_loaded_by;
            if half.is_some() {
                seen += 1;
                assert_eq!(half.as_deref(), Some("01jd000000000001"));
                let error = store.cut_over(&b, &place_b).unwrap_err();
                assert!(
                    error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("resume 01jd000000000001")),
                    "{error:?}"
                );
                let left = leftovers(&store).into_iter().find(|one| one.run == "01jd000000000001").unwrap();
                assert_eq!((left.holds, store.remove_leftover(&b, &left).unwrap_err().class()), (Holds::Unknown, Class::NeedsPerson));
            }
            store.undo(&a, &place_a).unwrap();
            if ended {
                break;
            }
        }
        assert!(seen > 5, "{seen} points half-way");
        assert_eq!(store.look(&b).unwrap().half_loaded_by, None);
        store.cut_over(&b, &place_b).unwrap();
        case.assert_live(&case.set, "when nobody is half-way any more");
    }
}
