//! Sorts more records than memory has room for: sorted runs go into files that the caller gives, and are merged when they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use plan::error::During;
use plan::{Error, Result};

/// A file that nobody else sees.
pub trait Spill: Read + Write + Seek + Send {}

impl<F: Read + Write + Seek + Send> Spill for F {}

/// Gives a new file.
pub type Room<'a> = &'a dyn Fn() -> io::Result<Box<dyn Spill>>;

/// A record may have so many bytes: most are ids and digests, some are whole rows.
const RECORD_MAX_BYTES: usize = 64 << 20;
/// So many runs are read at once.
const RUNS_MAX: usize = 64;
/// What a record costs beside its bytes.
const RECORD_COST_BYTES: usize = 24;

/// Takes records in any order.
pub struct Sorter<'a> {
    room: Room<'a>,
    held_max_bytes: usize,
    held: Vec<Box<[u8]>>,
    held_bytes: usize,
    runs: Vec<Box<dyn Spill>>,
}

impl<'a> Sorter<'a> {
    /// `held_max_bytes`: what may be in memory before a run is written.
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self { room, held_max_bytes, held: Vec::new(), held_bytes: 0, runs: Vec::new() }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        if record.len() > RECORD_MAX_BYTES {
            return Err(Error::failed(format!("a record of {} bytes is longer than any that there is", record.len())));
        }
        self.held_bytes += record.len() + RECORD_COST_BYTES;
        self.held.push(record.into());
        if self.held_bytes > self.held_max_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.held.sort_unstable();
        let mut run = Writing::new(self.room)?;
        self.held.drain(..).try_for_each(|record| run.write(&record))?;
        self.held_bytes = 0;
        self.runs.push(run.done()?);
        if self.runs.len() >= RUNS_MAX {
            let mut merged = Merge::new(std::mem::take(&mut self.runs), Vec::new())?;
            let mut run = Writing::new(self.room)?;
            while let Some(record) = merged.next_record()? {
                run.write(&record)?;
            }
            self.runs.push(run.done()?);
        }
        Ok(())
    }

    /// All records in order.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub fn sorted(mut self) -> Result<Merge> {
        self.held.sort_unstable();
        Merge::new(self.runs, self.held)
    }
}

struct Writing(BufWriter<Box<dyn Spill>>);

impl Writing {
    fn new(room: Room<'_>) -> Result<Self> {
        Ok(Self(BufWriter::with_capacity(256 << 10, room().during(|| "make room for sorting".to_owned())?)))
    }

    fn write(&mut self, record: &[u8]) -> Result<()> {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.0.write_all(&length).and_then(|()| self.0.write_all(record)).during(|| "write a sorted run".to_owned())
    }

    fn done(self) -> Result<Box<dyn Spill>> {
        let rewound = self.0.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut file| file.rewind().map(|()| file));
        rewound.during(|| "write a sorted run".to_owned())
    }
}

enum Run {
    File(BufReader<Box<dyn Spill>>),
    Held(std::vec::IntoIter<Box<[u8]>>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Box<[u8]>>> {
        let file = match self {
            Self::Held(records) => return Ok(records.next()),
            Self::File(file) => file,
        };
        let mut length = [0; 4];
        match file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let mut record = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX).min(RECORD_MAX_BYTES)];
        file.read_exact(&mut record)?;
        Ok(Some(record.into()))
    }
}

/// Gives records in order.
pub struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Box<[u8]>, usize)>>,
}

impl Merge {
    fn new(files: Vec<Box<dyn Spill>>, held: Vec<Box<[u8]>>) -> Result<Self> {
        let runs = files.into_iter().map(|file| Run::File(BufReader::with_capacity(64 << 10, file)));
        let mut merge = Self { runs: runs.chain([Run::Held(held.into_iter())]).collect(), heads: BinaryHeap::new() };
        (0..merge.runs.len()).try_for_each(|run| merge.refill(run))?;
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> Result<()> {
        let next = self.runs.get_mut(run).map(Run::next).transpose().during(|| "read a sorted run".to_owned())?.flatten();
        self.heads.extend(next.map(|record| Reverse((record, run))));
        Ok(())
    }

    /// The next record.
    ///
    /// # Errors
    /// When a run cannot be read.
    pub fn next_record(&mut self) -> Result<Option<Box<[u8]>>> {
        let Some(Reverse((record, run))) = self.heads.pop() else { return Ok(None) };
        self.refill(run)?;
        Ok(Some(record))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_record_comes_back_in_order_whatever_fits_into_memory(
            mut records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..400),
            held_max_bytes in 1..4000_usize,
        ) {
            let room = || Ok(Box::new(Cursor::new(Vec::new())) as Box<dyn Spill>);
            let mut sorter = Sorter::new(&room, held_max_bytes);
            records.iter().for_each(|record| sorter.push(record).unwrap());
            let (mut merge, mut found) = (sorter.sorted().unwrap(), Vec::new());
            while let Some(record) = merge.next_record().unwrap() {
                found.push(record.to_vec());
            }
            records.sort();
            prop_assert_eq!(found, records);
        }
    }
}
