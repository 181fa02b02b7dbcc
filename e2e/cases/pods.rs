//! Pods killed while the program reads from them or writes to them.

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
        // A busy node may let the pod live until its dump is done: then it is tried again.
        let was_met = (0..3).any(|_| {
            let sets = program.sets();
            let met = kill_pod_at(&program, &place, &["backup"], workload, &format!("dump {data_set}"), &steps);
            place.wait_ready();
            assert_eq!(program.sets(), sets + usize::from(met != Met::Failed), "a set exists when the backup ended well, and only then");
            met != Met::TooLate
        });
        assert!(was_met, "the pod of {workload} always lived until the dump was done");
    }

    steps.step("the next backup makes the set");
    let sets = program.sets();
    program.ok(&["backup"]);
    assert_eq!(program.sets(), sets + 1);
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

    // Not the pod through which files are staged: it lives on for longer than they take (`kubectl delete --force` does not end it at once).
    steps.step("the pod of system-mysql killed while system-database is staged: the live data is as it was");
    let restore = ["restore", "latest", "--partial", "--yes"];
    let met = kill_pod_at(&program, &place, &restore, "system-mysql", "stage system-database", &steps);
    assert!(met != Met::TooLate, "the pod was killed too late");
    place.wait_ready();
    if met == Met::Failed {
        assert_equal(&Fingerprint::of_data(&place), &destroyed, "nothing was cut over");
        steps.step("resume goes on to the end");
        program.ok(&["resume", "--yes"]);
        place.wait_ready();
    }
    let stores = ["system-database/", "system-storage/"];
    assert_equal(&Fingerprint::of_data(&place).only(&stores), &before.only(&stores), "after resume");
    program.ok(&["settle", "--yes"]);
    unpad(&place);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// Kills the pod while the step is under way; the program goes on by itself, or ends with a documented code and says what to do.
fn kill_pod_at(program: &Program, place: &Installation, arguments: &[&str], workload: &str, action: &str, steps: &Steps) -> Met {
    let (runs, lines) = (program.runs(), program.journal().records().len());
    let child = program.start(arguments);
    wait_until(&format!("the step {action}"), 120, || {
        let known = if program.runs() > runs { 0 } else { lines };
        let is_it = |record: &String| record.starts_with("started") && record.ends_with(action);
        program.journal().records().iter().skip(known).any(is_it).then_some(())
    });
    let pod = wait_until("the pod to kill", 60, || place.pod_of(workload).or_else(|| pod_named(place, workload)));
    place.kubectl.act(&["delete", "pod", &pod, "--grace-period=0", "--force"]);
    let output = child.wait_with_output().unwrap();
    let words = text(&output.stderr);
    if output.status.success() {
        let again: Vec<&str> = words.lines().filter(|line| line.contains("once more in") || line.contains("begins anew")).collect();
        steps.note(if again.is_empty() { "the pod lived on longer than the step" } else { "the program went on by itself:" });
        steps.quote(&again.join("\n"));
        return if again.is_empty() { Met::TooLate } else { Met::ByItself };
    }
    assert_eq!(output.status.code(), Some(75), "what comes back may be tried again: {words}");
    let way_out = if action.starts_with("dump") { "next backup" } else { "resume" };
    assert!(words.contains(way_out), "the way out is told: {words}");
    let told: Vec<&str> = words.lines().skip_while(|line| !line.starts_with("error")).collect();
    steps.quote(&format!("exit code {:?}: {}", output.status.code(), told.join(" ")));
    Met::Failed
}

/// How the program met the loss of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// The step was over by then.
    TooLate,
    /// It did it once more, to the end.
    ByItself,
    /// It said what to do.
    Failed,
}

/// A running pod whose name begins so.
fn pod_named(place: &Installation, beginning: &str) -> Option<String> {
    let pods = place.kubectl.items(&["pods", "--field-selector=status.phase=Running"]);
    pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).find(|name| name.starts_with(beginning)).map(str::to_owned)
}

/// 96 MB of what cannot be compressed in a table, and as much in a file.
fn pad(place: &Installation) {
    unpad(place);
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
