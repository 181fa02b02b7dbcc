//! Mount points below a folder, and what else nobody can rename or remove: attributes that only `chattr` takes away.
//!
//! Mounts are read from the kernel's own list (`/proc/self/mountinfo`, proc(5)), which tells bind mounts of the same volume too, at any depth, without a walk.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beneath::Tree;
use plan::ports::{EntryKind, Snapshot, StopFlag};
use plan::words::shell_word;
use plan::{Error, Result};
use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, statx};

use crate::hook::Hook;
use crate::rights::Rights;
use crate::run_folder::failed;
use crate::walk::Walk;

/// The mount points below a folder, relative to it, sorted.
pub(crate) fn below(tree: &Tree) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let number = tree.as_fd().as_raw_fd();
        let root = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let own = about.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(parse(&std::fs::read("/proc/self/mountinfo")?, &root, own))
    };
    read().map_err(|error| failed(&tree.place_of(Path::new("")), "look for mount points below", error))
}

/// `own` is the number of the mount that the root is in: what hangs on another is hidden below it.
fn parse(list: &[u8], root: &Path, own: u64) -> Vec<PathBuf> {
    let mut parents = HashMap::new();
    let mut points = Vec::new();
    for line in list.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
        let (Some(id), Some(parent)) = (number(), number()) else { continue };
        let Some(point) = fields.nth(2) else { continue };
        parents.insert(id, parent);
        points.push((id, PathBuf::from(unescape(point))));
    }
    let hangs_on_own = |mut id: u64| {
        // A list has no circle but the first mount, which is its own parent in some containers.
        for _ in 0..parents.len() {
            match parents.get(&id) {
                Some(parent) if *parent == own => return true,
                Some(parent) if *parent != id => id = *parent,
                _ => return false,
            }
        }
        false
    };
    let relative = |(id, point): &(u64, PathBuf)| {
        let relative = point.strip_prefix(root).ok()?;
        (!relative.as_os_str().is_empty() && hangs_on_own(*id)).then(|| relative.to_owned())
    };
    let mut found: Vec<PathBuf> = points.iter().filter_map(relative).collect();
    found.sort();
    found.dedup();
    found
}

/// Space, tab, newline and backslash are three octal digits behind a backslash there.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = code.map_or(after, |_| after.get(3..).unwrap_or_default());
    }
    OsString::from_vec(bytes)
}

/// Refuses a swap over a tree with mount points in it.
pub(crate) fn check(tree: &Tree) -> Result<()> {
    match below(tree)?.first() {
        None => Ok(()),
        Some(point) => {
            let place = tree.place_of(point);
            let error = Error::refused(format!("another volume is mounted at {}", place.display()));
            let hint = "Files are swapped by renames, and those cannot move a mount point. Unmount it, or restore with --in-place.";
            Err(error.hint(hint).hint(format!("umount -- {}", shell_word(&place))))
        }
    }
}

/// Whether something is mounted at a name: also a folder of the same volume. Kernels before 5.8 tell of other volumes only.
pub(crate) fn is_mounted(folder: impl AsFd, name: &OsStr) -> bool {
    let looked_at = statx(folder, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE);
    looked_at.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// In place: what is mounted below the root must be a folder of the set, which stays; and all may be replaced. Asked before anything is touched.
pub(crate) fn check_in_place(tree: &Arc<Tree>, snapshot: &dyn Snapshot, stop: &StopFlag) -> Result<()> {
    let mut mounts = below(tree)?;
    if !mounts.is_empty() {
        for entry in snapshot.entries()? {
            stop.check()?;
            let entry = entry?;
            if entry.kind == EntryKind::Folder {
                mounts.retain(|point| *point != entry.path);
            }
        }
    }
    if let Some(point) = mounts.first() {
        let place = tree.place_of(point);
        return Err(Error::refused(format!("another volume is mounted at {}, and the set has no such folder", place.display()))
            .hint("What is not in the set would have to go, and what is mounted there is never removed. Nothing was touched.")
            .hint(format!("Unmount it: umount -- {}", shell_word(&place))));
    }
    let refused = |place: &Path| {
        let error = Error::refused(format!("{} cannot be replaced. Nothing was touched", place.display()));
        Err(error.hint(chattr(place)))
    };
    if is_fixed(&**tree, "".as_ref()) {
        return refused(&tree.place_of(Path::new("")));
    }
    if let Some((path, bond)) = Rights::own().first_unremovable(tree, stop)? {
        return Err(bond.refuses_removal(&tree.place_of(&path), "nothing was touched"));
    }
    for found in Walk::new(Arc::clone(tree), Hook::default()) {
        stop.check()?;
        // What cannot be looked at is told when it is to be replaced.
        if let Ok(found) = found
            && matches!(found.kind, FileType::RegularFile | FileType::Directory)
            && is_fixed(&*found.folder, &found.name)
        {
            return refused(&tree.place_of(&found.path));
        }
    }
    Ok(())
}

/// Whether an entry can be neither renamed nor removed, nor changed: it has the attribute "immutable" or "append only".
pub(crate) fn is_fixed(folder: impl AsFd, name: &OsStr) -> bool {
    let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
    let fixed = StatxAttributes::IMMUTABLE.union(StatxAttributes::APPEND);
    // Kernels before 4.11, and file systems that do not tell: the rename itself tells later.
    statx(folder, name, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE).is_ok_and(|stat| stat.stx_attributes.intersects(fixed))
}

/// The way out, as a command.
pub(crate) fn chattr(place: &Path) -> String {
    format!("Take its attribute \"immutable\" or \"append only\" away, as root: chattr -i -a -- {}", shell_word(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_below_and_can_be_seen_is_told() {
        let list = b"1 1 8:1 / / rw - ext4 /dev/sda rw
20 1 0:5 / /srv/tree rw - tmpfs t rw
21 20 0:6 / /srv/tree/a\\040b/m rw - tmpfs t rw
22 21 0:6 / /srv/tree/a\\040b/m/deeper rw - tmpfs t rw
23 20 8:1 /x /srv/tree/\\134\\011 rw - ext4 /dev/sda rw
24 1 0:7 / /srv/tree-of-another rw - tmpfs t rw
25 1 0:8 / /srv/tree/hidden rw - tmpfs t rw
26 20 0:8 / /srv/tree/.threescale-backup/x rw - tmpfs t rw
odd line
";
        let found = parse(list, Path::new("/srv/tree"), 20);
        assert_eq!(found, [".threescale-backup/x", "\\\t", "a b/m", "a b/m/deeper"].map(PathBuf::from));
        assert_eq!(parse(list, Path::new("/"), 1).len(), 7);
        assert!(parse(b"", Path::new("/"), 1).is_empty());
    }
}
