//! An index file as the format has it: which chunks are in which pack.
//!
//! The engine has the same types, but nobody else can make them, or read them without believing what they say.

use rustic_core::Id;
use rustic_core::repofile::BlobType;
use serde::{Deserialize, Serialize};

use crate::seal::SEAL_BYTES;

const ENTRY_BYTES: u64 = 37;
const UNPACKED_LENGTH_BYTES: u64 = 4;
const LENGTH_BYTES: u64 = 4;

/// An index file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct IndexFile {
    /// Files that this one stands for; old programs wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Vec<Id>>,
    /// Packs in use.
    pub packs: Vec<Pack>,
    /// Packs that a prune has marked for deletion; restic does not know of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs_to_delete: Vec<Pack>,
}

/// A pack and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pack {
    /// Its name.
    pub id: Id,
    /// The chunks in it.
    pub blobs: Vec<Blob>,
    /// When it was stored or marked; only handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Its size, where it does not follow from the chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// A chunk in a pack.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Blob {
    /// Its name: the SHA-256 of its content.
    pub id: Id,
    /// Tree or data.
    #[serde(rename = "type")]
    pub kind: BlobType,
    /// Where it begins in the pack.
    pub offset: u32,
    /// Its bytes there.
    pub length: u32,
    /// Its bytes when unpacked, if it is packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncompressed_length: Option<u32>,
}

impl Pack {
    /// The size that the file of the pack must have.
    pub fn size_bytes(&self) -> u64 {
        let of = |blob: &Blob| u64::from(blob.length) + ENTRY_BYTES + blob.uncompressed_length.map_or(0, |_| UNPACKED_LENGTH_BYTES);
        self.size.map_or_else(|| self.blobs.iter().map(of).sum::<u64>() + u64::from(SEAL_BYTES) + LENGTH_BYTES, u64::from)
    }
}
