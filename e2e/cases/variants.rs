//! 2.16 as it is deployed: TLS, Sentinel, PostgreSQL, restricted Redis users, files in a bucket. Each backed up, destroyed, restored, compared from outside.

use crate::clock;
use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, assert_sees_destruction};

pub(crate) fn whole_life(case: &'static str, variant: &'static str) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    steps.step("an installation of this variant, made for it");
    let place = Installation::of_variant(&settings, variant);
    place.wait_ready();
    place.wait_writing();
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);
    steps.step("doctor, and a backup while everything writes");
    if variant == "acl" {
        give_rights(&place, &program.fails(&[2], &["doctor"]));
    }
    program.ok(&["doctor"]);
    let before = Fingerprint::of(&place);
    program.ok(&["backup"]);
    steps.step("destroyed, restored, compared");
    let stores = place.destroy_stores();
    assert_sees_destruction(&Fingerprint::of(&place), &before, &stores);
    // Without this what a bucket has beyond the set stays in it.
    steps.quote(&program.ok(&["restore", "latest", "--remove-extra", "--yes"]));
    place.wait_ready();
    assert_equal(&Fingerprint::of(&place).without_queues(), &before.without_queues(), "after the restore");
    assert_eq!(place.replicas(), replicas);
    place.wait_writing();
    clock::held_and_let_go(&mut steps, &place, &program);
    steps.step("settled; the installation goes");
    program.ok(&["settle", "--yes"]);
    place.remove();
}

/// Does what `doctor` says of users who may too little: its lines, word by word, to the server's own client.
fn give_rights(place: &Installation, doctor: &str) {
    let lines: Vec<_> = doctor.lines().filter_map(|line| line.split_once("ACL SETUSER ")).map(|(_, rights)| rights).collect();
    for (workload, user) in [("backend-redis", "apisonator"), ("system-redis", "porta")] {
        let mut of_user = lines.iter().filter(|line| line.starts_with(user)).peekable();
        assert!(of_user.peek().is_some(), "no line for {user}:\n{doctor}");
        for rights in of_user {
            let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(rights.split_whitespace()).collect();
            assert_eq!(place.redis(workload, 0, &command), "OK", "{rights}");
        }
    }
}
