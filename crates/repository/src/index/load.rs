//! Builds the index: from all index files that can be read, and from a listing of the packs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use plan::{Error, Result};
use rustic_core::{FileType, Id, ReadBackend, WriteBackend};

use super::file::{IndexFile, Pack};
use super::{Copies, Index, Late, PackEntry, State, header};
use crate::fault::{EngineResult as _, lock};
use crate::parallel;
use crate::seal::Key;
use crate::small::{self, unless_passing};

/// Reads under way at a time: each is small and costs a round trip.
const READERS: usize = 8;

/// What an index is built from; the same listing gives the same index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Index files, sorted.
    pub index: Vec<Id>,
    /// Packs and their sizes, sorted.
    pub packs: Vec<(Id, u32)>,
}

impl Listed {
    /// The index first: packs that come in meanwhile are then only unknown, never missing.
    ///
    /// # Errors
    /// When a listing cannot be had whole.
    pub fn now(storage: &dyn WriteBackend) -> Result<Self> {
        let mut index = storage.list(FileType::Index).during(|| "list the index".to_owned())?;
        let mut packs = storage.list_with_size(FileType::Pack).during(|| "list packs".to_owned())?;
        index.sort_unstable();
        packs.sort_unstable();
        Ok(Self { index, packs })
    }
}

/// The index files that can be read, and the others.
type Files = (Vec<(Id, IndexFile)>, Vec<(Id, Error)>);

/// Reads index files, a few at a time.
///
/// # Errors
/// When the storage does not answer. Damage is no error.
pub fn files(storage: &dyn WriteBackend, key: &Key, ids: &[Id]) -> Result<Files> {
    let read = parallel::try_map(ids, READERS, |id| unless_passing(small::read::<IndexFile>(storage, key, FileType::Index, id)))?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (id, file) in ids.iter().zip(read) {
        match file {
            Ok(file) => good.push((*id, file)),
            Err(error) => bad.push((*id, error)),
        }
    }
    // A listing has no order of its own.
    good.sort_unstable_by_key(|(id, _)| *id);
    bad.sort_unstable_by_key(|(id, _)| *id);
    Ok((good, bad))
}

/// Reads the headers of packs, a few at a time; what cannot be read is told.
pub fn headers(storage: &dyn ReadBackend, key: &Key, packs: &[(Id, u32)]) -> (Vec<Pack>, Vec<(Id, Error)>) {
    let read = Mutex::new((Vec::new(), Vec::new()));
    parallel::each(packs, READERS, |(id, size)| match header::read(storage, key, id, *size) {
        Ok(pack) => lock(&read).0.push(pack),
        Err(error) => lock(&read).1.push((*id, error)),
    });
    let (mut good, bad) = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    good.sort_unstable_by_key(|pack| pack.id);
    (good, bad)
}

pub(super) fn late(index: &Index) -> Late {
    let silent: Vec<_> = index.unindexed.iter().chain(&index.hollow).copied().collect();
    let (packs, unreadable) = headers(&*index.storage, &index.key, &silent);
    unreadable.iter().for_each(|(_, error)| log::warn!("{}", error.chain()));
    let mut late = Late::default();
    for pack in packs {
        late.copies.add((index.packs.len() + late.packs.len()) as u32, &pack.blobs);
        let marked = if index.places.contains_key(&pack.id) { State::Marked } else { State::Whole };
        let state = if index.condemned.contains_key(&pack.id) { State::Condemned } else { marked };
        late.packs.push(PackEntry { id: pack.id, size_bytes: pack.size_bytes(), state });
    }
    late.copies.sort();
    late
}

/// Packs that a check has condemned, with the chunks in them that are bad.
pub type Condemned = HashMap<Id, HashSet<Id>>;

impl Index {
    /// Reads all index files.
    ///
    /// # Errors
    /// When the storage does not answer. Damage is no error.
    pub fn load(storage: Arc<dyn WriteBackend>, key: Key, listed: &Listed) -> Result<Self> {
        let (files, unreadable) = files(&*storage, &key, &listed.index)?;
        let sizes: HashMap<_, _> = listed.packs.iter().copied().collect();
        let mut index = Self {
            storage,
            key,
            packs: Vec::new(),
            places: HashMap::new(),
            copies: Copies::default(),
            unreadable,
            unindexed: Vec::new(),
            hollow: Vec::new(),
            late: OnceLock::new(),
            condemned: Condemned::new(),
        };
        let state = |pack: &Pack| match sizes.get(&pack.id) {
            None => State::Missing,
            Some(size) if u64::from(*size) != pack.size_bytes() => State::WrongSize,
            Some(_) => State::Whole,
        };
        // In use first: a pack that is marked in one file and in use in another is in use.
        for (_, file) in &files {
            file.packs.iter().for_each(|pack| index.add(pack, state(pack)));
        }
        for (_, file) in &files {
            for pack in &file.packs_to_delete {
                index.add(pack, state(pack).max(State::Marked));
                if pack.blobs.is_empty() {
                    index.hollow.extend(sizes.get(&pack.id).map(|size| (pack.id, *size)));
                }
            }
        }
        index.copies.sort();
        index.unindexed = listed.packs.iter().filter(|(id, _)| !index.places.contains_key(id)).copied().collect();
        Ok(index)
    }

    fn add(&mut self, pack: &Pack, state: State) {
        if self.places.contains_key(&pack.id) {
            return;
        }
        let place = self.packs.len() as u32;
        self.places.insert(pack.id, place);
        self.packs.push(PackEntry { id: pack.id, size_bytes: pack.size_bytes(), state });
        self.copies.add(place, &pack.blobs);
    }

    /// Distrusts packs that a check has condemned.
    pub fn condemn(&mut self, condemned: Condemned) {
        for pack in self.packs.iter_mut().filter(|pack| condemned.contains_key(&pack.id)) {
            pack.state = pack.state.max(State::Condemned);
        }
        self.condemned = condemned;
    }
}
