//! Some files of a set go into a tree that stays, and out again: mounted and through a pod, killed at any rename, whoever goes on. Looked at by find, cat and stat.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use plan::ports::{PutsFiles, Severity, SomeFiles};

use super::over_there::*;
use super::refusals::Small;
use super::*;

const WANTED: [&str; 5] = ["a/b/changed", "a/same", "a/lost", "n/m/missing", "two words/x\ny"];

fn trees() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    shell(
        &source,
        "mkdir -p a/b n/m 'two words'; echo new > a/b/changed; echo same > a/same; echo lost > a/lost; echo in > n/m/missing; echo other > a/other
         echo odd > $'two words/x\\ny'; ln a/lost a/linked; chmod 640 n/m/missing; chmod 2770 n; find . -type f -exec touch -d @1000000.5 {} +",
    );
    shell(
        &target,
        "mkdir -p a/b x; echo old > a/b/changed; echo same > a/same; echo mine > a/mine; echo z > x/z; find . -type f -exec touch -d @2000000.25 {} +",
    );
    (guard, source, target)
}

/// Every file with its mode, time and content.
fn files(at: &Path) -> String {
    let look = r"find . -path ./.threescale-backup -prune -o -type f -printf '%p|%m|%T@|' -exec cat {} \; | sort";
    String::from_utf8(shell(at, look)).unwrap()
}

fn some(memory: &Arc<Memory>, files: &[&str]) -> Arc<dyn Snapshot> {
    Arc::new(SomeFiles::new(Arc::clone(memory) as Arc<dyn Snapshot>, files.iter().map(PathBuf::from).collect()))
}

/// Stages what differs, as a run does.
fn staged(store: &(impl DataSet + PutsFiles), source: &Path) -> Place {
    let (memory, kept) = backup(source);
    let compared = store.compare_files(&context(), &*some(&memory, &WANTED)).unwrap();
    let told = |paths: &[PathBuf]| paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(told(&compared.missing), ["a/lost", "n/m/missing", "two words/x\ny"].map(str::to_owned).into());
    assert_eq!((told(&compared.other), compared.equal), (["a/b/changed".to_owned()].into(), 1));
    let all = told(&compared.missing).into_iter().chain(told(&compared.other)).collect::<Vec<_>>();
    let some = some(&memory, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
    let kept = SomeFiles::kept(&*some, &kept).unwrap();
    store.stage_files(&context(), &place, some, &kept).unwrap();
    place
}

fn expected() -> String {
    let mut lines = [
        "./a/b/changed|644|1000000.5000000000|new",
        "./a/lost|644|1000000.5000000000|lost",
        "./a/mine|644|2000000.2500000000|mine",
        "./a/same|644|2000000.2500000000|same",
        "./n/m/missing|640|1000000.5000000000|in",
        "./two words/x",
        "./x/z|644|2000000.2500000000|z",
        "y|644|1000000.5000000000|odd",
    ];
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

fn is_clean(target: &Path) -> bool {
    !target.join(".threescale-backup").exists()
}

/// `at`: the rename before which it is killed.
fn killed_at(guard: &Path, target: &Path, at: u32, is_pod: bool, work: impl Fn(&dyn DataSet) -> Result<()>) -> bool {
    if is_pod {
        return work(&super::pod_swapping::breaking(guard, target, at)).is_ok();
    }
    let calls = AtomicU32::new(0);
    work(&hooked(target, move |moment, _| match moment {
        Moment::Moving if calls.fetch_add(1, Ordering::SeqCst) >= at => Err(std::io::Error::other("crashed")),
        _ => Ok(()),
    }))
    .is_ok()
}

fn goes_in_and_out(is_pod: bool) {
    let cut_over = |store: &dyn DataSet, place: &Place| store.cut_over(&context(), place);
    let undo = |store: &dyn DataSet, place: &Place| store.undo(&context(), place).map(drop);
    let mut killed = 0;
    for at in 0.. {
        let (guard, source, target) = trees();
        let before = files(&target);
        let place = if is_pod { staged(&pod(&target), &source) } else { staged(&store(&target), &source) };
        assert_eq!(files(&target), before, "nothing is touched before");
        let done = killed_at(guard.path(), &target, at, is_pod, |store| cut_over(store, &place));
        // Whoever goes on: the other way in, every second time.
        let (mount, remote) = (store(&target), pod(&target));
        let other: &dyn DataSet = if is_pod == (at % 2 == 0) { &remote } else { &mount };
        if at % 3 == 0 {
            undo(other, &place).unwrap();
            assert_eq!(files(&target), before, "undone, killed at {at}");
        }
        cut_over(other, &place).unwrap();
        cut_over(&mount, &place).unwrap();
        assert_eq!(files(&target), expected(), "killed at {at}");
        assert_eq!(String::from_utf8(shell(&target, "stat -c %a n")).unwrap(), "2770\n", "a folder that was made");
        let undone = killed_at(guard.path(), &target, at, is_pod, |store| undo(store, &place));
        undo(other, &place).unwrap();
        assert_eq!(files(&target), before, "undone, killed at {at}");
        other.discard(&context(), &place, Discard::Staged).unwrap();
        assert!(is_clean(&target) && files(&target) == before);
        killed += u32::from(!done);
        if done && undone {
            break;
        }
    }
    assert!(killed >= 5, "{killed}");
}

#[test]
fn some_files_go_in_and_out_though_it_is_killed_at_any_rename() {
    goes_in_and_out(false);
}

#[test]
fn some_files_go_in_and_out_through_a_pod_though_it_is_killed_at_any_rename() {
    goes_in_and_out(true);
}

#[test]
fn what_somebody_made_since_is_kept_and_settling_drops_what_was_replaced() {
    for is_pod in [false, true] {
        let (_guard, source, target) = trees();
        let (mount, remote) = (store(&target), pod(&target));
        let store: &dyn DataSet = if is_pod { &remote } else { &mount };
        let place = if is_pod { staged(&remote, &source) } else { staged(&mount, &source) };
        store.cut_over(&context(), &place).unwrap();
        // Changed, replaced, removed; and one of which nobody is to know.
        shell(
            &target,
            "echo more >> a/lost; rm n/m/missing; echo another > a/b/.new; mv a/b/.new a/b/changed; echo late > a/late; chgrp root a/same",
        );
        let watch = Arc::new(Warned::default());
        store.undo(&Context { watch: Arc::clone(&watch) as Arc<dyn Watch>, ..context() }, &place).unwrap();
        let told = watch.0.lock().unwrap().join("\n");
        assert!(told.contains("made or changed since the cut-over: 2 files") && told.contains("a/lost"), "{told}");
        let now = files(&target);
        assert!(now.contains("./a/b/changed|644|2000000.2500000000|old\n") && now.contains("./a/late|") && !now.contains("lost"), "{now}");
        let run = target.join(".threescale-backup/01jrun");
        assert_eq!(std::fs::read_to_string(run.join("since/a/lost")).unwrap(), "lost\nmore\n");
        assert_eq!(std::fs::read_to_string(run.join("since/a/b/changed")).unwrap(), "another\n");
        store.discard(&context(), &place, Discard::Staged).unwrap();
        assert!(run.join("since/a/lost").exists(), "what nobody can make again outlives an undo");

        let (_guard, source, target) = trees();
        let (mount, remote) = (super::store(&target), pod(&target));
        let place = if is_pod { staged(&remote, &source) } else { staged(&mount, &source) };
        let store: &dyn DataSet = if is_pod { &remote } else { &mount };
        store.cut_over(&context(), &place).unwrap();
        store.discard(&context(), &place, Discard::Staged).unwrap_err();
        store.discard(&context(), &place, Discard::Previous).unwrap();
        assert!(is_clean(&target) && files(&target) == expected());
        // Never over a link that leads elsewhere.
        let (guard, source, target) = trees();
        let (mount, remote) = (super::store(&target), pod(&target));
        let place = if is_pod { staged(&remote, &source) } else { staged(&mount, &source) };
        std::fs::create_dir(guard.path().join("elsewhere")).unwrap();
        shell(&target, "ln -s ../elsewhere n");
        let store: &dyn DataSet = if is_pod { &remote } else { &mount };
        store.cut_over(&context(), &place).unwrap_err();
        assert_eq!(std::fs::read_dir(guard.path().join("elsewhere")).unwrap().count(), 0);
        shell(&target, "rm n");
        store.cut_over(&context(), &place).unwrap();
        assert_eq!(files(&target), expected());
    }
}

#[test]
fn what_leads_to_a_file_and_is_no_folder_is_told_before_anything_is_done() {
    for in_the_way in ["rm -r a/b; echo x > a/b", "mv a/b elsewhere; ln -s ../elsewhere a/b"] {
        let (_guard, source, target) = trees();
        shell(&target, in_the_way);
        let (memory, _) = backup(&source);
        let error = store(&target).compare_files(&context(), &*some(&memory, &WANTED)).unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
        assert!(error.chain().contains("a/b/changed is no folder"), "{error:?}");
    }
}

/// What keeps files from going in, on each way.
fn told(target: &Path, some: &dyn Snapshot, of: &KeptDataSet) -> [Vec<String>; 2] {
    let kept = SomeFiles::kept(some, of).unwrap();
    let (mount, remote) = (super::store(target), pod(target));
    let ways: [(&dyn DataSet, &dyn PutsFiles); 2] = [(&mount, &mount), (&remote, &remote)];
    ways.map(|(store, puts)| {
        let problems = puts.files_fit(&context(), &store.look(&context()).unwrap(), &kept).unwrap();
        assert!(problems.iter().all(|problem| problem.severity == Severity::Blocks && problem.way_out.is_some()));
        problems.into_iter().map(|problem| problem.text).collect()
    })
}

#[test]
fn files_that_do_not_fit_are_told_before_anything_is_done() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir a; head -c 3000000 /dev/urandom > a/large; for n in $(seq 200); do echo $n > a/$n; done");
    let (memory, kept) = backup(&source);
    let small: Vec<String> = (1..=200).map(|number| format!("a/{number}")).collect();
    let small: Vec<&str> = small.iter().map(String::as_str).collect();
    let mounted = Small::mount(&target, "size=2m");
    for (files, lacks) in [(&["a/large"][..], "bytes are needed"), (&small[..20], "")] {
        for texts in told(&target, &*some(&memory, files), &kept) {
            let [text] = texts.as_slice() else {
                assert!(texts.is_empty() && lacks.is_empty(), "{texts:?}");
                continue;
            };
            assert!(text.contains("too small for these files") && text.contains(lacks), "{text}");
        }
    }
    drop(mounted);
    // Each takes a block of the volume, however small it is, and an inode.
    for (options, lacks) in [("size=600k", "bytes are needed"), ("size=4m,nr_inodes=100", "inodes are needed")] {
        let _mounted = Small::mount(&target, options);
        for texts in told(&target, &*some(&memory, &small), &kept) {
            assert!(matches!(texts.as_slice(), [text] if text.contains(lacks)), "{options}: {texts:?}");
        }
    }
    let _mounted = Small::mount(&target, "size=8m,ro");
    let [mount, remote] = told(&target, &*some(&memory, &small), &kept);
    assert!(mount[0].contains("mounted read-only") && remote[0].contains("or it is mounted read-only"), "{mount:?} {remote:?}");
}

#[test]
fn a_file_that_lies_on_another_volume_is_told_before_anything_is_done() {
    let (_guard, source, target) = trees();
    let (memory, _) = backup(&source);
    let _mounted = Small::mount(&target.join("a/b"), "size=1m");
    let error = store(&target).compare_files(&context(), &*some(&memory, &WANTED)).unwrap_err();
    assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    assert!(error.chain().contains("another volume is mounted at"), "{error:?}");
    store(&target).compare_files(&context(), &*some(&memory, &["a/lost", "n/m/missing"])).unwrap();
}
