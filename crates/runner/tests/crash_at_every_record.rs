//! The process dies at every record of a restore: `resume` ends where an uninterrupted run ends, `undo` where it began.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};

use plan::WritersAre;
use plan::ids::DataSetName;
use plan::journal::RunState;
use plan::step::Action;
use runner::Journal;
use support::{DyingStore, World, live, reopen, restore, restore_of};

const ROADS: [&[DataSetName]; 3] = [&[], &[DataSetName::BackendRedis, DataSetName::SystemStorage], &DataSetName::ALL];

struct Crashed {
    world: World,
    lines: Arc<Mutex<Vec<String>>>,
    finished: bool,
    before: Vec<String>,
    good: Vec<String>,
}

fn run_until(lives: usize, in_place: &[DataSetName]) -> Crashed {
    let (world, manifest) = World::new();
    let before = world.live();
    let good = DataSetName::ALL.iter().map(|name| format!("good {name}")).collect();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives }), restore(&manifest, in_place)).unwrap();
    let finished = runner::run(&journal, &world.hands()).is_ok();
    Crashed { world, lines, finished, before, good }
}

/// What is set right beside what was loaded: counters are at the largest of the set's, of what was live and of System's rows; what System has is not marked for
/// deletion; the clock is held.
fn assert_set_right(world: &World, what: &str) {
    let backend = world.keys_of(DataSetName::BackendRedis);
    assert_eq!((backend.counters[live::EVENTS], backend.counters[live::ALERTS]), (20, 9), "{what}");
    assert_eq!(backend.members.into_iter().collect::<Vec<_>>(), ["99"], "{what}");
    assert_eq!(world.keys_of(DataSetName::SystemDatabase).next_id, 100, "{what}: 99 was given");
    assert_eq!(world.keys_of(DataSetName::SystemRedis).ticks.into_iter().collect::<Vec<_>>(), ["eight"], "{what}");
}

fn assert_keys_as_before(world: &World, what: &str) {
    for name in DataSetName::ALL {
        assert_eq!(world.keys_of(name), live::of(&format!("damaged {name}")), "{what}: {name}");
    }
}

/// Every number of records after which the process can die, up to a run that finishes.
fn every_crash(in_place: &[DataSetName]) -> impl Iterator<Item = Crashed> + '_ {
    let mut done = false;
    (1..200).map_while(move |lives| {
        let crashed = (!done).then(|| run_until(lives, in_place))?;
        done = crashed.finished;
        Some(crashed)
    })
}

#[test]
fn resume_after_any_record_ends_like_an_uninterrupted_run() {
    for in_place in ROADS {
        let mut count = 0;
        for crashed in every_crash(in_place) {
            count += 1;
            if !crashed.finished {
                runner::run(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            }
            assert_eq!(crashed.world.live(), crashed.good, "{in_place:?}, record {count}");
            assert_set_right(&crashed.world, &format!("{in_place:?}, record {count}"));
            assert!(crashed.world.writers_run());
            assert!(crashed.world.copies_are_true());
            let journal = reopen(&crashed.lines, usize::MAX);
            assert_eq!(journal.run().state, RunState::Finished);
            runner::settle(&journal, &crashed.world.hands()).unwrap();
            assert!(crashed.world.is_clean(), "settle left something");
            assert_eq!(crashed.world.live(), crashed.good);
        }
        assert!(count > 20, "the crashes were {count}");
    }
}

#[test]
fn undo_after_any_record_ends_where_it_began() {
    for in_place in ROADS {
        for (count, crashed) in every_crash(in_place).enumerate() {
            runner::undo(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            assert_eq!(crashed.world.live(), crashed.before, "{in_place:?}, record {count}");
            assert!(crashed.world.writers_run(), "{in_place:?}, record {count}");
            assert_keys_as_before(&crashed.world, &format!("{in_place:?}, record {count}"));
            assert!(crashed.world.copies_are_true(), "{in_place:?}, record {count}");
            assert!(crashed.world.is_clean());
            assert_eq!(reopen(&crashed.lines, usize::MAX).run().state, RunState::Undone);
        }
    }
}

#[test]
fn undo_that_dies_at_any_record_can_be_called_again() {
    for in_place in ROADS {
        let mut lives = 0;
        loop {
            lives += 1;
            let crashed = run_until(usize::MAX, in_place);
            let first = runner::undo(&reopen(&crashed.lines, lives), &crashed.world.hands());
            if first.is_err() {
                runner::undo(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            }
            assert_eq!(crashed.world.live(), crashed.before, "{in_place:?}, record {lives} of the undo");
            assert_keys_as_before(&crashed.world, &format!("{in_place:?}, record {lives} of the undo"));
            assert!(crashed.world.writers_run());
            if first.is_ok() {
                break;
            }
        }
        assert!(lives > 5);
    }
}

#[test]
fn what_an_undo_puts_back_gives_no_id_again_that_was_given_since() {
    for in_place in ROADS {
        let mut lives = 0;
        loop {
            lives += 1;
            let crashed = run_until(usize::MAX, in_place);
            crashed.world.count_on(live::ALERTS, 5);
            let counted = || crashed.world.keys_of(DataSetName::BackendRedis).counters[live::ALERTS];
            let reached = counted();
            let first = runner::undo(&reopen(&crashed.lines, lives), &crashed.world.hands());
            if first.is_err() {
                runner::undo(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
            }
            assert_eq!(crashed.world.live(), crashed.before, "{in_place:?}, record {lives} of the undo");
            assert_eq!(counted(), reached, "{in_place:?}, record {lives} of the undo");
            if first.is_ok() {
                break;
            }
        }
    }
}

/// The system database alone goes back, and the Redis beside it goes on.
fn database_until(lives: usize, writers: WritersAre) -> (World, Arc<Mutex<Vec<String>>>, bool) {
    let (world, manifest) = World::new();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let plan = restore_of(&[DataSetName::SystemDatabase], &manifest, &[], writers);
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives }), plan).unwrap();
    let finished = runner::run(&journal, &world.hands()).is_ok();
    (world, lines, finished)
}

#[test]
fn an_undo_puts_back_what_a_live_redis_had_and_nothing_below_what_it_reached() {
    for writers in [WritersAre::Ours, WritersAre::Running] {
        let finished = |lives| database_until(lives, writers).2;
        let end = (1..100).find(|lives| finished(*lives)).unwrap();
        for lives in 1..=end {
            let what = format!("{writers:?}, record {lives} of {end}");
            // Nobody counts: it is as it was, where the journal says what it was.
            let (world, lines, _) = database_until(lives, writers);
            let is_said = reopen(&lines, usize::MAX).run();
            let keep = is_said.plan.steps.iter().find(|step| matches!(step.action, Action::KeepIdsAhead { .. })).unwrap().id;
            let is_said = writers == WritersAre::Ours || !is_said.was_begun(keep) || is_said.output(keep).is_some();
            runner::undo(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
            let alerts = world.keys_of(DataSetName::BackendRedis).counters[live::ALERTS];
            assert!(alerts == 3 || !is_said && alerts == 9, "{what}: {alerts}");
            assert_eq!(world.keys_of(DataSetName::SystemRedis), live::of("damaged system-redis"), "{what}");

            // Somebody does, then it goes on to its end, and is taken back.
            let (world, lines, ended) = database_until(lives, writers);
            world.count_on(live::ALERTS, 1);
            let reached = world.keys_of(DataSetName::BackendRedis).counters[live::ALERTS];
            if !ended {
                runner::run(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
            }
            runner::undo(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
            let alerts = world.keys_of(DataSetName::BackendRedis).counters[live::ALERTS];
            assert!(alerts == reached || reached > 9 && alerts >= reached, "{what}: {alerts}, and it had reached {reached}");
        }
    }
}

#[test]
fn a_proof_that_fails_leaves_the_live_data() {
    let (world, mut manifest) = World::new();
    let before = world.live();
    for kept in manifest.data_sets.values_mut() {
        kept.evidence.collections.values_mut().for_each(|tally| tally.count += 1);
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    let store = DyingStore { lines: Arc::clone(&lines), lives: usize::MAX };
    let journal = Journal::begin(Box::new(store), restore(&manifest, &[])).unwrap();
    let error = runner::run(&journal, &world.hands()).expect_err("the proof must fail");
    assert!(error.chain().contains("differs from the set in "), "{}", error.chain());
    assert_eq!(world.live(), before);
    assert!(world.writers_run());
}

#[test]
fn an_undone_or_settled_run_is_not_undone() {
    let crashed = run_until(usize::MAX, &[]);
    runner::settle(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).unwrap();
    let error = runner::undo(&reopen(&crashed.lines, usize::MAX), &crashed.world.hands()).expect_err("settled");
    assert_eq!(error.class(), plan::Class::Refused);
    assert_eq!(crashed.world.live(), crashed.good);
}
