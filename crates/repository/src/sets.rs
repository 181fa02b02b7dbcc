//! Sets: what the snapshots in the repository are to each other. A set exists only when its manifest does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use plan::ids::{DataSetName, SetId};
use plan::manifest::Manifest;
use plan::{Error, Result};
use rustic_core::repofile::SnapshotFile;
use rustic_core::{FileType, Id};

use crate::document;
use crate::engine::{Indexed, Open};
use crate::fault::{EngineResult as _, guarded, lock};
use crate::parallel;
use crate::records::RECORD;
use crate::repository::id_of;
use crate::sink::Label;

/// Tag of every snapshot of this program.
pub const PROGRAM: &str = "threescale-backup";
const MANIFEST: &str = "manifest";
const MANIFEST_FILE: &str = "manifest.json";
/// Reads under way at a time: each is small and costs a round trip.
const READERS: usize = 8;

fn set_tag(set: &SetId) -> String {
    format!("set:{set}")
}

fn data_set_tag(name: DataSetName) -> String {
    format!("data-set:{name}")
}

/// Tags of a data set's snapshot.
pub fn data_tags(set: &SetId, name: DataSetName) -> Vec<String> {
    vec![PROGRAM.to_owned(), set_tag(set), data_set_tag(name)]
}

/// A snapshot of this program.
#[derive(Debug)]
pub struct Held {
    /// Its id.
    pub id: Id,
    /// What it says.
    pub file: SnapshotFile,
}

/// A set with the snapshot that holds its manifest.
#[derive(Debug)]
pub struct Set {
    /// Snapshot of the manifest.
    pub id: Id,
    /// The manifest.
    pub manifest: Manifest,
}

/// All snapshots in the repository, by what they are.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Ids of all snapshots, foreign ones too, sorted.
    pub all: Vec<Id>,
    /// Snapshots of manifests.
    pub manifests: Vec<Held>,
    /// Snapshots of data sets, whether a manifest names them or not.
    pub data: Vec<Held>,
    /// Snapshots of records: no sets, and never left over.
    pub records: Vec<Held>,
    /// What cannot be read, and so may be any of these.
    pub damaged: Vec<(Id, Error)>,
}

/// The sets in the repository.
#[derive(Debug)]
pub struct Listing {
    /// Sets, oldest first.
    pub sets: Vec<Set>,
    /// Snapshots of data sets, of this program, whether a manifest names them or not.
    pub data: Vec<Held>,
    /// Ids of all snapshots, foreign ones too, sorted.
    pub all: Vec<Id>,
}

/// Ids of all snapshots, sorted.
///
/// # Errors
/// When the list cannot be had whole.
pub fn snapshot_ids(open: &Open) -> Result<Vec<Id>> {
    let mut ids = open.storage.list(FileType::Snapshot).during(|| "list snapshots".to_owned())?;
    ids.sort_unstable();
    Ok(ids)
}

/// Reads snapshots, a few at a time.
fn read_snapshots(open: &Open, ids: &[Id]) -> Vec<(Id, Result<SnapshotFile>)> {
    let read = Mutex::new(Vec::with_capacity(ids.len()));
    parallel::each(ids, READERS, |id| {
        let file = guarded("read a snapshot", || open.plain.get_file(&(*id).into()).during(|| format!("read snapshot {id}")));
        lock(&read).push((*id, file));
    });
    read.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Snapshots {
    /// Reads all snapshots.
    ///
    /// # Errors
    /// When the list of snapshots cannot be had whole.
    pub fn read(open: &Open) -> Result<Self> {
        let mut found = Self { all: snapshot_ids(open)?, ..Self::default() };
        for (id, file) in read_snapshots(open, &found.all) {
            match file {
                Ok(file) if !file.tags.contains(PROGRAM) => {}
                Ok(file) if file.tags.contains(MANIFEST) => found.manifests.push(Held { id, file }),
                Ok(file) if file.tags.contains(RECORD) => found.records.push(Held { id, file }),
                Ok(file) => found.data.push(Held { id, file }),
                // Removed by a `forget` elsewhere between the listing and the reading: it is not there. Looked at again, not guessed.
                Err(_) if !snapshot_ids(open)?.contains(&id) => {}
                Err(error) => found.damaged.push((id, error)),
            }
        }
        Ok(found)
    }
}

impl Listing {
    /// Reads everything; the first thing that cannot be read is an error.
    ///
    /// # Errors
    /// When a listing, a snapshot or a manifest cannot be read.
    pub fn read(open: &Open) -> Result<Self> {
        Self::read_with(open, Err)
    }

    /// Reads everything; what cannot be read goes to `damaged`.
    ///
    /// # Errors
    /// When the list of snapshots cannot be had, or `damaged` says so.
    pub fn read_with(open: &Open, mut damaged: impl FnMut(Error) -> Result<()>) -> Result<Self> {
        let Snapshots { all, manifests, data, damaged: unreadable, .. } = Snapshots::read(open)?;
        unreadable.into_iter().try_for_each(|(_, error)| damaged(error))?;
        let mut sets: Vec<Set> = Vec::with_capacity(manifests.len());
        // After the snapshots were listed, so that it holds what they need.
        let index = if manifests.is_empty() {
            None
        } else {
            open.index().map_or_else(|error| damaged(error).map(|()| None), |index| Ok(Some(index)))?
        };
        for Held { id, file } in manifests {
            let Some(index) = &index else { break };
            match read_manifest(index, &file) {
                Ok(manifest) => sets.push(Set { id, manifest }),
                Err(error) => damaged(error.during(format!("read the manifest in snapshot {id}")))?,
            }
        }
        sets.sort_by(|a, b| (a.manifest.finished_at, &a.manifest.set).cmp(&(b.manifest.finished_at, &b.manifest.set)));
        for pair in sets.windows(2) {
            if pair[0].manifest.set == pair[1].manifest.set {
                damaged(Error::needs_person(format!("set {} has two manifests", pair[0].manifest.set)))?;
            }
        }
        Ok(Self { sets, data, all })
    }

    /// Data snapshots that no manifest names, by set.
    pub fn orphans(&self) -> impl Iterator<Item = &Held> {
        let named: BTreeSet<_> =
            self.sets.iter().flat_map(|set| set.manifest.data_sets.values()).map(|kept| kept.snapshot.0.clone()).collect();
        self.data.iter().filter(move |held| !named.contains(held.id.to_hex().as_str()))
    }
}

fn read_manifest(index: &Arc<Indexed>, file: &SnapshotFile) -> Result<Manifest> {
    let bytes = document::read(index, file, MANIFEST_FILE)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
        Error::failed("understand the manifest")
            .because(error)
            .hint("Use the version of threescale-backup that took the set, or a newer one.")
    })?;
    manifest.check_format()?;
    if !file.tags.contains(&set_tag(&manifest.set)) {
        return Err(Error::needs_person(format!("the manifest of set {} is in a snapshot of another set", manifest.set)));
    }
    Ok(manifest)
}

/// See [`plan::ports::Repository::write_manifest`].
///
/// # Errors
/// When a snapshot that it names is not there or not the set's, or the storage fails.
pub fn write_manifest(open: &Open, manifest: &Manifest) -> Result<()> {
    let set = &manifest.set;
    let listing = Listing::read(open)?;
    if let Some(known) = listing.sets.iter().find(|known| known.manifest.set == *set) {
        // Called again after a crash that came just after the first call.
        return if known.manifest == *manifest { Ok(()) } else { Err(Error::refused(format!("set {set} has a manifest already"))) };
    }
    for (name, kept) in &manifest.data_sets {
        let id = id_of(&kept.snapshot)?;
        let held = listing.data.iter().find(|held| held.id == id);
        let held = held.ok_or_else(|| {
            Error::failed(format!("write the manifest of set {set}")).hint(format!("Snapshot {id} of {name} is not there."))
        })?;
        if !held.file.tags.contains(&set_tag(set)) || !held.file.tags.contains(&data_set_tag(*name)) {
            return Err(
                Error::failed(format!("write the manifest of set {set}")).hint(format!("Snapshot {id} is not of this set's {name}."))
            );
        }
    }
    let bytes = serde_json::to_vec_pretty(manifest).map_err(|error| Error::failed("write the manifest").because(error))?;
    let label = Label { tags: vec![PROGRAM.to_owned(), MANIFEST.to_owned(), set_tag(set)], label: MANIFEST.to_owned() };
    let id = document::write(open, &label, MANIFEST_FILE, bytes)?;
    let file = open.plain.get_file::<SnapshotFile>(&id.into()).during(|| "read the manifest back".to_owned())?;
    if read_manifest(&open.index()?, &file)? == *manifest {
        return Ok(());
    }
    open.plain.delete_snapshots(&[id.into()]).during(|| "delete a manifest that does not read back".to_owned())?;
    Err(Error::failed(format!("read back the manifest of set {set}")))
}
