//! The swap survives a crash at any rename, and a writer that does not stop.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A store that breaks at the n-th moment of moving.
fn breaking(path: &Path, at: u32) -> FilesStore {
    let calls = AtomicU32::new(0);
    hooked(path, move |moment, _| {
        // After the break nothing works any more, as after a crash: no clean-up may run.
        if moment == Moment::Moving && calls.fetch_add(1, Ordering::SeqCst) >= at {
            return Err(std::io::Error::other("crashed"));
        }
        Ok(())
    })
}

fn trees() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    shell(&source, "mkdir a b; echo a > a/f; echo new > c; ln -s c d; touch -d @1000000.5 .");
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; mkfifo p; touch -d @2000000.5 .");
    (guard, source, target)
}

#[test]
fn a_cut_over_crashed_at_any_rename_goes_on() {
    let mut crashed = 0;
    for at in 0.. {
        let (_guard, source, target) = trees();
        let (memory, kept) = backup(&source);
        let place = stage(&target, &memory, &kept, Road::SideCopy);
        if breaking(&target, at).cut_over(&context(), &place).is_ok() {
            break;
        }
        crashed += 1;
        store(&target)
            .cut_over(&context(), &place)
            .or_else(|_| {
                // The crash fell into the putting back of what was taken out: undo first.
                store(&target).undo(&context(), &place)?;
                store(&target).cut_over(&context(), &place)
            })
            .unwrap();
        assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)), "crash {at}");
        store(&target).cut_over(&context(), &place).unwrap();
        assert_eq!(outside(&target), outside(&source));
    }
    assert!(crashed >= 10, "{crashed}");
}

#[test]
fn a_cut_over_crashed_at_any_rename_can_be_undone() {
    for at in 0.. {
        let (_guard, source, target) = trees();
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let place = stage(&target, &memory, &kept, Road::SideCopy);
        let done = breaking(&target, at).cut_over(&context(), &place).is_ok();
        store(&target).undo(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before, "crash {at}");
        store(&target).undo(&context(), &place).unwrap();
        assert_eq!(outside(&target), before.0);
        let found = store(&target).prove(&context(), &place, &kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new(), "the staged copy is whole again");
        store(&target).discard(&context(), &place, plan::ports::Discard::Staged).unwrap();
        assert!(!target.join(".threescale-backup").exists());
        if done {
            break;
        }
    }
}

#[test]
fn an_undo_crashed_at_any_rename_goes_on() {
    for at in 0.. {
        let (_guard, source, target) = trees();
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let place = stage(&target, &memory, &kept, Road::SideCopy);
        store(&target).cut_over(&context(), &place).unwrap();
        let done = breaking(&target, at).undo(&context(), &place).is_ok();
        if !done && at > 0 {
            assert!(store(&target).cut_over(&context(), &place).is_err(), "an undo that began must be finished");
            assert!(store(&target).discard(&context(), &place, plan::ports::Discard::Previous).is_err(), "nothing is removed half-way");
        }
        store(&target).undo(&context(), &place).unwrap();
        assert_eq!(outside(&target), before.0, "crash {at}");
        if done {
            break;
        }
    }
}

#[test]
fn a_writer_that_never_stops_is_named_and_nothing_is_changed() {
    let (_guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let (at, calls) = (target.clone(), AtomicU32::new(0));
    let busy = hooked(&target, move |moment, path| {
        if moment == Moment::Moving && path != Path::new("swap.json") {
            write(at.join(format!("late{}", calls.fetch_add(1, Ordering::SeqCst))), "late");
        }
        Ok(())
    });
    let error = busy.cut_over(&context(), &place).unwrap_err();
    assert!(error.to_string().contains("keeps making files") && error.to_string().contains("late"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("Nothing was changed")), "{error:?}");
    shell(&target, "rm late*");
    assert_eq!(outside(&target), before);
    store(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
}

#[test]
fn what_a_writer_makes_in_the_middle_is_kept_aside() {
    let (_guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let at = target.clone();
    let seen = AtomicU32::new(0);
    // While the staged entries go in: the writer makes "c" again, which the set holds too.
    let racing = hooked(&target, move |moment, path| {
        if moment == Moment::Moving && path == Path::new("c") && seen.fetch_add(1, Ordering::SeqCst) == 1 {
            write(at.join("c"), "a writer's");
        }
        Ok(())
    });
    let context = context();
    racing.cut_over(&context, &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(std::fs::read(target.join(".threescale-backup/01jrun/late/c")).unwrap(), b"a writer's");
    store(&target).undo(&context, &place).unwrap();
    assert_eq!(outside(&target), before);
    store(&target).discard(&context, &place, plan::ports::Discard::Previous).unwrap();
}

#[test]
fn a_place_of_another_hand_is_not_followed() {
    let (_guard, _, target) = trees();
    for run in ["", "..", "a/b", "/etc"] {
        let place = Place(serde_json::json!({"run": run, "road": "side-copy"}));
        assert_eq!(
            store(&target).discard(&context(), &place, plan::ports::Discard::Previous).unwrap_err().class(),
            plan::Class::NeedsPerson
        );
    }
    assert!(target.join("a").exists());
}

#[test]
fn a_cut_over_without_a_staged_copy_is_refused() {
    let (_guard, source, target) = trees();
    let before = outside(&target);
    let (_, kept) = backup(&source);
    let place = store(&target).reserve(&context(), &kept, Road::SideCopy).unwrap();
    assert!(store(&target).cut_over(&context(), &place).is_err());
    assert!(store(&target).prove(&context(), &place, &kept).is_err());
    store(&target).undo(&context(), &place).unwrap();
    store(&target).discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(outside(&target), before);
}
