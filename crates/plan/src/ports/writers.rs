//! Who writes to the data sets, and how they are stopped and started.

use serde::{Deserialize, Serialize};

use super::{Context, Leftover};
use crate::Result;
use crate::ids::DataSetName;

/// What was noted of the writers before the first of them was stopped: how many there were of each, and who holds them to that number. Journaled in a
/// step of its own, so that a crash between two calls loses no number. Only the platform that made it reads it. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Noted(pub serde_json::Value);

/// Writers that start together. Declared in the order in which they start (`design.md`, order of a restore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriterGroup {
    /// backend-listener: System's rewrite of the Backend configuration goes through it.
    Listener,
    /// backend-worker, backend-cron, system-app, system-sidekiq, and what they cache in (memcache).
    System,
    /// zync and zync-que.
    Zync,
}

impl WriterGroup {
    /// All groups, in the order in which they start.
    pub const ALL: [Self; 3] = [Self::Listener, Self::System, Self::Zync];

    /// The name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "backend-listener",
            Self::System => "system-app, system-sidekiq, backend-worker, backend-cron",
            Self::Zync => "zync, zync-que",
        }
    }
}

/// The writers of an installation (system-app, sidekiq, listener, worker, cron, zync…). Every call may be repeated, after a crash at any point too.
pub trait Writers: Send + Sync {
    /// Notes how they are now. Changes nothing.
    ///
    /// `data_sets` are those whose writers will be stopped: nothing else is.
    ///
    /// # Errors
    /// When they cannot be looked at.
    fn note(&self, context: &Context, data_sets: &[DataSetName]) -> Result<Noted>;

    /// Holds who would start them again (the operator), stops them and waits until they are gone.
    ///
    /// # Errors
    /// When they cannot be stopped, or are still there after the time-out.
    fn stop(&self, context: &Context, noted: &Noted) -> Result<()>;

    /// Holds who would start them again, and stops those that make jobs for the others; who does the jobs goes on. `false` where all can only be stopped at once: then
    /// nothing was done.
    ///
    /// # Errors
    /// As [`Writers::stop`].
    fn stop_makers_of_jobs(&self, _context: &Context, _noted: &Noted) -> Result<bool> {
        Ok(false)
    }

    /// Starts those of a group as they were noted, and waits until they are ready.
    ///
    /// # Errors
    /// When they cannot be started, or are not ready after the time-out.
    fn start(&self, context: &Context, noted: &Noted, group: WriterGroup) -> Result<()>;

    /// Lets go who was held (the operator), when all are started.
    ///
    /// # Errors
    /// When that fails.
    fn release(&self, context: &Context, noted: &Noted) -> Result<()>;

    /// An undo: all start as they were noted, and who was held is let go. Gives whether they run: those that were put in place to wait for data wait again.
    ///
    /// # Errors
    /// As [`Writers::start`] and [`Writers::release`].
    fn put_back(&self, context: &Context, noted: &Noted) -> Result<bool> {
        self.start_all(context, noted).map(|()| true)
    }

    /// Starts all groups in their order, and lets go who was held.
    ///
    /// # Errors
    /// As [`Writers::start`] and [`Writers::release`].
    fn start_all(&self, context: &Context, noted: &Noted) -> Result<()> {
        WriterGroup::ALL.into_iter().try_for_each(|group| self.start(context, noted, group))?;
        self.release(context, noted)
    }

    /// Makes the pods of these workloads anew, one workload after the other, and waits until they are ready. Those that are gone, or at 0, need nothing.
    ///
    /// # Errors
    /// When one is not ready after the time-out.
    fn restart(&self, _context: &Context, _workloads: &[String]) -> Result<()> {
        Ok(())
    }

    /// Whether they are stopped; `None` when there is no way to know.
    ///
    /// # Errors
    /// When the check itself fails.
    fn stopped(&self, context: &Context) -> Result<Option<bool>>;

    /// What runs left at the writers, whoever began them: held at 0, with a mark. Changes nothing.
    ///
    /// # Errors
    /// When they cannot be looked at.
    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    /// Whether this program can stop and start them itself. When not, the operator has to.
    fn can_stop(&self) -> bool;
}
