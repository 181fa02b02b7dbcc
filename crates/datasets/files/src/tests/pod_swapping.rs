//! The swap through a pod survives a script that is killed at any rename, and a writer that does not stop.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::over_there::*;
use super::*;
use crate::RemoteFilesStore;

/// A `mv` that moves one name at a time, and kills everything (script and all) instead of the n-th move.
const BREAKING: &str = r#"#!/bin/bash
real=/bin/mv; count=COUNT
step() {
    n=$(cat $count); echo $((n + 1)) > $count
    if [ "$n" -ge AT ]; then kill -9 0; fi
}
case "$*" in
'-n -t '*) to=$3; shift 4; for f; do step; $real -n -t "$to" -- "$f"; done ;;
*) step; exec $real "$@" ;;
esac
"#;

pub(super) fn breaking(folder: &Path, target: &Path, at: u32) -> RemoteFilesStore {
    let shims = folder.join("shims");
    std::fs::create_dir_all(&shims).unwrap();
    write(folder.join("count"), "0");
    write(shims.join("mv"), BREAKING.replace("COUNT", folder.join("count").to_str().unwrap()).replace("AT", &at.to_string()));
    shell(&shims, "chmod +x mv");
    pod_of(target, LocalRemote { shims: Some(shims), ..LocalRemote::default() })
}

fn trees() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    shell(&source, "mkdir a b; echo a > a/f; echo new > c; ln -s c d; : > -n; touch -d @1000000.5 .");
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; mkfifo p; echo odd > $'x\\ny z'; touch -d @-2000000.5 .");
    (guard, source, target)
}

#[test]
fn a_cut_over_killed_at_any_rename_goes_on() {
    let mut killed = 0;
    for at in 0.. {
        let (guard, source, target) = trees();
        let (memory, kept) = backup(&source);
        let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
        if breaking(guard.path(), &target, at).cut_over(&context(), &place).is_ok() {
            break;
        }
        killed += 1;
        assert!(
            at == 0 || pod(&target).discard(&context(), &place, plan::ports::Discard::Previous).is_err(),
            "nothing is removed half-way"
        );
        pod(&target).cut_over(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)), "kill {at}");
    }
    assert!(killed >= 13, "{killed}");
}

#[test]
fn a_cut_over_killed_at_any_rename_can_be_undone_there_or_here() {
    for at in 0.. {
        let (guard, source, target) = trees();
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
        let done = breaking(guard.path(), &target, at).cut_over(&context(), &place).is_ok();
        let (mount, pod) = (store(&target), pod(&target));
        let store: &dyn DataSet = if at % 2 == 0 { &pod } else { &mount };
        store.undo(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before, "kill {at}");
        store.undo(&context(), &place).unwrap();
        let found = store.prove(&context(), &place, &kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new(), "the staged copy is whole again");
        store.discard(&context(), &place, plan::ports::Discard::Staged).unwrap();
        assert!(!target.join(".threescale-backup").exists());
        assert_eq!((outside(&target), outside_root(&target)), before, "kill {at}");
        if done {
            break;
        }
    }
}

#[test]
fn an_undo_killed_at_any_rename_goes_on() {
    for at in 0.. {
        let (guard, source, target) = trees();
        let before = (outside(&target), outside_root(&target));
        let (memory, kept) = backup(&source);
        let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
        pod(&target).cut_over(&context(), &place).unwrap();
        let done = breaking(guard.path(), &target, at).undo(&context(), &place).is_ok();
        if !done && at > 0 {
            assert!(pod(&target).cut_over(&context(), &place).is_err(), "an undo that began must be finished");
        }
        pod(&target).undo(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before, "kill {at}");
        if done {
            break;
        }
    }
}

/// A `mv` behind which a writer works.
fn written_behind(folder: &Path, target: &Path, writer: &str) -> RemoteFilesStore {
    let shims = folder.join("shims");
    std::fs::create_dir_all(&shims).unwrap();
    write(shims.join("mv"), format!("#!/bin/bash\n(cd {} && {writer})\nexec /bin/mv \"$@\"\n", target.display()));
    shell(&shims, "chmod +x mv");
    pod_of(target, LocalRemote { shims: Some(shims), ..LocalRemote::default() })
}

#[test]
fn a_writer_that_never_stops_is_named_and_nothing_is_changed() {
    let (guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
    let busy = written_behind(guard.path(), &target, r#"case "$*" in *swap.json*) ;; *before*) echo late > late$RANDOM-$$ ;; esac"#);
    let error = busy.cut_over(&context(), &place).unwrap_err();
    assert!(error.to_string().contains("keeps making files") && error.to_string().contains("late"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("Nothing was changed")), "{error:?}");
    shell(&target, "rm late*");
    assert_eq!(outside(&target), before);
    pod(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
}

#[test]
fn what_a_writer_makes_in_the_middle_is_kept_aside() {
    let (guard, source, target) = trees();
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
    // While the staged entries go in, the writer makes "c" and "a" again, which the set holds too.
    let marker = guard.path().join("marker");
    let writer =
        format!(r#"case "$*" in *stage/*) [ -e {0} ] || {{ : > {0}; echo writer > c; mkdir a; echo w > a/w; }} ;; esac"#, marker.display());
    let racing = written_behind(guard.path(), &target, &writer);
    let context = context();
    racing.cut_over(&context, &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(std::fs::read(target.join(".threescale-backup/01jrun/late/c")).unwrap(), b"writer\n");
    assert_eq!(std::fs::read(target.join(".threescale-backup/01jrun/late/a/w")).unwrap(), b"w\n");
    pod(&target).undo(&context, &place).unwrap();
    assert_eq!(outside(&target), before);
    pod(&target).discard(&context, &place, plan::ports::Discard::Previous).unwrap();
}

#[test]
fn two_calls_are_never_at_work_at_a_time() {
    let (_guard, source, target) = trees();
    let (memory, kept) = backup(&source);
    let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
    // The script of a call whose connection broke, still there.
    let mut left = Command::new("sh").args(["-c", "read x", "threescale-backup"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let host = String::from_utf8(shell(&target, "uname -n")).unwrap();
    write(target.join(".threescale-backup/01jrun/at-work"), format!("{} {} {}\n", host.trim(), left.id(), began(left.id())));
    let (at, going) = (target.clone(), place.clone());
    let there = std::thread::spawn(move || pod(&at).cut_over(&context(), &going));
    assert!(!there.is_finished(), "it waits");
    drop(left.stdin.take());
    left.wait().unwrap();
    there.join().unwrap().unwrap();
    assert_eq!(outside(&target), outside(&source));
    pod(&target).undo(&context(), &place).unwrap();
}

/// When a process began, in ticks since the machine did (proc(5), field 22).
fn began(process: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned()
}

#[test]
fn a_process_that_has_the_number_of_an_earlier_call_by_chance_is_not_waited_for() {
    let (_guard, source, target) = trees();
    let (memory, kept) = backup(&source);
    let place = stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
    // In a pod that took the place of the earlier call's, under its name.
    let mut chance = Command::new("sh").args(["-c", "read x", "threescale-backup"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let host = String::from_utf8(shell(&target, "uname -n")).unwrap();
    write(target.join(".threescale-backup/01jrun/at-work"), format!("{} {} 1\n", host.trim(), chance.id()));
    pod(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    drop(chance.stdin.take());
    chance.wait().unwrap();
    pod(&target).undo(&context(), &place).unwrap();
}

#[test]
fn a_place_of_another_hand_is_not_followed() {
    let (_guard, _, target) = trees();
    for run in ["", "..", "a/b", "/etc"] {
        let place = Place(serde_json::json!({"run": run, "road": "side-copy"}));
        assert_eq!(pod(&target).discard(&context(), &place, plan::ports::Discard::Previous).unwrap_err().class(), plan::Class::NeedsPerson);
    }
    shell(&target, "mkdir ../elsewhere; ln -s ../elsewhere .threescale-backup");
    let (memory, kept) = backup(&target);
    let place = pod(&target).reserve(&context(), &kept, Road::SideCopy).unwrap();
    assert!(pod(&target).stage(&context(), &place, memory, &kept).is_err());
    assert!(target.join("a").exists());
}
