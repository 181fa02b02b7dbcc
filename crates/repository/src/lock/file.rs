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
    /// It reads a set.
    Read,
    /// It removes sets.
    Forget,
    /// It removes stored data.
    Prune,
    /// Something that a newer version does.
    #[serde(other)]
    Other,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Read => "restore or export",
            Self::Forget => "forget",
            Self::Prune => "prune",
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
        self.ours.as_ref().is_none_or(|ours| matches!(ours.purpose, Purpose::Backup | Purpose::Other))
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn lock(time: Timestamp, process: Option<&str>) -> LockFile {
        let mut lock = LockFile::of_this_process(false, Purpose::Backup, None);
        lock.time = time;
        match process {
            Some(process) => lock.ours.as_mut().unwrap().process = process.to_owned(),
            None => lock.ours = None,
        }
        lock
    }

    #[test]
    fn a_lock_is_stale_only_when_two_clocks_say_so() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let before = |minutes: i64| now - SignedDuration::from_mins(minutes);
        let clocks = Clocks { here: now, storage: now };
        for process in [None, Some("another machine")] {
            let stale = |time, modified| lock(time, process).is_stale(modified, clocks);
            assert!(stale(before(31), before(31)));
            assert!(!stale(before(29), before(29)));
            // The holder's clock is behind by a day, or this host's is ahead: the storage knows better.
            assert!(!stale(before(1440), before(5)));
            // The storage's clock jumped: the holder's time stands against it.
            assert!(!stale(before(2), before(400)));
            // The holder's clock was in 2031, and it is dead.
            assert!(stale(before(-2_600_000), before(1441)));
            assert!(!stale(before(-2_600_000), before(31)));
        }
    }

    #[test]
    fn a_process_of_this_machine_is_asked_itself() {
        let now = Timestamp::now();
        let old = now - SignedDuration::from_hours(100);
        let clocks = Clocks { here: now, storage: now };
        assert!(!lock(old, Some(&process::this())).is_stale(old, clocks));
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let gone = process::of(ended.id());
        ended.wait().unwrap();
        assert!(lock(now, gone.as_deref()).is_stale(now, clocks));
    }

    #[test]
    fn a_lock_of_restic_is_understood() {
        let text = r#"{"time":"2026-03-10T13:00:00.5+01:00","exclusive":true,"hostname":"h","username":"root","pid":7,"new":1}"#;
        let lock: LockFile = serde_json::from_str(text).unwrap();
        assert!(lock.exclusive && lock.ours.is_none() && lock.may_be_storing());
        assert_eq!(lock.time, "2026-03-10T12:00:00.5Z".parse().unwrap());
        assert!(
            lock.describe().starts_with("restic, process 7 on host h, holds an exclusive lock since 2026-03-10T12:00:00"),
            "{}",
            lock.describe()
        );
    }

    #[test]
    fn a_purpose_of_a_newer_version_counts_as_a_writer() {
        let mut value = serde_json::to_value(LockFile::of_this_process(false, Purpose::Read, None)).unwrap();
        let lock = |value: &serde_json::Value| serde_json::from_value::<LockFile>(value.clone()).unwrap();
        assert!(!lock(&value).may_be_storing());
        value["threescale-backup"]["purpose"] = "migrate".into();
        assert!(lock(&value).may_be_storing());
    }
}
