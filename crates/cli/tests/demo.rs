//! The demo tells its story and ends with everything proven; and with its servers the tutorial is walked.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_threescale-backup");
const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md");

/// What it says on standard output, and on standard error.
fn demo(arguments: &[&str]) -> (String, String) {
    let output = Command::new(PROGRAM)
        .args(["demo", "--size", "3M"])
        .args(arguments)
        // Of a real installation: it must not lead there.
        .env("THREESCALE_BACKUP_SYSTEM_REDIS_URL", "redis://192.0.2.1/0")
        .env("THREESCALE_BACKUP_NAMESPACE", "3scale")
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn the_demo_proves_everything_on_mysql() {
    let (stdout, stderr) = demo(&["--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["equal"], true, "{document}\n{stderr}");
    assert!(document["compared"].as_u64().unwrap() > 50);
}

#[test]
fn the_demo_proves_everything_on_mariadb_and_tells_its_story() {
    let (stdout, stderr) = demo(&["--system-database", "mariadb"]);
    for word in ["dump → keep", "stage → prove → cut over", "settle"] {
        assert!(stderr.contains(word), "{stderr}");
    }
    let compared = stdout.lines().find_map(|line| line.strip_prefix("compared from outside")).unwrap_or_else(|| panic!("{stdout}"));
    assert!(compared.trim().ends_with("checksums, 0 differences") && !stdout.contains("DIFFERS"), "{stdout}");
}

/// The servers that the tutorial begins with; they end with the value.
struct Servers {
    child: Child,
    /// What `export` gives a shell there.
    variables: Vec<(String, String)>,
}

impl Servers {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--servers-only", "--size", "2M"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.starts_with("Ctrl-C"))
            .collect();
        let exports = lines.iter().filter_map(|line| line.trim().strip_prefix("export ")?.split_once('='));
        let variables: Vec<_> = exports.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(variables.len(), 3, "{lines:?}");
        Self { child, variables }
    }

    /// Runs a command as a person there would, in a shell, and gives all that it prints.
    fn run(&self, command: &str) -> String {
        let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .env("PATH", path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {}\n{told}", output.status);
        told
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()) && self.child.wait().is_ok() || std::thread::panicking());
    }
}

/// Whether a line is as the page has it: `…` stands for any text on that line.
fn is_line(wanted: &str, found: &str) -> bool {
    let mut pieces = wanted.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| found.strip_prefix(first)) else { return false };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Whether lines are as the page has them: a line that is `…` alone stands for any number of lines.
fn are_lines(wanted: &[&str], found: &[&str]) -> bool {
    match wanted {
        [] => found.is_empty(),
        ["…", behind @ ..] => (0..=found.len()).any(|skipped| are_lines(behind, &found[skipped..])),
        [first, behind @ ..] => found.split_first().is_some_and(|(line, rest)| is_line(first, line) && are_lines(behind, rest)),
    }
}

#[test]
fn what_a_page_shows_is_compared_line_by_line() {
    for (wanted, found) in [("set … is there", "set 01 is there"), ("a…b…", "axbyb"), ("plain", "plain"), ("…", "")] {
        assert!(is_line(wanted, found), "{wanted} {found}");
    }
    for (wanted, found) in [("set … is there", "set 01 is not"), ("plain", "plain and more"), ("a…b", "ba")] {
        assert!(!is_line(wanted, found), "{wanted} {found}");
    }
    assert!(are_lines(&["a", "…", "b"], &["a", "x", "y", "b"]) && are_lines(&["…", "b"], &["b"]));
    assert!(!are_lines(&["a", "b"], &["a", "x", "b"]) && !are_lines(&["a", "…", "b"], &["a", "b", "c"]));
}

/// The commands of the page's `console` blocks, in order, each with what it prints there.
fn shown(page: &str) -> Vec<(String, Vec<&str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match (line.strip_prefix("$ "), all.last_mut()) {
                (Some(command), _) => all.push((command.to_owned(), Vec::new())),
                (None, Some((_, printed))) => printed.push(line),
                (None, None) => panic!("{line} is printed by no command"),
            }
        }
    }
    all
}

#[test]
fn the_tutorial_shows_what_the_program_prints() {
    let page = std::fs::read_to_string(TUTORIAL).unwrap();
    let shown = shown(&page);
    for command in ["init", "backup", "list", "show", "check", "rehearse", "restore", "undo", "settle", "status"] {
        let called = format!("threescale-backup {command}");
        assert!(shown.iter().any(|(line, _)| line.starts_with(&called)), "the tutorial does not call {command}");
    }
    let servers = Servers::start();
    for (command, wanted) in shown {
        let told = servers.run(&command);
        let found: Vec<_> = told.lines().map(str::trim_end).collect();
        assert!(are_lines(&wanted, &found), "`{command}` prints\n{told}\nand not, as docs/tutorial.md says,\n{}", wanted.join("\n"));
    }
}
