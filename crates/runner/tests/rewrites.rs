//! A restore that rewrites the configuration in Backend dies at every record: `resume` ends where an uninterrupted run ends, `undo` where it began.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};

use plan::ids::DataSetName;
use plan::ports::SyncTask;
use plan::step::{Action, Output};
use plan::{Care, Error, WritersAre};
use runner::Journal;
use support::{DyingStore, World, live, reopen, restore_with};

const ROADS: [&[DataSetName]; 3] = [&[], &[DataSetName::BackendRedis], &DataSetName::ALL];

struct Crashed {
    world: World,
    lines: Arc<Mutex<Vec<String>>>,
    finished: bool,
}

fn run_until(lives: usize, in_place: &[DataSetName]) -> Crashed {
    let (world, manifest) = World::new();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let care = Care { rewrites_configuration: true, ..live::care() };
    let plan = restore_with(&DataSetName::ALL, &manifest, in_place, WritersAre::Ours, care);
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives }), plan).unwrap();
    let finished = runner::run(&journal, &world.hands()).is_ok();
    Crashed { world, lines, finished }
}

fn good() -> Vec<String> {
    let rewritten = |name: &DataSetName| if *name == DataSetName::BackendRedis { ", rewritten" } else { "" };
    DataSetName::ALL.iter().map(|name| format!("good {name}{}", rewritten(name))).collect()
}

#[test]
fn after_a_crash_at_any_record_it_is_rewritten_or_as_it_was() {
    for in_place in ROADS {
        let before = World::new().0.live();
        let end = run_until(usize::MAX, in_place).lines.lock().unwrap().len();
        for lives in 1..=end {
            let what = format!("{in_place:?}, record {lives} of {end}");
            let crashed = run_until(lives, in_place);
            if !crashed.finished {
                runner::run(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            }
            assert_eq!(crashed.world.live(), good(), "{what}");
            let run = reopen(&crashed.lines, usize::MAX).run();
            let step = run.plan.steps.iter().find(|step| matches!(step.action, Action::RewriteConfiguration { .. })).unwrap();
            assert_eq!(run.output(step.id), Some(&Output::Rewritten { written: 0, changed: 0, removed: 1 }), "{what}");
            let rake = Action::Synchronise { task: SyncTask::BackendConfiguration };
            assert!(run.plan.steps.iter().all(|step| step.action != rake), "3scale's own task is run all the same");
            assert_eq!(crashed.world.keys_of(DataSetName::BackendRedis).counters[live::EVENTS], 20, "{what}");

            let crashed = run_until(lives, in_place);
            runner::undo(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            assert_eq!(crashed.world.live(), before, "{what}");
            assert!(crashed.world.is_clean() && crashed.world.writers_run(), "{what}");
        }
    }
}

#[test]
fn what_cannot_be_rewritten_beside_leaves_the_live_data_alone() {
    let (world, manifest) = World::new();
    let care = Care { rewrites_configuration: true, ..live::care() };
    let plan = restore_with(&DataSetName::ALL, &manifest, &[], WritersAre::Ours, care);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives: usize::MAX }), plan).unwrap();
    let mut hands = world.hands();
    hands.rewriter = Some(Arc::new(|_, _| Err(Error::failed("a row cannot be read"))));
    assert!(runner::run(&journal, &hands).expect_err("it cannot").chain().contains("a row cannot be read"));
    assert_eq!(world.live(), World::new().0.live());
    assert!(world.writers_run());
    runner::run(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
    assert_eq!(world.live(), good());
}
