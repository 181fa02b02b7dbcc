//! What was made, changed or removed after a cut-over is kept beside when that is undone, told with its folder, and goes only when somebody says so.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::ports::{Holds, Undone};

use super::over_there::pod;
use super::*;

fn ways(path: &Path) -> [Box<dyn DataSet>; 2] {
    [Box::new(store(path)), Box::new(pod(path))]
}

fn trees() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    shell(
        &source,
        "mkdir -p a/b/c odd$'\\n'x/y; echo a > a/f; echo deep > a/b/c/deep; echo gone > a/b/gone; echo o > odd$'\\n'x/y/o; echo new > c; ln -s c d; mkdir -m 555 closed
         echo t > closed/t; touch -d '2040-01-01' a/b/c/deep a/b c; touch -d @1000000.5 .",
    );
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; touch -d @2000000.5 .");
    (guard, source, target)
}

pub(super) fn warned(watch: &Warned) -> Vec<String> {
    watch.0.lock().unwrap().clone()
}

pub(super) fn watched() -> (Context, Arc<Warned>) {
    let watch = Arc::new(Warned::default());
    (Context { watch: Arc::clone(&watch) as Arc<dyn Watch>, ..context() }, watch)
}

#[test]
fn what_was_made_since_the_cut_over_is_kept_beside_and_told() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        // An upload with an old time, one over a restored file, one whose time is set back, a new folder, a removed file, names of any bytes.
        shell(
            &target,
            "echo up > a/b/up; touch -d @5 a/b/up; echo changed > a/b/c/deep; touch -d '2040-01-01' a/b/c/deep; rm a/b/gone; mkdir -p new/n; mkdir empty
             echo n > new/n/$'n\\n'; ln -s somewhere new/link; mkfifo new/pipe; chmod 600 c; mv odd$'\\n'x/y/o odd$'\\n'x/y/renamed; chown 7:8 new; chmod 750 new",
        );
        let live = |path: &str| String::from_utf8_lossy(&shell(&target, &format!("cat {path}"))).into_owned();
        let (context, watch) = watched();
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!((outside(&target), outside_root(&target)), before, "way {way}");
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before, "way {way}");

        let own = target.join(".threescale-backup/01jrun");
        let mut names: Vec<_> = std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["mark.json", "since", "swap.json"], "way {way}");
        let found = shell(&own.join("since"), "find . -mindepth 1 -printf '%y %p\\0' | sort -z | tr '\\0\\n' '\\n?'");
        let wanted = "d ./a\nd ./a/b\nd ./a/b/c\nd ./empty\nd ./new\nd ./new/n\nd ./odd?x\nd ./odd?x/y\nf ./a/b/c/deep\nf ./a/b/up\nf ./c\nf ./new/n/n?\nf ./odd?x/y/renamed\nl ./new/link\np ./new/pipe\n";
        assert_eq!(String::from_utf8_lossy(&found), wanted, "way {way}");
        assert_eq!(
            (live(".threescale-backup/01jrun/since/a/b/up"), live(".threescale-backup/01jrun/since/a/b/c/deep")),
            ("up\n".to_owned(), "changed\n".to_owned())
        );
        if way == 0 {
            assert_eq!(String::from_utf8_lossy(&shell(&own.join("since"), "stat -c '%a %u %g' new")), "750 7 8\n");
        }

        let told = warned(&watch);
        let told: Vec<_> = told.iter().filter(|text| text.contains("since the cut-over")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("7 files") && told[0].contains("/.threescale-backup/01jrun/since"), "{told:?}");
        assert!(told[0].contains("`abandon 01jrun --remove --drop-previous`"), "{told:?}");

        // Whoever looks finds it, and it goes only when somebody says so.
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        store.discard(&context, &place, Discard::Staged).unwrap();
        for way in &all {
            let left = way.leftovers(&context).unwrap();
            assert_eq!(left.len(), 1);
            assert!(left[0].what.contains("changed after its cut-over") && left[0].holds == Holds::Previous, "{left:?}");
        }
        let left = store.leftovers(&context).unwrap();
        store.remove_leftover(&context, &left[0]).unwrap();
        assert!(!target.join(".threescale-backup").exists());
        assert_eq!((outside(&target), outside_root(&target)), before);
    }
}

#[test]
fn where_nothing_was_made_since_nothing_is_kept() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        // Reading changes nothing.
        shell(&target, "find . -type f -exec cat {} + > /dev/null");
        let (context, watch) = watched();
        store.undo(&context, &place).unwrap();
        let found = store.prove(&context, &place, &kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new(), "the staged copy is whole again");
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (before, false), "way {way}: {:?}", warned(&watch));
        assert_eq!(warned(&watch), Vec::<String>::new());
    }
}

#[test]
fn a_platform_that_touches_all_files_does_not_make_them_changed() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        // As a kubelet does for `fsGroup`: every file and folder, with what it has already.
        shell(
            &target,
            "touch -d @4000000000 c; touch -d @1000000 c; find . -mindepth 1 -path ./.threescale-backup -prune -o -exec chown -h 0:0 {} +",
        );
        shell(&target, "echo up > a/b/up; cp -p a/f a/copied; echo changed > a/b/gone");
        store.undo(&context(), &place).unwrap();
        assert_eq!(outside(&target), before);
        store.discard(&context(), &place, Discard::Staged).unwrap();
        let found = shell(&target.join(".threescale-backup/01jrun/since"), "find . -mindepth 1 -printf '%y %p\n' | sort");
        // The time of `deep` lies in the future: nobody can tell that it was not written since. Programs in a pod do not tell when a file was made.
        let copied = if way == 0 { "f ./a/copied\n" } else { "" };
        let wanted = format!("d ./a\nd ./a/b\nd ./a/b/c\nf ./a/b/c/deep\nf ./a/b/gone\nf ./a/b/up\n{copied}");
        assert_eq!(String::from_utf8_lossy(&found), wanted, "way {way}");
    }
}

#[test]
fn an_undo_that_broke_while_it_kept_goes_on_and_keeps_all() {
    let (guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    store(&target).cut_over(&context(), &place).unwrap();
    shell(&target, "for n in 1 2 3 4 5 6; do mkdir -p up/$n; echo $n > up/$n/f; done");
    // The script is killed at the fourth of them.
    let shims = guard.path().join("shims");
    std::fs::create_dir(&shims).unwrap();
    write(
        shims.join("mv"),
        "#!/bin/sh\ncase \"$*\" in *since*) [ \"$(ls -d $(dirname $0)/n* 2>/dev/null | wc -l)\" -lt 3 ] || kill -9 0; mktemp $(dirname $0)/nXXXXXX >/dev/null ;; esac\nexec /bin/mv \"$@\"\n",
    );
    shell(&shims, "chmod +x mv");
    let broken = super::over_there::pod_of(&target, super::over_there::LocalRemote { shims: Some(shims), ..Default::default() });
    assert!(broken.undo(&context(), &place).is_err());
    write(target.join("up/7"), "meanwhile");
    for _ in 0..2 {
        assert_eq!(store(&target).undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
    }
    assert_eq!(outside(&target), before);
    store(&target).discard(&context(), &place, Discard::Staged).unwrap();
    let all = shell(&target, "cd .threescale-backup/01jrun/since; find . -type f | sort | xargs cat");
    assert_eq!(String::from_utf8_lossy(&all), "1\n2\n3\n4\n5\n6\nmeanwhile");
}

#[test]
fn what_cannot_be_kept_apart_stays_with_all_of_the_restored_copy() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        match way {
            // A path that is too long for the programs over there.
            1 => shell(&target, "n=$(printf 'd%.0s' {1..200}); for i in {1..30}; do mkdir $n; cd -P $n; done; echo up > up"),
            // Something that cannot be moved.
            _ => shell(&target, "mkdir up; echo up > up/up; chattr +i up/up"),
        };
        let (context, watch) = watched();
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(outside(&target), before);
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_eq!(outside(&target), before);
        assert!(warned(&watch).iter().any(|text| text.contains("01jrun/stage until `abandon 01jrun")), "{:?}", warned(&watch));
        let found =
            shell(&target.join(".threescale-backup/01jrun/stage"), "chattr -R -i . 2>/dev/null || true; find . -name up -type f -printf x");
        assert_eq!(found, b"x");
        let left = store.leftovers(&context).unwrap();
        assert!(left[0].holds == Holds::Previous && left[0].what.contains("changed after its cut-over"), "{left:?}");
        store.remove_leftover(&context, &left[0]).unwrap();
        assert!(!target.join(".threescale-backup").exists());
    }
}

#[test]
fn what_came_in_the_middle_of_a_swap_outlives_its_undo() {
    let (_guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let (at, seen) = (target.clone(), std::sync::atomic::AtomicU32::new(0));
    let racing = hooked(&target, move |moment, path| {
        if moment == Moment::Moving && path == Path::new("c") && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            write(at.join("c"), "a writer's");
        }
        Ok(())
    });
    racing.cut_over(&context(), &place).unwrap();
    store(&target).undo(&context(), &place).unwrap();
    store(&target).discard(&context(), &place, Discard::Staged).unwrap();
    assert_eq!(outside(&target), before);
    assert_eq!(std::fs::read(target.join(".threescale-backup/01jrun/late/c")).unwrap(), b"a writer's");
    store(&target).discard(&context(), &place, Discard::Previous).unwrap();
    assert!(!target.join(".threescale-backup").exists());
}

#[test]
fn what_was_made_since_a_load_in_place_is_kept_beside_when_the_safety_copy_goes_back() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        shell(&target, "touch -d @2000000.5 .");
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let (safety, mut safety_kept) = backup(&target);
        safety_kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "01jrun".to_owned());
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::InPlace);
        store.tidy(&context(), &place).unwrap();
        let live = outside(&target);
        let own = target.join(".threescale-backup/01jrun");
        assert!(!store.look(&context()).unwrap().restore_problems.iter().any(|problem| problem.text.contains("half")));
        shell(
            &target,
            "echo up > a/b/up; touch -d @5 a/b/up; echo changed > a/b/c/deep; touch -d '2040-01-01' a/b/c/deep; mkdir -p new/n; echo n > new/n/$'n\\n'
             ln -s somewhere new/link; chmod 600 c; mv odd$'\\n'x/y/o odd$'\\n'x/y/renamed",
        );
        assert_ne!(outside(&target), live);
        let (context, watch) = watched();
        for _ in 0..2 {
            let snapshot: Arc<dyn Snapshot> = Arc::clone(&safety) as Arc<dyn Snapshot>;
            store.stage(&context, &place, snapshot, &safety_kept).unwrap();
            let found = store.prove(&context, &place, &safety_kept).unwrap();
            assert_eq!(safety_kept.evidence.differences(&found), Vec::<String>::new(), "way {way}");
            store.tidy(&context, &place).unwrap();
            store.tidy(&context, &place).unwrap();
            assert_eq!((outside(&target), outside_root(&target)), before, "way {way}");
        }
        let found = shell(&own.join("since"), "find . -mindepth 1 -printf '%y %p\\0' | sort -z | tr '\\0\\n' '\\n?'");
        let wanted = "d ./a\nd ./a/b\nd ./a/b/c\nd ./new\nd ./new/n\nd ./odd?x\nd ./odd?x/y\nf ./a/b/c/deep\nf ./a/b/up\nf ./c\nf ./new/n/n?\nf ./odd?x/y/renamed\nl ./new/link\n";
        assert_eq!(String::from_utf8_lossy(&found), wanted, "way {way}");
        let told = warned(&watch);
        let told: Vec<_> = told.iter().filter(|text| text.contains("since the cut-over")).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("6 files") && told[0].contains("/.threescale-backup/01jrun/since"), "{told:?}");
        for way in &all {
            assert_eq!(way.look(&context).unwrap().half_loaded_by, None);
            let left = way.leftovers(&context).unwrap();
            assert!(left.len() == 1 && left[0].holds == Holds::Previous, "{left:?}");
        }
        store.remove_leftover(&context, &store.leftovers(&context).unwrap()[0]).unwrap();
        assert!(!target.join(".threescale-backup").exists());
        assert_eq!((outside(&target), outside_root(&target)), before);
    }
}

#[test]
fn where_nothing_was_made_since_a_load_in_place_nothing_is_kept_and_settle_leaves_nothing() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let (safety, mut safety_kept) = backup(&target);
        safety_kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "01jrun".to_owned());
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::InPlace);
        let (context, watch) = watched();
        store.tidy(&context, &place).unwrap();
        shell(&target, "find . -type f -exec cat {} + > /dev/null");
        store.stage(&context, &place, Arc::clone(&safety) as Arc<dyn Snapshot>, &safety_kept).unwrap();
        store.tidy(&context, &place).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (before, false), "way {way}");
        assert_eq!(warned(&watch), Vec::<String>::new());

        let place = stage_into(store, &memory, &kept, Road::InPlace);
        store.tidy(&context, &place).unwrap();
        assert!(target.join(".threescale-backup/01jrun/staged.json").exists(), "it tells when the load came to its end");
        store.discard(&context, &place, Discard::Previous).unwrap();
        assert!(!target.join(".threescale-backup").exists(), "way {way}");
    }
}

#[test]
fn what_was_made_since_a_load_in_place_and_cannot_be_kept_apart_is_not_written_over() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let (safety, mut safety_kept) = backup(&target);
        safety_kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "01jrun".to_owned());
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::InPlace);
        shell(&target, "mkdir up; echo up > up/up; echo also > up/also; chattr +i up/up");
        let put_back = || store.stage(&context(), &place, Arc::clone(&safety) as Arc<dyn Snapshot>, &safety_kept);
        let error = put_back().unwrap_err();
        assert!(format!("{error:?}").contains("up/up") && format!("{error:?}").contains("undo again"), "{error:?}");
        assert_eq!(std::fs::read(target.join("up/up")).unwrap(), b"up\n");
        assert_eq!(store.look(&context()).unwrap().half_loaded_by, None);
        shell(&target, "chattr -i up/up");
        put_back().unwrap();
        assert_eq!(outside(&target), before, "way {way}");
        let all = shell(&target, "cd .threescale-backup/01jrun/since; find . -type f | sort | xargs cat");
        assert_eq!(String::from_utf8_lossy(&all), "also\nup\n", "way {way}");
    }
}

#[test]
fn previous_data_that_is_not_all_there_is_not_swapped_for_what_is_live() {
    for gone in ["before", "before/a"] {
        for way in [0, 1] {
            let (_guard, source, target) = trees();
            let (memory, kept) = backup(&source);
            let all = ways(&target);
            let place = stage_into(&*all[way], &memory, &kept, Road::SideCopy);
            all[way].cut_over(&context(), &place).unwrap();
            let live = outside(&target);
            shell(&target, &format!("mv .threescale-backup/01jrun/{gone} .threescale-backup/01jrun/away"));
            for store in &all {
                let error = store.undo(&context(), &place).unwrap_err();
                assert_eq!(error.class(), plan::Class::NeedsPerson, "{gone} {way}: {error:?}");
                assert_eq!(outside(&target), live, "{gone} {way}");
            }
            shell(
                &target,
                &format!(
                    "rmdir .threescale-backup/01jrun/{gone} 2>/dev/null || true; mv -T .threescale-backup/01jrun/away .threescale-backup/01jrun/{gone}"
                ),
            );
            assert_eq!(all[1 - way].undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
        }
    }
}

#[test]
fn what_somebody_changed_in_the_previous_data_is_told_and_the_restored_copy_stays() {
    let changes = [
        ("", None),
        ("rm a/deep/lost", Some("a/deep")),
        ("mv a/deep/lost a/deep/other", Some("a/deep")),
        ("echo other > a/deep/lost; touch -d @7 a/deep/lost", Some("a/deep/lost")),
        ("rm -r a/deep", Some("a")),
    ];
    for (way, (change, first)) in (0..2).flat_map(|way| changes.map(|change| (way, change))) {
        let (_guard, source, target) = trees();
        shell(&target, "mkdir a/deep; echo lost > a/deep/lost");
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        let restored = outside(&target);
        let own = target.join(".threescale-backup/01jrun");
        shell(&own.join("before"), change);
        let (context, watch) = watched();
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        store.discard(&context, &place, Discard::Staged).unwrap();
        let told = warned(&watch);
        let is_told = |text: &String| {
            first.is_some_and(|first| text.contains(&format!("{first:?} and the like"))) && text.contains("not all as it was")
        };
        assert!(told.len() == usize::from(first.is_some()) && told.iter().all(is_told), "way {way}, {change}: {told:?}");
        let left = store.leftovers(&context).unwrap();
        assert_eq!(left.len(), told.len(), "way {way}, {change}");
        if let [left] = left.as_slice() {
            assert_eq!((outside(&own.join("stage")), left.holds), (restored, Holds::Previous), "way {way}, {change}");
            store.remove_leftover(&context, left).unwrap();
        }
        assert!(!own.exists());
    }
}
