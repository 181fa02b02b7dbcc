//! Space, inodes and kinds of file systems. Reads only.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::evidence::ELEMENTS;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Severity, StopFlag};
use plan::{Error, Result};
use rustix::fs::{Access, AtFlags, FileType, accessat, fstatfs, fstatvfs};
use rustix::io::Errno;

use crate::hook::Hook;
use crate::mounts::is_fixed;
use crate::rights::{Bound, Rights};
use crate::run_folder::failed;
use crate::walk::Walk;
use beneath::allocated_bytes;
use beneath::{Tree, stat_entry};

/// What a run itself needs on the volume: its folders, its marks, and the room that it keeps.
const OWN_INODES: u64 = 12;
const OWN_BYTES: u64 = 256 << 10;

/// What a volume has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    pub(crate) free_bytes: u64,
    /// `None` where the file system makes inodes as it needs them.
    pub(crate) free_inodes: Option<u64>,
    pub(crate) name_bytes_max: u64,
    pub(crate) read_only: bool,
}

impl Volume {
    pub(crate) fn of(tree: &Tree) -> Result<Self> {
        let stat = fstatvfs(tree).map_err(|error| failed(&tree.place_of(Path::new("")), "ask the volume of", error.into()))?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            free_inodes: (stat.f_files > 0).then_some(stat.f_favail),
            name_bytes_max: stat.f_namemax,
            read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// In place what a run itself needs must be there before anything goes.
    pub(crate) fn no_room_for_a_run(&self) -> Option<Problem> {
        let is_full = self.free_inodes.is_some_and(|free| free < OWN_INODES) || self.free_bytes < OWN_BYTES;
        is_full.then(|| {
            let text = format!(
                "a run keeps files of its own there before it replaces anything, {OWN_INODES} inodes and {OWN_BYTES} bytes, and there is no room for them"
            );
            Problem::new(Severity::Blocks, text).way_out("Remove something that is not needed, or enlarge the volume.")
        })
    }
}

/// What a copy of a set takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    pub(crate) longest_name_bytes: u64,
    pub(crate) longest_path_bytes: u64,
}

impl Need {
    /// Sparse files take what they took (`allocated-bytes`), and one hundredth is added for the file system's own.
    pub(crate) fn of(kept: &KeptDataSet) -> Self {
        let fact = |name: &str| kept.evidence.facts.get(name).and_then(|value| value.parse::<u64>().ok());
        let bytes = fact("allocated-bytes").unwrap_or(kept.bytes);
        Self {
            bytes: bytes.saturating_add(bytes / 100),
            inodes: fact(ELEMENTS).unwrap_or(kept.parts).saturating_add(8),
            longest_name_bytes: fact("longest-name-bytes").unwrap_or(0),
            longest_path_bytes: fact("longest-path-bytes").unwrap_or(0),
        }
    }

    /// Refuses when the volume cannot hold a copy beside the live data.
    pub(crate) fn check(&self, volume: &Volume, place: &Path) -> Result<()> {
        let lacking = self.lacking(volume);
        lacking.map_or(Ok(()), |text| {
            Err(Error::refused(format!("the volume of {} is too small for a second copy: {text}", place.display()))
                .hint("Free space on the volume or enlarge it. A restore of the whole data set can do without a second copy: --in-place."))
        })
    }

    /// A name that the volume cannot have.
    pub(crate) fn too_long_a_name(&self, volume: &Volume) -> Option<Problem> {
        let text = format!("a name in the set has {} bytes, the volume allows {}", self.longest_name_bytes, volume.name_bytes_max);
        let problem = || Problem::new(Severity::Blocks, text).way_out("Restore onto a volume of the same kind of file system.");
        (self.longest_name_bytes > volume.name_bytes_max).then(problem)
    }

    /// Says that some files do not fit beside the live ones.
    pub(crate) fn too_small(&self, volume: &Volume, place: &str) -> Option<Problem> {
        let problem = |lacking| {
            let text = format!("the volume of {place} is too small for these files beside those that they replace: {lacking}");
            Problem::new(Severity::Blocks, text).way_out("Free space on the volume, or enlarge it.")
        };
        self.lacking(volume).map(problem)
    }

    /// What the volume lacks.
    pub(crate) fn lacking(&self, volume: &Volume) -> Option<String> {
        if self.bytes > volume.free_bytes {
            return Some(format!("{} bytes are needed, {} are free", self.bytes, volume.free_bytes));
        }
        let free_inodes = volume.free_inodes.filter(|free| *free < self.inodes)?;
        Some(format!("{} inodes are needed, {free_inodes} are free", self.inodes))
    }
}

/// What a bounded walk found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extent {
    pub(crate) allocated_bytes: u64,
    pub(crate) size_bytes: u64,
    pub(crate) entries: u64,
    /// Whether the walk came to its end in time.
    pub(crate) whole: bool,
    /// Entries that could not be looked at.
    pub(crate) missed: u64,
    /// Files that this user may not read, and the first of them.
    pub(crate) unreadable: u64,
    pub(crate) first_unreadable: Option<PathBuf>,
    /// Entries that can be neither moved nor removed ([`is_fixed`]), and the first of them.
    pub(crate) fixed: u64,
    pub(crate) first_fixed: Option<PathBuf>,
    /// Entries of other users that this one may neither move nor remove ([`Rights::bond`]), and the first of them.
    pub(crate) bound: u64,
    pub(crate) first_bound: Option<Bound>,
}

/// Walks a tree for no longer than `limit`.
pub(crate) fn measure(tree: Arc<Tree>, stop: &StopFlag, limit: Duration) -> Result<Extent> {
    let (begun, rights) = (Instant::now(), Rights::own());
    let mut extent = Extent { whole: true, ..Extent::default() };
    let bind = |extent: &mut Extent, path: &Path, bond| {
        if let Some(bond) = bond {
            extent.bound += 1;
            extent.first_bound.get_or_insert_with(|| (path.to_owned(), bond));
        }
    };
    for found in Walk::new(Arc::clone(&tree), Hook::default()) {
        stop.check()?;
        if begun.elapsed() > limit {
            extent.whole = false;
            break;
        }
        if let Err(missed) = &found {
            bind(&mut extent, &missed.path, rights.bond_of(&tree, &missed.path));
        }
        let looked_at = found.map_err(|missed| missed.error).and_then(|found| Ok((stat_entry(&*found.folder, &found.name)?, found)));
        let (stat, found) = match looked_at {
            Ok((Some(stat), found)) => (stat, found),
            // Gone since it was listed: nobody misses it.
            Ok((None, _)) => continue,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => {
                extent.missed += 1;
                continue;
            }
        };
        extent.entries += 1;
        extent.allocated_bytes += allocated_bytes(&stat);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::RegularFile {
            extent.size_bytes += u64::try_from(stat.st_size).unwrap_or(0);
            if accessat(&*found.folder, &found.name, Access::READ_OK, AtFlags::EACCESS) == Err(Errno::ACCESS) {
                extent.unreadable += 1;
                extent.first_unreadable.get_or_insert_with(|| found.path.clone());
            }
        }
        bind(&mut extent, &found.path, rights.bond(&*found.folder, &found.name, &stat));
        if matches!(kind, FileType::RegularFile | FileType::Directory) && is_fixed(&*found.folder, &found.name) {
            extent.fixed += 1;
            extent.first_fixed.get_or_insert(found.path);
        }
    }
    Ok(extent)
}

/// The kind of file system, by the magic numbers of `statfs(2)`, and whether it is reached over the network.
pub(crate) fn file_system(fd: impl AsFd) -> (String, bool) {
    let magic = fstatfs(fd).map_or(0, |stat| stat.f_type) & 0xffff_ffff;
    let (name, remote) = match magic {
        0xef53 => ("ext", false),
        0x5846_5342 => ("xfs", false),
        0x9123_683e => ("btrfs", false),
        0x0102_1994 => ("tmpfs", false),
        0x794c_7630 => ("overlay", false),
        0x2fc1_2fc1 => ("zfs", false),
        0x4d44 => ("fat", false),
        0x6969 => ("nfs", true),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => ("smb", true),
        0x00c3_6400 => ("ceph", true),
        0x6573_5546 => ("fuse", true),
        0x0102_1997 => ("9p", true),
        0x0bd0_0bd0 => ("lustre", true),
        0x4750_4653 => ("gpfs", true),
        other => return (format!("{other:#x}"), false),
    };
    (name.to_owned(), remote)
}
