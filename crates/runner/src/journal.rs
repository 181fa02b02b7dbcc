//! The journal: JSON lines, each on stable storage before the step that it announces.
//!
//! A write that fails stops the run: acting without a record is never an option.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use plan::error::During;
use plan::journal::{FORMAT, Line, Record, Run};
use plan::ports::Append;
use plan::{Error, Plan, Result};

/// A journal open for writing, and what it says so far.
pub struct Journal {
    inner: Mutex<Inner>,
}

struct Inner {
    end: Box<dyn Append>,
    run: Run,
    /// All whole lines, for copies of the journal.
    text: Vec<u8>,
    /// An append failed: what stands at the end of the journal is not known, and nothing more is written behind it.
    is_closed: bool,
}

impl Journal {
    /// Begins a journal with the record of its plan.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(end: Box<dyn Append>, plan: Plan) -> Result<Self> {
        let record =
            Record::Opened { format: FORMAT.to_owned(), program_version: env!("CARGO_PKG_VERSION").to_owned(), plan: Box::new(plan) };
        let line = Line { at: Timestamp::now(), record };
        let text = to_text(&line)?;
        let mut inner = Inner { end, run: Run::open(line)?, text: Vec::new(), is_closed: false };
        inner.append(&text)?;
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// Goes on with a journal that was read: its whole lines, and what they say.
    #[must_use]
    pub fn over(end: Box<dyn Append>, text: Vec<u8>, run: Run) -> Self {
        Self { inner: Mutex::new(Inner { end, run, text, is_closed: false }) }
    }

    /// Writes a record. The rules are checked before it is written.
    ///
    /// # Errors
    /// When the record cannot follow, or is not on stable storage.
    pub fn write(&self, record: Record) -> Result<()> {
        let mut inner = self.lock();
        let line = Line { at: Timestamp::now(), record };
        let mut next = inner.run.clone();
        next.apply(line.clone())?;
        let text = to_text(&line)?;
        inner.append(&text)?;
        inner.run = next;
        Ok(())
    }

    /// All that was written, in whole lines.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.lock().text.clone()
    }

    /// What the journal says now.
    #[must_use]
    pub fn run(&self) -> Run {
        self.lock().run.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, line: &str) -> Result<()> {
        if self.is_closed {
            return Err(Error::failed("the journal is closed: an earlier record could not be written")
                .hint("What is torn at its end is cut off when it is opened again."));
        }
        let appended = self.end.append(format!("{line}\n").as_bytes());
        appended.map_err(|error| {
            self.is_closed = true;
            error.during("failed to write the journal; nothing more is done")
        })?;
        self.text.extend_from_slice(line.as_bytes());
        self.text.push(b'\n');
        Ok(())
    }
}

fn to_text(line: &Line) -> Result<String> {
    serde_json::to_string(line).during(|| "failed to write a journal record as JSON".to_owned())
}

/// Whether a journal has its first line.
pub(crate) fn is_begun(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n')
}

/// The lines of a journal, and how many bytes they take. A last line without its line feed is torn, and left out.
pub(crate) fn lines_of(bytes: &[u8]) -> Result<(Vec<Line>, u64)> {
    let (mut lines, mut whole_bytes) = (Vec::new(), 0);
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        if text.last() != Some(&b'\n') {
            break;
        }
        let line = serde_json::from_slice(text).map_err(|error| {
            Error::needs_person(format!("line {} of the journal is damaged", lines.len() + 1)).because(error).hint(
                "Nothing was touched. Compare the stores with the journal by hand, or put the journal back from where it is backed up.",
            )
        })?;
        lines.push(line);
        whole_bytes += u64::try_from(text.len()).unwrap_or(0);
    }
    Ok((lines, whole_bytes))
}

/// What the lines say.
pub(crate) fn replay(lines: Vec<Line>) -> Result<Run> {
    let mut lines = lines.into_iter();
    let first = lines.next().ok_or_else(|| {
        Error::refused("the journal is empty: the run ended before it began").hint("Nothing was touched; the file may be deleted.")
    })?;
    let mut run = Run::open(first)?;
    lines.try_for_each(|line| run.apply(line))?;
    Ok(run)
}
