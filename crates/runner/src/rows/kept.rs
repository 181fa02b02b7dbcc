//! Rows that change, as they are kept in the repository: records of some MiB, in each pieces of rows of one table, in the order in which they are changed. The repository encrypts them;
//! nothing of them is in the journal. A record of its own for each table would be read, and looked for among all records, as often as there are tables, in each pass over the rows.

use plan::ids::RunId;
use plan::ports::{Repository, RowChange, RowsOf};
use plan::{Error, Result};

/// The name of each record; its kind tells run and part.
const NAME: &str = "pieces";
/// A part is written when it has so many bytes. It may have one row more.
const PART_BYTES: usize = 8 << 20;

fn kind(run: &RunId, part: u32) -> String {
    format!("rows:{run}:{part:06}")
}

/// Rows that are looked at together, and a few more.
const TOGETHER: usize = 100;

/// Rows of a table, in their order.
pub(super) struct Piece {
    pub(super) of: RowsOf,
    pub(super) changes: Vec<RowChange>,
}

impl Piece {
    /// Some rows at a time. Those that are equal, where a table has no key, stay together: they are counted.
    pub(super) fn together(&self) -> Vec<&[RowChange]> {
        let (mut all, mut rest) = (Vec::new(), self.changes.as_slice());
        while !rest.is_empty() {
            let is_same =
                |at: usize| at > 0 && rest.get(at).is_some_and(|row| rest.get(at - 1).is_some_and(|before| before.row() == row.row()));
            let end = (TOGETHER.min(rest.len())..).find(|at| !is_same(*at)).unwrap_or(rest.len());
            let (some, others) = rest.split_at(end.min(rest.len()));
            all.push(some);
            rest = others;
        }
        all
    }
}

/// Writes parts.
pub(super) struct Keeping<'a> {
    repository: &'a dyn Repository,
    run: &'a RunId,
    of: Option<RowsOf>,
    /// Of this table.
    piece: Vec<u8>,
    /// The pieces before, each behind its length.
    bytes: Vec<u8>,
    parts: u32,
    rows: u64,
}

impl<'a> Keeping<'a> {
    pub(super) const fn new(repository: &'a dyn Repository, run: &'a RunId) -> Self {
        Self { repository, run, of: None, piece: Vec::new(), bytes: Vec::new(), parts: 0, rows: 0 }
    }

    pub(super) fn keep(&mut self, of: &RowsOf, change: &RowChange) -> Result<()> {
        if self.of.as_ref().is_some_and(|now| now != of) {
            self.piece();
        }
        if self.of.is_none() {
            of.write(&mut self.piece);
            self.of = Some(of.clone());
        }
        change.write(&mut self.piece);
        self.rows += 1;
        if self.bytes.len() + self.piece.len() >= PART_BYTES { self.part() } else { Ok(()) }
    }

    fn piece(&mut self) {
        if self.of.take().is_none() {
            return;
        }
        let piece = std::mem::take(&mut self.piece);
        self.bytes.extend_from_slice(&(piece.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(&piece);
    }

    fn part(&mut self) -> Result<()> {
        self.piece();
        self.repository.put_record(&kind(self.run, self.parts), NAME, &std::mem::take(&mut self.bytes))?;
        self.parts += 1;
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
pub(super) fn part(repository: &dyn Repository, run: &RunId, part: u32) -> Result<Vec<Piece>> {
    let lost = || {
        Error::needs_person(format!("part {part} of what run {run} kept of the rows is not in the repository, or damaged"))
            .hint(format!("Without it nobody knows what the run changes. `abandon {run}` ends it as it is."))
    };
    let record = repository.records(&kind(run, part))?.into_iter().find(|record| record.name == NAME).ok_or_else(lost)?;
    let (mut rest, mut pieces) = (record.bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        pieces.push(piece(&mut rest).ok_or_else(lost)?);
    }
    Ok(pieces)
}

/// `None`: it is damaged.
fn piece(rest: &mut &[u8]) -> Option<Piece> {
    let (length, behind) = rest.split_first_chunk::<8>()?;
    let (mut piece, behind) = behind.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    let (of, mut changes) = (RowsOf::read(&mut piece)?, Vec::new());
    while !piece.is_empty() {
        changes.push(RowChange::read(&mut piece)?);
    }
    Some(Piece { of, changes })
}

/// Removes the parts from this one on, the last one first: what a call that dies leaves is found by the next one.
pub(super) fn drop_from(repository: &dyn Repository, run: &RunId, from: u32) -> Result<()> {
    let mut end = from;
    while !repository.records(&kind(run, end))?.is_empty() {
        end += 1;
    }
    (from..end).rev().try_for_each(|part| repository.remove_record(&kind(run, part), NAME))
}
