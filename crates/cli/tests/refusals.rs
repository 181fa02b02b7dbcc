//! Bad input: a clear error with the way out, the documented exit code, nothing touched.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{World, program, text};

#[test]
fn every_mistake_has_its_exit_code_and_a_way_out() {
    let world = World::start(1 << 20);
    assert!(world.refused(2, &["show", "latest"]).contains("threescale-backup backup"));
    world.ok(&["backup", "--only", "system-redis,system-storage"]);
    let before = world.fingerprint();

    let cases: &[(i32, &[&str], &str)] = &[
        (2, &["show", "nonsense"], "there is no set nonsense"),
        (2, &["restore", "latest", "--yes"], "no set of"),
        (2, &["restore", "latest", "--partial", "--only", "zync-database", "--yes"], "has no zync-database"),
        (2, &["restore", "latest", "--partial", "--only", "nonsense", "--yes"], "unknown data set"),
        (2, &["backup", "--only", "system-mysqll"], "unknown data set"),
        (2, &["check", "--read-data=lots"], "is not a share"),
        (2, &["forget", "--yes"], ""),
        (2, &["resume"], "no run"),
        (2, &["undo", "nonsense"], "there is no run nonsense"),
        (2, &["export", "latest", "--partial", "zync-database", "--to", "/nowhere/x"], "has no zync-database"),
        (2, &["restore", "latest", "--partial"], "nobody can be asked"),
        (2, &["frobnicate"], "unrecognized subcommand"),
    ];
    let whole = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let secret = whole.split("mysql2://root:").nth(1).and_then(|rest| rest.split('@').next()).unwrap();
    assert!(secret.len() > 8, "{secret} is no random password");
    for (code, arguments, expected) in cases {
        let stderr = world.refused(*code, arguments);
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!stderr.contains(secret), "a secret in {stderr}");
    }

    let changes: &[(i32, &str, &str, &str)] = &[
        (2, "mysql2://", "mysql3://", "mysql3://"),
        (2, "[system-storage]", "[sytem-storage]", "unknown section [sytem-storage]"),
        (2, "[system-storage]\npath = ", "[system-storage]\npath = [", "config.toml:"),
        (2, "password-file", "password-command = \"echo x\"\npassword-file", "password-file and password-command"),
        (12, "password-file", "password-command = \"echo wrong\" #", "password"),
        (10, "/repository\"", "/nowhere\"", "repository"),
        (2, "kind = \"direct\"", "kind = \"mainframe\"", "mainframe"),
    ];
    for (code, from, to, expected) in changes {
        assert!(whole.contains(from), "{from}");
        world.reconfigure(|_| whole.replacen(from, to, 1));
        let stderr = world.refused(*code, &["backup"]);
        assert!(stderr.contains(expected), "{to}: {stderr}");
        assert!(!stderr.contains(secret), "a secret in {stderr}");
    }
    let section = whole.split("[system-redis]").next().unwrap().to_owned();
    world.reconfigure(|_| section.clone());
    assert!(world.refused(2, &["restore", "latest", "--partial", "--yes", "--writers-are-stopped"]).contains("no section [system-redis]"));
    world.reconfigure(|_| "[platform]\nkind = \"direct\"\n[repository]\nurl = \"/x\"\npassword = \"x\"\n".to_owned());
    assert!(world.refused(2, &["backup"]).contains("the installation is empty"));
    world.reconfigure(|_| whole.clone());
    support::assert_equal(&world.fingerprint(), &before, "after all refusals");
}

#[test]
fn without_a_configuration_it_says_where_one_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(&["list"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("threescale-backup.toml"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_is_down_is_temporary_and_a_signal_is_an_interruption() {
    let mut world = World::start(1 << 20);
    world.installation.backend_redis.stop().unwrap();
    assert!(world.refused(75, &["backup"]).contains("backend-redis"));
    world.installation.backend_redis.start_again().unwrap();
    world.ok(&["backup"]);

    // The writers' stop command hangs until it is interrupted: the run is there, and waits.
    world.reconfigure(|text| {
        let kept: Vec<_> = text.lines().filter(|line| !line.starts_with("stop = ") && !line.starts_with("stopped = ")).collect();
        kept.join("\n").replace("[writers]", "[writers]\nstop = \"true\"\nstopped = \"exit 1\"")
    });
    let mut child = world.command(&["backup", "--freeze"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while world.journal().last().is_none_or(|line| line["record"] != "started") {
        assert!(Instant::now() < limit, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    // While it waits, another run is refused.
    assert!(world.refused(11, &["backup"]).contains("another run"));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let warned = world.run(&["backup"]);
    assert!(warned.status.success(), "it may hold the writers, which harms no backup");
    let told = String::from_utf8(warned.stderr).unwrap();
    assert!(told.contains("warning: run") && told.contains("some may run, some not"), "{told}");
    world.ok(&["undo", "--yes"]);
    world.ok(&["backup"]);

    // A journal that is damaged in its middle asks for a person.
    let (run, journal) = (world.newest_run(), world.path("state/runs").join(format!("{}.jsonl", world.newest_run())));
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("\"record\":\"started\"", "\"record\":\"stxrted\"", 1)).unwrap();
    assert!(world.refused(3, &["undo", &run, "--yes"]).contains("is damaged"));
    let refusal = world.refused(2, &["restore", "latest", "--yes"]);
    assert!(refusal.contains("is damaged") && refusal.contains(&format!("abandon {run}")), "{refusal}");
    world.ok(&["backup"]);
}

#[test]
fn a_repository_or_journals_in_the_folder_of_the_files_are_refused_by_whatever_path_and_the_way_out_works() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for folder in ["files/deep", "outside"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::fs::write(at("files/deep/logo"), "good").unwrap();
    std::fs::write(at("key"), "a password\n").unwrap();
    std::os::unix::fs::symlink(at("files/deep"), at("link")).unwrap();
    std::os::unix::fs::symlink(at("files"), at("files-by-link")).unwrap();
    let run = |files: &str, repository: &str, state: &str, arguments: &[&str]| {
        let config = format!(
            "[installation]\nname = \"one\"\n[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[system-database]\nabsent = true\n\
             [zync-database]\nabsent = true\n[backend-redis]\nabsent = true\n[system-redis]\nabsent = true\n[system-storage]\npath = {:?}\n\
             [writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n",
            at(repository),
            at("key"),
            at(files)
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", at("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", at(state));
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let restore: &[&str] = &["restore", "latest", "--yes"];
    let every: [&[&str]; 5] = [&["doctor"], &["backup"], &["plan", "latest"], restore, &["restore", "latest", "--in-place", "--yes"]];

    // As if an earlier version had made and filled it there: its sets can still be listed, and moved out.
    assert_eq!(run("files", "repository", "state", &["init"]).0, Some(0));
    assert_eq!(run("files", "repository", "state", &["backup"]).0, Some(0));
    std::fs::rename(at("repository"), at("files/deep/repository")).unwrap();
    for (files, repository) in
        [("files", "link/repository"), ("files", "files/deep/repository"), ("files-by-link", "files/../link/repository")]
    {
        for arguments in every {
            let (code, said) = run(files, repository, "state", arguments);
            assert!(
                code == Some(2) && said.contains("is inside the folder of system-storage"),
                "{files} {repository} {arguments:?}: {said}"
            );
        }
        let (code, said) = run(files, repository, "state", &["list"]);
        assert!(code == Some(0), "{said}");
    }
    let (_, said) = run("files", "files/deep/repository", "state", &["doctor"]);
    let line = said.lines().find_map(|line| line.split_once("mv -- ")).unwrap().1;
    let way_out = format!("mv -- {}", line.replace("FOLDER", at("repository").to_str().unwrap()));
    assert!(std::process::Command::new("sh").arg("-c").arg(&way_out).status().unwrap().success(), "{way_out}");
    let (code, said) = run("files", "repository", "state", &["doctor"]);
    assert_eq!(code, Some(0), "{said}");
    // A repository that is the folder itself.
    let (code, said) = run("files-by-link", "files", "state", &["doctor"]);
    assert!(code != Some(0) && said.contains("is the folder of system-storage"), "{said}");

    // Journals: a set is still taken, and told.
    let (code, said) = run("files", "repository", "link/state", &["backup"]);
    assert!(code == Some(0) && said.contains("no restore of it is begun"), "{said}");
    for arguments in [&["plan", "latest"], restore] {
        let (code, said) = run("files", "repository", "link/state", arguments);
        assert!(code == Some(2) && said.contains("the journals in") && said.contains("--state-folder"), "{arguments:?}: {said}");
    }
    std::fs::write(at("files/deep/logo"), "bad").unwrap();
    let (code, said) = run("files", "repository", "state", restore);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(at("files/deep/logo")).unwrap(), "good");
}
