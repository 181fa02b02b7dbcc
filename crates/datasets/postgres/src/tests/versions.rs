//! Every version of the server, with programs of its own version and with newer ones.

use lab::PostgresVersion;

use super::*;

/// A store whose programs are of a version.
pub(crate) fn store_with(url: &str, programs: PostgresVersion) -> PostgresStore {
    let folder = Some(programs.programs().unwrap());
    let options = Options { cut_over_wait: Duration::from_secs(10), client_folder: folder, ..Options::default() };
    PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(url).unwrap(), options)
}

fn server_with_data(version: PostgresVersion) -> lab::Postgres {
    let server = lab::Postgres::start_version(version, &[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader; CREATE DATABASE zync OWNER zync");
    // The 16 that is to be had is built without XML, and brings another extension.
    let rich = match version {
        PostgresVersion::V16 => RICH.replace("doc xml", "doc text").replace("CREATE EXTENSION pgcrypto", "CREATE EXTENSION vector"),
        _ => RICH.to_owned(),
    };
    psql(&server, "zync", &rich);
    server
}

fn lives(version: PostgresVersion, road: Road) {
    let server = server_with_data(version);
    let store = store_with(&server.url("zync"), version);
    let (context, _) = context("01jd0000000000000001");
    let before = text(&server, "zync");
    let set = take(&store);
    psql(&server, "zync", "DROP TABLE parents CASCADE; CREATE TABLE intruder (); DROP SCHEMA \"Odd schema\" CASCADE");
    let place = staged(&store, &context, &set, road);
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    same(&before, &text(&server, "zync"));
}

#[test]
fn a_set_goes_back_beside_on_13() {
    lives(PostgresVersion::V13, Road::SideCopy);
}

#[test]
fn a_set_goes_back_beside_and_in_place_on_16() {
    lives(PostgresVersion::V16, Road::SideCopy);
    lives(PostgresVersion::V16, Road::InPlace);
}

#[test]
fn a_set_goes_back_beside_on_17() {
    lives(PostgresVersion::V17, Road::SideCopy);
}

#[test]
fn a_set_goes_back_beside_on_18() {
    lives(PostgresVersion::V18, Road::SideCopy);
}

#[test]
fn a_set_goes_back_in_place_on_13_and_18() {
    lives(PostgresVersion::V13, Road::InPlace);
    lives(PostgresVersion::V18, Road::InPlace);
}

/// The rows of a database as `pg_dump` of a version writes them; of definitions, each version has its own way of saying the same.
fn rows_by(programs: PostgresVersion, server: &lab::Postgres) -> String {
    let mut command = Command::new(programs.programs().unwrap().join("pg_dump"));
    command.envs(server.program("pg_dump").get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.args(["--data-only", "--dbname", "zync"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let own = |line: &&str| !["-- Dumped from", "\\restrict", "\\unrestrict"].iter().any(|word| line.starts_with(word));
    String::from_utf8_lossy(&output.stdout).lines().filter(own).collect::<Vec<_>>().join("\n")
}

/// The way of 3scale 2.15 to 2.16 and beyond. The proof has counted the definitions; the rows must be the same, as `pg_dump` of the new version reads them.
fn moves(from: PostgresVersion, to: PostgresVersion, programs: PostgresVersion) {
    let (old, new) = (server_with_data(from), server_with_data(to));
    let set = take(&store_with(&old.url("zync"), programs));
    psql(&new, "zync", "DROP TABLE parents CASCADE; CREATE TABLE intruder ()");
    let (context, _) = context("01jd0000000000000001");
    let store = store_with(&new.url("zync"), to);
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    same(&rows_by(to, &old), &rows_by(to, &new));
}

#[test]
fn a_set_of_13_goes_into_the_machines_own_version() {
    moves(PostgresVersion::V13, PostgresVersion::Own, PostgresVersion::V13);
    moves(PostgresVersion::V13, PostgresVersion::Own, PostgresVersion::Own);
}

#[test]
fn a_set_of_13_goes_into_18() {
    moves(PostgresVersion::V13, PostgresVersion::V18, PostgresVersion::V18);
}

#[test]
fn programs_newer_than_the_server_are_told_and_their_sets_go_back() {
    let server = server_with_data(PostgresVersion::Own);
    let (context, _) = context("01jd0000000000000001");
    for (programs, road) in
        [(PostgresVersion::V17, Road::SideCopy), (PostgresVersion::V18, Road::SideCopy), (PostgresVersion::V18, Road::InPlace)]
    {
        let store = store_with(&server.url("zync"), programs);
        let before = text(&server, "zync");
        let problems = store.look(&context).unwrap().backup_problems;
        let told = |problem: &&plan::ports::Problem| problem.text.contains("pg_restore 1") && problem.way_out.is_some();
        assert!(problems.iter().any(|problem| told(&problem)), "{problems:?}");
        let set = take(&store);
        psql(&server, "zync", "DROP TABLE parents CASCADE; CREATE TABLE intruder (); DROP SCHEMA \"Odd schema\" CASCADE");
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        same(&before, &text(&server, "zync"));
    }
    // With programs of the server's own version there is nothing to tell.
    let store = store_with(&server.url("zync"), PostgresVersion::Own);
    assert_eq!(store.look(&context).unwrap().backup_problems, []);
}
