//! In place only: removes from the live tree what is not in the set, in step with the sorted list of the set's entries.
//! Keeps folders that stay, and files that may turn out to be the same; all else is removed before the new is made.

use std::path::{Path, PathBuf};

use plan::Result;
use plan::ports::{Entry, EntryKind};
use rustix::fs::FileType;

use super::Staging;
use crate::remove::remove;
use crate::run_folder::failed;
use crate::walk::is_not_data;
use beneath::{Names, grant_owner, stat_entry};

/// See the module.
pub(super) struct Clearing<'a> {
    staging: &'a Staging<'a>,
    frames: Vec<(PathBuf, Names)>,
}

impl<'a> Clearing<'a> {
    pub(super) fn new(staging: &'a Staging<'a>) -> Result<Self> {
        let mut clearing = Self { staging, frames: Vec::new() };
        clearing.enter(Path::new(""))?;
        Ok(clearing)
    }

    /// A folder of the set is there: its entries come next.
    pub(super) fn enter(&mut self, path: &Path) -> Result<()> {
        let run = || -> std::io::Result<Names> {
            if let Ok((parent, name)) = self.staging.tree.parent(path) {
                grant_owner(&parent, name)?;
            }
            Names::read(self.staging.tree.folder(path)?)
        };
        let names = run().map_err(|error| failed(&self.staging.tree.place_of(path), "list", error))?;
        self.frames.push((path.to_owned(), names));
        Ok(())
    }

    /// An entry of the set comes: live entries before it are not in the set.
    pub(super) fn arrive(&mut self, entry: &Entry) -> Result<()> {
        let parent = entry.path.parent().unwrap_or_else(|| Path::new(""));
        while let Some((folder, names)) = self.frames.pop_if(|(folder, _)| folder != parent) {
            self.remove_rest(&folder, names)?;
        }
        let Some(name) = entry.path.file_name() else { return Ok(()) };
        while let Some((next, _)) = self.frames.last_mut().and_then(|(_, names)| if names.peek()? <= name { names.next() } else { None }) {
            if next != name || !self.may_stay(entry)? {
                self.remove_one(&parent.join(&next))?;
            }
        }
        Ok(())
    }

    /// The list of the set is at its end.
    pub(super) fn finish(mut self) -> Result<()> {
        while let Some((folder, names)) = self.frames.pop() {
            self.remove_rest(&folder, names)?;
        }
        Ok(())
    }

    /// Folders stay folders; a file with one name may have the right content already.
    fn may_stay(&self, entry: &Entry) -> Result<bool> {
        let tree = &self.staging.tree;
        let stat = tree.parent(&entry.path).and_then(|(parent, name)| stat_entry(&parent, name));
        let stat = stat.map_err(|error| failed(&tree.place_of(&entry.path), "look at", error))?;
        Ok(stat.is_some_and(|stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => matches!(entry.kind, EntryKind::Folder),
            FileType::RegularFile => entry.is_file() && entry.meta.links <= 1 && stat.st_nlink == 1,
            _ => false,
        }))
    }

    fn remove_rest(&self, folder: &Path, names: Names) -> Result<()> {
        names.map(|(name, _)| folder.join(name)).try_for_each(|path| self.remove_one(&path))
    }

    fn remove_one(&self, path: &Path) -> Result<()> {
        let tree = &self.staging.tree;
        if path.components().count() == 1
            && let Some(name) = path.file_name()
        {
            let stat = stat_entry(tree, name).map_err(|error| failed(&tree.place_of(path), "look at", error))?;
            if is_not_data(name, &stat) {
                return Ok(());
            }
        }
        remove(tree, path, &self.staging.context.stop)
    }
}
