//! Machines with one installation: the same configuration, a state folder each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::small::{Home, Small, command};
use crate::support::text;

/// One of them.
pub struct Machine<'a> {
    small: &'a Small<'a>,
    pub state: PathBuf,
}

impl Machine<'_> {
    pub fn run(&self, arguments: &[&str]) -> Output {
        command(&self.small.config(), &self.state, arguments).output().unwrap()
    }

    /// Runs it, expecting this exit code; gives both outputs.
    pub fn code(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
        said
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        command(&self.small.config(), &self.state, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn runs(&self) -> Vec<PathBuf> {
        fs::read_dir(self.state.join("runs")).map_or_else(|_| Vec::new(), |folder| folder.map(|entry| entry.unwrap().path()).collect())
    }

    /// Records in all its journals.
    fn records(&self) -> usize {
        self.runs().iter().map(|path| fs::read_to_string(path).map_or(0, |text| text.lines().count())).sum()
    }

    /// Runs it and kills it (-9) as soon as so many records were written; the exit code when it ended before.
    pub fn killed_after(&self, records: usize, arguments: &[&str]) -> Option<i32> {
        let (begin, limit) = (self.records(), Instant::now() + Duration::from_secs(120));
        let mut child = self.spawn(arguments);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if self.records() >= begin + records {
                child.kill().unwrap();
                return child.wait().unwrap().code();
            }
            assert!(Instant::now() < limit, "{arguments:?} does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Makes a line of a run's journal unreadable.
    pub fn damage(&self, run: &str, line: usize) {
        let path = self.state.join(format!("runs/{run}.jsonl"));
        let mut lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        lines[line] = "{\"at\":\"2026".to_owned();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }

    /// Backup, loss, restore; gives the run.
    pub fn restored(&self) -> String {
        self.code(0, &["backup"]);
        self.small.write("lost");
        self.code(0, &["restore", "latest", "--yes"]);
        self.newest_run()
    }

    /// Backup, loss, and a restore that is killed after its cut-over, before the writers are started.
    pub fn killed_after_cut_over(&self, home: &Home) -> String {
        self.code(0, &["backup"]);
        self.small.write("lost");
        let (reached, go) = hold_at_start(home, self.small);
        let mut restoring = self.spawn(&["restore", "latest", "--yes"]);
        wait_for(&reached);
        restoring.kill().unwrap();
        restoring.wait().unwrap();
        fs::write(&go, "").unwrap();
        self.newest_run()
    }

    pub fn newest_run(&self) -> String {
        self.runs().into_iter().max().unwrap().file_stem().unwrap().to_str().unwrap().to_owned()
    }
}

pub fn machine<'a>(home: &Home, small: &'a Small<'a>, name: &str) -> Machine<'a> {
    Machine { small, state: home.path(&format!("{name}-of-{}", small.config().file_stem().unwrap().to_str().unwrap())) }
}

pub fn wait_for(path: &Path) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !path.exists() {
        assert!(Instant::now() < limit, "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes the command that starts the writers stay until a file is there: the cut-over is done then, and the run is not.
pub fn hold_at_start(home: &Home, small: &Small<'_>) -> (PathBuf, PathBuf) {
    let (reached, go) = (home.path("reached"), home.path("go"));
    let toml = fs::read_to_string(small.config()).unwrap();
    let start = format!("touch {}; while ! [ -e {} ]; do sleep 0.05; done", reached.display(), go.display());
    fs::write(small.config(), toml.replace("start = \"true\"", &format!("start = {start:?}"))).unwrap();
    (reached, go)
}
