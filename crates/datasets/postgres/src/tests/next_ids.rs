//! No id is given twice: restored sequences go on where the live ones did, on both roads and on every version; an undo goes on where the restored ones did, and else is exact.

use lab::PostgresVersion;
use plan::ports::{Discard, Undone};

use super::versions::store_with;
use super::*;

const SET: &str = "CREATE TABLE invoices (id bigserial PRIMARY KEY, n int); INSERT INTO invoices (n) VALUES (1), (2), (3); \
     CREATE TABLE payments (id int GENERATED ALWAYS AS IDENTITY, n int); \
     CREATE TABLE emptied (id bigserial); SELECT setval('emptied_id_seq', 500); \
     CREATE SEQUENCE narrow AS smallint; CREATE SEQUENCE ended AS smallint; CREATE SEQUENCE full_up; CREATE SEQUENCE full_down INCREMENT -1; CREATE SEQUENCE down INCREMENT -1; CREATE SEQUENCE round MAXVALUE 9 CYCLE; \
     CREATE SCHEMA \"Odd one\"; CREATE SEQUENCE \"Odd one\".\"its 'ids\"";

const HISTORY: &str = "INSERT INTO invoices (n) SELECT generate_series(1, 27); DELETE FROM invoices WHERE id > 3; \
     INSERT INTO payments (n) VALUES (1), (2); SELECT setval('emptied_id_seq', 1, false); \
     ALTER SEQUENCE narrow AS bigint; SELECT setval('narrow', 70000); SELECT setval('down', -40); SELECT setval('ended', 32767); \
     SELECT setval('full_up', 9223372036854775807); SELECT setval('full_down', -9223372036854775808); SELECT setval('round', 5); \
     SELECT setval('\"Odd one\".\"its ''ids\"', 8); CREATE SEQUENCE later; SELECT setval('later', 11)";

struct Heard(Arc<Mutex<Vec<String>>>);

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) | Event::Note(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// Role `zync` owns its database; in place it may make no other.
fn lives(version: PostgresVersion, road: Road) {
    let what = format!("{version:?} {road:?}");
    let server = lab::Postgres::start_version(version, &[]).unwrap();
    let may = if road == Road::SideCopy { "CREATEDB" } else { "" };
    psql(&server, "postgres", &format!("CREATE ROLE zync LOGIN {may} PASSWORD 'zync'; CREATE DATABASE zync OWNER zync"));
    psql(&server, "zync", "ALTER SCHEMA public OWNER TO zync");
    psql(&server, "zync", &format!("SET ROLE zync; {SET}"));
    let store = store_with(&server.url_as("zync", "zync", "zync"), version);
    let set = take(&store);
    psql(&server, "zync", &format!("SET ROLE zync; {HISTORY}"));
    let old = text(&server, "zync");
    let next = |sequence: &str| psql(&server, "zync", &format!("SELECT nextval('{sequence}')"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let context = Context { workers: 2, watch: Arc::new(Heard(Arc::clone(&heard))), ..Context::new("01jd0000000000000001") };
    let has = |text: &str| assert!(heard.lock().unwrap().iter().any(|heard| heard.contains(text)), "{what}: {text}: {heard:?}");

    let place = staged(&store, &context, &set, road);
    store.cut_over(&context, &place).unwrap();
    has("public.invoices_id_seq from 4 to 31");
    has("public.narrow goes on at 1, and not at 70001");
    has("the set does not have public.later at 12");
    // Nobody wrote: what comes back is what was, to the digit.
    assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
    if road == Road::InPlace {
        store.discard(&context, &place, Discard::Staged).unwrap();
    }
    same(&old, &text(&server, "zync"));

    // Again, and now ids are given.
    match road {
        Road::SideCopy => store.cut_over(&context, &place).unwrap(),
        Road::InPlace => {
            store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap();
        }
    }
    let odd = "\"Odd one\".\"its ''ids\"";
    for (sequence, id) in [
        ("invoices_id_seq", "31"),
        ("payments_id_seq", "3"),
        ("emptied_id_seq", "501"),
        ("narrow", "1"),
        ("down", "-41"),
        ("round", "1"),
        (odd, "9"),
    ] {
        assert_eq!(next(sequence), id, "{what}: {sequence} of the restored database");
    }
    // What was used up gives none again.
    for (sequence, last) in [("ended", "32767"), ("full_up", "9223372036854775807"), ("full_down", "-9223372036854775808")] {
        let now = psql(&server, "zync", &format!("SELECT last_value || ' ' || is_called FROM {sequence}"));
        assert_eq!(now, format!("{last} true"), "{what}: {sequence}");
    }
    assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
    for (sequence, id) in [
        ("invoices_id_seq", "32"),
        ("payments_id_seq", "4"),
        ("emptied_id_seq", "502"),
        ("narrow", "70001"),
        ("down", "-42"),
        ("round", "6"),
        (odd, "10"),
        ("later", "12"),
    ] {
        assert_eq!(next(sequence), id, "{what}: {sequence} of the previous database");
    }
    store.discard(&context, &place, Discard::Staged).unwrap();
}

#[test]
fn ids_are_not_given_again_beside_and_in_place_on_13() {
    lives(PostgresVersion::V13, Road::SideCopy);
    lives(PostgresVersion::V13, Road::InPlace);
}

#[test]
fn ids_are_not_given_again_beside_and_in_place_on_18() {
    lives(PostgresVersion::V18, Road::SideCopy);
    lives(PostgresVersion::V18, Road::InPlace);
}

#[test]
fn a_database_that_is_gone_holds_nothing_back() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", SET);
    let store = store_at(&server.url("zync"));
    let (set, old) = (take(&store), text(&server, "zync"));
    psql(&server, "postgres", "DROP DATABASE zync");
    let (context, _) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, Discard::Previous).unwrap();
    same(&old, &text(&server, "zync"));
}

#[test]
fn a_sequence_that_our_role_may_not_read_is_told_and_stops_nothing() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN CREATEDB PASSWORD 'zync'; CREATE DATABASE zync OWNER zync");
    psql(&server, "zync", "CREATE TABLE t (v int); ALTER TABLE t OWNER TO zync");
    let store = store_at(&server.url_as("zync", "zync", "zync"));
    let set = take(&store);
    psql(&server, "zync", "CREATE SEQUENCE theirs");
    let (context, ear) = context("01jd0000000000000001");
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    let heard = ear.0.lock().unwrap();
    assert!(heard.iter().any(|text| text.contains("may not read where public.theirs go on")), "{heard:?}");
}
