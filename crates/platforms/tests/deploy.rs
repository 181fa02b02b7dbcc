//! What `deploy/` installs: permissions equal to the program's own list, templates that this program can make Jobs from, pods that run anywhere.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use platforms::kubernetes::{Permissions, needed};
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(deploy().join(path)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifest(path: &str, kind: &str) -> Value {
    documents(path).into_iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("{path} has no {kind}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Group, resource, verb.
fn granted(rules: &Value) -> BTreeSet<(String, String, String)> {
    let mut granted = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                granted.extend(texts(&rule["verbs"]).into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
            }
        }
    }
    granted
}

/// What the program does without when it is refused: who would scale a workload, why a pod does not start.
const GOOD_TO_HAVE: [(&str, &str); 2] = [("autoscaling", "horizontalpodautoscalers"), ("", "events")];
/// What the data set of objects asks for itself: custom resources of kinds that are not known before.
const CUSTOM: [&str; 2] = ["apps.3scale.net", "capabilities.3scale.net"];

#[test]
fn the_roles_grant_what_the_program_needs_and_no_more() {
    let rehearse = "chart/files/rules-rehearse.yaml";
    for (purpose, path) in [
        (Permissions::Backup, "manifests/rbac-backup.yaml"),
        (Permissions::Restore, "manifests/rbac-restore.yaml"),
        (Permissions::Rehearse, rehearse),
    ] {
        // The manifests have no rehearsal: it is off by default.
        let granted = granted(&if path == rehearse { documents(path).remove(0) } else { manifest(path, "Role")["rules"].clone() });
        let of_custom = |(group, ..): &(String, String, String)| CUSTOM.contains(&group.as_str());
        let needed: BTreeSet<_> = needed(purpose, true, true)
            .map(|(group, resource, verb)| (group.to_owned(), resource.to_owned(), verb.to_owned()))
            .filter(|rule| {
                let is_granted_by_star = of_custom(rule) && granted.contains(&(rule.0.clone(), "*".to_owned(), rule.2.clone()));
                !is_granted_by_star
            })
            .collect();
        let missing: Vec<_> = needed.difference(&granted).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}");
        let is_explained = |rule: &&(String, String, String)| {
            of_custom(rule) || GOOD_TO_HAVE.iter().any(|(group, resource)| rule.0 == *group && rule.1 == *resource)
        };
        let beyond: Vec<_> = granted.difference(&needed).filter(|rule| !is_explained(rule)).collect();
        assert!(beyond.is_empty(), "{path} grants {beyond:?}, which nothing needs");
    }
}

#[test]
fn the_chart_and_the_manifests_grant_the_same() {
    for what in ["backup", "restore"] {
        let of_chart = documents(&format!("chart/files/rules-{what}.yaml")).remove(0);
        assert_eq!(of_chart, manifest(&format!("manifests/rbac-{what}.yaml"), "Role")["rules"], "{what}");
    }
}

#[test]
fn the_chart_is_valid_for_every_version_and_gives_the_manifests() {
    let check = std::process::Command::new(deploy().join("../scripts/chart")).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "{said}{}", String::from_utf8_lossy(&check.stderr));
    assert!(said.ends_with("all valid\n"), "{said}");
}

#[test]
fn the_chart_installs_the_image_of_this_version() {
    let chart = &documents("chart/Chart.yaml")[0];
    assert_eq!((&chart["appVersion"], &chart["version"]), (&env!("CARGO_PKG_VERSION").into(), &env!("CARGO_PKG_VERSION").into()));
}

#[test]
fn a_backup_may_not_change_the_installation() {
    let granted = granted(&manifest("manifests/rbac-backup.yaml", "Role")["rules"]);
    let writes: BTreeSet<_> =
        granted.iter().filter(|(_, _, verb)| !matches!(verb.as_str(), "get" | "list")).map(|rule| rule.1.as_str()).collect();
    // Exec and ports are a way in; ConfigMaps and the Lease are the journals.
    assert_eq!(writes, BTreeSet::from(["configmaps", "leases", "pods/exec", "pods/portforward"]));
}

#[test]
fn the_pods_run_as_anybody_without_capabilities_and_write_to_volumes_only() {
    for path in ["manifests/backup.yaml", "manifests/check.yaml", "manifests/restore.yaml", "manifests-s3/backup.yaml"] {
        let cron_job = manifest(path, "CronJob");
        let pod = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"].get("runAsUser"), None, "OpenShift chooses");
        assert_eq!(pod["restartPolicy"], "Never");
        let containers = ["containers", "initContainers"].into_iter().filter_map(|field| pod[field].as_array()).flatten();
        let mut names = Vec::new();
        for container in containers {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false);
            assert_eq!(security["readOnlyRootFilesystem"], true);
            assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"]);
            assert!(container["resources"]["limits"]["memory"].is_string());
            let secrets =
                container["env"].as_array().unwrap().iter().filter(|variable| variable["name"].as_str().unwrap().contains("PASSWORD"));
            assert!(secrets.into_iter().all(|variable| variable["name"].as_str().unwrap().ends_with("_FILE")), "passwords come from files");
            names.push(container["name"].as_str().unwrap().to_owned());
        }
        assert!(names.iter().any(|name| name == "threescale-backup"), "{path}: --in-cluster makes Jobs from the container of that name");
    }
}

#[test]
fn the_template_of_restores_never_runs_by_itself() {
    let cron_job = manifest("manifests/restore.yaml", "CronJob");
    assert_eq!(cron_job["spec"]["suspend"], true);
    assert_eq!(cron_job["spec"]["schedule"], "0 0 30 2 *");
    assert_eq!(texts(&cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]), ["runs"]);
    assert_eq!(cron_job["spec"]["jobTemplate"]["spec"]["backoffLimit"], 0);
}
