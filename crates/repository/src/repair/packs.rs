//! Packs and the index: what is good in a damaged pack is stored anew, packs that no index names are named, index files name no more what is gone.

use std::collections::{BTreeMap, HashSet};

use plan::Result;
use plan::ports::StopFlag;
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, ReadBackend as _};

use super::{RepairReport, set_aside};
use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::index::file::{IndexFile, Pack};
use crate::index::pack::Making;
use crate::index::{Copy, Index, State};
use crate::records::damage;
use crate::small::{self, is_passing, path_of};

/// A pack of what was saved is no larger than others are.
const PACK_BYTES: usize = 16 << 20;

/// # Errors
/// When the storage fails.
pub fn repair(open: &Open, apply: bool, stop: &StopFlag, report: &mut RepairReport) -> Result<()> {
    let index = open.index()?;
    let (mut packs, headless) = index.unindexed_packs();
    report.packs_named = packs.len();
    let given_up: BTreeMap<Id, State> =
        index.packs().iter().filter(|pack| pack.state >= State::Condemned).map(|pack| (pack.id, pack.state)).collect();
    packs.extend(save(open, &index, &given_up, apply, stop, report)?);
    if apply {
        open.name_packs(packs)?;
    }
    rewrite(open, &given_up, apply, report)?;
    for (id, error) in &index.unreadable {
        set_aside(open, FileType::Index, id, &error.chain(), apply, report)?;
    }
    for (id, state) in &given_up {
        let why = match state {
            State::Condemned => "a check has found that it is damaged",
            State::WrongSize => "it has a wrong size",
            _ => continue,
        };
        set_aside(open, FileType::Pack, id, why, apply, report)?;
    }
    for (id, error) in headless {
        set_aside(open, FileType::Pack, &id, &error.chain(), apply, report)?;
    }
    // They are gone from the index, so nothing can be built on them.
    if apply && !index.condemned().is_empty() { damage::condemn(open, &Default::default()) } else { Ok(()) }
}

/// Stores anew the chunks of packs that are given up, when they are good and nowhere else.
fn save(
    open: &Open,
    index: &Index,
    given_up: &BTreeMap<Id, State>,
    apply: bool,
    stop: &StopFlag,
    report: &mut RepairReport,
) -> Result<Vec<Pack>> {
    let mut written = Vec::new();
    for kind in [BlobType::Tree, BlobType::Data] {
        let mut making = Making::new(kind);
        let mut last = None;
        for copy in index.copies(kind).iter().filter(|copy| index.pack_of(copy).is_some_and(|pack| given_up.contains_key(&pack.id))) {
            let has_whole = index.find(kind, &copy.id()).iter().any(|(_, state)| *state == State::Whole);
            if has_whole || last == Some(copy.id()) {
                continue;
            }
            stop.check()?;
            let Some(sealed) = sealed(open, index, kind, copy)? else { continue };
            last = Some(copy.id());
            report.chunks_saved += 1;
            if !apply {
                continue;
            }
            making.add(copy, &sealed)?;
            if making.bytes() >= PACK_BYTES {
                written.extend(std::mem::replace(&mut making, Making::new(kind)).write(&*open.storage, &open.key)?);
            }
        }
        written.extend(making.write(&*open.storage, &open.key)?);
    }
    Ok(written)
}

/// A chunk as it stands in its pack, when it is what its name says.
fn sealed(open: &Open, index: &Index, kind: BlobType, copy: &Copy) -> Result<Option<bytes::Bytes>> {
    let Some(pack) = index.pack_of(copy).filter(|pack| pack.state != State::Missing) else { return Ok(None) };
    match index.read_copy(kind, copy) {
        Ok(_) => {}
        Err(error) if is_passing(&error) => return Err(error),
        Err(_) => return Ok(None),
    }
    let read = open.gate.read_partial(FileType::Pack, &pack.id, false, copy.offset, copy.length);
    read.during(|| format!("read {}", path_of(FileType::Pack, &pack.id))).map(Some)
}

/// Writes index files anew that name packs which are given up.
fn rewrite(open: &Open, given_up: &BTreeMap<Id, State>, apply: bool, report: &mut RepairReport) -> Result<()> {
    if given_up.is_empty() {
        return Ok(());
    }
    let mut ids = open.storage.list(FileType::Index).during(|| "list the index".to_owned())?;
    ids.sort_unstable();
    for id in ids {
        let Ok(mut file) = small::read::<IndexFile>(&*open.storage, &open.key, FileType::Index, &id) else { continue };
        let before = file.packs.len() + file.packs_to_delete.len();
        let gone: HashSet<_> = given_up.keys().collect();
        file.packs.retain(|pack| !gone.contains(&pack.id));
        file.packs_to_delete.retain(|pack| !gone.contains(&pack.id));
        let after = file.packs.len() + file.packs_to_delete.len();
        if before == after {
            continue;
        }
        report.index_files_rewritten += 1;
        if !apply {
            continue;
        }
        if after > 0 {
            small::write(&*open.storage, &open.key, FileType::Index, &file)?;
        }
        open.storage.remove(FileType::Index, &id, true).during(|| format!("remove {}", path_of(FileType::Index, &id)))?;
    }
    Ok(())
}
