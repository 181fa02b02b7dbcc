//! What is in the repository: every pack with what of it is in use, and every other file.
//!
//! Read from index files, snapshots, trees and one listing of all files. A snapshot or tree that cannot be read is an error: nobody could say what it needs.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use plan::{Error, Result};
use rustic_core::repofile::{BlobType, Tree};
use rustic_core::{FileType, Id, ReadBackend as _};

use crate::engine::Open;
use crate::fault::{EngineResult as _, guarded};
use crate::index::file::{self, Blob, IndexFile};
use crate::parallel;
use crate::seal::unpack_exactly;
use crate::small::{self, is_named_after, path_of};
use crate::snapshots::{read_one, snapshot_ids};
use crate::storage::Seen;

/// Reads under way at a time.
const READERS: usize = 8;
/// Other prunes replace index files while they are read.
const TRIES: usize = 5;
/// A tree with more names than a hundred million bytes hold is none of ours.
const TREE_BYTES_MAX: u64 = 128 << 20;

/// A pack, as index and listing know it.
#[derive(Debug)]
pub struct Pack {
    /// What the index says; for a pack that no index names: nothing but its size.
    pub entry: file::Pack,
    /// Index files that name it.
    pub named_in: Vec<Id>,
    /// Whether it is marked for deletion.
    pub is_marked: bool,
    /// Its size and its time at the storage. `None`: it is not there.
    pub listed: Option<(u32, Timestamp)>,
    /// Bytes of chunks that are in use here, and not in another pack.
    pub used_bytes: u64,
    /// Bytes of the others.
    pub unused_bytes: u64,
}

impl Pack {
    /// Whether it is there with the right size.
    pub fn is_intact(&self) -> bool {
        self.listed.is_some_and(|(size, _)| u64::from(size) == self.entry.size_bytes())
    }

    /// When it was stored or marked, by the clock of who did it.
    pub fn time(&self) -> Option<Timestamp> {
        self.entry.time.as_ref()?.parse().ok()
    }

    /// What is in it.
    pub fn kind(&self) -> BlobType {
        self.entry.blobs.first().map_or(BlobType::Data, |blob| blob.kind)
    }

    /// Its size at the storage.
    pub fn bytes(&self) -> u64 {
        self.listed.map_or(0, |(size, _)| size.into())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    /// All snapshots, sorted, when it was read.
    pub snapshots: Vec<Id>,
    /// All packs.
    pub packs: BTreeMap<Id, Pack>,
    /// Chunks that a snapshot needs.
    pub used: HashSet<Id>,
    /// How many chunks each index file names.
    pub index_files: BTreeMap<Id, usize>,
    /// All files but packs.
    pub others: Vec<Seen>,
    /// Chunks in use that no intact pack has.
    pub missing_chunks: usize,
}

impl Ledger {
    /// Reads everything; snapshots in `gone` need nothing.
    ///
    /// # Errors
    /// When a listing, an index file, a snapshot or a tree cannot be read.
    pub fn read(open: &Open, gone: &[Id]) -> Result<Self> {
        // The index first: what comes in meanwhile is then only unknown, and young.
        let (packs, index_files) = read_index(open)?;
        let mut ledger =
            Self { snapshots: snapshot_ids(open)?, packs, index_files, used: HashSet::new(), others: Vec::new(), missing_chunks: 0 };
        ledger.list(open)?;
        ledger.find_used(open, gone)?;
        ledger.count()?;
        Ok(ledger)
    }

    fn list(&mut self, open: &Open) -> Result<()> {
        for seen in open.files.survey(None).during(|| "list the repository's files".to_owned())? {
            let Some(id) = pack_id(&seen.path) else {
                // Our own lock is given back at the end.
                if !open.locks.is_own(&seen.path) {
                    self.others.push(seen);
                }
                continue;
            };
            let size = u32::try_from(seen.bytes).map_err(|_| Error::failed(format!("{} is larger than 4 GiB", seen.path)))?;
            let unknown = || Pack {
                entry: file::Pack { id, blobs: Vec::new(), time: None, size: Some(size) },
                named_in: Vec::new(),
                is_marked: false,
                listed: None,
                used_bytes: 0,
                unused_bytes: 0,
            };
            self.packs.entry(id).or_insert_with(unknown).listed = Some((size, seen.modified));
        }
        Ok(())
    }

    /// Walks the trees of all snapshots, each tree once, level by level.
    fn find_used(&mut self, open: &Open, gone: &[Id]) -> Result<()> {
        let snapshots: Vec<_> = self.snapshots.iter().filter(|id| !gone.contains(id)).copied().collect();
        let roots = parallel::try_map(&snapshots, READERS, |id| read_snapshot(open, id))?;
        let trees = self.trees();
        let named: HashSet<Id> =
            self.packs.values().flat_map(|pack| &pack.entry.blobs).filter(|blob| blob.kind == BlobType::Tree).map(|blob| blob.id).collect();
        let has_unnamed = self.has_unnamed();
        let mut used: HashSet<Id> = HashSet::new();
        let mut level: Vec<Id> = roots.into_iter().flatten().filter(|tree| used.insert(*tree)).collect();
        while !level.is_empty() {
            // A tree that no index names any more is lost for good, if there is no pack that it may be in: a repair has said so.
            level.retain(|id| has_unnamed || named.contains(id));
            let read = parallel::try_map(&level, READERS, |id| read_tree(open, &trees, id))?;
            level.clear();
            for node in read.into_iter().flat_map(|tree| tree.nodes) {
                used.extend(node.content.iter().flatten().map(|chunk| **chunk));
                level.extend(node.subtree.map(|tree| *tree).filter(|tree| used.insert(*tree)));
            }
        }
        drop(trees);
        self.used = used;
        Ok(())
    }

    /// Whether there are packs that no index names.
    fn has_unnamed(&self) -> bool {
        self.packs.values().any(|pack| pack.named_in.is_empty())
    }

    /// Where each tree is, in a pack that is there.
    fn trees(&self) -> HashMap<Id, (Id, Blob)> {
        let mut trees = HashMap::new();
        for (id, pack) in self.packs.iter().filter(|(_, pack)| pack.listed.is_some()) {
            for blob in pack.entry.blobs.iter().filter(|blob| blob.kind == BlobType::Tree) {
                if !pack.is_marked || !trees.contains_key(&blob.id) {
                    trees.insert(blob.id, (*id, *blob));
                }
            }
        }
        trees
    }

    /// Every chunk in use counts in one pack: an intact one that is not marked, else an intact one, else one that is damaged or gone.
    ///
    /// Chunks in use that no index names may be in packs that no index names: an index file is lost, and nothing can be said.
    fn count(&mut self) -> Result<()> {
        let mut left = self.used.clone();
        let ranks: [fn(&Pack) -> bool; 3] =
            [|pack| pack.is_intact() && !pack.is_marked, |pack| pack.is_intact() && pack.is_marked, |pack| !pack.is_intact()];
        for is_next in ranks {
            for pack in self.packs.values_mut().filter(|pack| is_next(pack)) {
                for blob in &pack.entry.blobs {
                    let length = u64::from(blob.length);
                    if left.remove(&blob.id) { pack.used_bytes += length } else { pack.unused_bytes += length }
                }
                if !pack.is_intact() && pack.used_bytes > 0 {
                    self.missing_chunks += 1;
                }
            }
        }
        self.missing_chunks += left.len();
        if left.is_empty() || !self.has_unnamed() {
            return Ok(());
        }
        Err(Error::failed(format!(
            "{} chunks that sets need are in no index file, and there are packs that are in none either",
            left.len()
        ))
        .hint("An index file is lost, so nothing is removed. `threescale-backup repair` makes it anew from the packs."))
    }
}

/// The snapshot's tree; none when it was removed meanwhile.
fn read_snapshot(open: &Open, id: &Id) -> Result<Option<Id>> {
    match read_one(open, id) {
        Ok(held) => Ok(Some(*held.file.tree)),
        Err(_) if !snapshot_ids(open)?.contains(id) => Ok(None),
        Err(error) => Err(error.hint(
            "Nobody can say what this snapshot needs, so nothing is removed. `threescale-backup repair` sets it aside; `threescale-backup check` tells more.",
        )),
    }
}

fn read_tree(open: &Open, trees: &HashMap<Id, (Id, Blob)>, id: &Id) -> Result<Tree> {
    let unreadable = |error: Error| {
        error.during(format!("failed to read tree {id}")).hint(
            "Nobody can say what the folders below need, so nothing is removed. `threescale-backup check` names the sets; after `threescale-backup repair` one \
             can go on.",
        )
    };
    let (pack, blob) = trees.get(id).ok_or_else(|| unreadable(Error::failed("failed to find it in a pack")))?;
    let read = || -> Result<Tree> {
        let place = path_of(FileType::Pack, pack);
        let sealed = open.gate.read_partial(FileType::Pack, pack, true, blob.offset, blob.length).during(|| format!("read {place}"))?;
        let content = open.key.open(&sealed).ok_or_else(|| Error::failed(format!("{place} is damaged")))?;
        let content = match blob.uncompressed_length {
            Some(length) if u64::from(length) > TREE_BYTES_MAX => return Err(Error::failed("it claims to be larger than a folder can be")),
            Some(length) => unpack_exactly(&content, length as usize).map_err(|why| Error::failed(format!("{place} is damaged: {why}")))?,
            None => content,
        };
        if !is_named_after(id, &content) {
            return Err(Error::failed(format!("{place} is damaged: the folder is not what its name says")));
        }
        serde_json::from_slice(&content).map_err(|error| Error::failed("understand it").because(error))
    };
    read().map_err(unreadable)
}

type Index = (BTreeMap<Id, Pack>, BTreeMap<Id, usize>);

fn read_index(open: &Open) -> Result<Index> {
    let mut tries = 0;
    loop {
        match try_index(open) {
            Err(_) if tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

fn try_index(open: &Open) -> Result<Index> {
    let mut files = open.storage.list(FileType::Index).during(|| "list the index".to_owned())?;
    files.sort_unstable();
    let read = parallel::try_map(&files, READERS, |id| {
        let file = guarded("read the index", || small::read::<IndexFile>(&*open.storage, &open.key, FileType::Index, id));
        file.map(|file| (*id, file)).map_err(|error| error.hint("`threescale-backup repair` makes the index anew from the packs."))
    })?;
    let (mut packs, mut index_files): Index = Default::default();
    for (file, index) in read {
        let chunks = index.packs.iter().chain(&index.packs_to_delete).map(|pack| pack.blobs.len()).sum();
        index_files.insert(file, chunks);
        for (entry, is_marked) in
            index.packs.into_iter().map(|pack| (pack, false)).chain(index.packs_to_delete.into_iter().map(|pack| (pack, true)))
        {
            let new = |entry| Pack { entry, named_in: Vec::new(), is_marked, listed: None, used_bytes: 0, unused_bytes: 0 };
            match packs.entry(entry.id) {
                std::collections::btree_map::Entry::Vacant(place) => place.insert(new(entry)).named_in.push(file),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    let known = place.get_mut();
                    known.named_in.push(file);
                    // Who says that it is in use is right.
                    if known.is_marked && !is_marked {
                        (known.entry, known.is_marked) = (entry, false);
                    }
                }
            }
        }
    }
    Ok((packs, index_files))
}

/// The pack whose file it is.
fn pack_id(path: &str) -> Option<Id> {
    let name = path.strip_prefix("data/")?.rsplit('/').next()?;
    (name.len() == 64).then(|| name.parse().ok())?
}
