//! The consistent views that dumps of a backup have opened: one whose data refers to another's is opened after that one.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::Context;

/// See the module.
#[derive(Default)]
pub(crate) struct Views {
    open: Mutex<BTreeSet<DataSetName>>,
    changed: Condvar,
}

impl Views {
    /// The view of a data set is open.
    pub(crate) fn opened(&self, data_set: DataSetName) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(data_set);
        self.changed.notify_all();
    }

    /// Waits until it is, or the run is to stop.
    ///
    /// # Errors
    /// [`plan::Class::Interrupted`] when the run is to stop.
    pub(crate) fn wait_for(&self, data_set: DataSetName, context: &Context) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !open.contains(&data_set) {
            context.stop.check()?;
            open = self
                .changed
                .wait_timeout(open, Duration::from_millis(100))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
        Ok(())
    }
}
