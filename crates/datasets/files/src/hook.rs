//! Moments at which a test may step in: to change a file while it is read, or to break a swap at one rename. Never set outside tests.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A folder was listed; none of its entries was looked at.
    Listed,
    /// A small file was opened and its size taken; nothing was read.
    Opened,
    /// A piece of a large file was read.
    Streamed,
    /// An entry is about to be moved by a cut-over or an undo, or a phase is about to be noted.
    Moving,
}

type Step = dyn Fn(Moment, &Path) -> io::Result<()> + Send + Sync;

/// What a test wants to happen.
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<Arc<Step>>);

impl Hook {
    #[cfg(test)]
    pub(crate) fn new(step: impl Fn(Moment, &Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(step)))
    }

    pub(crate) fn at(&self, moment: Moment, path: &Path) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |step| step(moment, path))
    }
}
