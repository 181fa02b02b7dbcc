//! A lock as it stands in the repository's folder `locks`: restic's fields, and ours beside them. Says which locks still count.

use jiff::{SignedDuration, Timestamp};
use plan::ids::SetId;
use serde::{Deserialize, Serialize};

use super::process;
use crate::engine::host;

/// restic's limit: a lock that nobody has refreshed for so long counts for nothing.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// The same by the storage's clock alone, for a lock whose own time is nonsense.
const STALE_FOR_SURE_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// What the holder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// It takes a set.
    Backup,
    /// It copies a set into the repository.
    Copy,
    /// It reads a set.
    Read,
    /// It removes sets.
    Forget,
    /// It removes stored data.
    Prune,
    /// It repairs what is damaged.
    Repair,
    /// It changes which passwords open the repository.
    Keys,
    /// Something that a newer version does.
    #[serde(other)]
    Other,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Copy => "copy",
            Self::Read => "restore or export",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Repair => "repair",
            Self::Keys => "change of keys",
            Self::Other => "something else",
        })
    }
}

/// A lock. restic reads and writes the fields up to `gid`; it knows nothing of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was last refreshed, by the holder's clock.
    pub time: Timestamp,
    /// Whether nobody else may hold one.
    #[serde(default)]
    pub exclusive: bool,
    /// The holder's host.
    #[serde(default)]
    pub hostname: String,
    /// The holder's user.
    #[serde(default)]
    pub username: String,
    /// The holder's process.
    #[serde(default)]
    pub pid: i64,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    /// Absent in locks of restic.
    #[serde(rename = "threescale-backup", default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Ours>,
}

/// What restic's fields do not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours {
    /// What the holder does.
    pub purpose: Purpose,
    /// The set that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetId>,
    /// When it began, by the holder's clock.
    pub began: Timestamp,
    /// The process, so that another one of the same number is told apart. See [`process`].
    pub process: String,
}

/// The clocks at the moment of a look.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// This host's.
    pub here: Timestamp,
    /// The storage's.
    pub storage: Timestamp,
}

impl LockFile {
    /// A new lock of this process.
    pub fn of_this_process(exclusive: bool, purpose: Purpose, set: Option<SetId>) -> Self {
        let now = Timestamp::now();
        Self {
            time: now,
            exclusive,
            hostname: host(),
            username: std::env::var("USER").unwrap_or_default(),
            pid: std::process::id().into(),
            uid: process::owner().0,
            gid: process::owner().1,
            ours: Some(Ours { purpose, set, began: now, process: process::this() }),
        }
    }

    /// Whether it counts no more.
    ///
    /// No single clock decides that: a lock is stale when both its own time and the storage's say so, or when its process was one of this machine and is
    /// gone. A clock that is wrong makes a dead lock count for longer, never a living one for less.
    pub fn is_stale(&self, modified: Timestamp, clocks: Clocks) -> bool {
        if let Some(is_alive) = self.ours.as_ref().and_then(|ours| process::is_alive(&ours.process)) {
            return !is_alive;
        }
        let (by_holder, by_storage) = (clocks.here.duration_since(self.time), clocks.storage.duration_since(modified));
        by_storage > STALE_AFTER && by_holder > STALE_AFTER || by_storage > STALE_FOR_SURE_AFTER
    }

    /// Whether the holder may be storing data that no snapshot uses yet. restic does not say what it does.
    pub fn may_be_storing(&self) -> bool {
        self.ours.as_ref().is_none_or(|ours| matches!(ours.purpose, Purpose::Backup | Purpose::Copy | Purpose::Repair | Purpose::Other))
    }

    /// `backup of set 01k…, process 17 on host a, since 2026-…`.
    pub fn describe(&self) -> String {
        let what = match &self.ours {
            Some(ours) => ours.set.as_ref().map_or_else(|| ours.purpose.to_string(), |set| format!("{} of set {set}", ours.purpose)),
            None => "restic".to_owned(),
        };
        let since = self.ours.as_ref().map_or(self.time, |ours| ours.began);
        let kind = if self.exclusive { "an exclusive lock" } else { "a lock" };
        format!("{what}, process {} on host {}, holds {kind} since {since:.0}, last refreshed {:.0}", self.pid, self.hostname, self.time)
    }
}

#[cfg(test)]
mod tests;
