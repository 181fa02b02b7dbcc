//! Finds the snapshot of a data set of a set, whatever `restic` has done to its id.

use std::collections::HashMap;

use plan::ids::{DataSetName, SetId};
use plan::manifest::KeptDataSet;
use rustic_core::{FileType, Id, TreeId};

use super::{data_set_tag, set_tag};
use crate::small::path_of;
use crate::snapshots::{Held, Snapshots};

/// The snapshots that a data set's may be.
pub struct Members<'a> {
    by_id: HashMap<Id, &'a Held>,
    by_original: HashMap<Id, Vec<&'a Held>>,
    by_set: HashMap<&'a str, Vec<&'a Held>>,
    damaged: HashMap<Id, String>,
}

impl<'a> Members<'a> {
    /// Sorts them for the search.
    pub fn new(snapshots: &'a Snapshots) -> Self {
        let mut members = Self {
            by_id: HashMap::new(),
            by_original: HashMap::new(),
            by_set: HashMap::new(),
            damaged: snapshots.damaged.iter().map(|(id, error)| (*id, error.chain())).collect(),
        };
        for held in snapshots.data.iter().chain(&snapshots.retagged) {
            members.by_id.insert(held.id, held);
            if let Some(original) = held.file.original {
                members.by_original.entry(*original).or_default().push(held);
            }
            for tag in held.file.tags.iter().filter(|tag| tag.starts_with("set:")) {
                members.by_set.entry(tag).or_default().push(held);
            }
        }
        members
    }

    /// The snapshot of a data set, or why there is none.
    ///
    /// # Errors
    /// A sentence's end that names the file.
    pub fn find(&self, set: &SetId, name: DataSetName, kept: &KeptDataSet, tree: Option<&TreeId>) -> Result<Held, String> {
        let id: Id = kept.snapshot.as_str().parse().map_err(|_| format!("{} is not a snapshot id", kept.snapshot))?;
        let tags = [set_tag(set), data_set_tag(name)];
        let has_tags = |held: &Held| tags.iter().all(|tag| held.file.tags.contains(tag));
        let fits = |held: &Held| tree.is_none_or(|tree| held.file.tree == *tree);
        if let Some(held) = self.by_id.get(&id) {
            let is_ours = fits(held) && (has_tags(held) || tree.is_some());
            return if is_ours {
                Ok((*held).clone())
            } else {
                Err(format!("{} is not of this data set", path_of(FileType::Snapshot, &id)))
            };
        }
        let from_it = self.by_original.get(&id).into_iter().flatten();
        if let Some(held) = from_it.copied().find(|held| fits(held)) {
            return Ok(held.clone());
        }
        let fitting: Vec<_> = self.by_set.get(tags[0].as_str()).into_iter().flatten().filter(|held| has_tags(held) && fits(held)).collect();
        match fitting.as_slice() {
            [first, rest @ ..] if rest.iter().all(|held| held.file.tree == first.file.tree) => Ok((**first).clone()),
            [_, ..] => {
                Err(format!("{} is gone, and of several that bear its tags none can be told to be it", path_of(FileType::Snapshot, &id)))
            }
            [] => Err(self.damaged.get(&id).cloned().unwrap_or_else(|| format!("{} is missing", path_of(FileType::Snapshot, &id)))),
        }
    }
}
