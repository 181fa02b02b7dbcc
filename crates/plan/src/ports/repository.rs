//! Where sets are kept.

use std::any::Any;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Context, Dump, Meta, Reused, Verdict};
use crate::Result;
use crate::ids::{DataSetName, SetId, SnapshotId};
use crate::manifest::Manifest;

/// Bytes that are compared at a time.
const COMPARED_BYTES: u64 = 1 << 20;

/// What is to be kept: one data set of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The set that the snapshot will belong to.
    pub set: SetId,
    /// The data set.
    pub data_set: DataSetName,
    /// The snapshot that the dump was given, whose content it may name again ([`super::Content::Kept`]).
    pub earlier: Option<SnapshotId>,
}

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Number of parts with content, as counted by the sink and read back from the snapshot.
    pub parts: u64,
    /// Bytes of all parts, as counted by the sink and read back from the snapshot.
    pub bytes: u64,
    /// Bytes that were new to the repository, as stored (compressed, encrypted).
    pub stored_bytes: u64,
    /// The producer's verdict.
    pub verdict: Verdict,
}

/// A small named document in the repository, which is no set: a note on one, a copy of a journal, what a run may still need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, unique among those of its kind.
    pub name: String,
    /// When it was written, by the clock of the host that wrote it.
    pub at: Timestamp,
    /// What was put.
    pub bytes: Vec<u8>,
}

/// Something that is damaged, and what it harms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The set; `None` when nobody can tell any more which it is.
    pub set: Option<SetId>,
    /// The data set; `None` when it is the manifest, and so the whole set.
    pub data_set: Option<DataSetName>,
    /// What is damaged; names the file.
    pub what: String,
}

/// A repository of sets.
///
/// **A set exists only when its manifest is written.** Everything that reads sees manifests only.
pub trait Repository: Send + Sync {
    /// Keeps a dump as one snapshot. Pulls parts until the end, then asks the producer for its verdict ([`Dump::finish`]).
    ///
    /// # Errors
    /// When the producer or the storage fails, or what is read back (entries, sizes) does not match what was counted. Then there is no snapshot,
    /// and what was stored is reused by the next backup.
    fn keep(&self, context: &Context, keep: &Keep, dump: Box<dyn Dump>) -> Result<Kept>;

    /// Writes the manifest of a set: from now on the set exists.
    ///
    /// # Errors
    /// When a snapshot that it names is not in the repository, or the storage fails.
    fn write_manifest(&self, manifest: &Manifest) -> Result<()>;

    /// The manifests of all sets, oldest first.
    ///
    /// # Errors
    /// When the list of snapshots cannot be had whole. A failed listing is never an empty one. A manifest that is damaged is left out, and a set whose data is
    /// damaged is not: [`Self::damaged`] tells both.
    fn manifests(&self) -> Result<Vec<Manifest>>;

    /// What is known to be damaged: manifests that cannot be read, snapshots of data sets that are missing or not what their names say, and what checks and
    /// repairs have found. Reads no data.
    ///
    /// # Errors
    /// As [`Self::manifests`].
    fn damaged(&self) -> Result<Vec<Damaged>>;

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    fn open(&self, snapshot: &SnapshotId) -> Result<Box<dyn Snapshot>>;

    /// Writes a record in place of those of the same kind and name. A record is stored as sets are, belongs to no set, and is removed by
    /// [`Self::remove_record`] only.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when kind or name is empty, longer than 200 bytes or has other characters than ASCII letters, digits and `.`, `_`, `-`,
    /// `:`, or when the content is larger than 64 MiB; else when the storage fails. A record of that name that was there before is then still there.
    fn put_record(&self, kind: &str, name: &str, bytes: &[u8]) -> Result<()>;

    /// The records of a kind, oldest first, the newest of each name. One that is damaged is left out and harms nothing else.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when the kind is not as in [`Self::put_record`]; when the list of snapshots cannot be had whole.
    fn records(&self, kind: &str) -> Result<Vec<Record>>;

    /// Removes the record of a kind and name, in all its versions. It is no error when there is none.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when kind or name is not as in [`Self::put_record`]; when the list of snapshots cannot be had whole, or the storage fails.
    fn remove_record(&self, kind: &str, name: &str) -> Result<()>;
}

/// A snapshot, open for reading from any number of threads. All content is authenticated when it is read.
pub trait Snapshot: Send + Sync {
    /// All entries in the order in which they were kept (folders before what is in them).
    ///
    /// # Errors
    /// When the snapshot cannot be read; also from the iterator.
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>>;

    /// The entry at a path.
    ///
    /// # Errors
    /// When there is none.
    fn find(&self, path: &Path) -> Result<Entry>;

    /// The content of a file entry. Reading gives exactly [`Entry::size_bytes`] bytes or an error.
    ///
    /// # Errors
    /// When it cannot be read; also from the reader.
    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>>;

    /// What two file entries of one repository have in common when they have the same content; two that do not may have the same all the same. `None` where that
    /// cannot be told without reading.
    fn content_id(&self, _entry: &Entry) -> Option<u128> {
        None
    }

    /// The content of a file entry, for a dump that finds it unchanged; `None` when it is not whole in the repository, and must be read again.
    fn reuse(&self, _entry: Entry) -> Option<Reused> {
        None
    }

    /// Whether `content` is, byte for byte and to its end, what the repository has of a file entry; `None` when the repository cannot tell. One that knows it by
    /// the names of its chunks reads none of them.
    ///
    /// # Errors
    /// When `content` cannot be read.
    fn has_content(&self, entry: &Entry, content: &mut dyn Read) -> io::Result<Option<bool>> {
        let Ok(mut kept) = self.read(entry) else { return Ok(None) };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        loop {
            ours.clear();
            theirs.clear();
            Read::take(&mut *content, COMPARED_BYTES).read_to_end(&mut ours)?;
            if Read::take(&mut kept, COMPARED_BYTES).read_to_end(&mut theirs).is_err() {
                return Ok(None);
            }
            if ours != theirs || ours.is_empty() {
                return Ok(Some(ours == theirs));
            }
        }
    }

    /// The whole content of a file entry: for parts, which are small.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_all(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(entry.size_bytes).unwrap_or(0).min(64 << 20));
        self.read(entry)?
            .read_to_end(&mut bytes)
            .map_err(|error| crate::Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error))?;
        Ok(bytes)
    }
}

/// What the repository needs to find the content again; opaque to everyone else.
pub struct EntryHandle(pub Box<dyn Any + Send + Sync>);

impl fmt::Debug for EntryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryHandle")
    }
}

/// An entry of a snapshot.
#[derive(Debug)]
pub struct Entry {
    /// Path inside the snapshot.
    pub path: PathBuf,
    /// Metadata.
    pub meta: Meta,
    /// Size of the content; 0 for all but files.
    pub size_bytes: u64,
    /// The kind.
    pub kind: EntryKind,
    /// For [`Snapshot::read`].
    pub handle: EntryHandle,
}

impl Entry {
    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.kind, EntryKind::File)
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content is read with [`Snapshot::read`].
    File,
    /// A folder.
    Folder,
    /// A symbolic link and its target (any bytes).
    Symlink(PathBuf),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}
