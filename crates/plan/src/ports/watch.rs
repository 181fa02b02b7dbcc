//! How the work tells what it does, and is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::ids::DataSetName;
use crate::{Error, Result};

/// The verbs of a data set's life that take time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Reading the live data into the repository.
    Dump,
    /// Loading a snapshot beside the live data.
    Stage,
    /// Reading back what was staged.
    Prove,
    /// The swap.
    CutOver,
    /// The swap back.
    Undo,
    /// Writing plain files.
    Export,
    /// Reading the repository.
    Check,
}

/// Something that happened. Carries no secrets.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A step of a run's plan begins.
    Step {
        /// Its number in the plan.
        number: u32,
        /// How many steps the plan has.
        of: u32,
        /// What it does, for people.
        action: &'a str,
    },
    /// It ended well.
    StepEnd {
        /// Its number in the plan.
        number: u32,
        /// How many steps the plan has.
        of: u32,
        /// How many of them are done now.
        done: u32,
        /// What it did, for people.
        action: &'a str,
    },
    /// A verb begins.
    Begin {
        /// On which data set.
        data_set: DataSetName,
        /// Which verb.
        verb: Verb,
        /// Expected bytes, when known.
        total_bytes: Option<u64>,
    },
    /// More was done since the last event; sums are the watcher's.
    Advance {
        /// On which data set.
        data_set: DataSetName,
        /// Which verb.
        verb: Verb,
        /// Bytes of data that passed.
        bytes: u64,
        /// Rows, keys or files.
        items: u64,
    },
    /// A verb ended well.
    End {
        /// On which data set.
        data_set: DataSetName,
        /// Which verb.
        verb: Verb,
    },
    /// Something worth a line.
    Note(&'a str),
    /// Something the operator must know.
    Warning(&'a str),
    /// The same about the run's own records (a copy of its journal, what it needs, what it showed), not about any data.
    OfRecords(&'a str),
}

/// Who watches: a terminal, a log, a test.
pub trait Watch: Send + Sync {
    /// Called from any thread, often; must be quick.
    fn see(&self, event: Event<'_>);
}

/// Sees nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Watch for Silent {
    fn see(&self, _event: Event<'_>) {}
}

/// Raised once, by a signal, when the work shall stop.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    own: Arc<AtomicBool>,
    above: Option<Arc<AtomicBool>>,
}

impl StopFlag {
    /// A flag that is raised with this one, and can be raised without it: for work that stops because a part of it failed.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { own: Arc::default(), above: Some(Arc::clone(&self.own)) }
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.own.load(Ordering::Relaxed) || self.above.as_ref().is_some_and(|above| above.load(Ordering::Relaxed))
    }

    /// The shared flag itself, for a signal handler.
    #[must_use]
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own)
    }

    /// # Errors
    /// [`crate::Class::Interrupted`] when the flag is raised.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() { Err(Error::interrupted()) } else { Ok(()) }
    }
}
