//! `undo` of a tenant's restore goes as far as it can: what another has now, or what wants something that is gone, stays and is named; all else is as it was. And what rows hold is told nobody.

use std::process::Stdio;

use lab::MysqlKind;

use crate::installation::Installation;
use crate::restoring::{InTheWay, differ, is_waited, restore, wait_until};
use crate::support::text;

/// In the set three accounts have domains, of which two have each other's since, in a chain.
const DOMAINS: &str =
    "UPDATE accounts SET domain = 'a.example.com' WHERE id = 2001; UPDATE accounts SET domain = 'b.example.com' WHERE id = 2002;
    UPDATE accounts SET domain = 'c.example.com' WHERE id = 2501";
/// A row is others' now in the end of the chain; one alone is free.
const CHANGES: &str =
    "UPDATE accounts SET domain = 'moved.example.com' WHERE id = 2000; UPDATE accounts SET domain = 'z.example.com' WHERE id = 2002;
    UPDATE accounts SET domain = 'b.example.com' WHERE id = 2001; UPDATE accounts SET domain = 'free.example.com' WHERE id = 2501;
    UPDATE services SET name = 'another' WHERE id = 2001; DELETE FROM application_keys WHERE id = 2001;
    INSERT INTO users (id, account_id, username, tenant_id) VALUES (2700, 2001, 'new', 2000);
    INSERT INTO provided_access_tokens (id, user_id, tenant_id) VALUES (2700, 2700, 2000), (2701, 2002, 2000);";
/// Another tenant takes the domains that became free; a user goes, with all that is his.
const SINCE: &str = "UPDATE accounts SET domain = 'z.example.com' WHERE id = 3001; UPDATE accounts SET domain = 'moved.example.com' WHERE id = 3002;
    DELETE FROM user_sessions WHERE user_id = 2002 OR sso_authorization_id IN (2001, 2501); DELETE FROM sso_authorizations WHERE user_id = 2002;
    DELETE FROM provided_access_tokens WHERE user_id = 2002; DELETE FROM users WHERE id = 2002;";

fn an_undo_goes_as_far_as_it_can(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    it.database.sql(DOMAINS);
    it.ok(&["backup", "--warnings-are-fine"]);
    it.database.sql(CHANGES);
    let changed = it.database.all();
    it.ok(&restore(&[]));
    it.database.sql(SINCE);
    let output = it.run(&["undo", "--yes"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("4 rows stay as they are") && said.contains("row 2701 of provided_access_tokens"), "{said}");
    for id in [2000, 2001, 2002] {
        assert!(said.contains(&format!("row {id} of accounts")), "{said}");
    }
    let undone = it.database.all();
    assert_eq!(differ(&undone, &changed), ["accounts", "provided_access_tokens", "sso_authorizations", "user_sessions", "users"]);
    let domains = "SELECT domain FROM accounts WHERE id IN (2000, 2001, 2002, 2501, 3001, 3002) ORDER BY id";
    let wanted = ["dev-2000.example.com", "a.example.com", "b.example.com", "free.example.com", "z.example.com", "moved.example.com"];
    assert_eq!(it.database.sql(domains).split_whitespace().collect::<Vec<_>>(), wanted);
    assert_eq!(
        it.database.sql("SELECT id FROM provided_access_tokens WHERE id >= 2700 AND id < 3000").trim(),
        "2700",
        "a row that may come back does"
    );
    let output = it.run(&["undo", "--yes"]);
    assert_eq!(output.status.code(), Some(2), "it is undone: {}", text(&output.stderr));
}

#[test]
fn tn_an_undo_in_mysql_goes_as_far_as_it_can() {
    an_undo_goes_as_far_as_it_can(Some(MysqlKind::Mysql));
}

#[test]
fn tn_an_undo_in_mariadb_goes_as_far_as_it_can() {
    an_undo_goes_as_far_as_it_can(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_an_undo_in_postgresql_goes_as_far_as_it_can() {
    an_undo_goes_as_far_as_it_can(None);
}

/// Somebody makes, between plan and change, a row with a key that goes back.
fn a_key_is_told_nobody(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    it.database.sql(
        "UPDATE application_keys SET value = CONCAT('k-', id); UPDATE application_keys SET value = 's3cret-key' WHERE id = 2001;
        CREATE UNIQUE INDEX index_on_value ON application_keys (application_id, value)",
    );
    it.ok(&["backup", "--warnings-are-fine"]);
    it.database.sql("DELETE FROM application_keys WHERE id = 2001");
    let changed = it.database.all();
    let other = InTheWay::of(
        &it.database,
        "INSERT INTO application_keys (id, application_id, value, tenant_id) VALUES (2900, 2001, 's3cret-key', 2000)",
    );
    let child = it.command(&restore(&[])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("nobody waits", || is_waited(&it.database));
    other.stays();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no row was changed: rows of application_keys could not be put in") && said.contains("index_on_value"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    let runs = it.ok(&["runs", "--json"]);
    assert!(!runs.contains("s3cret"), "{runs}");
    it.ok(&["undo", "--yes"]);
    assert_eq!(differ(&it.database.all(), &changed), ["application_keys"]);
}

#[test]
fn tn_a_key_of_mariadb_is_told_nobody() {
    a_key_is_told_nobody(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_a_key_of_postgresql_is_told_nobody() {
    a_key_is_told_nobody(None);
}

/// porta's `features_plans` has no key: a row may be there several times, in the set and here.
fn rows_without_a_key_are_counted(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    let drop_key = if kind.is_some() { "DROP PRIMARY KEY" } else { "DROP CONSTRAINT features_plans_pkey" };
    let again = "INSERT INTO features_plans (plan_id, feature_id, plan_type, tenant_id) VALUES (2001, 2001, 'ApplicationPlan', 2000);";
    it.database.sql(&format!("ALTER TABLE features_plans {drop_key}; {}", again.repeat(150)));
    it.ok(&["backup", "--warnings-are-fine"]);
    let before = it.database.all();
    let output = it.run(&restore(&[]));
    assert!(text(&output.stderr).contains("nothing to do"), "{}", text(&output.stderr));
    it.database.sql("DELETE FROM features_plans WHERE feature_id = 2001; INSERT INTO features_plans (plan_id, feature_id, plan_type, tenant_id) VALUES (2002, 2002, 'new', 2000), (2002, 2002, 'new', 2000)");
    let changed = it.database.all();
    it.ok(&restore(&[]));
    assert_eq!(differ(&it.database.all(), &before), Vec::<&str>::new());
    it.ok(&["undo", "--yes"]);
    assert_eq!(differ(&it.database.all(), &changed), Vec::<&str>::new());
    it.database.sql(again);
    let said = it.refused(&restore(&[]));
    assert!(said.contains("table features_plans has equal rows, which no key tells apart: 151 in the set, 1 here"), "{said}");
}

#[test]
fn tn_rows_of_mysql_without_a_key_are_counted() {
    rows_without_a_key_are_counted(Some(MysqlKind::Mysql));
}

#[test]
fn tn_rows_of_postgresql_without_a_key_are_counted() {
    rows_without_a_key_are_counted(None);
}
