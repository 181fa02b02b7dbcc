//! Does what was decided. In this order, so that being killed anywhere leaves a repository that is whole: new packs, the new index, the old index goes, then
//! packs go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plan::{Error, Result};
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, ReadBackend as _};

use super::decide::Todo;
use super::ledger::{Ledger, Pack};
use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::index::file::{self, IndexFile};
use crate::index::pack::Making;
use crate::init::{DATA_PACK_BYTES, TREE_PACK_BYTES};
use crate::seal::unpack_exactly;
use crate::small::{self, is_named_after, path_of};

/// Index files are not made larger than this.
const CHUNKS_MAX: usize = 50_000;
/// Smaller ones are put together when there are a few.
const CHUNKS_SMALL: usize = 10_000;
const SMALL_FILES_MAX: usize = 8;

/// Writes what the index is to say, and removes the files that said something else. Packs that are to be written anew stay as they are.
///
/// # Errors
/// When the storage fails. What was there before is then still there.
pub fn rewrite_index(open: &Open, ledger: &Ledger, todo: &BTreeMap<Id, Todo>, now: Timestamp) -> Result<()> {
    let todo_of = |id: &Id| match todo.get(id).copied().unwrap_or(Todo::Keep) {
        Todo::Repack => Todo::Keep,
        todo => todo,
    };
    let mut replaced: BTreeSet<Id> = BTreeSet::new();
    let mut must_write = false;
    for (id, pack) in ledger.packs.iter().filter(|(id, _)| todo_of(id).changes_index()) {
        replaced.extend(&pack.named_in);
        // Of a pack that no index names, only a new mark has to be written down.
        must_write |= !pack.named_in.is_empty() || matches!(todo_of(id), Todo::Mark | Todo::MarkAnew);
    }
    let small: Vec<_> = ledger.index_files.iter().filter(|(_, chunks)| **chunks < CHUNKS_SMALL).map(|(id, _)| *id).collect();
    if small.len() > SMALL_FILES_MAX {
        replaced.extend(small);
        must_write = true;
    }
    if !must_write {
        return Ok(());
    }
    let mut index = IndexFile::default();
    for (id, pack) in &ledger.packs {
        let is_new_mark = pack.named_in.is_empty() && todo_of(id) == Todo::Mark;
        if !is_new_mark && !pack.named_in.iter().any(|file| replaced.contains(file)) {
            continue;
        }
        let entry = pack.entry.clone();
        match todo_of(id) {
            Todo::Keep | Todo::KeepYoung | Todo::Repack => index.packs.push(entry),
            Todo::Recover => index.packs.push(file::Pack { time: Some(now.to_string()), ..entry }),
            Todo::KeepMarked => index.packs_to_delete.push(entry),
            Todo::Mark | Todo::MarkAnew => index.packs_to_delete.push(file::Pack { time: Some(now.to_string()), ..entry }),
            Todo::Delete | Todo::Drop => {}
        }
    }
    write_index(open, index)?;
    remove_all(open, FileType::Index, replaced.iter())
}

/// All of it or nothing, as far as the storage lets.
fn write_index(open: &Open, index: IndexFile) -> Result<()> {
    let mut written = Vec::new();
    write_index_files(open, index, &mut written).inspect_err(|_| drop(remove_all(open, FileType::Index, &written)))
}

fn write_index_files(open: &Open, index: IndexFile, written: &mut Vec<Id>) -> Result<()> {
    let marked = index.packs_to_delete.into_iter().map(|pack| (pack, true));
    let mut part = IndexFile::default();
    let mut chunks = 0;
    for (pack, is_marked) in index.packs.into_iter().map(|pack| (pack, false)).chain(marked) {
        if chunks > 0 && chunks + pack.blobs.len() > CHUNKS_MAX {
            written.push(write_index_file(open, &std::mem::take(&mut part))?);
            chunks = 0;
        }
        // A pack without chunks has some weight too.
        chunks += pack.blobs.len().max(1);
        if is_marked { &mut part.packs_to_delete } else { &mut part.packs }.push(pack);
    }
    if chunks > 0 {
        written.push(write_index_file(open, &part)?);
    }
    Ok(())
}

fn write_index_file(open: &Open, index: &IndexFile) -> Result<Id> {
    small::write(&*open.storage, &open.key, FileType::Index, index)
}

/// Removes files; none that is gone already is missed.
///
/// # Errors
/// When the storage fails.
pub fn remove_all<'a>(open: &Open, tpe: FileType, ids: impl IntoIterator<Item = &'a Id>) -> Result<()> {
    ids.into_iter().try_for_each(|id| open.storage.remove(tpe, id, false).during(|| format!("remove {}", path_of(tpe, id))))
}

/// Chunks of packs that are written anew, on their way into new packs of one kind.
struct Builder<'a> {
    open: &'a Open,
    kind: BlobType,
    pack: Making,
    written: Vec<file::Pack>,
}

impl<'a> Builder<'a> {
    const fn new(open: &'a Open, kind: BlobType) -> Self {
        Self { open, kind, pack: Making::new(kind), written: Vec::new() }
    }

    /// Takes the chunks of a pack that are still wanted. Each is opened and compared with its name: what is damaged is not handed on.
    fn take(&mut self, id: &Id, pack: &Pack, wanted: &mut BTreeSet<Id>, now: Timestamp) -> Result<()> {
        let place = path_of(FileType::Pack, id);
        let damaged =
            || Error::failed(format!("{place} is damaged")).hint("`threescale-backup check --read-data` names the sets that need it.");
        let limit = if self.kind == BlobType::Tree { TREE_PACK_BYTES } else { DATA_PACK_BYTES };
        let bytes = self.open.gate.read_full(FileType::Pack, id).during(|| format!("read {place}"))?;
        for blob in &pack.entry.blobs {
            if blob.kind != self.kind || !wanted.contains(&blob.id) {
                continue;
            }
            let (begin, length) = (blob.offset as usize, blob.length as usize);
            let sealed = bytes.get(begin..begin.saturating_add(length)).ok_or_else(damaged)?;
            let content = self.open.key.open(sealed).ok_or_else(damaged)?;
            let content = match blob.uncompressed_length {
                Some(length) => unpack_exactly(&content, length as usize).map_err(|_| damaged())?,
                None => content,
            };
            if !is_named_after(&blob.id, &content) {
                return Err(damaged());
            }
            self.pack.add_blob(*blob, sealed)?;
            wanted.remove(&blob.id);
            if self.pack.bytes() as u64 >= limit {
                self.flush(now)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, now: Timestamp) -> Result<()> {
        let full = std::mem::replace(&mut self.pack, Making::new(self.kind));
        let pack = full.write(&*self.open.storage, &self.open.key)?;
        self.written.extend(pack.map(|pack| file::Pack { time: Some(now.to_string()), ..pack }));
        Ok(())
    }
}

/// Writes anew what is used of some packs. The old ones go at once, or are marked.
///
/// # Errors
/// When a pack is damaged or the storage fails. The old packs are then still in use.
pub fn repack(open: &Open, ledger: &Ledger, todo: &BTreeMap<Id, Todo>, now: Timestamp, at_once: bool) -> Result<()> {
    let old: Vec<_> = ledger.packs.iter().filter(|(id, _)| todo.get(id) == Some(&Todo::Repack)).collect();
    let mut wanted: BTreeSet<Id> =
        old.iter().flat_map(|(_, pack)| &pack.entry.blobs).map(|blob| blob.id).filter(|id| ledger.used.contains(id)).collect();
    let mut written = Vec::new();
    for kind in [BlobType::Tree, BlobType::Data] {
        let mut builder = Builder::new(open, kind);
        let filled = old.iter().try_for_each(|(id, pack)| builder.take(id, pack, &mut wanted, now));
        let filled = filled.and_then(|()| builder.flush(now));
        written.append(&mut builder.written);
        // The error that matters is the first one; what stays is a pack that no index names.
        filled.inspect_err(|_| drop(remove_all(open, FileType::Pack, written.iter().map(|pack: &file::Pack| &pack.id))))?;
    }
    let replaced: BTreeSet<_> = old.iter().flat_map(|(_, pack)| &pack.named_in).copied().collect();
    let mut index = IndexFile::default();
    for (id, pack) in ledger.packs.iter().filter(|(_, pack)| pack.named_in.iter().any(|file| replaced.contains(file))) {
        let entry = pack.entry.clone();
        match (todo.get(id) == Some(&Todo::Repack), pack.is_marked) {
            (true, _) if at_once => {}
            (true, _) => index.packs_to_delete.push(file::Pack { time: Some(now.to_string()), ..entry }),
            (false, true) => index.packs_to_delete.push(entry),
            (false, false) => index.packs.push(entry),
        }
    }
    index.packs.extend(written.iter().cloned());
    write_index(open, index)?;
    remove_all(open, FileType::Index, replaced.iter())?;
    if at_once { remove_all(open, FileType::Pack, old.iter().map(|(id, _)| *id)) } else { Ok(()) }
}
