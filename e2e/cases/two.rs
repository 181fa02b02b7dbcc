//! Two installations in two namespaces: a set of the one goes into the other, of another era, and the one is left as it is.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, wait_until};
use serde_json::Value;

pub(crate) fn migrated(case: &'static str, era: &str) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    steps.step("a set of the one, another installation for it");
    let (from, into) = (Installation::of_era(&settings, era), Installation::of_era(&settings, "2.16"));
    let untouched = Fingerprint::of(&from);
    let wanted = untouched.only(&["system-", "zync-", "backend-"]);
    let program = Program::new(&settings, &from.namespace);
    program.ok(&["backup"]);
    let target = program.for_namespace(&into.namespace);
    drop(into.mysql("UPDATE services SET name = 'of the target' WHERE id = 2"));
    let (previous, replicas, places) = (Fingerprint::of(&into), into.replicas(), addresses(&into));

    steps.step("plan names what must survive and does not fit: Secrets of another installation");
    let words = target.fails(&[0, 2], &["plan", "latest", "--installation", &from.namespace]);
    assert!(words.contains(&format!("Taken from another installation, {}", from.namespace)), "{words}");
    assert!(words.contains("system-master-apicast"), "{words}");
    assert_equal(&Fingerprint::of(&into), &previous, "a plan touches nothing");

    steps.step("restored with the set's Secrets; where the databases are stays the target's own");
    target.ok(&["restore", "latest", "--installation", &from.namespace, "--yes", "--objects", "overwrite"]);
    into.wait_ready();
    let after = Fingerprint::of(&into);
    let data = after.only(&["system-", "zync-", "backend-"]);
    assert_equal(&data.without_queues(), &wanted.without_queues(), "after the migration");
    assert_eq!(addresses(&into), places, "the addresses of the databases");
    assert_eq!(into.replicas(), replicas);
    into.wait_writing();

    steps.step("its operator is content, and reconciles");
    wait_until("all conditions of the APIManager to be true", 120, || {
        let owner = into.kubectl.items(&["apimanagers"]).remove(0);
        let conditions = owner["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_true = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True");
        (is_true("Available") && is_true("Preflights")).then_some(())
    });
    into.kubectl.act(&["scale", "deployment", "zync", "--replicas=2"]);
    wait_until("the operator to put the number of zync back", 60, || (into.replicas() == replicas).then_some(()));

    steps.step("the installation that the set is of is as it was");
    assert_equal(&Fingerprint::of(&from), &untouched, "the one that nobody restored");
    assert_eq!(from.leftovers(), Vec::<String>::new());

    steps.step("settled: nothing of the program is left");
    target.ok(&["settle", "--yes"]);
    assert_eq!(into.leftovers(), Vec::<String>::new());
}

/// The Secrets that say where the databases are, but for the prefix of keys, which is of the data.
fn addresses(place: &Installation) -> Vec<Value> {
    let of = |name: &&str| {
        let mut secret = place.kubectl.json(&["get", "secret", name]);
        secret["data"].as_object_mut().unwrap().remove("NAMESPACE");
        secret["data"].take()
    };
    ["system-database", "backend-redis", "system-redis"].iter().map(of).collect()
}
