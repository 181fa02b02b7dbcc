//! Journals that are not what they should be, repositories that are not there, stores that know nothing: there is always a way on, and nothing stops for nothing.

use std::fs;

use crate::machine::{Machine, machine};
use crate::small::{Home, Small};

fn journal(machine: &Machine<'_>, run: &str) -> std::path::PathBuf {
    machine.state.join(format!("runs/{run}.jsonl"))
}

/// The command that stops the writers leaves a file.
fn told_of_stops(home: &Home, small: &Small<'_>) -> std::path::PathBuf {
    let stopped = home.path("stopped-for-it");
    let toml = fs::read_to_string(small.config()).unwrap();
    fs::write(small.config(), toml.replace("stop = \"true\"", &format!("stop = \"touch {}\"", stopped.display()))).unwrap();
    stopped
}

#[test]
fn a_copy_of_a_journal_is_no_run() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    fs::copy(journal(&one, &run), journal(&one, &format!("{run}-copy"))).unwrap();
    let said = one.code(0, &["runs"]);
    assert!(said.contains(&format!("{run}-copy in ")) && said.contains(&format!("is a copy of the journal of run {run}")), "{said}");
    one.code(0, &["undo", &run, "--yes"]);
    assert_eq!(a.content(), ["lost", "lost"]);
    assert!(one.code(2, &["undo", "--yes"]).contains("there is no run"));
}

#[test]
fn a_journal_that_cannot_be_read_is_gone_on_from_its_copy() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    for kind in ["folder", "pipe"] {
        let one = machine(&home, &a, kind);
        a.write("a");
        let run = one.restored();
        let path = journal(&one, &run);
        fs::remove_file(&path).unwrap();
        match kind {
            "folder" => fs::create_dir(&path).unwrap(),
            _ => rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap(),
        }
        let said = one.code(0, &["runs"]);
        assert!(said.contains("its journal here is damaged") && !said.contains("There were no runs"), "{kind}: {said}");
        one.code(0, &["undo", "--yes"]);
        assert_eq!(a.content(), ["lost", "lost"], "{kind}");
        one.code(0, &["backup"]);
    }
}

#[test]
fn without_a_copy_a_journal_that_cannot_be_read_is_ended() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    one.code(0, &["backup"]);
    let run = one.newest_run();
    fs::remove_file(journal(&one, &run)).unwrap();
    fs::create_dir(journal(&one, &run)).unwrap();
    let said = one.code(0, &["runs"]);
    assert!(said.contains(&format!("`threescale-backup abandon {run}` ends it")) && !said.contains("There were no runs"), "{said}");
    one.code(0, &["backup"]);
    one.code(0, &["abandon", &run, "--yes"]);
    one.code(0, &["restore", "latest", "--yes"]);
}

#[test]
fn a_journal_of_a_newer_version_is_not_called_damaged() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    let text = fs::read_to_string(journal(&one, &run)).unwrap();
    let newer = text.replacen("\"format\":\"3.", "\"format\":\"99.", 1);
    assert_ne!(newer, text);
    fs::write(journal(&one, &run), newer).unwrap();
    let said = one.code(0, &["runs"]);
    assert!(said.contains("has format 99.") && !said.contains("damaged"), "{said}");
    let said = one.code(2, &["undo", &run, "--yes"]);
    assert!(said.contains("has format 99."), "{said}");
    assert_eq!(a.content(), ["a", "a"]);
}

#[test]
fn what_the_stores_keep_goes_back_or_goes_without_the_repository() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let (repository, away) = (home.path("repository"), home.path("away"));
    for verb in ["undo", "settle", "abandon"] {
        a.write("a");
        let run = one.restored();
        fs::rename(&repository, &away).unwrap();
        let arguments: &[&str] = match verb {
            "abandon" => &["abandon", &run, "--yes", "--remove", "--drop-previous"],
            verb => &[verb, "--yes"],
        };
        let said = one.code(0, arguments);
        assert!(said.contains("warning: the repository cannot be opened"), "{said}");
        assert_eq!(a.content(), if verb == "undo" { ["lost", "lost"] } else { ["a", "a"] }, "{verb}");
        assert!(one.code(10, &["resume"]).contains("there is no repository"));
        fs::rename(&away, &repository).unwrap();
        let said = one.code(0, &["runs"]);
        assert!(!said.contains("keeps what it replaced"), "{verb}: {said}");
        // What the run needed of the repository is needed no more when that is back.
        one.code(0, &["backup"]);
        let list = one.code(0, &["list"]);
        assert!(!list.contains("needed by run"), "{verb}: {list}");
    }
}

#[test]
fn nothing_is_stopped_for_a_run_that_no_store_knows() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    let before = fs::read(journal(&one, &run)).unwrap();
    one.code(0, &["undo", "--yes"]);
    // The state folder comes back from a backup of its own, and the repository is another one.
    fs::write(journal(&one, &run), before).unwrap();
    fs::remove_dir_all(home.path("repository")).unwrap();
    one.code(0, &["init"]);
    let stopped = told_of_stops(&home, &a);
    let said = one.code(3, &["undo", "--yes"]);
    assert!(said.contains(&format!("no store knows anything of run {run}")) && said.contains("Nothing was stopped or changed."), "{said}");
    assert!(!stopped.exists());
    assert_eq!(a.content(), ["lost", "lost"]);
    one.code(0, &["abandon", &run, "--yes"]);
    one.code(0, &["backup"]);
}

#[test]
fn a_plan_says_what_holds_the_restore_up() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    let (planned, restored) = (one.code(2, &["plan", "latest"]), one.code(2, &["restore", "latest", "--yes"]));
    for said in [planned, restored] {
        assert!(
            said.contains(&format!("run {run} is in the way")) && said.contains(&format!("`threescale-backup settle {run}`")),
            "{said}"
        );
    }
}
