//! What is counted of a tree while it passes: the collections of its evidence. The dump and the proof count with the same code.
//!
//! Every aspect is a collection of its own, so that a difference says what differs, and so that an aspect which the target cannot hold (owners
//! without privilege, times on a coarse file system) can be left out of a proof, with a warning, without weakening the rest:
//!
//! | collection | one element for each | bytes |
//! |---|---|---|
//! | `files` | file (a hard-linked file once) | path, size, XXH3-128 of the content |
//! | `folders`, `fifos`, `sockets` | entry | path |
//! | `symlinks` | symbolic link | path, target |
//! | `hard-links` | further name of a file | path, path of its first name in tree order |
//! | `modes` | entry but symbolic links | path, permission bits with sticky |
//! | `owners` | entry | path, user, group, set-id bits (they mean nothing without the owner) |
//! | `times` | entry | path, time of change in nanoseconds |
//! | `extended-attributes` | attribute | path, name, value |
//!
//! The root's own metadata and the sockets' listeners are not part of it. Every field is preceded by its length.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use beneath::SET_ID_BITS;
use plan::evidence::Tally;
use plan::ports::Meta;

/// Permission bits that mean the same whoever owns the entry.
const PERMISSION_BITS: u32 = 0o1777;

/// Names of the collections, in the evidence.
pub(crate) const COLLECTIONS: [&str; 10] =
    ["files", "folders", "symlinks", "fifos", "sockets", "hard-links", "modes", "owners", "times", "extended-attributes"];

/// Tallies by collection.
#[derive(Debug, Clone)]
pub(crate) struct Census {
    tallies: BTreeMap<&'static str, Tally>,
}

impl Default for Census {
    fn default() -> Self {
        Self { tallies: COLLECTIONS.into_iter().map(|name| (name, Tally::default())).collect() }
    }
}

impl Census {
    fn add(&mut self, collection: &'static str, fields: &[&[u8]]) {
        self.tallies.entry(collection).or_default().add_fields(fields);
    }

    /// A file, by the digest of its content.
    pub(crate) fn file(&mut self, path: &Path, size_bytes: u64, content: u128) {
        self.add("files", &[path.as_os_str().as_bytes(), &size_bytes.to_be_bytes(), &content.to_be_bytes()]);
    }

    /// A folder, pipe or socket.
    pub(crate) fn plain(&mut self, collection: &'static str, path: &Path) {
        self.add(collection, &[path.as_os_str().as_bytes()]);
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, path: &Path, target: &Path) {
        self.add("symlinks", &[path.as_os_str().as_bytes(), target.as_os_str().as_bytes()]);
    }

    /// A further name of a file.
    pub(crate) fn hard_link(&mut self, path: &Path, first: &Path) {
        self.add("hard-links", &[path.as_os_str().as_bytes(), first.as_os_str().as_bytes()]);
    }

    /// The metadata of an entry.
    pub(crate) fn meta(&mut self, path: &Path, meta: &Meta, is_symlink: bool) {
        let bytes = path.as_os_str().as_bytes();
        if !is_symlink {
            self.add("modes", &[bytes, &(meta.mode & PERMISSION_BITS).to_be_bytes()]);
        }
        let set_id = if is_symlink { 0 } else { meta.mode & SET_ID_BITS };
        if let (Some(uid), Some(gid)) = (meta.uid, meta.gid) {
            self.add("owners", &[bytes, &uid.to_be_bytes(), &gid.to_be_bytes(), &set_id.to_be_bytes()]);
        }
        if let Some(mtime_ns) = meta.mtime_ns {
            self.add("times", &[bytes, &mtime_ns.to_be_bytes()]);
        }
        for (name, value) in &meta.xattrs {
            self.add("extended-attributes", &[bytes, name.as_bytes(), value]);
        }
    }

    /// The collections as an evidence has them.
    pub(crate) fn collections(&self) -> BTreeMap<String, Tally> {
        self.tallies.iter().map(|(name, tally)| ((*name).to_owned(), *tally)).collect()
    }
}

/// Counts an attribute that could not be set, as the census would have.
pub(crate) fn add_attribute(tally: &mut Tally, path: &Path, name: &str, value: &[u8]) {
    tally.add_fields(&[path.as_os_str().as_bytes(), name.as_bytes(), value]);
}
