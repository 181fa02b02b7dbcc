//! Steps: the closed vocabulary of what a run does. A new data set needs no new kind of step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::ids::{DataSetName, SetId, SnapshotId};
use crate::manifest::KeptDataSet;
use crate::ports::{LiveKey, Members, MergedClass, Merging, Noted, Place, Road, SyncTask, WriterGroup};
use crate::words::in_one_line;

/// A step's number in its plan, counted from 1 as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a step does. Each action says how a step that was started and not finished is taken up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Action {
    /// Open a consistent view of a data set and keep its dump. Taken up: from the start; what was stored is reused.
    Dump {
        /// The data set.
        data_set: DataSetName,
        /// Its view is opened when that one's is open: what refers to something is never older than it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_view_of: Option<DataSetName>,
    },
    /// Write the manifest that makes the set exist. Taken up: by writing it, if it is not there.
    WriteManifest,
    /// Choose where the staged copy will be. Changes nothing. Taken up: from the start.
    Reserve {
        /// The data set.
        data_set: DataSetName,
        /// The road it goes back.
        road: Road,
    },
    /// Load a snapshot into the reserved place. Taken up: the place is cleared and loaded again.
    Stage {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Read the staged data back and compare it with the set's evidence. Changes nothing.
    Prove {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Make the configuration in a copy of Backend what the rows of System that go back want it to be, by the program itself: in the staged copy, or in the live data where it
    /// was replaced in place. Taken up: again from the set, which changes nothing more. Taken back with the data set.
    RewriteConfiguration {
        /// The data set that has it.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Work out what has to be set right in the live keys of a store, and keep what they have in the repository. Changes no key. Taken up: from the start.
    KeepKeys {
        /// The data set.
        data_set: DataSetName,
        /// The logical database, by its label.
        database: String,
        /// What is set right.
        #[serde(flatten)]
        wanted: WantedRepairs,
    },
    /// Set the keys right that were kept, each only if it still is what was looked at. Taken up: from the start; what is right already stays. Undone: each gets what it had, if
    /// it still is as it was left.
    RepairKeys {
        /// The data set.
        data_set: DataSetName,
        /// The logical database, by its label.
        database: String,
        /// The step that kept them.
        kept: StepId,
    },
    /// Work out which live rows of a tenant are not as the set has them, and keep what they are and what they become in the repository. Changes no row. Taken up: from the start.
    KeepRows {
        /// The data set.
        data_set: DataSetName,
        /// Whose.
        whose: RowsOwner,
    },
    /// Make the rows that were kept what the set has, all of them or none, each only if it still is what was looked at. Taken up: where it was done it is not done again. Undone: each
    /// becomes what it was, if it still is as it was left.
    ChangeRows {
        /// The data set.
        data_set: DataSetName,
        /// The step that kept them.
        kept: StepId,
    },
    /// Load into the reserved place those files of a tenant that are not live as the set has them, and prove them. Taken up: loaded again.
    StageFiles {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
        /// Whose.
        whose: RowsOwner,
    },
    /// Put the staged files in, each in the moment of a rename; what was there is kept at the place, all other files stay. Taken up: goes on. Undone: what was there is put back.
    PutFiles {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Let a command of the operator's look at what is staged, before anything live is touched. What follows waits until it ends with 0. Changes nothing. Taken up: run again.
    LookFirst {
        /// For `sh -c`.
        command: String,
        /// What is staged: the data set, and the step that reserved its place.
        staged: Vec<(DataSetName, StepId)>,
    },
    /// Note how many writers there are and who holds them to that number. Changes nothing. A step of its own: what stopping destroys is journaled before.
    NoteWriters {
        /// The data sets whose writers will be stopped.
        data_sets: Vec<DataSetName>,
    },
    /// Hold who would start the writers again, stop them and wait until they are gone. Taken up: stopped again, which is harmless.
    StopWriters {
        /// The step that noted them.
        noted: StepId,
        /// Jobs that are to be done before: who makes them is stopped first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drain: Option<Drain>,
    },
    /// Load into the reserved place what staging left for the time when nobody writes, and prove that alone. Taken up: loaded again.
    LoadRest {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Take a set of the data sets that are about to be replaced in place. Taken up: from the start.
    SafetyCopy {
        /// The data sets.
        data_sets: Vec<DataSetName>,
    },
    /// Swap the staged copy and the live data. Taken up: the data set looks how far it came and goes on.
    CutOver {
        /// The data set.
        data_set: DataSetName,
        /// The step that reserved the place.
        reserved: StepId,
    },
    /// Put keys of some classes into the live data, which stays. Taken up: it goes on, and nothing is added twice. Taken back: what it added goes, what was counted
    /// since stays.
    MergeKeys {
        /// The data set that has them.
        data_set: DataSetName,
        /// The step that reserved the place for what it takes to take that back.
        reserved: StepId,
        /// Which, and how.
        merging: Merging,
        /// Counters whose ids System has had, where it can be asked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ids: Vec<IdCounter>,
    },
    /// Note the counters of ids that are live, before they are replaced. Changes nothing.
    NoteIds {
        /// The data set that has them.
        data_set: DataSetName,
        /// The counters.
        counters: Vec<IdCounter>,
    },
    /// Raise counters of ids to what was noted and to what System's rows have had, and keep what is in System from being deleted. Taken up: raised again, which
    /// is harmless. Taken back where nobody counted on since: an id that was given is not given again.
    KeepIdsAhead {
        /// The data set that has them.
        data_set: DataSetName,
        /// The step that noted them.
        noted: StepId,
        /// The set of what is to be deleted, and the table of System whose rows are not. Absent where System's database cannot be asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pending_deletion: Option<(LiveKey, String)>,
        /// Sets of ids that have been given, each with the table of System that gives no such id again. Only where that table goes back in the same run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<(LiveKey, String)>,
    },
    /// Put the ticks of jobs that the clock starts where they count as done. Taken up: put there again. Undone: they are removed.
    HoldClock {
        /// The data set that has them.
        data_set: DataSetName,
        /// The ticks of each job.
        ticks: Vec<Members>,
        /// What the jobs would find to do when they strike next, to be counted while System's rows are those that go back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        counts: Vec<Counting>,
    },
    /// Start writers as they were noted. Taken up: started again, which is harmless.
    StartWriters {
        /// The step that noted them.
        noted: StepId,
        /// Which, in the order of the list.
        groups: Vec<WriterGroup>,
    },
    /// Make a copy anew from its source of truth. Taken up: a task that still goes on is waited for, else it is run again.
    Synchronise {
        /// The copy.
        task: SyncTask,
    },
    /// Make the pods of workloads anew, one after the other, that read objects which were overwritten. Taken up: again, which is harmless.
    RestartReaders {
        /// Their names.
        readers: Vec<String>,
    },
    /// Let go who was held while the writers were stopped. Taken up: let go again, which is harmless.
    ReleaseWriters {
        /// The step that noted them.
        noted: StepId,
    },
}

impl Action {
    /// The data set that the action is about, when it is about one.
    #[must_use]
    pub const fn data_set(&self) -> Option<DataSetName> {
        match self {
            Self::Dump { data_set, .. }
            | Self::Reserve { data_set, .. }
            | Self::Stage { data_set, .. }
            | Self::Prove { data_set, .. }
            | Self::RewriteConfiguration { data_set, .. }
            | Self::KeepKeys { data_set, .. }
            | Self::RepairKeys { data_set, .. }
            | Self::KeepRows { data_set, .. }
            | Self::ChangeRows { data_set, .. }
            | Self::StageFiles { data_set, .. }
            | Self::PutFiles { data_set, .. }
            | Self::LoadRest { data_set, .. }
            | Self::CutOver { data_set, .. }
            | Self::MergeKeys { data_set, .. }
            | Self::NoteIds { data_set, .. }
            | Self::KeepIdsAhead { data_set, .. }
            | Self::HoldClock { data_set, .. } => Some(*data_set),
            Self::WriteManifest
            | Self::LookFirst { .. }
            | Self::NoteWriters { .. }
            | Self::StopWriters { .. }
            | Self::SafetyCopy { .. }
            | Self::StartWriters { .. }
            | Self::Synchronise { .. }
            | Self::RestartReaders { .. }
            | Self::ReleaseWriters { .. } => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dump { data_set, .. } => write!(f, "dump {data_set}"),
            Self::WriteManifest => f.write_str("write the manifest"),
            Self::Reserve { data_set, .. } => write!(f, "reserve a place for {data_set}"),
            Self::Stage { data_set, .. } => write!(f, "stage {data_set}"),
            Self::Prove { data_set, .. } => write!(f, "prove {data_set}"),
            Self::RewriteConfiguration { data_set, .. } => write!(f, "rewrite the configuration in {data_set}"),
            Self::KeepKeys { data_set, .. } => write!(f, "keep what is set right in {data_set}"),
            Self::RepairKeys { data_set, .. } => write!(f, "set keys right in {data_set}"),
            Self::KeepRows { data_set, .. } => write!(f, "keep the rows of {data_set} that change"),
            Self::ChangeRows { data_set, .. } => write!(f, "change the rows of {data_set}"),
            Self::StageFiles { data_set, .. } => write!(f, "stage files of the tenant beside {data_set}"),
            Self::PutFiles { data_set, .. } => write!(f, "put files into {data_set}"),
            Self::LoadRest { data_set, .. } => write!(f, "load the rest of {data_set}"),
            Self::LookFirst { .. } => f.write_str("look at what is staged"),
            Self::NoteWriters { .. } => f.write_str("note the writers"),
            Self::StopWriters { .. } => f.write_str("stop the writers"),
            Self::SafetyCopy { data_sets } => {
                let names: Vec<_> = data_sets.iter().map(|name| name.as_str()).collect();
                write!(f, "take a safety copy of {}", names.join(", "))
            }
            Self::CutOver { data_set, .. } => write!(f, "cut over {data_set}"),
            Self::MergeKeys { data_set, merging, .. } => write!(f, "merge {} into {data_set}", merging.classes.join(", ")),
            Self::NoteIds { .. } => f.write_str("note the counters of ids"),
            Self::KeepIdsAhead { .. } => f.write_str("keep the counters of ids ahead"),
            Self::HoldClock { .. } => f.write_str("hold the clock"),
            Self::StartWriters { groups, .. } if groups.len() == WriterGroup::ALL.len() => f.write_str("start the writers"),
            Self::StartWriters { groups, .. } => {
                let names: Vec<_> = groups.iter().map(|group| group.as_str()).collect();
                write!(f, "start {}", names.join(", "))
            }
            Self::Synchronise { task } => write!(f, "synchronise {task}"),
            Self::RestartReaders { readers } => write!(f, "restart {}", readers.join(", ")),
            Self::ReleaseWriters { .. } => f.write_str("release the operator"),
        }
    }
}

/// Which differences between live stores are set right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRepairs {
    /// How bad a difference must be, in the words of whoever works it out.
    pub rank: String,
    /// Those of these products alone; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub products: Option<Vec<u64>>,
    /// What Backend's names of these products may begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Beside these products: these applications in the master's products, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<String>,
}

/// What of a tenant a run leaves as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOut {
    /// Backend's configuration for its products.
    Configuration,
    /// Usage of its products, and errors of integration.
    Usage,
    /// Its files.
    Files,
}

/// Whose rows go back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsOwner {
    /// The account of the tenant.
    pub tenant: u64,
    /// The account of the master, whose rows are no tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<u64>,
    /// One product of it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<u64>,
    /// Tables that go back only when they are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// Its products, here and in the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<u64>,
    /// What Backend's names of these products begin with (`service_preffix` of its account), here and in the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Ids of its own applications in the master's products, here and in the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<String>,
    /// What the run leaves as it is beside the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Stands for which rows change, and how, as the plan showed them: where others would, nothing is changed.
    pub shown: String,
}

/// Jobs that are waited for until they are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Where they wait.
    pub of: Vec<JobQueues>,
    /// For no longer than this, in seconds. What is not done then stays in its queue, and is in the set.
    pub seconds_max: u64,
}

/// The queues of a key-value store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobQueues {
    /// The data set.
    pub data_set: DataSetName,
    /// The set of their names.
    pub names: LiveKey,
    /// What stands before a name in the key of its list.
    pub prefix: String,
    /// The set of the keys of those who do the jobs, each a hash that says in `busy` how many it has taken; absent where nobody says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<LiveKey>,
}

/// A counter from which ids are given, and where they end up in System.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdCounter {
    /// The counter.
    pub of: LiveKey,
    /// The table that has its ids.
    pub table: String,
    /// The column.
    pub column: String,
}

/// Something to be counted in System's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counting {
    /// The job that would do it.
    pub job: String,
    /// What is counted, for people.
    pub what: String,
    /// The question that counts.
    pub count: String,
    /// The question for the names of the first.
    pub names: String,
}

impl Counting {
    /// What was counted, with the names of the first, which are other people's text.
    #[must_use]
    pub fn sentence(&self, number: u64, names: &[String]) -> String {
        let Self { job, what, .. } = self;
        let shown: Vec<_> = names.iter().map(|name| in_one_line(name)).collect();
        let more = number.saturating_sub(names.len() as u64);
        match (shown.is_empty(), more) {
            (true, _) => format!("{job} would find {number} {what}"),
            (false, 0) => format!("{job} would find {number} {what}: {}", shown.join(", ")),
            (false, more) => format!("{job} would find {number} {what}: {} and {more} more", shown.join(", ")),
        }
    }
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// The steps that must have succeeded before.
    pub needs: Vec<StepId>,
    /// Why it stands where it stands, for people.
    pub reason: String,
}

/// A step's only memory: what later steps, `resume` and `undo` know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "output")]
pub enum Output {
    /// Nothing that anyone needs.
    Done,
    /// A data set was kept.
    Kept {
        /// What the manifest will say.
        kept: Box<KeptDataSet>,
    },
    /// A set exists now.
    Set {
        /// The set.
        set: SetId,
    },
    /// The writers were noted.
    Noted {
        /// How they were; only the platform reads it.
        noted: Noted,
    },
    /// A place was chosen.
    Reserved {
        /// The place; only the data set reads it.
        place: Place,
        /// The snapshot that goes there.
        snapshot: SnapshotId,
    },
    /// Counters of ids were noted, or raised.
    Ids {
        /// Each counter with its number, and the table that has its ids.
        counters: Vec<(IdCounter, u64)>,
        /// What each was when it was raised; nothing where they were only noted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        was: Vec<u64>,
        /// How many members were taken out of what is to be deleted.
        #[serde(default)]
        kept: u64,
    },
    /// The clock is held.
    Held {
        /// What its jobs would find to do: the job, what, how many, and the names of the first.
        counts: Vec<(String, String, u64, Vec<String>)>,
    },
    /// Keys are in the live data.
    Merged {
        /// What became of them.
        classes: Vec<MergedClass>,
    },
    /// The configuration in Backend is as System wants it.
    Rewritten {
        /// Keys, and members of sets, that it lacked.
        written: u64,
        /// Keys that had another value.
        changed: u64,
        /// Keys, and members of sets, that System does not have.
        removed: u64,
    },
    /// Keys that are to be set right are kept in the repository.
    KeysKept {
        /// In so many parts.
        parts: u32,
        /// So many keys.
        keys: u64,
    },
    /// Keys were set right.
    Repaired {
        /// So many were changed, or were right when they were looked at again.
        keys: u64,
        /// So many stay as they are: somebody changed them since they were looked at.
        left: u64,
    },
    /// Rows that change are kept in the repository.
    RowsKept {
        /// In so many parts.
        parts: u32,
        /// So many rows.
        rows: u64,
    },
    /// Files are staged.
    FilesStaged {
        /// So many of which there is none.
        missing: u64,
        /// So many in whose place there is something else.
        other: u64,
    },
    /// Rows are as the set has them.
    RowsChanged {
        /// So many were put in.
        inserted: u64,
        /// So many were made others.
        updated: u64,
        /// So many were taken out.
        deleted: u64,
    },
    /// What was read back equals the set.
    Proven {
        /// What was counted.
        evidence: Box<Evidence>,
    },
}
