//! How fast the verbs were here: a small file beside the journals, of which plans and progress say how long something takes. Where there is no past, nothing is said.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use plan::Plan;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use plan::step::Action;
use serde::{Deserialize, Serialize};

use crate::output::{Expected, file};

const FILE: &str = "rates.json";
const FORMAT: u32 = 1;
/// Of each verb on each data set so many of the last are kept.
const KEPT: usize = 5;
/// Less says how long it takes to begin.
const BYTES_MIN: u64 = 1 << 20;
/// More is no file of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How many steps run side by side; where it is another number, nothing is expected.
const LANES: i64 = runner::LANES as i64;

/// Where the stores are: throw-away servers of this machine are as fast as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    Installation,
    Rehearsal,
}

/// What was done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    at: Timestamp,
    bytes: u64,
    ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    format: u32,
    /// By place, verb and data set: `installation/stage/system-database`. The newest last.
    past: BTreeMap<String, Vec<Past>>,
}

/// The past of one place.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    file: PathBuf,
    of: Of,
}

impl Rates {
    pub(crate) fn new(state_folder: PathBuf, of: Of) -> Self {
        Self { file: state_folder.join(FILE), of }
    }

    fn key(&self, data_set: DataSetName, verb: Verb) -> String {
        let of = if self.of == Of::Installation { "installation" } else { "rehearsal" };
        let verb = serde_json::to_value(verb).ok().and_then(|verb| verb.as_str().map(str::to_owned)).unwrap_or_default();
        format!("{of}/{verb}/{data_set}")
    }

    /// What cannot be read is no past.
    fn read(&self) -> Document {
        let is_ours = std::fs::metadata(&self.file).is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES_MAX);
        let text = if is_ours { std::fs::read(&self.file).unwrap_or_default() } else { Vec::new() };
        serde_json::from_slice(&text).ok().filter(|document: &Document| document.format == FORMAT).unwrap_or_default()
    }

    /// Nobody is told wrong things when it cannot be written: the next plan says nothing.
    fn keep(&self, data_set: DataSetName, verb: Verb, past: Past) {
        let mut document = self.read();
        document.format = FORMAT;
        let all = document.past.entry(self.key(data_set, verb)).or_default();
        all.push(past);
        all.drain(..all.len().saturating_sub(KEPT));
        let Ok(text) = serde_json::to_string(&document) else { return };
        if let Some(folder) = self.file.parent() {
            drop(DirBuilder::new().recursive(true).mode(0o700).create(folder));
        }
        drop(file::replace(&self.file, &text));
    }

    /// How long so many bytes take, in milliseconds.
    fn expected_ms(&self, document: &Document, data_set: DataSetName, verb: Verb, bytes: u64) -> Option<i64> {
        let past = document.past.get(&self.key(data_set, verb))?;
        let (done, ms) = past.iter().fold((0_u128, 0_u128), |(bytes, ms), one| (bytes + u128::from(one.bytes), ms + u128::from(one.ms)));
        i64::try_from((u128::from(bytes) * ms).checked_div(done)?).ok()
    }

    /// How long the loads and proofs of a plan take, as fast as before.
    pub(crate) fn of_plan(&self, plan: &Plan) -> Estimate {
        let works = plan.steps.iter().filter_map(|step| match step.action {
            Action::Stage { data_set, .. } => Some((data_set, Verb::Stage)),
            Action::Prove { data_set, .. } => Some((data_set, Verb::Prove)),
            _ => None,
        });
        let bytes = |name: DataSetName| plan.data_sets.get(&name).and_then(|planned| planned.kept.as_ref()).map_or(0, |kept| kept.bytes);
        self.of_works(works.map(|(name, verb)| (name, verb, bytes(name))))
    }

    /// How long the dumps of a backup take.
    pub(crate) fn of_backup(&self, plan: &Plan) -> Estimate {
        self.of_works(plan.data_sets.iter().map(|(name, planned)| (*name, Verb::Dump, planned.findings.size_bytes)))
    }

    fn of_works(&self, works: impl Iterator<Item = (DataSetName, Verb, u64)>) -> Estimate {
        let document = self.read();
        let mut estimate = Estimate::default();
        for (data_set, verb, bytes) in works {
            match self.expected_ms(&document, data_set, verb, bytes) {
                Some(ms) => drop(estimate.expected.insert((data_set, verb), ms)),
                // Little takes no time to speak of, whoever has done it before.
                None if bytes < BYTES_MIN => {}
                None if estimate.unknown.contains(&data_set) => {}
                None => estimate.unknown.push(data_set),
            }
        }
        estimate
    }

    /// Notes what is watched.
    pub(crate) fn watching(self, inner: Arc<dyn Watch>) -> Arc<dyn Watch> {
        Arc::new(Noting { rates: self, inner, going: Mutex::default() })
    }
}

/// How long something takes, as far as there is a past.
#[derive(Debug, Clone, Default)]
pub(crate) struct Estimate {
    /// In milliseconds.
    pub(crate) expected: Expected,
    /// Data sets without a past.
    pub(crate) unknown: Vec<DataSetName>,
}

impl Estimate {
    /// All of it, when all of it is known.
    pub(crate) fn ms(&self) -> Option<i64> {
        let is_known = self.unknown.is_empty() && !self.expected.is_empty();
        is_known.then(|| side_by_side(self.expected.values().copied()))
    }

    /// What is expected, when all of it is known: a part says nothing of the whole.
    pub(crate) fn whole(self) -> Expected {
        if self.unknown.is_empty() { self.expected } else { Expected::new() }
    }
}

/// How long works take of which some run side by side.
pub(crate) fn side_by_side(works: impl Iterator<Item = i64>) -> i64 {
    let (sum, longest) = works.fold((0_i64, 0), |(sum, longest), ms| (sum.saturating_add(ms), longest.max(ms)));
    longest.max(sum / LANES)
}

struct Noting {
    rates: Rates,
    inner: Arc<dyn Watch>,
    going: Mutex<BTreeMap<(DataSetName, Verb), (Instant, u64)>>,
}

impl Watch for Noting {
    fn see(&self, event: Event<'_>) {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begin { data_set, verb, .. } => drop(going.insert((data_set, verb), (Instant::now(), 0))),
            Event::Advance { data_set, verb, bytes, .. } => {
                if let Some((_, done)) = going.get_mut(&(data_set, verb)) {
                    *done += bytes;
                }
            }
            Event::End { data_set, verb } => {
                if let Some((began, bytes)) = going.remove(&(data_set, verb)).filter(|(_, bytes)| *bytes >= BYTES_MIN) {
                    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
                    self.rates.keep(data_set, verb, Past { at: Timestamp::now(), bytes, ms });
                }
            }
            _ => {}
        }
        drop(going);
        self.inner.see(event);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use plan::ports::Silent;

    use super::*;

    const WORK: (DataSetName, Verb) = (DataSetName::SystemDatabase, Verb::Stage);

    #[test]
    fn what_was_done_says_how_long_more_of_it_takes_and_no_more_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let rates = Rates::new(folder.path().join("state"), Of::Installation);
        let expected = |rates: &Rates, bytes| rates.of_works(std::iter::once((WORK.0, WORK.1, bytes))).ms();
        assert_eq!(expected(&rates, 10 << 20), None, "there is no past");
        for seconds in [100, 1, 1, 2, 3, 1] {
            rates.keep(WORK.0, WORK.1, Past { at: Timestamp::UNIX_EPOCH, bytes: 8 << 20, ms: seconds * 1000 });
        }
        assert_eq!(expected(&rates, 80 << 20), Some(16_000), "the last five");
        let rehearsal = Rates::new(folder.path().join("state"), Of::Rehearsal);
        assert_eq!(expected(&rehearsal, 80 << 20), None);
        let two = rates.of_works([(WORK.0, WORK.1, 80 << 20), (DataSetName::ZyncDatabase, Verb::Stage, 80 << 20)].into_iter());
        assert_eq!((two.ms(), two.unknown.as_slice()), (None, &[DataSetName::ZyncDatabase][..]));
        assert!(two.whole().is_empty());
        std::fs::write(folder.path().join("state").join(FILE), "{").unwrap();
        assert_eq!(expected(&rates, 80 << 20), None, "what is damaged is no past");
        assert_eq!(side_by_side([10, 20, 30].into_iter()), 30);
        assert_eq!(side_by_side([10, 10, 10, 10].into_iter()), 20);
    }

    #[test]
    fn what_is_watched_is_kept_when_it_ended_well_and_says_something() {
        let folder = tempfile::tempdir().unwrap();
        let rates = Rates::new(folder.path().to_owned(), Of::Installation);
        let watch = rates.clone().watching(Arc::new(Silent));
        let (data_set, verb) = WORK;
        for (bytes, ends) in [(BYTES_MIN - 1, true), (BYTES_MIN, false), (4 << 20, true)] {
            watch.see(Event::Begin { data_set, verb, total_bytes: None });
            watch.see(Event::Advance { data_set, verb, bytes, items: 1 });
            if ends {
                watch.see(Event::End { data_set, verb });
            }
        }
        let past = rates.read().past;
        assert_eq!(past.values().flatten().map(|past| past.bytes).collect::<Vec<_>>(), [4 << 20]);
        assert_eq!(past.keys().collect::<Vec<_>>(), ["installation/stage/system-database"]);
    }
}
