//! What works with fewer privileges, and what is refused rather than silently incomplete.

use lab::MysqlKind;
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::Class;
use plan::manifest::KeptDataSet;
use plan::ports::{DataSet, Road, Severity};

use super::kit::{Heard, KINDS, all_of, assert_same, context, keep, root, run, server, side_schemas, stage, store, store_as, try_keep};
use crate::{MysqlStore, Options};

const SCHEMA: &str = "
CREATE TABLE accounts (id INT PRIMARY KEY AUTO_INCREMENT, n INT, KEY (n));;
CREATE TABLE items (id INT PRIMARY KEY, account INT, CONSTRAINT owner FOREIGN KEY (account) REFERENCES accounts (id));;
INSERT INTO accounts VALUES (1, 1), (2, 2);;
INSERT INTO items VALUES (1, 1);;
CREATE VIEW totals AS SELECT COUNT(*) AS c FROM items;;
CREATE TRIGGER fill BEFORE INSERT ON accounts FOR EACH ROW SET NEW.n = IFNULL(NEW.n, 5);;
CREATE PROCEDURE p() SELECT 1;;
CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1;;
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO SELECT 1
";

/// With the binary log on, as MySQL has it, triggers and functions need SUPER or this.
const TRUSTING: [&str; 1] = ["--log-bin-trust-function-creators=1"];

/// Gives what the problems in the way name, as an operator would copy it; returns the statements.
fn give_what_is_asked(conn: &mut Conn, store: &MysqlStore, kept: &KeptDataSet, road: Road) -> Vec<String> {
    let mut given = Vec::new();
    for _ in 0..3 {
        let problems = store.fits(&context("1"), kept, road).unwrap();
        let blocking: Vec<_> = problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).collect();
        if blocking.is_empty() {
            return given;
        }
        for problem in blocking {
            let way_out = problem.way_out.unwrap();
            let statements = way_out.split(" (").next().unwrap().split(", or ").next().unwrap();
            for statement in statements.split("; ") {
                run(conn, statement);
                given.push(statement.to_owned());
            }
        }
    }
    panic!("what is named is not enough: {given:?}")
}

#[test]
fn a_user_without_create_restores_in_place() {
    for kind in KINDS {
        let server = server(kind, &TRUSTING);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, SCHEMA);
        run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT ON `system`.* TO app@'%'");
        let before = all_of(&server, "system");
        let context = context("1");
        let (held, kept) = keep(&store(&server, "system"), &context);
        run(&mut conn, "DROP VIEW totals;;\nCREATE VIEW newer AS SELECT 1;;\nCREATE TABLE extra (id INT PRIMARY KEY);;\nDELETE FROM items");
        let store = store_as(&server, "app", "system", Options::default());
        let findings = store.look(&context).unwrap();
        assert_eq!(findings.road, Road::InPlace);
        assert!(
            findings
                .restore_problems
                .iter()
                .any(|problem| problem.way_out.as_ref().is_some_and(|text| text.contains("GRANT ALL ON `system\\_\\_%`.*")))
        );
        let given = give_what_is_asked(&mut conn, &store, &kept, Road::InPlace);
        assert_eq!(given.contains(&"GRANT SYSTEM_USER ON *.* TO 'app'@'%'".to_owned()), kind == MysqlKind::Mysql, "{given:?}");
        let beside = store.fits(&context, &kept, Road::SideCopy).unwrap();
        assert!(beside.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("beside")), "{beside:?}");
        let place = stage(&store, &context, &held, &kept, Road::InPlace);
        store.cut_over(&context, &place).unwrap();
        let after = all_of(&server, "system");
        assert!(before.keys().eq(after.keys()), "{after:?}");
        // Definers are this user's now; everything else is the same.
        let same = |name: &str| ["BASE", "checksum", "database", "order"].iter().any(|word| name.starts_with(word));
        assert_same(
            &before.into_iter().filter(|(name, _)| same(name)).collect(),
            &after.iter().filter(|(name, _)| same(name)).map(|(name, text)| (name.clone(), text.clone())).collect(),
            "after the restore in place",
        );
        for name in ["TRIGGER fill", "VIEW totals", "PROCEDURE p", "FUNCTION f", "EVENT e"] {
            assert!(after[name].contains("`app`@`%`"), "{name}: {after:?}");
        }
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        assert!(side_schemas(&server).is_empty());
    }
}

#[test]
fn definers_are_remapped_with_a_warning_where_they_may_not_be_kept() {
    for kind in KINDS {
        let server = server(kind, &TRUSTING);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, SCHEMA);
        run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT ON `system`.* TO app@'%'");
        let before = all_of(&server, "system");
        let (held, kept) = keep(&store(&server, "system"), &context("1"));
        let heard = std::sync::Arc::new(Heard::default());
        let context = plan::ports::Context { watch: heard.clone(), ..context("1") };
        let store = store_as(&server, "app", "system", Options::default());
        let given = give_what_is_asked(&mut conn, &store, &kept, Road::SideCopy);
        let routines =
            if kind == MysqlKind::Mysql { "GRANT SHOW_ROUTINE ON *.* TO 'app'@'%'" } else { "GRANT SELECT ON mysql.proc TO 'app'@'%'" };
        assert!(given.iter().any(|statement| statement == routines), "{given:?}");
        assert_eq!(store.look(&context).unwrap().road, Road::SideCopy);
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        let warnings = heard.0.lock().unwrap().clone();
        assert_eq!(warnings.iter().filter(|text| text.contains("root@")).count(), 5, "{warnings:?}");
        let name = if kind == MysqlKind::Mysql { "SET_ANY_DEFINER" } else { "(SET USER or SUPER)" };
        assert!(warnings.iter().filter(|text| text.contains("root@")).all(|text| text.contains(name)), "{warnings:?}");
        let after = all_of(&server, "system");
        assert!(before.keys().eq(after.keys()), "{after:?}");
        for name in ["TRIGGER fill", "VIEW totals", "PROCEDURE p", "FUNCTION f", "EVENT e"] {
            assert!(after[name].contains("`app`@`%`"), "{name}: {after:?}");
        }
        store.undo(&context, &place).unwrap();
        assert!(before.keys().eq(all_of(&server, "system").keys()), "everything is there after the undo");
        store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    }
}

#[test]
fn objects_of_a_protected_account_are_told_before_anything_is_dropped() {
    let server = server(MysqlKind::Mysql, &TRUSTING);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`;;\nCREATE USER plain@'%';;\nCREATE DEFINER = plain@'%' VIEW v AS SELECT 1");
    run(&mut conn, "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%'");
    let (held, kept) = keep(&store(&server, "system"), &context("1"));
    let store = store_as(&server, "app", "system", Options::default());
    let told = || -> Vec<String> {
        let problems = store.fits(&context("1"), &kept, Road::InPlace).unwrap();
        let blocking = problems.into_iter().filter(|problem| problem.severity == Severity::Blocks);
        blocking
            .inspect(|problem| assert!(problem.way_out.as_ref().unwrap().starts_with("GRANT SYSTEM_USER ON *.*")))
            .map(|problem| problem.text)
            .collect()
    };
    assert!(matches!(&told()[..], [text] if text.contains("plain@%") && text.contains("may not look at")), "{:?}", told());
    run(&mut conn, "GRANT SELECT ON mysql.global_grants TO app@'%'");
    assert_eq!(told(), Vec::<String>::new(), "the owner is no protected account");
    run(&mut conn, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1");
    assert!(matches!(&told()[..], [text] if text.contains("root@%, who have") && !text.contains("plain")), "{:?}", told());
    let look = store.look(&context("1")).unwrap().restore_problems;
    assert!(look.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("root@%, who have")), "{look:?}");
    run(&mut conn, "DROP EVENT e");
    stage(&store, &context("1"), &held, &kept, Road::InPlace);
}

#[test]
fn a_dump_that_would_silently_lack_objects_is_refused() {
    for kind in KINDS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
        run(&mut conn, SCHEMA);
        let all = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE"];
        for lacking in all {
            let user = format!("no_{}", lacking.to_lowercase().replace(' ', "_"));
            let grants: Vec<&str> = all.iter().copied().filter(|grant| *grant != lacking).collect();
            run(
                &mut conn,
                &format!("CREATE USER {user}@'%' IDENTIFIED BY 'pw';;\nGRANT {} ON `system`.* TO {user}@'%'", grants.join(", ")),
            );
            let store = store_as(&server, &user, "system", Options::default());
            let error = try_keep(&store, &context("1")).map(drop).unwrap_err();
            assert!([Class::Refused, Class::Failed].contains(&error.class()));
            assert!(error.hints().iter().any(|hint| hint.contains("GRANT")), "{lacking}: {error:?}");
        }
    }
}

#[test]
fn trust_in_creators_of_functions_is_asked_for_before_the_cut_over() {
    let server = server(MysqlKind::Mysql, &["--log-bin=log", "--server-id=1", "--log-bin-trust-function-creators=0"]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
    run(&mut conn, SCHEMA);
    run(
        &mut conn,
        "CREATE USER app@'%' IDENTIFIED BY 'pw';;\nGRANT ALL ON `system`.* TO app@'%';;\nGRANT ALL ON `system\\_\\_%`.* TO app@'%';;\nGRANT SHOW_ROUTINE, SYSTEM_USER ON *.* TO app@'%'",
    );
    let (_, kept) = keep(&store(&server, "system"), &context("1"));
    let store = store_as(&server, "app", "system", Options::default());
    let problems = store.fits(&context("1"), &kept, Road::SideCopy).unwrap();
    assert!(
        problems.iter().any(|problem| problem.severity == Severity::Blocks
            && problem.way_out.as_deref() == Some("SET GLOBAL log_bin_trust_function_creators = 1")),
        "{problems:?}"
    );
    conn.query_drop("SET GLOBAL log_bin_trust_function_creators = 1").unwrap();
    let problems = store.fits(&context("1"), &kept, Road::SideCopy).unwrap();
    assert!(problems.iter().all(|problem| problem.severity != Severity::Blocks), "{problems:?}");
}

#[test]
fn the_binary_log_has_a_restore_unless_somebody_says_otherwise() {
    let server = server(MysqlKind::Mariadb, &["--log-bin=log", "--server-id=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nUSE `system`");
    run(&mut conn, SCHEMA);
    let context = context("1");
    let position = |conn: &mut mysql::Conn| conn.query_first::<String, _>("SELECT @@GLOBAL.gtid_binlog_pos").unwrap().unwrap();
    let (held, kept) = keep(&store(&server, "system"), &context);
    for (log_bin, is_logged, severity) in [
        (None, true, Severity::Note),
        (Some(crate::LogBin::Auto), false, Severity::Degrades),
        (Some(crate::LogBin::Never), false, Severity::Degrades),
    ] {
        let options = Options::default();
        let store = super::kit::store_with(&server, "system", Options { log_bin: log_bin.unwrap_or(options.log_bin), ..options });
        let told = store.fits(&context, &kept, Road::SideCopy).unwrap();
        let told = told.iter().find(|problem| problem.text.contains("binary log")).unwrap();
        assert_eq!(told.severity, severity, "{told:?}");
        let before = position(&mut conn);
        let place = stage(&store, &context, &held, &kept, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(before != position(&mut conn), is_logged, "{log_bin:?}");
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    }
}
