//! Writes the manifest of a set, after a last look at everything that it names.

use plan::ids::SetId;
use plan::manifest::{KeptDataSet, Manifest};
use plan::{Error, Result};
use rustic_core::Id;
use rustic_core::repofile::SnapshotFile;
use serde::Serialize;

use super::{Listing, MANIFEST, MANIFEST_FILE, PROGRAM, Trees, copy, data_set_tag, read_manifest, set_tag};
use crate::document;
use crate::engine::Open;
use crate::fault::guarded;
use crate::read::walk;
use crate::repository::id_of;
use crate::sink::Label;
use crate::snapshots::{Held, read_one, snapshot_ids};

/// What `manifest.json` is.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    trees: Trees,
}

/// See [`plan::ports::Repository::write_manifest`].
///
/// # Errors
/// When a snapshot that it names, or something in it, is not there or not the set's, or the storage fails.
pub fn write_manifest(open: &Open, manifest: &Manifest) -> Result<()> {
    let set = &manifest.set;
    let listing = Listing::read_what_can_be(open)?;
    if let Some(known) = listing.sets.iter().find(|known| known.manifest.set == *set) {
        // Called again after a crash that came just after the first call.
        return if known.manifest == *manifest { Ok(()) } else { Err(Error::refused(format!("set {set} has a manifest already"))) };
    }
    let during = |error: Error| error.during(format!("failed to write the manifest of set {set}"));
    let (mut named, mut trees) = (Vec::new(), Trees::new());
    for (name, kept) in &manifest.data_sets {
        let id = id_of(&kept.snapshot)?;
        let wrong = |hint: String| Error::failed(format!("failed to write the manifest of set {set}")).hint(hint);
        let held = listing.data.iter().find(|held| held.id == id).ok_or_else(|| wrong(format!("Snapshot {id} of {name} is not there.")))?;
        if !held.file.tags.contains(&set_tag(set)) || !held.file.tags.contains(&data_set_tag(*name)) {
            return Err(wrong(format!("Snapshot {id} is not of this set's {name}.")));
        }
        guarded("look at what was stored", || look(open, held, kept)).map_err(during)?;
        named.push(id);
        trees.insert(*name, held.file.tree);
    }
    let bytes = serde_json::to_vec_pretty(&Written { manifest, trees })
        .map_err(|error| Error::failed("failed to write the manifest").because(error))?;
    let id = store(open, set, bytes)?;
    confirm(open, manifest, id, &named).map_err(during).inspect_err(|_| {
        if let Err(error) = open.plain.delete_snapshots(&[id.into()]) {
            log::warn!("a manifest that is not true could not be deleted: {}", error.display_log());
        }
    })
}

/// Stores a manifest, and a copy of it in its snapshot.
fn store(open: &Open, set: &SetId, bytes: Vec<u8>) -> Result<Id> {
    let tags = vec![PROGRAM.to_owned(), MANIFEST.to_owned(), set_tag(set)];
    let label = Label { tags, label: MANIFEST.to_owned(), description: copy::of(&bytes) };
    document::write(open, &label, MANIFEST_FILE, bytes)
}

/// Stores a manifest anew whose file is lost, from the copy in its snapshot; gives the new snapshot.
///
/// # Errors
/// When there is no copy, or the storage fails.
pub fn renew_manifest(open: &Open, set: &SetId, file: &SnapshotFile) -> Result<Id> {
    let bytes = copy::read(file).ok_or_else(|| Error::failed(format!("there is no copy of the manifest of set {set}")))?;
    let id = store(open, set, bytes)?;
    document::read(&open.afresh()?.index()?, &read_one(open, &id)?.file, MANIFEST_FILE)?;
    Ok(id)
}

/// Looks again, as the storage is now, that everything is there that a data set needs: a backup takes long, and others may have removed something meanwhile.
fn look(open: &Open, held: &Held, kept: &KeptDataSet) -> Result<()> {
    let mut found = walk::count(&*open.index()?, held.file.tree)?;
    if found.missing.is_some() {
        open.recover_marked(held.file.tree)?;
        found = walk::count(&*open.index()?, held.file.tree)?;
    }
    if let Some(missing) = found.missing {
        return Err(Error::failed("failed to look at what was stored").hint(missing).hint(
            "Another program has removed or damaged it since it was stored. Take the backup again; run no `restic prune` while a backup runs.",
        ));
    }
    if (found.files, found.bytes) != (kept.parts, kept.bytes) {
        return Err(Error::failed(format!(
            "look at what was stored: {} parts and {} bytes are there instead of {} and {}",
            found.files, found.bytes, kept.parts, kept.bytes
        )));
    }
    Ok(())
}

/// The manifest reads back, and what it names is still there now that it protects it.
fn confirm(open: &Open, manifest: &Manifest, id: Id, named: &[Id]) -> Result<()> {
    let file = read_one(open, &id)?.file;
    let index = open.index()?;
    // The file itself, not its copy.
    document::read(&index, &file, MANIFEST_FILE)?;
    if read_manifest(&index, &file)?.0 != *manifest {
        return Err(Error::failed("failed to read back the manifest"));
    }
    let now = snapshot_ids(open)?;
    match named.iter().find(|id| now.binary_search(id).is_err()) {
        None => Ok(()),
        Some(gone) => Err(Error::failed(format!("snapshot {gone} was removed while its set was finished")).hint("Take the backup again.")),
    }
}
