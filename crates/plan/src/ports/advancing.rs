//! Telling how the work gets on, now and then.

use super::{Event, Verb, Watch};
use crate::ids::DataSetName;

/// An event at least so often: an event for each small piece would cost more than the piece.
const ITEMS_MAX: u64 = 256;
const BYTES_MAX: u64 = 8 << 20;

/// What was done since it was last told.
#[derive(Debug)]
pub struct Advancing {
    data_set: DataSetName,
    verb: Verb,
    bytes: u64,
    items: u64,
}

impl Advancing {
    /// Nothing was done yet.
    #[must_use]
    pub const fn of(data_set: DataSetName, verb: Verb) -> Self {
        Self { data_set, verb, bytes: 0, items: 0 }
    }

    /// Adds what was done; tells it when it is enough.
    pub fn add(&mut self, watch: &dyn Watch, bytes: u64, items: u64) {
        (self.bytes, self.items) = (self.bytes + bytes, self.items + items);
        if self.items >= ITEMS_MAX || self.bytes >= BYTES_MAX {
            self.end(watch);
        }
    }

    /// Tells what is left to tell.
    pub fn end(&mut self, watch: &dyn Watch) {
        let (bytes, items) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.items));
        watch.see(Event::Advance { data_set: self.data_set, verb: self.verb, bytes, items });
    }
}
