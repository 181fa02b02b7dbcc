//! What must survive, told before anything is touched; and nothing of a Secret in anything that is told.

use plan::ports::{DataSet, Problem, Severity};
use serde_json::json;

use super::*;

fn problems(target: &Arc<Server>, policy: Policy, kept: &KeptDataSet) -> Vec<Problem> {
    store(target, policy).fits(&context(), kept, Road::SideCopy).unwrap()
}

fn about<'a>(problems: &'a [Problem], text: &str) -> &'a Problem {
    problems.iter().find(|problem| problem.text.contains(text)).unwrap_or_else(|| panic!("{text}: {problems:?}"))
}

#[test]
fn the_same_installation_fits() {
    let server = installation("source");
    let (_, kept) = backup(&server);
    assert_eq!(problems(&server, Policy::Missing, &kept), []);
}

#[test]
fn a_token_that_differs_blocks_unless_it_is_overwritten() {
    let (_, kept) = backup(&installation("source"));
    let target = installation("source");
    target.change("secrets", "system-master-apicast", |object| {
        object["data"]["ACCESS_TOKEN"] = STANDARD.encode("an0therT0kenAlt0gether").into()
    });
    target.change("secrets", "system-app", |object| object["data"] = json!({}));
    let found = problems(&target, Policy::Missing, &kept);
    assert_eq!(about(&found, "ACCESS_TOKEN of Secret system-master-apicast differs").severity, Severity::Blocks);
    assert_eq!(about(&found, "SECRET_KEY_BASE of Secret system-app differs").severity, Severity::Degrades);
    assert_eq!(found.len(), 2);
    let found = problems(&target, Policy::Overwrite, &kept);
    assert!(found.iter().all(|problem| problem.severity == Severity::Note), "{found:?}");
}

#[test]
fn a_domain_that_differs_blocks_unless_it_is_overwritten() {
    let (_, kept) = backup(&installation("source"));
    let target = installation("source");
    target.change("apimanagers", "apimanager-sample", |object| object["spec"]["wildcardDomain"] = "other.example".into());
    let found = problems(&target, Policy::Missing, &kept);
    assert_eq!(about(&found, "wildcardDomain of the APIManager is other.example, the set's is example.com").severity, Severity::Blocks);
    assert_eq!(about(&problems(&target, Policy::Overwrite, &kept), "wildcardDomain").severity, Severity::Note);
    let target = installation("source");
    target.change("configmaps", "system-environment", |object| object["data"]["THREESCALE_SUPERDOMAIN"] = "other.example".into());
    assert_eq!(about(&problems(&target, Policy::Missing, &kept), "THREESCALE_SUPERDOMAIN").severity, Severity::Blocks);
}

#[test]
fn releases_and_key_prefixes_are_compared() {
    let source = installation("source");
    source.add(secret("system-redis", &json!({}), &[("URL", "redis://system-redis:6379/1"), ("NAMESPACE", "")]));
    let (_, kept) = backup(&source);
    let target = installation("source");
    target.add(secret("system-redis", &json!({}), &[("URL", "redis://system-redis:6379/1"), ("NAMESPACE", "threescale")]));
    assert_eq!(about(&problems(&target, Policy::Missing, &kept), "NAMESPACE of Secret system-redis").severity, Severity::Note);
    for (release, severity) in [("2.14", Severity::Blocks), ("2.16", Severity::Note)] {
        let target = installation("source");
        target.change("configmaps", "system-environment", |object| object["data"]["AMP_RELEASE"] = release.into());
        assert_eq!(about(&problems(&target, Policy::Missing, &kept), "the set is of 3scale 2.15").severity, severity);
    }
}

#[test]
fn an_apimanager_that_is_missing_another_one_and_another_namespace_are_told() {
    let (_, kept) = backup(&installation("source"));
    let empty = problems(&Server::new("target"), Policy::Missing, &kept);
    assert_eq!(about(&empty, "there is no APIManager here").severity, Severity::Degrades);
    assert!(about(&empty, "these name it in a host").text.contains("system-database/URL"));
    let target = Server::new("target");
    target.add(custom("apps.3scale.net/v1alpha1", "APIManager", "mine", &json!({"wildcardDomain": "example.com"})));
    about(&problems(&target, Policy::Missing, &kept), "the APIManager here is mine");
}

#[test]
fn ids_that_stand_in_a_status_only_are_told() {
    let source = installation("source");
    let mut account = custom("capabilities.3scale.net/v1beta1", "DeveloperAccount", "old", &json!({"orgName": "Old"}));
    account["status"] = json!({"accountID": 7});
    source.add(account.clone());
    account["metadata"] = json!({"name": "new", "annotations": {"accountID": "7"}});
    source.add(account);
    let (_, kept) = backup(&source);
    assert_eq!(kept.evidence.facts["without-id"], "DeveloperAccount old");
    about(&problems(&source, Policy::Missing, &kept), "DeveloperAccount old");
}

#[test]
fn rights_that_are_missing_are_named_with_the_rule() {
    let (_, kept) = backup(&installation("source"));
    let target = installation("source");
    target.deny("patch", "products");
    target.deny("delete", "secrets");
    let found = problems(&target, Policy::Missing, &kept);
    let way_out = about(&found, "may not patch products").way_out.clone().unwrap();
    assert!(way_out.contains(r#"{apiGroups: ["capabilities.3scale.net"], resources: ["products"], verbs: ["get", "list", "create", "patch", "update", "delete"]}"#));
    let findings = store(&target, Policy::Missing).look(&context()).unwrap();
    assert!(
        findings
            .restore_problems
            .iter()
            .any(|problem| problem.text.contains("may not delete secrets") && problem.severity == Severity::Blocks)
    );
}

#[test]
fn nothing_of_a_secret_is_in_anything_that_is_told() {
    let source = installation("source");
    let (memory, kept) = backup(&source);
    let target = installation("target");
    for (name, key, _) in TOKENS {
        target.change("secrets", name, |object| object["data"][key] = STANDARD.encode(format!("t4rget{name}{key}")).into());
    }
    let mut told = format!("{kept:?}{}", serde_json::to_string(&kept).unwrap());
    for policy in [Policy::Missing, Policy::Overwrite] {
        let store = store(&target, policy);
        let (context, watch) = context_and_told();
        told += &format!("{:?}{:?}", store.look(&context).unwrap(), store.fits(&context, &kept, Road::SideCopy).unwrap());
        let differences = store.compare(&context, &*memory).unwrap();
        told += &format!("{differences:?}{}", serde_json::to_string(&differences).unwrap());
        differences.iter().for_each(|difference| told += &difference.to_string());
        let place = stage(&store, &memory, &kept);
        told += &format!("{place:?}");
        target.refuse("system-seed", &format!("no good: {} {}", TOKENS[1].2, STANDARD.encode(TOKENS[2].2)));
        let cut_over = store.cut_over(&context, &place);
        assert_eq!(cut_over.is_err(), policy == Policy::Overwrite);
        told += &format!("{cut_over:?}");
        target.refuse_nothing();
        store.undo(&context, &place).unwrap();
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        told += &watch.text();
    }
    let mut secrets: Vec<_> = TOKENS.iter().map(|(_, _, value)| (*value).to_owned()).collect();
    secrets.extend(TOKENS.iter().map(|(name, key, _)| format!("t4rget{name}{key}")));
    secrets.extend(["c0ntent of my-policy", "s0urceS3SecretKey99", "n0tYours", "s0urcePassw0rd"].map(str::to_owned));
    for value in secrets {
        assert!(!told.contains(&value) && !told.contains(&STANDARD.encode(&value)), "{value} in {told}");
    }
    assert!(told.contains("system-seed"));
}

#[test]
fn short_values_have_no_digest_in_a_manifest() {
    let source = installation("source");
    source.add(secret("backend-internal-api", &json!({}), &[("username", "u"), ("password", "short")]));
    source.add(secret("system-events-hook", &json!({}), &[("PASSWORD", "")]));
    let (_, kept) = backup(&source);
    assert_eq!(kept.evidence.facts["digest.backend-internal-api/password"], "present");
    assert_eq!(kept.evidence.facts["digest.system-events-hook/PASSWORD"], "empty");
    assert_eq!(kept.evidence.facts["digest.system-app/SECRET_KEY_BASE"].len(), 8);
    let found = problems(&source, Policy::Missing, &kept);
    assert_eq!(about(&found, "password of Secret backend-internal-api is too short").severity, Severity::Note);
}

const NOTES: [&str; 3] = [
    "apps.3scale.net/apimanager-threescale-version",
    "apps.3scale.net/threescale-operator-version",
    "apps.3scale.net/apimanager-confirmed-requirements-version",
];

/// As an operator of this release notes it; newer ones no longer write AMP_RELEASE.
fn of_release(namespace: &str, release: &str) -> Arc<Server> {
    let server = installation(namespace);
    server.change("configmaps", "system-environment", |object| _ = object["data"].as_object_mut().unwrap().remove("AMP_RELEASE"));
    server.change("apimanagers", "apimanager-sample", |object| {
        for note in NOTES {
            object["metadata"]["annotations"][note] = release.into();
        }
    });
    server.add(secret("hashed-secret-data", &json!({"app": "3scale-api-management"}), &[("system-seed", release)]));
    server
}

#[test]
fn what_the_operator_noted_never_goes_back_and_stays_the_targets() {
    let source = of_release("source", "2.14.0");
    source.change("apimanagers", "apimanager-sample", |object| object["spec"]["system"]["systemDatabaseTLSEnabled"] = true.into());
    let (memory, kept) = backup(&source);
    // Into nothing: an operator that found 2.14 noted would refuse to install its own release.
    let nothing = Server::new("source");
    cut_over_with(&nothing, Policy::Missing, &memory, &kept);
    let annotations = nothing.get_now("apimanagers", "apimanager-sample").unwrap()["metadata"]["annotations"].clone();
    assert!(NOTES.iter().all(|note| annotations.get(note).is_none()), "{annotations}");
    assert!(nothing.get_now("secrets", "hashed-secret-data").is_none());
    assert!(nothing.get_now("secrets", "system-seed").is_some());
    // Over an installation of another release.
    let newer = of_release("source", "2.16.1");
    newer.change("apimanagers", "apimanager-sample", |object| {
        object["spec"]["system"]["systemRedisTLSEnabled"] = true.into();
        object["spec"]["backend"] = json!({"queuesRedisTLSEnabled": true});
    });
    cut_over_with(&newer, Policy::Overwrite, &memory, &kept);
    let apimanager = newer.get_now("apimanagers", "apimanager-sample").unwrap();
    assert!(NOTES.iter().all(|note| apimanager["metadata"]["annotations"][*note] == "2.16.1"), "{apimanager}");
    let spec = &apimanager["spec"];
    assert!(spec["system"].get("systemDatabaseTLSEnabled").is_none(), "{spec}");
    assert_eq!((&spec["system"]["systemRedisTLSEnabled"], &spec["backend"]["queuesRedisTLSEnabled"]), (&true.into(), &true.into()));
    let hashes = newer.get_now("secrets", "hashed-secret-data").unwrap();
    assert_eq!(hashes["data"]["system-seed"], STANDARD.encode("2.16.1"));
}

fn cut_over_with(target: &Arc<Server>, policy: Policy, memory: &Arc<Memory>, kept: &KeptDataSet) {
    let store = store(target, policy);
    let place = stage(&store, memory, kept);
    store.cut_over(&context(), &place).unwrap();
}

#[test]
fn the_release_is_the_one_that_the_operator_notes() {
    let (_, kept) = backup(&of_release("source", "2.15.0"));
    assert_eq!(kept.evidence.facts["release"], "2.15.0");
    for (release, severity) in [("2.14.2", Some(Severity::Blocks)), ("2.15.3", None), ("2.16.0", Some(Severity::Note))] {
        let found = problems(&of_release("source", release), Policy::Missing, &kept);
        let told = found.iter().find(|problem| problem.text.contains("the set is of 3scale 2.15.0"));
        assert_eq!(told.map(|problem| problem.severity), severity, "{found:?}");
    }
}

#[test]
fn a_key_prefix_that_the_release_does_not_read_blocks_nothing() {
    let with_prefix = |release: &str, prefix: &str| {
        let server = of_release("source", release);
        server.add(secret("system-redis", &json!({}), &[("URL", "redis://system-redis:6379/1"), ("NAMESPACE", prefix)]));
        server
    };
    let (_, kept) = backup(&with_prefix("2.13.0", "old"));
    for (release, severity) in [("2.13.1", Severity::Blocks), ("2.14.0", Severity::Note), ("2.16.0", Severity::Note)] {
        let found = problems(&with_prefix(release, ""), Policy::Missing, &kept);
        assert_eq!(about(&found, "NAMESPACE of Secret system-redis").severity, severity, "{release}");
    }
}

#[test]
fn the_name_by_which_system_and_backend_know_each_other_is_compared() {
    let with = |name: &str| {
        let server = installation("source");
        server.add(secret("backend-internal-api", &json!({}), &[("username", name), ("password", "a-l0ng-rand0m-passw0rd")]));
        server
    };
    let (_, kept) = backup(&with("3scale_api_user"));
    assert_eq!(problems(&with("3scale_api_user"), Policy::Missing, &kept), []);
    assert_eq!(
        about(&problems(&with("other"), Policy::Missing, &kept), "username of Secret backend-internal-api").severity,
        Severity::Note
    );
}
