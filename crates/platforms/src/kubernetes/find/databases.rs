//! Where the databases and the Redis servers are, from the Secrets that 3scale's own pods are given.

use plan::ports::{Problem, Severity};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::Sought;
use super::address::{Address, Reach};
use super::secrets::Secrets;

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// MySQL or MariaDB.
    MySql,
    /// PostgreSQL.
    PostgreSql,
}

/// A database, as 3scale logs in to it.
#[derive(Debug, Clone)]
pub struct DatabaseAt {
    /// Its kind.
    pub kind: DatabaseKind,
    /// How it is reached.
    pub reach: Reach,
    /// Its user; of the internal MySQL it is root.
    pub user: String,
    /// The user's password.
    pub password: Option<SecretString>,
    /// Its name.
    pub database: String,
    /// Whether and how far TLS is asked for (`DATABASE_SSL_MODE`, `sslmode`): `disable`, `require`, `verify-ca`, `verify-full`, or MySQL's words for them.
    pub tls_mode: Option<String>,
    /// Names of all parameters of the URL: who connects refuses those that he would have to know.
    pub parameters: Vec<String>,
    /// Certificates of the connection, as PEM, from the Secret.
    pub certificates: Certificates,
    /// The superuser's password of the internal PostgreSQL, when its pod is given one (`POSTGRESQL_ADMIN_PASSWORD`; the user is `postgres`).
    pub admin_password: Option<SecretString>,
    /// Where this comes from, for people: `Secret system-database, key URL`.
    pub origin: String,
}

/// Certificates of a connection, as PEM.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// Whom to trust.
    pub ca: Option<SecretString>,
    /// Ours.
    pub certificate: Option<SecretString>,
    /// Ours.
    pub key: Option<SecretString>,
}

/// A Redis server, as 3scale logs in to it.
#[derive(Debug, Clone)]
pub struct RedisAt {
    /// The host of its URL; with sentinels the name of the group.
    pub host: String,
    /// How it is reached; with sentinels they say where it is, and this means nothing.
    pub reach: Reach,
    /// Its user, of an ACL.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The logical database.
    pub database: u32,
    /// Whether it and its sentinels are spoken to by TLS: by the address, by the sentinels' (`rediss://`), or by the APIManager's flag.
    pub is_tls: bool,
    /// Names of all parameters of the URL, as of a database.
    pub parameters: Vec<String>,
    /// Certificates of the connection, as PEM, from the Secret.
    pub certificates: Certificates,
    /// Sentinels that know which server is the master.
    pub sentinels: Option<Sentinels>,
    /// `NAMESPACE` of the Secret (2.14 and before): keys begin with it.
    pub key_prefix: Option<String>,
    /// Where this comes from, for people.
    pub origin: String,
}

/// Sentinels of a group, as the Secret has them.
#[derive(Debug, Clone)]
pub struct Sentinels {
    /// `SENTINEL_HOSTS`: a list of addresses, with logins in it or without.
    pub hosts: SecretString,
    /// `master` mostly.
    pub role: String,
    /// Their user, where the list has none.
    pub user: Option<SecretString>,
    /// Their password, where the list has none.
    pub password: Option<SecretString>,
}

impl RedisAt {
    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.sentinels {
            Some(_) => format!("{}, by its sentinels", self.host),
            None => self.reach.to_string(),
        }
    }
}

/// Redis of Backend: two logical databases, of one server mostly.
#[derive(Debug, Clone)]
pub struct BackendRedisAt {
    /// Configuration and counters.
    pub storage: RedisAt,
    /// Jobs.
    pub queues: RedisAt,
}

/// How the keys of Redis' Secrets are called.
struct RedisKeys {
    url: &'static str,
    sentinels: &'static str,
    /// Of the logins at the sentinels: System's are called otherwise than the list of them (porta, `lib/three_scale/redis_config.rb`).
    sentinel_logins: &'static str,
    tls: &'static str,
    /// The APIManager's flag.
    flag: bool,
}

/// The flags of an APIManager for TLS, since 2.16. With sentinels they are the only ones that the operator looks at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TlsFlags {
    system_database: bool,
    zync_database: bool,
    system_redis: bool,
    backend_redis: bool,
    queues_redis: bool,
}

impl TlsFlags {
    pub(super) fn of(api_manager: &Value) -> Self {
        let is_set = |part: &str, flag: &str| api_manager["spec"][part][flag] == true;
        Self {
            system_database: is_set("system", "systemDatabaseTLSEnabled"),
            zync_database: is_set("zync", "zyncDatabaseTLSEnabled"),
            system_redis: is_set("system", "systemRedisTLSEnabled"),
            backend_redis: is_set("backend", "backendRedisTLSEnabled"),
            queues_redis: is_set("backend", "queuesRedisTLSEnabled"),
        }
    }
}

pub(super) fn system(secrets: &Secrets<'_>, flags: TlsFlags) -> Sought<DatabaseAt> {
    database(secrets, "system-database", "URL", flags.system_database)
}

pub(super) fn zync(secrets: &Secrets<'_>, flags: TlsFlags, objects: &[Value]) -> Sought<DatabaseAt> {
    let mut found = database(secrets, "zync", "DATABASE_URL", flags.zync_database)?;
    if let Reach::Service { name, .. } = &found.reach {
        let workload = objects.iter().find(|object| object["metadata"]["name"] == name.as_str());
        found.admin_password = workload.and_then(|object| environment(object, "POSTGRESQL_ADMIN_PASSWORD")).map(Into::into);
    }
    Ok(found)
}

pub(super) fn backend_redis(secrets: &Secrets<'_>, flags: TlsFlags) -> Sought<BackendRedisAt> {
    let redis =
        |url, sentinels, tls, flag| redis(secrets, "backend-redis", &RedisKeys { url, sentinels, sentinel_logins: sentinels, tls, flag });
    Ok(BackendRedisAt {
        storage: redis("REDIS_STORAGE_URL", "REDIS_STORAGE_SENTINEL", "REDIS_SSL", flags.backend_redis)?,
        queues: redis("REDIS_QUEUES_URL", "REDIS_QUEUES_SENTINEL", "REDIS_SSL_QUEUES", flags.queues_redis)?,
    })
}

pub(super) fn system_redis(secrets: &Secrets<'_>, flags: TlsFlags) -> Sought<RedisAt> {
    let (tls, flag) = ("REDIS_SSL", flags.system_redis);
    redis(secrets, "system-redis", &RedisKeys { url: "URL", sentinels: "SENTINEL", sentinel_logins: "REDIS_SENTINEL", tls, flag })
}

fn database(secrets: &Secrets<'_>, secret: &str, key: &str, flag: bool) -> Sought<DatabaseAt> {
    let value = |key| secrets.value(secret, key);
    let origin = format!("Secret {secret}, key {key}");
    let address = address(secrets, secret, key)?;
    let (kind, port) = match address.scheme.as_str() {
        "mysql" | "mysql2" => (DatabaseKind::MySql, 3306),
        "postgres" | "postgresql" => (DatabaseKind::PostgreSql, 5432),
        other => {
            let what = if other.contains("oracle") { "an Oracle database" } else { "a database of an unknown kind" };
            return Err(Problem::new(Severity::Blocks, format!("{origin} names {what}"))
                .way_out("MySQL, MariaDB and PostgreSQL are backed up. Back this one up with its own tools, and leave the data set out."));
        }
    };
    if address.path.is_empty() {
        return Err(Problem::new(Severity::Blocks, format!("{origin} names no database")));
    }
    let in_url = || address.query.iter().find(|(name, _)| name == "sslmode" || name == "ssl_mode").map(|(_, value)| value.clone());
    let mode = value("DATABASE_SSL_MODE")?.map(|mode| mode.expose_secret().to_owned()).or_else(in_url);
    Ok(DatabaseAt {
        kind,
        // The flag alone: encrypted, and verified by the CA where there is one.
        tls_mode: mode.or_else(|| flag.then(|| "require".to_owned())),
        parameters: address.parameters(),
        certificates: Certificates { ca: value("DB_SSL_CA")?, certificate: value("DB_SSL_CERT")?, key: value("DB_SSL_KEY")? },
        reach: secrets.reach(&address.host, address.port.unwrap_or(port)),
        user: address.user.unwrap_or_default(),
        password: address.password,
        database: address.path,
        admin_password: None,
        origin,
    })
}

fn redis(secrets: &Secrets<'_>, secret: &str, keys: &RedisKeys) -> Sought<RedisAt> {
    let origin = format!("Secret {secret}, key {}", keys.url);
    let address = address(secrets, secret, keys.url)?;
    let sentinels = sentinels(secrets, secret, keys)?;
    let is_rediss = match address.scheme.as_str() {
        "redis" => false,
        "rediss" => true,
        _ => return Err(Problem::new(Severity::Blocks, format!("{origin} is no address of Redis"))),
    };
    let database = if address.path.is_empty() { Some(0) } else { address.path.parse().ok() };
    let database = database.ok_or_else(|| Problem::new(Severity::Blocks, format!("{origin} names no logical database by its number")))?;
    let value = |part: &str| secrets.value(secret, part);
    let (user, password) = match keys.url.strip_suffix("_URL").unwrap_or_default() {
        "" => (value("REDIS_USERNAME")?, value("REDIS_PASSWORD")?),
        prefix => (value(&format!("{prefix}_USERNAME"))?, value(&format!("{prefix}_PASSWORD"))?),
    };
    // 3scale's clients have one setting for the server and its sentinels (redis-client, `SentinelConfig`).
    let by_sentinels = sentinels.as_ref().is_some_and(|sentinels| sentinels.hosts.expose_secret().contains("rediss://"));
    Ok(RedisAt {
        parameters: address.parameters(),
        is_tls: is_rediss || keys.flag || by_sentinels,
        sentinels,
        reach: secrets.reach(&address.host, address.port.unwrap_or(6379)),
        // The Secret's own keys go before the URL, as in redis-client's `Config`.
        user: user.map(|user| user.expose_secret().to_owned()).or(address.user),
        password: password.or(address.password),
        database,
        host: address.host,
        certificates: Certificates {
            ca: value(&format!("{}_CA", keys.tls))?,
            certificate: value(&format!("{}_CERT", keys.tls))?,
            key: value(&format!("{}_KEY", keys.tls))?,
        },
        key_prefix: value("NAMESPACE")?.map(|prefix| prefix.expose_secret().to_owned()),
        origin,
    })
}

fn sentinels(secrets: &Secrets<'_>, secret: &str, keys: &RedisKeys) -> Sought<Option<Sentinels>> {
    let value = |part: &str| secrets.value(secret, &format!("{}_{part}", keys.sentinels));
    let Some(hosts) = value("HOSTS")? else { return Ok(None) };
    let login = |part: &str| secrets.value(secret, &format!("{}_{part}", keys.sentinel_logins));
    let role = value("ROLE")?.map_or_else(|| "master".to_owned(), |role| role.expose_secret().to_owned());
    Ok(Some(Sentinels { hosts, role, user: login("USERNAME")?, password: login("PASSWORD")? }))
}

fn address(secrets: &Secrets<'_>, secret: &str, key: &str) -> Sought<Address> {
    let text = secrets.needed(secret, key)?;
    Address::parse(&text).ok_or_else(|| {
        Problem::new(Severity::Blocks, format!("key {key} of Secret {secret} is not an address"))
            .way_out("It is to be like `scheme://user:password@host:port/database`. Its value is not shown: it may hold a password.")
    })
}

/// A variable that stands as a literal in a workload's containers.
fn environment(workload: &Value, name: &str) -> Option<String> {
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array()?;
    let mut variables = containers.iter().filter_map(|container| container["env"].as_array()).flatten();
    variables.find(|variable| variable["name"] == name)?["value"].as_str().map(str::to_owned)
}
