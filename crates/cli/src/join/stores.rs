//! Stores at addresses: one function for each kind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::DataSet;
use plan::{Error, LargeValues, Queues, Result};
use postgres_data_set::RemotePrograms;
use redis_data_set::FileRoad;

use super::endpoint::{BackendRedis, Database};
use super::{Documents, Patience};
use crate::config::DatabaseSection;

/// What stands beside the address of a database.
#[derive(Default)]
pub(super) struct DatabaseOptions {
    pub(super) log_bin: Option<String>,
    pub(super) client_folder: Option<PathBuf>,
    pub(super) lock_wait_seconds: Option<u64>,
    /// PostgreSQL's programs in the pod of the server.
    pub(super) programs: Option<RemotePrograms>,
}

impl DatabaseOptions {
    pub(super) fn of(section: DatabaseSection) -> Self {
        let DatabaseSection { log_bin, client_folder, lock_wait_seconds, .. } = section;
        Self { log_bin, client_folder, lock_wait_seconds, programs: None }
    }
}

/// What stands beside the addresses of a Redis data set.
pub(super) struct RedisOptions {
    pub(super) queues: Queues,
    pub(super) large_values: LargeValues,
    /// `NAMESPACE` of the Secret: keys begin with it.
    pub(super) namespace: Option<String>,
    pub(super) file_road: Option<FileRoad>,
    /// What the server is called in a cluster.
    pub(super) known_as: Option<String>,
}

pub(super) fn database(name: DataSetName, at: Database, options: DatabaseOptions, patience: &Patience) -> Result<Arc<dyn DataSet>> {
    match at {
        Database::MySql(address) => mysql(name, address.with_limits(patience.limits()), &options),
        Database::PostgreSql(address) => Ok(postgres(name, address.with_limits(patience.limits()), options)),
    }
}

fn mysql(name: DataSetName, address: mysql_data_set::Address, wanted: &DatabaseOptions) -> Result<Arc<dyn DataSet>> {
    let mut options = mysql_data_set::Options::default();
    if let Some(seconds) = wanted.lock_wait_seconds {
        options.lock_wait_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
    options.log_bin = match wanted.log_bin.as_deref() {
        None | Some("always") => mysql_data_set::LogBin::Always,
        Some("auto") => mysql_data_set::LogBin::Auto,
        Some("never") => mysql_data_set::LogBin::Never,
        Some(other) => return Err(Error::refused(format!("log-bin = {other:?} is not known")).hint("It is always, auto or never.")),
    };
    Ok(Arc::new(mysql_data_set::MysqlStore::new(name, address, options)))
}

fn postgres(name: DataSetName, address: postgres_data_set::Address, wanted: DatabaseOptions) -> Arc<dyn DataSet> {
    let usual = postgres_data_set::Options::default();
    let options = postgres_data_set::Options {
        client_folder: wanted.client_folder,
        programs: wanted.programs,
        cut_over_wait: wanted.lock_wait_seconds.map_or(usual.cut_over_wait, Duration::from_secs),
    };
    Arc::new(postgres_data_set::PostgresStore::new(name, address, options))
}

pub(super) fn backend_redis(at: BackendRedis, options: RedisOptions, patience: &Patience) -> Result<Arc<dyn DataSet>> {
    redis(DataSetName::BackendRedis, vec![("storage", at.storage), ("queues", at.queues)], options, patience)
}

pub(super) fn system_redis(at: redis_data_set::Address, options: RedisOptions, patience: &Patience) -> Result<Arc<dyn DataSet>> {
    redis(DataSetName::SystemRedis, vec![("system", at)], options, patience)
}

fn redis(
    name: DataSetName,
    addresses: Vec<(&str, redis_data_set::Address)>,
    wanted: RedisOptions,
    patience: &Patience,
) -> Result<Arc<dyn DataSet>> {
    let mut options = redis_data_set::Options::default();
    options.queues = wanted.queues;
    options.large_values = wanted.large_values;
    options.namespace = wanted.namespace.filter(|prefix| !prefix.is_empty());
    options.file_road = wanted.file_road;
    options.known_as = wanted.known_as;
    if let Some(quiet) = patience.quiet {
        options.idle_timeout = quiet;
    }
    Ok(Arc::new(redis_data_set::RedisStore::new(name, addresses, options)?))
}

/// How many documents a search index has in each of these; `None` for one that it does not have.
pub(super) fn documents(host: &str, port: u16, names: &[&'static str], patience: &Patience) -> Result<Documents> {
    mysql_data_set::documents((host, port), &patience.limits(), names)
}
