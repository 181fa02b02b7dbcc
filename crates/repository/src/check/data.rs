//! Reads packs: the whole file against its name, and every chunk in it, decrypted and unpacked, against its own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

use plan::Result;
use plan::ports::{Event, StopFlag, Verb, Watch};
use rustic_core::repofile::{IndexFile, IndexPack};
use rustic_core::{FileType, Id, ReadBackend as _};
use sha2::{Digest as _, Sha256};

use super::structure::{Packs, Use};
use super::{CheckReport, ReadData};
use crate::engine::{Indexed, Open, is_named_after};
use crate::fault::{EngineResult as _, guarded, lock};
use crate::parallel;

const PIECE_BYTES: u32 = 4 << 20;
/// Packs under way at a time; bounded by the segment cache that they are read through.
const READERS_MAX: usize = 4;

/// Reads the packs that were chosen and names the sets that need a damaged one.
///
/// # Errors
/// When the index cannot be listed, or on the operator's wish.
pub fn check_packs(
    open: &Open,
    packs: &Packs,
    users: &[Use],
    read_data: ReadData,
    stop: &StopFlag,
    watch: &dyn Watch,
    report: &mut CheckReport,
) -> Result<()> {
    let Ok(index) = open.index() else { return Ok(()) };
    let draw = RandomState::new();
    let is_chosen = |id: &Id| match read_data {
        ReadData::Nothing => false,
        ReadData::All => true,
        ReadData::Percent(percent) => (draw.hash_one(id.to_hex().as_str()) % 1_000_000) as f64 / 10_000.0 < percent,
    };
    let readers = std::thread::available_parallelism().map_or(1, |count| count.get().min(READERS_MAX));
    let found = Mutex::new((Vec::new(), vec![false; packs.whole.len()], 0_u64, 0_u64));
    let visit = |file: IndexFile| {
        parallel::each(&file.packs, readers, |pack| {
            let id: Id = *pack.id;
            let Some(place) = packs.place(&id) else { return };
            let place = place as usize;
            if !packs.whole[place] || !is_chosen(&id) || stop.is_raised() || std::mem::replace(&mut lock(&found).1[place], true) {
                return;
            }
            let problem = guarded("read a pack", || check_pack(open, &index, pack)).err();
            let user = users.iter().find(|user| user.data_set.is_some() && user.packs.binary_search(&(place as u32)).is_ok());
            if let Some(data_set) = user.and_then(|user| user.data_set) {
                watch.see(Event::Advance { data_set, verb: Verb::Check, bytes: pack.pack_size().into(), items: 0 });
            }
            let mut found = lock(&found);
            found.2 += 1;
            found.3 += u64::from(pack.pack_size());
            found.0.extend(problem.map(|error| (place as u32, error.chain())));
        });
    };
    open.each_index_file(visit, |_, _| Ok(()))?;
    stop.check()?;
    let (problems, _, packs_read, read_bytes) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    (report.packs_read, report.read_bytes) = (packs_read, read_bytes);
    for (place, text) in problems {
        for user in users.iter().filter(|user| user.packs.binary_search(&place).is_ok()) {
            report.sets[user.set].problems.push((user.data_set, text.clone()));
        }
        report.problems.push(text);
    }
    Ok(())
}

fn check_pack(open: &Open, index: &Indexed, pack: &IndexPack) -> Result<()> {
    let id: Id = *pack.id;
    let damaged = |why: &str| plan::Error::failed(format!("pack {id} is damaged: {why}"));
    let (mut hash, size, mut offset) = (Sha256::new(), pack.pack_size(), 0);
    while offset < size {
        let length = PIECE_BYTES.min(size - offset);
        let piece = open.gate.read_partial(FileType::Pack, &id, false, offset, length).during(|| format!("read pack {id}"))?;
        hash.update(&piece);
        offset += length;
    }
    if hex::encode(hash.finalize()) != id.to_hex().as_str() {
        return Err(damaged("its content does not fit its name"));
    }
    let mut blobs = pack.blobs.clone();
    blobs.sort_unstable_by_key(|blob| blob.location.offset);
    for blob in blobs {
        let content = index.cat_blob(blob.tpe, blob.id.to_hex().as_str()).during(|| format!("read a chunk of pack {id}"))?;
        if !is_named_after(&blob.id, &content) {
            return Err(damaged("a chunk does not fit its name"));
        }
    }
    Ok(())
}
