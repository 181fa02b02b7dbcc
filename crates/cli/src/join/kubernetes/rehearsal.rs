//! The data sets of a rehearsal whose throw-away servers are pods: which server each needs, and how it is logged in to.

use std::sync::Arc;

use files_data_set::RemoteFilesStore;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Event, Program, Remote as _, StopFlag, StoreKind};
use plan::{Error, Result};
use platforms::kubernetes::Cluster;
use platforms::kubernetes::rehearsal::{DATABASE, FOLDER, Server, ServerKind, ServerOptions, USER};
use postgres_data_set::RemotePrograms;

use super::{ask, connect, reached};
use crate::args::Global;
use crate::config::{Config, RehearseSection};
use crate::join::Patience;
use crate::join::endpoint::Database;
use crate::join::stores::{self, DatabaseOptions};

/// MySQL's database, as System's is called.
pub(crate) const SYSTEM: &str = "system";
/// How long a pod may be there, in hours, when nobody says otherwise.
const HOURS_MAX: u64 = 24;

/// See the module. Dropped, the pods are gone.
pub(crate) struct RehearsalPods {
    cluster: Cluster,
    section: RehearseSection,
    patience: Patience,
    servers: Vec<(DataSetName, ServerKind, Arc<Server>)>,
}

impl RehearsalPods {
    /// Connects, and sees that this user may make them. What ended of earlier rehearsals is removed.
    ///
    /// # Errors
    /// When it may not, or the cluster cannot be reached.
    pub(crate) fn new(config: &Config, global: &Global, context: &Context) -> Result<Self> {
        // Not the flag of this program: removing the pods takes calls when it is raised, too.
        let cluster = connect(global, &StopFlag::default())?;
        cluster.check_may_rehearse()?;
        for name in cluster.remove_ended_rehearsals()? {
            context.watch.see(Event::Note(&format!("pod {name} of an earlier rehearsal had ended, and is removed")));
        }
        Ok(Self { cluster, section: config.rehearse()?, patience: Patience::of(config, &context.stop)?, servers: Vec::new() })
    }

    /// Starts the server of a data set.
    ///
    /// # Errors
    /// When there is none for its kind, or it cannot be started.
    pub(crate) fn prepare(&mut self, context: &Context, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        let (kind, image) = match &kept.kind {
            StoreKind::MySql | StoreKind::MariaDb => (ServerKind::MySql, &self.section.mysql_image),
            StoreKind::PostgreSql => (ServerKind::PostgreSql, &self.section.postgresql_image),
            StoreKind::Redis => (ServerKind::Redis, &self.section.redis_image),
            StoreKind::Files | StoreKind::Bucket => (ServerKind::Files, &None),
            other @ (StoreKind::Objects | StoreKind::Other(_)) => {
                return Err(Error::refused(format!("{name} is of kind {other}, for which there is no throw-away server")));
            }
        };
        let options = ServerOptions {
            image: image.clone(),
            memory_limit: self.section.memory_limit.clone(),
            volume_limit: self.section.volume_limit.clone(),
            seconds_max: self.section.hours_max.unwrap_or(HOURS_MAX) * 3600,
        };
        let server = Arc::new(self.cluster.rehearsal_server(context, name, kind, &options)?);
        self.servers.push((name, kind, Arc::clone(&server)));
        let store = self.store(context, name, kind, &server)?;
        let legend = if server.is_forwarded() {
            let (host, port) = server.address()?;
            vec![(format!("{host}:{port}"), format!("pod {}", server.name()))]
        } else {
            Vec::new()
        };
        let (is_forwarded, origin) = (server.is_forwarded(), format!("the pod's own Secret, image {}", server.image()));
        let behind = Arc::clone(&server);
        let trouble = Box::new(move |since| behind.trouble(since).map(|trouble| trouble.error()));
        let address = format!("pod {}", server.name());
        Ok(reached(store, address, &origin, (is_forwarded, legend), trouble, vec![Box::new(server)]))
    }

    fn store(&self, context: &Context, name: DataSetName, kind: ServerKind, server: &Server) -> Result<Arc<dyn DataSet>> {
        let at = |user: &str, database: &str| server.address().map(|(host, port)| (host, port, user.to_owned(), database.to_owned()));
        match kind {
            ServerKind::MySql => {
                let (host, port, user, database) = at("root", SYSTEM)?;
                let address = mysql_data_set::Address::new(&host, port, &user, &database)?.with_password(server.password().clone());
                stores::database(name, Database::MySql(address), DatabaseOptions::default(), &self.patience)
            }
            ServerKind::PostgreSql => {
                be_superuser(context, server);
                let (host, port, user, database) = at(USER, DATABASE)?;
                let mut address = postgres_data_set::Address::new(&host, port, &user, &database)?;
                address.password = Some(server.password().clone());
                let programs =
                    RemotePrograms { remote: Arc::new(server.remote()), host: "127.0.0.1".to_owned(), port: kind.port(), superuser: true };
                let options = DatabaseOptions { programs: Some(programs), ..DatabaseOptions::default() };
                stores::database(name, Database::PostgreSql(address), options, &self.patience)
            }
            ServerKind::Redis => {
                let (host, port) = server.address()?;
                let labels: &[&str] = if name == DataSetName::BackendRedis { &["storage", "queues"] } else { &["system"] };
                let address =
                    |database| redis_data_set::Address::new(host.clone(), port, database).with_password(server.password().clone());
                let addresses = (0..).zip(labels.iter().copied()).map(|(database, label)| (label, address(database))).collect();
                let mut options = redis_data_set::Options::default();
                options.known_as = Some(format!("pod {}", server.name()));
                if let Some(quiet) = self.patience.quiet {
                    options.idle_timeout = quiet;
                }
                Ok(Arc::new(redis_data_set::RedisStore::new(name, addresses, options)?))
            }
            ServerKind::Files => {
                let options = files_data_set::Options::default();
                Ok(Arc::new(RemoteFilesStore::new(name, Arc::new(server.remote()), FOLDER.to_owned(), options)))
            }
        }
    }

    /// The servers that run.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (DataSetName, ServerKind, &Server)> {
        self.servers.iter().map(|(name, kind, server)| (*name, *kind, server.as_ref()))
    }

    /// Removes the pods.
    ///
    /// # Errors
    /// When one cannot be removed: it ends by itself later.
    pub(crate) fn remove(&self) -> Result<()> {
        let ends = self.section.hours_max.unwrap_or(HOURS_MAX);
        let mut failed = Ok(());
        for (_, _, server) in &self.servers {
            failed = failed.and(server.remove().map_err(|error| {
                error.during(format!("pod {} could not be removed", server.name())).hint(format!(
                    "It ends by itself {ends} hours after it was made. Or: kubectl -n {} delete pod {}",
                    self.cluster.namespace(),
                    server.name()
                ))
            }));
        }
        failed
    }

    /// Runs a script in a server's container, fed with this, and gives what it says.
    pub(crate) fn run(context: &Context, server: &Server, script: &str, input: &str) -> Result<()> {
        use std::io::Write as _;
        let mut process = server.remote().start(context, &Program::script(script, &[]).with_input())?;
        if let Some(mut stream) = process.input() {
            stream.write_all(input.as_bytes()).map_err(|error| Error::transient("the pod took no input").because(error))?;
            stream.end()?;
        }
        if let Some(mut output) = process.output() {
            std::io::copy(&mut output, &mut std::io::sink()).map_err(|error| Error::transient("the answer broke off").because(error))?;
        }
        process.finish()?.success(format!("a program in pod {} failed", server.name())).map(drop)
    }
}

/// Images differ in whether the user that they make may do all. What it may not is seen where it is needed.
fn be_superuser(context: &Context, server: &Server) {
    let script = format!("exec psql -qXAt -U postgres -d postgres -c 'ALTER ROLE \"{USER}\" SUPERUSER'");
    if let Err(error) = ask(&server.remote(), context, &Program::script(&script, &[])) {
        tracing::info!("{USER} stays what its image made it: {}", error.chain());
    }
}
