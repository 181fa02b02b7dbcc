//! The lock of an installation: a Lease that its holder renews, and that is taken over when nobody does.
//!
//! Clocks of different machines are not compared: a holder is dead when its Lease did not change for the lock's duration while we looked. Only a Lease that was
//! not renewed for several minutes is taken at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::{Error, Result};
use serde_json::{Value, json};

use super::super::client::Cluster;
use super::super::writers::pods::OURS;
use super::super::writers::workload::{number, text};
use super::journal::nonce;

/// Its name: one run per installation, whatever it does.
const NAME: &str = "threescale-backup";
/// How often a Lease that somebody holds is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A Lease that is this old by the clock is of a holder that died long ago, however wrong the clock is.
const LONG_DEAD: Duration = Duration::from_secs(300);
/// How often the lock is tried for when others try at the same time.
const TRIES: usize = 10;

/// A lock that is held.
pub(super) struct Lease {
    cluster: Cluster,
    identity: String,
    duration: Duration,
    state: Mutex<State>,
    woken: Condvar,
    let_go: AtomicBool,
}

struct State {
    /// As the server has it.
    object: Value,
    renewed_at: Instant,
    /// Somebody else holds it: it never comes back.
    lost_to: Option<String>,
}

impl Lease {
    /// Takes the lock, and renews it from a thread of its own until it is let go.
    pub(super) fn take(cluster: &Cluster, duration: Duration) -> Result<Arc<Self>> {
        let identity = nonce();
        for _ in 0..TRIES {
            let now = cluster.get_if_there(&path(cluster))?;
            if let Some(object) = &now
                && !may_be_taken(object, Timestamp::now())
            {
                wait_for_death(cluster, object, duration)?;
            }
            let renewed_at = Instant::now();
            if let Some(object) = write(cluster, now.as_ref(), &identity, duration)? {
                return Self::hold(cluster, identity, duration, State { object, renewed_at, lost_to: None });
            }
        }
        Err(Error::new(plan::Class::Locked, "could not get the installation's lock: other runs keep taking it").hint("Try again."))
    }

    fn hold(cluster: &Cluster, identity: String, duration: Duration, state: State) -> Result<Arc<Self>> {
        let lease = Arc::new(Self {
            cluster: cluster.clone(),
            identity,
            duration,
            state: Mutex::new(state),
            woken: Condvar::new(),
            let_go: AtomicBool::new(false),
        });
        let renewing = Arc::clone(&lease);
        let started = thread::Builder::new().name("lease".to_owned()).spawn(move || renewing.renew_until_let_go());
        match started {
            Ok(_) => Ok(lease),
            Err(error) => {
                lease.let_go();
                Err(Error::failed("failed to start the thread that renews the lock").because(error))
            }
        }
    }

    /// Sees that the lock is still held, asking the server when it was not renewed in time.
    pub(super) fn confirm(&self) -> Result<()> {
        let mut state = self.state();
        if state.lost_to.is_none() && state.renewed_at.elapsed() >= self.duration {
            self.renew(&mut state)?;
        }
        match &state.lost_to {
            None => Ok(()),
            Some(holder) => Err(Error::new(plan::Class::Locked, "the lock of this installation was lost; nothing more is done")
                .hint(format!("{holder} holds it now: this program was not heard of for {} seconds.", self.duration.as_secs()))
                .hint("Look at what the other one does; `resume` when it has ended.")),
        }
    }

    /// Lets go. What cannot be told to the server ends by itself.
    pub(super) fn let_go(&self) {
        self.let_go.store(true, Ordering::SeqCst);
        self.woken.notify_all();
        let state = self.state();
        if state.lost_to.is_some() {
            return;
        }
        let patch = json!({
            "metadata": {"resourceVersion": text(&state.object, "/metadata/resourceVersion")},
            "spec": {"holderIdentity": null, "renewTime": null}
        });
        if let Err(error) = self.cluster.hastily().merge_patch(&path(&self.cluster), &patch) {
            log::debug!("the lock ends by itself: {error}");
        }
    }

    fn renew_until_let_go(&self) {
        let pause = self.duration / 3;
        let mut state = self.state();
        while !self.let_go.load(Ordering::SeqCst) && state.lost_to.is_none() {
            state = self.woken.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
            if self.let_go.load(Ordering::SeqCst) {
                return;
            }
            if let Err(error) = self.renew(&mut state) {
                log::warn!("the lock of this installation was not renewed: {}", error.chain());
            }
        }
    }

    /// Renews it. An error says that it is not known; `lost_to` that it is gone.
    fn renew(&self, state: &mut State) -> Result<()> {
        let cluster = self.cluster.hastily();
        let began = Instant::now();
        if let Some(object) = write(&cluster, Some(&state.object), &self.identity, self.duration)? {
            (state.object, state.renewed_at) = (object, began);
            return Ok(());
        }
        // Our own write whose answer was lost, or somebody else's.
        match cluster.get_if_there(&path(&cluster))? {
            Some(object) if text(&object, "/spec/holderIdentity") == self.identity => {
                (state.object, state.renewed_at) = (object, began);
            }
            Some(object) => {
                let holder = text(&object, "/spec/holderIdentity");
                state.lost_to = Some(if holder.is_empty() { "somebody who has let go since".to_owned() } else { holder.to_owned() });
            }
            None => state.lost_to = Some("unknown: the Lease was deleted, so another run may hold the lock".to_owned()),
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(cluster: &Cluster) -> String {
    cluster.path("coordination.k8s.io/v1", "leases", Some(NAME))
}

/// Writes ourselves into the Lease, if it is still as it was read (`None`: not there). `None` when somebody was faster.
fn write(cluster: &Cluster, before: Option<&Value>, identity: &str, duration: Duration) -> Result<Option<Value>> {
    let now = format!("{:.6}", Timestamp::now());
    let written = match before {
        None => cluster.post(
            &cluster.path("coordination.k8s.io/v1", "leases", None),
            &json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME, "labels": {OURS.0: OURS.1}},
                "spec": {"holderIdentity": identity, "leaseDurationSeconds": duration.as_secs(), "acquireTime": now, "renewTime": now, "leaseTransitions": 0}}),
        ),
        Some(before) => {
            let is_ours = text(before, "/spec/holderIdentity") == identity;
            let mut spec = json!({"holderIdentity": identity, "leaseDurationSeconds": duration.as_secs(), "renewTime": now});
            if !is_ours {
                spec["acquireTime"] = json!(now);
                spec["leaseTransitions"] = json!(number(before, "/spec/leaseTransitions") + 1);
            }
            let version = text(before, "/metadata/resourceVersion");
            cluster.merge_patch(&path(cluster), &json!({"metadata": {"resourceVersion": version}, "spec": spec}))
        }
    };
    match written {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody holds it, or somebody who is long dead.
fn may_be_taken(object: &Value, now: Timestamp) -> bool {
    if text(object, "/spec/holderIdentity").is_empty() {
        return true;
    }
    let Ok(renewed) = text(object, "/spec/renewTime").parse::<Timestamp>() else { return false };
    now.duration_since(renewed).unsigned_abs() > LONG_DEAD && now > renewed
}

/// Looks at a Lease that somebody holds until its duration has passed without a change.
fn wait_for_death(cluster: &Cluster, first: &Value, duration: Duration) -> Result<()> {
    let began = Instant::now();
    // The holder's own word counts when it is longer.
    let duration = duration.max(Duration::from_secs(number(first, "/spec/leaseDurationSeconds").min(LONG_DEAD.as_secs())));
    while began.elapsed() < duration {
        thread::sleep(LOOK_EVERY.min(duration));
        let Some(now) = cluster.get_if_there(&path(cluster))? else { return Ok(()) };
        if text(&now, "/metadata/resourceVersion") != text(first, "/metadata/resourceVersion") {
            let holder = text(&now, "/spec/holderIdentity");
            if holder.is_empty() {
                return Ok(());
            }
            return Err(Error::new(plan::Class::Locked, "another run is under way in this installation")
                .hint(format!("{holder} holds the Lease {NAME} in namespace {} and renews it.", cluster.namespace()))
                .hint("Wait until it has ended, or end it; a run that died is let go by itself."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_a_lease_without_holder_or_of_a_long_dead_one_is_taken_at_once() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let held = |renewed: &str| json!({"spec": {"holderIdentity": "a", "renewTime": renewed}});
        assert!(may_be_taken(&json!({"spec": {"holderIdentity": null}}), now));
        assert!(may_be_taken(&json!({"spec": {"holderIdentity": ""}}), now));
        assert!(!may_be_taken(&held("2026-01-01T00:09:00.000000Z"), now));
        assert!(may_be_taken(&held("2026-01-01T00:04:00.000000Z"), now));
        assert!(!may_be_taken(&held("2026-01-01T00:20:00.000000Z"), now), "a clock that runs ahead proves nothing");
        assert!(!may_be_taken(&json!({"spec": {"holderIdentity": "a"}}), now));
    }
}
