//! Requests that are held back after so many of their kind, until they are let go: what was held back then is never done, as if it had been lost on the way.

use std::sync::{Condvar, Mutex, PoisonError};

/// See the module.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The right that requests need which are held back, and how many of them pass before.
    held: Option<(String, u64)>,
    waiting: u64,
    round: u64,
}

impl Gate {
    /// From now on so many requests that need this right pass, and no more.
    pub(super) fn close(&self, right: &str, after: u64) {
        self.with(|state| state.held = Some((right.to_owned(), after)));
    }

    /// How many are held back.
    pub(super) fn waiting(&self) -> u64 {
        self.with(|state| state.waiting)
    }

    /// Lets those go that are held back, undone, and all that come later pass.
    pub(super) fn open(&self) {
        self.with(|state| (state.held, state.round, state.waiting) = (None, state.round + 1, 0));
        self.changed.notify_all();
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a request passes; waits while it is held back.
    pub(super) fn passes(&self, right: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.held {
            Some((held, left)) if held == right && *left == 0 => {}
            Some((held, left)) if held == right => {
                *left -= 1;
                return true;
            }
            _ => return true,
        }
        state.waiting += 1;
        let round = state.round;
        while state.round == round {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}
