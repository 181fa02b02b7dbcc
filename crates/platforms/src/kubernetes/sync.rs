//! Copies made anew from their source of truth by 3scale's own tasks, each in a pod of its own. [`plan::ports::Synchronise`].
//!
//! A task's pod has a name that is known before it is made, so after a crash it is found and waited for, not started twice. [`super::writers`] ends such pods
//! when it stops the writers: what is found here is always of the present data.

mod log;
mod pod;
mod que;
mod run;

use std::time::{Duration, Instant};

use plan::ports::{Context, Event, SyncTask, Synchronise};
use plan::{Class, Error, Result};
use serde_json::Value;

use self::pod::Rake;
use super::client::Cluster;
use super::writers::note::Seen;
use super::writers::pods::told;
use super::writers::wait::{Ended, Look, until};
use super::writers::who::Writer;
use super::writers::workload::{is_ready, name, replicas, text};
use super::writers::{Workload, WorkloadKind, look, restart_workload};

const REWRITE: Rake = Rake { name: "backend-rewrite", task: "backend:storage:rewrite", better: None };
const INDEX: Rake = Rake { name: "search-index", task: "searchd:optimal_index", better: None };
const ZYNC: Rake = Rake { name: "zync-resync", task: "zync:resync:domains", better: Some(("lib/tasks/zync.rake", "zync:resync:full")) };
/// Jobs of which none was done for so long will not be done soon.
const STILL: Duration = Duration::from_secs(20);

/// Says how many jobs are still to be done; `None` when that cannot be known.
pub type QueueProbe = Box<dyn Fn() -> Result<Option<u64>> + Send + Sync>;

/// How tasks are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TasksOptions {
    /// How long a task may run, in seconds. A rewrite calls Backend once or more for each service, application and metric.
    pub task_seconds_max: u64,
    /// How long to wait for a task's pod to start, and for those whom it needs to be ready, in seconds.
    pub wait_seconds_max: u64,
    /// How long to wait for zync's queue in System to drain, in seconds. Then it is a warning: its jobs are retried for days.
    pub queue_seconds_max: u64,
    /// How long to wait until zync has done its own jobs, in seconds, as long as some are done. Then it is a warning, too.
    pub zync_seconds_max: u64,
}

impl Default for TasksOptions {
    fn default() -> Self {
        Self { task_seconds_max: 4 * 3600, wait_seconds_max: 300, queue_seconds_max: 60, zync_seconds_max: 600 }
    }
}

/// The tasks of the installation in a cluster's namespace.
pub struct KubernetesTasks {
    cluster: Cluster,
    options: TasksOptions,
    queue_probe: Option<QueueProbe>,
    zync_probe: Option<QueueProbe>,
    offers: Vec<SyncTask>,
}

impl KubernetesTasks {
    /// Looks at what there is in the cluster's namespace, and so at what can be made anew.
    ///
    /// # Errors
    /// When the workloads cannot be listed.
    pub fn find(cluster: Cluster, options: TasksOptions) -> Result<Self> {
        let offers = offers(&look::workloads(&cluster)?);
        Ok(Self { cluster, options, queue_probe: None, zync_probe: None, offers })
    }

    /// With somebody who can see zync's queue in System's Redis.
    #[must_use]
    pub fn with_queue_probe(mut self, probe: QueueProbe) -> Self {
        self.queue_probe = Some(probe);
        self
    }

    /// With somebody who can see which jobs are due in zync's own database.
    #[must_use]
    pub fn with_zync_probe(mut self, probe: QueueProbe) -> Self {
        self.zync_probe = Some(probe);
        self
    }

    fn rewrite_backend(&self, context: &Context) -> Result<()> {
        self.need(context, Writer::BackendListener)?;
        self.run(context, REWRITE)
    }

    fn index(&self, context: &Context) -> Result<()> {
        let seen = look::workloads(&self.cluster)?;
        let Some((searcher, workload)) = searcher(&seen) else {
            return Err(Error::failed("there is no system-searchd to make an index for"));
        };
        if workload.replicas == 0 {
            context.watch.see(Event::Warning(&format!("{} is at 0: its index is as it was", workload.workload)));
            return Ok(());
        }
        match searcher {
            // It has no volume: it builds its index when it starts.
            Searcher::Sphinx => restart_workload(&self.cluster, context, &workload.workload, self.options.wait_seconds_max),
            Searcher::Searchd => {
                self.wait_ready(context, &workload.workload)?;
                self.run(context, INDEX)
            }
        }
    }

    fn resync_zync(&self, context: &Context) -> Result<()> {
        self.run(context, ZYNC)?;
        self.wait_for_queue(context)?;
        self.wait_for_zync(context)
    }

    /// Until System has told zync all.
    fn wait_for_queue(&self, context: &Context) -> Result<()> {
        let Some(probe) = &self.queue_probe else { return Ok(()) };
        let mut left = 0;
        let max = Duration::from_secs(self.options.queue_seconds_max);
        let ended = until(context, "waiting for zync's queue", max, || {
            // What cannot be seen is not waited for.
            left = probe()?.unwrap_or(0);
            Ok(if left == 0 { Look::Done } else { Look::Waiting(vec![format!("{left} jobs left")]) })
        })?;
        if matches!(ended, Ended::Late(_)) {
            context.watch.see(Event::Warning(&format!(
                "zync's queue has still {left} jobs after {} seconds; System retries them for days: see the routes later",
                self.options.queue_seconds_max
            )));
        }
        Ok(())
    }

    /// Until zync has done what it was told. Nothing of it is an error: the data is back, and zync goes on by itself.
    fn wait_for_zync(&self, context: &Context) -> Result<()> {
        let Some(probe) = &self.zync_probe else {
            context.watch.see(Event::Note("zync's own queue cannot be seen here: whether it has made its Routes is not known yet"));
            return Ok(());
        };
        let mut seen = que::Seen::new(STILL);
        let max = Duration::from_secs(self.options.zync_seconds_max);
        let ended = until(context, "waiting for zync's jobs", max, || {
            let due = match probe() {
                Err(error) if error.class() == Class::Interrupted => return Err(error),
                due => due.map_err(|error| error.chain()),
            };
            Ok(seen.look(due, Instant::now()))
        })?;
        match seen.verdict(matches!(ended, Ended::Well)) {
            Ok(note) => context.watch.see(Event::Note(&note)),
            Err(warning) => context.watch.see(Event::Warning(&warning)),
        }
        Ok(())
    }

    /// Waits until a writer that a task calls is ready.
    fn need(&self, context: &Context, writer: Writer) -> Result<()> {
        let seen = look::workloads(&self.cluster)?;
        let found = find(&seen, |object| Writer::of(object) == Some(writer));
        match found {
            Some(found) if found.replicas > 0 => self.wait_ready(context, &found.workload),
            Some(_) => Err(Error::failed(format!("{} is at 0, and the task needs it", writer.name()))
                .hint(format!("Scale {} to 1 or more, then `resume`.", writer.name()))),
            None => Err(Error::failed(format!("there is no {}, and the task needs it", writer.name()))),
        }
    }

    fn wait_ready(&self, context: &Context, workload: &Workload) -> Result<()> {
        let path = workload.path(self.cluster.namespace());
        let max = Duration::from_secs(self.options.wait_seconds_max);
        let ended = until(context, &format!("waiting for {workload} to be ready"), max, || {
            let object = self.cluster.get(&path)?;
            Ok(if is_ready(&object) { Look::Done } else { Look::Waiting(vec![format!("{workload} is not ready")]) })
        })?;
        match ended {
            Ended::Well => Ok(()),
            Ended::Late(reasons) => {
                let error = Error::failed(format!("{workload} is not ready after {} seconds", self.options.wait_seconds_max));
                Err(told(error, &reasons).hint("See why, then `resume`."))
            }
        }
    }
}

impl Synchronise for KubernetesTasks {
    fn offers(&self) -> Vec<SyncTask> {
        self.offers.clone()
    }

    fn synchronise(&self, context: &Context, task: SyncTask) -> Result<()> {
        match task {
            SyncTask::BackendConfiguration => self.rewrite_backend(context),
            SyncTask::SearchIndex => self.index(context),
            SyncTask::ZyncDomains => self.resync_zync(context),
        }
    }
}

/// What serves searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Searcher {
    /// 3scale 2.13 and before.
    Sphinx,
    /// From 2.14 on.
    Searchd,
}

/// A workload as found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    workload: Workload,
    replicas: u64,
}

fn find(seen: &Seen, is_wanted: impl Fn(&Value) -> bool) -> Option<Found> {
    let (kind, object): (WorkloadKind, _) = seen.workloads().find(|(_, object)| is_wanted(object))?;
    Some(Found { workload: Workload::new(kind, name(object)), replicas: replicas(object) })
}

fn searcher(seen: &Seen) -> Option<(Searcher, Found)> {
    let is = |element: &str, object: &Value| {
        let labels = (text(object, "/metadata/labels/threescale_component"), text(object, "/metadata/labels/threescale_component_element"));
        labels == ("system", element) || name(object) == format!("system-{element}")
    };
    let searchd = find(seen, |object| is("searchd", object)).map(|found| (Searcher::Searchd, found));
    searchd.or_else(|| find(seen, |object| is("sphinx", object)).map(|found| (Searcher::Sphinx, found)))
}

fn offers(seen: &Seen) -> Vec<SyncTask> {
    let has = |writer: Writer| find(seen, |object| Writer::of(object) == Some(writer)).is_some();
    let has_system = has(Writer::SystemSidekiq) || has(Writer::SystemApp);
    let is_offered = |task: &SyncTask| match task {
        SyncTask::BackendConfiguration => has_system && has(Writer::BackendListener),
        SyncTask::SearchIndex => has_system && searcher(seen).is_some(),
        SyncTask::ZyncDomains => has_system && has(Writer::Zync),
    };
    SyncTask::ALL.into_iter().filter(is_offered).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(names: &[&str]) -> Seen {
        Seen { deployments: names.iter().map(|name| json!({"metadata": {"name": name}})).collect(), ..Seen::default() }
    }

    #[test]
    fn what_is_offered_depends_on_who_is_there() {
        assert_eq!(offers(&seen(&["system-app", "backend-listener", "system-searchd", "zync"])), SyncTask::ALL);
        assert_eq!(offers(&seen(&["system-sidekiq", "system-sphinx"])), [SyncTask::SearchIndex]);
        assert_eq!(offers(&seen(&["backend-listener", "zync"])), []);
        assert_eq!(searcher(&seen(&["system-sphinx"])).map(|(searcher, _)| searcher), Some(Searcher::Sphinx));
    }
}
