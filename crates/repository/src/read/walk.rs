//! Walks a snapshot's tree in the order in which it was kept; holds one folder per level of depth.

use std::path::{Path, PathBuf};

use plan::evidence::Tally;
use plan::tree_order::{DEPTH_MAX, PATH_BYTES_MAX};
use plan::{Class, Error, Result};
use rustic_core::TreeId;
use rustic_core::repofile::Node;

use super::nodes_of;
use crate::engine::Indexed;
use crate::sink::fingerprint;

/// Every node below a tree, folders before what is in them.
pub struct Walk<'a> {
    index: &'a Indexed,
    /// The folder whose nodes come next: one path, not one for each level.
    folder: PathBuf,
    stack: Vec<std::vec::IntoIter<Node>>,
}

impl<'a> Walk<'a> {
    /// # Errors
    /// When the root cannot be read.
    pub fn new(index: &'a Indexed, tree: TreeId) -> Result<Self> {
        let root = nodes_of(index, tree, Path::new(""))?.into_iter();
        Ok(Self { index, folder: PathBuf::new(), stack: vec![root] })
    }

    fn enter(&mut self, path: &Path, node: &Node) -> Result<()> {
        if self.stack.len() > DEPTH_MAX || path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(Error::needs_person(format!(
                "a folder of the snapshot is in more than {DEPTH_MAX} others, or its path is too long"
            ))
            .hint("No backup of this program makes that: somebody who knows the password has changed the snapshot."));
        }
        let tree = node.subtree.ok_or_else(|| Error::failed(format!("folder {} has no content", path.display())))?;
        self.stack.push(nodes_of(self.index, tree, path)?.into_iter());
        path.clone_into(&mut self.folder);
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(PathBuf, Node)>;

    fn next(&mut self) -> Option<Self::Item> {
        let node = loop {
            if let Some(node) = self.stack.last_mut()?.next() {
                break node;
            }
            self.stack.pop();
            self.folder.pop();
        };
        let path = self.folder.join(node.name());
        if node.is_dir()
            && let Err(error) = self.enter(&path, &node)
        {
            self.stack.clear();
            return Some(Err(error));
        }
        Some(Ok((path, node)))
    }
}

/// What a snapshot holds.
#[derive(Debug, Default)]
pub struct Found {
    /// Every entry with its metadata.
    pub entries: Tally,
    /// Files.
    pub files: u64,
    /// Bytes of files, as their chunks say.
    pub bytes: u64,
    /// What is not in the index, the first of it.
    pub missing: Option<String>,
}

/// Counts what is below a tree, looking every chunk up in the index. Reads no content.
///
/// # Errors
/// When a file's chunks do not add up to its size, or the storage cannot be reached.
pub fn count(index: &Indexed, tree: TreeId) -> Result<Found> {
    let mut found = Found::default();
    let walk = match Walk::new(index, tree) {
        Ok(walk) => walk,
        Err(error) if error.class() == Class::Transient => return Err(error),
        Err(error) => return Ok(Found { missing: Some(error.chain()), ..found }),
    };
    for item in walk {
        let (path, node) = match item {
            Ok(item) => item,
            Err(error) if error.class() == Class::Transient => return Err(error),
            Err(error) => return Ok(Found { missing: Some(error.chain()), ..found }),
        };
        found.entries.add(&fingerprint(&path, &node)?);
        if !node.is_file() {
            continue;
        }
        let mut bytes = 0;
        for chunk in node.content.iter().flatten() {
            let Ok(entry) = index.get_index_entry(chunk) else {
                return Ok(Found { missing: Some(format!("A chunk of {} is not in the index.", path.display())), ..found });
            };
            bytes += u64::from(entry.data_length());
        }
        if bytes != node.meta.size {
            return Err(Error::failed(format!("{} has {bytes} bytes in the repository instead of {}", path.display(), node.meta.size)));
        }
        found.files += 1;
        found.bytes += bytes;
    }
    Ok(found)
}
