//! Reads small files (snapshots, index) as what they say they are: every one is named after the SHA-256 of its content, so one that was damaged, or replaced
//! by another, is never taken for what it was.

use bytes::Bytes;
use plan::{Class, Error, Result};
use rustic_core::{FileType, Id, WriteBackend};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::fault::EngineResult as _;
use crate::seal::Key;

/// A snapshot is some KiB, an index file some MiB; what unpacks to more is neither.
const SNAPSHOT_BYTES_MAX: u64 = 32 << 20;
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Every file but `config` is named after the SHA-256 of its content.
pub fn is_named_after(id: &Id, content: &[u8]) -> bool {
    hex::encode(Sha256::digest(content)) == id.to_hex().as_str()
}

/// Where a file is in the repository, as people find it.
pub fn path_of(tpe: FileType, id: &Id) -> String {
    let hex = id.to_hex();
    match tpe {
        FileType::Config => "config".to_owned(),
        FileType::Pack => format!("data/{}/{}", &hex.as_str()[..2], hex.as_str()),
        _ => format!("{}/{}", tpe.dirname(), hex.as_str()),
    }
}

/// A file is damaged.
pub fn damaged(tpe: FileType, id: &Id, why: &str) -> Error {
    Error::failed(format!("{} is damaged: {why}", path_of(tpe, id)))
}

/// Whether an error says that something cannot be reached now, rather than that it is damaged.
pub fn is_passing(error: &Error) -> bool {
    matches!(error.class(), Class::Transient | Class::Interrupted)
}

/// What was read, or why it is damaged.
///
/// # Errors
/// Those that say that something cannot be reached now: they are nobody's damage, and end what was begun.
pub fn unless_passing<T>(read: Result<T>) -> Result<Result<T>> {
    match read {
        Err(error) if is_passing(&error) => Err(error),
        read => Ok(read),
    }
}

/// The bytes of a file that are what its name says.
///
/// # Errors
/// When it is damaged, is another file, or cannot be read.
pub fn read_bytes(storage: &dyn WriteBackend, tpe: FileType, id: &Id) -> Result<Bytes> {
    let bytes = storage.read_full(tpe, id).during(|| format!("read {}", path_of(tpe, id)))?;
    if bytes.is_empty() {
        return Err(damaged(tpe, id, "it is empty"));
    }
    if !is_named_after(id, &bytes) {
        return Err(damaged(tpe, id, "its content is not what its name says"));
    }
    Ok(bytes)
}

/// What a snapshot or an index file says.
///
/// # Errors
/// As [`read_bytes`]; when it is no such file.
pub fn read<F: DeserializeOwned>(storage: &dyn WriteBackend, key: &Key, tpe: FileType, id: &Id) -> Result<F> {
    parse(key, tpe, id, &read_bytes(storage, tpe, id)?)
}

/// The same from its bytes.
///
/// # Errors
/// When they are not such a file.
pub fn parse<F: DeserializeOwned>(key: &Key, tpe: FileType, id: &Id, bytes: &[u8]) -> Result<F> {
    let bytes_max = if tpe == FileType::Snapshot { SNAPSHOT_BYTES_MAX } else { INDEX_BYTES_MAX };
    let text = key.open_file(bytes, bytes_max).map_err(|why| damaged(tpe, id, why))?;
    serde_json::from_slice(&text).map_err(|error| damaged(tpe, id, "it cannot be understood").because(error))
}

/// Writes an index file (or another small one) and gives its name.
///
/// # Errors
/// When it cannot be written.
pub fn write<F: Serialize>(storage: &dyn WriteBackend, key: &Key, tpe: FileType, file: &F) -> Result<Id> {
    let text = serde_json::to_vec(file).map_err(|error| Error::failed(format!("failed to write {}", tpe.dirname())).because(error))?;
    write_plain(storage, tpe, key.seal_file(&text)?)
}

/// Writes a file as it is, and gives its name.
///
/// # Errors
/// As [`write`].
pub fn write_plain(storage: &dyn WriteBackend, tpe: FileType, bytes: Vec<u8>) -> Result<Id> {
    let id = Id::new(Sha256::digest(&bytes).into());
    storage.write_bytes(tpe, &id, false, bytes.into()).during(|| format!("write {}", path_of(tpe, &id)))?;
    Ok(id)
}
