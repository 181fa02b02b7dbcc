//! Redis on its own road where commands cannot load it: a file in the data folder of its pod, and a restart of the pod.
//!
//! The readiness probe of 3scale's pods writes the key `liveness-probe` into the live database meanwhile: that is no difference.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, assert_sees_destruction};

const STORE: [&str; 1] = ["backend-redis/"];

pub(crate) fn there_and_back() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 21: backend-redis by file in its pod");
    steps.step("a set; then all keys lost, and a user who may not RESTORE");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let program = Program::new(&settings, &place.namespace);
    // The marks of a run stay beside the data until it is settled.
    let now = || {
        let mut found = Fingerprint::of_data(&place).only(&STORE).without_queues();
        found.0.retain(|name, _| !name.contains("/threescale-backup:"));
        found
    };
    let before = now();
    program.ok(&["backup", "--only", "backend-redis"]);
    place.destroy_backend_redis();
    let destroyed = now();
    assert_sees_destruction(&destroyed, &before, &STORE);
    forbid_restore(&place);
    let pod = place.pod_of("backend-redis");

    steps.step("plan says the road; restored by it, and compared");
    let restore = ["restore", "latest", "--partial", "--yes"];
    let words = program.ok(&["plan", "latest", "--partial"]);
    assert!(words.contains("goes back as a file in its data folder"), "{words}");
    program.ok(&restore);
    place.wait_ready();
    assert_equal(&now(), &before, "after the restore");
    assert_ne!(place.pod_of("backend-redis"), pod, "its server was started anew");
    place.wait_writing();

    steps.step("undone: the files of before");
    program.ok(&["undo", "--yes"]);
    place.wait_ready();
    assert_equal(&now(), &destroyed, "after undo");
    assert_eq!(files(&place), "", "after undo");

    steps.step("once more, and settled");
    // What the pod knew of users went with its restart.
    forbid_restore(&place);
    program.ok(&restore);
    place.wait_ready();
    assert_equal(&now(), &before, "after the second restore");
    assert!(files(&place).contains("-previous"), "the files of before are kept");
    program.ok(&["settle", "--yes"]);
    assert_eq!(files(&place), "", "after settle");
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

fn forbid_restore(place: &Installation) {
    assert_eq!(place.redis("backend-redis", 0, &["ACL", "SETUSER", "default", "-restore"]).trim(), "OK");
}

/// What of the program is in the data folder.
fn files(place: &Installation) -> String {
    let find = ["find", "/var/lib/redis/data", "-maxdepth", "1", "-name", "threescale-backup-*"];
    String::from_utf8_lossy(&place.exec("backend-redis", None, &find, b"")).into_owned()
}
