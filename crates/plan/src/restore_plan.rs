//! Decides how a set goes back: stage and prove everything while the installation serves, then cut over in the order of the sources of truth.

use std::collections::BTreeMap;

use crate::ids::{DataSetName, RunId, SetId};
use crate::manifest::KeptDataSet;
use crate::planned::{LargeValues, Plan, PlannedDataSet, Policies, Purpose, Steps};
use crate::ports::{Findings, LiveKey, Members, Problem, Road, Severity, SyncTask};
use crate::step::{Action, Counting, IdCounter, StepId};
use crate::words::bytes;
use crate::writers;

/// What was found about one data set that is to go back.
#[derive(Debug, Clone)]
pub struct Target {
    /// The store as found.
    pub findings: Findings,
    /// What goes back.
    pub kept: KeptDataSet,
    /// The road that was looked at: the best one open, or in place when that was asked for.
    pub road: Road,
    /// What stands in the way on that road.
    pub fits: Vec<Problem>,
    /// What staging leaves for the time when nobody writes ([`crate::ports::DataSet::rest`]).
    pub rest: Option<String>,
}

/// What the operator said about the writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritersAre {
    /// The program stops and starts them.
    Ours,
    /// The operator stopped them and says so.
    Stopped,
    /// Nobody stopped them, and the operator goes on all the same: what is written after the cut-over begins is lost.
    Running,
    /// The operator stops and starts them when asked, between the proof and the cut-over.
    ByHand,
}

/// What stands around the data sets of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// What the operator said about the writers.
    pub writers: WritersAre,
    /// Copies that can be made anew here.
    pub offers: Vec<SyncTask>,
    /// What the operator chose.
    pub policies: Policies,
    /// Workloads beside the writers that read objects which are overwritten.
    pub readers: Vec<String>,
    /// What a restore sets right beside what it loads.
    pub care: Care,
    /// The command that looks at what is staged before anything live is touched.
    pub look_first: Option<String>,
}

/// What a restore sets right beside what it loads. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Care {
    /// Counters of ids that must not rewind, and what is to be deleted and is not when System has it.
    pub ids: Option<IdsAhead>,
    /// The ticks that must not strike, and what is said of them.
    pub hold: Option<Hold>,
    /// Whether the program makes the configuration in Backend what System's rows want, where both go back: then nobody has to run 3scale's own task.
    pub rewrites_configuration: bool,
}

/// What [`Action::NoteIds`] and [`Action::KeepIdsAhead`] need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdsAhead {
    /// The data set that has them.
    pub data_set: DataSetName,
    /// The counters.
    pub counters: Vec<IdCounter>,
    /// As in [`Action::KeepIdsAhead`].
    pub pending_deletion: Option<(LiveKey, String)>,
    /// As in [`Action::KeepIdsAhead`].
    pub seen: Vec<(LiveKey, String)>,
}

/// What [`Action::HoldClock`] needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The data set that has them.
    pub data_set: DataSetName,
    /// The ticks of each job.
    pub ticks: Vec<Members>,
    /// What is counted.
    pub counts: Vec<Counting>,
    /// What is said of them.
    pub reason: String,
}

impl Around {
    /// The data set in which the program itself rewrites the configuration.
    pub(crate) fn rewritten<T>(&self, restored: &BTreeMap<DataSetName, T>) -> Option<DataSetName> {
        let both = [DataSetName::SystemDatabase, DataSetName::BackendRedis].iter().all(|name| restored.contains_key(name));
        (self.care.rewrites_configuration && both).then_some(DataSetName::BackendRedis)
    }

    /// Nothing can be made anew, and the operator chose nothing.
    #[must_use]
    pub fn just(writers: WritersAre) -> Self {
        Self { writers, offers: Vec::new(), policies: Policies::default(), readers: Vec::new(), care: Care::default(), look_first: None }
    }
}

/// Plans the restore of a set.
#[must_use]
pub fn plan_restore(run: RunId, set: SetId, targets: BTreeMap<DataSetName, Target>, around: &Around) -> Plan {
    let writers = around.writers;
    let mut steps = Steps::default();
    let mut reserved = BTreeMap::new();
    let mut ready = Vec::new();
    for (name, target) in targets.iter().filter(|(_, target)| target.road == Road::SideCopy) {
        let place =
            steps.add(Action::Reserve { data_set: *name, road: Road::SideCopy }, Vec::new(), "beside the live data, which goes on serving");
        let staged = steps.add(
            Action::Stage { data_set: *name, reserved: place },
            vec![place],
            format!("{} from the repository", bytes(target.kept.bytes)),
        );
        ready.push(steps.add(
            Action::Prove { data_set: *name, reserved: place },
            vec![staged],
            "read back and compared with the set's evidence",
        ));
        reserved.insert(*name, place);
    }
    let rewritten = around.rewritten(&targets);
    if let Some((name, place)) = rewritten.and_then(|name| Some((name, *reserved.get(&name)?))) {
        // The proof compares with the set; and no row is taken from a set whose copy is not proven, where that can be waited for.
        let action = Action::RewriteConfiguration { data_set: name, reserved: place };
        ready.push(steps.add(
            action,
            ready.clone(),
            "from System's rows of the set, before anybody reads it: only what differs is written",
        ));
    }
    if let Some(command) = around.look_first.clone().filter(|_| !reserved.is_empty()) {
        let staged = reserved.iter().map(|(name, place)| (*name, *place)).collect();
        let reason =
            "everything that is staged is proven, and the installation serves as before: what follows waits until the command ends with 0";
        ready = vec![steps.add(Action::LookFirst { command, staged }, ready, reason)];
    }
    let mut last = ready;
    let written = writers::written(targets.keys());
    let stops_writers = matches!(writers, WritersAre::Ours | WritersAre::ByHand) && !written.is_empty();
    let noted = stops_writers.then(|| {
        let note = Action::NoteWriters { data_sets: written.clone() };
        steps.add(note, std::mem::take(&mut last), "their numbers are on record before the first is stopped")
    });
    if let Some(noted) = noted {
        let how = if writers == WritersAre::Ours { "" } else { " (by hand: you are asked)" };
        let reason = format!("everything is verified; the installation is down from here{how}");
        last = vec![steps.add(Action::StopWriters { noted, drain: None }, vec![noted], reason)];
    }
    let ids = around.care.ids.clone().map(|IdsAhead { data_set, counters, pending_deletion, seen }| {
        let note = Action::NoteIds { data_set, counters };
        let noted = steps.add(note, std::mem::take(&mut last), "no id is given twice: what is live counts too");
        last.push(noted);
        (data_set, pending_deletion, seen, noted)
    });
    // Where there is no live data, there is nothing to take a copy of.
    let replaces = |target: &Target| target.road == Road::InPlace && !target.findings.is_gone;
    let in_place: Vec<_> = targets.iter().filter(|(_, target)| replaces(target)).map(|(name, _)| *name).collect();
    if !in_place.is_empty() {
        let action = Action::SafetyCopy { data_sets: in_place };
        last = vec![steps.add(action, last, "what is replaced in place is kept in the repository first")];
    }
    let mut rests = Vec::new();
    for (name, target) in &targets {
        if let (Some(reason), Some(place)) = (&target.rest, reserved.get(name)) {
            let load = Action::LoadRest { data_set: *name, reserved: *place };
            rests.push(steps.add(load, with(last.clone(), *place), reason.clone()));
        }
    }
    let loads_rest = !rests.is_empty();
    if loads_rest {
        last = rests;
    }
    for (name, target) in &targets {
        let (done, place) = cut_over(&mut steps, *name, target.road, reserved.get(name).copied(), last);
        last = vec![done];
        if rewritten == Some(*name) && !reserved.contains_key(name) {
            let action = Action::RewriteConfiguration { data_set: *name, reserved: place };
            last = vec![steps.add(action, last, "from System's rows of the set: only what differs is written")];
        }
    }
    if let Some((data_set, pending_deletion, seen, noted)) = ids {
        let reason = "behind System's rows, new events would be taken for old ones; what System has is not deleted at night";
        last = vec![steps.add(Action::KeepIdsAhead { data_set, noted, pending_deletion, seen }, with(last, noted), reason)];
    }
    if let Some(Hold { data_set, ticks, counts, reason }) = around.care.hold.clone() {
        last = vec![steps.add(Action::HoldClock { data_set, ticks, counts }, last, reason)];
    }
    let mut problems = writers_problems(writers);
    problems.extend(unseen_problem(around, targets.iter().map(|(name, target)| (*name, target.road))));
    problems.extend(large_values_problem(around, targets.keys(), loads_rest));
    if let Some(noted) = noted {
        let is_made_anew = |task: &SyncTask| *task == SyncTask::BackendConfiguration && rewritten.is_some();
        let offers: Vec<_> = around.offers.iter().copied().filter(|task| !is_made_anew(task)).collect();
        writers::start_again(&mut steps, noted, &written, &Around { offers, ..around.clone() }, last);
    } else {
        writers::restart_readers(&mut steps, around, last);
    }
    if noted.is_none() && !around.offers.is_empty() && !written.is_empty() {
        let rewrite = if rewritten.is_some() { "" } else { "backend:storage:rewrite, " };
        problems.push(
            Problem::new(Severity::Degrades, "copies of what is restored are not made anew: this run does not start the writers")
                .way_out(format!("Afterwards run {rewrite}searchd:optimal_index and zync:resync:domains in system-sidekiq.")),
        );
    }
    let data_sets = targets
        .into_iter()
        .map(|(name, target)| {
            let mut problems = target.findings.restore_problems.clone();
            let no_copy = |problem: &Problem| Problem {
                text: format!("no safety copy can be taken, and nothing is replaced in place without one: {}", problem.text),
                ..problem.clone()
            };
            if target.road == Road::InPlace && !target.findings.is_gone {
                let blocks = target.findings.backup_problems.iter().filter(|problem| problem.severity == Severity::Blocks);
                problems.extend(blocks.filter(|problem| !target.findings.restore_problems.contains(problem)).map(no_copy));
            }
            // What matters for every set, or was known when this one was taken, may be found again for it.
            for problem in target.fits.into_iter().chain(said_by_backup(&target.kept)) {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            (name, PlannedDataSet { road: target.road, findings: target.findings, kept: Some(target.kept), problems })
        })
        .collect();
    Plan { policies: around.policies.clone(), data_sets, problems, steps: steps.into_vec(), ..Plan::of(Purpose::Restore, run, set) }
}

fn with(mut needs: Vec<StepId>, also: StepId) -> Vec<StepId> {
    if !needs.contains(&also) {
        needs.push(also);
    }
    needs
}

/// What the backup said of the server that it was taken from. Whether this server refuses it is asked of this server.
fn said_by_backup(kept: &KeptDataSet) -> impl Iterator<Item = Problem> {
    kept.problems.iter().map(|problem| Problem {
        severity: problem.severity.min(Severity::Degrades),
        text: format!("the backup said: {}", problem.text),
        way_out: problem.way_out.clone(),
    })
}

/// Plans a rehearsal: the same road in throw-away servers, where nobody writes, the cut-over too.
#[must_use]
pub fn plan_rehearsal(run: RunId, set: SetId, targets: BTreeMap<DataSetName, Target>) -> Plan {
    let mut plan = plan_restore(run, set, targets, &Around::just(WritersAre::Stopped));
    plan.purpose = Purpose::Rehearse;
    let is_of_it =
        |action: &Action| matches!(action, Action::Reserve { .. } | Action::Stage { .. } | Action::Prove { .. } | Action::CutOver { .. });
    plan.steps.retain(|step| is_of_it(&step.action));
    let kept: Vec<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let proofs: Vec<StepId> = plan.steps.iter().filter(|step| matches!(step.action, Action::Prove { .. })).map(|step| step.id).collect();
    for step in &mut plan.steps {
        step.needs.retain(|id| kept.contains(id));
        if matches!(step.action, Action::Reserve { .. }) {
            step.reason = "in a throw-away server".to_owned();
        }
        if matches!(step.action, Action::CutOver { .. }) {
            // What was between them, stopping the writers, is not there.
            step.needs.extend(&proofs);
        }
    }
    plan
}

/// The last step of a cut-over, and the one that reserved the place.
fn cut_over(steps: &mut Steps, name: DataSetName, road: Road, reserved: Option<StepId>, last: Vec<StepId>) -> (StepId, StepId) {
    let order = match name {
        DataSetName::KubernetesObjects => "first: Secrets and ConfigMaps that the others are reached and read with",
        DataSetName::SystemDatabase => "the source of truth, before its copies; its tables go on to give ids where the live ones do",
        DataSetName::SystemStorage => "after the rows that name the files",
        DataSetName::ZyncDatabase => "derived from System",
        DataSetName::BackendRedis => "after System, whose configuration it copies",
        DataSetName::SystemRedis => "last: its jobs refer to all the others",
    };
    match (road, reserved) {
        (Road::SideCopy, Some(place)) => {
            let mut needs = last;
            if !needs.contains(&place) {
                needs.push(place);
            }
            (steps.add(Action::CutOver { data_set: name, reserved: place }, needs, order), place)
        }
        _ => {
            let place = steps.add(Action::Reserve { data_set: name, road: Road::InPlace }, last, order);
            let staged = steps.add(Action::Stage { data_set: name, reserved: place }, vec![place], "over the live data");
            let proven = Action::Prove { data_set: name, reserved: place };
            (steps.add(proven, vec![staged], "read back and compared with the set's evidence"), place)
        }
    }
}

/// What `--then` cannot look at before it is live.
fn unseen_problem(around: &Around, roads: impl Iterator<Item = (DataSetName, Road)>) -> Option<Problem> {
    around.look_first.as_ref()?;
    let (in_place, staged): (Vec<_>, Vec<_>) = roads.partition(|(_, road)| *road == Road::InPlace);
    if staged.is_empty() {
        let text = "--then looks at what is staged beside the live data, and nothing is: all of it goes back in place";
        return Some(
            Problem::new(Severity::Blocks, text).way_out("Leave --then out, or make room beside the live data (`doctor` says what lacks)."),
        );
    }
    let names: Vec<_> = in_place.iter().map(|(name, _)| name.as_str()).collect();
    (!names.is_empty()).then(|| {
        Problem::new(Severity::Degrades, format!("--then does not see {}: what goes back in place is loaded after it", names.join(", ")))
    })
}

/// Where `--large-values during-stop` has nothing to work on, or no stop.
fn large_values_problem<'a>(around: &Around, mut names: impl Iterator<Item = &'a DataSetName>, loads_rest: bool) -> Option<Problem> {
    if around.policies.large_values != LargeValues::DuringStop {
        return None;
    }
    if loads_rest && around.writers == WritersAre::Running {
        let text = "the writers are not stopped: a server stands still for them, too, while the values are loaded that --large-values during-stop left for the stop";
        return Some(Problem::new(Severity::Degrades, text));
    }
    let has_redis = names.any(|name| matches!(name, DataSetName::BackendRedis | DataSetName::SystemRedis));
    (!has_redis).then(|| Problem::new(Severity::Note, "--large-values during-stop changes nothing: no data set of Redis goes back"))
}

fn writers_problems(writers: WritersAre) -> Vec<Problem> {
    match writers {
        WritersAre::Ours | WritersAre::Stopped => Vec::new(),
        WritersAre::Running => vec![Problem::new(
            Severity::Degrades,
            "the writers are not stopped: what they write after the cut-over begins is lost, and the stores may contradict each other",
        )],
        WritersAre::ByHand => vec![
            Problem::new(Severity::Note, "the writers must be stopped by hand before the cut-over").way_out(
                "Stop system-app, system-sidekiq, backend-listener, backend-worker, backend-cron, zync and zync-que when asked, or before and say \
                 --writers-are-stopped; or set [writers] stop, start and stopped.",
            ),
        ],
    }
}
