//! What the plan of a tenant's restore refuses or tells before anything is touched: rows without which others are worth nothing, files that do not fit, and what a set does not have.

use std::path::PathBuf;
use std::process::Command;

use lab::MysqlKind;

use crate::beside_rows;
use crate::installation::Installation;
use crate::restoring::{json, restore};
use crate::support::text;

/// A product goes back whose backend, or one of whose developers, was deleted since: nobody could use it.
fn what_a_product_wants_is_there(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    // Of this one nobody knows who has it, in the set already.
    it.database
        .sql("UPDATE cinstances SET user_account_id = 2799 WHERE id = 2501; UPDATE cinstances SET user_account_id = 2002 WHERE id = 2001");
    it.ok(&["backup", "--warnings-are-fine"]);
    it.database.sql("DELETE FROM cinstances WHERE id IN (2001, 2501); DELETE FROM usage_limits WHERE id = 2002; DELETE FROM backend_api_configs WHERE id = 2001");
    let gone = it.database.all();
    let product = ["--service", "2001"];
    it.database.sql("DELETE FROM backend_apis WHERE id = 2001; DELETE FROM metrics WHERE id = 2002; DELETE FROM accounts WHERE id = 2002");
    let then = it.database.all();
    let said = it.refused(&restore(&product));
    for (table, wanted) in [("backend_api_configs", "row 2001 of backend_apis"), ("cinstances", "row 2002 of accounts")] {
        let told = format!("rows of {table} want {wanted}, which is not there; it is the tenant's: without --service it comes back, too");
        assert!(said.contains(&told), "{said}");
    }
    assert!(said.contains("rows of usage_limits want row 2002 of metrics, which is not there"), "{said}");
    assert!(!said.contains("2799"), "the set does not have it either: {said}");
    assert_eq!(it.database.all(), then, "nothing is changed");
    // All of it goes back with the tenant, and then the product alone, too.
    it.ok(&restore(&[]));
    it.database.sql("DELETE FROM cinstances WHERE id IN (2001, 2501)");
    it.ok(&restore(&product));
    assert_ne!(it.database.all()["cinstances"], gone["cinstances"]);
}

#[test]
fn tn_what_a_product_of_mysql_wants_is_there() {
    what_a_product_wants_is_there(Some(MysqlKind::Mysql));
}

#[test]
fn tn_what_a_product_of_postgresql_wants_is_there() {
    what_a_product_wants_is_there(None);
}

/// A small volume in the place of the files.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, options: &str) -> Self {
        assert!(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).status().unwrap().success());
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn tn_files_that_do_not_fit_are_refused_before_a_row_is_changed() {
    let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
    let invoice = it.path("files/shared/invoices/2001/pdfs/original/invoice-2000.pdf");
    std::fs::write(&invoice, (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>()).unwrap();
    it.ok(&["backup", "--warnings-are-fine"]);
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001");
    let then = it.database.all();
    let arguments = ["restore", "latest", "--tenant", "2000", "--yes", "--no-verify"];
    let small = Small::mount(it.path("files"), "size=2m");
    let output = beside_rows::run(&it, &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("too small for these files beside those that they replace") && said.contains("bytes are needed"), "{said}");
    assert!(said.contains("`--rows-only` puts the rows back"), "{said}");
    assert_eq!(it.database.all(), then, "nothing is changed");
    let runs = json(&it, &["runs"]);
    assert!(runs["runs"].as_array().unwrap().iter().all(|run| run["purpose"] != "restore"), "no run was begun: {runs}");
    assert_eq!(std::fs::read_dir(it.path("files")).unwrap().count(), 0, "nothing is left there");
    drop(small);
    let _small = Small::mount(it.path("files"), "size=8m");
    let output = beside_rows::run(&it, &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::metadata(&invoice).unwrap().len(), 3_000_000);
}

/// Commands that nobody could carry out are not told.
#[test]
fn tn_what_a_set_does_not_have_is_not_promised() {
    let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
    let config = std::fs::read_to_string(it.path("config.toml")).unwrap();
    let alone = config.split("[system-storage]").next().unwrap();
    std::fs::write(it.path("config.toml"), alone).unwrap();
    it.ok(&["backup", "--warnings-are-fine"]);
    std::fs::write(it.path("config.toml"), &config).unwrap();
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001; UPDATE invoices SET pdf_file_size = 1 WHERE id = 2001");
    let said = it.ok(&["plan", "latest", "--tenant", "2000"]);
    assert!(said.contains("verify --repair"), "{said}");
    assert!(!said.contains("tar -xf") && !said.contains("--classes usage"), "{said}");
    let told = "rows of invoices change: what was issued and charged since the set is forgotten";
    assert!(said.contains(&format!("warning: system-database: {told}")) && said.contains("hold extend billing_jobs"), "{said}");
    let output = beside_rows::run(&it, &["plan", "latest", "--tenant", "2000", "--no-verify"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("note: the set has no backend-redis: usage of its products stays as it is."), "{said}");
    // The installation is not told where Backend is: what it has stays, and is told.
    std::fs::write(it.path("config.toml"), alone).unwrap();
    let said = json(&it, &["plan", "latest", "--tenant", "2000"]);
    assert_eq!(said["tenant"]["configuration"], serde_json::Value::Null, "{said}");
    let said = it.ok(&["plan", "latest", "--tenant", "2000"]);
    assert!(said.contains("Backend's configuration: threescale-backup verify --repair"), "{said}");
}

/// What comes of it later is said before.
#[test]
fn tn_what_comes_back_and_should_not_is_told() {
    let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
    it.database.sql("UPDATE accounts SET state = 'scheduled_for_deletion' WHERE id IN (2000, 2001)");
    it.ok(&["backup", "--warnings-are-fine"]);
    let plan = ["plan", "latest", "--tenant", "2000", "--with", "user_sessions"];
    let said = it.ok(&plan);
    assert!(!said.contains("scheduled for deletion") && !said.contains("credentials come back"), "all is as the set has it: {said}");
    it.database.sql("DELETE FROM access_tokens WHERE id = 2001; DELETE FROM user_sessions WHERE id = 2001; UPDATE application_keys SET value = 'x' WHERE id IN (2001, 2501)");
    let said = it.ok(&plan);
    let told =
        "credentials come back (access_tokens 1, application_keys 2, user_sessions 1): those that were revoked since the set let in again.";
    assert!(said.contains(&format!("warning: system-database: {told}")), "{said}");
    it.database.sql("UPDATE accounts SET state = 'approved' WHERE id IN (2000, 2001)");
    let said = it.ok(&plan);
    assert!(
        said.contains("warning: system-database: the account is scheduled for deletion in the set")
            && said.contains("hold extend daily_jobs"),
        "{said}"
    );
}
