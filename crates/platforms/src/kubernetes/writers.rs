//! The writers of an installation in pods: noted, held, stopped until their pods are gone, started as they were. [`plan::ports::Writers`].
//!
//! Every call looks first and changes only what is not so yet, so all may be repeated after a crash at any point. The numbers stand in three places: in the
//! journal, in an annotation of whatever was scaled to 0, and, while the APIManager is the way to hold the operator, in an annotation of that.
//!
//! What decides is pure and works on JSON (`who`, `note`, `patch`, `workload`, `pods`); what acts is here and in `look`, `hold`, `stop`, `start`, `restart`.

mod coming;
mod hold;
pub(super) mod look;
pub(super) mod note;
mod patch;
pub(super) mod pods;
mod readers;
mod restart;
mod start;
mod stop;
pub(super) mod wait;
pub(super) mod who;
pub(super) mod workload;

use std::time::Duration;

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Context, Event, Holds, Leftover, Noted, WriterGroup, Writers};

use self::note::{Holder, Note};
use super::client::Cluster;

pub use self::coming::hold_until_restored;
pub use self::readers::Changed;
pub use self::restart::restart_workload;
pub use self::workload::{Workload, WorkloadKind};

/// How writers are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritersOptions {
    /// How long to wait for pods to go, and for pods to be ready, in seconds. Slow deletion is normal.
    pub wait_seconds_max: u64,
    /// Where the operator cannot be scaled to 0: how long nothing may have come back before it counts as stopped, in seconds.
    pub settle_seconds: u64,
}

impl Default for WritersOptions {
    fn default() -> Self {
        Self { wait_seconds_max: 300, settle_seconds: 5 }
    }
}

/// The writers of the installation in a cluster's namespace.
#[derive(Clone)]
pub struct KubernetesWriters {
    cluster: Cluster,
    options: WritersOptions,
}

impl KubernetesWriters {
    /// Those of the cluster's namespace. Nothing is asked yet.
    #[must_use]
    pub fn new(cluster: Cluster, options: WritersOptions) -> Self {
        Self { cluster, options }
    }

    fn wait_max(&self) -> Duration {
        Duration::from_secs(self.options.wait_seconds_max)
    }
}

impl Writers for KubernetesWriters {
    fn note(&self, context: &Context, data_sets: &[DataSetName]) -> Result<Noted> {
        let seen = self.look_to_note()?;
        let note = Note::take(&seen, data_sets, &context.run)?;
        tell(context, &note);
        note.to_noted()
    }

    fn stop(&self, context: &Context, noted: &Noted) -> Result<()> {
        match Note::from_noted(noted)? {
            Some(note) if !note.writers.is_empty() => self.stop_all(context, &note),
            _ => Ok(()),
        }
    }

    fn stop_makers_of_jobs(&self, context: &Context, noted: &Noted) -> Result<bool> {
        match Note::from_noted(noted)? {
            Some(note) => self.stop_makers(context, &note).map(|()| true),
            None => Ok(false),
        }
    }

    fn start(&self, context: &Context, noted: &Noted, group: WriterGroup) -> Result<()> {
        match Note::from_noted(noted)? {
            Some(note) => self.start_group(context, &note, group),
            None => Ok(()),
        }
    }

    fn release(&self, context: &Context, noted: &Noted) -> Result<()> {
        match Note::from_noted(noted)? {
            Some(note) => self.let_go(context, &note),
            None => Ok(()),
        }
    }

    fn put_back(&self, context: &Context, noted: &Noted) -> Result<bool> {
        match Note::from_noted(noted)? {
            Some(note) if note.coming.is_some() => self.wait_again(context, &note).map(|()| false),
            _ => self.start_all(context, noted).map(|()| true),
        }
    }

    fn restart(&self, context: &Context, workloads: &[String]) -> Result<()> {
        let seen = look::workloads(&self.cluster)?;
        for wanted in workloads {
            let Some((kind, _)) = seen.workloads().find(|(_, object)| workload::name(object) == wanted) else { continue };
            restart_workload(&self.cluster, context, &Workload::new(kind, wanted), self.options.wait_seconds_max)?;
        }
        Ok(())
    }

    fn stopped(&self, _context: &Context) -> Result<Option<bool>> {
        self.nobody_runs().map(Some)
    }

    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        let seen = look::workloads(&self.cluster)?;
        let namespace = self.cluster.namespace();
        let found = seen.workloads().filter_map(|(kind, object)| {
            let run = workload::annotation(object, workload::RUN)?;
            let were = workload::annotation(object, workload::REPLICAS).unwrap_or("an unknown number");
            let (kind, name) = (kind.word(), workload::name(object));
            Some(Leftover {
                what: format!(
                    "{kind} {name} was scaled to 0 from {were}; by hand: kubectl -n {namespace} scale {kind}/{name} --replicas={were} && kubectl -n {namespace} \
                     annotate {kind}/{name} {}- {}-",
                    workload::RUN,
                    workload::REPLICAS
                ),
                run: run.to_owned(),
                installation: None,
                holds: Holds::Mark,
                bytes: None,
                handle: serde_json::Value::Null,
            })
        });
        Ok(found.collect())
    }

    fn can_stop(&self) -> bool {
        true
    }
}

/// What a person may want to know of a note.
fn tell(context: &Context, note: &Note) {
    for noted in &note.writers {
        if let Some(autoscaler) = &noted.autoscaler {
            context.watch.see(Event::Note(&format!(
                "{} is scaled by the HorizontalPodAutoscaler {autoscaler}: it does nothing at 0 replicas and resumes when they return",
                noted.workload
            )));
        }
        if let Some(number) = note.coming.as_ref().and_then(|coming| coming.number(noted.writer)) {
            context.watch.see(Event::Note(&format!("{} waits for its data: then there will be {number}", noted.workload)));
        } else if noted.replicas == 0 {
            context.watch.see(Event::Note(&format!("{} is at 0 already, and stays so", noted.workload)));
        }
    }
    if let Holder::ApiManager { why, enforced } = &note.holder {
        let held: Vec<_> =
            enforced.iter().filter(|one| one.replicas.is_some_and(|number| number > 0)).map(|one| one.writer.name()).collect();
        let how = if held.is_empty() {
            "it enforces no numbers here".to_owned()
        } else {
            format!("the APIManager's replicas are set to 0: {}", held.join(", "))
        };
        context.watch.see(Event::Note(&format!("the operator is not scaled: {why}; {how}")));
    }
}
