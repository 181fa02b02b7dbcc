//! Two small views of a backend for single operations of the engine.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::read_through;
use crate::fault::lock;

/// Shows only the given packs and no index, and removes nothing.
///
/// The engine's index repair compares packs with index files and rewrites these; beside a running backup it can drop the entries of packs that were
/// uploaded between its two listings. Through this view it can only add an index file for packs that no index names.
#[derive(Debug)]
pub struct Orphans {
    /// The backend.
    pub inner: Arc<dyn WriteBackend>,
    /// Packs that no index names.
    pub packs: Vec<(Id, u32)>,
}

impl ReadBackend for Orphans {
    read_through!();

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        match tpe {
            FileType::Pack => Ok(self.packs.clone()),
            FileType::Index => Ok(Vec::new()),
            _ => self.inner.list_with_size(tpe),
        }
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }
}

impl WriteBackend for Orphans {
    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, _tpe: FileType, _id: &Id, _cacheable: bool) -> RusticResult<()> {
        Ok(())
    }
}

/// Notes the id under which a snapshot was written: the engine does not tell.
#[derive(Debug)]
pub struct Recorder {
    /// The backend.
    pub inner: Arc<dyn WriteBackend>,
    /// The snapshot that was written last.
    pub written: Arc<Mutex<Option<Id>>>,
}

impl ReadBackend for Recorder {
    read_through!();

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }
}

impl WriteBackend for Recorder {
    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)?;
        if tpe == FileType::Snapshot {
            *lock(&self.written) = Some(*id);
        }
        Ok(())
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}
