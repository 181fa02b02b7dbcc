//! The configuration in Backend after a restore: what System has, whatever the set's Redis had; on running servers, read by `redis-cli`.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Output;

use support::{World, text};

fn said(output: &Output) -> String {
    text(&output.stdout).trim().to_owned()
}

fn sql(world: &World, statement: &str) -> String {
    let output = world.installation.mysql.client().args(["system", "-N", "-B", "-e", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output.stderr));
    said(&output)
}

fn redis(world: &World, words: &[&str]) -> String {
    let output = world.installation.backend_redis.client().args(words).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && !said.starts_with("ERR"), "{words:?}: {said}");
    said
}

/// What the rewrite of a finished run did, as its journal has it: written, changed, removed.
fn rewritten(world: &World) -> Option<[u64; 3]> {
    let lines = world.journal();
    let output = lines.iter().map(|line| &line["output"]).find(|output| output["output"] == "rewritten")?;
    Some(["written", "changed", "removed"].map(|number| output[number].as_u64().unwrap()))
}

#[test]
fn a_restore_leaves_backend_with_what_system_has() {
    let world = World::start(2 << 20);
    let one = |what: &str| {
        sql(
            &world,
            &format!("SELECT {what} FROM cinstances WHERE service_id = 2 AND user_key IS NOT NULL AND state = 'live' ORDER BY id LIMIT 1"),
        )
    };
    let (application, user_key) = (one("application_id"), one("user_key"));
    let key = |user_key: &str| format!("application/service_id:2/key:{user_key}/id").replace(' ', "+");
    let set_of = |name: &str| format!("application/service_id:2/id:{application}/{name}").replace(' ', "+");
    // An installation that agrees goes back as it is, to the last key.
    world.ok(&["backup"]);
    let agreed = world.fingerprint();
    world.damage_all();
    let plan = world.ok(&["plan", "latest", "--writers-are-stopped"]);
    assert!(plan.contains("rewrite the configuration in backend-redis"), "{plan}");
    world.ok(&["restore", "latest", "--yes", "--writers-are-stopped", "--no-hold", "--queues", "keep"]);
    assert_eq!(rewritten(&world), Some([0, 0, 0]));
    support::assert_equal(&world.fingerprint(), &agreed, "after a restore of what agrees");
    world.ok(&["settle", &world.newest_run(), "--yes"]);

    // Revoked, lost and changed behind System's back.
    redis(&world, &["SET", &key("a revoked/key"), &application]);
    redis(&world, &["SADD", &set_of("keys"), "a revoked application key"]);
    redis(&world, &["DEL", &key(&user_key), "alerts/service_id:2/allowed_set"]);
    redis(&world, &["SET", "service/id:2/backend_version", "another"]);
    redis(&world, &["SET", "service/id:77/provider_key", "somebody"]);
    let keys_before = redis(&world, &["SCARD", &set_of("keys")]);
    world.ok(&["backup"]);
    let disagreed = world.fingerprint();
    let assert_right = |when: &str| {
        assert_eq!(redis(&world, &["EXISTS", &key("a revoked/key"), "service/id:77/provider_key"]), "0", "{when}");
        assert_eq!(redis(&world, &["SISMEMBER", &set_of("keys"), "a revoked application key"]), "0", "{when}");
        assert_eq!(redis(&world, &["SCARD", &set_of("keys")]).parse::<u64>().unwrap() + 1, keys_before.parse::<u64>().unwrap(), "{when}");
        assert_eq!(redis(&world, &["GET", &key(&user_key)]), application, "{when}");
        assert_eq!(redis(&world, &["SCARD", "alerts/service_id:2/allowed_set"]), "3", "{when}");
        assert_eq!(
            redis(&world, &["GET", "service/id:2/backend_version"]),
            sql(&world, "SELECT backend_version FROM services WHERE id = 2"),
            "{when}"
        );
        assert_eq!(rewritten(&world), Some([4, 1, 3]), "{when}");
        let verified = world.run(&["verify", "latest"]);
        assert_eq!(verified.status.code(), Some(1), "the set itself is as it was");
    };
    let restore = |more: &[&str]| {
        world.run(&[&["restore", "latest", "--yes", "--writers-are-stopped", "--no-hold", "--queues", "keep"], more].concat())
    };
    let done = restore(&[]);
    assert!(done.status.success() && text(&done.stderr).contains("4 written, 1 changed, 3 removed"), "{}", text(&done.stderr));
    assert_right("beside");
    world.ok(&["undo", &world.newest_run(), "--yes"]);
    support::assert_equal(&world.fingerprint(), &disagreed, "after undo");

    // Nobody does it where that is said, or where only one of the two goes back; and the plan says so.
    let only = ["--only", "backend-redis"];
    let plan = world.ok(&[&["plan", "latest", "--writers-are-stopped"][..], &only].concat());
    assert!(plan.contains("nobody rewrites the configuration in Backend from System here: only one of"), "{plan}");
    let done = restore(&["--rewrite", "none", "--only", "backend-redis,system-database"]);
    assert!(done.status.success() && text(&done.stderr).contains("--rewrite none"), "{}", text(&done.stderr));
    assert_eq!((rewritten(&world), redis(&world, &["GET", &key("a revoked/key")])), (None, application.clone()));
    world.ok(&["undo", &world.newest_run(), "--yes"]);

    // Over the live data, and back.
    let done = restore(&["--in-place", "--only", "backend-redis,system-database"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_right("in place");
    world.ok(&["undo", &world.newest_run(), "--yes"]);
    assert_eq!(redis(&world, &["GET", &key("a revoked/key")]), application);
}
