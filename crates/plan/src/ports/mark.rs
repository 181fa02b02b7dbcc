//! The mark that a run leaves on whatever it makes in a store: whose it is.
//!
//! Names carry the end of a run's id only; the mark says the whole of it, and the installation. What bears another run's mark is never changed or dropped. What
//! bears none and has the right name was made by release 0.1.0, or by a call that was killed before it could write the mark.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::InstallationId;
use crate::ids::{DataSetName, RunId};

/// Whose something is. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The installation.
    pub installation: InstallationId,
    /// The run that made it.
    pub run: RunId,
    /// The data set.
    pub data_set: DataSetName,
    /// What it is for.
    pub role: MarkRole,
}

/// What a mark is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkRole {
    /// A staged copy.
    Staged,
    /// Data that was live before a cut-over.
    Previous,
    /// The live data, while it is replaced in place.
    InPlace,
}

impl Mark {
    /// The mark of a run that is under way.
    #[must_use]
    pub fn of(context: &Context, data_set: DataSetName, role: MarkRole) -> Self {
        Self { installation: context.installation.clone(), run: context.run.clone(), data_set, role }
    }

    /// The run and its installation, for messages: `run 01jd… of prod`.
    #[must_use]
    pub fn owner(&self) -> String {
        if self.installation.name.is_empty() {
            return format!("run {}", self.run);
        }
        format!("run {} of {}", self.run, self.installation.name)
    }
}
