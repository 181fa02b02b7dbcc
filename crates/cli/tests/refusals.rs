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
