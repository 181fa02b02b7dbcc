//! Knows the Kubernetes objects of a 3scale installation: dump, stage, prove, cut over.
//!
//! Kept are the Secrets and ConfigMaps that 3scale needs or that its custom resources refer to, and every custom resource of `apps.3scale.net` and
//! `capabilities.3scale.net`; Routes for reference. What belongs to the cluster or to an instant is stripped (`object`). Other people's objects are left
//! out and counted. All listings of a namespace are in memory at once: objects are configuration, not data.
//!
//! They go back by server-side apply: what is missing, or all that differs ([`Policy`]). What exists only in the target is never deleted; where the data lives and how
//! many pods there are always stays the target's (`stays`). The set's objects and what was there before lie in Secrets of the namespace until the run is settled.
//!
//! Never in an error, a finding, a difference, a place or any `Debug` output: the content of a Secret.

mod belongs;
mod collect;
mod compare;
mod cut_over;
mod decide;
mod digest;
mod dump;
mod empty;
mod kinds;
mod leftovers;
mod look;
mod notes;
mod object;
mod place;
mod pods;
mod release;
mod rights;
mod sealed;
mod stage;
mod stays;
mod survive;
mod undo;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Discard, Dump, Findings, Leftover, Objects, Place, Problem, Road, Snapshot, StoreKind, Undone};
use plan::{Error, Result};

pub use plan::ObjectsPolicy as Policy;

pub use crate::compare::{Change, Difference, Effect, State};
use crate::dump::ObjectsDump;
use crate::empty::Shape;
use crate::place::Spot;

/// What an operator may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which objects go back.
    pub policy: Policy,
    /// What holds the writers in an APIManager that is created in an empty namespace.
    pub hold: Option<fn(&mut serde_json::Value)>,
    /// The domain of the installation, where it is not to be the set's. For [`Policy::IntoEmpty`] only.
    pub domain: Option<String>,
}

/// The objects of one namespace.
#[derive(Clone)]
pub struct ObjectsStore {
    name: DataSetName,
    objects: Arc<dyn Objects>,
    options: Options,
}

impl ObjectsStore {
    /// The objects behind a port. Nothing is looked at yet.
    #[must_use]
    pub fn new(name: DataSetName, objects: Arc<dyn Objects>, options: Options) -> Self {
        Self { name, objects, options }
    }

    fn shape<'a>(&self, spot: &'a Spot) -> Shape<'a> {
        Shape { spot, hold: self.options.hold }
    }

    /// How the objects of a set compare with those in the namespace, in the order in which they go back. Changes nothing.
    ///
    /// # Errors
    /// When the snapshot or the namespace cannot be read.
    pub fn compare(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<Vec<Difference>> {
        compare::compare(context, &*self.objects, self.options.policy, snapshot)
    }
}

impl DataSet for ObjectsStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Objects)
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        Ok(look::identity(&*self.objects))
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(context, &*self.objects)
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        look::fits(context, &*self.objects, self.options.policy, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        if let Some(run) = leftovers::half_loaded_by(&*self.objects)? {
            return Err(Error::refused(format!("the objects of namespace {} are half replaced by run {run}", self.objects.namespace()))
                .hint("They are neither the old nor the new. Resume or undo that run, or end it with `abandon`; then back up."));
        }
        Ok(Box::new(ObjectsDump::start(context, self.name, &self.objects)?))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        if road == Road::InPlace {
            let problem = look::in_place();
            return Err(Error::refused(problem.text.to_lowercase()).hint(problem.way_out.unwrap_or_default()));
        }
        Spot::new(&context.run, self.objects.namespace(), &self.options).to_place()
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, _kept: &KeptDataSet) -> Result<()> {
        let spot = Spot::from_place(place, &*self.objects)?;
        stage::stage(context, self.name, &*self.objects, &self.shape(&spot), &*snapshot)
    }

    fn prove(&self, context: &Context, place: &Place, _kept: &KeptDataSet) -> Result<Evidence> {
        let spot = Spot::from_place(place, &*self.objects)?;
        let (key, kept) = stage::staged(&spot.notes(context, &*self.objects))?;
        Ok(dump::tally(&key, &kept))
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        let spot = Spot::from_place(place, &*self.objects)?;
        cut_over::cut_over(context, &*self.objects, &self.shape(&spot))
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        undo::undo(context, &*self.objects, &Spot::from_place(place, &*self.objects)?)
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        leftovers::check_discard(context, &*self.objects, &Spot::from_place(place, &*self.objects)?, what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        leftovers::discard(context, &*self.objects, &Spot::from_place(place, &*self.objects)?, what)
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        let spot = Spot::from_place(place, &*self.objects)?;
        spot.notes(context, &*self.objects).bytes()
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        Ok([leftovers::find(&*self.objects)?, pods::find(context, &*self.objects)?].concat())
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        if pods::remove(&*self.objects, leftover)? {
            return Ok(());
        }
        leftovers::remove(context, &*self.objects, leftover)
    }
}
