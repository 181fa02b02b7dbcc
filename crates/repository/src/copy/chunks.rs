//! Carries chunks from one repository into another: only those that are not whole there, each once.
//!
//! One thread reads, opens, compares and seals; another writes packs. Two packs wait between them at most, so memory does not grow with what is carried, but for
//! the names of what is new there: as the index of both repositories, of which they become a part.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use plan::ids::DataSetName;
use plan::{Error, Result};
use rustic_core::repofile::BlobType;
use rustic_core::{Id, TreeId, WriteBackend};

use super::{Step, Way, here, there};
use crate::engine::Open;
use crate::index::file::{Blob, Pack};
use crate::index::pack::Making;
use crate::index::{Index, State};
use crate::init::{DATA_PACK_BYTES, TREE_PACK_BYTES};
use crate::read::walk::Walk;
use crate::seal::{Key, SEAL_BYTES};

/// Packs that are named by one index file while it goes on: what a copy that is killed has stored is then soon known.
const PACKS_PER_INDEX: usize = 64;

/// What was carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Chunks that were not there.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The same as they are stored there.
    pub stored_bytes: u64,
    /// Snapshots that were written.
    pub snapshots: u64,
}

/// See the module.
pub struct Carrier<'a> {
    way: &'a Way<'a>,
    source: Arc<Index>,
    target: Arc<Index>,
    /// What was carried, by kind: the index there does not know of it yet.
    data: Lane,
    trees: Lane,
    writer: Option<Writer>,
    carried: Carried,
}

/// Chunks of one kind.
struct Lane {
    kind: BlobType,
    pack_bytes: usize,
    carried: HashSet<Id>,
    making: Making,
}

impl Lane {
    fn new(kind: BlobType, pack_bytes: u64) -> Self {
        Self { kind, pack_bytes: usize::try_from(pack_bytes).unwrap_or(usize::MAX), carried: HashSet::new(), making: Making::new(kind) }
    }

    fn take(&mut self) -> Making {
        std::mem::replace(&mut self.making, Making::new(self.kind))
    }
}

impl<'a> Carrier<'a> {
    /// With the indexes as they are now.
    pub fn new(way: &'a Way<'a>) -> Step<Self> {
        Ok(Self {
            source: way.from.index().map_err(here)?,
            target: way.to.index().map_err(there)?,
            data: Lane::new(BlobType::Data, DATA_PACK_BYTES),
            trees: Lane::new(BlobType::Tree, TREE_PACK_BYTES),
            writer: Some(Writer::start(way.to).map_err(there)?),
            carried: Carried::default(),
            way,
        })
    }

    /// Carries everything at and below a tree.
    pub fn carry(&mut self, data_set: Option<DataSetName>, tree: TreeId) -> Step<()> {
        let source = Arc::clone(&self.source);
        self.chunk(BlobType::Tree, &tree)?;
        for item in Walk::new(&source, tree).map_err(here)? {
            let (_, node) = item.map_err(here)?;
            let mut bytes = 0;
            for chunk in node.content.iter().flatten() {
                bytes += self.chunk(BlobType::Data, chunk)?;
            }
            if let Some(below) = node.subtree {
                self.chunk(BlobType::Tree, &below)?;
            }
            if let Some(data_set) = data_set {
                (self.way.seen)(data_set, bytes);
            }
        }
        Ok(())
    }

    /// Carries a chunk that is not whole there; gives its bytes.
    fn chunk(&mut self, kind: BlobType, id: &Id) -> Step<u64> {
        self.way.stop.check().map_err(there)?;
        let lane = if kind == BlobType::Tree { &mut self.trees } else { &mut self.data };
        if let Some((copy, State::Whole)) = self.target.best(kind, id) {
            return Ok(copy.content_bytes().into());
        }
        if lane.carried.contains(id) {
            return Ok(self.source.best(kind, id).map_or(0, |(copy, _)| copy.content_bytes().into()));
        }
        let content = self.source.read(kind, id).map_err(here)?;
        let (blob, sealed) = seal(&self.way.to.key, kind, id, &content).map_err(there)?;
        lane.making.add_blob(blob, &sealed).map_err(there)?;
        lane.carried.insert(*id);
        self.carried.chunks += 1;
        self.carried.bytes += content.len() as u64;
        self.carried.stored_bytes += u64::from(blob.length);
        if lane.making.bytes() >= lane.pack_bytes {
            let full = lane.take();
            self.send(full)?;
        }
        Ok(content.len() as u64)
    }

    fn send(&mut self, making: Making) -> Step<()> {
        let is_taken = self.writer.as_ref().is_some_and(|writer| writer.packs.send(making).is_ok());
        if is_taken {
            return Ok(());
        }
        // It has ended, and knows why.
        let ended = self.writer.take().map_or_else(|| Ok(()), Writer::finish);
        Err(there(ended.err().unwrap_or_else(|| Error::failed("failed to write packs"))))
    }

    /// Writes what is left, and waits until all of it is stored and named.
    pub fn finish(mut self) -> Step<Carried> {
        for making in [self.data.take(), self.trees.take()] {
            self.send(making)?;
        }
        self.writer.take().map_or_else(|| Ok(()), Writer::finish).map_err(there)?;
        Ok(self.carried)
    }
}

impl Drop for Carrier<'_> {
    /// Ended early: nothing is written any more when this is gone.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.writer.take().map(Writer::finish) {
            log::warn!("{}", error.chain());
        }
    }
}

/// A chunk as it is stored there: packed, and sealed with the other key.
fn seal(key: &Key, kind: BlobType, id: &Id, content: &[u8]) -> Result<(Blob, Vec<u8>)> {
    let too_large = |error: std::num::TryFromIntError| Error::failed("seal a chunk").because(error);
    let packed = zstd::bulk::compress(content, zstd::DEFAULT_COMPRESSION_LEVEL);
    let packed = packed.map_err(|error| Error::failed("compress a chunk").because(error))?;
    let (packed, uncompressed_length) =
        if content.is_empty() { (Vec::new(), None) } else { (packed, Some(u32::try_from(content.len()).map_err(too_large)?)) };
    let sealed = key.seal(&packed)?;
    let length = u32::try_from(sealed.len()).map_err(too_large)?;
    debug_assert!(length >= SEAL_BYTES);
    Ok((Blob { id: *id, kind, offset: 0, length, uncompressed_length }, sealed))
}

/// The thread that writes packs.
struct Writer {
    packs: SyncSender<Making>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    fn start(to: &Open) -> Result<Self> {
        let (packs, received) = sync_channel(1);
        let (storage, key): (Arc<dyn WriteBackend>, Key) = (Arc::clone(&to.storage), to.key.clone());
        let work = move || write(&received, &*storage, &key);
        let thread = std::thread::Builder::new().name("copy-packs".to_owned()).spawn(work);
        Ok(Self { packs, thread: thread.map_err(|error| Error::failed("failed to start a thread that writes packs").because(error))? })
    }

    fn finish(self) -> Result<()> {
        drop(self.packs);
        self.thread.join().unwrap_or_else(|_| Err(Error::failed("a bug: writing packs panicked")))
    }
}

/// Until nobody sends any more. After a failure the next to send learns of it.
fn write(received: &Receiver<Making>, storage: &dyn WriteBackend, key: &Key) -> Result<()> {
    let mut packs: Vec<Pack> = Vec::new();
    for making in received {
        packs.extend(making.write(storage, key)?);
        if packs.len() >= PACKS_PER_INDEX {
            crate::engine::name_packs(storage, key, std::mem::take(&mut packs))?;
        }
    }
    crate::engine::name_packs(storage, key, packs)
}
