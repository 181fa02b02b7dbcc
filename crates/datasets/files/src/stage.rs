//! Stages a snapshot: contents by several threads, then hard links and the folders' own metadata, then everything onto stable storage.
//!
//! Reads the list of entries twice instead of remembering it: a million entries take no memory. The only table is that of hard links.

mod clear;
mod last;
mod write;

pub(crate) use self::write::same_content;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use beneath::{Fault, Links, Tree, Unset, Writer};
use crossbeam_channel::{Sender, bounded};
use plan::evidence::Tally;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Entry, EntryKind, Event, Meta, Road, SOME_FILES, Snapshot, Verb};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use self::clear::Clearing;
use crate::census::add_attribute;
use crate::mounts;
use crate::notices::Notices;
use crate::root::RootMeta;
use crate::run_folder::{RunFolder, Spot, failed};
use crate::runs::{MARK, Mark};
use crate::some;
use crate::times::Span;

/// Name of the file that says that staging is complete.
pub(crate) const STAGED: &str = "staged.json";
/// Name of the folder of the staged copy.
pub(crate) const STAGE: &str = "stage";

/// What staging leaves for the proof and the cut-over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// Entries whose owner could not be set.
    pub(crate) owners_unset: u64,
    /// Whether the file system keeps permission bits as they are set.
    pub(crate) holds_modes: bool,
    /// Whether it keeps times to the nanosecond.
    pub(crate) holds_times: bool,
    /// Entries whose permission bits could not be set: in place, folders of other users.
    #[serde(default)]
    pub(crate) modes_unset: u64,
    /// Entries whose time is outside of what the file system keeps, or could not be set.
    #[serde(default)]
    pub(crate) times_unset: u64,
    /// Entries that keep extended attributes which the set does not have.
    #[serde(default)]
    pub(crate) with_other_xattrs: u64,
    /// Extended attributes that could not be set.
    pub(crate) xattrs_unset: Tally,
    /// Entries of the set that could not be made, as the census would have counted them: sockets, where the copy was made by `tar`.
    #[serde(default)]
    pub(crate) left_out: BTreeMap<String, Tally>,
    /// The root's own metadata, for the cut-over.
    pub(crate) root: Option<RootMeta>,
    /// What the operator must know.
    pub(crate) warnings: Vec<String>,
    /// Whether these are some files alone: they are put in one by one, and all else stays.
    #[serde(default)]
    pub(crate) are_some: bool,
    /// Whether it is the safety copy of this very run: in place the previous data is live again.
    #[serde(default)]
    pub(crate) is_put_back: bool,
}

/// Whether a set is the safety copy that this very run took.
pub(crate) fn is_put_back(kept: &KeptDataSet, spot: &Spot) -> bool {
    kept.evidence.facts.get(plan::evidence::SAFETY_COPY).is_some_and(|run| run == spot.run.as_str())
}

/// Whether what is staged of a set are some of its files.
pub(crate) fn are_some(kept: &KeptDataSet) -> bool {
    kept.evidence.facts.contains_key(SOME_FILES)
}

/// What is told of a time that the target does not keep.
pub(crate) const NOT_KEPT: &str = "its time of change is not one that this file system keeps; it has the nearest that is";

/// A staging at work.
pub(crate) struct Staging<'a> {
    pub(crate) context: &'a Context,
    pub(crate) tree: Arc<Tree>,
    pub(crate) snapshot: &'a dyn Snapshot,
    pub(crate) in_place: bool,
    span: Span,
    outcome: Mutex<(Staged, Notices)>,
    bytes: AtomicU64,
    items: AtomicU64,
}

/// Stages into the run's folder, or (in place) over the live data. The caller has cleared what was there, and checked the space.
pub(crate) fn stage(context: &Context, run: &RunFolder, mark: &Mark, snapshot: &Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
    let in_place = run.spot.road == Road::InPlace;
    if in_place {
        check_all(context, &**snapshot)?;
        mounts::check_in_place(&run.root, &**snapshot, &context.stop)?;
    }
    // Before the first change: in place it tells every reader that the data is half replaced.
    run.write(MARK, mark)?;
    // By what is open already: a name may lead elsewhere by now.
    let tree = if in_place { Arc::clone(&run.root) } else { Arc::new(Tree::of(run.make(STAGE)?, run.place().join(STAGE))) };
    let target = tree.place_of(Path::new(""));
    let (probed, span) = write::probe(run)?;
    run.keep_room()?;
    let staging = Staging {
        context,
        tree,
        snapshot: &**snapshot,
        in_place,
        span,
        outcome: Mutex::new((probed, Notices::default())),
        bytes: AtomicU64::new(0),
        items: AtomicU64::new(0),
    };
    staging.contents()?;
    last::links_and_folders(&staging)?;
    staging.advance(0, 0, true);
    let (mut staged, mut notices) = staging.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    staged.root = kept.evidence.facts.get("root").and_then(|text| RootMeta::from_json(text));
    staged.is_put_back = is_put_back(kept, &run.spot);
    staged.are_some = are_some(kept);
    if in_place && let Some(root) = &staged.root {
        let left = root.put_back(&run.root).map_err(|error| failed(&target, "set the metadata of", error))?;
        left.into_iter().for_each(|text| notices.say("root", || text));
    }
    staged.warnings = notices.lines();
    staged.warnings.iter().for_each(|text| context.watch.see(Event::Warning(text)));
    rustix::fs::syncfs(&run.root).map_err(|error| failed(&target, "write to stable storage", error.into()))?;
    if in_place {
        run.tick()?;
    }
    if staged.are_some {
        some::note(context, run)?;
    }
    run.write(STAGED, &staged)
}

impl Staging<'_> {
    /// Counts progress; tells it now and then.
    pub(crate) fn advance(&self, bytes: u64, items: u64, at_end: bool) {
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let items = self.items.fetch_add(items, Ordering::Relaxed) + items;
        if at_end || items >= 256 || bytes >= crate::dump::SMALL_BYTES {
            let (bytes, items) = (self.bytes.swap(0, Ordering::Relaxed), self.items.swap(0, Ordering::Relaxed));
            let data_set = plan::ids::DataSetName::SystemStorage;
            self.context.watch.see(Event::Advance { data_set, verb: Verb::Stage, bytes, items });
        }
    }

    /// An error about an entry, with the way out.
    pub(crate) fn failed(&self, path: &Path, fault: Fault) -> Error {
        failed_at(&self.tree.place_of(path), fault)
    }

    /// Notes what of an entry's metadata could not be set.
    pub(crate) fn note(&self, path: &Path, meta: &Meta, unset: &Unset) {
        let lacks_time = unset.time || self.span.lacks(meta.mtime_ns);
        if !unset.owner && unset.xattrs.is_empty() && !lacks_time && !unset.mode && !unset.has_other_xattrs {
            return;
        }
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let (staged, notices) = &mut *outcome;
        if unset.owner {
            if staged.owners_unset == 0 {
                notices.about("owners", path, "its owner could not be set, nor those of others; they belong to this user now");
            }
            staged.owners_unset += 1;
        }
        if lacks_time {
            staged.times_unset += 1;
            notices.about(
                "odd-times",
                path,
                if unset.time { "its time of change could not be set: it belongs to another user" } else { NOT_KEPT },
            );
        }
        if unset.mode {
            staged.modes_unset += 1;
            notices.about("modes", path, "its mode could not be set: it belongs to another user");
        }
        if unset.has_other_xattrs {
            staged.with_other_xattrs += 1;
            notices.about("extended-attributes", path, "its extended attributes stay as they were: it belongs to another user");
        }
        for (name, value) in unset.xattrs.iter().filter_map(|index| meta.xattrs.get(*index)) {
            add_attribute(&mut staged.xattrs_unset, path, name, value);
            notices.about("extended-attributes", path, &format!("its extended attribute {name} could not be set"));
        }
    }

    fn contents(&self) -> Result<()> {
        let failure = Mutex::new(None);
        let aborted = AtomicBool::new(false);
        let (entries_in, entries_out) = bounded::<Entry>(128);
        let fed = std::thread::scope(|scope| {
            for _ in 0..self.context.workers.max(1) {
                let (entries_out, failure, aborted) = (entries_out.clone(), &failure, &aborted);
                scope.spawn(move || {
                    let mut writer = Writer::new(&self.tree);
                    for entry in entries_out {
                        let written = self.context.stop.check().and_then(|()| write::write(self, &mut writer, &entry));
                        if let Err(error) = written {
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            aborted.store(true, Ordering::SeqCst);
                        }
                        if aborted.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
            drop(entries_out);
            let fed = self.feed(&entries_in, &aborted);
            drop(entries_in);
            fed
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => fed,
        }
    }

    /// Makes the folders (a file's folder must be there before it), and hands everything else to the writers.
    fn feed(&self, entries: &Sender<Entry>, aborted: &AtomicBool) -> Result<()> {
        let mut links = Links::default();
        let mut clearing = if self.in_place { Some(Clearing::new(self)?) } else { None };
        let mut folders = Writer::new(&self.tree);
        let mut order = TreeOrder::default();
        for entry in self.snapshot.entries()? {
            self.context.stop.check()?;
            let entry = entry?;
            check_entry(&mut order, &entry)?;
            if let Some(clearing) = &mut clearing {
                clearing.arrive(&entry)?;
            }
            if matches!(entry.kind, EntryKind::Folder) {
                folders.make_folder(&entry.path, self.in_place).map_err(|fault| self.failed(&entry.path, fault))?;
                if let Some(clearing) = &mut clearing {
                    clearing.enter(&entry.path)?;
                }
                self.advance(0, 1, false);
            } else if (entry.is_file() && links.first(&entry.path, &entry.meta)?.is_some()) || entries.send(entry).is_err() {
                // A further name of a file: linked when all files are there. Or the writers are gone, which `aborted` tells.
                if aborted.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
        }
        clearing.map_or(Ok(()), Clearing::finish)
    }
}

/// An error about an entry at a place, with the way out.
pub(crate) fn failed_at(place: &Path, fault: Fault) -> Error {
    match fault {
        Fault::There(doing, error) => failed(place, doing, error),
        Fault::Here(error) => error,
    }
}

/// In place nothing is touched before all of the snapshot is known to be a tree: what is removed does not come back by itself.
pub(crate) fn check_all(context: &Context, snapshot: &dyn Snapshot) -> Result<()> {
    let (mut order, mut links) = (TreeOrder::default(), Links::default());
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        check_entry(&mut order, &entry)?;
        links.first(&entry.path, &entry.meta)?;
    }
    Ok(())
}

/// A path of a snapshot becomes a path on disk: nothing but plain names, in the order of a tree, each once, and none below what is no folder.
pub(crate) fn check_entry(order: &mut TreeOrder, entry: &Entry) -> Result<()> {
    let refused = |why: &str| {
        let path = entry.path.display().to_string();
        Error::needs_person(format!("entry {path:?} of the snapshot {why}"))
            .hint("No backup of this program makes that: somebody who knows the repository's password has changed the snapshot. Restore another set.")
    };
    if entry.path.iter().next().is_some_and(|name| name == crate::walk::OWN_FOLDER) {
        return Err(refused("is in the folder of the program's own, which is not part of any tree"));
    }
    match order.admit(&entry.path, matches!(entry.kind, EntryKind::Folder)) {
        Ok(implied) if implied.is_empty() => Ok(()),
        Ok(_) => Err(refused("is in a folder that the snapshot does not have")),
        Err(why) => Err(refused(&why)),
    }
}
