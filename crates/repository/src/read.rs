//! Reads a snapshot: its tree in order, its files from any number of threads. Every chunk is compared with its name.

mod content;
mod folder;
pub mod walk;

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use plan::ports::{Entry, EntryHandle, Reused, Snapshot};
use plan::{Error, Result};
use rustic_core::repofile::{BlobType, Node};
use rustic_core::{DataId, TreeId};
use sha2::{Digest as _, Sha256};

use crate::index::{Index, State};
use crate::lock::Guard;
use crate::sink::{kind_of, meta_of};
use content::ContentReader;
pub use folder::Folder;

/// Bytes of a content that are hashed at a time.
const COMPARED_BYTES: usize = 128 << 10;

/// An open snapshot.
pub struct OpenSnapshot {
    /// The index as it was when the snapshot was opened.
    pub index: Arc<Index>,
    /// Root of its tree.
    pub tree: TreeId,
    /// So that nobody removes what is read.
    _lock: Option<Guard>,
}

impl OpenSnapshot {
    /// A snapshot that is read under another lock, or quickly.
    pub const fn new(index: Arc<Index>, tree: TreeId) -> Self {
        Self { index, tree, _lock: None }
    }

    /// A snapshot that is read for long.
    pub const fn under(lock: Option<Guard>, index: Arc<Index>, tree: TreeId) -> Self {
        Self { index, tree, _lock: lock }
    }
}

/// Where a file's content is.
struct Chunks(Vec<DataId>);

fn entry_of(path: PathBuf, mut node: Node) -> Result<Entry> {
    let kind = kind_of(&node).ok_or_else(|| Error::failed(format!("{} is a device, which no data set has", path.display())))?;
    let size_bytes = if node.is_file() { node.meta.size } else { 0 };
    let meta = meta_of(&node);
    let handle = EntryHandle(Box::new(Chunks(node.content.take().unwrap_or_default())));
    Ok(Entry { path, meta, size_bytes, kind, handle })
}

impl Snapshot for OpenSnapshot {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        let walk = walk::Walk::new(&self.index, self.tree)?;
        Ok(Box::new(walk.map(|item| item.and_then(|(path, node)| entry_of(path, node)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        let absent = || Error::failed(format!("{} is not in the snapshot", path.display()));
        let mut tree = Some(self.tree);
        let mut found: Option<Node> = None;
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(absent()) };
            let mut nodes = Folder::read(&self.index, tree.ok_or_else(absent)?, path)?;
            let is_it = |node: &Result<Node>| node.as_ref().map_or(true, |node| node.name() == name);
            let node = nodes.find(is_it).ok_or_else(absent)??;
            tree = node.subtree;
            found = Some(node);
        }
        entry_of(path.to_owned(), found.ok_or_else(absent)?)
    }

    fn content_id(&self, entry: &Entry) -> Option<u128> {
        let chunks = entry.handle.0.downcast_ref::<Chunks>().filter(|_| entry.is_file())?;
        let names: String = chunks.0.iter().map(|id| id.to_hex().as_str().to_owned()).collect();
        Some(plan::digest::hash(names.as_bytes()))
    }

    fn reuse(&self, entry: Entry) -> Option<Reused> {
        let chunks = entry.handle.0.downcast_ref::<Chunks>().filter(|_| entry.is_file() && entry.meta.read_at_ns.is_some())?;
        let is_whole = |id: &DataId| matches!(self.index.best(BlobType::Data, id), Some((_, State::Whole)));
        let whole = chunks.0.iter().all(is_whole);
        whole.then_some(Reused { size_bytes: entry.size_bytes, handle: entry.handle })
    }

    fn has_content(&self, entry: &Entry, content: &mut dyn Read) -> io::Result<Option<bool>> {
        let Some(chunks) = entry.handle.0.downcast_ref::<Chunks>().filter(|_| entry.is_file()) else { return Ok(None) };
        let mut buffer = vec![0; COMPARED_BYTES];
        for id in &chunks.0 {
            let Some((copy, _)) = self.index.best(BlobType::Data, id) else { return Ok(None) };
            let (mut left, mut hasher) = (copy.content_bytes() as usize, Sha256::new());
            while left > 0 {
                let wanted = left.min(buffer.len());
                match content.read(&mut buffer[..wanted]) {
                    Ok(0) => return Ok(Some(false)),
                    Ok(count) => {
                        hasher.update(&buffer[..count]);
                        left -= count;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if hex::encode(hasher.finalize()) != id.to_hex().as_str() {
                return Ok(Some(false));
            }
        }
        loop {
            match content.read(&mut [0]) {
                Ok(count) => return Ok(Some(count == 0)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        let chunks = entry.handle.0.downcast_ref::<Chunks>().filter(|_| entry.is_file());
        let chunks = chunks.ok_or_else(|| Error::failed(format!("{} is not a file of this snapshot", entry.path.display())))?;
        Ok(Box::new(ContentReader::new(Arc::clone(&self.index), entry.path.clone(), entry.size_bytes, chunks.0.clone())))
    }
}
