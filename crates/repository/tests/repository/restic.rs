//! Debian's `restic` understands what is written: lists, checks, restores.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use plan::ports::{Content, EntryKind, Meta, Part, Repository as _};

use crate::scene::*;

#[test]
fn restic_lists_checks_and_restores_streams() {
    let scene = Scene::new();
    let mut all = parts(1, 12, 1_500_000);
    all.push(stream("tables/t9/stream", 5 << 20, std::io::Cursor::new(noise(77, 5 << 20))));
    let kept = take(&scene.repository, "one", all);

    let snapshots = scene.restic(&["snapshots", "--json"]);
    for tag in ["threescale-backup", "set:one", "data-set:system-database", "manifest"] {
        assert!(snapshots.contains(&format!("\"{tag}\"")), "{tag}: {snapshots}");
    }
    assert!(snapshots.contains(kept.snapshot.as_str()));
    scene.restic(&["check", "--read-data"]);

    let target = scene.folder.path().join("target");
    scene.restic(&["restore", kept.snapshot.as_str(), "--target", target.to_str().unwrap(), "--verify"]);
    let restored: Vec<_> =
        files(&target).into_iter().map(|file| (file.strip_prefix(&target).unwrap().to_owned(), fs::read(&file).unwrap())).collect();
    let mut wanted = expected(parts(1, 12, 1_500_000));
    wanted.push(("tables/t9/stream".into(), noise(77, 5 << 20)));
    assert!(restored == wanted);

    let dumped = scene.restic(&["dump", "--tag", "manifest", "latest", "/manifest.json"]);
    assert_eq!(serde_json::from_str::<plan::manifest::Manifest>(&dumped).unwrap(), scene.repository.manifests().unwrap()[0]);
}

fn file(path: impl AsRef<OsStr>, mode: u32, content: &[u8]) -> Part {
    let meta = Meta { mode, uid: Some(1234), gid: Some(4321), mtime_ns: Some(1_600_000_000_123_456_789), links: 1, ..Meta::default() };
    Part { path: PathBuf::from(path.as_ref()), meta, content: Content::Bytes(content.to_vec()) }
}

fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = vec![
        b"a b".to_vec(),
        b"back\\slash".to_vec(),
        b"caf\xc3\xa9".to_vec(),
        b"invalid-\xff\xfe".to_vec(),
        b"new\nline\ttab\rreturn\x07bell\x08\x0b\x0c".to_vec(),
        b"quote\"'`".to_vec(),
        b"\x01control\x7f".to_vec(),
        "\u{1f600}".as_bytes().to_vec(),
        "\u{200b}zero\u{ad}width\u{feff}".as_bytes().to_vec(),
        "\u{85}next\u{2028}line\u{fffd}".as_bytes().to_vec(),
        vec![b'x'; 255],
    ];
    names.sort();
    names
}

fn tree() -> Vec<Part> {
    let mut all = Vec::new();
    let folder_meta = Meta { mode: 0o2750, uid: Some(1234), gid: Some(4321), mtime_ns: Some(1_500_000_000_000_000_000), ..Meta::default() };
    all.push(Part { path: "empty".into(), meta: folder_meta.clone(), content: Content::Folder });
    all.push(Part { content: Content::Fifo, ..file("fifo", 0o644, b"") });
    let linked = |path: &str| {
        let mut part = file(path, 0o640, b"one file, two names");
        (part.meta.links, part.meta.identity) = (2, Some((9, 77)));
        part
    };
    all.push(linked("hard1"));
    all.push(linked("hard2"));
    all.push(Part { content: Content::Symlink("/somewhere/else".into()), ..file("link", 0o777, b"") });
    all.push(Part { content: Content::Symlink(PathBuf::from(OsStr::from_bytes(b"odd\xff\"target"))), ..file("link-odd", 0o777, b"") });
    all.push(Part { path: "odd".into(), meta: folder_meta, content: Content::Folder });
    for name in odd_names() {
        all.push(file(Path::new("odd").join(OsStr::from_bytes(&name)), 0o600, &name));
    }
    all.push(file("setuid", 0o4755, b"x"));
    let mut with_xattrs = file("xattrs", 0o644, b"x");
    with_xattrs.meta.xattrs = vec![("user.empty".into(), vec![]), ("user.note".into(), b"\x00\xffvalue".to_vec())];
    all.push(with_xattrs);
    all
}

#[test]
fn restic_restores_real_trees() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", tree());
    scene.restic(&["check", "--read-data"]);
    let target = scene.folder.path().join("target");
    scene.restic(&["restore", kept.snapshot.as_str(), "--target", target.to_str().unwrap(), "--verify"]);
    let at = |path: &str| fs::symlink_metadata(target.join(path)).unwrap();

    assert_eq!(at("hard1").ino(), at("hard2").ino());
    assert_eq!(fs::read(target.join("hard2")).unwrap(), b"one file, two names");
    assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("/somewhere/else"));
    assert!(at("fifo").file_type().is_fifo());
    assert!(at("empty").is_dir());
    assert_eq!(at("empty").permissions().mode() & 0o7777, 0o2750);
    assert_eq!(at("empty").mtime(), 1_500_000_000);
    assert_eq!(at("setuid").permissions().mode() & 0o7777, 0o4755);
    assert_eq!((at("hard1").uid(), at("hard1").gid()), (1234, 4321));
    assert_eq!((at("hard1").mtime(), at("hard1").mtime_nsec()), (1_600_000_000, 123_456_789));
    for name in odd_names() {
        let content = fs::read(target.join("odd").join(OsStr::from_bytes(&name))).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(content, name);
    }
    assert_eq!(fs::read_dir(target.join("odd")).unwrap().count(), odd_names().len());
    assert_eq!(xattr::get(target.join("xattrs"), "user.note").unwrap().unwrap(), b"\x00\xffvalue");
}

#[test]
fn trees_come_back_as_they_were_given() {
    let scene = Scene::new();
    let kept = take(&scene.repository, "one", tree());
    let snapshot = scene.repository.open(&kept.snapshot).unwrap();
    let found: Vec<_> = snapshot.entries().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(found.len(), tree().len());
    for (found, given) in found.iter().zip(tree()) {
        assert_eq!((&found.path, &found.meta), (&given.path, &given.meta));
        match (&given.content, &found.kind) {
            (Content::Bytes(bytes), EntryKind::File) => assert_eq!(&snapshot.read_all(found).unwrap(), bytes),
            (Content::Symlink(given), EntryKind::Symlink(found)) => assert_eq!(given, found),
            (Content::Folder, EntryKind::Folder) | (Content::Fifo, EntryKind::Fifo) | (Content::Socket, EntryKind::Socket) => {}
            (given, found) => panic!("{found:?} instead of {given:?}"),
        }
        assert_eq!(snapshot.find(&given.path).unwrap().meta, given.meta);
    }
}

#[test]
fn what_restic_adds_is_left_alone() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 3, 100_000));
    let source = scene.folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), noise(5, 300_000)).unwrap();
    scene.restic(&["backup", source.to_str().unwrap()]);
    assert_eq!(set_names(&scene.repository), ["one"]);
    assert!(check(&scene.repository).is_whole());
    let mut options = forget_options(true, true);
    options.now = options.now.checked_add(jiff::Span::new().days(30)).unwrap();
    scene.repository.forget(&repository::Retention { last: 1, ..Default::default() }, &options).unwrap();
    assert_eq!(scene.files("snapshots").len(), 3);
    scene.restic(&["check", "--read-data"]);
}
