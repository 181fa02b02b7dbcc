//! Files of System on a volume: read through a pod that serves, put back through a pod of our own that mounts the same volume.

use std::sync::Arc;

use files_data_set::{Options, RemoteFilesStore};
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    Context, DataSet, Discard, Dump, FilesCompared, Findings, Leftover, LiveFiles, Objects as _, Place, Problem, PutsFiles, Road, Snapshot,
    StoreKind, Undone,
};
use plan::{Error, Result};
use platforms::kubernetes::Cluster;
use platforms::kubernetes::find::{FilesAt, Installation as Found};
use platforms::kubernetes::volume::Volume;

use super::refused;

/// The two ways to one tree.
struct VolumeFiles {
    serving: RemoteFilesStore,
    own: RemoteFilesStore,
    address: String,
}

/// The files on the volume that was found.
pub(super) fn volume(cluster: &Cluster, found: &Found) -> Result<Arc<dyn DataSet>> {
    let FilesAt::Volume { target, workload, container, path, claim } = found.system_storage.as_ref().map_err(refused)? else {
        return Err(Error::failed("the files are not on a volume"));
    };
    let name = DataSetName::SystemStorage;
    let serving = Volume::serving(cluster.clone(), path, target.clone(), container);
    let own = Volume::new(cluster.clone(), path);
    // The claim by its name in a namespace that is known by its uid, where this user may look at it.
    let uid = cluster.namespace_uid().ok().flatten();
    let identity = uid.zip(claim.as_deref()).map(|(uid, claim)| format!("claim {uid}/{claim}"));
    let options = Options { identity, ..Options::default() };
    let store = |remote| RemoteFilesStore::new(name, Arc::new(remote), path.clone(), options.clone());
    let claim = claim.as_deref().map_or_else(|| "a volume without a claim".to_owned(), |claim| format!("PersistentVolumeClaim {claim}"));
    Ok(Arc::new(VolumeFiles { serving: store(serving), own: store(own), address: format!("{claim}, through {workload}") }))
}

impl PutsFiles for VolumeFiles {
    fn compare_files(&self, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
        self.serving.compare_files(context, snapshot)
    }

    fn files_fit(&self, context: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<Vec<Problem>> {
        self.serving.files_fit(context, findings, kept)
    }

    fn stage_files(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.own.stage_files(context, place, snapshot, kept)
    }
}

impl DataSet for VolumeFiles {
    fn name(&self) -> DataSetName {
        self.serving.name()
    }

    fn kind(&self) -> Result<StoreKind> {
        self.serving.kind()
    }

    fn identity(&self, context: &Context) -> Result<Option<String>> {
        self.serving.identity(context)
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        let findings = self.serving.look(context)?;
        Ok(Findings { address: self.address.clone(), ..findings })
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        self.serving.fits(context, kept, road)
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        self.serving.dump(context)
    }

    fn reserve(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Place> {
        self.own.reserve(context, kept, road)
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.own.stage(context, place, snapshot, kept)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        self.own.prove(context, place, kept)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        self.own.cut_over(context, place)
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        self.own.undo(context, place)
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.own.check_discard(context, place, what)
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.own.discard(context, place, what)
    }

    fn tidy(&self, context: &Context, place: &Place) -> Result<()> {
        // System runs again by now: a pod of our own is only for the case that it does not.
        self.serving.tidy(context, place).or_else(|_| self.own.tidy(context, place))
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        self.serving.kept_bytes(context, place)
    }

    fn live_files(&self) -> Option<&dyn LiveFiles> {
        self.serving.live_files()
    }

    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        Some(self)
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        self.serving.leftovers(context)
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        self.own.remove_leftover(context, leftover)
    }
}
