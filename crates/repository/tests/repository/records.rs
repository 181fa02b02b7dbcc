//! Records: named documents beside the sets, which nothing but their own removal removes.

use plan::Class;
use plan::ports::{Record, Repository as _};
use repository::{ForgetOptions, Retention, RusticRepository};

use crate::scene::*;

fn named(repository: &RusticRepository, kind: &str) -> Vec<(String, Vec<u8>)> {
    repository.records(kind).unwrap().into_iter().map(|Record { name, bytes, .. }| (name, bytes)).collect()
}

fn pair(name: &str, text: &str) -> (String, Vec<u8>) {
    (name.to_owned(), text.as_bytes().to_vec())
}

#[test]
fn the_newest_of_a_name_counts_and_kinds_are_apart() {
    let scene = Scene::new();
    let repository = &scene.repository;
    assert!(repository.records("protect").unwrap().is_empty());
    repository.put_record("protect", "one", b"first").unwrap();
    repository.put_record("protect", "two", b"").unwrap();
    repository.put_record("journal", "one", b"other kind").unwrap();
    repository.put_record("protect", "one", b"second").unwrap();
    assert_eq!(named(&scene.again(), "protect"), [pair("two", ""), pair("one", "second")]);
    assert_eq!(named(repository, "journal"), [pair("one", "other kind")]);
    assert_eq!(scene.files("snapshots").len(), 3, "an older version stays behind");
    repository.remove_record("protect", "one").unwrap();
    repository.remove_record("protect", "one").unwrap();
    assert_eq!(named(&scene.again(), "protect"), [pair("two", "")]);
    assert_eq!(named(repository, "journal"), [pair("one", "other kind")]);
}

#[test]
fn odd_kinds_and_names_are_refused() {
    let scene = Scene::new();
    for wrong in ["", "a,b", "a b", "a/b", "\n", &"x".repeat(201)] {
        assert_eq!(scene.repository.put_record(wrong, "x", b"").unwrap_err().class(), Class::Refused);
        assert_eq!(scene.repository.put_record("x", wrong, b"").unwrap_err().class(), Class::Refused);
        assert_eq!(scene.repository.records(wrong).unwrap_err().class(), Class::Refused);
        assert_eq!(scene.repository.remove_record("x", wrong).unwrap_err().class(), Class::Refused);
    }
    assert!(scene.files("snapshots").is_empty());
}

#[test]
fn records_are_neither_sets_nor_leftovers() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    scene.repository.put_record("protect", "one", b"note").unwrap();
    assert_eq!(set_names(&scene.repository), ["one"]);
    let report = check(&scene.repository);
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
    let mut options = ForgetOptions { at_once: true, ..forget_options(true, true) };
    options.now = options.now.checked_add(jiff::Span::new().days(400)).unwrap();
    let report = scene.repository.forget(&Retention { last: 1, ..Retention::default() }, &options).unwrap();
    assert_eq!(report.orphan_snapshots, 0);
    assert_eq!(named(&scene.again(), "protect"), [pair("one", "note")]);
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn records_outlive_tags_and_copies_by_restic() {
    let scene = Scene::new();
    scene.repository.put_record("protect", "one", b"note").unwrap();
    scene.restic(&["tag", "--add", "mine"]);
    assert_eq!(named(&scene.again(), "protect"), [pair("one", "note")]);
    scene.repository.put_record("protect", "one", b"newer").unwrap();
    assert_eq!(named(&scene.again(), "protect"), [pair("one", "newer")]);
    assert_eq!(scene.files("snapshots").len(), 1);
}

#[test]
fn a_damaged_record_harms_no_other() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let before = scene.files("snapshots");
    scene.repository.put_record("protect", "bad", b"note").unwrap();
    let bad = scene.files("snapshots").into_iter().find(|file| !before.contains(file)).unwrap();
    scene.repository.put_record("protect", "good", b"note").unwrap();
    for damage in [Vec::new(), b"not a snapshot".to_vec()] {
        std::fs::write(&bad, damage).unwrap();
        assert_eq!(named(&scene.again(), "protect"), [pair("good", "note")]);
    }
}

#[test]
fn a_protection_that_is_lost_is_one_of_all_sets_until_somebody_looks() {
    for is_unreadable in [true, false] {
        let scene = Scene::new();
        take(&scene.repository, "one", parts(1, 2, 1000));
        take(&scene.repository, "two", parts(2, 2, 1000));
        let before = (scene.files("snapshots"), scene.files("data"));
        plan::needs::protect(
            &scene.repository,
            &plan::ids::SetId("one".into()),
            &plan::needs::Protection { since: jiff::Timestamp::now(), note: "before the move".into() },
        )
        .unwrap();
        let new = |folder: &str, before: &[std::path::PathBuf]| {
            scene.files(folder).into_iter().filter(|path| !before.contains(path)).collect::<Vec<_>>()
        };
        if is_unreadable {
            let path = new("snapshots", &before.0).remove(0);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[50] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        } else {
            new("data", &before.1).iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
        let stop = plan::ports::StopFlag::default();
        let foretold = scene.again().repair(false, &stop).unwrap();
        assert_eq!(foretold.protected.len(), 2, "{foretold:?}");
        scene.again().repair(true, &stop).unwrap();
        let protected: Vec<_> = plan::needs::protections(&scene.again()).unwrap().into_keys().map(|set| set.0).collect();
        assert_eq!(protected, ["one", "two"], "unreadable {is_unreadable}");
    }
}
