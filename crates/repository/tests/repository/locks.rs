//! restic's locks, taken and honoured: with Debian's `restic` on the other side.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use plan::Class;
use plan::ports::{Repository as _, StopFlag};
use repository::{ForgetOptions, Retention};

use crate::scene::*;

const KEEP_ALL: Retention = Retention { last: 100, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

fn prune_now() -> ForgetOptions {
    ForgetOptions { at_once: true, ..forget_options(true, true) }
}

/// What restic says of the locks.
fn locks(scene: &Scene) -> Vec<serde_json::Value> {
    let ids = scene.restic(&["list", "locks", "--no-lock"]);
    ids.lines().map(|id| serde_json::from_str(&scene.restic(&["cat", "lock", id, "--no-lock"])).unwrap()).collect()
}

/// A `restic prune` that stands still while it holds its exclusive lock.
struct Frozen(Child);

impl Frozen {
    fn prune(scene: &Scene) -> Self {
        for _ in 0..50 {
            let mut restic = Command::new("restic")
                .args(["--no-cache", "-q", "-r", scene.path().to_str().unwrap(), "prune"])
                .env("RESTIC_PASSWORD", PASSWORD)
                .stderr(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            while scene.files("locks").is_empty() && restic.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            signal(&restic, "STOP");
            if scene.files("locks").iter().any(|file| !file.to_str().unwrap().contains("-tmp-")) {
                return Self(restic);
            }
            signal(&restic, "CONT");
            restic.wait().unwrap();
        }
        panic!("restic was never caught with its lock");
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(&self.0, "CONT");
        self.0.wait().unwrap();
    }
}

fn signal(process: &Child, name: &str) {
    Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn restic_reads_our_lock_and_does_not_prune_while_a_backup_runs() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    assert!(scene.files("locks").is_empty());
    let other = scene.again();
    let kept = other.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap();
    let held = locks(&scene);
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((&held[0]["exclusive"], &held[0]["pid"]), (&false.into(), &std::process::id().into()));
    for command in [&["prune"][..], &["forget", "--keep-last", "1", "--prune"], &["rebuild-index"]] {
        let output = restic(&scene.path(), command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("locked by PID"), "{command:?}: {said}");
    }
    // Beside it restic reads.
    scene.restic(&["snapshots"]);
    other.write_manifest(&manifest("two", &kept)).unwrap();
    assert!(scene.files("locks").is_empty());
    scene.restic(&["prune"]);
    assert!(check(&scene.again()).is_whole());
}

#[test]
fn a_lock_is_given_back_whatever_becomes_of_the_backup() {
    let scene = Scene::new();
    let other = scene.again();
    let dump = Script::new(|| Err(plan::Error::failed("the producer is gone")));
    other.keep(&context(), &keep_of("one"), dump).unwrap_err();
    drop(other);
    assert!(scene.files("locks").is_empty());
}

#[test]
fn a_set_that_is_read_is_not_pruned_away() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", parts(1, 2, 1000));
    let snapshot = scene.repository.open(&kept.snapshot).unwrap();
    assert_eq!(scene.again().forget(&KEEP_ALL, &prune_now()).unwrap_err().class(), Class::Locked);
    assert!(!restic(&scene.path(), &["prune"]).status.success());
    drop(snapshot);
    scene.again().forget(&KEEP_ALL, &prune_now()).unwrap();
}

#[test]
fn an_exclusive_lock_of_restic_is_honoured() {
    let scene = Scene::new();
    let one = take(&scene.repository, "one", parts(1, 2, 1000));
    let prune = Frozen::prune(&scene);
    let other = scene.again();
    let error = other.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap_err();
    assert_eq!(error.class(), Class::Locked);
    let text = error_text(&error);
    assert!(text.contains(&format!("Restic, process {} on host", prune.0.id())) && text.contains("--wait"), "{text}");
    for options in [forget_options(true, false), forget_options(true, true), prune_now()] {
        assert_eq!(scene.repository.forget(&KEEP_ALL, &options).unwrap_err().class(), Class::Locked);
    }
    // Who only looks or reads is not kept out.
    assert_eq!(set_names(&scene.again()), ["one"]);
    assert!(contents(&scene.again(), &one).unwrap() == expected(parts(1, 2, 1000)));
    scene.repository.forget(&KEEP_ALL, &forget_options(false, true)).unwrap();
    drop(prune);
    take(&other, "two", parts(2, 2, 1000));
    assert!(scene.files("locks").is_empty());
}

#[test]
fn nothing_is_repaired_while_somebody_removes_stored_data() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let prune = Frozen::prune(&scene);
    assert!(scene.repository.repair(false, &StopFlag::default()).unwrap().is_empty());
    assert_eq!(scene.repository.repair(true, &StopFlag::default()).unwrap_err().class(), Class::Locked);
    drop(prune);
    scene.repository.repair(true, &StopFlag::default()).unwrap();
    assert!(scene.files("locks").is_empty());
}

#[test]
fn one_waits_for_the_end_of_a_lock_as_long_as_one_is_ready_to() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let prune = Frozen::prune(&scene);
    let short = scene.again().waiting(Duration::from_millis(100), StopFlag::default());
    let error = short.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap_err();
    assert_eq!(error.class(), Class::Locked);
    let stop = StopFlag::default();
    let stopped = scene.again().waiting(Duration::from_secs(3600), stop.clone());
    stop.raise();
    let error = stopped.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted);

    let long = scene.again().waiting(Duration::from_secs(600), StopFlag::default());
    let (ended, has_ended) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let kept = long.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap();
            long.write_manifest(&manifest("two", &kept)).unwrap();
            ended.send(()).unwrap();
        });
        assert!(has_ended.recv_timeout(Duration::from_millis(300)).is_err(), "it did not wait");
        drop(prune);
        has_ended.recv().unwrap();
    });
    assert_eq!(set_names(&scene.repository), ["one", "two"]);
}

#[test]
fn two_that_want_the_repository_for_themselves_never_both_have_it() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let prune = || scene.again().forget(&KEEP_ALL, &prune_now());
        let all: Vec<_> = (0..4).map(|_| scope.spawn(prune)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.class() == Class::Locked), "{outcomes:?}");
    assert!(scene.files("locks").is_empty());
    assert!(check(&scene.again()).is_whole());
}

#[test]
fn a_lock_of_a_process_that_is_gone_counts_for_nothing_when_it_is_old() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let mut prune = Frozen::prune(&scene);
    prune.0.kill().unwrap();
    prune.0.wait().unwrap();
    let lock = scene.files("locks").remove(0);
    let age = |minutes: u64| {
        let then = SystemTime::now() - Duration::from_secs(60 * minutes);
        std::fs::File::options().append(true).open(&lock).unwrap().set_modified(then).unwrap();
    };
    // Restic does not say where its processes are; and one clock alone, the storage's, may be wrong.
    for minutes in [0, 31, 23 * 60] {
        age(minutes);
        assert_eq!(scene.repository.forget(&KEEP_ALL, &prune_now()).unwrap_err().class(), Class::Locked, "{minutes}");
        assert!(lock.exists());
    }
    age(25 * 60);
    scene.repository.forget(&KEEP_ALL, &prune_now()).unwrap();
    assert!(!lock.exists());
}

#[test]
fn a_lock_that_cannot_be_read_stands_in_the_way_of_what_deletes_only() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let lock = scene.path().join("locks").join("ab".repeat(32));
    std::fs::write(&lock, b"damaged").unwrap();
    take(&scene.repository, "two", parts(2, 2, 1000));
    let error = scene.repository.forget(&KEEP_ALL, &prune_now()).unwrap_err();
    assert_eq!(error.class(), Class::Locked);
    assert!(error_text(&error).contains(&"ab".repeat(32)), "{error:?}");
    assert!(scene.repository.forget(&KEEP_ALL, &forget_options(true, true)).unwrap().prune.unwrap().postponed.is_some());
    std::fs::remove_file(&lock).unwrap();
    scene.repository.forget(&KEEP_ALL, &prune_now()).unwrap();
}

#[test]
fn a_backup_whose_lock_is_lost_takes_another_before_its_manifest() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let other = scene.again();
    let kept = other.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1000))).unwrap();
    scene.files("locks").iter().for_each(|lock| std::fs::remove_file(lock).unwrap());
    let prune = Frozen::prune(&scene);
    assert_eq!(other.write_manifest(&manifest("two", &kept)).unwrap_err().class(), Class::Locked);
    drop(prune);
    other.write_manifest(&manifest("two", &kept)).unwrap();
    assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(2, 2, 1000)));
    assert!(scene.files("locks").is_empty());
}
