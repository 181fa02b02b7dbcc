//! Says when somebody waits for the server: only then is silence a sign of anything.

use std::sync::Arc;

use crate::state::State;

/// Somebody waits for the server, for as long as this lives.
pub struct Waiting(Arc<State>);

impl Waiting {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        state.begin_waiting();
        Self(Arc::clone(state))
    }

    /// What is done meanwhile does not wait for the server, but for somebody else.
    #[must_use]
    pub fn pause(&self) -> Paused<'_> {
        self.0.end_waiting();
        Paused(self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.end_waiting();
    }
}

/// A pause of waiting.
pub struct Paused<'a>(&'a Waiting);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.0.begin_waiting();
    }
}
