//! Reads packs in large segments and keeps a few of them.
//!
//! The engine asks for one chunk at a time, some 100 KiB; over a network each such read costs a round trip. Here every pack is read in segments of
//! [`SEGMENT_BYTES`], the next ones ahead of need. The cache is bounded whatever the number of readers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};

use super::read_through;
use crate::fault::lock;

const SEGMENT_BYTES: u32 = 4 << 20;
/// 64 MiB in all.
const SEGMENTS_MAX: usize = 16;
const AHEAD: u32 = 2;
/// Read-ahead stops at this number of loads under way, so that it never crowds out what is asked for.
const LOADS_MAX: usize = 8;

type Key = (Id, u32);

#[derive(Debug)]
enum Slot {
    Loading,
    Ready(Bytes),
}

#[derive(Debug, Default)]
struct Cache {
    slots: HashMap<Key, Slot>,
    /// Oldest first.
    order: VecDeque<Key>,
    loading: usize,
    /// Sizes of packs, listed when first needed and again when an unknown pack is asked for.
    sizes: HashMap<Id, u32>,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn WriteBackend>,
    cache: Mutex<Cache>,
    changed: Condvar,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Segments {
    inner: Arc<dyn WriteBackend>,
    shared: Arc<Shared>,
}

impl Segments {
    /// An empty cache before a backend.
    pub fn new(inner: Arc<dyn WriteBackend>) -> Self {
        let shared = Shared { inner: Arc::clone(&inner), cache: Mutex::default(), changed: Condvar::new() };
        Self { inner, shared: Arc::new(shared) }
    }
}

impl Shared {
    fn size_of(&self, pack: &Id) -> RusticResult<u32> {
        if let Some(size) = lock(&self.cache).sizes.get(pack) {
            return Ok(*size);
        }
        let listed = self.inner.list_with_size(FileType::Pack)?;
        let mut cache = lock(&self.cache);
        cache.sizes = listed.into_iter().collect();
        cache.sizes.get(pack).copied().ok_or_else(|| {
            RusticError::new(ErrorKind::Backend, "pack `{pack}` is missing in the repository")
                .attach_context("pack", pack.to_hex().as_str())
        })
    }

    fn load(&self, key: Key, size: u32) -> RusticResult<Bytes> {
        let offset = key.1 * SEGMENT_BYTES;
        let loaded = self.inner.read_partial(FileType::Pack, &key.0, false, offset, SEGMENT_BYTES.min(size - offset));
        let mut cache = lock(&self.cache);
        cache.loading -= 1;
        if let Ok(bytes) = &loaded {
            cache.slots.insert(key, Slot::Ready(bytes.clone()));
        } else {
            cache.slots.remove(&key);
            cache.order.retain(|other| *other != key);
        }
        drop(cache);
        self.changed.notify_all();
        loaded
    }

    fn get(self: &Arc<Self>, key: Key, size: u32) -> RusticResult<Bytes> {
        let mut cache = lock(&self.cache);
        loop {
            match cache.slots.get(&key) {
                Some(Slot::Ready(bytes)) => {
                    let bytes = bytes.clone();
                    cache.touch(key);
                    return Ok(bytes);
                }
                Some(Slot::Loading) => cache = self.changed.wait(cache).unwrap_or_else(std::sync::PoisonError::into_inner),
                None => {
                    cache.claim(key);
                    drop(cache);
                    return self.load(key, size);
                }
            }
        }
    }

    fn read_ahead(self: &Arc<Self>, after: Key, size: u32) {
        for number in after.1 + 1..=after.1 + AHEAD {
            let key = (after.0, number);
            if u64::from(number) * u64::from(SEGMENT_BYTES) >= u64::from(size) {
                return;
            }
            let mut cache = lock(&self.cache);
            if cache.slots.contains_key(&key) || cache.loading >= LOADS_MAX {
                continue;
            }
            cache.claim(key);
            drop(cache);
            let shared = Arc::clone(self);
            // What fails ahead of need is read again, and reported, when it is needed.
            std::thread::spawn(move || drop(shared.load(key, size)));
        }
    }
}

impl Cache {
    /// Makes room and marks the segment as being loaded by the caller.
    fn claim(&mut self, key: Key) {
        while self.slots.len() >= SEGMENTS_MAX {
            let Some(oldest) = self.order.iter().position(|key| matches!(self.slots.get(key), Some(Slot::Ready(_)))) else { break };
            if let Some(old) = self.order.remove(oldest) {
                self.slots.remove(&old);
            }
        }
        self.slots.insert(key, Slot::Loading);
        self.order.push_back(key);
        self.loading += 1;
    }

    fn touch(&mut self, key: Key) {
        if self.order.back() != Some(&key)
            && let Some(at) = self.order.iter().position(|other| *other == key)
        {
            self.order.remove(at);
            self.order.push_back(key);
        }
    }
}

impl ReadBackend for Segments {
    read_through!();

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        if tpe != FileType::Pack || length == 0 {
            return self.inner.read_partial(tpe, id, cacheable, offset, length);
        }
        let size = self.shared.size_of(id)?;
        let end = offset.checked_add(length).filter(|end| *end <= size).ok_or_else(|| {
            RusticError::new(ErrorKind::Backend, "pack `{pack}` is shorter than its index says")
                .attach_context("pack", id.to_hex().as_str())
        })?;
        let (first, last) = (offset / SEGMENT_BYTES, (end - 1) / SEGMENT_BYTES);
        self.shared.read_ahead((*id, last), size);
        if first == last {
            let start = (offset % SEGMENT_BYTES) as usize;
            return Ok(self.shared.get((*id, first), size)?.slice(start..start + length as usize));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        for number in first..=last {
            let segment = self.shared.get((*id, number), size)?;
            let base = number * SEGMENT_BYTES;
            let (from, to) = (offset.max(base) - base, (end - base).min(SEGMENT_BYTES));
            bytes.extend_from_slice(&segment[from as usize..to as usize]);
        }
        Ok(bytes.into())
    }
}

impl WriteBackend for Segments {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        let size = content.size();
        self.inner.write_bytes(tpe, id, cacheable, content)?;
        if tpe == FileType::Pack {
            // Saves a listing when it is read back.
            u32::try_from(size).ok().and_then(|size| lock(&self.shared.cache).sizes.insert(*id, size));
        }
        Ok(())
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}
