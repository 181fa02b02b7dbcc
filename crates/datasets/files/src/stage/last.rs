//! What comes after the contents: further names of files, and the folders' own metadata (making an entry changes its folder's time).

use std::path::PathBuf;

use beneath::{Links, Writer};
use plan::Result;
use plan::ports::{EntryKind, Meta};

use super::Staging;

/// The second reading of the entries. A folder gets its metadata when the list has left it: its mode may forbid what is to be done inside.
pub(super) fn links_and_folders(staging: &Staging<'_>) -> Result<()> {
    let mut links = Links::default();
    let mut writer = Writer::new(&staging.tree);
    let mut open: Vec<(PathBuf, Meta)> = Vec::new();
    for entry in staging.snapshot.entries()? {
        staging.context.stop.check()?;
        let entry = entry?;
        while let Some((path, meta)) = open.pop_if(|(path, _)| !entry.path.starts_with(path)) {
            finish_folder(staging, &mut writer, &path, &meta)?;
        }
        if matches!(entry.kind, EntryKind::Folder) {
            open.push((entry.path, entry.meta));
        } else if entry.is_file()
            && let Some(first) = links.first(&entry.path, &entry.meta)?
        {
            writer.link(&first, &entry.path).map_err(|fault| staging.failed(&entry.path, fault))?;
            staging.advance(0, 1, false);
        }
    }
    while let Some((path, meta)) = open.pop() {
        finish_folder(staging, &mut writer, &path, &meta)?;
    }
    Ok(())
}

fn finish_folder(staging: &Staging<'_>, writer: &mut Writer<'_>, path: &std::path::Path, meta: &Meta) -> Result<()> {
    let unset = writer.finish_folder(path, meta).map_err(|fault| staging.failed(path, fault))?;
    staging.note(path, meta, &unset);
    Ok(())
}
