//! The superuser of the server's own pod: the side copy is the road where the role may make no database, and nothing of it stays.

use plan::ports::{Discard, Remote, Severity, Undone};

use super::beside::LocalRemote;
use super::*;
use crate::RemotePrograms;

/// The pod of a server, in which its superuser logs in over the socket without being asked for a password.
fn pod(server: &lab::Postgres) -> Arc<dyn Remote> {
    let own = server.program("psql");
    let of_the_pod = |name: &std::ffi::OsStr| name == "PGHOST" || name == "PGPASSFILE";
    let environment =
        own.get_envs().filter(|(name, _)| of_the_pod(name)).filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Arc::new(LocalRemote::with(environment.collect()))
}

fn store_in(server: &lab::Postgres, remote: Arc<dyn Remote>, superuser: bool) -> PostgresStore {
    let programs = RemotePrograms { remote, host: server.host().to_owned(), port: server.port(), superuser };
    let options = Options { programs: Some(programs), cut_over_wait: Duration::from_secs(10), ..Options::default() };
    let address = Address::parse(&server.url_as("zync", "zync", "zync")).unwrap();
    PostgresStore::new(DataSetName::ZyncDatabase, address, options)
}

fn roles(server: &lab::Postgres) -> String {
    psql(
        server,
        "postgres",
        "SELECT string_agg(rolname || ' ' || rolsuper || rolcreatedb, ', ' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'",
    )
}

#[test]
fn in_3scales_own_pod_the_side_copy_is_the_road_and_the_superusers_objects_come_back() {
    let server = lab::Postgres::start(&["-c", "log_statement=all"]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader; CREATE DATABASE zync OWNER zync");
    psql(
        &server,
        "zync",
        "CREATE EXTENSION pg_stat_statements; ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO reader; \
          CREATE PUBLICATION everything FOR ALL TABLES; SET ROLE zync; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('one')",
    );
    let (before, had) = (text(&server, "zync"), roles(&server));
    let store = store_in(&server, pod(&server), true);
    let (context, ear) = context("01jd0000000000000001");
    let found = store.look(&context).unwrap();
    assert_eq!(found.road, Road::SideCopy);
    assert!(
        found.restore_problems.iter().any(|problem| problem.severity == Severity::Note && problem.text.contains("superuser \"postgres\"")),
        "{found:?}"
    );
    let set = take(&store);
    assert_eq!(set.1.problems, []);
    psql(&server, "zync", "DELETE FROM t; CREATE EXTENSION pgcrypto");
    let changed = text(&server, "zync");
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    same(&before, &text(&server, "zync"));
    assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
    same(&changed, &text(&server, "zync"));
    store.cut_over(&context, &place).unwrap();
    assert!(store.kept_bytes(&context, &place).unwrap() > 0);
    store.discard(&context, &place, Discard::Previous).unwrap();
    same(&before, &text(&server, "zync"));
    assert_eq!((databases(&server), roles(&server)), (vec!["zync".to_owned()], had));
    assert_eq!(*ear.0.lock().unwrap(), Vec::<String>::new());
    // The role that was lent: its password stands in no log.
    let log = std::fs::read_to_string(server.folder().join("server.log")).unwrap();
    assert!(log.contains("threescale_backup_") && !log.contains("CREATE ROLE threescale_backup_"), "{log}");
}

#[test]
fn what_needs_no_superuser_is_loaded_by_the_role_itself() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    // The text of a set is run by whoever loads it: this one says who that was.
    psql(
        &server,
        "zync",
        "SET ROLE zync; CREATE TABLE who (name text, loaded_by text GENERATED ALWAYS AS (name) STORED); INSERT INTO who VALUES ('x'); \
          CREATE FUNCTION who() RETURNS text LANGUAGE sql AS 'SELECT session_user::text'; CREATE MATERIALIZED VIEW loader AS SELECT who() AS name",
    );
    let store = store_in(&server, pod(&server), true);
    let (context, _) = context("01jd0000000000000001");
    let set = take(&store);
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    assert_eq!(psql(&server, "zync", "SELECT name FROM loader"), "zync");
}

#[test]
fn the_superuser_of_another_server_is_not_asked_and_none_is_where_it_is_not_3scales_pod() {
    let servers = [(); 2].map(|()| {
        let server = lab::Postgres::start(&[]).unwrap();
        psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
        server
    });
    let (context, _) = context("01jd0000000000000001");
    // A pod behind the same name that is another server's: its own port.
    let programs = RemotePrograms { remote: pod(&servers[1]), host: "127.0.0.1".into(), port: servers[1].port(), superuser: true };
    let address = Address::parse(&servers[0].url_as("zync", "zync", "zync")).unwrap();
    let store = PostgresStore::new(DataSetName::ZyncDatabase, address, Options { programs: Some(programs), ..Options::default() });
    assert_eq!(store.look(&context).unwrap().road, Road::InPlace);
    assert_eq!(store_in(&servers[0], pod(&servers[0]), false).look(&context).unwrap().road, Road::InPlace);
    assert!(servers.iter().all(|server| !roles(server).contains("threescale")));
}
