//! A node that dies at each step of the file road: the server that comes back has the old data or the new, never nothing, and what was begun goes on or is taken back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use lab::RedisKind;
use plan::ports::{DataSet, Discard, Road};

use super::file_road::{AOF, Pod, SAVES, load};
use super::scene::*;

/// Programs that do their work until one call that is not done any more: then the script that called is killed.
fn shims(folder: &Path, calls_left: u32) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("left"), calls_left.to_string()).unwrap();
    for name in ["mkdir", "mv", "ln", "rm", "sync", "cp"] {
        let script = format!(
            "#!/bin/sh\nleft=$(/bin/cat {0}/left)\n[ \"$left\" -gt 0 ] || {{ kill -9 $PPID; exit 1; }}\necho $((left - 1)) >{0}/left\nexec /bin/{name} \"$@\"\n",
            folder.display()
        );
        let path = folder.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The node dies, and the server comes back.
fn crash(pod: &Pod) {
    let mut server = pod.server.lock().unwrap();
    server.kill();
    server.start_again().unwrap();
}

/// Which data is live: the keys tell.
fn live(pod: &Pod) -> &'static str {
    let has = |key: &str| pod.say(0, &format!("EXISTS {key}")).number() == Some(1);
    match (has("of:set"), has("damaged")) {
        (true, false) => "new",
        (false, true) => "old",
        other => panic!("{other:?}: {:?}", pod.say(0, "KEYS *")),
    }
}

fn each_step(kind: RedisKind, options: &[&str]) {
    let pod = Pod::start(kind, &[options]);
    for database in [0, 1] {
        pod.say(database, "SET of:set 1");
    }
    let store = pod.store();
    let set = backup(&store).unwrap();
    damage(&pod.server.lock().unwrap());
    let is_saved = options == SAVES;
    if is_saved {
        pod.save();
    }
    let damaged = pod.digest();
    let folder = tempfile::tempdir().unwrap();
    let mut seen = [0, 0];
    for calls in 0.. {
        let run = format!("s{calls}");
        let place = store.reserve(&context(&run), &set.kept, Road::InPlace).unwrap();
        // While it is placed, and while that is taken back.
        shims(folder.path(), calls);
        *pod.remote.shims.lock().unwrap() = Some(folder.path().to_owned());
        pod.stuck.store(true, Ordering::SeqCst);
        assert!(load(&store, &set, &place, &run).is_err());
        let is_placed = std::fs::read_to_string(folder.path().join("left")).unwrap() != "0";
        let taken_back = is_placed && store.discard(&context(&run), &place, Discard::Staged).is_ok();
        *pod.remote.shims.lock().unwrap() = None;
        pod.stuck.store(false, Ordering::SeqCst);
        crash(&pod);
        let came_back = live(&pod);
        seen[usize::from(came_back == "new")] += 1;
        if taken_back {
            assert_eq!((came_back, pod.leftovers().len()), ("old", 0), "step {calls}");
            assert!(calls > 8, "it must have been killed inside");
            assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
            break;
        }
        if came_back == "old" {
            store.discard(&context(&run), &place, Discard::Staged).unwrap();
            assert_eq!((live(&pod), pod.leftovers().len()), ("old", 0), "step {calls}");
            crash(&pod);
            assert_eq!(pod.digest(), damaged, "step {calls}");
        }
        // What was begun goes on.
        load(&store, &set, &place, &run).unwrap();
        assert_eq!(differences(&store, &set, &place, &run), Vec::<String>::new(), "step {calls}");
        crash(&pod);
        assert_eq!(live(&pod), "new", "step {calls}");
        store.discard(&context(&run), &place, Discard::Previous).unwrap();
        damage(&pod.server.lock().unwrap());
        if is_saved {
            pod.save();
        }
    }
}

#[test]
fn a_node_that_dies_at_any_step_with_an_aof_leaves_the_old_data_or_the_new() {
    for kind in [RedisKind::Redis6, RedisKind::Redis] {
        each_step(kind, &AOF);
    }
}

#[test]
fn a_node_that_dies_at_any_step_without_an_aof_leaves_the_old_data_or_the_new() {
    each_step(RedisKind::Redis, &SAVES);
}
