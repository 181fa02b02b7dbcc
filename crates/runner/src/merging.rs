//! Keys of some classes, put into live data that stays, and taken out of it again.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Event, GivenIds, LARGEST_ID, LiveRows, MergesKeys, Merging, Place, Snapshot, Verb};
use plan::step::{IdCounter, Output};
use plan::{Error, Result};

use crate::act::Hands;

fn keys_of(hands: &Hands, data_set: DataSetName) -> Result<&dyn MergesKeys> {
    let store = hands.data_set(data_set)?;
    store.merges_keys().ok_or_else(|| Error::failed(format!("no keys of {data_set} can go back alone")))
}

/// The largest ids that System's rows have had, by the key of their counter. A table that is not there gave none.
///
/// # Errors
/// When the database cannot be asked.
pub fn given_ids(rows: &dyn LiveRows, context: &plan::ports::Context, counters: &[IdCounter]) -> Result<GivenIds> {
    let (mut given, mut rows) = (GivenIds::new(), rows.session(context)?);
    for IdCounter { of, table, column } in counters {
        let largest = rows.largest(table, column)?.filter(|largest| *largest <= LARGEST_ID);
        given.extend(largest.map(|largest| (of.key.clone(), largest)));
    }
    Ok(given)
}

pub(crate) fn merge(
    hands: &Hands,
    (data_set, place): (DataSetName, &Place),
    kept: &KeptDataSet,
    merging: &Merging,
    ids: &[IdCounter],
) -> Result<Output> {
    let given = if ids.is_empty() {
        GivenIds::new()
    } else {
        let system = DataSetName::SystemDatabase;
        let rows = hands.data_set(system)?.live_rows().ok_or_else(|| Error::failed(format!("{system} has no rows that can be asked")))?;
        given_ids(rows, &hands.context, ids)?
    };
    let snapshot: Arc<dyn Snapshot> = Arc::from(hands.repository.open(&kept.snapshot)?);
    let keys = keys_of(hands, data_set)?;
    let classes =
        hands.watched(data_set, Verb::Stage, Some(kept.bytes), || keys.merge(&hands.context, place, &snapshot, kept, merging, &given))?;
    for merged in &classes {
        let mut text = format!("{data_set} {}: {} of {} keys are new, {} changed", merged.class, merged.new, merged.keys, merged.changed);
        if merged.equal > 0 {
            text.push_str(&format!(", {} were so already", merged.equal));
        }
        merged.left.iter().for_each(|(why, number)| text.push_str(&format!("; left: {number} {why}")));
        hands.context.watch.see(Event::Note(&text));
    }
    Ok(Output::Merged { classes })
}

pub(crate) fn take_back(hands: &Hands, data_set: DataSetName, place: &Place) -> Result<()> {
    keys_of(hands, data_set)?.take_back(&hands.context, place)
}
