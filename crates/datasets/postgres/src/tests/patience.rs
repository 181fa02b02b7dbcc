//! The application goes on: no lock of a backup makes it wait, whatever else happens in its database. And limits of the server are told for what they are.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// An application that reads and writes one table, timed from outside.
struct Application {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Application {
    fn start(url: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !ended.load(Ordering::SeqCst) {
                let began = Instant::now();
                client.batch_execute("UPDATE tenants SET v = v + 1 WHERE id = 1; SELECT * FROM tenants WHERE id = 2").unwrap();
                slowest = slowest.max(began.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            slowest
        });
        Self { over, thread }
    }

    /// How slow a statement may be: a second more than when nobody else is there.
    fn limit(url: &str) -> Duration {
        let alone = Self::start(url);
        std::thread::sleep(Duration::from_millis(500));
        alone.slowest() + Duration::from_secs(1)
    }

    fn slowest(self) -> Duration {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn server() -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    let data = "CREATE TABLE tenants (id int PRIMARY KEY, v int); INSERT INTO tenants SELECT n, 0 FROM generate_series(1, 1000) n; \
                CREATE TABLE a_first (id int); CREATE TABLE z_last (id int); CREATE TABLE big (v text); \
                INSERT INTO big SELECT repeat(md5(n::text), 100) FROM generate_series(1, 20000) n";
    psql(&server, "zync", data);
    server
}

/// A session of somebody else.
fn client(server: &lab::Postgres) -> postgres::Client {
    postgres::Client::connect(&server.url("zync"), postgres::NoTls).unwrap()
}

#[test]
fn a_change_of_a_table_during_a_dump_ends_the_dump_and_not_the_application() {
    let server = server();
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jdbackup0000000000");
    let mut dump = store.dump(&context).unwrap();
    // As a repository that is slow: the dump stays open.
    dump.next_part().unwrap();
    let limit = Application::limit(&server.url("zync"));
    let application = Application::start(&server.url("zync"));
    let began = Instant::now();
    client(&server).batch_execute("ALTER TABLE tenants ADD COLUMN more text DEFAULT 'x'").unwrap();
    assert!(began.elapsed() < limit, "the change itself waited {:?}", began.elapsed());
    let error = pull(dump).map(drop).unwrap_err();
    assert_eq!(error.class(), plan::Class::Transient, "{error:?}");
    assert!(error.to_string().contains("tenants") && error.hints().iter().any(|hint| hint.contains("migration")), "{error:?}");
    let slowest = application.slowest();
    assert!(slowest < limit, "{slowest:?} of {limit:?}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threescale-backup%'";
    until("our sessions are gone", || psql(&server, "postgres", left) == "0");
    take(&store);
}

#[test]
fn who_changes_another_table_for_long_makes_the_backup_wait_and_not_the_application() {
    let server = server();
    let store = store_at(&server.url("zync"));
    // Somebody reads for long, somebody wants to change what he reads, and the backup comes behind.
    let (mut reader, mut writer) = (client(&server), client(&server));
    reader.batch_execute("BEGIN; SELECT * FROM z_last").unwrap();
    let changing = std::thread::spawn(move || writer.batch_execute("ALTER TABLE z_last ADD COLUMN b int").unwrap());
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
    until("the change waits", || psql(&server, "zync", waits) == "1");
    let limit = Application::limit(&server.url("zync"));
    let application = Application::start(&server.url("zync"));
    let (context, _) = context("01jdbackup0000000000");
    let taking = std::thread::spawn(move || pull(store.dump(&context).unwrap()).unwrap());
    // The backup has come to z_last, and holds the others.
    let behind = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name LIKE 'threescale-backup%'";
    until("the backup waits", || psql(&server, "zync", behind) != "0");
    // Another change, of a table that the backup holds.
    let began = Instant::now();
    client(&server).batch_execute("ALTER TABLE tenants ADD COLUMN b int").unwrap();
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    reader.batch_execute("COMMIT").unwrap();
    changing.join().unwrap();
    let (_, verdict) = taking.join().unwrap();
    assert_eq!(verdict.evidence.collections["public.tenants"].count, 1000);
    let slowest = application.slowest();
    assert!(slowest < limit, "{slowest:?} of {limit:?}");
}

#[test]
fn a_backup_and_a_staging_make_nobody_wait() {
    let server = server();
    let store = store_at(&server.url("zync"));
    // Idle in a transaction, with locks.
    let mut idle = client(&server);
    idle.batch_execute("BEGIN; UPDATE a_first SET id = 2; SELECT count(*) FROM big").unwrap();
    let limit = Application::limit(&server.url("zync"));
    let application = Application::start(&server.url("zync"));
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    staged(&store, &context, &set, Road::SideCopy);
    let slowest = application.slowest();
    assert!(slowest < limit, "{slowest:?} of {limit:?}");
}

/// An application whose sessions may be ended: it connects again and goes on, as a pool does. Its slowest statement, from the first try to the answer.
fn reconnecting(url: String, over: &Arc<AtomicBool>) -> std::thread::JoinHandle<Duration> {
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let (mut slowest, mut client) = (Duration::ZERO, None);
        while !over.load(Ordering::SeqCst) {
            let began = Instant::now();
            while client.as_mut().is_none_or(|client: &mut postgres::Client| client.batch_execute("SELECT count(*) FROM tenants").is_err())
            {
                assert!(began.elapsed() < Duration::from_secs(60), "nobody lets the application in");
                client = postgres::Client::connect(&url, postgres::NoTls).ok();
            }
            slowest = slowest.max(began.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        slowest
    })
}

/// Does it beside an application, and beside one of another server, which tells how busy the machine is: the slowest statement of each.
fn beside_applications(url: &str, work: impl FnOnce()) -> (Duration, Duration) {
    let other = server();
    let over = Arc::new(AtomicBool::new(false));
    let (here, there) = (reconnecting(url.to_owned(), &over), reconnecting(other.url("zync"), &over));
    work();
    over.store(true, Ordering::SeqCst);
    (here.join().unwrap(), there.join().unwrap())
}

#[test]
fn a_cut_over_an_undo_and_what_is_dropped_hold_the_application_up_for_moments() {
    let server = server();
    let store = store_at(&server.url("zync"));
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let (here, elsewhere) = beside_applications(&server.url("zync"), || {
        store.cut_over(&context, &place).unwrap();
        store.undo(&context, &place).unwrap();
        store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
        let place = staged(&store, &context, &set, Road::SideCopy);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    });
    // Its sessions are ended, and it connects again.
    assert!(here < elsewhere + Duration::from_secs(1), "{here:?}, elsewhere {elsewhere:?}");
}

#[test]
fn a_swap_that_cannot_be_had_lets_the_application_in_again_and_again() {
    let server = lab::Postgres::start(&["-c", "max_prepared_transactions=5"]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", "CREATE TABLE tenants (id int); INSERT INTO tenants VALUES (1)");
    let options = Options { cut_over_wait: Duration::from_secs(4), ..Options::default() };
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), options);
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    psql(&server, "zync", "BEGIN; INSERT INTO tenants VALUES (2); PREPARE TRANSACTION 'stuck'");
    let (here, elsewhere) = beside_applications(&server.url("zync"), || {
        let error = store.cut_over(&context, &place).unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("stuck")), "{error:?}");
        assert!(error.hints().iter().any(|hint| hint == "Nothing was changed."), "{error:?}");
    });
    assert!(here < elsewhere + Duration::from_secs(1), "{here:?}, elsewhere {elsewhere:?}");
    // Whoever goes in time is waited for.
    let options = Options { cut_over_wait: Duration::from_secs(60), ..Options::default() };
    let mut patient = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), options);
    let tried = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&tried);
    patient.hook = Arc::new(move |statement| { let _ = watched.fetch_or(statement.contains("ALLOW_CONNECTIONS true"), Ordering::SeqCst); });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("a try was given up", || tried.load(Ordering::SeqCst));
            let commit = |mut client: postgres::Client| client.batch_execute("COMMIT PREPARED 'stuck'");
            until("it is committed", || postgres::Client::connect(&server.url("zync"), postgres::NoTls).and_then(commit).is_ok());
        });
        patient.cut_over(&context, &place).unwrap();
    });
    assert_eq!(psql(&server, "zync", "SELECT count(*) FROM tenants"), "1");
}

#[test]
fn a_staging_and_the_drop_of_what_it_made_never_make_the_application_wait_for_a_lock() {
    let server = server();
    let store = store_at(&server.url("zync"));
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    let over = Arc::new(AtomicBool::new(false));
    let (mut judge, ended) = (client(&server), Arc::clone(&over));
    // The server's own word on who waits, seen from outside.
    let judging = std::thread::spawn(move || {
        let waits = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name NOT LIKE 'threescale-backup%'";
        let mut worst = 0_u32;
        let mut in_a_row = 0_u32;
        while !ended.load(Ordering::SeqCst) {
            let waiting: i64 = judge.query_one(waits, &[]).unwrap().get(0);
            in_a_row = if waiting > 0 { in_a_row + 1 } else { 0 };
            worst = worst.max(in_a_row);
            std::thread::sleep(Duration::from_millis(20));
        }
        worst
    });
    let application = Application::start(&server.url("zync"));
    for _ in 0..2 {
        let place = staged(&store, &context, &set, Road::SideCopy);
        store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    }
    assert!(application.slowest() < Duration::from_secs(30), "it stands still");
    over.store(true, Ordering::SeqCst);
    let worst = judging.join().unwrap();
    assert!(worst < 10, "it waited {worst} glances in a row");
}

#[test]
fn three_sessions_are_enough_and_doctor_tells_when_there_are_fewer() {
    let server = server();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync' CREATEDB CONNECTION LIMIT 3; ALTER DATABASE zync OWNER TO zync");
    psql(
        &server,
        "zync",
        "ALTER TABLE tenants OWNER TO zync; ALTER TABLE a_first OWNER TO zync; ALTER TABLE z_last OWNER TO zync; ALTER TABLE big OWNER TO zync",
    );
    let store = store_at(&server.url_as("zync", "zync", "zync"));
    let (mut context, _) = context("01jdbackup0000000000");
    context.workers = 8;
    let limits = || {
        let findings = store.look(&context).unwrap();
        findings.backup_problems.into_iter().filter(|problem| problem.text.contains("sessions")).collect::<Vec<_>>()
    };
    let gone = || psql(&server, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'zync'") == "0";
    assert_eq!(limits(), []);
    until("the doctor has gone", gone);
    let (memory, verdict) = pull(store.dump(&context).unwrap()).unwrap();
    until("the backup has gone", gone);
    let kept = kept(&memory, verdict);
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    until("nobody is there", gone);
    store.stage(&context, &place, Arc::new(memory), &kept).unwrap();
    until("nobody is there", gone);
    prove(&store, &context, &place, &kept);
    until("nobody is there", gone);
    psql(&server, "postgres", "ALTER ROLE zync CONNECTION LIMIT 2");
    let found = limits();
    assert!(found.len() == 1 && found[0].severity == plan::ports::Severity::Blocks && found[0].text.contains("2 of 2"), "{found:?}");
    until("the doctor has gone", gone);
    let error = store.dump(&context).map(drop).unwrap_err();
    assert!(error.to_string().contains("3 sessions"), "{error:?}");
    // The database's own limit.
    psql(&server, "postgres", "ALTER ROLE zync CONNECTION LIMIT -1; ALTER DATABASE zync CONNECTION LIMIT 1");
    assert!(limits().iter().any(|problem| problem.text.contains("database \"zync\" can have 1 of 1")), "{:?}", limits());
}

#[test]
fn more_tables_than_the_server_can_lock_are_told_with_the_setting() {
    let server = with_locks(lab::Postgres::start(&["-c", "max_connections=10"]).unwrap(), "10");
    psql(&server, "postgres", "CREATE DATABASE zync");
    for from in [0, 200, 400, 600, 800, 1000] {
        let make = format!("SELECT format('CREATE TABLE t%s ()', n) FROM generate_series({from}, {}) n \\gexec", from + 199);
        psql(&server, "zync", &make);
    }
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jdbackup0000000000");
    let error = store.dump(&context).map(drop).unwrap_err();
    assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("max_locks_per_transaction")), "{error:?}");
    let problems = store.look(&context).unwrap().backup_problems;
    let told = problems.iter().find(|problem| problem.text.contains("locks")).unwrap();
    let way_out = told.way_out.clone().unwrap();
    // What it says is enough.
    let number: String = way_out.split("max_locks_per_transaction = ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    drop(store);
    let server = with_locks(server, &number);
    take(&store_at(&server.url("zync")));
}

/// The same server, started anew.
fn with_locks(mut server: lab::Postgres, number: &str) -> lab::Postgres {
    server.stop().unwrap();
    let file = server.folder().join("data/postgresql.auto.conf");
    std::fs::write(&file, format!("max_locks_per_transaction = {number}\n")).unwrap();
    server.start_again().unwrap();
    server
}

#[test]
fn a_row_that_pg_dump_cannot_read_is_named_before_the_dump_begins() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    // 540 MB are 1.08 GB as text.
    psql(
        &server,
        "zync",
        "CREATE TABLE files (id int, data bytea); INSERT INTO files VALUES (1, 'x'), (2, convert_to(repeat('x', 540000000), 'UTF8'))",
    );
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jdbackup0000000000");
    let error = store.dump(&context).map(drop).unwrap_err();
    assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    assert!(error.to_string().contains("1 rows of public.files"), "{error:?}");
    let find = error.hints()[0].split("found by: ").nth(1).unwrap().to_owned();
    assert_eq!(psql(&server, "zync", &find), psql(&server, "zync", "SELECT ctid FROM files WHERE id = 2"));
    psql(&server, "zync", "UPDATE files SET data = 'y' WHERE id = 2");
    take(&store);
}
