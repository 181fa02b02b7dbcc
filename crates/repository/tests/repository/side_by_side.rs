//! What Debian's `restic` does to a repository harms no set.

use std::process::Command;

use jiff::Span;
use repository::{ForgetOptions, Location, Retention, RusticRepository};

use crate::scene::*;

fn two_sets() -> (Scene, [plan::ports::Kept; 2]) {
    let scene = Scene::new();
    let kept = [1, 2].map(|seed| take(&scene.repository, &format!("s{seed}"), parts(seed, 3, 100_000)));
    (scene, kept)
}

fn are_whole(repository: &RusticRepository, kept: &[plan::ports::Kept]) {
    for (seed, kept) in (1..).zip(kept) {
        assert!(contents(repository, kept).unwrap() == expected(parts(seed, 3, 100_000)));
    }
    let report = check(repository);
    assert!(report.is_whole(), "{report:?}");
}

/// A month later, so that whatever looks like a leftover is an old one.
fn a_month_later(last: u32, scene: &Scene) -> repository::ForgetReport {
    let mut options = ForgetOptions { at_once: true, ..forget_options(true, true) };
    options.now = options.now.checked_add(Span::new().hours(720)).unwrap();
    scene.again().forget(&Retention { last, ..Retention::default() }, &options).unwrap()
}

#[test]
fn tagged_snapshots_are_still_those_of_their_sets() {
    for tag in [&["tag", "--add", "yearly"][..], &["tag", "--remove", "nothing", "--add", "other"]] {
        let (scene, kept) = two_sets();
        scene.restic(tag);
        are_whole(&scene.again(), &kept);
        let report = a_month_later(2, &scene);
        assert_eq!((report.kept.len(), report.removed.len(), report.orphan_snapshots), (2, 0, 0));
        are_whole(&scene.again(), &kept);
        let report = a_month_later(1, &scene);
        assert_eq!(report.removed[0].set.as_str(), "s1");
        assert_eq!(scene.files("snapshots").len(), 2);
        assert!(contents(&scene.again(), &kept[1]).unwrap() == expected(parts(2, 3, 100_000)));
        scene.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_copy_in_another_repository_is_whole_sets() {
    let (scene, kept) = two_sets();
    let other = Location::Folder(scene.folder.path().join("other"));
    RusticRepository::init(&other, &password()).unwrap();
    let copied = Command::new("restic")
        .args(["--no-cache", "-r", &other.to_string(), "copy", "--from-repo", scene.path().to_str().unwrap()])
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_FROM_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let repository = RusticRepository::open(&other, &password()).unwrap();
    assert_eq!(set_names(&repository), ["s1", "s2"]);
    are_whole(&repository, &kept);
    let mut options = ForgetOptions { at_once: true, ..forget_options(true, true) };
    options.now = options.now.checked_add(Span::new().hours(720)).unwrap();
    let report = repository.forget(&Retention { last: 2, ..Retention::default() }, &options).unwrap();
    assert_eq!((report.removed.len(), report.orphan_snapshots), (0, 0));
    are_whole(&RusticRepository::open(&other, &password()).unwrap(), &kept);
    take(&RusticRepository::open(&other, &password()).unwrap(), "s3", parts(3, 3, 100_000));
}

#[test]
fn what_restic_does_to_its_own_harms_no_set() {
    let (scene, kept) = two_sets();
    let source = scene.folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), noise(5, 300_000)).unwrap();
    let source = source.to_str().unwrap();
    scene.restic(&["backup", source]);
    std::fs::write(scene.folder.path().join("password"), "another").unwrap();
    let password_file = scene.folder.path().join("password");
    let commands: [&[&str]; 6] = [
        &["forget", "--path", source, "--keep-last", "1", "--prune"],
        &["backup", source, "--force"],
        &["forget", "--path", source, "--keep-last", "1", "--prune"],
        &["prune", "--max-unused", "0"],
        &["rebuild-index"],
        &["key", "add", "--new-password-file", password_file.to_str().unwrap()],
    ];
    for command in commands {
        scene.restic(command);
        are_whole(&scene.again(), &kept);
    }
    let by_the_new_key = RusticRepository::open(&scene.location(), &"another".into()).unwrap();
    are_whole(&by_the_new_key, &kept);
    a_month_later(2, &scene);
    are_whole(&scene.again(), &kept);
    assert_eq!(scene.files("snapshots").len(), 5);
    scene.restic(&["check", "--read-data"]);
}
