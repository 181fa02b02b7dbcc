//! Stores at addresses: one function for each kind.

use std::sync::Arc;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::DataSet;
use plan::{Error, Queues, Result};
use postgres_data_set::RemotePrograms;
use redis_data_set::FileRoad;
use secrecy::{ExposeSecret, SecretString};

use super::Patience;
use crate::config::{DatabaseSection, RedisSection};

pub(super) fn database(
    name: DataSetName,
    section: DatabaseSection,
    programs: Option<RemotePrograms>,
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let url = section.url.expose_secret();
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("mysql2" | "mysql") if name == DataSetName::SystemDatabase => mysql(name, &section, patience),
        Some("postgresql" | "postgres") => postgres(name, &section, programs, patience),
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

fn mysql(name: DataSetName, section: &DatabaseSection, patience: &Patience) -> Result<Arc<dyn DataSet>> {
    let mut address = mysql_data_set::Address::parse(section.url.expose_secret())?.with_limits(patience.limits());
    if let Some(password) = &section.password {
        address = address.with_password(password.clone());
    }
    if let Some(tls) = &section.tls {
        address = address.with_tls(tls.clone())?;
    }
    let mut options = mysql_data_set::Options::default();
    if let Some(seconds) = section.lock_wait_seconds {
        options.lock_wait_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    options.log_bin = match section.log_bin.as_deref() {
        None | Some("always") => mysql_data_set::LogBin::Always,
        Some("auto") => mysql_data_set::LogBin::Auto,
        Some("never") => mysql_data_set::LogBin::Never,
        Some(other) => return Err(Error::refused(format!("log-bin = {other:?} is not known")).hint("It is always, auto or never.")),
    };
    Ok(Arc::new(mysql_data_set::MysqlStore::new(name, address, options)))
}

fn postgres(
    name: DataSetName,
    section: &DatabaseSection,
    programs: Option<RemotePrograms>,
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let mut address = postgres_data_set::Address::parse(section.url.expose_secret())?.with_limits(patience.limits());
    if let Some(password) = &section.password {
        address.password = Some(password.clone());
    }
    if let Some(tls) = &section.tls {
        address = address.with_tls(tls.clone())?;
    }
    let mut options = postgres_data_set::Options::default();
    options.client_folder.clone_from(&section.client_folder);
    options.programs = programs;
    if let Some(seconds) = section.lock_wait_seconds {
        options.cut_over_wait = Duration::from_secs(seconds);
    }
    Ok(Arc::new(postgres_data_set::PostgresStore::new(name, address, options)))
}

/// `known_as`: what the server is called where its address is a forwarded port.
pub(super) fn backend_redis(
    section: &RedisSection,
    queues: Queues,
    (file_road, known_as): (Option<FileRoad>, Option<String>),
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let missing = |key: &str| {
        Error::refused(format!("{key} is missing")).hint("Write storage-url and queues-url as 3scale's Secret backend-redis has them.")
    };
    let storage = section.storage_url.as_ref().ok_or_else(|| missing("storage-url"))?;
    let queues_url = section.queues_url.as_ref().ok_or_else(|| missing("queues-url"))?;
    let addresses = vec![
        ("storage", redis_address(section, storage, section.storage_sentinel_hosts.as_deref(), section.storage_sentinel_role.as_deref())?),
        ("queues", redis_address(section, queues_url, section.queues_sentinel_hosts.as_deref(), section.queues_sentinel_role.as_deref())?),
    ];
    redis(DataSetName::BackendRedis, addresses, section, queues, (file_road, known_as), patience)
}

/// `known_as`: what the server is called where its address is a forwarded port.
pub(super) fn system_redis(
    section: &RedisSection,
    queues: Queues,
    (file_road, known_as): (Option<FileRoad>, Option<String>),
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let url =
        section.url.as_ref().ok_or_else(|| Error::refused("url is missing").hint("Write it as 3scale's Secret system-redis has it."))?;
    let address = redis_address(section, url, section.sentinel_hosts.as_deref(), section.sentinel_role.as_deref())?;
    redis(DataSetName::SystemRedis, vec![("system", address)], section, queues, (file_road, known_as), patience)
}

fn redis_address(
    section: &RedisSection,
    url: &SecretString,
    sentinel_hosts: Option<&str>,
    sentinel_role: Option<&str>,
) -> Result<redis_data_set::Address> {
    let mut address = redis_data_set::Address::parse(url.expose_secret())?;
    if let Some(password) = &section.password {
        address = address.with_password(password.clone());
    }
    if let Some(tls) = &section.tls {
        address = address.with_tls(tls.clone())?;
    }
    if let Some(hosts) = sentinel_hosts {
        let role = sentinel_role.unwrap_or("master");
        address = address.with_sentinels(hosts, role, section.sentinel_username.clone(), section.sentinel_password.clone())?;
    }
    Ok(address)
}

fn redis(
    name: DataSetName,
    addresses: Vec<(&str, redis_data_set::Address)>,
    section: &RedisSection,
    queues: Queues,
    (file_road, known_as): (Option<FileRoad>, Option<String>),
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let mut options = redis_data_set::Options::default();
    options.queues = queues;
    options.namespace = section.namespace.clone().filter(|prefix| !prefix.is_empty());
    options.file_road = file_road;
    if let Some(quiet) = patience.quiet {
        options.idle_timeout = quiet;
    }
    options.known_as = known_as;
    Ok(Arc::new(redis_data_set::RedisStore::new(name, addresses, options)?))
}
