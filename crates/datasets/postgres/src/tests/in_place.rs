use super::*;

/// What is done to the parts of a snapshot.
type Damage = fn(&mut Vec<(PathBuf, Vec<u8>)>);

/// A role that owns its database but may create none: what a hosted installation often has.
fn server() -> (lab::Postgres, PostgresStore) {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(
        &server,
        "postgres",
        "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader; CREATE DATABASE zync OWNER zync; CREATE DATABASE superusers",
    );
    let url = server.url_as("zync", "zync", "zync");
    (server, store_at(&url))
}

fn fill(server: &lab::Postgres) {
    // As zync itself: everything is its own; a trusted extension, too.
    psql(
        server,
        "zync",
        &format!(
            "SET ROLE zync; {}",
            RICH.replace("GRANT SELECT ON LARGE", "-- GRANT")
                .replace("CREATE EXTENSION pgcrypto", "CREATE SCHEMA ext; CREATE EXTENSION pgcrypto SCHEMA ext")
        ),
    );
}

#[test]
fn a_role_without_createdb_gets_exactly_the_set() {
    let (server, store) = server();
    fill(&server);
    let (context, _) = context("01jd0000000000000001");
    let found = store.look(&context).unwrap();
    assert_eq!(found.road, Road::InPlace);
    assert!(found.restore_problems.iter().any(|problem| problem.way_out.as_deref() == Some("ALTER ROLE \"zync\" CREATEDB")), "{found:?}");
    let set = take(&store);
    let before = text(&server, "zync");
    psql(
        &server,
        "zync",
        "SET ROLE zync; DROP TABLE texts; CREATE TABLE extra (a int); CREATE SCHEMA extra_schema; CREATE TABLE extra_schema.t (b int); CREATE TYPE extra_type AS ENUM ('x'); \
         CREATE FUNCTION extra_function() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW extra_view AS SELECT * FROM parents; SELECT lo_from_bytea(99, 'x'); UPDATE parents SET data = NULL; \
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO reader; ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC",
    );
    let place = staged(&store, &context, &set, Road::InPlace);
    store.cut_over(&context, &place).unwrap();
    assert!(store.kept_bytes(&context, &place).unwrap() > 1 << 16);
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    same(&before, &text(&server, "zync"));
}

#[test]
fn a_failure_in_place_leaves_everything_as_it_was() {
    let (server, store) = server();
    fill(&server);
    let set = take(&store);
    psql(&server, "zync", "SET ROLE zync; DELETE FROM every_byte WHERE id < 9; CREATE TABLE extra (a int)");
    let before = text(&server, "zync");
    let (context, _) = context("01jd0000000000000001");
    let place = store.reserve(&context, &set.1, Road::InPlace).unwrap();

    // Truncated in the data, a part missing, garbage in the table of contents.
    let whole = &set.0.0;
    let broken: [Damage; 4] = [
        |parts| {
            let bytes = &mut parts.last_mut().unwrap().1;
            bytes.truncate(bytes.len() - 1000);
        },
        |parts| {
            let bytes = &mut parts.last_mut().unwrap().1;
            bytes.truncate(bytes.len() / 2);
        },
        |parts| drop(parts.pop()),
        |parts| {
            let bytes = &mut parts.last_mut().unwrap().1;
            bytes[300..700].fill(0xff);
        },
    ];
    for (number, damage) in broken.iter().enumerate() {
        let mut parts = whole.clone();
        damage(&mut parts);
        let error = store.stage(&context, &place, Arc::new(Memory(parts)), &set.1).unwrap_err();
        assert_eq!(before, text(&server, "zync"), "damage {number}: {error:?}");
    }
    // A statement that fails at the server: a schema that is not ours to drop.
    psql(&server, "zync", "CREATE SCHEMA theirs; CREATE TABLE theirs.t (a int)");
    let before = text(&server, "zync");
    let error = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("theirs")), "{error:?}");
    same(&before, &text(&server, "zync"));
}

/// What takes no end by itself holds a table, of 3scale's own shape: `public` is the superuser's, and its tables are moved one by one.
#[test]
fn a_lock_that_cannot_be_had_in_place_is_given_back_again_and_again() {
    let server = lab::Postgres::start(&["-c", "max_prepared_transactions=5"]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    psql(
        &server,
        "zync",
        "ALTER SCHEMA public OWNER TO CURRENT_USER; GRANT ALL ON SCHEMA public TO zync; SET ROLE zync; CREATE TABLE tenants (id int); INSERT INTO tenants VALUES (1)",
    );
    let store_that_waits = |seconds| {
        let options = Options { cut_over_wait: Duration::from_secs(seconds), ..Options::default() };
        PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url_as("zync", "zync", "zync")).unwrap(), options)
    };
    let (hasty, patient) = (store_that_waits(1), store_that_waits(300));
    let set = take(&hasty);
    psql(&server, "zync", "INSERT INTO tenants VALUES (2)");
    let (context, _) = context("01jd0000000000000001");
    let place = hasty.reserve(&context, &set.1, Road::InPlace).unwrap();
    let stage = |store: &PostgresStore| store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1);
    psql(&server, "zync", "BEGIN; UPDATE tenants SET id = 3 WHERE id = 2; PREPARE TRANSACTION 'stuck'");
    let error = stage(&hasty).unwrap_err();
    assert_eq!(error.class(), plan::Class::Transient, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("prepared transaction 'stuck'")), "{error:?}");
    assert_eq!(psql(&server, "zync", "SELECT id FROM tenants ORDER BY id"), "1\n2");
    std::thread::scope(|scope| {
        let staging = scope.spawn(|| stage(&patient));
        // A wait that is begun anew is another session's.
        let mut waiting = std::collections::BTreeSet::new();
        // In another database nobody ends it.
        let mut observer = postgres::Client::connect(&server.url("postgres"), postgres::NoTls).unwrap();
        while waiting.len() < 2 {
            let waits = "SELECT pid, extract(epoch FROM clock_timestamp() - waitstart)::float8 FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL";
            for row in observer.query(waits, &[]).unwrap() {
                let seconds: f64 = row.get(1);
                assert!(seconds < 5.0, "somebody waits for a lock for {seconds} s");
                waiting.insert(row.get::<_, i32>(0));
            }
            assert!(!staging.is_finished(), "it went over a lock");
        }
        let commit = |mut client: postgres::Client| client.batch_execute("COMMIT PREPARED 'stuck'");
        until("it is committed", || postgres::Client::connect(&server.url("zync"), postgres::NoTls).and_then(commit).is_ok());
        staging.join().unwrap().unwrap();
    });
    prove(&patient, &context, &place, &set.1);
    assert_eq!(psql(&server, "zync", "SELECT id FROM tenants"), "1");
    patient.undo(&context, &place).unwrap();
    assert_eq!(psql(&server, "zync", "SELECT id FROM tenants ORDER BY id"), "1\n3");
}
