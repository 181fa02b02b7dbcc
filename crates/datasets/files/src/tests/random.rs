//! Random trees come back, by both roads, over random live trees.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Thing {
    File(Vec<u8>),
    Zeros(usize),
    Folder,
    Link(Vec<u8>),
    HardLink(usize),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'.'), Just(b'\n'), 1..=255_u8], 1..4)
        .prop_map(|name| name.into_iter().map(|byte| if byte == b'/' { b'x' } else { byte }).collect::<Vec<_>>())
        .prop_filter("a plain name", |name| name != b"." && name != b"..")
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..20).prop_map(Thing::File),
        1 => (0..20_000_usize).prop_map(Thing::Zeros),
        3 => Just(Thing::Folder),
        1 => vec(1..=255_u8, 1..20).prop_map(Thing::Link),
        1 => (0..20_usize).prop_map(Thing::HardLink),
    ]
}

type Tree = Vec<(usize, Vec<u8>, Thing, u32, i64)>;

fn tree() -> impl Strategy<Value = Tree> {
    vec((0..8_usize, name(), thing(), 0..0o7777_u32, -1_000_000_000_000..4_000_000_000_000_000_000_i64), 0..25)
}

fn make(root: &Path, tree: &Tree) {
    use rustix::fs::{AtFlags, CWD, chmodat, utimensat};
    let (mut folders, mut files, mut made) = (vec![root.to_owned()], Vec::<PathBuf>::new(), Vec::new());
    for (parent, name, thing, mode, mtime_ns) in tree {
        let path = folders[parent % folders.len()].join(os(name));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match thing {
            Thing::File(content) => write(&path, content),
            Thing::Zeros(length) => write(&path, vec![0; *length]),
            Thing::Folder => std::fs::create_dir(&path).unwrap(),
            Thing::Link(target) => std::os::unix::fs::symlink(os(target), &path).unwrap(),
            Thing::HardLink(index) if files.is_empty() => write(&path, [*index as u8]),
            Thing::HardLink(index) => std::fs::hard_link(&files[index % files.len()], &path).unwrap(),
        }
        match thing {
            Thing::Folder => folders.push(path.clone()),
            Thing::Link(_) => {}
            _ => files.push(path.clone()),
        }
        made.push((path, *mode, *mtime_ns));
    }
    for (path, mode, mtime_ns) in made.iter().rev() {
        if !path.is_symlink() {
            chmodat(CWD, path, rustix::fs::Mode::from_raw_mode(*mode), AtFlags::empty()).unwrap();
        }
        utimensat(CWD, path, &beneath::timestamps((*mtime_ns).into()), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_comes_back(wanted in tree(), live in tree(), in_place: bool) {
        let (_guard, source, target) = folders();
        make(&source, &wanted);
        make(&target, &live);
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let road = if in_place { Road::InPlace } else { Road::SideCopy };
        let place = stage(&target, &memory, &kept, road);
        if !in_place {
            prop_assert_eq!(outside(&target), before.clone());
        }
        store(&target).cut_over(&context(), &place).unwrap();
        prop_assert_eq!(outside(&target), outside(&source));
        if !in_place {
            store(&target).undo(&context(), &place).unwrap();
            prop_assert_eq!(outside(&target), before);
        }
        store(&target).discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_comes_back_through_a_pod(wanted in tree(), live in tree(), in_place: bool) {
        let (_guard, source, target) = folders();
        make(&source, &wanted);
        make(&target, &live);
        let before = outside(&target);
        let (memory, kept) = super::over_there::pod_backup(&source);
        prop_assert_eq!(&backup(&source).1.evidence.collections, &kept.evidence.collections);
        let store = super::over_there::pod(&target);
        let road = if in_place { Road::InPlace } else { Road::SideCopy };
        let place = stage_into(&store, &memory, &kept, road);
        if !in_place {
            prop_assert_eq!(outside(&target), before.clone());
        }
        store.cut_over(&context(), &place).unwrap();
        prop_assert_eq!(outside(&target), outside(&source));
        if !in_place {
            store.undo(&context(), &place).unwrap();
            prop_assert_eq!(outside(&target), before);
        }
        store.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    }
}
