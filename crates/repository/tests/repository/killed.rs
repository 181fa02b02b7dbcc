//! `kill -9` in the middle of a backup: the next one reuses what was uploaded, and nothing is broken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use plan::ports::{Part, Repository as _};
use repository::{Location, RusticRepository};

use crate::scene::*;

const FOLDER: &str = "REPOSITORY_TEST_FOLDER";
const PARTS: u64 = 160;

fn part(number: u64) -> Part {
    Part::bytes(format!("t/{number:06}"), noise(31_000 + number, 1 << 20))
}

/// Not a test of its own: the process that is killed. Says when half is given, and waits for ever.
#[test]
#[ignore = "started by the test beside it"]
fn child_that_backs_up() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let repository = RusticRepository::open(&Location::Folder(folder.into()), &password()).unwrap();
    let mut number = 0;
    let dump = Script::new(move || {
        number += 1;
        if number > PARTS / 2 {
            writeln!(std::io::stderr(), "half").unwrap();
            loop {
                std::thread::park();
            }
        }
        Ok(Some(part(number - 1)))
    });
    repository.keep(&context(), &keep_of("killed"), dump).unwrap();
}

#[test]
fn after_kill_9_the_next_backup_reuses_what_was_uploaded() {
    let scene = Scene::new();
    take(&scene.repository, "before", parts(1, 2, 1000));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child_that_backs_up", "--ignored", "--nocapture"])
        .env(FOLDER, scene.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "half"), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(set_names(&scene.again()), ["before"]);
    let report = check(&scene.again());
    assert!(report.is_whole() && report.notes.iter().any(|note| note.contains("in no index")), "{report:?}");
    assert_eq!(scene.files("locks").len(), 1);

    let repository = scene.again();
    let mut number = 0;
    let dump = Script::new(move || {
        number += 1;
        Ok((number <= PARTS).then(|| part(number - 1)))
    });
    let kept = repository.keep(&context(), &keep_of("after"), dump).unwrap();
    repository.write_manifest(&manifest("after", &kept)).unwrap();
    // Half of the parts were given to the killed backup; what was not in a whole pack yet is stored again.
    assert!(kept.stored_bytes < 120 << 20, "{} bytes were stored again", kept.stored_bytes);
    assert!(contents(&repository, &kept).unwrap() == (0..PARTS).flat_map(|number| expected(vec![part(number)])).collect::<Vec<_>>());
    let report = check(&scene.again());
    // It may have been killed in the middle of a pack.
    assert!(report.is_whole() && report.notes.iter().all(|note| note.contains("temporary files of writers that")), "{report:?}");
    // The killed process was one of this machine: its lock counts for nothing at once.
    assert!(scene.files("locks").is_empty());
    scene.restic(&["check", "--read-data"]);
}
