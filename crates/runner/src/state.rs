//! The journals of all runs of an installation, wherever they stand, and the lock that lets only one run go on.

use std::path::Path;
use std::sync::Arc;

use plan::ids::RunId;
use plan::journal::{Line, Run};
use plan::ports::Shelf;
use plan::{Error, InstallationId, Result};

use crate::folder::{EmptyShelf, FolderShelf};
use crate::journal::{self, Journal};

/// The runs of an installation.
#[derive(Clone)]
pub struct State {
    shelf: Arc<dyn Shelf>,
}

/// Held while a run goes on; let go with the process, however it ends.
pub struct Lock {
    _held: Box<dyn Send>,
}

impl State {
    /// The journals on a shelf.
    #[must_use]
    pub fn on(shelf: Arc<dyn Shelf>) -> Self {
        Self { shelf }
    }

    /// The journals in a folder, which is made (mode 700) when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(path: &Path) -> Result<Self> {
        Ok(Self::on(Arc::new(FolderShelf::open(path)?)))
    }

    /// The journals of a folder, to be looked at only: nothing is made, and nothing need be writable. A folder that is not there has none.
    ///
    /// # Errors
    /// When this user may not read all of them.
    pub fn folder_to_look_at(path: &Path) -> Result<Self> {
        Ok(FolderShelf::existing(path)?.map_or_else(Self::without_runs, |shelf| Self::on(Arc::new(shelf))))
    }

    /// Without any run, where nothing can be begun.
    #[must_use]
    pub fn without_runs() -> Self {
        Self::on(Arc::new(EmptyShelf))
    }

    /// Where the journals are, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.shelf.place()
    }

    /// Takes the lock of an installation: one change at a time.
    ///
    /// # Errors
    /// [`plan::Class::Locked`] when another run holds it.
    pub fn lock(&self, installation: &InstallationId) -> Result<Lock> {
        Ok(Lock { _held: self.shelf.lock(installation)? })
    }

    /// All runs, oldest first, each journal read once; with the error of one that is damaged or cannot be read. A copy under another name is no run: see
    /// [`State::strays`].
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn all(&self) -> Result<Vec<(RunId, Result<Run>)>> {
        let mut all = Vec::new();
        for name in self.shelf.names()? {
            let id = RunId(name);
            match self.shelf.read(id.as_str()) {
                Ok(Some(bytes)) if journal::is_begun(&bytes) => {
                    let run = replayed(&bytes).map_err(|error| self.during(error, &id));
                    if !run.as_ref().is_ok_and(|run| run.plan.run != id) {
                        all.push((id, run));
                    }
                }
                // Removed since, or of a run that ended before it began.
                Ok(_) => {}
                Err(error) => all.push((id, Err(error))),
            }
        }
        Ok(all)
    }

    /// Journals under a name that is not that of their run, each with the run: copies that somebody made by hand. Nothing goes on with them.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn strays(&self) -> Result<Vec<(String, RunId)>> {
        let of = |name: String| {
            let run = replayed(&self.shelf.read(&name).ok()??).ok()?.plan.run;
            (run.as_str() != name).then_some((name, run))
        };
        Ok(self.shelf.names()?.into_iter().filter_map(of).collect())
    }

    /// The bytes of a run's journal; `None` when there is none here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self, run: &RunId) -> Result<Option<Vec<u8>>> {
        self.shelf.read(run.as_str())
    }

    /// Puts a copy of a journal on the shelf, in the place of the one of that name, if any.
    ///
    /// # Errors
    /// When the copy is damaged, or cannot be written.
    pub fn adopt(&self, run: &RunId, copy: &[u8]) -> Result<()> {
        let (lines, whole_bytes) = journal::lines_of(copy)?;
        journal::replay(lines)?;
        if self.shelf.names()?.iter().any(|name| name == run.as_str()) {
            self.shelf.remove(run.as_str())?;
        }
        let whole = usize::try_from(whole_bytes).unwrap_or(copy.len()).min(copy.len());
        self.shelf.open(run.as_str(), 0)?.append(&copy[..whole])
    }

    /// Takes a damaged journal out of the list, without deleting it, and says where it is.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn set_aside(&self, run: &RunId) -> Result<String> {
        self.shelf.set_aside(run.as_str())
    }

    /// The ids of all runs, oldest first. A journal without a whole line is of a run that ended before it began: it is none.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn runs(&self) -> Result<Vec<RunId>> {
        Ok(self.all()?.into_iter().map(|(id, _)| id).collect())
    }

    /// Begins the journal of a plan.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, plan: plan::Plan) -> Result<Journal> {
        let end = self.shelf.open(plan.run.as_str(), 0)?;
        Journal::begin(end, plan)
    }

    /// Reads a run's journal, to be looked at only.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no such run; [`plan::Class::NeedsPerson`] when its journal is damaged.
    pub fn read(&self, run: &RunId) -> Result<Run> {
        self.told(run).map(|(run, _)| run)
    }

    /// What a run's journal says, and its whole lines.
    pub(crate) fn told(&self, run: &RunId) -> Result<(Run, Vec<Line>)> {
        let (lines, _) = self.lines(run)?;
        let replayed = journal::replay(lines.clone()).map_err(|error| self.during(error, run))?;
        Ok((replayed, lines))
    }

    /// Opens a run's journal to go on with it. A torn last line is dropped.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn open_journal(&self, run: &RunId) -> Result<Journal> {
        let (lines, whole_bytes) = self.lines(run)?;
        let read = journal::replay(lines).map_err(|error| self.during(error, run))?;
        let text = self.shelf.read(run.as_str())?.unwrap_or_default();
        let whole = text.get(..usize::try_from(whole_bytes).unwrap_or(usize::MAX)).unwrap_or(&text).to_vec();
        Ok(Journal::over(self.shelf.open(run.as_str(), whole_bytes)?, whole, read))
    }

    /// Removes the journals of the oldest runs that are over and keep nothing, all but the newest `keep` of them.
    ///
    /// # Errors
    /// When a journal cannot be read or removed; a damaged one stays.
    pub fn tidy(&self, keep: usize) -> Result<()> {
        let mut over: Vec<_> = self.all()?.into_iter().filter(|(_, run)| run.as_ref().is_ok_and(Run::is_over)).map(|(id, _)| id).collect();
        over.truncate(over.len().saturating_sub(keep));
        over.iter().try_for_each(|id| self.shelf.remove(id.as_str()))
    }

    /// The whole lines of a run's journal, and how many bytes they take.
    fn lines(&self, run: &RunId) -> Result<(Vec<Line>, u64)> {
        let bytes = self.shelf.read(run.as_str())?;
        let bytes = bytes.ok_or_else(|| Error::refused(format!("there is no run {run}")).hint("`threescale-backup runs` lists them."))?;
        journal::lines_of(&bytes).map_err(|error| self.during(error, run))
    }

    fn during(&self, error: Error, run: &RunId) -> Error {
        error.during(format!("failed to read the journal of run {run} in {}", self.shelf.place()))
    }
}

fn replayed(bytes: &[u8]) -> Result<Run> {
    journal::lines_of(bytes).and_then(|(lines, _)| journal::replay(lines))
}
