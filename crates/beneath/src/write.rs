//! Writes the content of a file, with its holes. Nothing is synced here; the caller syncs the volume once.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use plan::ports::Meta;
use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite};

use crate::metadata::{Unset, write_meta};
use crate::writer::{Fault, there};

/// A hole is made of whole blocks of this size.
const BLOCK_BYTES: usize = 4096;
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// A new file that is written from its beginning.
#[derive(Debug)]
pub struct NewFile {
    file: OwnedFd,
    pub(crate) bytes: u64,
    ends_in_hole: bool,
}

impl NewFile {
    pub(crate) const fn new(file: OwnedFd) -> Self {
        Self { file, bytes: 0, ends_in_hole: false }
    }

    /// Writes all but whole blocks of zeros, which are left out as long as what came before were whole blocks.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.bytes.is_multiple_of(BLOCK_BYTES as u64) {
            write_all_at(&self.file, self.bytes, bytes)?;
            self.ends_in_hole = false;
        } else {
            self.ends_in_hole = write_with_holes(&self.file, self.bytes, bytes)?;
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Gives it its length and its metadata.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self, meta: &Meta) -> Result<Unset, Fault> {
        if self.ends_in_hole {
            ftruncate(&self.file, self.bytes).map_err(there("write"))?;
        }
        write_meta(&self.file, meta).map_err(there("set the metadata of"))
    }
}

/// Reads until the buffer is full or the end.
///
/// # Errors
/// The reader's.
pub fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// `offset` is a multiple of the block size. Tells whether the last block was left out.
fn write_with_holes(file: impl AsFd, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let is_hole = |block: &[u8]| block.len() == BLOCK_BYTES && block == ZEROS;
    let mut blocks = bytes.chunks(BLOCK_BYTES).peekable();
    let mut at = 0;
    let mut ends_in_hole = false;
    while let Some(block) = blocks.next() {
        let start = at;
        at += block.len();
        ends_in_hole = is_hole(block);
        if ends_in_hole {
            continue;
        }
        while let Some(next) = blocks.next_if(|next| !is_hole(next)) {
            at += next.len();
        }
        write_all_at(&file, offset + start as u64, bytes.get(start..at).unwrap_or_default())?;
    }
    Ok(ends_in_hole)
}

fn write_all_at(file: impl AsFd, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwrite(&file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
