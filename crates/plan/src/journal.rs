//! Journal rules: which record may follow which, and what is left to do. Pure; the runner stores the records. The format is documented in
//! `docs/journal-format.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::manifest::Agreement;
use crate::planned::{Plan, Purpose};
use crate::ports::Place;
use crate::step::{Action, IdCounter, Output, Step, StepId};
use crate::{Class, Error, Result};

/// The journal format that this program writes: `major.minor`.
pub const FORMAT: &str = "3.5";
/// The oldest major format that this program reads and goes on with.
const MAJOR_MIN: u32 = 2;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
pub enum Record {
    /// The first record: the whole plan.
    Opened {
        /// The journal format.
        format: String,
        /// The program that wrote it.
        program_version: String,
        /// The plan.
        plan: Box<Plan>,
    },
    /// A step is about to act. On stable storage before anything changes.
    Started {
        /// The step.
        step: StepId,
    },
    /// A step is done.
    Succeeded {
        /// The step.
        step: StepId,
        /// Its only memory.
        output: Output,
    },
    /// A step failed; it may be started again.
    Failed {
        /// The step.
        step: StepId,
        /// What the error means.
        class: Class,
        /// The error, with its causes and hints, without secrets.
        error: String,
    },
    /// All steps are done. What was replaced is kept until it is settled.
    Finished,
    /// The operator wants it taken back.
    UndoOpened,
    /// A step is about to be taken back.
    UndoStarted {
        /// The step.
        step: StepId,
    },
    /// A step was taken back.
    UndoSucceeded {
        /// The step.
        step: StepId,
        /// How far counters of ids were counted on since the step raised them: what is put back in place of theirs goes on from there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reached: Vec<(IdCounter, u64)>,
    },
    /// Taking back failed; it may be tried again.
    UndoFailed {
        /// The step.
        step: StepId,
        /// The error.
        error: String,
    },
    /// All is as it was before the run.
    Undone,
    /// What was kept is about to be dropped. From here there is no undo.
    SettleStarted,
    /// What was kept is dropped.
    Settled,
    /// The live stores were compared when all was done.
    Compared {
        /// What was found.
        #[serde(flatten)]
        compared: Compared,
    },
    /// The run is taken over from a copy of its journal, which may lag behind the one that it is a copy of: any step may have been begun, or done.
    TakenOver {
        /// The machine that takes it over.
        host: String,
    },
    /// A person ended the run as it is. What stayed is named.
    Abandoned {
        /// What stays, and where, for people.
        stays: Vec<String>,
    },
}

/// How the live stores agreed when a run had done all its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Differences by rank.
    pub agreement: Agreement,
    /// The first of them, for people; never a credential.
    pub first: Vec<String>,
}

/// How far a step came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not started.
    Waiting,
    /// Started, and nothing more is known: it acted wholly, in part or not at all.
    Started,
    /// Done.
    Succeeded(Output),
    /// Failed, wholly or in part.
    Failed(String),
    /// Being taken back.
    Undoing,
    /// Taken back.
    Undone,
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Under way, or interrupted.
    Open,
    /// Done; the previous data is kept.
    Finished,
    /// Being taken back, or interrupted while it was.
    Undoing,
    /// Taken back.
    Undone,
    /// What was kept is being dropped.
    Settling,
    /// Nothing is kept any more.
    Settled,
    /// Ended by a person as it was.
    Abandoned,
}

/// What is known of the writers of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritersState {
    /// The run does not hold them.
    NotHeld,
    /// The run stopped them, all of them, and has started none since.
    Stopped,
    /// The run began to stop or to start them, and did not end it: some may run.
    Unknown,
}

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct Run {
    /// The plan.
    pub plan: Plan,
    /// How far it came.
    pub state: RunState,
    /// How far each step came.
    pub steps: BTreeMap<StepId, StepState>,
    /// The places that were reserved: known whatever became of the step since.
    places: BTreeMap<StepId, Place>,
    /// What steps said of counters of ids, kept for an undo that is called again.
    ids: BTreeMap<StepId, Output>,
    /// How far counters of ids were counted on that the undo found ([`Record::UndoSucceeded`]).
    pub reached: Vec<(IdCounter, u64)>,
    /// Whether the journal was taken over from a copy that may lag behind ([`Record::TakenOver`]).
    pub is_taken_over: bool,
    /// How the live stores agreed when it was done, where they were compared.
    pub compared: Option<Compared>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the last record was written.
    pub last_at: Timestamp,
}

impl Run {
    /// Begins with the first line of a journal.
    ///
    /// # Errors
    /// [`Class::NeedsPerson`] when it is not an `opened` record of a format that this program reads.
    pub fn open(line: Line) -> Result<Self> {
        let Record::Opened { format, plan, .. } = line.record else {
            return Err(Error::needs_person("the journal does not begin with the record `opened`"));
        };
        let major = |format: &str| format.split('.').next().and_then(|text| text.parse::<u32>().ok());
        if !major(&format).is_some_and(|found| found >= MAJOR_MIN && Some(found) <= major(FORMAT)) {
            return Err(Error::refused(format!("the journal has format {format}, this program writes {FORMAT}"))
                .hint("Use the version of threescale-backup that began the run."));
        }
        let steps = plan.steps.iter().map(|step| (step.id, StepState::Waiting)).collect();
        Ok(Self {
            plan: *plan,
            state: RunState::Open,
            steps,
            places: BTreeMap::new(),
            ids: BTreeMap::new(),
            reached: Vec::new(),
            is_taken_over: false,
            compared: None,
            opened_at: line.at,
            last_at: line.at,
        })
    }

    /// Adds a record, refusing one that cannot follow.
    ///
    /// # Errors
    /// [`Class::NeedsPerson`] when the record cannot follow those before it.
    pub fn apply(&mut self, line: Line) -> Result<()> {
        self.last_at = line.at;
        let illegal = |what: &str| Err(Error::needs_person(format!("the journal contradicts itself: {what}")));
        match (self.state, line.record) {
            (RunState::Open, Record::Started { step }) => match self.step_state(step)? {
                StepState::Waiting | StepState::Started | StepState::Failed(_) if self.needs_are_met(step) => {
                    self.set(step, StepState::Started)
                }
                // A backup is taken up from its start: an earlier view would be older than the others.
                StepState::Succeeded(_) if self.plan.purpose == Purpose::Backup => self.set(step, StepState::Started),
                state => return illegal(&format!("step {step} started while {state:?}")),
            },
            (RunState::Open, Record::Succeeded { step, output }) => match self.step_state(step)? {
                StepState::Started => {
                    if let Output::Reserved { place, .. } = &output {
                        self.places.insert(step, place.clone());
                    }
                    if matches!(output, Output::Ids { .. }) {
                        self.ids.insert(step, output.clone());
                    }
                    self.set(step, StepState::Succeeded(output))
                }
                state => return illegal(&format!("step {step} succeeded while {state:?}")),
            },
            (RunState::Open, Record::Failed { step, error, .. }) => match self.step_state(step)? {
                StepState::Started => self.set(step, StepState::Failed(error)),
                state => return illegal(&format!("step {step} failed while {state:?}")),
            },
            (RunState::Open, Record::Finished) if self.outstanding().is_empty() => self.state = RunState::Finished,
            (RunState::Finished, Record::Compared { compared }) => self.compared = Some(compared),
            (RunState::Open | RunState::Finished | RunState::Undoing, Record::UndoOpened) => self.state = RunState::Undoing,
            (RunState::Undoing, Record::UndoStarted { step }) => match self.step_state(step)? {
                StepState::Started | StepState::Succeeded(_) | StepState::Failed(_) | StepState::Undoing => {
                    self.set(step, StepState::Undoing)
                }
                StepState::Waiting if self.is_taken_over => self.set(step, StepState::Undoing),
                state => return illegal(&format!("undo of step {step} started while {state:?}")),
            },
            (RunState::Undoing, Record::UndoSucceeded { step, reached }) => match self.step_state(step)? {
                StepState::Undoing => {
                    self.reached.extend(reached);
                    self.set(step, StepState::Undone);
                }
                state => return illegal(&format!("undo of step {step} succeeded while {state:?}")),
            },
            (RunState::Undoing, Record::UndoFailed { step, .. }) => match self.step_state(step)? {
                StepState::Undoing => {}
                state => return illegal(&format!("undo of step {step} failed while {state:?}")),
            },
            (RunState::Undoing, Record::Undone) => self.state = RunState::Undone,
            (RunState::Finished | RunState::Settling, Record::SettleStarted) => self.state = RunState::Settling,
            (RunState::Settling, Record::Settled) => self.state = RunState::Settled,
            (RunState::Open | RunState::Finished | RunState::Undoing | RunState::Settling, Record::TakenOver { .. }) => {
                self.is_taken_over = true;
            }
            (state, Record::Abandoned { .. }) if state != RunState::Abandoned => self.state = RunState::Abandoned,
            (state, record) => return illegal(&format!("record {record:?} while the run is {state:?}")),
        }
        Ok(())
    }

    /// The steps that are still to be done, in the order of the plan.
    #[must_use]
    pub fn outstanding(&self) -> Vec<&Step> {
        let is_open = |step: &&Step| !matches!(self.steps.get(&step.id), Some(StepState::Succeeded(_) | StepState::Undone));
        self.plan.steps.iter().filter(is_open).collect()
    }

    /// The output of a step that succeeded.
    #[must_use]
    pub fn output(&self, id: StepId) -> Option<&Output> {
        match self.steps.get(&id) {
            Some(StepState::Succeeded(output)) => Some(output),
            _ => None,
        }
    }

    /// What a step said of counters of ids, also when it is being taken back.
    #[must_use]
    pub fn ids(&self, id: StepId) -> Option<&Output> {
        self.ids.get(&id)
    }

    /// The place that a step reserved, also when it was given back since: an undo that failed half way must find what is still there.
    #[must_use]
    pub fn place(&self, id: StepId) -> Option<&Place> {
        self.places.get(&id)
    }

    /// Whether anything of the live installation was or may have been replaced.
    #[must_use]
    pub fn has_cut_over(&self) -> bool {
        self.plan.steps.iter().any(|step| match &step.action {
            Action::CutOver { .. } => self.was_begun(step.id),
            Action::Stage { reserved, .. } => self.is_in_place(*reserved) && self.was_begun(step.id),
            Action::RepairKeys { .. } | Action::ChangeRows { .. } | Action::PutFiles { .. } => self.was_begun(step.id),
            // Of a restore it is beside what was replaced.
            Action::KeepIdsAhead { .. } => self.plan.purpose == Purpose::Repair && self.was_begun(step.id),
            Action::Dump { .. }
            | Action::WriteManifest
            | Action::Reserve { .. }
            | Action::Prove { .. }
            | Action::RewriteConfiguration { .. }
            | Action::KeepKeys { .. }
            | Action::KeepRows { .. }
            | Action::StageFiles { .. }
            | Action::MergeKeys { .. }
            | Action::LoadRest { .. }
            | Action::LookFirst { .. }
            | Action::NoteWriters { .. }
            | Action::StopWriters { .. }
            | Action::SafetyCopy { .. }
            | Action::NoteIds { .. }
            | Action::HoldClock { .. }
            | Action::StartWriters { .. }
            | Action::Synchronise { .. }
            | Action::RestartReaders { .. }
            | Action::ReleaseWriters { .. } => false,
        })
    }

    /// Whether another cut-over than this one was begun.
    #[must_use]
    pub fn has_cut_over_before(&self, id: StepId) -> bool {
        let is_other = |step: &&Step| step.id != id && matches!(step.action, Action::CutOver { .. });
        self.plan.steps.iter().filter(is_other).any(|step| self.was_begun(step.id))
    }

    /// What is known of the writers that this run stops.
    #[must_use]
    pub fn writers(&self) -> WritersState {
        if !self.holds_writers() {
            return WritersState::NotHeld;
        }
        let is_stop = |step: &&Step| matches!(step.action, Action::StopWriters { .. });
        let is_start = |step: &&Step| matches!(step.action, Action::StartWriters { .. });
        let is_stopped = self.plan.steps.iter().filter(is_stop).all(|step| self.output(step.id).is_some());
        let none_starts = !self.plan.steps.iter().filter(is_start).any(|step| self.was_begun(step.id));
        if is_stopped && none_starts { WritersState::Stopped } else { WritersState::Unknown }
    }

    /// Whether this run may have stopped the writers, and they are not all started again, or who was held is not let go.
    #[must_use]
    pub fn holds_writers(&self) -> bool {
        let was_stopped = self.plan.steps.iter().any(|step| matches!(step.action, Action::StopWriters { .. }) && self.was_begun(step.id));
        let is_start = |step: &&Step| matches!(step.action, Action::StartWriters { .. } | Action::ReleaseWriters { .. });
        let is_done = |step: &Step| matches!(self.steps.get(&step.id), Some(StepState::Succeeded(_)));
        was_stopped && !self.plan.steps.iter().filter(is_start).all(is_done)
    }

    /// Whether the reserved place is the live data itself.
    #[must_use]
    pub fn is_in_place(&self, reserved: StepId) -> bool {
        use crate::ports::Road;
        self.plan.step(reserved).is_some_and(|step| matches!(step.action, Action::Reserve { road: Road::InPlace, .. }))
    }

    /// Whether a step may have acted and was not taken back.
    #[must_use]
    pub fn was_begun(&self, id: StepId) -> bool {
        match self.steps.get(&id) {
            None | Some(StepState::Undone) => false,
            Some(StepState::Waiting) => self.is_taken_over && self.could_have_begun(id),
            Some(StepState::Started | StepState::Succeeded(_) | StepState::Failed(_) | StepState::Undoing) => true,
        }
    }

    /// Whether what a step works with is on record. Copies of journals are made before data is replaced in place, and after its safety copy was taken.
    fn could_have_begun(&self, id: StepId) -> bool {
        let Some(step) = self.plan.step(id) else { return false };
        match &step.action {
            Action::CutOver { reserved, .. }
            | Action::MergeKeys { reserved, .. }
            | Action::StageFiles { reserved, .. }
            | Action::PutFiles { reserved, .. } => self.output(*reserved).is_some(),
            Action::Stage { reserved, .. } => self.output(*reserved).is_some() && !self.is_in_place(*reserved),
            Action::StopWriters { noted, .. } | Action::StartWriters { noted, .. } | Action::ReleaseWriters { noted } => {
                self.output(*noted).is_some()
            }
            Action::RepairKeys { kept, .. } | Action::ChangeRows { kept, .. } => self.output(*kept).is_some(),
            // The plan says which ticks they are.
            Action::HoldClock { .. } => true,
            Action::Dump { .. }
            | Action::WriteManifest
            | Action::RestartReaders { .. }
            | Action::Reserve { .. }
            | Action::Prove { .. }
            | Action::RewriteConfiguration { .. }
            | Action::KeepKeys { .. }
            | Action::KeepRows { .. }
            | Action::LoadRest { .. }
            | Action::LookFirst { .. }
            | Action::NoteWriters { .. }
            | Action::SafetyCopy { .. }
            | Action::NoteIds { .. }
            | Action::KeepIdsAhead { .. }
            | Action::Synchronise { .. } => false,
        }
    }

    fn needs_are_met(&self, id: StepId) -> bool {
        self.plan.step(id).is_some_and(|step| step.needs.iter().all(|need| self.output(*need).is_some()))
    }

    fn step_state(&self, id: StepId) -> Result<&StepState> {
        self.steps.get(&id).ok_or_else(|| Error::needs_person(format!("the journal names step {id}, which is not in its plan")))
    }

    fn set(&mut self, id: StepId, state: StepState) {
        self.steps.insert(id, state);
    }
}
