//! The journal on stable storage: JSON lines, each synced before the step that it announces.
//!
//! A write that fails stops the run: acting without a record is never an option.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use plan::error::During;
use plan::journal::{FORMAT, Line, Record, Run};
use plan::{Error, Plan, Result};

/// Where a journal's lines go. Returns when the line is on stable storage.
pub trait Store: Send {
    /// Appends one line (without its line feed).
    ///
    /// # Errors
    /// When it is not certain that the line is on stable storage.
    fn append(&mut self, line: &str) -> Result<()>;
}

/// A journal open for writing, and what it says so far.
pub struct Journal {
    inner: Mutex<Inner>,
}

struct Inner {
    store: Box<dyn Store>,
    run: Run,
}

impl Journal {
    /// Begins a journal with the record of its plan.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut store: Box<dyn Store>, plan: Plan) -> Result<Self> {
        let record =
            Record::Opened { format: FORMAT.to_owned(), program_version: env!("CARGO_PKG_VERSION").to_owned(), plan: Box::new(plan) };
        let line = Line { at: Timestamp::now(), record };
        store.append(&to_text(&line)?)?;
        let run = Run::open(line)?;
        Ok(Self { inner: Mutex::new(Inner { store, run }) })
    }

    /// Goes on with a journal that was read.
    #[must_use]
    pub fn over(store: Box<dyn Store>, run: Run) -> Self {
        Self { inner: Mutex::new(Inner { store, run }) }
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
        inner.store.append(&text)?;
        inner.run = next;
        Ok(())
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

fn to_text(line: &Line) -> Result<String> {
    serde_json::to_string(line).during(|| "failed to write a journal record as JSON".to_owned())
}

/// Lines in a file of mode 600.
pub(crate) struct FileStore {
    file: File,
}

impl FileStore {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let what = || format!("failed to create the journal {}", path.display());
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path).during(what)?;
        let folder = path.parent().ok_or_else(|| Error::failed(what()))?;
        File::open(folder).and_then(|folder| folder.sync_all()).during(what)?;
        Ok(Self { file })
    }

    /// Opens for appending after the first `whole_bytes` bytes; what is behind them is a torn line.
    pub(crate) fn append_to(path: &Path, whole_bytes: u64) -> Result<Self> {
        let what = || format!("failed to open the journal {}", path.display());
        let mut file = OpenOptions::new().write(true).open(path).during(what)?;
        file.set_len(whole_bytes).during(what)?;
        file.seek(SeekFrom::End(0)).during(what)?;
        file.sync_all().during(what)?;
        Ok(Self { file })
    }
}

impl Store for FileStore {
    fn append(&mut self, line: &str) -> Result<()> {
        let what = || "failed to write the journal; nothing more is done".to_owned();
        self.file.write_all(format!("{line}\n").as_bytes()).during(what)?;
        self.file.sync_data().during(what)
    }
}

/// Whether a journal has its first line.
pub(crate) fn is_begun(path: &Path) -> Result<bool> {
    let what = || format!("failed to read the journal {}", path.display());
    let mut first = Vec::new();
    BufReader::new(File::open(path).during(what)?).read_until(b'\n', &mut first).during(what)?;
    Ok(first.last() == Some(&b'\n'))
}

/// The lines of a journal, and how many bytes they take. A last line without its line feed is torn, and left out.
pub(crate) fn read_lines(path: &Path) -> Result<(Vec<Line>, u64)> {
    let what = || format!("failed to read the journal {}", path.display());
    let mut reader = BufReader::new(File::open(path).during(what)?);
    let (mut lines, mut whole_bytes, mut text) = (Vec::new(), 0, Vec::new());
    loop {
        text.clear();
        let count = reader.read_until(b'\n', &mut text).during(what)?;
        if text.last() != Some(&b'\n') {
            return Ok((lines, whole_bytes));
        }
        let line = serde_json::from_slice(&text).map_err(|error| {
            Error::needs_person(format!("line {} of the journal {} is damaged", lines.len() + 1, path.display())).because(error).hint(
                "Nothing was touched. Compare the stores with the journal by hand, or put the file back from a backup of this machine.",
            )
        })?;
        lines.push(line);
        whole_bytes += u64::try_from(count).unwrap_or(0);
    }
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
