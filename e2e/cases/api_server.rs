//! The API server ends in the middle of a restore and is started again.

use std::process::Command;

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, text, wait_until};

pub(crate) fn restarted() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 07: the API server is restarted during a restore");
    let Some(node) = settings.node.clone() else {
        steps.step("not run: E2E_NODE does not say how to run a command on the node");
        return;
    };
    steps.step("a set, and an installation destroyed after it");
    let place = Installation::of_era(&settings, "2.15");
    let (before, replicas) = (Fingerprint::of(&place), place.replicas());
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    place.destroy();

    let mut arguments: &[&str] = &["restore", "latest", "--yes"];
    for action in ["stage system-storage", "stop-writers"] {
        steps.step(&format!("the API server is killed at: {action}"));
        let child = program.start(arguments);
        arguments = &["resume", "--yes"];
        wait_until(action, 180, || {
            program.journal().records().iter().any(|record| record.starts_with("started") && record.contains(action)).then_some(())
        });
        let killed = Command::new("sh").args(["-c", &format!("{node} pkill -KILL -x kube-apiserver")]).status().unwrap();
        assert!(killed.success(), "{killed}");
        let output = child.wait_with_output().unwrap();
        wait_until("the API server", 120, || place.kubectl.run(&["get", "--raw", "/readyz"], b"").status.success().then_some(()));
        if output.status.success() {
            steps.note("outlived: the run went on by itself");
            break;
        }
        let words = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 75)), "{}: {words}", output.status);
        assert!(words.contains("resume"), "the way out is told: {words}");
        steps.note(&format!(
            "exit code {:?}: {}",
            output.status.code(),
            words.lines().skip_while(|line| !line.starts_with("error")).collect::<Vec<_>>().join(" ")
        ));
    }
    if program.journal().records().iter().all(|record| record != "finished") {
        steps.step("resume goes on to the end");
        program.ok(&["resume", "--yes"]);
    }
    steps.step("compared from outside");
    place.wait_ready();
    assert_equal(&Fingerprint::of(&place).without_queues(), &before.without_queues(), "after the restore");
    assert_eq!(place.replicas(), replicas);
    program.ok(&["settle", "--yes"]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}
