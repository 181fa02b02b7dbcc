//! Where every chunk is, and the only way in which one is read.
//!
//! Built from the index files; what cannot be read of these comes from the packs' own headers when it is needed. A chunk may lie in several packs: after
//! damage the next backup stores it anew. All copies are known here, the most trusted is read first, and what is read is compared with the chunk's name, so
//! a damaged or exchanged chunk is never handed out. No more memory is asked for than a chunk of its kind may need.

pub mod file;
pub mod header;
mod load;
pub mod pack;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use plan::{Error, Result};
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, WriteBackend};

use crate::fault::EngineResult as _;
use crate::seal::{Key, unpack_exactly};
use crate::small::{damaged, is_named_after, is_passing, path_of};
pub use load::{Condemned, Listed};

/// The engine cuts data into chunks of at most 1 MiB, restic into such of 8 MiB.
const DATA_BYTES_MAX: u32 = 64 << 20;
/// A folder of a million files.
const TREE_BYTES_MAX: u32 = 256 << 20;

/// How far a pack can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is there with the right size, and no check has found damage in it.
    Whole,
    /// A prune has marked it for deletion.
    Marked,
    /// A check has found damage in it.
    Condemned,
    /// It is there with another size than it must have.
    WrongSize,
    /// It is not there.
    Missing,
}

/// A pack that the index names.
#[derive(Debug, Clone, Copy)]
pub struct PackEntry {
    /// Its name.
    pub id: Id,
    /// The size that it must have.
    pub size_bytes: u64,
    /// How far it can be trusted.
    pub state: State,
}

/// Where a chunk is.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    id: Id,
    /// Place of its pack in [`Index::packs`].
    pub pack: u32,
    /// Where it begins.
    pub offset: u32,
    /// Its bytes in the pack.
    pub length: u32,
    /// Its bytes when unpacked; 0 when it is not packed.
    unpacked: u32,
}

impl Copy {
    /// Bytes of its content.
    pub fn content_bytes(&self) -> u32 {
        if self.unpacked == 0 { self.length.saturating_sub(crate::seal::SEAL_BYTES) } else { self.unpacked }
    }

    /// Whether it is packed.
    pub const fn is_packed(&self) -> bool {
        self.unpacked != 0
    }

    /// The chunk's name.
    pub const fn id(&self) -> Id {
        self.id
    }
}

/// Copies of all chunks, those of one chunk side by side.
#[derive(Debug, Default)]
struct Copies {
    trees: Vec<Copy>,
    data: Vec<Copy>,
}

/// See the module.
pub struct Index {
    storage: Arc<dyn WriteBackend>,
    key: Key,
    packs: Vec<PackEntry>,
    places: HashMap<Id, u32>,
    copies: Copies,
    /// Index files that cannot be read.
    pub unreadable: Vec<(Id, Error)>,
    /// Packs that are there and in no index file, with their sizes.
    pub unindexed: Vec<(Id, u32)>,
    /// Packs that were marked for deletion without a word about what is in them.
    hollow: Vec<(Id, u32)>,
    /// What the unindexed and the hollow packs say of themselves.
    late: OnceLock<Late>,
    /// Packs that a check has condemned, with the chunks in them that are known to be bad.
    condemned: Condemned,
}

/// Packs that no index file names, by their headers.
#[derive(Debug, Default)]
struct Late {
    packs: Vec<PackEntry>,
    copies: Copies,
}

impl Copies {
    fn of(&self, kind: BlobType) -> &[Copy] {
        match kind {
            BlobType::Tree => &self.trees,
            BlobType::Data => &self.data,
        }
    }

    fn find(&self, kind: BlobType, id: &Id) -> &[Copy] {
        let all = self.of(kind);
        let start = all.partition_point(|copy| copy.id < *id);
        let count = all[start..].iter().take_while(|copy| copy.id == *id).count();
        &all[start..start + count]
    }

    fn add(&mut self, pack: u32, blobs: &[file::Blob]) {
        for blob in blobs {
            let copy =
                Copy { id: blob.id, pack, offset: blob.offset, length: blob.length, unpacked: blob.uncompressed_length.unwrap_or(0) };
            match blob.kind {
                BlobType::Tree => self.trees.push(copy),
                BlobType::Data => self.data.push(copy),
            }
        }
    }

    fn sort(&mut self) {
        self.trees.sort_unstable_by_key(|copy| copy.id);
        self.data.sort_unstable_by_key(|copy| copy.id);
    }
}

impl Index {
    /// The packs that index files name.
    pub fn packs(&self) -> &[PackEntry] {
        &self.packs
    }

    /// The chunks of a kind, sorted by name; several copies of one are side by side.
    pub fn copies(&self, kind: BlobType) -> &[Copy] {
        self.copies.of(kind)
    }

    /// The place of a pack in [`Self::packs`].
    pub fn place(&self, pack: &Id) -> Option<u32> {
        self.places.get(pack).copied()
    }

    /// The pack of a copy.
    pub fn pack_of(&self, copy: &Copy) -> Option<&PackEntry> {
        let place = copy.pack as usize;
        self.packs.get(place).or_else(|| self.late.get()?.packs.get(place - self.packs.len()))
    }

    /// Packs that a check has condemned.
    pub const fn condemned(&self) -> &Condemned {
        &self.condemned
    }

    /// All copies of a chunk, the most trusted first.
    pub fn find(&self, kind: BlobType, id: &Id) -> Vec<(Copy, State)> {
        let state = |copy: &Copy| self.pack_of(copy).map_or(State::Missing, |pack| pack.state);
        let mut found: Vec<_> = self.copies.find(kind, id).iter().map(|copy| (*copy, state(copy))).collect();
        if !found.iter().any(|(_, state)| *state == State::Whole) {
            self.late();
            if let Some(late) = self.late.get() {
                found.extend(late.copies.find(kind, id).iter().map(|copy| (*copy, state(copy))));
            }
        }
        found.sort_by_key(|(copy, state)| (*state, copy.pack));
        found
    }

    /// The best copy of a chunk that may still be read: of a pack that is there, and not known to be bad itself.
    pub fn best(&self, kind: BlobType, id: &Id) -> Option<(Copy, State)> {
        self.find(kind, id).into_iter().find(|(copy, state)| *state != State::Missing && !self.is_bad(copy))
    }

    /// Whether a check has found this copy to be damaged.
    pub fn is_bad(&self, copy: &Copy) -> bool {
        !self.condemned.is_empty()
            && self.pack_of(copy).and_then(|pack| self.condemned.get(&pack.id)).is_some_and(|bad| bad.contains(&copy.id))
    }

    /// The content of a chunk, from the first copy that is what its name says.
    ///
    /// # Errors
    /// When there is none; names the packs. Transient when the storage does not answer.
    pub fn read(&self, kind: BlobType, id: &Id) -> Result<Bytes> {
        let mut failure = None;
        for (copy, state) in self.find(kind, id) {
            if state == State::Missing {
                let pack = self.pack_of(&copy).map(|pack| path_of(FileType::Pack, &pack.id)).unwrap_or_default();
                failure.get_or_insert_with(|| Error::failed(format!("{pack} is missing")));
                continue;
            }
            match self.read_copy(kind, &copy) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if is_passing(&error) => return Err(error),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::failed(format!("chunk {} is in no pack of the repository", id.to_hex().as_str()))))
    }

    /// The content of one copy.
    ///
    /// # Errors
    /// When it is not what its name says.
    pub fn read_copy(&self, kind: BlobType, copy: &Copy) -> Result<Bytes> {
        let pack = self.pack_of(copy).ok_or_else(|| Error::failed("failed to find a pack"))?.id;
        let wrong = |why: &str| damaged(FileType::Pack, &pack, &format!("chunk {} in it: {why}", copy.id.to_hex().as_str()));
        let bytes_max = if kind == BlobType::Tree { TREE_BYTES_MAX } else { DATA_BYTES_MAX };
        if copy.content_bytes() > bytes_max || copy.length > bytes_max + (1 << 20) {
            return Err(wrong("it claims to be larger than a chunk can be"));
        }
        let sealed = self.storage.read_partial(FileType::Pack, &pack, kind == BlobType::Tree, copy.offset, copy.length);
        let sealed = sealed.during(|| format!("read {}", path_of(FileType::Pack, &pack)))?;
        let mut content = self.key.open(&sealed).ok_or_else(|| wrong("it cannot be decrypted"))?;
        if copy.unpacked != 0 {
            content = unpack_exactly(&content, copy.unpacked as usize).map_err(wrong)?;
        }
        if is_named_after(&copy.id, &content) { Ok(content.into()) } else { Err(wrong("it is not what its name says")) }
    }

    /// Reads the headers of packs that no index file names, once.
    fn late(&self) {
        self.late.get_or_init(|| load::late(self));
    }

    /// Packs that no index file names and whose headers can be read, with what is in them; and what is wrong with the others.
    pub fn unindexed_packs(&self) -> (Vec<file::Pack>, Vec<(Id, Error)>) {
        load::headers(&*self.storage, &self.key, &self.unindexed)
    }
}
