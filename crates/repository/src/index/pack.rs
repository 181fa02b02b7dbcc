//! Makes a pack of chunks that are sealed already: what is still good in a damaged pack is stored anew as it is.

use plan::{Error, Result};
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, WriteBackend};
use sha2::{Digest as _, Sha256};

use super::Copy;
use super::file::{Blob, Pack};
use crate::fault::EngineResult as _;
use crate::seal::Key;
use crate::small::path_of;

/// A pack in the making; all its chunks are of one kind, as the format wants it.
pub struct Making {
    kind: BlobType,
    bytes: Vec<u8>,
    blobs: Vec<Blob>,
}

impl Making {
    /// An empty one.
    pub const fn new(kind: BlobType) -> Self {
        Self { kind, bytes: Vec::new(), blobs: Vec::new() }
    }

    /// Its bytes so far.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a chunk as it stood in another pack.
    ///
    /// # Errors
    /// When the pack would be larger than one can be.
    pub fn add(&mut self, copy: &Copy, sealed: &[u8]) -> Result<()> {
        let uncompressed_length = copy.is_packed().then(|| copy.content_bytes());
        self.add_blob(Blob { id: copy.id(), kind: self.kind, offset: 0, length: copy.length, uncompressed_length }, sealed)
    }

    /// The same, as an index file has it; its offset is another one here.
    ///
    /// # Errors
    /// When the pack would be larger than one can be.
    pub fn add_blob(&mut self, blob: Blob, sealed: &[u8]) -> Result<()> {
        let offset = u32::try_from(self.bytes.len()).map_err(|error| Error::failed("failed to make a pack").because(error))?;
        self.blobs.push(Blob { kind: self.kind, offset, ..blob });
        self.bytes.extend_from_slice(sealed);
        Ok(())
    }

    /// Writes it; `None` when it is empty.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn write(self, storage: &dyn WriteBackend, key: &Key) -> Result<Option<Pack>> {
        if self.blobs.is_empty() {
            return Ok(None);
        }
        let mut header = Vec::new();
        for blob in &self.blobs {
            let tag = u8::from(self.kind == BlobType::Tree) + if blob.uncompressed_length.is_some() { 2 } else { 0 };
            header.push(tag);
            header.extend(blob.length.to_le_bytes());
            header.extend(blob.uncompressed_length.into_iter().flat_map(u32::to_le_bytes));
            let id = hex::decode(blob.id.to_hex().as_str()).map_err(|error| Error::failed("failed to make a pack").because(error))?;
            header.extend(id);
        }
        let header = key.seal(&header)?;
        let length = u32::try_from(header.len()).map_err(|error| Error::failed("failed to make a pack").because(error))?;
        let bytes = [self.bytes, header, length.to_le_bytes().to_vec()].concat();
        let id = Id::new(Sha256::digest(&bytes).into());
        storage.write_bytes(FileType::Pack, &id, false, bytes.into()).during(|| format!("write {}", path_of(FileType::Pack, &id)))?;
        Ok(Some(Pack { id, blobs: self.blobs, time: None, size: None }))
    }
}
