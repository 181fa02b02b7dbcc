//! Reads a logical database of a set, key by key, as it is in the repository: no server is asked, and no more than a piece of a value is held.

use std::io::Read;
use std::sync::Arc;

use plan::manifest::KeptDataSet;
use plan::ports::{KeyReader, ReadKey, Snapshot, StopFlag};
use plan::{Error, Result};

use crate::rdb::Format;
use crate::rdb::absorb::Absorb;
use crate::rdb::elements::Elements;
use crate::rdb::source::{NoTap, Source, Tap};
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::store::{Parts, Stored};
use crate::tally::DatabaseTally;

/// Of a piece no more than this is told.
const PIECE_MAX_BYTES: usize = 8 << 20;

/// Reads the database of a label (`storage`, `queues`, `system`).
///
/// # Errors
/// When the set has no such database, or it cannot be read; what the reader says.
pub fn read_keys(snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet, label: &str, stop: &StopFlag, reader: &mut dyn KeyReader) -> Result<()> {
    each_key(snapshot, kept, label, stop, &mut |source, format, head| tell(source, format, head, reader))
}

/// Tells each key of the database of a label, with a digest of its type, expiry and value that does not depend on how or in which order they are kept.
///
/// # Errors
/// As [`read_keys`].
pub fn read_digests(
    snapshot: Arc<dyn Snapshot>,
    kept: &KeptDataSet,
    label: &str,
    stop: &StopFlag,
    tell: &mut dyn FnMut(&[u8], u128) -> Result<()>,
) -> Result<()> {
    each_key(snapshot, kept, label, stop, &mut |source, format, head| {
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        let mut tally = DatabaseTally::new(0);
        tally.begin_key(&head.key, shape, head.expires_ms);
        value(source, head.kind, format, &mut tally)?;
        tally.end_key();
        tell(&head.key, tally.digest())
    })
}

/// What is done with a key whose value is next in the source: it reads that.
type Take<'a> = &'a mut dyn FnMut(&mut Source<Parts, NoTap>, Format, &KeyHead) -> Result<()>;

/// Walks over the keys of the database of a label.
fn each_key(snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet, label: &str, stop: &StopFlag, take: Take<'_>) -> Result<()> {
    let mut walk = Walk::begin(Source::new(Stored::of(snapshot, kept, label)?.read()?, NoTap))?;
    let (format, mut told) = (walk.format, 0);
    loop {
        match walk.next()? {
            Item::Key(head) => take(&mut walk.source, format, &head)?,
            Item::End { .. } => break,
            _ => {}
        }
        if walk.source.offset() - told > 4 << 20 {
            told = walk.source.offset();
            stop.check()?;
        }
    }
    walk.source.at_end().map_err(|error| Error::during(error, format!("read the database {label} of the set")))
}

/// Tells a reader a key whose value is next in the source.
pub(crate) fn tell<R: Read, T: Tap>(source: &mut Source<R, T>, format: Format, head: &KeyHead, reader: &mut dyn KeyReader) -> Result<()> {
    let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
    let from = source.offset();
    let is_wanted = reader.wants(&head.key);
    reader.begin(&head.key);
    let mut pieces = Pieces { reader, key: &head.key, is_wanted, counted: Elements::of(shape), piece: Vec::new(), to_come: 0 };
    value(source, head.kind, format, &mut pieces)?;
    let elements = pieces.counted.count();
    let bytes = source.offset() - from + head.key.len() as u64;
    reader.key(&ReadKey { key: &head.key, kind: shape.name(), elements, bytes, expires_ms: head.expires_ms })
}

/// The pieces of one value.
struct Pieces<'a, 'k> {
    reader: &'a mut dyn KeyReader,
    key: &'k [u8],
    is_wanted: bool,
    counted: Elements,
    piece: Vec<u8>,
    to_come: u64,
}

impl Pieces<'_, '_> {
    fn ends(&mut self) {
        if self.is_wanted {
            self.reader.piece(self.key, &self.piece);
        }
    }
}

impl Absorb for Pieces<'_, '_> {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        self.counted.begin(length)?;
        self.piece.clear();
        self.to_come = length;
        if length == 0 {
            self.ends();
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // What belongs to no piece: counters of a stream, scores.
        if self.to_come == 0 {
            return;
        }
        if self.is_wanted {
            let room = PIECE_MAX_BYTES.saturating_sub(self.piece.len());
            self.piece.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        }
        self.to_come = self.to_come.saturating_sub(bytes.len() as u64);
        if self.to_come == 0 {
            self.ends();
        }
    }

    fn number(&mut self, _number: u64) {}

    fn end_element(&mut self, expires_ms: Option<u64>) {
        self.counted.end_element(expires_ms);
    }
}
