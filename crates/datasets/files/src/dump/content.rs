//! The content of a large file as a stream of exactly the size that was announced: what is missing when the file shrinks is zeros, what is more
//! when it grows is left out, and either is reported. Its digest is counted when the last byte was read.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Stat, fstat};
use xxhash_rust::xxh3::Xxh3;

use super::Shared;
use super::read::state_of;
use crate::hook::Moment;

/// See the module.
pub(super) struct LargeFile {
    file: File,
    stat: Stat,
    path: PathBuf,
    size_bytes: u64,
    left_bytes: u64,
    shrunk: bool,
    hasher: Box<Xxh3>,
    counted: bool,
    shared: Arc<Shared>,
}

impl LargeFile {
    /// `counted` is false for a further name of a file that was counted under its first.
    pub(super) fn new(file: File, stat: Stat, path: PathBuf, counted: bool, shared: Arc<Shared>) -> Self {
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        Self { file, stat, path, size_bytes, left_bytes: size_bytes, shrunk: false, hasher: Box::new(Xxh3::new()), counted, shared }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.shrunk {
            let read = self.file.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.shrunk = true;
        }
        buffer.fill(0);
        Ok(buffer.len())
    }

    fn end(&mut self) -> io::Result<()> {
        let now = fstat(&self.file)?;
        let changed = state_of(&now) != state_of(&self.stat);
        let mut tally = self.shared.tally();
        if self.shrunk {
            tally.notices.about("changed-while-read", &self.path, "became shorter while it was read; the rest is filled with zeros");
        } else if now.st_size > self.stat.st_size {
            tally.notices.about("changed-while-read", &self.path, "became longer while it was read; what was added is not in the backup");
        } else if changed {
            tally.notices.about("changed-while-read", &self.path, "changed while it was read; may hold parts of both contents");
        }
        if self.counted {
            tally.census.file(&self.path, self.size_bytes, self.hasher.digest128());
        }
        tally.unread -= 1;
        Ok(())
    }
}

impl Read for LargeFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.fill(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.left_bytes -= read as u64;
        if self.left_bytes == 0 {
            self.end()?;
        }
        self.shared.hook.at(Moment::Streamed, &self.path)?;
        Ok(read)
    }
}
