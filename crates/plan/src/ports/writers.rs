//! Who writes to the data sets, and how they are stopped and started.

use super::Context;
use crate::Result;

/// The writers of an installation (system-app, sidekiq, listener, worker, cron, zync…). Every call may be repeated.
pub trait Writers: Send + Sync {
    /// Stops them and waits until they are gone.
    ///
    /// # Errors
    /// When they cannot be stopped, or are still there after the time-out.
    fn stop(&self, context: &Context) -> Result<()>;

    /// Starts them.
    ///
    /// # Errors
    /// When they cannot be started.
    fn start(&self, context: &Context) -> Result<()>;

    /// Whether they are stopped; `None` when there is no way to know.
    ///
    /// # Errors
    /// When the check itself fails.
    fn stopped(&self, context: &Context) -> Result<Option<bool>>;

    /// Whether this program can stop and start them itself. When not, the operator has to.
    fn can_stop(&self) -> bool;
}
