//! Whoever owns the folder, or made the names, cannot make the writer leave it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plan::Result;
use plan::ports::{Entry, EntryHandle, EntryKind, Meta, Snapshot};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use crate::{Fault, Links, Tree, Writer, grant_owner};

/// A folder to write into, and one beside it that nobody may touch.
fn folders() -> (TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let (root, outside) = (home.path().join("root"), home.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    (home, root, outside)
}

fn ways(root: &Path) -> [Tree; 2] {
    [Tree::open(root).unwrap(), Tree::open(root).unwrap().by_steps()]
}

struct Same(&'static [u8]);

impl Snapshot for Same {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        Ok(entry(path, EntryKind::File, self.0.len() as u64))
    }

    fn read(&self, _: &Entry) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0)))
    }
}

fn entry(path: impl Into<PathBuf>, kind: EntryKind, size_bytes: u64) -> Entry {
    let meta = Meta { mode: 0o644, ..Meta::default() };
    Entry { path: path.into(), meta, size_bytes, kind, handle: EntryHandle(Box::new(())) }
}

fn write(tree: &Tree, path: &str, kind: EntryKind) -> std::result::Result<(), Fault> {
    let size_bytes = if kind == EntryKind::File { 3 } else { 0 };
    Writer::new(tree).write(&Same(b"new"), &entry(path, kind, size_bytes), &|_| Ok(())).map(drop)
}

fn untouched(outside: &Path) {
    let names: Vec<_> = fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "nothing is made or removed outside");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
}

#[test]
fn no_folder_is_reached_through_a_link_or_out_of_the_root() {
    let (_home, root, outside) = folders();
    fs::create_dir_all(root.join("plain/deeper")).unwrap();
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../outside", root.join("relative")).unwrap();
    symlink("plain", root.join("inside")).unwrap();
    symlink(&outside, root.join("plain/link")).unwrap();
    fs::create_dir(outside.join("folder")).unwrap();
    for tree in ways(&root) {
        assert!(tree.folder(Path::new("")).is_ok() && tree.folder(Path::new("plain/deeper")).is_ok());
        let outward = ["absolute", "relative", "inside", "inside/deeper", "plain/link", "plain/link/folder", "absolute/folder"];
        for path in outward.into_iter().chain(["..", "plain/../..", "/", "/tmp", "../outside", "plain/deeper/../../../outside"]) {
            assert!(tree.folder(Path::new(path)).is_err(), "{path}");
        }
    }
}

#[test]
fn a_folder_deeper_than_the_path_limit_is_reached() {
    let (_home, root, _) = folders();
    let name = "d".repeat(200);
    for tree in ways(&root) {
        let mut path = PathBuf::new();
        for _ in 0..60 {
            path.push(&name);
            Writer::new(&tree).make_folder(&path, true).unwrap();
        }
        assert!(tree.folder(&path).is_ok());
    }
}

#[test]
fn nothing_is_written_through_what_is_in_the_way() {
    for steps in [false, true] {
        let (_home, root, outside) = folders();
        let tree = if steps { Tree::open(&root).unwrap().by_steps() } else { Tree::open(&root).unwrap() };
        symlink(&outside, root.join("folder")).unwrap();
        symlink(outside.join("file"), root.join("link-to-file")).unwrap();
        symlink(outside.join("made"), root.join("link-to-nothing")).unwrap();
        fs::hard_link(outside.join("file"), root.join("further-name")).unwrap();
        for name in ["folder/x", "folder", "link-to-file", "link-to-nothing", "further-name", "folder/file", "link-to-file/x"] {
            for kind in [EntryKind::File, EntryKind::Symlink("t".into()), EntryKind::Fifo, EntryKind::Socket] {
                let fault = write(&tree, name, kind.clone()).unwrap_err();
                assert!(matches!(fault, Fault::There(..)), "{name} {kind:?}: {fault:?}");
            }
            assert!(Writer::new(&tree).make_folder(Path::new(name), false).is_err(), "{name}");
            assert!(Writer::new(&tree).finish_folder(Path::new(name), &Meta { mode: 0o777, ..Meta::default() }).is_err(), "{name}");
        }
        assert!(Writer::new(&tree).make_folder(Path::new("folder/x"), true).is_err());
        assert!(grant_owner(&tree, "folder".as_ref()).is_err());
        untouched(&outside);
        assert_eq!(fs::metadata(outside.join("file")).unwrap().nlink(), 2);
    }
}

#[test]
fn set_id_bits_without_their_owner_are_dropped_and_told() {
    let (_home, root, _) = folders();
    let tree = Tree::open(&root).unwrap();
    let mut suid = entry("suid", EntryKind::File, 3);
    suid.meta = Meta { mode: 0o6755, uid: Some(12), gid: Some(34), ..Meta::default() };
    let unset = Writer::new(&tree).write(&Same(b"new"), &suid, &|_| Ok(())).unwrap();
    let made = fs::metadata(root.join("suid")).unwrap();
    if rustix::process::geteuid().is_root() {
        assert!(!unset.owner && !unset.set_id);
        assert_eq!((made.uid(), made.gid(), made.permissions().mode() & 0o7777), (12, 34, 0o6755));
    } else {
        assert!(unset.owner && unset.set_id);
        assert_eq!(made.permissions().mode() & 0o7777, 0o755);
    }
}

#[test]
fn attributes_of_the_place_are_never_taken_from_a_set() {
    let (_home, root, _) = folders();
    let tree = Tree::open(&root).unwrap();
    let mut file = entry("file", EntryKind::File, 3);
    file.meta.xattrs = vec![("trusted.overlay.opaque".to_owned(), b"y".to_vec()), ("security.selinux".to_owned(), b"x".to_vec())];
    let unset = Writer::new(&tree).write(&Same(b"new"), &file, &|_| Ok(())).unwrap();
    assert_eq!(unset.xattrs, [0, 1]);
}

#[test]
fn more_first_names_than_fit_are_refused() {
    let mut links = Links::with_limit(1000);
    let meta = |number| Meta { links: 2, identity: Some((1, number)), ..Meta::default() };
    let refused = (0..100_u64).find(|number| links.first(Path::new("a/b"), &meta(*number)).is_err());
    assert_eq!(refused, Some(10));
    let mut links = Links::with_limit(1000);
    for number in 0..100 {
        assert_eq!(links.first(Path::new("a/b"), &meta(number)).unwrap(), None);
        assert_eq!(links.first(Path::new("a/c"), &meta(number)).unwrap(), Some(PathBuf::from("a/b")), "what is done is forgotten");
    }
}

/// Somebody swaps a folder and a link to the outside all the time.
#[test]
fn a_folder_that_is_swapped_with_a_link_all_the_time_leads_nowhere_else() {
    for steps in [false, true] {
        let (_home, root, outside) = folders();
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::create_dir(outside.join("e")).unwrap();
        symlink(&outside, root.join("other")).unwrap();
        let tree = if steps { Tree::open(&root).unwrap().by_steps() } else { Tree::open(&root).unwrap() };
        let (over, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
        let (mut written, mut refused) = (0_u64, 0_u64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    renameat_with(CWD, root.join("d"), CWD, root.join("other"), RenameFlags::EXCHANGE).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            });
            let limit = Instant::now() + Duration::from_secs(20);
            while (written < 300 || refused < 300) && Instant::now() < limit {
                let path = format!("d/e/{}", written + refused);
                match write(&tree, &path, EntryKind::File) {
                    Ok(()) => written += 1,
                    Err(Fault::There(..)) => refused += 1,
                    Err(Fault::Here(error)) => panic!("{error:?}"),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(written > 0 && refused > 0, "{written} written, {refused} refused, {swaps:?} swaps: neither side had its turn");
        assert_eq!(fs::read_dir(outside.join("e")).unwrap().count(), 0, "{written} written, {refused} refused");
    }
}
