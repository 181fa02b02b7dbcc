//! Keys: the passwords that open a repository, by this program and by Debian's `restic`.

use std::fs;
use std::process::Command;

use plan::Class;
use plan::ports::Repository as _;
use repository::RusticRepository;
use secrecy::SecretString;

use crate::s3::Service;
use crate::scene::*;

fn opened_by(scene: &Scene, password: &str) -> plan::Result<RusticRepository> {
    RusticRepository::open(&scene.location(), &SecretString::from(password))
}

fn restic_opens(scene: &Scene, password: &str) -> bool {
    let mut restic = Command::new("restic");
    restic.args(["--no-cache", "-r", scene.path().to_str().unwrap(), "snapshots", "--json", "--no-lock"]);
    restic.env("RESTIC_PASSWORD", password).output().unwrap().status.success()
}

#[test]
fn restic_sees_our_keys_and_we_see_its() {
    let scene = Scene::in_memory();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let added = scene.again().add_key(&"second".into()).unwrap();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&scene.restic(&["key", "list", "--json"])).unwrap();
    let known = listed.iter().find(|key| added.starts_with(key["id"].as_str().unwrap())).unwrap();
    assert!(!known["hostName"].as_str().unwrap().is_empty() && !known["created"].as_str().unwrap().starts_with("0001"), "{known}");
    assert!(restic_opens(&scene, "second") && restic_opens(&scene, PASSWORD) && !restic_opens(&scene, "third"));

    let file = scene.folder.path().join("third");
    fs::write(&file, "third\n").unwrap();
    scene.restic(&["key", "add", "--new-password-file", file.to_str().unwrap(), "--user", "someone", "--host", "somewhere"]);
    let third = opened_by(&scene, "third").unwrap();
    assert_eq!(set_names(&third), ["one"]);
    let keys = third.keys().unwrap();
    assert_eq!(keys.len(), 3);
    let own = keys.iter().find(|key| key.is_current).unwrap();
    assert_eq!((own.user.as_str(), own.host.as_str(), &own.problem), ("someone", "somewhere", &None));
    // What one takes away is gone for the other.
    let removed = third.remove_key(&added[..10]).unwrap();
    assert!(removed == added && !restic_opens(&scene, "second"));
    assert_eq!(opened_by(&scene, "second").unwrap_err().class(), Class::WrongPassword);
    let of_first = keys.iter().find(|key| !key.is_current && key.id != added).unwrap();
    scene.restic(&["key", "list"]);
    third.remove_key(&of_first.id).unwrap();
    assert_eq!(scene.files("keys").len(), 1);
    assert!(restic_opens(&scene, "third") && !restic_opens(&scene, PASSWORD));
}

#[test]
fn the_key_in_use_and_the_last_one_stay() {
    let scene = Scene::in_memory();
    let only = scene.repository.keys().unwrap().remove(0);
    let refused = |repository: &RusticRepository, id: &str| {
        let error = repository.remove_key(id).unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{error:?}");
        error_text(&error)
    };
    assert!(refused(&scene.repository, &only.id).contains("the only one"));
    let second = scene.repository.add_key(&"second".into()).unwrap();
    assert!(refused(&scene.repository, &only.id).contains("another password"));
    assert!(refused(&scene.repository, "ffffffffffff").contains("there is no key"));
    assert!(refused(&scene.repository, "").contains("there is no key"));
    assert_eq!(scene.repository.add_key(&"".into()).unwrap_err().class(), Class::Refused);
    assert_eq!(scene.files("keys").len(), 2);
    // While anybody uses the repository: as restic, nothing is taken away, and a key may be added.
    let taken = scene.again();
    let kept = taken.keep(&context(), &keep_of("one"), Script::parts(parts(1, 2, 1000))).unwrap();
    assert_eq!(scene.repository.remove_key(&second).unwrap_err().class(), Class::Locked);
    assert_eq!(scene.repository.change_key(&"third".into()).unwrap_err().class(), Class::Locked);
    scene.repository.add_key(&"fourth".into()).unwrap();
    assert_eq!(scene.files("keys").len(), 3);
    taken.write_manifest(&manifest("one", &kept)).unwrap();
    scene.repository.remove_key(&second).unwrap();
    assert!(scene.files("locks").is_empty());
    // A damaged one is told, and may go.
    let damaged = scene.path().join("keys").join("0".repeat(64));
    fs::write(&damaged, "{}").unwrap();
    assert!(scene.again().keys().unwrap().iter().any(|key| key.problem.as_ref().is_some_and(|problem| problem.contains("damaged"))));
    scene.again().remove_key("00000000").unwrap();
    assert!(!damaged.exists());
}

#[test]
fn a_changed_password_opens_and_the_old_one_does_not() {
    let scene = Scene::in_memory();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let other = scene.repository.add_key(&"other".into()).unwrap();
    let (removed, added) = scene.again().change_key(&"new".into()).unwrap();
    assert_eq!(opened_by(&scene, PASSWORD).unwrap_err().class(), Class::WrongPassword);
    let keys = opened_by(&scene, "new").unwrap().keys().unwrap();
    let mut ids: Vec<_> = keys.iter().map(|key| key.id.clone()).collect();
    ids.sort();
    let mut expected = vec![other, added.clone()];
    expected.sort();
    assert!(ids == expected && removed != added);
    assert!(restic_opens(&scene, "new") && restic_opens(&scene, "other") && !restic_opens(&scene, PASSWORD));
    assert_eq!(set_names(&opened_by(&scene, "new").unwrap()), ["one"]);
    // What is held open goes on: the key itself is the same.
    take(&scene.repository, "two", parts(2, 2, 1000));
    assert!(check(&opened_by(&scene, "other").unwrap()).is_whole());
}

/// Whatever happens between the two steps, there is a password that opens it: when the old one cannot go, both do.
#[test]
fn where_the_old_key_cannot_go_both_open() {
    let service = Service::start();
    RusticRepository::init(&service.location(), &password()).unwrap();
    let open = |password: &str| RusticRepository::open(&service.location(), &SecretString::from(password));
    let old = open(PASSWORD).unwrap().keys().unwrap().remove(0).id;
    service.deny("DELETE", "/keys/");
    let error = open(PASSWORD).unwrap().change_key(&"new".into()).unwrap_err();
    assert!(error_text(&error).contains("Both passwords open the repository now"), "{error:?}");
    assert!(error_text(&error).contains(&format!("key remove {}", &old[..8])), "{error:?}");
    assert!(open(PASSWORD).is_ok() && open("new").is_ok());
    service.allow_all();
    open("new").unwrap().remove_key(&old[..8]).unwrap();
    assert_eq!(open(PASSWORD).unwrap_err().class(), Class::WrongPassword);
}
