//! A queue between threads that wakes who waits for many items, not for each.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many light items are worth a wake.
const WORTH_A_WAKE: usize = 4;
/// One that comes alone wakes all the same, when the last wake was so long ago; and who waits looks by himself after this time.
const PATIENCE: Duration = Duration::from_millis(1);
/// Who looked in vain waits twice as long the next time, up to this.
const PATIENCE_MAX: Duration = Duration::from_millis(32);

/// Whether items of this type hold what they are, so that many may wait: the entries of a folder that the engine hands on have some hundred bytes. Smaller ones of the engine's are handles
/// to a chunk, which may have a mebibyte.
pub(crate) const fn is_light<T>() -> bool {
    size_of::<T>() >= 192
}

/// See the module.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
    room: usize,
    worth_a_wake: usize,
}

struct State<T> {
    items: VecDeque<T>,
    last_wake: Option<Instant>,
    takers: usize,
    givers: usize,
    is_closed: bool,
    is_broken: bool,
}

/// No more comes, or a thread panicked.
pub(crate) enum Over {
    Closed,
    Broken,
}

impl<T> Queue<T> {
    /// For `room` items; who gives more waits. For none: who gives waits until the item was taken.
    pub(crate) fn new(room: usize) -> Self {
        let state = State { items: VecDeque::new(), last_wake: None, takers: 0, givers: 0, is_closed: false, is_broken: false };
        let worth_a_wake = if is_light::<T>() { WORTH_A_WAKE.min(room.max(1)) } else { 1 };
        Self { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new(), room, worth_a_wake }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an item, and the item back when nobody takes any more.
    pub(crate) fn give(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        state = self.wait_for_room(state, self.room.max(1));
        if state.is_closed || state.is_broken {
            return Err(item);
        }
        state.items.push_back(item);
        if state.items.len() >= self.worth_a_wake || state.last_wake.is_none_or(|last| last.elapsed() >= PATIENCE) {
            self.wake(&mut state);
        }
        if self.room == 0 {
            drop(self.wait_for_room(state, 1));
        }
        Ok(())
    }

    /// Waits until fewer than `room` items are there.
    fn wait_for_room<'a>(&'a self, mut state: MutexGuard<'a, State<T>>, room: usize) -> MutexGuard<'a, State<T>> {
        while state.items.len() >= room && !state.is_closed && !state.is_broken {
            state.givers += 1;
            self.wake(&mut state);
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.givers -= 1;
        }
        state
    }

    /// Wakes one who waits for items, if anybody does.
    fn wake(&self, state: &mut State<T>) {
        if state.takers > 0 {
            state.last_wake = Some(Instant::now());
            self.filled.notify_one();
        }
    }

    /// Who has given for now and is going to wait for something else says so.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        if !state.items.is_empty() {
            self.wake(&mut state);
        }
    }

    /// Takes one item, and waits for it; says to `before_waiting` that it is going to.
    pub(crate) fn take(&self, before_waiting: impl FnOnce()) -> Result<T, Over> {
        let mut state = self.lock();
        if state.items.is_empty() && !state.is_closed && !state.is_broken {
            drop(state);
            before_waiting();
            state = self.wait_for_items();
        }
        if state.is_broken {
            return Err(Over::Broken);
        }
        let item = state.items.pop_front().ok_or(Over::Closed)?;
        if state.givers > 0 && state.items.len() <= self.room / 2 {
            self.emptied.notify_all();
        }
        // More is there than one can do: another one may help.
        if state.items.len() >= self.worth_a_wake {
            self.wake(&mut state);
        }
        Ok(item)
    }

    /// Takes all that is there, and waits until something is.
    pub(crate) fn take_all(&self) -> Result<VecDeque<T>, Over> {
        let mut state = self.wait_for_items();
        if state.is_broken {
            return Err(Over::Broken);
        }
        if state.items.is_empty() {
            return Err(Over::Closed);
        }
        if state.givers > 0 {
            self.emptied.notify_all();
        }
        Ok(std::mem::take(&mut state.items))
    }

    fn wait_for_items(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        let mut patience = PATIENCE;
        while state.items.is_empty() && !state.is_closed && !state.is_broken {
            state.takers += 1;
            state = if self.worth_a_wake == 1 {
                self.filled.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.filled.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0
            };
            state.takers -= 1;
            patience = (patience * 2).min(PATIENCE_MAX);
        }
        state
    }

    /// No more is given; what is there may be taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// A thread at one of the two ends has panicked.
    fn damage(&self) {
        self.lock().is_broken = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }
}

/// Held by a thread at one end of a queue: the other end learns that it panicked.
pub(crate) struct Guard<'a, T>(pub(crate) &'a Queue<T>);

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.damage();
        }
    }
}
