//! Objects that a server refuses stop nothing else, forth or back; views go and come by rename.

use std::sync::Arc;

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::Restorable;
use plan::ports::{Context, DataSet, Discard, Holds, Road, Undone};

use super::kit::{Heard, KINDS, SERVERS, all_of, assert_same, context, keep, kept_within, root, run, server, side_schemas, store};

/// A database with one of each object that a server does not take again.
const ODD: &str = "
CREATE DATABASE `system`;;
USE `system`;;
CREATE TABLE t (id INT PRIMARY KEY, tenant_id INT);;
CREATE TABLE other (id INT PRIMARY KEY, n INT);;
INSERT INTO other VALUES (1, 1);;
CREATE TRIGGER t_tenant BEFORE INSERT ON t FOR EACH ROW SET NEW.tenant_id = 2;;
ALTER TABLE t DROP COLUMN tenant_id;;
CREATE TRIGGER sound BEFORE INSERT ON other FOR EACH ROW SET NEW.n = 7;;
CREATE TABLE gone (id INT PRIMARY KEY);;
CREATE VIEW a_broken AS SELECT id FROM gone;;
CREATE VIEW a_second AS SELECT id FROM a_broken;;
DROP TABLE gone;;
CREATE USER lost@'%';;
GRANT SELECT ON `system`.* TO lost@'%';;
CREATE DEFINER = lost@'%' VIEW of_lost AS SELECT id FROM other;;
CREATE VIEW over_lost AS SELECT id FROM of_lost;;
DROP USER lost@'%';;
CREATE VIEW whole AS SELECT n FROM other;;
CREATE PROCEDURE p() SELECT 1;;
SET GLOBAL event_scheduler = OFF;;
CREATE EVENT ended ON SCHEDULE EVERY 1 SECOND ENDS CURRENT_TIMESTAMP + INTERVAL 2 SECOND DO SELECT 1;;
CREATE EVENT to_come ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO SELECT 1
";

/// What cannot be made anew.
const REFUSED: [&str; 5] = ["TRIGGER t_tenant", "VIEW a_broken", "VIEW a_second", "VIEW over_lost", "EVENT ended"];

fn odd(kind: MysqlKind) -> (Mysql, Conn) {
    let server = server(kind, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, ODD);
    super::kit::until("the event has ended", || {
        let left: u32 = conn
            .query_first("SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_NAME = 'ended' AND ENDS >= NOW()")
            .unwrap()
            .unwrap();
        left == 0
    });
    (server, conn)
}

fn listening(run: &str) -> (Arc<Heard>, Context) {
    let heard = Arc::new(Heard::default());
    (heard.clone(), Context { watch: heard, ..context(run) })
}

fn names(name: &str) -> &str {
    name.split_once(' ').unwrap().1
}

#[test]
fn what_a_server_refuses_is_told_before_the_writers_stop_and_all_else_goes_back() {
    for kind in KINDS {
        let (server, mut conn) = odd(kind);
        let (heard, context) = listening("1");
        let set = all_of(&server, "system");
        let store = store(&server, "system");
        let (held, kept) = keep(&store, &context);
        // The backup says it: of what can be known by reading.
        let said: Vec<&str> = kept.problems.iter().map(|problem| problem.text.as_str()).collect();
        for name in ["TRIGGER t_tenant", "VIEW a_broken", "VIEW a_second", "EVENT ended"] {
            assert!(said.iter().any(|text| text.contains(&format!("{:?} cannot be made", names(name)))), "{name}: {said:?}");
        }
        assert!(!said.iter().any(|text| text.contains("sound") || text.contains("to_come") || text.contains("whole")), "{said:?}");
        assert_eq!(Restorable::of(&kept.problems), Restorable::WithOmissions);
        // And so does the plan, of what an undo could not put back.
        let planned: Vec<String> = store.look(&context).unwrap().restore_problems.into_iter().map(|problem| problem.text).collect();
        let planned: Vec<_> = planned.iter().filter(|text| text.contains("an undo could not put it back")).collect();
        assert!(planned.len() == 2 && planned[0].contains("t_tenant") && planned[1].contains("ended"), "{planned:?}");
        run(&mut conn, "INSERT INTO other VALUES (2, 2)");
        let old = all_of(&server, "system");
        heard.0.lock().unwrap().clear();
        let place = super::kit::stage(&store, &context, &held, &kept, Road::SideCopy);
        let told = std::mem::take(&mut *heard.0.lock().unwrap());
        for name in REFUSED {
            assert!(told.iter().any(|text| text.contains(&format!("{:?} cannot be made", names(name)))), "{name}: {told:?}");
        }
        assert_eq!(told.len(), REFUSED.len(), "{told:?}");
        let proven = store.prove(&context, &place, &kept).unwrap();
        assert_eq!(proven.warnings.len(), REFUSED.len(), "{:?}", proven.warnings);
        assert_same(&old, &all_of(&server, "system"), "staging and trying touch nothing");
        store.cut_over(&context, &place).unwrap();
        let mut restored = set.clone();
        restored.retain(|name, _| !REFUSED.contains(&name.as_str()) && name != "order t t_tenant");
        assert_same(&restored, &all_of(&server, "system"), "all but what is refused");
        assert_eq!(store.look(&context).unwrap().half_loaded_by, None, "the cut-over is whole");
        // The definitions are beside the run.
        let record = format!("`{}`.threescale_backup_record", place.0["before"].as_str().unwrap());
        let not_made: String = conn.query_first(format!("SELECT content FROM {record} WHERE name = 'not-made'")).unwrap().unwrap();
        assert!(REFUSED.iter().all(|name| not_made.contains(names(name))) && not_made.contains("SET NEW.tenant_id = 2"), "{not_made}");
        // Back: views by rename, whatever they are; what cannot be put back is told and kept.
        heard.0.lock().unwrap().clear();
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        let told = std::mem::take(&mut *heard.0.lock().unwrap());
        let mut back = old.clone();
        back.retain(|name, _| !["TRIGGER t_tenant", "EVENT ended", "order t t_tenant"].contains(&name.as_str()));
        assert_same(&back, &all_of(&server, "system"), "after the undo");
        assert!(told.len() == 2 && told.iter().all(|text| text.contains("name = 'not-put-back'")), "{told:?}");
        assert_eq!(kept_within(&server, "system"), Vec::<String>::new());
        // The only place that has these definitions stays when the run's staged copy goes.
        store.discard(&context, &place, Discard::Staged).unwrap();
        store.discard(&context, &place, Discard::Staged).unwrap();
        let lost: String = conn.query_first(format!("SELECT content FROM {record} WHERE name = 'not-put-back'")).unwrap().unwrap();
        assert!(lost.contains("SET NEW.tenant_id = 2") && lost.contains("ended"), "{lost}");
        let left = store.leftovers(&context).unwrap();
        assert!(matches!(&left[..], [one] if one.holds == Holds::Mark && one.what.contains("could not put back")), "{left:?}");
        store.remove_leftover(&context, &left[0]).unwrap();
        assert!(side_schemas(&server).is_empty());
    }
}

#[test]
fn an_undo_brings_back_every_trigger_but_those_of_a_column_that_went() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        for table in 0..20 {
            run(
                &mut conn,
                &format!(
                    "CREATE TABLE t{table} (id INT PRIMARY KEY, tenant_id INT);;\nCREATE TRIGGER t{table}_tenant_id BEFORE INSERT ON t{table} FOR EACH ROW SET NEW.tenant_id = 2"
                ),
            );
        }
        let (heard, context) = listening("1");
        let store = store(&server, "system");
        let (held, kept) = keep(&store, &context);
        run(&mut conn, "ALTER TABLE t3 DROP COLUMN tenant_id");
        let mut old = all_of(&server, "system");
        let place = super::kit::stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        let triggers = |conn: &mut Conn| -> u32 {
            conn.query_first("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'system'").unwrap().unwrap()
        };
        assert_eq!((triggers(&mut conn), heard.0.lock().unwrap().len()), (20, 0), "the set's triggers are all sound");
        store.undo(&context, &place).unwrap();
        assert_eq!(triggers(&mut conn), 19);
        old.retain(|name, _| !name.contains("t3_tenant_id"));
        assert_same(&old, &all_of(&server, "system"), "after the undo");
        let told = heard.0.lock().unwrap().clone();
        assert!(matches!(&told[..], [text] if text.contains("\"t3_tenant_id\" cannot be made") && text.contains("tenant_id")), "{told:?}");
    }
}

#[test]
fn previous_views_stay_within_the_database_until_they_are_settled() {
    for kind in KINDS {
        let (server, mut conn) = odd(kind);
        let (_, context) = listening("1");
        let store = store(&server, "system");
        let (held, kept) = keep(&store, &context);
        let place = super::kit::stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(kept_within(&server, "system").len(), 5, "all five views");
        // Nobody takes them for the application's.
        let (_, again) = keep(&store, &context);
        assert_eq!(again.evidence.objects["views"], 2, "of_lost and whole");
        let live = all_of(&server, "system");
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(kept_within(&server, "system"), Vec::<String>::new());
        assert!(side_schemas(&server).is_empty());
        assert_same(&live, &all_of(&server, "system"), "settling touches nothing else");
        conn.query_drop("SELECT 1").unwrap();
    }
}

/// A look and a backup change nothing: also where a view calls what writes.
#[test]
fn a_view_is_looked_at_and_never_run() {
    std::thread::scope(|scope| {
        for kind in SERVERS {
            scope.spawn(move || {
                let server = server(kind, &["--log-bin-trust-function-creators=1"]);
                let mut conn = root(&server, None);
                run(
                    &mut conn,
                    "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE TABLE seen (id INT AUTO_INCREMENT PRIMARY KEY);;\n\
                     CREATE FUNCTION writes() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO seen VALUES (); RETURN 1; END;;\n\
                     CREATE VIEW sees AS SELECT writes() AS one;;\nCREATE VIEW sleeps AS SELECT SLEEP(20) AS one;;\n\
                     CREATE TABLE gone (id INT);;\nCREATE VIEW broken AS SELECT id FROM gone;;\nDROP TABLE gone",
                );
                let store = store(&server, "system");
                let begin = std::time::Instant::now();
                store.look(&context("1")).unwrap();
                let (_, kept) = keep(&store, &context("1"));
                assert!(begin.elapsed().as_secs() < 20, "{kind:?}: a view was run");
                let rows: Option<u64> = conn.query_first("SELECT COUNT(*) FROM `system`.seen").unwrap();
                assert_eq!(rows, Some(0), "{kind:?}");
                let about = |name: &str| kept.problems.iter().any(|problem| problem.text.contains(name));
                assert_eq!([about("broken"), about("sees"), about("sleeps")], [true, false, false], "{kind:?}: {:?}", kept.problems);
            });
        }
    });
}
