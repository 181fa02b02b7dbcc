//! Journals in the cluster: a ConfigMap for each run, and a Lease as the lock. [`plan::ports::Shelf`].
//!
//! ConfigMaps, because a journal holds no secrets, the next pod finds them without a volume, and `kubectl` shows them. Every write names the version that it
//! was made from (`resourceVersion`): two writers can never both succeed.

mod journal;
mod lease;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use plan::ports::{Append, Shelf};
use plan::{Error, InstallationId, Result};
use serde_json::{Value, json};

use self::journal::Journal;
use self::lease::Lease;
use super::client::Cluster;
use super::writers::pods::OURS;
use super::writers::workload::{name, text};

/// Label that tells journals from other things of this program.
const PART: (&str, &str) = ("app.kubernetes.io/component", "journal");
/// Its value for a journal that was set aside.
const DAMAGED: &str = "damaged-journal";
/// What the name of each journal's ConfigMap begins with.
const PREFIX: &str = "threescale-backup-run-";
/// Journals of one page of a list: each may be near a megabyte.
const PAGE: u32 = 4;
/// After this long without a sign of life the lock's holder is dead.
const LOCK_SECONDS: u64 = 30;

/// The shelf in a cluster's namespace.
pub struct ConfigMapShelf {
    cluster: Cluster,
    lock_duration: Duration,
    /// The lock while it is held: who appends asks it whether it still is.
    lease: Mutex<Weak<Lease>>,
}

impl ConfigMapShelf {
    /// The shelf of the cluster's namespace. Nothing is asked yet.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self::with_lock_duration(cluster, Duration::from_secs(LOCK_SECONDS))
    }

    /// As [`ConfigMapShelf::new`], with another time after which a silent holder of the lock counts as dead: at least a second, in whole seconds.
    #[must_use]
    pub fn with_lock_duration(cluster: Cluster, lock_duration: Duration) -> Self {
        Self { cluster, lock_duration, lease: Mutex::default() }
    }

    fn path(&self, journal: &str) -> String {
        self.cluster.path("v1", "configmaps", Some(&format!("{PREFIX}{journal}")))
    }
}

impl Shelf for ConfigMapShelf {
    fn place(&self) -> String {
        format!("ConfigMaps {PREFIX}* in namespace {}", self.cluster.namespace())
    }

    /// Waits up to the lock's duration for a sign of life of the holder; without one it takes the lock over.
    fn lock(&self, _installation: &InstallationId) -> Result<Box<dyn Send>> {
        let lease = Lease::take(&self.cluster, self.lock_duration)?;
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&lease);
        Ok(Box::new(Held(lease)))
    }

    fn names(&self) -> Result<Vec<String>> {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("labelSelector", &format!("{}={},{}={}", OURS.0, OURS.1, PART.0, PART.1));
            query.append_pair("limit", &PAGE.to_string());
            if !token.is_empty() {
                query.append_pair("continue", &token);
            }
            let page = self.cluster.get(&format!("{}?{}", self.cluster.path("v1", "configmaps", None), query.finish()))?;
            let Some(items) = page.get("items").and_then(Value::as_array) else {
                return Err(Error::transient("the API server's list of journals is not a list"));
            };
            names.extend(items.iter().filter_map(|item| name(item).strip_prefix(PREFIX)).map(str::to_owned));
            text(&page, "/metadata/continue").clone_into(&mut token);
            if token.is_empty() {
                names.sort();
                return Ok(names);
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.cluster.get_if_there(&self.path(name))?.map(|object| journal::content(&object).as_bytes().to_vec()))
    }

    fn open(&self, name: &str, whole_bytes: u64) -> Result<Box<dyn Append>> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = self.path(name);
        let journal = if whole_bytes == 0 {
            Journal::make(&self.cluster, path, &blank(name), lease)?
        } else {
            Journal::take_up(&self.cluster, path, whole_bytes, lease)?
        };
        Ok(Box::new(journal))
    }

    fn set_aside(&self, name: &str) -> Result<String> {
        let patch = json!({"metadata": {"labels": {PART.0: DAMAGED}}});
        self.cluster.merge_patch(&self.path(name), &patch)?;
        Ok(format!("ConfigMap {PREFIX}{name} in namespace {}, with the label {}={DAMAGED}", self.cluster.namespace(), PART.0))
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.cluster.delete(&self.path(name), &json!({})) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A journal without a line.
fn blank(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("{PREFIX}{name}"), "labels": {OURS.0: OURS.1, PART.0: PART.1}},
        "data": {journal::KEY: ""}
    })
}

/// The lock: let go when it is dropped.
struct Held(Arc<Lease>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
