//! Bounds the bytes of objects that were read and not yet taken.

use std::sync::{Condvar, Mutex, PoisonError};

use super::SMALL_BYTES;

/// Bytes between the readers and whoever takes the parts.
const WINDOW_BYTES: u64 = 48 << 20;

/// What an object takes of the window: large ones are not held.
pub(crate) const fn held_bytes(size: u64) -> u64 {
    if size <= SMALL_BYTES { size } else { 0 }
}

#[derive(Default)]
struct Inside {
    bytes: u64,
    is_closed: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Window {
    inside: Mutex<Inside>,
    freed: Condvar,
}

impl Window {
    /// Waits for room, in the order of the parts; `false` when it was closed.
    pub(crate) fn enter(&self, bytes: u64) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while !inside.is_closed && inside.bytes > 0 && inside.bytes + bytes > WINDOW_BYTES {
            inside = self.freed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        inside.bytes += bytes;
        !inside.is_closed
    }

    /// Gives room back.
    pub(crate) fn leave(&self, bytes: u64) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.bytes = inside.bytes.saturating_sub(bytes);
        drop(inside);
        self.freed.notify_all();
    }

    /// Lets nobody wait any more.
    pub(crate) fn close(&self) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.freed.notify_all();
    }
}
