//! What this user may do with entries of other owners: one rule, for look and plan, staging, swap, undo and removal; `remote/rights.sh` says the same in a pod.
//!
//! An entry is moved or removed by who may write into its folder; where that folder is sticky (mode 1000), only by the owner of one of the two (unlink(2)). A
//! folder moreover by who may list it and write into it: a move changes its `..` (rename(2)), and before it goes all that is in it goes. Its owner may give himself
//! that right. Capabilities stand above owners and modes, not the name of root, which has none in many containers.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beneath::{Tree, stat_entry};
use plan::ports::StopFlag;
use plan::words::shell_word;
use plan::{Error, Result};
use rustix::fs::{Access, AtFlags, FileType, Stat, accessat, fstat};

use crate::hook::Hook;
use crate::run_folder::failed;
use crate::space::file_system;
use crate::walk::{Walk, data_names};

/// Bits of a set of capabilities (capabilities(7)).
const DAC_OVERRIDE: u64 = 1 << 1;
const FOWNER: u64 = 1 << 3;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rights {
    user: u32,
    capabilities: u64,
}

/// Why an entry can be neither moved nor removed, though its folder can be written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bond {
    /// It is a folder, and closed to this user.
    Closed,
    /// Its folder is sticky.
    Sticky,
}

/// As `remote/rights.sh` tells it: the word for why, and the path.
pub(crate) fn parse(line: &str) -> Option<(&str, Bond)> {
    let (word, path) = line.split_once(' ')?;
    match word {
        "closed" => Some((path, Bond::Closed)),
        "sticky" => Some((path, Bond::Sticky)),
        _ => None,
    }
}

/// An entry, by its path below a root, and what binds it.
pub(crate) type Bound = (PathBuf, Bond);

impl Rights {
    /// Those of this process.
    pub(crate) fn own() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
        Self { user: rustix::process::geteuid().as_raw(), capabilities: effective.unwrap_or(0) }
    }

    /// Whether this user owns it.
    pub(crate) const fn own_it(self, stat: &Stat) -> bool {
        stat.st_uid == self.user
    }

    /// Whether no owner and no mode counts on this volume. A server far away may take root for nobody.
    pub(crate) fn are_all(self, volume: impl AsFd) -> bool {
        let wanted = DAC_OVERRIDE | FOWNER;
        self.capabilities & wanted == wanted && !file_system(volume).1
    }

    /// What binds an entry of a folder.
    pub(crate) fn bond(self, folder: impl AsFd, name: &OsStr, stat: &Stat) -> Option<Bond> {
        if self.own_it(stat) {
            return None;
        }
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_folder && accessat(&folder, name, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
            return Some(Bond::Closed);
        }
        let is_sticky = |folder: Stat| folder.st_mode & 0o1000 != 0 && !self.own_it(&folder);
        (self.capabilities & FOWNER == 0 && fstat(&folder).is_ok_and(is_sticky)).then_some(Bond::Sticky)
    }

    /// Whether there is an entry of that name, and something binds it.
    pub(crate) fn is_bound(self, folder: impl AsFd, name: &OsStr) -> bool {
        stat_entry(&folder, name).ok().flatten().is_some_and(|stat| self.bond(&folder, name, &stat).is_some())
    }

    /// The entries at a root that this user may not move: an undo leaves them there.
    pub(crate) fn all_bound(self, root: &Tree) -> Result<BTreeSet<OsString>> {
        let names = data_names(root).map_err(|error| failed(&root.place_of(Path::new("")), "list", error))?;
        Ok(names.into_iter().filter(|name| self.is_bound(root, name)).collect())
    }

    /// The first entry at a root that this user may not move.
    pub(crate) fn first_unmovable(self, root: &Tree) -> Result<Option<Bound>> {
        for name in data_names(root).map_err(|error| failed(&root.place_of(Path::new("")), "list", error))? {
            let stat = stat_entry(root, &name).map_err(|error| failed(&root.place_of(name.as_ref()), "look at", error))?;
            if let Some(bond) = stat.and_then(|stat| self.bond(root, &name, &stat)) {
                return Ok(Some((name.into(), bond)));
            }
        }
        Ok(None)
    }

    /// The first entry of a tree that this user may not remove.
    pub(crate) fn first_unremovable(self, tree: &Arc<Tree>, stop: &StopFlag) -> Result<Option<Bound>> {
        if self.are_all(tree) {
            return Ok(None);
        }
        for found in Walk::new(Arc::clone(tree), Hook::default()) {
            stop.check()?;
            let (path, bond) = match found {
                Ok(found) => {
                    let stat = stat_entry(&*found.folder, &found.name).ok().flatten();
                    let bond = stat.and_then(|stat| self.bond(&*found.folder, &found.name, &stat));
                    (found.path, bond)
                }
                Err(missed) => {
                    let bond = self.bond_of(tree, &missed.path);
                    (missed.path, bond)
                }
            };
            if let Some(bond) = bond {
                return Ok(Some((path, bond)));
            }
        }
        Ok(None)
    }

    /// What binds an entry that a walk could not look into.
    pub(crate) fn bond_of(self, tree: &Tree, path: &Path) -> Option<Bond> {
        let (folder, name) = tree.parent(path).ok()?;
        let stat = stat_entry(&folder, name).ok().flatten()?;
        self.bond(&folder, name, &stat)
    }
}

impl Bond {
    /// The way out, as a command.
    pub(crate) fn way_out(self, place: &Path) -> String {
        match self {
            Self::Closed => format!(
                "Run as root or as its owner; or its owner opens it to its group, where this user is of that: chmod -R g+rwX -- {}",
                shell_word(place)
            ),
            Self::Sticky => format!(
                "Run as root or as its owner; or the owner of its folder takes the sticky bit off: chmod -t -- {}",
                shell_word(place.parent().unwrap_or(place))
            ),
        }
    }

    /// It cannot be moved.
    pub(crate) fn refuses_move(self, place: &Path) -> Error {
        Error::refused(format!("{} belongs to another user, and this one may not move it", place.display())).hint(self.way_out(place))
    }

    /// It cannot be removed; `outcome` says what was done instead.
    pub(crate) fn refuses_removal(self, place: &Path, outcome: &str) -> Error {
        let text = format!("{} belongs to another user, and this one may not remove it: {outcome}", place.display());
        Error::refused(text).hint(self.way_out(place))
    }
}
