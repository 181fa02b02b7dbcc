//! Reads what a pack says of itself: its header, at its end, lists the chunks in it. So a lost index loses nothing.

use plan::Result;
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, ReadBackend};

use super::file::{Blob, Pack};
use crate::fault::EngineResult as _;
use crate::seal::Key;
use crate::small::{damaged, path_of};

const LENGTH_BYTES: u32 = 4;
/// Type, length, name; before the name the length when unpacked, if it is packed.
const ENTRY_BYTES: usize = 37;
const PACKED_ENTRY_BYTES: usize = 41;
/// Read at once with the length; most headers are no longer.
const GUESS_BYTES: u32 = 16 << 10;
/// A pack of 16 MiB has a header of some 10 KiB.
const HEADER_BYTES_MAX: u32 = 64 << 20;

/// What is in a pack of `size` bytes.
///
/// # Errors
/// When the header is damaged, does not fit the size, or cannot be read.
pub fn read(storage: &dyn ReadBackend, key: &Key, id: &Id, size: u32) -> Result<Pack> {
    let wrong = |why: &str| damaged(FileType::Pack, id, why);
    let read = |offset, length| {
        storage.read_partial(FileType::Pack, id, false, offset, length).during(|| format!("read {}", path_of(FileType::Pack, id)))
    };
    let tail_bytes = size.min(GUESS_BYTES);
    if tail_bytes < LENGTH_BYTES {
        return Err(wrong("it is too short"));
    }
    let tail = read(size - tail_bytes, tail_bytes)?;
    let (before, length) = tail.split_at(tail.len().saturating_sub(LENGTH_BYTES as usize));
    let length = number(length).ok_or_else(|| wrong("it is too short"))?;
    if length > size - LENGTH_BYTES || length > HEADER_BYTES_MAX {
        return Err(wrong("its header is longer than it can be"));
    }
    let header = match before.len().checked_sub(length as usize) {
        Some(start) => key.open(&before[start..]),
        None => key.open(&read(size - LENGTH_BYTES - length, length)?),
    };
    let header = header.ok_or_else(|| wrong("its header cannot be decrypted"))?;
    let blobs = entries(&header).ok_or_else(|| wrong("its header cannot be understood"))?;
    let content: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    if content + u64::from(length) + u64::from(LENGTH_BYTES) != u64::from(size) {
        return Err(wrong("its size is not what its header says"));
    }
    Ok(Pack { id: *id, blobs, time: None, size: None })
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn entries(mut header: &[u8]) -> Option<Vec<Blob>> {
    let mut blobs = Vec::new();
    let mut offset = 0_u32;
    while let Some(tag) = header.first().copied() {
        let is_packed = tag >= 2;
        let kind = match tag {
            0 | 2 => BlobType::Data,
            1 | 3 => BlobType::Tree,
            _ => return None,
        };
        let (entry, rest) = header.split_at_checked(if is_packed { PACKED_ENTRY_BYTES } else { ENTRY_BYTES })?;
        let length = number(&entry[1..5])?;
        let uncompressed_length = if is_packed { Some(number(&entry[5..9])?) } else { None };
        let id: [u8; 32] = entry[entry.len() - 32..].try_into().ok()?;
        blobs.push(Blob { id: Id::new(id), kind, offset, length, uncompressed_length });
        offset = offset.checked_add(length)?;
        header = rest;
    }
    Some(blobs)
}
