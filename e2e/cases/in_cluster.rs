//! The program as a Job in the cluster, with the manifests of `deploy/`: killed in the middle of a restore, gone on with by the next Job.

use e2e::{ALL_STORES, Fingerprint, Installation, Program, Settings, Steps, assert_equal, assert_sees_destruction, text, wait_until};
use serde_json::Value;

use crate::installed::Installed;

pub(crate) fn killed_and_resumed() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 12: a Job in the cluster, killed and resumed");
    let (Some(image), Some(node)) = (settings.image.clone(), settings.node.clone()) else {
        steps.step("not run: E2E_IMAGE and E2E_NODE do not say which image to use, and how to make a volume on the node");
        return;
    };
    steps.step("the manifests of deploy/, with the users and the volume of this cluster");
    let place = Installation::of_era(&settings, "2.15");
    let installed = Installed::with_volume(&place, &image, &node);
    let program = Program::new(&settings, &place.namespace);

    steps.step("init and backup, in the cluster");
    program.ok(&["init", "--in-cluster"]);
    let before = Fingerprint::of(&place);
    program.ok(&["backup", "--in-cluster"]);

    steps.step("destroyed; restored by a Job whose pod is killed when everything is stopped");
    place.destroy();
    assert_sees_destruction(&Fingerprint::of(&place), &before, &ALL_STORES);
    let child = program.start(&["restore", "latest", "--yes", "--in-cluster"]);
    wait_until("the first cut-over", 240, || journal(&place).contains("\"cut-over\"").then(|| started(&place, "cut-over")).flatten());
    let pods = place.kubectl.items(&["pods", "-l", "app.kubernetes.io/name=threescale-backup", "--field-selector=status.phase=Running"]);
    for pod in pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()) {
        steps.note(&format!("killed: {pod}"));
        place.kubectl.act(&["delete", "pod", pod, "--grace-period=0", "--force"]);
    }
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "the Job was killed: {}", text(&output.stderr));
    steps.note(&format!("exit code {:?}: {}", output.status.code(), text(&output.stderr).lines().next_back().unwrap_or_default()));

    steps.step("resumed by the next Job");
    let words = wait_until("the lock of the killed one to expire", 90, || {
        let output = program.run(&["resume", "--yes", "--in-cluster"]);
        (output.status.code() != Some(11)).then_some(output)
    });
    assert!(words.status.success(), "{}: {}{}", words.status, text(&words.stdout), text(&words.stderr));
    place.wait_ready();
    assert_equal(&Fingerprint::of(&place).without_queues(), &before.without_queues(), "after resume");
    program.ok(&["settle", "--yes", "--in-cluster"]);

    steps.step("nothing is left but what the manifests made, and the journals");
    installed.delete(&place);
    assert_eq!(place.leftovers(), Vec::<String>::new());
    place.wait_writing();
}

/// The newest journal in the cluster.
fn journal(place: &Installation) -> String {
    let all = place.kubectl.items(&["configmaps"]);
    let is_journal = |item: &&Value| item["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("threescale-backup-run-"));
    let newest = all.iter().filter(is_journal).max_by_key(|item| item["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
    newest.and_then(|item| item["data"]["journal"].as_str()).unwrap_or_default().to_owned()
}

/// The record that a step of this kind was started, when it is there.
fn started(place: &Installation, action: &str) -> Option<String> {
    let text = journal(place);
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let steps = lines.first()?["plan"]["steps"].as_array()?.clone();
    let ids: Vec<&Value> = steps.iter().filter(|step| step["action"]["do"] == action).map(|step| &step["id"]).collect();
    lines.iter().find(|line| line["record"] == "started" && ids.contains(&&line["step"])).map(ToString::to_string)
}
