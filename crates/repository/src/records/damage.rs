//! What checks have found, kept in the repository: packs that the next backup must not build on, and sets that are damaged.
//!
//! Kind `damage`: `packs` is one JSON object of condemned packs and the bad chunks in each; `set:<set>` is a list of what is damaged in that set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plan::ids::{DataSetName, SetId};
use plan::{Error, Result};
use rustic_core::Id;
use serde::{Deserialize, Serialize};

use super::{Records, newest_first, put, read, read_newest, remove};
use crate::engine::Open;
use crate::index::{Condemned, Index};
use crate::snapshots::{Held, Snapshots};

const KIND: &str = "damage";
const KIND_TAG: &str = "kind:damage";
const PACKS: &str = "packs";
const SET: &str = "set:";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Packs {
    packs: BTreeMap<Id, BTreeSet<Id>>,
}

/// Something that is damaged in a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The data set; `None` is the manifest itself.
    pub data_set: Option<DataSetName>,
    /// What is damaged.
    pub what: String,
}

/// The snapshots that say which packs are condemned, the newest first.
pub fn condemnations(snapshots: &Snapshots) -> Vec<Held> {
    let mut held = newest_first(snapshots.records.clone(), KIND_TAG);
    held.retain(|held| held.file.tags.contains(&format!("name:{PACKS}")));
    held
}

/// What they say. One that cannot be read condemns nothing: what it said is found again by the next check.
pub fn condemned(index: Index, condemnations: &[Held]) -> Result<Arc<Index>> {
    let index = Arc::new(index);
    let mut found = Records::default();
    read_newest(&index, KIND, condemnations, &mut found)?;
    let packs = found.records.first().and_then(|record| serde_json::from_slice::<Packs>(&record.bytes).ok()).unwrap_or_default();
    let condemned: Condemned = packs.packs.into_iter().map(|(pack, bad)| (pack, bad.into_iter().collect())).collect();
    let mut index = Arc::try_unwrap(index).map_err(|_| Error::failed("failed to read the index"))?;
    index.condemn(condemned);
    Ok(Arc::new(index))
}

/// Notes which packs are condemned, in place of what was noted before.
///
/// # Errors
/// When the repository cannot be written.
pub fn condemn(open: &Open, condemned: &Condemned) -> Result<()> {
    if condemned.is_empty() {
        return remove(open, KIND, PACKS);
    }
    let packs = condemned.iter().map(|(pack, bad)| (*pack, bad.iter().copied().collect())).collect();
    put(open, KIND, PACKS, &to_json(&Packs { packs })?)
}

/// The sets that are marked as damaged.
///
/// # Errors
/// When the storage does not answer.
pub fn marks(open: &Open) -> Result<BTreeMap<String, Vec<Mark>>> {
    let records = read(open, KIND)?.records;
    let marks = records.into_iter().filter_map(|record| {
        let set = record.name.strip_prefix(SET)?.to_owned();
        Some((set, serde_json::from_slice(&record.bytes).ok()?))
    });
    Ok(marks.collect())
}

/// Marks a set as damaged, or as whole when nothing is.
///
/// # Errors
/// When the repository cannot be written.
pub fn mark(open: &Open, set: &SetId, marks: &[Mark]) -> Result<()> {
    let name = format!("{SET}{set}");
    if marks.is_empty() { remove(open, KIND, &name) } else { put(open, KIND, &name, &to_json(&marks)?) }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::failed("note what is damaged").because(error))
}
