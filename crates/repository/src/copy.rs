//! Copies sets from one repository into another: encrypted anew, chunk by chunk, as `restic copy` does.
//!
//! Chunks stay as they are, so that what two sets share is stored once there too; only what the other repository lacks is read and written, and each chunk is
//! compared with its name when it is read. A snapshot bears another id there (its file is encrypted with another key); `original` says from which it was made,
//! and by that a set finds its data sets. The manifest comes last: a copy that was killed leaves no set, and the next one goes on with what is there.

mod chunks;

use plan::ids::{DataSetName, SetId};
use plan::manifest::{KeptDataSet, Manifest};
use plan::needs::PROTECTION;
use plan::ports::StopFlag;
use plan::proof::PROOF;
use plan::{Error, Result};
use rustic_core::{FileType, Id, TreeId};
use serde_json::{Map, Value};

use crate::document;
use crate::engine::Open;
use crate::fault::{EngineResult as _, guarded};
use crate::lock::{Guard, Purpose};
use crate::read::walk;
use crate::records;
use crate::sets::{Held, Listing, MANIFEST_FILE, Set};
use crate::small::{self, is_passing, path_of};
use crate::snapshots::read_one;
pub use chunks::Carried;
use chunks::Carrier;

/// What became of a set.
#[derive(Debug)]
pub enum SetCopy {
    /// It is in the other repository, whole.
    Done(Carried),
    /// It cannot be read whole here, and why. The other repository has no such set by this.
    Damaged(Error),
    /// It is here no more: somebody has removed it meanwhile.
    Gone,
}

/// Something failed, here or there: only what fails here is about the set alone.
struct Failure {
    error: Error,
    is_here: bool,
}

type Step<T> = std::result::Result<T, Failure>;

const fn here(error: Error) -> Failure {
    Failure { error, is_here: true }
}

const fn there(error: Error) -> Failure {
    Failure { error, is_here: false }
}

/// From where to where.
pub struct Way<'a> {
    /// Where the set is.
    pub from: &'a Open,
    /// Where it is to be.
    pub to: &'a Open,
    /// Raised when the work shall stop.
    pub stop: &'a StopFlag,
    /// Told of bytes of data sets that have passed.
    pub seen: &'a dyn Fn(DataSetName, u64),
}

/// See [`crate::RusticRepository::copy_set`].
///
/// # Errors
/// See there.
pub fn copy_set(way: &Way<'_>, set: &SetId) -> Result<SetCopy> {
    let _lock = lock_here(way.from)?;
    let listing = Listing::read_what_can_be(way.from)?;
    let Some(found) = listing.sets.iter().find(|found| found.manifest.set == *set) else {
        return match listing.unreadable.into_iter().find(|file| file.set.as_ref() == Some(set)) {
            Some(file) => Ok(SetCopy::Damaged(file.error)),
            None => Ok(SetCopy::Gone),
        };
    };
    let during = |error: Error| error.during(format!("failed to copy set {set} to {}", way.to.location));
    match way.copy(found) {
        Ok(carried) => Ok(SetCopy::Done(carried)),
        Err(Failure { error, is_here: true }) if !is_passing(&error) => Ok(SetCopy::Damaged(error)),
        Err(Failure { error, .. }) => Err(during(error)),
    }
}

/// So that nobody removes what is read. Whoever may only read goes on without.
fn lock_here(open: &Open) -> Result<Option<Guard>> {
    match open.locks.share(Purpose::Read, None) {
        Err(error) if error.class() == plan::Class::Locked => Err(error),
        other => Ok(other.ok()),
    }
}

impl Way<'_> {
    fn copy(&self, set: &Set) -> Step<Carried> {
        let manifest = &set.manifest;
        let lock = self.to.locks.share(Purpose::Copy, Some(manifest.set.clone())).map_err(there)?;
        self.refuse_another(manifest)?;
        let mut members = Vec::new();
        for (name, kept) in &manifest.data_sets {
            let held = set.members.get(name).ok_or_else(|| here(Error::failed(format!("failed to find {name}"))))?;
            let held = held.as_ref().map_err(|why| here(Error::failed(format!("{name}: {why}"))))?;
            members.push((*name, kept, held));
        }
        // What a copy that was killed has stored is used.
        self.to.index_orphans().map_err(there)?;
        let mut carrier = Carrier::new(self)?;
        for (name, _, held) in &members {
            carrier.carry(Some(*name), held.file.tree)?;
        }
        let manifest_held = read_one(self.from, &set.id).map_err(here)?;
        carrier.carry(None, manifest_held.file.tree)?;
        let mut carried = carrier.finish()?;
        for (name, kept, held) in &members {
            self.look(kept, held.file.tree).map_err(|error| there(error.during(format!("failed to look at {name} there"))))?;
        }
        let known = self.known(manifest)?;
        for (name, _, held) in &members {
            let is_there = known.as_ref().is_some_and(|known| matches!(known.members.get(name), Some(Ok(_))));
            if !is_there {
                self.snapshot(&held.id)?;
                carried.snapshots += 1;
            }
        }
        if known.is_none() {
            // The machine may have slept meanwhile, and the lock may have counted for nothing.
            lock.renew().map_err(there)?;
            self.manifest(manifest, &manifest_held)?;
            carried.snapshots += 1;
        }
        Ok(carried)
    }

    /// The same set there, however whole it is.
    fn known(&self, manifest: &Manifest) -> Step<Option<Set>> {
        let sets = Listing::read_what_can_be(self.to).map_err(there)?.sets;
        Ok(sets.into_iter().find(|known| known.manifest == *manifest))
    }

    fn refuse_another(&self, manifest: &Manifest) -> Step<()> {
        let sets = Listing::read_what_can_be(self.to).map_err(there)?.sets;
        match sets.iter().find(|known| known.manifest.set == manifest.set) {
            Some(known) if known.manifest != *manifest => Err(there(
                Error::needs_person(format!("{} has a set {} that is another", self.to.location, manifest.set))
                    .hint("Somebody has changed one of the two. `threescale-backup show` and `check`, on each repository, tell more."),
            )),
            _ => Ok(()),
        }
    }

    /// Looks, as the storage is now, that everything is there that a data set needs.
    fn look(&self, kept: &KeptDataSet, tree: TreeId) -> Result<()> {
        let count = || guarded("look at what was stored", || walk::count(&*self.to.index()?, tree));
        let mut found = count()?;
        if found.missing.is_some() {
            self.to.recover_marked(tree)?;
            found = count()?;
        }
        if let Some(missing) = found.missing {
            return Err(Error::failed("failed to find what was stored").hint(missing).hint(
                "Another program has removed or damaged it meanwhile. Copy it again; run no `restic prune` there while a copy is made.",
            ));
        }
        if (found.files, found.bytes) != (kept.parts, kept.bytes) {
            return Err(Error::failed(format!(
                "{} parts and {} bytes are there instead of {} and {}",
                found.files, found.bytes, kept.parts, kept.bytes
            )));
        }
        Ok(())
    }

    /// Writes a snapshot as it is, but for what is another there: it has no parent, and it says from which one it was made. Every field that another program
    /// wrote goes along.
    fn snapshot(&self, id: &Id) -> Step<Id> {
        let file: Map<String, Value> = small::read(&*self.from.storage, &self.from.key, FileType::Snapshot, id).map_err(here)?;
        let made_anew = |(key, _): &(String, Value)| !matches!(key.as_str(), "parent" | "parents" | "id");
        let mut file: Map<String, Value> = file.into_iter().filter(made_anew).collect();
        if file.get("original").is_none_or(Value::is_null) {
            file.insert("original".to_owned(), Value::String(id.to_hex().as_str().to_owned()));
        }
        small::write(&*self.to.storage, &self.to.key, FileType::Snapshot, &file).map_err(there)
    }

    /// Writes the manifest, and reads it back as everybody will.
    fn manifest(&self, manifest: &Manifest, held: &Held) -> Step<()> {
        let id = self.snapshot(&held.id)?;
        let confirm = || -> Result<()> {
            document::read(&self.to.index()?, &read_one(self.to, &id)?.file, MANIFEST_FILE)?;
            let sets = Listing::read_what_can_be(self.to)?.sets;
            let Some(set) = sets.into_iter().find(|set| set.manifest == *manifest) else {
                return Err(Error::failed("failed to read back the manifest"));
            };
            match set.members.into_iter().find_map(|(name, held)| Some((name, held.err()?))) {
                None => Ok(()),
                Some((name, why)) => Err(Error::failed(format!("failed to find {name} of the set there: {why}"))),
            }
        };
        confirm().map_err(there).inspect_err(|_| {
            if let Err(error) = self.to.plain.delete_snapshots(&[id.into()]).during(|| path_of(FileType::Snapshot, &id)) {
                log::warn!("a manifest that is not true could not be deleted: {}", error.chain());
            }
        })
    }
}

/// Copies what stands beside sets: what restores and rehearsals of `all` showed, and the protection of those of them that are `new` there. What is there
/// already stays. Gives how many records were written.
///
/// # Errors
/// When a repository cannot be read, or the other cannot be written.
pub fn copy_records(from: &Open, to: &Open, all: &[SetId], new: &[SetId]) -> Result<usize> {
    let is_of = |sets: &[SetId], name: &str| sets.iter().any(|set| name.split(':').next() == Some(set.as_str()));
    let mut copied = 0;
    for (kind, sets) in [(PROOF, all), (PROTECTION, new)] {
        if sets.is_empty() {
            continue;
        }
        let known = records::read(to, kind)?.records;
        for record in records::read(from, kind)?.records.into_iter().filter(|record| is_of(sets, &record.name)) {
            let is_there = known.iter().any(|known| known.name == record.name && (known.bytes == record.bytes || known.at >= record.at));
            if !is_there {
                records::put(to, kind, &record.name, &record.bytes)?;
                copied += 1;
            }
        }
    }
    Ok(copied)
}
