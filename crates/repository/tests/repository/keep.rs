//! A dump is kept whole or not at all.

use std::io::{Cursor, Read};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::ports::{Content, Part, Repository as _};
use plan::{Class, Error};

use crate::scene::*;

/// Nothing of a failed dump is seen by anyone, and the repository works afterwards.
fn leaves_nothing(scene: &Scene, dump: Box<Script>) -> Error {
    let error = scene.repository.keep(&context(), &keep_of("failed"), dump).expect_err("the dump must fail");
    assert!(scene.files("snapshots").is_empty(), "a snapshot was left");
    assert!(scene.repository.manifests().unwrap().is_empty());
    scene.restic(&["check"]);
    take(&scene.repository, "next", parts(99, 3, 100_000));
    assert_eq!(set_names(&scene.repository), ["next"]);
    error
}

#[test]
fn a_broken_stream_leaves_no_set() {
    let scene = Scene::new();
    let mut all = parts(1, 8, 1 << 20);
    all.push(stream("tables/t9/x", 4 << 20, Cursor::new(noise(5, 2 << 20)).chain(Broken)));
    all.push(Part::bytes("tables/t9/y", noise(6, 1 << 20)));
    let error = leaves_nothing(&scene, Script::parts(all));
    assert!(error_text(&error).contains("connection reset by test"), "{error:?}");
    assert!(error_text(&error).contains("tables/t9/x"), "{error:?}");
}

#[test]
fn a_failed_producer_leaves_no_set() {
    let scene = Scene::new();
    let mut left = parts(1, 20, 1 << 20).into_iter();
    let dump = Script::new(move || {
        left.next().map_or_else(
            || Err(Error::failed("failed to read table accounts").because(std::io::Error::other("server has gone away"))),
            |part| Ok(Some(part)),
        )
    });
    let error = leaves_nothing(&scene, dump);
    assert!(error_text(&error).contains("server has gone away"), "{error:?}");
}

#[test]
fn a_bad_verdict_leaves_no_set() {
    let scene = Scene::new();
    let mut dump = Script::parts(parts(1, 4, 1 << 20));
    dump.finish = Box::new(|| Err(Error::failed("pg_dump exited with 1")));
    let error = leaves_nothing(&scene, dump);
    assert!(error_text(&error).contains("pg_dump exited with 1"), "{error:?}");
}

#[test]
fn a_short_stream_leaves_no_set() {
    let scene = Scene::new();
    let error = leaves_nothing(&scene, Script::parts(vec![stream("a", 1001, Cursor::new(vec![7; 1000]))]));
    assert!(error_text(&error).contains("1 of 1001 bytes are missing"), "{error:?}");
}

#[test]
fn a_long_stream_leaves_no_set() {
    let scene = Scene::new();
    let error = leaves_nothing(&scene, Script::parts(vec![stream("a", 999, Cursor::new(vec![7; 1000]))]));
    assert!(error_text(&error).contains("longer than 999"), "{error:?}");
}

#[test]
fn a_stream_that_should_be_empty_and_is_not_leaves_no_set() {
    let scene = Scene::new();
    leaves_nothing(&scene, Script::parts(vec![stream("a", 0, Cursor::new(vec![7; 10]))]));
}

#[test]
fn a_panic_of_a_stream_leaves_no_set() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> {
            panic!("stream went mad")
        }
    }
    let scene = Scene::new();
    let error = leaves_nothing(&scene, Script::parts(vec![stream("a", 10, Panics)]));
    assert!(error_text(&error).contains("stream went mad"), "{error:?}");
}

#[test]
fn a_panic_of_a_producer_leaves_no_set() {
    let scene = Scene::new();
    let error = leaves_nothing(&scene, Script::new(|| panic!("producer went mad")));
    assert!(error_text(&error).contains("producer went mad"), "{error:?}");
}

#[test]
fn parts_out_of_order_leave_no_set() {
    let scene = Scene::new();
    let error = leaves_nothing(&scene, Script::parts(vec![Part::bytes("b", vec![1]), Part::bytes("a", vec![1])]));
    assert!(error_text(&error).contains("does not come after"), "{error:?}");
}

#[test]
fn the_stop_flag_leaves_no_set() {
    let scene = Scene::new();
    let context = context();
    let stop = context.stop.clone();
    let mut left = parts(1, 20, 1 << 20).into_iter();
    let dump = Script::new(move || {
        if left.len() == 10 {
            stop.raise();
        }
        Ok(left.next())
    });
    let error = scene.repository.keep(&context, &keep_of("stopped"), dump).unwrap_err();
    assert_eq!(error.class(), Class::Interrupted);
    assert!(scene.files("snapshots").is_empty());
}

#[test]
fn what_a_failed_dump_has_stored_is_reused() {
    let scene = Scene::new();
    let mut all = parts(1, 40, 1 << 20);
    all.push(stream("tables/t9/x", 10, Broken));
    scene.repository.keep(&context(), &keep_of("failed"), Script::parts(all)).unwrap_err();
    let kept = take(&scene.repository, "next", parts(1, 40, 1 << 20));
    assert_eq!(kept.bytes, 40 << 20);
    assert!(kept.stored_bytes < 10 << 20, "{} bytes were stored again", kept.stored_bytes);
}

#[test]
fn content_comes_back_as_it_was_given() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "s", parts(3, 30, 777_777));
    assert_eq!((kept.parts, kept.bytes), (30, 30 * 777_777));
    assert!(contents(&scene.repository, &kept).unwrap() == expected(parts(3, 30, 777_777)));
    let snapshot = scene.repository.open(&kept.snapshot).unwrap();
    let entry = snapshot.find("tables/t2/000017".as_ref()).unwrap();
    assert!(snapshot.read_all(&entry).unwrap() == noise(3017, 777_777));
    assert!(snapshot.find("tables/t2/nothing".as_ref()).is_err());
    assert!(snapshot.read(&snapshot.find("tables".as_ref()).unwrap()).is_err());
}

#[test]
fn streams_that_trickle_and_empty_ones_come_back() {
    let scene = Scene::new();
    let all = vec![
        stream("a", 0, std::io::empty()),
        stream("b", 300_000, Trickle(Cursor::new(noise(1, 300_000)))),
        stream("c", 3 << 20, Cursor::new(noise(2, 3 << 20))),
    ];
    let kept = take(&scene.repository, "s", all);
    let found = contents(&scene.repository, &kept).unwrap();
    assert!(found == [("a".into(), vec![]), ("b".into(), noise(1, 300_000)), ("c".into(), noise(2, 3 << 20))]);
}

#[test]
fn a_second_backup_of_the_same_data_stores_almost_nothing() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 40, 1 << 20));
    let kept = take(&scene.again(), "two", parts(1, 40, 1 << 20));
    assert!(kept.stored_bytes < 100_000, "{}", kept.stored_bytes);
}

#[test]
fn two_backups_at_once_are_both_whole() {
    let scene = Scene::new();
    let other = scene.again();
    std::thread::scope(|scope| {
        let one = scope.spawn(|| take(&scene.repository, "one", parts(1, 60, 1 << 20)));
        let two = scope.spawn(|| take(&other, "two", parts(2, 60, 1 << 20)));
        // The same data at the same time, from the same opening.
        let three = scope.spawn(|| take(&other, "three", parts(2, 60, 1 << 20)));
        for (handle, seed) in [(one, 1), (two, 2), (three, 2)] {
            let kept = handle.join().unwrap();
            assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(seed, 60, 1 << 20)));
        }
    });
    let report = check(&scene.repository);
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.sets.len(), 3);
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn parts_in_memory_are_bounded() {
    let scene = Scene::new();
    let (made, held_max) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    struct Counted(Arc<AtomicU64>, u64);
    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(self.1 as usize);
            buffer[..length].fill(7);
            self.1 -= length as u64;
            Ok(length)
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (count, max) = (Arc::clone(&made), Arc::clone(&held_max));
    let mut number = 0;
    let dump = Script::new(move || {
        number += 1;
        if number > 500 {
            return Ok(None);
        }
        max.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Ok(Some(stream(&format!("{number:04}"), 100_000, Counted(Arc::clone(&count), 100_000))))
    });
    scene.repository.keep(&context(), &keep_of("s"), dump).unwrap();
    let bound = 4 * std::thread::available_parallelism().unwrap().get() as u64 + 8;
    assert!(held_max.load(Ordering::SeqCst) <= bound, "{held_max:?}");
    assert_eq!(made.load(Ordering::SeqCst), 0);
}

/// A small file system of its own, unmounted at the end.
pub struct Tmpfs(pub tempfile::TempDir);

impl Tmpfs {
    pub fn new(mebibytes: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(folder.path()).status();
        assert!(mounted.expect("mount").success());
        Self(folder)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.expect("umount").success());
    }
}

#[test]
fn a_full_disk_leaves_no_set_and_a_usable_repository() {
    let disk = Tmpfs::new(60);
    let location = repository::Location::Folder(disk.0.path().join("r"));
    repository::RusticRepository::init(&location, &password()).unwrap();
    let repository = repository::RusticRepository::open(&location, &password()).unwrap();
    take(&repository, "before", parts(1, 10, 1 << 20));
    let pulled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&pulled);
    let dump = Script::new(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        Ok((number < 400).then(|| Part::bytes(format!("{number:06}"), noise(7000 + number, 1 << 20))))
    });
    let error = repository.keep(&context(), &keep_of("full"), dump).unwrap_err();
    assert!(error_text(&error).contains("No space left"), "{error:?}");
    assert!(error_text(&error).contains("forget --keep-daily 7 --prune --now"), "{error:?}");
    assert!(pulled.load(Ordering::SeqCst) < 200, "the dump went on for long after the disk was full");
    assert_eq!(set_names(&repository), ["before"]);
    let grown = Command::new("mount").args(["-o", "remount,size=200m"]).arg(disk.0.path()).status().unwrap();
    assert!(grown.success());
    let kept = take(&repository, "after", parts(1, 20, 1 << 20));
    assert!(contents(&repository, &kept).unwrap() == expected(parts(1, 20, 1 << 20)));
    let report = check(&repository);
    assert!(report.is_whole(), "{report:?}");
}

#[test]
fn a_folder_that_is_gone_is_an_error_and_is_not_made_anew() {
    let scene = Scene::new();
    std::fs::rename(scene.path(), scene.folder.path().join("elsewhere")).unwrap();
    scene.repository.keep(&context(), &keep_of("s"), Script::parts(parts(1, 3, 1000))).unwrap_err();
    assert!(scene.repository.manifests().is_err());
    assert!(!scene.path().exists());
}

#[test]
fn kinds_of_entries_are_what_they_were() {
    let scene = Scene::new();
    let part = |path: &str, content| Part { content, ..Part::bytes(path, vec![]) };
    let all = vec![
        part("folder", Content::Folder),
        part("folder/fifo", Content::Fifo),
        part("folder/link", Content::Symlink("../nowhere".into())),
        part("folder/socket", Content::Socket),
        part("zero", Content::Bytes(vec![])),
    ];
    let kept = take(&scene.repository, "s", all);
    assert_eq!(kept.parts, 1);
    let snapshot = scene.repository.open(&kept.snapshot).unwrap();
    let kinds: Vec<_> =
        snapshot.entries().unwrap().map(|entry| entry.unwrap()).map(|entry| format!("{} {:?}", entry.path.display(), entry.kind)).collect();
    assert_eq!(kinds, ["folder Folder", "folder/fifo Fifo", "folder/link Symlink(\"../nowhere\")", "folder/socket Socket", "zero File"]);
}

/// Runs something that must end by itself: a queue that waits for its own reader would hang for ever.
fn within(seconds: u64, what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).ok();
    });
    if ended.recv_timeout(std::time::Duration::from_secs(seconds)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("{what} hangs");
    }
    thread.join().unwrap();
}

#[test]
fn parts_of_any_size_pass_and_never_wait_for_each_other() {
    for sizes in [[24, 24, 24, 24], [1, 48, 48, 1], [60, 1, 60, 1], [8, 41, 30, 50]] {
        within(120, "keeping large parts", move || {
            let scene = Scene::in_memory();
            // One of a size is enough: what repeats is stored once.
            let all = || {
                (0_u8..).zip(sizes).map(|(at, mib)| Part::bytes(format!("rows/b/{at}"), vec![at; (mib << 20) + usize::from(at)])).collect()
            };
            let kept = take(&scene.repository, "large", all());
            assert_eq!(kept.parts, 4);
            assert_eq!(kept.bytes, sizes.iter().sum::<usize>() as u64 * (1 << 20) + 6);
        });
    }
}
