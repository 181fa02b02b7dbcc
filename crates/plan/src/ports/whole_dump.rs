//! A dump of what must still be whole when it ends.

use super::{Dump, Part, Verdict};
use crate::Result;

/// A dump whose verdict holds only when a last look finds nothing wrong: a run that began meanwhile may have replaced half of it.
pub struct WholeDump {
    /// The dump.
    pub inner: Box<dyn Dump>,
    /// The last look.
    pub check: Box<dyn FnOnce() -> Result<()> + Send>,
}

impl Dump for WholeDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        self.inner.next_part()
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        let verdict = self.inner.finish()?;
        (self.check)().map(|()| verdict)
    }
}
