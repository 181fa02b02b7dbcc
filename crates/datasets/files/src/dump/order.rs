//! The threads of a dump: one walks and numbers the entries, others read them in any order; every entry has a slot, and the slots are in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::Timestamp;
use plan::error::During;
use plan::ports::StopFlag;
use plan::{Error, Result};
use rustix::fs::FileType;

use super::Shared;
use super::read::{Job, Slot, cannot_read, read_entry};
use super::since::Entries;
use crate::walk::{Missed, Walk};
use beneath::is_vanished;

/// Entries between the walk and the one that is wanted; each may hold a file descriptor or two.
const WINDOW_ENTRIES: usize = 128;
/// Entries that pass from thread to thread at a time: each pass may have to wake somebody, which costs more than looking at a file.
const BATCH_ENTRIES: usize = 16;
/// One batch is being filled, and one emptied.
const BATCHES_WAITING: usize = WINDOW_ENTRIES / BATCH_ENTRIES - 2;

/// Entries on their way, and their slots, in the order of the walk.
#[derive(Default)]
struct Batch {
    slots: Vec<Slot>,
    jobs: Vec<Job>,
}

impl Batch {
    /// False when nobody wants any more.
    fn send(&mut self, slots: &Sender<Vec<Slot>>, jobs: &Sender<Vec<Job>>) -> bool {
        let Self { slots: own_slots, jobs: own_jobs } = std::mem::take(self);
        own_slots.is_empty() || slots.send(own_slots).is_ok() && jobs.send(own_jobs).is_ok()
    }
}

/// The slots as they come, and the threads.
pub(super) type Started = (Receiver<Vec<Slot>>, Vec<JoinHandle<()>>);

/// Starts the threads. They end when the slots are dropped and the window is closed.
pub(super) fn start(shared: &Arc<Shared>, stop: &StopFlag, readers: usize) -> Result<Started> {
    let (slots_in, slots_out) = bounded(BATCHES_WAITING);
    let (jobs_in, jobs_out) = bounded(BATCHES_WAITING);
    let mut threads = Vec::new();
    let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map(|thread| threads.push(thread)).during(|| "start a thread for reading files".to_owned())
    };
    for _ in 0..readers {
        let (shared, jobs_out): (_, Receiver<Vec<Job>>) = (Arc::clone(shared), jobs_out.clone());
        spawn(
            "files-reader",
            Box::new(move || {
                // In their order: the window lets in the entry that is wanted next, and somebody is at the batch that has it.
                for mut job in jobs_out.into_iter().flatten() {
                    let item = read_entry(&shared, &mut job);
                    drop(job.slot.send(item));
                }
            }),
        )?;
    }
    let (shared, stop) = (Arc::clone(shared), stop.clone());
    spawn("files-walk", Box::new(move || walk(&shared, &stop, &slots_in, &jobs_in)))?;
    Ok((slots_out, threads))
}

fn walk(shared: &Shared, stop: &StopFlag, slots: &Sender<Vec<Slot>>, jobs: &Sender<Vec<Job>>) {
    let mut sequence = 0;
    let mut batch = Batch::default();
    let mut earlier = Entries::of(shared);
    for found in Walk::new(Arc::clone(&shared.tree), shared.hook.clone()).lending(shared.lent.clone()) {
        if stop.is_raised() {
            return;
        }
        let (slot, out) = bounded(1);
        match found.map_err(|missed| cannot_walk(shared, missed)) {
            Ok(found) => {
                let earlier = if found.kind == FileType::RegularFile { earlier.at(shared, &found.path) } else { None };
                batch.slots.push(out);
                batch.jobs.push(Job { sequence, found, earlier, slot });
                sequence += 1;
                if batch.jobs.len() == BATCH_ENTRIES && !batch.send(slots, jobs) {
                    return;
                }
            }
            Err(None) => {}
            Err(Some(error)) => {
                drop(slot.send(Err(error)));
                batch.slots.push(out);
                batch.send(slots, jobs);
                return;
            }
        }
    }
    if !batch.send(slots, jobs) {
        return;
    }
    shared.tally().ended_at = Some(Timestamp::now());
    shared.walk_ended.store(true, Ordering::SeqCst);
}

/// What a missed entry means: nothing but a notice when it vanished, or an error.
fn cannot_walk(shared: &Shared, missed: Missed) -> Option<Error> {
    if is_vanished(&missed.error) && !missed.path.as_os_str().is_empty() {
        shared.notice("vanished", &missed.path, "vanished before it was read; left out");
        return None;
    }
    cannot_read(shared, &missed.path, missed.error)
}
