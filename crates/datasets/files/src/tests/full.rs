//! A volume that is full, has no inodes left, or became read-only, at each step: the error says so, nothing is lost, and what frees the volume works on a full one.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::ports::Undone;

use super::over_there::pod;
use super::refusals::Small;
use super::*;

fn ways(path: &Path) -> [Box<dyn DataSet>; 2] {
    [Box::new(store(path)), Box::new(pod(path))]
}

fn trees(options: &str) -> (TempDir, PathBuf, PathBuf, Small) {
    let (guard, source, target) = folders();
    let small = Small::mount(&target, options);
    shell(&source, "mkdir a b; echo a > a/f; head -c 300000 /dev/urandom > big; echo new > c");
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; touch -d @2000000.5 .");
    (guard, source, target, small)
}

/// Every last byte, or every last inode; outside of the data.
const FILL: [&str; 2] = [
    "mkdir -p .threescale-backup/fill; head -c 100000000 /dev/urandom > .threescale-backup/fill/bytes 2>/dev/null || true",
    "mkdir -p .threescale-backup/fill; n=0; while : 2>/dev/null > .threescale-backup/fill/$n; do n=$((n + 1)); done || true",
];
const OPTIONS: &str = "size=2m,nr_inodes=120";

#[test]
fn a_volume_that_is_full_at_the_cut_over_changes_nothing_or_goes_on() {
    for fill in FILL {
        for way in [0, 1] {
            let (_guard, source, target, _small) = trees(OPTIONS);
            let (memory, kept) = backup(&source);
            let before = (outside(&target), outside_root(&target));
            let all = ways(&target);
            let store = &*all[way];
            let place = stage_into(store, &memory, &kept, Road::SideCopy);
            shell(&target, &format!("{fill}; touch -d @2000000.5 ."));
            match store.cut_over(&context(), &place) {
                Ok(()) => assert_eq!(outside(&target), outside(&source), "{fill} {way}"),
                Err(error) => {
                    assert!(error.hints().iter().any(|hint| hint.contains("Free space")), "{fill} {way}: {error:?}");
                    assert_eq!(outside(&target), before.0, "{fill} {way}: {error:?}");
                    shell(&target, "rm -r .threescale-backup/fill");
                    store.cut_over(&context(), &place).unwrap();
                    assert_eq!(outside(&target), outside(&source), "{fill} {way}");
                }
            }
            store.undo(&context(), &place).unwrap();
            assert_eq!(outside(&target), before.0, "{fill} {way}");
        }
    }
}

#[test]
fn a_full_volume_is_undone_and_settled_all_the_same() {
    for fill in FILL {
        for way in [0, 1] {
            for undo in [true, false] {
                let (_guard, source, target, _small) = trees(OPTIONS);
                let (memory, kept) = backup(&source);
                let before = (outside(&target), outside_root(&target));
                let all = ways(&target);
                let store = &*all[way];
                let place = stage_into(store, &memory, &kept, Road::SideCopy);
                store.cut_over(&context(), &place).unwrap();
                let restored = outside(&target);
                shell(&target, fill);
                let at = format!("{fill}, way {way}, undo {undo}");
                if undo {
                    assert_eq!(store.undo(&context(), &place).unwrap(), Undone::PreviousIsLive, "{at}");
                    assert_eq!((outside(&target), outside_root(&target)), before, "{at}");
                    store.discard(&context(), &place, Discard::Staged).unwrap();
                    assert_eq!(outside(&target), before.0, "{at}");
                } else {
                    store.discard(&context(), &place, Discard::Previous).unwrap();
                    assert_eq!(outside(&target), restored, "{at}");
                }
                assert!(!target.join(".threescale-backup/01jrun").exists(), "{at}");
            }
        }
    }
}

#[test]
fn a_volume_that_fills_while_staging_tells_and_leaves_the_live_data() {
    for (options, way) in [("size=300k", 0), ("size=300k", 1), ("size=2m,nr_inodes=14", 0), ("size=2m,nr_inodes=14", 1)] {
        let (_guard, source, target, _small) = trees(options);
        let (memory, mut kept) = backup(&source);
        let before = (outside(&target), outside_root(&target));
        let all = ways(&target);
        let store = &*all[way];
        // As if somebody took the room after it was looked at.
        kept.evidence.facts.insert("allocated-bytes".to_owned(), "1".to_owned());
        kept.evidence.facts.insert("entries".to_owned(), "0".to_owned());
        let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
        let snapshot = Arc::clone(&memory) as Arc<dyn Snapshot>;
        let error = store.stage(&context(), &place, snapshot, &kept).unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("Free space") || hint.contains("too small")), "{options} {way}: {error:?}");
        assert_eq!((outside(&target), outside_root(&target)), before);
        store.discard(&context(), &place, Discard::Staged).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (before.0, false));
    }
}

#[test]
fn a_volume_that_became_read_only_is_named_and_goes_on_afterwards() {
    for way in [0, 1] {
        let (_guard, source, target, _small) = trees("size=4m");
        let (memory, kept) = backup(&source);
        let before = (outside(&target), outside_root(&target));
        let all = ways(&target);
        let store = &*all[way];
        let named = |error: Error| assert!(error.hints().iter().any(|hint| hint.contains("read-only")), "{way}: {error:?}");
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        shell(&target, "mount -o remount,ro .");
        named(store.cut_over(&context(), &place).unwrap_err());
        assert_eq!((outside(&target), outside_root(&target)), before);
        shell(&target, "mount -o remount,rw .");
        store.cut_over(&context(), &place).unwrap();
        shell(&target, "mount -o remount,ro .");
        named(store.undo(&context(), &place).unwrap_err());
        named(store.discard(&context(), &place, Discard::Previous).unwrap_err());
        assert_eq!(outside(&target), outside(&source));
        shell(&target, "mount -o remount,rw .");
        store.undo(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before);
    }
}
