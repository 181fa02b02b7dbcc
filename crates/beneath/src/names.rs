//! The names in a folder, in little memory.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{Dir, FileType};

/// The names in a folder, sorted by bytes, in one piece of memory: some 16 bytes more than the name itself for each.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    spans: std::vec::IntoIter<(usize, u16, FileType)>,
}

impl Names {
    /// Reads a folder.
    ///
    /// # Errors
    /// The system's.
    pub fn read(folder: impl AsFd) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let length = u16::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            spans.push((bytes.len(), length, entry.file_type()));
            bytes.extend_from_slice(name);
        }
        let name_of = |&(start, length, _): &(usize, u16, FileType)| bytes.get(start..start + usize::from(length)).unwrap_or_default();
        spans.sort_unstable_by(|a, b| name_of(a).cmp(name_of(b)));
        Ok(Self { bytes, spans: spans.into_iter() })
    }

    /// The name that [`Iterator::next`] gives next.
    #[must_use]
    pub fn peek(&self) -> Option<&OsStr> {
        self.spans
            .as_slice()
            .first()
            .map(|&(start, length, _)| OsStr::from_bytes(self.bytes.get(start..start + usize::from(length)).unwrap_or_default()))
    }
}

impl Iterator for Names {
    type Item = (OsString, FileType);

    fn next(&mut self) -> Option<Self::Item> {
        let (start, length, kind) = self.spans.next()?;
        let name = self.bytes.get(start..start + usize::from(length)).unwrap_or_default();
        Some((OsString::from_vec(name.to_vec()), kind))
    }
}
