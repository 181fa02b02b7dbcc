//! Credentials that may add and never delete, as a bucket's policy gives them: what works by them, and what says that it needs others.

use std::path::Path;

use plan::Class;
use plan::ids::SetId;
use plan::ports::{Repository as _, StopFlag};
use repository::{Retention, RusticRepository, SetCopy};

use crate::s3::Service;
use crate::scene::*;

const KEEP_ONE: Retention = Retention { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

fn open(service: &Service) -> RusticRepository {
    RusticRepository::open(&service.location(), &password()).unwrap()
}

/// The policy of docs/second-copies.md: nothing is deleted but locks.
fn append_only(service: &Service) {
    for folder in ["/data/", "/index/", "/keys/", "/snapshots/", "/config"] {
        service.deny("DELETE", folder);
    }
}

#[test]
fn sets_are_taken_copied_checked_and_read_by_who_may_not_delete() {
    let (scene, service) = (Scene::new(), Service::start());
    RusticRepository::init(&service.location(), &password()).unwrap();
    append_only(&service);
    let kept = take(&open(&service), "one", parts(1, 6, 300_000));
    take(&scene.repository, "two", parts(2, 6, 300_000));
    let copied = scene.again().copy_set(&SetId("two".into()), &open(&service), &StopFlag::default(), &|_, _| {}).unwrap();
    assert!(matches!(copied, SetCopy::Done(_)), "{copied:?}");
    let report = check(&open(&service));
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
    assert!(contents(&open(&service), &kept).unwrap() == expected(parts(1, 6, 300_000)));
    // A key may be added. Locks are given back: they are what may go.
    open(&service).add_key(&"more".into()).unwrap();
    let output = restic(&bucket(&service), &["list", "locks", "--no-lock"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    // A note is said anew beside the old one, which stays; the newest counts.
    open(&service).put_record("kind", "name", b"1").unwrap();
    open(&service).put_record("kind", "name", b"2").unwrap();
    let records = open(&service).records("kind").unwrap();
    assert!(records.len() == 1 && records[0].bytes == b"2", "{records:?}");
}

#[test]
fn what_deletes_is_refused_and_leaves_everything() {
    let service = Service::start();
    RusticRepository::init(&service.location(), &password()).unwrap();
    for (number, set) in ["one", "two"].into_iter().enumerate() {
        take(&open(&service), set, parts(number as u64, 4, 200_000));
    }
    append_only(&service);
    let mut options = forget_options(true, true);
    options.at_once = true;
    let error = open(&service).forget(&KEEP_ONE, &options).unwrap_err();
    let said = error_text(&error);
    assert!(error.class() == Class::Refused && said.contains("check the bucket's policy"), "{said}");
    assert_eq!(set_names(&open(&service)), ["one", "two"]);
    assert!(check(&open(&service)).is_whole());
    // The account that may does it.
    service.allow_all();
    open(&service).forget(&KEEP_ONE, &options).unwrap();
    assert_eq!(set_names(&open(&service)), ["two"]);
    assert!(check(&open(&service)).is_whole());
}

fn bucket(service: &Service) -> std::path::PathBuf {
    let path = service.files();
    assert!(Path::new(&path).is_dir());
    path
}
