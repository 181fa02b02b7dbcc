//! The backend that the engine archives through: it never writes a snapshot.
//!
//! The engine drops entries that fail with a line in a log, and then saves the snapshot. So its snapshot goes nowhere; the sink writes the only one, after
//! everything was counted and read back. A write that fails is remembered here, because the engine goes on reading for long after one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::read_through;
use crate::fault::{lock, translate};

/// See the module.
#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn WriteBackend>,
    failures: AtomicU64,
    last: Mutex<Option<plan::Error>>,
}

impl Gate {
    /// A gate before a backend.
    pub fn new(inner: Arc<dyn WriteBackend>) -> Self {
        Self { inner, failures: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// How many writes failed so far. A run compares with what it was when the run began.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// The last failure, once.
    pub fn take_failure(&self) -> Option<plan::Error> {
        lock(&self.last).take()
    }
}

impl ReadBackend for Gate {
    read_through!();

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }
}

impl WriteBackend for Gate {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        if tpe == FileType::Snapshot {
            return Ok(());
        }
        self.inner.write_bytes(tpe, id, cacheable, content).inspect_err(|error| {
            *lock(&self.last) = Some(translate(error, "write to the repository".to_owned()));
            self.failures.fetch_add(1, Ordering::SeqCst);
        })
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}
