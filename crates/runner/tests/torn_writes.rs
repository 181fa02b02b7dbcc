//! A write of the journal that is short and fails, with the next one fine again, at every record and in both lanes: nothing is written behind what is torn, and the
//! run goes on or is taken back.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::ids::{DataSetName, RunId};
use plan::ports::Append;
use plan::{Class, Error, Result};
use runner::{Journal, State};
use support::{World, restore};

/// A real file; one write of it is short, and fails. All others are fine.
struct Faulty {
    file: File,
    /// Writes before the one that fails.
    left: usize,
    /// How much of it arrives, in quarters.
    quarters: usize,
    failed: Arc<AtomicUsize>,
}

impl Append for Faulty {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.left == 0 && self.failed.fetch_add(1, Ordering::SeqCst) == 0 {
            self.file.write_all(&bytes[..bytes.len() * self.quarters / 4]).unwrap();
            return Err(Error::failed("no space left on device"));
        }
        self.left = self.left.saturating_sub(1);
        self.file.write_all(bytes).unwrap();
        Ok(())
    }
}

struct Torn {
    world: World,
    before: Vec<String>,
    _folder: tempfile::TempDir,
    state: State,
    path: PathBuf,
    finished: bool,
}

/// Runs a restore whose journal fails at a record.
fn tear(at: usize, quarters: usize, in_place: &[DataSetName]) -> Torn {
    let (world, manifest) = World::new();
    let (before, folder) = (world.live(), support::quick_folder());
    let state = State::folder(folder.path()).unwrap();
    let path = folder.path().join("runs/run.jsonl");
    let file = OpenOptions::new().create_new(true).append(true).open(&path).unwrap();
    let end = Faulty { file, left: at, quarters, failed: Arc::default() };
    let finished = Journal::begin(Box::new(end), restore(&manifest, in_place)).is_ok_and(|journal| {
        let ran = runner::run(&journal, &world.hands());
        // Somebody who goes on writing all the same is refused.
        assert!(ran.is_ok() || journal.write(plan::journal::Record::UndoOpened).is_err() || !is_torn(&path));
        ran.is_ok()
    });
    Torn { world, before, _folder: folder, state, path, finished }
}

fn is_torn(path: &PathBuf) -> bool {
    std::fs::read(path).unwrap().last().is_some_and(|byte| *byte != b'\n')
}

#[test]
fn a_torn_write_anywhere_is_gone_on_from_and_taken_back() {
    let mut torn = 0;
    for in_place in [&[][..], &[DataSetName::BackendRedis]] {
        for quarters in [0, 1, 3] {
            for at in 1.. {
                let case = || tear(at, quarters, in_place);
                let first = case();
                if first.finished {
                    break;
                }
                torn += usize::from(is_torn(&first.path));
                let id = RunId("run".into());
                runner::run(&first.state.open_journal(&id).unwrap(), &first.world.hands()).unwrap();
                assert!(first.world.live().iter().all(|text| text.starts_with("good")), "record {at}, {quarters} quarters");
                assert!(first.world.writers_run());
                let second = case();
                runner::undo(&second.state.open_journal(&id).unwrap(), &second.world.hands()).unwrap();
                assert_eq!(second.world.live(), second.before, "record {at}, {quarters} quarters");
                assert!(second.world.writers_run());
            }
        }
    }
    assert!(torn > 60, "{torn} journals were torn");
}

#[test]
fn a_first_record_that_is_torn_is_no_run() {
    let torn = tear(0, 2, &[]);
    assert!(!torn.finished);
    assert!(torn.state.runs().unwrap().is_empty());
    assert!(torn.state.all().unwrap().is_empty());
    assert_eq!(torn.world.live(), torn.before);
}

#[test]
fn a_record_glued_to_a_torn_one_is_damage_that_abandon_takes_out_of_the_way() {
    let torn = tear(5, 2, &[]);
    let mut bytes = std::fs::read(&torn.path).unwrap();
    bytes.extend_from_slice(b"{\"at\":\"2026-01-01T00:00:00Z\",\"record\":\"finished\"}\n");
    std::fs::write(&torn.path, bytes).unwrap();
    let id = RunId("run".into());
    assert_eq!(torn.state.read(&id).unwrap_err().class(), Class::NeedsPerson);
    let aside = torn.state.set_aside(&id).unwrap();
    assert!(std::fs::exists(aside).unwrap());
    assert!(torn.state.all().unwrap().is_empty());
}
