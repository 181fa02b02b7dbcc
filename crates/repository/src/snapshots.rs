//! The snapshots in the repository, by what they are to this program. One that is damaged is told and harms no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use plan::{Error, Result};
use rustic_core::repofile::SnapshotFile;
use rustic_core::{FileType, Id};

use crate::engine::Open;
use crate::fault::{EngineResult as _, lock};
use crate::parallel;
use crate::records::RECORD;
use crate::small::{self, unless_passing};

/// Tag of every snapshot of this program.
pub const PROGRAM: &str = "threescale-backup";
/// Tag of a manifest.
pub const MANIFEST: &str = "manifest";
/// Reads under way at a time: each is small and costs a round trip.
pub const READERS: usize = 8;

/// A snapshot that was read and is what its name says.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its id.
    pub id: Id,
    /// What it says.
    pub file: Arc<SnapshotFile>,
}

/// Snapshots that were read: one never changes, its name is the digest of its content.
#[derive(Debug, Default)]
pub struct Cache(Mutex<HashMap<Id, Arc<SnapshotFile>>>);

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
    /// Snapshots that were made from others and have none of our tags: `restic tag --set` may have taken these from ours.
    pub retagged: Vec<Held>,
    /// What cannot be read, and so may be any of these.
    pub damaged: Vec<(Id, Error)>,
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

/// One snapshot.
///
/// # Errors
/// When it is not there, is damaged, or is not what its name says.
pub fn read_one(open: &Open, id: &Id) -> Result<Held> {
    if let Some(file) = lock(&open.snapshots.0).get(id) {
        return Ok(Held { id: *id, file: Arc::clone(file) });
    }
    let file = Arc::new(small::read::<SnapshotFile>(&*open.storage, &open.key, FileType::Snapshot, id)?);
    lock(&open.snapshots.0).insert(*id, Arc::clone(&file));
    Ok(Held { id: *id, file })
}

impl Snapshots {
    /// Reads all snapshots.
    ///
    /// # Errors
    /// When the list of snapshots cannot be had whole, or the storage does not answer.
    pub fn read(open: &Open) -> Result<Self> {
        let mut found = Self { all: snapshot_ids(open)?, ..Self::default() };
        lock(&open.snapshots.0).retain(|id, _| found.all.binary_search(id).is_ok());
        let read = parallel::try_map(&found.all, READERS, |id| unless_passing(read_one(open, id)))?;
        for (id, held) in found.all.clone().into_iter().zip(read) {
            match held {
                Ok(held) => found.sort_in(held),
                // Removed by a `forget` elsewhere between the listing and the reading: it is not there. Looked at again, not guessed.
                Err(_) if !snapshot_ids(open)?.contains(&id) => {}
                Err(error) => found.damaged.push((id, error)),
            }
        }
        Ok(found)
    }

    fn sort_in(&mut self, held: Held) {
        let tags = &held.file.tags;
        if !tags.contains(PROGRAM) {
            if held.file.original.is_some() {
                self.retagged.push(held);
            }
        } else if tags.contains(MANIFEST) {
            self.manifests.push(held);
        } else if tags.contains(RECORD) {
            self.records.push(held);
        } else {
            self.data.push(held);
        }
    }
}
