//! Copies that are made anew from their source of truth after a restore.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::Result;

/// A copy, and so the task that makes it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncTask {
    /// The configuration in Backend, from System (`backend:storage:rewrite`, porta `lib/tasks/backend/storage.rake`).
    BackendConfiguration,
    /// The search index, from System (`searchd:optimal_index`, porta `lib/tasks/searchd.rake`).
    SearchIndex,
    /// zync's tenants and domains, from System (`zync:resync:domains`, porta `lib/tasks/zync.rake`).
    ZyncDomains,
}

impl SyncTask {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 3] = [Self::BackendConfiguration, Self::SearchIndex, Self::ZyncDomains];

    /// How a person does it.
    #[must_use]
    pub const fn by_hand(self) -> &'static str {
        match self {
            Self::BackendConfiguration => "run `bundle exec rake backend:storage:rewrite` in system-sidekiq.",
            Self::SearchIndex => "run `bundle exec rake searchd:optimal_index` in system-sidekiq.",
            Self::ZyncDomains => "run `bundle exec rake zync:resync:domains` in system-sidekiq.",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackendConfiguration => "the Backend configuration from System",
            Self::SearchIndex => "the search index from System",
            Self::ZyncDomains => "zync from System",
        }
    }
}

impl fmt::Display for SyncTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who can make copies anew.
pub trait Synchronise: Send + Sync {
    /// What it can do here.
    fn offers(&self) -> Vec<SyncTask>;

    /// Makes a copy anew and waits for the end of it, by result where one can be seen. May be repeated; a task that is still going on from before a
    /// crash is waited for, not started twice.
    ///
    /// # Errors
    /// When the task fails, or its result is not there after the time-out.
    fn synchronise(&self, context: &Context, task: SyncTask) -> Result<()>;
}

/// Where nothing can be made anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingToSynchronise;

impl Synchronise for NothingToSynchronise {
    fn offers(&self) -> Vec<SyncTask> {
        Vec::new()
    }

    fn synchronise(&self, _context: &Context, task: SyncTask) -> Result<()> {
        Err(crate::Error::failed(format!("there is nobody here to synchronise {task}")))
    }
}
