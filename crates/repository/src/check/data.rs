//! Reads packs: the whole file against its name, and every chunk in it, decrypted and unpacked, against its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Event, StopFlag, Verb, Watch};
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, ReadBackend as _};
use sha2::{Digest as _, Sha256};

use super::structure::Use;
use super::{CheckReport, ReadData};
use crate::engine::Open;
use crate::fault::{EngineResult as _, guarded, lock};
use crate::index::{Condemned, Copy, Index};
use crate::parallel;
use crate::small::{is_passing, path_of};

const PIECE_BYTES: u32 = 4 << 20;
/// Packs under way at a time; bounded by the segment cache that they are read through.
const READERS_MAX: usize = 4;

/// What reading packs has found.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Packs that are what their names say.
    pub good: HashSet<Id>,
    /// Packs that are not, and the chunks in each that are bad.
    pub bad: Condemned,
}

/// Reads the packs that were chosen.
///
/// # Errors
/// When the packs cannot be listed or the storage does not answer, or on the operator's wish.
pub fn check_packs(
    open: &Open,
    index: &Index,
    uses: &[Use],
    read_data: ReadData,
    (stop, watch): (&StopFlag, &dyn Watch),
    report: &mut CheckReport,
) -> Result<Verdicts> {
    let is_chosen = |id: &Id| match read_data {
        ReadData::Nothing => false,
        ReadData::All => true,
        ReadData::Part(stretch) => stretch.has(id.to_hex().as_str()),
    };
    let mut listed = open.storage.list_with_size(FileType::Pack).during(|| "list packs".to_owned())?;
    listed.retain(|(id, _)| is_chosen(id));
    let (chunks, owners) = (chunks_of(index), owners_of(uses));
    let readers = std::thread::available_parallelism().map_or(1, |count| count.get().min(READERS_MAX));
    let found = Mutex::new((Verdicts::default(), Vec::new()));
    parallel::each(&listed, readers, |(id, size)| {
        if stop.is_raised() {
            return;
        }
        let place = index.place(id);
        let chunks = place.and_then(|place| chunks.get(&place)).map_or(&[][..], Vec::as_slice);
        let read = guarded("read a pack", || check_pack(open, index, id, *size, chunks));
        if let Some(data_set) = place.and_then(|place| owners.get(&place)) {
            watch.see(Event::Advance { data_set: *data_set, verb: Verb::Check, bytes: (*size).into(), items: 0 });
        }
        let mut found = lock(&found);
        match read {
            Ok(None) => drop(found.0.good.insert(*id)),
            Ok(Some(bad)) => drop(found.0.bad.insert(*id, bad)),
            Err(error) => found.1.push((*id, error)),
        }
    });
    stop.check()?;
    let (verdicts, failures) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.packs_read = (verdicts.good.len() + verdicts.bad.len()) as u64;
    report.read_bytes = listed.iter().map(|(_, size)| u64::from(*size)).sum();
    let still_there =
        if failures.is_empty() { Vec::new() } else { open.storage.list(FileType::Pack).during(|| "list packs".to_owned())? };
    for (id, error) in failures {
        if is_passing(&error) {
            return Err(error);
        }
        // What a prune removed meanwhile is no damage.
        if still_there.contains(&id) {
            report.problems.push(error.chain());
        }
    }
    Ok(verdicts)
}

/// The chunks of each pack, by the pack's place.
fn chunks_of(index: &Index) -> BTreeMap<u32, Vec<(BlobType, Copy)>> {
    let mut chunks: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for kind in [BlobType::Tree, BlobType::Data] {
        for copy in index.copies(kind) {
            chunks.entry(copy.pack).or_default().push((kind, *copy));
        }
    }
    chunks
}

/// A data set that needs each pack: for those who watch.
fn owners_of(uses: &[Use]) -> BTreeMap<u32, DataSetName> {
    uses.iter()
        .filter_map(|user| Some((user.data_set?, &user.packs)))
        .flat_map(|(name, packs)| packs.iter().map(move |pack| (*pack, name)))
        .collect()
}

/// `None` when the pack is what its name says, and so are its chunks; else the chunks that are not.
fn check_pack(open: &Open, index: &Index, id: &Id, size: u32, chunks: &[(BlobType, Copy)]) -> Result<Option<HashSet<Id>>> {
    let (mut hash, mut offset) = (Sha256::new(), 0);
    while offset < size {
        let length = PIECE_BYTES.min(size - offset);
        let piece = open.gate.read_partial(FileType::Pack, id, false, offset, length);
        hash.update(&piece.during(|| format!("read {}", path_of(FileType::Pack, id)))?);
        offset += length;
    }
    let is_named_so = hex::encode(hash.finalize()) == id.to_hex().as_str();
    let mut sorted: Vec<_> = chunks.iter().collect();
    sorted.sort_unstable_by_key(|(_, copy)| copy.offset);
    let mut bad = HashSet::new();
    for (kind, copy) in sorted {
        match index.read_copy(*kind, copy) {
            Ok(_) => {}
            Err(error) if is_passing(&error) => return Err(error),
            Err(_) => drop(bad.insert(copy.id())),
        }
    }
    Ok(if is_named_so && bad.is_empty() { None } else { Some(bad) })
}
