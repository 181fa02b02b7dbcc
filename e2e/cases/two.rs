//! Two installations in one cluster: one restored beside the other; the set of one into the other, of another era.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal};

pub(crate) fn one_of_two() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 10: two installations, one restored");
    steps.step("two installations, a set of each in one repository");
    let (one, other) = (Installation::of_era(&settings, "2.15"), Installation::of_era(&settings, "2.16"));
    let program = Program::new(&settings, &one.namespace);
    let of_other = program.for_namespace(&other.namespace);
    program.ok(&["backup"]);
    let set = of_other.json(&["backup"]);
    assert!(set.is_object(), "{set}");
    let (before, others, replicas) = (Fingerprint::of(&one), Fingerprint::of(&other), other.replicas());

    steps.step("one destroyed and restored from its own set");
    one.destroy();
    let sets = program.json(&["list"]);
    let own =
        sets["sets"].as_array().unwrap().first().and_then(|set| set["set"].as_str().or_else(|| set["id"].as_str())).unwrap().to_owned();
    program.ok(&["restore", &own, "--yes"]);
    one.wait_ready();
    assert_equal(&Fingerprint::of(&one).without_queues(), &before.without_queues(), "the one that was restored");

    steps.step("the other is as it was");
    assert_equal(&Fingerprint::of(&other), &others, "the other one");
    assert_eq!(other.replicas(), replicas);
    assert_eq!(other.leftovers(), Vec::<String>::new());
    program.ok(&["settle", "--yes"]);
    assert_eq!(one.leftovers(), Vec::<String>::new());
}

pub(crate) fn migrated() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 11: 2.15 with internal databases into 2.16 with external ones");
    steps.step("a set of the one, another installation for it");
    let (from, into) = (Installation::of_era(&settings, "2.15"), Installation::of_era(&settings, "2.16"));
    let wanted = Fingerprint::of_data(&from);
    let program = Program::new(&settings, &from.namespace);
    program.ok(&["backup"]);
    let target = program.for_namespace(&into.namespace);
    drop(into.mysql("UPDATE services SET name = 'of the target' WHERE id = 2"));
    let (previous, replicas) = (Fingerprint::of(&into), into.replicas());

    steps.step("plan names what must survive and does not fit: Secrets of another installation");
    let words = target.fails(&[0, 2], &["plan", "latest"]);
    assert!(words.contains("system-master-apicast"), "{words}");
    assert_equal(&Fingerprint::of(&into), &previous, "a plan touches nothing");

    steps.step("restored with the set's Secrets; where the databases are stays the target's own");
    target.ok(&["restore", "latest", "--yes", "--objects", "overwrite"]);
    into.wait_ready();
    let after = Fingerprint::of(&into);
    let data = after.only(&["system-", "zync-", "backend-"]);
    assert_equal(&data.without_queues(), &wanted.without_queues(), "after the migration");
    let addresses = ["object/Secret/system-database", "object/Secret/backend-redis", "object/Secret/system-redis"];
    assert_equal(&after.only(&addresses), &previous.only(&addresses), "the addresses of the databases");
    assert_eq!(into.replicas(), replicas);
    into.wait_writing();

    steps.step("undo gives the target back what it had");
    target.ok(&["undo", "--yes"]);
    into.wait_ready();
    assert_equal(&Fingerprint::of(&into), &previous, "after undo");
    assert_eq!(into.leftovers(), Vec::<String>::new());
    drop(into.mysql("UPDATE services SET name = 'API' WHERE id = 2"));
}
