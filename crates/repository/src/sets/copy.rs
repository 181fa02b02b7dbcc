//! A second copy of a manifest, in the snapshot that holds it: the set is known even when the packs with the manifest are lost.
//!
//! It stands in the field `description`, packed. restic leaves that out of the snapshots that it makes anew (`tag`, `copy`): there the packs are all there is.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustic_core::repofile::SnapshotFile;

use crate::document;

/// What the field begins with.
const HEAD: &str = "threescale-backup: manifest.json, zstd, base64: ";
/// A longer one is left out: all snapshots are held at a time.
const BYTES_MAX: usize = 256 << 10;

/// The field for a manifest; `None` for one that is too long.
pub fn of(manifest: &[u8]) -> Option<String> {
    let packed = zstd::bulk::compress(manifest, zstd::DEFAULT_COMPRESSION_LEVEL).ok()?;
    (packed.len() <= BYTES_MAX).then(|| format!("{HEAD}{}", STANDARD.encode(packed)))
}

/// The manifest in a snapshot's field; `None` when there is none that can be read.
pub fn read(file: &SnapshotFile) -> Option<Vec<u8>> {
    let packed = STANDARD.decode(file.description.as_deref()?.strip_prefix(HEAD)?).ok()?;
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(packed.as_slice()).ok()?.take(document::BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
