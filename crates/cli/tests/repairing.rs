//! `verify --repair` on running servers: what differs is set right, what was is put back byte by byte; read and compared by the servers' own clients.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::differences::document;
use support::{World, text};

const REPAIR: [&str; 5] = ["verify", "--repair", "--yes", "--again-after", "0"];

fn sql(world: &World, statement: &str) -> String {
    let output = world.installation.mysql.client().args(["system", "-N", "-B", "-e", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

fn redis(world: &World, words: &[&str]) -> String {
    let output = world.installation.backend_redis.client().args(words).output().unwrap();
    let said = text(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !said.starts_with("ERR"), "{words:?}: {said}");
    said
}

/// Every key with a digest of its dump and when it expires, as the server itself says; without counters that go by themselves. Of a set the members in order: in a dump
/// they stand as the server's table happens to have them.
fn every_key(world: &World) -> BTreeSet<String> {
    const SCRIPT: &str = "local all = {} \
        for _, key in ipairs(redis.call('KEYS', '*')) do \
        if redis.call('PTTL', key) < 0 or key:find('^application/') then \
        local value \
        if redis.call('TYPE', key).ok == 'set' then value = redis.call('SMEMBERS', key); table.sort(value); value = table.concat(value, '|') \
        else value = redis.call('DUMP', key) end \
        all[#all + 1] = key .. ' ' .. redis.sha1hex(value) .. ' ' .. redis.call('PEXPIRETIME', key) end end return all";
    let all: BTreeSet<_> = redis(world, &["EVAL", SCRIPT, "0"]).lines().map(str::to_owned).collect();
    assert!(all.len() > 50, "{} keys prove little", all.len());
    all
}

fn kinds(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap()).collect()
}

/// An application of service 2 that has what the change is about.
fn applications(world: &World, condition: &str, count: usize) -> Vec<(String, String)> {
    let question = format!(
        "SELECT id, application_id FROM cinstances WHERE service_id = 2 AND state = 'live' AND {condition} ORDER BY id LIMIT {count}"
    );
    let found = sql(world, &question);
    let found: Vec<_> =
        found.lines().map(|line| line.split_once('\t').unwrap()).map(|(id, name)| (id.to_owned(), name.to_owned())).collect();
    assert_eq!(found.len(), count, "{condition}");
    found
}

/// Lets the stores differ in every way that a repair sets right, and gives the kinds.
fn disagree(world: &World) -> BTreeSet<&'static str> {
    let with_key = applications(world, "user_key IS NOT NULL AND user_account_id IN (SELECT id FROM accounts WHERE provider = 0)", 6);
    let user_key = |row: &str| sql(world, &format!("SELECT user_key FROM cinstances WHERE id = {row}"));
    let key_of = |user_key: &str| format!("application/service_id:2/key:{}/id", user_key.replace(' ', "+"));
    let of = |name: &str, part: &str| format!("application/service_id:2/id:{}/{part}", name.replace(' ', "+"));
    let [changed, suspended, gone, one, other, renamed] = <[_; 6]>::try_from(with_key).unwrap();
    for change in [
        &format!("UPDATE cinstances SET user_key = 'a changed key' WHERE id = {}", changed.0),
        &format!("UPDATE cinstances SET state = 'suspended' WHERE id = {}", suspended.0),
        &format!("DELETE FROM application_keys WHERE application_id = {}", gone.0),
        &format!("DELETE FROM referrer_filters WHERE application_id = {}", gone.0),
        &format!("DELETE FROM cinstances WHERE id = {}", gone.0),
        "UPDATE usage_limits SET value = value + 1 WHERE id = 1",
        "DELETE FROM usage_limits WHERE id = 2",
        "UPDATE service_tokens SET value = 'another token' WHERE service_id = 2",
        "UPDATE services SET notification_settings = '---\n:web_buyer: [50, 80, 90, 100]\n' WHERE id = 2",
        "INSERT INTO metrics (id, owner_id, owner_type, service_id, system_name, friendly_name) VALUES (900000, 2, 'Service', 2, 'new', 'New')",
        "ALTER TABLE accounts ADD default_service_id bigint",
        "UPDATE accounts a JOIN services s ON s.id = 4 SET a.default_service_id = 4 WHERE a.id = s.account_id",
    ] {
        sql(world, change);
    }
    for words in [
        &["SADD", "set_with_services_marked_for_deletion", "2"][..],
        &["SET", "service/id:77/provider_key", "somebody"],
        &["SET", "service_token/token:stolen/service_id:77", "x"],
        &["DEL", "service/id:3/provider_key"],
        &["SET", "service/id:4/backend_version", "another"],
        &["SREM", "services_set", "4"],
        // It expires, and is put back with that.
        &["SET", &key_of("a revoked/key"), &changed.1, "PX", "100000000"],
        &["SET", &of(&renamed.1, "plan_name"), "of another plan"],
        &["SET", &key_of(&user_key(&one.0)), &other.1],
        &["SET", &key_of(&user_key(&other.0)), &one.1],
        &["SADD", &of(&renamed.1, "keys"), "a revoked application key"],
        &["SADD", &of(&renamed.1, "referrer_filters"), "*.elsewhere.example"],
        // Of another type than it should be.
        &["DEL", "service_id:2/applications"],
        &["SET", "service_id:2/applications", "text"],
        &["SET", "metric/service_id:2/id:800000/name", "of_nobody"],
        &["SET", "metric/service_id:2/name:of_nobody/id", "800000"],
        &["SADD", "metrics/service_id:2/ids", "800000"],
        &["SADD", "alerts/service_id:2/allowed_set", "300"],
    ] {
        redis(world, words);
    }
    [
        "unknown-service",
        "unknown-application",
        "unknown-user-key",
        "unknown-application-key",
        "unknown-token",
        "not-suspended",
        "marked-for-deletion",
        "service-missing",
        "default-service-differs",
        "service-differs",
        "application-differs",
        "user-key-elsewhere",
        "user-key-missing",
        "token-missing",
        "unknown-referrer",
        "metric-missing",
        "unknown-metric",
        "limit-differs",
        "unknown-limit",
        "alert-level-missing",
        "unknown-alert-level",
        "list-differs",
    ]
    .into()
}

#[test]
fn what_differs_is_set_right_and_put_back_to_the_byte() {
    let world = World::start(1 << 20);
    let agreed = world.fingerprint();
    assert!(world.ok(&REPAIR).contains("System and Backend agree."));
    support::assert_equal(&world.fingerprint(), &agreed, "after a repair of what agrees");
    assert!(world.journal().is_empty(), "no run was begun");

    let wanted = disagree(&world);
    sql(&world, "INSERT INTO backend_events (id, data) SELECT MAX(id) + 1000000, '{}' FROM backend_events");
    let (before, others) = (every_key(&world), world.fingerprint());
    let plan = document(&world, 0, &["verify", "--repair", "--dry-run", "--again-after", "0"]);
    let told = kinds(&plan["verify"]["differences"]);
    for kind in &wanted {
        assert!(told.contains(kind) && kinds(&plan["repairs"]).contains(kind), "{kind}: {plan:#}");
    }
    assert!(kinds(&plan["left_alone"]).is_disjoint(&wanted), "{plan:#}");
    support::assert_equal(&world.fingerprint(), &others, "after a plan");
    let refused = world.refused(2, &["verify", "--repair", "--again-after", "0"]);
    assert!(refused.contains("nobody can be asked"), "{refused}");
    assert!(world.refused(2, &["verify", "latest", "--repair"]).contains("is a set"));
    for alone in [&["verify", "--dry-run"][..], &["verify", "--only", "security"], &["verify", "latest", "--dry-run"]] {
        assert!(world.refused(2, alone).contains("--repair"), "{alone:?}");
    }

    let done = document(&world, 0, &REPAIR);
    assert_eq!(done["keys_changed_meanwhile"], 0, "{done:#}");
    // zync, which is not set right here, remembers the application that is gone: a note.
    assert_eq!(kinds(&done["verify"]["differences"]), BTreeSet::from(["zync-leftover"]), "{done:#}");
    assert!(!done.to_string().contains("revoked/key") && !done.to_string().contains("a changed key"), "a credential is shown");
    let repaired = every_key(&world);
    assert_eq!(
        redis(&world, &["GET", "application/service_id:2/key:a+changed+key/id"]),
        applications(&world, "user_key = 'a changed key'", 1)[0].1
    );
    assert_eq!(redis(&world, &["EXISTS", "application/service_id:2/key:a+revoked/key/id", "service/id:77/provider_key"]), "0");
    assert_eq!(redis(&world, &["TYPE", "service_id:2/applications"]), "set");
    assert_eq!(redis(&world, &["GET", "events/id"]), sql(&world, "SELECT MAX(id) FROM backend_events"));
    // Again: there is nothing left to do.
    assert!(world.ok(&REPAIR).contains("System and Backend agree."));
    assert_eq!(every_key(&world), repaired);

    let run = world.newest_run();
    assert!(world.ok(&["runs"]).contains("a repair of the live stores, finished"));
    world.ok(&["undo", &run, "--yes"]);
    let after = every_key(&world);
    assert_eq!(before.symmetric_difference(&after).collect::<Vec<_>>(), Vec::<&String>::new(), "undone");

    // What somebody changed since stays; all else goes back. A backup is not held up by it, and neither is a restore.
    let done = document(&world, 0, &REPAIR);
    redis(&world, &["SET", "service/id:4/backend_version", "of somebody"]);
    world.ok(&["backup"]);
    assert!(!world.ok(&["plan", "latest"]).contains("is in the way"));
    let undone = world.run(&["undo", done["run"].as_str().unwrap(), "--yes"]);
    let said = text(&undone.stdout) + &text(&undone.stderr);
    assert!(undone.status.success() && said.contains("1 of the keys stay as they are") && said.contains("service 4, service"), "{said}");
    let after = every_key(&world);
    let changed: Vec<_> = before.symmetric_difference(&after).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(changed, ["service/id:4/backend_version"; 2]);

    // The worst alone.
    let done = document(&world, 1, &[&REPAIR[..], &["--only", "security"]].concat());
    assert!(done["repairs"].as_array().unwrap().iter().all(|kind| kind["rank"] == "security"), "{done:#}");
    let left: BTreeMap<_, _> =
        done["verify"]["differences"].as_array().unwrap().iter().map(|kind| (kind["rank"].as_str().unwrap(), ())).collect();
    assert!(!left.contains_key("security") && left.contains_key("drift"), "{done:#}");
    world.ok(&["settle", "--yes"]);
    assert!(world.refused(2, &["undo", done["run"].as_str().unwrap(), "--yes"]).contains("nothing to undo"));
    let settled = world.ok(&["abandon", done["run"].as_str().unwrap(), "--yes"]);
    assert!(!settled.contains("keys of Backend"), "{settled}");
    // One that is ended as it is keeps what the keys had until somebody says otherwise.
    redis(&world, &["SADD", "services_set", "77"]);
    redis(&world, &["SET", "service/id:77/provider_key", "somebody"]);
    let done = document(&world, 1, &[&REPAIR[..], &["--only", "security"]].concat());
    let run = done["run"].as_str().unwrap();
    let stays = world.ok(&["abandon", run, "--yes"]);
    assert!(stays.contains(&format!("`threescale-backup abandon {run} --remove --drop-previous` removes it")), "{stays}");
    let removed = world.ok(&["abandon", run, "--yes", "--remove", "--drop-previous"]);
    assert!(removed.contains("removed  repository: what keys of Backend had"), "{removed}");

    // A schema that is not known: nothing is guessed.
    sql(&world, "INSERT INTO schema_migrations VALUES ('29990101000000')");
    let before = every_key(&world);
    let refused = world.refused(2, &REPAIR);
    assert!(refused.contains("29990101000000") && refused.contains("backend:storage:rewrite"), "{refused}");
    assert_eq!(every_key(&world), before);
}

#[test]
fn a_repair_killed_at_its_records_is_resumed_or_undone() {
    let world = World::start(1 << 20);
    disagree(&world);
    let before = every_key(&world);
    document(&world, 0, &REPAIR);
    let repaired = every_key(&world);
    world.ok(&["undo", "--yes"]);
    // Opened, and each of two steps begun and done, and finished.
    for lines in 1..=6 {
        world.kill_at_line(&REPAIR, lines);
        let finished = world.is_finished();
        if lines % 2 == 0 {
            if !finished {
                world.ok(&["resume", "--yes"]);
            }
            assert!(every_key(&world) == repaired, "resumed after a kill at record {lines}");
        }
        world.ok(&["undo", "--yes"]);
        assert!(every_key(&world) == before, "undone after a kill at record {lines}");
    }
}

#[test]
fn a_repair_that_may_not_be_done_or_undone_any_more_touches_nothing() {
    let world = World::start(1 << 20);
    disagree(&world);
    let before = every_key(&world);
    let runs = || std::fs::read_dir(world.path("state/runs")).map_or(0, Iterator::count);
    // A server that takes no writes: no run is begun.
    redis(&world, &["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let refused = world.refused(2, &REPAIR);
    assert!(refused.contains("takes no writes: NOREPLICAS") && runs() == 0, "{refused}");
    redis(&world, &["CONFIG", "SET", "min-replicas-to-write", "0"]);

    // 3scale was upgraded between the plan and its end: its rules are not known.
    world.kill_at_line(&REPAIR, 2);
    sql(&world, "INSERT INTO schema_migrations VALUES ('29990101000000')");
    let refused = world.refused(1, &["resume", "--yes"]);
    assert!(refused.contains("29990101000000"), "{refused}");
    assert!(every_key(&world) == before);
    sql(&world, "DELETE FROM schema_migrations WHERE version = '29990101000000'");
    world.ok(&["resume", "--yes"]);
    let repair = world.newest_run();

    // What a restore put there since is not undone as if the repair had made it: a removed credential would open the door again.
    world.ok(&["backup"]);
    world.ok(&["restore", "latest", "--only", "backend-redis", "--yes"]);
    let restored = every_key(&world);
    let refused = world.refused(2, &["undo", &repair, "--yes"]);
    let later = world.newest_run();
    assert!(
        refused.contains("replaced live data since") && refused.contains(&format!("`threescale-backup undo {later}` comes first.")),
        "{refused}"
    );
    assert!(every_key(&world) == restored);
    world.ok(&["undo", &later, "--yes"]);
    let undone = world.ok(&["undo", &repair, "--yes"]);
    assert!(undone.contains("what was still as the repair left it is as it was before"), "{undone}");
    assert!(every_key(&world) == before);
}
