//! `export` of files: equal to what restic gives, whatever users call their files, and never more than what the person may give away.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{program, text};
use tempfile::TempDir;

/// Names that the program itself gives to parts of streams, and all kinds of entries.
const TREE: &str = r#"
    mkdir -p parts.dump parts.rdb/00000001.part empty deep/a/b rows/t 0001-storage.rdb closed
    echo user > a.part; echo 1 > parts.dump/00000001.part; echo 2 > parts.dump/00000002.part; echo 3 > parts.dump/other
    echo x > 0001-storage.rdb/00000001.part; echo x > rows/t/00000001.000001.tsv; echo {} > zync.database.json; ln -s a.part b.part
    mkdir c.part; echo in > c.part/00000001.part; echo hard > h1; ln h1 deep/a/b/h2.part; ln -s /etc/passwd absolute; ln -s nowhere dangling
    mkfifo pipe; echo s > suid; chown 123:456 suid; chmod 4755 suid; chmod 2775 deep; chmod 1777 empty; echo z > zero; chmod 0 zero; chmod 500 closed
    printf n > $'new\nline'; printf e > export-is-not-complete; truncate -s 5M sparse; printf end >> sparse; head -c 9000000 /dev/urandom > large
    setfattr -n user.color -v blue a.part; setfattr -n user.k -v v deep; setfattr -n trusted.note -v kept h1
    touch -d '2001-02-03 04:05:06.123456789' a.part; touch -h -d @1000000000.5 dangling; touch -d @1500000000.25 deep/a
"#;

struct Files {
    home: TempDir,
    set: String,
}

impl Files {
    fn with(tree: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("live")).unwrap();
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        std::fs::set_permissions(home.path().join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let at = |name: &str| home.path().join(name);
        let toml = format!(
            "[repository]\nurl = {:?}\npassword-file = {:?}\n\n[platform]\nkind = \"direct\"\n\n[system-storage]\npath = {:?}\n",
            at("repository"),
            at("key"),
            at("live")
        );
        std::fs::write(at("config.toml"), toml).unwrap();
        let mut files = Self { home, set: String::new() };
        shell(&files.path("live"), tree);
        files.ok(&["init"]);
        files.ok(&["backup"]);
        let list: serde_json::Value = serde_json::from_slice(&files.ok(&["list", "--json"]).stdout).unwrap();
        files.set = list["sets"][0]["set"].as_str().unwrap().to_owned();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        output
    }

    fn export(&self, to: &Path) -> Output {
        self.run(&["export", &self.set, "system-storage", "--to", to.to_str().unwrap()])
    }
}

fn shell(at: &Path, script: &str) -> String {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(at).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A tree by other means than ours.
fn seen(at: &Path) -> String {
    shell(
        at,
        r"find . -mindepth 1 \( -type f -printf '%p|%y|%m|%s|%T@|%U:%G|%n\n' , ! -type f -printf '%p|%y|%m|%T@|%U:%G|%l\n' \) | sort
          find . -type f -print0 | sort -z | xargs -0r sha256sum
          find . -mindepth 1 -print0 | sort -z | xargs -0r getfattr -h -d -m '^(user|trusted|system)' -e hex --absolute-names",
    )
}

#[test]
fn an_export_of_files_is_what_restic_gives_and_what_was_there() {
    let files = Files::with(TREE);
    let to = files.path("out");
    let output = files.export(&to);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).matches("warning").count(), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("1 named pipes"), "{}", text(&output.stdout));
    assert_eq!(seen(&to), seen(&files.path("live")));
    assert_eq!(shell(&to, "stat -c %i h1 deep/a/b/h2.part | sort -u | wc -l").trim(), "1");

    let restic = files.path("restic");
    let id = shell(
        &files.path("live"),
        &format!(
            "export RESTIC_PASSWORD_FILE={0}/key; restic -r {0}/repository --no-lock snapshots --tag data-set:system-storage --json | grep -o '\"id\":\"[0-9a-f]*\"' | cut -d '\"' -f 4",
            files.home.path().display()
        ),
    );
    shell(
        &files.path("live"),
        &format!(
            "export RESTIC_PASSWORD_FILE={0}/key; restic -q -r {0}/repository --no-lock restore {1} --target {0}/restic",
            files.home.path().display(),
            id.trim()
        ),
    );
    assert_eq!(seen(&to), seen(&restic));
}

#[test]
fn a_socket_is_left_out_and_told() {
    let files = Files::with("echo x > x; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'");
    let output = files.export(&files.path("out"));
    assert!(output.status.success() && text(&output.stderr).contains("1 sockets were left out"), "{}", text(&output.stderr));
    assert_eq!(shell(&files.path("out"), "ls -A").trim(), "x");
}

#[test]
fn who_may_not_give_files_away_gets_no_set_id_bits_and_is_told() {
    let files = Files::with("echo s > suid; chown 123:456 suid; chmod 6755 suid; setfattr -n trusted.note -v kept suid");
    shell(files.home.path(), "chmod 755 .; mkdir other; chown -R 4242:4242 other key repository state");
    // The program's own folder is not for others to enter.
    std::fs::copy(support::PROGRAM, files.path("program")).unwrap();
    let mut other = Command::new("setpriv");
    other.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(files.path("program"));
    other.args(["export", &files.set, "system-storage", "--to"]).arg(files.path("other/out"));
    other.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    other.env("THREESCALE_BACKUP_CONFIG", files.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", files.path("state"));
    let output = other.output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("owners of 1 entries") && told.contains("set-user-id") && told.contains("trusted.note"), "{told}");
    assert_eq!(shell(&files.path("other/out"), "stat -c '%a %u' suid").trim(), "755 4242");
}

#[test]
fn an_export_that_fails_says_so_and_is_marked_as_not_complete() {
    let files = Files::with("mkdir d; echo x > d/x; head -c 3000000 /dev/urandom > d/y; echo z > z");
    // The content of one file is gone.
    shell(&files.path("repository/data"), "find . -type f -size +1M -exec rm {} +");
    let to = files.path("out");
    let output = files.export(&to);
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("is not complete"), "{told}");
    let left = shell(&to, "ls -A");
    assert!(left.contains("export-is-not-complete-"), "{left}");
    assert!(files.export(&to).status.code() == Some(2), "it is not an empty folder");
}

#[test]
fn a_folder_that_is_named_through_a_link_is_taken_when_it_is_empty() {
    let files = Files::with("echo x > x");
    shell(files.home.path(), "mkdir real; ln -s real link; ln -s nowhere dangling; echo f > file; mkdir full; echo f > full/f");
    assert!(files.export(&files.path("link")).status.success());
    assert_eq!(shell(&files.path("real"), "ls -A").trim(), "x");
    for name in ["dangling", "file", "full"] {
        let output = files.export(&files.path(name));
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("not an empty folder"), "{name}");
    }
    assert_eq!(shell(files.home.path(), "cat file full/f; ls -A full").trim(), "f\nf\nf");
}

#[test]
fn nothing_is_left_in_the_live_folder_by_a_restore_in_place_its_undo_or_settle() {
    let files = Files::with("mkdir d; echo x > d/x");
    let left = || std::fs::read_dir(files.path("live")).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "d").count();
    let restore = ["restore", &files.set, "--in-place", "--yes", "--writers-are-stopped"];
    for end in ["undo", "settle"] {
        files.ok(&restore);
        // Until then it tells when the load came to its end: what is made from now on is kept by an undo.
        assert_eq!(shell(&files.path("live"), "ls -A"), ".threescale-backup\nd\n");
        files.ok(&[end, "--yes"]);
        assert_eq!(left(), 0, "after {end}");
    }
    for end in ["undo", "settle"] {
        files.ok(&["restore", &files.set, "--yes", "--writers-are-stopped"]);
        files.ok(&[end, "--yes"]);
        assert_eq!(left(), 0, "after {end} of a restore beside");
    }
}
