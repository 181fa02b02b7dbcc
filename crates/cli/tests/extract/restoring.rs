//! `restore --tenant`: a tenant goes back into a live database, and nothing else changes. What is compared is what the server's own client says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::MysqlKind;
use serde_json::Value;

use crate::installation::{Database, Installation, MASTER, owner};
use crate::support::text;

const ALL: [&str; 2] = ["--with", "audits,deleted_objects,event_store_events,user_sessions"];
pub type Rows = BTreeMap<&'static str, Vec<String>>;

/// The rows of a tenant, or of all others.
fn part(all: &Rows, tenant: u64, is_of_it: bool) -> Rows {
    let of =
        |table: &'static str, rows: &Vec<String>| rows.iter().filter(|row| (owner(table, row) == tenant) == is_of_it).cloned().collect();
    all.iter().map(|(table, rows)| (*table, of(table, rows))).collect()
}

pub fn differ(one: &Rows, other: &Rows) -> Vec<&'static str> {
    one.keys().filter(|table| one[*table] != other[*table]).copied().collect()
}

#[track_caller]
fn assert_same(one: &Rows, other: &Rows, what: &str) {
    assert_eq!(differ(one, other), Vec::<&str>::new(), "{what}");
}

pub fn restore<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["restore", "latest", "--tenant", "2000", "--yes"], more].concat()
}

pub fn json(it: &Installation, arguments: &[&str]) -> Value {
    serde_json::from_str(&it.ok(&[arguments, &["--json"]].concat())).unwrap()
}

/// The state of the run that was begun last.
pub fn state(it: &Installation) -> String {
    let runs = json(it, &["runs"]);
    let newest = runs["runs"].as_array().unwrap().iter().max_by_key(|run| run["run"].as_str().unwrap().to_owned()).unwrap();
    newest["state"].as_str().unwrap().to_owned()
}

fn add_on(it: &Installation) -> String {
    it.database.sql("SELECT id, tenant_id FROM add_on ORDER BY id;")
}

/// Deleted after the backup: all of it comes back under its old numbers, and an undo takes exactly that away.
fn a_deleted_tenant_comes_back(kind: Option<MysqlKind>, master_tenant: &str) {
    let it = Installation::start(kind, master_tenant);
    let (before, add_on_before) = (it.database.all(), add_on(&it));
    it.database.delete(2000);
    let without = it.database.all();
    if kind.is_none() {
        it.database.sql("SELECT setval('users_id_seq', 50000), setval('services_id_seq', 1)");
    }
    let planned = json(&it, &[&["plan", "latest", "--tenant", "admin-2000.example.com"], &ALL[..]].concat());
    assert_eq!((&planned["refused"], &planned["tenant"]["conflicts"]), (&false.into(), &0.into()), "{planned}");
    for table in planned["tenant"]["tables"].as_array().unwrap() {
        let name = table["table"].as_str().unwrap();
        let expected = before.get(name).map_or(1, |rows| rows.len() - without[name].len());
        assert_eq!(table["insert"], expected, "{name}");
        assert_eq!((&table["update"], &table["delete"]), (&0.into(), &0.into()), "{name}");
    }
    assert_same(&it.database.all(), &without, "a plan changes nothing");
    let said = it.ok(&restore(&ALL));
    assert!(said.contains("rows of tenant 2000 are as the set has them"), "{said}");
    assert!(said.contains("--classes usage --service 2001,2002,2004,2501,2502"), "{said}");
    assert_same(&it.database.all(), &before, "all is back");
    assert_eq!(add_on(&it), add_on_before);
    if kind.is_none() {
        let next = it.database.sql("SELECT nextval('users_id_seq') > 50000, nextval('services_id_seq') > (SELECT MAX(id) FROM services);");
        assert_eq!(next.trim(), "t\tt");
    }
    // The triggers are at work as before.
    let insert = "INSERT INTO metrics (id, tenant_id) VALUES (99999, 1)";
    match kind {
        Some(_) => assert_eq!(
            it.database
                .sql(&format!("{insert}; SELECT tenant_id FROM metrics WHERE id = 99999; DELETE FROM metrics WHERE id = 99999;"))
                .trim(),
            "666"
        ),
        None => assert!(it.database.fails(insert).contains("Could not find tenant_id")),
    }
    let output = it.run(&restore(&ALL));
    assert!(text(&output.stderr).contains("nothing to do"), "{}", text(&output.stderr));
    it.ok(&["undo", "--yes"]);
    assert_same(&it.database.all(), &without, "undone");
    assert_eq!(state(&it), "undone");
    // And once more, to stay.
    it.ok(&restore(&ALL));
    it.ok(&["settle", "--yes"]);
    assert_same(&it.database.all(), &before, "settled");
    assert_eq!(it.run(&["undo", "--yes"]).status.code(), Some(2), "there is nothing to undo any more");
    it.ok(&["check", "--read-data"]);
}

#[test]
fn tn_a_deleted_tenant_of_mysql_comes_back() {
    a_deleted_tenant_comes_back(Some(MysqlKind::Mysql), "NULL");
}

#[test]
fn tn_a_deleted_tenant_of_mariadb_comes_back() {
    a_deleted_tenant_comes_back(Some(MysqlKind::Mariadb), &MASTER.to_string());
}

#[test]
fn tn_a_deleted_tenant_of_postgresql_comes_back() {
    a_deleted_tenant_comes_back(None, &MASTER.to_string());
}

/// Rows of the tenant that are others, new, or gone; and the same of another tenant.
const CHANGES: &str = "UPDATE services SET name = 'it''s \\ another' WHERE id IN (2001, 3001);
    UPDATE users SET email = NULL WHERE id >= 2000 AND id < 4000;
    DELETE FROM application_keys WHERE id IN (2001, 3001);
    DELETE FROM features_plans WHERE feature_id = 2001;
    DELETE FROM proxy_configs WHERE id = 2001;
    DELETE FROM api_docs_services WHERE service_id = 2002;
    INSERT INTO services (id, account_id, system_name, tenant_id) VALUES (2700, 2000, 'new', 2000);
    INSERT INTO api_docs_services (id, account_id, service_id, tenant_id) VALUES (2700, 2000, 2700, 2000);
    INSERT INTO proxies (id, service_id) VALUES (2700, 2700);
    INSERT INTO accounts (id, provider_account_id, domain, tenant_id) VALUES (2700, 2000, 'new.example.com', 2000);
    UPDATE accounts SET domain = 'moved.example.com' WHERE id = 2000;
    UPDATE invoice_counters SET invoice_count = 9 WHERE id = 2001;
    INSERT INTO accounts (id, provider_account_id, domain, tenant_id) VALUES (3700, 3000, 'other.example.com', 3000);
    UPDATE add_on SET tenant_id = 3000 WHERE id = 1001;
";

/// Values that no two rows share, where they may be NULL and where not.
const UNIQUE: &str = "UPDATE accounts SET domain = CONCAT('Buyer-', id, '.example.com') WHERE domain IS NULL;
    UPDATE backend_apis SET system_name = CONCAT('backend-', id); CREATE UNIQUE INDEX index_on_name ON backend_apis (system_name)";
/// Two rows have each other's value, in other letters where the collation takes them for the same. A third one has that of a fourth, which has another.
const EXCHANGES: &str =
    "UPDATE accounts SET domain = 'x' WHERE id = 2001; UPDATE accounts SET domain = 'BUYER-2001.example.com' WHERE id = 2002;
    UPDATE accounts SET domain = 'buyer-2002.example.com' WHERE id = 2001;
    UPDATE backend_apis SET system_name = 'x' WHERE id = 2001; UPDATE backend_apis SET system_name = 'backend-2001' WHERE id = 2501;
    UPDATE backend_apis SET system_name = 'backend-2501' WHERE id = 2001;
    UPDATE accounts SET domain = 'y' WHERE id = 2502; UPDATE accounts SET domain = 'Buyer-2502.example.com' WHERE id = 2501";

fn a_changed_tenant_goes_back(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    // A counter that was lower when the set was taken.
    it.database.sql("UPDATE invoice_counters SET invoice_count = 5 WHERE id = 2001");
    let alter = if kind.is_some() { "MODIFY system_name varchar(255) NOT NULL" } else { "ALTER COLUMN system_name SET NOT NULL" };
    it.database.sql(&format!("{UNIQUE}; ALTER TABLE backend_apis {alter}"));
    it.ok(&["backup", "--warnings-are-fine"]);
    let before = it.database.all();
    it.database.sql(CHANGES);
    it.database.sql(EXCHANGES);
    let (changed, add_on_then) = (it.database.all(), add_on(&it));
    let planned = json(&it, &["plan", "latest", "--tenant", "2000"]);
    let of = |table: &str| planned["tenant"]["tables"].as_array().unwrap().iter().find(|of| of["table"] == table).unwrap().clone();
    assert_eq!((&of("services")["update"], &of("services")["delete"], &of("services")["insert"]), (&1.into(), &1.into(), &0.into()));
    assert_eq!((&of("application_keys")["insert"], &of("features_plans")["insert"]), (&1.into(), &1.into()));
    assert_eq!((&of("invoice_counters")["update"], &of("invoice_counters")["stay"]), (&0.into(), &1.into()), "a counter does not go back");
    it.ok(&restore(&[]));
    let now = it.database.all();
    assert_same(&part(&now, 2000, false), &part(&changed, 2000, false), "others are as they were");
    assert_eq!(add_on(&it), add_on_then);
    let (mut ours, mut wanted) = (part(&now, 2000, true), part(&before, 2000, true));
    assert_eq!(ours.remove("invoice_counters"), part(&changed, 2000, true).remove("invoice_counters"));
    wanted.remove("invoice_counters");
    assert_same(&ours, &wanted, "it is as in the set");
    // What was changed since stays, and is told; all else is as it was.
    it.database.sql("UPDATE services SET name = 'since' WHERE id = 2001; INSERT INTO application_keys (id, application_id, tenant_id) VALUES (2900, 2001, 2000)");
    let output = it.run(&["undo", "--yes"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("row 2001 of services"), "{}", text(&output.stderr));
    let undone = it.database.all();
    assert_same(&part(&undone, 2000, false), &part(&changed, 2000, false), "others are as they were");
    assert_eq!(differ(&undone, &changed), ["application_keys", "services"]);
    assert_eq!(it.database.sql("SELECT name FROM services WHERE id = 2001").trim(), "since");
    assert_eq!(it.database.sql("SELECT COUNT(*) FROM application_keys WHERE id IN (2001, 2900)").trim(), "1");
}

#[test]
fn tn_a_changed_tenant_of_mysql_goes_back() {
    a_changed_tenant_goes_back(Some(MysqlKind::Mysql));
}

#[test]
fn tn_a_changed_tenant_of_mariadb_goes_back() {
    a_changed_tenant_goes_back(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_a_changed_tenant_of_postgresql_goes_back() {
    a_changed_tenant_goes_back(None);
}

fn conflicts_refuse_the_plan(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    it.database.delete(2000);
    let refused = |break_it: &str, mend: &str, more: &[&str], says: &[&str]| {
        it.database.sql(break_it);
        let then = it.database.all();
        let said = it.refused(&restore(more));
        for text in says {
            assert!(said.contains(text), "{break_it}: {text}: {said}");
        }
        assert_same(&it.database.all(), &then, "nothing is changed");
        it.database.sql(mend);
    };
    refused(
        "UPDATE accounts SET domain = 'dev-2000.example.com' WHERE id = 3000",
        "UPDATE accounts SET domain = 'dev-3000.example.com' WHERE id = 3000",
        &[],
        &["row 3000 of accounts has the same domain as a row that goes back"],
    );
    refused(
        "UPDATE cinstances SET user_key = 'provider-key-2000' WHERE id = 3090",
        "UPDATE cinstances SET user_key = 'provider-key-3000' WHERE id = 3090",
        &[],
        &["row 3090 of cinstances has the same service_id, user_key as a row that goes back"],
    );
    refused(
        "INSERT INTO web_hooks (id, account_id, tenant_id) VALUES (2001, 3000, 3000)",
        "DELETE FROM web_hooks WHERE id = 2001",
        &[],
        &["row 2001 of web_hooks is not the tenant's here"],
    );
    refused(
        "DELETE FROM slugs WHERE 1 = 0",
        "DELETE FROM slugs WHERE 1 = 0",
        &["--service", "2001"],
        &["rows of proxy_configs want row 2001 of users, which is not there"],
    );
    refused(
        "UPDATE schema_migrations SET version = '20270101000000'",
        "UPDATE schema_migrations SET version = '20260101000000'",
        &[],
        &["20260101000000", "20270101000000"],
    );
    refused(
        "ALTER TABLE add_on RENAME COLUMN tenant_id TO tenant",
        "ALTER TABLE add_on RENAME COLUMN tenant TO tenant_id",
        &[],
        &["rows of add_on do not fit: it has no tenant_id here"],
    );
    it.ok(&restore(&ALL));
    let conflict = "INSERT INTO sso_authorizations (id, user_id, authentication_provider_id, tenant_id) VALUES (2900, 2001, 2001, 2000);
        INSERT INTO user_sessions (id, user_id, sso_authorization_id) VALUES (2900, 2001, 2900);";
    refused(
        conflict,
        "DELETE FROM user_sessions WHERE id = 2900; DELETE FROM sso_authorizations WHERE id = 2900",
        &[],
        &["row 2900 of user_sessions refers to a row of sso_authorizations that is to go; --with user_sessions takes them too"],
    );
    it.database.sql(conflict);
    it.ok(&restore(&ALL));
    assert_eq!(it.database.sql("SELECT COUNT(*) FROM user_sessions WHERE id = 2900").trim(), "0");
    refused(
        "UPDATE accounts SET created_at = '2001-02-03 04:05:06' WHERE id = 2000",
        "UPDATE accounts SET created_at = NULL WHERE id = 2000",
        &[],
        &["the account here was made at another time"],
    );
}

#[test]
fn tn_conflicts_of_mysql_refuse_the_plan() {
    conflicts_refuse_the_plan(Some(MysqlKind::Mysql));
}

#[test]
fn tn_conflicts_of_mariadb_refuse_the_plan() {
    conflicts_refuse_the_plan(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_conflicts_of_postgresql_refuse_the_plan() {
    conflicts_refuse_the_plan(None);
}

/// Somebody who has put a row in, and has not said yet whether it stays.
pub struct InTheWay(Child);

impl InTheWay {
    pub fn of(database: &Database, statement: &str) -> Self {
        let mut client: Command = database.client();
        if matches!(database, Database::Mysql(_)) {
            client.arg("--unbuffered");
        }
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.as_mut().unwrap();
        writeln!(input, "BEGIN;\n{statement};\nSELECT 'in the way';").unwrap();
        input.flush().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "in the way"));
        Self(child)
    }

    fn goes(self) {
        self.ends("ROLLBACK");
    }

    /// It stays: whoever waits for it goes on.
    pub fn stays(self) {
        self.ends("COMMIT");
    }

    fn ends(mut self, how: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{how};").unwrap();
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether somebody waits for a lock.
pub fn is_waited(database: &Database) -> bool {
    // InnoDB makes INNODB_TRX anew only when 0.1 s have passed since it was last read (storage/innobase/trx/trx0i_s.cc): asked oftener, it never changes.
    std::thread::sleep(Duration::from_millis(200));
    let question = match database {
        Database::Mysql(_) => "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
        Database::Postgres(_) => "SELECT COUNT(*) FROM pg_locks WHERE NOT granted",
    };
    database.sql(question).trim() != "0"
}

fn killed_in_the_middle(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    let before = it.database.all();
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001; INSERT INTO web_hooks (id, account_id, tenant_id) VALUES (2900, 2000, 2000); UPDATE accounts SET domain = 'moved.example.com' WHERE id = 2000; UPDATE users SET email = NULL WHERE id = 2001");
    let changed = it.database.all();
    // Its domain is being taken: rows that stand before it are changed already when it waits.
    let other = InTheWay::of(&it.database, "INSERT INTO accounts (id, domain) VALUES (9900, 'dev-2000.example.com')");
    let mut child = it.command(&restore(&[])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("nobody waits", || is_waited(&it.database));
    child.kill().unwrap();
    child.wait().unwrap();
    other.goes();
    wait_until("the server has not ended the session", || {
        it.database.sql("UPDATE services SET name = name WHERE id = 2001;");
        !is_waited(&it.database)
    });
    assert_same(&it.database.all(), &changed, "killed: nothing is changed");
    assert_eq!(state(&it), "open");
    let said = it.refused(&restore(&[]));
    assert!(said.contains("is in the way"), "{said}");
    it.ok(&["resume"]);
    assert_same(&it.database.all(), &before, "resumed");
    it.ok(&["undo", "--yes"]);
    assert_same(&it.database.all(), &changed, "undone");
    // Somebody changes a row between the plan and the change: nothing is changed.
    let other = InTheWay::of(&it.database, "UPDATE users SET email = 'x@example.com' WHERE id = 2001");
    let child = it.command(&restore(&[])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("nobody waits", || is_waited(&it.database));
    other.stays();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("somebody changed 1 of the rows") && said.contains("row 2001 of users"), "{said}");
    assert_eq!(differ(&it.database.all(), &changed), ["users"]);
    it.ok(&["undo", "--yes"]);
    assert_eq!(differ(&it.database.all(), &changed), ["users"]);
}

#[test]
fn tn_killed_in_the_middle_of_mysql() {
    killed_in_the_middle(Some(MysqlKind::Mysql));
}

#[test]
fn tn_killed_in_the_middle_of_mariadb() {
    killed_in_the_middle(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_killed_in_the_middle_of_postgresql() {
    killed_in_the_middle(None);
}

/// The newest run's journal: its lines, and whose it is.
pub fn newest_journal(it: &Installation) -> (usize, String) {
    let Ok(folder) = std::fs::read_dir(it.path("state/runs")) else { return (0, String::new()) };
    let paths = folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    let newest = paths.max();
    let id = newest.as_ref().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    (newest.map_or(0, |path| std::fs::read_to_string(path).unwrap().lines().count()), id.unwrap_or_default())
}

/// Starts a call, and kills it when the journal of a run that is not `last` has so many records; `last` becomes that run.
pub fn kill_at_record(it: &Installation, mut call: Command, records: usize, last: &mut String) {
    let mut child = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("no journal", || {
        let (lines, id) = newest_journal(it);
        child.try_wait().unwrap().is_some() || id != *last && lines >= records
    });
    drop(child.kill());
    child.wait().unwrap();
    *last = newest_journal(it).1;
}

/// Killed at each record of the journal; then gone on with, or taken back.
#[test]
fn tn_killed_at_every_record() {
    let it = Installation::start(None, "NULL");
    let before = it.database.all();
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001; DELETE FROM application_keys WHERE id = 2001; INSERT INTO web_hooks (id, account_id, tenant_id) VALUES (2900, 2000, 2000)");
    let changed = it.database.all();
    let mut last = newest_journal(&it).1;
    for records in 1..8 {
        kill_at_record(&it, it.command(&restore(&[])), records, &mut last);
        let now = it.database.all();
        assert!(now == before || now == changed, "all or nothing, killed at record {records}");
        if records % 2 == 0 && state(&it) == "open" {
            it.ok(&["resume"]);
            assert_same(&it.database.all(), &before, "resumed");
        }
        it.ok(&["undo", "--yes"]);
        assert_same(&it.database.all(), &changed, "undone");
    }
    it.ok(&["check", "--read-data"]);
}

fn missing_rights_are_named(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    it.database.delete(2000);
    let without = it.database.all();
    let (grant, url, more, says) = match &it.database {
        Database::Mysql(server) => (
            "CREATE USER reader@'%' IDENTIFIED BY 'h1dden'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `system`.* TO reader@'%'",
            format!("mysql2://reader:h1dden@{}", server.url("system").split_once('@').unwrap().1),
            "GRANT INSERT, UPDATE, DELETE ON `system`.* TO reader@'%'",
            "GRANT INSERT, UPDATE, DELETE ON `system`.*",
        ),
        Database::Postgres(server) => (
            "CREATE ROLE reader LOGIN PASSWORD 'h1dden'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader;
             GRANT USAGE ON SCHEMA aside, xtra TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA aside, xtra TO reader",
            server.url_as("reader", "h1dden", "system"),
            "",
            "Use the role that owns 3scale's tables",
        ),
    };
    it.database.sql(grant);
    let run = |arguments: &[&str]| it.command(arguments).env("THREESCALE_BACKUP_SYSTEM_DATABASE_URL", &url).output().unwrap();
    let output = run(&restore(&ALL));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(says), "{said}");
    assert!(!said.contains("h1dden"));
    assert_same(&it.database.all(), &without, "nothing is changed");
    if !more.is_empty() {
        it.database.sql(more);
        let output = run(&restore(&ALL));
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_ne!(it.database.all()["services"], without["services"]);
    }
}

#[test]
fn tn_missing_rights_of_mysql_are_named() {
    missing_rights_are_named(Some(MysqlKind::Mysql));
}

#[test]
fn tn_missing_rights_of_mariadb_are_named() {
    missing_rights_are_named(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_missing_rights_of_postgresql_are_named() {
    missing_rights_are_named(None);
}

/// One product goes back; what else is of the tenant stays as it is. Files that are gone are named.
fn a_product_goes_back_alone(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    let before = it.database.all();
    it.database.sql("UPDATE services SET name = 'another' WHERE id IN (2001, 2002); UPDATE users SET email = NULL WHERE id = 2001; DELETE FROM cinstances WHERE id IN (2001, 2003)");
    let changed = it.database.all();
    let said = it.refused(&restore(&["--service", "api-2001"]));
    assert!(said.contains("2001 of tenant 2000; 2501 of tenant 2000"), "a system name that two products have here: {said}");
    assert_eq!(json(&it, &["plan", "latest", "--tenant", "2000", "--service", "only"])["tenant"]["product"]["id"], 2004);
    it.ok(&restore(&["--service", "2001"]));
    let now = it.database.all();
    assert_eq!(differ(&now, &changed), ["cinstances", "services"]);
    assert_eq!(it.database.sql("SELECT COUNT(*) FROM cinstances WHERE id IN (2001, 2003)").trim(), "1");
    assert_eq!(it.database.sql("SELECT COUNT(*) FROM services WHERE name = 'another'").trim(), "1");
    std::fs::remove_file(it.path("files/shared/2000/profiles/logos/large/logo.png")).unwrap();
    std::fs::write(it.path("files/shared/invoices/2001/pdfs/original/invoice-2000.pdf"), "shorter").unwrap();
    it.database.sql("INSERT INTO cms_files (id, provider_id, attachment_file_name, random_secret, tenant_id) VALUES (2900, 2000, 'new.txt', '5ec', 2000)");
    std::fs::write(it.path("files/shared/2026/01/02/new-5ec.txt"), "made since").unwrap();
    let planned = json(&it, &["plan", "latest", "--tenant", "2000"]);
    let files = &planned["tenant"]["files"];
    assert_eq!((&files["in_the_set"], &files["missing"], &files["other"]), (&3.into(), &1.into(), &1.into()), "{files}");
    assert_eq!((&files["surplus"], &files["first_surplus"][0]), (&1.into(), &"shared/2026/01/02/new-5ec.txt".into()), "{files}");
    let lost = "invoices/2501/pdfs/original/invoice-2000.pdf";
    assert_eq!(
        (&files["lost"], &files["first_lost"]),
        (&1.into(), &serde_json::json!([{"table": "invoices", "row": 2501, "file": lost}])),
        "{files}"
    );
    let said = it.ok(&["plan", "latest", "--tenant", "2000"]);
    assert!(said.contains("shared/2000/profiles/logos/large/logo.png") && said.contains("threescale-backup extract"), "{said}");
    assert!(said.contains("1 files that its rows here name are not in the set, and stay: shared/2026/01/02/new-5ec.txt."), "{said}");
    let told =
        format!("1 files that its rows in the set name are neither in the set nor here, and stay lost: {lost} (row 2501 of invoices).");
    assert!(said.contains(&format!("warning: {told}")), "{said}");
    let lost = it.path("files/shared").join(lost);
    std::fs::create_dir_all(lost.parent().unwrap()).unwrap();
    std::fs::write(&lost, "found").unwrap();
    assert_eq!(json(&it, &["plan", "latest", "--tenant", "2000"])["tenant"]["files"]["lost"], 0, "it is here");
    std::fs::remove_file(&lost).unwrap();
    it.database.sql("DELETE FROM cms_files WHERE id = 2900");
    it.ok(&["restore", "latest", "--tenant", "2000", "--yes"]);
    assert_same(&it.database.all(), &before, "all is back, by two runs");
    // Two runs are kept beside each other, and each is taken back by itself.
    let runs = json(&it, &["runs"]);
    let ids: Vec<&str> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["state"] == "finished" && run["purpose"] == "restore")
        .map(|run| run["run"].as_str().unwrap())
        .collect();
    for id in ids {
        it.ok(&["undo", id, "--yes"]);
    }
    assert_same(&it.database.all(), &changed, "both are undone");
    let said = it.refused(&["restore", "latest", "--service", "2001", "--yes"]);
    assert!(said.contains("--tenant") || said.contains("--classes"), "{said}");
    let said = it.refused(&["restore", "latest", "--tenant", "2000", "--classes", "usage", "--yes"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn tn_a_product_of_mysql_goes_back_alone_and_missing_files_are_named() {
    a_product_goes_back_alone(Some(MysqlKind::Mysql));
}

#[test]
fn tn_a_product_of_mariadb_goes_back_alone_and_missing_files_are_named() {
    a_product_goes_back_alone(Some(MysqlKind::Mariadb));
}

#[test]
fn tn_a_product_of_postgresql_goes_back_alone_and_missing_files_are_named() {
    a_product_goes_back_alone(None);
}
