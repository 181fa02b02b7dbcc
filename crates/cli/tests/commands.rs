//! The commands that look and keep house: doctor, plan, list, show, export, forget, completions, man, environment and configuration.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::Path;

use support::{World, program, text};

#[test]
fn the_commands_tell_what_is_there_and_touch_nothing() {
    let world = World::start(2 << 20);
    let before = world.fingerprint();
    let doctor = world.json(&["doctor"]);
    assert_eq!(doctor["data_sets"].as_object().unwrap().len(), 5);
    let set = world.ok(&["backup"]).trim().to_owned();
    assert_eq!(set.len(), 26, "backup prints the set's id alone: {set}");
    assert!(world.ok(&["list"]).contains(&set));
    let shown = world.json(&["show", &set[..20]]);
    assert_eq!(shown["set"], set.as_str());
    assert!(shown["skew_ms"].is_u64());
    let plan = world.json(&["plan", "latest"]);
    assert_eq!(plan["refused"], false);
    assert!(plan["plan"]["steps"].as_array().unwrap().len() >= 20);
    assert!(world.ok(&["restore", "latest", "--dry-run"]).contains("Steps:"));
    assert!(world.ok(&["plan", "latest", "--in-place", "--only", "system-mysql"]).contains("safety copy"));
    support::assert_equal(&world.fingerprint(), &before, "after looking");

    // Retention is dry unless --yes is given. A partial set displaces no whole one.
    let partial = world.ok(&["backup", "--only", "system-redis"]).trim().to_owned();
    let dry = world.json(&["forget", "--keep-last", "1", "--prune"]);
    assert_eq!((&dry["applied"], dry["removed"].as_array().unwrap().len()), (&false.into(), 0), "{dry}");
    assert_eq!(dry["kept"][0]["reasons"][0], "last 1", "{dry}");
    assert_eq!(dry["prune"]["space"]["total_bytes"], bytes_of(&world.path("repository")), "{dry}");
    let whole = world.ok(&["backup"]).trim().to_owned();
    world.ok(&["protect", &set[..20], "--note", "before the move"]);
    assert!(world.ok(&["list"]).contains("(protected: before the move)"));
    let kept = world.ok(&["forget", "--keep-last", "1", "--yes"]);
    assert!(kept.contains(&format!("keep    {set}")) && kept.contains("protected: before the move"), "{kept}");
    assert!(kept.contains(&format!("forget  {partial}")) && kept.contains("last 1: newer sets fill it"), "{kept}");
    // A note cannot act on a terminal, nor look like a line of ours.
    world.ok(&["protect", &set[..20], "--note", "\u{1b}[2Jgone\nforget  everything"]);
    for told in [world.ok(&["list"]), world.ok(&["forget", "--keep-last", "1"])] {
        assert!(told.contains("protected: \\u{1b}[2Jgone\\nforget  everything") && !told.contains('\u{1b}'), "{told:?}");
    }
    world.ok(&["unprotect", &set]);
    world.refused(2, &["unprotect", &set]);
    world.refused(2, &["forget", "--keep-last", "1", "--now"]);
    let forgotten = world.json(&["forget", "--keep-last", "1", "--prune", "--now", "--yes"]);
    assert_eq!(forgotten["removed"], serde_json::json!([set]), "{forgotten}");
    assert_eq!(forgotten["prune"]["space"]["total_bytes"], bytes_of(&world.path("repository")), "{forgotten}");
    assert_eq!(world.json(&["list"])["sets"][0]["set"], whole.as_str());
    world.ok(&["check", "--read-data"]);
    world.ok(&["check", "--read-data=50%"]);
}

/// Bytes of all files below a folder.
fn bytes_of(folder: &Path) -> u64 {
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        folder if folder.is_dir() => bytes_of(&entry.path()),
        file => file.len(),
    };
    std::fs::read_dir(folder).unwrap().map(|entry| size(entry.unwrap())).sum()
}

#[test]
fn an_export_is_plain_files() {
    let world = World::start(1 << 20);
    world.ok(&["backup"]);
    for name in ["system-database", "zync-database", "backend-redis", "system-redis", "system-storage"] {
        let to = world.path(name);
        world.ok(&["export", "latest", name, "--to", to.to_str().unwrap()]);
        assert!(world.refused(2, &["export", "latest", name, "--to", to.to_str().unwrap()]).contains("not an empty folder"));
    }
    let same = std::process::Command::new("diff")
        .args(["-r", "--no-dereference"])
        .arg(world.installation.storage())
        .arg(world.path("system-storage"))
        .output()
        .unwrap();
    assert!(same.status.success(), "{}{}", text(&same.stdout), text(&same.stderr));
    let dump = find(&world.path("zync-database"), "dump");
    assert!(std::fs::read(dump).unwrap().starts_with(b"PGDMP"));
    let rdb = find(&world.path("system-redis"), "rdb");
    assert!(std::fs::read(rdb).unwrap().starts_with(b"REDIS"));
}

/// Not one of an option's possible values, which begin with a dash too.
fn is_option(line: &str) -> bool {
    line.trim_start().strip_prefix('-').is_some_and(|rest| !rest.starts_with(' '))
}

fn find(folder: &Path, extension: &str) -> std::path::PathBuf {
    let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
}

#[test]
fn the_environment_goes_before_the_file_and_flags_before_both() {
    let world = World::start(1 << 20);
    world.ok(&["backup", "--only", "system-redis"]);
    let mut command = world.command(&["list", "--json"]);
    command.env("THREESCALE_BACKUP_REPOSITORY_URL", "/nowhere");
    assert_eq!(command.output().unwrap().status.code(), Some(10));
    let mut command = world.command(&["list", "--config", "/nowhere.toml"]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    let mut command = world.command(&["list"]);
    command.env("THREESCALE_BACKUP_PASSWORD", "wrong");
    assert_eq!(command.output().unwrap().status.code(), Some(12));
    let mut command = world.command(&["list"]);
    command.env("THREESCALE_BACKUP_JSON", "true");
    assert!(serde_json::from_slice::<serde_json::Value>(&command.output().unwrap().stdout).is_ok());
}

#[test]
fn who_names_no_command_reads_the_help_with_the_options_of_every_command_last() {
    for (words, wanted) in [(&[][..], "  backup "), (&["key"], "  change ")] {
        for quiet in ["", "true"] {
            let output = program(words).env("THREESCALE_BACKUP_QUIET", quiet).output().unwrap();
            let told = text(&output.stderr);
            assert!(output.status.code() == Some(2) && told.contains("Usage: threescale-backup") && told.contains(wanted), "{told}");
            assert!(!told.starts_with("error"), "{told}");
        }
    }
    let help = text(&program(&["forget", "--help"]).output().unwrap().stdout);
    let (own, every) = help.split_once("\nEvery command:\n").unwrap();
    assert!(own.contains("--keep-last") && own.contains("--prune") && !own.contains("--config"), "{help}");
    assert!(every.contains("--config") && every.contains("--json") && !every.contains("--prune"), "{help}");
}

#[test]
fn help_completions_and_the_manual_page_name_every_command_and_variable() {
    let help = text(&program(&["--help"]).output().unwrap().stdout);
    let page = text(&program(&["man"]).output().unwrap().stdout);
    let mut shell = program(&["--", "threescale-backup", ""]);
    shell.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "1").env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_IFS", "\n");
    let completions = text(&shell.output().unwrap().stdout);
    for command in [
        "init", "backup", "list", "show", "check", "plan", "restore", "resume", "undo", "settle", "runs", "rehearse", "export", "forget",
        "doctor", "demo", "man",
    ] {
        assert!(help.contains(command) && page.contains(command) && completions.contains(command), "{command}");
        let of_command = text(&program(&[command, "--help"]).output().unwrap().stdout);
        let (options, variables) =
            (of_command.lines().filter(|line| is_option(line)).count(), of_command.matches("THREESCALE_BACKUP_").count());
        // Help and version have no variable.
        assert!(variables + 2 >= options, "{command}: {variables} variables for {options} options\n{of_command}");
    }
}
