//! Sets through a pod and sets through a mount are the same sets: either restores the other's.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::over_there::*;
use super::round_trip::TREE;
use super::*;

/// The tree of the local test, but for what tar cannot hold, and with smaller holes: they become zeros on their way.
fn tree() -> String {
    TREE.replace("300M", "30M")
        .replace("seek=100000000", "seek=10000000")
        .replace(r#"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'"#, ":")
}

fn same(one: &Memory, other: &Memory) {
    assert_eq!(one.stored.keys().collect::<Vec<_>>(), other.stored.keys().collect::<Vec<_>>());
    for (path, stored) in &one.stored {
        let twin = &other.stored[path];
        // Only a dump of the mount notes what it read, and when: for its next dump, and no part of the data.
        let data = |meta: &Meta| Meta { read_at_ns: None, note: Vec::new(), ..meta.clone() };
        assert_eq!(data(&stored.meta), data(&twin.meta), "{}", path.display());
        assert!(stored.kind == twin.kind && stored.content == twin.content, "{}", path.display());
    }
}

#[test]
fn a_set_through_a_pod_is_the_set_of_the_mount() {
    let (_guard, source, _) = folders();
    shell(&source, &tree());
    shell(
        &source,
        "chmod 2770 .; chown 500:501 .; touch -d @1400000000.5 .; setfattr -n user.root -v r .; mkdir a a-b; : > a/z; : > a-b/z; : > 'a b'; : > a.b",
    );
    let ((local, local_kept), (remote, remote_kept)) = (backup(&source), pod_backup(&source));
    same(&local, &remote);
    assert_eq!(local_kept.evidence.collections, remote_kept.evidence.collections);
    assert_eq!(local_kept.evidence.warnings, remote_kept.evidence.warnings);
    let facts = |kept: &KeptDataSet| {
        let mut facts = kept.evidence.facts.clone();
        // One counts blocks with du, the other one by one.
        facts.remove("allocated-bytes");
        // Of the mount alone: what the next dump of it need not open.
        ["read-again", "read-again-turn", "unchanged"].iter().for_each(|fact| drop(facts.remove(*fact)));
        facts
    };
    assert_eq!(facts(&local_kept), facts(&remote_kept));
}

#[test]
fn everything_goes_back_through_a_pod_and_can_be_undone() {
    let (_guard, source, target) = folders();
    shell(&source, &tree());
    shell(&source, "chmod 2770 .; chown 500:501 .; touch -d @1400000000.5 .");
    shell(&target, "mkdir old; echo old > old/file; echo old > one; ln -s x link; touch -d @1300000000.25 .");
    let (live, live_root) = (outside(&target), outside_root(&target));
    let (memory, kept) = pod_backup(&source);
    assert_eq!(kept.evidence.warnings, Vec::<String>::new());
    let (store, context) = (pod(&target), context());
    assert_eq!(store.kept_bytes(&context, &store.reserve(&context, &kept, Road::SideCopy).unwrap()).unwrap(), 0);
    let place = stage_into(&store, &memory, &kept, Road::SideCopy);
    assert_eq!((outside(&target), outside_root(&target)), (live.clone(), live_root.clone()), "staging does not touch the live tree");
    assert!(store.kept_bytes(&context, &place).unwrap() > 20_000_000);
    store.cut_over(&context, &place).unwrap();
    store.cut_over(&context, &place).unwrap();
    assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)));
    let found = store.prove(&context, &place, &kept).unwrap();
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    store.undo(&context, &place).unwrap();
    assert_eq!((outside(&target), outside_root(&target)), (live, live_root), "undo brings the old tree back");
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert!(!target.join(".threescale-backup").exists());
    assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)));
}

#[test]
fn either_road_restores_the_others_set() {
    let (_guard, source, target) = folders();
    shell(&source, &tree());
    for through_pod in [true, false] {
        let (memory, kept) = if through_pod { pod_backup(&source) } else { backup(&source) };
        let (mount, pod) = (store(&target), pod(&target));
        let there: &dyn DataSet = if through_pod { &mount } else { &pod };
        let place = stage_into(there, &memory, &kept, Road::SideCopy);
        there.cut_over(&context(), &place).unwrap();
        assert_eq!(outside(&target), outside(&source), "{through_pod}");
        there.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    }
}

#[test]
fn a_run_begun_through_a_pod_is_undone_with_the_mount_and_the_other_way_round() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir a b; echo a > a/f; echo new > c; touch -d @1000000.5 .");
    shell(&target, "mkdir a x; echo old > a/g; echo old > c; touch -d @2000000.5 .");
    let before = (outside(&target), outside_root(&target));
    let (memory, kept) = backup(&source);
    let (mount, pod) = (store(&target), pod(&target));
    let sides: [(&dyn DataSet, &dyn DataSet); 2] = [(&mount, &pod), (&pod, &mount)];
    for (one, other) in sides {
        let place = stage_into(one, &memory, &kept, Road::SideCopy);
        let found = other.prove(&context(), &place, &kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
        one.cut_over(&context(), &place).unwrap();
        other.undo(&context(), &place).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before);
        other.cut_over(&context(), &place).unwrap();
        assert_eq!(outside(&target), outside(&source));
        one.undo(&context(), &place).unwrap();
        other.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
        assert_eq!((outside(&target), outside_root(&target)), before);
    }
}

#[test]
fn names_of_every_byte_come_back_through_a_pod() {
    let (_guard, source, target) = folders();
    for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
        let name = [b'a', byte, b'b'];
        write(source.join(os(&name)), name);
        if byte != b'.' {
            std::fs::create_dir(source.join(os(&[byte]))).unwrap();
            write(source.join(os(&[byte])).join(os(&[byte, byte, byte])), [byte]);
        }
    }
    write(source.join(os(&[b'n'; 255])), "the longest name");
    shell(&source, "for d in -rf -n ./--help; do mkdir -p -- $d; done; ln -- $'n\\nb' hard 2>/dev/null || :");
    let ((memory, kept), (local, _)) = (pod_backup(&source), backup(&source));
    same(&local, &memory);
    let store = pod(&target);
    let place = stage_into(&store, &memory, &kept, Road::SideCopy);
    store.cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    store.undo(&context(), &place).unwrap();
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);
}

#[test]
fn an_empty_tree_a_socket_and_lost_and_found_through_a_pod() {
    let (_guard, source, target) = folders();
    let (_, kept) = pod_backup(&source);
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("volume mounted")));
    shell(
        &source,
        r#"mkdir -p .threescale-backup/other; echo s > .threescale-backup/other/x; mkdir -m 700 lost+found; echo y > lost+found/y; mkdir sub; mkdir -m 700 sub/lost+found
           echo f > sub/.threescale-backup; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sub/socket")'; mknod null c 1 3"#,
    );
    let (memory, kept) = pod_backup(&source);
    let paths: Vec<_> = memory.stored.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(paths, ["sub", "sub/.threescale-backup", "sub/lost+found"]);
    assert_eq!(kept.evidence.facts.get("sockets").map(String::as_str), Some("1"));
    assert_eq!(kept.evidence.facts.get("devices").map(String::as_str), Some("1"));
    // A set of the mount holds the socket; through a pod it is left out, and accounted for.
    shell(&source, "rm null");
    let (memory, kept) = backup(&source);
    shell(&target, "mkdir -m 700 lost+found; mkdir -p .threescale-backup/other");
    let store = pod(&target);
    let place = stage_into(&store, &memory, &kept, Road::SideCopy);
    store.cut_over(&context(), &place).unwrap();
    store.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    assert!(target.join("lost+found").exists() && target.join(".threescale-backup/other").exists());
    assert!(target.join("sub/lost+found").exists() && !target.join("sub/socket").exists());
}

#[test]
fn a_live_tree_becomes_the_set_in_place_through_a_pod() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir -p keep/sub d; echo new > keep/f; ln keep/f d/l; chmod 500 keep/sub; touch -d @999.25 .");
    shell(&target, "mkdir -p keep/closed; echo z > keep/closed/z; chmod 0 keep/closed; echo gone > gone; mkdir -m 700 lost+found");
    let (memory, kept) = backup(&source);
    let (store, context) = (pod(&target), context());
    let place = stage_into(&store, &memory, &kept, Road::InPlace);
    shell(&target, "rmdir lost+found; touch -d @999.25 .");
    assert_eq!(outside(&target), outside(&source));
    store.cut_over(&context, &place).unwrap();
    assert!(store.undo(&context, &place).is_err());
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)));
}

#[test]
fn another_user_restores_all_but_the_owners_and_says_so() {
    let (guard, source, target) = folders();
    shell(&source, &tree());
    // A file that its owner cannot read can be staged by the owner, but not proven.
    shell(guard.path(), "chmod 755 .; chmod 600 source/zero");
    shell(&target, "chown 4321:4321 .");
    let (memory, kept) = backup(&source);
    let store = pod_of(&target, LocalRemote { uid: Some(4321), ..LocalRemote::default() });
    let place = stage_into(&store, &memory, &kept, Road::SideCopy);
    let found = store.prove(&context(), &place, &kept).unwrap();
    assert!(found.warnings.iter().any(|text| text.contains("the owners of")), "{:?}", found.warnings);
    assert!(found.warnings.iter().any(|text| text.contains("trusted.note")), "{:?}", found.warnings);
    store.cut_over(&context(), &place).unwrap();
    assert_eq!(shell(&target, "stat -c %a suid sgid setgid"), b"755\n711\n2775\n");
    assert_eq!(shell(&target, "cat h1 nested/a/h3"), b"hardhard");
    store.undo(&context(), &place).unwrap();
    store.discard(&context(), &place, plan::ports::Discard::Previous).unwrap();
    assert!(!target.join(".threescale-backup").exists());
}

#[test]
fn a_look_through_a_pod_counts_and_names_what_lacks() {
    let (guard, source, _) = folders();
    shell(&source, "mkdir d; head -c 5000 /dev/zero > d/f; ln -s x y; mkdir .threescale-backup; : > .threescale-backup/x");
    let findings = pod(&source).look(&context()).unwrap();
    assert_eq!((findings.count, findings.size_bytes, findings.road), (Some(3), 5000, Road::SideCopy), "{findings:?}");
    assert_eq!(findings.address, format!("pod here:{}", source.display()));
    shell(guard.path(), "chmod 755 .; chmod 0 source/d/f");
    let other = pod_of(&source, LocalRemote { uid: Some(4321), ..LocalRemote::default() });
    let findings = other.look(&context()).unwrap();
    let blocks = |problems: &[plan::ports::Problem]| problems.iter().any(|problem| problem.severity == plan::ports::Severity::Blocks);
    assert!(blocks(&findings.backup_problems) && blocks(&findings.restore_problems), "{findings:?}");
    let error = keep(other.dump(&context()).unwrap()).err().unwrap();
    assert!(
        error.hints().iter().any(|hint| hint.contains("d/f")) && error.hints().iter().any(|hint| hint.contains("not be complete")),
        "{error:?}"
    );
    let error = pod(&source.join("missing")).dump(&context()).err().unwrap();
    assert!(error.class() == plan::Class::Refused && !error.hints().is_empty(), "{error:?}");
    shell(guard.path(), "mkdir shims; printf '#!/bin/sh\\necho BusyBox v1.36 tar\\n' > shims/tar; chmod +x shims/tar");
    let busybox = pod_of(&source, LocalRemote { shims: Some(guard.path().join("shims")), ..LocalRemote::default() });
    for error in [busybox.look(&context()).err().unwrap(), busybox.dump(&context()).err().unwrap()] {
        assert!(error.class() == plan::Class::Refused && error.to_string().contains("BusyBox"), "{error:?}");
    }
}

/// By hand: `POD_EXEC='kubectl -n mine exec -i a-pod --' POD_PATH=/a/volume cargo test … -- --ignored --nocapture through_a_real_pod`. The pod's folder is
/// swapped and swapped back.
#[test]
#[ignore = "needs a pod of a cluster; run by hand"]
fn a_set_goes_through_a_real_pod_and_back() {
    let (_guard, source, target) = folders();
    shell(&source, &tree());
    // What a pod's user may own and read.
    shell(&source, "rm -rf suid sgid dangling; chmod 600 zero; head -c 60000000 /dev/urandom > larger; touch 'ä ö' $'\\xff'");
    let through = || std::env::var("POD_EXEC").unwrap().split_whitespace().map(str::to_owned).collect();
    let path = PathBuf::from(std::env::var("POD_PATH").unwrap());
    let pod = pod_of(&path, LocalRemote { through: through(), ..LocalRemote::default() });
    let context = context();
    let mut lap = std::time::Instant::now();
    let mut figures = Vec::new();
    let mut took = |what: &str| {
        figures.push(format!("{what} {:.2} s", lap.elapsed().as_secs_f64()));
        lap = std::time::Instant::now();
    };
    let findings = pod.look(&context).unwrap();
    took("look");
    let (_, before) = keep(pod.dump(&context).unwrap()).unwrap();
    took("dump before");
    let (memory, kept) = backup(&source);
    took("local dump");
    let place = pod.reserve(&context, &kept, Road::SideCopy).unwrap();
    assert_eq!(
        pod.fits(&context, &kept, Road::SideCopy).unwrap().iter().filter(|p| p.severity == plan::ports::Severity::Blocks).count(),
        0
    );
    pod.stage(&context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
    took("stage");
    let found = pod.prove(&context, &place, &kept).unwrap();
    took("prove");
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    pod.cut_over(&context, &place).unwrap();
    took("cut over");
    let (back, back_kept) = keep(pod.dump(&context).unwrap()).unwrap();
    took("dump");
    let files = |kept: &KeptDataSet| kept.evidence.collections["files"];
    assert_eq!(files(&kept), files(&back_kept));
    let local = store(&target);
    let landed = stage_into(&local, &back, &back_kept, Road::SideCopy);
    local.discard(&context, &landed, plan::ports::Discard::Previous).unwrap();
    took("local stage");
    pod.undo(&context, &place).unwrap();
    took("undo");
    pod.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    let (_, after) = keep(pod.dump(&context).unwrap()).unwrap();
    assert_eq!(before.evidence.differences(&after.evidence), Vec::<String>::new());
    tell(&format!("{findings:#?}\n{}\n{:#?}\n{:#?}", figures.join(", "), found.warnings, after.evidence));
}

#[expect(clippy::print_stdout, reason = "figures for a person")]
fn tell(text: &str) {
    println!("{text}");
}
