//! `--events`: what is done, as it is done, as lines of JSON (`docs/schemas/event.schema.json`).
//!
//! It is in nobody's way: when the reader goes away, the work goes on without it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb};
use plan::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::SCHEMA_VERSION;
use super::errors::ErrorDocument;

/// How far a verb is, at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) struct Events {
    inner: Mutex<Inner>,
    began: Instant,
    /// Whether standard output is taken.
    pub is_standard_output: bool,
}

struct Inner {
    /// `None`: nobody reads any more.
    to: Option<Box<dyn Write + Send>>,
    going: BTreeMap<(DataSetName, Verb), Going>,
    steps: BTreeMap<u32, Instant>,
}

struct Going {
    began: Instant,
    told: Instant,
    bytes: u64,
    elements: u64,
    expected_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    at: Timestamp,
    #[serde(flatten)]
    told: &'a Told<'a>,
}

/// What a line says. Milliseconds are measured by a clock that never jumps.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Told<'a> {
    /// The command began.
    Began { command: &'a str, program_version: &'a str },
    /// A step of a run's plan began, one of so many.
    StepBegan { step: u32, steps: u32, action: &'a str },
    /// It ended well; so many are done now.
    StepEnded { step: u32, steps: u32, steps_done: u32, action: &'a str, milliseconds: u64 },
    /// A verb began on a data set.
    WorkBegan { data_set: DataSetName, verb: Verb, expected_bytes: Option<u64> },
    /// How far it is.
    Progress { data_set: DataSetName, verb: Verb, bytes: u64, elements: u64, expected_bytes: Option<u64>, milliseconds: u64 },
    /// It ended well.
    WorkEnded { data_set: DataSetName, verb: Verb, bytes: u64, elements: u64, milliseconds: u64 },
    /// Something worth a line.
    Note { text: &'a str },
    /// Something that a person must know.
    Warning { text: &'a str },
    /// The document that `--json` would print.
    Result { document: Value },
    /// The last line of a command that was not killed.
    Done { exit_code: u8, error: Option<&'a ErrorDocument>, milliseconds: u64 },
}

impl Events {
    /// Opens a file or pipe; `-` is standard output.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let is_standard_output = path == Path::new("-");
        let to: Box<dyn Write + Send> = if is_standard_output {
            Box::new(io::stdout())
        } else {
            let opened: io::Result<File> = OpenOptions::new().append(true).create(true).open(path);
            let refused = |error| Error::refused(format!("failed to open {} for --events", path.display())).because(error);
            Box::new(opened.map_err(refused)?)
        };
        let inner = Inner { to: Some(to), going: BTreeMap::new(), steps: BTreeMap::new() };
        Ok(Self { inner: Mutex::new(inner), began: Instant::now(), is_standard_output })
    }

    pub(super) fn tell(&self, told: &Told<'_>) {
        self.lock().write(told);
    }

    /// The last line.
    pub(super) fn done(&self, exit_code: u8, error: Option<&ErrorDocument>) {
        self.tell(&Told::Done { exit_code, error, milliseconds: milliseconds(self.began) });
    }

    /// What the watcher of a run sees, but notes and warnings.
    pub(super) fn see(&self, event: Event<'_>) {
        let mut inner = self.lock();
        match event {
            Event::Step { number, of, action } => {
                inner.steps.insert(number, Instant::now());
                inner.write(&Told::StepBegan { step: number, steps: of, action });
            }
            Event::StepEnd { number, of, done, action } => {
                let milliseconds = inner.steps.remove(&number).map_or(0, milliseconds);
                inner.write(&Told::StepEnded { step: number, steps: of, steps_done: done, action, milliseconds });
            }
            Event::Begin { data_set, verb, total_bytes } => {
                let now = Instant::now();
                let going = Going { began: now, told: now, bytes: 0, elements: 0, expected_bytes: total_bytes };
                inner.going.insert((data_set, verb), going);
                inner.write(&Told::WorkBegan { data_set, verb, expected_bytes: total_bytes });
            }
            Event::Advance { data_set, verb, bytes, items } => {
                let Some(going) = inner.going.get_mut(&(data_set, verb)) else { return };
                going.bytes += bytes;
                going.elements += items;
                if going.told.elapsed() < PROGRESS_EVERY {
                    return;
                }
                going.told = Instant::now();
                let (bytes, elements, expected_bytes) = (going.bytes, going.elements, going.expected_bytes);
                let milliseconds = milliseconds(going.began);
                inner.write(&Told::Progress { data_set, verb, bytes, elements, expected_bytes, milliseconds });
            }
            Event::End { data_set, verb } => {
                let Some(going) = inner.going.remove(&(data_set, verb)) else { return };
                let (bytes, elements) = (going.bytes, going.elements);
                inner.write(&Told::WorkEnded { data_set, verb, bytes, elements, milliseconds: milliseconds(going.began) });
            }
            Event::Note(_) | Event::Warning(_) | Event::OfRecords(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, told: &Told<'_>) {
        let line = Line { schema_version: SCHEMA_VERSION, at: Timestamp::now(), told };
        let Ok(text) = serde_json::to_string(&line) else { return };
        let written = self.to.as_mut().map(|to| to.write_all(format!("{text}\n").as_bytes()).and_then(|()| to.flush()));
        if matches!(written, Some(Err(_))) {
            self.to = None;
        }
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
