//! What a load leaves out: counted while the snapshot passes, told to the operator by queue, and kept beside the copy, so that the proof stays
//! exact.

use std::collections::BTreeMap;

use plan::evidence::Tally;
use plan::manifest::KeptDataSet;
use plan::ports::{Event, Watch};
use plan::{Error, Queues, Result};

use super::Named;
use super::place::Placed;
use crate::connection::{Connection, Reply};
use crate::dump::insert_collections;
use crate::pass::{note_counted, printable};
use crate::queues::{Class, Rules};
use crate::tally::DatabaseTally;

/// What is left out of one database.
pub(crate) struct LeftOut {
    rules: Rules,
    pub(crate) tally: DatabaseTally,
    queues: BTreeMap<String, u64>,
    others: BTreeMap<Class, u64>,
}

impl LeftOut {
    /// `base_ms` as in the dump.
    pub(crate) fn new(rules: Rules, base_ms: u64) -> Self {
        Self { rules, tally: DatabaseTally::new(base_ms), queues: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// The class of a key that is left out: its value goes to the tally, then [`LeftOut::add`] is called.
    pub(crate) fn class(&self, key: &[u8]) -> Option<Class> {
        self.rules.left_out(key)
    }

    /// Its value has passed.
    pub(crate) fn add(&mut self, key: &[u8], class: Class) {
        self.tally.end_key();
        if class == Class::Jobs {
            note_counted(&mut self.queues, printable(key), self.tally.length());
        } else {
            *self.others.entry(class).or_default() += 1;
        }
    }

    /// Tells what was left out, by queue.
    pub(crate) fn tell(&self, watch: &dyn Watch) {
        for (queue, jobs) in &self.queues {
            watch.see(Event::Note(&format!("left out: {queue} {jobs} jobs")));
        }
        for (class, keys) in &self.others {
            watch.see(Event::Note(&format!("left out: {keys} {}", class.as_str())));
        }
    }

    /// For the marker.
    pub(crate) fn to_text(&self, named: &Named) -> Result<String> {
        let mut collections = BTreeMap::new();
        insert_collections(named, &self.tally.buckets, &mut collections);
        serde_json::to_string(&collections).map_err(|error| Error::failed("write down what was left out").because(error))
    }
}

/// Adds what was left out of the selected database to what was found in it.
pub(crate) fn add_left_out(connection: &mut Connection, placed: &Placed, found: &mut BTreeMap<String, Tally>) -> Result<()> {
    if placed.queues == Queues::Keep {
        return Ok(());
    }
    let Reply::Bytes(text) = connection.call(&[b"GET", placed.left_out().as_bytes()])? else {
        return Err(Error::failed("what the load left out is not on record beside the copy").hint("Stage it again."));
    };
    let left_out: BTreeMap<String, Tally> = serde_json::from_slice(&text)
        .map_err(|error| Error::failed("the record of what the load left out cannot be read").because(error).hint("Stage it again."))?;
    for (name, tally) in left_out {
        found.entry(name).or_default().merge(tally);
    }
    Ok(())
}

/// From when on the dump counted expiries.
pub(crate) fn base_ms(kept: &KeptDataSet) -> Result<u64> {
    let base_ms = kept.evidence.facts.get("expiry-base-ms").and_then(|text| text.parse().ok());
    base_ms.ok_or_else(|| Error::failed("the set does not tell from when on keys expire"))
}
