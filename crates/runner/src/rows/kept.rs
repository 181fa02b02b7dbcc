//! Rows that change, as they are kept in the repository: records of some MiB, each of rows of one table, in the order in which they are changed. The repository encrypts them; nothing of
//! them is in the journal.

use plan::ids::RunId;
use plan::ports::{Repository, RowChange, RowsOf};
use plan::{Error, Result};

/// The name of each record; its kind tells run and part.
const NAME: &str = "rows";
/// A part is written when it has so many bytes. It may have one row more.
const PART_BYTES: usize = 8 << 20;

fn kind(run: &RunId, part: u32) -> String {
    format!("rows:{run}:{part:06}")
}

/// Rows of a table, of one part.
pub(super) struct Part {
    pub(super) of: RowsOf,
    pub(super) changes: Vec<RowChange>,
}

/// Writes parts.
pub(super) struct Keeping<'a> {
    repository: &'a dyn Repository,
    run: &'a RunId,
    of: Option<RowsOf>,
    bytes: Vec<u8>,
    parts: u32,
    rows: u64,
}

impl<'a> Keeping<'a> {
    pub(super) const fn new(repository: &'a dyn Repository, run: &'a RunId) -> Self {
        Self { repository, run, of: None, bytes: Vec::new(), parts: 0, rows: 0 }
    }

    pub(super) fn keep(&mut self, of: &RowsOf, change: &RowChange) -> Result<()> {
        if self.of.as_ref().is_some_and(|now| now != of) {
            self.part()?;
        }
        if self.of.is_none() {
            of.write(&mut self.bytes);
            self.of = Some(of.clone());
        }
        change.write(&mut self.bytes);
        self.rows += 1;
        if self.bytes.len() >= PART_BYTES { self.part() } else { Ok(()) }
    }

    fn part(&mut self) -> Result<()> {
        self.repository.put_record(&kind(self.run, self.parts), NAME, &std::mem::take(&mut self.bytes))?;
        self.parts += 1;
        self.of = None;
        Ok(())
    }

    /// Writes what is left. Parts of an earlier call that died go.
    pub(super) fn end(mut self) -> Result<(u32, u64)> {
        if self.of.is_some() {
            self.part()?;
        }
        drop_from(self.repository, self.run, self.parts)?;
        Ok((self.parts, self.rows))
    }
}

/// A part, read back.
pub(super) fn part(repository: &dyn Repository, run: &RunId, part: u32) -> Result<Part> {
    let lost = || {
        Error::needs_person(format!("part {part} of what run {run} kept of the rows is not in the repository, or damaged"))
            .hint(format!("Without it nobody knows what the run changes. `abandon {run}` ends it as it is."))
    };
    let record = repository.records(&kind(run, part))?.into_iter().find(|record| record.name == NAME).ok_or_else(lost)?;
    let mut rest = record.bytes.as_slice();
    let (of, mut changes) = (RowsOf::read(&mut rest).ok_or_else(lost)?, Vec::new());
    while !rest.is_empty() {
        changes.push(RowChange::read(&mut rest).ok_or_else(lost)?);
    }
    Ok(Part { of, changes })
}

/// Removes the parts from this one on, the last one first: what a call that dies leaves is found by the next one.
pub(super) fn drop_from(repository: &dyn Repository, run: &RunId, from: u32) -> Result<()> {
    let mut end = from;
    while !repository.records(&kind(run, end))?.is_empty() {
        end += 1;
    }
    (from..end).rev().try_for_each(|part| repository.remove_record(&kind(run, part), NAME))
}
