use super::*;

const ROLES: &str = "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader; ";

/// A server with a rich database that has properties of its own.
fn rich_server(database: &str) -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    let name = crate::sql::identifier(database);
    let properties = format!(
        "{ROLES} CREATE DATABASE {name} OWNER zync; ALTER DATABASE {name} SET search_path TO \"$user\", public, \"Odd schema\"; \
         ALTER DATABASE {name} SET work_mem = '7MB'; ALTER DATABASE {name} SET app.key = 'it''s \\ secret'; ALTER ROLE zync IN DATABASE {name} SET DateStyle = 'SQL, DMY'; \
         ALTER DATABASE {name} CONNECTION LIMIT 33; COMMENT ON DATABASE {name} IS 'zync''s \\ own'; REVOKE ALL ON DATABASE {name} FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {name} TO reader WITH GRANT OPTION;"
    );
    psql(&server, "postgres", &properties);
    psql(&server, database, RICH);
    server
}

#[test]
fn everything_in_a_database_comes_back() {
    let server = rich_server("zync");
    let store = store_at(&server.url("zync"));
    let before = text(&server, "zync");
    let (context, ear) = context("01jd0000000000000001");
    let set = take(&store);
    assert_eq!(set.1.evidence.collections["public.parents"].count, 500);
    assert_eq!(set.1.evidence.collections["large objects"].count, 1 + 1 + 2);
    assert_eq!(set.1.evidence.objects["materialized views"], 1);
    assert!(!format!("{:?}", set.1).contains("secret"), "settings stay out of the evidence");

    psql(
        &server,
        "zync",
        "DROP TABLE parents CASCADE; CREATE TABLE intruder (); DROP SCHEMA \"Odd schema\" CASCADE; SELECT lo_unlink(4242)",
    );
    let place = staged(&store, &context, &set, Road::SideCopy);
    assert!(store.kept_bytes(&context, &place).unwrap() > 1 << 20);
    store.cut_over(&context, &place).unwrap();
    same(&before, &text(&server, "zync"));
    assert_eq!(databases(&server).len(), 2);
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(databases(&server), ["zync"]);
    same(&before, &text(&server, "zync"));
    assert_eq!(*ear.0.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_database_of_odd_name_goes_the_whole_way() {
    let name = "Zync = '\"x\\y\"/ü";
    let server = rich_server(name);
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
    let store = store_at(&server.url(&encoded));
    let before = text(&server, name);
    let (context, _) = context("01jd0000000000000001");
    let set = take(&store);
    let place = staged(&store, &context, &set, Road::SideCopy);
    psql(&server, name, "TRUNCATE texts");
    store.cut_over(&context, &place).unwrap();
    same(&before, &text(&server, name));
    store.undo(&context, &place).unwrap();
    assert_eq!(psql(&server, name, "SELECT count(*) FROM texts"), "0");
    store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!(databases(&server), [name]);
}

#[test]
fn a_set_goes_to_a_server_that_has_no_such_database() {
    let server = rich_server("zync");
    let set = take(&store_at(&server.url("zync")));
    let before = text(&server, "zync");
    drop(server);
    let target = lab::Postgres::start(&[]).unwrap();
    psql(&target, "postgres", ROLES);
    let store = store_at(&target.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    assert_eq!(store.look(&context).unwrap().road, Road::SideCopy);
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    store.cut_over(&context, &place).unwrap();
    // Where there was none, the comment is the run's mark until it is settled.
    let without_comment = |text: String| text.lines().filter(|line| !line.contains("COMMENT ON DATABASE")).collect::<Vec<_>>().join("\n");
    same(&without_comment(before.clone()), &without_comment(text(&target, "zync")));
    store.undo(&context, &place).unwrap();
    store.undo(&context, &place).unwrap();
    assert!(!databases(&target).contains(&"zync".to_owned()));
    store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    assert!(databases(&target).is_empty());
}

#[test]
fn the_parts_put_together_are_an_archive_for_pg_restore() {
    let server = rich_server("zync");
    let (memory, _) = take(&store_at(&server.url("zync")));
    psql(&server, "postgres", "CREATE DATABASE by_hand TEMPLATE template0");
    let mut command = server.program("pg_restore");
    let mut child = command.args(["--exit-on-error", "-d", "by_hand"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    memory.0.iter().filter(|(path, _)| path.starts_with("zync.dump")).for_each(|(_, bytes)| stdin.write_all(bytes).unwrap());
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(psql(&server, "by_hand", "SELECT count(*) FROM parents"), "500");
}

#[test]
fn counts_match_the_dump_while_writers_write() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(
        &server,
        "zync",
        "CREATE TABLE t (id bigserial PRIMARY KEY, v text); INSERT INTO t (v) SELECT md5(n::text) FROM generate_series(1, 50000) n",
    );
    let store = store_at(&server.url("zync"));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (stop, url) = (Arc::clone(&stop), server.url("zync"));
        std::thread::spawn(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            let mut rounds = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                client.batch_execute("INSERT INTO t (v) SELECT 'new' FROM generate_series(1, 20); UPDATE t SET v = v || 'x' WHERE id % 1000 = 7; DELETE FROM t WHERE id % 1000 = 9").unwrap();
                rounds += 1;
            }
            rounds
        })
    };
    let start = psql(&server, "zync", "SELECT max(id) FROM t");
    until("the writer writes", || psql(&server, "zync", "SELECT max(id) FROM t") != start);
    let set = take(&store);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().unwrap() > 1);
    let (context, _) = context("01jd0000000000000001");
    staged(&store, &context, &set, Road::SideCopy);
}

#[test]
fn a_changed_row_a_moved_sequence_and_a_lost_index_are_found_by_the_proof() {
    let server = rich_server("zync");
    let store = store_at(&server.url("zync"));
    let set = take(&store);
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    let stage = crate::place::Databases::read(&place).unwrap().stage;
    for (damage, named) in [
        ("UPDATE every_byte SET value = '\\x01' WHERE id = 0", "public.every_byte"),
        ("INSERT INTO no_key VALUES (1, 1)", "public.no_key"),
        ("SELECT nextval('untouched')", "sequence public.untouched"),
        ("DROP INDEX gin", "indexes"),
        ("DROP TRIGGER rewrite ON parents", "triggers"),
        ("SELECT lo_put(4242, 3, '\\xaa')", "large objects"),
        ("DROP TABLE no_columns", "public.no_columns"),
        ("CREATE TABLE more (a int)", "public.more"),
    ] {
        psql(&server, &stage, damage);
        let differences = set.1.evidence.differences(&store.prove(&context, &place, &set.1).unwrap());
        assert!(differences.iter().any(|difference| difference.contains(named)), "{damage}: {differences:?}");
    }
}

#[test]
fn a_missing_role_and_a_dropped_public_schema_are_no_obstacle() {
    let server = rich_server("zync");
    psql(&server, "postgres", "CREATE DATABASE bare");
    psql(&server, "bare", "CREATE SCHEMA own; CREATE TABLE own.t (a int); INSERT INTO own.t VALUES (1); DROP SCHEMA public");
    let (context, ear) = context("01jd0000000000000001");
    let bare = store_at(&server.url("bare"));
    let set = take(&bare);
    staged(&bare, &context, &set, Road::SideCopy);
    let set = take(&store_at(&server.url("zync")));
    let target = lab::Postgres::start(&[]).unwrap();
    psql(&target, "postgres", "CREATE DATABASE zync");
    staged(&store_at(&target.url("zync")), &context, &set, Road::SideCopy);
    let told = ear.0.lock().unwrap().join("; ");
    assert!(told.contains("zync") && told.contains("reader"), "{told}");
}

#[test]
fn sets_that_do_not_fit_are_refused_with_the_way_out() {
    let server = rich_server("zync");
    let store = store_at(&server.url("zync"));
    let (context, _) = context("01jd0000000000000001");
    let (_, mut kept) = take(&store);
    let blocked = |kept: &KeptDataSet, road| {
        let problems = store.fits(&context, kept, road).unwrap();
        let blocks: Vec<_> = problems.into_iter().filter(|problem| problem.severity == plan::ports::Severity::Blocks).collect();
        assert!(blocks.iter().all(|problem| problem.way_out.is_some()));
        blocks.into_iter().map(|problem| problem.text).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(blocked(&kept, Road::SideCopy), "");
    kept.evidence.facts.insert("extensions".into(), "[\"postgis\"]".into());
    assert!(blocked(&kept, Road::SideCopy).contains("postgis"));
    kept.evidence.facts.insert("encoding".into(), "LATIN1".into());
    assert!(blocked(&kept, Road::InPlace).contains("LATIN1"));
    kept.evidence.facts.insert("server-major".into(), "99".into());
    assert!(blocked(&kept, Road::SideCopy).contains("99"));
    kept.kind = plan::ports::StoreKind::MySql;
    assert!(blocked(&kept, Road::SideCopy).contains("PostgreSQL"));
}
