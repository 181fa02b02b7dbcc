//! Accidents of the system database, as people have them: the program alone brings it back, without a word of SQL.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Ends the changes when it goes, also when the test fails.
struct Until(Arc<AtomicBool>);

impl Drop for Until {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const CHANGES: &str = "
    ALTER TABLE churn ADD COLUMN extra INT NOT NULL DEFAULT 7;
    UPDATE churn SET extra = id;
    ALTER TABLE churn DROP COLUMN extra;
    DROP TABLE gone;
    CREATE TABLE gone (id INT PRIMARY KEY, other INT);
    INSERT INTO gone SELECT id, id FROM churn;
    RENAME TABLE gone TO moved;
    TRUNCATE moved;
    RENAME TABLE moved TO gone;
    CREATE OR REPLACE VIEW seen AS SELECT COUNT(*) AS n FROM churn;
    DROP VIEW seen";

#[test]
fn definitions_that_change_while_a_backup_runs_give_a_whole_set_or_none() {
    let world = World::start(2 << 20);
    sql(
        &world,
        "USE `system`; CREATE TABLE churn (id INT PRIMARY KEY); CREATE TABLE gone (id INT PRIMARY KEY); INSERT INTO churn SELECT id FROM accounts LIMIT 100",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let mut taken = 0;
    std::thread::scope(|scope| {
        let until = Until(Arc::clone(&stop));
        let changes = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) {
                sql(&world, &format!("USE `system`; {CHANGES}"));
                rounds += 1;
            }
            rounds
        });
        for _ in 0..4 {
            let output = world.run(&[&["backup"][..], &ONLY].concat());
            let (code, said) = (output.status.code().unwrap(), text(&output.stderr));
            match code {
                0 => taken += 1,
                75 => assert!(said.contains("again"), "{said}"),
                _ => panic!("exit {code}: {said}"),
            }
        }
        drop(until);
        assert!(changes.join().unwrap() > 0);
    });
    let now = world.fingerprint();
    let sets = world.json(&["list"])["sets"].as_array().unwrap().len();
    assert_eq!(sets, taken, "what was not whole is no set");
    world.ok(&["check", "--read-data"]);
    for set in world.json(&["list"])["sets"].as_array().unwrap() {
        // Each is proven before it is live.
        world.ok(&["restore", set["set"].as_str().unwrap(), "--partial", "--yes"]);
        world.ok(&["undo", "--yes"]);
        assert_equal(&world.fingerprint(), &now, "undone");
    }
    // When it is quiet again, a backup has all of it.
    world.ok(&[&["backup"][..], &ONLY].concat());
    world.ok(&["restore", "latest", "--partial", "--yes"]);
    assert_equal(&world.fingerprint(), &now, "restored");
}
