//! The jobs that a set holds, by class, and what a restore does with them: read from the set itself, so that it is told before anything is touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, KeyReader, Problem, ReadKey, Repository, Severity};
use plan::{Error, Plan, Queues, Result};
use serde::Serialize;
use threescale::census::{Census, Seen};
use threescale::jobs;
use threescale::keys::{Class, Keys, Store};
use threescale::queues::Selection;

use crate::output::count;

/// Jobs that count traffic.
const REPORTS: &str = "ThreeScale::Backend::Transactor::ReportJob";

/// Jobs of a class in one queue.
#[derive(Debug, Serialize)]
pub(crate) struct JobsOfClass {
    data_set: DataSetName,
    database: String,
    queue: String,
    class: String,
    jobs: u64,
    /// Whether the restore loads them.
    goes_back: bool,
    /// Whether `--queues safe` does.
    safe: bool,
    /// Whether a customer sees what they do; `null` for a class that is not known.
    customer_visible: Option<bool>,
}

/// A queue that is not loaded, or not wholly.
#[derive(Debug, Serialize)]
pub(crate) struct LeftOutQueue {
    data_set: DataSetName,
    database: String,
    queue: String,
    jobs: u64,
}

/// What is told of the jobs of a set.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    pub(crate) classes: Vec<JobsOfClass>,
    pub(crate) usage_in_flight: Option<u64>,
    /// What goes back whatever is chosen: lists of failed web hooks with their entries, and jobs that nothing runs but a person.
    web_hooks: (u64, u64),
    dead: u64,
    /// Names that were asked for, and that no class has.
    nobody: Vec<String>,
}

/// Reads the queues of a plan's set.
pub(crate) fn of_plan(plan: &Plan, repository: &dyn Repository, context: &Context) -> Result<Jobs> {
    let mut jobs = Jobs::default();
    for (name, planned) in &plan.data_sets {
        let Some(kept) = planned.kept.as_ref().filter(|_| matches!(name, DataSetName::BackendRedis | DataSetName::SystemRedis)) else {
            continue;
        };
        jobs.usage_in_flight = jobs.usage_in_flight.or(redis_data_set::usage_in_flight(&kept.evidence));
        for label in redis_data_set::labels_of(&kept.evidence).filter(|label| Store::of(*name, label) != Some(Store::BackendStorage)) {
            let Some(census) = census(*name, kept, label, repository, context, 0)? else { continue };
            let keys = census.keys().clone();
            jobs.add(*name, label, census, &Selection::new(Some(keys), plan.policies.queues.clone()));
        }
    }
    if let Queues::Only(names) = &plan.policies.queues {
        let is_known = |name: &String| {
            jobs.classes.iter().any(|jobs| jobs::is_meant(&jobs.class, name))
                || jobs::KINDS.iter().any(|kind| jobs::is_meant(kind.class, name))
        };
        jobs.nobody = names.iter().filter(|name| !is_known(name)).cloned().collect();
    }
    Ok(jobs)
}

/// Counts one logical database of a set; `None` when it is none of 3scale's. `unknown_max` as in [`Census::new`].
pub(crate) fn census(
    name: DataSetName,
    kept: &KeptDataSet,
    label: &str,
    repository: &dyn Repository,
    context: &Context,
    unknown_max: usize,
) -> Result<Option<Census>> {
    let Some(store) = Store::of(name, label) else { return Ok(None) };
    let keys = Keys::of(store, redis_data_set::namespace_of(&kept.evidence));
    let mut counting = Counting(Census::new(keys, unknown_max));
    let snapshot = Arc::from(repository.open(&kept.snapshot)?);
    redis_data_set::read_keys(snapshot, kept, label, &context.stop, &mut counting)
        .map_err(|error: Error| error.during(format!("{name} of the set could not be read")))?;
    Ok(Some(counting.0))
}

struct Counting(Census);

impl KeyReader for Counting {
    fn wants(&self, key: &[u8]) -> bool {
        self.0.holds_jobs(key)
    }

    fn piece(&mut self, key: &[u8], piece: &[u8]) {
        self.0.job(key, piece);
    }

    fn key(&mut self, key: &ReadKey<'_>) -> Result<()> {
        self.0.key(Seen { key: key.key, kind: key.kind, elements: key.elements, bytes: key.bytes });
        Ok(())
    }
}

impl Jobs {
    fn add(&mut self, data_set: DataSetName, database: &str, census: Census, selection: &Selection) {
        if let Some(sum) = census.classes.get(&Some(Class::CustomerRecord)) {
            self.web_hooks = (sum.keys, sum.elements);
        }
        self.dead += census.dead;
        self.classes.extend(census.jobs.into_iter().map(|((queue, class), jobs)| {
            let kind = jobs::kind(&class);
            JobsOfClass {
                data_set,
                database: database.to_owned(),
                queue,
                jobs,
                goes_back: selection.keeps(&class),
                safe: kind.is_some_and(|kind| kind.is_safe),
                customer_visible: kind.map(|kind| kind.is_customer_visible),
                class,
            }
        }));
    }

    /// By queue, as far as it is left out.
    pub(crate) fn queues_left_out(&self) -> Vec<LeftOutQueue> {
        let mut queues = BTreeMap::new();
        for left in self.classes.iter().filter(|jobs| !jobs.goes_back) {
            *queues.entry((left.data_set, &left.database, &left.queue)).or_insert(0) += left.jobs;
        }
        let queue = |((data_set, database, queue), jobs): ((_, &String, &String), _)| LeftOutQueue {
            data_set,
            database: database.clone(),
            queue: queue.clone(),
            jobs,
        };
        queues.into_iter().map(queue).collect()
    }

    /// What stands in the way of it.
    pub(crate) fn problems(&self) -> Option<Problem> {
        let text = format!("neither the set nor 3scale has jobs of the class {}", self.nobody.join(" or "));
        let problem = Problem::new(Severity::Blocks, text).way_out("`plan SET --queues drop` lists the classes that the set has.");
        (!self.nobody.is_empty()).then_some(problem)
    }

    /// As people read it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |goes_back: bool, head: &str| {
            let told: Vec<_> = self.classes.iter().filter(|jobs| jobs.goes_back == goes_back).map(JobsOfClass::line).collect();
            if !told.is_empty() {
                lines.push(head.to_owned());
                lines.extend(told);
            }
        };
        tell(false, "Job queues that are left out, by class of job (--queues safe, keep or only=CLASS,… loads some or all of them):");
        tell(true, "Jobs that go back, and will be done, again if they were done since the backup:");
        let (lists, hooks) = self.web_hooks;
        if hooks + self.dead > 0 {
            lines.push(format!(
                "What people look at goes back, whatever is chosen: {} of {}, {}.",
                several(hooks, "failed web hook", "failed web hooks"),
                several(lists, "provider", "providers"),
                several(self.dead, "dead job", "dead jobs")
            ));
        }
        let reports = self.classes.iter().filter(|jobs| !jobs.goes_back && jobs.class == REPORTS).map(|jobs| jobs.jobs).sum::<u64>();
        if reports > 0 {
            let wait = several(reports, "report of traffic waits", "reports of traffic wait");
            lines.push(format!("{wait} in queues that are left out: that traffic is not counted."));
        }
        if let Some(reports) = self.usage_in_flight.filter(|reports| *reports > 0) {
            lines.push(format!(
                "Usage in flight: {} not counted yet. What is in flight goes back, and is counted when Backend runs again; a report that is then older than 24 hours is refused and lost.",
                several(reports, "report of traffic of the master service was", "reports of traffic of the master service were")
            ));
        }
        lines
    }
}

fn several(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

impl JobsOfClass {
    fn line(&self) -> String {
        let what = match (self.safe, self.customer_visible) {
            (true, _) => "may be done twice",
            (false, Some(true)) => "customers see it",
            (false, Some(false)) => "not to be done twice",
            (false, None) => "nobody knows what it does",
        };
        format!("  {} {} {}: {} {} ({what})", self.data_set, self.database, self.queue, count(self.jobs), self.class)
    }
}
