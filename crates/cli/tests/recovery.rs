//! `docs/recovery-without-the-program.md` is true: its commands, as they stand there, bring a set back into empty servers.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use lab::{Fingerprint, Installation, InstallationOptions, Mysql, MysqlKind, SYSTEM_DATABASE, ZYNC_DATABASE};
use support::{World, assert_equal, text};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recovery-without-the-program.md");

/// What the lab's data lacks and a recovery must bring back too.
const MORE_OBJECTS: &str = "
    ALTER DATABASE `system` CHARACTER SET latin1 COLLATE latin1_german1_ci;
    CREATE FUNCTION made_under_another_collation(word VARCHAR(9)) RETURNS VARCHAR(9) DETERMINISTIC RETURN CONCAT(word, ';;', 'ü');
    ALTER DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin;
    CREATE PROCEDURE with_line_ends_of_windows()\r\n  SELECT /* kept */ 'a\r\nb';
    CREATE VIEW services_of_accounts AS SELECT a.id, s.id AS service FROM accounts a JOIN services s ON s.account_id = a.id;
    CREATE EVENT sweep ON SCHEDULE EVERY 1 YEAR STARTS '2035-01-01 00:00:00' DISABLE DO DELETE FROM heartbeats;
    CREATE TABLE `bytes` (id INT PRIMARY KEY, raw BLOB, `text` TEXT CHARACTER SET latin1, document JSON, bits BIT(9), at TIMESTAMP(6) NULL);
    INSERT INTO `bytes` VALUES (1, x'00095C0A0D275C4EFF', CONCAT('ä', CHAR(9), CHAR(10)), '{\"a\": \"\\\\n ä\"}', b'101010101', '2020-02-29 01:02:03.456789'), (2, NULL, '\\\\N', NULL, NULL, NULL);";

/// Another locale and another owner than those of a new database.
const ZYNC_OF_ITS_OWN: &str = "ALTER DATABASE zync_production RENAME TO made;
    CREATE ROLE zync;
    CREATE DATABASE zync_production TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' OWNER zync;";

const LIBRARY: &str = "#!lua name=recovery\nredis.register_function('answer', function() return 42 end)\n";

#[test]
fn every_command_of_the_recovery_document_works() {
    recovers(MysqlKind::Mysql);
}

#[test]
fn every_command_of_the_recovery_document_works_on_mariadb() {
    recovers(MysqlKind::Mariadb);
}

#[test]
fn the_recovery_document_has_no_command_outside_of_what_is_run() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let fences: Vec<_> = document.lines().filter(|line| line.trim_start().starts_with("```")).collect();
    assert!(fences.chunks(2).all(|pair| pair == ["```sh", "```"]), "{fences:?}");
    assert!(fences.len() >= 16, "{} fences", fences.len());
}

fn recovers(mysql: MysqlKind) {
    let world = World::start_with(InstallationOptions { size_bytes: 4 << 20, mysql, ..InstallationOptions::default() });
    ask(&world.installation.mysql, MORE_OBJECTS);
    psql(&world.installation, ZYNC_OF_ITS_OWN);
    let copy = "pg_dump --dbname=made | psql -q -X -v ON_ERROR_STOP=1 --dbname=zync_production";
    let copied = world.installation.postgres.program("bash").args(["-euo", "pipefail", "-c", copy]).output().unwrap();
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let library = world.path("library.lua");
    std::fs::write(&library, LIBRARY).unwrap();
    let load =
        Command::new("sh").arg("-c").arg(redis_cli(&world.installation, &format!("-x FUNCTION LOAD < {}", library.display()))).output();
    assert!(load.unwrap().status.success());
    let original = contents(&world.installation, world.fingerprint());
    world.ok(&["backup"]);
    // The newest manifest is that of a safety copy of damaged data; it must not be taken for a set.
    world.ok(&["restore", "latest", "--only", "system-redis", "--in-place", "--yes"]);
    let sets = world.json(&["list"])["sets"].as_array().unwrap().len();
    assert_eq!(sets, 2, "a set and a safety copy");

    let mut empty = Installation::start(&InstallationOptions { mysql, ..InstallationOptions::default() }).unwrap();
    psql(&empty, "CREATE ROLE zync");
    std::fs::set_permissions(empty.storage(), Permissions::from_mode(0o2770)).unwrap();
    let before = empty.fingerprint();
    assert!(before.is_err() || before.unwrap() != original, "the targets are empty");
    run(&script(&values(&world, &empty)));
    for server in [&mut empty.backend_redis, &mut empty.system_redis] {
        server.stop().unwrap();
        server.start_again().unwrap();
    }
    let mut found = empty.fingerprint().unwrap();
    let expiring: Vec<_> = found.iter().filter(|(name, _)| name.contains("/expiring")).collect();
    assert!(expiring.iter().any(|(_, told)| !told.starts_with("0 keys")), "keys with a time to live are lost: {expiring:?}");
    found.retain(|name, _| !name.contains("/expiring"));
    assert_equal(&contents(&empty, found), &original, "after the recovery");
    assert_eq!(std::fs::metadata(empty.storage()).unwrap().permissions().mode() & 0o7777, 0o2770, "the folder of the files keeps its mode");
    assert!(!world.path("work").exists(), "nothing stays in clear");
}

/// A fingerprint and what it does not tell.
fn contents(installation: &Installation, mut fingerprint: Fingerprint) -> Fingerprint {
    let collations = "SELECT ROUTINE_NAME, DATABASE_COLLATION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'system' ORDER BY 1";
    let told = ask(&installation.mysql, collations);
    assert!(told.contains("latin1_german1_ci"), "{told}");
    fingerprint.insert("system-database/collations of routines".to_owned(), told);
    let functions = Command::new("sh").arg("-c").arg(redis_cli(installation, "FCALL answer 0")).output().unwrap();
    fingerprint.insert("backend-redis/function".to_owned(), text(&functions.stdout));
    fingerprint
}

fn psql(installation: &Installation, sql: &str) {
    for statement in sql.split_inclusive(';') {
        assert!(installation.postgres.client().args(["-c", statement]).status().unwrap().success(), "{statement}");
    }
}

fn redis_cli(installation: &Installation, arguments: &str) -> String {
    format!("REDISCLI_AUTH=lab redis-cli -p {} {arguments}", installation.backend_redis.port())
}

fn ask(server: &Mysql, sql: &str) -> String {
    let output = server.client().args(["--default-character-set=utf8mb4", "-N", "-B", "-e", sql, SYSTEM_DATABASE]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The variables of the document, for this world's repository and these targets.
fn values(world: &World, target: &Installation) -> BTreeMap<&'static str, String> {
    let redis = |server: &lab::Redis, database: u32| format!("{}:{}/{database}", server.host(), server.port());
    let client = target.mysql.client();
    let mysql: Vec<_> = std::iter::once(client.get_program()).chain(client.get_args()).map(|word| word.to_str().unwrap()).collect();
    BTreeMap::from([
        ("RESTIC_REPOSITORY", world.path("repository").display().to_string()),
        ("RESTIC_PASSWORD_FILE", world.path("key").display().to_string()),
        ("WORK", world.path("work").display().to_string()),
        ("MYSQL", mysql.join(" ")),
        ("SYSTEM_DATABASE", SYSTEM_DATABASE.to_owned()),
        ("SYSTEM_STORAGE", target.storage().display().to_string()),
        ("PGHOST", target.postgres.host().to_owned()),
        ("PGPORT", target.postgres.port().to_string()),
        ("PGUSER", "postgres".to_owned()),
        ("PGPASSFILE", target.postgres.folder().join("client.pass").display().to_string()),
        ("ZYNC_DATABASE", ZYNC_DATABASE.to_owned()),
        ("STORAGE_REDIS", redis(&target.backend_redis, 0)),
        ("QUEUES_REDIS", redis(&target.backend_redis, 1)),
        ("BACKEND_REDIS_PASSWORD", target.backend_redis.password().to_owned()),
        ("SYSTEM_REDIS", redis(&target.system_redis, 1)),
        ("SYSTEM_REDIS_PASSWORD", target.system_redis.password().to_owned()),
    ])
}

/// All commands of the document in its order, with other values for the variables of its first block.
fn script(values: &BTreeMap<&str, String>) -> String {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut blocks = document.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```\n").unwrap().0);
    let mut script = String::new();
    let mut given: BTreeMap<_, _> = values.iter().collect();
    for line in blocks.next().unwrap().lines() {
        let (head, _) = line.split_once('=').unwrap();
        let name = head.rsplit(' ').next().unwrap();
        let value = given.remove(&name).unwrap_or_else(|| panic!("no value for {name}"));
        writeln!(script, "{head}='{value}'").unwrap();
    }
    assert!(given.is_empty(), "the document does not name {given:?}");
    for block in blocks {
        writeln!(script, "{block}").unwrap();
    }
    script
}

fn run(script: &str) {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script]).stdin(Stdio::null()).current_dir("/");
    // Only what the document itself sets.
    for (name, _) in std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        ["RESTIC_", "AWS_", "PG", "MYSQL", "REDIS"].iter().any(|prefix| name.starts_with(prefix))
    }) {
        bash.env_remove(name);
    }
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// Columns as porta's `db/schema.rb` has them, with domains that an installation gave and some that it did not.
const DOMAINS: &str = "CREATE TABLE accounts (id BIGINT, domain VARCHAR(255), self_domain VARCHAR(255));
    CREATE TABLE proxies (id BIGINT, endpoint VARCHAR(255), sandbox_endpoint VARCHAR(255), production_domain VARCHAR(255), staging_domain VARCHAR(255));
    INSERT INTO accounts VALUES (1, 'acme.old.example.com', 'acme-admin.old.example.com'), (2, 'portal.bold.example.com', NULL);
    INSERT INTO proxies VALUES (1, 'https://api-acme.old.example.com:443', 'https://api-acme-staging.old.example.com:443', 'api-acme.old.example.com', 'api-acme-staging.old.example.com'),
        (2, 'https://api.acme.test', NULL, 'api.acme.test', NULL);";

#[test]
fn the_statements_for_another_domain_change_what_the_installation_gave_and_nothing_else() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/disaster.md")).unwrap();
    let statements = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let look = "SELECT domain FROM accounts UNION ALL SELECT self_domain FROM accounts UNION ALL SELECT endpoint FROM proxies UNION ALL \
        SELECT sandbox_endpoint FROM proxies UNION ALL SELECT production_domain FROM proxies UNION ALL SELECT staging_domain FROM proxies ORDER BY 1";
    let wanted = [
        "acme-admin.new.example.com",
        "acme.new.example.com",
        "api-acme-staging.new.example.com",
        "api-acme.new.example.com",
        "api.acme.test",
        "https://api-acme-staging.new.example.com:443",
        "https://api-acme.new.example.com:443",
        "https://api.acme.test",
        "portal.bold.example.com",
    ];
    let found = |output: &str| -> Vec<String> {
        let mut lines: Vec<_> = output.lines().map(str::to_owned).filter(|line| !line.is_empty() && line != "NULL").collect();
        lines.sort();
        lines
    };
    let mysql = Mysql::start(MysqlKind::Mysql, &[]).unwrap();
    let asked = mysql.client().args(["-N", "-B", "-e", &format!("CREATE DATABASE shop; USE shop; {DOMAINS} {statements} {look}")]).output();
    let asked = asked.unwrap();
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    assert_eq!(found(&text(&asked.stdout)), wanted);
    let postgres = lab::Postgres::start(&[]).unwrap();
    let ask = |sql: &str| {
        let asked = postgres.client().args(["-v", "ON_ERROR_STOP=1", "-A", "-t", "-q", "-c", sql]).output().unwrap();
        assert!(asked.status.success(), "{}", text(&asked.stderr));
        text(&asked.stdout)
    };
    ask(DOMAINS);
    ask(statements);
    assert_eq!(found(&ask(look)), wanted);
}
