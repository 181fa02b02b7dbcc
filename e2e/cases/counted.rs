//! Life that went on after the backup, and that a restore forgets: what was counted and given since is not given again, and what the set has is not erased for it.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal};

/// A product that is made and forgotten, with a metric, and one of the set's that is deleted.
const SINCE: &str = "INSERT INTO services (id, account_id, name, system_name, state) VALUES (40, 2, 'Since', 'since', 'incomplete'), (41, 2, 'Gone', 'gone', 'incomplete');
INSERT INTO metrics (id, service_id, owner_id, owner_type, system_name, friendly_name, unit) VALUES (90, 40, 40, 'Service', 'hits', 'Hits', 'hit');
DELETE FROM services WHERE id IN (3, 41); UPDATE cinstances SET user_key = 'given-since' WHERE id = 3;
INSERT INTO backend_events (id, data) VALUES (150, '{}');";

pub(crate) fn nothing_is_given_twice() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 26: what was counted and given since the backup");
    steps.step("a set of an installation");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    let before = Fingerprint::of_data(&place);

    steps.step(
        "life goes on: products come and go, events and alerts are counted, a key is given, a product of the set is to be erased at night",
    );
    drop(place.mysql(SINCE));
    let redis = |command: &[&str]| place.redis("backend-redis", 0, command);
    for command in [
        &["SET", "events/id", "150"][..],
        &["SET", "alerts/current_id", "77"],
        &["SADD", "services_set", "40", "41"],
        &["SADD", "set_with_services_marked_for_deletion", "3", "41"],
        &["SET", "stats/{service:41}/metric:1/eternity", "12345"],
        &["SET", "application/service_id:2/key:given-since/id", "app-a1"],
    ] {
        drop(redis(command));
    }

    steps.step("restore latest --yes");
    let output = program.run(&["restore", "latest", "--yes"]);
    let words = format!("{}{}", e2e::text(&output.stdout), e2e::text(&output.stderr));
    assert!(output.status.success(), "{words}");
    assert!(words.contains("events/id was raised") && words.contains("alerts/current_id was raised"), "{words}");
    place.wait_ready();

    steps.step("no id comes again, no key that was given since opens, nothing of the set is erased");
    assert_eq!((redis(&["GET", "events/id"]).as_str(), redis(&["GET", "alerts/current_id"]).as_str()), ("150", "77"));
    assert_eq!(redis(&["SISMEMBER", "set_with_services_marked_for_deletion", "3"]), "0");
    assert_eq!(redis(&["EXISTS", "application/service_id:2/key:given-since/id"]), "0");
    let next = |table: &str| -> u64 {
        let sql = format!("SELECT AUTO_INCREMENT FROM information_schema.tables WHERE table_schema = 'system' AND table_name = '{table}'");
        place.mysql(&format!("SET SESSION information_schema_stats_expiry = 0; {sql}")).trim().parse().unwrap()
    };
    assert!(next("services") >= 42 && next("metrics") >= 91, "{} {}", next("services"), next("metrics"));
    let counters = ["backend-redis/0/events/id", "backend-redis/0/alerts/current_id"];
    let same = |found: &Fingerprint| found.without_queues().without(&counters);
    assert_equal(&same(&Fingerprint::of_data(&place)), &same(&before), "all else is as in the set");

    steps.step("the stores agree: as the end of the run has said, and as verify says");
    let runs = program.json(&["runs"])["runs"].as_array().cloned().unwrap_or_default();
    let last = program.restores().into_iter().max().unwrap_or_default();
    let compared = runs.iter().find(|run| run["run"] == last.as_str()).map(|run| run["compared"].clone()).unwrap_or_default();
    assert_eq!((&compared["agreement"]["security"], &compared["agreement"]["loss"]), (&0.into(), &0.into()), "{compared}");
    program.ok(&["verify", "--fail-on", "loss"]);
    program.ok(&["settle", "--yes"]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
    // What it counted stays counted: the next case begins with the seed.
    drop(redis(&["SET", "events/id", "42"]));
    drop(redis(&["SET", "alerts/current_id", "7"]));
}
