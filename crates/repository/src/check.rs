//! Checks the repository and says which sets are damaged.
//!
//! Changes nothing but notes of what it found. Every file is named after the SHA-256 of its content, so a flipped bit anywhere is seen when the file is read:
//! keys, snapshots and index always, packs with [`ReadData`].

mod data;
pub mod structure;

use std::collections::BTreeSet;

use jiff::Timestamp;
use plan::Result;
use plan::checked::Stretch;
use plan::ids::{DataSetName, SetId};
use plan::ports::{Silent, StopFlag, Watch};
use rustic_core::FileType;

use crate::engine::Open;
use crate::index::{Condemned, Index};
use crate::prune;
use crate::records::damage::{self, Mark};
use crate::small::path_of;

/// How a problem ends that was not found now.
const EARLIER: &str = "an earlier check has found that";

/// How much of the data is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: only the structure is checked, and that every pack is there with the right size.
    #[default]
    Nothing,
    /// The packs whose ids begin in this stretch: about so much of it. Stretch after stretch, everything is read.
    Part(Stretch),
    /// All.
    All,
}

/// One set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetReport {
    /// The set.
    pub set: SetId,
    /// When it was finished.
    pub finished_at: Timestamp,
    /// What is damaged in it, by data set; `None` is the manifest itself. Empty: it is whole.
    pub problems: Vec<(Option<DataSetName>, String)>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// All sets, oldest first.
    pub sets: Vec<SetReport>,
    /// Damage of the repository, whether a set needs the place or not.
    pub problems: Vec<String>,
    /// No damage, but good to know: leftovers of interrupted backups.
    pub notes: Vec<String>,
    /// Packs in the repository.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Packs whose content was read and verified.
    pub packs_read: u64,
    /// Their bytes.
    pub read_bytes: u64,
}

impl CheckReport {
    /// Whether everything is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.sets.iter().all(|set| set.problems.is_empty())
    }
}

/// See [`crate::RusticRepository::check`].
///
/// # Errors
/// See there.
pub fn check(open: &Open, read_data: ReadData, stop: &StopFlag, watch: &dyn Watch) -> Result<CheckReport> {
    let open = &open.afresh()?;
    let mut index = open.index()?;
    let mut report = CheckReport::default();
    structure::check_files(open, &index, stop, &mut report)?;
    let (files, bytes) = prune::temporaries(open)?;
    if files > 0 {
        report.notes.push(format!(
            "{files} temporary files of writers that live or were killed ({bytes} bytes): `forget --prune` removes those that are older than a day, with --now \
             all"
        ));
    }
    let mut sets = CheckReport::default();
    let uses = structure::check_sets(open, &index, stop, watch, &mut sets)?;
    let unnamed: BTreeSet<_> = uses.iter().flat_map(|user| &user.packs).filter(|place| **place as usize >= index.packs().len()).collect();
    if !unnamed.is_empty() {
        report.problems.push(format!("{} packs that sets need are in no index file: one was lost or is damaged", unnamed.len()));
    }
    if read_data != ReadData::Nothing {
        let verdicts = data::check_packs(open, &index, &uses, read_data, (stop, watch), &mut report)?;
        if let Some(condemned) = judge(&index, verdicts, &mut report) {
            index = open.index_with(condemned)?;
            // Which sets need what was found bad, and have no other copy of it.
            sets = CheckReport::default();
            structure::check_sets(open, &index, stop, &Silent, &mut sets)?;
        }
    }
    let known = report.problems.clone();
    report.problems.extend(sets.problems.into_iter().filter(|text| !known.contains(text)));
    report.notes.extend(sets.notes);
    report.sets = sets.sets;
    if let Err(error) = note(open, &index, &report) {
        report.notes.push(format!("what was found could not be noted in the repository: {}", error.chain()));
    }
    Ok(report)
}

/// What is condemned from now on, when that is not what was before.
fn judge(index: &Index, verdicts: data::Verdicts, report: &mut CheckReport) -> Option<Condemned> {
    let mut condemned = index.condemned().clone();
    condemned.retain(|pack, _| index.place(pack).is_some() && !verdicts.good.contains(pack));
    // What an earlier check had found is told from its note; what this one has read is told from what it read.
    let is_read = |text: &String| verdicts.good.iter().chain(verdicts.bad.keys()).any(|pack| text.contains(pack.to_hex().as_str()));
    report.problems.retain(|text| !(text.ends_with(EARLIER) && is_read(text)));
    let mut bad: Vec<_> = verdicts.bad.into_iter().collect();
    bad.sort_unstable_by_key(|(pack, _)| *pack);
    for (pack, chunks) in bad {
        let what = match chunks.len() {
            0 => "its content is not what its name says, but every chunk in it is".to_owned(),
            count => format!("{count} of its chunks are not what their names say"),
        };
        report.problems.push(format!("{} is damaged: {what}", path_of(FileType::Pack, &pack)));
        condemned.insert(pack, chunks);
    }
    (condemned != *index.condemned()).then_some(condemned)
}

/// Notes in the repository what was found: the next backup builds on no condemned pack, and `list` shows which sets are damaged.
fn note(open: &Open, index: &Index, report: &CheckReport) -> Result<()> {
    if open.index()?.condemned() != index.condemned() {
        damage::condemn(open, index.condemned())?;
    }
    mark_sets(open, report)
}

/// Marks the sets that are damaged, and takes marks from those that are not.
///
/// # Errors
/// When the repository cannot be written.
pub fn mark_sets(open: &Open, report: &CheckReport) -> Result<()> {
    let marks = damage::marks(open)?;
    for set in &report.sets {
        let mut found: Vec<Mark> = Vec::new();
        for (data_set, what) in &set.problems {
            if !found.iter().any(|mark| mark.data_set == *data_set) {
                found.push(Mark { data_set: *data_set, what: what.clone() });
            }
        }
        if marks.get(set.set.as_str()).map_or(&[][..], Vec::as_slice) != found {
            damage::mark(open, &set.set, &found)?;
        }
    }
    let gone = marks.keys().filter(|set| !report.sets.iter().any(|report| report.set.as_str() == *set));
    gone.into_iter().try_for_each(|set| damage::mark(open, &SetId(set.clone()), &[]))
}
