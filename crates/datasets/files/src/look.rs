//! Looks at a live tree and says what stands in the way of a backup or a restore. Changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plan::manifest::KeptDataSet;
use plan::ports::{Context, Findings, Problem, Road, Severity};
use plan::words::shell_word;
use plan::{Error, Result};
use rustix::fs::{Access, AtFlags, accessat, fstat, fstatvfs};

use crate::mounts::{self, chattr, is_fixed};
use crate::rights::Rights;
use crate::root::is_mount_root;
use crate::runs::{self, half_loaded_by};
use crate::space::{Extent, Need, Volume, file_system, measure};
use beneath::Tree;

/// How long a look may count files.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// The error for a root that cannot be opened.
pub(crate) fn cannot_open(path: &Path, error: io::Error) -> Error {
    let (class, hint) = match error.kind() {
        io::ErrorKind::NotFound => (plan::Class::Refused, "Mount the volume, or correct the path in [system-storage]."),
        io::ErrorKind::NotADirectory => (plan::Class::Refused, "The path in [system-storage] must be a folder."),
        io::ErrorKind::PermissionDenied => (plan::Class::Refused, "Run as the owner of the files or as root."),
        _ => (plan::Class::Transient, "Look at the mount: the volume does not answer as it should."),
    };
    Error::new(class, format!("failed to open the folder {}", path.display())).because(error).hint(hint)
}

/// What tells a tree from others, whatever its path: file system and inode of its root, which no swap changes. None where the file system has no number of its
/// own that stays (XFS and others give that of the device, which may change with a restart).
pub(crate) fn identity(root: &Tree) -> Result<Option<String>> {
    let look = || -> io::Result<(u64, u64, String)> { Ok((fstatvfs(root)?.f_fsid, fstat(root)?.st_ino, file_system(root).0)) };
    let (fsid, inode, kind) =
        look().map_err(|error| cannot_open(&root.place_of(Path::new("")), error).during("failed to look which folder it is"))?;
    let stays = fsid != 0 && ["ext", "btrfs", "zfs", "tmpfs", "ceph"].contains(&kind.as_str());
    Ok(stays.then(|| format!("folder {fsid:x}:{inode}")))
}

/// The owner of the root.
pub(crate) fn owner(root: &Tree) -> Result<Option<(u32, u32)>> {
    let stat = fstat(root).map_err(|error| cannot_open(&root.place_of(Path::new("")), error.into()))?;
    Ok(Some((stat.st_uid, stat.st_gid)))
}

/// Looks at the live tree.
pub(crate) fn look(path: &Path, context: &Context, skip_unreadable: bool) -> Result<Findings> {
    let tree = Arc::new(Tree::open(path).map_err(|error| cannot_open(path, error))?);
    let volume = Volume::of(&tree)?;
    let extent = measure(Arc::clone(&tree), &context.stop, LOOK_LIMIT)?;
    let (kind, remote) = file_system(&*tree);
    let mut backup_problems = Vec::new();
    let mut restore_problems = Vec::new();
    if extent.entries == 0 {
        backup_problems
            .push(Problem::new(Severity::Note, format!("{} is empty", path.display())).way_out("Check that the volume is mounted."));
    }
    if extent.missed > 0 {
        backup_problems.push(
            Problem::new(Severity::Blocks, format!("{} entries of {} could not be looked at", extent.missed, path.display()))
                .way_out("Run as the owner of the files or as root."),
        );
    }
    if let Some(path) = &extent.first_unreadable {
        let place = tree.place_of(path);
        let text = format!("{} files cannot be read by this user, one of them {}", extent.unreadable, place.display());
        let problem = Problem::new(if skip_unreadable { Severity::Degrades } else { Severity::Blocks }, text);
        backup_problems.push(problem.way_out(format!("Run as root; or as their owner: chmod u+r -- {}", shell_word(&place))));
    }
    if is_fixed(&*tree, "".as_ref()) {
        restore_problems.push(Problem::new(Severity::Blocks, format!("{} cannot be changed", path.display())).way_out(chattr(path)));
    }
    if let Some(first) = &extent.first_fixed {
        let place = tree.place_of(first);
        let text = format!("{} entries can be neither replaced nor removed, one of them {}", extent.fixed, place.display());
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(chattr(&place)));
    }
    // Not by the walk, which may end before it comes there.
    if let Some((first, bond)) = Rights::own().first_unmovable(&tree)? {
        let place = tree.place_of(&first);
        let text = format!("{} belongs to another user, and this one may not move it", place.display());
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(bond.way_out(&place)));
    } else if let Some((first, bond)) = &extent.first_bound {
        let place = tree.place_of(first);
        let text = format!(
            "entries of other users that this one may not remove: {}, one of them {}: after a restore beside, `settle` refuses until it can",
            extent.bound,
            place.display()
        );
        restore_problems.push(Problem::new(Severity::Degrades, text).way_out(bond.way_out(&place)));
    }
    let mounts = mounts::below(&tree)?;
    if let Some(first) = mounts.first() {
        let text = format!("{} other volumes are mounted in the folder, one of them at {}", mounts.len(), tree.place_of(first).display());
        let way_out = "They are backed up and replaced as folders of the tree, if the set has them; unmount them to keep them out of it.";
        restore_problems.push(Problem::new(Severity::Note, text).way_out(way_out));
    }
    let is_file = |place: &PathBuf| std::fs::symlink_metadata(place).is_ok_and(|meta| !meta.is_dir());
    if let Some(place) = mounts.iter().map(|point| tree.place_of(point)).find(is_file) {
        let text = format!("a single file is mounted at {}: it can be neither replaced nor removed", place.display());
        restore_problems.push(Problem::new(Severity::Blocks, text).way_out(format!("Unmount it: umount -- {}", shell_word(&place))));
    }
    restore_problems.extend(closed(&tree, &volume, path));
    if !rustix::process::geteuid().is_root() {
        restore_problems.push(Problem::new(
            Severity::Degrades,
            "not root: owners that differ from this user's cannot be set, a warning will name how many",
        ));
    }
    if remote {
        restore_problems.push(Problem::new(
            Severity::Note,
            format!("the volume is reached over the network ({kind}): owners and times may be coarser there"),
        ));
    }
    let mut facts = vec![
        ("file-system".to_owned(), kind),
        ("free-bytes".to_owned(), volume.free_bytes.to_string()),
        ("mount-point".to_owned(), is_mount_root(&*tree).unwrap_or(false).to_string()),
    ];
    if let Some(free) = volume.free_inodes {
        facts.push(("free-inodes".to_owned(), free.to_string()));
    }
    if !extent.whole {
        facts.push((
            "counted".to_owned(),
            format!("at least {} entries and {} bytes, within {} s", extent.entries, extent.size_bytes, LOOK_LIMIT.as_secs()),
        ));
    }
    let road = road(&volume, extent.allocated_bytes, mounts.first(), &mut facts);
    Ok(Findings {
        store: "folder".to_owned(),
        address: path.display().to_string(),
        identity: identity(&tree)?,
        half_loaded_by: half_loaded_by(&runs::list(&tree)?),
        is_gone: false,
        size_bytes: extent.size_bytes,
        count: extent.whole.then_some(extent.entries),
        backup_problems,
        restore_problems,
        road,
        facts,
    })
}

/// Why nothing can be made in the folder.
fn closed(tree: &Tree, volume: &Volume, path: &Path) -> Option<Problem> {
    let blocks = |text: String, way_out: &str| Some(Problem::new(Severity::Blocks, text).way_out(way_out));
    if volume.read_only {
        return blocks(format!("{} is mounted read-only", path.display()), "Mount it for writing.");
    }
    if may_write(tree) {
        return None;
    }
    blocks(format!("this user may not write into {}", path.display()), "Run as the owner of the folder or as root.")
}

/// Whether this user may write into the root, or may give himself the right to: its owner.
fn may_write(tree: &Tree) -> bool {
    let is_owner = fstat(tree).is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw());
    is_owner || accessat(tree, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn road(volume: &Volume, live_bytes: u64, mounted: Option<&PathBuf>, facts: &mut Vec<(String, String)>) -> Road {
    let mut in_place = |why: &str| {
        facts.push(("in-place-because".to_owned(), why.to_owned()));
        Road::InPlace
    };
    if let Some(point) = mounted {
        return in_place(&format!(
            "another volume is mounted in the folder, at {}, and renames cannot move a mount point",
            point.display()
        ));
    }
    if volume.free_bytes < live_bytes {
        return in_place("there is no space for a second copy");
    }
    Road::SideCopy
}

/// What keeps a set from going into the tree.
pub(crate) fn fits(path: &Path, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
    let tree = Arc::new(Tree::open(path).map_err(|error| cannot_open(path, error))?);
    let (volume, need) = (Volume::of(&tree)?, Need::of(kept));
    let mut problems = Vec::new();
    if !kept.kind.is_files() {
        problems.push(Problem::new(Severity::Blocks, format!("the set holds {}, not files", kept.kind)));
    }
    problems.extend(need.too_long_a_name(&volume));
    match road {
        Road::SideCopy => {
            if let Some(lacking) = need.lacking(&volume) {
                let text = format!("the volume of {} is too small for a second copy: {lacking}", path.display());
                problems.push(Problem::new(Severity::Blocks, text).way_out("Free space, enlarge the volume, or restore with --in-place."));
            }
        }
        Road::InPlace => {
            let live = measure(Arc::clone(&tree), &context.stop, LOOK_LIMIT)?;
            in_place_fits(&tree, &live, &volume, &need, &mut problems);
            let total = volume.free_bytes.saturating_add(live.allocated_bytes);
            if need.bytes > total {
                let severity = if live.whole { Severity::Blocks } else { Severity::Degrades };
                let text = format!("{} bytes are needed, {total} are free or taken by the live files", need.bytes);
                problems.push(Problem::new(severity, text).way_out("Enlarge the volume."));
            }
        }
    }
    Ok(problems)
}

/// What keeps some files of a set from going in beside the live ones.
pub(crate) fn some_fit(path: &Path, kept: &KeptDataSet) -> Result<Vec<Problem>> {
    let tree = Tree::open(path).map_err(|error| cannot_open(path, error))?;
    let (volume, need) = (Volume::of(&tree)?, Need::of(kept));
    let all = [closed(&tree, &volume, path), need.too_long_a_name(&volume), need.too_small(&volume, &path.display().to_string())];
    Ok(all.into_iter().flatten().collect())
}

/// What the load in place would meet when the writers are stopped: folders that cannot be changed, and no inodes.
fn in_place_fits(tree: &Tree, live: &Extent, volume: &Volume, need: &Need, problems: &mut Vec<Problem>) {
    if let Some((first, bond)) = &live.first_bound {
        let place = tree.place_of(first);
        let text = format!("entries of other users that this one may not replace: {}, one of them {}", live.bound, place.display());
        problems.push(Problem::new(Severity::Blocks, text).way_out(bond.way_out(&place)));
    }
    // Where the file system makes inodes as it needs them there are always enough.
    let free = volume.free_inodes.unwrap_or(u64::MAX);
    let has = free.saturating_add(live.entries);
    if need.inodes > has && live.whole {
        let text = format!("{} inodes are needed, {has} are free or taken by the live files", need.inodes);
        problems.push(Problem::new(Severity::Blocks, text).way_out("Enlarge the volume."));
    }
    problems.extend(volume.no_room_for_a_run());
}
