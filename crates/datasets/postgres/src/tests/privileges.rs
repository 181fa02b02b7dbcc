//! Each right of the list is taken away in turn: it is told before anything is touched, with the statement that gives it.

use lab::Postgres;
use plan::ports::{Findings, Severity};

use super::*;
use crate::privileges::{For, NEEDED};

/// What takes a right away, by a word of it; `then` is the road that is left.
struct Taken {
    word: &'static str,
    statements: &'static str,
    in_database: &'static str,
}

const OF_BACKUP: [Taken; 6] = [
    Taken { word: "every schema", statements: "REVOKE USAGE ON SCHEMA own FROM backup", in_database: "zync" },
    Taken { word: "every table", statements: "REVOKE SELECT ON own.t FROM backup", in_database: "zync" },
    Taken { word: "every sequence", statements: "REVOKE SELECT ON SEQUENCE own.s FROM backup", in_database: "zync" },
    Taken { word: "every large object", statements: "REVOKE SELECT ON LARGE OBJECT 42 FROM backup", in_database: "zync" },
    Taken { word: "BYPASSRLS", statements: "ALTER ROLE backup NOBYPASSRLS", in_database: "zync" },
    Taken { word: "pg_export_snapshot", statements: "REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC", in_database: "zync" },
];

const OF_SIDE_COPY: [Taken; 4] = [
    Taken { word: "CREATEDB", statements: "ALTER ROLE restore NOCREATEDB", in_database: "postgres" },
    Taken { word: "to own the database", statements: "REVOKE zync FROM restore", in_database: "postgres" },
    Taken { word: "tablespace", statements: "REVOKE CREATE ON TABLESPACE quick FROM restore", in_database: "postgres" },
    Taken {
        word: "CONNECT",
        statements: "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC",
        in_database: "zync",
    },
];

const OF_IN_PLACE: [Taken; 3] = [
    Taken { word: "to own what is live", statements: "REVOKE zync FROM restore", in_database: "postgres" },
    Taken { word: "`CREATE` on the database", statements: "REVOKE CREATE ON DATABASE zync FROM PUBLIC, restore", in_database: "postgres" },
    Taken { word: "schema `public`", statements: "REVOKE CREATE ON SCHEMA public FROM PUBLIC, restore", in_database: "zync" },
];

fn server() -> Postgres {
    let server = Postgres::start(&["-c", "allow_in_place_tablespaces=on"]).unwrap();
    psql(
        &server,
        "postgres",
        "CREATE ROLE zync; CREATE ROLE backup LOGIN PASSWORD 'p' BYPASSRLS; CREATE ROLE restore LOGIN PASSWORD 'p' CREATEDB; GRANT zync TO restore",
    );
    psql(&server, "postgres", "SET allow_in_place_tablespaces = on; CREATE TABLESPACE quick LOCATION ''");
    psql(&server, "postgres", "GRANT CREATE ON TABLESPACE quick TO restore; CREATE DATABASE zync TABLESPACE quick OWNER zync");
    psql(
        &server,
        "zync",
        "GRANT CREATE ON SCHEMA public TO restore; GRANT CREATE ON DATABASE zync TO restore; SET ROLE zync; CREATE SCHEMA own; CREATE TABLE own.t (id int); \
         INSERT INTO own.t VALUES (1); CREATE SEQUENCE own.s; SELECT lo_from_bytea(42, 'x'); ALTER TABLE own.t ENABLE ROW LEVEL SECURITY; \
         GRANT USAGE ON SCHEMA own TO backup; GRANT SELECT ON own.t, own.s TO backup; GRANT SELECT ON LARGE OBJECT 42 TO backup",
    );
    server
}

fn look(server: &Postgres, role: &str) -> Findings {
    store_at(&server.url_as(role, "p", "zync")).look(&context("01jdbackup0000000000").0).unwrap()
}

fn covers(taken: &[Taken], of: For) {
    for one in NEEDED.iter().filter(|one| one.of == of) {
        assert_eq!(taken.iter().filter(|taken| one.what.contains(taken.word)).count(), 1, "{}", one.what);
    }
}

#[test]
fn each_right_of_a_backup_is_missed_before_it_begins() {
    covers(&OF_BACKUP, For::Backup);
    let server = server();
    assert_eq!(look(&server, "backup").backup_problems, []);
    take(&store_at(&server.url_as("backup", "p", "zync")));
    for taken in OF_BACKUP {
        psql(&server, taken.in_database, taken.statements);
        let problems = look(&server, "backup").backup_problems;
        let told: Vec<_> = problems.iter().filter(|problem| problem.text.contains(taken.word)).collect();
        assert!(told.len() == problems.len() && told.len() == 1 && told[0].severity == Severity::Blocks, "{}: {problems:?}", taken.word);
        assert!(pull_of(&server).is_err(), "{}: it is no right that a backup needs", taken.word);
        // What it says is what gives it.
        psql(&server, taken.in_database, told[0].way_out.as_ref().unwrap());
        assert_eq!(look(&server, "backup").backup_problems, [], "{}", taken.word);
    }
    take(&store_at(&server.url_as("backup", "p", "zync")));
}

fn pull_of(server: &Postgres) -> plan::Result<()> {
    let store = store_at(&server.url_as("backup", "p", "zync"));
    pull(store.dump(&context("01jdbackup0000000000").0)?).map(drop)
}

#[test]
fn without_a_right_of_the_side_copy_it_goes_in_place() {
    covers(&OF_SIDE_COPY, For::SideCopy);
    let server = server();
    let found = look(&server, "restore");
    assert_eq!(found.road, Road::SideCopy, "{:?}", found.restore_problems);
    for taken in OF_SIDE_COPY {
        psql(&server, taken.in_database, taken.statements);
        let found = look(&server, "restore");
        assert_eq!(found.road, Road::InPlace, "{}", taken.word);
        let told = found.restore_problems.iter().find(|problem| problem.text.contains(taken.word)).unwrap();
        psql(&server, taken.in_database, told.way_out.as_ref().unwrap());
        assert_eq!(look(&server, "restore").road, Road::SideCopy, "{}", taken.word);
    }
    let (context, _) = context("01jd0000000000000001");
    let store = store_at(&server.url_as("restore", "p", "zync"));
    let set = take(&store);
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
}

#[test]
fn without_a_right_of_the_way_in_place_it_is_refused() {
    covers(&OF_IN_PLACE, For::InPlace);
    let server = server();
    let store = store_at(&server.url_as("restore", "p", "zync"));
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    let blocks = || {
        let problems = store.fits(&context, &set.1, Road::InPlace).unwrap();
        problems.into_iter().filter(|problem| problem.severity == Severity::Blocks).count()
    };
    assert_eq!(blocks(), 0);
    let before = text(&server, "zync");
    for taken in OF_IN_PLACE {
        let give = match taken.word {
            "to own what is live" => "GRANT zync TO restore",
            "`CREATE` on the database" => "GRANT CREATE ON DATABASE zync TO restore; ALTER DATABASE zync OWNER TO zync",
            _ => "GRANT CREATE ON SCHEMA public TO restore; ALTER SCHEMA public OWNER TO pg_database_owner",
        };
        // An owner has it all the same.
        let owner = if taken.word == "to own what is live" {
            "SELECT 1"
        } else {
            "ALTER DATABASE zync OWNER TO postgres; REVOKE CREATE ON DATABASE zync FROM zync; ALTER SCHEMA public OWNER TO postgres"
        };
        psql(&server, "zync", owner);
        psql(
            &server,
            "zync",
            &format!("GRANT CREATE ON DATABASE zync TO restore; GRANT CREATE ON SCHEMA public TO restore; {}", taken.statements),
        );
        assert!(blocks() > 0, "{}", taken.word);
        psql(&server, "zync", give);
        assert_eq!(blocks(), 0, "{}", taken.word);
    }
    assert_eq!(
        before.lines().filter(|line| line.starts_with("CREATE")).count(),
        text(&server, "zync").lines().filter(|line| line.starts_with("CREATE")).count()
    );
}

#[test]
fn the_documentation_has_the_list() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/privileges.md");
    let document = std::fs::read_to_string(file).unwrap();
    let part = document.split("\n## ").find(|part| part.starts_with("PostgreSQL")).unwrap();
    let rows: Vec<_> = part.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let wanted = NEEDED.iter().map(|one| {
        let of = match one.of {
            For::Backup => "backup",
            For::SideCopy => "restore beside the live data",
            For::InPlace => "restore in place",
        };
        format!("| {of} | {} | `{}` |", one.what, one.grant.replace("@role@", "role").replace("@object@", "…"))
    });
    assert_eq!(rows, wanted.collect::<Vec<_>>());
}
