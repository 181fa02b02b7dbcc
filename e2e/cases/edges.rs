//! Small accidents, each restored by itself: a dropped database, an overwritten token, a quota, two APIManagers.

use std::collections::BTreeMap;

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, wait_until};
use serde_json::Value;

pub(crate) fn dropped_database() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 14: DROP DATABASE in the pod of 2.15");
    steps.step("a set, and the database dropped");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let before = Fingerprint::of_data(&place).only(&["system-database/"]);
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup", "--only", "system-database"]);
    drop(place.mysql("DROP DATABASE `system`"));

    steps.step("plan says that it is made; restored, and compared");
    let words = program.ok(&["plan", "latest", "--partial"]);
    assert!(words.contains("nothing: it is made"), "{words}");
    program.ok(&["restore", "latest", "--partial", "--yes"]);
    place.wait_ready();
    assert_equal(&Fingerprint::of_data(&place).only(&["system-database/"]), &before, "after the restore");
    program.ok(&["settle", "--yes"]);
    place.wait_writing();
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

pub(crate) fn overwritten_token() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 15: a token that is overwritten reaches those who read it");
    steps.step("a set; then another token in the Secret, and all pods that read it with that one");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup", "--only", "kubernetes-objects"]);
    let other = "{\"stringData\":{\"PROXY_CONFIGS_ENDPOINT\":\"http://another@system-master:3000\"}}";
    place.kubectl.act(&["patch", "secret", "system-master-apicast", "--type", "merge", "-p", other]);
    let before = pods(&place);

    steps.step("restored with --objects overwrite: apicast's pods are made anew, others are not");
    let words = program.ok(&["plan", "latest", "--partial", "--objects", "overwrite"]);
    assert!(words.contains("restart apicast-production, apicast-staging"), "{words}");
    program.ok(&["restore", "latest", "--partial", "--objects", "overwrite", "--yes"]);
    place.wait_ready();
    let after = pods(&place);
    for (workload, uid) in &before {
        let is_new = after.get(workload) != Some(uid);
        assert_eq!(is_new, workload.starts_with("apicast-"), "{workload}");
    }
    program.ok(&["undo", "--yes"]);
    place.kubectl.act(&["patch", "secret", "system-master-apicast", "--type", "merge", "-p", "{}"]);
    let now = place.kubectl.json(&["get", "secret", "system-master-apicast"]);
    assert!(
        now["data"]["PROXY_CONFIGS_ENDPOINT"].as_str().is_some_and(|text| text.starts_with("aHR0cDovL2Fub3RoZXJ")),
        "an undo puts back what was"
    );
    program.ok(&["restore", "latest", "--partial", "--objects", "overwrite", "--yes"]);
    program.ok(&["settle", "--yes"]);
    place.wait_ready();
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

/// The pod of each workload by its uid.
fn pods(place: &Installation) -> BTreeMap<String, String> {
    let of =
        |pod: &Value| Some((pod["metadata"]["labels"]["deployment"].as_str()?.to_owned(), pod["metadata"]["uid"].as_str()?.to_owned()));
    place.kubectl.items(&["pods", "--field-selector=status.phase=Running"]).iter().filter_map(of).collect()
}

pub(crate) fn quota() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 16: a ResourceQuota is in the way");
    steps.step("a set; then a quota that lets no pod more in");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup", "--only", "system-storage"]);
    let before = Fingerprint::of_data(&place).only(&["system-storage/"]);
    let count = place.kubectl.items(&["pods"]).len();
    drop(place.kubectl.run(&["delete", "resourcequota", "e2e"], b""));
    place.kubectl.act(&["create", "quota", "e2e", &format!("--hard=pods={count}")]);
    wait_until("the quota to be counted", 60, || {
        let quota = place.kubectl.json(&["get", "resourcequota", "e2e"]);
        quota["status"]["used"]["pods"].is_string().then_some(())
    });
    place.destroy_files();

    steps.step("the restore says what it is, and that it is no permission");
    let words = program.fails(&[1, 2], &["restore", "latest", "--partial", "--yes"]);
    assert!(words.contains("describe resourcequota") && !words.contains("Add to a Role"), "{words}");

    steps.step("without the quota it goes on");
    place.kubectl.act(&["delete", "resourcequota", "e2e"]);
    program.ok(&["resume", "--yes"]);
    place.wait_ready();
    assert_equal(&Fingerprint::of_data(&place).only(&["system-storage/"]), &before, "after resume");
    program.ok(&["settle", "--yes"]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

pub(crate) fn two_api_managers() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 17: two APIManagers in a namespace");
    let place = Installation::of_era(&settings, "2.15");
    let program = Program::new(&settings, &place.namespace);
    steps.step("refused by backup and told by doctor, by their names");
    let other = "{\"apiVersion\":\"apps.3scale.net/v1alpha1\",\"kind\":\"APIManager\",\"metadata\":{\"name\":\"second\"},\"spec\":{\"wildcardDomain\":\"other.example\"}}";
    drop(place.kubectl.ok(&["apply", "-f", "-"], other.as_bytes()));
    for command in ["doctor", "backup"] {
        let words = program.fails(&[2], &[command]);
        assert!(words.contains("apimanager-sample") && words.contains("second"), "{command}: {words}");
    }
    assert_eq!(program.sets(), 0);
    place.kubectl.act(&["delete", "apimanager", "second"]);
}
