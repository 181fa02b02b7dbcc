//! Whose a run's folder is: other trees, two hosts, two versions; what is half replaced; what stays. In a mounted tree and in a pod.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::ports::{Discard, Holds, Undone};
use plan::{Class, InstallationId};

use super::in_place::Broken;
use super::over_there::{LocalRemote, pod, pod_of};
use super::*;
use crate::RemoteFilesStore;

/// Both ways to a tree.
fn ways(path: &Path) -> [Box<dyn DataSet>; 2] {
    [Box::new(store(path)), Box::new(pod(path))]
}

fn of(installation: &str, run: &str) -> Context {
    Context { run: plan::ids::RunId(run.to_owned()), installation: InstallationId::named(installation), ..context() }
}

fn trees() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    shell(&source, "mkdir a b; echo a > a/f; echo new > c; touch -d @1000000 .");
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; touch -d @2000000 .");
    (guard, source, target)
}

/// Stages and cuts over.
fn restore(store: &dyn DataSet, context: &Context, memory: &Arc<Memory>, kept: &KeptDataSet) -> Place {
    let place = store.reserve(context, kept, Road::SideCopy).unwrap();
    store.stage(context, &place, Arc::clone(memory) as Arc<dyn Snapshot>, kept).unwrap();
    store.cut_over(context, &place).unwrap();
    place
}

#[test]
fn another_installations_folder_knows_nothing_of_a_run_and_loses_nothing() {
    for way in [0, 1] {
        let (guard, source, target) = trees();
        let other = guard.path().join("other");
        shell(guard.path(), "mkdir other; echo b > other/of-b");
        let (memory, kept) = backup(&source);
        let (before, before_b) = (outside(&target), outside(&other));
        let (all_here, all_there) = (ways(&target), ways(&other));
        let (here, there) = (&*all_here[way], &*all_there[way]);
        let (a, b) = (of("a", "01jrun"), of("b", "01jrun"));
        let place = restore(here, &a, &memory, &kept);
        assert_eq!(there.undo(&b, &place).unwrap(), Undone::NothingThere);
        assert_eq!(there.cut_over(&b, &place).unwrap_err().class(), Class::NeedsPerson);
        [Discard::Staged, Discard::Previous].into_iter().for_each(|what| there.discard(&b, &place, what).unwrap());
        assert_eq!(outside(&other), before_b);

        let error = here.discard(&a, &place, Discard::Staged).unwrap_err();
        assert!(error.class() == Class::NeedsPerson && target.join(".threescale-backup/01jrun/before/c").exists(), "{error:?}");
        [0, 1].into_iter().for_each(|_| assert_eq!(here.undo(&a, &place).unwrap(), Undone::PreviousIsLive));
        here.discard(&a, &place, Discard::Staged).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (before, false));
        assert_eq!(here.undo(&a, &place).unwrap(), Undone::NothingThere);
    }
}

#[test]
fn a_tree_is_known_before_there_is_any_mark_in_it() {
    let (guard, source, target) = trees();
    shell(guard.path(), "mkdir other; echo b > other/of-b");
    let other = guard.path().join("other");
    let (memory, kept) = backup(&source);
    for road in [Road::SideCopy, Road::InPlace] {
        let place = store(&target).reserve(&context(), &kept, road).unwrap();
        let snapshot = Arc::clone(&memory) as Arc<dyn Snapshot>;
        assert_eq!(store(&other).stage(&context(), &place, snapshot, &kept).unwrap_err().class(), Class::Refused);
    }
    assert!(other.join("of-b").exists() && !other.join(".threescale-backup").exists());
    let claimed = |uid: &str| {
        let options = Options { identity: Some(format!("claim {uid}")), ..Options::default() };
        let path = target.to_str().unwrap().to_owned();
        RemoteFilesStore::new(DataSetName::SystemStorage, Arc::new(LocalRemote::default()), path, options)
    };
    let place = claimed("1").reserve(&context(), &kept, Road::SideCopy).unwrap();
    let other_claim = claimed("2").stage(&context(), &place, memory, &kept);
    assert_eq!(other_claim.unwrap_err().class(), Class::Refused);
    assert_eq!(claimed("1").look(&context()).unwrap().identity.as_deref(), Some("claim 1"));
    assert_eq!(pod_of(&target, LocalRemote::default()).identity(&context()).unwrap(), None);
}

#[test]
fn the_identity_of_a_folder_stays_over_a_cut_over_and_its_undo() {
    let (_guard, source, target) = trees();
    let (memory, kept) = backup(&source);
    let store = store(&target);
    let identity = store.identity(&context()).unwrap();
    assert_eq!(store.look(&context()).unwrap().identity, identity);
    assert_ne!(identity, super::store(&source).identity(&context()).unwrap());
    let place = restore(&store, &context(), &memory, &kept);
    assert_eq!(store.identity(&context()).unwrap(), identity);
    store.undo(&context(), &place).unwrap();
    assert_eq!(store.identity(&context()).unwrap(), identity);
    assert!(identity.unwrap().starts_with("folder "), "on the file system of these tests");
}

#[test]
fn of_two_restores_the_newer_one_is_undone_first() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let (memory, kept) = backup(&source);
        let before = outside(&target);
        let all = ways(&target);
        let store = &*all[way];
        let (one, two) = (of("a", "01one"), of("a", "01two"));
        let place_one = restore(store, &one, &memory, &kept);
        write(target.join("since"), "one");
        let place_two = restore(store, &two, &memory, &kept);
        let both = outside(&target);
        let error = store.undo(&one, &place_one).unwrap_err();
        assert!(error.class() == Class::NeedsPerson && error.to_string().contains("run 01two"), "{error:?}");
        assert_eq!(store.discard(&one, &place_one, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
        assert_eq!(outside(&target), both);
        for (context, place) in [(&two, &place_two), (&one, &place_one)] {
            assert_eq!(store.undo(context, place).unwrap(), Undone::PreviousIsLive);
            store.discard(context, place, Discard::Staged).unwrap();
        }
        assert_eq!((outside(&target), target.join(".threescale-backup/01two").exists()), (before, false));
        assert_eq!(std::fs::read(target.join(".threescale-backup/01one/since/since")).unwrap(), b"one");
    }
}

#[test]
fn a_tree_that_is_half_replaced_in_place_is_seen_and_never_backed_up() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        shell(&source, "for n in $(seq 40); do head -c 100000 /dev/urandom > big$n; done");
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let (store, a) = (&*all[way], of("a", "01jrun"));
        let place = store.reserve(&a, &kept, Road::InPlace).unwrap();
        let broken = Arc::new(Broken { memory: Arc::clone(&memory), left: Mutex::new(20) });
        assert!(store.stage(&a, &place, broken, &kept).is_err());
        for elsewhere in &all {
            let b = of("b", "01other");
            assert_eq!(elsewhere.look(&b).unwrap().half_loaded_by.as_deref(), Some("01jrun"));
            assert_eq!(elsewhere.dump(&b).err().unwrap().class(), Class::Refused);
            let over = elsewhere.reserve(&b, &kept, Road::InPlace).unwrap();
            let over = elsewhere.stage(&b, &over, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept);
            assert_eq!(over.unwrap_err().class(), Class::NeedsPerson, "no other run goes on over it");
        }
        assert!(store.tidy(&a, &place).is_err());
        store.stage(&a, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
        store.tidy(&a, &place).unwrap();
        assert_eq!(store.look(&a).unwrap().half_loaded_by, None);
        assert!(store.dump(&a).is_ok());
        store.discard(&a, &place, Discard::Previous).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (outside(&source), false));
    }
}

#[test]
fn half_a_swap_is_not_backed_up() {
    let (_guard, source, target) = trees();
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let calls = std::sync::atomic::AtomicU32::new(0);
    let dying = hooked(&target, move |moment, _| {
        let dies = moment == Moment::Moving && calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 3;
        if dies { Err(std::io::Error::other("crashed")) } else { Ok(()) }
    });
    assert!(dying.cut_over(&context(), &place).is_err());
    for store in ways(&target) {
        assert_eq!(store.look(&context()).unwrap().half_loaded_by.as_deref(), Some("01jrun"));
        assert_eq!(store.dump(&context()).err().unwrap().class(), Class::Refused);
        let left = store.leftovers(&context()).unwrap();
        assert_eq!(left[0].holds, Holds::Previous);
        assert_eq!(store.remove_leftover(&context(), &left[0]).unwrap_err().class(), Class::NeedsPerson, "it holds live files");
    }
    store(&target).undo(&context(), &place).unwrap();
    assert_eq!(store(&target).look(&context()).unwrap().half_loaded_by, None);
}

#[test]
fn leftovers_are_found_with_whose_they_are_and_go_only_while_they_are_what_they_were() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let store = &*all[way];
        let live = outside(&target);
        let place = store.reserve(&of("prod", "01one"), &kept, Road::SideCopy).unwrap();
        store.stage(&of("prod", "01one"), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
        // Version 0.1.0 left empty folders, and wrote no mark.
        shell(&target, "mkdir .threescale-backup/01old; touch -d @2000000 .");
        let found = all[1 - way].leftovers(&context()).unwrap();
        let told: Vec<_> = found.iter().map(|left| (left.run.as_str(), left.holds)).collect();
        assert_eq!(told, [("01old", Holds::Mark), ("01one", Holds::Staged)]);
        assert_eq!(found[1].installation, Some(InstallationId::named("prod")));
        assert!(found[1].bytes > Some(0) && found[1].what.contains(".threescale-backup/01one"), "{found:?}");
        let staged = found[1].clone();
        store.cut_over(&of("prod", "01one"), &place).unwrap();
        assert_eq!(store.remove_leftover(&context(), &staged).unwrap_err().class(), Class::NeedsPerson, "it holds the previous files now");
        store.undo(&of("prod", "01one"), &place).unwrap();
        for left in store.leftovers(&context()).unwrap() {
            store.remove_leftover(&context(), &left).unwrap();
            store.remove_leftover(&context(), &left).unwrap();
        }
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (live, false));
        let mut forged = staged;
        forged.handle["run"] = "../..".into();
        store.remove_leftover(&context(), &forged).unwrap();
        assert!(target.join("c").exists());
    }
}

#[test]
fn a_removal_of_the_staged_copy_that_was_cut_off_is_no_settled_run() {
    let (_guard, source, target) = trees();
    let (memory, kept) = backup(&source);
    let place = restore(&store(&target), &context(), &memory, &kept);
    store(&target).undo(&context(), &place).unwrap();
    let stopped = context();
    stopped.stop.raise();
    assert_eq!(store(&target).discard(&stopped, &place, Discard::Staged).unwrap_err().class(), Class::Interrupted);
    for store in ways(&target) {
        assert_eq!(store.undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(store.cut_over(&context(), &place).unwrap_err().class(), Class::NeedsPerson);
    }
    store(&target).discard(&context(), &place, Discard::Staged).unwrap();
    assert!(!target.join(".threescale-backup").exists());
}

#[test]
fn a_run_of_version_0_1_0_goes_on_and_back() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let (memory, kept) = backup(&source);
        let before = outside(&target);
        restore(&store(&target), &context(), &memory, &kept);
        // As it was written then: no mark, no order in the swap, and a place of run and road.
        let run = target.join(".threescale-backup/01jrun");
        std::fs::remove_file(run.join("mark.json")).unwrap();
        let mut swap: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("swap.json")).unwrap()).unwrap();
        swap.as_object_mut().unwrap().remove("order");
        write(run.join("swap.json"), swap.to_string());
        let place = Place(serde_json::json!({"run": "01jrun", "road": "side-copy"}));
        let all = ways(&target);
        assert_eq!(all[way].undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(outside(&target), before);
        all[way].discard(&context(), &place, Discard::Staged).unwrap();
        assert!(!target.join(".threescale-backup").exists());
    }
}

#[test]
fn what_a_later_run_has_replaced_is_not_taken_back_also_when_that_one_is_settled() {
    for way in [0, 1] {
        let (_guard, source, target) = trees();
        let before = outside(&target);
        let (memory, kept) = backup(&source);
        let all = ways(&target);
        let restore = |store: &dyn DataSet, context: &Context| {
            let place = store.reserve(context, &kept, Road::SideCopy).unwrap();
            store.stage(context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
            store.cut_over(context, &place).unwrap();
            place
        };
        let (p, q) = (of("prod", "01p"), of("other", "01q"));
        let of_p = restore(&*all[way], &p);
        shell(&target, "echo p > since-p");
        // Taken back, the later one is nobody's matter any more.
        let of_q = restore(&*all[1 - way], &q);
        assert_eq!(all[way].undo(&q, &of_q).unwrap(), Undone::PreviousIsLive);
        all[way].discard(&q, &of_q, Discard::Staged).unwrap();
        assert_eq!(all[way].undo(&p, &of_p).unwrap(), Undone::PreviousIsLive);
        assert_eq!(outside(&target), before, "{way}");
        all[way].cut_over(&p, &of_p).unwrap();

        let of_q = restore(&*all[1 - way], &q);
        all[1 - way].discard(&q, &of_q, Discard::Previous).unwrap();
        shell(&target, "echo now > live-now");
        let live = outside(&target);
        for store in &all {
            let error = store.undo(&p, &of_p).unwrap_err();
            assert!(error.class() == Class::NeedsPerson && error.to_string().contains("run 01q has replaced"), "{error:?}");
            assert_eq!(outside(&target), live);
        }
        all[way].discard(&p, &of_p, Discard::Previous).unwrap();
        assert_eq!((outside(&target), target.join(".threescale-backup").exists()), (live, false));
    }
}
