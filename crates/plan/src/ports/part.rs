//! What a dump is made of.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use super::EntryHandle;

/// One entry of a snapshot. A dump yields parts in the order of restic's trees: entries of a folder together, names sorted by bytes.
#[derive(Debug)]
pub struct Part {
    /// Path inside the snapshot: relative, no `.` or `..`; any bytes.
    pub path: PathBuf,
    /// Metadata as a file system has it.
    pub meta: Meta,
    /// The content.
    pub content: Content,
}

impl Part {
    /// A part of a stream: bytes under a name, readable by the owner only.
    pub fn bytes(path: impl Into<PathBuf>, bytes: Vec<u8>) -> Self {
        let meta = Meta { mode: 0o600, ..Meta::default() };
        Self { path: path.into(), meta, content: Content::Bytes(bytes) }
    }
}

/// The content of a part. Its size is always known before the repository engine reads it (`building-blocks`: a stream of unknown length is stored as empty).
pub enum Content {
    /// Whole in memory. Keep it at 8 MiB or less: a few are in flight at a time.
    Bytes(Vec<u8>),
    /// A reader that gives exactly `size_bytes` bytes. Fewer, more or an error: no snapshot.
    Stream {
        /// Exact size.
        size_bytes: u64,
        /// Where the bytes come from.
        reader: Box<dyn Read + Send>,
    },
    /// What an earlier snapshot has under the same path, as [`Snapshot::reuse`] gave it: it is not read again. Only in a dump that was given that snapshot
    /// ([`DataSet::dump_since`]).
    ///
    /// [`Snapshot::reuse`]: super::Snapshot::reuse
    /// [`DataSet::dump_since`]: super::DataSet::dump_since
    Kept(Reused),
    /// A folder; its entries follow. Folders that no part names are made with default metadata.
    Folder,
    /// A symbolic link and its target (any bytes).
    Symlink(PathBuf),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Content that is in the repository already.
#[derive(Debug)]
pub struct Reused {
    /// Its size.
    pub size_bytes: u64,
    /// Where it is, for the repository.
    pub handle: EntryHandle,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { size_bytes, .. } => write!(f, "Stream({size_bytes})"),
            Self::Kept(reused) => write!(f, "Kept({})", reused.size_bytes),
            Self::Folder => f.write_str("Folder"),
            Self::Symlink(target) => write!(f, "Symlink({})", target.display()),
            Self::Fifo => f.write_str("Fifo"),
            Self::Socket => f.write_str("Socket"),
        }
    }
}

/// Metadata of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission bits, with set-uid, set-gid and sticky (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of the last change of the content: nanoseconds since the epoch.
    pub mtime_ns: Option<i128>,
    /// When the content was read, in data sets that name content again: nanoseconds since the epoch. What is read has another one than in the earlier snapshot,
    /// what is named again ([`Content::Kept`]) has the same.
    pub read_at_ns: Option<i128>,
    /// Number of hard links; more than 1 only for files whose `(device, inode)` are set.
    pub links: u64,
    /// Device and inode: entries with the same pair and `links > 1` are one file. Only equality within a snapshot means anything.
    pub identity: Option<(u64, u64)>,
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// What the data set wants to find with the entry at its next dump ([`DataSet::dump_since`]), for its own eyes: no part of what is restored. Empty: nothing.
    ///
    /// [`DataSet::dump_since`]: super::DataSet::dump_since
    pub note: Vec<u8>,
}
