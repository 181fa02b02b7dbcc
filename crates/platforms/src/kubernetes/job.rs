//! The program in the cluster: a Job made from the CronJob that is installed there, followed to its end.
//!
//! Whoever submits needs no way to the databases and no repository: both are the Job's. A connection lost while following harms nothing, the Job goes on.

mod follow;
mod made;
mod seen;

use plan::{Error, Result};
use serde_json::{Value, json};

use super::client::Cluster;
use super::error::ApiError;
use super::writers::workload::{name, text};

/// Variable of the Job's container: what begins each line of a result, because a log does not tell standard output from standard error.
pub const RESULT_MARK: &str = "THREESCALE_BACKUP_RESULT_MARK";
/// Label on Jobs that were submitted by hand.
const SUBMITTED: &str = "threescale-backup/submitted";
/// Ended Jobs that are left for looking at.
const ENDED_KEPT: usize = 5;

/// What is to run in the cluster.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The CronJob that is the template: which image, repository, service account.
    pub cron_job: &'a str,
    /// The command line, without the program.
    pub arguments: &'a [String],
    /// What begins each line of a result in the log.
    pub mark: &'a str,
}

/// What is told while a Job is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// A line of the program's log.
    Line(&'a str),
    /// About the Job itself.
    Note(&'a str),
}

/// A Job of this program in the cluster.
pub struct SubmittedJob {
    cluster: Cluster,
    name: String,
}

impl SubmittedJob {
    /// Makes a Job from a CronJob's template, and starts it.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no such CronJob, it is no template of this program, or this user may not make Jobs.
    pub fn submit(cluster: &Cluster, wanted: &Wanted<'_>) -> Result<Self> {
        let cron_job = template(cluster, wanted.cron_job)?;
        let job = made::job(&cron_job, wanted, &made::suffix()?)?;
        let submitted = Self { cluster: cluster.clone(), name: name(&job).to_owned() };
        match cluster.post(&cluster.path("batch/v1", "jobs", None), &job) {
            Ok(_) => {}
            // The name is random: it is ours, and only the answer was lost.
            Err(error) if error.is_conflict() => {}
            Err(error) => match cluster.get_if_there(&submitted.path()) {
                Ok(Some(_)) => {}
                _ => return Err(error.into()),
            },
        }
        submitted.tidy();
        Ok(submitted)
    }

    /// The Job's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> String {
        self.cluster.path("batch/v1", "jobs", Some(&self.name))
    }

    /// Asks the Job's pod to stop as a person at its terminal would: it gets SIGTERM, and the time that the template grants.
    fn ask_to_stop(&self) -> Result<(), ApiError> {
        // Deleting the pod would make the controller start another.
        self.cluster.merge_patch(&self.path(), &json!({"spec": {"parallelism": 0}})).map(drop)
    }

    fn remove(&self) -> Result<(), ApiError> {
        remove(&self.cluster, &self.path())
    }

    /// Removes Jobs that ended long ago. Clusters before 1.21 do not heed `ttlSecondsAfterFinished`. What cannot be removed stays.
    fn tidy(&self) {
        let all = self.cluster.path("batch/v1", "jobs", None);
        let Ok(mut jobs) = self.cluster.list(&all, Some(&format!("{SUBMITTED}=true"))) else { return };
        jobs.retain(|job| seen::has_ended(job).is_some());
        jobs.sort_by(|one, other| text(other, "/metadata/creationTimestamp").cmp(text(one, "/metadata/creationTimestamp")));
        for job in jobs.iter().skip(ENDED_KEPT) {
            if let Err(error) = remove(&self.cluster, &self.cluster.path("batch/v1", "jobs", Some(name(job)))) {
                log::info!("an old Job stays: {error}");
            }
        }
    }
}

fn remove(cluster: &Cluster, path: &str) -> Result<(), ApiError> {
    match cluster.delete(path, &json!({"propagationPolicy": "Background"})) {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

/// The CronJob of a name. `batch/v1` has them from Kubernetes 1.21 on, `batch/v1beta1` until 1.24.
fn template(cluster: &Cluster, wanted: &str) -> Result<Value> {
    for version in ["batch/v1", "batch/v1beta1"] {
        if let Some(found) = cluster.get_if_there(&cluster.path(version, "cronjobs", Some(wanted)))? {
            return Ok(found);
        }
    }
    let error = Error::refused(format!("there is no CronJob {wanted} in namespace {}", cluster.namespace()));
    let error = if wanted.ends_with("-rehearse") {
        error.hint("The chart has it where `rehearse.enabled` is true. Without: `rehearse --pods` does the same from this machine.")
    } else {
        error
    };
    Err(error
        .hint("The program must be installed in the cluster first: docs/in-cluster.md says how.")
        .hint("`--in-cluster=NAME` names another one, `--namespace` another namespace."))
}
