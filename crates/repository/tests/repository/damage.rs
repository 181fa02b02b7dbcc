//! Every damage is found, and the sets that need the place are named.

use std::path::Path;

use plan::checked::Stretch;
use plan::ports::{Repository as _, Silent, StopFlag};
use repository::{CheckReport, ReadData, RusticRepository};

use crate::scene::*;

/// What a check says.
fn finding(scene: &Scene) -> Result<CheckReport, plan::Error> {
    scene.repository.check(ReadData::All, &StopFlag::default(), &Silent)
}

/// Also fine: the repository cannot even be opened.
fn is_found(scene: &Scene, file: &Path, what: &str) {
    let is_needed_to_open = file.ends_with("config") || file.parent().unwrap().ends_with("keys");
    if is_needed_to_open && RusticRepository::open(&scene.location(), &password()).is_err() {
        return;
    }
    match finding(scene) {
        Err(_) => {}
        Ok(report) => assert!(!report.is_whole(), "{what}: not found: {report:?}"),
    }
}

fn two_sets() -> Scene {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 6, 500_000));
    take(&scene.repository, "two", parts(2, 6, 500_000));
    let report = check(&scene.repository);
    assert!(report.is_whole() && report.notes.is_empty() && report.packs_read == report.packs && report.packs > 4, "{report:?}");
    scene
}

fn with_damage(file: &Path, damage: impl FnOnce(&mut Vec<u8>), then: impl FnOnce()) {
    let good = std::fs::read(file).unwrap();
    let mut bad = good.clone();
    damage(&mut bad);
    assert!(bad != good);
    std::fs::write(file, bad).unwrap();
    then();
    std::fs::write(file, good).unwrap();
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let scene = two_sets();
    for file in files(&scene.path()) {
        let length = std::fs::metadata(&file).unwrap().len() as usize;
        for place in [0, length / 2, length - 1] {
            let what = format!("{} byte {place} of {length}", file.display());
            with_damage(&file, |bytes| bytes[place] ^= 1 << (place % 8), || is_found(&scene, &file, &what));
        }
    }
    assert!(finding(&scene).unwrap().is_whole());
}

#[test]
fn a_truncated_or_longer_file_is_found() {
    let scene = two_sets();
    for file in files(&scene.path()) {
        with_damage(&file, |bytes| bytes.truncate(bytes.len() - 1), || is_found(&scene, &file, &file.display().to_string()));
        with_damage(&file, |bytes| bytes.push(0), || is_found(&scene, &file, &file.display().to_string()));
        with_damage(&file, Vec::clear, || is_found(&scene, &file, &file.display().to_string()));
    }
}

#[test]
fn a_missing_file_is_found() {
    let scene = two_sets();
    let manifests: Vec<_> =
        scene.restic(&["snapshots", "--tag", "manifest", "--json"]).match_indices("\"id\":\"").map(|(_, _)| ()).collect();
    assert_eq!(manifests.len(), 2);
    let mut vanished = 0;
    for file in files(&scene.path()) {
        let aside = scene.folder.path().join("aside");
        std::fs::rename(&file, &aside).unwrap();
        match finding(&scene) {
            Ok(report) if report.is_whole() => {
                // Only the loss of a manifest looks like a backup that never ended: it is noted.
                assert!(
                    report.sets.len() == 1 && report.notes.iter().any(|note| note.contains("belong to no set")),
                    "{}: {report:?}",
                    file.display()
                );
                vanished += 1;
            }
            _ => {}
        }
        std::fs::rename(&aside, &file).unwrap();
    }
    assert_eq!(vanished, 2);
    assert!(finding(&scene).unwrap().is_whole());
}

#[test]
fn only_the_sets_that_need_the_place_are_named() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 6, 3 << 20));
    let before = scene.files("data");
    take(&scene.repository, "two", parts(2, 6, 3 << 20));
    let both: Vec<_> = scene.files("data").into_iter().filter(|file| !before.contains(file)).collect();
    let largest = |files: &[std::path::PathBuf]| files.iter().max_by_key(|file| std::fs::metadata(file).unwrap().len()).unwrap().clone();
    for (file, damaged, whole) in [(largest(&before), 0, 1), (largest(&both), 1, 0)] {
        with_damage(
            &file,
            |bytes| bytes[1000] ^= 4,
            || {
                let report = finding(&scene).unwrap();
                assert!(!report.sets[damaged].problems.is_empty() && report.sets[whole].problems.is_empty(), "{report:?}");
                assert_eq!(report.sets[damaged].problems[0].0, Some(DATA_SET));
            },
        );
        with_damage(
            &file,
            |bytes| bytes.truncate(1000),
            || {
                let report = scene.repository.check(ReadData::Nothing, &StopFlag::default(), &Silent).unwrap();
                assert!(!report.sets[damaged].problems.is_empty() && report.sets[whole].problems.is_empty(), "{report:?}");
            },
        );
    }
}

#[test]
fn a_share_of_the_data_is_read_when_asked_for() {
    let scene = two_sets();
    let read = |share| scene.repository.check(share, &StopFlag::default(), &Silent).unwrap().packs_read;
    assert_eq!(read(ReadData::Nothing), 0);
    assert_eq!(read(ReadData::Part(Stretch { begin_percent: 0, percent: 0 })), 0);
    assert_eq!(read(ReadData::Part(Stretch { begin_percent: 70, percent: 100 })), read(ReadData::All));
}

#[test]
fn reading_a_damaged_pack_is_an_error_and_never_wrong_data() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", parts(1, 6, 3 << 20));
    for file in scene.files("data") {
        with_damage(
            &file,
            |bytes| bytes.iter_mut().step_by(50_000).for_each(|byte| *byte ^= 8),
            || {
                let repository = scene.again();
                match repository.open(&kept.snapshot).and_then(|_| contents(&repository, &kept)) {
                    Err(_) => {}
                    Ok(found) => assert!(found == expected(parts(1, 6, 3 << 20)), "wrong data from {}", file.display()),
                }
            },
        );
    }
}

#[test]
fn a_set_whose_packs_with_the_manifest_are_lost_is_known_by_the_copy_and_mended() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 3, 1000));
    let kept = scene.repository.keep(&context(), &keep_of("two"), Script::parts(parts(2, 3, 1000))).unwrap();
    let before = scene.files("data");
    scene.repository.write_manifest(&manifest("two", &kept)).unwrap();
    let lost: Vec<_> = scene.files("data").into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(lost.len(), 2, "its tree and its text: {lost:?}");
    for file in &lost {
        std::fs::remove_file(file).unwrap();
    }
    // It is there, and restores.
    let again = scene.again();
    assert_eq!(set_names(&again), ["one", "two"]);
    assert!(contents(&again, &kept).unwrap() == expected(parts(2, 3, 1000)));
    let report = check(&again);
    assert!(!report.is_whole(), "{report:?}");
    take(&scene.again(), "three", parts(3, 3, 1000));
    let dry = scene.again().repair(false, &StopFlag::default()).unwrap();
    assert_eq!((dry.manifests_renewed.len(), dry.lost.len()), (1, 0), "{dry:?}");
    let done = scene.again().repair(true, &StopFlag::default()).unwrap();
    assert_eq!((done.manifests_renewed.len(), done.lost.len()), (1, 0), "{done:?}");
    let report = check(&scene.again());
    assert!(report.is_whole() && report.sets.len() == 3, "{report:?}");
    assert!(scene.again().repair(true, &StopFlag::default()).unwrap().is_empty());
    assert_eq!(set_names(&scene.again()), ["one", "two", "three"]);
    assert!(contents(&scene.again(), &kept).unwrap() == expected(parts(2, 3, 1000)));
    assert!(scene.restic(&["check"]).contains("no errors were found"));
}

#[test]
fn a_folder_that_is_lost_is_no_empty_one_and_the_advice_works() {
    for lost in ["index", "snapshots", "data"] {
        let scene = two_sets();
        let folder = scene.path().join(lost);
        std::fs::remove_dir_all(&folder).unwrap();
        let error = scene.again().check(ReadData::Nothing, &StopFlag::default(), &Silent).unwrap_err();
        let said = format!("{} {}", error.chain(), error.hints().join(" "));
        assert!(said.contains(&format!("`mkdir {}`", folder.display())), "{lost}: {said}");
        std::fs::create_dir(&folder).unwrap();
        let report = scene.again().repair(true, &StopFlag::default()).unwrap();
        let sets = scene.again().manifests();
        match lost {
            "index" => assert!(report.packs_named > 4 && check(&scene.again()).is_whole() && sets.unwrap().len() == 2, "{report:?}"),
            "snapshots" => assert!(sets.unwrap().is_empty()),
            // The manifests have copies in their snapshots; all else is told as lost.
            _ => assert!(report.lost.len() >= 2 && !scene.again().damaged().unwrap().is_empty(), "{report:?}"),
        }
    }
}
