//! The program as a process, with a repository and a state folder of its own; killed when its journal says so.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::Settings;

/// How a killed call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// By the kill, when the journal ended with this.
    Killed(String),
    /// By itself, with this exit code, before anything to kill it for.
    Ended(Option<i32>),
}

/// The program for one namespace.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
    home: TempDir,
    environment: Vec<(String, String)>,
}

impl Program {
    /// With nothing configured but the repository, which is made.
    #[must_use]
    pub fn new(settings: &Settings, namespace: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let program = Self {
            path: settings.program.clone(),
            kubeconfig: settings.kubeconfig.clone(),
            namespace: namespace.to_owned(),
            home,
            environment: Vec::new(),
        };
        program.ok(&["init"]);
        program
    }

    /// The same repository, used for another namespace, with a state of its own.
    #[must_use]
    pub fn for_namespace(&self, namespace: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let repository = self.home.path().join("repository").display().to_string();
        Self {
            path: self.path.clone(),
            kubeconfig: self.kubeconfig.clone(),
            namespace: namespace.to_owned(),
            home,
            environment: vec![("THREESCALE_BACKUP_REPOSITORY_URL".to_owned(), repository)],
        }
    }

    /// A call, not yet begun.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THREESCALE_BACKUP_")) {
            command.env_remove(name);
        }
        let home = self.home.path();
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("THREESCALE_BACKUP_NAMESPACE", &self.namespace)
            .env("THREESCALE_BACKUP_STATE_FOLDER", home.join("state"))
            .env("THREESCALE_BACKUP_REPOSITORY_URL", home.join("repository"))
            .env("THREESCALE_BACKUP_REPOSITORY_PASSWORD_FILE", home.join("key"))
            .envs(self.environment.iter().cloned())
            .args(arguments)
            .stdin(Stdio::null())
            .current_dir(Path::new("/"));
        command
    }

    /// Runs it.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, expecting exit code 0, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs it with `--json` and gives the document.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs it, expecting one of these exit codes, and gives what it said.
    #[must_use]
    pub fn fails(&self, codes: &[i32], arguments: &[&str]) -> String {
        said(&self.run(arguments), codes, arguments)
    }

    /// The sets that exist.
    #[must_use]
    pub fn sets(&self) -> usize {
        self.json(&["list"])["sets"].as_array().map_or(0, Vec::len)
    }

    /// The restores that were begun, oldest first.
    #[must_use]
    pub fn restores(&self) -> Vec<String> {
        let runs = self.json(&["runs"])["runs"].as_array().cloned().unwrap_or_default();
        runs.iter().filter(|run| run["purpose"] == "restore").map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    }

    /// The journal of the newest run.
    #[must_use]
    pub fn journal(&self) -> Journal {
        let Ok(folder) = std::fs::read_dir(self.home.path().join("state/runs")) else { return Journal(Vec::new()) };
        let files = folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
        let text = files.max().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Journal(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> usize {
        std::fs::read_dir(self.home.path().join("state/runs")).map_or(0, Iterator::count)
    }

    /// Starts it without waiting.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts it, and kills it (-9) when `why` gives a reason to, looking at the journal.
    pub fn kill_when(&self, arguments: &[&str], mut why: impl FnMut(&Journal) -> Option<String>) -> Stop {
        let known = if arguments.first() == Some(&"restore") { self.runs() } else { 0 };
        let log = std::fs::File::create(self.home.path().join("killed.log")).unwrap();
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(1800);
        loop {
            let is_begun = self.runs() > known;
            if let Some(reason) = is_begun.then(|| why(&self.journal())).flatten() {
                child.kill().unwrap();
                child.wait().unwrap();
                return Stop::Killed(reason);
            }
            if let Some(status) = child.try_wait().unwrap() {
                return Stop::Ended(status.code());
            }
            assert!(Instant::now() < limit, "{arguments:?} hangs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the call of `kill_when` that ended by itself said.
    #[must_use]
    pub fn last_words(&self) -> String {
        std::fs::read_to_string(self.home.path().join("killed.log")).unwrap_or_default()
    }
}

/// Waits for a call that was started; it must end with one of these exit codes.
pub(crate) fn said(output: &Output, codes: &[i32], arguments: &[&str]) -> String {
    let words = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.code().is_some_and(|code| codes.contains(&code)),
        "{arguments:?}: {} instead of {codes:?}\n{words}",
        output.status
    );
    words
}

/// The lines of a journal.
#[derive(Debug, Clone)]
pub struct Journal(pub Vec<Value>);

impl Journal {
    /// What a step does, e.g. `stop-writers`, `cut-over system-database`.
    #[must_use]
    pub fn action(&self, step: u64) -> String {
        let steps = self.0.first().and_then(|opened| opened["plan"]["steps"].as_array());
        let Some(action) = steps.and_then(|steps| steps.iter().find(|one| one["id"] == step)).map(|one| &one["action"]) else {
            return String::new();
        };
        let part = |name: &str| action[name].as_str().map(|value| format!(" {value}"));
        let detail = part("data_set").or_else(|| part("task")).unwrap_or_default();
        format!("{}{detail}", action["do"].as_str().unwrap_or_default())
    }

    /// The records after the first, as `started 7 stop-writers`.
    #[must_use]
    pub fn records(&self) -> Vec<String> {
        let line = |line: &Value| {
            let record = line["record"].as_str().unwrap_or_default();
            line["step"].as_u64().map_or_else(|| record.to_owned(), |step| format!("{record} {step} {}", self.action(step)))
        };
        self.0.iter().skip(1).map(line).collect()
    }
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
