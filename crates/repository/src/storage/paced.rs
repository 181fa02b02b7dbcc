//! A storage through which bytes pass no faster than they may. Locks and records are small, and wait for nothing: others go by them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::{LocksObjects, Seen, Storage};
use crate::pace::{Pace, Paces};

/// See the module.
pub struct Paced {
    inner: Arc<dyn Storage>,
    paces: &'static Paces,
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("location", &self.inner.location()).field("paces", self.paces).finish()
    }
}

impl Paced {
    /// A storage behind these limits.
    pub fn new(inner: Arc<dyn Storage>, paces: &'static Paces) -> Self {
        Self { inner, paces }
    }
}

fn wait(pace: Option<&Pace>, bytes: u64) {
    if let Some(pace) = pace {
        pace.wait_for(bytes, || false);
    }
}

impl ReadBackend for Paced {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    /// How large it is is known afterwards: it goes, and the next one waits.
    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        wait(self.paces.download.as_ref(), 0);
        let content = self.inner.read_full(tpe, id)?;
        if let Some(pace) = &self.paces.download {
            pace.passed(content.len() as u64);
        }
        Ok(content)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        wait(self.paces.download.as_ref(), u64::from(length));
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }
}

impl WriteBackend for Paced {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        wait(self.paces.upload.as_ref(), content.size() as u64);
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}

impl Storage for Paced {
    fn survey(&self, folder: Option<&str>) -> RusticResult<Vec<Seen>> {
        self.inner.survey(folder)
    }

    fn read_at(&self, path: &str) -> RusticResult<Bytes> {
        self.inner.read_at(path)
    }

    fn write_at(&self, path: &str, content: Vec<u8>) -> RusticResult<()> {
        self.inner.write_at(path, content)
    }

    fn remove_at(&self, path: &str) -> RusticResult<()> {
        self.inner.remove_at(path)
    }
    fn object_lock(&self) -> Option<Box<dyn LocksObjects + '_>> {
        self.inner.object_lock()
    }
}
