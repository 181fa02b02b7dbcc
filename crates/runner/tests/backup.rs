//! Backups on a fake installation: the order of the views, and what an interruption leaves.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "the restore tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plan::ids::{DataSetName, RunId, SetId};
use plan::{Plan, Wanted, plan_backup};
use runner::Journal;
use support::{DyingStore, World, findings, reopen};

fn backup(freeze: bool) -> Plan {
    let found: BTreeMap<_, _> = DataSetName::ALL.iter().map(|name| (*name, findings())).collect();
    let wanted = Wanted { freeze, can_stop_writers: true, ..Wanted::new(RunId("run".into()), SetId("new-set".into())) };
    let plan = plan_backup(wanted, found);
    plan.check().unwrap();
    plan
}

#[test]
fn a_backup_that_dies_at_any_record_leaves_no_set_and_resume_takes_it() {
    for freeze in [false, true] {
        let mut lives = 0;
        loop {
            lives += 1;
            let (world, _) = World::new();
            let lines = Arc::new(Mutex::new(Vec::new()));
            let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives }), backup(freeze)).unwrap();
            let finished = runner::run(&journal, &world.hands()).is_ok();
            let sets = || world.repository.manifests.lock().unwrap().iter().filter(|manifest| manifest.set.as_str() == "new-set").count();
            if !finished {
                runner::run(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
            }
            assert_eq!(sets(), 1, "freeze {freeze}, record {lives}");
            assert!(world.writers_run());
            if finished {
                break;
            }
        }
        assert!(lives > 12);
    }
}

#[test]
fn a_backup_that_gave_way_to_the_application_is_taken_again_all_of_it_and_not_for_ever() {
    for (times, taken) in [(2, true), (3, false)] {
        let (world, _) = World::new();
        let name = DataSetName::ZyncDatabase;
        world.faults.lock().unwrap().gives_way = Some((name, times));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives: usize::MAX }), backup(true)).unwrap();
        let ended = runner::run(&journal, &world.hands());
        let sets = world.repository.manifests.lock().unwrap().iter().filter(|manifest| manifest.set.as_str() == "new-set").count();
        assert_eq!((ended.is_ok(), sets), (taken, usize::from(taken)), "{ended:?}");
        if let Err(error) = ended {
            assert_eq!(error.class(), plan::Class::Transient, "{error:?}");
        }
        // The first view is opened anew each time: what was opened after an earlier one would be older than it.
        let dumps = world.faults.lock().unwrap().dumps.clone();
        assert_eq!(dumps.iter().filter(|name| **name == DataSetName::SystemDatabase).count(), 3, "{dumps:?}");
    }
}

#[test]
fn undo_of_a_frozen_backup_starts_the_writers() {
    let (world, _) = World::new();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let journal = Journal::begin(Box::new(DyingStore { lines: Arc::clone(&lines), lives: 6 }), backup(true)).unwrap();
    runner::run(&journal, &world.hands()).unwrap_err();
    assert!(!world.writers_run());
    runner::undo(&reopen(&lines, usize::MAX), &world.hands()).unwrap();
    assert!(world.writers_run());
    assert_eq!(world.repository.manifests.lock().unwrap().len(), 1, "only the set that was there");
}

#[test]
fn a_damaged_journal_asks_for_a_person_and_a_torn_line_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let state = runner::State::folder(folder.path()).unwrap();
    let plan = backup(false);
    let id = plan.run.clone();
    state.begin(plan).unwrap();
    let path = folder.path().join(format!("runs/{id}.jsonl"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"{\"at\":\"2026-"].concat()).unwrap();
    let journal = state.open_journal(&id).unwrap();
    drop(journal);
    assert_eq!(std::fs::read(&path).unwrap(), whole, "the torn line is gone");
    std::fs::write(&path, [&whole[..], b"{\"at\":\"2026-\n", &whole[..]].concat()).unwrap();
    assert_eq!(state.open_journal(&id).err().unwrap().class(), plan::Class::NeedsPerson);
}

#[test]
fn only_one_run_goes_on_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let state = runner::State::folder(folder.path()).unwrap();
    let lock = state.lock(&plan::InstallationId::default()).unwrap();
    assert_eq!(state.lock(&plan::InstallationId::default()).err().unwrap().class(), plan::Class::Locked);
    drop(lock);
    state.lock(&plan::InstallationId::default()).unwrap();
}

#[test]
fn a_run_that_ended_before_its_first_record_is_none_and_old_runs_are_tidied() {
    let folder = tempfile::tempdir().unwrap();
    let state = runner::State::folder(folder.path()).unwrap();
    std::fs::write(folder.path().join("runs/0-died.jsonl"), "{\"at\":").unwrap();
    assert!(state.runs().unwrap().is_empty());
    for name in ["1-closed", "2-open", "3-closed", "4-closed"] {
        let (world, _) = World::new();
        let mut plan = backup(false);
        plan.run = RunId(name.into());
        let journal = state.begin(plan).unwrap();
        if name.ends_with("closed") {
            runner::run(&journal, &world.hands()).unwrap();
        }
    }
    state.tidy(2).unwrap();
    let left: Vec<_> = state.runs().unwrap().into_iter().map(|run| run.0).collect();
    assert_eq!(left, ["2-open", "3-closed", "4-closed"]);
}
