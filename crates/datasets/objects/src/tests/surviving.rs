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
    assert_eq!(about(&problems(&target, Policy::Missing, &kept), "NAMESPACE of Secret system-redis").severity, Severity::Blocks);
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
