//! Pods killed while the program reads from them or writes to them.

use std::process::Child;

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, text, wait_until};

pub(crate) fn killed_in_mid_dump() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 06: a pod killed in mid-dump");
    steps.step("an installation with enough in it that a dump takes its time");
    let place = Installation::of_era(&settings, "2.15");
    let program = Program::new(&settings, &place.namespace);
    pad(&place);

    for (workload, data_set) in [("system-mysql", "system-database"), ("system-app", "system-storage")] {
        steps.step(&format!("backup; the pod of {workload} killed while {data_set} is read"));
        let child = program.start(&["backup"]);
        kill_pod_at(&program, &place, child, workload, &format!("dump {data_set}"), &steps);
        assert_eq!(program.sets(), 0, "no set exists");
        place.wait_ready();
    }

    steps.step("resume makes the set");
    program.ok(&["resume", "--yes"]);
    assert_eq!(program.sets(), 1);
    program.ok(&["check", "--read-data"]);
    unpad(&place);
    place.wait_ready();
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

pub(crate) fn killed_in_mid_stage() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 06: a pod killed in mid-stage");
    steps.step("a set with enough in it, and an installation destroyed after it");
    let place = Installation::of_era(&settings, "2.15");
    let program = Program::new(&settings, &place.namespace);
    pad(&place);
    let before = Fingerprint::of_data(&place);
    program.ok(&["backup", "--only", "system-database,system-storage"]);
    unpad(&place);
    place.destroy_system_database();
    place.destroy_files();
    let destroyed = Fingerprint::of_data(&place);

    for (workload, data_set) in [("system-mysql", "system-database"), ("system-app", "system-storage")] {
        steps.step(&format!("the pod of {workload} killed while {data_set} is staged: the live data is as it was"));
        let arguments: &[&str] = if workload == "system-mysql" { &["restore", "latest", "--yes"] } else { &["resume", "--yes"] };
        let child = program.start(arguments);
        kill_pod_at(&program, &place, child, workload, &format!("stage {data_set}"), &steps);
        place.wait_ready();
        assert_equal(&Fingerprint::of_data(&place), &destroyed, "nothing was cut over");
    }

    steps.step("resume goes on to the end");
    program.ok(&["resume", "--yes"]);
    place.wait_ready();
    let stores = ["system-database/", "system-storage/"];
    assert_equal(&Fingerprint::of_data(&place).only(&stores), &before.only(&stores), "after resume");
    program.ok(&["settle", "--yes"]);
    unpad(&place);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// Kills the pod while the step is under way; the program must end with a documented code and say what to do.
fn kill_pod_at(program: &Program, place: &Installation, child: Child, workload: &str, action: &str, steps: &Steps) {
    let pod = place.pod_of(workload).unwrap();
    let known = program.journal().0.len();
    wait_until(&format!("the step {action}"), 120, || {
        let records = program.journal().records();
        let is_new = program.journal().0.len() > known || known == 0;
        (is_new && records.iter().any(|record| record.starts_with("started") && record.ends_with(action))).then_some(())
    });
    place.kubectl.act(&["delete", "pod", &pod, "--grace-period=0", "--force"]);
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    let record = format!("succeeded {action}");
    assert!(!output.status.success(), "the pod was killed too late: {record}\n{:?}", program.journal().records());
    assert!(matches!(output.status.code(), Some(1 | 75)), "{}: {words}", output.status);
    assert!(words.contains("resume"), "the way out is told: {words}");
    steps.note(&format!("exit code {:?}: {}", output.status.code(), words.lines().next_back().unwrap_or_default()));
}

/// 96 MB of what cannot be compressed in a table, and as much in a file.
fn pad(place: &Installation) {
    let double = "INSERT INTO padding (bytes) SELECT RANDOM_BYTES(1024) FROM padding;".repeat(10);
    drop(place.mysql(&format!(
        "CREATE TABLE padding (id INT PRIMARY KEY AUTO_INCREMENT, bytes BLOB);
         INSERT INTO padding (bytes) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 96) SELECT RANDOM_BYTES(1024) FROM n; {double}"
    )));
    drop(place.files("mkdir -p padding && head -c 100663296 /dev/urandom > padding/random.bin"));
}

fn unpad(place: &Installation) {
    drop(place.mysql("DROP TABLE IF EXISTS padding"));
    drop(place.files("rm -rf padding"));
}
