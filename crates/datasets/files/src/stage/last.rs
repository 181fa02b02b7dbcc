//! What comes after the contents: further names of files, and the folders' own metadata (making an entry changes its folder's time).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plan::Result;
use plan::ports::{EntryKind, Meta};
use rustix::fs::{AtFlags, linkat};

use super::Staging;
use crate::attributes::write_meta;
use crate::run_folder::failed;

/// The first name of every file with several, until all its names were met.
#[derive(Debug, Default)]
pub(crate) struct Links(HashMap<(u64, u64), (PathBuf, u64)>);

impl Links {
    /// The first name, when this is a further one.
    pub(crate) fn first(&mut self, path: &Path, meta: &Meta) -> Option<PathBuf> {
        let identity = meta.identity.filter(|_| meta.links > 1)?;
        let Some((first, left)) = self.0.get_mut(&identity) else {
            self.0.insert(identity, (path.to_owned(), meta.links - 1));
            return None;
        };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Some(first.clone());
        }
        self.0.remove(&identity).map(|(first, _)| first)
    }
}

/// The second reading of the entries. A folder gets its metadata when the list has left it: its mode may forbid what is to be done inside.
pub(super) fn links_and_folders(staging: &Staging<'_>) -> Result<()> {
    let mut links = Links::default();
    let mut open: Vec<(PathBuf, Meta)> = Vec::new();
    for entry in staging.snapshot.entries()? {
        staging.context.stop.check()?;
        let entry = entry?;
        while let Some((path, meta)) = open.pop_if(|(path, _)| !entry.path.starts_with(path)) {
            finish_folder(staging, &path, &meta)?;
        }
        if matches!(entry.kind, EntryKind::Folder) {
            open.push((entry.path, entry.meta));
        } else if entry.is_file()
            && let Some(first) = links.first(&entry.path, &entry.meta)
        {
            link(staging, &first, &entry.path)?;
        }
    }
    while let Some((path, meta)) = open.pop() {
        finish_folder(staging, &path, &meta)?;
    }
    Ok(())
}

fn finish_folder(staging: &Staging<'_>, path: &Path, meta: &Meta) -> Result<()> {
    let unset = staging.tree.folder(path).and_then(|folder| write_meta(&folder, meta));
    let unset = unset.map_err(|error| failed(&staging.tree.place_of(path), "set the metadata of", error))?;
    staging.note(path, meta, &unset);
    Ok(())
}

fn link(staging: &Staging<'_>, first: &Path, path: &Path) -> Result<()> {
    let run = || -> std::io::Result<()> {
        let (from, from_name) = staging.tree.parent(first)?;
        let (to, to_name) = staging.tree.parent(path)?;
        Ok(linkat(&from, from_name, &to, to_name, AtFlags::empty())?)
    };
    staging.advance(0, 1, false);
    run().map_err(|error| failed(&staging.tree.place_of(path), "make the hard link", error))
}
