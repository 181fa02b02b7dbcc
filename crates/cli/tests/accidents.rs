//! Accidents of the system database, as people have them: the program alone brings it back, without a word of SQL.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{World, assert_equal, text};

const ONLY: [&str; 2] = ["--only", "system-database"];

fn sql(world: &World, statement: &str) -> String {
    let output = world.installation.mysql.client().args(["-N", "-e", statement]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_dropped_database_comes_back_beside_and_in_place_and_undo_leaves_none() {
    let world = World::start(2 << 20);
    let good = world.fingerprint();
    world.ok(&[&["backup"][..], &ONLY].concat());
    for road in [&[][..], &["--in-place"]] {
        sql(&world, "DROP DATABASE `system`");
        assert!(text(&world.run(&["doctor"]).stdout).contains("there is no database \"system\""));
        assert!(world.refused(2, &[&["backup"][..], &ONLY].concat()).contains("there is no database \"system\""));
        assert!(world.ok(&[&["plan", "latest", "--partial"][..], road].concat()).contains("the restore makes it"));
        let restore = [&["restore", "latest", "--partial", "--yes"][..], road].concat();
        world.ok(&restore);
        assert_equal(&world.fingerprint(), &good, "restored");
        world.ok(&["undo", "--yes"]);
        assert_eq!(sql(&world, "SHOW DATABASES LIKE 'system%'"), "", "as it was");
        world.ok(&restore);
        world.ok(&["settle", "--yes"]);
        assert_equal(&world.fingerprint(), &good, "settled");
        assert_eq!(sql(&world, "SHOW DATABASES LIKE 'system%'"), "system\n");
    }
}

#[test]
fn a_restore_in_place_that_is_killed_is_undone_by_what_was_kept() {
    let world = World::start(2 << 20);
    world.ok(&[&["backup"][..], &ONLY].concat());
    world.damage_all();
    let damaged = world.fingerprint();
    // From the first step on to the end of the load, and once whole.
    for lines in [2, 5, 7, 8, 9, 10, 99] {
        world.kill_at_line(&["restore", "latest", "--partial", "--in-place", "--yes"], lines);
        world.ok(&["undo", "--yes"]);
        assert_equal(&world.fingerprint(), &damaged, "after the undo");
        assert_eq!(sql(&world, "SHOW DATABASES LIKE 'system%'"), "system\n", "killed at line {lines}");
    }
}

#[test]
fn the_lock_that_a_dead_run_leaves_for_seconds_is_waited_for_and_a_living_ones_is_told() {
    let world = World::start(1 << 20);
    let lock = "CONCAT('threescale-backup:', LEFT(SHA2('system', 256), 40))";
    let hold = |seconds: u32| {
        let mut client = world.installation.mysql.client();
        let holder =
            client.args(["-e", &format!("SELECT GET_LOCK({lock}, 0); SELECT SLEEP({seconds})")]).stdout(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        while sql(&world, &format!("SELECT IS_USED_LOCK({lock}) IS NULL")).trim() == "1" {
            assert!(Instant::now() < limit, "nobody holds the lock");
        }
        holder
    };
    let mut dying = hold(3);
    world.ok(&[&["backup"][..], &ONLY].concat());
    assert!(dying.wait().unwrap().success());
    let mut living = hold(120);
    let said = world.refused(11, &[&["backup"][..], &ONLY].concat());
    assert!(said.contains("another run holds the lock of the database") && said.contains("--wait"), "{said}");
    living.kill().unwrap();
    living.wait().unwrap();
}
