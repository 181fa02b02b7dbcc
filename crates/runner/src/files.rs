//! Files of a tenant that go back into a live tree, which stays.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Event, Place, PutsFiles, Snapshot, SomeFiles, Verb};
use plan::step::{Output, RowsOwner};
use plan::{Error, Result};

use crate::act::Hands;

/// Says which files of a snapshot the rows that were kept of the system database name as those of a tenant.
pub type FileFinder = Arc<dyn Fn(&Hands, &RowsOwner, &KeptDataSet, &dyn Snapshot) -> Result<BTreeSet<PathBuf>> + Send + Sync>;

fn puts_files(hands: &Hands, data_set: DataSetName) -> Result<&dyn PutsFiles> {
    hands.data_set(data_set)?.puts_files().ok_or_else(|| Error::failed(format!("no files of {data_set} can go back alone")))
}

/// Stages those that are not live as the set has them. `kept`: of the files, and of the system database.
pub(crate) fn stage(
    hands: &Hands,
    (data_set, place): (DataSetName, &Place),
    whose: &RowsOwner,
    (kept, system): (&KeptDataSet, &KeptDataSet),
) -> Result<Output> {
    let finder = hands.file_finder.as_ref().ok_or_else(|| Error::failed("there is nobody here to find the files of a tenant"))?;
    let (store, context) = (puts_files(hands, data_set)?, &hands.context);
    let snapshot: Arc<dyn Snapshot> = Arc::from(hands.repository.open(&kept.snapshot)?);
    let files = finder(hands, whose, system, snapshot.as_ref())?;
    let compared = store.compare_files(context, &SomeFiles::new(Arc::clone(&snapshot), files))?;
    let output = Output::FilesStaged { missing: compared.missing.len() as u64, other: compared.other.len() as u64 };
    let some: Arc<dyn Snapshot> = Arc::new(SomeFiles::new(snapshot, compared.missing.into_iter().chain(compared.other).collect()));
    let kept = SomeFiles::kept(some.as_ref(), kept)?;
    hands.watched(data_set, Verb::Stage, Some(kept.bytes), || store.stage_files(context, place, some, &kept))?;
    if let Output::FilesStaged { missing, other } = &output {
        context.watch.see(Event::Note(&format!("{data_set}: {missing} files that are missing are staged, and {other} that are others")));
    }
    Ok(output)
}

/// Puts in what was staged.
pub(crate) fn put(hands: &Hands, data_set: DataSetName, place: &Place) -> Result<Output> {
    let store = hands.data_set(data_set)?;
    hands.watched(data_set, Verb::CutOver, None, || store.cut_over(&hands.context, place))?;
    Ok(Output::Done)
}
