//! The proof: every object of the set is read back from where it is, and counted with the code of the dump.

use std::io::Read as _;
use std::sync::Mutex;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Verb};
use plan::{Error, Result};
use xxhash_rust::xxh3::Xxh3;

use crate::census::Census;
use crate::client::get::Got;
use crate::parallel;
use crate::run::{Fate, Item, Phase, RunObjects, STAGED, Staged};

/// Reads all of it.
pub(crate) fn prove(context: &Context, run: &RunObjects, phase: Option<Phase>, kept: &KeptDataSet) -> Result<Evidence> {
    let Some(staged) = run.read::<Staged>(&context.stop, STAGED)? else {
        return Err(Error::failed(format!("nothing is staged at {}", run.place())).hint("Stage the set again: run restore."));
    };
    let is_live = match phase {
        Some(Phase::Swapped) => true,
        None | Some(Phase::Undone | Phase::Saving) => false,
        Some(_) => {
            let error = Error::failed("the cut-over of the bucket is half-way: there is nothing whole to prove");
            return Err(error.hint("Run resume or undo first."));
        }
    };
    let census = Mutex::new(Census::default());
    run.each_list(&context.stop, |items| {
        let wanted: Vec<_> = items.into_iter().filter(|item| item.fate != Fate::Extra).collect();
        parallel::all(context, &wanted, |item| {
            let counted = count(context, run, item, is_live)?;
            census.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(&counted);
            Ok(())
        })?;
        let bytes = wanted.iter().map(|item| item.size).sum();
        let items = wanted.len() as u64;
        context.watch.see(Event::Advance { data_set: DataSetName::SystemStorage, verb: Verb::Prove, bytes, items });
        Ok(())
    })?;
    let mut found = census.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).proven(&kept.evidence);
    found.warnings.extend(staged.warnings);
    Ok(found)
}

/// What there is of an object; nothing when it is not there, which the comparison with the set tells.
fn count(context: &Context, run: &RunObjects, item: &Item, is_live: bool) -> Result<Census> {
    let mut census = Census::default();
    let beside = run.numbered("stage", item.number);
    let key = if item.fate == Fate::Differs && !is_live { &beside } else { &item.key };
    let Got::There((head, mut content)) = run.client.stream(&context.stop, key, None)? else {
        census.warn(&item.key, "is not there");
        return Ok(census);
    };
    let (mut hasher, mut buffer) = (Box::new(Xxh3::new()), vec![0; 64 << 10]);
    loop {
        let count = content.read(&mut buffer).map_err(|error| {
            let class = plan::error::inside(&error).map_or(plan::Class::Failed, Error::class);
            Error::new(class, format!("failed to read back {:?} of {}", item.key, run.client.shown())).because(error)
        })?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    census.object(&item.key, &head.properties);
    if !item.is_folder() && !item.is_link {
        census.file(&item.path, head.size, hasher.digest128());
    }
    Ok(census)
}
