//! One tenant of 10,000 rows out of 10 million: how long a plan takes, and how much memory. Ignored: it takes minutes and some GB. By a build that is optimised:
//! `MEASURED_PROGRAM=target/release/threescale-backup cargo nextest run --workspace --run-ignored only --no-capture -E 'test(one_tenant_out_of_ten_million_rows)'`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::MysqlKind;

use crate::installation::Database;
use crate::support::{PROGRAM, text};

/// Rows of each table in thousands, and what they say by their number `seq`; every thousandth is of one tenant. The keys are those of porta (`db/schema.rb`): none is of `tenant_id`.
const TABLES: [(&str, u32, &str, &str); 6] = [
    (
        "accounts",
        1000,
        "id, provider, buyer, org_name, provider_account_id, tenant_id, created_at",
        "seq, seq <= 1000, seq > 1000, CONCAT('Org ', seq), IF(seq > 1000, seq % 1000 + 1, NULL), IF(seq > 1000, seq % 1000 + 1, seq), '2026-01-01'",
    ),
    (
        "users",
        1000,
        "id, account_id, username, email, tenant_id",
        "seq, seq, CONCAT('user-', seq), CONCAT('user-', seq, '@example.com'), IF(seq > 1000, seq % 1000 + 1, seq)",
    ),
    (
        "cinstances",
        3000,
        "id, plan_id, service_id, user_account_id, type, state, user_key, application_id, tenant_id",
        "seq, seq % 1000 + 1, seq % 1000 + 1, seq % 1000 + 1000 * (seq DIV 3000 % 998 + 1), 'Cinstance', 'live', MD5(seq), LEFT(SHA1(seq), 8), seq % 1000 + 1",
    ),
    ("application_keys", 2000, "id, application_id, value, tenant_id", "seq, seq, MD5(seq * 7), seq % 1000 + 1"),
    (
        "invoices",
        1000,
        "id, provider_account_id, buyer_account_id, friendly_id, tenant_id",
        "seq, seq % 1000 + 1, seq % 1000 + 2000, CONCAT('2026-01-', seq), seq % 1000 + 1",
    ),
    (
        "line_items",
        2000,
        "id, invoice_id, name, cost, tenant_id",
        "seq, seq % 1000 + 1000 * (seq DIV 2000), CONCAT('item ', seq), 1.5, seq % 1000 + 1",
    ),
];
const KEYS: &str = "ALTER TABLE accounts ADD KEY (provider_account_id); ALTER TABLE users ADD KEY (account_id); ALTER TABLE line_items ADD KEY (invoice_id), ADD KEY (cinstance_id);
    ALTER TABLE cinstances ADD KEY (plan_id), ADD KEY (user_account_id), ADD KEY (service_id), ADD KEY (application_id), ADD KEY (user_key);
    ALTER TABLE application_keys ADD UNIQUE KEY (application_id, value); ALTER TABLE invoices ADD KEY (provider_account_id), ADD KEY (buyer_account_id);";
const TENANT: &str = "500";

struct Told {
    seconds: f64,
    peak_mib: u64,
    said: String,
}

#[test]
#[expect(clippy::print_stdout, reason = "it measures")]
#[ignore = "ten million rows: minutes, and some GB"]
fn one_tenant_out_of_ten_million_rows() {
    let program = std::env::var("MEASURED_PROGRAM").unwrap_or_else(|_| PROGRAM.to_owned());
    let database = Database::start(Some(MysqlKind::Mariadb));
    database.make();
    let mut script = format!("SET unique_checks = 0; SET foreign_key_checks = 0; {KEYS}");
    for (table, thousands, columns, cells) in TABLES {
        script.push_str(&format!("INSERT INTO {table} ({columns}) SELECT {cells} FROM seq_1_to_{thousands}000;\n"));
    }
    for (table, columns, cells) in [
        (
            "services",
            "id, account_id, system_name, state, backend_version, tenant_id",
            "seq, seq, CONCAT('api-', seq), 'incomplete', '1', seq",
        ),
        ("plans", "id, issuer_id, issuer_type, type, name, tenant_id", "seq, seq, 'Service', 'ApplicationPlan', 'Basic', seq"),
    ] {
        script.push_str(&format!("INSERT INTO {table} ({columns}) SELECT {cells} FROM seq_1_to_1000;\n"));
    }
    let begin = Instant::now();
    database.sql(&script);
    println!("filled in {:?}", begin.elapsed());

    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("key"), "a password\n").unwrap();
    let toml = format!(
        "[repository]\nurl = {:?}\npassword-file = {:?}\n\n[platform]\nkind = \"direct\"\n\n[system-database]\nurl = {:?}\n",
        path("repository"),
        path("key"),
        database.url()
    );
    std::fs::write(path("config.toml"), toml).unwrap();
    let run = |arguments: &[&str]| {
        let begin = Instant::now();
        let mut child = Command::new(&program)
            .args(arguments)
            .env("THREESCALE_BACKUP_CONFIG", path("config.toml"))
            .env("THREESCALE_BACKUP_STATE_FOLDER", path("state"))
            .env("THREESCALE_BACKUP_PARTIAL", "true")
            .stdout(Stdio::from(std::fs::File::create(path("said")).unwrap()))
            .stderr(Stdio::from(std::fs::File::create(path("complained")).unwrap()))
            .spawn()
            .unwrap();
        let (status, mut peak_mib) = (format!("/proc/{}/status", child.id()), 0);
        let ended = loop {
            let now = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = now.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse::<u64>().ok());
            peak_mib = peak_mib.max(peak.unwrap_or_default() / 1024);
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = text(&std::fs::read(path("said")).unwrap());
        assert!(ended.success(), "{arguments:?}: {said}\n{}", text(&std::fs::read(path("complained")).unwrap()));
        let told = Told { seconds: begin.elapsed().as_secs_f64(), peak_mib, said };
        println!("{}: {:.1} s, at most {} MiB", arguments.join(" "), told.seconds, told.peak_mib);
        told
    };
    run(&["init"]);
    run(&["backup", "--warnings-are-fine"]);
    // Of the tenant some rows go, some change, and some are new.
    database.sql(&format!(
        "DELETE FROM application_keys WHERE tenant_id = {TENANT}; UPDATE cinstances SET state = 'suspended' WHERE tenant_id = {TENANT};
         INSERT INTO users (id, account_id, username, tenant_id) SELECT 5000000 + seq, {TENANT}, CONCAT('new-', seq), {TENANT} FROM seq_1_to_1000;"
    ));
    let planned = run(&["plan", "latest", "--tenant", TENANT]);
    println!("{}", planned.said);
    assert!(planned.said.contains("application_keys") && planned.said.contains("2 000"), "{}", planned.said);
    run(&["restore", "latest", "--tenant", TENANT, "--yes"]);
    assert_eq!(database.sql(&format!("SELECT COUNT(*) FROM application_keys WHERE tenant_id = {TENANT}")).trim(), "2000");
    run(&["undo", "--yes"]);
    if program != PROGRAM {
        assert!(planned.seconds < 30.0, "a plan took {:.1} s", planned.seconds);
    }
}
