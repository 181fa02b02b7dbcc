//! A set as `list`, `show` and `backup` print it in JSON, and the runs that proved it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::choice::Candidate;
use plan::ids::{DataSetName, RunId, SetId};
use plan::journal::RunState;
use plan::manifest::{KeptDataSet, Manifest};
use plan::{InstallationId, Purpose, Restorable, Result};
use serde::Serialize;

use super::held::Held;
use crate::app::App;
use crate::config::Config;

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
    /// What is known to be wrong with it.
    damage: Option<&'a str>,
    data_sets: &'a BTreeMap<DataSetName, KeptDataSet>,
    /// Restores and rehearsals of the set that the journals at hand know of.
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

/// A run that staged and proved the set.
#[derive(Serialize)]
pub(crate) struct Proof {
    pub run: RunId,
    pub purpose: Purpose,
    pub at: Timestamp,
    pub data_sets: Vec<DataSetName>,
}

/// Finished restores and rehearsals, by set.
#[derive(Default)]
pub(crate) struct Proofs(BTreeMap<SetId, Vec<Proof>>);

impl Proofs {
    /// From the journals at hand, each read once. Sets can be told without them: what stands in the way is one note.
    pub(crate) fn at_hand(app: &App, config: &Config) -> Self {
        Self::read(app, config).unwrap_or_else(|error| {
            app.output.note(&format!("note: restores and rehearsals of the sets are not known: {}", error.chain()));
            Self::default()
        })
    }

    fn read(app: &App, config: &Config) -> Result<Self> {
        let state = app.state_beside_sets(config)?;
        let mut proofs = Self::default();
        for (id, run) in state.all()? {
            // A journal that cannot be read is told by `runs`; it proves nothing.
            let Ok(run) = run else { continue };
            let is_proof = matches!(run.plan.purpose, Purpose::Restore | Purpose::Rehearse);
            if is_proof && matches!(run.state, RunState::Finished | RunState::Settled) {
                let data_sets = run.plan.data_sets.keys().copied().collect();
                let proof = Proof { run: id, purpose: run.plan.purpose, at: run.last_at, data_sets };
                proofs.0.entry(run.plan.set).or_default().push(proof);
            }
        }
        Ok(proofs)
    }

    /// Those of a set, oldest first.
    pub(crate) fn of(&mut self, set: &SetId) -> Vec<Proof> {
        self.0.remove(set).unwrap_or_default()
    }
}

pub(crate) const fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Backup => "backup",
        Purpose::Restore => "restored",
        Purpose::Rehearse => "rehearsed",
    }
}
