//! The content of one file, chunk by chunk, each compared with its name; exactly as many bytes as its entry says, or an error.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use plan::Result;
use rustic_core::DataId;
use rustic_core::repofile::BlobType;

use crate::index::Index;

/// See the module.
pub struct ContentReader {
    index: Arc<Index>,
    path: PathBuf,
    left: u64,
    chunks: std::vec::IntoIter<DataId>,
    current: Bytes,
}

impl ContentReader {
    /// A reader before the first byte.
    pub fn new(index: Arc<Index>, path: PathBuf, size_bytes: u64, chunks: Vec<DataId>) -> Self {
        Self { index, path, left: size_bytes, chunks: chunks.into_iter(), current: Bytes::new() }
    }

    fn next_chunk(&mut self, chunk: DataId) -> Result<Bytes> {
        self.index
            .read(BlobType::Data, &chunk)
            .map_err(|error| error.during(format!("failed to read {} from the repository", self.path.display())))
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
            let Some(chunk) = self.chunks.next() else {
                return if self.left == 0 { Ok(0) } else { Err(wrong(format!("{} bytes are missing at the end", self.left))) };
            };
            self.current = self.next_chunk(chunk).map_err(io::Error::other)?;
            self.left = self
                .left
                .checked_sub(self.current.len() as u64)
                .ok_or_else(|| wrong("content is longer than its entry says".to_owned()))?;
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
