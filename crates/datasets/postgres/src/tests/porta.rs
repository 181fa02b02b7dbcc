//! A database of porta's shape, its 78 triggers and their functions included, goes back and forth on both roads; `pg_dump` is the judge.

use plan::ports::{Discard, Undone};

use super::*;

#[test]
fn a_database_of_portas_shape_goes_back_and_forth() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE system LOGIN PASSWORD 'pw'; CREATE DATABASE system OWNER system");
    psql(&server, "system", &format!("ALTER SCHEMA public OWNER TO system; SET ROLE system; {}", lab::porta::postgres()));
    for (with_createdb, road) in [("CREATEDB", Road::SideCopy), ("NOCREATEDB", Road::InPlace)] {
        psql(&server, "postgres", &format!("ALTER ROLE system {with_createdb}"));
        let store = store_at(&server.url_as("system", "pw", "system"));
        let (context, _) = context("01jd0000000000000001");
        assert_eq!(store.look(&context).unwrap().road, road);
        let (before, set) = (text(&server, "system"), take(&store));
        assert!(set.1.problems.is_empty(), "{:?}", set.1.problems);
        let changes = "SET ROLE system; ALTER TABLE tags ADD COLUMN added int; DELETE FROM users; DROP TRIGGER plans_tenant_id ON plans; \
                       INSERT INTO forums (id, account_id, name) VALUES (1000, 7, 'new'); DROP FUNCTION sp_invoices_friendly_id(numeric)";
        psql(&server, "system", changes);
        let live = text(&server, "system");
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        store.discard(&context, &place, Discard::Staged).unwrap();
        same(&live, &text(&server, "system"));
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Previous).unwrap();
        same(&before, &text(&server, "system"));
    }
}
