//! Knows trees of files: dump, stage, prove, cut over.
//!
//! The data set is a folder that System reads and writes, reached by its path (a mount, [`FilesStore`]) or by programs that run in the pod that
//! mounts it ([`RemoteFilesStore`]): the sets are the same, and so are the files that a run leaves on the volume. Names are bytes. Restores happen
//! beside the live data on the same volume, in `.threescale-backup/<run>/` at the root of the tree, and are swapped by renames. S3 file storage is
//! not this crate's business.
//!
//! Limits, told where they bite: SELinux labels and the integrity attributes of the kernel stay those of the place; device files are reported and
//! left out; a `lost+found` of root's at the root is not data; hard links between anything but files become separate entries.

pub mod archive;
mod census;
mod dump;
mod from_bucket;
mod hook;
mod lent;
mod list;
mod look;
mod mounts;
mod notices;
mod prove;
mod remote;
mod remove;
mod rights;
mod root;
mod run_folder;
mod runs;
mod some;
mod space;
mod stage;
mod swap;
mod tallied;
mod times;
mod walk;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    Context, DataSet, Discard, Dump, Earlier, FileReader, FilesCompared, Findings, Leftover, LiveFiles, Place, Problem, PutsFiles, Road,
    Snapshot, StoreKind, Undone, WholeDump,
};
use plan::{Error, Result};

pub use crate::remote::RemoteFilesStore;

use crate::dump::{FilesDump, Reading, SETTLED, Since, has_notes};
use crate::hook::Hook;
use crate::run_folder::{RunFolder, Spot};
use crate::runs::Mark;
use crate::space::{Need, Volume, measure};
use crate::stage::{STAGE, STAGED, Staged};
use crate::swap::Swapping;
use crate::swap::steps::{self, Hands};
use beneath::Tree;

/// What an operator may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leave out files that cannot be read, with a warning, instead of ending the dump. Such a backup is not complete.
    pub skip_unreadable: bool,
    /// What tells the volume from all others, where the caller knows it: its claim. For a tree in a pod, where device and inode differ from mount to mount.
    pub identity: Option<String>,
}

/// A tree of files at a path.
#[derive(Clone)]
pub struct FilesStore {
    name: DataSetName,
    path: PathBuf,
    options: Options,
    hook: Hook,
    settled: Duration,
}

impl FilesStore {
    /// The tree at `path`. Nothing is looked at yet.
    #[must_use]
    pub fn new(name: DataSetName, path: PathBuf, options: Options) -> Self {
        Self { name, path, options, hook: Hook::default(), settled: SETTLED }
    }

    fn root(&self) -> Result<Arc<Tree>> {
        Tree::open(&self.path).map(Arc::new).map_err(|error| look::cannot_open(&self.path, error))
    }

    fn begin(&self, context: &Context, since: Option<Since>) -> Result<Box<dyn Dump>> {
        let (root, place) = (self.root()?, self.path.display().to_string());
        runs::check_whole(&runs::list(&root)?, &place)?;
        let reading = Reading::Dump { skip_unreadable: self.options.skip_unreadable, since, settled: self.settled };
        let dump = FilesDump::start(context, Arc::clone(&root), reading, self.hook.clone())?;
        let check = Box::new(move || runs::check_whole(&runs::list(&root)?, &place));
        Ok(Box::new(WholeDump { inner: Box::new(dump), check }))
    }

    /// Removes what an earlier staging of this run left.
    fn clear(&self, context: &Context, run: &RunFolder) -> Result<()> {
        let found = runs::read(run)?;
        found.check_own(&run.spot, self.name)?;
        found.check_stage()?;
        run.remove_file(STAGED)?;
        remove::remove(&run.root, &run.spot.inside(STAGE), &context.stop)
    }

    fn swapping<'a>(&'a self, context: &'a Context, root: &'a Arc<Tree>, spot: &'a Spot) -> Swapping<'a> {
        Swapping { context, data_set: self.name, root, spot, hook: &self.hook }
    }
}

impl LiveFiles for FilesStore {
    fn each_file(&self, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
        list::each_file(&self.root()?, context, reader)
    }
}

impl PutsFiles for FilesStore {
    fn compare_files(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
        some::compare(context, &*self.root()?, snapshot)
    }

    fn files_fit(&self, _: &Context, _: &Findings, kept: &KeptDataSet) -> Result<Vec<Problem>> {
        look::some_fit(&self.path, kept)
    }

    fn stage_files(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.stage(context, place, Arc::clone(&snapshot), kept)?;
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        let run = RunFolder::open(&root, &spot)?.ok_or_else(|| runs::gone(&root.place_of(&spot.folder()).display().to_string(), &spot))?;
        let found = prove::read_back(context, Arc::new(run.tree(STAGE)?), self.hook.clone())?;
        some::prove(context, &*snapshot, &found)
    }
}

impl DataSet for FilesStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Files)
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        look::identity(&*self.root()?)
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(&self.path, context, self.options.skip_unreadable)
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        look::fits(&self.path, context, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        self.begin(context, None)
    }

    fn reuses(&self, earlier: &KeptDataSet) -> bool {
        has_notes(earlier)
    }

    fn dump_since(&self, context: &Context, earlier: Earlier) -> Result<Box<dyn Dump>> {
        self.begin(context, Some(Since::new(earlier)))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        let (identity, path) = (self.identity(context)?, Some(self.path.display().to_string()));
        Spot { run: context.run.clone(), road, identity, path }.to_place()
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        runs::refuse_half(&runs::list(&root)?, &spot)?;
        match RunFolder::open(&root, &spot)? {
            Some(run) => {
                steps::keep_since(&self.swapping(context, &root, &spot), kept)?;
                self.clear(context, &run)?;
            }
            None => spot.check_tree(look::identity(&root)?.as_deref(), &self.path.display().to_string())?,
        }
        if spot.road == Road::SideCopy {
            mounts::check(&root)?;
            Need::of(kept).check(&Volume::of(&root)?, &self.path)?;
        }
        let run = RunFolder::create(&root, &spot)?;
        let snapshot = from_bucket::as_files(snapshot, kept, look::owner(&root)?);
        stage::stage(context, &run, &Mark::new(context, self.name, &spot), &snapshot, kept)
    }

    fn staged(&self, place: &Place) -> Result<Option<plan::ports::Staged>> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        Ok((spot.road == Road::SideCopy).then(|| plan::ports::Staged::Folder(root.place_of(&spot.inside(STAGE)))))
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        let nothing = || {
            Error::failed(format!("no staged files at {}", root.place_of(&spot.folder()).display()))
                .hint("Stage the set again: run restore.")
        };
        let run = RunFolder::open(&root, &spot)?.ok_or_else(nothing)?;
        let staged: Staged = run.read(STAGED)?.ok_or_else(nothing)?;
        let target = if runs::read(&run)?.is_proven_live(spot.road)? {
            root
        } else {
            steps::check_movable(&self.swapping(context, &root, &spot))?;
            Arc::new(run.tree(STAGE)?)
        };
        let mut found = prove::read_back(context, target, self.hook.clone())?;
        prove::account(&mut found, &staged, kept);
        Ok(found)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        steps::cut_over(&self.swapping(context, &root, &spot))
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        steps::undo(&self.swapping(context, &root, &spot))
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        steps::check_discard(&self.swapping(context, &root, &spot), what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        steps::discard(&self.swapping(context, &root, &spot), what)
    }

    fn tidy(&self, context: &Context, place: &Place) -> Result<()> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        steps::tidy(&self.swapping(context, &root, &spot))
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        let (root, spot) = (self.root()?, Spot::from_place(place)?);
        let Some(run) = RunFolder::open(&root, &spot)? else { return Ok(0) };
        Ok(measure(Arc::new(run.tree("")?), &context.stop, Duration::from_secs(60))?.allocated_bytes)
    }

    fn live_files(&self) -> Option<&dyn LiveFiles> {
        Some(self)
    }

    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        Some(self)
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        let (root, place) = (self.root()?, self.path.display().to_string());
        let mut leftovers = Vec::new();
        for found in runs::list(&root)? {
            let spot = Spot::new(plan::ids::RunId(found.run.clone()), Road::SideCopy);
            let extent = match RunFolder::open(&root, &spot)? {
                Some(run) => Some(measure(Arc::new(run.tree("")?), &context.stop, Duration::from_secs(1))?),
                None => None,
            };
            let bytes = extent.filter(|extent| extent.whole).map(|extent| extent.allocated_bytes);
            leftovers.push(runs::leftover(&found, &place, bytes));
        }
        Ok(leftovers)
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        let root = self.root()?;
        let Some((spot, steps)) = runs::to_remove(leftover, runs::list(&root)?)? else { return Ok(()) };
        self.swapping(context, &root, &spot).act("remove what a run left in", &steps)?
    }
}
