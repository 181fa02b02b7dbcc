//! Writes one entry; in place, a live file that is the same stays. Nothing is synced here; the caller syncs the volume once.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use beneath::{Unset, Writer, fill, is_as_wanted, mtime_ns, timestamps, write_time};
use plan::ports::{Entry, EntryKind, Snapshot, StopFlag};
use plan::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, futimens, openat, unlinkat};
use rustix::io::Errno;

use super::{Staged, Staging};
use crate::run_folder::{RunFolder, failed};
use crate::times::Span;

/// Contents are compared in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Writes an entry that is no folder.
pub(super) fn write(staging: &Staging<'_>, writer: &mut Writer<'_>, entry: &Entry) -> Result<()> {
    if matches!(entry.kind, EntryKind::Folder) {
        return Ok(());
    }
    let unset = if staging.in_place && entry.is_file() && stays(staging, writer, entry)? {
        Unset::default()
    } else {
        let meter = |bytes| {
            staging.advance(bytes, 0, false);
            staging.context.stop.check()
        };
        writer.write(staging.snapshot, entry, &meter).map_err(|fault| staging.failed(&entry.path, fault))?
    };
    staging.note(&entry.path, &entry.meta, &unset);
    staging.advance(0, 1, false);
    Ok(())
}

/// In place: whether the live file has this content, owner, mode and attributes already. Otherwise it is removed: nothing but the time is ever changed on a
/// file that was there, because it may be a further name of one outside.
fn stays(staging: &Staging<'_>, writer: &mut Writer<'_>, entry: &Entry) -> Result<bool> {
    let folder = writer.folder_of(&entry.path).map_err(|fault| staging.failed(&entry.path, fault))?;
    let name = entry.path.file_name().unwrap_or_default();
    let place = || staging.tree.place_of(&entry.path);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        // Where another user's has another time it is replaced.
        Ok(file)
            if is_same(staging, &file, entry)?
                && write_time(&file, &entry.meta).map_err(|error| failed(&place(), "set the time of", error))? =>
        {
            staging.advance(entry.size_bytes, 0, false);
            return Ok(true);
        }
        _ => {}
    }
    remove_name(folder, name).map_err(|error| failed(&place(), "remove", error))?;
    Ok(false)
}

fn remove_name(folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        done => Ok(done?),
    }
}

fn is_same(staging: &Staging<'_>, file: &OwnedFd, entry: &Entry) -> Result<bool> {
    let is_candidate = fstat(file).is_ok_and(|stat| {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        is_file && stat.st_nlink == 1 && u64::try_from(stat.st_size) == Ok(entry.size_bytes)
    });
    Ok(is_candidate
        && is_as_wanted(file, &entry.meta).unwrap_or(false)
        && same_content((&staging.context.stop, staging.snapshot), file, entry)?)
}

/// Whether a file has the content of an entry of the same size.
pub(crate) fn same_content((stop, snapshot): (&StopFlag, &dyn Snapshot), file: &OwnedFd, entry: &Entry) -> Result<bool> {
    if entry.size_bytes == 0 {
        return Ok(true);
    }
    let mut kept = snapshot.read(entry)?;
    let mut wanted = vec![0; PIECE_BYTES];
    let mut live = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < entry.size_bytes {
        stop.check()?;
        let length = fill(&mut kept, &mut wanted).map_err(|error| unreadable(entry, error))?;
        let (Some(want), Some(have)) = (wanted.get(..length), live.get_mut(..length)) else { return Ok(false) };
        let read = rustix::io::pread(file, &mut *have, offset).unwrap_or(0);
        if length == 0 || read != length || want != have {
            return Ok(false);
        }
        offset += length as u64;
    }
    Ok(true)
}

fn unreadable(entry: &Entry, error: io::Error) -> Error {
    Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error)
}

/// Finds out what the file system keeps: some (SMB, FAT) have modes of their own, some have coarse times, some none after 2038 or 2446.
pub(super) fn probe(run: &RunFolder) -> Result<(Staged, Span)> {
    const NAME: &str = "probe";
    const MTIME_NS: i128 = 1_234_567_891_123_456_789;
    run.remove_file(NAME)?;
    let ask = || -> io::Result<(Staged, Span)> {
        let file = openat(run, NAME, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        // Refusals show in what is read back.
        fchmod(&file, Mode::from_raw_mode(0o751)).ok();
        futimens(&file, &timestamps(MTIME_NS)).ok();
        let stat = fstat(&file)?;
        let staged = Staged { holds_modes: stat.st_mode & 0o7777 == 0o751, holds_times: mtime_ns(&stat) == MTIME_NS, ..Staged::default() };
        let kept =
            |wanted_ns| futimens(&file, &timestamps(wanted_ns)).and_then(|()| fstat(&file)).map_or(wanted_ns, |stat| mtime_ns(&stat));
        let all = Span::default();
        Ok((staged, Span { first_ns: kept(all.first_ns), last_ns: kept(all.last_ns) }))
    };
    let staged = ask().map_err(|error| failed(&run.place(), "write into", error))?;
    run.remove_file(NAME)?;
    Ok(staged)
}
