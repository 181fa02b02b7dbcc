//! What people see beside the results: version, manual, completions, log, journal, support bundle, variables.

use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use crate::small::{Home, Small};
use crate::support::{PROGRAM, program, text};

fn out(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_version_names_the_commit_that_is_checked_out() {
    let version = out(&mut program(&["-V"]));
    assert_eq!(version.trim(), format!("threescale-backup {}", env!("CARGO_PKG_VERSION")));
    let long = out(&mut program(&["--version"]));
    assert!(long.starts_with(version.trim()), "{long}");
    let git = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"]).output().unwrap();
    let commit = text(&git.stdout);
    if git.status.success() {
        let told = long.split("(commit ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        assert!(told.len() >= 7 && commit.starts_with(told), "{long} of {commit}");
    } else {
        assert!(!long.contains("commit"), "{long}");
    }
}

#[test]
fn the_manual_is_written_where_man_finds_it() {
    let home = Home::make();
    let folder = home.path("man");
    let folder = folder.to_str().unwrap();
    out(&mut program(&["man", "--to", folder]));
    let man = |page: &str| {
        let mut man = Command::new("man");
        out(man
            .args(["-M", folder, page])
            .env("MANWIDTH", "200")
            .env("MAN_KEEP_FORMATTING", "")
            .env("PAGER", "cat")
            .env("LC_ALL", "C.UTF-8"))
    };
    let page = man("threescale-backup-restore");
    assert!(page.contains("--in-place") && page.contains("EXIT STATUS") && page.contains("threescale-backup restore latest"), "{page}");
    assert!(man("threescale-backup.toml").contains("password-file"));
    let one = out(&mut program(&["man", "hold", "release"]));
    assert!(one.contains("HOLD\\-RELEASE") || one.contains("HOLD-RELEASE"), "{one}");
    let refused = program(&["man", "nonsense"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

/// What a shell would be offered for a line; the last word is being written.
fn offered(small: &Small<'_>, words: &[&str]) -> Vec<String> {
    let mut command = small.command(&[]);
    let last = words.len();
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", last.to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_IFS", "\n");
    command.args(["--", "threescale-backup"]).args(words);
    let output = command.output().unwrap();
    assert_eq!(text(&output.stderr), "", "{words:?}");
    text(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn tab_offers_names_and_ids_and_is_silent_where_a_command_would_be_run() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let set = small.backup(&[]);
    small.ok(&["restore", "latest", "--yes", "--quiet"]);
    let run = small.json(&["runs"])["runs"].as_array().unwrap().last().unwrap()["run"].as_str().unwrap().to_owned();
    let of_restore = offered(&small, &["restore", ""]);
    assert!(of_restore.contains(&"latest".to_owned()) && of_restore.contains(&set), "{of_restore:?}");
    assert_eq!(offered(&small, &["show", &set[..12]]), [set.as_str()]);
    assert!(offered(&small, &["undo", ""]).contains(&run));
    assert!(offered(&small, &["backup", "--only", "sys"]).contains(&"system-redis".to_owned()));
    assert!(offered(&small, &["re"]).contains(&"rehearse".to_owned()));
    // A command could ask for something, and nobody knows that it is run.
    let config = std::fs::read_to_string(small.config()).unwrap();
    let file = format!("password-file = {:?}", home.path("key"));
    assert!(config.contains(&file));
    let was_run = home.path("was-run");
    let by_command = format!("password-command = \"touch {0}; cat {1}\"", was_run.display(), home.path("key").display());
    std::fs::write(small.config(), config.replace(&file, &by_command)).unwrap();
    assert_eq!(offered(&small, &["restore", ""]).iter().filter(|word| **word == set).count(), 0);
    assert!(!was_run.exists());
    // Without a configuration too.
    std::fs::write(small.config(), "nonsense").unwrap();
    assert!(!offered(&small, &["restore", ""]).contains(&set));
    let script = out(&mut program(&["completions", "bash"]));
    assert!(script.contains("complete -o") && script.contains("COMPLETE=\"bash\""), "{script}");
}

#[test]
fn the_log_file_says_what_was_done_and_only_its_owner_reads_it() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let log = home.path("log");
    let log = log.to_str().unwrap();
    small.ok(&["backup", "--log-file", log]);
    small.ok(&["restore", "latest", "--yes", "--log-file", log]);
    std::fs::remove_dir_all(home.path("a-files")).unwrap();
    small.run(&["backup", "--log-file", log]);
    let told = std::fs::read_to_string(log).unwrap();
    let begins =
        ["command backup began", "opening the repository", "work began", "step ended: cut over system-redis", "ERROR", "the command ended"];
    for wanted in begins {
        assert!(told.contains(wanted), "{wanted} is not in {told}");
    }
    assert!(!told.contains("a password"), "{told}");
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = small.refused(&["list", "--log", log]);
    assert!(refused.contains("a file is named by --log-file"), "{refused}");
}

#[test]
fn lines_carry_their_level_only_where_journald_reads_them() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let stderr = home.path("stderr");
    let run = |arguments: &[&str], is_journal: bool| {
        let file = std::fs::File::create(&stderr).unwrap();
        let found = rustix::fs::fstat(file.as_fd()).unwrap();
        let stream = if is_journal { format!("{}:{}", found.st_dev, found.st_ino) } else { "1:1".to_owned() };
        small.command(arguments).env("JOURNAL_STREAM", stream).stdout(Stdio::null()).stderr(file).status().unwrap();
        std::fs::read_to_string(&stderr).unwrap()
    };
    let told = run(&["backup"], true);
    assert!(told.lines().count() > 2 && told.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>warning: ")), "{told}");
    let failed = run(&["show", "01zzzz"], true);
    let is_told = |line: &str| line.starts_with("<3>") || line.starts_with("<4>warning: ");
    assert!(failed.lines().all(is_told) && failed.contains("<3>error: ") && failed.contains("<3>  hint: "), "{failed}");
    assert!(!run(&["backup"], false).contains("<6>"));
}

#[test]
fn the_support_bundle_has_all_that_helps_and_no_secret() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    // Secrets of every kind, that can be told from all else.
    std::fs::write(home.path("key"), "a password\n").unwrap();
    let secrets = ["s3cretRedis", "s3cretHook", "a password"];
    small.configure(
        "[installation]\nname = \"a\"\n[notify]\nwebhook-url = \"http://127.0.0.1:9/s3cretHook\"\non = \"everything\"\n",
        &["system-database", "zync-database", "backend-redis"],
    );
    small.ok(&["backup"]);
    small.ok(&["restore", "latest", "--yes"]);
    let config = std::fs::read_to_string(small.config()).unwrap();
    std::fs::write(small.config(), config.replace("redis://", "redis://someone:s3cretRedis@")).unwrap();
    let bundle = home.path("bundle.tar");
    let to = bundle.to_str().unwrap();
    small.ok(&["support-bundle", "--to", to]);
    assert_eq!(std::fs::metadata(&bundle).unwrap().mode() & 0o777, 0o600);
    let listed = out(Command::new("tar").args(["-tf", to]));
    for entry in ["version.txt", "configuration.json", "doctor.json", "list.json", "runs.json", "status.json", "journals/"] {
        assert!(listed.contains(entry), "{entry} is not in {listed}");
    }
    let all = std::fs::read(&bundle).unwrap();
    for secret in secrets {
        assert!(!all.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is in the bundle");
    }
    // The server's refusal of that password is in it, because that is what helps.
    let doctor = out(Command::new("tar").args(["-xOf", to, "doctor.json"]));
    assert!(doctor.contains("\"Failed\"") || doctor.contains("\"failed\""), "{doctor}");
    assert!(small.refused(&["support-bundle", "--to", to]).contains("is there"));
    // Nothing works: it is made all the same.
    std::fs::write(small.config(), "nonsense = ").unwrap();
    let (second, third) = (home.path("second.tar"), home.path("third.tar"));
    small.ok(&["support-bundle", "--to", second.to_str().unwrap()]);
    assert!(out(Command::new("tar").args(["-xOf", second.to_str().unwrap(), "list.error.json"])).contains("exit_code"));
    let nowhere = third.join("beneath");
    small.refused(&["support-bundle", "--to", nowhere.to_str().unwrap()]);
}

#[test]
fn a_variable_is_read_as_people_write_it_and_lets_no_restore_go_that_was_not_meant() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    small.backup(&[]);
    let run = |arguments: &[&str], variable: &str, value: &str| small.command(arguments).env(variable, value).output().unwrap();
    for yes in ["1", "yes", "on", "TRUE"] {
        let listed = run(&["list"], "THREESCALE_BACKUP_JSON", yes);
        assert!(listed.stdout.starts_with(b"{"), "{yes}");
    }
    assert!(!run(&["list"], "THREESCALE_BACKUP_JSON", "0").stdout.starts_with(b"{"));
    let wrong = text(&run(&["list"], "THREESCALE_BACKUP_JSON", "perhaps").stderr);
    assert!(wrong.contains("perhaps"), "{wrong}");
    // Set for a scheduled `forget`.
    let restore = run(&["restore", "latest"], "THREESCALE_BACKUP_YES", "true");
    assert_eq!(restore.status.code(), Some(2), "{}", text(&restore.stderr));
    let restore = run(&["restore", "latest"], "THREESCALE_BACKUP_RESTORE_YES", "true");
    assert!(restore.status.success(), "{}", text(&restore.stderr));
    assert_eq!(run(&["settle"], "THREESCALE_BACKUP_YES", "true").status.code(), Some(2));
    assert!(run(&["forget", "--keep-last", "1"], "THREESCALE_BACKUP_YES", "true").status.success());
    small.ok(&["settle", "--yes"]);
    // What means something with another option only says nothing without it.
    let mut plan = small.command(&["plan", "latest"]);
    let plan = plan.env("THREESCALE_BACKUP_SERVICE", "3").env("THREESCALE_BACKUP_USAGE", "add").output().unwrap();
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let said = small.refused(&["plan", "latest", "--service", "3"]);
    assert!(said.contains("--service means something with --classes or --tenant only"), "{said}");
}

#[test]
fn a_terminal_that_draws_nothing_is_told_in_lines() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    // `script` gives the program a terminal.
    let line = format!("{PROGRAM} backup --config {}", small.config().display());
    for (term, draws) in [("dumb", false), ("xterm", true)] {
        let mut script = Command::new("script");
        let state = home.path("a-state");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", term).env("THREESCALE_BACKUP_STATE_FOLDER", state).stdin(Stdio::null());
        let told = out(&mut script);
        assert_eq!(told.contains('\u{1b}'), draws, "{term}: {told:?}");
        assert!(told.contains("system-redis") && told.contains("new in the repository"), "{term}: {told:?}");
    }
}
