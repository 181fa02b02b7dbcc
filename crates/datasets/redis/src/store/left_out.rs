//! What a load leaves out: counted while the snapshot passes, told to the operator by queue, and kept beside the copy, so that the proof stays
//! exact.

use std::collections::BTreeMap;
use std::io::Read;

use plan::evidence::Tally;
use plan::manifest::KeptDataSet;
use plan::ports::{Event, Problem, Severity, Watch};
use plan::{Error, Queues, Result};
use threescale::keys::Class;
use threescale::queues::{Fate, Selection};

use super::loader::Loader;
use super::place::{Method, Placed};
use super::sieve::Sieve;
use super::{Named, RedisStore};
use crate::connection::{Connection, Reply};
use crate::dump::insert_collections;
use crate::pass::{note_counted, printable};
use crate::queues;
use crate::rdb::Format;
use crate::rdb::source::{Source, Tap};
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::KeyHead;
use crate::tally::DatabaseTally;

/// End of the name under which a record tells the queues that went back in part: they are counted as they are in the copy.
const JOBS: &str = "/jobs";

/// What is in the queues of a copy that went back in part, by database.
pub(crate) type Kept = BTreeMap<String, Tally>;

/// What is left out of one database.
pub(crate) struct LeftOut {
    selection: Selection,
    tally: DatabaseTally,
    /// The queues that go back in part, as they are in the copy.
    kept: DatabaseTally,
    queues: BTreeMap<String, u64>,
    others: BTreeMap<Class, u64>,
    kept_jobs: u64,
}

impl LeftOut {
    /// `base_ms` as in the dump.
    pub(crate) fn new(selection: Selection, base_ms: u64) -> Self {
        let (tally, kept) = (DatabaseTally::new(base_ms), DatabaseTally::new(base_ms));
        Self { selection, tally, kept, queues: BTreeMap::new(), others: BTreeMap::new(), kept_jobs: 0 }
    }

    /// The fate of a key that does not go back as it is; it is next for [`LeftOut::pass_over`] or [`LeftOut::sift`].
    pub(crate) fn fate(&self, head: &KeyHead, format: Format) -> Result<Option<Fate>> {
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        let fate = queues::fate(&self.selection, &head.key, shape, head.expires_ms.is_some());
        Ok((fate != Fate::Back).then_some(fate))
    }

    /// Leaves a key out.
    pub(crate) fn pass_over<R: Read, T: Tap>(&mut self, source: &mut Source<R, T>, head: &KeyHead, format: Format) -> Result<()> {
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        self.tally.begin_key(&head.key, shape, head.expires_ms);
        value(source, head.kind, format, &mut self.tally)?;
        self.tally.end_key();
        match self.selection.fate(&head.key) {
            Fate::LeftOut(class) if class != Class::Jobs => *self.others.entry(class).or_default() += 1,
            _ => note_counted(&mut self.queues, printable(&head.key), self.tally.length()),
        }
        Ok(())
    }

    /// Loads those jobs of a queue that go back.
    pub(crate) fn sift<R: Read, T: Tap>(
        &mut self,
        source: &mut Source<R, T>,
        head: &KeyHead,
        format: Format,
        loader: &mut Loader,
    ) -> Result<()> {
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        let mut sieve = Sieve::begin(&self.selection, &mut self.tally, &mut self.kept, loader, &head.key, shape);
        value(source, head.kind, format, &mut sieve)?;
        let (left, kept) = sieve.end()?;
        self.kept_jobs += kept;
        if left > 0 {
            note_counted(&mut self.queues, printable(&head.key), left);
        }
        Ok(())
    }

    /// Tells what was left out, by queue.
    pub(crate) fn tell(&self, watch: &dyn Watch) {
        for (queue, jobs) in &self.queues {
            watch.see(Event::Note(&format!("left out: {queue} {jobs} {}", if *jobs == 1 { "job" } else { "jobs" })));
        }
        for (class, keys) in &self.others {
            watch.see(Event::Note(&format!("left out: {}", class.counted(*keys))));
        }
        if self.selection.is_by_class() && self.kept_jobs > 0 {
            let jobs = if self.kept_jobs == 1 { "1 job goes".to_owned() } else { format!("{} jobs go", self.kept_jobs) };
            watch.see(Event::Note(&format!("{jobs} back")));
        }
    }

    /// For the marker.
    pub(crate) fn to_text(&self, named: &Named) -> Result<String> {
        let mut collections = BTreeMap::new();
        insert_collections(named, &self.tally.buckets, &mut collections);
        collections.insert(format!("{}{JOBS}", named.name), self.kept.buckets.persistent);
        serde_json::to_string(&collections).map_err(|error| Error::failed("failed to write down what was left out").because(error))
    }
}

impl RedisStore {
    /// Jobs are told apart where they are sent as commands; a server's file is made of keys as they are.
    pub(crate) fn by_class_fits(&self, method: Method) -> Option<Problem> {
        let by_class = matches!(self.options.queues, Queues::Safe | Queues::Only(_)) && method == Method::File;
        by_class.then(|| {
            Problem::new(Severity::Blocks, format!("{} goes back as a file, of which no jobs can be left out by their class", self.name))
                .way_out("Say --queues drop or --queues keep, or give the user the right to RESTORE: `doctor` says how.")
        })
    }

    pub(crate) fn refuse_by_class(&self, method: Method) -> Result<()> {
        self.by_class_fits(method).map_or(Ok(()), |problem| Err(Error::refused(problem.sentence())))
    }
}

/// Adds what was left out of the selected database to what was found in it, and tells what its queues hold that went back in part.
pub(crate) fn read_left_out(
    connection: &mut Connection,
    placed: &Placed,
    found: &mut BTreeMap<String, Tally>,
    kept: &mut Kept,
) -> Result<()> {
    if placed.queues == Queues::Keep {
        return Ok(());
    }
    let Reply::Bytes(text) = connection.call(&[b"GET", placed.left_out().as_bytes()])? else {
        return Err(Error::failed("what the load left out is not on record beside the copy").hint("Stage it again."));
    };
    let left_out: BTreeMap<String, Tally> = serde_json::from_slice(&text)
        .map_err(|error| Error::failed("the record of what the load left out cannot be read").because(error).hint("Stage it again."))?;
    for (name, tally) in left_out {
        match name.strip_suffix(JOBS) {
            Some(database) => drop(kept.insert(database.to_owned(), tally)),
            None => found.entry(name).or_default().merge(tally),
        }
    }
    Ok(())
}

/// From when on the dump counted expiries.
pub(crate) fn base_ms(kept: &KeptDataSet) -> Result<u64> {
    let base_ms = kept.evidence.facts.get("expiry-base-ms").and_then(|text| text.parse().ok());
    base_ms.ok_or_else(|| Error::failed("the set does not tell from when on keys expire"))
}
