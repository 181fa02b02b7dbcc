//! The threads of a dump: one walks and numbers the entries, others read them in any order; every batch of entries has a slot for the answers, and the slots are in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use jiff::Timestamp;
use plan::error::During;
use plan::ports::StopFlag;
use plan::{Error, Result};
use rustix::fs::FileType;

use super::Shared;
use super::read::{Answer, Answers, Job, cannot_read, read_entry};
use super::since::Entries;
use crate::walk::{Missed, Walk};
use beneath::is_vanished;

/// Entries between the walk and the one that is wanted; each may hold a file descriptor or two.
const WINDOW_ENTRIES: usize = 128;
/// Entries that pass from thread to thread at a time: each pass may have to wake somebody, which costs more than looking at a file.
const BATCH_ENTRIES: usize = 16;
/// One batch is being filled, and one emptied.
const BATCHES_WAITING: usize = WINDOW_ENTRIES / BATCH_ENTRIES - 2;

/// Entries for one reader, in the order of the walk.
struct Batch {
    jobs: Vec<Job>,
    answers: Sender<Vec<Answer>>,
}

/// The answers of a batch.
pub(super) struct Slot {
    /// How many are still to come.
    pub(super) due: usize,
    /// Some at a time, in their order.
    pub(super) answers: Receiver<Vec<Answer>>,
}

/// What the walk has found goes to the readers, and to who takes the answers.
struct Ways {
    slots: Sender<Slot>,
    batches: Sender<Batch>,
}

impl Ways {
    /// False when nobody wants any more.
    fn send(&self, jobs: &mut Vec<Job>) -> bool {
        if jobs.is_empty() {
            return true;
        }
        let jobs = std::mem::replace(jobs, Vec::with_capacity(BATCH_ENTRIES));
        let (answers, out) = unbounded();
        self.slots.send(Slot { due: jobs.len(), answers: out }).is_ok() && self.batches.send(Batch { jobs, answers }).is_ok()
    }

    fn fail(&self, error: Error) {
        let (answers, out) = unbounded();
        drop(answers.send(vec![Err(error)]));
        drop(self.slots.send(Slot { due: 1, answers: out }));
    }
}

/// The slots as they come, and the threads.
pub(super) type Started = (Receiver<Slot>, Vec<JoinHandle<()>>);

/// Starts the threads. They end when the slots are dropped and the window is closed.
pub(super) fn start(shared: &Arc<Shared>, stop: &StopFlag, readers: usize) -> Result<Started> {
    let (slots, slots_out) = bounded(BATCHES_WAITING);
    let (batches, batches_out) = bounded::<Batch>(BATCHES_WAITING);
    let mut threads = Vec::new();
    let mut spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        thread.map(|thread| threads.push(thread)).during(|| "start a thread for reading files".to_owned())
    };
    for _ in 0..readers {
        let (shared, batches_out) = (Arc::clone(shared), batches_out.clone());
        spawn(
            "files-reader",
            Box::new(move || {
                // In their order: the window lets in the entry that is wanted next, and somebody is at the batch that has it.
                for Batch { mut jobs, answers } in batches_out {
                    let mut answers = Answers::new(answers);
                    for job in &mut jobs {
                        let answer = read_entry(&shared, job, &mut answers);
                        answers.add(answer);
                    }
                    answers.give();
                }
            }),
        )?;
    }
    let (shared, stop) = (Arc::clone(shared), stop.clone());
    spawn("files-walk", Box::new(move || walk(&shared, &stop, &Ways { slots, batches })))?;
    Ok((slots_out, threads))
}

fn walk(shared: &Shared, stop: &StopFlag, ways: &Ways) {
    let mut sequence = 0;
    let mut jobs = Vec::with_capacity(BATCH_ENTRIES);
    let mut earlier = Entries::of(shared);
    for found in Walk::new(Arc::clone(&shared.tree), shared.hook.clone()).lending(shared.lent.clone()) {
        if stop.is_raised() {
            return;
        }
        match found.map_err(|missed| cannot_walk(shared, missed)) {
            Ok(found) => {
                let earlier = if found.kind == FileType::RegularFile { earlier.at(shared, &found.path) } else { None };
                jobs.push(Job { sequence, found, earlier });
                sequence += 1;
                if jobs.len() == BATCH_ENTRIES && !ways.send(&mut jobs) {
                    return;
                }
            }
            Err(None) => {}
            Err(Some(error)) => {
                if ways.send(&mut jobs) {
                    ways.fail(error);
                }
                return;
            }
        }
    }
    if !ways.send(&mut jobs) {
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
