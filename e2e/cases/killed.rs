//! The program killed (-9) at each step from the first that changes the installation to the last, one after the other in one run: what was recorded comes back.

use std::collections::BTreeSet;

use e2e::{Fingerprint, Installation, Journal, Program, Settings, Steps, Stop, assert_equal};

/// What a step of interest begins with.
const QUIESCE: [&str; 6] = ["note-writers", "stop-writers", "cut-over", "start-writers", "synchronise", "release-writers"];

pub(crate) fn resumed() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 05: killed at every step, resumed");
    steps.step("a set, and an installation destroyed after it");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let (before, replicas) = (Fingerprint::of(&place), place.replicas());
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    place.destroy();

    steps.step("restore, then resume, each killed at the next record");
    let kills = kill_until_the_end(&program, &["restore", "latest", "--yes"], &["resume", "--yes"], &["started", "succeeded"], &steps);
    assert!(kills > 12, "only {kills} records to kill at");

    steps.step("compared from outside");
    place.wait_ready();
    assert_eq!(place.replicas(), replicas, "the recorded numbers");
    assert_equal(&Fingerprint::of(&place).without_queues(), &before.without_queues(), "after the last resume");
    program.ok(&["settle", "--yes"]);
    place.wait_writing();
    assert_eq!(place.leftovers(), Vec::<String>::new(), "after settle");
}

/// Of the zync database alone, whose writers are quickly stopped and started: it goes back in place, so the undo is a restore of the safety copy.
pub(crate) fn undone() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 05: killed at every step, undone");
    steps.step("a set, and an installation changed after it");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    drop(place.psql("UPDATE tenants SET access_token = 'changed after the backup' WHERE id = 2"));
    let changed = Fingerprint::of(&place);

    steps.step("a restore, killed when writers are let go");
    let killed = program.kill_when(&["restore", "latest", "--yes", "--only", "zync-database"], |journal| {
        last(journal, &["started"]).filter(|record| record.contains("release-writers"))
    });
    assert!(matches!(killed, Stop::Killed(_)), "{killed:?}: {}", program.last_words());

    steps.step("undo, again and again, each killed at the next record");
    let kills = kill_until_the_end(&program, &["undo", "--yes"], &["undo", "--yes"], &["undo-started", "undo-succeeded"], &steps);
    // There are eight such records in the undo of zync alone; those that follow within a glance at the journal are missed.
    assert!(kills >= 4, "only {kills} records to kill at");

    steps.step("compared from outside");
    place.wait_ready();
    assert_eq!(place.replicas(), replicas, "the recorded numbers");
    assert_equal(&Fingerprint::of(&place), &changed, "after the last undo");
    place.wait_writing();
    assert_eq!(place.leftovers(), Vec::<String>::new(), "after undo");
    drop(place.psql("UPDATE tenants SET access_token = 'zync-token-2' WHERE id = 2"));
}

/// Runs `first`, then `next` for as long as there is a record to kill at that none was killed at before. Gives how many times it was killed.
fn kill_until_the_end(program: &Program, first: &[&str], next: &[&str], records: &[&str], steps: &Steps) -> usize {
    let mut seen = BTreeSet::new();
    let mut arguments = first;
    for _ in 0..60 {
        let stop = program.kill_when(arguments, |journal| last(journal, records).filter(|record| !seen.contains(record)));
        match stop {
            Stop::Killed(record) => {
                steps.note(&format!("killed at: {record}"));
                seen.insert(record);
            }
            Stop::Ended(Some(0)) => return seen.len(),
            Stop::Ended(code) => panic!("{arguments:?} ended with {code:?}: {}", program.last_words()),
        }
        arguments = next;
    }
    panic!("no end after {} kills", seen.len())
}

/// The journal's last record, when it is one of these of a step that quiesces, cuts over or releases.
fn last(journal: &Journal, records: &[&str]) -> Option<String> {
    let record = journal.records().pop()?;
    let (kind, rest) = record.split_once(' ')?;
    let action = rest.split_once(' ')?.1;
    (records.contains(&kind) && QUIESCE.iter().any(|wanted| action.starts_with(wanted))).then_some(record)
}
