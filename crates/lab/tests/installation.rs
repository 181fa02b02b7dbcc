//! The installation: its parts agree, are the same every time, and writers, damage and fingerprints do what they say.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use lab::{Fingerprint, Installation, InstallationOptions, MysqlKind, SYSTEM_DATABASE};
use plan::ids::DataSetName;
use plan::ports::Silent;

const SIZE_BYTES: u64 = 2 << 20;

fn filled(mysql: MysqlKind) -> Installation {
    let installation =
        Installation::start(&InstallationOptions { mysql, size_bytes: SIZE_BYTES, ..InstallationOptions::default() }).unwrap();
    installation.fill(&Silent).unwrap();
    installation
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn sql(installation: &Installation, text: &str) -> Vec<String> {
    let mut client = installation.mysql.client();
    output(client.args(["-N", "-B", "--default-character-set=utf8mb4", "-e", text, SYSTEM_DATABASE])).lines().map(str::to_owned).collect()
}

fn redis(installation: &Installation, args: &[&str]) -> BTreeSet<String> {
    output(installation.backend_redis.client().args(args)).lines().map(str::to_owned).collect()
}

fn differences(one: &Fingerprint, other: &Fingerprint) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

/// What goes by itself, or comes with the clock.
fn lasting(mut fingerprint: Fingerprint) -> Fingerprint {
    fingerprint.retain(|key, _| !key.ends_with("/expiring"));
    fingerprint
}

#[test]
fn two_fills_with_one_seed_are_the_same() {
    let (one, other) = (filled(MysqlKind::Mysql), filled(MysqlKind::Mysql));
    let (one, other) = (lasting(one.fingerprint().unwrap()), lasting(other.fingerprint().unwrap()));
    assert_eq!(differences(&one, &other), BTreeSet::new());
    assert!(one.len() > 200, "{}", one.len());
}

#[test]
fn another_seed_makes_other_data() {
    let start =
        |seed| Installation::start(&InstallationOptions { seed, size_bytes: SIZE_BYTES, ..InstallationOptions::default() }).unwrap();
    let (one, other) = (start(1), start(2));
    one.fill(&Silent).unwrap();
    other.fill(&Silent).unwrap();
    let different = differences(&one.fingerprint().unwrap(), &other.fingerprint().unwrap());
    for key in ["system-database/rows/cinstances", "backend-redis/db0/lasting", "zync-database/rows/entries"] {
        assert!(different.contains(key), "{key}");
    }
}

fn the_stores_agree(kind: MysqlKind) {
    let installation = filled(kind);
    let services: BTreeSet<String> = sql(&installation, "SELECT id FROM services").into_iter().collect();
    assert_eq!(redis(&installation, &["SMEMBERS", "services_set"]), services);
    for service in &services {
        let applications = sql(&installation, &format!("SELECT application_id FROM cinstances WHERE service_id = {service}"));
        assert_eq!(redis(&installation, &["SMEMBERS", &format!("service_id:{service}/applications")]), applications.into_iter().collect());
    }
    let keys = sql(
        &installation,
        "SELECT CONCAT(service_id, ' ', user_key, ' ', application_id) FROM cinstances WHERE user_key IS NOT NULL LIMIT 5",
    );
    assert_eq!(keys.len(), 5);
    for line in keys {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let known = redis(&installation, &["GET", &format!("application/service_id:{}/key:{}/id", words[0], words[1])]);
        assert_eq!(known.into_iter().next().as_deref(), Some(words[2]));
    }
    let newest: u64 = sql(&installation, "SELECT MAX(id) FROM backend_events")[0].parse().unwrap();
    assert!(output(installation.backend_redis.client().args(["GET", "events/id"])).parse::<u64>().unwrap() > newest);
    let rows = sql(&installation, "SELECT provider_id, attachment_file_name, random_secret, attachment_file_size FROM cms_files");
    let on_disk = output(Command::new("find").arg(installation.storage()).args(["-type", "f", "-printf", "%s %f\\n"]));
    for row in rows {
        let cells: Vec<&str> = row.split('\t').collect();
        let (stem, extension) = cells[1].rsplit_once('.').unwrap();
        let wanted = format!("{} {stem}-{}.{extension}", cells[3], cells[2]);
        assert!(on_disk.lines().any(|line| line == wanted), "{wanted} is not in\n{on_disk}");
    }
    // What a naive copy loses.
    assert_eq!(sql(&installation, "SELECT COUNT(*) FROM features WHERE id = 0"), ["1"]);
    assert_ne!(sql(&installation, "SET sql_mode = ''; SELECT COUNT(*) FROM accounts WHERE created_at = '0000-00-00'"), ["0"]);
    assert_ne!(sql(&installation, "SELECT COUNT(*) FROM cinstances WHERE tenant_id IS NULL AND service_id > 1"), ["0"]);
    assert_eq!(sql(&installation, "SELECT name FROM countries WHERE code = 'AT'"), ["Österreich"]);
    assert_eq!(
        sql(
            &installation,
            "SELECT COUNT(*) FROM payment_gateway_settings WHERE HEX(gateway_settings) LIKE '%00010203%FCFDFEFF0D0A09275C%'"
        )
        .len(),
        1
    );
    assert_eq!(sql(&installation, "SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'system'"), ["28"]);
    assert_eq!(sql(&installation, "SELECT value FROM annotations LIMIT 1"), ["🚀 four bytes 𝄞"]);
}

#[test]
fn the_stores_agree_on_mysql() {
    the_stores_agree(MysqlKind::Mysql);
}

#[test]
fn the_stores_agree_on_mariadb() {
    the_stores_agree(MysqlKind::Mariadb);
}

#[test]
fn each_damage_shows_in_the_fingerprint_of_its_store_only() {
    let installation = filled(MysqlKind::Mysql);
    let mut before = installation.fingerprint().unwrap();
    for name in DataSetName::STORES {
        let said = installation.damage(name).unwrap();
        assert!(said.ends_with('.'), "{said}");
        let after = installation.fingerprint().unwrap();
        let different = differences(&before, &after);
        let own = format!("{name}/");
        assert!(different.iter().any(|key| key.starts_with(&own)), "{name}: nothing differs");
        assert!(different.iter().all(|key| key.starts_with(&own) || key.ends_with("/expiring")), "{name}: {different:?}");
        if name == DataSetName::SystemDatabase {
            for key in [
                "rows/cinstances",
                "rows/invoices",
                "definition/users",
                "routine/sp_invoices_friendly_id",
                "trigger/cinstances_tenant_id",
                "rows/left_over",
            ] {
                assert!(different.contains(&format!("{own}{key}")), "{key} does not differ: {different:?}");
            }
        }
        before = after;
    }
}

#[test]
fn writers_write_to_every_store_and_stop() {
    let installation = filled(MysqlKind::Mysql);
    let before = installation.fingerprint().unwrap();
    let writers = installation.writers();
    writers.wait_for_writes(20, Duration::from_secs(60)).unwrap();
    let written = writers.stop();
    assert!(written.errors.values().all(|&errors| errors == 0), "{written:?}");
    let after = installation.fingerprint().unwrap();
    let different = differences(&before, &after);
    for name in DataSetName::STORES {
        assert!(different.iter().any(|key| key.starts_with(&format!("{name}/"))), "{name}: nothing differs");
    }
    // Nobody writes any more; only keys with a time to live go.
    assert_eq!(differences(&lasting(after), &lasting(installation.fingerprint().unwrap())), BTreeSet::new());
    // Invoices got their numbers, and rows their tenants.
    let unnumbered = sql(
        &installation,
        "SELECT COUNT(*) FROM invoices WHERE friendly_id = 'fix' OR (period = '2026-01-01' AND tenant_id IS NULL AND provider_account_id NOT IN (SELECT id FROM accounts WHERE tenant_id IS NULL))",
    );
    assert_eq!(unnumbered, ["0"]);
}

#[test]
fn writers_obey_the_commands_of_the_configuration() {
    let installation = filled(MysqlKind::Mariadb);
    let toml = installation.writers_toml();
    let command = |name: &str| {
        let line = toml.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line.split_once(" = ").unwrap().1.trim_matches('"'));
        command
    };
    let writers = installation.writers();
    writers.wait_for_writes(5, Duration::from_secs(60)).unwrap();
    assert!(!command("stopped").status().unwrap().success());
    output(&mut command("stop"));
    output(&mut command("stop"));
    assert!(command("stopped").status().unwrap().success());
    let resting = writers.written();
    let before = installation.fingerprint().unwrap();
    assert_eq!(differences(&lasting(before), &lasting(installation.fingerprint().unwrap())), BTreeSet::new());
    assert_eq!(writers.written(), resting);
    output(&mut command("start"));
    assert!(!command("stopped").status().unwrap().success());
    writers.wait_for_writes(5, Duration::from_secs(60)).unwrap();
}

#[test]
fn writers_go_on_after_their_stores_were_away() {
    let mut installation = filled(MysqlKind::Mysql);
    let writers = installation.writers();
    writers.wait_for_writes(5, Duration::from_secs(60)).unwrap();
    installation.mysql.kill();
    installation.postgres.kill();
    installation.backend_redis.kill();
    installation.system_redis.kill();
    installation.mysql.start_again().unwrap();
    installation.postgres.start_again().unwrap();
    installation.backend_redis.start_again().unwrap();
    installation.system_redis.start_again().unwrap();
    writers.wait_for_writes(5, Duration::from_secs(60)).unwrap();
    let written = writers.stop();
    for name in [DataSetName::SystemDatabase, DataSetName::ZyncDatabase, DataSetName::BackendRedis, DataSetName::SystemRedis] {
        assert!(written.errors[&name] > 0, "{name} was away and nobody noticed: {written:?}");
    }
}

/// Otherwise a fingerprint would find differences where a good restore makes none.
fn a_copy_has_the_same_fingerprint(mysql: MysqlKind) {
    let one = filled(mysql);
    let mut other = Installation::start(&InstallationOptions { mysql, size_bytes: SIZE_BYTES, ..InstallationOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pipe = |from: &mut Command, to: &mut Command| {
        let file = folder.path().join("dump");
        assert!(from.stdout(std::fs::File::create(&file).unwrap()).status().unwrap().success(), "{from:?}");
        assert!(to.stdin(std::fs::File::open(&file).unwrap()).status().unwrap().success(), "{to:?}");
    };
    let mut dump = one.mysql.dump_client();
    dump.args(["--single-transaction", "--routines", "--triggers", "--hex-blob", "--databases", SYSTEM_DATABASE]);
    pipe(&mut dump, &mut other.mysql.client());
    output(other.postgres.client().args(["-c", "CREATE DATABASE zync_production"]));
    let mut load = other.postgres.program("pg_restore");
    pipe(one.postgres.program("pg_dump").args(["-Fc", "zync_production"]), load.args(["-d", "zync_production"]));
    output(Command::new("cp").arg("-a").arg(one.storage().join(".")).arg(other.storage()));
    for name in [DataSetName::SystemDatabase, DataSetName::SystemStorage, DataSetName::ZyncDatabase] {
        let (before, after) = (one.fingerprint_of(name).unwrap(), other.fingerprint_of(name).unwrap());
        assert_eq!(differences(&before, &after), BTreeSet::new(), "{name}");
    }
    // Redis' own way is its AOF.
    put_some_keys(&other);
    for name in [DataSetName::BackendRedis, DataSetName::SystemRedis] {
        let before = other.fingerprint_of(name).unwrap();
        let server = if name == DataSetName::BackendRedis { &mut other.backend_redis } else { &mut other.system_redis };
        server.stop().unwrap();
        server.start_again().unwrap();
        assert_eq!(differences(&lasting(before), &lasting(other.fingerprint_of(name).unwrap())), BTreeSet::new(), "{name}");
    }
}

#[test]
fn a_copy_made_by_the_stores_own_tools_has_the_same_fingerprint() {
    a_copy_has_the_same_fingerprint(MysqlKind::Mysql);
}

#[test]
fn a_copy_made_by_mariadbs_own_tools_has_the_same_fingerprint() {
    a_copy_has_the_same_fingerprint(MysqlKind::Mariadb);
}

fn put_some_keys(installation: &Installation) {
    for (server, db) in [(&installation.backend_redis, "0"), (&installation.backend_redis, "1"), (&installation.system_redis, "1")] {
        output(server.client().args(["-n", db, "RPUSH", "list", "a", "b"]));
        output(server.client().args(["-n", db, "SET", "text", "ü"]));
        output(server.client().args(["-n", db, "ZADD", "scores", "1.5", "a"]));
    }
}
