//! A set as `list`, `show` and `backup` print it in JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::choice::Candidate;
use plan::ids::{DataSetName, RunId, SetId};
use plan::manifest::{Agreement, KeptDataSet, Manifest};
use plan::proof::Proof;
use plan::{InstallationId, Restorable};
use serde::Serialize;

use super::held::Held;

/// A set.
#[derive(Serialize)]
pub(crate) struct SetDocument<'a> {
    set: &'a SetId,
    /// Whose it is; `null` for a set of release 0.1.0, which wrote no name.
    installation: Option<&'a InstallationId>,
    started_at: Timestamp,
    finished_at: Timestamp,
    duration_ms: i64,
    /// 0 for a set from the future.
    age_seconds: i64,
    /// Whether it was finished in the future: a clock was wrong.
    in_the_future: bool,
    bytes: u64,
    stored_bytes: u64,
    skew_ms: u64,
    frozen: bool,
    safety_for: Option<&'a RunId>,
    host: &'a str,
    program_version: &'a str,
    /// Whether nothing of the installation is missing in it.
    whole: bool,
    /// How many data sets the installation had.
    expected: usize,
    /// The data sets that the installation had and the set lacks, each with the reason.
    left_out: BTreeMap<DataSetName, String>,
    /// The data sets that the installation was declared not to have.
    absent: &'a [DataSetName],
    /// Whether it can go back, as the backup could tell: `yes`, `with-omissions`, `no`; `null` for a set of release 0.1.0, which does not say it. Why stands
    /// in `problems` of the data sets.
    restorable: Option<Restorable>,
    /// Differences between System, Backend and the files of the set, by rank; `null` where it was not looked at.
    agreement: Option<Agreement>,
    /// What is known to be wrong with it.
    damage: Option<&'a str>,
    data_sets: &'a BTreeMap<DataSetName, KeptDataSet>,
    /// What restores and rehearsals of the set showed, oldest first.
    proven_by: Vec<Proof>,
    /// What keeps it from every `forget`.
    #[serde(flatten)]
    held: Held,
}

impl<'a> SetDocument<'a> {
    pub(crate) fn new(manifest: &'a Manifest, proven_by: Vec<Proof>) -> Self {
        let now = Timestamp::now();
        Self {
            set: &manifest.set,
            installation: manifest.installation.as_ref(),
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            duration_ms: duration(manifest),
            age_seconds: (now.as_second() - manifest.started_at.as_second()).max(0),
            in_the_future: manifest.is_ahead_of(now),
            bytes: manifest.bytes(),
            stored_bytes: manifest.stored_bytes(),
            skew_ms: manifest.skew_ms(),
            frozen: manifest.frozen,
            safety_for: manifest.safety_for.as_ref(),
            host: &manifest.host,
            program_version: &manifest.program_version,
            whole: manifest.is_whole(),
            expected: manifest.data_sets_expected(),
            left_out: manifest.missing(),
            absent: &manifest.absent,
            restorable: manifest.restorable(),
            agreement: manifest.agreement,
            damage: None,
            data_sets: &manifest.data_sets,
            proven_by,
            held: Held::default(),
        }
    }

    pub(super) fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    pub(crate) fn of(candidate: &'a Candidate, proven_by: Vec<Proof>) -> Self {
        Self { damage: candidate.damage.as_deref(), ..Self::new(&candidate.manifest, proven_by) }
    }
}

pub(crate) fn duration(manifest: &Manifest) -> i64 {
    manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond()
}
