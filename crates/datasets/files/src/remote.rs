//! A tree of files that only programs beside it can reach: `system-storage` through the pod that mounts it.
//!
//! The same sets, the same evidence and the same files in the run's folder as [`crate::FilesStore`]: a set dumped here restores there, and a swap
//! begun here can be undone there. Content goes as one tar stream; what changes names is one script per call, which can be begun again anywhere.
//!
//! What is less than with the volume mounted: a file that changes while it is read is reported, not read again; sockets are left out; holes become
//! zeros; the extended attributes of the root itself stay as they are.

mod complaints;
mod dump;
#[cfg(test)]
mod fuzz;
mod lend;
mod list;
mod look;
mod pack;
mod place;
mod runs;
mod some;
mod stage;
mod stream;
mod swap;
mod unpack;

use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    Context, DataSet, Discard, Dump, FileReader, FilesCompared, Findings, Leftover, LiveFiles, Place, Problem, PutsFiles, Remote, Road,
    Snapshot, StoreKind, Undone, Verb, WholeDump,
};
use plan::{Error, Result};

pub(crate) use self::pack::{end, header, padding};
pub(crate) use self::unpack::Header;

use self::dump::RemoteDump;
use self::lend::Of;
use self::place::There;
use self::swap::{Status, Swapping, Words, folder, nothing_staged};
use crate::Options;
use crate::from_bucket;
use crate::prove;
use crate::run_folder::Spot;
use crate::runs::{self as rules, Mark};
use crate::stage::STAGE;
use crate::swap::steps::{self, Hands};

const KEPT: &str = include_str!("remote/kept.sh");

/// A tree of files at a path in a place.
pub struct RemoteFilesStore {
    name: DataSetName,
    there: There,
    options: Options,
}

impl RemoteFilesStore {
    /// The tree at an absolute path in the place. Nothing is looked at yet.
    #[must_use]
    pub fn new(name: DataSetName, remote: Arc<dyn Remote>, path_in_container: String, options: Options) -> Self {
        Self { name, there: There { remote, root: path_in_container }, options }
    }

    /// Reads everything of a tree below the root.
    fn read_back(&self, context: &Context, spot: &Spot, target: &str) -> Result<Evidence> {
        let there = There { root: format!("{}/{target}", self.there.root), ..self.there.clone() };
        lend::while_lent(&self.there, context, spot, (target, Of::All), |modes| {
            Ok(RemoteDump::start(&there, context, Verb::Prove, false)?.with_modes(modes).drain()?.evidence)
        })
    }

    fn swapping<'a>(&'a self, context: &'a Context, spot: &'a Spot) -> Swapping<'a> {
        Swapping { there: &self.there, context, data_set: self.name, spot }
    }
}

impl LiveFiles for RemoteFilesStore {
    fn each_file(&self, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
        list::each_file(&self.there, context, reader)
    }
}

impl PutsFiles for RemoteFilesStore {
    fn compare_files(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
        some::compare(&self.there, context, snapshot)
    }

    fn files_fit(&self, context: &Context, _: &Findings, kept: &KeptDataSet) -> Result<Vec<Problem>> {
        look::some_fit(&self.there, context, kept)
    }

    fn stage_files(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.stage(context, place, Arc::clone(&snapshot), kept)?;
        let spot = Spot::from_place(place)?;
        let found = self.read_back(context, &spot, &format!("{}/{STAGE}", folder(&spot)))?;
        crate::some::prove(context, &*snapshot, &found)
    }
}

impl DataSet for RemoteFilesStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Files)
    }

    /// Device and inode differ from pod to pod: what the caller knows of the volume, else nothing but the runs' own marks.
    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        Ok(self.options.identity.clone())
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(&self.there, context, &self.options)
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        look::fits(&self.there, context, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        look::check_tools(&self.there, context)?;
        let (there, context_of_check) = (self.there.clone(), context.clone());
        let check = move || rules::check_whole(&runs::list(&there, &context_of_check)?, &there.address());
        check.clone()()?;
        let dump = RemoteDump::start(&self.there, context, Verb::Dump, self.options.skip_unreadable)?;
        Ok(Box::new(WholeDump { inner: Box::new(dump), check: Box::new(check) }))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        let (identity, path) = (self.options.identity.clone(), Some(self.there.root.clone()));
        Spot { run: context.run.clone(), road, identity, path }.to_place()
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        let spot = Spot::from_place(place)?;
        let (found, all) = runs::of(&self.there, context, &spot)?;
        let is_there = found.is_some();
        rules::refuse_half(&all, &spot)?;
        match found {
            Some(found) => {
                found.check_own(&spot, self.name).and_then(|()| found.check_stage())?;
                steps::keep_since(&self.swapping(context, &spot), kept)?;
            }
            None => spot.check_tree(self.options.identity.as_deref(), &self.there.root)?,
        }
        if spot.road == Road::SideCopy {
            if is_there {
                Words::new(&self.there, &spot).then(&["clear"]).run(context, "make room for the staged files in")?;
            }
            look::check_space(&self.there, context, kept)?;
        } else {
            look::check_tools(&self.there, context)?;
        }
        let snapshot = from_bucket::as_files(snapshot, kept, None);
        stage::stage(&self.there, context, (&spot, &Mark::new(context, self.name, &spot)), &*snapshot, kept)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        let spot = Spot::from_place(place)?;
        let status = Status::ask(&self.there, context, &spot)?;
        let staged = status.staged.ok_or_else(|| nothing_staged(&self.there, &spot))?;
        let found = runs::of(&self.there, context, &spot)?.0.ok_or_else(|| nothing_staged(&self.there, &spot))?;
        let target = if found.is_proven_live(spot.road)? {
            ".".to_owned()
        } else {
            steps::check_movable(&self.swapping(context, &spot))?;
            format!("{}/{STAGE}", folder(&spot))
        };
        let mut found = self.read_back(context, &spot, &target)?;
        prove::account(&mut found, &staged, kept);
        Ok(found)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        steps::cut_over(&self.swapping(context, &Spot::from_place(place)?))
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        steps::undo(&self.swapping(context, &Spot::from_place(place)?))
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        steps::check_discard(&self.swapping(context, &Spot::from_place(place)?), what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        steps::discard(&self.swapping(context, &Spot::from_place(place)?), what)
    }

    fn tidy(&self, context: &Context, place: &Place) -> Result<()> {
        steps::tidy(&self.swapping(context, &Spot::from_place(place)?))
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        let what = format!("ask what this run keeps in {}", self.there.address());
        let bytes = self.there.ask(context, &what, KEPT, &[&self.there.root, &folder(&Spot::from_place(place)?)])?;
        let kilobytes = String::from_utf8_lossy(&bytes).split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes.saturating_mul(1024)).ok_or_else(|| Error::failed(what))
    }

    fn live_files(&self) -> Option<&dyn LiveFiles> {
        Some(self)
    }

    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        Some(self)
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        let place = self.there.address();
        Ok(runs::with_bytes(&self.there, context)?.iter().map(|(found, bytes)| rules::leftover(found, &place, *bytes)).collect())
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        let Some((spot, steps)) = rules::to_remove(leftover, runs::list(&self.there, context)?)? else { return Ok(()) };
        self.swapping(context, &spot).act("remove what a run left in", &steps)?
    }
}
