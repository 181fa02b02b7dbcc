//! Whether a set goes back is said by the backup as a plan says it on the same server: one condition after the other is made, and both are asked.

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use plan::ports::{DataSet, Problem, Severity};
use plan::{Class, Restorable};

use super::kit::{KINDS, context, root, run, server, store_as, try_keep};
use crate::Options;

const SCHEMA: &str = "
CREATE DATABASE `system`;;
CREATE DATABASE other;;
USE `system`;;
CREATE TABLE a (id INT PRIMARY KEY, n INT, b LONGTEXT);;
INSERT INTO a VALUES (1, 1, 'x');;
CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.n = 5;;
CREATE PROCEDURE p() SELECT 1
";

/// The user may do all that a restore needs, on both roads.
const USER: &str = "
CREATE USER app@'%' IDENTIFIED BY 'pw';;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, LOCK TABLES ON `system`.* TO app@'%' WITH GRANT OPTION;;
GRANT ALL ON `system\\_\\_%`.* TO app@'%';;
GRANT SELECT ON mysql.procs_priv TO app@'%';;
GRANT PROCESS ON *.* TO app@'%'
";
const OF_MYSQL: &str = "GRANT SYSTEM_USER, SHOW_ROUTINE, SET_ANY_DEFINER, BACKUP_ADMIN, REPLICATION CLIENT ON *.* TO app@'%'";
const OF_MARIADB: &str = "GRANT SET USER, RELOAD, BINLOG MONITOR ON *.* TO app@'%';;\nGRANT SELECT ON mysql.proc TO app@'%'";

const NO_SIDE: &str = "REVOKE ALL PRIVILEGES ON `system\\_\\_%`.* FROM app@'%'";
const SIDE: &str = "GRANT ALL ON `system\\_\\_%`.* TO app@'%'";
const MERGE: &str = "USE `system`;;\nCREATE TABLE m1 (id INT NOT NULL, KEY (id)) ENGINE=MyISAM;;\nCREATE TABLE m (id INT NOT NULL, KEY (id)) ENGINE=MERGE UNION=(m1)";
const NO_MERGE: &str = "USE `system`;;\nDROP TABLE m;;\nDROP TABLE m1";

/// What both say: `None` where the backup itself is refused.
type Said = Option<Restorable>;

/// A condition, how it is made and taken away, and what both have to say.
const CONDITIONS: [(&str, &str, &str, Said); 11] = [
    ("nothing", "DO 1", "DO 1", Some(Restorable::Yes)),
    ("trust", "SET GLOBAL log_bin_trust_function_creators = 0", "SET GLOBAL log_bin_trust_function_creators = 1", Some(Restorable::No)),
    (
        "a foreign key from elsewhere that may not be changed",
        "CREATE TABLE other.o (a INT, FOREIGN KEY (a) REFERENCES `system`.a (id))",
        "DROP TABLE other.o",
        Some(Restorable::No),
    ),
    (
        "a foreign key from elsewhere that may be changed",
        "CREATE TABLE other.o (a INT, FOREIGN KEY (a) REFERENCES `system`.a (id));;\nGRANT SELECT, ALTER, REFERENCES ON other.* TO app@'%'",
        "DROP TABLE other.o;;\nREVOKE SELECT, ALTER, REFERENCES ON other.* FROM app@'%'",
        Some(Restorable::Yes),
    ),
    (
        "a missing privilege",
        "REVOKE REFERENCES ON `system`.* FROM app@'%'",
        "GRANT REFERENCES ON `system`.* TO app@'%'",
        Some(Restorable::No),
    ),
    ("no schemas beside", NO_SIDE, SIDE, Some(Restorable::Yes)),
    (
        "no way to give privileges on routines",
        "GRANT EXECUTE ON PROCEDURE `system`.p TO app@'%';;\nREVOKE GRANT OPTION ON `system`.* FROM app@'%'",
        "REVOKE EXECUTE ON PROCEDURE `system`.p FROM app@'%';;\nGRANT SELECT ON `system`.* TO app@'%' WITH GRANT OPTION",
        Some(Restorable::WithOmissions),
    ),
    (
        "a row that no INSERT of this server holds",
        "INSERT INTO `system`.a VALUES (2, 2, REPEAT('x', 700000));;\nSET GLOBAL max_allowed_packet = 1048576;;\nSET GLOBAL local_infile = 0",
        "DELETE FROM `system`.a WHERE id = 2;;\nSET GLOBAL max_allowed_packet = 67108864",
        Some(Restorable::No),
    ),
    ("tables of engine MERGE", MERGE, NO_MERGE, Some(Restorable::Yes)),
    (
        "routines that are not shown",
        "CREATE USER owner@'%';;\nCREATE DEFINER = owner@'%' PROCEDURE `system`.hidden() SELECT 1",
        "DROP PROCEDURE `system`.hidden;;\nDROP USER owner@'%'",
        Some(Restorable::Yes),
    ),
    ("nothing again", "DO 1", "DO 1", Some(Restorable::Yes)),
];

fn worst<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Vec<&'a str> {
    problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).map(|problem| problem.text.as_str()).collect()
}

fn made(kind: MysqlKind) -> (Mysql, Conn) {
    let server = server(kind, &["--log-bin=log", "--server-id=1", "--log-bin-trust-function-creators=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, SCHEMA);
    run(&mut conn, USER);
    run(&mut conn, if kind == MysqlKind::Mysql { OF_MYSQL } else { OF_MARIADB });
    (server, conn)
}

/// What the backup says, and what the plan says of the same set on the same server.
fn agree(server: &Mysql, what: &str, said: Said) {
    let store = store_as(server, "app", "system", Options { lock_wait_seconds: 2, ..Options::default() });
    let findings = store.look(&context("1")).unwrap();
    let (_, kept) = match (try_keep(&store, &context("1")), said) {
        (Ok(taken), Some(_)) => taken,
        (Err(error), None) => return assert_eq!(error.class(), Class::Refused, "{what}"),
        (Ok(_), None) => panic!("{what}: the backup was taken"),
        (Err(error), Some(_)) => panic!("{what}: {error:?}"),
    };
    let fits = store.fits(&context("1"), &kept, findings.road).unwrap();
    let (backup, plan) = (Restorable::of(&kept.problems), worst(findings.restore_problems.iter().chain(&fits)));
    assert_eq!(Some(backup), said, "{what}: {:?}", kept.problems);
    assert_eq!(plan.is_empty(), backup != Restorable::No, "{what}: the backup says {:?}, the plan {plan:?}", kept.problems);
}

#[test]
fn a_backup_and_a_plan_say_the_same() {
    for kind in KINDS {
        let (server, mut conn) = made(kind);
        for (what, make, unmake, said) in CONDITIONS {
            run(&mut conn, make);
            agree(&server, &format!("{kind:?}, {what}"), said);
            run(&mut conn, unmake);
        }
        // On the other road, too.
        run(&mut conn, NO_SIDE);
        run(&mut conn, MERGE);
        agree(&server, &format!("{kind:?}, MERGE in place"), Some(Restorable::Yes));
        run(&mut conn, "REVOKE UPDATE ON `system`.* FROM app@'%'");
        agree(&server, &format!("{kind:?}, MERGE in place without UPDATE"), Some(Restorable::No));
        run(&mut conn, NO_MERGE);
        agree(&server, &format!("{kind:?}, without UPDATE"), Some(Restorable::Yes));
        if kind == MysqlKind::Mysql {
            run(&mut conn, "REVOKE SYSTEM_USER ON *.* FROM app@'%'");
            agree(&server, "objects of an account that is protected", Some(Restorable::No));
        } else {
            run(&mut conn, "CREATE SEQUENCE `system`.s;;\nCREATE TABLE `system`.d (id INT DEFAULT (NEXT VALUE FOR `system`.s))");
            agree(&server, "defaults of a sequence, in place", Some(Restorable::No));
        }
        // Who may only read says that, and nothing of others.
        run(&mut conn, "REVOKE INSERT, CREATE, DROP, ALTER ON `system`.* FROM app@'%'");
        let store = store_as(&server, "app", "system", Options::default());
        let (_, kept) = try_keep(&store, &context("1")).unwrap();
        assert!(matches!(&kept.problems[..], [one] if one.severity == Severity::Note && one.text.contains("may read `system` only")));
    }
}
