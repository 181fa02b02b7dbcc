//! Tests of lock files.
#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn lock(time: Timestamp, process: Option<&str>) -> LockFile {
    let mut lock = LockFile::of_this_process(false, Purpose::Backup, None);
    lock.time = time;
    match process {
        Some(process) => lock.ours.as_mut().unwrap().process = process.to_owned(),
        None => lock.ours = None,
    }
    lock
}

#[test]
fn a_lock_is_stale_only_when_two_clocks_say_so() {
    let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
    let before = |minutes: i64| now - SignedDuration::from_mins(minutes);
    let clocks = Clocks { here: now, storage: now };
    for process in [None, Some("another machine")] {
        let stale = |time, modified| lock(time, process).is_stale(modified, clocks);
        assert!(stale(before(31), before(31)));
        assert!(!stale(before(29), before(29)));
        // The holder's clock is behind by a day, or this host's is ahead: the storage knows better.
        assert!(!stale(before(1440), before(5)));
        // The storage's clock jumped: the holder's time stands against it.
        assert!(!stale(before(2), before(400)));
        // The holder's clock was in 2031, and it is dead.
        assert!(stale(before(-2_600_000), before(1441)));
        assert!(!stale(before(-2_600_000), before(31)));
    }
}

#[test]
fn a_process_of_this_machine_is_asked_itself() {
    let now = Timestamp::now();
    let old = now - SignedDuration::from_hours(100);
    let clocks = Clocks { here: now, storage: now };
    assert!(!lock(old, Some(&process::this())).is_stale(old, clocks));
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    let gone = process::of(ended.id());
    ended.wait().unwrap();
    assert!(lock(now, gone.as_deref()).is_stale(now, clocks));
}

#[test]
fn a_lock_of_restic_is_understood() {
    let text = r#"{"time":"2026-03-10T13:00:00.5+01:00","exclusive":true,"hostname":"h","username":"root","pid":7,"new":1}"#;
    let lock: LockFile = serde_json::from_str(text).unwrap();
    assert!(lock.exclusive && lock.ours.is_none() && lock.may_be_storing());
    assert_eq!(lock.time, "2026-03-10T12:00:00.5Z".parse().unwrap());
    assert!(
        lock.describe().starts_with("restic, process 7 on host h, holds an exclusive lock since 2026-03-10T12:00:00"),
        "{}",
        lock.describe()
    );
}

#[test]
fn a_purpose_of_a_newer_version_counts_as_a_writer() {
    let mut value = serde_json::to_value(LockFile::of_this_process(false, Purpose::Read, None)).unwrap();
    let lock = |value: &serde_json::Value| serde_json::from_value::<LockFile>(value.clone()).unwrap();
    assert!(!lock(&value).may_be_storing());
    value["threescale-backup"]["purpose"] = "migrate".into();
    assert!(lock(&value).may_be_storing());
}
