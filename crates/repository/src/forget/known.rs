//! Everything that one has to know before a set goes: the sets by installation, what is damaged, who needs or protects which, who takes one just now.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plan::Result;
use plan::ids::{DataSetName, SetId};
use plan::needs::{NEED, Need, PROTECTION, Protection, parse};
use plan::ports::{Record, Silent, StopFlag};
use plan::proof::PROOF;
use plan::words::in_one_line;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{FileType, Id};

use super::groups::Group;
use crate::check::CheckReport;
use crate::check::structure::check_sets;
use crate::engine::Open;
use crate::fault::EngineResult as _;
use crate::index::State;
use crate::records;
use crate::retention::{Candidate, SAFETY_COPY_DAYS, UNCERTAIN_SAFETY_COPY_DAYS};
use crate::sets::{Listing, Set};

/// See the module.
pub struct Known {
    /// All sets and snapshots.
    pub listing: Listing,
    /// What somebody needs or protects.
    pub held: Held,
    damaged: BTreeMap<SetId, String>,
    /// When each snapshot was written, by the storage's clock.
    stored_at: BTreeMap<String, Timestamp>,
    being_taken: BTreeSet<SetId>,
}

/// What somebody needs or protects.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<SetId, Vec<String>>);

impl Held {
    /// Whether the set must stay.
    pub fn holds(&self, set: &SetId) -> bool {
        self.0.contains_key(set)
    }
}

/// The set that the snapshot says it belongs to.
pub fn set_of(file: &SnapshotFile) -> Option<SetId> {
    file.tags.iter().find_map(|tag| tag.strip_prefix("set:")).map(|set| SetId(set.to_owned()))
}

impl Known {
    /// Reads it all.
    ///
    /// # Errors
    /// When anything cannot be read whole: nobody could say what may go.
    pub fn read(open: &Open) -> Result<Self> {
        let listing = Listing::read(open)?;
        let held = Self::held(open)?;
        let seen = open.files.survey(Some(FileType::Snapshot.dirname())).during(|| "list snapshots".to_owned())?;
        let stored_at = seen.into_iter().map(|seen| (seen.path.rsplit('/').next().unwrap_or_default().to_owned(), seen.modified)).collect();
        let taking = open.locks.others()?.into_iter().filter_map(|other| other.lock?.ours?.set).collect();
        let damaged = damaged(open, &listing)?;
        Ok(Self { listing, held, damaged, stored_at, being_taken: taking })
    }

    /// What somebody needs or protects, as it is now.
    ///
    /// # Errors
    /// When a record cannot be read: it may be about any set.
    pub fn held(open: &Open) -> Result<Held> {
        let mut held = Held::default();
        for record in records_of(open, NEED)? {
            let need: Need = parse(&record, NEED)?;
            let why = format!("needed by run {} since {:.0}: {}", record.name, need.since, need.note);
            need.sets.into_iter().for_each(|set| held.0.entry(set).or_default().push(why.clone()));
        }
        for record in records_of(open, PROTECTION)? {
            let Protection { note, .. } = parse(&record, PROTECTION)?;
            let why = if note.is_empty() { "protected".to_owned() } else { format!("protected: {}", in_one_line(&note)) };
            held.0.entry(SetId(record.name)).or_default().push(why);
        }
        Ok(held)
    }

    /// When the snapshot was written, by the storage's clock.
    pub fn stored_at(&self, snapshot: &Id) -> Option<Timestamp> {
        self.stored_at.get(snapshot.to_hex().as_str()).copied()
    }

    /// Whether somebody holds a lock for it.
    pub fn is_being_taken(&self, set: &SetId) -> bool {
        self.being_taken.contains(set)
    }

    /// What is known of the sets of an installation.
    pub fn candidates(&self, group: &Group) -> Vec<Candidate> {
        let sets: Vec<_> = group.places.iter().filter_map(|place| self.listing.sets.get(*place)).collect();
        // Sets of version 0.1.0 do not say what they lack: a whole one has all that any of them has.
        let has: BTreeSet<_> = sets.iter().flat_map(|set| set.manifest.data_sets.keys().copied()).collect();
        sets.into_iter().map(|set| self.candidate(set, &has)).collect()
    }

    fn candidate(&self, set: &Set, has: &BTreeSet<DataSetName>) -> Candidate {
        let manifest = &set.manifest;
        let data_sets: BTreeSet<_> = manifest.data_sets.keys().copied().collect();
        let is_of_0_1_0 = manifest.format.starts_with("1.");
        Candidate {
            set: manifest.set.clone(),
            finished_at: manifest.finished_at,
            is_whole: manifest.is_whole() || manifest.installation.is_none() && manifest.safety_for.is_none() && data_sets == *has,
            data_sets,
            safety_copy_days: manifest.safety_for.as_ref().map(|_| if is_of_0_1_0 { UNCERTAIN_SAFETY_COPY_DAYS } else { SAFETY_COPY_DAYS }),
            damage: self.damaged.get(&manifest.set).cloned(),
            held_by: self.held.0.get(&manifest.set).cloned().unwrap_or_default(),
        }
    }

    /// Records of what runs showed of sets that go, or that are gone.
    pub fn proofs_without_set(&self, leaving: &BTreeSet<SetId>) -> Vec<Id> {
        let stays = |set: &SetId| !leaving.contains(set) && self.listing.sets.iter().any(|listed| listed.manifest.set == *set);
        records::of_sets(&self.listing.records, PROOF).filter(|(set, _)| !stays(set)).map(|(_, held)| held.id).collect()
    }

    /// Snapshots of the data sets of these sets, all of each, but none that another set has.
    pub fn data_of(&self, leaving: &BTreeSet<SetId>) -> Vec<Id> {
        let members = |leaves: bool| -> BTreeSet<Id> {
            let sets = self.listing.sets.iter().filter(|set| leaving.contains(&set.manifest.set) == leaves);
            sets.flat_map(|set| set.members.values()).filter_map(|held| Some(held.as_ref().ok()?.id)).collect()
        };
        let (theirs, of_others) = (members(true), members(false));
        let bear_the_tag = self.listing.data.iter().filter(|held| set_of(&held.file).is_some_and(|set| leaving.contains(&set)));
        let all: BTreeSet<_> = bear_the_tag.map(|held| held.id).chain(theirs).collect();
        all.difference(&of_others).copied().collect()
    }
}

fn records_of(open: &Open, kind: &str) -> Result<Vec<Record>> {
    let mut found = records::read(open, kind)?;
    if found.damaged.is_empty() { Ok(found.records) } else { Err(found.damaged.swap_remove(0)) }
}

/// Sets that are known to be damaged. The trees are walked only when a pack is missing, has a wrong size, or was found to be bad.
fn damaged(open: &Open, listing: &Listing) -> Result<BTreeMap<SetId, String>> {
    let mut damaged = BTreeMap::new();
    for found in listing.damaged(open)? {
        if let Some(set) = found.set {
            let of = found.data_set.map(|name| format!("{name}: ")).unwrap_or_default();
            damaged.entry(set).or_insert(format!("{of}{}", found.what));
        }
    }
    let index = open.index()?;
    if index.packs().iter().all(|pack| matches!(pack.state, State::Whole | State::Marked)) {
        return Ok(damaged);
    }
    let mut report = CheckReport::default();
    check_sets(open, &index, &StopFlag::default(), &Silent, &mut report)?;
    for set in report.sets {
        if let Some((name, problem)) = set.problems.into_iter().next() {
            let of = name.map(|name| format!("{name}: ")).unwrap_or_default();
            damaged.entry(set.set).or_insert(format!("{of}{problem}"));
        }
    }
    Ok(damaged)
}
