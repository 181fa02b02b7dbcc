//! The superuser of the server's own pod: the side copy is the road where the role may make no database, and nothing of it stays.

use plan::InstallationId;
use plan::ports::{Discard, Holds, Process, Program, Remote, Severity, Undone};

use super::beside::LocalRemote;
use super::*;
use crate::RemotePrograms;

/// The pod of a server, in which its superuser logs in over the socket without being asked for a password.
pub(super) fn pod(server: &lab::Postgres) -> Arc<LocalRemote> {
    let own = server.program("psql");
    let of_the_pod = |name: &std::ffi::OsStr| name == "PGHOST" || name == "PGPASSFILE";
    let environment =
        own.get_envs().filter(|(name, _)| of_the_pod(name)).filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    Arc::new(LocalRemote::with(environment.collect()))
}

pub(super) fn store_in(server: &lab::Postgres, remote: Arc<dyn Remote>, superuser: bool) -> PostgresStore {
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

/// Writers wait for a cut-over: through an API server each program and each connection costs a good part of a second.
#[test]
fn a_cut_over_by_the_superuser_starts_one_program_and_opens_few_connections() {
    let server = lab::Postgres::start(&["-c", "log_connections=on"]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    psql(&server, "zync", "SET ROLE zync; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('one')");
    let pod = pod(&server);
    let store = store_in(&server, Arc::<LocalRemote>::clone(&pod), true);
    let (context, ear) = context("01jd0000000000000001");
    let set = take(&store);
    let place = staged(&store, &context, &set, Road::SideCopy);
    for verb in ["cut over", "undo", "cut over again"] {
        let (starts, connections) = (pod.starts(), opened(&server));
        match verb {
            "undo" => assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive),
            _ => store.cut_over(&context, &place).unwrap(),
        }
        // Our own role, the superuser on the socket, and the role that it lent: in the maintenance database, the live and the staged one.
        let counted = (pod.starts() - starts, opened(&server) - connections);
        assert!(counted.0 == 1 && counted.1 <= 5, "{verb}: {counted:?}");
        assert_eq!(lent(&server), "0");
    }
    assert_eq!(*ear.0.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_lent_role_goes_though_the_psql_that_lent_it_is_gone() {
    let server = zync();
    let (context, ear) = context("01jd0000000000000001");
    let programs = RemotePrograms { remote: pod(&server), host: server.host().to_owned(), port: server.port(), superuser: true };
    let address = Address::parse(&server.url_as("zync", "zync", "zync")).unwrap();
    let mut session = crate::session::Session::open_maintenance(&address).unwrap();
    let loan = crate::superuser::Loan::take(&context, &programs, &address, &mut session).unwrap().unwrap();
    assert_eq!(lent(&server), "1");
    let ended =
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'psql' AND pid <> pg_backend_pid()";
    assert_eq!(psql(&server, "postgres", ended), "1");
    drop(loan);
    assert_eq!(lent(&server), "0");
    assert_eq!(*ear.0.lock().unwrap(), Vec::<String>::new());
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

fn zync() -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    psql(&server, "zync", "SET ROLE zync; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('one')");
    server
}

/// As a process that is killed while it has the loan.
fn killed_with_a_loan(server: &lab::Postgres, context: &Context) {
    let programs = RemotePrograms { remote: pod(server), host: server.host().to_owned(), port: server.port(), superuser: true };
    let address = Address::parse(&server.url_as("zync", "zync", "zync")).unwrap();
    let mut session = crate::session::Session::open_maintenance(&address).unwrap();
    std::mem::forget(crate::superuser::Loan::take(context, &programs, &address, &mut session).unwrap().unwrap());
}

fn lent(server: &lab::Postgres) -> String {
    psql(server, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'threescale_backup%'")
}

#[test]
fn a_role_that_a_killed_run_left_is_named_goes_with_its_next_step_and_can_be_removed() {
    let server = zync();
    let store = store_in(&server, pod(&server), true);
    let of = |run| Context { installation: InstallationId::named("prod"), ..context(run).0 };
    let (killed, other) = (of("01jd0000000000000001"), of("01jd0000000000000002"));
    let set = take(&store);
    killed_with_a_loan(&server, &killed);
    let left = store.leftovers(&other).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].run.as_str(), left[0].holds), ("01jd0000000000000001", Holds::Mark));
    assert_eq!(left[0].installation.as_ref().unwrap().name, "prod");
    assert!(left[0].what.contains("role threescale_backup_") && left[0].what.contains("it can log in until"), "{left:?}");
    // A run goes on beside it, and leaves it alone; the run that it was lent to takes it back when it goes on.
    let place = staged(&store, &other, &set, Road::SideCopy);
    assert_eq!(lent(&server), "1");
    store.discard(&other, &place, Discard::Staged).unwrap();
    staged(&store, &killed, &set, Road::SideCopy);
    assert_eq!(lent(&server), "0");
    // A run that nobody goes on with: it is removed, whatever else it left.
    killed_with_a_loan(&server, &killed);
    for leftover in store.leftovers(&other).unwrap() {
        store.remove_leftover(&other, &leftover).unwrap();
        store.remove_leftover(&other, &leftover).unwrap();
    }
    assert_eq!((lent(&server).as_str(), databases(&server)), ("0", vec!["zync".to_owned()]));
    assert_eq!(store.leftovers(&other).unwrap(), []);
}

/// A pod in which nobody may run anything.
struct Forbidden;

impl Remote for Forbidden {
    fn place(&self) -> String {
        "pod zync-database-1, container postgresql".to_owned()
    }

    fn start(&self, _: &Context, _: &Program) -> plan::Result<Box<dyn Process>> {
        Err(plan::Error::refused("pods \"zync-database-1\" is forbidden").hint("Allow create on pods/exec."))
    }
}

#[test]
fn that_the_superuser_cannot_be_asked_is_told_where_the_road_is_chosen() {
    let server = zync();
    let store = store_in(&server, Arc::new(Forbidden), true);
    let (context, _) = context("01jd0000000000000001");
    let tells = |found: &plan::ports::Findings| {
        let told = found.restore_problems.iter().find(|problem| problem.text.contains("superuser"));
        assert!(
            told.is_some_and(|problem| problem.severity == Severity::Degrades
                && problem.text.contains("is forbidden")
                && problem.way_out.as_ref().is_some_and(|way| way.contains("pods/exec"))),
            "{found:?}"
        );
    };
    let found = store.look(&context).unwrap();
    assert_eq!(found.road, Road::InPlace);
    tells(&found);
    psql(&server, "postgres", "DROP DATABASE zync");
    let gone = store.look(&context).unwrap();
    tells(&gone);
    assert!(gone.restore_problems.iter().any(|problem| problem.severity == Severity::Blocks), "{gone:?}");
}
