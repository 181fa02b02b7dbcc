//! A repository that cannot be opened. What a run kept in the stores goes back, or is dropped, without it: everything that does need it says why it is not there.

use plan::ids::SnapshotId;
use plan::manifest::Manifest;
use plan::ports::{Context, Damaged, Dump, Keep, Kept, Record, Repository, Snapshot};
use plan::{Class, Error, Result};

/// See the module.
pub(crate) struct Away {
    class: Class,
    why: String,
}

impl Away {
    /// With the reason.
    pub(crate) fn because(error: &Error) -> Self {
        Self { class: error.class(), why: error.chain() }
    }

    fn error<T>(&self) -> Result<T> {
        Err(Error::new(self.class, format!("the repository cannot be opened: {}", self.why)))
    }
}

impl Repository for Away {
    fn keep(&self, _context: &Context, _keep: &Keep, _dump: Box<dyn Dump>) -> Result<Kept> {
        self.error()
    }

    fn write_manifest(&self, _manifest: &Manifest) -> Result<()> {
        self.error()
    }

    fn manifests(&self) -> Result<Vec<Manifest>> {
        self.error()
    }

    fn damaged(&self) -> Result<Vec<Damaged>> {
        self.error()
    }

    fn open(&self, _snapshot: &SnapshotId) -> Result<Box<dyn Snapshot>> {
        self.error()
    }

    fn put_record(&self, _kind: &str, _name: &str, _bytes: &[u8]) -> Result<()> {
        self.error()
    }

    fn records(&self, _kind: &str) -> Result<Vec<Record>> {
        self.error()
    }

    fn remove_record(&self, _kind: &str, _name: &str) -> Result<()> {
        self.error()
    }
}
