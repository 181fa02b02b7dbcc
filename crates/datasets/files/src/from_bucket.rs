//! A set of a bucket, as a folder takes it: files and folders with the modes that 3scale gives them, and without what only S3 keeps.
//!
//! On OpenShift System's user is another one in every namespace and its group is always 0, so what a group may write to, System may. Outside of it the owner of the folder
//! is System's user, and becomes the owner of what is put into it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use plan::Result;
use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Entry, EntryKind, Meta, Snapshot, StoreKind};

use crate::census::COLLECTIONS;

const FILE_MODE: u32 = 0o664;
const FOLDER_MODE: u32 = 0o775;
/// Collections that only a folder has: what a set of a bucket lacks of them is not compared.
const OF_FOLDERS: [&str; 3] = ["modes", "owners", "extended-attributes"];

/// See the module.
struct AsFiles {
    inner: Arc<dyn Snapshot>,
    owner: Option<(u32, u32)>,
}

/// The snapshot as a folder takes it; `owner` is that of the folder, where it is known.
pub(crate) fn as_files(snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet, owner: Option<(u32, u32)>) -> Arc<dyn Snapshot> {
    if kept.kind == StoreKind::Bucket { Arc::new(AsFiles { inner: snapshot, owner }) } else { snapshot }
}

/// Leaves out of a proof what either a bucket or a folder does not have.
pub(crate) fn account(found: &mut Evidence, kept: &KeptDataSet) {
    if kept.kind != StoreKind::Bucket {
        return;
    }
    found.collections.retain(|name, _| !OF_FOLDERS.contains(&name.as_str()));
    for (name, tally) in kept.evidence.collections.iter().filter(|(name, _)| !COLLECTIONS.contains(&name.as_str())) {
        found.collections.insert(name.clone(), *tally);
    }
    let empty = plan::evidence::Tally::default();
    found.collections.retain(|name, tally| *tally != empty || kept.evidence.collections.contains_key(name));
}

impl AsFiles {
    fn dressed(&self, entry: Entry) -> Entry {
        let mode = if matches!(entry.kind, EntryKind::Folder) { FOLDER_MODE } else { FILE_MODE };
        let (uid, gid) = self.owner.unzip();
        let meta = Meta { mode, uid, gid, mtime_ns: entry.meta.mtime_ns, links: entry.meta.links, ..Meta::default() };
        Entry { meta, ..entry }
    }
}

impl Snapshot for AsFiles {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.inner.entries()?.map(|entry| entry.map(|entry| self.dressed(entry)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.inner.find(path).map(|entry| self.dressed(entry))
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        self.inner.read(entry)
    }
}
