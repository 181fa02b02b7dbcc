//! Which objects are of the installation.

use plan::ports::{DataSet, Severity};
use serde_json::json;

use super::*;

fn names(memory: &Memory, kind: &str) -> Vec<String> {
    let of_kind = memory.0.keys().filter(|path| path.parent().is_some_and(|folder| folder.ends_with(kind)));
    of_kind.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn secrets_that_3scale_needs_or_refers_to_are_kept_and_others_are_not() {
    let (memory, kept) = backup(&installation("source"));
    let secrets = names(&memory, "core/Secret");
    for name in [
        "my-policy",
        "my-environment",
        "my-tls",
        "my-tracing",
        "my-registry",
        "tenant-admin",
        "tenant-token",
        "provider",
        "s3-credentials",
        "threescale-registry-auth",
        "system-seed",
        "system-database",
        "zync",
    ] {
        assert!(secrets.contains(&name.to_owned()), "{name}");
    }
    assert!(!secrets.contains(&"somebody-elses".to_owned()));
    assert_eq!(names(&memory, "core/ConfigMap"), ["system-environment"]);
    assert_eq!(names(&memory, "route.openshift.io/Route"), ["zync-3scale-abc"]);
    assert_eq!(names(&memory, "capabilities.3scale.net/Product"), ["product-a"]);
    assert_eq!(kept.evidence.facts["left-out.Secret"], "1");
    assert_eq!(kept.evidence.collections["core/Secret"].count, secrets.len() as u64);
}

#[test]
fn what_the_cluster_and_tools_make_for_themselves_is_left_out_even_when_labelled() {
    let server = installation("source");
    let labels = json!({"app": "3scale-api-management"});
    for (name, kind) in
        [("token", "kubernetes.io/service-account-token"), ("dockercfg", "kubernetes.io/dockercfg"), ("release", "helm.sh/release.v1")]
    {
        let mut object = secret(name, &labels, &[("x", "y")]);
        object["type"] = kind.into();
        server.add(object);
    }
    server.add(secret(
        "threescale-backup-x-staged-1",
        &json!({"app.kubernetes.io/name": "threescale-backup", "app": "3scale-api-management"}),
        &[],
    ));
    let secrets = names(&backup(&server).0, "core/Secret");
    assert!(["token", "dockercfg", "release", "threescale-backup-x-staged-1"].iter().all(|name| !secrets.contains(&(*name).to_owned())));
}

#[test]
fn what_is_of_the_cluster_or_of_an_instant_is_stripped() {
    let server = installation("source");
    server.change("configmaps", "system-environment", |object| {
        object["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
        object["metadata"]["finalizers"] = json!(["f"]);
        object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "stays"});
    });
    let (memory, _) = backup(&server);
    let kept: Value = serde_json::from_slice(&memory.0[Path::new("objects/core/ConfigMap/system-environment.json")]).unwrap();
    assert_eq!(kept["metadata"], json!({"name": "system-environment", "annotations": {"mine": "stays"}}));
    let apimanager: Value =
        serde_json::from_slice(&memory.0[Path::new("objects/apps.3scale.net/APIManager/apimanager-sample.json")]).unwrap();
    assert!(apimanager.get("status").is_none());
}

#[test]
fn equal_objects_are_equal_bytes_in_every_backup_and_their_digests_are_not_comparable() {
    let server = installation("source");
    let ((one, first), (other, second)) = (backup(&server), backup(&server));
    let objects = |memory: &Memory| {
        memory.0.iter().filter(|(path, _)| path.starts_with("objects")).map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(objects(&one), objects(&other));
    assert_ne!(first.evidence.collections, second.evidence.collections);
}

#[test]
fn a_listing_that_fails_is_no_dump() {
    for plural in ["secrets", "configmaps", "apimanagers", "tenants", "products", "routes"] {
        let server = installation("source");
        server.deny("list", plural);
        let error = store(&server, Policy::Missing).dump(&context()).err().unwrap();
        assert!(error.to_string().contains(plural), "{error}");
        let findings = store(&server, Policy::Missing).look(&context()).unwrap();
        let problem = findings.backup_problems.iter().find(|problem| problem.severity == Severity::Blocks).unwrap();
        assert!(
            problem.way_out.as_ref().unwrap().contains(&format!("resources: [\"{plural}\"], verbs: [\"get\", \"list\"]")),
            "{problem:?}"
        );
    }
}

#[test]
fn a_namespace_without_3scale_is_no_dump() {
    let server = Server::new("blog");
    server.add(secret("somebody-elses", &json!({}), &[("password", "x")]));
    assert_eq!(store(&server, Policy::Missing).dump(&context()).err().unwrap().class(), plan::Class::Refused);
    let findings = store(&server, Policy::Missing).look(&context()).unwrap();
    assert_eq!(findings.backup_problems[0].severity, Severity::Blocks);
}

#[test]
fn a_cluster_without_the_operator_gives_its_secrets_and_says_so() {
    let server = installation("source");
    server.forget_group("apps.3scale.net");
    server.forget_group("capabilities.3scale.net");
    server.forget_group("route.openshift.io");
    let (memory, kept) = backup(&server);
    assert!(names(&memory, "core/Secret").contains(&"system-seed".to_owned()));
    assert!(kept.evidence.warnings[0].contains("no custom resources"));
}

#[test]
fn what_is_found_is_told_by_kind() {
    let findings = store(&installation("source"), Policy::Missing).look(&context()).unwrap();
    assert!(findings.backup_problems.is_empty() && findings.restore_problems.is_empty());
    assert!(findings.facts.contains(&("Product".to_owned(), "1".to_owned())));
    assert!(findings.facts.contains(&("wildcard domain".to_owned(), "example.com".to_owned())));
    assert!(findings.count.unwrap() > 20 && findings.size_bytes > 1000);
}

#[test]
fn a_reference_into_another_namespace_is_told() {
    let server = installation("source");
    let spec = json!({"organizationName": "Far", "passwordCredentialsRef": {"name": "somebody-elses", "namespace": "far"}});
    server.add(custom("capabilities.3scale.net/v1alpha1", "Tenant", "far", &spec));
    let (memory, kept) = backup(&server);
    assert!(kept.evidence.warnings.iter().any(|warning| warning.contains("far/somebody-elses")), "{:?}", kept.evidence.warnings);
    assert!(!names(&memory, "core/Secret").contains(&"somebody-elses".to_owned()));
}
