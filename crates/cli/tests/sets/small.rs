//! Small installations, quick to start: a folder and a Redis, in one repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::{Proxy, Redis};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{program, text};

/// Where the repository and the configurations are.
pub struct Home(TempDir);

impl Home {
    pub fn make() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.path("key"), "a password\n").unwrap();
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The beginning of every configuration.
    pub fn repository_toml(&self) -> String {
        format!("[repository]\nurl = {:?}\npassword-file = {:?}\n", self.path("repository"), self.path("key"))
    }
}

/// An installation of a folder and a Redis.
pub struct Small<'a> {
    home: &'a Home,
    name: &'static str,
    redis: Redis,
    storage: PathBuf,
}

impl<'a> Small<'a> {
    /// Of this name; it has one file and one key that say whose they are.
    pub fn start(home: &'a Home, name: &'static str) -> Self {
        let storage = home.path(&format!("{name}-files"));
        std::fs::create_dir(&storage).unwrap();
        let small = Self { home, name, redis: Redis::start(&[]).unwrap(), storage };
        small.write(name);
        small.configure(&format!("[installation]\nname = {name:?}\n"), &["system-database", "zync-database", "backend-redis"]);
        if !home.path("repository").exists() {
            small.ok(&["init"]);
        }
        small
    }

    /// Writes its configuration, with these data sets declared absent.
    pub fn configure(&self, more: &str, absent: &[&str]) {
        let absent: String = absent.iter().map(|name| format!("[{name}]\nabsent = true\n")).collect();
        let toml = format!(
            "{}[platform]\nkind = \"direct\"\n[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n[system-storage]\npath = {:?}\n[system-redis]\n\
             url = {:?}\n{absent}{more}",
            self.home.repository_toml(),
            self.storage,
            self.redis.url(1)
        );
        std::fs::write(self.config(), toml).unwrap();
    }

    /// Its Redis is reached through a proxy from now on, which may be silent for eight seconds.
    pub fn behind_proxy(&self) -> Proxy {
        let proxy = Proxy::before(self.redis.port()).unwrap();
        let toml = std::fs::read_to_string(self.config()).unwrap();
        let (own, its) = (format!(":{}/", self.redis.port()), format!(":{}/", proxy.port()));
        assert!(toml.contains(&own));
        std::fs::write(self.config(), format!("{}[options]\nio-seconds-max = 8\n", toml.replace(&own, &its))).unwrap();
        proxy
    }

    pub fn config(&self) -> PathBuf {
        self.home.path(&format!("{}.toml", self.name))
    }

    /// Puts a content into its file and its key.
    pub fn write(&self, content: &str) {
        std::fs::write(self.storage.join("file"), content).unwrap();
        assert!(self.redis.client().args(["-n", "1", "SET", "key", content]).output().unwrap().status.success());
    }

    /// Its Redis comes back empty, marks and all.
    pub fn forget_all_keys(&mut self) {
        assert!(self.redis.client().arg("FLUSHALL").output().unwrap().status.success());
        self.redis.stop().unwrap();
        self.redis.start_again().unwrap();
    }

    /// What is in its file and its key.
    pub fn content(&self) -> [String; 2] {
        let key = self.redis.client().args(["-n", "1", "--raw", "GET", "key"]).output().unwrap();
        [std::fs::read_to_string(self.storage.join("file")).unwrap(), text(&key.stdout).trim().to_owned()]
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&self.config(), &self.home.path(&format!("{}-state", self.name)), arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, expecting exit code 0; gives its standard output and its standard error.
    pub fn both(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        self.both(arguments).0
    }

    /// Runs it, expecting a refusal; gives its standard error.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stderr)
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Takes a set and gives its id.
    pub fn backup(&self, arguments: &[&str]) -> String {
        self.ok(&[&["backup", "--quiet"], arguments].concat()).trim().to_owned()
    }

    /// The ids that `list` shows.
    pub fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let document = self.json(&[&["list"], arguments].concat());
        document["sets"].as_array().unwrap().iter().map(|set| set["set"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn command(config: &Path, state: &Path, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.env("THREESCALE_BACKUP_CONFIG", config).env("THREESCALE_BACKUP_STATE_FOLDER", state);
    command
}
