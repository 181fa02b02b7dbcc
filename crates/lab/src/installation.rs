//! A whole installation of 3scale's stores: a MySQL, a PostgreSQL, two Redis with AOF on, a folder of files.
//!
//! Started empty, filled with data that agrees with itself, written to, damaged, and fingerprinted from outside the program.

mod damage;
mod fingerprint;

pub use fingerprint::{Fingerprint, differences};

use std::fs;
use std::path::{Path, PathBuf};

use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use plan::{Error, Result};

use crate::data::{Shape, backend_redis, storage, system, system_redis, zync};
use crate::folder::Folder;
use crate::traffic::{Control, Writers};
use crate::{Mysql, MysqlKind, Postgres, Redis};

/// Name of the system database.
pub const SYSTEM_DATABASE: &str = "system";
/// Name of the zync database.
pub const ZYNC_DATABASE: &str = "zync_production";

const REDIS_OPTIONS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];

/// What to start.
#[derive(Debug, Clone)]
pub struct InstallationOptions {
    /// MySQL or MariaDB for the system database.
    pub mysql: MysqlKind,
    /// Bytes of the rows of the system database, about; everything else grows with it.
    pub size_bytes: u64,
    /// Another seed, other data.
    pub seed: u64,
    /// More options for the MySQL server.
    pub mysql_options: Vec<String>,
}

impl Default for InstallationOptions {
    fn default() -> Self {
        Self { mysql: MysqlKind::Mysql, size_bytes: 20 << 20, seed: 3, mysql_options: Vec::new() }
    }
}

/// The running stores. They end with the value, and nothing of them stays.
pub struct Installation {
    /// The system database's server.
    pub mysql: Mysql,
    /// The zync database's server.
    pub postgres: Postgres,
    /// Backend's Redis: storage in database 0, queues in database 1.
    pub backend_redis: Redis,
    /// System's Redis: database 1.
    pub system_redis: Redis,
    shape: Shape,
    storage: PathBuf,
    folder: Folder,
}

impl Installation {
    /// Starts the servers, with nothing in them.
    ///
    /// # Errors
    /// When one does not start; the end of its log is in the hints.
    pub fn start(options: &InstallationOptions) -> Result<Self> {
        let folder = Folder::create("storage")?;
        let storage = folder.join("system");
        fs::create_dir(&storage).during(|| format!("make {}", storage.display()))?;
        let pool_bytes = (options.size_bytes / 2).clamp(64 << 20, 768 << 20);
        let mut mysql_options = vec![format!("--innodb-buffer-pool-size={pool_bytes}")];
        if options.size_bytes > 100 << 20 {
            // A load waits for checkpoints otherwise.
            let redo = if options.mysql == MysqlKind::Mysql { "--innodb-redo-log-capacity=1G" } else { "--innodb-log-file-size=1G" };
            mysql_options.push(redo.to_owned());
        }
        mysql_options.extend(options.mysql_options.iter().cloned());
        let mysql_options: Vec<&str> = mysql_options.iter().map(String::as_str).collect();
        let (mysql, postgres) = std::thread::scope(|scope| {
            let mysql = scope.spawn(|| Mysql::start(options.mysql, &mysql_options));
            let postgres = Postgres::start(&[]);
            (mysql.join().unwrap_or_else(|_| Err(Error::failed("the thread that starts MySQL panicked"))), postgres)
        });
        Ok(Self {
            mysql: mysql?,
            postgres: postgres?,
            backend_redis: Redis::start(&REDIS_OPTIONS)?,
            system_redis: Redis::start(&REDIS_OPTIONS)?,
            shape: Shape::new(options.seed, options.size_bytes),
            storage,
            folder,
        })
    }

    /// Fills all stores; the watcher sees it as staging, data set by data set.
    ///
    /// # Errors
    /// When a store does not take the data.
    pub fn fill(&self, watch: &dyn Watch) -> Result<()> {
        std::thread::scope(|scope| {
            let system = scope.spawn(|| {
                Self::stage(watch, DataSetName::SystemDatabase, || system::load::load(&self.mysql, SYSTEM_DATABASE, &self.shape, watch))
            });
            Self::stage(watch, DataSetName::SystemStorage, || storage::fill(&self.storage, &self.shape, watch))?;
            Self::stage(watch, DataSetName::ZyncDatabase, || zync::load(&self.postgres, ZYNC_DATABASE, &self.shape, watch))?;
            Self::stage(watch, DataSetName::BackendRedis, || {
                backend_redis::load_storage(&self.backend_redis, &self.shape, watch)?;
                backend_redis::load_queues(&self.backend_redis, &self.shape, watch)
            })?;
            Self::stage(watch, DataSetName::SystemRedis, || system_redis::load(&self.system_redis, &self.shape, watch))?;
            system.join().map_err(|_| Error::failed("the thread that fills MySQL panicked"))?
        })
    }

    fn stage(watch: &dyn Watch, data_set: DataSetName, work: impl FnOnce() -> Result<()>) -> Result<()> {
        watch.see(Event::Begin { data_set, verb: Verb::Stage, total_bytes: None });
        work().map_err(|error| error.during(format!("failed to fill {data_set}")))?;
        watch.see(Event::End { data_set, verb: Verb::Stage });
        Ok(())
    }

    /// The folder of System's files, as `[system-storage] path` wants it.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// How much there is of everything.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// A `threescale-backup.toml` for it.
    #[must_use]
    pub fn toml(&self, repository_url: &str, password_file: &Path) -> String {
        format!(
            "[repository]\nurl = {repository_url:?}\npassword-file = {password_file:?}\n\n[platform]\nkind = \"direct\"\n\n\
             [system-database]\nurl = {:?}\n\n[system-storage]\npath = {:?}\n\n[zync-database]\nurl = {:?}\n\n\
             [backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n\n[system-redis]\nurl = {:?}\n",
            self.mysql.url(SYSTEM_DATABASE),
            self.storage,
            self.postgres.url(ZYNC_DATABASE),
            self.backend_redis.url(0),
            self.backend_redis.url(1),
            self.system_redis.url(1),
        )
    }

    /// The section `[writers]` for it: commands that stop and start the threads of [`Installation::writers`].
    #[must_use]
    pub fn writers_toml(&self) -> String {
        let [stop, start, stopped] = self.control().commands();
        format!("[writers]\nstop = {stop:?}\nstart = {start:?}\nstopped = {stopped:?}\n")
    }

    pub(crate) fn control(&self) -> Control {
        Control::new(self.folder.path())
    }

    /// Threads that write to all five stores all the time, as 3scale does.
    #[must_use]
    pub fn writers(&self) -> Writers {
        Writers::start(self)
    }
}

/// The lab has servers, not a cluster.
fn no_objects() -> plan::Error {
    plan::Error::refused("the lab has no Kubernetes objects")
}
