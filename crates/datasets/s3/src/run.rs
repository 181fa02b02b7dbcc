//! What a run leaves in the bucket, below `.threescale-backup/RUN/`, and what may be done with it.
//!
//! | name | what it is |
//! |---|---|
//! | `mark.json` | whose it is |
//! | `list/N` | what became of every object of the set, a line each, in the order of the tree ([`Item`]) |
//! | `staged.json` | staging is complete |
//! | `stage/N` | an object of the set that differs from the live one of its key; also after the cut-over, for nobody needs to copy it back |
//! | `swap.json` | how far the cut-over came: the only truth about that |
//! | `before/N` | the live object that was replaced or removed |
//! | `absent/N` | that there was none |
//! | `since/N` | what was put over a restored object after the cut-over, when that was undone |
//!
//! Objects that the live bucket does not have are at their own keys from the staging on: no row names them before the cut-over. N counts the objects of the set, because
//! a key with something before it may be longer than S3 allows.

use std::sync::Arc;

use bytes::Bytes;
use plan::error::During as _;
use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, Holds, Mark, MarkRole, Place, StopFlag};
use plan::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::client::get::Got;
use crate::key::OWN;
use crate::properties::Properties;

pub(crate) const MARK: &str = "mark.json";
pub(crate) const STAGED: &str = "staged.json";
pub(crate) const SWAP: &str = "swap.json";
/// Where a right to copy is tried.
const TRIAL: &str = "trial";
/// The largest document of a run that is read.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// What a [`Place`] of this data set says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    pub(crate) run: RunId,
    /// What told the bucket from others when it was reserved.
    pub(crate) identity: String,
}

impl Spot {
    pub(crate) fn to_place(&self) -> Result<Place> {
        serde_json::to_value(self).map(Place).during(|| "write down the place of the objects".to_owned())
    }

    /// The id becomes a prefix below which all is removed later, so it is checked.
    pub(crate) fn from_place(place: &Place) -> Result<Self> {
        let spot: Self = serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person("the journal's place of the objects is not readable").because(error))?;
        check_id(spot.run.as_str())?;
        Ok(spot)
    }
}

fn check_id(id: &str) -> Result<()> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Error::needs_person(format!("a run cannot be called {id:?}")));
    }
    Ok(())
}

/// What became of an object of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// The live one is the same.
    Same,
    /// There is no live one: it was put at its key.
    New,
    /// The live one is another: it was put at `stage/N`.
    Differs,
    /// It is live, the set does not have it, and it is to go.
    Extra,
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) fate: Fate,
    pub(crate) number: u64,
    /// What it was when it was put, or found to be the same; absent when that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) e_tag: Option<String>,
    /// Whether it is a further name of a file of the set, which the evidence counts once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_link: bool,
}

impl Item {
    pub(crate) fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }
}

/// What staging leaves for the proof and the cut-over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// How many lists there are.
    pub(crate) lists: u64,
    pub(crate) warnings: Vec<String>,
}

/// How far a cut-over came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Live objects that will be replaced are copied to `before/`; nothing live is changed.
    Saving,
    /// Objects of `stage/` are copied to their keys.
    Putting,
    /// The restored data is live.
    Swapped,
    /// Objects of `before/` are copied back.
    PuttingBack,
    /// The previous data is live again.
    Undone,
    /// The previous data is being removed.
    Discarding,
    /// The staged copy is being removed; the previous data is live.
    DroppingStaged,
}

impl Phase {
    /// Whether live data is neither the old nor the new.
    pub(crate) const fn is_half(self) -> bool {
        matches!(self, Self::Putting | Self::PuttingBack)
    }
}

/// What is noted of a cut-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    pub(crate) phase: Phase,
    /// Counts up with each cut-over of this bucket whose previous data is still kept.
    pub(crate) order: u64,
    /// While a finished cut-over is undone: when it was finished, by the bucket's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) swapped_at_ns: Option<i128>,
}

/// A run's objects as they were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) run: String,
    pub(crate) mark: Option<Mark>,
    pub(crate) swap: Option<Swap>,
    pub(crate) is_staged: bool,
    pub(crate) has_lists: bool,
    pub(crate) has_since: bool,
    pub(crate) has_before: bool,
}

impl Found {
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.swap.as_ref().map(|swap| swap.phase)
    }

    pub(crate) fn is_half(&self) -> bool {
        self.phase().is_some_and(Phase::is_half)
    }

    pub(crate) fn holds(&self) -> Holds {
        match self.phase() {
            Some(Phase::Swapped | Phase::Discarding | Phase::Putting | Phase::PuttingBack) => Holds::Previous,
            _ if self.has_since || self.is_headless() => Holds::Previous,
            _ if self.has_lists => Holds::Staged,
            _ => Holds::Mark,
        }
    }

    /// Whether previous objects are there, and what says how far the cut-over came is not: a lifecycle rule or a person has removed it.
    pub(crate) fn is_headless(&self) -> bool {
        self.swap.is_none() && self.has_before
    }

    /// Refuses to guess which data is live.
    pub(crate) fn check_head(&self) -> Result<()> {
        if !self.is_headless() {
            return Ok(());
        }
        let text = format!("{OWN}{}/{SWAP} is gone, which says how far the cut-over came, and previous objects are there", self.run);
        Err(Error::needs_person(text).hint("A lifecycle rule of the bucket, or a person, has removed it. Nothing was touched.").hint(format!(
            "The previous objects are in {OWN}{0}/before/, by numbers that the lists in {OWN}{0}/list/ give to keys. `abandon {0} --remove --drop-previous` ends the run with what is live now.",
            self.run
        )))
    }

    /// What must not have changed between finding and removing.
    pub(crate) fn state(&self) -> String {
        format!("{:?}, {}, {}", self.phase(), self.is_staged, self.has_since)
    }

    /// Refuses what another data set or run has marked.
    pub(crate) fn check_own(&self, run: &RunId, data_set: DataSetName) -> Result<()> {
        match &self.mark {
            Some(mark) if mark.run != *run || mark.data_set != data_set => {
                let text = format!("{OWN}{} is marked as that of {}: {}", self.run, mark.owner(), mark.data_set);
                Err(Error::needs_person(text).hint("Nothing was touched."))
            }
            _ => Ok(()),
        }
    }
}

/// The objects of one run.
#[derive(Clone)]
pub(crate) struct RunObjects {
    pub(crate) client: Arc<Client>,
    pub(crate) run: RunId,
    prefix: String,
}

impl RunObjects {
    /// Of a run in this bucket.
    ///
    /// # Errors
    /// When the id cannot be one.
    pub(crate) fn new(client: &Arc<Client>, run: &RunId) -> Result<Self> {
        check_id(run.as_str())?;
        Ok(Self { client: Arc::clone(client), run: run.clone(), prefix: format!("{OWN}{run}/") })
    }

    /// The key of something of the run.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn numbered(&self, folder: &str, number: u64) -> String {
        self.key(&format!("{folder}/{number:012}"))
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        format!("{} in {}", self.prefix, self.client.shown())
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, stop: &StopFlag, name: &str) -> Result<Option<T>> {
        Ok(self.read_with_time(stop, name)?.map(|(value, _)| value))
    }

    /// A document, and when it was written by the bucket's clock.
    pub(crate) fn read_with_time<T: DeserializeOwned>(&self, stop: &StopFlag, name: &str) -> Result<Option<(T, i128)>> {
        let key = self.key(name);
        let Got::There((head, bytes)) = self.client.get(stop, &key, None)? else { return Ok(None) };
        let damaged = |error| Error::needs_person(format!("{key} of {} is damaged", self.client.shown())).because(error);
        if head.size > DOCUMENT_BYTES_MAX {
            return Err(Error::needs_person(format!("{key} of {} is none of this program's: it is too large", self.client.shown())));
        }
        serde_json::from_slice(&bytes).map(|value| Some((value, head.modified_ns))).map_err(damaged)
    }

    pub(crate) fn write<T: Serialize>(&self, stop: &StopFlag, name: &str, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value).during(|| format!("write down {name}"))?;
        self.client.put_bytes(stop, &self.key(name), Bytes::from(bytes), &Properties::default()).map(drop)
    }

    /// The mark of the run.
    pub(crate) fn claim(&self, context: &Context, data_set: DataSetName) -> Result<()> {
        self.write(&context.stop, MARK, &Mark::of(context, data_set, MarkRole::Staged))
    }

    /// Writes, reads, copies and removes in the run's own place what a restore will: a right that is missing is known before anything is touched.
    pub(crate) fn try_rights(&self, stop: &StopFlag) -> Result<()> {
        let (from, to) = (self.key(MARK), self.key(TRIAL));
        let is_there = self.client.copy(stop, crate::client::put::Limits::default(), &from, &to)?;
        self.client.delete(stop, &to)?;
        if is_there { Ok(()) } else { Err(Error::failed(format!("{from} was written to {} and is not there", self.client.shown()))) }
    }

    /// Writes a list.
    pub(crate) fn write_list(&self, stop: &StopFlag, number: u64, items: &[Item]) -> Result<()> {
        self.write(stop, &format!("list/{number:012}"), &items)
    }

    /// Hands over the lists one by one.
    pub(crate) fn each_list(&self, stop: &StopFlag, mut take: impl FnMut(Vec<Item>) -> Result<()>) -> Result<()> {
        let staged: Option<Staged> = self.read(stop, STAGED)?;
        for number in 0.. {
            if staged.as_ref().is_some_and(|staged| number == staged.lists) {
                break;
            }
            let Some(items) = self.read(stop, &format!("list/{number:012}"))? else {
                if staged.is_none() {
                    break;
                }
                return Err(Error::needs_person(format!("failed to list {number} is missing in {}", self.place()))
                    .hint("A lifecycle rule of the bucket, or a person, has removed it.")
                    .hint(format!("`abandon {} --remove --drop-previous` ends the run with what is live now.", self.run)));
            };
            take(items)?;
        }
        Ok(())
    }

    pub(crate) fn find(&self, stop: &StopFlag) -> Result<Found> {
        let has = |name: &str| self.client.head(stop, &self.key(name)).map(|head| head.is_some());
        Ok(Found {
            run: self.run.to_string(),
            mark: self.read(stop, MARK)?,
            swap: self.read(stop, SWAP)?,
            is_staged: has(STAGED)?,
            has_lists: has("list/000000000000")?,
            has_since: self.has_any(stop, "since/")?,
            has_before: self.has_any(stop, "before/")?,
        })
    }

    pub(crate) fn has_any(&self, stop: &StopFlag, folder: &str) -> Result<bool> {
        let mut has = false;
        self.client.list(stop, &self.key(folder), |_| {
            has = true;
            Ok(false)
        })?;
        Ok(has)
    }

    /// Hands over the keys of all that the run has below a folder, some at a time.
    pub(crate) fn each_key(&self, stop: &StopFlag, folder: &str, mut take: impl FnMut(&[(String, u64)]) -> Result<()>) -> Result<()> {
        let mut keys = Vec::new();
        self.client.list(stop, &self.key(folder), |listed| {
            keys.push((listed.key, listed.size));
            if keys.len() == 1000 {
                take(&std::mem::take(&mut keys))?;
            }
            Ok(true)
        })?;
        take(&keys)
    }
}

/// What all runs left in the bucket.
pub(crate) fn all(client: &Arc<Client>, stop: &StopFlag) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in client.folders(stop, OWN)? {
        if check_id(&name).is_ok() {
            found.push(RunObjects::new(client, &RunId(name))?.find(stop)?);
        }
    }
    Ok(found)
}

/// Refuses to change live data that another run has half replaced.
pub(crate) fn refuse_half(runs: &[Found], own: &RunId) -> Result<()> {
    match runs.iter().find(|run| run.is_half() && run.run != own.as_str()) {
        None => Ok(()),
        Some(other) => Err(Error::needs_person(format!("the bucket is half replaced by run {}", other.run))
            .hint("Resume or undo that run first, or end it with `abandon`; nothing was touched.")),
    }
}

/// Refuses a bucket that is half replaced.
pub(crate) fn check_whole(runs: &[Found], place: &str) -> Result<()> {
    match runs.iter().find(|run| run.is_half()) {
        None => Ok(()),
        Some(run) => Err(Error::refused(format!("the objects of {place} are half replaced by run {}", run.run))
            .hint("They are neither the old data nor the new. Resume or undo that run, or end it with `abandon`; then back up.")),
    }
}
