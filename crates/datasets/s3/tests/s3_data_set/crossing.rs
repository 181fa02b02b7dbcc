//! From a folder into a bucket, and from a bucket into a folder: the migration.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use files_data_set::FilesStore;
use plan::ports::{DataSet as _, Road, Severity};

use crate::scene::{NAME, Scene};

fn folder(scene: &Scene, name: &str) -> (FilesStore, std::path::PathBuf) {
    let path = scene.folder.path().join(name);
    fs::create_dir_all(&path).unwrap();
    (FilesStore::new(NAME, path.clone(), files_data_set::Options::default()), path)
}

#[test]
fn a_set_of_a_bucket_goes_into_a_folder() {
    let scene = Scene::new();
    scene.fill();
    scene.s3.put("/leading//slash.txt", b"slash".to_vec(), &[]);
    scene.s3.put("folder/", Vec::new(), &[]);
    let kept = scene.keep(&scene.store(), None).unwrap();
    let (files, path) = folder(&scene, "system");
    fs::write(path.join("old"), "old").unwrap();
    assert!(files.fits(&scene.context("run-1"), &kept, Road::SideCopy).unwrap().iter().all(|problem| problem.severity != Severity::Blocks));
    scene.restore(&files, "run-1", &kept);
    assert_eq!(fs::read(path.join("acme/2026/01/02/style sheet+ü-c3.css")).unwrap(), b"body {}");
    assert_eq!(fs::read(path.join("leading/slash.txt")).unwrap(), b"slash");
    assert!(path.join("folder").is_dir() && !path.join("old").exists());
    let made = fs::metadata(path.join("acme/2026/01/02/logo-a1b2.png")).unwrap();
    assert_eq!(made.permissions().mode() & 0o7777, 0o664);
    assert_eq!(fs::metadata(path.join("acme")).unwrap().permissions().mode() & 0o7777, 0o775);
    assert_eq!(made.uid(), fs::metadata(&path).unwrap().uid());
    assert_eq!(made.mtime(), scene.s3.objects()["acme/2026/01/02/logo-a1b2.png"].modified.as_second());
    // And back: what the folder has is what the bucket had.
    let of_folder = scene.keep(&files, None).unwrap();
    assert_eq!(of_folder.evidence.collections["files"], kept.evidence.collections["files"]);
}

#[test]
fn a_set_of_a_folder_goes_into_a_bucket_with_types_as_porta_gives_them() {
    let scene = Scene::new();
    let (files, path) = folder(&scene, "system");
    fs::create_dir_all(path.join("acme/2026/empty")).unwrap();
    fs::write(path.join("acme/2026/logo-1.png"), "picture").unwrap();
    fs::write(path.join("acme/2026/no-ending"), "").unwrap();
    fs::hard_link(path.join("acme/2026/logo-1.png"), path.join("acme/2026/logo-2.PNG")).unwrap();
    symlink("logo-1.png", path.join("acme/2026/link")).unwrap();
    fs::write(path.join("large.bin"), vec![5; 3 << 20]).unwrap();
    let kept = scene.keep(&files, None).unwrap();
    let store = scene.store_in_parts();
    let problems = store.fits(&scene.context("run-1"), &kept, Road::SideCopy).unwrap();
    assert!(
        problems.iter().any(|problem| problem.severity == Severity::Degrades && problem.text.contains("1 symbolic links")),
        "{problems:?}"
    );
    scene.s3.put("acme/2026/no-ending", b"other".to_vec(), &[]);
    scene.restore(&store, "run-1", &kept);
    let live = scene.live();
    let type_of = |key: &str| live[key].1["content-type"].clone();
    assert_eq!(
        live.keys().map(String::as_str).collect::<Vec<_>>(),
        ["acme/2026/logo-1.png", "acme/2026/logo-2.PNG", "acme/2026/no-ending", "large.bin"]
    );
    assert_eq!((type_of("acme/2026/logo-1.png"), type_of("acme/2026/logo-2.PNG")), ("image/png".to_owned(), "image/png".to_owned()));
    assert_eq!(type_of("acme/2026/no-ending"), "application/octet-stream");
    assert!(live["acme/2026/no-ending"].0.is_empty() && live["large.bin"].0.len() == 3 << 20);
    assert!(scene.heard.take().iter().any(|text| text.contains("acme/2026/link")));
}

#[test]
fn names_that_no_key_can_be_are_told_by_the_plan() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::new();
    let (files, path) = folder(&scene, "system");
    fs::write(path.join(OsStr::from_bytes(b"odd\xff")), "x").unwrap();
    let kept = scene.keep(&files, None).unwrap();
    let problems = scene.store().fits(&scene.context("run-1"), &kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("UTF-8")), "{problems:?}");
}

#[test]
fn a_key_that_no_volume_can_hold_is_told_by_the_plan() {
    let scene = Scene::new();
    scene.s3.put(&format!("a/{}", "n".repeat(300)), b"x".to_vec(), &[]);
    let kept = scene.keep(&scene.store(), None).unwrap();
    let (files, _) = folder(&scene, "system");
    let problems = files.fits(&scene.context("run-1"), &kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("300 bytes")), "{problems:?}");
}
