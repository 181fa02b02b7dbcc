//! Object lock: what the service holds is read from the service itself.

use std::collections::{BTreeMap, BTreeSet};

use bucket::{Credentials, Origin};
use jiff::{SignedDuration, Timestamp};
use lab::{S3, S3Fault, S3Version};
use plan::ports::{Part, Repository as _, StopFlag};
use plan::{Class, Error};
use repository::{Location, LockReport, Mode, ObjectLock, Retention, RusticRepository, S3 as Place};

use crate::scene::*;

const KEEP_ONE: Retention = Retention { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };
const DAY: i64 = 24 * 60 * 60;

/// A bucket with object lock.
fn service() -> S3 {
    let service = S3::start().unwrap();
    service.lock_objects();
    service
}

fn at(service: &S3, mode: Mode, days: u32) -> Location {
    let (id, secret) = service.keys();
    let place = Place {
        bucket: String::new(),
        prefix: String::new(),
        service: bucket::Service {
            endpoint: Some(service.endpoint()),
            region: "us-east-1".into(),
            credentials: Credentials::Keys { id: id.into(), secret: secret.into() },
            path_style: true,
            dial: None,
            ca_file: None,
            origin: Origin::Section("[repository.s3]".to_owned()),
        },
        retry_seconds: 1,
        stop: StopFlag::default(),
        object_lock: Some(ObjectLock { mode, days }),
    };
    Location::parse(&format!("s3://{}/some/prefix", service.bucket()), Some(place)).unwrap()
}

fn open(service: &S3) -> RusticRepository {
    RusticRepository::open(&at(service, Mode::Governance, 30), &password()).unwrap()
}

fn init(service: &S3) -> RusticRepository {
    RusticRepository::init(&at(service, Mode::Governance, 30), &password()).unwrap();
    open(service)
}

fn renew(repository: &RusticRepository) -> LockReport {
    repository.object_lock(true, &StopFlag::default()).unwrap().unwrap()
}

fn look(repository: &RusticRepository) -> LockReport {
    repository.object_lock(false, &StopFlag::default()).unwrap().unwrap()
}

/// All versions but those of locks, which come and go.
fn kept(service: &S3) -> BTreeMap<String, Vec<S3Version>> {
    service.versions().into_iter().filter(|(key, _)| !key.contains("/locks/")).collect()
}

/// How many days the newest version of each object is still locked, rounded; `None`: not at all.
fn days(service: &S3) -> BTreeMap<String, Option<i64>> {
    let now = Timestamp::now();
    let left = |version: &S3Version| version.lock.as_ref().map(|lock| (lock.until.duration_since(now).as_secs() + DAY / 2).div_euclid(DAY));
    let shown = kept(service).into_iter().filter(|(_, versions)| versions.last().unwrap().object.is_some());
    shown.map(|(key, versions)| (key, left(versions.last().unwrap()))).collect()
}

fn all_have(service: &S3, wanted: i64) {
    let found: BTreeSet<_> = days(service).into_values().collect();
    assert_eq!(found, BTreeSet::from([Some(wanted)]), "{:?}", days(service));
}

fn says(error: &Error, class: Class, texts: &[&str]) {
    let said = error_text(error);
    assert!(error.class() == class && texts.iter().all(|text| said.contains(text)), "{said}");
}

#[test]
fn all_but_locks_is_locked_when_it_is_written_and_cannot_be_removed() {
    let service = service();
    let repository = init(&service);
    let set = take(&repository, "one", parts(1, 6, 300_000));
    repository.put_record("kind", "name", b"1").unwrap();
    repository.add_key(&"more".into()).unwrap();
    all_have(&service, 30);
    let kinds: BTreeSet<_> = kept(&service).into_keys().filter_map(|key| Some(key.split('/').nth(2)?.to_owned())).collect();
    assert_eq!(kinds, ["config", "data", "index", "keys", "snapshots"].map(str::to_owned).into());
    for (key, versions) in kept(&service) {
        for version in &versions {
            assert!(!service.remove_version(&key, &version.id), "{key} was removed for good");
        }
    }
    // Locks come and go as ever.
    let locks: Vec<_> = service.versions().into_iter().filter(|(key, _)| key.contains("/locks/")).collect();
    assert!(!locks.is_empty() && locks.iter().all(|(_, versions)| versions.iter().all(|version| version.lock.is_none())), "{locks:?}");
    assert!(locks.iter().all(|(_, versions)| versions.last().unwrap().object.is_none()), "{locks:?}");
    assert!(contents(&open(&service), &set).unwrap() == expected(parts(1, 6, 300_000)));
}

#[test]
fn forget_and_prune_hide_what_is_locked_and_without_the_marks_it_is_back() {
    let service = service();
    let repository = init(&service);
    let first = take(&repository, "one", parts(1, 6, 300_000));
    take(&repository, "two", parts(2, 6, 300_000));
    let before = kept(&service);
    let mut options = forget_options(true, true);
    options.at_once = true;
    repository.forget(&KEEP_ONE, &options).unwrap();
    assert_eq!(set_names(&open(&service)), ["two"]);
    assert!(check(&open(&service)).is_whole());
    // Nothing that is marked, or was, is looked at any more; and nothing that was locked is gone.
    let report = renew(&open(&service));
    assert_eq!((report.renewed, report.missing), (0, 0), "{report:?}");
    let after = kept(&service);
    assert!(before.iter().all(|(key, versions)| after[key].starts_with(versions)), "a locked version is gone");
    let mut marks = 0;
    for (key, versions) in after {
        for mark in versions.iter().filter(|version| version.object.is_none()) {
            assert!(service.remove_version(&key, &mark.id), "{key}");
            marks += 1;
        }
    }
    assert!(marks > 3, "{marks}");
    assert_eq!(set_names(&open(&service)), ["one", "two"]);
    assert!(contents(&open(&service), &first).unwrap() == expected(parts(1, 6, 300_000)));
    assert!(check(&open(&service)).is_whole());
}

#[test]
fn what_is_needed_is_locked_anew_when_less_than_half_is_left_and_only_then() {
    let service = service();
    let repository = init(&service);
    take(&repository, "one", parts(1, 6, 300_000));
    let objects = days(&service).len() as u64;
    service.age_locks(SignedDuration::from_secs(14 * DAY));
    drop(service.asked());
    let report = renew(&open(&service));
    assert_eq!((report.objects, report.short, report.renewed, report.missing), (objects, 0, 0, 0), "{report:?}");
    assert_eq!(service.asked().get("s3:PutObjectRetention"), None);
    all_have(&service, 16);

    service.age_locks(SignedDuration::from_secs(2 * DAY));
    // A second set uses what the first has stored: what it writes is locked for long, what it uses is not.
    take(&repository, "two", both(parts(1, 6, 300_000), parts(2, 6, 300_000)));
    let found: BTreeSet<_> = days(&service).into_values().collect();
    assert_eq!(found, BTreeSet::from([Some(14), Some(30)]));
    let looked = look(&open(&service));
    assert!(looked.short > 3 && looked.short < looked.objects && looked.renewed == 0, "{looked:?}");
    let until = looked.until.unwrap().duration_since(Timestamp::now()).as_secs();
    assert!((14 * DAY - 600..=14 * DAY).contains(&until), "{until}");
    let report = renew(&open(&service));
    assert_eq!((report.short, report.renewed, report.still_short()), (looked.short, looked.short, 0));
    all_have(&service, 30);
    assert_eq!(look(&open(&service)).short, 0);

    // What has ended is locked again, and the check of a right locks `config` for the whole time.
    service.age_locks(SignedDuration::from_secs(40 * DAY));
    open(&service).try_object_lock(false).unwrap();
    assert!(days(&service).values().all(|days| *days == Some(-10)), "only looking locks nothing");
    open(&service).try_object_lock(true).unwrap();
    assert_eq!(days(&service)["some/prefix/config"], Some(30));
    let report = renew(&open(&service));
    assert_eq!((report.renewed, report.other_mode), (report.objects - 1, 0), "{report:?}");
    all_have(&service, 30);
}

#[test]
fn what_a_prune_has_marked_is_not_locked_anew() {
    let service = service();
    let repository = init(&service);
    take(&repository, "one", parts(1, 6, 300_000));
    take(&repository, "two", parts(2, 6, 300_000));
    let mut options = forget_options(true, true);
    options.now = (Timestamp::now() + SignedDuration::from_secs(2 * DAY)).to_zoned(jiff::tz::TimeZone::UTC);
    repository.forget(&KEEP_ONE, &options).unwrap();
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    let report = renew(&open(&service));
    assert!(report.renewed > 3 && report.still_short() == 0, "{report:?}");
    let (mut short, mut long) = (0, 0);
    for (key, left) in days(&service).iter().filter(|(key, _)| key.contains("/data/")) {
        match left {
            Some(10) => short += 1,
            Some(30) => long += 1,
            other => panic!("{key}: {other:?}"),
        }
    }
    assert!(short > 0 && long > 0, "{short} packs are marked, {long} are not");
    assert!(check(&open(&service)).is_whole());
}

#[test]
fn a_bucket_without_object_lock_is_refused_before_anything_is_written() {
    let service = S3::start().unwrap();
    let location = at(&service, Mode::Governance, 30);
    let error = RusticRepository::init(&location, &password()).unwrap_err();
    says(&error, Class::Refused, &["has no object lock", "ObjectLockConfigurationNotFoundError", "leave object-lock out"]);
    assert_eq!(service.objects().len(), 0);
    // A repository that is there already, in such a bucket.
    let Location::S3(mut place) = location.clone() else { panic!("{location}") };
    place.object_lock = None;
    RusticRepository::init(&Location::S3(place), &password()).unwrap();
    let before: Vec<_> = service.objects().into_keys().collect();
    let error = open(&service).try_object_lock(true).unwrap_err();
    says(&error, Class::Refused, &["has no object lock"]);
    let error = open(&service).object_lock(true, &StopFlag::default()).unwrap_err();
    says(&error, Class::Refused, &["has no object lock"]);
    assert_eq!(service.objects().into_keys().collect::<Vec<_>>(), before);
}

#[test]
fn a_right_that_is_lacking_is_named() {
    let service = service();
    let location = at(&service, Mode::Governance, 30);
    for right in ["s3:GetBucketObjectLockConfiguration", "s3:PutObjectRetention"] {
        service.deny(&[right]);
        let error = RusticRepository::init(&location, &password()).unwrap_err();
        says(&error, Class::Refused, &[right, "arn:aws:s3:::system-files", "AccessDenied"]);
        assert_eq!(service.objects().len(), 0, "{right}");
    }
    service.deny(&[]);
    let repository = init(&service);
    take(&repository, "one", parts(1, 2, 3000));
    for right in ["s3:GetBucketObjectLockConfiguration", "s3:GetObjectRetention", "s3:PutObjectRetention"] {
        service.deny(&[right]);
        says(&open(&service).try_object_lock(true).unwrap_err(), Class::Refused, &[right]);
        service.age_locks(SignedDuration::from_secs(20 * DAY));
        says(&open(&service).object_lock(true, &StopFlag::default()).unwrap_err(), Class::Refused, &[right]);
        // Sets are read without any of them.
        assert_eq!(set_names(&open(&service)), ["one"]);
        assert!(check(&open(&service)).is_whole());
    }
}

#[test]
fn a_false_clock_locks_nothing_and_the_services_own_counts() {
    let service = service();
    let location = at(&service, Mode::Compliance, 30);
    let (now, minutes) = (Timestamp::now(), |minutes| SignedDuration::from_mins(minutes));
    for apart in [minutes(20), -minutes(20), minutes(60 * 24 * 400), -minutes(60 * 24 * 400)] {
        service.set_clock(now + apart);
        let error = RusticRepository::init(&location, &password()).unwrap_err();
        says(&error, Class::Refused, &["differ by more than 15 minutes", "set this machine's clock"]);
        assert_eq!(service.objects().len(), 0, "{apart}");
    }
    service.set_clock(now + minutes(10));
    RusticRepository::init(&location, &password()).unwrap();
    let wanted = now + minutes(10) + SignedDuration::from_secs(30 * DAY);
    for (key, versions) in kept(&service) {
        let lock = versions[0].lock.as_ref().unwrap();
        let off = lock.until.duration_since(wanted).as_secs();
        assert!((-2..60).contains(&off) && lock.mode == "COMPLIANCE", "{key}: {off} s");
    }
    service.set_clock(now - minutes(600));
    says(&open(&service).object_lock(true, &StopFlag::default()).unwrap_err(), Class::Refused, &["differ by more than 15 minutes"]);
    // Who only reads wants no clock.
    assert!(set_names(&open(&service)).is_empty());
}

#[test]
fn an_object_that_cannot_be_locked_stops_no_other() {
    let service = service();
    let repository = init(&service);
    take(&repository, "one", parts(1, 6, 300_000));
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    service.fail(S3Fault {
        right: "s3:PutObjectRetention",
        has: "/config".to_owned(),
        after: 0,
        times: u64::MAX,
        status: 403,
        code: "AccessDenied",
    });
    let error = open(&service).object_lock(true, &StopFlag::default()).unwrap_err();
    says(&error, Class::Refused, &["config", "s3:PutObjectRetention", "the next renewal goes on from there"]);
    assert_eq!(days(&service).remove("some/prefix/config"), Some(Some(10)));
    assert!(days(&service).iter().all(|(key, days)| key.ends_with("/config") || *days == Some(30)), "{:?}", days(&service));
    assert!(service.mend() > 0);
    let report = renew(&open(&service));
    assert_eq!((report.short, report.renewed), (1, 1));
    all_have(&service, 30);
    // One that passes.
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    service.fail(S3Fault { right: "s3:PutObjectRetention", has: String::new(), after: 2, times: 3, status: 503, code: "SlowDown" });
    renew(&open(&service));
    assert_eq!(service.mend(), 0);
    all_have(&service, 30);
}

#[test]
fn the_mode_of_what_is_locked_stays_and_what_is_new_has_the_new_one() {
    let service = service();
    let repository = init(&service);
    take(&repository, "one", parts(1, 2, 300_000));
    let old: BTreeSet<_> = days(&service).into_keys().collect();
    let strict = RusticRepository::open(&at(&service, Mode::Compliance, 60), &password()).unwrap();
    take(&strict, "two", parts(2, 2, 300_000));
    let report = renew(&strict);
    assert_eq!((report.still_short(), report.other_mode), (0, old.len() as u64), "{report:?}");
    service.age_locks(SignedDuration::from_secs(45 * DAY));
    // The older ones have ended: they are locked in the new mode now. Of the others 15 days are left, which is half of 30.
    let loose = open(&service);
    service.age_locks(SignedDuration::from_secs(DAY));
    let report = renew(&loose);
    assert_eq!(report.still_short(), 0, "{report:?}");
    for (key, versions) in kept(&service).iter().filter(|(_, versions)| versions.last().unwrap().object.is_some()) {
        let wanted = if old.contains(key) { "GOVERNANCE" } else { "COMPLIANCE" };
        assert_eq!(versions.last().unwrap().lock.as_ref().unwrap().mode, wanted, "{key}");
    }
    all_have(&service, 30);
}

#[test]
fn what_is_hidden_or_removed_by_somebody_else_is_told() {
    let service = service();
    let repository = init(&service);
    let set = take(&repository, "one", parts(1, 6, 300_000));
    let pack = days(&service).into_keys().find(|key| key.contains("/data/")).unwrap();
    service.remove(&pack);
    assert_eq!(look(&open(&service)).missing, 1);
    assert!(!check(&open(&service)).is_whole());
    // Another one is written over: what is seen then is not locked, and can go.
    let other = days(&service).into_keys().find(|key| key.contains("/data/")).unwrap();
    service.put(&other, b"something else".to_vec(), &[]);
    let report = renew(&open(&service));
    assert_eq!((report.missing, report.still_short()), (2, 0), "{report:?}");
    let newest = kept(&service)[&other].last().unwrap().clone();
    assert!(newest.lock.is_none() && service.remove_version(&other, &newest.id));
    // While a renewal looks at it.
    let snapshot = days(&service).into_keys().find(|key| key.contains("/snapshots/")).unwrap();
    let renewing = open(&service);
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    service.hold_back("s3:GetObjectRetention", 0);
    let report = std::thread::scope(|scope| {
        let renewal = scope.spawn(|| renew(&renewing));
        while service.held_back() == 0 {
            std::thread::yield_now();
        }
        service.remove(&snapshot);
        service.let_go();
        renewal.join().unwrap()
    });
    assert_eq!((report.missing, report.still_short()), (2, 0), "{report:?}");
    // Without the marks all is back.
    for (key, versions) in kept(&service) {
        for mark in versions.iter().filter(|version| version.object.is_none()) {
            assert!(service.remove_version(&key, &mark.id));
        }
    }
    assert!(check(&open(&service)).is_whole());
    assert!(contents(&open(&service), &set).unwrap() == expected(parts(1, 6, 300_000)));
}

/// Parts of both, under names of their own.
fn both(one: Vec<Part>, other: Vec<Part>) -> Vec<Part> {
    let numbered = one.into_iter().chain(other).enumerate();
    numbered.map(|(number, part)| Part { path: format!("tables/{number:03}").into(), ..part }).collect()
}
