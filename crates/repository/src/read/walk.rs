//! Walks a snapshot's tree in the order in which it was kept; holds one folder per level of depth, and no more of these than memory bears.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use plan::evidence::Tally;
use plan::tree_order::{DEPTH_MAX, PATH_BYTES_MAX};
use plan::{Error, Result};
use rustic_core::repofile::{BlobType, Node};
use rustic_core::{Id, TreeId};

use super::folder::Folder;
use crate::index::{Index, State};
use crate::sink::fingerprint;
use crate::small::is_passing;

/// Folders on the way to an entry, as text.
pub const HELD_BYTES_MAX: u64 = 512 << 20;

/// Every node below a tree, folders before what is in them.
pub struct Walk<'a> {
    index: &'a Index,
    /// The folder whose nodes come next: one path, not one for each level.
    folder: PathBuf,
    stack: Vec<Folder>,
    held_bytes: u64,
}

impl<'a> Walk<'a> {
    /// # Errors
    /// When the root cannot be read.
    pub fn new(index: &'a Index, tree: TreeId) -> Result<Self> {
        let mut walk = Self { index, folder: PathBuf::new(), stack: Vec::new(), held_bytes: 0 };
        walk.enter(tree, Path::new(""))?;
        Ok(walk)
    }

    fn enter(&mut self, tree: TreeId, path: &Path) -> Result<()> {
        let is_too_deep = self.stack.len() > DEPTH_MAX || path.as_os_str().len() > PATH_BYTES_MAX;
        let folder = if is_too_deep { None } else { Some(Folder::read(self.index, tree, path)?) };
        let Some(folder) = folder.filter(|folder| self.held_bytes + folder.bytes() <= HELD_BYTES_MAX) else {
            return Err(Error::needs_person(format!(
                "a folder of the snapshot is in more than {DEPTH_MAX} others, its path is too long, or there is too much on the way to it"
            ))
            .hint("No backup of this program makes that: somebody who knows the password has changed the snapshot."));
        };
        self.held_bytes += folder.bytes();
        self.stack.push(folder);
        path.clone_into(&mut self.folder);
        Ok(())
    }

    fn step(&mut self, node: Node) -> Result<(PathBuf, Node)> {
        let path = self.folder.join(node.name());
        if node.is_dir() {
            let below = node.subtree.ok_or_else(|| Error::failed(format!("folder /{} has no content", path.display())))?;
            self.enter(below, &path)?;
        }
        Ok((path, node))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(PathBuf, Node)>;

    fn next(&mut self) -> Option<Self::Item> {
        let node = loop {
            if let Some(node) = self.stack.last_mut()?.next() {
                break node;
            }
            self.held_bytes -= self.stack.pop().map_or(0, |folder| folder.bytes());
            self.folder.pop();
        };
        let step = node.and_then(|node| self.step(node));
        if step.is_err() {
            self.stack.clear();
        }
        Some(step)
    }
}

/// Calls `visit` for every chunk below a tree, the trees too. A folder that cannot be read is an error.
///
/// # Errors
/// When a folder cannot be read.
pub fn each_chunk(index: &Index, tree: TreeId, mut visit: impl FnMut(BlobType, &Id)) -> Result<()> {
    visit(BlobType::Tree, &tree);
    for item in Walk::new(index, tree)? {
        let (_, node) = item?;
        node.content.iter().flatten().for_each(|chunk| visit(BlobType::Data, chunk));
        if let Some(below) = node.subtree {
            visit(BlobType::Tree, &below);
        }
    }
    Ok(())
}

/// The trees at and below these, as far as they can be read and are what their names say.
///
/// # Errors
/// When the storage does not answer. Damage is no error.
pub fn readable_trees(index: &Index, roots: &[TreeId]) -> Result<HashSet<Id>> {
    let (mut readable, mut seen) = (HashSet::new(), HashSet::new());
    let mut open: Vec<_> = roots.to_vec();
    while let Some(tree) = open.pop() {
        if !seen.insert(tree) {
            continue;
        }
        let nodes = match Folder::read(index, tree, Path::new("")) {
            Ok(nodes) => nodes,
            Err(error) if is_passing(&error) => return Err(error),
            Err(_) => continue,
        };
        readable.insert(*tree);
        open.extend(nodes.filter_map(|node| node.ok()?.subtree));
    }
    Ok(readable)
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
    /// What is not there, or only in packs that cannot be built on; the first of it.
    pub missing: Option<String>,
}

fn is_whole(index: &Index, kind: BlobType, id: &Id) -> bool {
    matches!(index.best(kind, id), Some((_, State::Whole)))
}

/// Counts what is below a tree, reading every folder and looking every chunk up. Reads no content.
///
/// # Errors
/// When a file's chunks do not add up to its size, or the storage cannot be reached.
pub fn count(index: &Index, tree: TreeId) -> Result<Found> {
    let mut found = Found::default();
    if !is_whole(index, BlobType::Tree, &tree) {
        return Ok(Found { missing: Some("Its root folder is in no pack of the repository that is whole.".to_owned()), ..found });
    }
    let missing = |found: Found, error: &Error| Ok(Found { missing: Some(error.chain()), ..found });
    let walk = match Walk::new(index, tree) {
        Ok(walk) => walk,
        Err(error) if is_passing(&error) => return Err(error),
        Err(error) => return missing(found, &error),
    };
    for item in walk {
        let (path, node) = match item {
            Ok(item) => item,
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => return missing(found, &error),
        };
        found.entries.add(&fingerprint(&path, &node)?);
        if let Some(tree) = node.subtree
            && !is_whole(index, BlobType::Tree, &tree)
        {
            let what = format!("Folder /{} is in no pack of the repository that is whole.", path.display());
            return Ok(Found { missing: Some(what), ..found });
        }
        if !node.is_file() {
            continue;
        }
        let mut bytes = 0;
        for chunk in node.content.iter().flatten() {
            let Some((copy, State::Whole)) = index.best(BlobType::Data, chunk) else {
                let what = format!("A chunk of /{} is in no pack of the repository that is whole.", path.display());
                return Ok(Found { missing: Some(what), ..found });
            };
            bytes += u64::from(copy.content_bytes());
        }
        if bytes != node.meta.size {
            return Err(Error::failed(format!("{} has {bytes} bytes in the repository instead of {}", path.display(), node.meta.size)));
        }
        found.files += 1;
        found.bytes += bytes;
    }
    Ok(found)
}
