//! What is in the stores, told by their own means and not by the program under test: two fingerprints are the same
//! when, and only when, the stores hold the same.
//!
//! Keys are `DATA-SET/WHAT/NAME`, so that a difference says where it is. Bounded: tables, logical databases and folders,
//! not rows, keys and files.

mod mysql;
mod postgres;
mod redis;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use plan::error::During;
use plan::ids::DataSetName;
use plan::{Error, Result};

use super::{Installation, SYSTEM_DATABASE, ZYNC_DATABASE};

/// What [`Installation::fingerprint`] gives.
pub type Fingerprint = BTreeMap<String, String>;

impl Installation {
    /// The fingerprint of all data sets. Keys of Redis with a time to live are apart (`…/expiring`): they go by themselves.
    ///
    /// # Errors
    /// When a store does not answer.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let parts = std::thread::scope(|scope| {
            let all = DataSetName::STORES.map(|name| scope.spawn(move || self.fingerprint_of(name)));
            all.map(|part| part.join().unwrap_or_else(|_| Err(Error::failed("a fingerprinting thread panicked"))))
        });
        let mut all = Fingerprint::new();
        for part in parts {
            all.extend(part?);
        }
        Ok(all)
    }

    /// The fingerprint of one data set.
    ///
    /// # Errors
    /// When its store does not answer.
    pub fn fingerprint_of(&self, data_set: DataSetName) -> Result<Fingerprint> {
        let part = match data_set {
            DataSetName::KubernetesObjects => Err(super::no_objects()),
            DataSetName::SystemDatabase => mysql::fingerprint(&self.mysql, SYSTEM_DATABASE),
            DataSetName::SystemStorage => tree::fingerprint(self.storage()),
            DataSetName::ZyncDatabase => postgres::fingerprint(&self.postgres, ZYNC_DATABASE),
            DataSetName::BackendRedis => redis::fingerprint(&self.backend_redis, &[0, 1]),
            DataSetName::SystemRedis => redis::fingerprint(&self.system_redis, &[1]),
        };
        let part = part.map_err(|error| error.during(format!("failed to fingerprint {data_set}")))?;
        Ok(part.into_iter().map(|(key, value)| (format!("{data_set}/{key}"), value)).collect())
    }
}

/// What differs between two fingerprints. Ids that a table or a sequence gives next may be higher than they were: a restore gives none twice.
#[must_use]
pub fn differences(found: &Fingerprint, wanted: &Fingerprint) -> Vec<String> {
    let names: BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    let told = |name: &String| match (found.get(name), wanted.get(name)) {
        (Some(found), Some(wanted)) if found == wanted || goes_on_later(name, found, wanted) => None,
        (found, wanted) => Some(format!("{name}: {found:?} instead of {wanted:?}")),
    };
    names.into_iter().filter_map(told).collect()
}

fn goes_on_later(name: &str, found: &str, wanted: &str) -> bool {
    let next = |text: &str| text.split(|sign: char| !sign.is_ascii_digit()).find_map(|number| number.parse::<u64>().ok()).unwrap_or(0);
    (name.contains("/next-id/") || name.contains("/sequence/")) && next(found) >= next(wanted)
}

/// Lines and cells that a client prints.
fn cells(mut client: Command, separator: char) -> Result<Vec<Vec<String>>> {
    let output = client.stdin(Stdio::null()).output().during(|| format!("start {}", client.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed(format!("a client ended with {}", output.status)).hint(format!("It said: {}", said.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| line.split(separator).map(str::to_owned).collect()).collect())
}

/// The first cell as the key, the others as the value.
fn keyed(kind: &str, rows: Vec<Vec<String>>) -> impl Iterator<Item = (String, String)> {
    rows.into_iter().filter_map(move |row| row.split_first().map(|(name, rest)| (format!("{kind}/{name}"), rest.join(" "))))
}

fn digest(text: &str) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
}
