//! What is mounted in the tree, at any depth, and what cannot be changed: seen before anything is touched, never removed, never descended into to remove.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::ports::{Problem, Severity};

use super::over_there::pod;
use super::*;

/// Takes what is mounted, and attributes, away at the end, so that the folder can go.
struct Tidy(PathBuf);

impl Drop for Tidy {
    fn drop(&mut self) {
        let script = "chattr -R -i -a . 2>/dev/null; grep -F \" $PWD/\" /proc/self/mountinfo | cut -d ' ' -f 5 | sort -r | while read -r at; do umount -l \"$(printf %b \"$at\")\"; done";
        Command::new("sh").args(["-c", script]).current_dir(&self.0).status().ok();
    }
}

fn ways(path: &Path) -> [Box<dyn DataSet>; 2] {
    [Box::new(store(path)), Box::new(pod(path))]
}

const MOUNTS: [&str; 3] = [
    "mount -t tmpfs tmpfs tree/a/m",
    // The same volume: no number of a device tells.
    "mkdir ../elsewhere; echo elsewhere > ../elsewhere/file; mount --bind ../elsewhere tree/a/m",
    "touch tree/a/m/point; echo elsewhere > ../file; mount --bind ../file tree/a/m/point",
];

fn trees(mount: &str) -> (TempDir, PathBuf, PathBuf, Tidy) {
    let (guard, source, target) = folders();
    shell(&source, "mkdir -p tree/a; echo new > tree/a/f; echo new > new");
    shell(&target, "mkdir -p tree/a/m tree/b; echo old > tree/a/f; echo old > old");
    shell(&target, mount);
    let tidy = Tidy(guard.path().to_owned());
    (guard, source, target, tidy)
}

fn blocking(problems: &[Problem]) -> Vec<&Problem> {
    problems.iter().filter(|problem| problem.severity == Severity::Blocks).collect()
}

#[test]
fn a_mount_at_any_depth_decides_the_road_and_nothing_is_swapped_over_it() {
    for mount in MOUNTS {
        let (_guard, source, target, _tidy) = trees(mount);
        let (memory, kept) = backup(&source);
        let before = outside(&target);
        let findings = store(&target).look(&context()).unwrap();
        assert_eq!(findings.road, Road::InPlace, "{mount}");
        let because = findings.facts.iter().find(|(name, _)| name == "in-place-because").unwrap();
        assert!(because.1.contains("tree/a/m"), "{because:?}");
        // A file stands in the way of either road.
        let is_told = blocking(&findings.restore_problems).iter().any(|problem| problem.text.contains("a single file is mounted"));
        assert_eq!(is_told, mount.contains("../file"), "{findings:?}");
        let there = pod(&target).look(&context()).unwrap();
        assert!(blocking(&there.restore_problems).iter().any(|problem| problem.text.contains("tree/a/m")), "{there:?}");
        for store in ways(&target) {
            let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
            let staged = store.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept);
            let error = staged.and_then(|()| store.cut_over(&context(), &place)).unwrap_err();
            assert!(error.class() == plan::Class::Refused && error.to_string().contains("tree/a/m"), "{error:?}");
            assert_eq!(outside(&target), before, "{mount}");
            store.discard(&context(), &place, Discard::Previous).unwrap();
        }
        let (_, kept) = backup(&target);
        assert!(
            kept.evidence.warnings.iter().any(|text| text.contains("tree/a/m") && text.contains("mounted")),
            "{:?}",
            kept.evidence.warnings
        );
    }
}

#[test]
fn what_is_mounted_after_staging_is_seen_by_the_cut_over_and_by_the_undo() {
    for way in [0, 1] {
        let (_guard, source, target, _tidy) = trees("true");
        let (memory, kept) = backup(&source);
        let before = outside(&target);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        shell(&target, "mount -t tmpfs tmpfs tree/a/m; echo v > tree/a/m/v");
        // The proof is the last that is done while the writers still run.
        assert_eq!(store.prove(&context(), &place, &kept).unwrap_err().class(), plan::Class::Refused);
        assert_eq!(store.cut_over(&context(), &place).unwrap_err().class(), plan::Class::Refused);
        shell(&target, "umount tree/a/m");
        assert_eq!(outside(&target), before);
        store.cut_over(&context(), &place).unwrap();
        let restored = outside(&target);
        shell(&target, "mount -t tmpfs tmpfs tree/a; echo v > tree/a/v");
        assert_eq!(store.undo(&context(), &place).unwrap_err().class(), plan::Class::Refused);
        shell(&target, "umount tree/a");
        assert_eq!(outside(&target), restored, "nothing was moved");
        // In the run's own folder nothing is removed from a mount either.
        shell(&target, "mkdir ../kept; echo kept > ../kept/file; mount --bind ../kept .threescale-backup/01jrun/before/tree/a/m");
        assert!(store.discard(&context(), &place, Discard::Previous).is_err());
        assert_eq!(shell(&target, "cat ../kept/file"), b"kept\n");
    }
}

#[test]
fn in_place_what_is_mounted_stays_mounted_and_is_a_folder_of_the_set_or_nothing_is_touched() {
    for mount in MOUNTS {
        for way in [0, 1] {
            let (_guard, source, target, _tidy) = trees(mount);
            let (memory, kept) = backup(&source);
            let before = outside(&target);
            let all = ways(&target);
            let place = all[way].reserve(&context(), &kept, Road::InPlace).unwrap();
            let error = all[way].stage(&context(), &place, memory, &kept).unwrap_err();
            assert!(error.class() == plan::Class::Refused && error.to_string().contains("tree/a/m"), "{error:?}");
            assert_eq!(outside(&target), before, "{mount} {way}");
        }
    }
    let (_guard, source, target, _tidy) = trees("mount -t tmpfs tmpfs tree/a/m; echo gone > tree/a/m/gone");
    shell(&source, "mkdir tree/a/m; echo in > tree/a/m/in");
    let (memory, kept) = backup(&source);
    stage(&target, &memory, &kept, Road::InPlace);
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(
        shell(&target, "findmnt -n -o FSTYPE --mountpoint tree/a/m; umount tree/a/m; ls tree/a/m"),
        b"tmpfs\n",
        "it was restored into what is mounted"
    );
}

#[test]
fn what_cannot_be_changed_is_named_with_its_command_before_anything_is_touched() {
    for (make, named) in [
        ("chattr +i tree", "tree"),
        ("chattr +a tree", "tree"),
        ("chattr +i tree/a/f", "tree/a/f"),
        ("chattr +a old", "old"),
        ("chattr +i .", "."),
    ] {
        for way in [0, 1] {
            let (_guard, source, target, _tidy) = trees("true");
            let (memory, kept) = backup(&source);
            let all = ways(&target);
            let place = all[way].reserve(&context(), &kept, Road::SideCopy).unwrap();
            all[way].stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
            shell(&target, make);
            let before = outside(&target);
            let findings = all[way].look(&context()).unwrap();
            let told = blocking(&findings.restore_problems);
            assert!(
                told.iter().any(|problem| problem.way_out.as_ref().is_some_and(|way_out| way_out.contains("chattr -i -a"))),
                "{make}: {told:?}"
            );
            if !named.contains("/a/") {
                let error = all[way].cut_over(&context(), &place).unwrap_err();
                assert!(
                    error.class() == plan::Class::Refused && error.hints().iter().any(|hint| hint.contains("chattr -i -a -- '")),
                    "{error:?}"
                );
            }
            if way == 0 && named != "." {
                let place = all[way].reserve(&context(), &kept, Road::InPlace).unwrap();
                let error = all[way].stage(&context(), &place, memory, &kept).unwrap_err();
                assert!(error.class() == plan::Class::Refused && error.to_string().contains(named), "{error:?}");
            }
            assert_eq!(outside(&target), before, "{make} {way}");
        }
    }
}

#[test]
fn a_file_that_became_immutable_since_is_named_with_its_command_at_settle() {
    for way in [0, 1] {
        let (_guard, source, target, _tidy) = trees("true");
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        shell(&target, "chattr +i .threescale-backup/01jrun/before/tree/a/f");
        let error = store.discard(&context(), &place, Discard::Previous).unwrap_err();
        assert!(error.hints().iter().any(|hint| hint.contains("chattr -i -a")), "{error:?}");
        assert!(error.hints().iter().all(|hint| !hint.contains("Run as the owner")), "{error:?}");
        shell(&target, "chattr -i .threescale-backup/01jrun/before/tree/a/f");
        store.discard(&context(), &place, Discard::Previous).unwrap();
        assert!(!target.join(".threescale-backup").exists());
    }
}
