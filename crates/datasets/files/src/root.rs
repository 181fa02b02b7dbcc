//! The metadata of the root folder itself. No part of a snapshot can be the root, so it goes with the set as a fact.
//!
//! It is put back on a plain folder. The root of a mount belongs to the platform (its group and mode come from the pod's security context, and
//! the old ones would lock a new namespace out), so there only the time is set, and a difference is reported.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use plan::ports::Meta;
use rustix::fs::{Mode, fchmod, fstat, futimens};
use serde::{Deserialize, Serialize};

use beneath::{Tree, Unset, meta_of, mtime_ns, read_xattrs, stat_entry, timestamps, write_meta, write_time};

use crate::times::seconds;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RootMeta {
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
    /// Nanoseconds since the epoch, as text: more than JSON's numbers hold.
    mtime_ns: Option<String>,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl RootMeta {
    pub(crate) fn new(meta: &Meta) -> Self {
        let mtime_ns = meta.mtime_ns.map(|nanoseconds| nanoseconds.to_string());
        Self { mode: meta.mode, uid: meta.uid, gid: meta.gid, mtime_ns, xattrs: meta.xattrs.clone() }
    }

    /// Of an open root.
    pub(crate) fn of(tree: &Tree) -> io::Result<Self> {
        Ok(Self::new(&Meta { xattrs: read_xattrs(tree)?, ..meta_of(&fstat(tree)?, false) }))
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Mode (octal), owner, group and time (seconds with a fraction), as programs take them.
    pub(crate) fn words(&self) -> [String; 4] {
        let id = |id: Option<u32>| id.unwrap_or(0).to_string();
        [format!("{:o}", self.mode), id(self.uid), id(self.gid), self.time_word()]
    }

    /// The time alone.
    pub(crate) fn time_word(&self) -> String {
        seconds(self.mtime_ns.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    fn meta(&self) -> Meta {
        let mtime_ns = self.mtime_ns.as_ref().and_then(|text| text.parse().ok());
        Meta {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime_ns,
            links: 1,
            identity: None,
            read_at_ns: None,
            note: Vec::new(),
            xattrs: self.xattrs.clone(),
        }
    }

    /// Puts it on a root; says what was not put back.
    pub(crate) fn put_back(&self, tree: &Tree) -> io::Result<Option<String>> {
        let wanted = self.meta();
        let put = if is_mount_root(tree)? {
            write_time(tree, &wanted).map(|is_set| Unset { time: !is_set, ..Unset::default() })
        } else {
            write_meta(tree, &wanted)
        };
        let (unset, error) = put.map_or_else(|error| (Unset::default(), Some(error)), |unset| (unset, None));
        let now = Self::of(tree)?;
        let owner = |meta: &Self| {
            let id = |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
            format!("{}:{}", id(meta.uid), id(meta.gid))
        };
        let mut left = Vec::new();
        if now.mode != self.mode {
            left.push(format!("mode {:o} instead of {:o}", now.mode, self.mode));
        }
        if (now.uid, now.gid) != (self.uid, self.gid) {
            left.push(format!("owner {} instead of {}", owner(&now), owner(self)));
        }
        if unset.has_other_xattrs || !unset.xattrs.is_empty() {
            left.push("extended attributes".to_owned());
        }
        if unset.time {
            left.push("time of change".to_owned());
        }
        let place = tree.place_of(Path::new(""));
        Ok(match (left.is_empty(), error) {
            (true, None) => None,
            (true, Some(error)) => Some(format!("the metadata of {} itself may not all be as it should: {error}", place.display())),
            (false, None) => Some(told_left(&place.display().to_string(), &left.join(", "))),
            (false, Some(error)) => Some(format!("{}: {error}", told_left(&place.display().to_string(), &left.join(", ")))),
        })
    }
}

/// What of a root was not put back.
pub(crate) fn told_left(place: &str, left: &str) -> String {
    format!("of {place} itself this was left as it is: {left}")
}

/// Does something at a root that shall not show in its time: making and removing the program's own folder.
pub(crate) fn keeping_time<T>(tree: &Tree, work: impl FnOnce() -> plan::Result<T>) -> plan::Result<T> {
    let before = fstat(tree);
    let done = held_open(tree, false, work)?;
    if let Ok(before) = before {
        // Without the right to do so the time is the smaller matter.
        futimens(tree, &timestamps(mtime_ns(&before))).ok();
    }
    Ok(done)
}

/// Changes names at a root whose owner may have taken the right to do so away from himself: it is given for that long. `sets_mode`: the work ends with a mode of its own.
pub(crate) fn held_open<T>(tree: &Tree, sets_mode: bool, work: impl FnOnce() -> plan::Result<T>) -> plan::Result<T> {
    let mode = fstat(tree).map(|stat| stat.st_mode & 0o7777).unwrap_or(0o700);
    // Whoever is not its owner may not; what follows tells.
    let is_opened = mode & 0o700 != 0o700 && fchmod(tree, Mode::from_raw_mode(mode | 0o700)).is_ok();
    let done = work();
    if is_opened && !(sets_mode && done.is_ok()) {
        fchmod(tree, Mode::from_raw_mode(mode)).ok();
    }
    done
}

/// Whether something is mounted exactly here.
pub(crate) fn is_mount_root(tree: impl AsFd) -> io::Result<bool> {
    let here = fstat(&tree)?;
    let above = stat_entry(&tree, "..".as_ref())?;
    Ok(above.is_none_or(|above| above.st_dev != here.st_dev || above.st_ino == here.st_ino))
}
