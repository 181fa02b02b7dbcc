//! Each privilege of the list is taken away in turn: it is told before anything is touched, with the statement that gives it, or there is another way.

use std::path::Path;

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use plan::Class;
use plan::ports::{DataSet, Discard, Findings, Problem, Road, Severity};

use super::kit::{all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_as, try_keep};
use crate::rights::{For, On, RIGHTS, Right, Without};
use crate::server::Kind;
use crate::{MysqlStore, Options};

const KINDS: [(MysqlKind, Kind); 2] = [(MysqlKind::Mysql, Kind::Mysql), (MysqlKind::Mariadb, Kind::Mariadb)];

const SCHEMA: &str = "
CREATE DATABASE `system`;;
USE `system`;;
CREATE TABLE a (id INT PRIMARY KEY, n INT, KEY (n));;
CREATE TABLE b (id INT PRIMARY KEY, a INT, CONSTRAINT owner FOREIGN KEY (a) REFERENCES a (id));;
INSERT INTO a VALUES (1, 1);;
INSERT INTO b VALUES (1, 1);;
CREATE VIEW v AS SELECT n FROM a;;
CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 5;;
CREATE PROCEDURE p() SELECT 1;;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO SELECT 1
";

/// Everything of the list that a server of this kind knows.
fn of(kind: Kind, wanted: For) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| right.of == wanted && right.only.is_none_or(|only| only == kind))
}

/// Gives a user each of the list for some purposes.
fn user_with(conn: &mut Conn, name: &str, kind: Kind, purposes: &[For]) {
    run(conn, &format!("CREATE USER {name}@'%' IDENTIFIED BY 'pw'"));
    for purpose in purposes {
        for right in of(kind, *purpose) {
            run(conn, &change("GRANT", right, name));
        }
    }
    if kind == Kind::Mariadb {
        run(conn, &format!("GRANT SELECT ON mysql.proc TO {name}@'%'"));
    }
    run(conn, &format!("GRANT SELECT ON mysql.procs_priv TO {name}@'%'"));
}

fn change(verb: &str, right: &Right, user: &str) -> String {
    let on = match (right.on, right.of) {
        (On::Everything, _) => "*.*",
        (On::Schema, For::Beside) => "`system\\_\\_%`.*",
        (On::Schema, _) => "`system`.*",
    };
    let whom = if verb == "GRANT" { "TO" } else { "FROM" };
    format!("{verb} {} ON {on} {whom} {user}@'%'", right.any[0])
}

fn made(kind: MysqlKind) -> (Mysql, Conn) {
    let server = server(kind, &["--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, SCHEMA);
    (server, conn)
}

fn as_user(server: &Mysql, name: &str) -> MysqlStore {
    store_as(server, name, "system", Options { lock_wait_seconds: 2, ..Options::default() })
}

fn look(store: &MysqlStore) -> Findings {
    store.look(&context("1")).unwrap()
}

fn naming<'a>(problems: &'a [Problem], right: &Right) -> Option<&'a Problem> {
    problems.iter().find(|problem| problem.text.contains(&format!("lacks {}", right.any[0])))
}

fn blocks(problems: &[Problem]) -> Vec<&str> {
    problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text.as_str()).collect()
}

#[test]
fn each_privilege_of_a_backup_is_missed_before_it_begins() {
    for (of_server, kind) in KINDS {
        let (server, mut conn) = made(of_server);
        user_with(&mut conn, "backup", kind, &[For::Backup]);
        let store = as_user(&server, "backup");
        let told = look(&store).backup_problems;
        assert!(told.is_empty(), "{kind:?}: {told:?}");
        let kept = keep(&store, &context("1")).1.problems;
        assert!(matches!(&kept[..], [one] if one.severity == Severity::Note && one.text.contains("may read `system` only")), "{kept:?}");
        for right in of(kind, For::Backup) {
            let name = right.any[0];
            run(&mut conn, &change("REVOKE", right, "backup"));
            let told = look(&store).backup_problems;
            let outcome = try_keep(&store, &context("1"));
            match right.without {
                Without::Told(_) => {
                    let problem = naming(&told, right).unwrap_or_else(|| panic!("{kind:?} {name}: {told:?}"));
                    assert_eq!(blocks(&told), Vec::<&str>::new(), "{kind:?} {name}");
                    outcome.unwrap_or_else(|error| panic!("{kind:?} {name}: there is another way: {error:?}"));
                    run(&mut conn, problem.way_out.as_ref().unwrap());
                }
                Without::Refused | Without::AskedFor(_) => {
                    let problem = told
                        .iter()
                        .find(|problem| problem.severity == Severity::Blocks)
                        .unwrap_or_else(|| panic!("{kind:?} {name}: {told:?}"));
                    assert_eq!(outcome.map(drop).unwrap_err().class(), Class::Refused, "{kind:?} {name}");
                    problem.way_out.as_ref().unwrap().split("; ").for_each(|statement| run(&mut conn, statement));
                }
            }
            let told = look(&store).backup_problems;
            assert!(told.is_empty(), "{kind:?} {name}: what it says is not what gives it: {told:?}");
        }
    }
}

#[test]
fn each_privilege_of_a_restore_is_missed_before_anything_is_touched() {
    for (of_server, kind) in KINDS {
        let (server, mut conn) = made(of_server);
        let (held, kept) = keep(&store(&server, "system"), &context("1"));
        user_with(&mut conn, "restore", kind, &[For::Backup, For::Restore, For::Beside]);
        let store = as_user(&server, "restore");
        let fits = |road: Road| store.fits(&context("1"), &kept, road).unwrap();
        let live = all_of(&server, "system");
        assert_eq!(look(&store).road, Road::SideCopy);
        assert_eq!(blocks(&fits(Road::SideCopy)), Vec::<&str>::new());
        for right in of(kind, For::Restore).filter(|right| right.without == Without::Refused) {
            run(&mut conn, &change("REVOKE", right, "restore"));
            for told in [look(&store).restore_problems, fits(Road::SideCopy), fits(Road::InPlace)] {
                assert!(
                    told.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains(right.any[0])),
                    "{kind:?} {}: {told:?}",
                    right.any[0]
                );
            }
            let told = look(&store).restore_problems;
            run(&mut conn, naming(&told, right).unwrap().way_out.as_ref().unwrap());
            assert_eq!(blocks(&fits(Road::SideCopy)), Vec::<&str>::new(), "{kind:?} {}", right.any[0]);
        }
        for right in of(kind, For::Restore).filter(|right| matches!(right.without, Without::Told(_))) {
            run(&mut conn, &change("REVOKE", right, "restore"));
            let told = look(&store).restore_problems;
            assert_eq!(blocks(&told), Vec::<&str>::new(), "{kind:?} {}", right.any[0]);
            run(&mut conn, naming(&told, right).unwrap().way_out.as_ref().unwrap());
        }
        // Without one of those beside, there is the other road, and the one for that is missed too.
        for right in of(kind, For::Beside) {
            run(&mut conn, &change("REVOKE", right, "restore"));
            let findings = look(&store);
            assert_eq!(findings.road, Road::InPlace, "{kind:?} {}", right.any[0]);
            let within = of(kind, For::Within)
                .all(|right| naming(&findings.restore_problems, right).is_some_and(|problem| problem.severity == Severity::Blocks));
            assert!(within, "{:?}", findings.restore_problems);
            let way_out = findings
                .restore_problems
                .iter()
                .find_map(|problem| problem.way_out.as_ref().filter(|way| way.contains("\\_\\_%")))
                .unwrap();
            run(&mut conn, way_out);
            assert_eq!(look(&store).road, Road::SideCopy);
            run(&mut conn, "REVOKE ALL PRIVILEGES ON `system\\_\\_%`.* FROM restore@'%'");
            of(kind, For::Beside).for_each(|right| run(&mut conn, &change("GRANT", right, "restore")));
        }
        assert_same(&live, &all_of(&server, "system"), "nothing was touched");
        assert!(side_schemas(&server).is_empty());
        // What is listed is enough, on both roads.
        let there_and_back = |road| {
            let place = stage(&store, &context("1"), &held, &kept, road);
            store.cut_over(&context("1"), &place).unwrap();
            assert_same(&live, &all_of(&server, "system"), "restored");
            store.undo(&context("1"), &place).unwrap();
            assert_same(&live, &all_of(&server, "system"), "undone");
            store.discard(&context("1"), &place, Discard::Staged).unwrap();
        };
        there_and_back(Road::SideCopy);
        of(kind, For::Beside).for_each(|right| run(&mut conn, &change("REVOKE", right, "restore")));
        of(kind, For::Within).for_each(|right| run(&mut conn, &change("GRANT", right, "restore")));
        assert_eq!(look(&store).road, Road::InPlace);
        assert_eq!(blocks(&fits(Road::InPlace)), Vec::<&str>::new());
        there_and_back(Road::InPlace);
    }
}

#[test]
fn the_privilege_of_merge_tables_is_missed_before_anything_is_touched() {
    for (of_server, kind) in KINDS {
        let (server, mut conn) = made(of_server);
        let merge = "CREATE TABLE m1 (id INT NOT NULL, KEY (id)) ENGINE=MyISAM;;\nINSERT INTO m1 VALUES (1);;\n\
                     CREATE TABLE m (id INT NOT NULL, KEY (id)) ENGINE=MERGE UNION=(m1) INSERT_METHOD=LAST";
        run(&mut conn, merge);
        let (held, kept) = keep(&store(&server, "system"), &context("1"));
        user_with(&mut conn, "restore", kind, &[For::Backup, For::Restore, For::Beside]);
        let (store, live) = (as_user(&server, "restore"), all_of(&server, "system"));
        for road in [Road::SideCopy, Road::InPlace] {
            if road == Road::InPlace {
                of(kind, For::Beside).for_each(|right| run(&mut conn, &change("REVOKE", right, "restore")));
                of(kind, For::Within).for_each(|right| run(&mut conn, &change("GRANT", right, "restore")));
                run(&mut conn, "REVOKE UPDATE ON `system\\_\\_%`.* FROM restore@'%'");
            }
            let told = store.fits(&context("1"), &kept, road).unwrap();
            let blocking: Vec<_> = told.iter().filter(|problem| problem.severity == Severity::Blocks).collect();
            assert!(
                matches!(&blocking[..], [one] if one.text.contains("lacks UPDATE on") && one.text.contains("MERGE")),
                "{kind:?}: {told:?}"
            );
            let doctor = look(&store).restore_problems;
            assert!(doctor.iter().any(|problem| problem.way_out == blocking[0].way_out), "{kind:?}: {doctor:?}");
            assert_same(&live, &all_of(&server, "system"), "nothing was touched");
            run(&mut conn, blocking[0].way_out.as_ref().unwrap());
            assert_eq!(blocks(&store.fits(&context("1"), &kept, road).unwrap()), Vec::<&str>::new());
            let place = stage(&store, &context("1"), &held, &kept, road);
            store.cut_over(&context("1"), &place).unwrap();
            store.undo(&context("1"), &place).unwrap();
            assert_same(&live, &all_of(&server, "system"), "undone");
            store.discard(&context("1"), &place, Discard::Staged).unwrap();
        }
    }
}

#[test]
fn roles_patterns_and_columns_are_read_as_the_server_reads_them() {
    for (of_server, kind) in KINDS {
        let (server, mut conn) = made(of_server);
        // By a role, which is on by default.
        run(&mut conn, "CREATE ROLE crew;;\nCREATE USER by_role@'%' IDENTIFIED BY 'pw';;\nGRANT crew TO by_role@'%'");
        run(&mut conn, "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `system`.* TO crew");
        let on = if kind == Kind::Mysql { "SET DEFAULT ROLE crew TO by_role@'%'" } else { "SET DEFAULT ROLE crew FOR by_role@'%'" };
        run(&mut conn, on);
        // By a pattern that means this database too.
        run(
            &mut conn,
            "CREATE USER by_pattern@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `syst_m%`.* TO by_pattern@'%'",
        );
        // One that does not: the underscore is itself.
        run(
            &mut conn,
            "CREATE USER by_other@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `syst\\_m`.* TO by_other@'%';;\nGRANT SELECT ON `system`.a TO by_other@'%'",
        );
        // Of some columns and single tables: not of the whole.
        run(
            &mut conn,
            "CREATE USER by_column@'%' IDENTIFIED BY 'pw';;\nGRANT SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `system`.* TO by_column@'%';;\nGRANT SELECT (id), INSERT (id, n) ON `system`.a TO by_column@'%';;\nGRANT SELECT ON `system`.b TO by_column@'%'",
        );
        let missing = |name: &str| -> bool {
            let told = look(&as_user(&server, name)).backup_problems;
            told.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("lacks SELECT"))
        };
        let found = ["by_role", "by_pattern", "by_other", "by_column"].map(missing);
        assert_eq!(found, [false, false, true, true], "{kind:?}");
    }
}

#[test]
fn the_documentation_has_the_list() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/privileges.md");
    let document = std::fs::read_to_string(file).unwrap();
    let part = document.split("\n## ").find(|part| part.starts_with("MySQL")).unwrap();
    let rows: Vec<_> =
        part.lines().filter(|line| ["| backup |", "| restore", "| privileges on"].iter().any(|start| line.starts_with(start))).collect();
    let wanted = RIGHTS.iter().map(|right| {
        let of = match right.of {
            For::Backup => "backup",
            For::Restore => "restore",
            For::Beside => "restore beside the live data",
            For::Within => "restore in place, without a schema beside",
            For::Routines => "privileges on single routines",
            For::MergeTables => "restore of tables of engine MERGE",
        };
        let on = match (right.on, right.of) {
            (On::Everything, _) => "`*.*`",
            (On::Schema, For::Beside) => "`system\\_\\_%`",
            (On::Schema, For::MergeTables) => "`system\\_\\_%`; in place: the database",
            (On::Schema, _) => "the database",
        };
        let only = right.only.map_or("both", Kind::display);
        let any: Vec<String> = right.any.iter().map(|name| format!("`{name}`")).collect();
        let without = match (right.without, right.of) {
            (Without::Refused, For::Beside) => "in place",
            (Without::Refused, _) => "refused",
            (Without::Told(text) | Without::AskedFor(text), _) => text,
        };
        format!("| {of} | {} | {on} | {only} | {without} |", any.join(" or "))
    });
    let wanted: Vec<String> = wanted.collect();
    assert_eq!(rows, wanted, "\n{}", wanted.join("\n"));
}
