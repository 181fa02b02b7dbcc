//! What showed whether a set goes back: a restore or a rehearsal of it, kept in the repository beside the set, so that everybody sees it, on whatever machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::MultisetDigest;
use crate::evidence::Evidence;
use crate::ids::{DataSetName, RunId, SetId};
use crate::needs::parse;
use crate::ports::Repository;
use crate::{Error, InstallationId, Purpose, Result};

/// Kind of the records; their names are `SET:RUN`.
pub const PROOF: &str = "proof";

/// What one run showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The set.
    pub set: SetId,
    /// The run.
    pub run: RunId,
    /// A restore or a rehearsal.
    pub purpose: Purpose,
    /// Where it was put back; none of a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<InstallationId>,
    /// The machine that ran the program; empty when it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The version of the program.
    pub program_version: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// For how long the installation did not serve, in milliseconds; none of a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<i64>,
    /// The data sets that were read back from where they were loaded, and equalled the set.
    pub data_sets: BTreeMap<DataSetName, Proven>,
    /// What failed while a data set was loaded or compared; none when all went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A data set that was loaded, read back, and equalled the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// What it was loaded into: product and version.
    pub store: String,
    /// How many elements were counted.
    pub elements: u64,
    /// Digest over what was counted: see [`digest_of`].
    pub digest: MultisetDigest,
    /// How long loading and comparing took, in milliseconds.
    pub took_ms: i64,
}

impl Proof {
    /// `5/6`: how much of a set of so many data sets it covers.
    #[must_use]
    pub fn extent(&self, of: usize) -> String {
        format!("{}/{of}", self.data_sets.len())
    }

    /// `rehearsed`, `restored`; `FAILED to be rehearsed`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.purpose, self.failure.is_some()) {
            (Purpose::Rehearse, false) => "rehearsed",
            (Purpose::Rehearse, true) => "FAILED rehearsal",
            (Purpose::Restore | Purpose::Backup | Purpose::Repair, false) => "restored",
            (Purpose::Restore | Purpose::Backup | Purpose::Repair, true) => "FAILED restore",
        }
    }
}

/// One digest over the collections of an evidence: names, counts and digests. The manifest's evidence and the proof's have the same when they are equal.
#[must_use]
pub fn digest_of(evidence: &Evidence) -> MultisetDigest {
    let mut digest = MultisetDigest::default();
    for (name, tally) in &evidence.collections {
        digest.add(format!("{name}\0{}\0{}", tally.count, tally.digest).as_bytes());
    }
    digest
}

/// Keeps what a run showed. A later word of the same run replaces the earlier one.
///
/// # Errors
/// When the repository cannot be written.
pub fn keep(repository: &dyn Repository, proof: &Proof) -> Result<()> {
    let bytes = serde_json::to_vec(proof).map_err(|error| Error::failed("write a proof").because(error))?;
    repository.put_record(PROOF, &format!("{}:{}", proof.set, proof.run), &bytes)
}

/// What is known of each set, oldest first.
///
/// # Errors
/// When the list cannot be had, or a record cannot be understood.
pub fn proofs(repository: &dyn Repository) -> Result<BTreeMap<SetId, Vec<Proof>>> {
    let mut proofs: BTreeMap<SetId, Vec<Proof>> = BTreeMap::new();
    for record in repository.records(PROOF)? {
        let proof: Proof = parse(&record, PROOF)?;
        proofs.entry(proof.set.clone()).or_default().push(proof);
    }
    proofs.values_mut().for_each(|proofs| proofs.sort_by(|a, b| (a.finished_at, &a.run).cmp(&(b.finished_at, &b.run))));
    Ok(proofs)
}
