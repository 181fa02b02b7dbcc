//! How many bytes of small files may wait in memory. The entry that is wanted next is always let in, so that order never deadlocks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of small files that wait for their turn.
const WINDOW_BYTES: u64 = 48 << 20;

#[derive(Debug, Default)]
struct State {
    wanted: u64,
    bytes: u64,
    closed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

impl Window {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until entry number `sequence` may hold `bytes`, and calls `before_waiting` when it has to. False when nobody wants anything any more.
    pub(crate) fn enter(&self, sequence: u64, bytes: u64, before_waiting: impl FnOnce()) -> bool {
        let must_wait = |state: &State| !state.closed && sequence != state.wanted && state.bytes + bytes > WINDOW_BYTES;
        let mut state = self.state();
        if must_wait(&state) {
            drop(state);
            before_waiting();
            state = self.state();
        }
        while must_wait(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += bytes;
        !state.closed
    }

    /// Entry number `sequence` is wanted next, and who takes them is going to wait for it.
    pub(crate) fn wait_for(&self, sequence: u64) {
        let mut state = self.state();
        state.wanted = sequence;
        if state.bytes > 0 {
            self.changed.notify_all();
        }
    }

    /// An entry gave its bytes away.
    pub(crate) fn leave(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        if bytes > 0 {
            self.changed.notify_all();
        }
    }

    /// Nobody wants anything any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}
