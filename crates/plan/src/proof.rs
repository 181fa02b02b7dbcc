//! What showed whether a set goes back: a restore or a rehearsal of it, kept in the repository beside the set, so that everybody sees it, on whatever machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::MultisetDigest;
use crate::evidence::Evidence;
use crate::ids::{DataSetName, RunId, SetId};
use crate::manifest::Manifest;
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

    /// Whether it showed that all data of a set goes back. The objects of Kubernetes are not data, and no rehearsal has a place for them.
    #[must_use]
    pub fn shows_all(&self, manifest: &Manifest) -> bool {
        let is_shown = |name: &&DataSetName| **name == DataSetName::KubernetesObjects || self.data_sets.contains_key(*name);
        self.failure.is_none() && !self.data_sets.is_empty() && manifest.data_sets.keys().all(|name| is_shown(&name))
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
    let bytes = serde_json::to_vec(proof).map_err(|error| Error::failed("failed to write a proof").because(error))?;
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-30T00:00:00Z";

    fn manifest(names: &[&str]) -> Manifest {
        let kept = json!({"snapshot": "s", "kind": "redis", "store": "a", "started_at": NOW, "consistent_at": NOW, "finished_at": NOW,
            "parts": 1, "bytes": 1, "stored_bytes": 1, "evidence": Evidence::default()});
        let data_sets: BTreeMap<_, _> = names.iter().map(|name| (*name, kept.clone())).collect();
        let manifest = json!({"format": "2.0", "set": "s", "program_version": "0.2.0", "host": "h", "started_at": NOW, "finished_at": NOW,
            "frozen": false, "safety_for": Value::Null, "data_sets": data_sets});
        serde_json::from_value(manifest).unwrap()
    }

    fn proof(names: &[&str], failure: Option<&str>) -> Proof {
        let proven = json!({"store": "a", "elements": 1, "digest": MultisetDigest::default(), "took_ms": 1});
        let data_sets: BTreeMap<_, _> = names.iter().map(|name| (*name, proven.clone())).collect();
        let proof = json!({"set": "s", "run": "r", "purpose": "rehearse", "program_version": "0.2.0", "started_at": NOW, "finished_at": NOW,
            "data_sets": data_sets, "failure": failure});
        serde_json::from_value(proof).unwrap()
    }

    #[test]
    fn all_data_is_shown_without_the_objects_and_not_without_anything_else() {
        let set = manifest(&["system-redis", "backend-redis", "kubernetes-objects"]);
        assert!(proof(&["system-redis", "backend-redis"], None).shows_all(&set));
        assert!(proof(&["system-redis", "backend-redis", "kubernetes-objects"], None).shows_all(&set));
        assert!(!proof(&["system-redis", "kubernetes-objects"], None).shows_all(&set));
        assert!(!proof(&["system-redis", "backend-redis"], Some("it broke")).shows_all(&set));
        assert!(!proof(&[], None).shows_all(&manifest(&["kubernetes-objects"])));
    }
}
