//! Opening, and what makes a set.

use plan::Class;
use plan::ids::{SetId, SnapshotId};
use plan::ports::Repository as _;
use repository::{Location, RusticRepository};

use crate::scene::*;

#[test]
fn no_repository_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nothing")] {
        let error = RusticRepository::open(&Location::Folder(path), &password()).unwrap_err();
        assert_eq!(error.class(), Class::NoRepository, "{error:?}");
    }
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    let scene = Scene::new();
    let error = RusticRepository::open(&scene.location(), &"hunter2-wrong".into()).unwrap_err();
    assert_eq!(error.class(), Class::WrongPassword);
    assert!(!error_text(&error).contains("hunter2"), "{error:?}");
    assert!(!format!("{:?}", scene.repository).contains("correct horse"));
}

#[test]
fn a_repository_is_made_once() {
    let scene = Scene::new();
    let before: Vec<_> = files(&scene.path());
    let error = RusticRepository::init(&scene.location(), &password()).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert_eq!(files(&scene.path()), before);
}

#[test]
fn lost_or_damaged_keys_are_not_called_a_wrong_password() {
    let scene = Scene::new();
    let key = scene.files("keys").remove(0);
    let good = std::fs::read(&key).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let at = text.find("\"salt\":\"").unwrap() + 10;
    let mut bad = good;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(&key, bad).unwrap();
    let error = RusticRepository::open(&scene.location(), &password()).unwrap_err();
    assert_eq!(error.class(), Class::Failed, "{error:?}");
    std::fs::remove_file(&key).unwrap();
    let error = RusticRepository::open(&scene.location(), &password()).unwrap_err();
    assert_eq!(error.class(), Class::Failed, "{error:?}");
}

#[test]
fn a_set_exists_only_when_its_manifest_does() {
    let scene = Scene::new();
    let kept = scene.repository.keep(&context(), &keep_of("one"), Script::parts(parts(1, 3, 1000))).unwrap();
    assert!(scene.repository.manifests().unwrap().is_empty());
    let manifest = manifest("one", &kept);
    scene.repository.write_manifest(&manifest).unwrap();
    assert_eq!(scene.again().manifests().unwrap(), std::slice::from_ref(&manifest));
    // The same call after a crash is fine; another manifest of the same set is not.
    scene.repository.write_manifest(&manifest).unwrap();
    assert_eq!(scene.files("snapshots").len(), 2);
    let other = plan::manifest::Manifest { frozen: true, ..manifest };
    assert_eq!(scene.repository.write_manifest(&other).unwrap_err().class(), Class::Refused);
}

#[test]
fn a_manifest_names_only_what_is_there_and_its_own() {
    let scene = Scene::new();
    let kept = scene.repository.keep(&context(), &keep_of("one"), Script::parts(parts(1, 3, 1000))).unwrap();
    let mut wrong = manifest("one", &kept);
    wrong.data_sets.get_mut(&DATA_SET).unwrap().snapshot = SnapshotId("ab".repeat(32));
    scene.repository.write_manifest(&wrong).unwrap_err();
    wrong.data_sets.get_mut(&DATA_SET).unwrap().snapshot = SnapshotId("latest".into());
    scene.repository.write_manifest(&wrong).unwrap_err();
    let mut foreign = manifest("two", &kept);
    foreign.set = SetId("two".into());
    scene.repository.write_manifest(&foreign).unwrap_err();
    assert!(scene.repository.manifests().unwrap().is_empty());
}

#[test]
fn a_listing_that_fails_is_never_an_empty_one() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 3, 1000));
    std::fs::rename(scene.path().join("snapshots"), scene.path().join("gone")).unwrap();
    scene.repository.manifests().unwrap_err();
    scene.again().manifests().unwrap_err();
    std::fs::rename(scene.path().join("gone"), scene.path().join("snapshots")).unwrap();
    std::fs::rename(scene.path().join("index"), scene.path().join("gone")).unwrap();
    scene.repository.manifests().unwrap_err();
    let retention = repository::Retention { last: 1, ..Default::default() };
    scene.again().forget(&retention, &forget_options(true, true)).unwrap_err();
    std::fs::rename(scene.path().join("gone"), scene.path().join("index")).unwrap();
    assert!(check(&scene.repository).is_whole());
    assert_eq!(set_names(&scene.repository), ["one"]);
}

#[test]
fn a_manifest_that_cannot_be_read_is_told() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 3, 1000));
    for file in scene.files("snapshots") {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    let repository = scene.again();
    assert!(repository.manifests().unwrap().is_empty());
    let damaged = repository.damaged().unwrap();
    assert!(damaged.len() == 2 && damaged.iter().all(|damaged| damaged.what.contains("snapshots/")), "{damaged:?}");
}

/// Names the snapshots anew, as `restic` does, and looks for the sets.
fn survives(scene: &Scene, arguments: &[&str], kept: &plan::ports::Kept) {
    scene.restic(arguments);
    let repository = scene.again();
    assert_eq!(set_names(&repository), ["one"], "{arguments:?}");
    assert!(repository.damaged().unwrap().is_empty(), "{arguments:?}");
    assert!(contents(&repository, kept).unwrap() == expected(parts(1, 3, 1000)), "{arguments:?}");
    let report = check(&repository);
    assert!(report.is_whole() && report.notes.is_empty(), "{arguments:?}: {report:?}");
}

#[test]
fn sets_survive_tags_and_rebuilt_indexes_by_restic() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", parts(1, 3, 1000));
    survives(&scene, &["tag", "--add", "mine"], &kept);
    survives(&scene, &["tag", "--add", "again"], &kept);
    survives(&scene, &["rebuild-index"], &kept);
    survives(&scene, &["prune"], &kept);
    survives(&scene, &["tag", "--set", "only-this"], &kept);
    let mut options = forget_options(true, false);
    options.now = options.now.checked_add(jiff::Span::new().days(30)).unwrap();
    let report = scene.again().forget(&repository::Retention { last: 1, ..Default::default() }, &options).unwrap();
    assert_eq!((report.kept.len(), report.orphan_snapshots), (1, 0));
    assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(1, 3, 1000)));
}

#[test]
fn restic_copy_gives_whole_sets() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", parts(1, 3, 1000));
    let second = Scene::new();
    let output = std::process::Command::new("restic")
        .args(["--no-cache", "-r", scene.path().to_str().unwrap(), "copy", "--repo2", second.path().to_str().unwrap()])
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_PASSWORD2", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let repository = second.again();
    assert_eq!(set_names(&repository), ["one"]);
    assert!(contents(&repository, &kept).unwrap() == expected(parts(1, 3, 1000)));
    let report = check(&repository);
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_snapshot_that_lies_under_anothers_name_is_never_taken_for_it() {
    let scene = Scene::new();
    let one = take(&scene.repository, "one", parts(1, 3, 1000));
    let two = take(&scene.repository, "two", parts(2, 3, 1000));
    let at = |kept: &plan::ports::Kept| scene.path().join("snapshots").join(kept.snapshot.as_str());
    let (first, second) = (std::fs::read(at(&one)).unwrap(), std::fs::read(at(&two)).unwrap());
    std::fs::write(at(&one), &second).unwrap();
    let error = contents(&scene.again(), &one).unwrap_err();
    assert!(error_text(&error).contains(one.snapshot.as_str()), "{error:?}");
    assert!(contents(&scene.again(), &two).unwrap() == expected(parts(2, 3, 1000)));
    // Both exchanged: nothing is lost, and a repair puts each under its own name.
    std::fs::write(at(&two), &first).unwrap();
    contents(&scene.again(), &two).unwrap_err();
    let report = scene.again().repair(true, &plan::ports::StopFlag::default()).unwrap();
    assert!(report.put_back.len() == 2 && report.lost.is_empty(), "{report:?}");
    assert!(contents(&scene.again(), &one).unwrap() == expected(parts(1, 3, 1000)));
    assert!(contents(&scene.again(), &two).unwrap() == expected(parts(2, 3, 1000)));
    assert!(check(&scene.again()).is_whole());
}

#[test]
fn what_vanished_before_the_manifest_is_noticed() {
    let scene = Scene::new();
    let kept = scene.repository.keep(&context(), &keep_of("one"), Script::parts(parts(1, 3, 100_000))).unwrap();
    for pack in scene.files("data") {
        std::fs::remove_file(pack).unwrap();
    }
    let error = scene.repository.write_manifest(&manifest("one", &kept)).unwrap_err();
    assert!(error_text(&error).contains("Take the backup again"), "{error:?}");
    assert!(set_names(&scene.again()).is_empty());
}
