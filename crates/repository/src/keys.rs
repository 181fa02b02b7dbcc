//! Finds the repository's key with the password.
//!
//! The engine takes the first key that the password opens. After an `init` that was killed, or two at once, there may be one that is no key of this
//! repository; the right one is that which opens `config`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::{Class, Error, Result};
use rustic_core::repofile::{KeyFile, MasterKey};
use rustic_core::{FileType, Id, WriteBackend};
use secrecy::{ExposeSecret as _, SecretString};

use crate::fault::{EngineResult as _, guarded};
use crate::seal::Key;
use crate::small::{self, is_passing, path_of};

/// Who can write into the repository could ask for any amount by a key file.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The key that the password opens in a key file; `None` when it opens none there.
///
/// # Errors
/// When the file is damaged or cannot be read.
pub fn unlock(storage: &dyn WriteBackend, id: &Id, password: &SecretString) -> Result<Option<MasterKey>> {
    let bytes = small::read_bytes(storage, FileType::Key, id)?;
    let damaged = || small::damaged(FileType::Key, id, "it cannot be understood");
    let file: KeyFile = serde_json::from_slice(&bytes).map_err(|error| damaged().because(error))?;
    let memory = u64::from(file.n) * u64::from(file.r) * 128;
    if !file.n.is_power_of_two() || memory > SCRYPT_BYTES_MAX || file.p > 64 {
        return Err(small::damaged(FileType::Key, id, "it asks for more than opening a key may take"));
    }
    let derived = guarded("derive a key from the password", || {
        file.kdf_key(&password.expose_secret()).during(|| format!("derive a key for {}", path_of(FileType::Key, id)))
    })?;
    let (encrypt, k, r) = derived.to_keys();
    let key = Key::from_parts(&encrypt, &k, &r)?;
    let Some(text) = key.open(&file.data) else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| damaged().because(error))
}

/// Puts a key file of the same key and password into the place of the one by which the password opens the repository, for which little work is enough.
///
/// For builds that are for development alone: tests make and open thousands of repositories, and each time the engine's recommended parameters (N = 2^17) take
/// half a second and 128 MiB.
///
/// # Errors
/// As [`find`]; when it cannot be written.
pub fn make_cheap(storage: &dyn WriteBackend, password: &SecretString) -> Result<()> {
    const N: u32 = 1 << 10;
    let (id, master) = find(storage, password)?;
    let unusual = |error: serde_json::Error| Error::failed("failed to make the key cheap").because(error);
    let mut fields: serde_json::Value = serde_json::from_slice(&small::read_bytes(storage, FileType::Key, &id)?).map_err(unusual)?;
    fields["N"] = N.into();
    let file: KeyFile = serde_json::from_value(fields.clone()).map_err(unusual)?;
    let derived = file.kdf_key(&password.expose_secret()).during(|| "derive a key".to_owned())?;
    let (encrypt, k, r) = derived.to_keys();
    let sealed = Key::from_parts(&encrypt, &k, &r)?.seal(&serde_json::to_vec(&master).map_err(unusual)?)?;
    fields["data"] = STANDARD.encode(sealed).into();
    small::write_plain(storage, FileType::Key, serde_json::to_vec(&fields).map_err(unusual)?)?;
    storage.remove(FileType::Key, &id, false).during(|| format!("remove {}", path_of(FileType::Key, &id)))
}

/// Whether a key opens the repository's configuration.
///
/// # Errors
/// When that cannot be read.
pub fn opens_config(storage: &dyn WriteBackend, master: &MasterKey) -> Result<bool> {
    let config = storage.read_full(FileType::Config, &Id::default()).during(|| "read config".to_owned())?;
    Ok(Key::new(master)?
        .open_file(&config, CONFIG_BYTES_MAX)
        .is_ok_and(|text| serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok()))
}

/// The repository's key, and the file in which it was found.
///
/// # Errors
/// [`Class::WrongPassword`]; when keys or `config` are missing or damaged; when the storage does not answer.
pub fn find(storage: &dyn WriteBackend, password: &SecretString) -> Result<(Id, MasterKey)> {
    let ids = storage.list(FileType::Key).during(|| "list keys".to_owned())?;
    let (mut opened, mut damaged) = (None, None);
    for id in &ids {
        match unlock(storage, id, password) {
            Ok(None) => {}
            Ok(Some(master)) if opens_config(storage, &master)? => return Ok((*id, master)),
            Ok(Some(_)) => opened = Some(*id),
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => drop(damaged.get_or_insert(error)),
        }
    }
    if let Some(id) = opened {
        let key = path_of(FileType::Key, &id);
        return Err(Error::failed(format!("failed to open the repository: config is damaged, or not the one that {key} belongs to"))
            .hint("Put the file `config` back from a copy of the repository."));
    }
    if ids.is_empty() {
        return Err(Error::failed("failed to open the repository: it has no key").hint(
            "The files in its folder `keys` are missing. Put them back from a copy of the repository: without them nobody can read it.",
        ));
    }
    match damaged {
        Some(error) => Err(error
            .during("failed to open the repository")
            .hint("The password opens no other key. Put the file back from a copy of the repository: without it nobody can read it.")),
        None => Err(Error::new(Class::WrongPassword, "failed to open the repository")
            .hint("The password does not open any key of this repository.")),
    }
}
