//! A bucket as a data set.

use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ids::{DataSetName, RunId};
use plan::manifest::KeptDataSet;
use plan::ports::{
    Context, DataSet, Discard, Dump, Earlier, FileReader, FilesCompared, Findings, Holds, Leftover, LiveFiles, Place, Problem, PutsFiles,
    Road, SOME_FILES, Snapshot, StoreKind, Undone, WholeDump,
};
use plan::{Error, Result};

use crate::address::Bucket;
use crate::client::Client;
use crate::client::put::Limits;
use crate::dump::BucketDump;

use crate::look;
use crate::prove;
use crate::run::{self, Found, Phase, RunObjects, Spot};
use crate::swap::Swapping;
use crate::{live, some, stage};

/// What an operator may choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Take away what the bucket has and the set has not.
    pub remove_extra: bool,
    /// How large a request may be.
    pub limits: Limits,
}

/// A bucket of an S3 service.
#[derive(Clone)]
pub struct S3Store {
    name: DataSetName,
    client: Arc<Client>,
    options: Options,
}

impl S3Store {
    /// A bucket; it is not asked for yet.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when no client can be made from these settings.
    pub fn new(name: DataSetName, bucket: &Bucket, options: Options) -> Result<Self> {
        Ok(Self { name, client: Arc::new(Client::new(bucket)?), options })
    }

    fn begin(&self, context: &Context, earlier: Option<Arc<dyn Snapshot>>) -> Result<Box<dyn Dump>> {
        let (client, stop) = (Arc::clone(&self.client), context.stop.clone());
        run::check_whole(&run::all(&client, &stop)?, &client.shown())?;
        let listed = live::all(&self.client, context)?;
        let dump = BucketDump::start(context, &self.client, listed, earlier)?;
        let check = Box::new(move || run::check_whole(&run::all(&client, &stop)?, &client.shown()));
        Ok(Box::new(WholeDump { inner: Box::new(dump), check }))
    }

    /// The run's objects, in the bucket that it reserved.
    fn run(&self, place: &Place) -> Result<RunObjects> {
        let spot = Spot::from_place(place)?;
        let here = self.client.bucket.identity();
        if spot.identity != here {
            return Err(Error::refused(format!("run {} is of another bucket: it was {}, here is {here}", spot.run, spot.identity))
                .hint("Nothing was touched. Use the configuration of the installation that the run is of."));
        }
        RunObjects::new(&self.client, &spot.run)
    }

    fn swapping<'a>(&self, context: &'a Context, run: &'a RunObjects) -> Swapping<'a> {
        Swapping { context, data_set: self.name, run, limits: self.options.limits }
    }

    fn leftover(&self, found: &Found) -> Result<Leftover> {
        let run = RunObjects::new(&self.client, &RunId(found.run.clone()))?;
        let since = if found.has_since { " (with what was replaced after its cut-over, until its undo)" } else { "" };
        let bytes = if found.holds() == Holds::Mark { Some(0) } else { None };
        Ok(Leftover {
            what: format!("objects below {}{since}", run.place()),
            run: found.run.clone(),
            installation: found.mark.as_ref().map(|mark| mark.installation.clone()),
            holds: found.holds(),
            bytes,
            handle: serde_json::json!({"run": found.run, "is": found.state()}),
        })
    }
}

impl LiveFiles for S3Store {
    fn each_file(&self, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
        live::each(&self.client, context, reader)
    }
}

impl PutsFiles for S3Store {
    fn compare_files(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
        some::compare(context, &self.client, snapshot)
    }

    fn files_fit(&self, _: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<Vec<Problem>> {
        let all = findings.restore_problems.iter().cloned();
        Ok(all.chain(look::fits(kept, Road::SideCopy)).collect())
    }

    fn stage_files(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.stage(context, place, Arc::clone(&snapshot), kept)?;
        some::prove(context, &*snapshot, &self.prove(context, place, kept)?)
    }
}

impl DataSet for S3Store {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Bucket)
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        Ok(Some(self.client.bucket.identity()))
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(&self.client, context)
    }

    fn fits(&self, _context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        Ok(look::fits(kept, road))
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        self.begin(context, None)
    }

    fn reuses(&self, _earlier: &KeptDataSet) -> bool {
        true
    }

    fn dump_since(&self, context: &Context, earlier: Earlier) -> Result<Box<dyn Dump>> {
        self.begin(context, Some(earlier.snapshot).filter(|_| !earlier.reads_all))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        if road == Road::InPlace {
            return Err(Error::refused("a bucket is never replaced in place").hint("Leave system-storage out of --in-place."));
        }
        let spot = Spot { run: context.run.clone(), identity: self.client.bucket.identity() };
        let run = RunObjects::new(&self.client, &spot.run)?;
        run.find(&context.stop)?.check_own(&spot.run, self.name)?;
        run.claim(context, self.name)?;
        run.try_rights(&context.stop)?;
        spot.to_place()
    }

    fn release(&self, context: &Context) -> Result<()> {
        let run = RunObjects::new(&self.client, &context.run)?;
        let found = run.find(&context.stop)?;
        if found.holds() == Holds::Mark && found.swap.is_none() { self.swapping(context, &run).remove(false) } else { Ok(()) }
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        let (run, stop) = (self.run(place)?, &context.stop);
        run::refuse_half(&run::all(&self.client, stop)?, &run.run)?;
        let found = run.find(stop)?;
        found.check_own(&run.run, self.name)?;
        found.check_head()?;
        match found.phase() {
            None | Some(Phase::Undone) => {}
            Some(phase) => {
                let error = Error::failed(format!("the cut-over of the bucket has begun already ({phase:?}): nothing is staged over it"));
                return Err(error.hint("Run resume or undo first."));
            }
        }
        let swapping = self.swapping(context, &run);
        swapping.remove_new()?;
        swapping.remove(found.has_since)?;
        run.claim(context, self.name)?;
        stage::stage(context, &run, &snapshot, (self.options, kept.evidence.facts.contains_key(SOME_FILES)))
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        let run = self.run(place)?;
        let phase = run.find(&context.stop)?.phase();
        prove::prove(context, &run, phase, kept)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        self.swapping(context, &self.run(place)?).cut_over()
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        self.swapping(context, &self.run(place)?).undo()
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.swapping(context, &self.run(place)?).check_discard(what).map(drop)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.swapping(context, &self.run(place)?).discard(what)
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        let mut bytes = 0;
        self.run(place)?.each_key(&context.stop, "", |keys| {
            bytes += keys.iter().map(|(_, size)| size).sum::<u64>();
            Ok(())
        })?;
        Ok(bytes)
    }

    fn live_files(&self) -> Option<&dyn LiveFiles> {
        Some(self)
    }

    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        Some(self)
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        run::all(&self.client, &context.stop)?.iter().map(|found| self.leftover(found)).collect()
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        let text = |field: &str| leftover.handle.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let run = RunObjects::new(&self.client, &RunId(text("run")))?;
        let found = run.find(&context.stop)?;
        if found.is_half() {
            return Err(Error::needs_person(format!("{} are half live: the cut-over is half-way", leftover.what))
                .hint(format!("`undo {}` puts back what was. Nothing was removed.", found.run)));
        }
        if found.state() != text("is") {
            return Err(Error::needs_person(format!("{} are not what they were", leftover.what))
                .hint("Nothing was removed. Look again at what is there."));
        }
        self.swapping(context, &run).discard(Discard::Previous)
    }
}
