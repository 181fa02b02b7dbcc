//! Copies of sets in another repository: the same sets there, by this program, by Debian's `restic`, after faults.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

use plan::Class;
use plan::ids::{DataSetName, SetId};
use plan::ports::{Part, Repository as _, StopFlag};
use repository::{Carried, Location, RusticRepository, SetCopy};
use secrecy::SecretString;

use crate::s3::Service;
use crate::scene::*;

const OTHER: &str = "another horse";

/// A second repository, with a password of its own.
struct Second(tempfile::TempDir);

impl Second {
    fn new() -> Self {
        let second = Self(tempfile::tempdir().unwrap());
        RusticRepository::init(&second.location(), &SecretString::from(OTHER)).unwrap();
        second
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("repository")
    }

    fn location(&self) -> Location {
        Location::Folder(self.path())
    }

    fn open(&self) -> RusticRepository {
        RusticRepository::open(&self.location(), &SecretString::from(OTHER)).unwrap()
    }

    fn restic(&self, arguments: &[&str]) -> String {
        let mut restic = Command::new("restic");
        restic.args(["--no-cache", "-r", self.path().to_str().unwrap()]).args(arguments);
        let output = restic.env("RESTIC_PASSWORD", OTHER).env("RESTIC_FROM_PASSWORD", PASSWORD).output().unwrap();
        assert!(output.status.success(), "restic {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Every file but locks, with its content.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let all = files(&self.path()).into_iter().filter(|file| !file.starts_with(self.path().join("locks")));
        all.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn copy(from: &RusticRepository, to: &RusticRepository, set: &str) -> plan::Result<SetCopy> {
    from.copy_set(&SetId(set.into()), to, &StopFlag::default(), &|_, _| {})
}

fn copied(from: &RusticRepository, to: &RusticRepository, set: &str) -> Carried {
    match copy(from, to, set).unwrap() {
        SetCopy::Done(carried) => carried,
        other => panic!("{other:?}"),
    }
}

fn is_whole(repository: &RusticRepository, sets: &[&str]) {
    let report = check(repository);
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
    assert_eq!(set_names(repository), sets);
}

#[test]
fn a_copy_is_the_same_set_and_what_sets_share_is_copied_once() {
    let (scene, second) = (Scene::new(), Second::new());
    let one = take(&scene.repository, "one", parts(1, 12, 1_500_000));
    let mut changed = parts(1, 12, 1_500_000);
    changed[5] = Part::bytes("tables/t1/000005", noise(99, 400_000));
    let two = take(&scene.repository, "two", changed);
    let before = disk_usage(&scene.path());

    let first = copied(&scene.again(), &second.open(), "one");
    assert_eq!(first.snapshots, 2);
    // No chunk is above 1 MiB, so each of the 12 files of 1.5 MB has two or more, by whatever polynomial.
    assert!(first.bytes > 17 << 20 && first.chunks >= 24, "{first:?}");
    let next = copied(&scene.again(), &second.open(), "two");
    assert!(next.snapshots == 2 && next.bytes < 1 << 20 && next.bytes >= 400_000, "{next:?}");
    assert!(disk_usage(&scene.path()) <= before, "nothing is written into the source");

    is_whole(&second.open(), &["one", "two"]);
    assert_eq!(second.open().manifests().unwrap(), scene.repository.manifests().unwrap());
    assert!(contents(&second.open(), &one).unwrap() == expected(parts(1, 12, 1_500_000)));
    assert!(contents(&second.open(), &two).unwrap() == contents(&scene.repository, &two).unwrap());
    // Under a key of its own.
    let packs =
        |folder: &Path| files(&folder.join("data")).into_iter().map(|file| file.file_name().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(packs(&second.path()).iter().all(|pack| !packs(&scene.path()).contains(pack)));

    second.restic(&["check", "--read-data"]);
    let snapshots = second.restic(&["snapshots", "--json"]);
    let snapshots: Vec<serde_json::Value> = serde_json::from_str(&snapshots).unwrap();
    assert_eq!(snapshots.len(), 4);
    assert!(snapshots.iter().any(|snapshot| snapshot["original"] == one.snapshot.as_str()));
    let target = second.0.path().join("restored");
    let id = snapshots.iter().find(|snapshot| snapshot["original"] == one.snapshot.as_str()).unwrap()["id"].as_str().unwrap();
    second.restic(&["restore", id, "--target", target.to_str().unwrap(), "--verify"]);
    let restored: Vec<_> =
        files(&target).iter().map(|file| (file.strip_prefix(&target).unwrap().to_owned(), fs::read(file).unwrap())).collect();
    assert!(restored == expected(parts(1, 12, 1_500_000)));

    // Again: nothing is written.
    let content = second.content();
    assert_eq!(copied(&scene.again(), &second.open(), "one"), Carried::default());
    assert!(second.content() == content);
}

#[test]
fn copies_of_copies_and_of_what_restic_made_are_the_same_sets() {
    let (scene, second, third) = (Scene::new(), Second::new(), Second::new());
    let kept = take(&scene.repository, "one", parts(1, 6, 300_000));
    let from = format!("--from-repo={}", scene.path().display());
    // restic's own copy is taken for what it is, and ours by restic.
    second.restic(&["copy", &from]);
    assert_eq!(copied(&scene.again(), &second.open(), "one"), Carried::default());
    copied(&second.open(), &third.open(), "one");
    let before = third.content();
    third.restic(&["copy", &from]);
    assert!(third.content() == before, "restic knows that it is there");
    for repository in [&second, &third] {
        is_whole(&repository.open(), &["one"]);
        assert!(contents(&repository.open(), &kept).unwrap() == expected(parts(1, 6, 300_000)));
    }
    // What restic has given other ids.
    scene.restic(&["tag", "--add", "kept"]);
    let fourth = Second::new();
    copied(&scene.again(), &fourth.open(), "one");
    is_whole(&fourth.open(), &["one"]);
    assert!(contents(&fourth.open(), &kept).unwrap() == expected(parts(1, 6, 300_000)));
    fourth.restic(&["check", "--read-data"]);
    // Into a repository that restic has made, with a polynomial and a size of chunks of its own.
    let fifth = Second(tempfile::tempdir().unwrap());
    fifth.restic(&["init"]);
    copied(&scene.again(), &fifth.open(), "one");
    is_whole(&fifth.open(), &["one"]);
    fifth.restic(&["check", "--read-data"]);
    take(&fifth.open(), "more", parts(1, 6, 300_000));
    is_whole(&fifth.open(), &["one", "more"]);
}

#[test]
fn a_damaged_set_is_not_copied_and_harms_no_other() {
    let (scene, second) = (Scene::new(), Second::new());
    take(&scene.repository, "good", parts(1, 6, 300_000));
    let packs = scene.files("data");
    take(&scene.repository, "bad", parts(2, 6, 300_000));
    let new = scene.files("data").into_iter().filter(|file| !packs.contains(file)).max_by_key(|file| fs::metadata(file).unwrap().len());
    let pack = new.unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    match copy(&scene.again(), &second.open(), "bad").unwrap() {
        SetCopy::Damaged(error) => {
            let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(error_text(&error).contains(&name), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(set_names(&second.open()).is_empty() && files(&second.path().join("snapshots")).is_empty());
    copied(&scene.again(), &second.open(), "good");
    is_whole(&second.open(), &["good"]);
    // A snapshot that is gone.
    let third = Second::new();
    let kept = take(&scene.repository, "gone", parts(3, 2, 1000));
    fs::remove_file(scene.path().join("snapshots").join(kept.snapshot.as_str())).unwrap();
    assert!(matches!(copy(&scene.again(), &third.open(), "gone").unwrap(), SetCopy::Damaged(_)));
    assert!(set_names(&third.open()).is_empty());
    assert!(matches!(copy(&scene.again(), &third.open(), "never").unwrap(), SetCopy::Gone));
}

#[test]
fn what_is_lost_there_is_brought_again() {
    let (scene, second) = (Scene::new(), Second::new());
    let kept = take(&scene.repository, "one", parts(1, 6, 600_000));
    copied(&scene.again(), &second.open(), "one");
    let largest = files(&second.path().join("data")).into_iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    fs::remove_file(largest).unwrap();
    assert!(!check(&second.open()).is_whole());
    let carried = copied(&scene.again(), &second.open(), "one");
    assert!(carried.snapshots == 0 && carried.bytes > 1 << 20, "{carried:?}");
    assert!(contents(&second.open(), &kept).unwrap() == expected(parts(1, 6, 600_000)));
    // A snapshot of a data set.
    let listed = second.restic(&["snapshots", "--tag", "data-set:system-database", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    fs::remove_file(second.path().join("snapshots").join(listed[0]["id"].as_str().unwrap())).unwrap();
    assert!(second.open().damaged().unwrap().iter().any(|damaged| damaged.set == Some(SetId("one".into()))));
    assert_eq!(copied(&scene.again(), &second.open(), "one").snapshots, 1);
    assert!(check(&second.open()).sets.iter().all(|set| set.problems.is_empty()));
}

#[test]
fn another_set_of_the_same_id_is_never_replaced() {
    let (scene, second) = (Scene::new(), Second::new());
    take(&scene.repository, "one", parts(1, 2, 1000));
    take(&second.open(), "one", parts(2, 2, 1000));
    let before = second.content();
    assert_eq!(copy(&scene.again(), &second.open(), "one").unwrap_err().class(), Class::NeedsPerson);
    assert!(second.content() == before);
    assert!(scene.again().is_same_as(&scene.repository) && !scene.again().is_same_as(&second.open()));
}

/// Does something, once, when so many bytes have passed.
fn when(passed: u64, then: impl Fn()) -> impl Fn(DataSetName, u64) {
    let left = Cell::new(passed);
    move |_, bytes| {
        let is_now = left.get() > 0 && left.get() <= bytes;
        left.set(left.get().saturating_sub(bytes));
        if is_now {
            then();
        }
    }
}

const FROM: &str = "REPOSITORY_TEST_FROM";
const TO: &str = "REPOSITORY_TEST_TO";
const PARTS: u64 = 90;

/// Not a test of its own: the process that is killed. Says when more than half is copied, and waits for ever.
#[test]
#[ignore = "started by the test beside it"]
fn child_that_copies() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM), std::env::var(TO)) else { return };
    let from = RusticRepository::open(&Location::Folder(from.into()), &password()).unwrap();
    let to = RusticRepository::open(&Location::Folder(to.into()), &SecretString::from(OTHER)).unwrap();
    let half = || {
        writeln!(std::io::stderr(), "half").unwrap();
        loop {
            std::thread::park();
        }
    };
    from.copy_set(&SetId("one".into()), &to, &StopFlag::default(), &when(60 << 20, half)).unwrap();
}

#[test]
fn after_kill_9_there_is_no_set_and_the_next_copy_goes_on() {
    let (scene, second) = (Scene::new(), Second::new());
    let all = || (0..PARTS).map(|number| Part::bytes(format!("t/{number:06}"), noise(31_000 + number, 1 << 20))).collect::<Vec<_>>();
    let kept = take(&scene.repository, "one", all());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "copying::child_that_copies", "--ignored", "--nocapture"])
        .envs([(FROM, scene.path()), (TO, second.path())])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "half"), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(set_names(&second.open()).is_empty() && files(&second.path().join("snapshots")).is_empty());
    assert!(!files(&second.path().join("data")).is_empty());

    let carried = copied(&scene.again(), &second.open(), "one");
    // Two packs may have been in memory, and one half written.
    assert!(carried.bytes < (PARTS << 20) - (16 << 20), "{carried:?}");
    assert!(contents(&second.open(), &kept).unwrap() == expected(all()));
    let report = check(&second.open());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(set_names(&second.open()), ["one"]);
    second.restic(&["check", "--read-data"]);
}

#[test]
fn a_signal_ends_a_copy_and_leaves_no_set() {
    let (scene, second) = (Scene::new(), Second::new());
    take(&scene.repository, "one", parts(1, 30, 1 << 20));
    let stop = StopFlag::default();
    let raised = stop.clone();
    let seen = when(10 << 20, || raised.raise());
    let error = scene.again().copy_set(&SetId("one".into()), &second.open(), &stop, &seen).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");
    assert!(set_names(&second.open()).is_empty());
    assert!(files(&second.path().join("locks")).is_empty() && scene.files("locks").len() <= 1, "locks are given back");
    copied(&scene.again(), &second.open(), "one");
    is_whole(&second.open(), &["one"]);
}

#[test]
fn two_copies_at_once_make_one_set() {
    let (scene, second) = (Scene::new(), Second::new());
    let kept = take(&scene.repository, "one", parts(1, 20, 400_000));
    take(&scene.repository, "two", parts(2, 4, 400_000));
    let begin = Arc::new(Barrier::new(2));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (from, to, begin) = (scene.again(), second.open(), Arc::clone(&begin));
            scope.spawn(move || {
                begin.wait();
                copied(&from, &to, "one");
                copied(&from, &to, "two");
            });
        }
    });
    assert_eq!(set_names(&second.open()), ["one", "two"]);
    assert!(check(&second.open()).is_whole());
    assert!(contents(&second.open(), &kept).unwrap() == expected(parts(1, 20, 400_000)));
    second.restic(&["check", "--read-data"]);
    // Both go with their set, whatever there is twice.
    let mut options = forget_options(true, true);
    options.at_once = true;
    second.open().forget(&repository::Retention { last: 1, ..Default::default() }, &options).unwrap();
    assert_eq!(set_names(&second.open()), ["two"]);
    let left: Vec<serde_json::Value> = serde_json::from_str(&second.restic(&["snapshots", "--json"])).unwrap();
    assert!(left.iter().all(|snapshot| snapshot["tags"].as_array().unwrap().contains(&"set:two".into())), "{left:?}");
    assert!(check(&second.open()).is_whole());
}

#[test]
fn while_a_set_is_copied_nobody_removes_what_was_stored() {
    let (scene, second) = (Scene::new(), Second::new());
    take(&scene.repository, "one", parts(1, 40, 1 << 20));
    take(&second.open(), "own", parts(5, 4, 100_000));
    let (other_from, other_to) = (scene.again(), second.open());
    let prune = |repository: &RusticRepository, at_once: bool| {
        let mut options = forget_options(true, true);
        options.at_once = at_once;
        repository.forget(&repository::Retention { last: 9, ..Default::default() }, &options)
    };
    let looked = Cell::new(false);
    let meanwhile = || {
        looked.set(true);
        // At once: refused on both sides. In two steps: put off where something is stored.
        for repository in [&other_from, &other_to] {
            assert_eq!(prune(repository, true).unwrap_err().class(), Class::Locked);
        }
        assert!(prune(&other_to, false).unwrap().prune.unwrap().postponed.unwrap().contains("copy of set one"));
    };
    // This scene still holds the lock of nothing: the set that was taken is finished.
    scene.again().copy_set(&SetId("one".into()), &second.open(), &StopFlag::default(), &when(20 << 20, meanwhile)).unwrap();
    assert!(looked.get(), "nobody looked meanwhile");
    is_whole(&second.open(), &["one", "own"]);
}

#[test]
fn from_a_folder_into_a_bucket_and_back() {
    let (scene, second, service) = (Scene::new(), Second::new(), Service::start());
    let kept = take(&scene.repository, "one", parts(1, 20, 1 << 20));
    RusticRepository::init(&service.location(), &SecretString::from(OTHER)).unwrap();
    let bucket = || RusticRepository::open(&service.location(), &SecretString::from(OTHER)).unwrap();
    copied(&scene.again(), &bucket(), "one");
    is_whole(&bucket(), &["one"]);
    copied(&bucket(), &second.open(), "one");
    is_whole(&second.open(), &["one"]);
    assert!(contents(&second.open(), &kept).unwrap() == expected(parts(1, 20, 1 << 20)));
}

#[test]
fn what_stands_beside_a_set_goes_along() {
    let (scene, second) = (Scene::new(), Second::new());
    for set in ["one", "two"] {
        take(&scene.repository, set, parts(1, 2, 1000));
    }
    let put = |name: &str, bytes: &[u8]| scene.repository.put_record("proof", name, bytes).unwrap();
    put("one:run1", b"1");
    put("two:run2", b"2");
    scene.repository.put_record("protection", "one", b"p").unwrap();
    scene.repository.put_record("need", "run1", b"n").unwrap();
    copied(&scene.again(), &second.open(), "one");
    let one = [SetId("one".into())];
    assert_eq!(scene.again().copy_records(&second.open(), &one, &one).unwrap(), 2);
    let names = |kind: &str| second.open().records(kind).unwrap().into_iter().map(|record| (record.name, record.bytes)).collect::<Vec<_>>();
    assert_eq!(names("proof"), [("one:run1".to_owned(), b"1".to_vec())]);
    assert_eq!(names("protection"), [("one".to_owned(), b"p".to_vec())]);
    assert!(names("need").is_empty());
    // Later: what is new or was said anew, and what is there stays.
    put("one:run1", b"1 again");
    put("one:run3", b"3");
    second.open().remove_record("protection", "one").unwrap();
    assert_eq!(scene.again().copy_records(&second.open(), &one, &[]).unwrap(), 2);
    assert_eq!(scene.again().copy_records(&second.open(), &one, &[]).unwrap(), 0);
    let mut proofs = names("proof");
    proofs.sort();
    assert_eq!(proofs, [("one:run1".to_owned(), b"1 again".to_vec()), ("one:run3".to_owned(), b"3".to_vec())]);
    assert!(names("protection").is_empty());
}
