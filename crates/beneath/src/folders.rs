//! The folder of the entry that is written: opened by its path beneath the root, and remembered, because the next entry is mostly in the same.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::tree::Tree;

/// See the module.
pub(crate) struct Folders<'a> {
    tree: &'a Tree,
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Folders<'a> {
    pub(crate) const fn new(tree: &'a Tree) -> Self {
        Self { tree, last: None }
    }

    /// The folder that an entry is in.
    pub(crate) fn of(&mut self, path: &Path) -> io::Result<&OwnedFd> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let last = match self.last.take() {
            Some((at, fd)) if at == parent => (at, fd),
            _ => (parent.to_owned(), self.tree.folder(parent)?),
        };
        Ok(&self.last.insert(last).1)
    }
}
