//! What the program makes of its configuration: refused, shown, trusted, warned about. No server is needed.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{program, text};
use tempfile::TempDir;

/// An installation that is a folder of files, and a repository: what needs no server.
struct Files {
    home: TempDir,
}

impl Files {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("files")).unwrap();
        std::fs::write(home.path().join("files/one"), "1").unwrap();
        let files = Self { home };
        files.write("key", "a password\n", 0o600);
        files.configure("");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The configuration, and more.
    fn configure(&self, more: &str) {
        let text = "[repository]\nurl = \"repository\"\npassword-file = \"key\"\n[system-storage]\npath = \"files\"\n[state]\nfolder = \"state\"\n";
        self.write("c.toml", &format!("{text}{more}"), 0o600);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("c.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> (String, String) {
        said(&self.run(arguments), 0)
    }
}

/// Standard output and standard error, of a program that ended so.
fn said(output: &Output, code: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

#[test]
fn unknown_variables_are_refused_by_every_command_and_those_of_services_are_not() {
    let files = Files::new();
    files.ok(&["init"]);
    for command in [["list"].as_slice(), &["backup"], &["config", "check"], &["doctor"]] {
        let mut typo = files.command(command);
        typo.env("THREESCALE_BACKUP_ZYNC_DATABSE_URL", "postgresql://zync:topsecret@h/zync");
        let (out, err) = said(&typo.output().unwrap(), 2);
        let all = format!("{out}{err}");
        assert!(all.contains("unknown environment variable THREESCALE_BACKUP_ZYNC_DATABSE_URL"), "{all}");
        assert!(all.contains("Did you mean THREESCALE_BACKUP_ZYNC_DATABASE_URL?") && !all.contains("topsecret"), "{all}");
    }
    let mut in_pod = files.command(&["list"]);
    in_pod.env("THREESCALE_BACKUP_SERVICE_HOST", "10.0.0.1").env("THREESCALE_BACKUP_PORT_443_TCP_ADDR", "10.0.0.1");
    said(&in_pod.env("THREESCALE_BACKUP_PORT", "tcp://10.0.0.1:443").output().unwrap(), 0);
}

/// Every variable that `--help` of any command and the table of the configuration name.
fn all_variables() -> Vec<String> {
    let (json, _) = said(&program(&["config", "example", "--json"]).output().unwrap(), 0);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let keys = document["sections"].as_array().unwrap().iter().flat_map(|section| section["keys"].as_array().unwrap());
    let mut all: Vec<_> = keys.flat_map(|key| key["variables"].as_array().unwrap()).map(|name| name.as_str().unwrap().to_owned()).collect();
    let (help, _) = said(&program(&["--help"]).output().unwrap(), 0);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap().to_owned();
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let commands: Vec<_> = named.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    assert!(commands.contains(&"restore") && commands.contains(&"forget"), "{commands:?}");
    for command in commands {
        let (help, _) = said(&program(&[command, "--help"]).output().unwrap(), 0);
        let words = help.split(|letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'));
        all.extend(words.filter(|word| word.starts_with("THREESCALE_BACKUP_") && word.len() > 18).map(str::to_owned));
    }
    all.sort();
    all.dedup();
    assert!(all.len() > 100 && all.iter().any(|name| name == "THREESCALE_BACKUP_KEEP_LAST"), "{all:?}");
    all
}

#[test]
fn an_empty_variable_says_nothing_whichever_it_is() {
    let files = Files::new();
    files.configure("[installation]\nname = \"prod\"\n");
    files.ok(&["init"]);
    let (set, _) = files.ok(&["backup"]);
    let variables = all_variables();
    let config = files.path("c.toml");
    let commands: &[&[&str]] = &[
        &["list"],
        &["show", set.trim()],
        &["plan", set.trim(), "--writers-are-stopped"],
        &["check"],
        &["doctor"],
        &["runs"],
        &["config", "show"],
        &["config", "check"],
        &["forget", "--keep-last", "1", "--yes"],
        &["protect", set.trim()],
        &["demo", "--help"],
        &["abandon", "none", "--yes"],
    ];
    for arguments in commands {
        let run = |empty: bool| {
            let mut command = program(arguments);
            if empty {
                command.envs(variables.iter().map(|name| (name, "")));
            }
            command.args(["--config", config.to_str().unwrap()]);
            let output = command.output().unwrap();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (mut alone, mut with_all) = (run(false), run(true));
        // Ages and times are another moment's, and help names what a variable says.
        if !["show", "config", "protect", "abandon"].contains(&arguments[0]) {
            (alone.1, with_all.1) = Default::default();
        }
        assert_eq!(with_all, alone, "{arguments:?}");
    }
    let mut home = program(&["config", "show", "--config", config.to_str().unwrap()]);
    said(&home.env("XDG_STATE_HOME", "").env("HOME", "").env("KUBECONFIG", "").output().unwrap(), 0);
}

#[test]
fn show_tells_where_each_value_comes_from_and_no_secret() {
    let files = Files::new();
    files.configure("[system-database]\nurl = \"mysql2://root:t0psecret@h/system\"\n[zync-database]\nurl-command = \"echo postgresql://z:t0psecret@h/z\"\n");
    let mut command = files.command(&["config", "show", "--workers", "7"]);
    command.env("THREESCALE_BACKUP_PASSWORD", "t0psecret").env("THREESCALE_BACKUP_INSTALLATION", "prod");
    let (shown, err) = said(&command.output().unwrap(), 0);
    let file = files.path("c.toml").display().to_string();
    for line in [
        "password = (hidden)    # environment THREESCALE_BACKUP_PASSWORD".to_owned(),
        "name = \"prod\"    # environment THREESCALE_BACKUP_INSTALLATION".to_owned(),
        format!("url = \"repository\"    # {file}:2"),
        format!("url = \"mysql2://root:(hidden)@h/system\"    # {file}:9"),
        "workers = \"7\"    # flag --workers".to_owned(),
        "lock-wait-seconds = 30    # default".to_owned(),
        "# platform: direct".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains("t0psecret") && !err.contains("t0psecret"), "{shown}{err}");
    command.args(["--json"]);
    let (json, _) = said(&command.output().unwrap(), 0);
    assert!(!json.contains("t0psecret"), "{json}");
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let values = document["values"].as_array().unwrap();
    let of = |section: &str, key: &str| values.iter().find(|value| value["section"] == section && value["key"] == key).unwrap();
    assert_eq!(of("repository", "password")["value"], serde_json::Value::Null);
    assert_eq!(of("repository", "password")["origin"]["variable"], "THREESCALE_BACKUP_PASSWORD");
    assert_eq!(of("repository", "url")["origin"]["line"], 2);
    assert_eq!(of("options", "workers")["origin"]["flag"], "--workers");
}

#[test]
fn check_tells_all_that_is_wrong_and_asks_no_server() {
    let files = Files::new();
    files.configure("[system-database]\nurl = \"mysql2://root:t0psecret@192.0.2.1/system\"\n");
    let (out, err) = files.ok(&["config", "check"]);
    assert!(out.contains("the configuration is fine"), "{out}{err}");
    assert!(out.contains("2 of 5 data sets: no [zync-database], [backend-redis], [system-redis]"), "{out}");

    let wrong: &[(&str, &[&str])] = &[
        ("[system-database]\nurl = \"mysql3://root:t0psecret@h/system\"\n", &["mysql3://"]),
        ("[system-redis]\nurl = \"http://:t0psecret@h\"\n", &["[system-redis]"]),
        (
            "[platform]\nknd = \"direct\"\n[options]\nworkers = \"t0psecret\"\n[zync-database]\n",
            &["knd", "workers is not a number", "has no url"],
        ),
        ("[zync-database]\nurl-file = \"/nowhere/url\"\n", &["/nowhere/url"]),
        ("[zync-database]\nurl-command = \"exit 3\"\n", &["exit status: 3"]),
    ];
    for (more, expected) in wrong {
        files.configure(more);
        let (out, err) = said(&files.run(&["config", "check"]), 2);
        assert!(expected.iter().all(|part| out.contains(part)), "{more}: {out}{err}");
        assert!(!out.contains("t0psecret") && !err.contains("t0psecret"), "{out}{err}");
    }
    files.configure("");
    std::fs::remove_file(files.path("key")).unwrap();
    let (out, _) = said(&files.run(&["config", "check", "--json"]), 2);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((document["fine"].as_bool(), document["problems"].as_array().unwrap().len()), (Some(false), 1), "{document}");
}

/// A connection would read them: so does who looks before.
#[test]
fn check_reads_the_files_for_tls_of_every_store() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, other) = (lab::Tls::make(folder.path()).unwrap(), tempfile::tempdir().unwrap());
    let other = lab::Tls::make(other.path()).unwrap();
    let ((certificate, key), (_, other_key)) = (tls.client(), other.client());
    let stores = [
        "[system-database]\nurl = \"mysql2://u:t0psecret@192.0.2.1/system\"\nTLS",
        "[system-database]\nurl = \"postgresql://u:t0psecret@192.0.2.1/system\"\nTLS",
        "[zync-database]\nurl = \"postgresql://u:t0psecret@192.0.2.1/zync\"\nTLS",
        "[system-redis]\nurl = \"rediss://:t0psecret@192.0.2.1/1\"\nTLS",
        "[system-redis]\nurl = \"redis://group/1\"\nsentinel-hosts = \"rediss://192.0.2.1:26379\"\nTLS",
        "[backend-redis]\nstorage-url = \"rediss://192.0.2.1/0\"\nqueues-url = \"redis://192.0.2.1/1\"\nstorage-TLS",
        "[backend-redis]\nstorage-url = \"redis://192.0.2.1/0\"\nqueues-url = \"rediss://192.0.2.1/1\"\nqueues-TLS",
    ];
    let ca = |file: &Path| format!("ca-file = {:?}", file.display().to_string());
    let own = |key: &Path| {
        format!("client-certificate-file = {:?}, client-key-file = {:?}", certificate.display().to_string(), key.display().to_string())
    };
    let absent = folder.path().join("absent.pem");
    let cases = [
        (ca(&tls.ca()), None),
        (own(&key), None),
        (ca(&absent), Some("absent.pem")),
        (ca(&key), Some("holds no certificate")),
        (own(&other_key), Some("do not go together")),
        (own(&certificate), Some("holds no private key")),
    ];
    let files = Files::new();
    for store in stores {
        for (given, wrong) in &cases {
            let mode = if store.contains("redis") { String::new() } else { "mode = \"verify-full\", ".to_owned() };
            files.configure(&store.replace("TLS", &format!("tls = {{ {mode}{given} }}\n")));
            let (out, err) = said(&files.run(&["config", "check"]), if wrong.is_some() { 2 } else { 0 });
            assert!(out.contains(wrong.unwrap_or("the configuration is fine")), "{store} {given}: {out}{err}");
            assert!(!out.contains("t0psecret") && !err.contains("t0psecret"), "{out}{err}");
        }
    }
    // A bucket's.
    let s3 = |file: &Path| {
        format!(
            "[repository.s3]\nendpoint = \"https://192.0.2.1\"\naccess-key-id = \"a\"\nsecret-access-key = \"b\"\nca-file = {:?}\n",
            file.display().to_string()
        )
    };
    for (file, wrong) in [(&tls.ca(), None), (&absent, Some("absent.pem")), (&key, Some("holds no certificate"))] {
        files.configure(&s3(file));
        let text = std::fs::read_to_string(files.path("c.toml")).unwrap().replace("\"repository\"", "\"s3://bucket/x\"");
        files.write("c.toml", &text, 0o600);
        let (out, err) = said(&files.run(&["config", "check"]), if wrong.is_some() { 2 } else { 0 });
        assert!(out.contains(wrong.unwrap_or("the configuration is fine")), "{out}{err}");
    }
}

#[test]
fn the_example_uncommented_is_a_configuration() {
    let (example, _) = said(&program(&["config", "example"]).output().unwrap(), 0);
    for prefix in ["# ", "#"] {
        let files = Files::new();
        let text: Vec<_> = example.lines().map(|line| line.strip_prefix(prefix).unwrap_or(line)).collect();
        files.write("c.toml", &text.join("\n"), 0o600);
        let (shown, _) = files.ok(&["config", "show"]);
        assert!(shown.contains("[repository.s3]") && shown.contains("name = \"prod\""), "{shown}");
    }
    let (json, _) = said(&program(&["config", "example", "--json"]).output().unwrap(), 0);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["sections"][0]["section"], "installation");
}

#[test]
fn what_is_not_configured_is_named_and_can_be_said_to_be_absent() {
    let files = Files::new();
    files.ok(&["init"]);
    let four = "[system-database]\nabsent = true\n[zync-database]\nabsent = true\n[backend-redis]\nabsent = true\n";
    files.configure(four);
    let (_, err) = files.ok(&["backup"]);
    assert!(
        err.contains("1 of 2 data sets: no [system-redis] (set `[system-redis] absent = true` if this installation has none)"),
        "{err}"
    );
    let doctor = files.run(&["doctor"]);
    assert!(text(&doctor.stdout).contains("1 of 2 data sets: no [system-redis]"), "{}", text(&doctor.stdout));
    files.configure(&format!("{four}[system-redis]\nabsent = true\n"));
    let (_, err) = files.ok(&["backup"]);
    assert!(!err.contains("data sets: no"), "{err}");
    let (_, err) = said(&files.run(&["backup", "--only", "zync-database"]), 2);
    assert!(err.contains("Remove `absent = true` from [zync-database]"), "{err}");
}

#[test]
fn options_that_name_a_cluster_are_obeyed_or_refused() {
    let files = Files::new();
    files.ok(&["init"]);
    for option in ["--namespace=3scale", "--context=prod", "--kubeconfig=/nowhere/config", "--as=me"] {
        let mut command = files.command(&["backup", option]);
        command.env("KUBECONFIG", "/nowhere/config").env("HOME", files.home.path());
        let (_, err) = said(&command.output().unwrap(), 2);
        assert!(err.contains("no cluster is configured") || err.contains("kubeconfig"), "{option}: {err}");
    }
    files.configure("[platform]\nkind = \"direct\"\n");
    let (_, err) = said(&files.run(&["backup", "-n", "3scale"]), 2);
    assert!(err.contains("--namespace is given, and [platform] kind is \"direct\""), "{err}");
    let mut by_variable = files.command(&["backup"]);
    said(&by_variable.env("THREESCALE_BACKUP_CONTEXT", "prod").output().unwrap(), 2);
    let (sets, _) = files.ok(&["list", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&sets).unwrap()["sets"].as_array().unwrap().len(), 0, "nothing was taken");
}

#[test]
fn a_repository_is_a_folder_or_a_bucket_and_never_a_folder_of_a_strange_name() {
    let files = Files::new();
    let password = "password = \"x\"\n";
    for url in [
        "sftp:user@host:/x",
        "b2:bucket:x",
        "rest:https://me:hunter2@h/",
        "gs:b:/x",
        "azure:c:/x",
        "swift:c:/x",
        "rclone:r:x",
        "http://h/x",
        "https://h/x",
        "file:///x",
        "s3:https://h/b",
        "user@host:/x",
        "~you/x",
        "$HOME/x",
        "",
        " /x",
    ] {
        files.write("c.toml", &format!("[repository]\nurl = {url:?}\n{password}"), 0o600);
        let (out, err) = said(&files.run(&["init"]), 2);
        assert!(!out.contains("made the repository") && !err.contains("hunter2"), "{url}: {out}{err}");
        assert_eq!(std::fs::read_dir(files.home.path()).unwrap().count(), 3, "{url} made something: c.toml, files and key are there");
    }
    files.write("c.toml", &format!("[repository]\nurl = \"sets/of mine\"\n{password}"), 0o600);
    let (out, _) = files.ok(&["init"]);
    assert_eq!(
        out.trim(),
        format!("made the repository {}", files.path("sets/of mine").display()),
        "beside the file, not in the current folder"
    );
    let mut here = files.command(&["init"]);
    here.env("THREESCALE_BACKUP_REPOSITORY_URL", "sets2").current_dir(files.path("files"));
    let (out, _) = said(&here.output().unwrap(), 0);
    assert_eq!(
        out.trim(),
        format!("made the repository {}", files.path("files/sets2").display()),
        "a variable's begins in the current folder"
    );
    let mut at_home = files.command(&["init"]);
    at_home.env("THREESCALE_BACKUP_REPOSITORY_URL", "~/sets3").env("HOME", files.home.path());
    let (out, _) = said(&at_home.output().unwrap(), 0);
    assert_eq!(out.trim(), format!("made the repository {}", files.path("sets3").display()));
}

/// A configuration that says when its command is run.
fn found(folder: &Path) -> PathBuf {
    let mark = folder.join("was-run");
    let text = format!("[repository]\nurl = \"/nowhere\"\npassword-command = \"touch {}; echo x\"\n", mark.display());
    std::fs::write(folder.join("threescale-backup.toml"), text).unwrap();
    mark
}

#[test]
fn a_found_configuration_that_others_can_change_is_refused_and_none_of_its_commands_run() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, file) = (found(folder.path()), folder.path().join("threescale-backup.toml"));
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let list = |more: &[&str]| program(&[&["list"], more].concat()).current_dir(folder.path()).output().unwrap();
    let refused = |what: &str| {
        let (_, err) = said(&list(&[]), 2);
        assert!(err.contains(what) && err.contains("--config ./threescale-backup.toml"), "{what}: {err}");
        assert!(!mark.exists(), "{what}");
    };
    mode(&file, 0o664);
    refused("its group may write to it (mode 664)");
    mode(&file, 0o646);
    refused("everybody may write to it (mode 646)");
    mode(&file, 0o644);
    mode(folder.path(), 0o777);
    refused("everybody may put another in its place");
    // As in /tmp: only the owner of a file can replace it.
    mode(folder.path(), 0o1777);
    said(&list(&[]), 10);
    assert!(mark.exists());
    std::fs::remove_file(&mark).unwrap();
    mode(folder.path(), 0o755);

    std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    refused("belongs to another user (uid 65534");
    said(&list(&["--config", "./threescale-backup.toml"]), 10);
    std::fs::remove_file(&mark).unwrap();
    // A link of another user's leads where that one wants.
    std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
    std::fs::rename(&file, folder.path().join("other.toml")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("other.toml"), &file).unwrap();
    std::os::unix::fs::lchown(&file, Some(65534), Some(65534)).unwrap();
    refused("belongs to another user (uid 65534");
}

#[test]
fn files_with_secrets_that_everybody_can_read_are_told() {
    let files = Files::new();
    files.ok(&["init"]);
    let warned = || files.ok(&["list"]).1;
    assert!(!warned().contains("warning"), "{}", warned());
    files.write("key", "a password\n", 0o644);
    assert!(warned().contains("([repository] password-file) holds a secret, and its mode 644 lets everybody read it"), "{}", warned());
    files.write("key", "a password\n", 0o600);
    files.write("c.toml", "[repository]\nurl = \"repository\"\npassword = \"a password\"\n", 0o604);
    assert!(warned().contains("c.toml holds a secret ([repository] password), and its mode 604"), "{}", warned());
    files.write("c.toml", "[repository]\nurl = \"repository\"\npassword = \"a password\"\n", 0o602);
    assert!(warned().contains("lets everybody change it"), "{}", warned());
    files.write("c.toml", "[repository]\nurl = \"repository\"\npassword = \"a password\"\n", 0o640);
    assert!(!warned().contains("warning"), "{}", warned());
}

#[test]
fn one_who_cannot_read_or_write_the_state_folder_lists_without_it() {
    let files = Files::new();
    files.ok(&["init"]);
    let (set, _) = files.ok(&["backup"]);
    // Another user, with a program and a repository that all may read.
    let shared = tempfile::tempdir().unwrap();
    std::fs::set_permissions(shared.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = shared.path().join("threescale-backup");
    std::fs::copy(support::PROGRAM, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let moved =
        Command::new("cp").arg("-r").args([files.path("repository"), files.path("state"), shared.path().to_owned()]).status().unwrap();
    assert!(moved.success());
    let repository = shared.path().join("repository");
    assert!(Command::new("chmod").args(["-R", "a+rX"]).arg(&repository).status().unwrap().success());
    assert!(Command::new("chmod").args(["-R", "go-rwx"]).arg(shared.path().join("state")).status().unwrap().success());
    let as_nobody = |arguments: &[&str], state: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&copy).args(arguments).env_clear().current_dir("/");
        command.env("THREESCALE_BACKUP_REPOSITORY_URL", &repository).env("THREESCALE_BACKUP_PASSWORD", "a password");
        command.env("THREESCALE_BACKUP_STATE_FOLDER", state).output().unwrap()
    };
    for arguments in [["list"].as_slice(), &["show", set.trim()]] {
        let (out, err) = said(&as_nobody(arguments, &shared.path().join("state")), 0);
        assert!(out.contains(set.trim()), "{out}");
        assert_eq!(err.matches("note: failed to read the journals in").count(), 1, "{err}");
        // One that is not there, and cannot be made, says nothing: there were no runs.
        let (out, err) = said(&as_nobody(arguments, &shared.path().join("new/state")), 0);
        assert!(out.contains(set.trim()) && !err.contains("journals"), "{out}{err}");
        assert!(!shared.path().join("new").exists());
    }
}
