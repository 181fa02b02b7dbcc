//! Undo: what was there is back, what was created is gone, nothing dangerous is deleted.

use plan::ports::DataSet;
use serde_json::json;

use super::*;

/// A target that differs from the set in every way, and a cut-over of the set into it.
fn cut_over() -> (Arc<Server>, ObjectsStore, Place, BTreeMap<String, Value>) {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let before = seen(&target);
    let store = store(&target, Policy::Overwrite);
    let place = stage(&store, &memory, &kept);
    store.cut_over(&context(), &place).unwrap();
    assert_ne!(seen(&target), before);
    (target, store, place, before)
}

pub(super) fn other_installation() -> Arc<Server> {
    let target = installation("target");
    target.change("secrets", "system-app", |object| object["data"] = json!({"SECRET_KEY_BASE": "b3RoZXI="}));
    target.change("configmaps", "system-environment", |object| {
        object["data"]["RAILS_ENV"] = "preview".into();
        object["metadata"]["annotations"] = json!({"theirs": "stays"});
    });
    target.change("apimanagers", "apimanager-sample", |object| object["spec"]["wildcardDomain"] = "other.example".into());
    target.remove("secrets", "my-policy");
    target.remove("products", "product-a");
    target
}

#[test]
fn everything_is_as_it_was() {
    let (target, store, place, before) = cut_over();
    store.undo(&context(), &place).unwrap();
    assert_eq!(seen(&target), before);
    assert!(before["configmaps/system-environment"]["metadata"].get("ownerReferences").is_some());
    store.undo(&context(), &place).unwrap();
    store.discard(&context(), &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!(seen(&target), before);
    assert!(!target.all().keys().any(|name| name.contains("threescale-backup")));
}

#[test]
fn what_others_changed_since_is_told_and_put_back() {
    let (target, store, place, before) = cut_over();
    target.change("secrets", "system-app", |object| object["data"]["SECRET_KEY_BASE"] = "bmV3".into());
    target.remove("configmaps", "system-environment");
    target.conflict(2);
    let (context, told) = context_and_told();
    store.undo(&context, &place).unwrap();
    assert!(told.text().contains("Secret system-app was changed by somebody else"), "{}", told.text());
    assert!(told.text().contains("ConfigMap system-environment was deleted by somebody else"));
    let mut after = seen(&target);
    // Made again by its content: who owned it is not known any more, and the operator adopts it.
    let mut wanted = before;
    wanted.get_mut("configmaps/system-environment").unwrap()["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    after.get_mut("configmaps/system-environment").unwrap()["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    assert_eq!(after, wanted);
}

#[test]
fn what_others_made_under_the_name_of_what_was_created_stays() {
    let (target, store, place, _) = cut_over();
    target.remove("secrets", "my-policy");
    target.add(secret("my-policy", &json!({}), &[("content", "made by hand")]));
    let (context, told) = context_and_told();
    store.undo(&context, &place).unwrap();
    assert!(target.get_now("secrets", "my-policy").is_some());
    assert!(told.text().contains("Secret my-policy was not there before"));
}

#[test]
fn a_created_custom_resource_loses_its_finalizers_first_so_that_3scale_keeps_its_data() {
    let (target, store, place, _) = cut_over();
    target
        .change("products", "product-a", |object| object["metadata"]["finalizers"] = json!(["product.capabilities.3scale.net/finalizer"]));
    store.undo(&context(), &place).unwrap();
    assert!(target.get_now("products", "product-a").is_none());
}

#[test]
fn replicas_that_were_set_since_stay_and_are_no_change_of_others() {
    let (target, store, place, _) = cut_over();
    target.change("apimanagers", "apimanager-sample", |object| object["spec"]["system"]["appSpec"]["replicas"] = 0.into());
    let (context, told) = context_and_told();
    store.undo(&context, &place).unwrap();
    let spec = target.get_now("apimanagers", "apimanager-sample").unwrap()["spec"].clone();
    assert_eq!((&spec["system"]["appSpec"]["replicas"], &spec["wildcardDomain"]), (&json!(0), &json!("other.example")));
    assert!(!told.text().contains("changed by somebody"), "{}", told.text());
}

#[test]
fn a_created_apimanager_goes_only_while_the_operator_has_not_seen_it() {
    for seen_by_operator in [false, true] {
        let (memory, kept) = backup(&installation("source"));
        let target = Server::new("target");
        let store = store(&target, Policy::Missing);
        let place = stage(&store, &memory, &kept);
        store.cut_over(&context(), &place).unwrap();
        if seen_by_operator {
            target.change("apimanagers", "apimanager-sample", |object| object["status"] = json!({"conditions": [{"type": "Available"}]}));
        }
        let (context, told) = context_and_told();
        store.undo(&context, &place).unwrap();
        assert_eq!(target.get_now("apimanagers", "apimanager-sample").is_some(), seen_by_operator);
        assert_eq!(target.get_now("secrets", "system-seed").is_some(), seen_by_operator);
        assert_eq!(told.text().contains("--cascade=orphan"), seen_by_operator);
        assert!(target.get_now("products", "product-a").is_none());
    }
}

#[test]
fn what_filled_an_empty_namespace_goes_with_all_that_the_operator_made_of_it() {
    let source = installation("source");
    let (memory, kept) = backup(&source);
    let target = Server::new("target");
    target.add(secret("somebodys", &json!({}), &[("content", "stays")]));
    let before = seen(&target);
    let objects: Arc<dyn Objects> = Arc::clone(&target) as Arc<dyn Objects>;
    let hold = |api_manager: &mut Value| api_manager["spec"]["system"]["appSpec"]["replicas"] = 0.into();
    let options = Options { policy: Policy::IntoEmpty, hold: Some(hold), domain: Some("new.example".to_owned()) };
    let store = ObjectsStore::new(DataSetName::KubernetesObjects, objects, options);
    let fits = store.fits(&context(), &kept, Road::SideCopy).unwrap();
    assert!(fits.iter().any(|problem| problem.text.contains("is created with its writers at 0")), "{fits:?}");
    let place = stage(&store, &memory, &kept);
    store.cut_over(&context(), &place).unwrap();
    let made = target.get_now("apimanagers", "apimanager-sample").unwrap();
    assert_eq!((&made["spec"]["wildcardDomain"], &made["spec"]["system"]["appSpec"]["replicas"]), (&json!("new.example"), &json!(0)));
    target.change("apimanagers", "apimanager-sample", |object| object["status"] = json!({"conditions": [{"type": "Available"}]}));
    let (context, told) = context_and_told();
    store.undo(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!(seen(&target), before);
    assert!(!told.text().contains("changed by somebody"), "{}", told.text());
}

#[test]
fn undo_of_what_never_began_changes_nothing() {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let before = target.all();
    let store = store(&target, Policy::Overwrite);
    let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
    store.undo(&context(), &place).unwrap();
    assert_eq!(target.all(), before);
    stage(&store, &memory, &kept);
    store.undo(&context(), &place).unwrap();
    store.discard(&context(), &place, plan::ports::Discard::Staged).unwrap();
    assert_eq!(target.all(), before);
}
