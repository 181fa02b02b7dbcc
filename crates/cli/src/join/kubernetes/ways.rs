//! Ways to servers: a forwarded port for each server, shared by all that log in to it, and programs beside it.

use std::sync::Arc;
use std::time::Instant;

use plan::ports::{Context, Remote};
use plan::{Error, Result};
use platforms::kubernetes::find::Installation as Found;
use platforms::kubernetes::find::address::{Reach, Way};
use platforms::kubernetes::writers::{Workload, WorkloadKind, restart_workload};
use platforms::kubernetes::{Cluster, Target};
use postgres_data_set::RemotePrograms;
use redis_data_set::FileRoad;

/// Where the images of 3scale keep the data of Redis.
const REDIS_FOLDER: &str = "/var/lib/redis/data";
/// How long a restart of Redis may take, in seconds.
const RESTART_SECONDS_MAX: u64 = 300;

/// A way, and where it leads.
pub(super) struct Dialled {
    pub(super) host: String,
    pub(super) port: u16,
    to: Reach,
    way: Way,
}

impl Dialled {
    /// What went wrong with the forwarded port since a time.
    pub(super) fn trouble(&self, since: Instant) -> Option<Error> {
        Some(self.way.forward.as_ref()?.trouble(since)?.error())
    }

    /// What an error may say of this end of a forwarded port, and what that is.
    pub(super) fn forwarded(&self) -> Option<(String, String)> {
        self.way.forward.as_ref().map(|_| (format!("{}:{}", self.host, self.port), self.to.to_string()))
    }
}

/// See the module.
pub(super) struct Ways {
    cluster: Cluster,
    open: Vec<(Reach, Arc<Dialled>)>,
}

impl Ways {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, open: Vec::new() }
    }

    /// The way to a server; the same one each time, so that two addresses of one server are seen to be one.
    pub(super) fn to(&mut self, reach: &Reach) -> Result<Arc<Dialled>> {
        if let Some((_, way)) = self.open.iter().find(|(known, _)| known == reach) {
            return Ok(Arc::clone(way));
        }
        let way = self.cluster.way_to(reach)?;
        let dialled = Arc::new(Dialled { host: way.host.clone(), port: way.port, to: reach.clone(), way });
        self.open.push((reach.clone(), Arc::clone(&dialled)));
        Ok(dialled)
    }

    /// Programs in the pod of a server.
    pub(super) fn beside(&self, reach: &Reach) -> Option<Arc<dyn Remote>> {
        let Reach::Service { namespace, name, .. } = reach else { return None };
        Some(Arc::new(self.cluster.remote(Target::service(namespace, name), None)))
    }

    /// PostgreSQL's programs in the pod of a server.
    pub(super) fn programs(&self, reach: &Reach, found: &Found) -> Option<RemotePrograms> {
        let Reach::Service { namespace, name, port } = reach else { return None };
        // The superuser of a server that is none of 3scale's own pods is not ours to use.
        let superuser = *namespace == found.namespace && found.workloads.iter().any(|workload| workload.name == *name);
        Some(RemotePrograms { remote: self.beside(reach)?, host: "127.0.0.1".to_owned(), port: *port, superuser })
    }

    /// The files of a Redis server in this installation's own pods.
    pub(super) fn file_road(&self, reach: &Reach, found: &Found) -> Option<FileRoad> {
        let Reach::Service { namespace, name, .. } = reach else { return None };
        let workload = found.workloads.iter().find(|workload| workload.element == "redis" && workload.name == *name)?;
        if *namespace != found.namespace {
            return None;
        }
        let kind = if workload.is_deployment_config { WorkloadKind::DeploymentConfig } else { WorkloadKind::Deployment };
        let (cluster, workload) = (self.cluster.clone(), Workload::new(kind, name));
        Some(FileRoad {
            remote: self.beside(reach)?,
            data_folder: REDIS_FOLDER.to_owned(),
            restart: Arc::new(move |context: &Context| restart_workload(&cluster, context, &workload, RESTART_SECONDS_MAX)),
        })
    }
}
