//! The difference between a set and a namespace, as a plan shows it.

use serde_json::json;

use super::*;
use crate::{Difference, Effect, State};

fn compare(server: &Arc<Server>, policy: Policy, memory: &Memory) -> Vec<Difference> {
    store(server, policy).compare(&context(), memory).unwrap()
}

fn of<'a>(differences: &'a [Difference], name: &str) -> &'a Difference {
    differences.iter().find(|difference| difference.name == name).unwrap()
}

#[test]
fn an_installation_equals_its_own_set() {
    let server = installation("source");
    let (memory, _) = backup(&server);
    let differences = compare(&server, Policy::Overwrite, &memory);
    assert!(differences.iter().all(|difference| difference.state == State::Same && difference.changes.is_empty()), "{differences:?}");
}

#[test]
fn objects_come_in_the_order_in_which_they_go_back() {
    let server = installation("source");
    let kinds: Vec<_> = compare(&server, Policy::Missing, &backup(&server).0).into_iter().map(|difference| difference.kind).collect();
    let place = |kind: &str| kinds.iter().position(|found| found == kind).unwrap();
    assert!(place("Secret") < place("ConfigMap") && place("ConfigMap") < place("APIManager"));
    assert!(place("APIManager") < place("Tenant") && place("Tenant") < place("Product") && place("Product") < place("ProxyConfigPromote"));
}

#[test]
fn what_differs_is_named_by_path_and_secrets_by_digest() {
    let server = installation("source");
    let (memory, _) = backup(&server);
    server.change("secrets", "system-app", |object| {
        object["data"]["SECRET_KEY_BASE"] = "b3RoZXI=".into();
        object["data"]["only-here"] = "eA==".into();
    });
    server.change("products", "product-a", |object| object["spec"]["deployment"] = json!({"apicastSelfManaged": {}}));
    server.remove("secrets", "my-tls");
    let differences = compare(&server, Policy::Overwrite, &memory);
    let app = of(&differences, "system-app");
    assert_eq!((app.state, &app.effect, app.changes.len()), (State::Differs, &Effect::Overwritten, 1));
    assert_eq!(app.changes[0].path, "data/SECRET_KEY_BASE");
    assert_ne!(app.changes[0].set, app.changes[0].target);
    assert_eq!(app.changes[0].set.as_ref().unwrap().len(), 8);
    assert!(app.to_string().starts_with("Secret system-app: differs, is overwritten; data/SECRET_KEY_BASE ("), "{app}");
    assert_ne!(of(&compare(&server, Policy::Overwrite, &memory), "system-app").changes, app.changes, "the key is of one comparison");
    let tls = of(&differences, "my-tls");
    assert_eq!((tls.state, &tls.effect), (State::Missing, &Effect::Created));
    let missing = compare(&server, Policy::Missing, &memory);
    assert_eq!(of(&missing, "system-app").effect, Effect::Stays("--objects missing"));
    assert_eq!(of(&missing, "my-tls").effect, Effect::Created);
}

#[test]
fn what_never_goes_back_says_why() {
    let (memory, _) = backup(&installation("source"));
    let differences = compare(&Server::new("target"), Policy::Overwrite, &memory);
    assert!(matches!(of(&differences, "zync-3scale-abc").effect, Effect::Stays(why) if why.contains("zync")));
    assert!(matches!(of(&differences, "promote-a").effect, Effect::Stays(why) if why.contains("promote")));
}

#[test]
fn a_part_that_is_not_what_its_path_says_is_refused() {
    let (memory, _) = backup(&installation("source"));
    let mut forged = Memory(memory.0.clone());
    let seed = forged.0[Path::new("objects/core/Secret/system-seed.json")].clone();
    forged.0.insert(PathBuf::from("objects/core/Secret/zync.json"), seed);
    let error = store(&Server::new("target"), Policy::Missing).compare(&context(), &forged).unwrap_err();
    assert!(error.to_string().contains("is another object"), "{error}");
}
