//! The cluster, or the namespace, is lost with all that was in it; only the repository is left: `docs/disaster.md`, command by command.

use e2e::{Fingerprint, Installation, Made, Program, SEEDED, Settings, Steps, Stop, assert_equal};

pub(crate) fn into_empty(case: &'static str, era: &str) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    if settings.node.is_none() {
        steps.step("not run: E2E_NODE does not say how to empty a volume");
        return;
    }
    steps.step("a set of a whole installation");
    let place = Installation::of_era(&settings, era);
    place.wait_ready();
    let (before, replicas) = (Fingerprint::of(&place), place.replicas());
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);

    steps.step("lost: objects, pods, volumes");
    let made = Made::of(&place);
    made.lose(&place, &settings);

    steps.step("what is missing is said first: the operator at 0");
    place.kubectl.act(&["scale", "deployment", "threescale-operator-controller-manager-v2", "--replicas=0"]);
    let words = program.fails(&[2], &["restore", "latest", "--into-empty", "--yes"]);
    assert!(words.contains("the operator is at 0") && words.contains("scale deployment"), "{words}");
    place.kubectl.act(&["scale", "deployment", "threescale-operator-controller-manager-v2", "--replicas=1"]);
    program.ok(&["restore", "latest", "--into-empty", "--dry-run"]);

    steps.step("restore latest --into-empty, killed when the data is staged; the same call again");
    let making = made.make_when_asked(&place);
    let killed = program.kill_when(&["restore", "latest", "--into-empty", "--yes"], |journal| {
        journal.records().into_iter().find(|record| record.starts_with("started") && record.contains("stop-writers"))
    });
    assert!(matches!(killed, Stop::Killed(_)), "{killed:?}: {}", program.last_words());
    assert_eq!(place.replicas().get("system-sidekiq"), Some(&0), "nobody writes before the data is there");
    steps.quote(&program.ok(&["restore", "latest", "--into-empty", "--yes"]));

    steps.step("compared from outside");
    place.wait_ready();
    let after = Fingerprint::of(&place);
    assert!(!after.0.keys().any(|key| key.contains(SEEDED)), "what System's hook seeded is not live");
    assert_equal(&after.without_queues(), &before.without_queues(), "after the restore");
    assert_eq!(place.replicas(), replicas, "everything runs as it did, the operator too");
    place.wait_writing();

    if era != "2.15" {
        steps.step("settled: nothing of the program is left");
        program.ok(&["settle", "--yes"]);
        assert_eq!(place.leftovers(), Vec::<String>::new(), "after settle");
        drop(making);
        return;
    }
    steps.step("undo takes the data back, undo again empties the namespace");
    let run = program.restores().remove(0);
    let words = program.fails(&[2], &["undo", &run, "--yes"]);
    assert!(words.contains("comes first"), "{words}");
    program.ok(&["undo", "--yes"]);
    assert_eq!(place.replicas().get("system-sidekiq"), Some(&0), "nobody writes without the data");
    let tables = place.mysql("SHOW TABLES");
    assert!(tables.contains(SEEDED) && !tables.contains("cms_files"), "as the operator had made it: {tables}");
    program.ok(&["undo", "--yes"]);
    drop(making);
    let left = place.kubectl.items(&["apimanagers"]);
    assert!(left.is_empty(), "{left:?}");
    e2e::wait_until("the namespace to be empty", 240, || {
        let names: Vec<_> = place.replicas().into_keys().collect();
        (names == ["threescale-operator-controller-manager-v2"]).then_some(())
    });
}
