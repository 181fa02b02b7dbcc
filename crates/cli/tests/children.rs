//! No child gets a secret of this program: each kind of child writes down its environment.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{World, program, text};

const SECRET: &str = "t0psecret-of-the-environment";

fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The environments that children wrote into a folder: none may have the secret, and each has what commands may be written with.
fn look_through(folder: &Path, wanted: &[&str]) {
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in wanted {
        assert!(names.iter().any(|found| found == name), "{name} was not run: {names:?}");
    }
    for name in names {
        let environment = std::fs::read_to_string(folder.join(&name)).unwrap();
        assert!(!environment.contains(SECRET), "{name} has the secret:\n{environment}");
        assert!(environment.contains("PATH="), "{name}: {environment}");
    }
}

#[test]
fn no_child_gets_a_secret_of_this_program() {
    let world = World::start(1 << 20);
    let (seen, programs) = (world.path("seen"), world.path("programs"));
    std::fs::create_dir(&seen).unwrap();
    std::fs::create_dir(&programs).unwrap();
    let tell = |name: &str| format!("env >>{}/{name}", seen.display());
    let real = lab::find_program("pg_dump").unwrap().parent().unwrap().to_owned();
    for name in ["pg_dump", "pg_restore", "psql"] {
        script(&programs.join(name), &format!("{}; exec {}/{name} \"$@\"", tell(name), real.display()));
    }
    // The servers of a rehearsal are started by it.
    let setpriv = lab::find_program("setpriv").unwrap();
    script(&programs.join("setpriv"), &format!("{}; exec {} \"$@\"", tell("server"), setpriv.display()));
    world.reconfigure(|text| {
        let writers = format!("[writers]\nstop = \"{}\"\nstart = \"{}\"\nstopped = \"{}\"\n", tell("stop"), tell("start"), tell("stopped"));
        let text = text.split("[writers]").next().unwrap().to_owned() + &writers;
        let password = format!("password-command = '{}; cat {}'", tell("password-command"), world.path("key").display());
        let text: Vec<_> = text.lines().map(|line| if line.starts_with("password-file") { password.as_str() } else { line }).collect();
        let zync = format!("[zync-database]\nclient-folder = {programs:?}");
        text.join("\n").replace("[zync-database]", &zync)
    });
    let with_secrets = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        // Of these nothing is used, so that the commands go on as they are.
        for name in ["BACKEND_REDIS_SENTINEL_PASSWORD", "SYSTEM_REDIS_SENTINEL_PASSWORD"] {
            command.env(format!("THREESCALE_BACKUP_{name}"), SECRET);
        }
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", programs.display()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    };
    with_secrets(&["backup", "--freeze"]);
    look_through(&seen, &["stop", "start", "stopped", "password-command", "pg_dump"]);
    with_secrets(&["restore", "latest", "--yes"]);
    look_through(&seen, &["pg_restore"]);
    with_secrets(&["settle", "--yes"]);
    with_secrets(&["rehearse", "latest", "--only", "system-redis,zync-database"]);
    look_through(&seen, &["server"]);

    let mut command = world.command(&["backup", "--freeze"]);
    let output = command.env("THREESCALE_BACKUP_PASSWORD", "a password").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let environment = std::fs::read_to_string(seen.join("stop")).unwrap();
    assert!(!environment.contains("a password") && environment.contains("THREESCALE_BACKUP_STATE_FOLDER="), "{environment}");
}

#[test]
fn a_login_program_of_the_kubeconfig_gets_none_either() {
    let home = tempfile::tempdir().unwrap();
    let seen = home.path().join("environment");
    script(&home.path().join("login"), &format!("env >{}; exit 1", seen.display()));
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u, namespace: n}}}}]\n\
         users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: '{}', interactiveMode: Never}}}}}}]\n",
        home.path().join("login").display()
    );
    std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
    let mut command = program(&["doctor", "--kubeconfig", home.path().join("kubeconfig").to_str().unwrap()]);
    command.env("THREESCALE_BACKUP_PASSWORD", SECRET).env("THREESCALE_BACKUP_REPOSITORY_URL", "/nowhere");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let environment = std::fs::read_to_string(&seen).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    assert!(!environment.contains(SECRET) && environment.contains("PATH="), "{environment}");
}
