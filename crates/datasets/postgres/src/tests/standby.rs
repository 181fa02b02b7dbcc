//! A backup from a standby.

use super::*;

#[test]
fn a_standby_is_backed_up_with_unlogged_tables_that_are_empty() {
    let primary = lab::Postgres::start(&[]).unwrap();
    psql(&primary, "postgres", "CREATE DATABASE zync");
    psql(
        &primary,
        "zync",
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE UNLOGGED TABLE que_lockers (pid int PRIMARY KEY, id serial); INSERT INTO que_lockers VALUES (1)",
    );
    let standby = primary.standby().unwrap();
    let set = take(&store_at(&standby.url("zync")));
    assert_eq!((set.1.evidence.collections["public.t"].count, set.1.evidence.collections["public.que_lockers"].count), (1, 0));
    let (context, _) = context("01jd0000000000000001");
    staged(&store_at(&primary.url("zync")), &context, &set, Road::SideCopy);
}
