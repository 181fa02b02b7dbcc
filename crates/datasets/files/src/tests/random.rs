//! Random trees come back, by both roads, over random live trees, and an undo brings those back. What is compared is seen from outside: `find`, `sha256sum`, `getfattr`.
//!
//! Without `THREESCALE_BACKUP_SEED` the seeds are always the same, so that a change is judged by itself; a failure prints the one that shows it again.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests; the seed is printed")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, XattrFlags, chmodat, chownat, lsetxattr, mknodat, utimensat};

use super::over_there::{pod, pod_backup};
use super::*;

#[derive(Debug, Clone)]
enum Thing {
    File(Vec<u8>),
    Zeros(usize),
    Folder,
    Link(Vec<u8>),
    HardLink(usize),
    Fifo,
    Socket,
}

#[derive(Debug, Clone)]
struct Made {
    parent: usize,
    name: Vec<u8>,
    thing: Thing,
    owner: (u32, u32),
    mode: u32,
    mtime_ns: i64,
    xattrs: Vec<(&'static str, Vec<u8>)>,
    acl: Option<u32>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'a'), Just(b'A'), Just(b'b'), Just(b'.'), Just(b'-'), Just(b' '), Just(b'\n'), Just(b'\\'), 1..=255_u8];
    prop_oneof![20 => vec(byte.clone(), 1..4), 1 => vec(byte, 200..255)]
        .prop_map(|name| name.into_iter().map(|byte| if byte == b'/' { b'x' } else { byte }).collect::<Vec<_>>())
        .prop_filter("a plain name", |name| name != b"." && name != b"..")
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..20).prop_map(Thing::File),
        2 => (0..20_000_usize).prop_map(Thing::Zeros),
        6 => Just(Thing::Folder),
        2 => vec(1..=255_u8, 1..20).prop_map(Thing::Link),
        2 => (0..20_usize).prop_map(Thing::HardLink),
        1 => Just(Thing::Fifo),
        1 => Just(Thing::Socket),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let id = || prop_oneof![3 => Just(0_u32), 1 => 1..70_000_u32, 1 => Just(4_294_967_294)];
    let xattr = (prop_oneof![Just("user.k"), Just("user.= %25\n"), Just("trusted.t")], vec(any::<u8>(), 0..200));
    let acl = proptest::option::weighted(0.1, 1..70_000_u32);
    (0..8_usize, name(), thing(), (id(), id()), 0..0o7777_u32, -1_000_000_000_000..4_000_000_000_000_000_000_i64, vec(xattr, 0..2), acl)
        .prop_map(|(parent, name, thing, owner, mode, mtime_ns, xattrs, acl)| Made {
            parent,
            name,
            thing,
            owner,
            mode,
            mtime_ns,
            xattrs,
            acl,
        })
}

fn make(root: &Path, tree: &[Made], with_sockets: bool) {
    let (mut folders, mut files, mut all) = (vec![root.to_owned()], Vec::<PathBuf>::new(), Vec::new());
    for made in tree {
        let path = folders[made.parent % folders.len()].join(os(&made.name));
        if path.symlink_metadata().is_ok() || (!with_sockets && matches!(made.thing, Thing::Socket)) {
            continue;
        }
        let node = |kind| mknodat(CWD, &path, kind, Mode::RWXU, 0).unwrap();
        match &made.thing {
            Thing::File(content) => write(&path, content),
            Thing::Zeros(length) => write(&path, vec![0; *length]),
            Thing::Folder => std::fs::create_dir(&path).unwrap(),
            Thing::Link(target) => std::os::unix::fs::symlink(os(target), &path).unwrap(),
            Thing::HardLink(index) if files.is_empty() => write(&path, [*index as u8]),
            Thing::HardLink(index) => std::fs::hard_link(&files[index % files.len()], &path).unwrap(),
            Thing::Fifo => node(FileType::Fifo),
            Thing::Socket => node(FileType::Socket),
        }
        match made.thing {
            Thing::Folder => folders.push(path.clone()),
            Thing::File(_) | Thing::Zeros(_) | Thing::HardLink(_) => files.push(path.clone()),
            _ => {}
        }
        all.push((path, made));
    }
    for (path, made) in all.iter().rev() {
        let is_plain = matches!(made.thing, Thing::File(_) | Thing::Zeros(_) | Thing::Folder | Thing::HardLink(_));
        chownat(CWD, path, Some(Uid::from_raw(made.owner.0)), Some(Gid::from_raw(made.owner.1)), AtFlags::SYMLINK_NOFOLLOW).unwrap();
        for (name, value) in made.xattrs.iter().filter(|(name, _)| is_plain || name.starts_with("trusted.")) {
            lsetxattr(path, *name, value, XattrFlags::empty()).unwrap();
        }
        if let Some(user) = made.acl.filter(|_| is_plain) {
            lsetxattr(path, "system.posix_acl_access", &acl(user), XattrFlags::empty()).unwrap();
            if matches!(made.thing, Thing::Folder) {
                lsetxattr(path, "system.posix_acl_default", &acl(user), XattrFlags::empty()).unwrap();
            }
        }
        if !path.is_symlink() {
            chmodat(CWD, path, Mode::from_raw_mode(made.mode), AtFlags::empty()).unwrap();
        }
        utimensat(CWD, path, &beneath::timestamps(made.mtime_ns.into()), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// An access list with one user of its own (`linux/posix_acl_xattr.h`).
fn acl(user: u32) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(1_u16, 7_u16, none), (2, 5, user), (4, 5, none), (16, 5, none), (32, 1, none)];
    let entry = |(tag, right, id): &(u16, u16, u32)| [&tag.to_le_bytes()[..], &right.to_le_bytes(), &id.to_le_bytes()].concat();
    [2_u32.to_le_bytes().to_vec(), entries.iter().flat_map(entry).collect()].concat()
}

fn there_and_back(cases: u32, remote: bool) {
    let seed: u64 = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_129);
    println!("THREESCALE_BACKUP_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tree = || vec(made(), 0..25);
    runner.run(&(tree(), tree(), any::<bool>()), |(wanted, live, in_place)| one(&wanted, &live, in_place, remote)).unwrap();
}

fn one(wanted: &[Made], live: &[Made], in_place: bool, remote: bool) -> std::result::Result<(), TestCaseError> {
    let (_guard, source, target) = folders();
    make(&source, wanted, !remote);
    make(&target, live, true);
    let before = (outside(&target), outside_root(&target));
    let (memory, kept) = if remote { pod_backup(&source) } else { backup(&source) };
    prop_assert_eq!(&backup(&source).1.evidence.collections, &kept.evidence.collections);
    let all: [Box<dyn DataSet>; 2] = [Box::new(store(&target)), Box::new(pod(&target))];
    let store = &*all[usize::from(remote)];
    let road = if in_place { Road::InPlace } else { Road::SideCopy };
    let place = stage_into(store, &memory, &kept, road);
    if !in_place {
        prop_assert_eq!((outside(&target), outside_root(&target)), before.clone());
    }
    store.cut_over(&context(), &place).unwrap();
    prop_assert_eq!(outside(&target), outside(&source));
    if !in_place {
        store.undo(&context(), &place).unwrap();
        prop_assert_eq!((outside(&target), outside_root(&target)), before);
    }
    store.discard(&context(), &place, if in_place { Discard::Previous } else { Discard::Staged }).unwrap();
    prop_assert!(!target.join(".threescale-backup").exists(), "nothing is left");
    Ok(())
}

#[test]
fn a_random_tree_comes_back() {
    there_and_back(60, false);
}

#[test]
fn a_random_tree_comes_back_through_a_pod() {
    there_and_back(12, true);
}
