//! Some files of a set that go into a live tree which stays: how they differ from the live ones, which they are, and the proof that they are staged whole.

use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use beneath::{Tree, is_vanished, mtime_ns, stat_entry};
use plan::evidence::Evidence;
use plan::ports::{Context, Entry, FilesCompared, Snapshot};
use plan::{Error, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;
use xxhash_rust::xxh3::Xxh3;

use crate::census::Census;
use crate::hook::Hook;
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
    let mut compared = FilesCompared::default();
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        if !entry.is_file() {
            continue;
        }
        match is_same(context, root, snapshot, &entry)? {
            None => compared.missing.push(entry.path),
            Some(false) => compared.other.push(entry.path),
            Some(true) => compared.equal += 1,
        }
    }
    Ok(compared)
}

/// `None`: there is no such file.
fn is_same(context: &Context, root: &Tree, snapshot: &dyn Snapshot, entry: &Entry) -> Result<Option<bool>> {
    let failed = |error| failed(&root.place_of(&entry.path), "look at", error);
    let (folder, name) = match root.parent(&entry.path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
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
