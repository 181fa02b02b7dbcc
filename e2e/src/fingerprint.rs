//! What is in an installation, by the databases' own clients in its pods: one line a thing, compared whole.
//!
//! What the stand-ins write by themselves (heartbeats, traffic counters, the queues that they push to) is left out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Installation;

/// Name of a thing → what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// Prints `key <tab> type <tab> whether it expires <tab> digest` of each key; sets and hashes have no order, so they are sorted.
const KEYS: &str = r#"
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key)['ok'], nil
  if kind == 'string' then value = {redis.call('GET', key)}
  elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then value = redis.call('SMEMBERS', key); table.sort(value)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then
    local all = redis.call('HGETALL', key); value = {}
    for i = 1, #all, 2 do value[#value + 1] = #all[i] .. ':' .. all[i] .. all[i + 1] end
    table.sort(value)
  end
  local text = ''
  for _, v in ipairs(value or {}) do text = text .. #v .. ':' .. v end
  local ttl = redis.call('TTL', key)
  out[#out + 1] = key .. '\t' .. kind .. '\t' .. (ttl < 0 and 'stays' or ttl < 7200 and 'soon' or 'expires') .. '\t' .. redis.sha1hex(text)
end
return out"#;

const PROGRAMS: &str = "SELECT 'routine', routine_name, SHA2(CONCAT_WS('|', routine_type, routine_definition, definer, sql_mode, character_set_client,
  collation_connection), 256) FROM information_schema.routines WHERE routine_schema = 'system';
SELECT 'trigger', trigger_name, SHA2(CONCAT_WS('|', event_object_table, event_manipulation, action_timing, action_order, action_statement, definer, sql_mode,
  character_set_client, collation_connection), 256) FROM information_schema.triggers WHERE trigger_schema = 'system';
SELECT 'view', table_name, SHA2(CONCAT_WS('|', view_definition, definer, security_type), 256) FROM information_schema.views WHERE table_schema = 'system';
SELECT 'event', event_name, SHA2(CONCAT_WS('|', event_definition, status, interval_value), 256) FROM information_schema.events WHERE event_schema = 'system';
SELECT 'schema', schema_name, CONCAT(default_character_set_name, default_collation_name) FROM information_schema.schemata WHERE schema_name = 'system';";

impl Fingerprint {
    /// Of the data, the objects left out.
    #[must_use]
    pub fn of_data(installation: &Installation) -> Self {
        let mut all = BTreeMap::new();
        if installation.is_on_postgres() {
            postgres(
                "system-database",
                ("system-postgresql", "system", "system"),
                |sql| installation.system_psql(sql),
                installation,
                &mut all,
            );
        } else {
            system_database(installation, &mut all);
        }
        postgres("zync-database", ("zync-database", "zync", "zync_production"), |sql| installation.psql(sql), installation, &mut all);
        redis(installation, "backend-redis", &[0, 1], &mut all);
        redis(installation, "system-redis", &[1], &mut all);
        if installation.has_bucket() {
            bucket(installation, &mut all);
        } else {
            files(installation, &mut all);
        }
        Self(all)
    }

    /// Of everything.
    #[must_use]
    pub fn of(installation: &Installation) -> Self {
        let mut all = Self::of_data(installation);
        objects(installation, &mut all.0);
        assert!(all.0.len() > 100, "a fingerprint of {} things proves little", all.0.len());
        all
    }

    /// Without the job queues and what belongs to running jobs, which a restore leaves out.
    #[must_use]
    pub fn without_queues(&self) -> Self {
        Self(self.0.iter().filter(|(name, _)| !is_queue(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The job queues in it.
    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        self.0.keys().filter(|name| is_queue(name)).cloned().collect()
    }

    /// Without what begins with one of these.
    #[must_use]
    pub fn without(&self, beginnings: &[&str]) -> Self {
        let is_kept = |name: &str| !beginnings.iter().any(|beginning| name.starts_with(beginning));
        Self(self.0.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Only what begins with one of these.
    #[must_use]
    pub fn only(&self, beginnings: &[&str]) -> Self {
        let is_wanted = |name: &str| beginnings.iter().any(|beginning| name.starts_with(beginning));
        Self(self.0.iter().filter(|(name, _)| is_wanted(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

fn is_queue(name: &str) -> bool {
    let dropped = [
        "system-redis/1/queue:",
        "system-redis/1/schedule",
        "system-redis/1/retry",
        "system-redis/1/BID-",
        "backend-redis/1/resque:queue:",
        "backend-redis/1/resque:failed",
    ];
    dropped.iter().any(|beginning| name.starts_with(beginning))
}

fn system_database(installation: &Installation, all: &mut BTreeMap<String, String>) {
    let tables =
        installation.mysql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'system' AND table_type = 'BASE TABLE'");
    let mut sql = PROGRAMS.to_owned();
    for table in tables.lines() {
        sql.push_str(&format!("SHOW CREATE TABLE `{table}`;"));
        if table != "heartbeats" {
            sql.push_str(&format!("CHECKSUM TABLE `{table}` EXTENDED; SELECT 'count', '{table}', COUNT(*) FROM `{table}`;"));
        }
    }
    for line in installation.mysql(&sql).lines() {
        let (name, value) = line.rsplit_once('\t').unwrap();
        all.insert(format!("system-database/{}", name.replace('\t', " ")), plain_definition(value));
    }
}

/// `SHOW CREATE TABLE` without the next id, which may well be higher, and without character sets that the collation behind them says again: whether the
/// server writes them depends on how the table was made, not on what it is.
fn plain_definition(text: &str) -> String {
    let mut plain = match text.split_once(" AUTO_INCREMENT=") {
        Some((before, rest)) => format!("{before}{}", rest.trim_start_matches(|letter: char| letter.is_ascii_digit())),
        None => text.to_owned(),
    };
    for name in ["utf8mb3", "utf8mb4", "latin1", "ascii"] {
        plain = plain.replace(&format!(" CHARACTER SET {name} COLLATE"), " COLLATE");
    }
    plain
}

fn postgres(
    data_set: &str,
    (workload, user, database): (&str, &str, &str),
    psql: impl Fn(&str) -> String,
    installation: &Installation,
    all: &mut BTreeMap<String, String>,
) {
    let tables = psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'heartbeats' ORDER BY 1");
    let mut sql = format!(
        "SELECT 'database|' || pg_get_userbyid(datdba) || '|' || pg_encoding_to_char(encoding) || '|' || datcollate || '|' ||
      coalesce(datacl::text, '') FROM pg_database WHERE datname = '{database}';"
    );
    let sequences =
        psql("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename NOT LIKE 'heartbeats%' ORDER BY 1");
    for sequence in sequences.lines() {
        // What it gives next.
        sql.push_str(&format!("SELECT 'sequence {sequence}|' || last_value + is_called::int FROM public.{sequence};"));
    }
    for table in tables.lines() {
        sql.push_str(&format!(
            "SELECT 'table {table}|' || count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM public.{table} t;"
        ));
    }
    for line in psql(&sql).lines() {
        let (name, value) = line.split_once('|').unwrap();
        all.insert(format!("{data_set}/{name}"), value.to_owned());
    }
    // The definitions, by the server's own tool; its comments, its key of the day, and what a restore in place keeps beside aside.
    let script = format!("pg_dump -s -N '*__before_*' -h 127.0.0.1 -U {user} {database} | grep -vE '^(--|\\\\(un)?restrict)' | sha256sum");
    let schema = installation.exec(workload, None, &["bash", "-c", &script], b"");
    all.insert(format!("{data_set}/schema"), String::from_utf8_lossy(&schema).trim().to_owned());
}

fn redis(installation: &Installation, workload: &str, databases: &[u32], all: &mut BTreeMap<String, String>) {
    for database in databases {
        for line in installation.redis(workload, *database, &["EVAL", KEYS, "0"]).lines() {
            let Some((key, value)) = line.split_once('\t') else { continue };
            let name = format!("{workload}/{database}/{key}");
            if !is_written_all_the_time(&name) && !value.contains("\tsoon\t") {
                all.insert(name, value.to_owned());
            }
        }
    }
}

fn is_written_all_the_time(name: &str) -> bool {
    let beginnings = [
        "backend-redis/0/stats/{service:2}/metric:1/",
        "backend-redis/0/liveness-probe",
        "backend-redis/1/resque:queue:priority",
        "backend-redis/1/resque:queues",
        "backend-redis/1/resque:stat:processed",
        "system-redis/1/queue:default",
        "system-redis/1/queues",
        "system-redis/1/processes",
        "system-redis/1/stat:processed",
        "system-redis/1/system-sidekiq-",
        // A restore holds the clock there.
        "system-redis/1/cron_job:billing_jobs:enqueued",
        "system-redis/1/cron_job:daily_jobs:enqueued",
        "system-redis/1/cron_job:weekly_jobs:enqueued",
    ];
    beginnings.iter().any(|beginning| name.starts_with(beginning))
}

fn files(installation: &Installation, all: &mut BTreeMap<String, String>) {
    let prune = "-mindepth 1 -name '.threescale-backup*' -prune -o -name .rake-log -prune -o";
    let script = format!(
        r"find . {prune} -type d -printf '%p|d %m\n' -o -type l -printf '%p|l %l\n' -o -printf '%p|f %m %s\n' && find . {prune} -type f -print0 | xargs -0r sha256sum"
    );
    for line in installation.files(&script).lines() {
        match line.split_once('|') {
            Some((path, value)) => all.insert(format!("system-storage/{path}"), value.to_owned()),
            None => {
                line.split_once("  ").and_then(|(digest, path)| all.insert(format!("system-storage/{path} content"), digest.to_owned()))
            }
        };
    }
}

/// Contents are told as those of [`files`] are.
fn bucket(installation: &Installation, all: &mut BTreeMap<String, String>) {
    let script = "
for key in keys:
    if key != '.rake-log' and not key.startswith('.threescale-backup/'):
        one = s3.get_object(Key=key, **bucket)
        print(key, one['ContentType'], one['Metadata'], hashlib.sha256(one['Body'].read()).hexdigest(), sep='|')";
    for line in installation.bucket(script).lines() {
        let (rest, digest) = line.rsplit_once('|').unwrap();
        let (key, kind) = rest.split_once('|').unwrap();
        all.insert(format!("system-storage/./{key}"), kind.to_owned());
        all.insert(format!("system-storage/./{key} content"), digest.to_owned());
    }
}

fn objects(installation: &Installation, all: &mut BTreeMap<String, String>) {
    for item in installation.kubectl.items(&["secrets,configmaps"]) {
        let name = item["metadata"]["name"].as_str().unwrap();
        let is_clusters_own =
            item["type"] == "kubernetes.io/service-account-token" || name.ends_with("root-ca.crt") || name.starts_with("threescale-backup");
        if !is_clusters_own {
            let value = Value::from(vec![item["data"].clone(), item["type"].clone(), item["metadata"]["labels"].clone()]);
            all.insert(format!("object/{}/{name}", item["kind"].as_str().unwrap()), value.to_string());
        }
    }
    for item in installation.kubectl.items(&["apimanagers"]) {
        all.insert(format!("object/APIManager/{}", item["metadata"]["name"].as_str().unwrap()), item["spec"].to_string());
    }
}

/// Compares two, naming what differs; the contents of objects are not shown.
///
/// # Panics
/// When they differ.
pub fn assert_equal(found: &Fingerprint, wanted: &Fingerprint, when: &str) {
    let differences = differences(found, wanted);
    assert!(differences.is_empty(), "{when}, {} things differ:\n{}", differences.len(), differences.join("\n"));
}

/// That a destruction was one: each of these stores differs.
///
/// # Panics
/// When one does not.
pub fn assert_sees_destruction(found: &Fingerprint, before: &Fingerprint, stores: &[&str]) {
    let differences = differences(found, before);
    for store in stores {
        assert!(differences.iter().any(|line| line.starts_with(store)), "{store} is not destroyed");
    }
}

fn differences(found: &Fingerprint, wanted: &Fingerprint) -> Vec<String> {
    let names: BTreeSet<_> = found.0.keys().chain(wanted.0.keys()).collect();
    let show = |value: Option<&String>, name: &str| match value {
        None => "nothing".to_owned(),
        Some(_) if name.starts_with("object/") => "something else".to_owned(),
        Some(value) => value.clone(),
    };
    // What a sequence gives next may be higher than it was: a restore gives no id twice.
    let number = |value: Option<&String>| value.and_then(|text| text.parse::<i64>().ok());
    let goes_on = |name: &str| {
        name.contains("sequence ")
            && number(found.0.get(name)).zip(number(wanted.0.get(name))).is_some_and(|(found, wanted)| found >= wanted)
    };
    let differs = |name: &&&String| found.0.get(**name) != wanted.0.get(**name) && !goes_on(name);
    let line = |name: &String| format!("{name}: {} instead of {}", show(found.0.get(name), name), show(wanted.0.get(name), name));
    names.iter().filter(differs).map(|name| line(name)).collect()
}
