//! Where the parts are joined: the configuration's sections become data sets and a repository. One match arm for each kind of store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::DataSet;
use plan::tls::Tls;
use plan::{Error, Result};
use repository::{Location, S3};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, DatabaseSection, RedisSection, S3Section};

/// How long a request to S3 that fails is tried again.
const S3_RETRY_SECONDS: u64 = 90;

/// The repository's place and password.
pub(crate) fn repository(config: &Config) -> Result<(Location, SecretString)> {
    let section = config.repository()?;
    let s3 = section.s3.map(s3).transpose()?;
    let location = Location::parse(&section.url, s3)?;
    let password = section.password.ok_or_else(|| {
        Error::refused("the repository has no password")
            .hint("Set password-file or password-command in [repository], or THREESCALE_BACKUP_PASSWORD.")
    })?;
    if password.expose_secret().is_empty() {
        return Err(Error::refused("the repository's password is empty"));
    }
    Ok((location, password))
}

fn s3(section: S3Section) -> Result<S3> {
    let missing = |key: &str| Error::refused(format!("[repository.s3] has no {key}"));
    Ok(S3 {
        bucket: String::new(),
        prefix: String::new(),
        retry_seconds: S3_RETRY_SECONDS,
        path_style: section.path_style.unwrap_or(section.endpoint.is_some()),
        endpoint: section.endpoint,
        region: section.region.unwrap_or_else(|| "us-east-1".to_owned()),
        access_key_id: section.access_key_id.ok_or_else(|| missing("access-key-id"))?,
        secret_access_key: section.secret_access_key.ok_or_else(|| missing("secret-access-key"))?,
    })
}

/// The data sets asked for, or all that are configured. Each must be configured.
pub(crate) fn selected(config: &Config, only: &[DataSetName]) -> Result<Vec<DataSetName>> {
    let configured = config.data_sets();
    if configured.is_empty() {
        return Err(Error::refused("the installation is empty: no data set is configured")
            .hint("Add sections such as [system-database] to the configuration; the README shows them."));
    }
    if let Some(missing) = only.iter().find(|name| !configured.contains(name)) {
        return Err(Error::refused(format!("{missing} is not configured"))
            .hint(format!("Add a section [{missing}] with its address, or leave it out of --only.")));
    }
    let mut names = if only.is_empty() { configured } else { only.to_vec() };
    names.sort();
    names.dedup();
    Ok(names)
}

/// The data sets of these names.
pub(crate) fn data_sets(config: &Config, names: &[DataSetName]) -> Result<BTreeMap<DataSetName, Arc<dyn DataSet>>> {
    names.iter().map(|name| Ok((*name, data_set(config, *name)?))).collect()
}

/// The data set of a name.
pub(crate) fn data_set(config: &Config, name: DataSetName) -> Result<Arc<dyn DataSet>> {
    let made = match name {
        DataSetName::SystemDatabase | DataSetName::ZyncDatabase => database(name, config.database(name)?),
        DataSetName::SystemStorage => {
            let section = config.storage()?;
            Ok(Arc::new(files_data_set::FilesStore::new(
                name,
                section.path,
                files_data_set::Options { skip_unreadable: section.skip_unreadable },
            )) as Arc<dyn DataSet>)
        }
        DataSetName::BackendRedis => backend_redis(config.redis(name)?),
        DataSetName::SystemRedis => system_redis(config.redis(name)?),
    };
    made.map_err(|error| error.during(format!("[{name}] cannot be used")))
}

fn database(name: DataSetName, section: DatabaseSection) -> Result<Arc<dyn DataSet>> {
    let url = section.url.expose_secret();
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("mysql2" | "mysql") if name == DataSetName::SystemDatabase => mysql(name, &section),
        Some("postgresql" | "postgres") => postgres(name, &section),
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

fn mysql(name: DataSetName, section: &DatabaseSection) -> Result<Arc<dyn DataSet>> {
    let mut address = mysql_data_set::Address::parse(section.url.expose_secret())?;
    if let Some(password) = &section.password {
        address = address.with_password(password.clone());
    }
    if let Some(tls) = &section.tls {
        address.tls = tls.clone();
    }
    let mut options = mysql_data_set::Options::default();
    if let Some(seconds) = section.lock_wait_seconds {
        options.lock_wait_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    options.log_bin = match section.log_bin.as_deref() {
        None | Some("auto") => mysql_data_set::LogBin::Auto,
        Some("always") => mysql_data_set::LogBin::Always,
        Some("never") => mysql_data_set::LogBin::Never,
        Some(other) => return Err(Error::refused(format!("log-bin = {other:?} is not known")).hint("It is auto, always or never.")),
    };
    Ok(Arc::new(mysql_data_set::MysqlStore::new(name, address, options)))
}

fn postgres(name: DataSetName, section: &DatabaseSection) -> Result<Arc<dyn DataSet>> {
    let mut address = postgres_data_set::Address::parse(section.url.expose_secret())?;
    if let Some(password) = &section.password {
        address.password = Some(password.clone());
    }
    if let Some(tls) = &section.tls {
        address.tls = Some(tls.clone());
    }
    let mut options = postgres_data_set::Options::default();
    options.client_folder.clone_from(&section.client_folder);
    if let Some(seconds) = section.lock_wait_seconds {
        options.cut_over_wait = Duration::from_secs(seconds);
    }
    Ok(Arc::new(postgres_data_set::PostgresStore::new(name, address, options)))
}

fn backend_redis(section: RedisSection) -> Result<Arc<dyn DataSet>> {
    let missing = |key: &str| {
        Error::refused(format!("{key} is missing")).hint("Write storage-url and queues-url as 3scale's Secret backend-redis has them.")
    };
    let storage = section.storage_url.as_ref().ok_or_else(|| missing("storage-url"))?;
    let queues = section.queues_url.as_ref().ok_or_else(|| missing("queues-url"))?;
    let addresses = vec![
        ("storage", redis_address(&section, storage, section.storage_sentinel_hosts.as_deref(), section.storage_sentinel_role.as_deref())?),
        ("queues", redis_address(&section, queues, section.queues_sentinel_hosts.as_deref(), section.queues_sentinel_role.as_deref())?),
    ];
    redis(DataSetName::BackendRedis, addresses)
}

fn system_redis(section: RedisSection) -> Result<Arc<dyn DataSet>> {
    let url =
        section.url.as_ref().ok_or_else(|| Error::refused("url is missing").hint("Write it as 3scale's Secret system-redis has it."))?;
    let address = redis_address(&section, url, section.sentinel_hosts.as_deref(), section.sentinel_role.as_deref())?;
    redis(DataSetName::SystemRedis, vec![("system", address)])
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
        address = address.with_tls(Tls::clone(tls));
    }
    if let Some(hosts) = sentinel_hosts {
        let role = sentinel_role.unwrap_or("master");
        address = address.with_sentinels(hosts, role, section.sentinel_username.clone(), section.sentinel_password.clone())?;
    }
    Ok(address)
}

fn redis(name: DataSetName, addresses: Vec<(&str, redis_data_set::Address)>) -> Result<Arc<dyn DataSet>> {
    Ok(Arc::new(redis_data_set::RedisStore::new(name, addresses, redis_data_set::Options::default())?))
}
