//! A whole installation on throw-away servers, and the program itself as a process.

pub mod differences;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::{Fingerprint, Installation, InstallationOptions, MysqlKind};
use plan::ids::DataSetName;
use plan::ports::Silent;
use serde_json::Value;
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_threescale-backup");

/// Nobody writes: stopping and starting them is nothing.
const NO_WRITERS: &str = "[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n";

/// An installation with data in it, and the program's files beside it.
pub struct World {
    pub installation: Installation,
    pub home: TempDir,
}

impl World {
    pub fn start(size_bytes: u64) -> Self {
        Self::start_with(InstallationOptions { size_bytes, mysql: MysqlKind::Mysql, ..InstallationOptions::default() })
    }

    pub fn start_with(options: InstallationOptions) -> Self {
        let installation = Installation::start(&options).unwrap();
        installation.fill(&Silent).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let toml = installation.toml(&home.path().join("repository").display().to_string(), &home.path().join("key"));
        std::fs::write(home.path().join("config.toml"), format!("{toml}\n{NO_WRITERS}")).unwrap();
        let world = Self { installation, home };
        world.ok(&["init"]);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Changes the configuration's text.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let path = self.path("config.toml");
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Lets the program stop and start the lab's writers.
    pub fn control_writers(&self) {
        self.reconfigure(|text| text.replace(NO_WRITERS, &self.installation.writers_toml()));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        // All goes back, so that all can be compared with what was.
        command.env("THREESCALE_BACKUP_QUEUES", "keep").env("THREESCALE_BACKUP_NO_HOLD", "true");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, expecting exit code 0, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs it with `--json` and gives the document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let document: Value = serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap();
        assert_eq!(document["schema_version"], 1, "{document}");
        document
    }

    /// Runs it, expecting this exit code, and gives standard error.
    pub fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}\n{stderr}", text(&output.stdout));
        stderr
    }

    pub fn damage_all(&self) {
        for name in DataSetName::STORES {
            self.installation.damage(name).unwrap();
        }
    }

    /// What is in the stores by their own means; without keys that go by themselves.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut all = self.installation.fingerprint().unwrap();
        all.retain(|name, _| !name.contains("/expiring"));
        assert!(all.len() > 50, "a fingerprint of {} things proves little", all.len());
        all
    }

    /// The lines of the newest run's journal.
    pub fn journal(&self) -> Vec<Value> {
        let Ok(folder) = std::fs::read_dir(self.path("state/runs")) else { return Vec::new() };
        let newest = folder.map(|entry| entry.unwrap().path()).max();
        let text = newest.map(|path| std::fs::read_to_string(path).unwrap()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Whether the newest run came to its end; how the stores agreed then is noted behind it.
    pub fn is_finished(&self) -> bool {
        self.journal().iter().any(|line| line["record"] == "finished")
    }

    pub fn newest_run(&self) -> String {
        let folder = std::fs::read_dir(self.path("state/runs")).unwrap();
        let newest = folder.map(|entry| entry.unwrap().path()).max().unwrap();
        newest.file_stem().unwrap().to_str().unwrap().to_owned()
    }

    /// Starts the program, and kills it as soon as its journal has this many lines. `false` when it ended before.
    pub fn kill_at_line(&self, arguments: &[&str], lines: usize) -> bool {
        let known = self.runs();
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            if self.runs() > known && self.journal().len() >= lines {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            if ended(&mut child) {
                return false;
            }
            assert!(Instant::now() < limit, "{arguments:?} hangs");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn runs(&self) -> usize {
        std::fs::read_dir(self.path("state/runs")).map_or(0, Iterator::count)
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

/// The program without anything of this machine's environment that it would heed.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THREESCALE_BACKUP_")) {
        // Where the lab's own servers are is the one thing that it needs to know.
        if name != "THREESCALE_BACKUP_MYSQL_PREFIX" {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).current_dir(Path::new("/"));
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Compares two fingerprints, naming what differs.
pub fn assert_equal(found: &Fingerprint, wanted: &Fingerprint, when: &str) {
    let differences = lab::differences(found, wanted);
    assert!(differences.is_empty(), "{when}:\n{}", differences.join("\n"));
}
