//! The installation in a namespace, as found without changing anything: its era, who runs it, and where each data set lives.
//!
//! What is missing is a named problem of the finding, never a failure of the search: `doctor` shows all of it at once.

pub mod address;
mod databases;
mod files;
pub(super) mod memcache;
mod secrets;
mod workloads;

use plan::ports::{Problem, Severity};
use plan::{Result, release};
use serde_json::Value;

pub use databases::{BackendRedisAt, Certificates, DatabaseAt, DatabaseKind, RedisAt, Sentinels};
pub use files::{BucketAt, BucketRight, FilesAt};
pub use workloads::{FoundWorkload, OperatorAt};

use self::address::Reach;
use self::secrets::Secrets;
use super::client::Cluster;

/// The eras of 3scale, told by what is in the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2.14 and before: DeploymentConfigs, mostly with internal databases.
    DeploymentConfigs,
    /// 2.15: Deployments with internal databases.
    Deployments,
    /// 2.16 and later, or before with external databases: the databases are elsewhere.
    External,
}

impl Era {
    /// The name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentConfigs => "2.14 or before (DeploymentConfigs)",
            Self::Deployments => "2.15 (Deployments, internal databases)",
            Self::External => "2.16 (Deployments, external databases)",
        }
    }
}

/// The APIManager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiManager {
    /// Its name.
    pub name: String,
    /// The domain that all routes are under; stands in the rows of the system database too.
    pub wildcard_domain: Option<String>,
    /// Numbers of replicas that it names, by their place in the spec: (`system.appSpec`, 1). The operator holds those.
    pub replicas: Vec<(String, u64)>,
}

/// What was looked for, or why it is not known.
pub type Sought<T> = Result<T, Problem>;

/// An installation, as found. Debug output shows no secrets.
#[derive(Debug)]
pub struct Installation {
    /// Its namespace.
    pub namespace: String,
    /// Its era.
    pub era: Era,
    /// The release as it calls itself (`2.15.0`).
    pub release: Option<String>,
    /// The APIManager.
    pub api_manager: Option<ApiManager>,
    /// The operator's workload.
    pub operator: Option<OperatorAt>,
    /// Deployments and DeploymentConfigs of 3scale.
    pub workloads: Vec<FoundWorkload>,
    /// The system database.
    pub system_database: Sought<DatabaseAt>,
    /// Files of System.
    pub system_storage: Sought<FilesAt>,
    /// The zync database.
    pub zync_database: Sought<DatabaseAt>,
    /// Redis of Backend.
    pub backend_redis: Sought<BackendRedisAt>,
    /// Redis of System.
    pub system_redis: Sought<RedisAt>,
    /// System's caches that are not this installation's own workload.
    pub caches: Sought<Vec<Reach>>,
    /// What is worth telling beyond the data sets.
    pub problems: Vec<Problem>,
}

impl Installation {
    /// The workload of a component, by its labels: (`system`, `app`).
    #[must_use]
    pub fn workload(&self, component: &str, element: &str) -> Option<&FoundWorkload> {
        self.workloads.iter().find(|workload| workload.component == component && workload.element == element)
    }
}

impl Cluster {
    /// Looks for the installation.
    ///
    /// # Errors
    /// When the namespace cannot be looked at, or nothing in it is 3scale.
    pub fn find(&self) -> Result<Installation> {
        self.look_around(true)
    }

    /// Looks for what there is of an installation, which may be nothing.
    ///
    /// # Errors
    /// When the namespace cannot be looked at.
    pub fn find_even_nothing(&self) -> Result<Installation> {
        self.look_around(false)
    }

    fn look_around(&self, must_be: bool) -> Result<Installation> {
        let mut problems = Vec::new();
        let objects = workloads::look(self)?;
        let workloads = workloads::of_threescale(&objects, &workloads::pods(self)?);
        if workloads.is_empty() && must_be {
            return Err(plan::Error::refused(format!("there is no 3scale installation in namespace {}", self.namespace()))
                .hint("None of system-app, system-sidekiq, backend-listener, zync… is there as a Deployment or DeploymentConfig.")
                .hint("Give the installation's namespace with --namespace.")
                .hint("An installation that is lost goes into an empty namespace by `threescale-backup restore SET --into-empty`."));
        }
        let api_manager = self.api_manager(&mut problems)?;
        let operator = workloads::operator(self, &objects, &mut problems)?;
        let environment = self.get_if_there(&self.path("v1", "configmaps", Some("system-environment")))?.unwrap_or(Value::Null);
        let entry = |name: &str| environment["data"][name].as_str().filter(|text| !text.is_empty());
        let secrets = Secrets::new(self);
        let flags = api_manager.as_ref().map(databases::TlsFlags::of).unwrap_or_default();
        let installation = Installation {
            namespace: self.namespace().to_owned(),
            era: era(&workloads),
            release: release::release(
                api_manager.as_ref().and_then(|manager| manager["metadata"]["annotations"][release::INSTALLED].as_str()),
                workloads::label(&objects, release::LABEL),
                entry(release::ENVIRONMENT),
            ),
            caches: memcache::system(&secrets, &workloads),
            system_database: databases::system(&secrets, flags),
            system_storage: files::system(
                (self, &secrets),
                &workloads,
                &objects,
                entry("FILE_UPLOAD_STORAGE"),
                self.storage_spec()?.as_ref(),
            ),
            zync_database: databases::zync(&secrets, flags, &objects),
            backend_redis: databases::backend_redis(&secrets, flags),
            system_redis: databases::system_redis(&secrets, flags),
            api_manager: api_manager.as_ref().map(read_api_manager),
            operator,
            workloads,
            problems,
        };
        Ok(installation)
    }

    fn api_managers(&self) -> Result<Option<Vec<Value>>> {
        match self.list(&self.path("apps.3scale.net/v1alpha1", "apimanagers", None), None) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn storage_spec(&self) -> Result<Option<Value>> {
        let found = self.api_managers()?.unwrap_or_default();
        let specs = found.first().map(|manager| manager["spec"]["system"].clone());
        // The older name.
        Ok(specs
            .map(|system| if system["fileStorage"].is_null() { system["fileStorageSpec"].clone() } else { system["fileStorage"].clone() }))
    }

    fn api_manager(&self, problems: &mut Vec<Problem>) -> Result<Option<Value>> {
        let Some(mut found) = self.api_managers()? else {
            problems
                .push(Problem::new(Severity::Note, "the server does not know APIManagers: this installation was not made by the operator"));
            return Ok(None);
        };
        if found.len() > 1 {
            let names: Vec<_> = found.iter().filter_map(|manager| manager["metadata"]["name"].as_str()).collect();
            problems.push(
                Problem::new(Severity::Blocks, format!("there are several APIManagers in the namespace: {}", names.join(", ")))
                    .way_out("One namespace holds one installation. Delete those that are not in use."),
            );
        }
        Ok(if found.is_empty() { None } else { Some(found.swap_remove(0)) })
    }
}

fn era(workloads: &[FoundWorkload]) -> Era {
    let has = |element: &str| workloads.iter().any(|workload| workload.component == "system" && workload.element == element);
    if workloads.iter().any(|workload| workload.is_deployment_config) {
        Era::DeploymentConfigs
    } else if has("mysql") || has("postgresql") || has("redis") {
        Era::Deployments
    } else {
        Era::External
    }
}

fn read_api_manager(object: &Value) -> ApiManager {
    let mut replicas = Vec::new();
    for component in ["apicast", "backend", "system", "zync"] {
        for (part, spec) in object["spec"][component].as_object().into_iter().flatten() {
            if let Some(number) = spec["replicas"].as_u64() {
                replicas.push((format!("{component}.{part}"), number));
            }
        }
    }
    ApiManager {
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        wildcard_domain: object["spec"]["wildcardDomain"].as_str().map(str::to_owned),
        replicas,
    }
}

#[cfg(test)]
mod tests;
