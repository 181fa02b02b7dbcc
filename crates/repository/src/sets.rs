//! Sets: what the snapshots in the repository are to each other. A set exists only when its manifest does.
//!
//! A data set's snapshot is found by the id in the manifest; where that is gone, by `original` (`restic tag` and `restic copy` note the id from which they
//! made a new one), else by its tags and its tree. Damage of a member harms its set only; what deletes needs a whole listing.

mod copy;
mod members;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use plan::ids::{DataSetName, SetId};
use plan::manifest::Manifest;
use plan::ports::Damaged;
use plan::{Error, Result};
use rustic_core::repofile::SnapshotFile;
use rustic_core::{FileType, Id, TreeId};
use serde::Deserialize;

use crate::document;
use crate::engine::Open;
use crate::index::Index;
use crate::parallel;
use crate::records::damage;
use crate::small::{is_passing, path_of, unless_passing};
use crate::snapshots::READERS;
pub use crate::snapshots::{Held, MANIFEST, PROGRAM, Snapshots, snapshot_ids};
use members::Members;
pub use write::{renew_manifest, write_manifest};

/// The file in a manifest's snapshot.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Tag of all snapshots of a set.
pub fn set_tag(set: &SetId) -> String {
    format!("set:{set}")
}

fn data_set_tag(name: DataSetName) -> String {
    format!("data-set:{name}")
}

/// Tags of a data set's snapshot.
pub fn data_tags(set: &SetId, name: DataSetName) -> Vec<String> {
    vec![PROGRAM.to_owned(), set_tag(set), data_set_tag(name)]
}

/// The root trees of the data sets: what a snapshot holds whatever its id. Stands beside the fields of the manifest from format 1.1 on.
type Trees = BTreeMap<DataSetName, TreeId>;

/// The part of a manifest that only this crate knows of.
#[derive(Debug, Deserialize)]
struct WithTrees {
    #[serde(default)]
    trees: Trees,
}

/// A set with the snapshot that holds its manifest.
#[derive(Debug)]
pub struct Set {
    /// Snapshot of the manifest.
    pub id: Id,
    /// Further snapshots with the very same manifest.
    pub copies: Vec<Id>,
    /// The manifest.
    pub manifest: Manifest,
    /// The snapshots of the data sets as they are found now, or why one is not.
    pub members: BTreeMap<DataSetName, Result<Held, String>>,
}

/// A snapshot that cannot be read, or a manifest.
#[derive(Debug)]
pub struct Unreadable {
    /// The snapshot.
    pub id: Id,
    /// The set, where the snapshot still tells.
    pub set: Option<SetId>,
    /// Why; names the file.
    pub error: Error,
}

/// The sets in the repository.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sets, oldest first.
    pub sets: Vec<Set>,
    /// Snapshots of data sets, of this program, whether a manifest names them or not.
    pub data: Vec<Held>,
    /// Snapshots of records.
    pub records: Vec<Held>,
    /// Ids of all snapshots, foreign ones too, sorted.
    pub all: Vec<Id>,
    /// Files that cannot be read, so that nobody knows what they say: snapshots and manifests.
    pub unreadable: Vec<Unreadable>,
}

impl Listing {
    /// Reads everything; the first thing that cannot be read is an error. For what deletes.
    ///
    /// # Errors
    /// When a listing, a snapshot or a manifest cannot be read; names the file.
    pub fn read(open: &Open) -> Result<Self> {
        let mut listing = Self::read_what_can_be(open)?;
        if listing.unreadable.is_empty() {
            return Ok(listing);
        }
        Err(listing.unreadable.swap_remove(0).error.hint(
            "What cannot be read may be needed, so nothing is deleted. `threescale-backup check` says what is damaged, \
             `threescale-backup repair` sets it aside.",
        ))
    }

    /// Reads what can be read.
    ///
    /// # Errors
    /// When a listing cannot be had whole, or the storage does not answer.
    pub fn read_what_can_be(open: &Open) -> Result<Self> {
        let snapshots = Snapshots::read(open)?;
        let mut unreadable = Vec::new();
        let mut manifests = Vec::new();
        if !snapshots.manifests.is_empty() || !snapshots.retagged.is_empty() {
            // After the snapshots were listed, so that it holds what they need.
            let index = open.index()?;
            let read = parallel::try_map(&snapshots.manifests, READERS, |held| unless_passing(read_manifest(&index, &held.file)))?;
            for (held, read) in snapshots.manifests.iter().zip(read) {
                match read {
                    Ok(read) => manifests.push((held.id, read)),
                    Err(error) => {
                        let (id, set) = (held.id, set_of(&held.file));
                        unreadable.push(Unreadable { id, set, error: during_manifest(error, &id) });
                    }
                }
            }
            let lost_tags = snapshots.retagged.iter().filter_map(|held| Some((held.id, read_manifest(&index, &held.file).ok()?)));
            manifests.extend(lost_tags);
        }
        manifests.sort_by(|(_, (a, _)), (_, (b, _))| (a.finished_at, &a.set).cmp(&(b.finished_at, &b.set)));
        let members = Members::new(&snapshots);
        let mut sets: Vec<Set> = Vec::with_capacity(manifests.len());
        for (id, (manifest, trees)) in manifests {
            match sets.iter_mut().rev().find(|set| set.manifest.set == manifest.set) {
                Some(set) if set.manifest == manifest => set.copies.push(id),
                Some(set) => {
                    let (one, other) = (path_of(FileType::Snapshot, &set.id), path_of(FileType::Snapshot, &id));
                    let what = format!("set {} has two manifests that differ: {one} and {other}", manifest.set);
                    unreadable.push(Unreadable { id, set: Some(manifest.set), error: Error::needs_person(what) });
                }
                None => {
                    let find = |name: &DataSetName, kept| (*name, members.find(&manifest.set, *name, kept, trees.get(name)));
                    let found = manifest.data_sets.iter().map(|(name, kept)| find(name, kept)).collect();
                    sets.push(Set { id, copies: Vec::new(), manifest, members: found });
                }
            }
        }
        unreadable.extend(snapshots.damaged.into_iter().map(|(id, error)| Unreadable { id, set: None, error }));
        Ok(Self { sets, data: snapshots.data, records: snapshots.records, all: snapshots.all, unreadable })
    }

    /// Data snapshots of sets that have no manifest: left by a backup that did not end.
    pub fn orphans(&self) -> impl Iterator<Item = &Held> {
        let known: HashSet<_> = self.sets.iter().map(|set| set_tag(&set.manifest.set)).collect();
        let members: HashSet<_> =
            self.sets.iter().flat_map(|set| set.members.values()).filter_map(|held| held.as_ref().ok().map(|held| held.id)).collect();
        self.data.iter().filter(move |held| !members.contains(&held.id) && !held.file.tags.iter().any(|tag| known.contains(tag)))
    }

    /// Manifests that are what their names say, and whose content is gone. One of a newer program is not: that can be read by another.
    pub fn lost_manifests(&self) -> impl Iterator<Item = (&SetId, &Unreadable)> {
        self.unreadable.iter().filter(|file| file.error.class() == plan::Class::Failed).filter_map(|file| Some((file.set.as_ref()?, file)))
    }

    /// What is damaged, as people need to know it; with what checks have found.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub fn damaged(&self, open: &Open) -> Result<Vec<Damaged>> {
        let of = |file: &Unreadable| Damaged { set: file.set.clone(), data_set: None, what: file.error.chain() };
        let mut damaged: Vec<_> = self.unreadable.iter().map(of).collect();
        let marks = damage::marks(open)?;
        for set in &self.sets {
            let id = &set.manifest.set;
            let before = damaged.len();
            for (name, held) in &set.members {
                if let Err(what) = held {
                    damaged.push(Damaged { set: Some(id.clone()), data_set: Some(*name), what: what.clone() });
                }
            }
            for mark in marks.get(id.as_str()).into_iter().flatten() {
                let is_new = !damaged[before..].iter().any(|known| known.data_set == mark.data_set);
                if is_new {
                    damaged.push(Damaged { set: Some(id.clone()), data_set: mark.data_set, what: mark.what.clone() });
                }
            }
        }
        Ok(damaged)
    }
}

fn set_of(file: &SnapshotFile) -> Option<SetId> {
    file.tags.iter().find_map(|tag| tag.strip_prefix("set:")).map(|set| SetId(set.to_owned()))
}

fn during_manifest(error: Error, id: &Id) -> Error {
    error.during(format!("failed to read the manifest in {}", path_of(FileType::Snapshot, id)))
}

/// Whether a manifest is known only by the copy in its snapshot.
///
/// # Errors
/// When the storage does not answer.
pub fn is_known_by_copy_only(index: &Arc<Index>, file: &SnapshotFile) -> Result<bool> {
    match document::read(index, file, MANIFEST_FILE) {
        Err(error) if is_passing(&error) => Err(error),
        read => Ok(read.is_err() && copy::read(file).is_some()),
    }
}

fn read_manifest(index: &Arc<Index>, file: &SnapshotFile) -> Result<(Manifest, Trees)> {
    let bytes = match document::read(index, file, MANIFEST_FILE) {
        Err(error) if !is_passing(&error) => copy::read(file).ok_or(error)?,
        read => read?,
    };
    let understand = |error: serde_json::Error| {
        Error::refused("understand the manifest")
            .because(error)
            .hint("Use the version of threescale-backup that took the set, or a newer one.")
    };
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(understand)?;
    let WithTrees { trees } = serde_json::from_slice(&bytes).map_err(understand)?;
    manifest.check_format()?;
    if file.tags.contains(PROGRAM) && !file.tags.contains(&set_tag(&manifest.set)) {
        return Err(Error::needs_person(format!("the manifest of set {} is in a snapshot of another set", manifest.set)));
    }
    Ok((manifest, trees))
}

/// The snapshot that a manifest calls `id`, as it is found now.
///
/// # Errors
/// When it cannot be found, or is damaged; names the file.
pub fn find_snapshot(open: &Open, id: &Id) -> Result<Held> {
    let failure = match crate::snapshots::read_one(open, id) {
        Ok(held) => return Ok(held),
        Err(error) if is_passing(&error) => return Err(error),
        Err(error) => error,
    };
    let hex = id.to_hex();
    let listing = Listing::read_what_can_be(open)?;
    let mut named = listing.sets.iter().flat_map(|set| set.manifest.data_sets.iter().map(move |(name, kept)| (set, name, kept)));
    let Some((set, name, _)) = named.find(|(_, _, kept)| kept.snapshot.as_str() == hex.as_str()) else { return Err(failure) };
    match set.members.get(name) {
        Some(Ok(held)) => Ok(held.clone()),
        Some(Err(why)) => Err(Error::failed(format!("failed to open {name} of set {}: {why}", set.manifest.set))
            .hint("This data set of this set is lost. The others of the set, and other sets, can still be restored: see `threescale-backup list`.")),
        None => Err(failure),
    }
}
