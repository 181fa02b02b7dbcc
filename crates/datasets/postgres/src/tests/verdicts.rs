//! Whether a set goes back is said by the backup as a plan says it on the same server: one condition after the other is made, and both are asked.

use plan::Restorable;
use plan::ports::Severity;

use super::*;

/// Zync's own objects, and one of the superuser's that a table needs.
const MADE: &str = "CREATE SCHEMA theirs AUTHORIZATION zync; CREATE TABLE theirs.u (a int); ALTER TABLE theirs.u OWNER TO zync; \
     SET ROLE zync; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('one')";

/// A condition, how it is made and taken away, and what both have to say: with CREATEDB, and without.
const CONDITIONS: [(&str, &str, &str, Restorable, Restorable); 6] = [
    ("nothing", "SELECT 1", "SELECT 1", Restorable::Yes, Restorable::Yes),
    (
        "a table of somebody else",
        "CREATE SCHEMA mine; CREATE TABLE mine.other (a int); GRANT USAGE ON SCHEMA mine TO zync; GRANT SELECT ON mine.other TO zync",
        "DROP SCHEMA mine CASCADE",
        Restorable::WithOmissions,
        Restorable::No,
    ),
    (
        "an extension of the superuser's",
        "CREATE EXTENSION pg_stat_statements",
        "DROP EXTENSION pg_stat_statements",
        Restorable::WithOmissions,
        Restorable::WithOmissions,
    ),
    (
        "rows of a type of the superuser's",
        "CREATE FUNCTION odd(int) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4up'; \
         CREATE TABLE needy (a int DEFAULT odd(1)); ALTER TABLE needy OWNER TO zync",
        "DROP TABLE needy; DROP FUNCTION odd(int)",
        Restorable::No,
        Restorable::No,
    ),
    (
        "no right to make schemas",
        "REVOKE CREATE ON DATABASE zync FROM PUBLIC; REVOKE CREATE ON DATABASE zync FROM zync",
        "GRANT CREATE ON DATABASE zync TO zync",
        Restorable::Yes,
        Restorable::No,
    ),
    (
        "a large object of somebody else",
        "SELECT lo_from_bytea(77, 'x'); GRANT SELECT ON LARGE OBJECT 77 TO zync",
        "SELECT lo_unlink(77)",
        Restorable::WithOmissions,
        Restorable::No,
    ),
];

#[test]
fn a_backup_and_a_plan_say_the_same() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    psql(&server, "zync", MADE);
    let store = store_at(&server.url_as("zync", "zync", "zync"));
    let (context, _) = context("01jd0000000000000001");
    for with_createdb in [true, false] {
        psql(&server, "postgres", if with_createdb { "ALTER ROLE zync CREATEDB" } else { "ALTER ROLE zync NOCREATEDB" });
        for (what, make, unmake, beside, in_place) in CONDITIONS {
            psql(&server, "zync", make);
            let findings = store.look(&context).unwrap();
            let (_, kept) = take(&store);
            let fits = store.fits(&context, &kept, findings.road).unwrap();
            let plan: Vec<_> =
                findings.restore_problems.iter().chain(&fits).filter(|problem| problem.severity == Severity::Blocks).collect();
            let said = Restorable::of(&kept.problems);
            let what = format!("{what}, CREATEDB {with_createdb}");
            assert_eq!(said == Restorable::No, !plan.is_empty(), "{what}: {:?}, the plan {plan:?}", kept.problems);
            assert_eq!(said, if with_createdb { beside } else { in_place }, "{what}: {:?}", kept.problems);
            psql(&server, "zync", unmake);
        }
    }
}
