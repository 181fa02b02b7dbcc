//! Some files of a set that go into a live tree which stays: how they differ from the live ones, which they are, and the proof that they are staged whole.

use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use beneath::{Tree, is_vanished, mtime_ns, stat_entry};
use plan::evidence::Evidence;
use plan::ports::{Context, Entry, FilesCompared, Snapshot};
use plan::{Error, Result};
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat, accessat, fstat, openat};
use rustix::io::Errno;
use xxhash_rust::xxh3::Xxh3;

use crate::census::Census;
use crate::hook::Hook;
use crate::mounts;
use crate::run_folder::{RunFolder, failed};
use crate::stage::{STAGE, same_content};
use crate::times::seconds;
use crate::walk::Walk;

/// Name of the file that tells them.
pub(crate) const SOME: &str = "some";
/// What it may have.
pub(crate) const SOME_BYTES_MAX: u64 = 1 << 30;

/// Tells a file from what somebody puts in its place, or makes of it: a platform that mounts a volume for new pods touches neither.
pub(crate) fn told(stat: &Stat) -> String {
    format!("{} {} {}", stat.st_ino, stat.st_size, seconds(mtime_ns(stat)))
}

/// Notes the files that are staged, as `stat --printf '%i %s %.9Y ./PATH\0'` says it.
pub(crate) fn note(context: &Context, run: &RunFolder) -> Result<()> {
    let stage = Arc::new(run.tree(STAGE)?);
    let mut bytes = Vec::new();
    for found in Walk::new(Arc::clone(&stage), Hook::default()) {
        context.stop.check()?;
        let found = found.map_err(|missed| failed(&stage.place_of(&missed.path), "look at", missed.error))?;
        let stat = stat_entry(&*found.folder, &found.name).map_err(|error| failed(&stage.place_of(&found.path), "look at", error))?;
        if let Some(stat) = stat.filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile) {
            bytes.extend_from_slice(told(&stat).as_bytes());
            bytes.extend_from_slice(b" ./");
            bytes.extend_from_slice(found.path.as_os_str().as_bytes());
            bytes.push(0);
        }
    }
    run.write_bytes(SOME, &bytes)
}

/// Compares the files of a snapshot with those of a live tree.
pub(crate) fn compare(context: &Context, root: &Tree, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
    let (mut compared, mounted) = (FilesCompared::default(), mounts::below(root)?);
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        if !entry.is_file() {
            continue;
        }
        let to_be_put_in = match is_same(context, root, snapshot, &entry)? {
            Some(true) => {
                compared.equal += 1;
                continue;
            }
            Some(false) => &mut compared.other,
            None => &mut compared.missing,
        };
        refuse_closed(root, &entry.path)?;
        if let Some(point) = mounted.iter().find(|point| entry.path.starts_with(point)) {
            let (place, point) = (root.place_of(&entry.path), root.place_of(point));
            return Err(Error::refused(format!(
                "{} could not be put in: another volume is mounted at {}",
                place.display(),
                point.display()
            ))
            .hint("No rename leads from one volume to another. Unmount it, or copy the files by hand: `extract` has them."));
        }
        to_be_put_in.push(entry.path);
    }
    Ok(compared)
}

/// Refuses a file that could not be put in, before anything else is done: the folder in which it, or what leads to it, would be made is not ours to write.
fn refuse_closed(root: &Tree, path: &Path) -> Result<()> {
    let folders = path.ancestors().map(|at| root.parent(at));
    for folder in folders.take(path.components().count()) {
        let folder = match folder {
            Ok((folder, _)) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(on_the_way(root, path, error)),
        };
        return match accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                Err(Error::refused(format!("{} could not be put in: its folder cannot be written", root.place_of(path).display()))
                    .because(std::io::Error::from(error))
                    .hint("Run it as the owner of the files, or as root; a volume that was mounted to be read only is mounted anew."))
            }
            // Older kernels do not say it (faccessat2, Linux 5.8).
            _ => Ok(()),
        };
    }
    Ok(())
}

/// What is wrong with the folders that lead to a file.
fn on_the_way(root: &Tree, path: &Path, error: std::io::Error) -> Error {
    let place = root.place_of(path);
    match Errno::from_io_error(&error) {
        Some(Errno::NOTDIR | Errno::LOOP) => {
            Error::refused(format!("what leads to {} is no folder: a file or a link is in the way", place.display()))
                .because(error)
                .hint("Look with `namei -l`, and move away what is no folder.")
        }
        _ => failed(&place, "look at", error),
    }
}

/// `None`: there is no such file.
fn is_same(context: &Context, root: &Tree, snapshot: &dyn Snapshot, entry: &Entry) -> Result<Option<bool>> {
    let failed = |error| failed(&root.place_of(&entry.path), "look at", error);
    let (folder, name) = match root.parent(&entry.path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(on_the_way(root, &entry.path, error)),
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        // A link, a socket, a device.
        Err(error) if is_vanished(&error.into()) => return Ok(Some(false)),
        Err(error) => return Err(failed(error.into())),
    };
    let stat = fstat(&file).map_err(|error| failed(error.into()))?;
    let is_candidate =
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && u64::try_from(stat.st_size) == Ok(entry.size_bytes);
    Ok(Some(is_candidate && same_content((&context.stop, snapshot), &file, entry)?))
}

/// Compares what was read back with the snapshot.
pub(crate) fn prove(context: &Context, snapshot: &dyn Snapshot, found: &Evidence) -> Result<()> {
    let mut wanted = Census::default();
    let mut piece = vec![0; 1 << 20];
    for entry in snapshot.entries()? {
        let entry = entry?;
        if !entry.is_file() {
            continue;
        }
        let (mut content, mut hasher) = (snapshot.read(&entry)?, Box::new(Xxh3::new()));
        loop {
            context.stop.check()?;
            match content.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => hasher.update(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error));
                }
            }
        }
        wanted.file(&entry.path, entry.size_bytes, hasher.digest128());
    }
    let (wanted, found) = (wanted.collections(), &found.collections);
    if wanted.get("files") == found.get("files") {
        return Ok(());
    }
    Err(Error::failed("the staged files differ from those of the set")
        .hint("No live file was touched. `resume` stages them again; `undo` drops what was staged."))
}
