//! Some files of a set that go into a live tree which stays: no other file is touched, and nobody stops.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Context, Entry, EntryKind, Findings, Meta, Place, Problem, Snapshot};
use crate::Result;
use crate::evidence::{ELEMENTS, Evidence};
use crate::manifest::KeptDataSet;

/// The fact of what is staged of a set when that is some of its files: they are put in one by one, and all else stays.
pub const SOME_FILES: &str = "some-files";

/// What a file takes of a volume is a whole number of these, mostly.
const BLOCK_BYTES: u64 = 4096;

/// How files of a set differ from the live ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilesCompared {
    /// That are not there.
    pub missing: Vec<PathBuf>,
    /// In whose place there is something else.
    pub other: Vec<PathBuf>,
    /// How many are there as the set has them.
    pub equal: u64,
}

/// Puts some files into a live tree. What is at the place is swapped by the verbs of [`super::DataSet`]: its cut-over puts each file in by itself and keeps what was there at the
/// place; its undo puts that back; its discard removes what is kept.
pub trait PutsFiles: Send + Sync {
    /// Compares the files of a snapshot with the live ones, by their content. Changes nothing.
    ///
    /// # Errors
    /// When some cannot be read.
    fn compare_files(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared>;

    /// What keeps files of a set from going in beside the live ones, or is to be known of it, by what was found of the store. `kept`: of [`SomeFiles::kept`]. Changes nothing.
    ///
    /// # Errors
    /// As [`super::DataSet::look`].
    fn files_fit(&self, context: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<Vec<Problem>>;

    /// Loads all files of a snapshot into the place, after clearing what an earlier call left there, reads them back, and compares them with the snapshot.
    ///
    /// # Errors
    /// As [`super::DataSet::stage`]; when what was read back is something else.
    fn stage_files(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()>;
}

/// Some files of a snapshot, and the folders on the way to them.
pub struct SomeFiles {
    inner: Arc<dyn Snapshot>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl SomeFiles {
    /// Those of these paths. A further name of a file is a file of its own.
    #[must_use]
    pub fn new(inner: Arc<dyn Snapshot>, files: BTreeSet<PathBuf>) -> Self {
        let folders = files.iter().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
        Self { inner, files, folders }
    }

    /// What is staged of a data set, when that is these files.
    ///
    /// # Errors
    /// When the snapshot cannot be read.
    pub fn kept(snapshot: &dyn Snapshot, of: &KeptDataSet) -> Result<KeptDataSet> {
        let (mut bytes, mut entries, mut evidence) = (0, 0_u64, Evidence::default());
        let (mut allocated, mut longest_name, mut longest_path, mut not_utf8) = (0_u64, 0, 0, 0_u64);
        for entry in snapshot.entries()? {
            let entry = entry?;
            bytes += entry.size_bytes;
            // A folder takes one, too.
            allocated += entry.size_bytes.max(1).div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
            longest_name = longest_name.max(entry.path.file_name().map_or(0, std::ffi::OsStr::len));
            longest_path = longest_path.max(entry.path.as_os_str().len());
            not_utf8 += u64::from(entry.path.to_str().is_none());
            entries += 1;
        }
        let facts = [
            (ELEMENTS, entries),
            (SOME_FILES, entries),
            ("allocated-bytes", allocated),
            ("longest-name-bytes", longest_name as u64),
            ("longest-path-bytes", longest_path as u64),
            ("names-not-utf8", not_utf8),
        ];
        evidence.facts.extend(facts.map(|(name, number)| (name.to_owned(), number.to_string())));
        // So that a proof tells them.
        evidence.collections.insert("files".to_owned(), crate::evidence::Tally::default());
        Ok(KeptDataSet { parts: entries, bytes, evidence, ..of.clone() })
    }
}

impl Snapshot for SomeFiles {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        let is_one = |entry: &Entry| match entry.kind {
            EntryKind::File => self.files.contains(&entry.path),
            EntryKind::Folder => self.folders.contains(&entry.path),
            _ => false,
        };
        let alone = |entry: Entry| Entry { meta: Meta { links: 1, identity: None, ..entry.meta }, ..entry };
        let entries = self.inner.entries()?;
        Ok(Box::new(entries.filter_map(move |entry| match entry {
            Ok(entry) => is_one(&entry).then(|| Ok(alone(entry))),
            Err(error) => Some(Err(error)),
        })))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.inner.find(path)
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        self.inner.read(entry)
    }
}
