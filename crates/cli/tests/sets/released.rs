//! What released versions wrote is read for ever: sets are listed, planned, exported and restored, runs are undone and settled. How the files were made is in
//! `examples/make-testdata.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use lab::{Installation, InstallationOptions, MysqlKind, Redis};
use serde_json::Value;

use crate::small::{Home, command};
use crate::support::text;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata")
}

fn versions() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(testdata()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_released_version_has_its_kept_files() {
    let changelog = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CHANGELOG.md")).unwrap();
    let headings = changelog.lines().filter_map(|line| line.strip_prefix("## ")).filter(|heading| !heading.starts_with("Unreleased"));
    let mut released: Vec<_> = headings.map(|heading| heading.split(' ').next().unwrap().to_owned()).collect();
    assert!(released.contains(&"0.1.0".to_owned()), "the first release is told in CHANGELOG.md");
    released.sort();
    assert_eq!(versions(), released, "examples/make-testdata.rs makes what is kept of a release");
}

#[test]
fn this_version_is_a_released_one_or_the_one_that_the_changelog_says_is_to_come() {
    let changelog = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CHANGELOG.md")).unwrap();
    let to_come = changelog.lines().find_map(|line| line.strip_prefix("## Unreleased: "));
    // Formats change between releases: what is under way must not call itself by the name of a release.
    match env!("CARGO_PKG_VERSION").strip_suffix("-dev") {
        Some(version) => {
            assert_eq!(to_come, Some(version), "the heading of CHANGELOG.md");
            assert!(!versions().contains(&version.to_owned()), "{version} was released already");
        }
        None => {
            assert!(versions().contains(&env!("CARGO_PKG_VERSION").to_owned()), "examples/make-testdata.rs makes what is kept of a release")
        }
    }
}

/// The kept files of a version, put where they can be worked with.
struct Kept {
    home: Home,
    version: String,
}

impl Kept {
    fn all() -> impl Iterator<Item = Self> {
        versions().into_iter().map(|version| {
            let home = Home::make();
            copy(&testdata().join(&version).join("repository"), &home.path("repository"));
            fs::copy(testdata().join(&version).join("key"), home.path("key")).unwrap();
            Self { home, version }
        })
    }

    fn configure(&self, sections: &str) {
        let writers = "[platform]\nkind = \"direct\"\n[installation]\nname = \"here\"\n[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n";
        fs::write(self.home.path("config.toml"), format!("{}{writers}{sections}", self.home.repository_toml())).unwrap();
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = command(&self.home.path("config.toml"), &self.home.path("state"), arguments).output().unwrap();
        assert!(output.status.success(), "{} {arguments:?}: {}\n{}", self.version, output.status, text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The ids of its whole set and of its partial one.
    fn sets(&self) -> [String; 2] {
        let list = self.json(&["list", "--all-installations"]);
        let sets = list["sets"].as_array().unwrap();
        let of = |whole: bool| sets.iter().find(|set| set["whole"] == whole).unwrap()["set"].as_str().unwrap().to_owned();
        [of(true), of(false)]
    }

    /// The stores and the journal as a run of that version left them.
    fn stand(&self, state: &str) -> (Redis, String) {
        let kept = testdata().join(&self.version).join(state);
        copy(&kept.join("files"), &self.home.path("files"));
        let mut redis = Redis::start(&[]).unwrap();
        redis.stop().unwrap();
        fs::copy(kept.join("dump.rdb"), redis.folder().join("data/dump.rdb")).unwrap();
        redis.start_again().unwrap();
        let journal =
            fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|end| end == "jsonl"));
        let journal = journal.unwrap();
        fs::create_dir_all(self.home.path("state/runs")).unwrap();
        let here = self.home.path("").display().to_string();
        let written = fs::read_to_string(&journal).unwrap().replace("/HOME", here.trim_end_matches('/'));
        fs::write(self.home.path("state/runs").join(journal.file_name().unwrap()), written).unwrap();
        self.configure(&format!("[system-storage]\npath = {:?}\n[system-redis]\nurl = {:?}\n", self.home.path("files"), redis.url(1)));
        let run = journal.file_stem().unwrap().to_str().unwrap().to_owned();
        // What is kept here has no times of its own: nothing was written since the end of that cut-over.
        let swap = fs::File::options().append(true).open(self.home.path("files/.threescale-backup").join(&run).join("swap.json")).unwrap();
        swap.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
        (redis, run)
    }

    fn content(&self, redis: &Redis) -> [String; 2] {
        let key = redis.client().args(["-n", "1", "--raw", "GET", "key"]).output().unwrap();
        [fs::read_to_string(self.home.path("files/2026/logo")).unwrap(), text(&key.stdout).trim().to_owned()]
    }

    /// That nothing of a run is left beside the live data.
    fn assert_clean(&self, redis: &Redis) {
        assert!(!self.home.path("files/.threescale-backup").exists(), "{}", self.version);
        let keys = text(&redis.client().args(["INFO", "keyspace"]).output().unwrap().stdout);
        let databases: Vec<_> = keys.lines().filter(|line| line.starts_with("db")).collect();
        assert_eq!(databases.len(), 1, "{}: {databases:?}", self.version);
    }
}

#[test]
fn sets_of_released_versions_are_listed_shown_and_exported() {
    for kept in Kept::all() {
        kept.configure("");
        let [whole, partial] = kept.sets();
        let list = kept.ok(&["list", "--all-installations"]);
        assert!(list.contains(" 5/5") && list.contains("2/5 without system-database, zync-database, backend-redis"), "{list}");
        let shown = kept.json(&["show", &whole]);
        assert_eq!((&shown["program_version"], shown["data_sets"].as_object().unwrap().len()), (&kept.version.as_str().into(), 5));
        assert!(kept.ok(&["show", &partial]).contains("Not whole"));
        let to = kept.home.path("exported");
        kept.ok(&["export", &whole, "system-storage", "--to", to.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(to.join("2026/logo")).unwrap(), "set");
        kept.ok(&["check", "--read-data"]);
    }
}

#[test]
fn a_set_of_a_released_version_goes_back_into_servers_of_today() {
    for kept in Kept::all() {
        let servers = Installation::start(&InstallationOptions { mysql: MysqlKind::Mysql, ..InstallationOptions::default() }).unwrap();
        done(servers.mysql.client().args(["-e", "CREATE DATABASE IF NOT EXISTS `system`"]));
        drop(servers.postgres.client().args(["-c", &format!("CREATE DATABASE {}", lab::ZYNC_DATABASE)]).output().unwrap());
        let toml = servers.toml("x", &kept.home.path("key"));
        kept.configure(&toml[toml.find("[system-database]").unwrap()..]);
        let [whole, _] = kept.sets();
        let plan = kept.ok(&["plan", &whole]);
        assert!(plan.starts_with(&format!("Taken by release {}", kept.version)), "{plan}");
        kept.ok(&["restore", &whole, "--yes"]);
        let names = servers.mysql.client().args(["-N", "-e", "SELECT COUNT(*), MAX(org_name) FROM `system`.accounts"]).output().unwrap();
        assert_eq!(text(&names.stdout).trim(), "3\tProvider");
        let tenants =
            servers.postgres.client().args(["-d", lab::ZYNC_DATABASE, "-At", "-c", "SELECT count(*) FROM tenants"]).output().unwrap();
        assert_eq!(text(&tenants.stdout).trim(), "2");
        let state = servers.backend_redis.client().args(["-n", "0", "--raw", "HGET", "service/id:1", "state"]).output().unwrap();
        assert_eq!(text(&state.stdout).trim(), "active");
        assert_eq!(fs::read_to_string(servers.storage().join("2026/logo")).unwrap(), "set");
        // Its run is one of today.
        kept.ok(&["settle", "--yes"]);
    }
}

#[test]
fn runs_that_a_released_version_began_are_ended_by_todays_program() {
    for (state, verb) in [("interrupted", "undo"), ("interrupted", "resume"), ("finished", "undo"), ("finished", "settle")] {
        for kept in Kept::all() {
            let (redis, run) = kept.stand(state);
            assert_eq!(kept.content(&redis), ["set", "set"], "{}: the state after the cut-over", kept.version);
            assert!(kept.ok(&["runs"]).contains(&run));
            match verb {
                "resume" => {
                    kept.ok(&["resume", &run, "--yes"]);
                    kept.ok(&["settle", &run, "--yes"]);
                }
                verb => drop(kept.ok(&[verb, &run, "--yes"])),
            }
            let wanted = if verb == "undo" { "live" } else { "set" };
            assert_eq!(kept.content(&redis), [wanted, wanted], "{}: {verb} of what was {state}", kept.version);
            kept.assert_clean(&redis);
            let ended = kept.json(&["runs"])["runs"][0]["state"].as_str().unwrap().to_owned();
            assert_eq!(ended, if verb == "undo" { "undone" } else { "settled" });
        }
    }
}

fn copy(from: &Path, to: &Path) {
    done(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}
