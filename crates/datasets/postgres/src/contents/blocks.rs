//! What comes after the table of contents of `pg_dump`'s custom format: the data of tables, in blocks.
//!
//! Format: `_readBlockHeader`, `_PrintData` and `_skipData` of `pg_backup_custom.c`: a byte that says what it is, the entry's number, then pieces, each with its length, until one of
//! length 0. Of large objects the pieces stand behind each object's number, until one of number 0. Memory: what was given last.

use plan::{Error, Result};

use super::{Cursor, Layout, Stop};

const DATA: u8 = 1;
const LARGE_OBJECTS: u8 = 3;

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Block,
    /// Between the pieces of an entry.
    Piece(i64),
    /// So many bytes of a piece are left.
    In(i64, usize),
    LargeObject,
    LargePiece,
    InLarge(usize),
}

/// Reads blocks that come in pieces of any size.
pub(crate) struct Blocks {
    at: At,
    layout: Layout,
    waiting: Vec<u8>,
}

impl Blocks {
    /// Before the first byte of data.
    pub(crate) const fn new(layout: Layout) -> Self {
        Self { at: At::Block, layout, waiting: Vec::new() }
    }

    /// Whether it stands between blocks.
    pub(crate) const fn is_whole(&self) -> bool {
        matches!(self.at, At::Block) && self.waiting.is_empty()
    }

    /// Takes the next bytes, and gives pieces of the data of tables, each with its entry's number; an empty one when the entry's data is over.
    ///
    /// # Errors
    /// When the archive is damaged, or the receiver does not want to go on.
    pub(crate) fn pass(&mut self, bytes: &[u8], mut each: impl FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        let mut read = 0;
        loop {
            let rest = self.waiting.get(read..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            if let At::In(_, left) | At::InLarge(left) = self.at {
                let piece = rest.get(..left.min(rest.len())).unwrap_or_default();
                read += piece.len();
                let left = left - piece.len();
                self.at = match self.at {
                    At::In(entry, _) => {
                        each(entry, piece)?;
                        if left == 0 { At::Piece(entry) } else { At::In(entry, left) }
                    }
                    _ if left == 0 => At::LargePiece,
                    _ => At::InLarge(left),
                };
                continue;
            }
            let mut cursor = Cursor { bytes: rest, at: 0, layout: self.layout };
            match step(self.at, &mut cursor) {
                Ok(next) => {
                    read += cursor.at;
                    if let (At::Piece(entry), At::Block) = (self.at, next) {
                        each(entry, b"")?;
                    }
                    self.at = next;
                }
                Err(Stop::More) => break,
                Err(Stop::Damaged(what)) => {
                    return Err(Error::failed(format!("the archive of pg_dump is damaged: {what}")).hint("Run check, and use another set."));
                }
            }
        }
        self.waiting.drain(..read);
        Ok(())
    }
}

fn step(at: At, cursor: &mut Cursor<'_>) -> Result<At, Stop> {
    let length = |cursor: &mut Cursor<'_>| usize::try_from(cursor.integer()?).map_err(|_| Stop::Damaged("a length is negative"));
    Ok(match at {
        At::Block => match (cursor.byte()?, cursor.integer()?) {
            (DATA, entry) => At::Piece(entry),
            (LARGE_OBJECTS, _) => At::LargeObject,
            _ => return Err(Stop::Damaged("a block is neither rows nor large objects")),
        },
        At::Piece(entry) => match length(cursor)? {
            0 => At::Block,
            length => At::In(entry, length),
        },
        At::LargeObject => match cursor.integer()? {
            0 => At::Block,
            _ => At::LargePiece,
        },
        At::LargePiece => match length(cursor)? {
            0 => At::LargeObject,
            length => At::InLarge(length),
        },
        At::In(..) | At::InLarge(_) => at,
    })
}
