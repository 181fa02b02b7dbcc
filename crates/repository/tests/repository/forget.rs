//! Retention and prune remove what nobody needs, and nothing else.

use std::collections::BTreeSet;
use std::sync::mpsc;

use jiff::{Span, Timestamp};
use plan::Class;
use plan::ids::RunId;
use plan::ports::Repository as _;
use repository::{ForgetOptions, Retention};

use crate::scene::*;

fn keep_last(last: u32) -> Retention {
    Retention { last, ..Retention::default() }
}

fn take_at(scene: &Scene, set: &str, hours_ago: i64, seed: u64) -> plan::ports::Kept {
    let kept = scene.repository.keep(&context(), &keep_of(set), Script::parts(parts(seed, 4, 1 << 20))).unwrap();
    let mut manifest = manifest(set, &kept);
    manifest.finished_at = Timestamp::now() - Span::new().hours(hours_ago);
    scene.repository.write_manifest(&manifest).unwrap();
    kept
}

fn data_files(scene: &Scene) -> BTreeSet<std::path::PathBuf> {
    scene.files("data").into_iter().collect()
}

#[test]
fn without_a_rule_nothing_is_forgotten() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let error = scene.repository.forget(&Retention::default(), &forget_options(true, true)).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert_eq!(set_names(&scene.repository), ["one"]);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let scene = Scene::new();
    for (set, hours, seed) in [("one", 50, 1), ("two", 26, 2), ("three", 1, 3)] {
        take_at(&scene, set, hours, seed);
    }
    let before = files(&scene.path());
    let mut options = forget_options(false, true);
    options.at_once = true;
    let report = scene.repository.forget(&keep_last(2), &options).unwrap();
    assert_eq!(report.removed.iter().map(|set| set.set.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(
        report.kept.iter().map(|set| (set.set.as_str(), set.reasons.join(","))).collect::<Vec<_>>(),
        [("two", "last 2".into()), ("three", "last 1,newest whole set".into())]
    );
    assert!(report.prune.as_ref().unwrap().deleted_bytes > 3 << 20, "{report:?}");
    assert_eq!(files(&scene.path()), before);
}

#[test]
fn forgotten_sets_are_gone_and_the_others_whole() {
    let scene = Scene::new();
    take_at(&scene, "one", 50, 1);
    let two = take_at(&scene, "two", 26, 2);
    let options = ForgetOptions { at_once: true, ..forget_options(true, true) };
    let report = scene.repository.forget(&keep_last(1), &options).unwrap();
    assert!(report.is_applied && report.prune.as_ref().unwrap().deleted_bytes > 3 << 20, "{report:?}");
    assert_eq!(set_names(&scene.repository), ["two"]);
    assert!(contents(&scene.repository, &two).unwrap() == expected(parts(2, 4, 1 << 20)));
    let size: u64 = scene.files("data").iter().map(|file| std::fs::metadata(file).unwrap().len()).sum();
    assert!(size < 5 << 20, "{size}");
    let report = check(&scene.again());
    assert!(report.is_whole() && report.notes.is_empty(), "{report:?}");
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn a_prune_beside_others_deletes_nothing_at_once() {
    let scene = Scene::new();
    take_at(&scene, "one", 50, 1);
    take_at(&scene, "two", 26, 2);
    let before = data_files(&scene);
    scene.repository.forget(&keep_last(1), &forget_options(true, true)).unwrap();
    assert!(before.is_subset(&data_files(&scene)), "packs were deleted while others may use them");
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn safety_copies_stay_for_a_week() {
    let scene = Scene::new();
    for (set, days) in [("old", 8), ("young", 6)] {
        let kept = scene.repository.keep(&context(), &keep_of(set), Script::parts(parts(days, 2, 1000))).unwrap();
        let mut manifest = manifest(set, &kept);
        manifest.safety_for = Some(RunId("run".into()));
        manifest.finished_at = Timestamp::now() - Span::new().hours(24 * days as i64);
        scene.repository.write_manifest(&manifest).unwrap();
    }
    take_at(&scene, "set", 300, 1);
    scene.repository.forget(&keep_last(1), &forget_options(true, false)).unwrap();
    assert_eq!(set_names(&scene.repository), ["set", "young"]);
}

#[test]
fn leftovers_of_interrupted_backups_go_when_they_are_old() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    scene.repository.keep(&context(), &keep_of("interrupted"), Script::parts(parts(2, 2, 1000))).unwrap();
    assert_eq!(scene.repository.forget(&keep_last(1), &forget_options(true, false)).unwrap().orphan_snapshots, 0);
    assert_eq!(scene.files("snapshots").len(), 3);
    let mut options = forget_options(true, false);
    options.now = options.now.checked_add(Span::new().hours(25)).unwrap();
    assert_eq!(scene.repository.forget(&keep_last(1), &options).unwrap().orphan_snapshots, 1);
    assert_eq!(scene.files("snapshots").len(), 2);
    assert!(check(&scene.repository).is_whole());
}

/// A backup that dumps what the set "old" has, and during which `meanwhile` happens: after its index was loaded, before its first part.
///
/// Its lock is taken away: so it was with version 0.1.0, which took none, and so it is after `restic unlock --remove-all`.
fn backup_during(scene: &Scene, meanwhile: impl FnOnce()) -> plan::Result<plan::ports::Kept> {
    let other = scene.again();
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let backup = scope.spawn(move || {
            let mut all = parts(1, 4, 1 << 20).into_iter();
            let mut waited = false;
            let dump = Script::new(move || {
                if !waited {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    waited = true;
                }
                Ok(all.next())
            });
            let kept = other.keep(&context(), &keep_of("new"), dump)?;
            other.write_manifest(&manifest("new", &kept))?;
            Ok(kept)
        });
        has_begun.recv().unwrap();
        scene.files("locks").iter().for_each(|lock| std::fs::remove_file(lock).unwrap());
        meanwhile();
        go_on.send(()).unwrap();
        backup.join().unwrap()
    })
}

fn old_and_kept() -> Scene {
    let scene = Scene::new();
    take_at(&scene, "old", 50, 1);
    take_at(&scene, "kept", 26, 2);
    scene
}

#[test]
fn a_backup_during_forget_and_prune_loses_nothing() {
    // With 0 hours the packs that the backup is about to reuse are marked for deletion under its hands.
    for backup_hours_max in [0, repository::BACKUP_HOURS_MAX] {
        let scene = old_and_kept();
        let kept = backup_during(&scene, || {
            let report = scene.repository.forget(&keep_last(1), &ForgetOptions { backup_hours_max, ..forget_options(true, true) }).unwrap();
            assert_eq!(report.prune.as_ref().unwrap().marked_bytes > 3 << 20, backup_hours_max == 0, "{report:?}");
        });
        assert!(contents(&scene.again(), &kept.unwrap()).unwrap() == expected(parts(1, 4, 1 << 20)));
        assert_eq!(set_names(&scene.repository), ["kept", "new"]);
        let report = check(&scene.again());
        assert!(report.is_whole(), "{report:?}");
        scene.restic(&["check", "--read-data"]);
    }
}

#[test]
fn a_backup_whose_packs_were_deleted_under_it_fails_and_the_next_is_whole() {
    let scene = old_and_kept();
    let failed = backup_during(&scene, || {
        for _ in 0..2 {
            scene.repository.forget(&keep_last(1), &ForgetOptions { backup_hours_max: 0, ..forget_options(true, true) }).unwrap();
        }
    });
    failed.unwrap_err();
    assert_eq!(set_names(&scene.repository), ["kept"]);
    let kept = take(&scene.again(), "next", parts(1, 4, 1 << 20));
    assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(1, 4, 1 << 20)));
    let report = check(&scene.again());
    assert!(report.is_whole(), "{report:?}");
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn what_a_prune_has_marked_a_later_one_deletes() {
    let scene = old_and_kept();
    let options = ForgetOptions { backup_hours_max: 0, ..forget_options(true, true) };
    let size = || data_files(&scene).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum::<u64>();
    scene.repository.forget(&keep_last(1), &options).unwrap();
    assert!(size() > 7 << 20);
    let report = scene.repository.forget(&keep_last(1), &options).unwrap();
    assert!(size() < 5 << 20 && report.prune.as_ref().unwrap().deleted_bytes > 3 << 20, "{report:?}");
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn while_a_backup_holds_its_lock_nothing_is_marked_or_deleted() {
    let scene = old_and_kept();
    let other = scene.again();
    let interrupted = other.keep(&context(), &keep_of("under way"), Script::parts(parts(9, 2, 1000))).unwrap();
    let before = data_files(&scene);
    // By this clock the backup began two days ago.
    let mut options = ForgetOptions { backup_hours_max: 0, ..forget_options(true, true) };
    options.now = options.now.checked_add(Span::new().hours(48)).unwrap();
    let report = scene.repository.forget(&keep_last(1), &options).unwrap();
    let prune = report.prune.unwrap();
    assert!(prune.postponed.as_ref().unwrap().contains("backup of set under way"), "{prune:?}");
    assert_eq!((report.orphan_snapshots, prune.marked_bytes, prune.deleted_bytes), (0, 0, 0));
    assert_eq!(data_files(&scene), before);
    assert_eq!(set_names(&scene.repository), ["kept"]);
    let error = scene.repository.forget(&keep_last(1), &ForgetOptions { at_once: true, ..options.clone() }).unwrap_err();
    assert_eq!(error.class(), Class::Locked);

    other.write_manifest(&manifest("under way", &interrupted)).unwrap();
    assert!(scene.repository.forget(&keep_last(2), &options).unwrap().prune.unwrap().postponed.is_none());
    assert!(contents(&scene.again(), &interrupted).unwrap() == expected(parts(9, 2, 1000)));
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn many_backups_and_prunes_at_once_lose_nothing() {
    let scene = Scene::new();
    take_at(&scene, "first", 50, 1);
    std::thread::scope(|scope| {
        for worker in 0..3_u64 {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..4 {
                    let repository = scene.again();
                    let set = format!("w{worker}-{round}");
                    let kept = take(&repository, &set, parts(round, 4, 1 << 20));
                    assert!(contents(&repository, &kept).unwrap() == expected(parts(round, 4, 1 << 20)), "{set}");
                }
            });
        }
        let scene = &scene;
        scope.spawn(move || {
            for _ in 0..6 {
                let keep_all = Retention { last: 100, ..Retention::default() };
                if let Err(error) = scene.again().forget(&keep_all, &forget_options(true, true)) {
                    assert_eq!(error.class(), Class::Transient, "{error:?}");
                }
            }
        });
    });
    let report = check(&scene.again());
    assert!(report.is_whole() && report.sets.len() == 13, "{report:?}");
    scene.restic(&["check", "--read-data"]);
}
