//! What a call leaves in the temporary folder that is killed while its throw-away servers are there; and a temporary folder in which no socket has room.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::wait_for;
use crate::small::{Home, Small};
use crate::support::text;

/// The folders of throw-away servers and commands.
fn folders(temporary: &Path) -> Vec<String> {
    let names = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("threescale-lab-")).collect()
}

/// Whether a program runs that was told of something in the folder.
fn is_at_work(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    let said = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| text(&said(entry)).contains(folder))
}

#[test]
fn what_a_killed_call_left_is_removed_by_the_next_one_and_told() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    a.backup(&[]);
    let temporary = home.path("t");
    fs::create_dir(&temporary).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = a.command(arguments);
        command.env("TMPDIR", &temporary);
        command
    };
    let cases: [(&[&str], &[&str], usize); 3] = [
        (&["rehearse", "latest"], &["rehearse", "latest"], 3),
        (&["rehearse", "latest"], &["backup"], 3),
        (&["restore", "latest", "--yes"], &["undo", "--yes"], 1),
    ];
    for (killed, next, count) in cases {
        let begun = home.path("begun");
        let then = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", begun.display());
        let mut child = command(&[killed, &["--then", &then]].concat()).spawn().unwrap();
        wait_for(&begun);
        child.kill().unwrap();
        child.wait().unwrap();
        // The command is the operator's, and not ended with the program.
        let sleeper = fs::read_to_string(&begun).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(sleeper).unwrap(), Signal::KILL).unwrap();
        fs::remove_file(&begun).unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        while is_at_work(&temporary) {
            assert!(Instant::now() < limit, "a server outlived the program");
            std::thread::sleep(Duration::from_millis(10));
        }
        let left = folders(&temporary);
        assert_eq!(left.len(), count, "{left:?}");
        let output = command(next).output().unwrap();
        let told = text(&output.stderr);
        assert!(output.status.success(), "{next:?} {told}");
        for name in left {
            assert!(told.contains(&format!("removed {}/{name}, which a call that was killed had left", temporary.display())), "{told}");
        }
        assert_eq!(folders(&temporary), Vec::<String>::new());
    }
    let told = text(&command(&["rehearse", "latest"]).output().unwrap().stderr);
    assert!(!told.contains("had left"), "{told}");
    // In the words of a rehearsal, which leaves nothing.
    let own = ["Rehearsal of set ", "removed with the server", "in a throw-away server", "The installation is not touched, nor asked."];
    assert!(own.iter().all(|words| told.contains(words)), "{told}");
    assert!(["settle", "live data", "Restore of"].iter().all(|words| !told.contains(words)), "{told}");
}

#[test]
fn a_temporary_folder_without_room_for_sockets_is_refused_before_anything_begins() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    a.backup(&[]);
    let long = home.path(&"x".repeat(80));
    fs::create_dir(&long).unwrap();
    let run = |arguments: &[&str]| {
        let output = a.command(arguments).env("TMPDIR", &long).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let runs = || a.json(&["runs"])["runs"].as_array().unwrap().len();
    let before = runs();
    for arguments in [["rehearse", "latest", "--then", "true"], ["restore", "latest", "--yes", "--then=true"]] {
        let (code, told) = run(&arguments);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("is too long for the sockets") && told.contains("`TMPDIR=/tmp threescale-backup …`"), "{told}");
        assert_eq!(runs(), before);
    }
    // A restore at which nobody looks needs no socket.
    assert_eq!(run(&["restore", "latest", "--yes"]).0, Some(0));
}
