//! Each era backed up under write load, destroyed by hand, restored, compared from outside; undone, restored again, settled.

use crate::clock;
use e2e::{ALL_STORES, Fingerprint, Installation, Program, Settings, Steps, assert_equal, assert_sees_destruction};

pub(crate) fn stands_still() {
    let mut steps = Steps::of("case 00: the suite's own eyes");
    steps.step("an installation, whole and written to");
    let place = Installation::of_era(&Settings::read(), "2.15");
    steps.step("looked at, waited for writes, looked at again");
    let before = Fingerprint::of(&place);
    place.wait_writing();
    assert_equal(&Fingerprint::of(&place), &before, "nothing happened");
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

pub(crate) fn whole_life(case: &'static str, era: &str, with_undo: bool) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    steps.step("an installation, whole and written to");
    let place = Installation::of_era(&settings, era);
    place.wait_writing();
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);

    steps.step("doctor reads it, with nothing configured but the repository");
    let doctor = program.ok(&["doctor"]);
    for name in ["system-database", "system-storage", "zync-database", "backend-redis", "system-redis", "kubernetes-objects"] {
        assert!(doctor.contains(name), "doctor does not tell of {name}:\n{doctor}");
    }

    steps.step("backup, while everything writes");
    let before = Fingerprint::of(&place);
    let (tasks_before, row) = (place.tasks(), place.heartbeat());
    let rows = (row, place.heartbeats_to(row));
    program.ok(&["backup"]);
    assert_eq!(program.sets(), 1);
    assert_eq!(place.replicas(), replicas, "a backup stops nobody");

    steps.step("destroyed by hand");
    place.destroy();
    let destroyed = Fingerprint::of(&place);
    assert_sees_destruction(&destroyed, &before, &ALL_STORES);

    steps.step("restore latest --yes");
    steps.quote(&program.ok(&["restore", "latest", "--yes"]));
    steps.step("compared from outside");
    check_restored(&place, &before, &replicas, &tasks_before, rows);

    if !with_undo {
        clock::held_and_let_go(&mut steps, &place, &program);
        steps.step("settled: nothing of the program is left");
        program.ok(&["settle", "--yes"]);
        assert_eq!(place.leftovers(), Vec::<String>::new(), "after settle");
        return;
    }
    steps.step("undo, compared with what the destruction had left");
    program.ok(&["undo", "--yes"]);
    place.wait_ready();
    assert_equal(&Fingerprint::of(&place), &destroyed, "after undo");
    assert_eq!(place.replicas(), replicas);
    steps.step("what was written into the files since the cut-over is kept beside, and goes when that is said");
    let kept = place.files("find .threescale-backup -path '*/since/*' -type f -printf '%f\\n'");
    assert_eq!(kept.lines().collect::<Vec<_>>(), [".rake-log"], "the log of the tasks that the restore ran");
    let run = program.restores().pop().unwrap();
    program.ok(&["abandon", &run, "--remove", "--drop-previous", "--yes"]);
    assert_eq!(place.leftovers(), Vec::<String>::new(), "after undo");
}

fn check_restored(place: &Installation, before: &Fingerprint, replicas: &e2e::Replicas, tasks_before: &[String], rows: (u64, u64)) {
    place.wait_ready();
    let after = Fingerprint::of(place);
    assert_equal(&after.without_queues(), &before.without_queues(), "after the restore");
    assert_eq!(after.queues(), Vec::<String>::new(), "jobs are not done twice");
    assert_eq!(place.replicas(), *replicas, "everything runs as it did, the operator too");
    assert_eq!(place.heartbeats_to(rows.0), rows.1, "the rows of the backup's time are there");
    assert_eq!(place.mysql("SELECT COUNT(*) FROM heartbeats WHERE source = 'after the backup'").trim(), "0", "and none that came after it");
    let tasks = place.tasks();
    let new = tasks.strip_prefix(tasks_before).unwrap_or(&tasks);
    // Only where the program does not know the schema is Backend's configuration left to 3scale's own task.
    let new = new.strip_prefix(&["backend:storage:rewrite".to_owned()]).unwrap_or(new);
    // A kubelet that is busy was seen to start a container of a pod twice that is to run once; the tasks may be done twice.
    let mut new = new.to_vec();
    new.dedup();
    assert_eq!(new, ["searchd:optimal_index", "zync:resync:domains"], "the copies are made anew, in this order");
    place.wait_writing();
}
