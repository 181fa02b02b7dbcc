//! The open engine: the key, the index as it is now, the few operations that the rest of the crate builds on.
//!
//! Nothing here decides what a set is. The index is loaded again whenever the list of index files has changed; one copy serves all readers and writers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use plan::{Class, Error, Result};
use rustic_core::repofile::{IndexFile, MasterKey, SnapshotFile};
use rustic_core::{
    ConfigOptions, Credentials, FileType, Id, IndexedFullStatus, KeyOptions, LimitOption, OpenStatus, PruneOptions, RepairIndexOptions,
    Repository as Engine, RepositoryBackends, RepositoryOptions, WriteBackend,
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::fault::{EngineResult as _, guarded, lock};
use crate::location::Location;
use crate::storage::{self, Gate, Orphans, Recorder, Segments};

/// The engine with the whole index in memory.
pub type Indexed = Engine<IndexedFullStatus>;

/// Average chunk: small ones make the second backup of a changed table cheap; the segments make reading them fast.
const CHUNK_BYTES: u64 = 128 << 10;
/// Fixed, so that memory does not grow with the repository (the engine's own default does).
const DATA_PACK_BYTES: u64 = 16 << 20;
const TREE_PACK_BYTES: u64 = 4 << 20;
/// A prune elsewhere replaces index files while they are read; what is read then is whole at the next try.
const LOAD_TRIES: usize = 5;

/// See the module. Deliberately without `Debug`: it holds the key.
pub struct Open {
    /// The storage as it is, without gate or cache.
    pub storage: Arc<dyn WriteBackend>,
    /// Counts failed writes of the archiver.
    pub gate: Arc<Gate>,
    /// The engine on the storage as it is: for single files.
    pub plain: Engine<OpenStatus>,
    key: MasterKey,
    index: Mutex<Option<(Vec<Id>, Arc<Indexed>)>>,
    orphans_indexed: AtomicBool,
}

fn engine_on(storage: Arc<dyn WriteBackend>) -> Result<Engine<()>> {
    let options = RepositoryOptions::default().no_cache(true);
    Engine::new(&options, &RepositoryBackends::new(storage, None)).during(|| "open the repository".to_owned())
}

/// Makes a repository.
///
/// # Errors
/// [`Class::Refused`] when there is one already.
pub fn init(location: &Location, password: &SecretString) -> Result<()> {
    let storage = storage::at(location)?;
    if !storage.list(FileType::Config).during(|| format!("look at {location}"))?.is_empty() {
        return Err(Error::refused(format!("there is a repository at {location} already")));
    }
    let size = |bytes: u64| bytesize::ByteSize(bytes);
    let config = ConfigOptions::default()
        .set_version(2_u32)
        .set_chunk_size(size(CHUNK_BYTES))
        .set_chunk_min_size(size(CHUNK_BYTES / 2))
        .set_chunk_max_size(size(CHUNK_BYTES * 8))
        .set_datapack_size(size(DATA_PACK_BYTES))
        .set_datapack_growfactor(0_u32)
        .set_treepack_size(size(TREE_PACK_BYTES))
        .set_treepack_growfactor(0_u32);
    let credentials = Credentials::password(password.expose_secret());
    let key = KeyOptions::default().hostname(host());
    engine_on(storage)?.init(&credentials, &key, &config).during(|| format!("make a repository at {location}")).map(drop)
}

/// The engine says "wrong password" for missing and damaged keys as well.
fn damaged_key(storage: &dyn WriteBackend) -> Option<Error> {
    let keys = storage.list(FileType::Key).ok()?;
    if keys.is_empty() {
        return Some(
            Error::failed("open the repository: it has no key")
                .hint("The files in its folder `keys` are missing. Put them back from a copy."),
        );
    }
    let damaged = keys.iter().find(|id| storage.read_full(FileType::Key, id).is_ok_and(|bytes| !is_named_after(id, &bytes)))?;
    Some(Error::failed(format!("open the repository: key {damaged} is damaged")).hint("Put the file back from a copy."))
}

/// Every file but `config` is named after the SHA-256 of its content.
pub fn is_named_after(id: &Id, content: &[u8]) -> bool {
    hex::encode(Sha256::digest(content)) == id.to_hex().as_str()
}

/// The name of this host, as restic writes it into snapshots.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

impl Open {
    /// # Errors
    /// [`Class::NoRepository`], [`Class::WrongPassword`], [`Class::Transient`] when the storage does not answer.
    pub fn new(location: &Location, password: &SecretString) -> Result<Self> {
        let storage = storage::at(location)?;
        if storage.list(FileType::Config).during(|| format!("look for a repository at {location}"))?.is_empty() {
            return Err(Error::new(Class::NoRepository, format!("there is no repository at {location}"))
                .hint("Make one with `threescale-backup init`, or correct [repository] url."));
        }
        let what = || format!("open the repository at {location}");
        let credentials = Credentials::password(password.expose_secret());
        let plain = guarded("open the repository", || engine_on(Arc::clone(&storage))?.open(&credentials).during(what))
            .map_err(|error| if error.class() == Class::WrongPassword { damaged_key(&*storage).unwrap_or(error) } else { error })?;
        Ok(Self::with(storage, plain))
    }

    fn with(storage: Arc<dyn WriteBackend>, plain: Engine<OpenStatus>) -> Self {
        let gate = Arc::new(Gate::new(Arc::new(Segments::new(Arc::clone(&storage)))));
        let key = plain.key();
        Self { storage, gate, plain, key, index: Mutex::new(None), orphans_indexed: AtomicBool::new(false) }
    }

    /// Another engine with the same key on another view of the storage.
    fn on(&self, storage: Arc<dyn WriteBackend>) -> Result<Engine<OpenStatus>> {
        engine_on(storage)?.open(&Credentials::Masterkey(self.key.clone())).during(|| "open the repository".to_owned())
    }

    /// The same repository, with nothing of it in memory: what is read through it comes from the storage.
    ///
    /// # Errors
    /// When the configuration is missing or damaged.
    pub fn afresh(&self) -> Result<Self> {
        let plain = guarded("read the configuration of the repository", || self.on(Arc::clone(&self.storage)))?;
        Ok(Self::with(Arc::clone(&self.storage), plain))
    }

    /// The index as it is now.
    ///
    /// # Errors
    /// When it cannot be read whole.
    pub fn index(&self) -> Result<Arc<Indexed>> {
        let mut cached = lock(&self.index);
        let mut tries = 0;
        loop {
            let mut files = self.storage.list(FileType::Index).during(|| "list the index".to_owned())?;
            files.sort_unstable();
            if let Some((known, index)) = &*cached
                && *known == files
            {
                return Ok(Arc::clone(index));
            }
            // Not two copies at once, unless someone still works with the old one.
            *cached = None;
            let gate: Arc<dyn WriteBackend> = Arc::clone(&self.gate) as _;
            match guarded("read the index", || self.on(gate)?.to_indexed().during(|| "read the index".to_owned())) {
                Ok(index) => *cached = Some((files, Arc::new(index))),
                Err(error) if tries == LOAD_TRIES => return Err(error.hint("Run `threescale-backup check` to see what is damaged.")),
                Err(_) => tries += 1,
            }
        }
    }

    /// All index files, each given once to `visit`. A file that cannot be read goes to `damaged`.
    ///
    /// # Errors
    /// When the list cannot be had.
    pub fn each_index_file(&self, mut visit: impl FnMut(IndexFile), mut damaged: impl FnMut(Id, Error) -> Result<()>) -> Result<()> {
        for id in self.storage.list(FileType::Index).during(|| "list the index".to_owned())? {
            match guarded("read the index", || self.plain.get_file::<IndexFile>(&id.into()).during(|| format!("read index file {id}"))) {
                Ok(file) => visit(file),
                Err(error) => damaged(id, error)?,
            }
        }
        Ok(())
    }

    /// Adds packs that no index names to the index, once per opening: what a killed backup has uploaded is reused.
    ///
    /// # Errors
    /// When listings or the index cannot be read whole.
    pub fn index_orphans(&self) -> Result<()> {
        if self.orphans_indexed.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Packs first: a pack of a running backup that is indexed in between is then not an orphan.
        let mut packs = self.storage.list_with_size(FileType::Pack).during(|| "list packs".to_owned())?;
        let mut tries = 0;
        let indexed = loop {
            let mut indexed = HashSet::new();
            let mut visit = |file: IndexFile| {
                indexed.extend(file.packs.iter().chain(&file.packs_to_delete).map(|pack| *pack.id));
            };
            match self.each_index_file(&mut visit, |_, error| Err(error)) {
                Ok(()) => break indexed,
                Err(error) if tries == LOAD_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        };
        packs.retain(|(id, _)| !indexed.contains(id));
        if !packs.is_empty() {
            log::info!("adding {} packs of an interrupted backup to the index", packs.len());
            let view = Arc::new(Orphans { inner: Arc::clone(&self.storage), packs });
            guarded("index packs of an interrupted backup", || {
                self.on(view)?
                    .repair_index(&RepairIndexOptions::default(), false)
                    .during(|| "index packs of an interrupted backup".to_owned())
            })?;
        }
        self.orphans_indexed.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Writes a snapshot and says under which id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_snapshot(&self, snapshot: SnapshotFile) -> Result<Id> {
        let written = Arc::new(Mutex::new(None));
        let recorder = Arc::new(Recorder { inner: Arc::clone(&self.storage), written: Arc::clone(&written) });
        self.on(recorder)?.save_snapshots(vec![snapshot]).during(|| "write the snapshot".to_owned())?;
        let id = *lock(&written);
        id.ok_or_else(|| Error::failed("write the snapshot").hint("The engine did not write it."))
    }

    /// Takes packs that a prune has marked for deletion, and that a snapshot needs, out of that state. Marks and deletes nothing that matters: nothing is
    /// old enough.
    ///
    /// # Errors
    /// When the repository cannot be read whole or written.
    pub fn recover_marked(&self) -> Result<()> {
        let ages = jiff::Span::new().hours(24 * 365 * 10);
        let options = PruneOptions::default()
            .max_repack(LimitOption::Size(bytesize::ByteSize(0)))
            .max_unused(LimitOption::Unlimited)
            .keep_pack(ages)
            .keep_delete(ages)
            .no_resize(true);
        self.prune(&options)
    }

    /// Plans and prunes.
    ///
    /// # Errors
    /// As [`Self::recover_marked`].
    pub fn prune(&self, options: &PruneOptions) -> Result<()> {
        guarded("prune", || {
            let plan = self.plain.prune_plan(options).during(|| "plan the prune".to_owned())?;
            self.plain.prune(options, plan).during(|| "prune".to_owned())
        })
    }
}
