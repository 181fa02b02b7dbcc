//! The schema `public` of a server before version 15: its rights come back by who may grant them, and are told with the statements by who may not.

use lab::PostgresVersion;
use plan::ports::{Discard, Problem, Severity, Undone};

use super::superuser::{pod, store_in};
use super::versions::store_with;
use super::*;

const HARDENED: &str = "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT ALL ON SCHEMA public TO zync; GRANT USAGE ON SCHEMA public TO ro WITH GRANT OPTION; \
     COMMENT ON SCHEMA public IS 'it''s ours'; SET ROLE zync; CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES; \
     CREATE AGGREGATE ag(int) (sfunc = int4pl, stype = int)";

fn server(right: &str, statements: &str) -> lab::Postgres {
    let server = lab::Postgres::start_version(PostgresVersion::V13, &[]).unwrap();
    psql(&server, "postgres", &format!("CREATE ROLE zync LOGIN {right} PASSWORD 'zync'; CREATE ROLE ro; CREATE DATABASE zync OWNER zync"));
    psql(&server, "zync", statements);
    server
}

fn store(server: &lab::Postgres) -> PostgresStore {
    store_with(&server.url_as("zync", "zync", "zync"), PostgresVersion::V13)
}

/// As the server's own client sees it.
fn public(server: &lab::Postgres) -> String {
    psql(
        server,
        "zync",
        "SELECT pg_get_userbyid(nspowner), obj_description(oid, 'pg_namespace'), \
           (SELECT string_agg(item, ' ' ORDER BY item) FROM unnest(nspacl::text[]) item) FROM pg_namespace WHERE nspname = 'public'",
    )
}

/// The statements that a problem says are to be run.
fn statements(problems: &[Problem]) -> String {
    let about = problems.iter().find(|problem| problem.text.contains("schema public")).unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(about.severity, Severity::Degrades, "{about:?}");
    assert!(about.text.ends_with("does not bring back its rights and comment, and everybody may create there"), "{about:?}");
    let (_, statements) = about.way_out.as_ref().unwrap().split_once(": ").unwrap();
    statements.to_owned()
}

#[test]
fn a_hardened_public_schema_is_told_with_its_statements_to_a_role_that_cannot_bring_it_back() {
    let server = server("CREATEDB", HARDENED);
    let store = store(&server);
    let wanted = public(&server);
    let found = store.look(&context("01jd0000000000000001").0).unwrap();
    let told = statements(&found.backup_problems);
    let set = take(&store);
    assert_eq!(statements(&set.1.problems), told);
    // An aggregate over a function of the server's own is made by everybody.
    assert!([&found.backup_problems, &set.1.problems].iter().all(|problems| problems.len() == 1), "{found:?} {:?}", set.1.problems);
    for (first, run) in [("", "01jd0000000000000001"), ("DROP DATABASE zync", "01jd0000000000000002")] {
        psql(&server, "postgres", first);
        let (context, ear) = context(run);
        assert_eq!(statements(&store.fits(&context, &set.1, Road::SideCopy).unwrap()), told);
        let place = staged(&store, &context, &set, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Previous).unwrap();
        let heard = ear.0.lock().unwrap().join("\n");
        assert!(heard.contains(&told), "{heard}");
        assert_ne!(public(&server), wanted);
        psql(&server, "zync", &told);
        assert_eq!(public(&server), wanted);
        assert_eq!(psql(&server, "zync", "SELECT ag(id) FROM t"), "1");
    }
}

#[test]
fn a_hardened_public_schema_is_brought_back_by_the_superuser_of_the_pod_and_stays_in_place() {
    for in_pod in [true, false] {
        let server = server("", HARDENED);
        let store = if in_pod { store_in(&server, pod(&server), true) } else { store(&server) };
        let wanted = public(&server);
        let (context, ear) = context("01jd0000000000000001");
        let found = store.look(&context).unwrap();
        assert_eq!(
            (found.road == Road::SideCopy, found.backup_problems.iter().any(|problem| problem.severity > Severity::Note)),
            (in_pod, false)
        );
        let set = take(&store);
        assert!(set.1.problems.is_empty(), "{:?}", set.1.problems);
        let problems = store.fits(&context, &set.1, found.road).unwrap();
        assert!(problems.iter().all(|problem| problem.severity == Severity::Note), "{problems:?}");
        let place = staged(&store, &context, &set, found.road);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert_eq!(public(&server), wanted, "in the pod: {in_pod}");
        let heard = ear.0.lock().unwrap().join("\n");
        assert!(!heard.contains("bring back"), "{heard}");
        if !in_pod {
            // Changed since: a restore in place leaves it so, and the plan says it.
            psql(&server, "zync", "GRANT ALL ON SCHEMA public TO PUBLIC; COMMENT ON SCHEMA public IS NULL");
            let told = statements(&store.fits(&context, &set.1, Road::InPlace).unwrap());
            psql(&server, "zync", &told);
            assert_eq!(public(&server), wanted);
        }
    }
}

#[test]
fn of_a_public_schema_as_the_server_makes_it_nothing_is_told() {
    let server = server("CREATEDB", "CREATE TABLE t (); ALTER TABLE t OWNER TO zync");
    for programs in [PostgresVersion::V13, PostgresVersion::Own] {
        let store = store_with(&server.url_as("zync", "zync", "zync"), programs);
        let (context, ear) = context("01jd0000000000000001");
        let set = take(&store);
        let problems = [store.fits(&context, &set.1, Road::SideCopy).unwrap(), set.1.problems.clone()].concat();
        assert!(problems.iter().all(|problem| !problem.text.contains("public")), "{problems:?}");
        let place = staged(&store, &context, &set, Road::SideCopy);
        store.discard(&context, &place, Discard::Staged).unwrap();
        let heard = ear.0.lock().unwrap().join("\n");
        assert!(!heard.contains("bring back"), "{heard}");
    }
}

#[test]
fn roles_that_are_to_be_granted_are_named() {
    let server = server(
        "CREATEDB",
        "CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO ro; ALTER DEFAULT PRIVILEGES FOR ROLE ro GRANT SELECT ON TABLES TO zync; \
         GRANT SELECT ON theirs TO zync",
    );
    let set = take(&store(&server));
    let ways: Vec<_> = set.1.problems.iter().filter_map(|problem| problem.way_out.as_deref()).collect();
    assert_eq!(ways, ["GRANT \"ro\" TO \"zync\"; or restore with the address of a superuser."; 2], "{:?}", set.1.problems);
}

#[test]
fn a_hardened_public_schema_goes_back_by_a_newer_client_of_a_superuser_on_both_roads() {
    let server = server("", HARDENED);
    let store = store_with(&server.url("zync"), PostgresVersion::Own);
    let wanted = public(&server);
    let set = take(&store);
    for (road, run) in [(Road::SideCopy, "01jd0000000000000001"), (Road::InPlace, "01jd0000000000000002")] {
        psql(&server, "zync", "GRANT ALL ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM zync");
        let changed = public(&server);
        let (context, _) = context(run);
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(public(&server), wanted, "{road:?}");
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(public(&server), changed, "{road:?}");
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
}

#[test]
fn a_set_that_does_not_say_the_rights_on_public_is_restored_and_that_is_told() {
    let server = server("CREATEDB", HARDENED);
    let store = store(&server);
    let mut set = take(&store);
    // As releases wrote it that did not look.
    set.1.evidence.facts.remove("demands");
    let (context, ear) = context("01jd0000000000000001");
    let is_told =
        |text: &str| text.contains("did not note who may what in the schema public") && text.contains("everybody may create in it");
    let told = store.fits(&context, &set.1, Road::SideCopy).unwrap();
    let about = told.iter().find(|problem| is_told(&problem.text)).unwrap_or_else(|| panic!("{told:?}"));
    assert!(about.way_out.as_ref().unwrap().contains("dn+ public"), "{about:?}");
    let wanted = psql(&server, "zync", "SELECT * FROM t");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let heard = ear.0.lock().unwrap().join("\n");
    assert!(is_told(&heard), "{heard}");
    store.cut_over(&context, &place).unwrap();
    assert_eq!(psql(&server, "zync", "SELECT * FROM t"), wanted);
    // Who may change it brings it back, from the archive.
    let as_superuser = store_with(&server.url("zync"), PostgresVersion::V13);
    let told = as_superuser.fits(&context, &set.1, Road::SideCopy).unwrap();
    assert!(!told.iter().any(|problem| is_told(&problem.text)), "{told:?}");
}
