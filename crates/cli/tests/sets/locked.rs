//! Object lock, from the configuration to a renewal that is killed.

use std::collections::BTreeMap;
use std::process::Stdio;

use jiff::{SignedDuration, Timestamp};
use lab::{S3, S3Fault};

use crate::small::{Home, Small};
use crate::support::text;

const DAY: i64 = 24 * 60 * 60;
const ABSENT: [&str; 3] = ["system-database", "zync-database", "backend-redis"];

/// A bucket with object lock.
fn service() -> S3 {
    let service = S3::start().unwrap();
    service.lock_objects();
    service
}

/// The section of a repository in it.
fn section(name: &str, home: &Home, service: &S3, prefix: &str, lock: &str) -> String {
    let (id, secret) = service.keys();
    format!(
        "[{name}]\nurl = \"s3://{}/{prefix}\"\npassword-file = {:?}\n{lock}[{name}.s3]\nendpoint = {:?}\naccess-key-id = {id:?}\nsecret-access-key = {secret:?}\n",
        service.bucket(),
        home.path("key"),
        service.endpoint()
    )
}

/// Its repository is in the bucket from now on.
fn configure(home: &Home, small: &Small<'_>, service: &S3, lock: &str, more: &str) {
    small.configure(&format!("[installation]\nname = \"a\"\n{more}"), &ABSENT);
    let toml = std::fs::read_to_string(small.config()).unwrap();
    let own = home.repository_toml();
    assert!(toml.starts_with(&own));
    std::fs::write(small.config(), toml.replacen(&own, &section("repository", home, service, "first", lock), 1)).unwrap();
}

/// How many days each object is still locked that can be seen; locks, which come and go, are left out.
fn days(service: &S3, prefix: &str) -> BTreeMap<String, i64> {
    let now = Timestamp::now();
    let all = service.versions().into_iter().filter(|(key, _)| key.starts_with(prefix) && !key.contains("/locks/"));
    let newest = all.filter_map(|(key, versions)| Some((key, versions.into_iter().last()?)));
    let left = |at: Timestamp| (at.duration_since(now).as_secs() + DAY / 2).div_euclid(DAY);
    newest
        .filter(|(_, version)| version.object.is_some())
        .map(|(key, version)| (key, version.lock.map_or(-1, |lock| left(lock.until))))
        .collect()
}

#[test]
fn a_backup_renews_the_lock_of_what_sets_need() {
    let (home, service) = (Home::make(), service());
    let a = Small::start(&home, "a");
    configure(&home, &a, &service, "object-lock = \"governance\"\nobject-lock-days = 20\n", "");
    a.ok(&["init"]);
    let first = a.backup(&[]);
    assert!(days(&service, "first").values().all(|days| *days == 20), "{:?}", days(&service, "first"));
    service.age_locks(SignedDuration::from_secs(12 * DAY));
    let output = a.run(&["renew", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("objects are locked for less than half of 20 days"), "{}", text(&output.stderr));
    let said = a.ok(&["check"]);
    assert!(said.contains("note: object lock: ") && said.contains("`threescale-backup renew` locks them anew"), "{said}");
    assert!(days(&service, "first").values().any(|days| *days == 8), "looking locks nothing");

    let (set, said) = a.both(&["backup"]);
    assert!(said.contains("object lock: ") && said.contains(" locked anew, all are locked until "), "{said}");
    assert!(days(&service, "first").values().all(|days| *days == 20), "{:?}", days(&service, "first"));
    let document = a.json(&["renew"]);
    assert_eq!((&document["short"], &document["renewed"], &document["days"]), (&0.into(), &0.into(), &20.into()), "{document}");
    assert!(a.ok(&["check", "--read-data"]).contains("object lock: "));
    assert!(a.ok(&["doctor"]).contains("repository: 2 sets"));

    // What goes is hidden only; a restore reads what stays.
    a.ok(&["forget", "--keep-last", "1", "--prune", "--now", "--yes"]);
    assert_eq!(a.listed(&[]), [set.trim()]);
    assert_ne!(set.trim(), first);
    a.write("damaged");
    a.ok(&["restore", "latest", "--yes"]);
    assert_eq!(a.content(), ["a", "a"]);
    a.ok(&["settle", "--yes"]);
}

#[test]
fn a_renewal_that_is_killed_is_gone_on_with() {
    let (home, service) = (Home::make(), service());
    let a = Small::start(&home, "a");
    configure(&home, &a, &service, "object-lock = \"compliance\"\n", "");
    a.ok(&["init"]);
    for content in 0..8 {
        a.write(&format!("content {content}"));
        a.backup(&[]);
    }
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    let all = days(&service, "first").len() as u64;
    assert!(all > 40, "{all}");
    const BEFORE: u64 = 15;
    service.hold_back("s3:PutObjectRetention", BEFORE);
    let mut renewal = a.command(&["renew"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while service.held_back() == 0 {
        assert!(renewal.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    renewal.kill().unwrap();
    renewal.wait().unwrap();
    service.let_go();
    let renewed = |wanted: i64| days(&service, "first").values().filter(|days| **days == wanted).count() as u64;
    assert_eq!((renewed(30), renewed(10)), (BEFORE, all - BEFORE));
    drop(service.asked());
    let document = a.json(&["renew"]);
    assert_eq!((&document["short"], &document["renewed"]), (&(all - BEFORE).into(), &(all - BEFORE).into()), "{document}");
    assert_eq!(service.asked().get("s3:PutObjectRetention"), Some(&(all - BEFORE)));
    assert_eq!(renewed(30), all);
    // Asked to stop, it stops with its exit code, and nothing is half.
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    service.hold_back("s3:PutObjectRetention", BEFORE);
    let renewal = a.command(&["renew"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while service.held_back() == 0 {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&renewal), rustix::process::Signal::TERM).unwrap();
    let output = renewal.wait_with_output().unwrap();
    service.let_go();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    a.ok(&["renew"]);
    assert_eq!(renewed(30), all);
}

#[test]
fn a_backup_is_not_failed_by_what_cannot_be_locked_and_not_begun_without_the_right_to() {
    let (home, service) = (Home::make(), service());
    let a = Small::start(&home, "a");
    configure(&home, &a, &service, "object-lock = \"governance\"\n", "");
    a.ok(&["init"]);
    a.backup(&[]);
    service.age_locks(SignedDuration::from_secs(20 * DAY));
    let pack = days(&service, "first").into_keys().find(|key| key.contains("/data/")).unwrap();
    service.fail(S3Fault { right: "s3:PutObjectRetention", has: pack, after: 0, times: u64::MAX, status: 403, code: "AccessDenied" });
    let output = a.run(&["backup", "--quiet"]);
    let (set, said) = (text(&output.stdout).trim().to_owned(), text(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("set {set} was taken, and not all that sets need is locked as it should be")), "{said}");
    assert!(said.contains("s3:PutObjectRetention") && said.contains("`threescale-backup renew` tries it again"), "{said}");
    assert!(service.mend() > 0);
    a.ok(&["renew"]);

    let taken = a.listed(&[]);
    service.deny(&["s3:PutObjectRetention"]);
    let said = a.refused(&["backup"]);
    assert!(said.contains("allow s3:PutObjectRetention on arn:aws:s3:::system-files/*"), "{said}");
    service.deny(&["s3:GetBucketObjectLockConfiguration"]);
    let said = a.refused(&["backup"]);
    assert!(said.contains("allow s3:GetBucketObjectLockConfiguration on arn:aws:s3:::system-files "), "{said}");
    let said = text(&a.run(&["doctor"]).stdout);
    assert!(said.contains("repository: FAILED: ") && said.contains("s3:GetBucketObjectLockConfiguration"), "{said}");
    // Who may only read still sees, checks and restores.
    assert_eq!(a.listed(&[]), taken);
    assert!(a.ok(&["check"]).contains("note: object lock: nobody knows how long objects are locked: "));
    service.deny(&[]);
    // The clocks.
    service.set_clock(Timestamp::now() - SignedDuration::from_hours(30));
    let said = a.refused(&["backup"]);
    assert!(said.contains("differ by more than 15 minutes"), "{said}");
    service.set_clock(Timestamp::now());
    a.ok(&["backup"]);
}

#[test]
fn a_second_repository_is_locked_by_its_own_rule() {
    let (home, service) = (Home::make(), service());
    let a = Small::start(&home, "a");
    let copies =
        section("copies.offsite", &home, &service, "second", "after-backup = true\nobject-lock = \"compliance\"\nobject-lock-days = 60\n");
    configure(&home, &a, &service, "", &copies);
    a.ok(&["init"]);
    a.ok(&["init", "--repository", "offsite"]);
    a.ok(&["backup"]);
    assert!(days(&service, "first").values().all(|days| *days == -1), "{:?}", days(&service, "first"));
    assert!(days(&service, "second").values().all(|days| *days == 60), "{:?}", days(&service, "second"));
    service.age_locks(SignedDuration::from_secs(40 * DAY));
    let (_, said) = a.both(&["backup"]);
    assert!(said.contains("offsite (s3://system-files/second): object lock: "), "{said}");
    assert!(days(&service, "second").values().all(|days| *days == 60), "{:?}", days(&service, "second"));
    service.age_locks(SignedDuration::from_secs(40 * DAY));
    a.ok(&["renew", "--repository", "offsite"]);
    assert!(days(&service, "second").values().all(|days| *days == 60), "{:?}", days(&service, "second"));
    let said = a.refused(&["renew"]);
    assert!(said.contains("object lock is not asked for"), "{said}");
}

#[test]
fn what_makes_no_sense_of_object_lock_is_refused() {
    let (home, service) = (Home::make(), S3::start().unwrap());
    let a = Small::start(&home, "a");
    let refused = |lock: &str, what: &str| {
        configure(&home, &a, &service, lock, "");
        let said = a.refused(&["init"]);
        assert!(said.contains(what), "{lock}: {said}");
        assert_eq!(service.objects().len(), 0, "{lock}");
    };
    refused("object-lock = \"legal\"\n", "It is one of \"governance\", \"compliance\".");
    refused("object-lock = \"compliance\"\nobject-lock-days = 0\n", "is not a number from 1 to 3653");
    refused("object-lock = \"compliance\"\nobject-lock-days = 36500\n", "is not a number from 1 to 3653");
    refused("object-lock-days = 30\n", "[repository] has object-lock-days and no object-lock");
    refused("object-lock = \"governance\"\n", "has no object lock");
    a.configure("[installation]\nname = \"a\"\n", &ABSENT);
    let toml = std::fs::read_to_string(a.config()).unwrap();
    std::fs::write(a.config(), toml.replacen("[repository]\n", "[repository]\nobject-lock = \"governance\"\n", 1)).unwrap();
    let said = a.refused(&["list"]);
    assert!(said.contains("[repository] has object-lock, and its url is no bucket"), "{said}");
}
