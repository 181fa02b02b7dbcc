//! The threads of a dump: one walks and numbers the entries, others read them in any order; every entry has a slot, and the slots are in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use plan::error::During;
use plan::ports::StopFlag;
use plan::{Error, Result};
use rustix::fs::{FileType, fstat};

use super::Shared;
use super::read::{Item, read_entry};
use crate::walk::{Found, Missed, Walk};
use beneath::is_vanished;

/// Entries between the walk and the one that is wanted; each may hold a file descriptor or two.
const WINDOW_ENTRIES: usize = 128;

/// Where a reader puts what it read; `None` when the entry is left out.
pub(super) type Slot = Receiver<Result<Option<Item>>>;

pub(super) struct Job {
    pub(super) sequence: u64,
    pub(super) found: Found,
    slot: Sender<Result<Option<Item>>>,
}

/// Starts the threads. They end when the slots are dropped and the window is closed.
pub(super) fn start(shared: &Arc<Shared>, stop: &StopFlag, readers: usize, device: u64) -> Result<(Receiver<Slot>, Vec<JoinHandle<()>>)> {
    let (slots_in, slots_out) = bounded(WINDOW_ENTRIES);
    let (jobs_in, jobs_out) = bounded(WINDOW_ENTRIES);
    let mut threads = Vec::new();
    let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map(|thread| threads.push(thread)).during(|| "start a thread for reading files".to_owned())
    };
    for _ in 0..readers {
        let (shared, jobs_out): (_, Receiver<Job>) = (Arc::clone(shared), jobs_out.clone());
        spawn(
            "files-reader",
            Box::new(move || {
                for job in jobs_out {
                    let item = read_entry(&shared, &job);
                    drop(job.slot.send(item));
                }
            }),
        )?;
    }
    let (shared, stop) = (Arc::clone(shared), stop.clone());
    spawn("files-walk", Box::new(move || walk(&shared, &stop, device, &slots_in, &jobs_in)))?;
    Ok((slots_out, threads))
}

fn walk(shared: &Shared, stop: &StopFlag, device: u64, slots: &Sender<Slot>, jobs: &Sender<Job>) {
    let mut sequence = 0;
    for found in Walk::new(Arc::clone(&shared.tree), shared.hook.clone()) {
        if stop.is_raised() {
            return;
        }
        let (slot, out) = bounded(1);
        match found.map_err(|missed| cannot_walk(shared, missed)) {
            Ok(found) => {
                note_mount(shared, &found, device);
                if slots.send(out).is_err() || jobs.send(Job { sequence, found, slot }).is_err() {
                    return;
                }
                sequence += 1;
            }
            Err(None) => {}
            Err(Some(error)) => {
                drop(slot.send(Err(error)));
                drop(slots.send(out));
                return;
            }
        }
    }
    shared.tally().ended_at = Some(Timestamp::now());
    shared.walk_ended.store(true, Ordering::SeqCst);
}

/// Another volume mounted inside is part of what the application sees, so it is read; but renames cannot move it.
fn note_mount(shared: &Shared, found: &Found, device: u64) {
    let Some(opened) = found.opened.as_ref().filter(|_| found.kind == FileType::Directory) else { return };
    let above = fstat(&*found.folder).map_or(device, |stat| stat.st_dev);
    if fstat(opened).is_ok_and(|stat| stat.st_dev != above) {
        shared.notice("mount-points", &found.path, "another volume is mounted here; its files are in the backup");
    }
}

/// What a missed entry means: nothing but a notice when it vanished, or an error.
fn cannot_walk(shared: &Shared, missed: Missed) -> Option<Error> {
    if is_vanished(&missed.error) && !missed.path.as_os_str().is_empty() {
        shared.notice("vanished", &missed.path, "vanished before it was read; left out");
        return None;
    }
    cannot_read(shared, &missed.path, missed.error)
}

/// What an unreadable entry means: an error, or a notice when the operator wants that.
pub(super) fn cannot_read(shared: &Shared, path: &Path, error: std::io::Error) -> Option<Error> {
    if shared.skip_unreadable && !path.as_os_str().is_empty() {
        shared.notice("unreadable", path, &format!("could not be read ({error}); left out"));
        return None;
    }
    let place = shared.tree.place_of(path);
    Some(Error::failed(format!("read {}", place.display())).because(error).hint(
        "A backup without this file would not be complete. Give this program's user the right to read it, or move it away; \
         or leave out what cannot be read, with a warning, by the option skip-unreadable.",
    ))
}
