//! Finds the repository's key with the password, and seals it with one.
//!
//! The engine takes the first key that the password opens. After an `init` that was killed, or two at once, there may be one that is no key of this
//! repository; the right one is that which opens `config`.

use jiff::Zoned;
use plan::{Class, Error, Result};
use rustic_core::repofile::{KeyFile, MasterKey};
use rustic_core::{FileType, Id, WriteBackend};
use secrecy::{ExposeSecret as _, SecretString};

use crate::engine::host;
use crate::fault::{EngineResult as _, guarded};
use crate::seal::Key;
use crate::small::{self, is_passing, path_of};

/// Who can write into the repository could ask for any amount by a key file.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// As the engine and restic make them.
const SALT_BYTES: usize = 64;

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

/// What deriving a key from a password takes: scrypt's N, r and p.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    n: u32,
    r: u32,
    p: u32,
}

impl Work {
    /// One of the equal choices of OWASP's list: 32 MiB instead of the 128 MiB of N = 2^17, p = 1, in every call of the program, and a little less time.
    #[cfg(any(test, not(debug_assertions)))]
    const DEAR: Self = Self { n: 1 << 15, r: 8, p: 3 };

    /// What a new key takes: in a build for development little, because tests make and open thousands of repositories.
    #[cfg(debug_assertions)]
    const NEW: Self = Self { n: 1 << 10, r: 8, p: 1 };
    #[cfg(not(debug_assertions))]
    const NEW: Self = Self::DEAR;
}

/// Writes a key file by which a password opens `master`. With a maker it says who made it, and when.
///
/// # Errors
/// When the system has no randomness to give, or the file cannot be written.
pub fn write(storage: &dyn WriteBackend, master: &MasterKey, password: &SecretString, maker: Option<Maker>) -> Result<Id> {
    let file = sealed(master, password, maker, Work::NEW)?;
    small::write_plain(storage, FileType::Key, file)
}

/// Who made a key.
pub struct Maker {
    /// The user, where one is known.
    pub name: Option<String>,
}

fn sealed(master: &MasterKey, password: &SecretString, maker: Option<Maker>, work: Work) -> Result<Vec<u8>> {
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| Error::failed("failed to get randomness").because(error))?;
    let created = maker.as_ref().map(|_| Zoned::now());
    let Work { n, r, p } = work;
    let username = maker.and_then(|maker| maker.name);
    let mut file = KeyFile { hostname: Some(host()), username, created, kdf: "scrypt".to_owned(), n, r, p, data: Vec::new(), salt };
    let derived =
        guarded("derive a key", || file.kdf_key(&password.expose_secret()).during(|| "derive a key from the password".to_owned()))?;
    let (encrypt, k, r) = derived.to_keys();
    let unusual = |error: serde_json::Error| Error::failed("failed to write a key").because(error);
    file.data = Key::from_parts(&encrypt, &k, &r)?.seal(&serde_json::to_vec(master).map_err(unusual)?)?;
    serde_json::to_vec(&file).map_err(unusual)
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

#[cfg(test)]
mod tests;
