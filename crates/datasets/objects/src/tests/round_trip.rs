//! Backup, stage, prove, cut over, discard: into the same namespace and into others.

use plan::ports::DataSet;
use serde_json::json;

use super::*;

fn restored(server: &Arc<Server>, policy: Policy, memory: &Arc<Memory>, kept: &KeptDataSet) -> Place {
    let store = store(server, policy);
    let place = stage(&store, memory, kept);
    store.cut_over(&context(), &place).unwrap();
    place
}

fn put_back(name: &str) -> bool {
    !name.starts_with("routes/") && !name.starts_with("proxyconfigpromotes/")
}

/// Without what does not go back: other people's objects, owners, status.
fn comparable(server: &Server) -> BTreeMap<String, Value> {
    let mut seen = seen(server);
    seen.retain(|name, _| put_back(name) && !name.contains("somebody") && !name.contains("kube-root"));
    for object in seen.values_mut() {
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        ["ownerReferences", "namespace"].iter().for_each(|field| _ = metadata.remove(*field));
        metadata.retain(|_, value| value != &json!({}));
    }
    seen
}

#[test]
fn everything_goes_back_into_an_empty_namespace_of_another_name() {
    let source = installation("source");
    let (memory, kept) = backup(&source);
    let target = Server::new("target");
    let place = restored(&target, Policy::Missing, &memory, &kept);
    assert_eq!(comparable(&target), comparable(&source));
    assert!(target.all().keys().all(|name| put_back(name)));

    let store = store(&target, Policy::Missing);
    assert!(store.kept_bytes(&context(), &place).unwrap() > 0);
    store.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(store.kept_bytes(&context(), &place).unwrap(), 0);
    assert!(!target.all().keys().any(|name| name.contains("threescale-backup")));
    assert_eq!(comparable(&target), comparable(&source));
}

#[test]
fn the_garbage_collector_takes_nothing_of_what_goes_back() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    restored(&target, Policy::Missing, &memory, &kept);
    let before = seen(&target);
    target.collect_garbage();
    assert_eq!(seen(&target), before);
    assert!(before.contains_key("configmaps/system-environment"));
}

#[test]
fn missing_creates_what_is_missing_and_changes_nothing_else() {
    let server = installation("source");
    let (memory, kept) = backup(&server);
    server.remove("secrets", "system-seed");
    server.remove("products", "product-a");
    server.change("secrets", "system-app", |object| object["data"]["SECRET_KEY_BASE"] = "b3RoZXI=".into());
    let before = seen(&server);
    restored(&server, Policy::Missing, &memory, &kept);
    let mut after = seen(&server);
    assert!(after.remove("secrets/system-seed").is_some() && after.remove("products/product-a").is_some());
    assert_eq!(after, before);
}

#[test]
fn overwrite_puts_the_sets_values_over_what_differs_and_deletes_nothing() {
    let server = installation("source");
    let (memory, kept) = backup(&server);
    server.change("secrets", "system-app", |object| {
        object["data"]["SECRET_KEY_BASE"] = "b3RoZXI=".into();
        object["data"]["NEW_KEY_OF_A_NEWER_RELEASE"] = "eA==".into();
    });
    server.add(custom("capabilities.3scale.net/v1beta1", "Product", "made-since", &json!({"name": "B"})));
    let versions = |server: &Server| server.all().into_iter().map(|(name, object)| (name, object["metadata"]["resourceVersion"].clone()));
    let before: BTreeMap<_, _> = versions(&server).collect();
    restored(&server, Policy::Overwrite, &memory, &kept);
    let app = server.get_now("secrets", "system-app").unwrap();
    assert_eq!(app["data"]["SECRET_KEY_BASE"], STANDARD.encode(TOKENS[3].2));
    assert_eq!(app["data"]["NEW_KEY_OF_A_NEWER_RELEASE"], "eA==");
    assert!(server.get_now("products", "made-since").is_some());
    let changed: Vec<_> = versions(&server).filter(|(name, version)| before.get(name).is_some_and(|before| before != version)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
}

#[test]
fn where_the_data_lives_and_how_many_pods_there_are_stays_the_targets() {
    let (memory, kept) = backup(&installation("source"));
    let target = installation("target");
    let elsewhere = STANDARD.encode("mysql2://root:other@elsewhere/system");
    target.change("secrets", "system-database", |object| object["data"] = json!({"URL": elsewhere, "DATABASE_SSL_MODE": "eA=="}));
    target.change("secrets", "zync", |object| object["data"] = json!({"SECRET_KEY_BASE": "b3RoZXI=", "DATABASE_URL": "eg=="}));
    target.change("secrets", "s3-credentials", |object| object["data"]["AWS_BUCKET"] = "b3RoZXI=".into());
    target.change("configmaps", "system-environment", |object| object["data"]["AMP_RELEASE"] = "2.16".into());
    target.change("apimanagers", "apimanager-sample", |object| {
        object["spec"]["externalComponents"] = json!({"system": {"database": true}});
        object["spec"]["system"] = json!({"appSpec": {"replicas": 0}, "sidekiqSpec": {"replicas": 0}});
        object["spec"]["apicast"]["productionSpec"] = json!({});
        object["spec"]["wildcardDomain"] = "other.example".into();
    });
    // Twice: what the first restore applied must not be taken away by the second.
    for run in ["01jrunaaaaaaaaaa", "01jrunbbbbbbbbbb"] {
        let store = store(&target, Policy::Overwrite);
        let context = Context { run: plan::ids::RunId(run.to_owned()), ..context() };
        let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
        store.stage(&context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
        store.cut_over(&context, &place).unwrap();
        assert_eq!(target.get_now("secrets", "system-database").unwrap()["data"], json!({"URL": elsewhere, "DATABASE_SSL_MODE": "eA=="}));
        let zync = target.get_now("secrets", "zync").unwrap();
        assert_eq!(zync["data"], json!({"SECRET_KEY_BASE": STANDARD.encode(TOKENS[5].2), "DATABASE_URL": "eg=="}));
        assert_eq!(target.get_now("secrets", "s3-credentials").unwrap()["data"]["AWS_BUCKET"], "b3RoZXI=");
        assert_eq!(target.get_now("configmaps", "system-environment").unwrap()["data"]["AMP_RELEASE"], "2.16");
        let spec = target.get_now("apimanagers", "apimanager-sample").unwrap()["spec"].clone();
        assert_eq!(spec["wildcardDomain"], "example.com");
        assert_eq!(spec["externalComponents"], json!({"system": {"database": true}}));
        assert_eq!(spec["system"], json!({"appSpec": {"replicas": 0}, "sidekiqSpec": {"replicas": 0}}));
        let production = &spec["apicast"]["productionSpec"];
        assert!(production.get("replicas").is_none() && production.get("customPolicies").is_some());
    }
}

#[test]
fn a_second_apimanager_is_never_made() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    target.add(custom("apps.3scale.net/v1alpha1", "APIManager", "mine", &json!({"wildcardDomain": "example.com"})));
    restored(&target, Policy::Overwrite, &memory, &kept);
    assert!(target.get_now("apimanagers", "apimanager-sample").is_none());
    assert!(target.get_now("secrets", "system-seed").is_some());
}

#[test]
fn large_objects_and_many_are_noted_in_secrets_that_fit() {
    let server = installation("source");
    server.add(config_map("mysql-extra-conf", &json!({"big": "x".repeat(900 << 10)})));
    for number in 0..300 {
        server.add(custom("capabilities.3scale.net/v1beta1", "Product", &format!("p-{number}"), &json!({"description": "y".repeat(3000)})));
    }
    let (memory, kept) = backup(&server);
    let target = Server::new("target");
    restored(&target, Policy::Missing, &memory, &kept);
    assert_eq!(comparable(&target), comparable(&server));
    let notes: Vec<_> = target.all().into_iter().filter(|(name, _)| name.contains("threescale-backup")).collect();
    assert!(notes.len() > 4);
    assert!(notes.iter().all(|(_, secret)| secret["data"].to_string().len() < 900 << 10));
}

#[test]
fn what_the_server_refuses_is_named_before_anything_is_changed() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    target.refuse("product-a", "admission webhook says no");
    target.refuse("system-seed", &format!("Invalid value: {:?}", TOKENS[2].2));
    let store = store(&target, Policy::Missing);
    let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
    let error = store.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap_err();
    assert!(error.to_string().contains("refuses 2 objects"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("Product product-a: admission webhook says no")), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("Secret system-seed")) && !format!("{error:?}").contains(TOKENS[2].2));
    assert!(target.all().is_empty());
}

#[test]
fn kinds_that_the_target_lacks_are_named_and_the_rest_goes_back() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    target.forget_group("capabilities.3scale.net");
    let store = store(&target, Policy::Missing);
    let problems = store.fits(&context(), &kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.text.contains("no kind capabilities.3scale.net/Product")), "{problems:?}");
    restored(&target, Policy::Missing, &memory, &kept);
    assert!(target.get_now("secrets", "system-seed").is_some());
}

#[test]
fn a_staged_copy_that_was_changed_is_not_proven() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    let store = store(&target, Policy::Missing);
    let place = stage(&store, &memory, &kept);
    let name = target.all().into_keys().find(|name| name.ends_with("staged-1")).unwrap();
    let (_, name) = name.split_once('/').unwrap();
    target.change("secrets", name, |object| object["data"]["chunk"] = STANDARD.encode("{}\n").into());
    assert_eq!(store.prove(&context(), &place, &kept).unwrap_err().class(), plan::Class::NeedsPerson);
    assert!(store.cut_over(&context(), &place).is_err());
}

#[test]
fn a_place_is_of_one_namespace_and_a_name_that_is_taken_is_not_written_over() {
    let (memory, kept) = backup(&installation("source"));
    let target = Server::new("target");
    let place = store(&target, Policy::Missing).reserve(&context(), &kept, Road::SideCopy).unwrap();
    let error = store(&Server::new("other"), Policy::Missing).cut_over(&context(), &place).unwrap_err();
    assert_eq!(error.class(), plan::Class::Refused);

    let name = format!("{}staged-1", place.0["secrets"].as_str().unwrap());
    target.add(secret(&name, &json!({}), &[("theirs", "x")]));
    let error = store(&target, Policy::Missing).stage(&context(), &place, memory as Arc<dyn Snapshot>, &kept).unwrap_err();
    assert!(error.to_string().contains("is not of run"), "{error}");
    store(&target, Policy::Missing).discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    assert!(target.get_now("secrets", &name).is_some());
}

#[test]
fn objects_do_not_go_back_in_place() {
    let (_, kept) = backup(&installation("source"));
    let store = store(&Server::new("target"), Policy::Missing);
    assert_eq!(store.reserve(&context(), &kept, Road::InPlace).unwrap_err().class(), plan::Class::Refused);
    let problems = store.fits(&context(), &kept, Road::InPlace).unwrap();
    assert_eq!(problems[0].severity, plan::ports::Severity::Blocks);
}
