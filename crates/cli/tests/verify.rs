//! Whether a set's stores agree: sets of running servers, with disagreements of each kind made by SQL, `redis-cli` and the file system.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use lab::{InstallationOptions, MysqlKind, Postgres, Redis};
use serde_json::{Value, json};
use support::differences::{document, kinds, told};
use support::{World, text};

fn sql(world: &World, statement: &str) -> String {
    let output = world.installation.mysql.client().args(["system", "-N", "-B", "-e", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

fn redis(world: &World, words: &[&str]) -> String {
    let output = world.installation.backend_redis.client().args(words).output().unwrap();
    let said = text(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !said.starts_with("ERR"), "{words:?}: {said}");
    said
}

fn differences_of_every_kind_are_found_and_ranked(mysql: MysqlKind) {
    let world = World::start_with(InstallationOptions { size_bytes: 2 << 20, mysql, ..InstallationOptions::default() });
    let taken = world.json(&["backup"]);
    assert_eq!(taken["agreement"], json!({"security": 0, "loss": 0, "drift": 0, "note": 0}));
    assert!(world.ok(&["show", "latest"]).contains("Stores agree: yes"));
    let agreed = document(&world, 0, &["verify", "latest", "--fail-on", "note"]);
    assert_eq!(kinds(&agreed), told(&[]), "{agreed}");
    for (field, counted) in [
        ("services", "SELECT COUNT(*) FROM services"),
        ("applications", "SELECT COUNT(*) FROM cinstances"),
        ("files", "SELECT (SELECT COUNT(*) FROM cms_files) + (SELECT COUNT(*) FROM invoices WHERE pdf_file_name IS NOT NULL)"),
    ] {
        assert_eq!(agreed[field].to_string(), sql(&world, counted), "{field}");
    }
    assert!(world.ok(&["verify", "latest"]).contains("System and Backend agree."));
    let before = world.fingerprint();
    let live = document(&world, 0, &["verify", "--fail-on", "note"]);
    for field in ["services", "applications", "credentials", "files"] {
        assert_eq!(live[field], agreed[field], "{field}");
    }
    assert_eq!((kinds(&live), &live["set"], &live["looks"]), (told(&[]), &Value::Null, &json!(1)));
    support::assert_equal(&world.fingerprint(), &before, "after a look");

    // Applications that each have what the change is about, and are no provider's own.
    let one = |condition: &str, taken: &str| {
        let found = sql(
            &world,
            &format!(
                "SELECT MIN(c.id) FROM cinstances c JOIN accounts a ON a.id = c.user_account_id WHERE a.provider = 0 AND c.state = 'live' AND c.service_id <> 3 AND c.id NOT IN ({taken}) AND {condition}"
            ),
        );
        assert_ne!(found, "NULL", "{condition}");
        found
    };
    let keyed = one("EXISTS (SELECT 1 FROM application_keys k WHERE k.application_id = c.id)", "0");
    let open = one("c.user_key IS NOT NULL", &keyed);
    let shut = one("c.user_key IS NOT NULL", &format!("{keyed}, {open}"));
    let gone = one("c.user_key IS NOT NULL", &format!("{keyed}, {open}, {shut}"));
    let old_key = sql(&world, &format!("SELECT user_key FROM cinstances WHERE id = {open}"));
    for change in [
        &format!("DELETE FROM application_keys WHERE application_id = {keyed}"),
        &format!("UPDATE cinstances SET user_key = 'a changed key' WHERE id = {open}"),
        &format!("UPDATE cinstances SET state = 'suspended' WHERE id = {shut}"),
        &format!("DELETE FROM application_keys WHERE application_id = {gone}"),
        &format!("DELETE FROM referrer_filters WHERE application_id = {gone}"),
        &format!("DELETE FROM cinstances WHERE id = {gone}"),
        "UPDATE usage_limits SET value = value + 1 WHERE id = 1",
        "DELETE FROM usage_limits WHERE id = 2",
        "UPDATE service_tokens SET value = 'another token' WHERE service_id = 2",
        "UPDATE services SET notification_settings = '---\n:web_buyer: [50, 80, 90, 100]\n' WHERE id = 2",
        "INSERT INTO metrics (id, owner_id, owner_type, service_id, system_name, friendly_name) VALUES (900000, 2, 'Service', 2, 'new', 'New')",
        "INSERT INTO backend_events (id, data) SELECT MAX(id) + 1000000, '{}' FROM backend_events",
        "UPDATE alerts SET alert_id = 77000000 ORDER BY id LIMIT 1",
    ] {
        sql(&world, change);
    }
    redis(&world, &["SADD", "set_with_services_marked_for_deletion", "2"]);
    redis(&world, &["SET", "stats/{service:88888}/metric:1/eternity", "5"]);
    // The newest service is gone; its id was given, and is not given again.
    sql(&world, "INSERT INTO services (id, account_id, system_name) VALUES (500, 2, 'newest')");
    sql(&world, "DELETE FROM services WHERE id = 500");
    redis(&world, &["SET", "stats/{service:500}/metric:1/eternity", "5"]);
    redis(&world, &["SET", "application/service_id:2/key:of/nobody:at all/id", "no-such-application"]);
    redis(&world, &["SET", "service/id:77/provider_key", "somebody"]);
    redis(&world, &["SET", "service_token/token:stolen/service_id:77", "x"]);
    redis(&world, &["DEL", "service/id:3/provider_key"]);
    redis(&world, &["SET", "service/id:4/backend_version", "oauth"]);
    redis(&world, &["SREM", "services_set", "4"]);
    let storage = world.installation.storage().to_owned();
    let file = |n: u64| {
        let found = sql(
            &world,
            &format!("SELECT CONCAT(SUBSTRING_INDEX(attachment_file_name, '.', 1), '-', random_secret) FROM cms_files WHERE id = {n}"),
        );
        let listed = std::process::Command::new("find").arg(&storage).args(["-name", &format!("{found}.*")]).output().unwrap();
        text(&listed.stdout).trim().to_owned()
    };
    std::fs::remove_file(file(1)).unwrap();
    std::fs::write(file(2), "another text altogether").unwrap();
    let taken = world.run(&["backup"]);
    assert!(
        taken.status.success() && text(&taken.stderr).contains("the stores of the set differ: 6 security, 5 loss, "),
        "{}",
        text(&taken.stderr)
    );
    assert!(world.ok(&["list"]).contains("stores differ: 6 security, 5 loss, "));
    assert!(world.ok(&["plan", "latest"]).contains("warning: the stores of the set differ: 6 security, 5 loss, "));
    assert!(!world.ok(&["plan", "latest", "--only", "backend-redis"]).contains("the stores of the set differ"));

    // The live stores are what the set was taken of.
    let live = document(&world, 1, &["verify", "--again-after", "0"]);
    let found = document(&world, 1, &["verify", "latest"]);
    assert_eq!(kinds(&live), kinds(&found), "{live:#}");
    assert_eq!((&live["set"], &live["looks"], &found["looks"]), (&Value::Null, &json!(2), &json!(1)));
    let examples =
        |document: &Value| document["differences"].as_array().unwrap().iter().map(|kind| kind["examples"].to_string()).collect::<Vec<_>>();
    assert_eq!(examples(&live), examples(&found));
    let wanted = told(&[
        ("unknown-service", 1),
        ("unknown-application", 1),
        ("unknown-user-key", 1),
        ("unknown-application-key", 1),
        ("unknown-token", 1),
        ("not-suspended", 1),
        ("events-behind", 1),
        ("alerts-behind", 1),
        ("marked-for-deletion", 1),
        ("file-missing", 1),
        ("file-differs", 1),
        ("service-missing", 1),
        ("service-differs", 1),
        ("user-key-missing", 1),
        ("token-missing", 1),
        // Its name by its id, and its id by its name.
        ("metric-missing", 1),
        ("metric-differs", 1),
        ("limit-differs", 1),
        ("unknown-limit", 1),
        ("alert-level-missing", 1),
        ("list-differs", 2),
        ("usage-of-coming-service", 1),
        ("usage-of-gone-service", 1),
        ("leftover", 1),
        // zync keeps the row of the application that is gone.
        ("zync-leftover", 1),
    ]);
    assert_eq!(kinds(&found), wanted, "{found:#}");
    let example = |kind: &str| found["differences"].as_array().unwrap().iter().find(|found| found["kind"] == kind).unwrap().clone();
    let application = sql(&world, &format!("SELECT application_id FROM cinstances WHERE id = {open}"));
    assert_eq!(example("unknown-user-key")["examples"][0]["application"], application.replace(' ', "+"));
    assert_eq!(example("unknown-service")["rank"], "security");
    assert_eq!(example("file-missing")["examples"][0]["detail"], "cms_files 1");
    let (shown, of_live) = (world.run(&["verify", "latest"]), world.run(&["verify", "--again-after", "0"]));
    assert!(text(&of_live.stdout).contains("live: compared ") && text(&of_live.stdout).contains("read twice"), "{}", text(&of_live.stdout));
    assert!(text(&of_live.stderr).contains("the live stores differ: 6 security, 5 loss, "), "{}", text(&of_live.stderr));
    let shown = [shown.stdout, shown.stderr, of_live.stdout, of_live.stderr].map(|said| text(&said)).concat();
    for secret in [old_key.as_str(), "a changed key", "another token", "stolen", "somebody"] {
        assert!(!shown.contains(secret) && !found.to_string().contains(secret), "{secret} is shown");
    }
    assert!(shown.contains("security unknown-user-key: 1") && shown.contains("rake backend:storage:rewrite"), "{shown}");
    // A set that is not looked at says nothing of it; and only what is as bad as asked for fails.
    redis(&world, &["SADD", "services_set", "4"]);
    assert_eq!(world.json(&["backup", "--no-verify"])["agreement"], Value::Null);
    document(&world, 1, &["verify", "latest", "--fail-on", "security"]);
}

#[test]
fn differences_of_every_kind_are_found_on_mysql() {
    differences_of_every_kind_are_found_and_ranked(MysqlKind::Mysql);
}

#[test]
fn differences_of_every_kind_are_found_on_mariadb() {
    differences_of_every_kind_are_found_and_ranked(MysqlKind::Mariadb);
}

/// A key is revoked after the backup, on both sides. One side that goes back alone brings it back, or lacks it in the other.
#[test]
fn what_goes_back_alone_is_compared_with_what_stays_and_all_of_it_when_it_is_done() {
    let world = World::start(1 << 20);
    world.json(&["backup"]);
    let of = |column: &str| {
        let joined = "application_keys k JOIN cinstances c ON c.id = k.application_id WHERE c.state = 'live' AND c.service_id <> 3";
        sql(&world, &format!("SELECT {column} FROM {joined} ORDER BY k.id LIMIT 1"))
    };
    let (row, service, application, key) = (of("k.id"), of("c.service_id"), of("c.application_id").replace(' ', "+"), of("k.value"));
    sql(&world, &format!("DELETE FROM application_keys WHERE id = {row}"));
    assert_eq!(redis(&world, &["SREM", &format!("application/service_id:{service}/id:{application}/keys"), &key]), "1");
    assert!(world.ok(&["verify"]).contains("System and Backend agree."));

    let back = format!("give stores that differ: 1 security: unknown-application-key (service {service}, application {application})");
    let gone = format!("give stores that differ: 1 security: no-key-left (service {service}, application {application})");
    let before = world.fingerprint();
    let plan = |only: &str| world.ok(&["plan", "latest", "--only", only]);
    assert!(plan("backend-redis").contains(&back), "{}", plan("backend-redis"));
    assert!(plan("system-database").contains(&gone), "{}", plan("system-database"));
    for agrees in [
        &["plan", "latest"][..],
        &["plan", "latest", "--only", "system-redis"],
        &["plan", "latest", "--only", "backend-redis", "--no-verify"],
    ] {
        assert!(!world.ok(agrees).contains("stores that differ"), "{agrees:?}");
    }
    support::assert_equal(&world.fingerprint(), &before, "after a plan");

    let said = |arguments: &[&str]| {
        let output = world.run(&[&["restore", "latest", "--yes"], arguments].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success() && !said.contains(&key), "{said}");
        said
    };
    let alone = said(&["--only", "backend-redis"]);
    assert!(alone.contains(&back) && alone.contains("the live stores differ: 1 security: unknown-application-key"), "{alone}");
    // It stays with the run.
    let runs = world.json(&["runs"]);
    let compared = &runs["runs"].as_array().unwrap().last().unwrap()["compared"];
    assert_eq!(compared["agreement"], json!({"security": 1, "loss": 0, "drift": 0, "note": 0}), "{runs:#}");
    assert_eq!(compared["first"], json!([format!("unknown-application-key (service {service}, application {application})")]));
    assert!(world.ok(&["runs"]).contains("the live stores differed: 1 security: unknown-application-key"));
    world.ok(&["settle", "--yes"]);
    let whole = said(&[]);
    assert!(whole.contains("the live stores agree") && !whole.contains("differ:"), "{whole}");
    world.ok(&["settle", "--yes"]);
    assert!(!said(&["--no-verify"]).contains("the live stores"));
}

/// A small installation whose keys were written down by hand from apisonator's and porta's sources: a backend API with its metrics, a plan's limits, odd ids and keys.
const SYSTEM: &str = r#"
CREATE TABLE accounts (id bigint PRIMARY KEY, provider boolean, master boolean, state text, service_preffix text, note text);
CREATE TABLE services (note text, id bigserial PRIMARY KEY, account_id bigint, state text, backend_version text, referrer_filters_required boolean, notification_settings text);
CREATE TABLE plans (id bigint PRIMARY KEY, name text, issuer_id bigint, issuer_type text);
CREATE TABLE metrics (id bigint PRIMARY KEY, system_name text, parent_id bigint, owner_type text, owner_id bigint, service_id bigint);
CREATE TABLE backend_api_configs (service_id bigint, backend_api_id bigint);
CREATE TABLE usage_limits (metric_id bigint, plan_id bigint, period text, value bigint);
CREATE TABLE service_tokens (service_id bigint, value text);
CREATE TABLE cinstances (id bigint PRIMARY KEY, plan_id bigint, user_account_id bigint, service_id bigint, user_key text, application_id text, state text, type text, redirect_url text);
CREATE TABLE application_keys (application_id bigint, value text);
CREATE TABLE referrer_filters (application_id bigint, value text);
INSERT INTO accounts VALUES (1, true, true, 'approved', NULL, 'a	tab, a \ and
a line'), (2, true, NULL, 'approved', '', NULL), (3, true, NULL, 'suspended', NULL, NULL), (10, false, NULL, 'approved', NULL, NULL),
  (7, true, NULL, 'approved', 'acme-', NULL);
INSERT INTO services VALUES (NULL, 1, 1, 'incomplete', '1', false, NULL), (NULL, 4, 2, 'published', '2', true, E'---\n:web_provider:\n- 50\n- 100\n'),
  (NULL, 5, 3, 'published', 'oauth', false, NULL), (NULL, 6, 2, 'deleted', '1', false, NULL),
  (NULL, 8, 7, 'incomplete', '1', false, NULL);
INSERT INTO plans VALUES (1, 'Master', 1, 'Service'), (7, E'Größe\tL', 4, 'Service'), (8, NULL, 4, 'Service'), (9, 'account', 2, 'Account'), (11, 'Prefixed', 8, 'Service');
INSERT INTO metrics VALUES (1, 'hits', NULL, 'Service', 1, 1), (20, 'hits', NULL, 'Service', 4, 4), (21, 'method one', 20, 'Service', 4, 4),
  (30, 'hits.70', NULL, 'BackendApi', 70, NULL), (31, 'reads.70', 30, 'BackendApi', 70, NULL), (32, 'hits.71', NULL, 'BackendApi', 71, NULL),
  (40, 'hits', NULL, 'Service', 8, 8);
INSERT INTO backend_api_configs VALUES (4, 70);
INSERT INTO usage_limits VALUES (20, 7, 'minute', 0), (31, 8, 'eternity', 5), (1, 9, 'day', 5), (40, 11, 'hour', 6);
INSERT INTO service_tokens VALUES (4, 'tok/en:1'), (4, NULL), (8, 'token of 8');
INSERT INTO cinstances VALUES (6, 1, 1, 1, 'master key', 'master', 'live', 'Cinstance', NULL), (1, 1, 2, 1, 'provider key', 'own', 'live', 'Cinstance', NULL), (2, 1, 3, 1, 'second', 'own2', 'live', 'Cinstance', NULL),
  (3, 7, 10, 4, 'a/b:c d', 'app one', 'live', 'Cinstance', 'https://x/'), (4, 8, 10, 4, '', 'two', 'pending', 'Cinstance', NULL),
  (5, 9, 10, NULL, NULL, NULL, 'live', 'AccountContract', NULL), (7, 1, 7, 1, 'third', 'own3', 'live', 'Cinstance', NULL),
  (8, 11, 10, 8, 'a user', 'eight', 'live', 'Cinstance', NULL);
SELECT setval('services_id_seq', 500);
INSERT INTO application_keys VALUES (4, 'key with spaces'), (4, 'k:/2'), (5, 'nobody');
INSERT INTO referrer_filters VALUES (3, '*.example.com');
"#;

const BACKEND: &str = r#"
SADD services_set 1 4 acme-8
SADD provider_keys_set "provider key" third
SADD service/provider_key:third/ids acme-8
SET service/provider_key:third/id acme-8
SET service/id:acme-8/state active
SET service/id:acme-8/provider_key third
SET service/id:acme-8/backend_version 1
SET service/id:acme-8/referrer_filters_required 0
SADD metrics/service_id:acme-8/ids 40
SET metric/service_id:acme-8/id:40/name hits
SET metric/service_id:acme-8/name:hits/id 40
SET usage_limit/service_id:acme-8/plan_id:11/metric_id:40/hour 6
HSET service_token/token:token+of+8/service_id:acme-8 permissions ""
SADD service_id:acme-8/applications eight
SET application/service_id:acme-8/id:eight/state active
SET application/service_id:acme-8/id:eight/plan_id 11
SET application/service_id:acme-8/id:eight/plan_name Prefixed
SET application/service_id:acme-8/key:a+user/id eight
SET application/service_id:1/id:own3/state active
SET application/service_id:1/id:own3/plan_id 1
SET application/service_id:1/id:own3/plan_name Master
SET application/service_id:1/key:third/id own3
SET stats/{service:acme-8}/metric:40/eternity 3
SADD service/provider_key:provider+key/ids 4
SET service/provider_key:provider+key/id 4
SADD service/provider_key:master+key/ids 1
SET service/id:1/provider_key "master key"
SET service/id:1/backend_version 1
SET service/id:1/referrer_filters_required 0
SADD metrics/service_id:1/ids 1
SET metric/service_id:1/id:1/name hits
SET metric/service_id:1/name:hits/id 1
SADD service_id:1/applications own own2 own3 master
SET application/service_id:1/id:own/state active
SET application/service_id:1/id:own/plan_id 1
SET application/service_id:1/id:own/plan_name Master
SET application/service_id:1/key:provider+key/id own
SET application/service_id:1/id:own2/state active
SET application/service_id:1/id:own2/plan_id 1
SET application/service_id:1/id:own2/plan_name Master
SET application/service_id:1/key:second/id own2
SET application/service_id:1/id:master/state active
SET application/service_id:1/id:master/plan_id 1
SET application/service_id:1/id:master/plan_name Master
SET application/service_id:1/key:master+key/id master
SET service/id:4/state active
SET service/id:4/provider_key "provider key"
SET service/id:4/backend_version 2
SET service/id:4/referrer_filters_required 1
SADD alerts/service_id:4/allowed_set 50 100
SADD metrics/service_id:4/ids 20 21 30 31
SET metric/service_id:4/id:20/name hits
SET metric/service_id:4/name:hits/id 20
SET metric/service_id:4/id:21/name "method one"
SET metric/service_id:4/name:method+one/id 21
SET metric/service_id:4/id:21/parent_id 20
SET metric/service_id:4/id:30/name hits.70
SET metric/service_id:4/name:hits.70/id 30
SET metric/service_id:4/id:30/parent_id 20
SET metric/service_id:4/id:31/name reads.70
SET metric/service_id:4/name:reads.70/id 31
SET metric/service_id:4/id:31/parent_id 30
SET usage_limit/service_id:4/plan_id:7/metric_id:20/minute 0
SET usage_limit/service_id:4/plan_id:8/metric_id:31/eternity 5
HSET service_token/token:tok/en:1/service_id:4 permissions ""
SADD service_id:4/applications "app one" two
SET application/service_id:4/id:app+one/state active
SET application/service_id:4/id:app+one/plan_id 7
SET application/service_id:4/id:app+one/plan_name "Größe\tL"
SET application/service_id:4/id:app+one/redirect_url https://x/
SADD application/service_id:4/id:app+one/referrer_filters *.example.com
SET application/service_id:4/key:a/b:c+d/id "app one"
SET application/service_id:4/id:two/state pending
SET application/service_id:4/id:two/plan_id 8
SADD application/service_id:4/id:two/keys "key with spaces" k:/2
"#;

#[test]
fn an_installation_on_postgresql_is_compared_by_rules_written_down_by_hand() {
    let (postgres, server) = (Postgres::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let home = tempfile::tempdir().unwrap();
    let psql = |database: &str, statements: &str| {
        let output = postgres.client().args(["-v", "ON_ERROR_STOP=1", "-q", "-d", database, "-c", statements]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let keys = |commands: &str| {
        let mut client = server.client().stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut client.stdin.take().unwrap(), commands.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success() && !text(&output.stdout).contains("ERR"), "{}", text(&output.stdout));
    };
    psql("postgres", "CREATE DATABASE system");
    psql("system", SYSTEM);
    // Another schema's table of a name that is wanted is none of 3scale's.
    psql("system", "CREATE SCHEMA old; CREATE TABLE old.services (id bigint, account_id bigint); INSERT INTO old.services VALUES (99, 2)");
    psql("system", "SELECT lo_from_bytea(0, 'a large object'), lo_from_bytea(0, '')");
    keys(BACKEND);
    std::fs::write(home.path().join("key"), "a password\n").unwrap();
    let config = format!(
        "[installation]\nname = \"one\"\n[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[system-database]\nurl = {:?}\n\
         [system-storage]\nabsent = true\n[zync-database]\nabsent = true\n[backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n\
         [system-redis]\nabsent = true\n",
        home.path().join("repository"),
        home.path().join("key"),
        postgres.url("system"),
        server.url(0),
        server.url(1),
    );
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = support::program(arguments);
        command
            .env("THREESCALE_BACKUP_CONFIG", home.path().join("config.toml"))
            .env("THREESCALE_BACKUP_STATE_FOLDER", home.path().join("state"));
        command.output().unwrap()
    };
    let verify = |code: i32| -> Value {
        let backup = run(&["backup", "--warnings-are-fine"]);
        assert!(backup.status.success(), "{}", text(&backup.stderr));
        let [of_set, live] = [&["verify", "latest", "--json"][..], &["verify", "--json", "--again-after", "0"]].map(|words| -> Value {
            let output = run(words);
            assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        });
        assert_eq!(live["differences"], of_set["differences"]);
        of_set
    };
    assert!(run(&["init"]).status.success());
    let agreed = verify(0);
    // Of the suspended tenant's service nothing is there; of the one that is deleted it does not matter.
    assert_eq!(kinds(&agreed), told(&[("idle-missing", 2)]), "{agreed:#}");
    assert_eq!((&agreed["services"], &agreed["files"]), (&Value::from(5), &Value::Null));
    let inspected = run(&["inspect", "latest", "backend-redis", "--json"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let storage = inspected["databases"].as_array().unwrap().iter().find(|database| database["database"] == "storage").unwrap();
    assert_eq!(storage["services"]["acme-8"]["keys"], 15, "behind the prefix of its account: {storage:#}");
    assert_eq!(storage["unknown"], json!([]));

    keys(
        "DEL metric/service_id:4/id:30/parent_id\nSADD application/service_id:4/id:two/keys revoked\nSET application/service_id:4/key:old/id two\n",
    );
    keys(
        "SREM alerts/service_id:4/allowed_set 100\nSET application/service_id:4/id:app+one/plan_name Other\nSREM service_id:4/applications two\n",
    );
    keys("DEL application/service_id:4/id:app+one/referrer_filters\nSET usage_limit/service_id:4/plan_id:8/metric_id:31/day 1\n");
    keys("SET stats/{service:500}/metric:1/eternity 1\nSET stats/{service:501}/metric:1/eternity 1\n");
    // The metric of a backend API that the product does not use any more, with all that is of it; a limit of a plan that is gone.
    keys("SADD metrics/service_id:4/ids 32\nSET metric/service_id:4/id:32/name hits.71\nSET metric/service_id:4/name:hits.71/id 32\n");
    keys("SET metric/service_id:4/id:32/parent_id 20\nSET usage_limit/service_id:4/plan_id:8/metric_id:32/day 1\n");
    keys(
        "SET usage_limit/service_id:4/plan_id:99/metric_id:20/day 1\nSET metric/service_id:4/id:33/name own\nSET metric/service_id:4/name:own/id 33\n",
    );
    keys("SET service/id:4/provider_key old\nSET service_token/token:gone/service_id:4 x\n");
    // Behind a prefix: a key that lets in, a limit that is another, and counters of what is gone, of what is to come, and of what no account will make.
    keys("SET application/service_id:acme-8/key:stolen/id eight\nSET usage_limit/service_id:acme-8/plan_id:11/metric_id:40/hour 7\n");
    for name in ["acme-7", "acme-501", "other-501"] {
        keys(&format!("SET stats/{{service:{name}}}/metric:1/eternity 1\n"));
    }
    let found = verify(1);
    let wanted = told(&[
        ("other-provider-key", 1),
        ("unknown-application-key", 1),
        ("unknown-user-key", 2),
        ("limit-differs", 1),
        ("unknown-token", 1),
        ("metric-differs", 1),
        ("alert-level-missing", 1),
        ("application-differs", 1),
        ("list-differs", 1),
        // The only one of an application whose service wants referrers.
        ("no-referrer-left", 1),
        ("unknown-metric", 1),
        ("unknown-limit", 1),
        ("usage-of-gone-service", 3),
        ("usage-of-coming-service", 2),
        ("leftover", 2),
        ("idle-missing", 2),
    ]);
    assert_eq!(kinds(&found), wanted, "{found:#}");

    // What opens doors without a credential of its own, credentials of what is yet to come, keys that were changed for each other, and what nothing takes off.
    keys("DEL application/service_id:4/id:two/keys\nSET service/id:4/backend_version 1\nSET service/id:4/state suspended\n");
    keys("SET service_token/token:future/service_id:900 x\nSET application/service_id:900/key:f/id f\nSADD services_set 900\n");
    keys("SET service_token/token:coming/service_id:acme-901 x\n");
    keys(
        "SADD metrics/service_id:4/ids 77\nSET application/service_id:4/id:two/redirect_url http://old\nSET metric/service_id:4/id:20/parent_id 21\n",
    );
    keys("SET application/service_id:1/key:provider+key/id own2\nSET application/service_id:1/key:second/id own\n");
    let found = verify(1);
    let mut wanted = wanted;
    wanted.remove("unknown-application-key");
    wanted.extend(told(&[
        ("no-key-left", 1),
        ("checks-less", 1),
        ("service-not-active", 1),
        ("credential-of-coming-service", 3),
        ("keys-of-coming-service", 1),
        ("user-key-elsewhere", 2),
        ("list-has-more", 1),
        ("stale-attribute", 1),
        ("stale-parent", 1),
    ]));
    assert_eq!(kinds(&found), wanted, "{found:#}");
    let output = run(&["verify", "latest", "--fail-on", "security"]);
    assert_eq!(output.status.code(), Some(1));

    // Rules are those of a release: by the newest migration, which is read here too.
    let repair = || run(&["verify", "--repair", "--yes", "--again-after", "0"]);
    let refused = |why: &str| {
        let output = repair();
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains(why), "{}", text(&output.stderr));
    };
    refused("which release the system database is of is not known");
    psql("system", "CREATE TABLE schema_migrations (version varchar PRIMARY KEY); INSERT INTO schema_migrations VALUES ('29990101000000')");
    refused("the newest migration of the system database is 29990101000000");
    psql("system", "UPDATE schema_migrations SET version = '20241107134140'");
    let output = repair();
    let left = kinds(&verify(1));
    for gone in ["unknown-token", "no-key-left", "checks-less", "unknown-user-key", "metric-differs"] {
        assert!(!left.contains_key(gone), "{gone}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}
