//! The repository as the rest of the program sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plan::ids::{DataSetName, SetId, SnapshotId};
use plan::manifest::Manifest;
use plan::ports::{Context, Damaged, Dump, Keep, Kept, Record, Repository, Snapshot, StopFlag, Watch};
use plan::{Error, Result};
use rustic_core::Id;
use secrecy::SecretString;

use crate::check::{self, CheckReport, ReadData};
use crate::copy::{self, SetCopy};
use crate::engine::{Ground, Open};
use crate::fault::lock;
use crate::forget::{self, ForgetOptions, ForgetReport};
use crate::init;
use crate::location::Location;
use crate::lock::{Guard, Purpose};
use crate::object_lock::{self, LockReport};
use crate::passwords::{self, KeyFile};
use crate::read::OpenSnapshot;
use crate::records;
use crate::repair::{self, RepairReport};
use crate::retention::Retention;
use crate::sets;
use crate::sink::{self, Label};
use crate::snapshots::Snapshots;

/// A repository of restic's format, open. Any number of threads may use it.
///
/// While it stores data sets of a set, and until that set's manifest is written, it holds a lock that restic and other processes of this program see.
pub struct RusticRepository {
    open: Open,
    taking: Mutex<BTreeMap<SetId, Arc<Guard>>>,
}

impl std::fmt::Debug for RusticRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RusticRepository").field(&self.open.storage.location()).finish()
    }
}

/// How long packs stay marked before they are deleted: a little less than a day, so that a daily prune deletes what yesterday's marked.
pub const BACKUP_HOURS_MAX: u32 = 23;

/// How many earlier snapshots of a data set a backup looks at before it builds on their folders.
const GROUND_SNAPSHOTS: usize = 2;

impl RusticRepository {
    /// Makes a repository.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is one already.
    pub fn init(location: &Location, password: &SecretString) -> Result<()> {
        init::init(location, password)
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`plan::Class::NoRepository`], [`plan::Class::WrongPassword`]; [`plan::Class::Transient`] when the storage does not answer.
    pub fn open(location: &Location, password: &SecretString) -> Result<Self> {
        Ok(Self { open: Open::new(location, password)?, taking: Mutex::default() })
    }

    /// How long to wait for the end of somebody else's lock, before [`plan::Class::Locked`]. At first: not at all.
    #[must_use]
    pub fn waiting(mut self, limit: Duration, stop: StopFlag) -> Self {
        self.open.locks = self.open.locks.waiting(limit, stop);
        self
    }

    /// The lock under which a set is taken.
    fn taking(&self, set: &SetId) -> Result<Arc<Guard>> {
        let mut taking = lock(&self.taking);
        if let Some(guard) = taking.get(set) {
            return Ok(Arc::clone(guard));
        }
        let guard = Arc::new(self.open.locks.share(Purpose::Backup, Some(set.clone()))?);
        taking.insert(set.clone(), Arc::clone(&guard));
        Ok(guard)
    }

    /// Checks the repository and every set in it; see [`ReadData`] for how deep.
    ///
    /// # Errors
    /// When it cannot be checked at all. Damage is not an error, it is in the report.
    pub fn check(&self, read_data: ReadData, stop: &StopFlag, watch: &dyn Watch) -> Result<CheckReport> {
        check::check(&self.open, read_data, stop, watch)
    }

    /// Shows, before anything is begun, that what is written can be locked; nothing where object lock is not asked for. With `apply` it locks one object, because
    /// only that shows the right to; else it only asks.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the bucket has no object lock, the credentials may not lock, or the clocks of the service and of this machine differ; when the
    /// storage does not answer.
    pub fn try_object_lock(&self, apply: bool) -> Result<()> {
        object_lock::try_it(&self.open, apply)
    }

    /// Looks how long everything is locked that sets need; with `apply`, locks anew what is locked for less than half of the time. `None` where object lock is not
    /// asked for. What a prune has marked for deletion is not needed.
    ///
    /// # Errors
    /// As [`Self::try_object_lock`]; when objects could not be locked: all others are then, and the next call goes on from there.
    pub fn object_lock(&self, apply: bool, stop: &StopFlag) -> Result<Option<LockReport>> {
        object_lock::renew(&self.open, apply, stop)
    }

    /// Whether both are one repository, by whatever way each was reached, or one is a copy of the other's files.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.open.plain.config().id == other.open.plain.config().id
    }

    /// Copies a set into another repository: all its snapshots, and last its manifest; only what is not there yet is read and written. It is the same set
    /// there, under the same id. A set that is there and lacks something gets what it lacks. `seen` is told of bytes of data sets that have passed, of what was
    /// there already too.
    ///
    /// # Errors
    /// When the other repository fails, or this one does not answer; [`plan::Class::Locked`] when somebody holds one of both for himself;
    /// [`plan::Class::NeedsPerson`] when another set of this id is there. What was stored until then is used by the next copy. Damage here is no error.
    pub fn copy_set(&self, set: &SetId, to: &Self, stop: &StopFlag, seen: &dyn Fn(DataSetName, u64)) -> Result<SetCopy> {
        copy::copy_set(&copy::Way { from: &self.open, to: &to.open, stop, seen }, set)
    }

    /// Copies what stands beside sets that are in both: what restores and rehearsals of `all` of them showed, and the protection of those that are `new` there.
    ///
    /// # Errors
    /// When a repository cannot be read, or the other cannot be written.
    pub fn copy_records(&self, to: &Self, all: &[SetId], new: &[SetId]) -> Result<usize> {
        copy::copy_records(&self.open, &to.open, all, new)
    }

    /// The keys of the repository, oldest first where they say it.
    ///
    /// # Errors
    /// When the list cannot be had.
    pub fn keys(&self) -> Result<Vec<KeyFile>> {
        passwords::list(&self.open)
    }

    /// Adds a key: from now on this password opens the repository too. Gives its id.
    ///
    /// # Errors
    /// [`plan::Class::Locked`] when somebody holds the repository for himself; when it cannot be written. Then there is no new key.
    pub fn add_key(&self, password: &SecretString) -> Result<String> {
        passwords::add(&self.open, password)
    }

    /// Removes the key whose id begins so. Gives its whole id.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is none or several, or it is the one by which the repository was opened; [`plan::Class::Locked`] while anybody
    /// uses the repository; when it cannot be written.
    pub fn remove_key(&self, id: &str) -> Result<String> {
        passwords::remove(&self.open, id)
    }

    /// Puts a new key in the place of the one by which the repository was opened: adds it, sees that it opens, and removes the old one then. Killed in between,
    /// both passwords open the repository. Gives the ids of the old and the new one.
    ///
    /// # Errors
    /// [`plan::Class::Locked`] while anybody uses the repository; when it cannot be written.
    pub fn change_key(&self, password: &SecretString) -> Result<(String, String)> {
        passwords::change(&self.open, password)
    }

    /// Repairs what can be repaired, and says what is lost for good. With `apply` it does so, else it only says what it would do. Deletes nothing: what is
    /// damaged is moved to the folder `damaged` of the repository.
    ///
    /// # Errors
    /// [`plan::Class::Locked`] while somebody holds the repository for himself (`forget --prune --now`, `restic prune`); when the storage fails: what was done
    /// until then stays done, and the next repair goes on.
    pub fn repair(&self, apply: bool, stop: &StopFlag) -> Result<RepairReport> {
        repair::repair(&self.open, apply, stop)
    }

    /// Removes sets of an installation that no rule keeps, and what interrupted backups left; then prunes, if asked to.
    ///
    /// The newest whole set always stays, and so does whatever a run needs or somebody protects. Sets of other installations are not touched.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the retention has no rule, or would leave an installation no set; [`plan::Class::Locked`] when somebody holds a lock
    /// that does not go with it; when listings cannot be had whole.
    pub fn forget(&self, retention: &Retention, options: &ForgetOptions) -> Result<ForgetReport> {
        forget::forget(&self.open, retention, options)
    }
}

/// The engine's id of a snapshot.
///
/// # Errors
/// When it is not 64 hexadecimal digits.
pub fn id_of(snapshot: &SnapshotId) -> Result<Id> {
    snapshot.as_str().parse().map_err(|_| Error::refused(format!("{snapshot} is not a snapshot id")))
}

impl Repository for RusticRepository {
    fn keep(&self, context: &Context, keep: &Keep, dump: Box<dyn Dump>) -> Result<Kept> {
        let _lock = self.taking(&keep.set)?;
        let label = Label { tags: sets::data_tags(&keep.set, keep.data_set), label: keep.data_set.to_string(), description: None };
        // What most of it will be like: folders of the newest snapshots are read again, so that nothing is built on one that is damaged.
        let mut like = Snapshots::read(&self.open)?.data;
        like.retain(|held| label.tags.last().is_some_and(|tag| held.file.tags.contains(tag)));
        like.sort_by_key(|held| std::cmp::Reverse((held.file.time.timestamp(), held.id)));
        let mut trees: Vec<_> = like.iter().take(GROUND_SNAPSHOTS).map(|held| held.file.tree).collect();
        let earlier = keep.earlier.as_ref().map(id_of).transpose()?;
        if let Some(earlier) = &earlier {
            trees.push(sets::find_snapshot(&self.open, earlier)?.file.tree);
        }
        let stored = sink::keep(&self.open, context, &label, Ground::Like(&trees), earlier.as_ref(), dump)?;
        Ok(Kept {
            snapshot: SnapshotId(stored.id.to_hex().as_str().to_owned()),
            parts: stored.files,
            bytes: stored.bytes,
            stored_bytes: stored.stored_bytes,
            verdict: stored.verdict,
        })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        // The machine may have slept meanwhile, and the lock may have counted for nothing. What is looked at now is there until the manifest is.
        self.taking(&manifest.set)?.renew()?;
        sets::write_manifest(&self.open, manifest)?;
        lock(&self.taking).remove(&manifest.set);
        Ok(())
    }

    fn manifests(&self) -> Result<Vec<Manifest>> {
        Ok(sets::Listing::read_what_can_be(&self.open)?.sets.into_iter().map(|set| set.manifest).collect())
    }

    fn damaged(&self) -> Result<Vec<Damaged>> {
        sets::Listing::read_what_can_be(&self.open)?.damaged(&self.open)
    }

    fn open(&self, snapshot: &SnapshotId) -> Result<Box<dyn Snapshot>> {
        let during = |error: Error| error.during(format!("failed to open snapshot {snapshot}"));
        let held = sets::find_snapshot(&self.open, &id_of(snapshot)?).map_err(during)?;
        // Whoever may only read goes on without.
        let lock = self.open.locks.share(Purpose::Read, None).ok();
        Ok(Box::new(OpenSnapshot::under(lock, self.open.index()?, held.file.tree)))
    }

    fn put_record(&self, kind: &str, name: &str, bytes: &[u8]) -> Result<()> {
        records::put(&self.open, kind, name, bytes)
    }

    fn records(&self, kind: &str) -> Result<Vec<Record>> {
        let found = records::read(&self.open, kind)?;
        found.damaged.iter().for_each(|error| log::warn!("{}", error.chain()));
        Ok(found.records)
    }

    fn remove_record(&self, kind: &str, name: &str) -> Result<()> {
        records::remove(&self.open, kind, name)
    }
}
