//! What a prune frees and what it tells, down to the byte; with packs missing, with files of killed writers, on a volume that is full.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{Span, Timestamp};
use plan::ports::Repository as _;
use repository::{ForgetOptions, ForgetReport, Location, PruneReport, Retention, RusticRepository};

use crate::keep::Tmpfs;
use crate::scene::*;

fn keep_last(last: u32) -> Retention {
    Retention { last, ..Retention::default() }
}

fn take_at(repository: &RusticRepository, set: &str, hours_ago: i64, seed: u64) -> plan::ports::Kept {
    let kept = repository.keep(&context(), &keep_of(set), Script::parts(parts(seed, 4, 1 << 20))).unwrap();
    let mut manifest = manifest(set, &kept);
    manifest.finished_at = Timestamp::now() - Span::new().hours(hours_ago);
    repository.write_manifest(&manifest).unwrap();
    kept
}

fn now(apply: bool) -> ForgetOptions {
    ForgetOptions { at_once: true, ..forget_options(apply, true) }
}

fn pruned(report: ForgetReport) -> PruneReport {
    report.prune.unwrap()
}

fn age(file: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(3600 * hours);
    std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
}

/// Files of writers that were killed: one of today, one of the day before yesterday.
fn temporaries(scene: &Scene) -> [PathBuf; 2] {
    let id = "ab".repeat(32);
    let files = [format!("data/ab/{id}-tmp-17-3"), format!("index/{id}-tmp-8431")].map(|path| scene.path().join(path));
    files.iter().for_each(|file| std::fs::write(file, noise(1, 70_000)).unwrap());
    age(&files[1], 48);
    files
}

/// Two sets, one of which no rule keeps; what an interrupted backup stored; files of killed writers.
fn well_used() -> Scene {
    let scene = Scene::new();
    take_at(&scene.repository, "old", 50, 1);
    take_at(&scene.repository, "kept", 26, 2);
    scene.again().keep(&context(), &keep_of("interrupted"), Script::parts(parts(3, 3, 1 << 20))).unwrap();
    temporaries(&scene);
    scene
}

#[test]
fn the_numbers_add_up_to_the_size_on_disk() {
    for at_once in [false, true] {
        let scene = well_used();
        let options = |apply| ForgetOptions { at_once, ..forget_options(apply, true) };
        let before = disk_usage(&scene.path());
        let planned = pruned(scene.repository.forget(&keep_last(1), &options(false)).unwrap());
        assert_eq!(planned.space.total_bytes(), before);
        let done = pruned(scene.repository.forget(&keep_last(1), &options(true)).unwrap());
        let after = disk_usage(&scene.path());
        assert_eq!(done.space.total_bytes(), after, "{done:?}");
        assert_eq!(done.space.free_bytes, 0);
        assert_eq!((planned.deleted_bytes, planned.marked_bytes), (done.deleted_bytes, done.marked_bytes));
        if at_once {
            assert!(planned.space.free_bytes > 4 << 20 && after + (4 << 20) < before, "{planned:?}");
            // The index is written anew, and what is in use is what was planned.
            assert!((before - after).abs_diff(planned.space.free_bytes) < 4096, "{before} {after} {planned:?}");
            assert_eq!((done.space.young_bytes, done.space.marked_bytes, done.space.temporary_bytes), (0, 0, 0));
        } else {
            // All that is in the repository is younger than a day.
            assert_eq!((planned.marked_bytes, planned.deleted_bytes), (0, 70_000));
            assert!(planned.space.young_bytes > 4 << 20 && planned.space.temporary_bytes == 70_000, "{planned:?}");
            assert_eq!(done.space.young_bytes, planned.space.young_bytes);
        }
        assert!(done.space.used_bytes > 7 << 20, "{done:?}");
        assert!(check(&scene.again()).is_whole());
        scene.restic(&["check", "--read-data"]);
    }
}

#[test]
fn what_is_marked_is_told_until_it_is_deleted() {
    let scene = well_used();
    let options = ForgetOptions { backup_hours_max: 0, ..forget_options(true, true) };
    let first = pruned(scene.repository.forget(&keep_last(1), &options).unwrap());
    assert!(first.marked_bytes > 4 << 20 && first.space.marked_bytes == first.marked_bytes, "{first:?}");
    assert_eq!(first.space.total_bytes(), disk_usage(&scene.path()));
    let second = pruned(scene.repository.forget(&keep_last(1), &options).unwrap());
    assert_eq!((second.deleted_bytes, second.space.marked_bytes), (first.marked_bytes, 0));
    assert_eq!(second.space.total_bytes(), disk_usage(&scene.path()));
}

#[test]
fn files_of_killed_writers_are_told_and_removed_when_they_are_old() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let [young, old] = temporaries(&scene);
    let report = check(&scene.repository);
    assert!(report.is_whole() && report.notes.iter().any(|note| note.contains("2 temporary files")), "{report:?}");
    let report = pruned(scene.repository.forget(&keep_last(1), &forget_options(true, true)).unwrap());
    assert_eq!((report.temporary_files, report.deleted_bytes), (1, 70_000));
    assert!(young.exists() && !old.exists());
    // Under the only lock none of them can be in use.
    pruned(scene.repository.forget(&keep_last(1), &now(true)).unwrap());
    assert!(!young.exists());
    assert!(check(&scene.repository).notes.is_empty());
}

/// Removes or cuts a pack that only the set "old" needs, once the set is gone or while it is there.
fn damage_a_pack_of_old(scene: &Scene, cut: bool) {
    let kept = scene.files("data");
    take_at(&scene.repository, "old", 50, 1);
    let packs: Vec<_> = scene.files("data").into_iter().filter(|file| !kept.contains(file)).collect();
    let largest = packs.iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap();
    if cut {
        std::fs::File::options().write(true).open(largest).unwrap().set_len(1000).unwrap();
    } else {
        std::fs::remove_file(largest).unwrap();
    }
}

#[test]
fn a_pack_that_is_missing_and_that_no_set_needs_stands_in_nobodys_way() {
    for (at_once, cut) in [(false, false), (false, true), (true, false), (true, true)] {
        let scene = Scene::new();
        let kept = take_at(&scene.repository, "kept", 26, 2);
        damage_a_pack_of_old(&scene, cut);
        // It is damaged, and nothing else is; a rule would not keep it.
        let report = scene.repository.forget(&keep_last(1), &ForgetOptions { at_once, ..forget_options(true, true) }).unwrap();
        assert_eq!(report.removed.len(), 1, "{report:?}");
        assert!(report.removed[0].reasons[0].starts_with("damaged: "), "{report:?}");
        // The first prune forgets a pack that is not there; one with a wrong size is marked as any other.
        let report = scene.again().forget(&keep_last(1), &ForgetOptions { at_once, ..forget_options(true, true) }).unwrap();
        assert_eq!(pruned(report).space.total_bytes(), disk_usage(&scene.path()));
        assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(2, 4, 1 << 20)));
        if at_once || !cut {
            assert!(check(&scene.again()).is_whole());
            scene.restic(&["check", "--read-data"]);
        }
    }
}

#[test]
fn a_pack_that_is_missing_and_that_a_set_needs_harms_only_that_set() {
    for at_once in [false, true] {
        let scene = Scene::new();
        let kept = take_at(&scene.repository, "kept", 26, 2);
        damage_a_pack_of_old(&scene, false);
        scene.again().keep(&context(), &keep_of("interrupted"), Script::parts(parts(3, 3, 1 << 20))).unwrap();
        let scene_again = scene.again();
        let report = scene_again.forget(&keep_last(2), &ForgetOptions { at_once, ..forget_options(true, true) }).unwrap();
        assert_eq!(report.removed, []);
        assert!(report.kept[0].reasons[0].starts_with("damaged, counts for no rule: "), "{report:?}");
        let prune = pruned(report);
        assert!(prune.notes.iter().any(|note| note.contains("threescale-backup repair")), "{prune:?}");
        assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(2, 4, 1 << 20)));
        take(&scene.again(), "new", parts(1, 4, 1 << 20));
    }
}

#[test]
fn many_small_packs_become_few_and_nothing_is_lost() {
    let scene = Scene::new();
    let kept: Vec<_> = (0..40).map(|number| take(&scene.repository, &format!("s{number:02}"), parts(number, 3, 200_000))).collect();
    let before = scene.files("data").len();
    let report = pruned(scene.repository.forget(&keep_last(100), &now(true)).unwrap());
    assert!(report.repacked_bytes > 16 << 20, "{report:?}");
    assert!(scene.files("data").len() < before / 2, "{before} {}", scene.files("data").len());
    assert!(scene.files("index").len() <= 2);
    assert_eq!(report.space.total_bytes(), disk_usage(&scene.path()));
    let repository = scene.again();
    for (number, kept) in (0..).zip(&kept) {
        assert!(contents(&repository, kept).unwrap() == expected(parts(number, 3, 200_000)), "{number}");
    }
    assert!(check(&repository).is_whole());
    scene.restic(&["check", "--read-data"]);
}

#[test]
fn packs_that_are_mostly_unused_are_written_anew() {
    let scene = Scene::new();
    // Sets that share packs: the second one needs one part of four.
    let all = || parts(1, 8, 1 << 20);
    take_at(&scene.repository, "old", 50, 2);
    let kept = scene.repository.keep(&context(), &keep_of("many"), Script::parts(all())).unwrap();
    let mut many = manifest("many", &kept);
    many.finished_at = Timestamp::now() - Span::new().hours(40);
    scene.repository.write_manifest(&many).unwrap();
    let few = take(&scene.repository, "few", all().into_iter().step_by(4).collect());
    for at_once in [false, true] {
        let options = ForgetOptions { at_once, backup_hours_max: 0, ..forget_options(true, true) };
        pruned(scene.again().forget(&keep_last(1), &options).unwrap());
        assert!(contents(&scene.again(), &few).unwrap() == expected(all().into_iter().step_by(4).collect()));
        assert!(check(&scene.again()).is_whole());
        scene.restic(&["check", "--read-data"]);
    }
    assert!(disk_usage(&scene.path()) < 3 << 20, "{}", disk_usage(&scene.path()));
}

/// A repository that fills its volume to the last byte.
fn full() -> (Tmpfs, Location, plan::ports::Kept) {
    let disk = Tmpfs::new(40);
    let location = Location::Folder(disk.0.path().join("r"));
    RusticRepository::init(&location, &password()).unwrap();
    let repository = RusticRepository::open(&location, &password()).unwrap();
    take_at(&repository, "old", 50, 1);
    let kept = take_at(&repository, "kept", 26, 2);
    let more = repository.keep(&context(), &keep_of("full"), Script::parts(parts(3, 60, 1 << 20)));
    assert!(error_text(&more.unwrap_err()).contains("--prune --now"));
    drop(repository);
    // Not one block is left.
    let mut rest = std::fs::File::create(disk.0.path().join("rest")).unwrap();
    while std::io::Write::write_all(&mut rest, &[0; 4096]).is_ok() {}
    let mut number = 0;
    while std::fs::write(disk.0.path().join(format!("rest{number}")), [0; 1]).is_ok() {
        number += 1;
    }
    (disk, location, kept)
}

#[test]
fn prune_now_frees_a_volume_that_is_full_to_the_last_block() {
    // With a set that goes, and with none: then there are only the packs of the backup that failed.
    for last in [1, 2] {
        let (disk, location, kept) = full();
        let root = disk.0.path().join("r");
        let before = disk_usage(&root);
        let repository = RusticRepository::open(&location, &password()).unwrap();
        let report = pruned(repository.forget(&keep_last(last), &now(true)).unwrap());
        let after = disk_usage(&root);
        assert!(after + (10 << 20) < before, "{before} {after} {report:?}");
        assert_eq!(report.space.total_bytes(), after);
        assert!(files(&root.join("locks")).is_empty());
        let repository = RusticRepository::open(&location, &password()).unwrap();
        assert!(contents(&repository, &kept).unwrap() == expected(parts(2, 4, 1 << 20)));
        assert!(check(&repository).is_whole());
        let next = take(&repository, "next", parts(4, 4, 1 << 20));
        assert!(contents(&repository, &next).unwrap() == expected(parts(4, 4, 1 << 20)));
        let output = restic(&root, &["check", "--read-data"]);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_backup_onto_a_volume_that_is_mounted_read_only_names_the_way_out_and_what_is_there_is_read() {
    let disk = Tmpfs::new(8);
    let location = Location::Folder(disk.0.path().join("r"));
    RusticRepository::init(&location, &password()).unwrap();
    let kept = take(&RusticRepository::open(&location, &password()).unwrap(), "one", parts(1, 2, 1 << 20));
    let remounted = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remounted.success());
    let repository = RusticRepository::open(&location, &password()).unwrap();
    let error = repository.keep(&context(), &keep_of("two"), Script::parts(parts(2, 2, 1 << 20))).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("mounted read-only") && hint.contains("remount,rw")), "{error:?}");
    assert!(contents(&repository, &kept).unwrap() == expected(parts(1, 2, 1 << 20)));
    assert!(check(&repository).is_whole());
}
