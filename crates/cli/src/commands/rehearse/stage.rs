//! The throw-away servers of a rehearsal.

use std::sync::Arc;

use lab::{Folder, Mysql, MysqlKind, Postgres, Redis, RedisKind};
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{DataSet, StoreKind};
use plan::{Error, Result};

/// The throw-away servers; they end with this value.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) mysql: Vec<(DataSetName, Mysql)>,
    pub(super) postgres: Vec<(DataSetName, Postgres)>,
    pub(super) redis: Vec<(DataSetName, Redis)>,
    pub(super) folders: Vec<(DataSetName, Folder)>,
}

/// The database of a throw-away MySQL.
pub(super) const SYSTEM: &str = "system";
/// The tree of files in a throw-away folder.
pub(super) const TREE: &str = "tree";
/// The database of a throw-away PostgreSQL.
pub(super) const REHEARSAL: &str = "rehearsal";

impl Stage {
    pub(super) fn prepare(&mut self, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        match &kept.kind {
            StoreKind::MySql => self.mysql(name, MysqlKind::Mysql),
            StoreKind::MariaDb => self.mysql(name, MysqlKind::Mariadb),
            StoreKind::PostgreSql => self.postgres(name),
            StoreKind::Redis => self.redis(name, kept),
            StoreKind::Files | StoreKind::Bucket => self.files(name),
            other @ (StoreKind::Objects | StoreKind::Other(_)) => {
                Err(Error::refused(format!("{name} is of kind {other}, for which there is no throw-away server")))
            }
        }
    }

    fn mysql(&mut self, name: DataSetName, kind: MysqlKind) -> Result<Arc<dyn DataSet>> {
        let server = Mysql::start_on_socket(kind, &["--local-infile=1", "--innodb-buffer-pool-size=256M"])?;
        run(server.client().args(["-e", &format!("CREATE DATABASE `{SYSTEM}`")]), "create the database")?;
        let address = mysql_data_set::Address::parse(&server.url(SYSTEM))?;
        self.mysql.push((name, server));
        Ok(Arc::new(mysql_data_set::MysqlStore::new(name, address, mysql_data_set::Options::default())))
    }

    fn postgres(&mut self, name: DataSetName) -> Result<Arc<dyn DataSet>> {
        let server = Postgres::start_on_socket(&[])?;
        run(server.client().args(["-c", &format!("CREATE DATABASE {REHEARSAL} TEMPLATE template0")]), "create the database")?;
        let address = postgres_data_set::Address::parse(&server.url(REHEARSAL))?;
        self.postgres.push((name, server));
        Ok(Arc::new(postgres_data_set::PostgresStore::new(name, address, postgres_data_set::Options::default())))
    }

    fn redis(&mut self, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        let server = Redis::start_on_socket(redis_kind(name, &kept.store, &kept.evidence)?, &[])?;
        let labels: &[&'static str] = if name == DataSetName::BackendRedis { &["storage", "queues"] } else { &["system"] };
        let address = |(db, label)| Ok((label, redis_data_set::Address::parse(&server.url(db))?));
        let addresses = (0..).zip(labels.iter().copied()).map(address).collect::<Result<Vec<_>>>()?;
        let store = redis_data_set::RedisStore::new(name, addresses, redis_data_set::Options::default())?;
        self.redis.push((name, server));
        Ok(Arc::new(store))
    }

    fn files(&mut self, name: DataSetName) -> Result<Arc<dyn DataSet>> {
        let folder = Folder::create("files")?;
        let tree = folder.join(TREE);
        std::fs::create_dir(&tree).map_err(|error| Error::failed(format!("failed to make {}", tree.display())).because(error))?;
        let store = files_data_set::FilesStore::new(name, tree, files_data_set::Options::default());
        self.folders.push((name, folder));
        Ok(Arc::new(store))
    }
}

/// A program on this machine that loads the set's RDB.
fn redis_kind(name: DataSetName, store: &str, evidence: &Evidence) -> Result<RedisKind> {
    let kinds = [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey];
    let found: Vec<_> = kinds.into_iter().filter_map(|kind| Some((kind, kind.version()?))).collect();
    let is_valkey = |kind| kind == RedisKind::Valkey;
    if let Some((kind, _)) = found.iter().find(|(kind, version)| redis_data_set::loads(evidence, is_valkey(*kind), version)) {
        return Ok(*kind);
    }
    let product = |kind| if is_valkey(kind) { "Valkey" } else { "Redis" };
    let mut here: Vec<String> = found.iter().map(|(kind, version)| format!("{} {version}", product(*kind))).collect();
    here.dedup();
    let here = if here.is_empty() { "no program redis-server or valkey-server".to_owned() } else { here.join(", ") };
    let rdb = evidence.facts.get("rdb-version").map_or("unknown", String::as_str);
    Err(Error::refused(format!("{name} is of {store} (RDB version {rdb}), which nothing on this machine loads: there is {here}")).hint(
        "Install redis-server of that version or a newer one (for a set of Valkey: valkey-server) so that it is on the PATH; `--only` rehearses the other data sets.",
    ))
}

pub(super) fn run(command: &mut std::process::Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| Error::failed(format!("failed to {what}")).because(error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("failed to {what}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_set_of_redis_is_rehearsed_by_a_program_that_loads_it() {
        let kind = |store: &str, version: &str| {
            let evidence = Evidence { facts: [("rdb-version".to_owned(), version.to_owned())].into(), ..Evidence::default() };
            redis_kind(DataSetName::BackendRedis, store, &evidence)
        };
        assert_eq!(kind("Redis 6.2.14", "9").unwrap(), RedisKind::Redis);
        assert_eq!(kind("Redis 7.0.15", "10").unwrap(), RedisKind::Redis);
        assert_eq!(kind("Redis 8.0.6", "12").unwrap(), RedisKind::NewestRedis);
        assert_eq!(kind("Valkey 9.1.2", "80").unwrap(), RedisKind::Valkey);
        let error = kind("Redis 9.9.9", "79").unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused);
        let told = format!("{error:?}");
        assert!(told.contains("Redis 9.9.9 (RDB version 79)") && told.contains("there is Redis 7"), "{told}");
    }
}
