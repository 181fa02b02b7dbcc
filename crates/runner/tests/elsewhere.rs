//! A run that died on one machine goes on, or is taken back, on another one, from the copy of its journal in the repository.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};

use plan::ids::DataSetName;
use plan::journal::RunState;
use plan::{Class, InstallationId};
use runner::{Beside, Journal, State};
use support::{DyingStore, World, reopen, restore};
use tempfile::TempDir;

const ROADS: [&[DataSetName]; 3] = [&[], &[DataSetName::BackendRedis, DataSetName::SystemStorage], &DataSetName::ALL];

struct Crashed {
    world: World,
    lines: Arc<Mutex<Vec<String>>>,
    before: Vec<String>,
    finished: bool,
}

fn run_until(lives: usize, in_place: &[DataSetName]) -> Crashed {
    let (world, manifest) = World::new();
    let (before, lines) = (world.live(), Arc::new(Mutex::new(Vec::new())));
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives }), restore(&manifest, in_place)).unwrap();
    let finished = runner::run(&journal, &world.hands()).is_ok();
    Crashed { world, lines, before, finished }
}

/// The other machine: a state folder of its own, and the copy of the run, when there is one.
fn other_machine(world: &World) -> Option<(TempDir, State, Journal)> {
    let folder = support::quick_folder();
    let state = State::folder(folder.path()).unwrap();
    let copies = runner::copies(world.repository.as_ref(), &InstallationId::named("any")).unwrap();
    let copy = copies.first()?;
    assert_eq!(runner::beside(&state, copy), Beside::NotHere);
    runner::take_over(&state, copy, "other").unwrap();
    let journal = state.open_journal(&copy.id).unwrap();
    Some((folder, state, journal))
}

#[test]
fn a_run_that_died_anywhere_goes_on_or_is_taken_back_elsewhere() {
    for in_place in ROADS {
        for takes_back in [false, true] {
            let (mut lives, mut found) = (0, 0);
            loop {
                lives += 1;
                let crashed = run_until(lives, in_place);
                if crashed.finished {
                    break;
                }
                let Some((_folder, _, journal)) = other_machine(&crashed.world) else {
                    assert_eq!(crashed.world.live(), crashed.before, "{in_place:?}, record {lives}: replaced, and nobody elsewhere knows");
                    assert!(crashed.world.writers_run(), "{in_place:?}, record {lives}: stopped, and nobody elsewhere knows");
                    continue;
                };
                found += 1;
                if takes_back {
                    runner::undo(&journal, &crashed.world.hands()).unwrap();
                    assert_eq!(crashed.world.live(), crashed.before, "{in_place:?}, record {lives}");
                } else {
                    runner::run(&journal, &crashed.world.hands()).unwrap();
                    assert!(crashed.world.live().iter().all(|text| text.starts_with("good")), "{in_place:?}, record {lives}");
                }
                assert!(crashed.world.writers_run(), "{in_place:?}, record {lives}");
            }
            assert!(found > 8, "{found} crashes had a copy");
        }
    }
}

#[test]
fn the_first_machine_sees_what_the_other_did() {
    let crashed = run_until(usize::MAX, &[]);
    let (_folder, _, journal) = other_machine(&crashed.world).unwrap();
    runner::undo(&journal, &crashed.world.hands()).unwrap();
    let first = support::quick_folder();
    let state = State::folder(first.path()).unwrap();
    state.adopt(&plan::ids::RunId("run".into()), crashed.lines.lock().unwrap().concat().as_bytes()).unwrap();
    let copy = &runner::copies(crashed.world.repository.as_ref(), &InstallationId::named("any")).unwrap()[0];
    assert_eq!(runner::beside(&state, copy), Beside::Newer);
    runner::take_over(&state, copy, "first").unwrap();
    assert_eq!(state.read(&copy.id).unwrap().state, RunState::Undone);
    let again = runner::undo(&state.open_journal(&copy.id).unwrap(), &crashed.world.hands()).unwrap_err();
    assert_eq!(again.class(), Class::Refused);
    assert_eq!(crashed.world.live(), crashed.before);
}

#[test]
fn two_that_both_went_on_are_told() {
    let crashed = run_until(usize::MAX, &[]);
    let (_folder, state, journal) = other_machine(&crashed.world).unwrap();
    drop(journal);
    runner::settle(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
    let copy = &runner::copies(crashed.world.repository.as_ref(), &InstallationId::named("any")).unwrap()[0];
    assert_eq!(runner::beside(&state, copy), Beside::Contradicts);
    assert_eq!(runner::take_over(&state, copy, "other").unwrap_err().class(), Class::NeedsPerson);
}
