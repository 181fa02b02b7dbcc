//! `kill -9` in the middle of a backup, a staging, a cut-over; then `resume` or `undo`. Compared by the stores' own means.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use support::{World, assert_equal};

/// Every third record of a restore of all five data sets; the last kill finds a finished run. (Every record of plans of all kinds: `crash_at_every_record` of the runner.)
const RECORDS_MAX: usize = 80;

#[test]
fn a_restore_killed_at_its_records_is_resumed_or_undone() {
    let world = World::start(2 << 20);
    let good = world.fingerprint();
    world.ok(&["backup"]);
    world.damage_all();
    let damaged = world.fingerprint();
    let (mut lines, mut kills) = (2, 0);
    while lines < RECORDS_MAX {
        let killed = world.kill_at_line(&["restore", "latest", "--yes"], lines);
        let finished = world.is_finished();
        if kills % 2 == 0 {
            if !finished {
                world.ok(&["resume", "--yes"]);
            }
            assert_equal(&world.fingerprint(), &good, &format!("resumed after a kill at record {lines}"));
            world.ok(&["undo", "--yes"]);
        } else {
            world.ok(&["undo", "--yes"]);
        }
        assert_equal(&world.fingerprint(), &damaged, &format!("undone after a kill at record {lines}"));
        if !killed {
            break;
        }
        kills += 1;
        lines += 3;
    }
    assert!(kills >= 10, "{kills} kills");
    world.ok(&["check", "--read-data"]);
}

#[test]
fn a_backup_killed_in_the_middle_leaves_no_set_and_the_next_one_is_whole() {
    let world = World::start(8 << 20);
    for lines in [2, 4, 6] {
        world.kill_at_line(&["backup"], lines);
        assert_eq!(world.json(&["list"])["sets"].as_array().unwrap().len(), 0, "killed at record {lines}");
    }
    // The last one is resumed, then a new one is taken: both are whole.
    world.ok(&["resume"]);
    world.ok(&["backup"]);
    assert_eq!(world.json(&["list"])["sets"].as_array().unwrap().len(), 2);
    world.ok(&["check", "--read-data"]);
    world.ok(&["rehearse", "latest"]);
}

#[test]
fn a_server_that_dies_while_a_set_is_staged_leaves_the_rest_as_it_was() {
    let mut world = World::start(4 << 20);
    let good = world.fingerprint();
    world.ok(&["backup"]);
    world.damage_all();
    world.installation.system_redis.kill();
    let output = world.run(&["restore", "latest", "--yes"]);
    assert_eq!(output.status.code(), Some(75), "{}", support::text(&output.stderr));
    world.installation.system_redis.start_again().unwrap();
    world.ok(&["restore", "latest", "--yes"]);
    assert_equal(&world.fingerprint(), &good, "after the restart of the server");
}
