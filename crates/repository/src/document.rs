//! A snapshot of one small file: how manifests and records are stored.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ports::{Context, Dump, Part, Snapshot as _, Verdict};
use plan::{Error, Result};
use rustic_core::Id;
use rustic_core::repofile::SnapshotFile;

use crate::engine::{Ground, Open};
use crate::index::Index;
use crate::read::OpenSnapshot;
use crate::sink::{self, Label};

/// Documents are some 100 KiB; a much larger file is not one.
pub const BYTES_MAX: u64 = 64 << 20;

/// Stores a document and gives its snapshot.
///
/// # Errors
/// As [`sink::keep`].
pub fn write(open: &Open, label: &Label, file: &'static str, bytes: Vec<u8>) -> Result<Id> {
    let context = Context::new("");
    sink::keep(open, &context, label, Ground::Nothing, None, Box::new(Document { file, bytes: Some(bytes) })).map(|stored| stored.id)
}

/// Reads a document.
///
/// # Errors
/// When it is damaged, or too large to be one.
pub fn read(index: &Arc<Index>, snapshot: &SnapshotFile, file: &str) -> Result<Vec<u8>> {
    let snapshot = OpenSnapshot::new(Arc::clone(index), snapshot.tree);
    let entry = snapshot.find(Path::new(file))?;
    if entry.size_bytes > BYTES_MAX {
        return Err(Error::failed(format!("failed to read {file}: it claims to have {} bytes", entry.size_bytes)));
    }
    let mut bytes = Vec::new();
    let read = snapshot.read(&entry)?.take(BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Error::failed(format!("failed to read {file}")).because(error))?;
    Ok(bytes)
}

/// A dump of one part.
struct Document {
    file: &'static str,
    bytes: Option<Vec<u8>>,
}

impl Dump for Document {
    fn next_part(&mut self) -> Result<Option<Part>> {
        Ok(self.bytes.take().map(|bytes| Part::bytes(self.file, bytes)))
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        Ok(Verdict { evidence: Evidence::default(), consistent_at: jiff::Timestamp::now(), problems: Vec::new() })
    }
}
