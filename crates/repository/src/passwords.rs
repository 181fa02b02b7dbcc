//! The passwords that open a repository: its files in `keys`, as restic has them. Each holds the same key, sealed with another password.
//!
//! Who removes one holds the only lock, as restic does; the one by which the repository was opened is never removed, so the last one never is.

use plan::{Error, Result};
use rustic_core::{FileType, Id};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::keys::{self, Maker};
use crate::lock::Purpose;
use crate::small::{self, is_passing, path_of};

/// A key, as its file says in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its id.
    pub id: String,
    /// The machine where it was made; empty when it does not say so.
    pub host: String,
    /// The user who made it; empty when it does not say so.
    pub user: String,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// Whether the repository was opened by it.
    pub is_current: bool,
    /// Why it opens nothing: it is damaged.
    pub problem: Option<String>,
}

/// What is in clear in a file of `keys`.
#[derive(Debug, Default, Deserialize)]
struct InClear {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    created: Option<String>,
}

/// See [`crate::RusticRepository::keys`].
///
/// # Errors
/// See there.
pub fn list(open: &Open) -> Result<Vec<KeyFile>> {
    let mut keys = Vec::new();
    for id in ids(open)? {
        let read = small::read_bytes(&*open.storage, FileType::Key, &id).and_then(|bytes| {
            serde_json::from_slice::<InClear>(&bytes)
                .map_err(|error| small::damaged(FileType::Key, &id, "it cannot be understood").because(error))
        });
        let (said, problem) = match read {
            Ok(said) => (said, None),
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => (InClear::default(), Some(error.chain())),
        };
        keys.push(KeyFile {
            id: hex(&id),
            host: said.hostname.unwrap_or_default(),
            user: said.username.unwrap_or_default(),
            created: said.created,
            is_current: id == open.opened_by,
            problem,
        });
    }
    keys.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    Ok(keys)
}

/// See [`crate::RusticRepository::add_key`].
///
/// # Errors
/// See there.
pub fn add(open: &Open, password: &SecretString) -> Result<String> {
    let _lock = open.locks.share(Purpose::Keys, None)?;
    make(open, password).map(|id| hex(&id))
}

/// See [`crate::RusticRepository::remove_key`].
///
/// # Errors
/// See there.
pub fn remove(open: &Open, wanted: &str) -> Result<String> {
    let _lock = open.locks.exclude(Purpose::Keys)?;
    let all = ids(open)?;
    let fitting: Vec<_> = all.iter().filter(|id| !wanted.is_empty() && hex(id).starts_with(&wanted.to_lowercase())).collect();
    let id = match fitting.as_slice() {
        [id] => **id,
        [] => return Err(Error::refused(format!("there is no key {wanted}")).hint("`threescale-backup key list` shows the keys.")),
        several => return Err(Error::refused(format!("{} keys begin with {wanted}", several.len())).hint("Give more of the id.")),
    };
    if id == open.opened_by {
        let error = Error::refused(format!("key {} is the one by which the repository was opened now", short(&id)));
        return Err(match all.len() {
            1 => error.hint("It is the only one. `threescale-backup key change` puts another password in its place."),
            _ => error.hint("Open the repository with another password and remove it then, or `threescale-backup key change`."),
        });
    }
    remove_file(open, &id)?;
    Ok(hex(&id))
}

/// See [`crate::RusticRepository::change_key`].
///
/// # Errors
/// See there.
pub fn change(open: &Open, password: &SecretString) -> Result<(String, String)> {
    let _lock = open.locks.exclude(Purpose::Keys)?;
    let new = make(open, password)?;
    remove_file(open, &open.opened_by).map_err(|error| {
        error.hint(format!(
            "Both passwords open the repository now. `threescale-backup key remove {}`, with the new one configured, removes the old one.",
            short(&open.opened_by)
        ))
    })?;
    Ok((hex(&open.opened_by), hex(&new)))
}

/// Writes a key, and sees that the password opens it, and that it is the repository's.
fn make(open: &Open, password: &SecretString) -> Result<Id> {
    if password.expose_secret().is_empty() {
        return Err(Error::refused("the new password is empty"));
    }
    let name = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let id = keys::write(&*open.storage, &open.plain.key(), password, Some(Maker { name }))?;
    let opens = || -> Result<bool> {
        let found = keys::unlock(&*open.storage, &id, password)?;
        found.map_or(Ok(false), |master| keys::opens_config(&*open.storage, &master))
    };
    let refused = match opens() {
        Ok(true) => return Ok(id),
        Ok(false) => Error::failed("the new key does not open the repository"),
        Err(error) => error.during("failed to read back the new key"),
    };
    if let Err(error) = remove_file(open, &id) {
        log::warn!("a key that is not good could not be removed: {}", error.chain());
    }
    Err(refused)
}

fn ids(open: &Open) -> Result<Vec<Id>> {
    open.storage.list(FileType::Key).during(|| "list keys".to_owned())
}

fn remove_file(open: &Open, id: &Id) -> Result<()> {
    open.storage.remove(FileType::Key, id, false).during(|| format!("remove {}", path_of(FileType::Key, id)))
}

fn hex(id: &Id) -> String {
    id.to_hex().as_str().to_owned()
}

fn short(id: &Id) -> String {
    hex(id).chars().take(8).collect()
}
