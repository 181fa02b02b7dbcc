use super::*;

fn server_with_rows(rows: u32) -> (lab::Postgres, PostgresStore) {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", &format!("CREATE TABLE t AS SELECT n AS id, repeat(md5(n::text), 20) AS v FROM generate_series(1, {rows}) n"));
    let store = store_at(&server.url("zync"));
    (server, store)
}

fn sessions_of_ours(server: &lab::Postgres) -> String {
    psql(server, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'threescale-backup'")
}

#[test]
fn a_killed_pg_dump_is_an_error_and_never_an_end() {
    let (_server, store) = server_with_rows(60_000);
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.start_dump(&context).unwrap();
    for _ in 0..2 {
        dump.next_part().unwrap().unwrap();
    }
    let killed = Command::new("kill").args(["-9", &dump.pg_dump_id().to_string()]).status().unwrap();
    assert!(killed.success());
    let error = pull(Box::new(dump)).err().unwrap();
    assert!(error.to_string().contains("pg_dump failed"), "{error:?}");
}

#[test]
fn a_server_that_dies_breaks_the_dump() {
    let (mut server, store) = server_with_rows(60_000);
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.dump(&context).unwrap();
    dump.next_part().unwrap().unwrap();
    dump.next_part().unwrap().unwrap();
    server.kill();
    let error = pull(dump).err().unwrap();
    assert!(!error.hints().is_empty() || error.class() == plan::Class::Transient, "{error:?}");
}

#[test]
fn a_session_that_is_ended_breaks_the_verdict() {
    let (server, store) = server_with_rows(1000);
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.dump(&context).unwrap();
    while dump.next_part().unwrap().is_some() {}
    psql(&server, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'threescale-backup'");
    assert!(dump.finish().is_err());
}

#[test]
fn a_dropped_or_stopped_dump_leaves_nothing_behind() {
    let (server, store) = server_with_rows(100_000);
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.dump(&context).unwrap();
    dump.next_part().unwrap().unwrap();
    drop(dump);
    until("our sessions are gone", || sessions_of_ours(&server) == "0");
    let mut dump = store.dump(&context).unwrap();
    dump.next_part().unwrap().unwrap();
    context.stop.raise();
    assert_eq!(dump.next_part().unwrap_err().class(), plan::Class::Interrupted);
    drop(dump);
    until("our sessions are gone", || sessions_of_ours(&server) == "0");
    psql(&server, "zync", "TRUNCATE t");
}

#[test]
fn a_truncated_table_is_never_an_empty_one() {
    let (server, store) = server_with_rows(20_000);
    let (context, _) = context("01jd0000000000000001");
    let dump = store.dump(&context).unwrap();
    // It must wait for the dump, as its documentation says; and the dump gives way to it, unless it is quicker.
    let mut truncate = server.client();
    let mut child = truncate.args(["-d", "zync", "-c", "TRUNCATE t"]).spawn().unwrap();
    let pulled = pull(dump);
    assert!(child.wait().unwrap().success());
    match pulled {
        Err(error) => assert!(error.class() == plan::Class::Transient && error.to_string().contains("public.t"), "{error:?}"),
        Ok((memory, verdict)) => {
            assert_eq!(verdict.evidence.collections["public.t"].count, 20_000);
            let kept = kept(&memory, verdict);
            staged(&store, &context, &(Arc::new(memory), kept), Road::SideCopy);
        }
    }
}

#[test]
fn a_wrong_password_is_refused_and_a_server_that_is_down_is_temporary() {
    let (mut server, store) = server_with_rows(10);
    let (context, _) = context("01jd0000000000000001");
    let wrong = store_at(&server.url_as("postgres", "geheim", "zync"));
    for error in [wrong.look(&context).unwrap_err(), wrong.dump(&context).err().unwrap()] {
        assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    }
    let absent = store_at(&server.url("nowhere"));
    let found = absent.look(&context).unwrap();
    assert!(found.backup_problems.iter().any(|problem| problem.severity == plan::ports::Severity::Blocks));
    assert_eq!(absent.dump(&context).err().unwrap().class(), plan::Class::Refused);
    server.stop().unwrap();
    assert_eq!(store.look(&context).unwrap_err().class(), plan::Class::Transient);
}

#[test]
fn a_missing_or_old_client_blocks_with_the_package_to_install() {
    let (server, _) = server_with_rows(10);
    let folder = tempfile::tempdir().unwrap();
    let options = Options { client_folder: Some(folder.path().to_owned()), ..Options::default() };
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), options);
    let (context, _) = context("01jd0000000000000001");
    let found = store.look(&context).unwrap();
    let blocks = |problems: &[plan::ports::Problem]| {
        problems.iter().any(|problem| {
            problem.severity == plan::ports::Severity::Blocks
                && problem.way_out.as_deref().unwrap_or_default().contains("postgresql-client")
        })
    };
    assert!(blocks(&found.backup_problems) && blocks(&found.restore_problems), "{found:?}");
}

#[test]
fn a_table_that_cannot_be_read_blocks_the_backup() {
    let (server, _) = server_with_rows(10);
    psql(&server, "postgres", "CREATE ROLE weak LOGIN PASSWORD 'weak'");
    let store = store_at(&server.url_as("weak", "weak", "zync"));
    let (context, _) = context("01jd0000000000000001");
    let found = store.look(&context).unwrap();
    assert!(found.backup_problems.iter().any(|problem| problem.text.contains("public.t")), "{found:?}");
    assert!(store.dump(&context).is_err());
}

#[test]
fn a_broken_archive_is_not_staged_and_the_live_data_is_untouched() {
    let (server, store) = server_with_rows(30_000);
    let (context, _) = context("01jd0000000000000001");
    let set = take(&store);
    let before = text(&server, "zync");
    let place = store.reserve(&context, &set.1, Road::SideCopy).unwrap();
    let mut short = set.0.0.clone();
    let last = &mut short.last_mut().unwrap().1;
    last.truncate(last.len() / 2);
    let error = store.stage(&context, &place, Arc::new(Memory(short)), &set.1).unwrap_err();
    assert!(error.chain().contains("pg_restore failed"), "{error:?}");
    let mut gap = set.0.0.clone();
    gap.remove(2);
    let error = store.stage(&context, &place, Arc::new(Memory(gap)), &set.1).unwrap_err();
    assert!(error.to_string().contains("part 2 of the dump is missing"), "{error:?}");
    same(&before, &text(&server, "zync"));
    store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!(databases(&server), ["zync"]);
    context.stop.raise();
    let error = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap_err();
    assert_eq!(error.class(), plan::Class::Interrupted);
    until("our sessions are gone", || sessions_of_ours(&server) == "0");
}

#[test]
fn no_password_stands_in_any_process_list() {
    let (server, _) = server_with_rows(60_000);
    psql(&server, "postgres", "ALTER ROLE postgres PASSWORD 'hidden-word'");
    let store = store_at(&server.url_as("postgres", "hidden-word", "zync"));
    let (context, _) = context("01jd0000000000000001");
    let mut dump = store.start_dump(&context).unwrap();
    // The properties, and the beginning of the archive: now the program runs.
    (0..2).for_each(|_| drop(dump.next_part().unwrap().unwrap()));
    let arguments = std::fs::read(format!("/proc/{}/cmdline", dump.pg_dump_id())).unwrap();
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    assert!(arguments.contains("--snapshot=") && !arguments.contains("hidden-word"), "{arguments}");
}
