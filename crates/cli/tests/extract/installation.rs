//! An installation with porta's tables and columns, in which the number of each row says whose it is: the master's are 1000 to 1999, the tenants' 2000 to 4999, and nobody's 9000 and more.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lab::{Mysql, MysqlKind, Postgres, Redis};
use tempfile::TempDir;

use crate::support::{program, text};

/// The master's account, and what comes before the numbers of its rows.
pub const MASTER: u64 = 1000;
pub const TENANTS: [u64; 3] = [2000, 3000, 4000];
/// What text columns may hold, with a NUL where the store takes it.
pub const ODD: &str = "tab\there\nand \\N, \\\\ 'quoted' \"twice\" é \u{1f600}\r\u{7f}";
const BINARY: &[u8] = b"\x00\xff\xfe\t\n\\";
const COLUMNS: &str = include_str!("../../../threescale/tests/porta-columns.tsv");

/// The kinds of system databases.
pub enum Database {
    Mysql(Mysql),
    Postgres(Postgres),
}

pub struct Installation {
    pub database: Database,
    pub redis: Redis,
    pub home: TempDir,
}

/// Names and types of the columns of a table.
pub fn columns(table: &str) -> Vec<(&'static str, &'static str)> {
    let line = COLUMNS.lines().find(|line| line.split('\t').next() == Some(table)).unwrap();
    line.split('\t').nth(1).unwrap().split(' ').map(|column| column.split_once(':').unwrap()).collect()
}

pub fn tables() -> Vec<&'static str> {
    COLUMNS.lines().skip(1).map(|line| line.split('\t').next().unwrap()).collect()
}

/// The column whose number says whose a row is.
pub fn number(table: &str) -> &'static str {
    if table == "features_plans" { "feature_id" } else { "id" }
}

/// `COLUMN=VALUE` of a line; a value in quotes may hold spaces.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted) = (vec![String::new()], false);
    for sign in line.chars() {
        is_quoted ^= sign == '\'';
        if sign == ' ' && !is_quoted { words.push(String::new()) } else { words.last_mut().unwrap().push(sign) }
    }
    words
}

impl Database {
    pub fn start(kind: Option<MysqlKind>) -> Self {
        kind.map_or_else(|| Self::Postgres(Postgres::start(&[]).unwrap()), |kind| Self::Mysql(Mysql::start(kind, &[]).unwrap()))
    }

    pub fn url(&self) -> String {
        match self {
            Self::Mysql(server) => server.url("system"),
            Self::Postgres(server) => server.url("system"),
        }
    }

    pub fn client(&self) -> Command {
        match self {
            Self::Mysql(server) => {
                let mut client = server.client();
                client.args(["--default-character-set=utf8mb4", "-N", "-B", "system"]);
                client
            }
            Self::Postgres(server) => {
                let mut client = server.client();
                client.args(["-d", "system", "-At", "-F", "\t"]);
                client
            }
        }
    }

    /// What the server's own client says to a script.
    pub fn sql(&self, script: &str) -> String {
        piped(self.client(), script)
    }

    pub fn make(&self) {
        match self {
            Self::Mysql(server) => piped(server.client(), "CREATE DATABASE `system` CHARACTER SET utf8mb4"),
            Self::Postgres(server) => piped(server.client(), "CREATE DATABASE system"),
        };
        let mut script = String::new();
        for table in tables() {
            let counts = |name: &str| matches!(self, Self::Postgres(_)) && name == "id" && table != "backend_events";
            let kind = |name: &str, kind: &str| if counts(name) { "bigserial" } else { self.type_of(kind) };
            let list: Vec<_> = columns(table).iter().map(|(name, of)| format!("{} {}", self.quoted(name), kind(name, of))).collect();
            let key = if table == "features_plans" { "plan_id, feature_id" } else { "id" };
            script.push_str(&format!("CREATE TABLE {} ({}, PRIMARY KEY ({key}));\n", self.quoted(table), list.join(", ")));
        }
        // What this program does not know, and what belongs to nobody.
        script.push_str("CREATE TABLE add_on (id bigint PRIMARY KEY, tenant_id bigint);\nINSERT INTO add_on VALUES (2001, 2000), (3001, 3000), (1001, NULL);\n");
        script.push_str("CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY);\nINSERT INTO schema_migrations VALUES ('20260101000000');\n");
        self.sql(&script);
    }

    fn quoted(&self, name: &str) -> String {
        if matches!(self, Self::Mysql(_)) { format!("`{name}`") } else { format!("\"{name}\"") }
    }

    fn type_of(&self, kind: &str) -> &'static str {
        let is_mysql = matches!(self, Self::Mysql(_));
        match kind {
            "bigint" => "bigint",
            "integer" => "int",
            "string" => "varchar(255)",
            "text" if is_mysql => "longtext",
            "text" => "text",
            "boolean" => "boolean",
            "datetime" if is_mysql => "datetime(6)",
            "datetime" => "timestamp",
            "date" => "date",
            "time" => "time",
            "decimal" => "decimal(20,4)",
            "binary" if is_mysql => "longblob",
            "binary" => "bytea",
            other => panic!("{other}"),
        }
    }

    /// A line of a file of rows as a statement.
    fn insert(&self, line: &str, base: u64, is_copy: bool, master_tenant: &str) -> String {
        let words = words(line);
        let (table, cells) = words.split_first().unwrap();
        let known = columns(table);
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for cell in cells {
            let (name, value) = cell.split_once('=').unwrap();
            let kind = known.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{table}.{name}")).1;
            // No two applications of a product share these (porta's rule).
            let is_of_one = name == "id" || table == "cinstances" && ["user_key", "application_id"].contains(&name);
            let shift = if is_copy && is_of_one { 500 } else { 0 };
            let mut value = self.value(value, base + shift, master_tenant);
            if is_copy && name == "tenant_id" {
                value = "NULL".to_owned();
            }
            if kind == "boolean" {
                value = value.replace('1', "TRUE").replace('0', "FALSE");
            }
            names.push(self.quoted(name));
            values.push(value);
        }
        format!("INSERT INTO {} ({}) VALUES ({});\n", self.quoted(table), names.join(", "), values.join(", "))
    }

    fn value(&self, value: &str, base: u64, master_tenant: &str) -> String {
        let is_master = base < 2000;
        match value {
            "T" => return if is_master { master_tenant.to_owned() } else { (base / 1000 * 1000).to_string() },
            "M" => return MASTER.to_string(),
            "MTENANT" => return master_tenant.to_owned(),
            "MASTER" => return if is_master { "1" } else { "NULL" }.to_owned(),
            "'ODD'" | "BIN" => {
                let bytes = if value == "BIN" { BINARY } else { ODD.as_bytes() };
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                return match (self, value) {
                    (Self::Mysql(_), "BIN") => format!("X'{hex}'"),
                    (Self::Mysql(_), _) => format!("CONVERT(X'{hex}' USING utf8mb4)"),
                    (Self::Postgres(_), "BIN") => format!("'\\x{hex}'::bytea"),
                    (Self::Postgres(_), _) => format!("convert_from('\\x{hex}', 'UTF8')"),
                };
            }
            _ => {}
        }
        let mut pieces = value.split('@');
        let mut said = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let digits = piece.chars().take_while(char::is_ascii_digit).count();
            let (offset, rest) = piece.split_at(digits);
            match offset.parse::<u64>() {
                Ok(offset) => said.push_str(&format!("{}{rest}", base + offset)),
                Err(_) => said.push_str(&format!("@{piece}")),
            }
        }
        said
    }

    /// The rows of all of them; `master_tenant`: what the master's rows have as `tenant_id`.
    fn fill(&self, master_tenant: &str) {
        let mut script = String::from("BEGIN;\n");
        for base in std::iter::once(MASTER).chain(TENANTS) {
            for line in include_str!("rows.txt").lines().filter(|line| !line.starts_with('#')) {
                let (line, is_once) = match (line.strip_prefix("1 "), line.strip_prefix("t ")) {
                    (_, Some(_)) if base == MASTER => continue,
                    (Some(rest), _) | (_, Some(rest)) => (rest, true),
                    _ => (line, false),
                };
                script.push_str(&self.insert(line, base, false, master_tenant));
                if !is_once {
                    script.push_str(&self.insert(line, base, true, master_tenant));
                }
            }
        }
        for line in include_str!("beside.txt").lines().filter(|line| !line.starts_with('#')) {
            script.push_str(&self.insert(line, 9000, false, master_tenant));
        }
        script.push_str("COMMIT;\n");
        self.sql(&script);
        self.guard();
    }

    /// porta's foreign keys, a unique key over all tenants, and triggers that spoil what they are not told to leave alone.
    fn guard(&self) {
        let mut script = "CREATE UNIQUE INDEX index_accounts_on_domain ON accounts (domain);\n".to_owned();
        for (table, column, other) in [
            ("api_docs_services", "service_id", "services"),
            ("payment_details", "account_id", "accounts"),
            ("policies", "account_id", "accounts"),
            ("provided_access_tokens", "user_id", "users"),
            ("proxy_configs", "proxy_id", "proxies"),
            ("proxy_configs", "user_id", "users"),
            ("sso_authorizations", "authentication_provider_id", "authentication_providers"),
            ("sso_authorizations", "user_id", "users"),
            ("user_sessions", "sso_authorization_id", "sso_authorizations"),
        ] {
            script.push_str(&format!(
                "ALTER TABLE {table} ADD CONSTRAINT fk_{table}_{column} FOREIGN KEY ({column}) REFERENCES {other} (id);\n"
            ));
        }
        if matches!(self, Self::Postgres(_)) {
            // Tables of the same names, with other columns, before and after those of 3scale.
            for schema in ["aside", "xtra"] {
                script.push_str(&format!(
                    "CREATE SCHEMA {schema};\nCREATE TABLE {schema}.accounts (tenant_id bigint, id bigint);\nINSERT INTO {schema}.accounts VALUES (2000, 2900), (3000, 3900);\n"
                ));
            }
        }
        for table in ["metrics", "invoices", "cinstances"] {
            script.push_str(&match self {
                Self::Mysql(_) => format!(
                    "CREATE TRIGGER {table}_tenant_id BEFORE INSERT ON {table} FOR EACH ROW SET NEW.tenant_id = IF(@disable_triggers IS NULL, 666, NEW.tenant_id);\n"
                ),
                Self::Postgres(_) => format!(
                    "CREATE FUNCTION tp_{table}() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'Could not find tenant_id'; END; $$ LANGUAGE plpgsql;\n\
                     CREATE TRIGGER {table}_tenant_id BEFORE INSERT ON {table} FOR EACH ROW EXECUTE PROCEDURE tp_{table}();\n"
                ),
            });
        }
        self.sql(&script);
    }

    /// Removes the rows of a tenant.
    pub fn delete(&self, tenant: u64) {
        let mut script = match self {
            Self::Mysql(_) => "SET foreign_key_checks = 0;\n",
            Self::Postgres(_) => "SET session_replication_role = replica;\n",
        }
        .to_owned();
        for table in tables() {
            script.push_str(&format!("DELETE FROM {table} WHERE {0} >= {tenant} AND {0} < {tenant} + 1000;\n", number(table)));
        }
        script.push_str(&format!("DELETE FROM add_on WHERE tenant_id = {tenant};\n"));
        self.sql(&script);
    }

    /// What the client says to a statement that the server refuses.
    pub fn fails(&self, statement: &str) -> String {
        let mut client = self.client();
        client.args([if matches!(self, Self::Mysql(_)) { "-e" } else { "-c" }, statement]);
        let output = client.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    }

    /// Every row of every table.
    pub fn all(&self) -> BTreeMap<&'static str, Vec<String>> {
        let script: String = tables().iter().map(|table| format!("SELECT 'table {table}';\n{}", self.select(table, "1 = 1"))).collect();
        let said = self.sql(&script);
        let mut all: BTreeMap<&'static str, Vec<String>> = tables().into_iter().map(|table| (table, Vec::new())).collect();
        let mut rows = None;
        for line in said.lines() {
            match line.strip_prefix("table ") {
                Some(table) => rows = all.get_mut(table),
                None => rows.as_mut().unwrap().push(line.to_owned()),
            }
        }
        all.values_mut().for_each(|rows| rows.sort());
        all
    }

    /// Loads what an archive has for the client, by the command of the manual; what the client says when it fails.
    pub fn load(&self, archive: &std::path::Path) -> Result<(), String> {
        let tar = Command::new("tar").arg("-xOf").arg(archive).arg("load").output().unwrap();
        assert!(tar.status.success(), "{}", text(&tar.stderr));
        let mut child = self.client().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A client that has failed reads no more.
            scope.spawn(move || drop(input.write_all(&tar.stdout)));
            let output = child.wait_with_output().unwrap();
            if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
        })
    }

    /// All rows of a table under a condition, each cell in hexadecimal digits (`-`: NULL), in order.
    pub fn rows(&self, table: &str, condition: &str) -> Vec<String> {
        let mut rows: Vec<_> = self.sql(&self.select(table, condition)).lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }

    fn select(&self, table: &str, condition: &str) -> String {
        let cell = |(name, kind): &(&str, &str)| {
            let name = self.quoted(name);
            match (self, *kind) {
                (Self::Mysql(_), _) => format!("IFNULL(LOWER(HEX(CAST({name} AS BINARY))), '-')"),
                (Self::Postgres(_), "boolean") => format!("COALESCE(encode(convert_to(left({name}::text, 1), 'UTF8'), 'hex'), '-')"),
                (Self::Postgres(_), _) => format!("COALESCE(encode(convert_to({name}::text, 'UTF8'), 'hex'), '-')"),
            }
        };
        let list: Vec<_> = columns(table).iter().map(cell).collect();
        format!("SELECT {} FROM {} WHERE {condition};\n", list.join(", "), self.quoted(table))
    }
}

/// Whose a row of [`Database::all`] is, by its number.
pub fn owner(table: &str, row: &str) -> u64 {
    let at = columns(table).iter().position(|(name, _)| *name == number(table)).unwrap();
    let digits = hex::decode(row.split('\t').nth(at).unwrap()).unwrap();
    String::from_utf8(digits).unwrap().parse::<u64>().unwrap() / 1000 * 1000
}

fn piped(mut client: Command, script: &str) -> String {
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    })
}

impl Installation {
    /// Filled, and with one set.
    pub fn start(kind: Option<MysqlKind>, master_tenant: &str) -> Self {
        let database = Database::start(kind);
        database.make();
        database.fill(master_tenant);
        let redis = Redis::start(&["--appendonly", "yes"]).unwrap();
        let home = tempfile::tempdir().unwrap();
        let installation = Self { database, redis, home };
        installation.keys();
        installation.files();
        std::fs::write(installation.path("key"), "a password\n").unwrap();
        let toml = format!(
            "[repository]\nurl = {:?}\npassword-file = {:?}\n\n[platform]\nkind = \"direct\"\n\n[system-database]\nurl = {:?}\n\n[system-storage]\npath = {:?}\n\n\
             [backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n",
            installation.path("repository"),
            installation.path("key"),
            installation.database.url(),
            installation.path("files"),
            installation.redis.url(0),
            installation.redis.url(1),
        );
        std::fs::write(installation.path("config.toml"), toml).unwrap();
        installation.ok(&["init"]);
        installation.ok(&["backup", "--warnings-are-fine"]);
        installation
    }

    /// Usage of every provider's product, of a product that is gone, and what is no usage.
    fn keys(&self) {
        let mut script = String::new();
        for base in std::iter::once(MASTER).chain(TENANTS).chain([9000]) {
            let service = base + 1;
            script.push_str(&format!(
                "SET stats/{{service:{service}}}/metric:{service}/eternity {base}\nSET stats/{{service:{service}}}/cinstance:app-{service}/metric:{service}/day:20260101 7\n\
                 SADD stats/{{service:{service}}}/cinstances \"app with\\ttab\" \"app-{service}\"\nRPUSH errors/service_id:{service} \"{{}}\"\n\
                 SET service/id:{service}/state active\nSET application/service_id:{service}/key:key-{service}/id app\n"
            ));
        }
        // A name that looks like another's key.
        script.push_str("SET stats/{service:3001}/cinstance:x/metric:1/stats/{service:2001}/metric:5/eternity 1\n");
        let mut client = self.redis.client();
        client.args(["-n", "0"]);
        piped(client, &script);
    }

    /// A logo and a PDF for every tenant but the last, whose files are gone; prefixes that two tenants share.
    fn files(&self) {
        for base in [MASTER, 2000, 3000] {
            for (path, content) in [
                (format!("shared/2026/01/02/logo {base}-5ec{}.png", base + 1), format!("file of {base}")),
                (format!("shared/invoices/{}/pdfs/original/invoice-{base}.pdf", base + 1), format!("invoice of {base}")),
                (format!("shared/{base}/profiles/logos/large/logo.png"), format!("logo of {base}")),
                (format!("shared/{base}/nobody.txt"), "of nobody".to_owned()),
            ] {
                let path = self.path("files").join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        // Zync and System's Redis are not what it is about. What becomes of Backend with the rows has a file of its own.
        command
            .env("THREESCALE_BACKUP_PARTIAL", "true")
            .env("THREESCALE_BACKUP_ROWS_ONLY", "true")
            .env("THREESCALE_BACKUP_NO_VERIFY", "true");
        command
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// Standard error of what is refused.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stderr)
    }
}
