//! The state folder: the journals of all runs of an installation, and the lock that lets only one of them go on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plan::error::During;
use plan::ids::RunId;
use plan::journal::{Run, RunState};
use plan::{Class, Error, Purpose, Result};

use crate::journal::{self, Journal};

/// The folder in which the journals of an installation's runs are.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

/// Held while a run goes on; dropped with the process, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateFolder {
    /// Opens the folder, making it (mode 700) when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        let runs = path.join("runs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&runs).map_err(|error| {
            Error::refused(format!("failed to make the state folder {}", path.display()))
                .because(error)
                .hint("Choose another one with --state-folder.")
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Takes the lock: one run per installation at a time.
    ///
    /// # Errors
    /// [`Class::Locked`] when another run holds it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join("lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.during(|| format!("failed to open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(Class::Locked, "another run of threescale-backup goes on for this installation")
                    .hint(format!("It holds {}. Wait for it, or look at it with `threescale-backup runs`.", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(Error::failed(format!("failed to lock {}", path.display())).because(error)),
        }
    }

    /// The ids of all runs, oldest first. A journal without a whole line is of a run that ended before it began: it is none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<RunId>> {
        let folder = self.path.join("runs");
        let what = || format!("failed to list {}", folder.display());
        let mut runs = Vec::new();
        for entry in fs::read_dir(&folder).during(what)? {
            let entry = entry.during(what)?;
            let name = entry.file_name();
            if !journal::is_begun(&entry.path())? {
                continue;
            }
            if let Some(run) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) {
                runs.push(RunId(run.to_owned()));
            }
        }
        runs.sort();
        Ok(runs)
    }

    /// The path of a run's journal.
    #[must_use]
    pub fn journal_path(&self, run: &RunId) -> PathBuf {
        self.path.join("runs").join(format!("{run}.jsonl"))
    }

    /// Begins the journal of a plan.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, plan: plan::Plan) -> Result<Journal> {
        let store = journal::FileStore::create(&self.journal_path(&plan.run))?;
        Journal::begin(Box::new(store), plan)
    }

    /// Reads a run's journal, to be looked at only.
    ///
    /// # Errors
    /// [`Class::Refused`] when there is no such run; [`Class::NeedsPerson`] when its journal is damaged.
    pub fn read(&self, run: &RunId) -> Result<Run> {
        let path = self.journal_path(run);
        Self::require(&path, run)?;
        let (lines, _) = journal::read_lines(&path)?;
        journal::replay(lines).map_err(|error| error.during(format!("failed to read {}", path.display())))
    }

    /// Opens a run's journal to go on with it. A torn last line is dropped.
    ///
    /// # Errors
    /// As [`StateFolder::read`].
    pub fn open_journal(&self, run: &RunId) -> Result<Journal> {
        let path = self.journal_path(run);
        Self::require(&path, run)?;
        let (lines, whole_bytes) = journal::read_lines(&path)?;
        let read = journal::replay(lines).map_err(|error| error.during(format!("failed to read {}", path.display())))?;
        Ok(Journal::over(Box::new(journal::FileStore::append_to(&path, whole_bytes)?), read))
    }

    /// Removes the journals of the oldest runs that are over and keep nothing, all but the newest `keep` of them.
    ///
    /// # Errors
    /// When a journal cannot be read or removed; a damaged one stays.
    pub fn tidy(&self, keep: usize) -> Result<()> {
        let is_over = |run: &Run| match run.state {
            RunState::Undone | RunState::Settled => true,
            RunState::Finished => run.plan.purpose != Purpose::Restore,
            RunState::Open | RunState::Undoing | RunState::Settling => false,
        };
        let mut over: Vec<_> = self.runs()?.into_iter().filter(|id| self.read(id).is_ok_and(|run| is_over(&run))).collect();
        over.truncate(over.len().saturating_sub(keep));
        for id in over {
            let path = self.journal_path(&id);
            fs::remove_file(&path).during(|| format!("failed to remove {}", path.display()))?;
        }
        Ok(())
    }

    fn require(path: &Path, run: &RunId) -> Result<()> {
        if path.is_file() {
            return Ok(());
        }
        Err(Error::refused(format!("there is no run {run}")).hint("`threescale-backup runs` lists them."))
    }
}
