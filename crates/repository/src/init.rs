//! Makes a repository: whole, once, and nowhere where there is something of one.
//!
//! The key is written first and `config`, which makes the repository, last and only if there is none. In a folder one `init` waits for another; in a bucket
//! the one that comes second takes its key away again. What a killed `init` left (a key that the password opens, and nothing else) is cleared by the next.

use std::sync::Arc;

use plan::{Class, Error, Result};
use rustic_core::repofile::MasterKey;
use rustic_core::{ConfigOptions, Credentials, FileType, Id, KeyOptions, WriteBackend};
use secrecy::SecretString;

use crate::engine::engine_on;
use crate::fault::{EngineResult as _, guarded, is_not_found};
use crate::keys;
use crate::location::Location;
use crate::storage;

/// Average chunk: small ones make the second backup of a changed table cheap; the segments make reading them fast.
const CHUNK_BYTES: u64 = 128 << 10;
/// Fixed, so that memory does not grow with the repository (the engine's own default does).
pub const DATA_PACK_BYTES: u64 = 16 << 20;
/// The same for packs of folders.
pub const TREE_PACK_BYTES: u64 = 4 << 20;

/// What there is at a place.
pub struct Remains {
    config: bool,
    keys: Vec<Id>,
    /// The first folder, in the order of the format, that holds data.
    data: Option<FileType>,
}

impl Remains {
    /// # Errors
    /// When the place cannot be looked at.
    pub fn at(storage: &dyn WriteBackend) -> Result<Self> {
        let list = |tpe: FileType| match storage.list(tpe) {
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            other => other.during(|| format!("look for {}", tpe.dirname())),
        };
        let config = !list(FileType::Config)?.is_empty();
        let keys = list(FileType::Key)?;
        let mut data = None;
        for tpe in [FileType::Snapshot, FileType::Index, FileType::Pack] {
            if data.is_none() && !list(tpe)?.is_empty() {
                data = Some(tpe);
            }
        }
        Ok(Self { config, keys, data })
    }

    /// Why a repository cannot be opened where there is no `config`.
    pub fn without_config(&self, location: &Location) -> Error {
        let what = self.data.map(FileType::dirname).or(if self.keys.is_empty() { None } else { Some("keys") });
        match (what, self.data) {
            (None, _) => Error::new(Class::NoRepository, format!("there is no repository at {location}"))
                .hint("Make one with `threescale-backup init`, or correct [repository] url."),
            (Some(_), None) => Error::new(Class::NoRepository, format!("the repository at {location} was never finished"))
                .hint("It has a key and nothing else. `threescale-backup init` finishes it."),
            (Some(what), Some(_)) => Error::failed(format!("the repository at {location} has lost its file `config`")).hint(format!(
                "Its folder `{what}` is there. Put `config` back from a copy of the repository; `init` makes none here, because what is there could then never be opened again."
            )),
        }
    }
}

/// Makes a repository.
///
/// # Errors
/// [`Class::Refused`] when there is one already, or something of one.
pub fn init(location: &Location, password: &SecretString) -> Result<()> {
    let storage = storage::at(location)?;
    let _turn = storage::turn(location)?;
    let remains = Remains::at(&*storage)?;
    if remains.config {
        return Err(Error::refused(format!("there is a repository at {location} already")));
    }
    if remains.data.is_some() {
        return Err(remains.without_config(location).in_class(Class::Refused));
    }
    for id in &remains.keys {
        if !matches!(keys::unlock(&*storage, id, password), Ok(Some(_))) {
            return Err(Error::refused(format!("there is a key at {location} that the password does not open"))
                .hint("Somebody may need it: a repository's `config` may have been lost. Choose another place, or remove the file in `keys` if it is of no use."));
        }
    }
    make(&(Arc::clone(&storage) as _), location, password)?;
    if storage.list(FileType::Key).during(|| "list keys".to_owned())?.len() > 1 {
        remove_useless_keys(&*storage, password)?;
        keys::find(&*storage, password)?;
    }
    Ok(())
}

/// Removes keys that the password opens and that open nothing: left by an `init` that was killed, or that came second. No data was ever stored under them.
fn remove_useless_keys(storage: &dyn WriteBackend, password: &SecretString) -> Result<()> {
    for id in storage.list(FileType::Key).during(|| "list keys".to_owned())? {
        if let Ok(Some(master)) = keys::unlock(storage, &id, password)
            && !keys::opens_config(storage, &master)?
        {
            storage.remove(FileType::Key, &id, false).during(|| "remove the key of an `init` that was not finished".to_owned())?;
        }
    }
    Ok(())
}

fn make(storage: &Arc<dyn WriteBackend>, location: &Location, password: &SecretString) -> Result<()> {
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
    let what = || format!("make a repository at {location}");
    let engine = engine_on(Arc::clone(storage))?;
    storage.create().during(what)?;
    let master = MasterKey::new();
    keys::write(&**storage, &master, password, None)?;
    let credentials = Credentials::Masterkey(master);
    let Err(error) = guarded("make a repository", || engine.init(&credentials, &KeyOptions::default(), &config).during(what)) else {
        return Ok(());
    };
    if storage.list(FileType::Config).is_ok_and(|config| config.is_empty()) {
        return Err(error);
    }
    remove_useless_keys(&**storage, password)?;
    Err(Error::refused(format!("there is a repository at {location} already")).hint("Another `init` has just made it."))
}
