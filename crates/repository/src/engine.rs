//! The open repository: the key, the index as it is now, the few operations that the rest of the crate builds on.
//!
//! Nothing here decides what a set is. The index is loaded again whenever a listing has changed; one copy serves all readers and writers. The engine archives
//! and prunes; everything that is read for a restore, a listing or a check is read by this crate itself (see [`crate::index`]).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use plan::{Error, Result};
use rustic_core::repofile::{BlobType, MasterKey, SnapshotFile};
use rustic_core::{
    Credentials, FileType, Id, IndexedIdsStatus, OpenStatus, Repository as Engine, RepositoryBackends, RepositoryOptions, TreeId,
    WriteBackend,
};
use secrecy::SecretString;

use crate::fault::{EngineResult as _, guarded, lock};
use crate::index::file::IndexFile;
use crate::index::{Condemned, Index, Listed, State, header};
use crate::init::Remains;
use crate::keys;
use crate::location::Location;
use crate::lock::Locks;
use crate::read::walk;
use crate::records::damage;
use crate::seal::Key;
use crate::small;
use crate::snapshots::{Cache, Snapshots};
use crate::storage::{self, Gate, Segments, Storage, Trusted};

/// A prune elsewhere replaces index files while they are read; what is read then is whole at the next try.
const LOAD_TRIES: usize = 5;
/// Chunks named in one index file.
const CHUNKS_PER_FILE: usize = 50_000;

/// See the module. Deliberately without `Debug`: it holds the key.
pub struct Open {
    /// Where it is.
    pub location: Location,
    /// The storage as it is, without gate or cache.
    pub storage: Arc<dyn WriteBackend>,
    /// The same, with what the engine does not know of.
    pub files: Arc<dyn Storage>,
    /// Who else uses the repository.
    pub locks: Locks,
    /// Counts failed writes of the archiver.
    pub gate: Arc<Gate>,
    /// The engine on the storage as it is.
    pub plain: Engine<OpenStatus>,
    /// The key, ready for use.
    pub key: Key,
    /// The file in `keys` that the password opened.
    pub opened_by: Id,
    /// Snapshots that were read.
    pub snapshots: Cache,
    master: MasterKey,
    index: Mutex<Option<Loaded>>,
}

/// What the index was made from (the files that were listed, the verdicts of checks), and the index.
type Loaded = (Listed, Vec<Id>, Arc<Index>);

/// What the archiver may build on.
#[derive(Debug, Clone, Copy)]
pub enum Ground<'a> {
    /// Nothing: all is stored, whatever there is.
    Nothing,
    /// The data that can be trusted, and those of these trees that can be read.
    Like(&'a [TreeId]),
}

pub(crate) fn engine_on(storage: Arc<dyn WriteBackend>) -> Result<Engine<()>> {
    let options = RepositoryOptions::default().no_cache(true);
    Engine::new(&options, &RepositoryBackends::new(storage, None)).during(|| "open the repository".to_owned())
}

/// The name of this host, as restic writes it into snapshots.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

impl Open {
    /// # Errors
    /// [`plan::Class::NoRepository`], [`plan::Class::WrongPassword`], [`plan::Class::Transient`] when the storage does not answer.
    pub fn new(location: &Location, password: &SecretString) -> Result<Self> {
        let storage = storage::at(location)?;
        if storage.list(FileType::Config).during(|| format!("look for a repository at {location}"))?.is_empty() {
            return Err(Remains::at(&*storage)?.without_config(location));
        }
        let (opened_by, master) = keys::find(&*storage, password)?;
        let credentials = Credentials::Masterkey(master);
        let what = || format!("open the repository at {location}");
        let plain = guarded("open the repository", || engine_on(Arc::clone(&storage) as _)?.open(&credentials).during(what))?;
        Self::with(location.clone(), storage, plain, opened_by)
    }

    fn with(location: Location, files: Arc<dyn Storage>, plain: Engine<OpenStatus>, opened_by: Id) -> Result<Self> {
        let storage: Arc<dyn WriteBackend> = Arc::clone(&files) as _;
        let gate = Arc::new(Gate::new(Arc::new(Segments::new(Arc::clone(&storage)))));
        let master = plain.key();
        let key = Key::new(&master)?;
        let locks = Locks::new(Arc::clone(&files), key.clone());
        Ok(Self {
            location,
            storage,
            files,
            locks,
            gate,
            plain,
            key,
            opened_by,
            snapshots: Cache::default(),
            master,
            index: Mutex::new(None),
        })
    }

    /// Another engine with the same key on another view of the storage.
    fn on(&self, storage: Arc<dyn WriteBackend>) -> Result<Engine<OpenStatus>> {
        engine_on(storage)?.open(&Credentials::Masterkey(self.master.clone())).during(|| "open the repository".to_owned())
    }

    /// The same repository, with nothing of it in memory: what is read through it comes from the storage.
    ///
    /// # Errors
    /// When the configuration is missing or damaged.
    pub fn afresh(&self) -> Result<Self> {
        let plain = guarded("read the configuration of the repository", || self.on(Arc::clone(&self.storage)))?;
        Self::with(self.location.clone(), Arc::clone(&self.files), plain, self.opened_by)
    }

    /// The index as it is now. Index files that cannot be read are no error: see [`Index::unreadable`].
    ///
    /// # Errors
    /// When the listings cannot be had whole, or the storage does not answer.
    pub fn index(&self) -> Result<Arc<Index>> {
        let mut cached = lock(&self.index);
        for last in [false; LOAD_TRIES].into_iter().chain([true]) {
            let listed = Listed::now(&*self.storage)?;
            let verdicts = damage::condemnations(&Snapshots::read(self)?);
            let verdict_ids: Vec<_> = verdicts.iter().map(|held| held.id).collect();
            if let Some((known, of, index)) = &*cached
                && *known == listed
                && *of == verdict_ids
            {
                return Ok(Arc::clone(index));
            }
            // Not two copies at once, unless someone still works with the old one.
            *cached = None;
            let storage: Arc<dyn WriteBackend> = Arc::clone(&self.gate) as _;
            let index = Index::load(storage, self.key.clone(), &listed)?;
            let has_moved = !index.unreadable.is_empty() && Listed::now(&*self.storage)?.index != listed.index;
            if has_moved && !last {
                continue;
            }
            let index = damage::condemned(index, &verdicts)?;
            *cached = Some((listed, verdict_ids, Arc::clone(&index)));
            return Ok(index);
        }
        Err(Error::transient("failed to read the index: it changes all the time"))
    }

    /// The index as it would be with these packs condemned.
    ///
    /// # Errors
    /// As [`Self::index`].
    pub fn index_with(&self, condemned: Condemned) -> Result<Arc<Index>> {
        let storage: Arc<dyn WriteBackend> = Arc::clone(&self.gate) as _;
        let mut index = Index::load(storage, self.key.clone(), &Listed::now(&*self.storage)?)?;
        index.condemn(condemned);
        Ok(Arc::new(index))
    }

    /// The engine, ready to archive on what can be trusted.
    ///
    /// # Errors
    /// When the index cannot be had.
    pub fn archiver(&self, ground: Ground<'_>) -> Result<Engine<IndexedIdsStatus>> {
        let storage: Arc<dyn WriteBackend> = Arc::clone(&self.gate) as _;
        let view = match ground {
            Ground::Nothing => Trusted::nothing(storage, self.key.clone()),
            Ground::Like(trees) => {
                let index = self.index()?;
                let readable: HashSet<Id> = walk::readable_trees(&index, trees)?;
                Trusted::new(storage, self.key.clone(), index, &readable)
            }
        };
        guarded("read the index", || self.on(Arc::new(view))?.to_indexed_ids().during(|| "read the index".to_owned()))
    }

    /// Adds packs that no index file names to the index: what a killed backup has uploaded is reused, and what a damaged or lost index file named is named
    /// again. A pack whose header is damaged stays out.
    ///
    /// # Errors
    /// When listings cannot be had whole or the storage fails.
    pub fn index_orphans(&self) -> Result<()> {
        let (packs, unreadable) = self.index()?.unindexed_packs();
        unreadable.iter().for_each(|(_, error)| log::warn!("{}", error.chain()));
        self.name_packs(packs)
    }

    /// Writes index files that name these packs.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn name_packs(&self, packs: Vec<crate::index::file::Pack>) -> Result<()> {
        name_packs(&*self.storage, &self.key, packs)
    }

    /// Writes a snapshot and says under which id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_snapshot(&self, snapshot: &SnapshotFile) -> Result<Id> {
        small::write(&*self.storage, &self.key, FileType::Snapshot, snapshot)
    }

    /// Takes packs that a prune has marked for deletion, and that a tree needs, out of that state: an index file that says that a pack is in use outweighs
    /// one that has it marked.
    ///
    /// # Errors
    /// When the repository cannot be read or written.
    pub fn recover_marked(&self, tree: TreeId) -> Result<()> {
        let index = self.index()?;
        let mut marked = HashSet::new();
        let walked = walk::each_chunk(&index, tree, |kind: BlobType, id: &Id| {
            if let Some((copy, State::Marked)) = index.best(kind, id) {
                marked.extend(index.pack_of(&copy).map(|pack| (pack.id, pack.size_bytes)));
            }
        });
        // Of a tree that cannot be read nothing can be recovered; who asked looks at it again and says so.
        if let Err(error) = walked
            && small::is_passing(&error)
        {
            return Err(error);
        }
        let packs = marked
            .into_iter()
            .map(|(id, size)| header::read(&*self.storage, &self.key, &id, u32::try_from(size).unwrap_or(u32::MAX)))
            .collect::<Result<Vec<_>>>()?;
        self.name_packs(packs)
    }
}

/// Writes index files that name these packs.
///
/// # Errors
/// When the storage fails.
pub fn name_packs(storage: &dyn WriteBackend, key: &Key, packs: Vec<crate::index::file::Pack>) -> Result<()> {
    let mut file = IndexFile::default();
    let mut chunks = 0;
    for pack in packs {
        chunks += pack.blobs.len();
        file.packs.push(pack);
        if chunks >= CHUNKS_PER_FILE {
            small::write(storage, key, FileType::Index, &std::mem::take(&mut file))?;
            chunks = 0;
        }
    }
    if !file.packs.is_empty() {
        small::write(storage, key, FileType::Index, &file)?;
    }
    Ok(())
}
