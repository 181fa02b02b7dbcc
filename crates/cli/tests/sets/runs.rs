//! Runs and their ends: two machines, a dead run, a damaged journal, a lost one, what undo is about.

use std::fs;

use crate::machine::{hold_at_start, machine, wait_for};
use crate::small::{Home, Small, command};
use crate::support::text;

#[test]
fn a_backup_has_nothing_to_undo_and_undo_is_about_the_newest_restore() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    a.backup(&[]);
    a.write("lost");
    a.ok(&["restore", "latest", "--yes"]);
    // A backup that fails later: its Redis is gone from the configuration.
    let toml = fs::read_to_string(a.config()).unwrap();
    fs::write(a.config(), toml.replace("redis://", "redis://nobody:wrong@")).unwrap();
    let failed = a.run(&["backup"]);
    assert!(!failed.status.success());
    fs::write(a.config(), toml).unwrap();
    let backup = a.backup(&[]);
    assert_eq!(a.listed(&[]).len(), 2, "{backup}");
    a.ok(&["undo", "--yes"]);
    assert_eq!(a.content(), ["lost", "lost"]);
    let refusal = a.refused(&["undo", "--yes"]);
    assert!(refusal.contains("no run of this installation to undo"), "{refusal}");
    let here = machine(&home, &a, "unused");
    assert!(here.runs().is_empty());
    let runs = a.json(&["runs"]);
    let of_backup = runs["runs"].as_array().unwrap().iter().find(|run| run["purpose"] == "backup" && run["state"] == "finished").unwrap();
    let refusal = a.refused(&["undo", of_backup["run"].as_str().unwrap(), "--yes"]);
    assert!(refusal.contains("is a backup of set") && refusal.contains("nothing to undo"), "{refusal}");
}

#[test]
fn a_backup_waits_for_a_restore_of_another_machine_or_is_refused() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    one.code(0, &["backup"]);
    a.write("lost");
    let (reached, go) = hold_at_start(&home, &a);
    let mut restoring = one.spawn(&["restore", "latest", "--yes"]);
    wait_for(&reached);
    let said = other.code(11, &["backup"]);
    assert!(said.contains("with its cut-over begun") && said.contains("--wait"), "{said}");
    assert!(other.code(0, &["runs"]).contains(&one.newest_run()), "the other machine sees the run");
    let mut waiting = other.spawn(&["backup", "--wait"]);
    assert!(waiting.try_wait().unwrap().is_none());
    fs::write(&go, "").unwrap();
    assert!(restoring.wait().unwrap().success());
    assert!(waiting.wait().unwrap().success());
    assert_eq!(a.content(), ["a", "a"]);
    // What is kept is nobody else's to replace.
    let said = other.code(2, &["restore", "latest", "--yes"]);
    assert!(said.contains(&one.newest_run()) && said.contains("settle"), "{said}");
    one.code(0, &["settle", "--yes"]);
    other.code(0, &["restore", "latest", "--yes"]);
    other.code(0, &["settle", "--yes"]);
}

#[test]
fn a_run_whose_machine_is_lost_is_taken_back_on_another_one() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    let run = one.killed_after_cut_over(&home);
    assert_eq!(a.content(), ["a", "a"], "the cut-over was done");
    other.code(11, &["backup"]);
    // Whoever watches by `doctor` learns that no backup is possible, first of all.
    let doctor = other.code(11, &["doctor"]);
    assert!(
        doctor.starts_with("runs: FAILED: a backup is held up: run ") && doctor.contains(&format!("`threescale-backup undo {run}`")),
        "{doctor}"
    );
    other.code(0, &["undo", "--yes"]);
    assert_eq!(a.content(), ["lost", "lost"]);
    other.code(0, &["doctor"]);
    other.code(0, &["backup"]);
    // The first machine comes back, and learns what was done.
    let said = one.code(2, &["undo", &run, "--yes"]);
    assert!(said.contains("undone"), "{said}");
    assert!(one.code(2, &["resume", &run, "--yes"]).contains("undone"));
    assert_eq!(a.content(), ["lost", "lost"]);
}

#[test]
fn of_two_machines_that_take_one_run_back_the_second_is_told() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    let run = one.restored();
    other.code(0, &["undo", &run, "--yes"]);
    assert_eq!(a.content(), ["lost", "lost"]);
    assert!(one.code(2, &["undo", &run, "--yes"]).contains("undone"));
    assert!(one.code(2, &["settle", &run, "--yes"]).contains("undone"));
    assert_eq!(a.content(), ["lost", "lost"]);
}

#[test]
fn a_damaged_journal_stops_no_backup_and_abandon_ends_it() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    one.code(0, &["backup"]);
    let run = one.newest_run();
    one.damage(&run, 2);

    let said = one.code(0, &["backup"]);
    assert!(said.contains("warning") && said.contains(&format!("abandon {run}")), "{said}");
    assert!(one.code(0, &["runs"]).contains(&format!("abandon {run}")));
    let said = one.code(2, &["restore", "latest", "--yes"]);
    assert!(said.contains(&format!("abandon {run}")), "{said}");
    for verb in ["resume", "undo", "settle"] {
        let said = one.code(3, &[verb, &run, "--yes"]);
        assert!(said.contains("damaged"), "{verb}: {said}");
    }
    assert!(one.code(2, &["abandon", &run]).contains("Say --yes"));
    let said = one.code(0, &["abandon", &run, "--yes"]);
    assert!(said.contains("is ended as it is") && said.contains(".damaged"), "{said}");
    one.code(0, &["restore", "latest", "--yes"]);
    one.code(0, &["undo", "--yes"]);
}

#[test]
fn where_the_journal_here_is_damaged_its_copy_is_gone_on_from() {
    for line in [0, 1, 9] {
        let home = Home::make();
        let a = Small::start(&home, "a");
        let one = machine(&home, &a, "one");
        let run = one.restored();
        one.damage(&run, line);
        assert!(one.code(0, &["runs"]).contains("its journal here is damaged"), "line {line}");
        one.code(0, &["undo", "--yes"]);
        assert_eq!(a.content(), ["lost", "lost"], "line {line}");
        one.code(0, &["restore", "latest", "--yes"]);
        one.code(0, &["settle", "--yes"]);
    }
}

#[test]
fn a_machine_whose_run_was_ended_by_another_one_learns_it() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    let run = one.killed_after_cut_over(&home);
    other.code(0, &["resume", "--yes"]);
    let said = one.code(0, &["runs"]);
    assert!(said.contains("of another machine") && !said.contains("other installations"), "{said}");
    one.code(0, &["undo", &run, "--yes"]);
    assert_eq!(a.content(), ["lost", "lost"]);
}

#[test]
fn one_store_that_lost_everything_keeps_no_other_from_coming_back() {
    let home = Home::make();
    let mut a = Small::start(&home, "a");
    a.backup(&[]);
    a.write("lost");
    a.ok(&["restore", "latest", "--yes"]);
    a.forget_all_keys();
    let output = a.run(&["undo", "--yes"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("system-redis knows nothing of run"), "{said}");
    assert!(said.contains("what could be put back is") && said.contains("The writers are stopped"), "{said}");
    assert_eq!(a.content()[0], "lost", "the files came back");
    a.write("anew");
    let run = a.json(&["runs"])["runs"].as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
    a.ok(&["abandon", &run, "--yes"]);
    a.backup(&[]);
}

#[test]
fn what_runs_left_is_told_without_the_repository_too() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    one.code(0, &["backup"]);
    one.code(0, &["restore", "latest", "--yes"]);
    fs::remove_dir_all(&one.state).unwrap();
    fs::remove_dir_all(home.path("repository")).unwrap();
    assert!(one.code(0, &["runs"]).contains("PREVIOUS DATA"));
}

#[test]
fn any_run_can_be_ended_as_it_is() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    let said = one.code(0, &["abandon", &run, "--yes"]);
    assert!(said.contains("stays"), "{said}");
    assert!(one.code(2, &["undo", &run, "--yes"]).contains("abandoned"));
    // What it left stands in the way of the next, until somebody says that it may go.
    let said = one.code(2, &["restore", "latest", "--yes"]);
    assert!(said.contains(&format!("abandon {run}")) && said.contains("PREVIOUS DATA"), "{said}");
    // The journal is on this machine, and no verb but `abandon` takes the run any more.
    assert!(said.contains(&format!("abandon {run} --remove --drop-previous")) && said.contains("was abandoned"), "{said}");
    assert!(!said.contains("settle` it"), "{said}");
    assert!(one.code(0, &["runs"]).contains("left by a run that was abandoned"));
    one.code(0, &["abandon", &run, "--yes", "--remove", "--drop-previous"]);
    one.code(0, &["restore", "latest", "--yes"]);
    one.code(0, &["settle", "--yes"]);
    assert_eq!(a.content(), ["a", "a"]);
    assert!(one.code(2, &["abandon", "01zzz", "--yes"]).contains("there is no run 01zzz"));
}

#[test]
fn a_run_without_any_journal_is_named_by_what_it_left_and_removed_when_somebody_says_so() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    let run = one.restored();
    // The machine is lost, and the repository with its copy of the journal too.
    fs::remove_dir_all(&one.state).unwrap();
    fs::remove_dir_all(home.path("repository")).unwrap();
    one.code(0, &["init"]);
    one.code(0, &["backup"]);
    for verb in ["doctor", "runs"] {
        let said = one.code(0, &[verb]);
        assert!(said.contains("PREVIOUS DATA") && said.contains("without a journal here"), "{verb}: {said}");
    }
    assert!(one.code(2, &["restore", "latest", "--yes"]).contains("abandon"));
    let said = one.code(0, &["abandon", &run, "--yes"]);
    assert!(said.contains("stays"), "the previous data is not removed unasked: {said}");
    let said = one.code(0, &["abandon", &run, "--yes", "--remove", "--drop-previous"]);
    assert!(said.contains("removed"), "{said}");
    one.code(0, &["restore", "latest", "--yes"]);
    one.code(0, &["settle", "--yes"]);
    assert_eq!(a.content(), ["a", "a"]);
    assert!(!one.code(0, &["runs"]).contains("left by"));
}

#[test]
fn with_another_installations_configuration_nothing_of_a_run_is_touched() {
    let home = Home::make();
    let (a, b) = (Small::start(&home, "a"), Small::start(&home, "b"));
    // One state folder for both, as root's default is.
    let state = home.path("shared-state");
    let on = |small: &Small<'_>, arguments: &[&str]| {
        let output = command(&small.config(), &state, arguments).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    a.backup(&[]);
    b.backup(&[]);
    a.write("lost");
    assert_eq!(on(&a, &["restore", "latest", "--yes"]).0, Some(0));
    let run = fs::read_dir(state.join("runs")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let run = run.file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(on(&b, &["undo", "--yes"]).0, Some(2));
    let (code, said) = on(&b, &["undo", &run, "--yes"]);
    assert!(code == Some(2) && said.contains("of another installation: a"), "{said}");
    assert_eq!(on(&b, &["settle", &run, "--yes"]).0, Some(2));
    assert_eq!(on(&b, &["abandon", &run, "--yes"]).0, Some(2));
    let (code, said) = on(&b, &["runs"]);
    assert!(code == Some(0) && !said.contains(&run) && said.contains("other installations"), "{said}");
    // The other one is not held up either.
    assert_eq!(on(&b, &["restore", "latest", "--yes"]).0, Some(0));
    assert_eq!(on(&b, &["undo", "--yes"]).0, Some(0));
    assert_eq!(on(&a, &["undo", "--yes"]).0, Some(0));
    assert_eq!((a.content(), b.content()), (["lost".to_owned(), "lost".to_owned()], ["b".to_owned(), "b".to_owned()]));

    // The same name by mistake: the stores are not those of the run, and it is ended only when somebody says that they are gone.
    a.write("lost again");
    assert_eq!(on(&a, &["restore", "latest", "--yes"]).0, Some(0));
    let toml = fs::read_to_string(b.config()).unwrap();
    fs::write(b.config(), toml.replace("name = \"b\"", "name = \"a\"")).unwrap();
    let (code, said) = on(&b, &["undo", "--yes"]);
    assert!(code == Some(2) && said.contains("another store"), "{said}");
    let (code, said) = on(&b, &["settle", "--yes"]);
    assert!(code == Some(2) && said.contains("another store"), "{said}");
    let run = fs::read_dir(state.join("runs")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let run = run.file_stem().unwrap().to_str().unwrap().to_owned();
    let (code, said) = on(&b, &["abandon", &run, "--yes", "--remove", "--drop-previous"]);
    assert!(code == Some(2) && said.contains("--store-is-gone"), "{said}");
    assert_eq!(on(&a, &["undo", "--yes"]).0, Some(0));
    assert_eq!(a.content(), ["lost again", "lost again"]);
}
