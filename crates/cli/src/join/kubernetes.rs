//! Platform `kubernetes`: what there is, is found in the namespace; addresses and passwords come from 3scale's own Secrets.
//!
//! A section of the configuration with an address goes before what is found: then that one is reached directly.

mod asked_tokens;
mod beside;
mod bucket;
mod endpoints;
mod files;
mod memory;
mod rehearsal;
mod ways;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use objects_data_set::ObjectsStore;
use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, Problem, Program, Remote, RouteReader, Severity, Shelf, Snapshot, StopFlag, Synchronise, Writers};
use plan::{Error, InstallationId, ObjectsPolicy, Policies, Result, WritersAre};
use platforms::kubernetes::find::address::Reach;
use platforms::kubernetes::find::{DatabaseAt, FilesAt, Installation as Found, RedisAt};
use platforms::kubernetes::shelf::ConfigMapShelf;
use platforms::kubernetes::sync::{KubernetesTasks, QueueProbe, TasksOptions};
use platforms::kubernetes::writers::{Changed, KubernetesWriters, WritersOptions, hold_until_restored};
use platforms::kubernetes::{Cluster, Options, Permissions};

pub(crate) use self::rehearsal::{RehearsalPods, SYSTEM as REHEARSED_SYSTEM};

use self::endpoints::Files;
use self::ways::{Used, Ways};
use super::direct::Direct;
use super::endpoint::BackendRedis;
use super::reached::{Reached, Trouble};
use super::stores::{self, DatabaseOptions, RedisOptions};
use super::{Documents, Installation, Patience, Seen};
use crate::args::Global;
use crate::config::Config;
use crate::output::Output;
use crate::writers::{self, Consent};

/// Rests, in seconds, before what failed for a while is done once more: a pod that was lost is back within a minute, mostly.
const RESTS: [u64; 3] = [5, 15, 40];

/// The installation in a namespace.
pub(super) struct Kubernetes {
    config: Config,
    cluster: Cluster,
    found: Found,
    patience: Patience,
    /// For the sections with an address.
    direct: Direct,
    ways: Arc<Mutex<Ways>>,
    /// Looked for when it is first asked: a backup does not need it.
    tasks: Mutex<Option<Arc<dyn Synchronise>>>,
    /// Whether journals may be kept in the namespace; asked once.
    keeps_journals: Mutex<Option<bool>>,
    /// The domain that objects are given which go into an empty namespace.
    domain: Option<String>,
}

impl Kubernetes {
    pub(super) fn find(config: &Config, global: &Global, stop: &StopFlag) -> Result<Self> {
        let cluster = connect(global, stop)?;
        let found = cluster.find()?;
        Self::of(config, stop, cluster, found)
    }

    /// What there is, which may be nothing.
    pub(super) fn find_even_nothing(config: &Config, global: &Global, stop: &StopFlag, domain: Option<&str>) -> Result<Self> {
        let cluster = connect(global, stop)?;
        let found = cluster.find_even_nothing()?;
        Ok(Self { domain: domain.map(str::to_owned), ..Self::of(config, stop, cluster, found)? })
    }

    fn of(config: &Config, stop: &StopFlag, cluster: Cluster, found: Found) -> Result<Self> {
        let patience = Patience::of(config, stop)?;
        let (direct, ways) = (Direct::new(config.clone(), patience.clone()), Arc::new(Mutex::new(Ways::new(cluster.clone()))));
        Ok(Self {
            config: config.clone(),
            cluster,
            found,
            patience,
            direct,
            ways,
            tasks: Mutex::new(None),
            keeps_journals: Mutex::new(None),
            domain: None,
        })
    }

    fn database(&self, name: DataSetName, at: &DatabaseAt) -> Result<Arc<dyn DataSet>> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.to(&at.reach)?;
        let mut files = Files::default();
        let options = DatabaseOptions { programs: ways.programs(&at.reach, &self.found), ..DatabaseOptions::default() };
        let inner = stores::database(name, endpoints::database(at, &way, &mut files)?, options, &self.patience)?;
        let legend: Vec<_> = way.forwarded().into_iter().collect();
        let is_forwarded = !legend.is_empty();
        let trouble = Box::new(move |since| way.trouble(since));
        Ok(reached(inner, at.reach.to_string(), &at.origin, (is_forwarded, legend), trouble, vec![Box::new(files)]))
    }

    fn redis(&self, name: DataSetName, servers: &[&RedisAt], policies: Policies) -> Result<Arc<dyn DataSet>> {
        let mut files = Files::default();
        let mut addresses = Vec::new();
        let mut is_forwarded = false;
        let used = Used::default();
        for at in servers {
            let own = self.cluster.namespace();
            let others = endpoints::namespaces(at, |host, port| self.cluster.reach(host, port, &[own]));
            let is_here = at.sentinels.is_none() && !matches!(at.reach, Reach::External { .. }) || !others.is_empty();
            is_forwarded |= is_here && !self.cluster.is_inside();
            let dial = Ways::dial(&self.ways, [vec![own.to_owned()], others].concat(), &used);
            addresses.push(endpoints::redis(at, dial, &mut files)?);
        }
        let with_file = servers.iter().find(|at| at.sentinels.is_none());
        let file_road = with_file.and_then(|at| self.ways.lock().unwrap_or_else(PoisonError::into_inner).file_road(&at.reach, &self.found));
        let mut places: Vec<_> = servers.iter().map(|at| at.place()).collect();
        places.dedup();
        let options = RedisOptions {
            queues: policies.queues,
            large_values: policies.large_values,
            namespace: servers.first().and_then(|at| at.key_prefix.clone()),
            file_road,
            known_as: Some(places.join(", ")),
        };
        let mut addresses = addresses.into_iter();
        let inner = match (addresses.next(), addresses.next()) {
            (Some(storage), Some(queues)) => stores::backend_redis(BackendRedis { storage, queues }, options, &self.patience)?,
            (Some(only), None) => stores::system_redis(only, options, &self.patience)?,
            (None, _) => return Err(Error::failed(format!("{name} has no address"))),
        };
        let origins: Vec<_> = servers.iter().map(|at| at.origin.as_str()).collect();
        let trouble = Box::new(move |since| used.trouble(since));
        Ok(reached(inner, places.join(", "), &origins.join(", "), (is_forwarded, Vec::new()), trouble, vec![Box::new(files)]))
    }

    fn objects(&self, policies: Policies) -> ObjectsStore {
        let policy = policies.objects;
        let hold = (policy == ObjectsPolicy::IntoEmpty).then_some(hold_until_restored as fn(&mut serde_json::Value));
        let options = objects_data_set::Options { policy, hold, domain: self.domain.clone() };
        ObjectsStore::new(DataSetName::KubernetesObjects, Arc::new(self.cluster.clone()), options)
    }

    fn make(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
        match name {
            DataSetName::KubernetesObjects => Ok(Arc::new(self.objects(policies))),
            DataSetName::SystemDatabase => self.database(name, self.found.system_database.as_ref().map_err(refused)?),
            DataSetName::ZyncDatabase => self.database(name, self.found.zync_database.as_ref().map_err(refused)?),
            DataSetName::BackendRedis => {
                let at = self.found.backend_redis.as_ref().map_err(refused)?;
                self.redis(name, &[&at.storage, &at.queues], policies)
            }
            DataSetName::SystemRedis => self.redis(name, &[self.found.system_redis.as_ref().map_err(refused)?], policies),
            DataSetName::SystemStorage => match self.found.system_storage.as_ref().map_err(refused)? {
                FilesAt::Volume { .. } => files::volume(&self.cluster, &self.found),
                FilesAt::Bucket(at) => {
                    let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
                    bucket::store(&self.cluster, &mut ways, at, self.config.bucket_ca_file()?, policies)
                }
            },
        }
    }

    /// Whether zync's queue in System's Redis is empty, seen by the server's own client in its pod; unknown where there is none.
    fn queue_probe(&self) -> Option<QueueProbe> {
        let at = self.found.system_redis.as_ref().ok()?.clone();
        if at.sentinels.is_some() {
            return None;
        }
        let user = at.user.iter().flat_map(|user| ["--user".to_owned(), user.clone()]);
        let remote = self.ways.lock().unwrap_or_else(PoisonError::into_inner).beside(&at.reach)?;
        let stop = StopFlag::default();
        let program = Program {
            command: std::iter::once("redis-cli".to_owned())
                .chain(user)
                .chain(["-n", &at.database.to_string(), "LLEN", "queue:zync"].map(str::to_owned))
                .collect(),
            environment: at.password.iter().map(|password| ("REDISCLI_AUTH".to_owned(), password.clone())).collect(),
            takes_input: false,
        };
        Some(Box::new(move || {
            let context = Context { stop: stop.clone(), ..Context::new(runner::new_run_id().0) };
            Ok(ask(remote.as_ref(), &context, &program).ok().and_then(|said| said.trim().parse().ok()))
        }))
    }
}

impl Installation for Kubernetes {
    fn id(&self) -> InstallationId {
        id_in(&self.cluster, &self.config)
    }

    fn release(&self) -> Option<String> {
        self.config.installation_release().or_else(|| self.found.release.clone())
    }

    fn expected(&self) -> Vec<DataSetName> {
        DataSetName::ALL.to_vec()
    }

    fn absent(&self) -> Vec<DataSetName> {
        self.config.absent()
    }

    fn names(&self) -> Vec<DataSetName> {
        let absent = self.config.absent();
        // In an empty namespace there is no store, and what lies there of objects may be ours.
        let is_there = |name: &DataSetName| {
            !self.found.workloads.is_empty() || *name == DataSetName::KubernetesObjects || self.config.is_configured(*name)
        };
        DataSetName::ALL.into_iter().filter(|name| !absent.contains(name) && is_there(name)).collect()
    }

    fn data_set(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
        if self.config.is_configured(name) {
            return self.direct.data_set(name, policies);
        }
        self.make(name, policies).map_err(|error| error.during(format!("{name} cannot be reached")))
    }

    fn way_to(&self, missing: DataSetName) -> String {
        if self.config.absent().contains(&missing) {
            return format!("Remove `absent = true` from [{missing}]");
        }
        format!("There is no {missing} in namespace {}", self.cluster.namespace())
    }

    fn writers(&self, output: &Output, consent: Consent) -> Result<Arc<dyn Writers>> {
        if self.config.has("writers") {
            return writers::of(&self.config, output, consent);
        }
        Ok(Arc::new(KubernetesWriters::new(self.cluster.clone(), WritersOptions::default())))
    }

    fn writers_are(&self, are_stopped: bool, _yes: bool) -> Option<WritersAre> {
        Some(if are_stopped { WritersAre::Stopped } else { WritersAre::Ours })
    }

    fn synchronise(&self) -> Result<Arc<dyn Synchronise>> {
        let mut known = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = known.as_ref() {
            return Ok(Arc::clone(tasks));
        }
        let mut tasks = KubernetesTasks::find(self.cluster.clone(), TasksOptions::default())?;
        if let Some(probe) = self.queue_probe() {
            tasks = tasks.with_queue_probe(probe);
        }
        if let Some(probe) = self.due_jobs() {
            tasks = tasks.with_zync_probe(probe);
        }
        let tasks: Arc<dyn Synchronise> = Arc::new(tasks);
        *known = Some(Arc::clone(&tasks));
        Ok(tasks)
    }

    fn shelf(&self) -> Option<Arc<dyn Shelf>> {
        let mut known = self.keeps_journals.lock().unwrap_or_else(PoisonError::into_inner);
        // In a pod there is no folder that stays; elsewhere it depends on what this user may.
        let may = *known.get_or_insert_with(|| self.cluster.is_inside() || self.cluster.may_keep_journals().unwrap_or(false));
        may.then(|| Arc::new(ConfigMapShelf::new(self.cluster.clone())) as Arc<dyn Shelf>)
    }

    fn differences(&self, context: &Context, snapshot: &dyn Snapshot, policies: Policies) -> Result<Vec<String>> {
        let all = self.objects(policies).compare(context, snapshot)?;
        Ok(all.iter().filter(|difference| difference.state != objects_data_set::State::Same).map(ToString::to_string).collect())
    }

    fn facts(&self) -> Vec<(String, String)> {
        let found = &self.found;
        let mut facts = vec![("namespace".to_owned(), format!("{} (cluster of {})", found.namespace, self.cluster.origin()))];
        let release = self.release().map(|release| format!(", release {release}")).unwrap_or_default();
        facts.push(("3scale".to_owned(), format!("{}{release}", found.era.as_str())));
        facts.push((
            "APIManager".to_owned(),
            match &found.api_manager {
                Some(manager) => {
                    let held: Vec<_> = manager.replicas.iter().map(|(part, number)| format!("{part} {number}")).collect();
                    let held = if held.is_empty() { String::new() } else { format!("; it sets replicas: {}", held.join(", ")) };
                    format!("{}, domain {}{held}", manager.name, manager.wildcard_domain.as_deref().unwrap_or("unknown"))
                }
                None => "none".to_owned(),
            },
        ));
        facts.push((
            "operator".to_owned(),
            match &found.operator {
                Some(operator) => format!("{} in namespace {}, {} replicas", operator.name, operator.namespace, operator.replicas),
                None => "not found".to_owned(),
            },
        ));
        let caches: Vec<_> = found.caches.iter().flatten().map(ToString::to_string).collect();
        if !caches.is_empty() {
            facts
                .push(("memcache".to_owned(), format!("{}, outside of the installation: emptied before System starts", caches.join(", "))));
        }
        facts
    }

    fn standing(&self) -> Vec<Problem> {
        self.found.problems.iter().filter(|problem| problem.severity == Severity::Blocks).cloned().collect()
    }

    fn rights_lacking(&self, names: &[DataSetName]) -> Result<Vec<Problem>> {
        if self.config.has("writers") {
            return Ok(Vec::new());
        }
        self.cluster.missing_to_stop(&self.cluster.writers_of(names)?)
    }

    fn readers(&self, context: &Context, snapshot: &dyn Snapshot, policies: Policies, names: &[DataSetName]) -> Result<Vec<String>> {
        let all = self.objects(policies).compare(context, snapshot)?;
        let overwritten = all.into_iter().filter(|one| one.group.is_empty() && one.effect == objects_data_set::Effect::Overwritten);
        let entry = |path: &str| path.split_once('/').map_or(path, |(_, entry)| entry).to_owned();
        let changed: Vec<_> = overwritten
            .map(|one| Changed { entries: one.changes.iter().map(|change| entry(&change.path)).collect(), kind: one.kind, name: one.name })
            .collect();
        self.cluster.readers(&changed, names)
    }

    fn rests(&self) -> Vec<Duration> {
        RESTS.map(Duration::from_secs).to_vec()
    }

    fn each_route(&self, context: &Context, reader: &mut RouteReader<'_>) -> Result<Seen<()>> {
        self.routes(context, reader)
    }

    fn search_index(&self, _context: &Context, names: &[&'static str]) -> Result<Seen<Documents>> {
        match self.config.search_index()? {
            Some((host, port)) => stores::documents(&host, port, names, &self.patience).map(Seen::All),
            None => self.documents(names),
        }
    }

    fn obstacles(&self) -> Result<Vec<Problem>> {
        self.cluster.obstacles(&self.found)
    }

    fn still_to_come(&self) -> Result<Vec<String>> {
        self.cluster.still_to_come(&self.found)
    }

    fn conditions_missing(&self) -> Result<Vec<String>> {
        Ok(self.cluster.conditions_missing()?)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.found.problems.clone();
        match &self.found.caches {
            Ok(caches) => problems.extend(caches.iter().filter_map(|cache| {
                let error = self.cluster.look_at_cache(cache).err()?;
                Some(Problem::new(Severity::Degrades, error.chain()).way_out(platforms::kubernetes::memcache::by_hand(cache)))
            })),
            Err(problem) => problems.push(problem.clone()),
        }
        for (purpose, severity, what) in
            [(Permissions::Backup, Severity::Blocks, "a backup"), (Permissions::Restore, Severity::Degrades, "a restore")]
        {
            match self.cluster.missing_rules(purpose) {
                // Whoever takes backups in the cluster is not who restores: one line is enough.
                Ok(rules) if purpose == Permissions::Restore && self.cluster.is_inside() && !rules.is_empty() => problems.push(
                    Problem::new(Severity::Note, "this account takes backups and may not restore")
                        .way_out("`doctor --in-cluster=threescale-backup-restore` asks for the account that restores."),
                ),
                Ok(rules) => problems.extend(rules.iter().map(|rule| {
                    Problem::new(
                        severity,
                        format!(
                            "for {what} this user may not {} {} in namespace {}",
                            rule.verb,
                            rule.resource,
                            rule.namespace.as_deref().unwrap_or("any")
                        ),
                    )
                    .way_out(format!("Add to its Role: {rule}"))
                })),
                Err(error) => problems.push(Problem::new(Severity::Degrades, format!("permissions are not known: {}", error.chain()))),
            }
        }
        problems
    }
}

/// The cluster that the flags name.
pub(crate) fn connect(global: &Global, stop: &StopFlag) -> Result<Cluster> {
    Cluster::connect(&options(global, stop))
}

fn options(global: &Global, stop: &StopFlag) -> Options {
    Options {
        namespace: global.namespace.clone(),
        context: global.context.clone(),
        kubeconfig: global.kubeconfig.clone(),
        impersonate: global.act_as.clone(),
        stop: stop.clone(),
        ..Options::default()
    }
}

fn id_in(cluster: &Cluster, config: &Config) -> InstallationId {
    let namespace = cluster.namespace();
    // Namespaces of the same name in other clusters have other uids. Not everybody may look at namespaces.
    let object = cluster.get_if_there(&format!("/api/v1/namespaces/{namespace}")).ok().flatten();
    let uid = object.as_ref().and_then(|object| object["metadata"]["uid"].as_str());
    let name = config.installation_name().unwrap_or_else(|| namespace.to_owned());
    InstallationId { name, identity: uid.map(|uid| format!("namespace {uid}")) }
}

/// Which installation the flags name, as far as the cluster answers: without it, the name alone, or an empty one where nothing says it.
pub(super) fn id(config: &Config, global: &Global, stop: &StopFlag) -> (InstallationId, Option<Error>) {
    match connect(global, stop) {
        Ok(cluster) => (id_in(&cluster, config), None),
        Err(error) => {
            let namespace = || platforms::kubernetes::namespace(&options(global, stop)).unwrap_or_default();
            (InstallationId::named(config.installation_name().unwrap_or_else(namespace)), Some(error))
        }
    }
}

fn reached(
    inner: Arc<dyn DataSet>,
    address: String,
    origin: &str,
    (is_forwarded, legend): (bool, Vec<(String, String)>),
    trouble: Trouble,
    kept: Vec<Box<dyn Any + Send + Sync>>,
) -> Arc<dyn DataSet> {
    let road = if is_forwarded { "by a forwarded port" } else { "dialled" };
    Arc::new(Reached { inner, address, how: format!("{road}; address and login from {origin}"), is_forwarded, legend, trouble, _way: kept })
}

fn refused(problem: &Problem) -> Error {
    let error = Error::refused(problem.text.clone());
    match &problem.way_out {
        Some(way_out) => error.hint(way_out.clone()),
        None => error,
    }
}

/// What a program says, when it is short.
fn ask(remote: &dyn Remote, context: &Context, program: &Program) -> Result<String> {
    use std::io::Read;
    let mut process = remote.start(context, program)?;
    let mut said = String::new();
    if let Some(output) = process.output() {
        output.take(4096).read_to_string(&mut said).map_err(|error| Error::transient("the answer broke off").because(error))?;
    }
    process.finish()?.success("the program failed")?;
    Ok(said)
}
