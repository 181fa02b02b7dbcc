//! Reads one part for the archiver: fills every buffer, counts, and makes a short, long or broken stream an error of the whole intake.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use plan::Error;

use super::source::{Intake, Permit};
use crate::fault::guarded;
use crate::pace;

/// The content of a part.
pub enum Bytes {
    /// In memory.
    Whole(Cursor<Vec<u8>>),
    /// From elsewhere.
    Stream(Box<dyn Read + Send>),
}

/// See the module. The archiver's chunker shrinks its buffer for good after a short read, so there are none.
pub struct PartReader {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub left: u64,
    pub bytes: Bytes,
    pub intake: Arc<Intake>,
    pub done: bool,
    pub permit: Option<Permit>,
}

impl PartReader {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader: &mut dyn Read = match &mut self.bytes {
            Bytes::Whole(cursor) => cursor,
            Bytes::Stream(stream) => stream,
        };
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted {
            match reader.read(&mut buffer[filled..wanted]) {
                Ok(0) => {
                    let missing = self.left - filled as u64;
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("{missing} of {} bytes are missing", self.size_bytes),
                    ));
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.left -= filled as u64;
        if self.left > 0 {
            return Ok(filled);
        }
        loop {
            match reader.read(&mut [0]) {
                Ok(0) => return Ok(filled),
                Ok(_) => return Err(io::Error::other(format!("it is longer than {} bytes", self.size_bytes))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.done || buffer.is_empty() {
            return Ok(0);
        }
        if self.intake.is_over() {
            return Err(io::Error::other("the run is over"));
        }
        let what = format!("read part {}", self.path.display());
        let filled = guarded(&what, || self.fill(buffer).map_err(|error| Error::failed(what.clone()).because(error)));
        match filled {
            Ok(filled) => {
                if let Some(pace) = pace::paces().and_then(|paces| paces.read.as_ref()) {
                    pace.wait_for(filled as u64, || self.intake.is_over());
                }
                if self.left == 0 {
                    self.done = true;
                    self.permit = None;
                    self.bytes = Bytes::Whole(Cursor::default());
                    self.intake.part_read(self.size_bytes);
                }
                Ok(filled)
            }
            Err(error) => {
                self.intake.fail(error);
                Err(io::Error::other("the run is over"))
            }
        }
    }
}
