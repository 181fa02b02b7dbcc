//! Where each store is and how one logs in there: one typed address for each URL of 3scale's Secrets, made from a section of the configuration here, and from
//! what is found in a cluster by [`super::kubernetes`].

use plan::ids::DataSetName;
use plan::{Error, Result};
use redis_data_set::Sentinels;
use secrecy::{ExposeSecret, SecretString};
use tls::Tls;

use crate::config::{DatabaseSection, RedisSection};

/// The address of a database.
pub(super) enum Database {
    MySql(mysql_data_set::Address),
    PostgreSql(postgres_data_set::Address),
}

/// The addresses of Backend's Redis.
pub(super) struct BackendRedis {
    pub(super) storage: redis_data_set::Address,
    pub(super) queues: redis_data_set::Address,
}

impl Database {
    /// Reads the files that the TLS options name.
    pub(super) fn check_files(&self) -> Result<()> {
        match self {
            Self::MySql(address) => tls::check_files(&address.tls),
            Self::PostgreSql(address) => address.tls.iter().try_for_each(tls::check_files),
        }
    }

    /// By a section.
    pub(super) fn of(name: DataSetName, section: &DatabaseSection) -> Result<Self> {
        let url = section.url.expose_secret();
        let tls = section.tls.clone().unwrap_or_default();
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("mysql2" | "mysql") if name == DataSetName::SystemDatabase => {
                let address = mysql_data_set::Address::parse(url)?.with_tls(tls)?;
                Ok(Self::MySql(section.password.iter().fold(address, |address, password| address.with_password(password.clone()))))
            }
            Some("postgresql" | "postgres") => {
                let mut address = postgres_data_set::Address::parse(url)?.with_tls(tls)?;
                address.password = section.password.clone().or(address.password);
                Ok(Self::PostgreSql(address))
            }
            Some("oracle-enhanced") => {
                Err(Error::refused("Oracle is not supported").hint("Use the database's own tools for it, and --only for the rest."))
            }
            // The scheme is not a secret; the rest of the address may hold one.
            Some(scheme) => Err(Error::refused(format!("url begins with {scheme}://")).hint(if name == DataSetName::SystemDatabase {
                "Write mysql2://… or postgresql://…."
            } else {
                "Write postgresql://…."
            })),
            None => Err(Error::refused("url is not an address")
                .hint("Write it as 3scale's Secret has it: mysql2://user:password@host:port/database or postgresql://….")),
        }
    }
}

impl BackendRedis {
    /// Reads the files that the TLS options name.
    pub(super) fn check_files(&self) -> Result<()> {
        self.storage.check_files()?;
        self.queues.check_files()
    }

    /// By a section. What is said for one of the two goes before what is said for both.
    pub(super) fn of(section: &RedisSection) -> Result<Self> {
        let missing = |key: &str| {
            Error::refused(format!("{key} is missing")).hint("Write storage-url and queues-url as 3scale's Secret backend-redis has them.")
        };
        let storage = section.storage_url.as_ref().ok_or_else(|| missing("storage-url"))?;
        let queues = section.queues_url.as_ref().ok_or_else(|| missing("queues-url"))?;
        let tls = |own: &Option<Tls>| own.clone().unwrap_or_default().over(section.tls.clone().unwrap_or_default());
        let of = |url, tls, hosts: &Option<String>, role: &Option<String>| redis(section, url, tls, hosts.as_deref(), role.as_deref());
        Ok(Self {
            storage: of(storage, tls(&section.storage_tls), &section.storage_sentinel_hosts, &section.storage_sentinel_role)?,
            queues: of(queues, tls(&section.queues_tls), &section.queues_sentinel_hosts, &section.queues_sentinel_role)?,
        })
    }
}

/// System's Redis, by a section.
pub(super) fn system_redis(section: &RedisSection) -> Result<redis_data_set::Address> {
    let url =
        section.url.as_ref().ok_or_else(|| Error::refused("url is missing").hint("Write it as 3scale's Secret system-redis has it."))?;
    let tls = section.tls.clone().unwrap_or_default();
    redis(section, url, tls, section.sentinel_hosts.as_deref(), section.sentinel_role.as_deref())
}

fn redis(
    section: &RedisSection,
    url: &SecretString,
    tls: Tls,
    sentinel_hosts: Option<&str>,
    sentinel_role: Option<&str>,
) -> Result<redis_data_set::Address> {
    let mut address = redis_data_set::Address::parse(url.expose_secret())?;
    if let Some(password) = &section.password {
        address = address.with_password(password.clone());
    }
    if let Some(hosts) = sentinel_hosts {
        let sentinels = Sentinels::parse(hosts, sentinel_role.unwrap_or_default())?;
        address = address.with_sentinels(sentinels.or_login(section.sentinel_username.clone(), section.sentinel_password.clone()))?;
    }
    address.with_tls(tls)
}
