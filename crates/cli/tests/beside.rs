//! Whether zync's database and the search index agree with System, in sets and live: real servers, changed by their own clients.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::process::Command;

use lab::{InstallationOptions, Mysql, MysqlKind, ZYNC_DATABASE};
use serde_json::{Value, json};
use support::differences::{document, kinds, told};
use support::{World, text};

fn said(mut client: Command) -> String {
    let output = client.output().unwrap();
    assert!(output.status.success(), "{client:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

fn sql(world: &World, statement: &str) -> String {
    let mut client = world.installation.mysql.client();
    client.args(["system", "-N", "-B", "-e", statement]);
    said(client)
}

fn zync(world: &World, statement: &str) -> String {
    let mut client = world.installation.postgres.client();
    client.args(["-v", "ON_ERROR_STOP=1", "-At", "-q", "-d", ZYNC_DATABASE, "-c", statement]);
    said(client)
}

/// The newest entry of a model of zync's.
fn newest(kind: &str, record: &str) -> String {
    format!(
        "(SELECT max(e.id) FROM entries e JOIN models m ON m.id = e.model_id WHERE m.record_type = '{kind}' AND m.record_id = {record})"
    )
}

/// Of an identity provider, in System's rows.
const PASSWORD: &str = "xyzzy";

fn zync_is_compared(mysql: MysqlKind) {
    let world = World::start_with(InstallationOptions { size_bytes: 1 << 20, mysql, ..InstallationOptions::default() });
    world.json(&["backup"]);
    let agreed = document(&world, 0, &["verify", "latest", "--fail-on", "note"]);
    assert_eq!(kinds(&agreed), told(&[]), "{agreed}");
    for (field, table) in [("tenants", "tenants"), ("proxies", "proxies"), ("applications", "applications"), ("jobs", "que_jobs")] {
        assert_eq!(agreed["zync"][field].to_string(), zync(&world, &format!("SELECT count(*) FROM {table}")), "{field}");
    }
    assert_eq!(agreed["zync"]["jobs_failing"].to_string(), zync(&world, "SELECT count(*) FROM que_jobs WHERE error_count > 0"));
    assert_eq!((&agreed["addresses"], &agreed["not_compared"]), (&Value::Null, &json!([])), "a set has no Routes");
    let live = document(&world, 0, &["verify", "--fail-on", "note"]);
    assert_eq!(live["zync"], agreed["zync"]);
    assert_eq!(live["not_compared"], json!([{"what": "the search index", "why": "[search-index] is not configured"}]));

    // A tenant of a set goes, with what it had; a service gets OpenID Connect; an address changes.
    let (gone, domain) = (sql(&world, "SELECT MAX(id) FROM proxies"), "https://other.example.com:443");
    sql(&world, &format!("UPDATE proxies SET endpoint = '{domain}' WHERE id = 1"));
    sql(&world, &format!("DELETE FROM proxies WHERE id = {gone}"));
    sql(&world, "UPDATE services SET backend_version = 'oauth' WHERE id = 4");
    sql(&world, &format!("UPDATE proxies SET oidc_issuer_endpoint = 'https://zync:{PASSWORD}@sso.example.com/auth' WHERE service_id = 4"));
    sql(&world, "UPDATE accounts SET state = 'suspended' WHERE id = 3");
    let applications = sql(&world, "SELECT COUNT(*) FROM cinstances WHERE service_id = 4");
    for statement in [
        &format!("UPDATE entries SET data = NULL WHERE id = {}", newest("Provider", "2")),
        &format!("DELETE FROM entries WHERE id = {}", newest("Provider", "1")),
        "INSERT INTO tenants VALUES (700, 'https://gone.example.com', 'token', now(), now())",
        "INSERT INTO models VALUES (7000, 700, 'Provider', 700, now(), now())",
        r#"INSERT INTO entries (data, tenant_id, model_id, created_at, updated_at) VALUES ('{"domain": "gone.example.com"}', 700, 7000, now(), now())"#,
        "UPDATE integration_states SET success = false WHERE id = 1",
        "UPDATE integrations SET state = 'active'",
        "UPDATE que_jobs SET expired_at = now() WHERE id = 7",
        "DELETE FROM que_jobs WHERE id = 8",
    ] {
        zync(&world, statement);
    }
    world.ok(&["backup", "--warnings-are-fine"]);
    let of_set = document(&world, 1, &["verify", "latest"]);
    let live = document(&world, 1, &["verify", "--again-after", "0"]);
    assert_eq!(live["differences"], of_set["differences"]);
    let beside: BTreeMap<_, _> = kinds(&of_set).into_iter().filter(|(kind, _)| kind.starts_with("zync")).collect();
    let wanted = told(&[
        // The master.
        ("zync-tenant-missing", 1),
        ("zync-took-away", 1),
        ("zync-unknown-tenant", 1),
        ("zync-unknown-proxy", 1),
        ("zync-address-differs", 1),
        ("zync-application-missing", applications.parse().unwrap()),
        ("zync-failed", 1),
        ("zync-job-given-up", 1),
    ]);
    assert_eq!(beside, wanted, "{of_set:#}");
    let one = |kind: &str| of_set["differences"].as_array().unwrap().iter().find(|found| found["kind"] == kind).unwrap().clone();
    let detail = |kind: &str| one(kind)["examples"][0]["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail("zync-address-differs"), "proxy 1: api-2-apicast-production.example.com instead of other.example.com");
    assert_eq!((detail("zync-took-away"), detail("zync-job-given-up")), ("tenant 2".to_owned(), "job 7, ProcessEntryJob".to_owned()));
    let shown = world.run(&["verify", "latest"]);
    let shown = text(&shown.stdout) + &text(&shown.stderr);
    assert!(shown.contains("drift zync-tenant-missing: 1") && shown.contains("bundle exec rake zync:resync:domains"), "{shown}");
    assert!(shown.contains(", zync ("), "{shown}");
    // Those of System's row and of zync's own.
    for password in [PASSWORD, "user:secret@"] {
        assert!(!shown.contains(password) && !of_set.to_string().contains(password), "{shown}");
    }
    assert!(world.ok(&["list"]).contains("stores differ: "));
}

#[test]
fn zyncs_database_is_compared_with_system_on_mysql() {
    zync_is_compared(MysqlKind::Mysql);
}

#[test]
fn zyncs_database_is_compared_with_system_on_mariadb() {
    zync_is_compared(MysqlKind::Mariadb);
}

/// What cannot be compared is said, and takes nothing from the rest.
#[test]
fn a_zync_that_is_not_there_or_empty_is_said_and_the_rest_is_compared() {
    let world = World::start(1 << 20);
    let why = |document: &Value| document["not_compared"][0]["why"].as_str().unwrap().to_owned();
    // As it is when its pod was started anew (an emptyDir), before its tables are made: live, and in a set.
    zync(&world, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    world.ok(&["backup", "--warnings-are-fine"]);
    for arguments in [&["verify", "latest"][..], &["verify"]] {
        let document = document(&world, 0, arguments);
        assert_eq!((document["not_compared"][0]["what"].as_str(), &document["zync"]), (Some("zync"), &Value::Null));
        assert!(why(&document).contains("has no table tenants"), "{document}");
    }
    // With tables, and nothing in them.
    zync(&world, include_str!("../../lab/src/data/zync/schema.sql"));
    world.ok(&["backup", "--warnings-are-fine"]);
    let (providers, proxies) =
        (sql(&world, "SELECT COUNT(*) FROM accounts WHERE provider = 1"), sql(&world, "SELECT COUNT(*) FROM proxies"));
    let wanted = told(&[("zync-tenant-missing", providers.parse().unwrap()), ("zync-proxy-missing", proxies.parse().unwrap())]);
    for arguments in [&["verify", "latest"][..], &["verify", "--again-after", "0"]] {
        assert_eq!(kinds(&document(&world, 1, arguments)), wanted);
    }
    // What --repair sets right is Backend's; it ends as `verify` does.
    let output = world.run(&["verify", "--repair", "--yes", "--again-after", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("drift zync-proxy-missing"), "{}", text(&output.stdout));
    // A server that does not answer.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = world.installation.postgres.url(ZYNC_DATABASE);
    let elsewhere = url.replace(&format!(":{}/", world.installation.postgres.port()), &format!(":{port}/"));
    world.reconfigure(|text| text.replace(&url, &elsewhere));
    assert!(!why(&document(&world, 0, &["verify"])).is_empty());
    // A set without it, and an installation that has none.
    world.reconfigure(|text| text.replace(&format!("[zync-database]\nurl = {elsewhere:?}"), "[zync-database]\nabsent = true"));
    world.ok(&["backup"]);
    assert_eq!(why(&document(&world, 0, &["verify", "latest"])), "the set has no zync-database");
    assert_eq!(why(&document(&world, 0, &["verify"])), "the installation is declared to have none");
}

/// A server of the same protocol that has a table for each index: searchd answers the same statement.
struct Searchd(Mysql);

impl Searchd {
    fn start() -> Self {
        // searchd knows no databases: whoever comes is in one.
        let server = Mysql::start(MysqlKind::Mariadb, &["--init-connect=USE indices"]).unwrap();
        let searchd = Self(server);
        searchd.sql("CREATE DATABASE indices; CREATE USER 'threescale-backup'@'%'; GRANT SELECT ON indices.* TO 'threescale-backup'@'%'");
        searchd
    }

    fn sql(&self, statements: &str) {
        let mut client = self.0.client();
        client.args(["-N", "-B", "-e", statements]);
        said(client);
    }

    /// An index of so many documents.
    fn index(&self, name: &str, documents: &str) {
        self.sql(&format!(
            "DROP TABLE IF EXISTS indices.{name}; CREATE TABLE indices.{name} (id bigint); INSERT INTO indices.{name} SELECT seq FROM mysql.seq_1_to_{documents}"
        ));
    }
}

#[test]
fn the_search_index_is_counted_against_the_database() {
    let (world, searchd) = (World::start(1 << 20), Searchd::start());
    let port = searchd.0.port();
    world.reconfigure(|text| format!("{text}\n[search-index]\naddress = \"127.0.0.1:{port}\"\n"));
    let count = |question: &str| sql(&world, question);
    for (index, question) in [
        ("account_core", "SELECT COUNT(*) FROM accounts WHERE id > 1"),
        ("metric_core", "SELECT COUNT(*) FROM metrics"),
        ("plan_core", "SELECT COUNT(*) FROM plans"),
        ("service_core", "SELECT COUNT(*) FROM services"),
    ] {
        searchd.index(index, &count(question));
    }
    let agreed = document(&world, 0, &["verify", "--fail-on", "note"]);
    assert_eq!((&agreed["search_indices"], kinds(&agreed)), (&json!(4), told(&[])));
    let why = agreed["not_compared"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("searchd has no index backend_api_core, ") && !why.contains("plan_core"), "{why}");
    assert!(world.ok(&["verify"]).contains(", 4 search indices"));

    searchd.index("plan_core", "3");
    searchd.index("metric_core", &(count("SELECT COUNT(*) FROM metrics").parse::<u64>().unwrap() + 2).to_string());
    // A buyer whose provider is to be deleted is not looked for.
    sql(&world, "UPDATE accounts SET state = 'scheduled_for_deletion' WHERE id = 3");
    let searchable = count("SELECT COUNT(*) FROM accounts WHERE id > 1 AND id <> 3 AND provider_account_id <> 3");
    let found = document(&world, 1, &["verify", "--again-after", "0"]);
    let one = |kind: &str| found["differences"].as_array().unwrap().iter().find(|found| found["kind"] == kind).unwrap().clone();
    assert_eq!(
        one("search-lacks")["examples"][0]["detail"],
        format!("plan_core: 3 documents for {} rows", count("SELECT COUNT(*) FROM plans"))
    );
    let more: Vec<_> = one("search-has-more")["examples"].as_array().unwrap().iter().map(|one| one["detail"].to_string()).collect();
    assert!(more.len() == 2 && more[0].contains(&format!("documents for {searchable} rows")), "{more:?}");

    // After a restore it is told, and is no error.
    world.ok(&["backup", "--warnings-are-fine"]);
    let restored = world.run(&["restore", "latest", "--yes"]);
    let told = text(&restored.stdout) + &text(&restored.stderr);
    assert!(restored.status.success() && told.contains("search-lacks (plan_core: 3 documents for"), "{told}");
    // Nobody there, and an address that is none: both are said, and the rest agrees since the restore.
    drop(searchd);
    let unseen = document(&world, 0, &["verify", "--again-after", "0"])["not_compared"].to_string();
    assert!(unseen.contains("the search index") && unseen.contains("127.0.0.1"), "{unseen}");
    world.reconfigure(|text| text.replace(&format!("127.0.0.1:{port}"), "nowhere"));
    let unseen = document(&world, 0, &["verify", "--again-after", "0"])["not_compared"].to_string();
    assert!(unseen.contains("[search-index] address is not a host and a port"), "{unseen}");
}

/// What the end of a restore finds is told and noted, also when somebody else ends it.
#[test]
fn a_restore_that_was_killed_compares_the_live_stores_when_resume_has_ended_it() {
    let world = World::start(1 << 20);
    zync(&world, "UPDATE que_jobs SET expired_at = now() WHERE id = 7");
    world.ok(&["backup", "--warnings-are-fine"]);
    assert!(world.kill_at_line(&["restore", "latest", "--yes"], 6), "it ended before");
    assert!(!world.is_finished());
    let resumed = world.run(&["resume", "--yes"]);
    let said = text(&resumed.stdout) + &text(&resumed.stderr);
    assert!(
        resumed.status.success() && said.contains("the live stores differ: 1 drift: zync-job-given-up (job 7, ProcessEntryJob)"),
        "{said}"
    );
    let runs = world.json(&["runs"]);
    let compared = &runs["runs"].as_array().unwrap().last().unwrap()["compared"];
    assert_eq!(compared["agreement"], json!({"security": 0, "loss": 0, "drift": 1, "note": 0}), "{runs:#}");
    assert_eq!(compared["first"], json!(["zync-job-given-up (job 7, ProcessEntryJob)"]));
}
