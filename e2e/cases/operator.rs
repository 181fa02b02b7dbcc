//! The operator undoes edits of replicas and of redis-config: while a restore holds the writers it must not, afterwards it must again.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, Stop, assert_equal, wait_until};

const OPERATOR: &str = "threescale-operator-controller-manager-v2";

pub(crate) fn fights_back() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 04: the operator fights back");
    steps.step("an installation whose operator wants two listeners");
    let place = Installation::of_era(&settings, "2.15");
    want_listeners(&place, 2);
    let before = Fingerprint::of(&place);
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    place.destroy_system_database();

    steps.step("a restore, killed when everything is stopped");
    let killed = program.kill_when(&["restore", "latest", "--yes"], |journal| {
        journal.records().into_iter().find(|record| record.starts_with("started") && record.contains("cut-over system-database"))
    });
    assert!(matches!(killed, Stop::Killed(_)), "{killed:?}: {}", program.last_words());

    steps.step("nobody starts a writer while nobody looks: replicas set in the APIManager and an edited redis-config do not either");
    want(&place, "{\"spec\":{\"system\":{\"appSpec\":{\"replicas\":2}}}}");
    edit_redis_config(&place);
    // The operator would look every 2 s: watched for longer than that, by counting answers of the API server, not by a clock.
    for _ in 0..20 {
        for writer in ["system-app", "system-sidekiq", "backend-listener", "zync"] {
            assert_eq!(place.replicas().get(writer), Some(&0), "{writer} was started");
        }
    }
    assert!(!place.has_pods(OPERATOR), "the operator is held");

    steps.step("resume; the replicas are those that were noted, then those of the APIManager");
    want(&place, "{\"spec\":{\"system\":{\"appSpec\":{\"replicas\":1}}}}");
    program.ok(&["resume", "--yes"]);
    place.wait_ready();
    assert_eq!(place.replicas(), replicas);

    steps.step("the operator is back: it puts its redis-config back");
    wait_until("the operator's redis-config", 60, || redis_config(&place).contains("appendonly yes").then_some(()));
    place.wait_ready();
    program.ok(&["settle", "--yes"]);
    let after = Fingerprint::of(&place);
    assert_equal(
        &after.only(&["system-database/", "zync-database/", "system-storage/"]),
        &before.only(&["system-database/", "zync-database/", "system-storage/"]),
        "after resume",
    );
    want_listeners(&place, 1);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

fn want(place: &Installation, patch: &str) {
    place.kubectl.act(&["patch", "apimanager", "apimanager-sample", "--type", "merge", "-p", patch]);
}

fn want_listeners(place: &Installation, count: i64) {
    want(place, &format!("{{\"spec\":{{\"backend\":{{\"listenerSpec\":{{\"replicas\":{count}}}}}}}}}"));
    wait_until("the operator to scale backend-listener", 60, || (place.replicas().get("backend-listener") == Some(&count)).then_some(()));
    place.wait_ready();
}

fn redis_config(place: &Installation) -> String {
    place.kubectl.text(&["get", "configmap", "redis-config", "-o", "jsonpath={.data.redis\\.conf}"])
}

fn edit_redis_config(place: &Installation) {
    let mut object = place.kubectl.json(&["get", "configmap", "redis-config"]);
    object["data"]["redis.conf"] = redis_config(place).replace("appendonly yes", "appendonly no").into();
    drop(place.kubectl.ok(&["replace", "-f", "-"], object.to_string().as_bytes()));
}
