//! `extract` and `restore --tenant`: every row, key and file has one owner, whatever the database; what is written is what the server's own client says.
#![expect(clippy::unwrap_used, reason = "tests")]

mod beside_rows;
mod history;
mod in_a_bucket;
mod installation;
mod opened;
mod restoring;
mod scale;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod undoing;
mod wanting;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use installation::{Installation, MASTER, TENANTS, owner};
use lab::MysqlKind;
use opened::Opened;
use serde_json::json;

const ALL: [&str; 2] = ["--with", "audits,deleted_objects,event_store_events,user_sessions"];

fn every_row_has_one_owner(kind: Option<MysqlKind>, master_tenant: &str) {
    let it = Installation::start(kind, master_tenant);
    let all = it.database.all();
    for tenant in TENANTS {
        let file = it.path(&format!("{tenant}.tar"));
        let said = it.ok(&[&["extract", "latest", "--tenant", &tenant.to_string(), "--to", file.to_str().unwrap()], &ALL[..]].concat());
        assert!(said.contains(&format!("tenant {tenant} (\"Org-{tenant}\")")), "{said}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let opened = Opened::of(&file);
        for (table, rows) in &all {
            let expected: Vec<_> = rows.iter().filter(|row| owner(table, row) == tenant).cloned().collect();
            let is_nobodys = ["backend_events", "countries", "partners", "system_operations"].contains(table);
            assert_eq!(expected.is_empty(), is_nobodys, "{table} says nothing");
            assert_eq!(opened.rows(table), expected, "{table} of {tenant}");
            assert_eq!(opened.manifest["tables"][table]["rows"].as_u64().unwrap_or(0), expected.len() as u64, "{table}");
        }
        assert_eq!(opened.tables().len(), 85 + usize::from(tenant != 4000));
        assert_eq!(opened.lines("rows/add_on").len(), usize::from(tenant != 4000));
        assert_eq!(opened.manifest["unknown"], json!(["add_on"]));
        assert_eq!(opened.manifest["left_out"], json!([]));
        keys_and_files(tenant, &opened);
    }
}

fn keys_and_files(tenant: u64, opened: &Opened) {
    let service = tenant + 1;
    let mut keys: Vec<_> = opened.lines("usage").into_iter().map(|line| (line["key"].as_str().unwrap().to_owned(), line)).collect();
    keys.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<_> = keys.iter().map(|(name, _)| name.as_str()).collect();
    let stats = format!("stats/{{service:{service}}}");
    let mut expected = vec![
        format!("errors/service_id:{service}"),
        format!("{stats}/cinstance:app-{service}/metric:{service}/day:20260101"),
        format!("{stats}/cinstances"),
        format!("{stats}/metric:{service}/eternity"),
    ];
    if tenant == 3000 {
        expected.push("stats/{service:3001}/cinstance:x/metric:1/stats/{service:2001}/metric:5/eternity".to_owned());
        expected.sort();
    }
    assert_eq!(names, expected);
    let of = |name: &str| &keys.iter().find(|(key, _)| key == name).unwrap().1;
    assert_eq!(of(&expected[expected.len() - 1])["value"], tenant.to_string());
    let mut members = of(&format!("{stats}/cinstances"))["value"].clone();
    members.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(members, json!(["app with\ttab", format!("app-{service}")]));
    let files = if tenant == 4000 {
        BTreeMap::new()
    } else {
        BTreeMap::from([
            (format!("files/shared/2026/01/02/logo {tenant}-5ec{service}.png"), format!("file of {tenant}")),
            (format!("files/shared/invoices/{service}/pdfs/original/invoice-{tenant}.pdf"), format!("invoice of {tenant}")),
            (format!("files/shared/{tenant}/profiles/logos/large/logo.png"), format!("logo of {tenant}")),
        ])
    };
    assert_eq!(opened.files(), files);
    // Of the second invoice, whose row names a PDF, there is none.
    assert_eq!(opened.manifest["files"]["missing"], if tenant == 4000 { 4 } else { 1 });
}

#[test]
fn every_row_of_mysql_has_one_owner() {
    every_row_has_one_owner(Some(MysqlKind::Mysql), "NULL");
}

#[test]
fn every_row_of_mariadb_has_one_owner() {
    every_row_has_one_owner(Some(MysqlKind::Mariadb), &MASTER.to_string());
}

#[test]
fn every_row_of_postgresql_has_one_owner() {
    every_row_has_one_owner(None, &MASTER.to_string());
}

/// The rows of one table go back by the server's own client; as comma-separated values they are what another program reads.
fn one_table_goes_back(it: &Installation) {
    const READ: &str = "import csv, sys; next(rows := csv.reader(open(sys.argv[1], newline='')))\n\
                        for row in rows: print(*(cell.encode().hex() or '-' for cell in row), sep='\\t')";
    for table in ["cms_templates", "notification_preferences", "metrics"] {
        let before = it.database.rows(table, "1 = 1");
        assert!(before.len() > 2);
        let [sql, csv] = ["sql", "csv"].map(|format| it.path(&format!("{table}.{format}")));
        let export = ["export", "latest", "system-database", "--table", table, "--to"];
        it.ok(&[&export[..], &[sql.to_str().unwrap()]].concat());
        assert_eq!(std::fs::metadata(&sql).unwrap().permissions().mode() & 0o7777, 0o600);
        it.database.sql(&format!("DELETE FROM {table};"));
        assert_eq!(it.database.rows(table, "1 = 1").len(), 0);
        let loaded = it.database.client().stdin(std::fs::File::open(&sql).unwrap()).output().unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        assert_eq!(it.database.rows(table, "1 = 1"), before, "{table}");
        let said = it.ok(&[&export[..], &[csv.to_str().unwrap(), "--format", "csv"]].concat());
        assert!(said.contains(&format!("wrote {} rows of {table}", before.len())), "{said}");
        let read = std::process::Command::new("python3").args(["-c", READ]).arg(&csv).output().unwrap();
        let mut read: Vec<_> = String::from_utf8_lossy(&read.stdout).lines().map(str::to_owned).collect();
        read.sort();
        // Bytes that are no text stand there by their digits.
        assert!(read == before || table == "notification_preferences" && read.len() == before.len(), "{table}: {read:?}");
    }
    let nowhere = it.path("none.sql");
    let said = it.refused(&["export", "latest", "system-database", "--table", "cms_template", "--to", nowhere.to_str().unwrap()]);
    assert!(said.contains("has no table cms_template") && said.contains("It has cms_templates"), "{said}");
    let said = it.refused(&["export", "latest", "backend-redis", "--table", "users", "--to", nowhere.to_str().unwrap()]);
    assert!(said.contains("backend-redis has no tables"), "{said}");
    let left: Vec<_> = std::fs::read_dir(it.home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("not-complete") || name == "none.sql"), "{left:?}");
}

/// A tenant that is deleted comes back by the server's own client, byte for byte; where it cannot, nothing is changed.
fn a_deleted_tenant_goes_back(kind: Option<MysqlKind>) {
    let it = Installation::start(kind, "NULL");
    let file = it.path("a.tar");
    let to = file.to_str().unwrap();
    it.ok(&[&["extract", "latest", "--tenant", "2000", "--to", to, "--sql", "--tables-only"], &ALL[..]].concat());
    one_table_goes_back(&it);
    let before = it.database.all();
    it.database.delete(2000);
    let without = it.database.all();
    assert_ne!(before["metrics"], without["metrics"]);
    // Another tenant has its domain since: the last table that could tell is not the first that is loaded.
    it.database.sql("UPDATE accounts SET domain = 'dev-2000.example.com' WHERE id = 3000");
    let taken = it.database.all();
    let said = it.database.load(&file).unwrap_err();
    assert!(said.contains("index_accounts_on_domain"), "{said}");
    assert_eq!(it.database.all(), taken, "nothing is changed");
    it.database.sql("UPDATE accounts SET domain = 'dev-3000.example.com' WHERE id = 3000");
    // A number of it was given to another since.
    it.database.sql("INSERT INTO web_hooks (id, account_id, tenant_id) VALUES (2001, 3000, 3000)");
    let said = it.database.load(&file).unwrap_err();
    assert!(said.contains("2001"), "{said}");
    it.database.sql("DELETE FROM web_hooks WHERE id = 2001");
    assert_eq!(it.database.all(), without, "nothing is changed");
    if kind.is_none() {
        it.database.sql("SELECT setval('users_id_seq', 50000), setval('services_id_seq', 1)");
        // Triggers that somebody has put off, or that are at work for replicas too.
        for (table, how) in [("services", "DISABLE"), ("features", "ENABLE ALWAYS")] {
            it.database.sql(&format!(
                "CREATE TRIGGER \"a {table}\" BEFORE INSERT ON {table} FOR EACH ROW EXECUTE PROCEDURE tp_metrics(); ALTER TABLE {table} {how} TRIGGER \"a {table}\""
            ));
        }
    }
    it.database.load(&file).unwrap();
    assert_eq!(it.database.all(), before);
    if kind.is_none() {
        // Numbers go on behind those of the rows, and no counter goes back.
        let next = it.database.sql("SELECT nextval('users_id_seq') > 50000, nextval('services_id_seq') > (SELECT MAX(id) FROM services);");
        assert_eq!(next.trim(), "t\tt");
        let how = it.database.sql("SELECT tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgname IN ('a services', 'a features', 'metrics_tenant_id') ORDER BY tgname;");
        assert_eq!(how.split_whitespace().collect::<Vec<_>>(), ["A", "D", "O"], "triggers are as before");
    }
    let add_on = it.database.sql("SELECT COUNT(*) FROM add_on;");
    assert_eq!(add_on.trim(), "3");
    it.database.load(&file).unwrap_err();
    assert_eq!(it.database.all(), before, "a second load changes nothing");
    // The triggers are at work as before.
    let insert = "INSERT INTO metrics (id, tenant_id) VALUES (99999, 1)";
    match kind {
        Some(_) => assert_eq!(it.database.sql(&format!("{insert}; SELECT tenant_id FROM metrics WHERE id = 99999")).trim(), "666"),
        None => assert!(it.database.fails(insert).contains("Could not find tenant_id")),
    }
}

#[test]
fn a_deleted_tenant_goes_back_into_mysql() {
    a_deleted_tenant_goes_back(Some(MysqlKind::Mysql));
}

#[test]
fn a_deleted_tenant_goes_back_into_mariadb() {
    a_deleted_tenant_goes_back(Some(MysqlKind::Mariadb));
}

#[test]
fn a_deleted_tenant_goes_back_into_postgresql() {
    a_deleted_tenant_goes_back(None);
}

#[test]
fn which_tenant_is_meant_and_what_is_told() {
    let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
    it.database.sql(
        "INSERT INTO accounts (id, provider, org_name, self_domain, tenant_id) VALUES (4800, 1, 'Org-4000', 'other.example.com', 4800)",
    );
    // The number of one is the name of another; and whoever may make a table chooses no path.
    it.database.sql(
        "INSERT INTO accounts (id, provider, org_name, self_domain, tenant_id) VALUES (4900, 1, '4800', 'named.example.com', 4900);
         CREATE TABLE `../../up/..` (id bigint PRIMARY KEY, tenant_id bigint); INSERT INTO `../../up/..` VALUES (1, 2000);",
    );
    it.ok(&["backup", "--warnings-are-fine"]);
    let file = it.path("a.tar");
    let to = file.to_str().unwrap();
    let refused = |tenant: &str| it.refused(&["extract", "latest", "--tenant", tenant, "--to", to]);
    let said = refused("nobody");
    assert!(said.contains("no tenant \"nobody\"") && said.contains("2000 (\"Org-2000\", admin-2000.example.com)"), "{said}");
    let said = refused("Org-4000");
    assert!(said.contains("2 tenants are called \"Org-4000\"") && said.contains("4800 ("), "{said}");
    let said = refused("4800");
    assert!(said.contains("2 tenants are called \"4800\"") && said.contains("4900 (") && said.contains("a domain of the one"), "{said}");
    assert!(refused("1000").contains("is the master"));
    assert!(refused("admin-1000.example.com").contains("is the master"));
    let said = refused("2001");
    assert!(said.contains("a developer's, of tenant 2000") && said.contains("--tenant 2000"), "{said}");
    let said = it.refused(&["extract", "latest", "--tenant", "2000", "--to", to, "--with", "users"]);
    assert!(said.contains("--with users") && said.contains("audits, deleted_objects, event_store_events, user_sessions"), "{said}");
    assert!(!file.exists());
    // By a domain, in any case. What is left out is said; rows that contradict are too.
    let said = it.ok(&["extract", "latest", "--tenant", "ADMIN-2000.example.com", "--to", to, "--tables-only"]);
    assert!(said.contains("left out: audits, deleted_objects, event_store_events, user_sessions; --with audits,"), "{said}");
    assert!(said.contains("1 by tenant_id alone") && said.contains("1 more refer to rows of it"), "{said}");
    let listed = std::process::Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("rows/..%2F..%2Fup%2F../00000001.jsonl\n") && !listed.contains("/../"), "{listed}");
    let opened = Opened::of(&file);
    assert!(!opened.tables().contains(&"audits".to_owned()) && opened.lines("usage").is_empty() && opened.files().is_empty());
    assert_eq!((&opened.manifest["usage"], &opened.manifest["files"]), (&json!(null), &json!(null)));
    // Nothing is overwritten, and nothing is left behind.
    let before = std::fs::read(&file).unwrap();
    let said = it.refused(&["extract", "latest", "--tenant", "2000", "--to", to]);
    assert!(said.contains("is there"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(it.home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with(".extract")), "{names:?}");
}

/// Tables and columns that lead from a row to its product, written by hand.
const OF_A_PRODUCT: [(&str, &str); 30] = [
    ("services", "id = 2001"),
    ("proxies", "id IN (2001, 2501)"),
    ("metrics", "id IN (2001, 2501)"),
    ("backend_api_configs", "id IN (2001, 2501)"),
    ("plans", "id IN (2001, 2501, 2003, 2503)"),
    ("cinstances", "id IN (2001, 2501, 2002, 2502)"),
    ("application_keys", "id IN (2001, 2501)"),
    ("referrer_filters", "id IN (2001, 2501)"),
    ("alerts", "id IN (2001, 2501)"),
    ("annotations", "id IN (2001, 2501)"),
    ("api_docs_services", "id IN (2001, 2501)"),
    ("configuration_values", "id IN (2001, 2501)"),
    ("features", "id IN (2001, 2501)"),
    ("features_plans", "feature_id = 2001"),
    ("gateway_configurations", "id = 2001"),
    ("oidc_configurations", "id IN (2001, 2501)"),
    ("plan_metrics", "id IN (2001, 2501)"),
    ("pricing_rules", "id IN (2001, 2501)"),
    ("proxy_config_affecting_changes", "id IN (2001, 2501)"),
    ("proxy_configs", "id IN (2001, 2501)"),
    ("proxy_rules", "id IN (2001, 2501, 2003, 2503)"),
    ("service_cubert_infos", "id IN (2001, 2501)"),
    ("service_tokens", "id IN (2001, 2501)"),
    ("slugs", "id IN (2002, 2502)"),
    ("usage_limits", "id IN (2001, 2501, 2002, 2502)"),
    ("accounts", "1 = 0"),
    ("backend_apis", "1 = 0"),
    ("invoices", "1 = 0"),
    ("users", "1 = 0"),
    ("cms_files", "1 = 0"),
];

#[test]
fn a_product_alone_is_extracted() {
    let it = Installation::start(None, "NULL");
    let file = it.path("a.tar");
    let to = file.to_str().unwrap().to_owned();
    let extract = |more: &[&'static str]| [&["extract", "latest", "--to", &to], more].concat();
    it.ok(&extract(&["--service", "2001"]));
    let opened = Opened::of(&file);
    for (table, condition) in OF_A_PRODUCT {
        assert_eq!(opened.rows(table), it.database.rows(table, condition), "{table}");
    }
    for table in opened.tables() {
        assert!(OF_A_PRODUCT.iter().any(|(known, _)| *known == table), "{table}");
    }
    assert_eq!(opened.lines("usage").len(), 4);
    assert_eq!((&opened.manifest["product"]["id"], &opened.manifest["tenant"]["id"]), (&json!(2001), &json!(2000)));
    std::fs::remove_file(&file).unwrap();
    it.ok(&extract(&["--tenant", "3000", "--service", "only", "--tables-only"]));
    assert_eq!(Opened::of(&file).manifest["product"]["id"], 3004);
    std::fs::remove_file(&file).unwrap();
    let said = it.refused(&extract(&["--tenant", "3000", "--service", "2001"]));
    assert!(said.contains("no product \"2001\" of tenant 3000") && said.contains("3001 (\"api-3001\")"), "{said}");
    let said = it.refused(&extract(&["--service", "api"]));
    assert!(said.contains("products are called \"api\"") && said.contains("2002 of tenant 2000"), "{said}");
    let said = it.refused(&extract(&["--service", "1001"]));
    assert!(said.contains("the master"), "{said}");
    let said = it.refused(&extract(&["--service", "2001", "--with", "audits"]));
    assert!(said.contains("Those are deleted_objects."), "{said}");
    let said = it.refused(&extract(&[]));
    assert!(said.contains("--tenant"), "{said}");
}
