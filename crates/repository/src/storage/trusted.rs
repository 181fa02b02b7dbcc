//! What the archiver may build on: a view of the repository whose index names only packs that can be trusted, and only the trees that were just read.
//!
//! The archiver stores a chunk only when its index has no such chunk, and believes that index. Through this view a chunk of a pack that is missing, cut,
//! condemned by a check or marked for deletion is not there, so it is stored anew.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::repofile::BlobType;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};

use crate::index::file::{Blob, IndexFile, Pack};
use crate::index::{Copy, Index, State};
use crate::seal::Key;

/// Chunks in one file of the view.
const CHUNKS_MAX: usize = 50_000;

/// See the module.
pub struct Trusted {
    inner: Arc<dyn WriteBackend>,
    key: Key,
    index: Option<Arc<Index>>,
    /// The chunks that may be built on, by kind and place.
    chunks: Vec<(BlobType, u32)>,
}

impl std::fmt::Debug for Trusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trusted").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

impl Trusted {
    /// A view in which there is nothing to build on.
    pub fn nothing(inner: Arc<dyn WriteBackend>, key: Key) -> Self {
        Self { inner, key, index: None, chunks: Vec::new() }
    }

    /// A view of all data that can be trusted, and of these trees.
    pub fn new(inner: Arc<dyn WriteBackend>, key: Key, index: Arc<Index>, trees: &HashSet<Id>) -> Self {
        let is_whole = |copy: &Copy| index.pack_of(copy).is_some_and(|pack| pack.state == State::Whole);
        let mut chunks = Vec::new();
        for kind in [BlobType::Tree, BlobType::Data] {
            let copies = index.copies(kind).iter().enumerate();
            let good = copies.filter(|(_, copy)| (kind == BlobType::Data || trees.contains(&copy.id())) && is_whole(copy));
            chunks.extend(good.map(|(place, _)| (kind, place as u32)));
        }
        Self { inner, key, index: Some(index), chunks }
    }

    fn files(&self) -> Vec<(Id, u32)> {
        (0..self.chunks.len().div_ceil(CHUNKS_MAX)).map(|number| (id_of(number), 1)).collect()
    }

    fn file(&self, id: &Id) -> Option<Vec<u8>> {
        let index = self.index.as_ref()?;
        let number = (0..self.chunks.len().div_ceil(CHUNKS_MAX)).find(|number| id_of(*number) == *id)?;
        let mut file = IndexFile::default();
        for kind in [BlobType::Tree, BlobType::Data] {
            let places = number * CHUNKS_MAX..self.chunks.len().min((number + 1) * CHUNKS_MAX);
            let slice = places.clone().zip(&self.chunks[places]);
            let blobs: Vec<_> = slice
                .filter(|(_, chunk)| chunk.0 == kind)
                .map(|(place, chunk)| (place, &index.copies(kind)[chunk.1 as usize]))
                .map(|(place, copy)| Blob {
                    id: copy.id(),
                    kind,
                    // Of most chunks the archiver asks only whether they are there. Those that it reads, folders of the earlier snapshot, are found again by this.
                    offset: place as u32,
                    length: copy.length,
                    uncompressed_length: copy.is_packed().then(|| copy.content_bytes()),
                })
                .collect();
            if !blobs.is_empty() {
                file.packs.push(Pack { id: *id, blobs, time: None, size: Some(1) });
            }
        }
        self.key.seal(&serde_json::to_vec(&file).ok()?).ok()
    }

    /// Where a chunk of the view is, when the pack is one of the view's own.
    fn place(&self, tpe: FileType, id: &Id, place: u32) -> Option<(Id, u32)> {
        let place = place as usize;
        let (index, chunk) = (self.index.as_ref()?, self.chunks.get(place)?);
        if tpe != FileType::Pack || *id != id_of(place / CHUNKS_MAX) {
            return None;
        }
        let copy = index.copies(chunk.0).get(chunk.1 as usize)?;
        Some((index.pack_of(copy)?.id, copy.offset))
    }
}

/// Names of files that exist in the view only.
fn id_of(number: usize) -> Id {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    Id::new(id)
}

impl ReadBackend for Trusted {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if tpe == FileType::Index { Ok(self.files()) } else { self.inner.list_with_size(tpe) }
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        if tpe != FileType::Index {
            return self.inner.read_full(tpe, id);
        }
        let file = self.file(id).ok_or_else(|| RusticError::new(ErrorKind::Internal, "failed to make a view of the index"))?;
        Ok(file.into())
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        match self.place(tpe, id, offset) {
            Some((pack, offset)) => self.inner.read_partial(tpe, &pack, cacheable, offset, length),
            None => self.inner.read_partial(tpe, id, cacheable, offset, length),
        }
    }
}

impl WriteBackend for Trusted {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}
