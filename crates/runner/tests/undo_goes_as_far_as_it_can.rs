//! What one store cannot do stops nothing else; a store that is another one, or knows nothing of the run, stops everything before anything is lost.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};

use plan::Class;
use plan::ids::DataSetName;
use plan::journal::RunState;
use plan::step::Action;
use runner::Journal;
use support::{Data, DyingStore, Faults, World, reopen, restore};

const FAULTY: DataSetName = DataSetName::ZyncDatabase;

struct Done {
    world: World,
    lines: Arc<Mutex<Vec<String>>>,
    before: Vec<String>,
}

impl Done {
    fn journal(&self) -> Journal {
        reopen(&self.lines, usize::MAX)
    }
}

fn restored() -> Done {
    let (world, manifest) = World::new();
    let (before, lines) = (world.live(), Arc::new(Mutex::new(Vec::new())));
    let store = DyingStore { lines: Arc::clone(&lines), lives: usize::MAX };
    runner::run(&Journal::begin(Box::new(store), restore(&manifest, &[])).unwrap(), &world.hands()).unwrap();
    Done { world, lines, before }
}

fn stores(world: &World) -> Vec<Data> {
    world.data.values().map(|data| data.lock().unwrap().clone()).collect()
}

#[test]
fn one_swap_that_cannot_be_reversed_leaves_the_writers_down_and_all_else_back() {
    let done = restored();
    *done.world.faults.lock().unwrap() = Faults { undo: Some(FAULTY), ..Faults::default() };
    let error = runner::undo(&done.journal(), &done.world.hands()).unwrap_err();
    assert!(error.chain().contains("somebody holds it"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("`undo run`") && hint.contains("`abandon run`")), "{error:?}");
    assert!(!done.world.writers_run(), "writers must not run on a mixture");
    for (name, data) in &done.world.data {
        assert_eq!(data.lock().unwrap().live.starts_with("good"), *name == FAULTY, "{name}");
    }
    *done.world.faults.lock().unwrap() = Faults::default();
    runner::undo(&done.journal(), &done.world.hands()).unwrap();
    assert_eq!(done.world.live(), done.before);
    assert!(done.world.writers_run() && done.world.is_clean());
}

#[test]
fn what_cannot_be_removed_does_not_keep_the_writers_down() {
    let done = restored();
    *done.world.faults.lock().unwrap() = Faults { discard: Some(FAULTY), ..Faults::default() };
    let error = runner::undo(&done.journal(), &done.world.hands()).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("The previous data is live again")), "{error:?}");
    assert_eq!(done.world.live(), done.before);
    assert!(done.world.writers_run());
    assert_eq!(done.journal().run().state, RunState::Undoing);
    *done.world.faults.lock().unwrap() = Faults::default();
    runner::undo(&done.journal(), &done.world.hands()).unwrap();
    assert!(done.world.is_clean());
}

#[test]
fn a_place_is_given_back_only_when_all_of_it_is_taken_back() {
    for faults in [Faults { undo: Some(FAULTY), ..Faults::default() }, Faults { discard: Some(FAULTY), ..Faults::default() }] {
        let done = restored();
        *done.world.faults.lock().unwrap() = faults;
        for _ in 0..3 {
            runner::undo(&done.journal(), &done.world.hands()).unwrap_err();
        }
        let run = done.journal().run();
        let reserved =
            run.plan.steps.iter().find(|step| matches!(step.action, Action::Reserve { data_set, .. } if data_set == FAULTY)).unwrap();
        assert!(run.was_begun(reserved.id), "its claim is given back while something is still there");
        *done.world.faults.lock().unwrap() = Faults::default();
        runner::undo(&done.journal(), &done.world.hands()).unwrap();
        assert_eq!((done.world.live(), done.journal().run().state), (done.before, RunState::Undone));
        assert!(done.world.writers_run() && done.world.is_clean());
    }
}

#[test]
fn settle_drops_all_that_can_be_dropped_and_goes_on_later() {
    let done = restored();
    *done.world.faults.lock().unwrap() = Faults { discard: Some(FAULTY), ..Faults::default() };
    runner::settle(&done.journal(), &done.world.hands()).unwrap_err();
    let kept = stores(&done.world).into_iter().filter(|data| data.before.is_some()).count();
    assert_eq!(kept, 1, "only the one that failed is kept");
    *done.world.faults.lock().unwrap() = Faults::default();
    runner::settle(&done.journal(), &done.world.hands()).unwrap();
    assert_eq!(done.journal().run().state, RunState::Settled);
    assert!(done.world.is_clean());
}

#[test]
fn a_settle_that_one_store_refuses_drops_nothing_anywhere_and_the_run_can_be_undone() {
    let done = restored();
    let before = stores(&done.world);
    *done.world.faults.lock().unwrap() = Faults { keeps: Some(FAULTY), ..Faults::default() };
    let error = runner::settle(&done.journal(), &done.world.hands()).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert!(error.chain().contains("zync-database would not drop what run run kept of it: it belongs to another user"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("`undo run` is still possible")), "{error:?}");
    assert_eq!((stores(&done.world), done.journal().run().state), (before, RunState::Finished));
    runner::undo(&done.journal(), &done.world.hands()).unwrap();
    assert_eq!(done.world.live(), done.before);
    assert!(done.world.writers_run() && done.world.is_clean());
}

#[test]
fn what_began_to_settle_goes_on_with_all_that_can_be_dropped() {
    let done = restored();
    *done.world.faults.lock().unwrap() = Faults { discard: Some(FAULTY), ..Faults::default() };
    runner::settle(&done.journal(), &done.world.hands()).unwrap_err();
    // What refuses now holds up nothing that could be dropped since.
    *done.world.faults.lock().unwrap() = Faults { keeps: Some(DataSetName::SystemDatabase), ..Faults::default() };
    runner::settle(&done.journal(), &done.world.hands()).unwrap();
    assert_eq!(done.journal().run().state, RunState::Settled);
}

#[test]
fn another_store_is_refused_before_anything_is_touched() {
    for verb in [runner::undo, runner::settle] {
        let done = restored();
        let before = stores(&done.world);
        *done.world.faults.lock().unwrap() = Faults { identity: Some(FAULTY), ..Faults::default() };
        let error = verb(&done.journal(), &done.world.hands()).unwrap_err();
        assert_eq!(error.class(), Class::Refused);
        assert!(error.to_string().contains("another store"), "{error:?}");
        assert_eq!(stores(&done.world), before);
        assert_eq!(done.journal().run().state, RunState::Finished, "the journal is as it was");
    }
}

#[test]
fn a_store_that_knows_nothing_of_the_run_asks_for_a_person_and_nothing_is_dropped() {
    let done = restored();
    // Somebody else has settled and cleared it.
    for data in done.world.data.values() {
        let mut data = data.lock().unwrap();
        (data.before, data.side) = (None, None);
    }
    let before = stores(&done.world);
    let error = runner::undo(&done.journal(), &done.world.hands()).unwrap_err();
    assert_eq!(error.class(), Class::NeedsPerson, "{error:?}");
    // Before anything is stopped, though a pod of the run is still there.
    assert!(error.to_string().contains("no store knows anything of run"), "{error:?}");
    assert_eq!(stores(&done.world), before);
    runner::abandon(&done.journal(), &done.world.hands(), vec!["all of it".to_owned()]).unwrap();
    assert_eq!(done.journal().run().state, RunState::Abandoned);
    assert_eq!(runner::undo(&done.journal(), &done.world.hands()).unwrap_err().class(), Class::Refused);
}

#[test]
fn where_the_safety_copy_is_the_only_way_back_it_must_be_one() {
    let run = |useless: DataSetName| {
        let (world, manifest) = World::new();
        let (before, lines) = (world.live(), Arc::new(Mutex::new(Vec::new())));
        *world.faults.lock().unwrap() = Faults { restorable: Some(useless), ..Faults::default() };
        let store = DyingStore { lines: Arc::clone(&lines), lives: usize::MAX };
        let outcome = runner::run(&Journal::begin(Box::new(store), restore(&manifest, &[useless])).unwrap(), &world.hands());
        (Done { world, lines, before }, outcome)
    };
    let (done, outcome) = run(FAULTY);
    let error = outcome.unwrap_err();
    assert!(error.chain().contains("its safety copy could not go back"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint == "a table would be refused."), "{error:?}");
    assert_eq!(done.world.data[&FAULTY].lock().unwrap().live, "damaged zync-database");
    runner::undo(&done.journal(), &done.world.hands()).unwrap();
    assert_eq!(done.world.live(), done.before);
    assert!(done.world.writers_run());

    // The system database keeps what it replaces: its safety copy is a second way back only.
    run(DataSetName::SystemDatabase).1.unwrap();
}
